"""The gradient of f by differences of both sides, in compiled code that calls no Python.

It is for Numba functions without exact derivatives. `_problem.differences`, where the formulas are explained,
does as much for Python functions, and takes forward differences where these are exact enough.
"""

from math import inf, isfinite, isnan, nan
from typing import Any, NamedTuple

import numba
import numpy as np

from .cache import SELDOM
from .elements import within
from .noise import POINTS, Spacing, noise_of
from .records import record

FELT = 10.0  # a change of f by so many times its noise is one
ENOUGH = 1e-3  # error by noise, as part of the element, for which no step is lengthened
LONGER = 30.0  # factor of a step that f does not feel
SHORTER = 1e-3  # factor of a first step along which f is not near a line
STRUCTURE = 1e-3  # relative change of f from which on the latter is judged
# Longest step, in units of the size of x, where f feels no shorter one, and else.
MOST, USUAL = 100.0, 0.1
LOOKS = 8  # at a variable in one gradient, at most
FALLEN = 1e-2  # what rounds in f has fallen to this part: its noise is measured anew
SPACINGS = 6  # that are tried to measure it
TINY = float(np.finfo(float).tiny)

calling = numba.njit(**SELDOM | {"_nrt": True})  # what calls the user's functions


# What is known of f: `noise` was `part` of what `rounds` in it when that was `measured_at`.
KNOWN = record(
    whole=("count", "sized"),  # gradients so far; whether the caller says how large variables are
    real=(
        "noise", "part", "rounds", "measured_at",
        "around",  # by how much f changed beside the last point
        "first",  # step in units of the size where no curvature is known
        "eps",  # of the dtype of x
    ),
)  # fmt: skip


class Learnt(NamedTuple):
    """What is known of each variable, vectors of float64, and of f."""

    low: Any
    high: Any
    size: Any
    curvature: Any  # NaN: unknown
    reach: Any  # longest step where noise hides the curvature
    slope: Any
    error: Any
    known: Any  # a record of KNOWN, shape (1,)


@calling
def differenced(functions, x, spare, g, s):
    """Write the gradient at x, where f is s.fun, into g; all is 0 where that is not finite."""
    d, f = functions.jac, s.fun
    k = d.known[0]
    if not isfinite(f):
        for i in range(x.size):
            g[i] = 0
        return
    for i in range(x.size):
        if k.count > 0 and k.sized == 0:
            d.size[i] = max(abs(x[i]), d.size[i] / 2)
    know_noise(d, x, f)
    if k.rounds < FALLEN * k.measured_at:
        noise = measured(functions, x, spare, s)
        know_noise(d, x, f)
        k.noise, k.part = max(noise, k.eps * abs(f), TINY), nan
        if k.count == 0:
            k.first *= (k.noise / k.rounds / k.eps) ** (1 / 3)
    around = 0.0
    for i in range(x.size):
        if d.low[i] < d.high[i]:
            around = max(around, along(functions, x, spare, i, s))
        g[i] = d.slope[i]
    k.around = around
    know_noise(d, x, f)
    k.count += 1


@calling
def know_noise(d, x, f):
    """Know what rounds in f: itself, parts that cancel in it, values beside it; and the noise of it."""
    k, parts = d.known[0], 0.0
    for i in range(x.size):
        parts += abs(x[i] * d.slope[i])
    k.rounds = max(abs(f) + (parts if isfinite(parts) else 0.0) + k.around, TINY)
    if isnan(k.part):  # just measured, and the gradient is known now
        k.part, k.measured_at = k.noise / k.rounds, k.rounds
    if k.measured_at < inf:
        noise = k.part * k.rounds
        if k.rounds < k.measured_at:
            noise = k.part * (k.measured_at * k.rounds) ** 0.5
        k.noise = max(noise, k.eps * abs(f), TINY)


@calling
def step_of(d, i, p):
    """Return the step along variable i at p."""
    k, size, curvature = d.known[0], d.size[i], d.curvature[i]
    least = 8 * k.eps * abs(p)  # a shorter one is rounded away
    if isnan(curvature):
        return max(k.first * size, least)
    narrow, usual = 2 * (k.noise / curvature) ** 0.5, USUAL * size
    wide = 0.8 * narrow * (k.rounds / k.noise) ** (1 / 6)
    wide = min(wide, max(usual, 10 * narrow), max(usual, d.reach[i]))
    return max(wide, least)


@calling
def offset(x, i, way, d):
    """Return how far x[i] is moved when a way is added, as x and the bounds have it."""
    place = np.float64(x.dtype.type(x[i] + way))
    return within(place, d.low[i], d.high[i]) - x[i]


@calling
def beside(functions, x, spare, i, way, s):
    """Return f at x with x[i] moved."""
    for j in range(x.size):
        spare[j] = x[j]
    spare[i] += way
    s.nfev += 1
    return np.float64(functions.fun(spare, *functions.args))


@calling
def along(functions, x, spare, i, s):
    """Learn the slope along variable i; return by how much f changed, 0 where it is not finite."""
    d, f = functions.jac, s.fun
    k, new = d.known[0], isnan(d.curvature[i])
    felt = (10 * FELT if new else FELT if d.reach[i] < inf else 0.0) * k.noise
    up, down, longest = d.high[i] - x[i], x[i] - d.low[i], MOST * d.size[i]
    h = step_of(d, i, np.float64(x[i]))
    a = b = at_a = at_b = change = 0.0
    for look in range(LOOKS):
        a, b = h, -h
        if h > up or h > down:
            side, room = (1.0, up) if up >= down else (-1.0, down)
            a, b = side * min(h, room / 2), side * min(2 * h, room)
        a, b = offset(x, i, a, d), offset(x, i, b, d)
        at_a = beside(functions, x, spare, i, a, s) if a != 0 else f
        at_b = beside(functions, x, spare, i, b, s) if b != 0 and b != a else f
        if not (isfinite(at_a) and isfinite(at_b)):  # there is a wall
            for way, at in ((a, at_a), (b, at_b)):
                if not isfinite(at):
                    up, down = (way / 100, down) if way > 0 else (up, -way / 100)
            continue
        change = max(abs(at_a - f), abs(at_b - f))
        if change <= felt and h < 0.9 * longest and abs(a) >= 0.9 * h:
            h, new = min(LONGER * h, longest), False
            continue
        bent = abs((at_a - f) / a + (at_b - f) / b) < 1.25 * abs((at_a - f) / a - (at_b - f) / b)
        if not (
            new and look < LOOKS - 2 and bent and change > STRUCTURE * max(abs(at_a), abs(at_b))
        ):
            break
        h *= SHORTER
    learn(d, i, (a, b), ((at_a - f), (at_b - f)))
    return change if isfinite(change) else 0.0


@calling
def learn(d, i, ways, changes):
    """Learn slope, curvature and error from the parabola through x and two points beside it."""
    k, (a, b) = d.known[0], ways
    if a == 0 or b == 0 or a == b:  # no room for two
        way, change = (a, changes[0]) if a != 0 else (b, changes[1])
        d.slope[i] = change / way
        d.error[i] = 2 * k.noise / abs(way) + abs(d.slope[i])
        return
    to_a, to_b = changes[0] / a, changes[1] / b
    curvature = 2 * (to_a - to_b) / (a - b)
    slope = to_a - curvature * a / 2
    weight = (abs(b / a) + abs(a / b)) / abs(a - b) + abs(1 / a + 1 / b)
    product = abs(a * b)
    hidden = 4 * k.noise / product  # what noise can make of the curvature
    d.reach[i] = inf
    if abs(curvature) <= hidden:
        little = k.noise * weight > ENOUGH * abs(slope)
        d.reach[i] = min((LONGER if little else 1.0) * abs(a), MOST * d.size[i])
    # Where f'' changes its sign it says nothing of what follows in f, and is not to fall at once.
    curvature = max(abs(curvature), hidden)
    if d.curvature[i] / 10 > curvature:
        curvature = d.curvature[i] / 10
    if isfinite(curvature):
        d.curvature[i] = curvature
    length = (2 * k.rounds / curvature) ** 0.5
    d.slope[i] = slope
    d.error[i] = curvature * product / (6 * length) + k.noise * weight + k.eps * abs(slope)


@calling
def measured(functions, x, spare, s):
    """Return the noise of f at points in a row, along all variables at once."""
    d, values, factor, noise = functions.jac, np.empty(POINTS + 1), 1.0, inf
    k = d.known[0]
    values[0] = s.fun
    for _ in range(SPACINGS):
        finite = True
        for j in range(1, POINTS + 1):
            values[j] = in_a_row(functions, x, spare, j, factor, s)
            finite = finite and isfinite(values[j])
        low = high = s.fun
        for value in values:
            low, high = min(low, value), max(high, value)
        level, verdict = inf, Spacing.TOO_LARGE
        if finite:
            level, verdict = noise_of(values)
            k.around = high - low
        if verdict == Spacing.TOO_SMALL:
            if factor < 1:
                break  # between this spacing and the last
            factor *= 100
            continue
        noise = level if verdict == Spacing.GOOD else min(noise, level)
        if verdict == Spacing.GOOD or factor > 1 or level <= 8 * k.eps * abs(s.fun):
            break
        factor /= 100
    if k.count == 0:
        k.first = max(k.first, min(k.first * factor, USUAL))
    return noise if isfinite(noise) else 0.0


@calling
def in_a_row(functions, x, spare, j, factor, s):
    """Return f at point number j of those where the noise is measured."""
    d = functions.jac
    for i in range(x.size):
        spare[i] = x[i]
        up, down = d.high[i] - x[i], x[i] - d.low[i]
        if d.low[i] < d.high[i]:
            spacing = step_of(d, i, np.float64(x[i])) / POINTS
            longest = max(spacing, USUAL * d.size[i])
            move = j * min(factor * spacing, max(up, down) / POINTS, longest)
            spare[i] += offset(x, i, move if up >= down else -move, d)
    s.nfev += 1
    return np.float64(functions.fun(spare, *functions.args))
