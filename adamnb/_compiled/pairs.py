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
from .intrinsics import disjoint
from .elements import held
from .loops import chunk, chunk_count

METRIC_LEAST = 1e-3  # part of an element of H0 that is left at least by an update
FLOOR = 1e-6  # of the elements of H0, relative to their mean
SLIGHT = 1e-10  # cosine of step and change below which a pair says nothing
# Rows of `Vectors.table`, for m pairs: products s_i . y_j, a Cholesky factor, and ...
EXTRA = 5  # ... the scale of H0 as each pair has it, S'q, and the coefficients of three sums
SCALES, ALONG, FIRST, SECOND, APART = range(EXTRA)


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


@inner
def dot_all(a, b, free):
    """Return what `dot` does of all elements."""
    total = 0.0
    for b_ in range(chunk_count(a.size)):
        lo, hi = chunk(b_, a.size)
        total += dot(lo, hi, a, b, free)
    return total


# ---------------------------------------------------------------------------------------- a new pair


@inner
def difference(lo, hi, x, x_best, g, g_best, scale, metric, step, change):
    """Write a step and the change of the gradient; return s.s, s.y, y.y and s.D s."""
    ss = sy = yy = sds = 0.0
    for i in range(np.uintp(lo), np.uintp(hi)):
        unit = scale[i]
        d, y = (x[i] - x_best[i]) / unit, (g[i] - g_best[i]) * unit
        step[i], change[i] = d, y
        d_, y_ = np.float64(d), np.float64(y)
        ss, sy, yy = ss + d_ * d_, sy + d_ * y_, yy + y_ * y_
        sds += d_ * d_ * np.float64(metric[i])
    return ss, sy, yy, sds


@inner
def damp(lo, hi, step, change, g_best, scale, share, part):
    """Mix the change of the gradient with what the pairs expect it to be (Powell 1978)."""
    for i in range(np.uintp(lo), np.uintp(hi)):
        y = share * change[i]
        if step[i] != 0:
            y = y - (1 - share) * part * (g_best[i] * scale[i])
        change[i] = y


@inner
def update_metric(lo, hi, step, change, metric, anew, sy, sds, length):
    """Update the diagonal by a pair, as BFGS does with a matrix, and give the pair its unit.

    Returns the sum of y^2 / D, and that of D. Gilbert & Lemarechal 1989.
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


@inner
def products_with(v, k, count):
    """Note the products of pair k with all pairs, over the free variables."""
    pairs, table, m = v.pairs, v.table, v.table.shape[1]
    for j in range(count):
        table[k, j] = table[j, k] = 0.0
    s, y = pairs[np.uintp(2 * k)], pairs[np.uintp(2 * k + 1)]
    for b in range(chunk_count(s.size)):
        lo, hi = chunk(b, s.size)
        for j in range(count):
            table[k, j] += dot(lo, hi, s, pairs[np.uintp(2 * j + 1)], v.free)
            if j != k:
                table[j, k] += dot(lo, hi, pairs[np.uintp(2 * j)], y, v.free)


# ---------------------------------------------------------------------------- the inverse Hessian


@inner
def gradient_into(h, x, g, scale, lower, upper, free):
    """Write the gradient into h, projected and in units of the variables; return whether others are free."""
    changed = False
    for i in range(h.size):
        q = g[i]
        if free is not None:
            now = h.dtype.type(0 if held(x[i], q, lower[i], upper[i]) else 1)
            changed = changed or now != free[i]
            free[i] = now
            q = q * now
        h[i] = q * scale[i]
    return changed


@inner
def free_count(free, n):
    """Return how many variables no bound holds."""
    if free is None:
        return n
    count = 0
    for i in range(n):
        count += free[i] != 0
    return count


@inner
def choose(v, count, newest, most, drift, pivot_least):
    """Choose the pairs that hold at once and factor their M; return how many do, and how many are left.

    `v.order` gets the numbers of the first, and from its end those of the others, both newest first.
    """
    table, order, m = v.table, v.order, v.table.shape[1]
    r = left = 0
    for back in range(count):
        k = newest - back if newest >= back else newest - back + m
        own = table[k, k]
        if not own > 0.0:
            continue
        agrees = True
        for i in range(r):
            j = order[i]
            if abs(table[k, j] - table[j, k]) > drift * sqrt(own * table[j, j]):
                agrees = False
                break
        if agrees:
            pivot, row = own, m + r
            for i in range(r):
                j = order[i]
                a = 0.5 * (table[k, j] + table[j, k])
                for q in range(i):
                    a -= table[row, q] * table[m + i, q]
                a /= table[m + i, i]
                table[row, i] = a
                pivot -= a * a
            agrees = pivot > pivot_least * own
            if agrees:
                table[row, r] = sqrt(pivot)
                order[r] = k
                r += 1
                if r == most:
                    break
        if not agrees:
            left += 1
            order[2 * m - left] = k
    return r, left


@inner
def solve_factored(v, r, row):
    """Solve M a = b for the coefficients in a row of the table, in place."""
    table, m = v.table, v.table.shape[1]
    row = 2 * m + row
    for i in range(r):
        a = table[row, i]
        for j in range(i):
            a -= table[m + i, j] * table[row, j]
        table[row, i] = a / table[m + i, i]
    for i in range(r - 1, -1, -1):
        a = table[row, i]
        for j in range(i + 1, r):
            a -= table[m + j, i] * table[row, j]
        table[row, i] = a / table[m + i, i]


@inner
def add_multiple(lo, hi, h, a, y, free):
    a = h.dtype.type(a)
    for i in range(np.uintp(lo), np.uintp(hi)):
        p = a * y[i]
        if free is not None:
            p = p * free[i]
        h[i] += p


@inner
def add_rows(v, h, r, row, sign, first):
    """Add to h the steps or changes (`first` 0 or 1) of the chosen pairs, times a row of coefficients."""
    for b in range(chunk_count(h.size)):
        lo, hi = chunk(b, h.size)
        for i in range(r):
            a = sign * v.table[2 * v.table.shape[1] + row, i]
            add_multiple(lo, hi, h, a, v.pairs[np.uintp(2 * v.order[i] + first)], v.free)


@inner
def products_into(v, h, r, row, first):
    """Write the products of h with the steps or changes of the chosen pairs into a row of the table."""
    m = v.table.shape[1]
    for i in range(r):
        v.table[2 * m + row, i] = 0.0
    for b in range(chunk_count(h.size)):
        lo, hi = chunk(b, h.size)
        for i in range(r):
            v.table[2 * m + row, i] += dot(lo, hi, v.pairs[np.uintp(2 * v.order[i] + first)], h, v.free)


@inner
def divide(h, metric, factor, floor):
    factor = h.dtype.type(factor)
    floor = h.dtype.type(floor)
    for i in range(h.size):
        d = metric[i]
        h[i] = factor * h[i] / (d if d > floor else floor)


@inner
def apply_pairs(v, h, r, left, floor):
    """Multiply h by the inverse Hessian of the chosen pairs, in place."""
    m, table, order = v.table.shape[1], v.table, v.order
    products_into(v, h, r, FIRST, 0)
    solve_factored(v, r, FIRST)
    add_rows(v, h, r, FIRST, -1.0, 1)
    scale = 0.0
    for i in range(r):
        scale = max(scale, table[2 * m + SCALES, order[i]])
    for i in range(left):
        k = order[2 * m - 1 - i]
        s, y = v.pairs[np.uintp(2 * k)], v.pairs[np.uintp(2 * k + 1)]
        a = dot_all(s, h, v.free) / table[k, k]
        table[2 * m + APART, i] = a
        add_multiple(0, h.size, h, -a, y, v.free)
    divide(h, v.metric, scale, floor)
    for i in range(left - 1, -1, -1):
        k = order[2 * m - 1 - i]
        s, y = v.pairs[np.uintp(2 * k)], v.pairs[np.uintp(2 * k + 1)]
        a = table[2 * m + APART, i] - dot_all(y, h, v.free) / table[k, k]
        add_multiple(0, h.size, h, a, s, v.free)
    products_into(v, h, r, SECOND, 1)
    solve_factored(v, r, SECOND)
    for i in range(r):
        table[2 * m + SECOND, i] = table[2 * m + FIRST, i] - table[2 * m + SECOND, i]
    add_rows(v, h, r, SECOND, 1.0, 0)
