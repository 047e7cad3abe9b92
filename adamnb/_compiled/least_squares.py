"""Levenberg-Marquardt: one step.

Wherever the model is evaluated, in machine code or in Python, `judge` is told its values and says whether
the point is better, `linearise` is given the Jacobian there, and `propose` makes the next trial point.
"""

from math import inf, sqrt
from typing import Any, NamedTuple

import numpy as np

from .cache import copied, inner, seldom
from .lanes import sum_of_products
from .misfit import LINEAR, rows_of, weigh
from .reasons import (
    BAD_DATA,
    BAD_FUN,
    BAD_JAC,
    BAD_START,
    BY_GRADIENT,
    BY_MAXFUN,
    BY_OBJECTIVE,
    BY_ROUNDING,
    BY_STEP,
    GOING,
    OUT_OF_RANGE,
    STUCK,
)
from .records import record
from .triangles import TINY, add, dot, triangularise
from .trust import drop, gather, independent, learn_radius, within_radius

FIRST_RADIUS = 100.0  # in units of the length of p (MINPACK)
BEFORE = 0.95  # part of the way to a bound that a first step across it makes
NEAR = 1e-3  # of a bound, relative to the length of p
SMALLEST = 1e-16  # radius, relative to the length of p, that leaves p as it is
LOST = 64 * float(np.finfo(float).eps)  # part of the cost that is rounded
ROUNDED = 16 * float(np.finfo(float).eps)  # error of a value, relative

FIT = record(
    whole=(
        "nfev", "njev",
        "best",  # row of the residuals at p; the other one is for the trial point
        "begun",  # whether the first point has been evaluated
        "restricted", "bounded",  # whether the radius, or a bound, shortened the step
        "open",  # whether no parameter has a bound
        "full",  # whether no column of the Jacobian depends on others
        "fixed",  # how many parameters are
        "plain",  # whether rows of the Jacobian are in the right units as they are
        "direct",  # whether the last accepted step was not restricted
        "points",  # that count
    ),
    real=(
        "cost", "trial_cost",
        "predicted", "actual", "slope",  # reduction that the step promised, and made; slope along it
        "radius", "length", "damping", "last_damping",
        "size",  # length of p
        "gain",  # reduction that Gauss-Newton promises from here
        "rounding",  # of the cost
        "freedom",  # points that count without parameters, at least 1
    ),
)  # fmt: skip

CHOICES = record(
    whole=("loss", "max_nfev", "absolute"),
    real=(
        "f_scale", "ftol", "xtol", "gtol",
        "rank",  # part of a column of the Jacobian below which what is left of it is its error
    ),
)  # fmt: skip


class Curve(NamedTuple):
    """Data of one curve; of several, with an axis more, which has length 1 for what they share."""

    y: Any
    weights: Any  # 1/sigma; 0 for a point that does not count
    root: Any  # lower triangle of a covariance, empty where there is none
    low: Any
    high: Any


class Work(NamedTuple):
    """Room for one curve of m points and n parameters; M and N are m and 2 n, filled up to whole vectors."""

    p: Any  # (n,) best point
    trial: Any  # (3 n,) the trial point, and the bounds: what a model gets
    step: Any
    newton: Any  # free part of a step
    units: Any  # scale of the free parameters
    direction: Any
    scale: Any  # squares of D
    squares: Any  # of the norms of the Jacobian's columns
    fixed: Any  # 1.0 where a parameter does not move, or moves to its bound
    beyond: Any  # where the last accepted step would have crossed a bound: -1.0 the lower one, 1.0 the upper
    coming: Any  # the same of the next step
    values: Any  # (m,) of the model at the trial point
    factors: Any
    residuals: Any  # (2, M)
    jac: Any  # (n + 1, M) by columns, the residuals last
    stacked: Any  # (n + 1, N)
    upper: Any  # (n + 1, n) R by columns, then q
    reduced: Any  # the same of the free parameters, where others are fixed
    damped: Any  # the same with a damping


@seldom
def start(curve, w, s, o):
    """Forget the curve before; `w.trial` is the first point. Return why there is no fit, or `GOING`."""
    s.nfev = s.njev = s.best = s.begun = s.restricted = s.bounded = s.direct = 0
    s.cost = s.predicted = s.actual = s.slope = inf
    s.radius = s.length = s.damping = s.last_damping = s.size = s.gain = 0.0
    s.open, s.fixed = 1, w.p.size
    for j in range(w.p.size):
        if not abs(w.trial[j]) < inf:
            return BAD_START
        w.scale[j] = w.coming[j] = 0.0
        w.p[j] = w.trial[j]
        w.trial[w.p.size + j], w.trial[2 * w.p.size + j] = curve.low[j], curve.high[j]
        if curve.low[j] > -inf or curve.high[j] < inf:
            s.open = 0
    scaled = w.residuals[1]
    s.points, ones = weigh(curve.y, curve.weights, scaled)
    s.plain = o.loss == LINEAR and curve.root.size == 0 and ones == curve.y.size
    s.freedom = max(s.points - w.p.size, 1.0)
    square = sum_of_products(scaled, scaled)
    s.rounding = 0.5 * ROUNDED * ROUNDED * square
    if s.points > 0 and TINY <= square < inf:
        return GOING
    largest = 0.0
    for i in range(curve.y.size):
        if not abs(scaled[i]) < inf:
            return BAD_DATA
        largest = max(largest, abs(scaled[i]))
    return BAD_DATA if s.points == 0 else GOING if largest == 0.0 else OUT_OF_RANGE


@inner
def judge(s):
    """Return whether the trial point, whose cost is known, is better, and the Jacobian there wanted."""
    s.nfev += 1
    if s.begun == 0:
        return s.trial_cost < inf
    return learn_radius(s, s.cost - s.trial_cost)


@copied
def linearise(curve, w, s, o):
    """Go to the trial point, with the Jacobian there in `w.jac`; return False if that is not finite."""
    n, jac = w.p.size, w.jac
    if s.plain == 0:
        rows_of(curve, jac, w.factors, n)
    if not triangularise(jac, n, w.damped):
        for j in range(n):  # what is beyond the points is zero again
            for i in range(jac.shape[1]):
                jac[j, i] = 0.0
        return False
    s.actual, s.direct = s.cost - s.trial_cost, s.restricted == 0
    s.cost, s.best = s.trial_cost, 1 - s.best
    size, s.full = 0.0, 1
    for j in range(n):
        w.p[j], w.upper[n, j], w.beyond[j] = w.trial[j], w.damped[n, j], w.coming[j]
        square = 0.0
        for i in range(j + 1):
            element = w.upper[j, i] = w.damped[j, i]
            square += element * element
        w.squares[j] = square
        w.units[j] = w.scale[j] = max(w.scale[j], square)
        if not independent(w.upper[j, j], square, o.rank):
            s.full = 0
        size += w.scale[j] * w.p[j] * w.p[j]
    s.size = sqrt(size)
    if s.begun == 0:
        s.begun = 1
        s.radius = FIRST_RADIUS * (s.size if s.size > 0.0 else 1.0)
    return True


@inner
def hold(curve, w, s):
    """Hold the parameters at a bound that the cost falls beyond; no other has a step yet."""
    if s.open != 0 and s.fixed == 0:
        return
    s.fixed = 0
    for j in range(w.p.size):
        w.fixed[j] = w.step[j] = w.coming[j] = 0.0
        w.units[j] = w.scale[j]
        at_low, at_high = w.p[j] <= curve.low[j], w.p[j] >= curve.high[j]
        if at_low or at_high:
            slope = dot(w.upper[j], w.upper[w.p.size], 0, j + 1)
            if (at_low and slope >= 0.0) or (at_high and slope <= 0.0):
                w.fixed[j] = 1.0
                s.fixed += 1


@copied
def to_bounds(curve, w, s):
    """Take over the free part of the step; fix parameters that it takes across a bound there.

    The first step across one ends shortly before it: the bound may be where a parameter changes its sign,
    and the cost stationary there and no minimum. Another one in the same direction ends at the bound, if it
    is near and the cost falls towards it.
    """
    free, crossed = 0, False
    for j in range(w.p.size):
        if w.fixed[j] != 0.0:
            continue
        w.step[j] = w.newton[free]
        free += 1
        new = w.p[j] + w.step[j]
        if new < curve.low[j] or new > curve.high[j]:
            side = -1.0 if new < curve.low[j] else 1.0
            way = (curve.low[j] if side < 0.0 else curve.high[j]) - w.p[j]
            falls = side * dot(w.upper[j], w.upper[w.p.size], 0, j + 1) < 0.0
            ends = falls and w.beyond[j] == side and abs(way) * sqrt(w.scale[j]) <= NEAR * s.size
            w.step[j] = way if ends else BEFORE * way
            w.coming[j], w.fixed[j], crossed = side, 1.0, True
            s.fixed += 1
    return crossed


@copied
def promised(curve, w, s, step, whole):
    """Write the trial point, and what the model promises of it; return whether it is another point."""
    n, length, slope, bend, moved = w.p.size, 0.0, 0.0, 0.0, False
    for j in range(n):
        w.trial[j] = min(max(w.p[j] + step[j], curve.low[j]), curve.high[j])
        moved = moved or w.trial[j] != w.p[j]
    s.length, s.slope, s.predicted = whole, -2.0 * s.gain, s.gain
    if s.restricted != 0 or s.bounded != 0:  # else R s = -q
        for j in range(n):
            length += w.scale[j] * step[j] * step[j]
        s.length = sqrt(length)
        for i in range(n):
            w.direction[i] = 0.0
        for j in range(n):
            add(w.direction, step[j], w.upper[j], 0, j + 1)
        for i in range(n):
            slope += w.direction[i] * w.upper[n, i]
            bend += w.direction[i] * w.direction[i]
        s.slope, s.predicted = slope, -(slope + 0.5 * bend)
    return moved and s.length < inf


@copied
def at_rest(s, o, whole, accepted):
    """Return the test that is met here, where Gauss-Newton promises `s.gain` by a step of length `whole`."""
    if s.gain * s.freedom <= o.gtol * o.gtol * s.cost:
        return BY_GRADIENT
    if s.gain <= s.rounding:
        return BY_ROUNDING
    small = s.gain <= o.ftol * s.cost
    near = whole <= o.xtol * s.size
    if accepted and s.actual < inf:
        if small and s.actual <= o.ftol * s.cost:
            return BY_OBJECTIVE
        if near and s.direct == 1 and s.length <= o.xtol * s.size:
            return BY_STEP
    if not accepted:  # what is promised is lost in rounding
        if s.gain <= LOST * s.cost:
            return BY_ROUNDING
        if small:
            return BY_OBJECTIVE
        if near:
            return BY_STEP
    return GOING


@copied
def propose(curve, w, s, o, accepted):
    """Write the next trial point; return why there is none, or `GOING`."""
    if s.begun == 0:
        return BAD_JAC if s.trial_cost < inf else BAD_FUN
    tested, s.bounded = False, 0
    hold(curve, w, s)
    while s.radius > SMALLEST * s.size:
        free, a = gather(w, s)
        if drop(w, s, a, o.rank):
            continue
        whole = within_radius(w, s, a, free)
        if not tested:
            s.gain = 0.5 * dot(a[free], a[free], 0, free)
            tested, reason = True, at_rest(s, o, whole, accepted)
            if reason != GOING:
                return reason
        step = w.newton
        if s.open == 0 or s.fixed != 0:
            step = w.step
            if to_bounds(curve, w, s):
                s.bounded = 1
                continue
        if not promised(curve, w, s, step, whole):
            return STUCK
        if s.predicted > 0.0:
            if s.njev == 1:
                s.radius = min(s.radius, s.length)
            return BY_MAXFUN if s.nfev >= o.max_nfev else GOING
        s.radius, s.bounded = 0.25 * s.radius, 0
        hold(curve, w, s)
    return STUCK


@inner
def advance(curve, w, s, o, accepted):
    """Linearise if the point is accepted, and propose the next one; return why there is none, or `GOING`."""
    if accepted:
        s.njev += 1
        accepted = linearise(curve, w, s, o)
        if not accepted:
            s.radius = 0.1 * min(s.radius, s.length)
    return propose(curve, w, s, o, accepted)
