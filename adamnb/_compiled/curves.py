"""The loop over curves and over steps of Levenberg-Marquardt, and what it finds: parameters, covariance."""

from math import inf, sqrt
from typing import Any, NamedTuple

from .cache import alone, copied, inner, seldom
from .least_squares import Curve, advance, judge, start
from .misfit import cost_of
from .reasons import BY_ERROR, GOING, STUCK, WRONG_SHAPE
from .triangles import dot, invert
from .trust import gather
from .views import lend

SINGULAR = 0.1  # condition of the scaled Jacobian, times the rank, of undetermined parameters
EXACT = 1e-12  # rank above which the Jacobian is one of differences, and ...
UNSURE = 1e-8  # ... the relative reduction that may be their error


class Found(NamedTuple):
    """What is found, with an axis of curves in front."""

    p: Any
    covariance: Any
    cost: Any
    nfev: Any
    njev: Any
    reason: Any
    active: Any  # (n,) -1 at the lower bound, 1 at the upper one


@copied
def covariance(curve, w, s, o, matrix):
    """Write the inverse of J' J, times the variance of a residual unless that is known; infinite if none.

    A parameter whose bounds are equal is none: it varies with nothing.
    """
    n, condition, inverse, s.fixed = w.p.size, 0.0, w.damped, 0
    for j in range(n):
        w.fixed[j], w.step[j] = 1.0 if curve.low[j] == curve.high[j] else 0.0, 0.0
        s.fixed += curve.low[j] == curve.high[j]
    free, a = gather(w, s)
    invert(a, inverse, free)
    for j in range(free):
        square = dot(a[j], a[j], 0, j + 1)
        for i in range(j, free):
            condition += square * inverse[i, j] * inverse[i, j]
    factor = 1.0
    if o.absolute == 0:
        factor = 2.0 * s.cost / (s.points - free) if s.points > free else inf
    known = sqrt(condition) * o.rank < SINGULAR and factor < inf
    row = 0
    for j in range(n):
        column = 0
        for k in range(j + 1):
            total = 0.0
            if w.fixed[j] == 0.0 and w.fixed[k] == 0.0:
                for i in range(row, free):
                    total += inverse[i, row] * inverse[i, column]
                total = total * factor if known else inf
            matrix[j, k] = matrix[k, j] = total
            column += w.fixed[k] == 0.0
        row += w.fixed[j] == 0.0


@inner
def take(curve, w, s, o, found, b, reason):
    """Write what a fit has found."""
    for j in range(w.p.size):
        p = found.p[b, j] = w.p[j]
        found.active[b, j] = (p >= curve.high[j]) - (p <= curve.low[j])
    found.cost[b], found.nfev[b], found.njev[b] = s.cost, s.nfev, s.njev
    unsure = reason == STUCK and o.rank > EXACT and s.gain <= UNSURE * s.cost
    found.reason[b] = BY_ERROR if unsure else reason
    if s.begun == 1:
        covariance(curve, w, s, o, found.covariance[b])


# What a call of `fit_curves` finds, in ``span[3]``, and leaves there.
FRESH, TRIAL, VALUED, SLOPES, AGAIN = range(5)
ELSEWHERE = -2  # a model's word that Python evaluates it


@alone
def elsewhere(x, p, values, jac):
    """Stand for a model that Python evaluates."""
    return ELSEWHERE


@seldom
def look_again(w, s):
    """Prepare to linearise once more at the best point, where `w.values` and `w.jac` are."""
    for j in range(w.p.size):
        w.trial[j], w.coming[j] = w.p[j], w.beyond[j]
    s.radius = max(s.radius, s.size)


@inner
def place(array, b):
    """Return the row of curve b, or of all."""
    return b if array.shape[0] > 1 else 0


@alone(nogil=True, _nrt=True)
def fit_curves(model, x, curves, work, state, choices, found, span):
    """Fit curve after curve, from ``span[0]`` up to ``span[1]``, until ``span[2]`` evaluations are made.

    A fit that is under way, as ``span[3]`` says, is gone on with the next time. Of `found`, `p` holds the
    starts. ``model(x, p, values, jac)`` returns how many values it has. Where it is `elsewhere`, Python
    writes `work.values` (`VALUED`), and is asked for `work.jac` where the point is better (`SLOPES`).
    """
    x, curves, w = lend(x), lend(curves), lend(work)
    found, span, s, o = lend(found), lend(span), lend(state)[0], lend(choices)[0]
    n = w.p.size
    while span[0] < span[1]:
        b = span[0]
        curve = Curve(
            curves.y[b],
            curves.weights[place(curves.weights, b)],
            curves.root,
            curves.low[place(curves.low, b)],
            curves.high[place(curves.high, b)],
        )
        if span[3] == FRESH:
            for j in range(n):
                w.trial[j] = found.p[b, j]
            found.reason[b] = start(curve, w, s, o)
            span[3] = TRIAL
        reason = found.reason[b]
        while reason == GOING:
            accepted = True
            if span[3] == TRIAL:
                if span[2] <= 0:
                    return
                span[2] -= 1
                count = model(x, w.trial, w.values, w.jac)
                if count == ELSEWHERE:
                    return
                if count != curve.y.size:
                    reason = WRONG_SHAPE
                    break
            if span[3] != SLOPES:
                other = w.residuals[1 - s.best]
                s.trial_cost = cost_of(curve, w.values, other, w.jac[n], w.factors, o)
                if span[3] == AGAIN:
                    look_again(w, s)
                else:
                    accepted = judge(s)
                    if accepted and span[3] == VALUED:
                        span[3] = SLOPES
                        return
            span[3] = TRIAL
            reason = advance(curve, w, s, o, accepted)
        if found.reason[b] == GOING:
            take(curve, w, s, o, found, b, reason)
        span[0], span[3] = b + 1, FRESH
