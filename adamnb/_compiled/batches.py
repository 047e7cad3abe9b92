"""The compiled loop over batches of rows: one iteration for each, with f and gradient over its rows."""

from .cache import entry
from .held import evaluation_of
from .iteration import copy
from .reasons import GOING
from .run import iterate_once


@entry(nogil=True)
def run_batches(method, vectors, state, options, span, code, place):
    """Iterate until there is a reason to stop, or to the end of the span; return the reason.

    The data at `place` are arrays of shape (span.steps, rows, ...); all else is as in `run`.
    """
    v, s, o = vectors, state[0], options[0]
    copy(v.x[s.x], v.spare)
    for i in range(span.steps):
        own = evaluation_of(code, place, i, v, s)
        reason = iterate_once(method, own, v, s, o, span, i)
        if reason != GOING:
            return reason
    return GOING
