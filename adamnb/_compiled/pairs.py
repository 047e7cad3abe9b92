"""Secant pairs: steps, how the gradient changed along each, and the inverse Hessian that they tell of.

All pairs hold at once (multi-secant, block BFGS: Schnabel 1983; Gao & Goldfarb 2018): with M the
symmetric part of S'Y and H0 a diagonal, the inverse Hessian is

    S M^-1 S' + (I - S M^-1 Y') H0 (I - Y M^-1 S').

The newest pairs come first. One whose curvature disagrees with theirs, or that is nearly a combination of
them, is left out of the block; it updates H0 instead, one such pair after the other (BFGS). Variables and
gradients are in units of x_scale, pairs in units of the length of their step.
"""

from math import sqrt

import numpy as np

from .cache import inner, seldom
from .elements import held, within
from .loops import chunk, chunk_count

METRIC_LEAST = 1e-3  # part of an element of the diagonal that an update leaves at least
FLOOR = 1e-6  # of these elements, relative to their mean
SLIGHT = 1e-10  # cosine of step and change from which a pair says something
# Rows of `Vectors.table`, for m pairs: products s_i . y_j, the factors of M, and ...
EXTRA = 4  # ... these, from row 2 m on
SCALES, FIRST, SECOND, APART = range(EXTRA)  # the scale of H0 by each pair; coefficients


@inner
def dot(lo, hi, a, b, free):
    """Return the sum of a[i] b[i] over the free variables: four sums of every fourth element each."""
    t0 = t1 = t2 = t3 = 0.0
    one, lo, hi = np.uintp(1), np.uintp(lo), np.uintp(hi)
    end = hi - (hi - lo) % np.uintp(4)
    for i in range(lo, end, np.uintp(4)):
        j, k, m = i + one, i + np.uintp(2), i + np.uintp(3)
        p0, p1, p2, p3 = np.float64(a[i]), np.float64(a[j]), np.float64(a[k]), np.float64(a[m])
        if free is not None:
            p0, p1, p2, p3 = p0 * free[i], p1 * free[j], p2 * free[k], p3 * free[m]
        t0, t1 = t0 + p0 * np.float64(b[i]), t1 + p1 * np.float64(b[j])
        t2, t3 = t2 + p2 * np.float64(b[k]), t3 + p3 * np.float64(b[m])
    for i in range(end, hi):
        p = np.float64(a[i])
        if free is not None:
            p = p * free[i]
        t0 = t0 + p * np.float64(b[i])
    return t0 + t1 + t2 + t3


# ---------------------------------------------------------------------------------------- a new pair


@seldom
def remember(
    steps, changes, table, metric, x, best, g, g_best, scale, free, k, count, part, expected, least
):
    """Remember a step and the change of the gradient as pair k, one of `count`.

    Curvature below `least` is mixed with what was expected (Powell 1978): the product with the step, of
    which `part` of the whole was made. Returns the product, the mean of the diagonal, and whether the
    pair says something.
    """
    n, m = x.size, table.shape[1]
    step, change = steps[np.uintp(k)], changes[np.uintp(k)]
    ss = sy = yy = sds = 0.0
    for b in range(chunk_count(n)):
        lo, hi = chunk(b, n)
        p, q, r, t = difference(lo, hi, x, best, g, g_best, scale, metric, step, change)
        ss, sy, yy, sds = ss + p, sy + q, yy + r, sds + t
    product = sy
    if sy < least:
        share = (expected - least) / (expected - sy)
        sy, yy = least, damp(step, change, g_best, scale, share, part)
    if not sy > SLIGHT * sqrt(ss) * sqrt(yy):
        for i in range(n):  # the pair that was there has been overwritten
            step[i] = 0
        table[k, k] = 0.0
        return product, 0.0, False
    anew = sy / sds if count == 1 else 1.0  # of the diagonal, by the first pair
    ydy = total = 0.0
    for b in range(chunk_count(n)):
        lo, hi = chunk(b, n)
        p, q = update_metric(lo, hi, step, change, metric, anew, sy, anew * sds, sqrt(ss))
        ydy, total = ydy + p, total + q
    table[2 * m + SCALES, k] = sy / ydy
    note_products(steps, changes, table, free, k, count)
    return product, total / n, True


@inner
def difference(lo, hi, x, best, g, g_best, scale, metric, step, change):
    """Write a step and the change of the gradient; return s.s, s.y, y.y and s.D s."""
    ss = sy = yy = sds = 0.0
    for i in range(np.uintp(lo), np.uintp(hi)):
        unit = scale[i]
        d, y = (x[i] - best[i]) / unit, (g[i] - g_best[i]) * unit
        step[i], change[i] = d, y
        d_, y_ = np.float64(d), np.float64(y)
        ss, sy, yy = ss + d_ * d_, sy + d_ * y_, yy + y_ * y_
        sds += d_ * d_ * np.float64(metric[i])
    return ss, sy, yy, sds


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


@inner
def update_metric(lo, hi, step, change, metric, anew, sy, sds, length):
    """Update the diagonal by a pair, as BFGS does with a matrix, and give the pair its unit.

    Returns the sum of y^2 / D, and that of D (Gilbert & Lemarechal 1989).
    """
    ydy = total = 0.0
    for i in range(np.uintp(lo), np.uintp(hi)):
        d, y, e = np.float64(step[i]), np.float64(change[i]), np.float64(metric[i]) * anew
        new = e + y * y / sy - (e * d) * (e * d) / sds
        least = METRIC_LEAST * e
        new = new if new > least else least
        metric[i] = new
        ydy, total = ydy + y * y / new, total + new
        step[i], change[i] = d / length, y / length
    return ydy, total


@seldom
def note_products(steps, changes, table, free, k, count):
    """Note the products of pair k with the first `count` pairs, over the free variables."""
    n, s, y = steps.shape[1], steps[np.uintp(k)], changes[np.uintp(k)]
    for j in range(count):
        table[k, j] = table[j, k] = 0.0
    for b in range(chunk_count(n)):
        lo, hi = chunk(b, n)
        for j in range(count):
            table[k, j] += dot(lo, hi, s, changes[np.uintp(j)], free)
            if j != k:
                table[j, k] += dot(lo, hi, steps[np.uintp(j)], y, free)


# ---------------------------------------------------------------------------- the inverse Hessian


@seldom
def gradient_into(h, x, g, scale, lower, upper, free):
    """Write the gradient into h, projected and in units of the variables.

    Returns how many variables are free, and whether they are others than before.
    """
    changed, count = False, 0
    for i in range(h.size):
        q, now = g[i], 1
        if free is not None:
            if held(x[i], q, lower[i], upper[i]):
                now = 0
            changed = changed or now != free[i]
            free[i] = now
            q = q if now == 1 else q - q
        h[i], count = q * scale[i], count + now
    return count, changed


@seldom
def direction(
    steps, changes, table, order, metric, x, g, scale, lower, upper, free, h, count, newest, drift, pivot,
    floor,
):  # fmt: skip
    """Write the inverse Hessian times the gradient into h; return whether there is a pair for it.

    Without, h is the gradient, projected and in units of the variables.
    """
    m = table.shape[1]
    most, others = gradient_into(h, x, g, scale, lower, upper, free)
    if others:
        for k in range(count):
            note_products(steps, changes, table, free, k, k + 1)
    r, left = choose(table, order, count, newest, most, drift, pivot)
    if r == 0:
        return False
    first, second, apart = 2 * m + FIRST, 2 * m + SECOND, 2 * m + APART
    solve_products(steps, table, order, free, h, r, first)
    if r == most:  # they say all
        for i in range(h.size):
            h[i] = 0
        add_rows(steps, table, order, free, h, r, first, 1.0)
        return True
    add_rows(changes, table, order, free, h, r, first, -1.0)
    size = 0.0
    for i in range(r):
        size = max(size, table[2 * m + SCALES, order[i]])
    for i in range(left):
        k = order[2 * m - 1 - i]
        table[apart, i] = swap(steps, changes, table, free, h, k, 0.0)
    divide(h, metric, size, floor)
    for i in range(left - 1, -1, -1):
        k = order[2 * m - 1 - i]
        swap(changes, steps, table, free, h, k, table[apart, i])
    solve_products(changes, table, order, free, h, r, second)
    for i in range(r):
        table[second, i] = table[first, i] - table[second, i]
    add_rows(steps, table, order, free, h, r, second, 1.0)
    return True


@inner
def choose(table, order, count, newest, most, drift, pivot_least):
    """Choose the pairs that hold at once and factor their M; return how many do, and how many are left.

    M = L D L', without roots, which would make bits depend on the unit of f.
    `order` gets the numbers of the first, and from its end those of the others, both newest first.
    """
    m, r, left = table.shape[1], 0, 0
    for back in range(count):
        k = newest - back if newest >= back else newest - back + m
        own = table[k, k]
        if not own > 0.0:
            continue
        agrees, pivot, row = True, own, m + r
        for i in range(r):
            j = order[i]
            p, q = table[k, j], table[j, k]
            if abs(p - q) > drift * sqrt(own * table[j, j]):
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


@seldom
def solve_products(rows, table, order, free, h, r, row):
    """Write M^-1 times the products of h with steps or changes into a row of the table."""
    n, m = h.size, table.shape[1]
    for i in range(r):
        table[row, i] = 0.0
    for b in range(chunk_count(n)):
        lo, hi = chunk(b, n)
        for i in range(r):
            table[row, i] += dot(lo, hi, rows[np.uintp(order[i])], h, free)
    for i in range(r):
        a = table[row, i]
        for j in range(i):
            a -= table[m + i, j] * table[row, j]
        table[row, i] = a
    for i in range(r - 1, -1, -1):
        a = table[row, i] / table[m + i, i]
        for j in range(i + 1, r):
            a -= table[m + j, i] * table[row, j]
        table[row, i] = a


@seldom
def add_rows(rows, table, order, free, h, r, row, sign):
    """Add to h the steps or changes of the chosen pairs, times a row of coefficients."""
    n = h.size
    for b in range(chunk_count(n)):
        lo, hi = chunk(b, n)
        for i in range(r):
            add_multiple(lo, hi, h, sign * table[row, i], rows[np.uintp(order[i])], free)


@seldom
def swap(rows, others, table, free, h, k, given):
    """Apply one half of an update by pair k to h; return its coefficient."""
    n, a = h.size, 0.0
    for b in range(chunk_count(n)):
        lo, hi = chunk(b, n)
        a += dot(lo, hi, rows[np.uintp(k)], h, free)
    a /= table[k, k]
    add_multiple(0, n, h, given - a, others[np.uintp(k)], free)
    return a


@inner
def add_multiple(lo, hi, h, a, y, free):
    a = h.dtype.type(a)
    for i in range(np.uintp(lo), np.uintp(hi)):
        p = a * y[i]
        if free is not None:
            p = p * free[i]
        h[i] += p


@inner
def divide(h, metric, factor, floor):
    for i in range(h.size):
        d = np.float64(metric[i])
        h[i] = factor * h[i] / (d if d > floor else floor)


# --------------------------------------------------------------------------------------------- a step


@seldom
def go(x, g, h, new, twin, metric, scale, lower, upper, free, radius, floor, modelled):
    """Step along -h, no further than the radius and within the bounds; return (part, slope, length, size).

    If not `modelled`, h is the gradient, and the step is as long as the radius. The slope is that along
    the step, the part that of h which is gone, or -1 if h is not modelled, the size the length of x.
    """
    part, slope, square, size = moved(
        x, g, h, new, twin, metric, scale, lower, upper, radius, floor, modelled
    )
    if modelled and not slope < 0.0:  # bounds have spoilt it
        gradient_into(h, x, g, scale, lower, upper, free)
        modelled = False
        part, slope, square, size = moved(
            x, g, h, new, twin, metric, scale, lower, upper, radius, floor, modelled
        )
    return part, slope, sqrt(square), sqrt(size)


@seldom
def moved(x, g, h, new, twin, metric, scale, lower, upper, radius, floor, modelled):
    """Return (part, slope, square of the length, square of the size) of a step that is made."""
    if not modelled:
        divide(h, metric, 1.0, floor)
    square = 0.0
    for b in range(chunk_count(x.size)):
        lo, hi = chunk(b, x.size)
        square += dot(lo, hi, h, h, None)
    part, length = 1.0, sqrt(square)
    if length > radius or not modelled:
        part = radius / length if length > 0.0 else 0.0
    share, slope, square, size = x.dtype.type(part), 0.0, 0.0, 0.0
    for b in range(chunk_count(x.size)):
        lo, hi = chunk(b, x.size)
        p, q, r = move(lo, hi, x, g, h, share, new, twin, scale, lower, upper)
        slope, square, size = slope + p, square + q, size + r
    return part if modelled else -1.0, slope, square, size


@inner
def move(lo, hi, x, g, h, part, new, twin, scale, lower, upper):
    """Step along -h within the bounds; return the slope along the step, and the squares of it and of x."""
    slope = square = size = 0.0
    for i in range(np.uintp(lo), np.uintp(hi)):
        p, unit = x[i], scale[i]
        q = p - part * h[i] * unit
        if lower is not None:
            q = within(q, lower[i], upper[i])
        new[i] = twin[i] = q
        d, e, z = np.float64((q - p) / unit), np.float64(g[i] * unit), np.float64(p / unit)
        slope, square, size = slope + d * e, square + d * d, size + z * z
    return slope, square, size
