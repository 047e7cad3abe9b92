"""The compiled loop over problems: the compiled loop over iterations for one after the other."""

from .cache import entry
from .held import evaluation_of
from .reasons import GOING
from .run import iterate_on
from .views import problem_of


@entry(nogil=True)
def run_problems(method, reasons, vectors, state, options, span, code, place):
    """Iterate the problems from `reasons[-2]` to `reasons[-1]` that are going, to the end of the span.

    Arrays have one axis more than in `run`, the problems; `reasons` has two elements more. The first of
    them becomes the number of the problem at work, should the user's function raise. What that gets is its
    own during the call alone.
    """
    o, first = options[0], reasons.size - 2
    for b in range(reasons[first], reasons[first + 1]):
        if reasons[b] == GOING:
            reasons[first] = b
            v, s = problem_of(vectors, b), state[b]
            own = evaluation_of(code, place, b, v, s)
            reasons[b] = iterate_on(method, own, v, s, o, span)
