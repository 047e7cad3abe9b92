"""Passes over all elements that steps by secant pairs make, chunk by chunk: serial, or on threads.

Each is written for a chunk, lo..hi, and adds to sums, of which there are as many as its caller says. Sums are
taken chunk by chunk either way, so that bits do not depend on the threads.
"""

from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.extending import overload

from .cache import INLINED, JIT, SELDOM, kernel
from .elements import held, within
from .loops import chunk, chunk_count
from .ranks import combine

METRIC_LEAST = 1e-3  # part of an element of the diagonal that an update leaves at least


class Sums(NamedTuple):
    """What passes add up."""

    total: Any  # float64, at least as many as any pass has
    parts: Any  # None, or, for threads, a row of as many for each chunk
    ranks: Any  # None, or an `Exchange`


def in_chunks(piece, options=INLINED):
    """Return the pass ``(sums, count, n, args)`` that is `piece(lo, hi, sums, *args)` for all."""
    piece = kernel(piece)

    @numba.njit(parallel=True, **JIT)
    def at_once(parts, count, n, args):
        for b in numba.prange(chunk_count(n)):
            lo, hi = chunk(b, n)
            own = parts[np.uintp(b)]
            for i in range(count):
                own[i] = 0.0
            piece(lo, hi, own, *args)

    def over_all(sums, count, n, args):
        """Pass over all elements; compiled by `_over_all`."""

    @overload(over_all, jit_options=options)
    def _over_all(sums, count, n, args):
        def serial(sums, count, n, args):
            for i in range(count):
                sums.total[i] = 0.0
            for b in range(chunk_count(n)):
                lo, hi = chunk(b, n)
                piece(lo, hi, sums.total, *args)
            combine(sums.ranks, sums.total, 0, count)

        def threads(sums, count, n, args):
            at_once(sums.parts, count, n, args)
            for i in range(count):
                sums.total[i] = 0.0
                for b in range(chunk_count(n)):
                    sums.total[i] += sums.parts[b, i]
            combine(sums.ranks, sums.total, 0, count)

        return serial if isinstance(sums[1], types.NoneType) else threads

    return over_all


seldom_in_chunks = partial(in_chunks, options=SELDOM)


@kernel
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


@in_chunks
def take_difference(lo, hi, sums, x, best, g, g_best, scale, metric, step, change):
    """Write a step and the change of the gradient; the sums are s.s, s.y, y.y and s.D s."""
    ss = sy = yy = sds = 0.0
    for i in range(np.uintp(lo), np.uintp(hi)):
        unit = scale[i]
        d, y = (x[i] - best[i]) / unit, (g[i] - g_best[i]) * unit
        step[i], change[i] = d, y
        d_, y_ = np.float64(d), np.float64(y)
        ss, sy, yy = ss + d_ * d_, sy + d_ * y_, yy + y_ * y_
        sds += d_ * d_ * np.float64(metric[i])
    sums[0] += ss
    sums[1] += sy
    sums[2] += yy
    sums[3] += sds


@kernel
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


@in_chunks
def take_products(lo, hi, sums, steps, changes, metric, free, k, count, anew, sy, sds, length):
    """Update the diagonal by pair k, if its length is not 0, and multiply the pair with the first `count`.

    The sums are s_k . y_j, then s_j . y_k, over the free variables, and those of `update_metric`.
    """
    step, change = steps[np.uintp(k)], changes[np.uintp(k)]
    if length > 0.0:
        ydy, total = update_metric(lo, hi, step, change, metric, anew, sy, sds, length)
        sums[2 * count] += ydy
        sums[2 * count + 1] += total
    for j in range(count):
        sums[j] += dot(lo, hi, step, changes[np.uintp(j)], free)
        if j != k:
            sums[count + j] += dot(lo, hi, steps[np.uintp(j)], change, free)


@in_chunks
def take_gradient(lo, hi, sums, h, x, g, scale, lower, upper, free):
    """Write the gradient into h, projected and in units of the variables.

    The sums are how many variables are free, and how many were not or are no longer.
    """
    changed = count = 0
    for i in range(np.uintp(lo), np.uintp(hi)):
        q, now = g[i], 1
        if free is not None:
            if held(x[i], q, lower[i], upper[i]):
                now = 0
            changed += now != free[i]
            free[i] = now
            q = q if now == 1 else q - q
        h[i], count = q * scale[i], count + now
    sums[0] += count
    sums[1] += changed


@kernel
def divide(lo, hi, h, metric, factor, floor):
    """Multiply h by a factor, and divide it by the diagonal, no element of which is below `floor`."""
    for i in range(np.uintp(lo), np.uintp(hi)):
        d = np.float64(metric[i])
        h[i] = factor * h[i] / (d if d > floor else floor)


@kernel
def add_multiple(lo, hi, h, a, y, free):
    """Add a multiple of y to h, of the free variables."""
    a = h.dtype.type(a)
    for i in range(np.uintp(lo), np.uintp(hi)):
        p = a * y[i]
        if free is not None:
            p = p * free[i]
        h[i] += p


@seldom_in_chunks
def transform(
    lo, hi, sums, h, free, order, added, first, last, factors, metric, factor, floor, rows, start, end
):  # fmt: skip
    """Add rows to h, divide it by the diagonal if `factor` is not 0, and multiply it with rows.

    The numbers of the rows `added` stand in `order` from `first` to `last`, those of the others from `start`
    to `end`. The sums are the products, or, of no rows, that of h with itself.
    """
    for i in range(first, last):
        add_multiple(lo, hi, h, factors[i - first], added[np.uintp(order[i])], free)
    if factor > 0.0:
        divide(lo, hi, h, metric, factor, floor)
    for i in range(start, end):
        sums[i - start] += dot(lo, hi, rows[np.uintp(order[i])], h, free)
    if start == end:
        sums[0] += dot(lo, hi, h, h, None)


@in_chunks
def move(lo, hi, sums, x, g, h, part, new, twin, scale, lower, upper):
    """Step along -h within the bounds; the sums are the slope along the step, and squares of it and of x."""
    slope = square = size = 0.0
    for i in range(np.uintp(lo), np.uintp(hi)):
        p, unit = x[i], scale[i]
        q = p - part * h[i] * unit
        if lower is not None:
            q = within(q, lower[i], upper[i])
        new[i] = twin[i] = q
        d, e, z = np.float64((q - p) / unit), np.float64(g[i] * unit), np.float64(p / unit)
        slope, square, size = slope + d * e, square + d * d, size + z * z
    sums[0] += slope
    sums[1] += square
    sums[2] += size
