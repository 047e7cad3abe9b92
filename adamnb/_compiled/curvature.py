"""An automatic learning rate that knows of curvature: steps by secant pairs, within a radius.

One evaluation of f and gradient an iteration, no line search. A step is accepted where f falls, and its
length follows from how much of the promised fall was kept. Where pairs say nothing, for noise or kinks, the
method itself goes on with the rate of `rate`, for a while or for good.
"""

from math import inf, sqrt

import numpy as np

from .cache import alone, copied, inner, scalar, seldom
from .elements import within
from .kernels import largest_move
from .loops import forget_all
from .pairs import FLOOR, direction, go, remember
from .ranks import MOST, SUM, joined, variables
from .reasons import GOING
from .stops import LITTLE, RESTED, ROUNDINGS, SINGLE, at_rest, is_single

UNSEEN, LOOKING, SEEN = 0, 1, 2  # `looked`: whether f at the best point has been evaluated again
FELT = 2.0  # gradient, in errors of its differences, above which their noise is small
ALIKE = 0.9  # cosine of two gradients at one point above which their noise is small
HIDDEN = 1e-9  # part of the fall of f that its noise may hide, as if it were rounding
ROUGHNESS = 1e4  # roundings of the first f from which noise may be more than that
SIGMAS = 4.0  # of the noise of f that a value may be off by
PATIENCE = 10  # failed steps after which pairs say nothing
SUSPECT = 0.3  # part of f that its slopes do not explain, from which a step may fail for noise
ROUGH = 0.5  # such a part, in the mean of failed steps, from which pairs will never say anything
PHASE = 50  # steps of the method then; twice as many the next time
NEVER = 2**62  # a number of iterations or evaluations that is no limit
STAY, PAUSE, LEAVE, NOISY = range(4)  # whether to go on by pairs
CUT_LEAST, CUT_MOST = 0.1, 0.5  # factors of the learning rate after a return to the best point
FIRST_FAILURES = 4  # returns after which a first step need not decrease f sufficiently
SLIGHTLY = 1e-4  # part of the promised fall below which a step is none that succeeded
RATE_LEAST = 1e-8  # of a method that takes over, or hands over
RATE_MOST = 1e30  # where f falls for ever, the rate must not overflow, for infinity times 0 is NaN


@scalar
def cut_of(rise, fall):
    """Return the factor of a step after which f is higher by `rise`, where its slope promised a `fall`.

    It leads to the minimum of the parabola through both f and the slope, as in a backtracking line search
    (Dennis & Schnabel 1983, A6.3.1).
    """
    beyond = rise + fall
    cut = 0.5 * fall / beyond if beyond > 0.0 else CUT_MOST
    return CUT_LEAST if cut < CUT_LEAST else CUT_MOST if cut > CUT_MOST else cut


@scalar
def unexplained(fall, mean):
    """Return the part of the fall of f that the mean of the slopes at both ends does not explain."""
    both = abs(fall) + abs(mean)
    return abs(fall + mean) / both if both > 0.0 else 0.0


@scalar
def begin_pairs(metric, s):
    """Take up steps by pairs, of which there are none yet."""
    s.curved, s.newest, s.rounding, s.failures, s.mismatch = 1, -1, 0, 0, 0.0
    forget_pairs(metric, s)


@scalar
def forget_pairs(metric, s):
    """Forget all pairs, and what the diagonal has learnt of them."""
    s.pairs = 0
    for i in range(metric.size):
        metric[i] = 1


@copied
def first_pairs(v, s):
    """Get ready for the first step."""
    s.phase, s.fun_left = PHASE, s.fun_first
    s.length = s.learning_rate * sqrt(np.float64(variables(v.ranks, v.spare.size)))
    begin_pairs(v.metric, s)


@seldom
def return_to_pairs(metric, s, o):
    """Take up steps by pairs again, from the best point."""
    rate = 10.0 * s.learning_rate
    if o.rate_per_gradient > 0.0:
        rate *= s.gradient_norm_best
    s.learning_rate = within(rate, RATE_LEAST, o.first_rate)
    take_best(s)
    begin_pairs(metric, s)


@seldom
def leave_pairs(method, v, s, o, how):
    """Go on with the method itself from the best point, with an empty memory."""
    leave(s, o, how, sqrt(np.float64(variables(v.ranks, v.spare.size))))
    forget_all(method, v)
    for i in range(v.factors.size):
        v.factors[i] = 1


@inner
def leave(s, o, how, root):
    """Do without pairs for a while (PAUSE), or for good; `root` is that of the number of variables."""
    fallen = s.fun_left - s.fun_best > o.ftol * abs(s.fun_best)
    s.fruitless = 0 if fallen or how != PAUSE else s.fruitless + 1
    s.curved, s.fun_left, s.nit_pairs = 0, s.fun_best, NEVER
    if how == PAUSE:
        s.nit_pairs, s.phase = s.nit + s.phase, 2 * s.phase
    s.failures = s.t = s.streak = s.rounding = 0
    rate = o.first_rate if how == NOISY else s.length / root
    rate = within(rate, RATE_LEAST, o.first_rate)
    if o.rate_per_gradient > 0.0 and s.gradient_norm_best > 0.0:
        rate /= s.gradient_norm_best
    s.learning_rate = rate


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
def learn(x, g, scale, p, s, o):
    """Remember the last step and the change of the gradient as a pair; return their product."""
    m, expected = p.table.shape[1], -s.part * s.slope
    k, count = s.newest + 1 if s.newest + 1 < m else 0, s.pairs + 1 if s.pairs < m else m
    ends = x[np.uintp(s.x)], x[np.uintp(s.x_best)], g[np.uintp(s.g)], g[np.uintp(s.g_best)]
    least = o.damping * expected if s.modelled else -inf
    product, mean, told = remember(p, ends, scale, k, count, s.part, expected, least)
    if told:
        s.newest, s.pairs, s.metric_mean = k, count, mean
    return product


@seldom
def is_other(g, g_best, scale, ranks, s, o):
    """Return whether f or its gradient is not what it was at the same point, by more than rounding."""
    most = 0.0
    if s.gradient_error == 0.0:  # differences may have found other steps
        for i in range(g.size):
            most = max(most, abs(np.float64((g[i] - g_best[i]) * scale[i])))
        most = joined(ranks, most, MOST)
    return differ(s.fun - s.fun_best, most, s, o)


@scalar
def differ(of_f, of_g, s, o):
    """Return whether f and an element of its gradient changed at the best point by more than rounding."""
    f_differs = abs(of_f) > ROUNDINGS * o.rounding * abs(s.fun_best)
    return f_differs or of_g > 1e4 * o.rounding * s.gradient_norm_best


@scalar
def is_slight(of_f, of_g, s, o):
    """Return whether noise of f, and of the largest element of its gradient, hides nothing of a minimum.

    Sums in another order are rounded otherwise; so is what several threads or a GPU compute.
    """
    return of_f <= HIDDEN * (s.fun_first - s.fun_best) and of_g <= o.gtol * s.gradient_norm_first


@seldom
def look(g, g_best, scale, ranks, s, o, finite):
    """Take in f and gradient at the best point, which are not what they were; return whether to go on.

    As long as the noise is small beside the gradient, pairs tell of the Hessian; f is then the mean of what
    it was, and steps that promise less than its noise are judged by their gradients.
    """
    if not finite:
        return NOISY
    both, first, second, most = 0.0, 0.0, 0.0, 0.0
    count = np.float64(s.looks_here if s.looks_here > 0 else 1)
    if s.gradient_error > 0.0:  # f alone was looked at: what noise makes of differences is known
        alike = s.gradient_norm_best > FELT * s.gradient_error
    else:
        for i in range(g.size):
            a, b = np.float64(g[i] * scale[i]), np.float64(g_best[i] * scale[i])
            both, first, second = both + a * b, first + a * a, second + b * b
            most = max(most, abs(a - b))
            g_best[i] += (g[i] - g_best[i]) / g_best.dtype.type(count + 1.0)
        both, first = joined(ranks, both, SUM), joined(ranks, first, SUM)
        second, most = joined(ranks, second, SUM), joined(ranks, most, MOST)
        alike = both > ALIKE * sqrt(first) * sqrt(second)
    change = s.fun - s.fun_best
    s.looks, s.looks_here, s.looked = s.looks + 1, np.int64(count) + 1, UNSEEN
    s.noise2 += change * change * count / (count + 1.0)
    s.fun_best += change / (count + 1.0)
    s.fun_error = SIGMAS * sqrt(s.noise2 / s.looks)
    return STAY if alike or is_slight(s.fun_error, most, s, o) else NOISY


@seldom
def looked_back(g, scale, ranks, s, o, finite):
    """Take in what f is when it is evaluated again at the best point; return whether to go on by pairs."""
    s.looked = SEEN
    how = STAY
    now, best = g[np.uintp(s.g)], g[np.uintp(s.g_best)]
    if not finite or is_other(now, best, scale, ranks, s, o):
        how = look(now, best, scale, ranks, s, o, finite)
    take_best(s)
    return how


@alone
def judge(x, g, frame, pairs, s, o, finite):
    """Learn from the current point, go back to the best if it is not better, and set the radius.

    Returns whether to go on by pairs: STAY, or PAUSE, or LEAVE where f is rough, or NOISY.
    """
    ranks = pairs.sums.ranks
    if s.looked == LOOKING:
        return looked_back(g, frame.scale, ranks, s, o, finite)
    noisy = s.looks > 0 and not is_slight(s.fun_error, 0.0, s, o)
    if noisy and (s.rounding >= RESTED or at_rest(s, o) != GOING):
        return NOISY
    product = learn(x, g, frame.scale, pairs, s, o) if finite else 0.0
    root = sqrt(np.float64(variables(ranks, x.shape[1])))
    how, misled = verdict(s, o, root, product, finite, noisy)
    if misled:
        forget_pairs(pairs.metric, s)
    return how


@inner
def verdict(s, o, root, product, finite, noisy):
    """Set the radius by what a step has led to, whose product with the change of the gradient is known.

    Returns what `judge` does, and whether pairs have misled: they make steps that f does not feel. `root` is
    that of the number of variables.
    """
    fall = s.fun_best - s.fun
    promised, rounded = -(1.0 - 0.5 * s.part) * s.slope, rounding_of_f(s, o)
    # Noise that is measured where f is rough may be overrated: never let f rise above the start for it.
    unfelt = finite and promised <= rounded and -fall <= rounded
    unfelt = unfelt and (s.fun <= s.fun_first or -fall <= rounded - s.fun_error)
    flat = unfelt and s.gradient_norm <= s.gradient_norm_best
    ratio = 1.0 if flat else fall / promised if finite else -1.0
    if ratio < o.ratio_low:
        cut = cut_of(-fall, -s.slope) if finite else CUT_LEAST
        s.learning_rate = cut * s.length_tried / root
    elif ratio > o.ratio_high and (s.part < 1.0 or s.modelled == 0):
        rate = o.radius_growth * s.length_tried / root
        if s.learning_rate < rate < RATE_MOST:
            s.learning_rate = rate
    better = finite and (fall > 0.0 or flat)
    first = s.fun_best == s.fun_first  # no step has been accepted
    if first and s.failures < FIRST_FAILURES and ratio < o.sufficient_decrease:
        better = False
    # Where f is flat and its gradient has not fallen, x is small beside what f feels, and steps grow.
    counts = not better or (flat and s.gradient_norm <= LITTLE * s.gradient_norm_first)
    s.rounding = s.rounding + 1 if promised <= rounded and counts else 0
    if better:
        s.fun_best, s.gradient_norm_best, s.x_best, s.g_best = s.fun, s.gradient_norm, s.x, s.g
        s.length, s.looks_here = s.length_tried, 1
    take_best(s)
    if better and ratio >= SLIGHTLY:
        s.failures, s.mismatch = 0, 0.0
        return STAY, False
    s.failures += 1
    doubt = unexplained(fall, s.slope + 0.5 * product) if finite else 1.0
    if not better and finite:
        s.mismatch += doubt
    far = s.gradient_norm > LITTLE * s.gradient_norm_first
    misled = unfelt and fall <= rounded and s.modelled == 1 and far  # by a step that led far off
    if misled:
        s.learning_rate = s.length / root
    rough = s.fun_error > ROUGHNESS * o.rounding * abs(s.fun_first)
    if doubt > SUSPECT and s.looked == UNSEEN and (s.gradient_error == 0.0 or rough):
        s.looked = LOOKING
    if s.failures < PATIENCE or s.rounding >= RESTED:
        return STAY, misled
    if noisy:
        return NOISY, misled
    return LEAVE if s.mismatch > ROUGH * s.failures else PAUSE, misled


@alone
def step(x, g, twin, frame, pairs, s, o):
    """Write the next point into a free row of x, and into `twin`; return whether there is one."""
    before, row, slope = s.x_best, (s.x_best + 1) % 3, g[np.uintp(s.g_best)]
    point, new, h = x[np.uintp(before)], x[np.uintp(row)], g[np.uintp(1 - s.g_best)]
    s.x_before, s.x, s.g = before, row, 1 - s.g_best
    if s.looked == LOOKING:
        for i in range(new.size):
            new[i] = twin[i] = point[i]
        return True
    floor = FLOOR * s.metric_mean if s.pairs > 0 else 0.0
    square = direction(pairs, frame, point, slope, h, floor, s, o)
    ranks = pairs.sums.ranks
    radius = s.learning_rate * sqrt(np.float64(variables(ranks, new.size)))
    part, s.slope, s.length_tried, size = go(
        pairs, frame, (point, slope), h, (new, twin), radius, floor, square
    )
    s.modelled = 1 if part > 0.0 else 0
    s.part = part if part > 0.0 else 1.0
    if o.xtol > 0.0:
        s.largest_step = joined(ranks, largest_move(point, new, frame.scale), MOST)
    return s.slope < 0.0 and s.length_tried > 4.0 * o.rounding * size
