"""The compiled loop over problems: the compiled loop over iterations for one after the other."""

from .cache import entry
from .held import evaluation_of
from .intrinsics import lend, problem_of
from .reasons import GOING
from .run import iterate_on


@entry(nogil=True)
def run_problems(method, held, reasons, vectors, state, options, span):
    """Iterate the problems from `reasons[-2]` to `reasons[-1]` that are going, to the end of the span.

    Arrays have one axis more than in `run`, the problems; `reasons` has two elements more. The first of
    them becomes the number of the problem at work, should the user's function raise.
    """
    v, s = lend(vectors), lend(state)
    o, span = lend(options)[0], lend(span)
    place = reasons.size - 2
    for b in range(reasons[place], reasons[place + 1]):
        if reasons[b] == GOING:
            reasons[place] = b
            own = problem_of(v, b)
            evaluation = evaluation_of(held, b, own, s[b])
            reasons[b] = iterate_on(method, evaluation, own, s[b], o, span)
