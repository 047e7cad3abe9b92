"""An automatic learning rate that knows of curvature: steps by secant pairs, within a radius.

One evaluation of f and gradient an iteration, no line search. A step is accepted where f falls, and its
length follows from how much of the promised fall was kept. Where pairs say nothing, for noise or kinks, the
method itself goes on with the rate of `rate`, for a while or for good.
"""

from math import inf, isfinite, sqrt

import numpy as np

from .cache import copied, inner, seldom
from .elements import within
from .kernels import largest_move
from .loops import chunk, chunk_count, forget_all
from .pairs import (
    FLOOR,
    SCALES,
    SLIGHT,
    apply_pairs,
    choose,
    damp,
    difference,
    divide,
    free_count,
    dot_all,
    gradient_into,
    products_with,
    update_metric,
)
from .reasons import GOING
from .stops import RESTED, SINGLE, is_single

UNSEEN, LOOKING, SEEN = 0, 1, 2  # `looked`: whether f at the best point has been evaluated again
PATIENCE = 10  # failed steps after which pairs say nothing
ROUGH = 0.5  # part of f that its slopes do not explain, from which pairs will never say anything
PHASE = 50  # steps of the method then; twice as many the next time
NEVER = 2**62


@inner
def radius_of(v, s):
    return s.learning_rate * sqrt(np.float64(v.spare.size))


@inner
def begin_pairs(v, s):
    """Take up steps by pairs, of which there are none yet."""
    s.curved, s.pairs, s.newest, s.rounding, s.failures, s.mismatch = 1, 0, -1, 0, 0, 0.0
    for i in range(v.metric.size):
        v.metric[i] = 1


@inner
def first_pairs(v, s):
    s.phase, s.length = PHASE, radius_of(v, s)
    begin_pairs(v, s)


@seldom
def return_to_pairs(v, s, o):
    """Take up steps by pairs again, from the best point."""
    rate = 10.0 * s.learning_rate
    if o.rate_per_gradient > 0.0:
        rate *= s.gradient_norm_best
    least = 1e-8 / sqrt(np.float64(v.spare.size))
    s.learning_rate = o.first_rate if rate > o.first_rate else least if rate < least else rate
    take_best(s)
    begin_pairs(v, s)


@seldom
def leave_pairs(method, v, s, o, steps):
    """Go on with the method itself from the best point, for so many steps."""
    n = sqrt(np.float64(v.spare.size))
    s.curved, s.nit_pairs = 0, s.nit + steps if steps < NEVER else NEVER
    s.failures = s.t = s.streak = s.rounding = 0
    rate = s.length / n
    rate = o.first_rate if rate > o.first_rate else 1e-8 if rate < 1e-8 else rate
    if o.rate_per_gradient > 0.0 and s.gradient_norm_best > 0.0:
        rate /= s.gradient_norm_best
    s.learning_rate = rate
    forget_all(method, v)
    for i in range(v.factors.size):
        v.factors[i] = 1


@inner
def take_best(s):
    """Make the best point the current one."""
    s.x, s.g, s.fun, s.gradient_norm = s.x_best, s.g_best, s.fun_best, s.gradient_norm_best


@inner
def rounding_of_f(s, o):
    """Return by how much f may differ from what it is."""
    rounding = o.rounding
    if is_single(s.fun_best) and is_single(s.fun):
        rounding = SINGLE
    return 10.0 * rounding * abs(s.fun_best) + s.fun_error


@inner
def remember(v, s, o):
    """Remember the last step and the change of the gradient as a pair; return their product."""
    m, n, table = v.table.shape[1], v.spare.size, v.table
    k = s.newest + 1 if s.newest + 1 < m else 0
    step, change = v.pairs[np.uintp(2 * k)], v.pairs[np.uintp(2 * k + 1)]
    x, best, g, g_best = v.x[np.uintp(s.x)], v.x[np.uintp(s.x_best)], v.g[np.uintp(s.g)], v.g[np.uintp(s.g_best)]
    ss = sy = yy = sds = 0.0
    for b in range(chunk_count(n)):
        lo, hi = chunk(b, n)
        p, q, r, t = difference(lo, hi, x, best, g, g_best, v.scale, v.metric, step, change)
        ss, sy, yy, sds = ss + p, sy + q, yy + r, sds + t
    product, expected = sy, -s.part * s.slope
    if s.modelled and sy < o.damping * expected:
        share = (1.0 - o.damping) * expected / (expected - sy)
        real = v.spare.dtype.type
        damp(0, n, step, change, g_best, v.scale, real(share), real(s.part))
        sy, yy = dot_all(step, change, None), dot_all(change, change, None)
    if not sy > SLIGHT * sqrt(ss) * sqrt(yy):
        if s.pairs == m:  # the oldest has been overwritten
            for i in range(n):
                step[i] = 0
            table[k, k] = 0.0
        return product
    anew = sy / sds if s.pairs == 0 else 1.0
    length, ydy, total = sqrt(ss), 0.0, 0.0
    for b in range(chunk_count(n)):
        lo, hi = chunk(b, n)
        p, q = update_metric(lo, hi, step, change, v.metric, anew, sy, anew * sds, v.spare.dtype.type(length))
        ydy, total = ydy + p, total + q
    s.newest = k
    s.pairs += 1 if s.pairs < m else 0
    s.metric_mean = total / n
    table[2 * m + SCALES, k] = sy / ydy
    products_with(v, k, s.pairs)
    return product


@inner
def judge_by_pairs(method, v, s, o, reason):
    """Learn from the current point, go back to the best if it is not better, and set the radius."""
    finite = reason == GOING
    if s.looked == LOOKING:
        s.looked = SEEN
        apart = abs(s.fun - s.fun_best) > 64.0 * o.rounding * abs(s.fun_best)
        take_best(s)
        if apart or not finite:
            leave_pairs(method, v, s, o, NEVER)
        return
    first = s.fun_best == s.fun_first  # no step has been accepted
    promised, rounded = -(1.0 - 0.5 * s.part) * s.slope, rounding_of_f(s, o)
    fall = s.fun_best - s.fun
    flat = finite and promised <= rounded and -fall <= rounded and s.gradient_norm < s.gradient_norm_best
    ratio = 1.0 if flat else fall / promised if finite else -1.0
    capped = s.part < 1.0 or s.modelled == 0
    product = remember(v, s, o) if finite else 0.0
    if ratio < o.ratio_low:
        cut = 0.1
        if finite:
            beyond = -fall - s.slope
            cut = -0.5 * s.slope / beyond if beyond > 0.0 else 0.5
            cut = 0.1 if cut < 0.1 else 0.5 if cut > 0.5 else cut
        s.learning_rate = cut * s.length_tried / sqrt(np.float64(v.spare.size))
    elif capped and ratio > o.ratio_high:
        rate = o.radius_growth * s.length_tried / sqrt(np.float64(v.spare.size))
        if rate > s.learning_rate:
            s.learning_rate = rate if rate < 1e30 else 1e30
    better = finite and (fall > 0.0 or flat)
    if first and s.failures < 4 and ratio < o.sufficient_decrease:
        better = False
    s.rounding = s.rounding + 1 if promised <= rounded and not (better and not flat) else 0
    if better:
        s.fun_best, s.gradient_norm_best, s.x_best, s.g_best = s.fun, s.gradient_norm, s.x, s.g
        s.length = s.length_tried
    if better and ratio >= 1e-4:
        s.failures, s.mismatch = 0, 0.0
    else:
        s.failures += 1
        if not better and finite:
            mean = s.slope + 0.5 * product  # what the slopes at both ends say
            s.mismatch += abs(-fall - mean) / max(abs(fall) + abs(mean), 1e-300)
        if s.looked == UNSEEN:
            s.looked = LOOKING if s.gradient_error == 0.0 else SEEN
    take_best(s)
    if s.failures >= PATIENCE and s.rounding < RESTED:
        if s.mismatch > ROUGH * s.failures:
            leave_pairs(method, v, s, o, NEVER)
        else:
            leave_pairs(method, v, s, o, s.phase)
            s.phase *= 2


@inner
def step_by_pairs(method, v, s, o):
    """Write the next point into a free row, and into `spare`; return whether there is one."""
    x, g = v.x[np.uintp(s.x_best)], v.g[np.uintp(s.g_best)]
    row = (s.x_best + 1) % 3
    new, h, n, m = v.x[np.uintp(row)], v.g[np.uintp(1 - s.g_best)], v.spare.size, v.table.shape[1]
    s.x_before, s.x, s.g = s.x_best, row, 1 - s.g_best
    if s.looked == LOOKING:
        for i in range(n):
            new[i] = v.spare[i] = x[i]
        return True
    if gradient_into(h, x, g, v.scale, v.lower, v.upper, v.free):
        for k in range(s.pairs):
            products_with(v, k, k + 1)
    floor, modelled = FLOOR * s.metric_mean, False
    if s.pairs > 0:
        most = free_count(v.free, n)
        r, left = choose(v, s.pairs, s.newest, most, o.drift, o.pivot)
        if r > 0:
            apply_pairs(v, h, r, left, floor)
            modelled = True
    else:
        floor = 0.0
    part = go(v, s, x, g, new, h, modelled, floor)
    if not s.slope < 0.0 and modelled:
        gradient_into(h, x, g, v.scale, v.lower, v.upper, v.free)
        modelled = False
        part = go(v, s, x, g, new, h, modelled, floor)
    s.part, s.modelled = part, 1 if modelled else 0
    if o.xtol > 0.0:
        s.largest_step = largest_move(x, new, v.scale)
    size = 0.0
    for i in range(n):
        z = np.float64(x[i] / v.scale[i])
        size += z * z
    return s.slope < 0.0 and s.length_tried > 4.0 * o.rounding * sqrt(size)


@inner
def go(v, s, x, g, new, h, modelled, floor):
    """Step along -h, no further than the radius and within the bounds; return the part of h that is gone."""
    if not modelled:
        divide(h, v.metric, 1.0, floor)
    radius, length, part = radius_of(v, s), sqrt(dot_all(h, h, None)), 1.0
    if length > radius or not modelled:
        part = radius / length if length > 0.0 else 0.0
    real = v.spare.dtype.type
    s.slope, square = move(x, g, h, real(part), new, v.spare, v.scale, v.lower, v.upper)
    s.length_tried = sqrt(square)
    return part if modelled else 1.0


@inner
def move(x, g, h, part, new, twin, scale, lower, upper):
    """Step along -h within the bounds; return the slope along the step and the square of its length."""
    slope = square = 0.0
    for i in range(x.size):
        p = x[i] - part * h[i] * scale[i]
        if lower is not None:
            p = within(p, lower[i], upper[i])
        new[i] = twin[i] = p
        d, q = np.float64((p - x[i]) / scale[i]), np.float64(g[i] * scale[i])
        slope, square = slope + d * q, square + d * d
    return slope, square
