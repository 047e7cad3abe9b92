"""One iteration, written once for every loop."""

from .cache import copied, entry, inner
from .loops import Measured, measure
from .method import kind_of
from .rate import Origin, begin, found, judged, stepped
from .reasons import GOING
from .sizes import size_all
from .stops import ended, keep_best, not_finite


@copied
def iterate(method, v, s, o):
    """Judge the current point, whose f is s.fun and whose gradient is row s.g, and step on.

    Stop tests, best point, learning rate, step, bounds. Returns GOING after a step (the next point is
    then row s.x and `v.spare`), else the reason to stop there.
    """
    kind, origin = kind_of(method), Origin(s.x_before, s.g_best, s.x_before == s.x_best)
    if s.nit == 0:
        size_all(kind, v, s, o)
    m = measure(kind, v, s.x, s.g, o)
    s.gradient_norm = m.norm
    reason = not_finite(s, o)
    if s.nit == 0:
        s.fun_first = s.fun_best = s.fun_mark = s.fun
        s.gradient_norm_first = s.gradient_norm_best = s.gradient_norm
        begin(kind, v, s, o)
    else:
        back, m = judged(kind, v, s, o, m, reason)
        if back:
            reason = GOING
        elif reason == GOING:
            keep_best(s)
    if reason == GOING:
        reason = found(kind, s, o)
    if reason != GOING:
        wait(s, m, origin)
        return reason

    reason = stepped(method, v, s, o, m, origin)
    if reason == GOING:
        s.nit += 1
    else:
        wait(s, m, origin)
    return reason


@inner
def wait(s, m, origin):
    """Write down what a step from a point that has been judged needs to know."""
    s.judged, s.along, s.norm2, s.previous2 = 1, m.along, m.norm2, m.previous2
    s.origin_x, s.origin_g, s.origin_best = origin.x, origin.g, origin.best


@copied
def iterate_further(method, v, s, o):
    """End the iteration in which a limit ended a run, unless it does so again: step on.

    Returns what `iterate` does.
    """
    reason = ended(s, o)
    if reason != GOING:
        return reason
    s.judged = 0
    m = Measured(s.gradient_norm, s.along, s.norm2, s.previous2)
    origin = Origin(s.origin_x, s.origin_g, s.origin_best == 1)
    reason = stepped(method, v, s, o, m, origin)
    if reason == GOING:
        s.nit += 1
    return reason


@entry
def step_on(method, vectors, state, options):
    """End the iteration in which a limit ended a run, as `iterate_further` does."""
    return iterate_further(method, vectors, state[0], options[0])


@inner
def copy(vector, into):
    """Copy a vector."""
    for i in range(into.size):
        into[i] = vector[i]


@entry
def advance(method, vectors, state, options, gradient, for_jac):
    """Make one iteration with a gradient, for the interpreted loop; `for_jac` gets the next point.

    `state` and `options` are arrays of one record; f stands in the state.
    """
    copy(gradient, vectors.g[state[0].g])
    reason = iterate(method, vectors, state[0], options[0])
    copy(vectors.spare, for_jac)
    return reason
