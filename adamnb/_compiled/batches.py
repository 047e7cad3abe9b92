"""The compiled loop over batches of rows: one iteration for each, with f and gradient over its rows."""

from .cache import entry
from .intrinsics import lend, problem_of
from .iteration import copy
from .reasons import GOING
from .run import Functions, iterate_once


@entry(nogil=True, _nrt=True)
def run_batches(method, functions, batches, vectors, state, options, span):
    """Iterate until there is a reason to stop, or to the end of the span; return the reason.

    `batches` are arrays of shape (span.steps, rows, ...); all else is as in `run`.
    """
    shared, v, s, o = lend(functions.args), lend(vectors), lend(state)[0], lend(options)[0]
    batches, span = lend(batches), lend(span)
    copy(v.x[s.x], v.spare)
    for i in range(span.steps):
        own = Functions(functions.fun, functions.jac, problem_of(batches, i) + shared)
        reason = iterate_once(method, own, v, s, o, span, i)
        if reason != GOING:
            return reason
    return GOING
