"""Secant pairs: steps, how the gradient changed along each, and the inverse Hessian that they tell of.

All pairs hold at once (multi-secant, block BFGS: Schnabel 1983; Gao & Goldfarb 2018): with M the
symmetric part of S'Y and H0 a diagonal, the inverse Hessian is

    S M^-1 S' + (I - S M^-1 Y') H0 (I - Y M^-1 S').

The newest pairs come first. One whose curvature disagrees with theirs, or that is nearly a combination of
them, is left out of the block; it updates H0 instead, one such pair after the other (BFGS). Variables and
gradients are in units of x_scale, pairs in units of the length of their step.
"""

from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from .cache import copied, inner, seldom
from .passes import Sums, move, take_difference, take_gradient, take_products, transform
from .ranks import SUM, joined, variables

FLOOR = 1e-6  # of the elements of the diagonal, relative to their mean
SLIGHT = 1e-10  # cosine of step and change from which a pair says something
# Rows of `Vectors.table`, for m pairs: products s_i . y_j, the factors of M, and ...
EXTRA = 4  # ... these, from row 2 m on
SCALES, FIRST, SECOND, APART = range(EXTRA)  # the scale of H0 by each pair; coefficients
NO_UPDATE = (0.0, 0.0, 0.0, 0.0)  # of the diagonal: see `update_metric`
NO_PAIR = -1.0  # in place of a sum of squares: no pair says anything


class Pairs(NamedTuple):
    """Secant pairs, fields of `Vectors` but for the last."""

    steps: Any
    changes: Any
    table: Any
    order: Any
    metric: Any
    free: Any
    sums: Any  # a `Sums`


class Frame(NamedTuple):
    """The units and the bounds of the variables, fields of `Vectors`."""

    scale: Any
    lower: Any
    upper: Any


@copied
def as_pairs(v):
    """Return the pairs of a run."""
    sums = Sums(v.sums, v.parts, v.ranks)
    return Pairs(v.steps, v.changes, v.table, v.order, v.metric, v.free, sums)


@copied
def as_frame(v):
    """Return units and bounds of a run."""
    return Frame(v.scale, v.lower, v.upper)


# ---------------------------------------------------------------------------------------- a new pair


@inner
def remember(p, ends, scale, k, count, part, expected, least):
    """Remember a step and the change of the gradient as pair k, one of `count`.

    `ends` are a point and the best one, and their gradients. Curvature below `least` is mixed with what was
    expected (Powell 1978): the product with the step, of which `part` of the whole was made. Returns the
    product, the mean of the diagonal, and whether the pair says something.
    """
    n, m, sums, table = scale.size, p.table.shape[1], p.sums, p.table
    step, change = p.steps[np.uintp(k)], p.changes[np.uintp(k)]
    take_difference(sums, 4, n, (*ends, scale, p.metric, step, change))
    ss, sy, yy, sds = sums.total[0], sums.total[1], sums.total[2], sums.total[3]
    product = sy
    if sy < least:
        share = (expected - least) / (expected - sy)
        sy, yy = least, damp(step, change, ends[3], scale, share, part)
        yy = joined(sums.ranks, yy, SUM)
    if not sy > SLIGHT * sqrt(ss) * sqrt(yy):
        for i in range(n):  # the pair that was there has been overwritten
            step[i] = 0
        table[k, k] = 0.0
        return product, 0.0, False
    anew = sy / sds if count == 1 else 1.0  # of the diagonal, by the first pair
    numbers = anew, sy, anew * sds, sqrt(ss)
    ydy, total = note_products(p, k, count, numbers)
    table[2 * m + SCALES, k] = sy / ydy
    return product, total / variables(sums.ranks, n), True


@inner
def damp(step, change, g_best, scale, share, part):
    """Mix the change of the gradient with the expected one, -part times the gradient; return its square."""
    yy = 0.0
    for i in range(step.size):
        y = share * np.float64(change[i])
        if step[i] != 0:
            y = y - (1.0 - share) * part * np.float64(g_best[i] * scale[i])
        change[i], yy = y, yy + y * y
    return yy


@seldom
def note_products(p, k, count, numbers):
    """Note the products of pair k with the first `count` pairs, after the diagonal has been updated by it.

    `numbers` are those of `update_metric`, whose sums are returned.
    """
    n, total = p.steps.shape[1], p.sums.total
    of_pair = p.steps, p.changes, p.metric, p.free, k, count
    take_products(p.sums, 2 * count + 2, n, (*of_pair, *numbers))
    for j in range(count):
        p.table[k, j] = total[j]
        if j != k:
            p.table[j, k] = total[count + j]
    return total[2 * count], total[2 * count + 1]


# ---------------------------------------------------------------------------- the inverse Hessian


@inner
def direction(p, frame, x, g, h, floor, s, o):
    """Write the inverse Hessian times the gradient into h; return h . h, or NO_PAIR.

    Without a pair h is the gradient, projected and in units of the variables.
    """
    steps, changes, table, order, metric, free, sums = p
    m, count = table.shape[1], s.pairs
    take_gradient(sums, 2, h.size, (h, x, g, frame.scale, frame.lower, frame.upper, free))
    most = np.int64(sums.total[0])
    if sums.total[1] > 0.0:
        for k in range(count):
            note_products(p, k, k + 1, NO_UPDATE)
    r, left = choose(table, order, count, s.newest, most, o.drift, o.pivot)
    if r == 0:
        return NO_PAIR
    n, a, b = h.size, table[np.uintp(2 * m + FIRST)], table[np.uintp(2 * m + SECOND)]
    apart, no, plain = table[np.uintp(2 * m + APART)], np.int64(0), 0.0
    transform(sums, r, n, (h, free, order, steps, no, no, a, metric, plain, floor, steps, no, r))
    solve(table, sums.total, a, r)
    if r == most:  # they say all
        for i in range(n):
            h[i] = 0
        transform(
            sums, 1, n, (h, free, order, steps, no, r, a, metric, plain, floor, steps, no, no)
        )
        return sums.total[0]
    size = 0.0
    for i in range(r):
        b[i], size = -a[i], max(size, table[2 * m + SCALES, order[i]])
    rows, first, last = changes, no, r  # these are to be added next, with factors b
    for i in range(left):
        k = 2 * m - 1 - i
        transform(
            sums, 1, n, (h, free, order, rows, first, last, b, metric, plain, floor, steps, k, k + 1)
        )  # fmt: skip
        apart[i] = sums.total[0] / table[order[k], order[k]]
        b[0], first, last = -apart[i], k, k + 1
    for i in range(left - 1, -1, -1):
        k = 2 * m - 1 - i
        transform(
            sums, 1, n, (h, free, order, rows, first, last, b, metric, size, floor, changes, k, k + 1)
        )  # fmt: skip
        b[0] = apart[i] - sums.total[0] / table[order[k], order[k]]
        rows, first, last, size = steps, k, k + 1, plain
    transform(
        sums, r, n, (h, free, order, rows, first, last, b, metric, size, floor, changes, no, r)
    )
    solve(table, sums.total, b, r)
    for i in range(r):
        b[i] = a[i] - b[i]
    transform(sums, 1, n, (h, free, order, steps, no, r, b, metric, plain, floor, steps, no, no))
    return sums.total[0]


@inner
def choose(table, order, count, newest, most, drift, pivot_least):
    """Choose the pairs that hold at once and factor their M; return how many do, and how many are left.

    M = L D L', without roots, which would make bits depend on the unit of f.
    `order` gets the numbers of the first, and from its end those of the others, both newest first.
    """
    m, r, left, drift2 = table.shape[1], 0, 0, drift * drift
    for back in range(count):
        k = newest - back if newest >= back else newest - back + m
        own = table[k, k]
        if not own > 0.0:
            continue
        agrees, pivot, row = True, own, m + r
        for i in range(r):
            j = order[i]
            p, q = table[k, j], table[j, k]
            if (p - q) * (p - q) > drift2 * (own * table[j, j]):
                agrees = False
                break
            a = 0.5 * (p + q)
            for t in range(i):
                a -= table[row, t] * table[m + i, t]
            table[row, i] = a
        if agrees:
            for i in range(r):
                a = table[row, i]
                table[row, i] = a / table[m + i, i]
                pivot -= a * table[row, i]
        if agrees and pivot > pivot_least * own:
            table[row, r] = pivot
            order[r], r = k, r + 1
            if r == most:
                break
        else:
            left += 1
            order[2 * m - left] = k
    return r, left


@inner
def solve(table, products, into, r):
    """Write M^-1 times the first r products into a vector."""
    m = table.shape[1]
    for i in range(r):
        a = products[i]
        for j in range(i):
            a -= table[m + i, j] * into[j]
        into[i] = a
    for i in range(r - 1, -1, -1):
        a = into[i] / table[m + i, i]
        for j in range(i + 1, r):
            a -= table[m + j, i] * into[j]
        into[i] = a


# --------------------------------------------------------------------------------------------- a step


@inner
def go(p, frame, at, h, into, radius, floor, square):
    """Step along -h, no further than the radius and within the bounds; return (part, slope, length, size).

    `at` are x and g, `into` the next point and its twin, `square` is h . h. If that is NO_PAIR, h is the
    gradient, and the step is as long as the radius. The slope is that along the step, the part that of h
    which is gone, or -1 if there is no pair, the size the length of x.
    """
    x, g = at
    sums, metric, order, steps, free = p.sums, p.metric, p.order, p.steps, p.free
    part, slope, size, n, no = 1.0, 0.0, 0.0, h.size, np.int64(0)
    modelled = square != NO_PAIR
    for _ in range(2):
        if not modelled:
            transform(
                sums, 1, n,
                (h, free, order, steps, no, no, sums.total, metric, 1.0, floor, steps, no, no),
            )  # fmt: skip
            square = sums.total[0]
        part, length = 1.0, sqrt(square)
        if length > radius or not modelled:
            part = radius / length if length > 0.0 else 0.0
        step = x.dtype.type(part)
        move(sums, 3, n, (x, g, h, step, *into, frame.scale, frame.lower, frame.upper))
        slope, square, size = sums.total[0], sums.total[1], sums.total[2]
        if slope < 0.0 or not modelled:
            break
        # Bounds have spoilt it.
        take_gradient(sums, 2, n, (h, x, g, frame.scale, frame.lower, frame.upper, free))
        modelled = False
    return part if modelled else -1.0, slope, sqrt(square), sqrt(size)
