"""The compiled loop over batches of rows: one iteration for each, with f and gradient over its rows."""

from .cache import entry
from .held import evaluation_of
from .intrinsics import lend
from .iteration import copy
from .reasons import GOING
from .run import iterate_once


@entry(nogil=True)
def run_batches(method, held, vectors, state, options, span):
    """Iterate until there is a reason to stop, or to the end of the span; return the reason.

    The data that are held are arrays of shape (span.steps, rows, ...); all else is as in `run`.
    """
    v, s, o, span = lend(vectors), lend(state)[0], lend(options)[0], lend(span)
    copy(v.x[s.x], v.spare)
    for i in range(span.steps):
        own = evaluation_of(held, i, v, s)
        reason = iterate_once(method, own, v, s, o, span, i)
        if reason != GOING:
            return reason
    return GOING
