"""Loops over some of the elements, lo..hi, of vectors: steps, norms, sums.

Arguments that are None are pruned when a loop is compiled, so what is not asked for costs nothing.
"""

import numpy as np

from .cache import inner, kernel
from .elements import (
    adapted_factor,
    held,
    regularised,
    relative_move,
    within,
)
from .intrinsics import bits_of, disjoint
from .rules import apply


@kernel
def sweep(
    method, lo, hi, x, new, twin, g, slots, factors, previous, scale, lower, upper, c, r, a
):  # fmt: skip
    """Step the elements lo..hi of x into `new`, or in place where that is None.

    All are vectors, `slots` a tuple of vectors; `twin` is None or gets the same as `new`. c, r and a are
    the numbers of the rule, of regularisation and of an automatic learning rate.
    """
    if new is not None:  # in place x and g are a caller's, who may have let them overlap
        disjoint()
    for i in range(np.uintp(lo), np.uintp(hi)):  # unsigned: no index counts from the end
        p = x[i]  # every number is read once: a compiler would read it again after each write
        q = g[i]
        if r is not None:
            q = regularised(q, p, r)
        if lower is not None:
            low, high = lower[i], upper[i]
            if held(p, q, low, high):
                q = q - q  # 0 in its dtype
                slots[0][i] = q
        if scale is not None:
            unit = scale[i]
            q = q * unit
        if factors is not None:
            factor = factors[i]
        if previous is not None:
            factor = adapted_factor(factor, q, previous[i], a)
            factors[i] = factor
        step = apply(method, q, slots, i, c)
        if factors is not None:
            step = step * factor
        if previous is not None:
            previous[i] = step
            step = a.rate * step
        if scale is not None:
            step = step * unit
        if r is not None:
            decay = r.decay
            if factors is not None:
                decay = decay * factor
            p = p - decay * p
        p = p - step
        if lower is not None:
            p = within(p, low, high)
        if new is None:
            x[i] = p
        else:
            new[i] = p
        if twin is not None:
            twin[i] = p


@inner
def projected(i, x, g, scale, lower, upper):
    """Return a gradient element in units of scale; 0 where it points out of the bounds."""
    q = g[i]
    if lower is not None:
        if held(x[i], q, lower[i], upper[i]):
            q = q - q
    if scale is not None:
        q = q * scale[i]
    return q


@inner
def larger_bits(top, q):
    """Return the larger of `top` and the bits of |q|.

    Read as integers, the bits of non-negative floats sort like the floats, with infinity and NaN on
    top: one integer maximum, which vectorises, finds the norm and what is not finite.
    """
    bits = bits_of(abs(q))
    return bits if bits > top else top


@kernel
def norm(lo, hi, x, g, scale, lower, upper):
    """Return the bits of the largest |scaled projected gradient|."""
    top = np.int64(0)
    for i in range(np.uintp(lo), np.uintp(hi)):  # unsigned: no index counts from the end
        top = larger_bits(top, np.float64(projected(i, x, g, scale, lower, upper)))
    return top


@kernel
def products(lo, hi, x, g, previous, scale, lower, upper):
    """Return what `norm` does, and the sums of g.previous, g.g and previous.previous.

    Four sums of every fourth element each, which vectorise, in an order that is always the same.
    """
    t0 = t1 = t2 = t3 = np.int64(0)
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = 0.0
    one, lo, hi = np.uintp(1), np.uintp(lo), np.uintp(hi)
    end = hi - (hi - lo) % np.uintp(4)
    for i in range(lo, end, np.uintp(4)):
        j, k, m = i + one, i + np.uintp(2), i + np.uintp(3)
        q0 = np.float64(projected(i, x, g, scale, lower, upper))
        q1 = np.float64(projected(j, x, g, scale, lower, upper))
        q2 = np.float64(projected(k, x, g, scale, lower, upper))
        q3 = np.float64(projected(m, x, g, scale, lower, upper))
        t0, t1, t2, t3 = (
            larger_bits(t0, q0), larger_bits(t1, q1), larger_bits(t2, q2), larger_bits(t3, q3)
        )  # fmt: skip
        b0, b1, b2, b3 = b0 + q0 * q0, b1 + q1 * q1, b2 + q2 * q2, b3 + q3 * q3
        if previous is not None:
            d0, d1 = np.float64(previous[i]), np.float64(previous[j])
            d2, d3 = np.float64(previous[k]), np.float64(previous[m])
            a0, a1, a2, a3 = a0 + q0 * d0, a1 + q1 * d1, a2 + q2 * d2, a3 + q3 * d3
            c0, c1, c2, c3 = c0 + d0 * d0, c1 + d1 * d1, c2 + d2 * d2, c3 + d3 * d3
    along, norm2, previous2 = a0 + a1 + a2 + a3, b0 + b1 + b2 + b3, c0 + c1 + c2 + c3
    t0, t2 = t0 if t0 > t1 else t1, t2 if t2 > t3 else t3
    top = t0 if t0 > t2 else t2
    for i in range(end, hi):
        q = np.float64(projected(i, x, g, scale, lower, upper))
        top = larger_bits(top, q)
        norm2 = norm2 + q * q
        if previous is not None:
            d = np.float64(previous[i])
            along, previous2 = along + q * d, previous2 + d * d
    return top, along, norm2, previous2


@inner
def apart(x, g):
    """Return whether g is x or elsewhere: no element of it is then written before it is read."""
    distance = abs(x.ctypes.data - g.ctypes.data)
    return distance == 0 or distance >= x.size * x.itemsize


@kernel
def usable(lo, hi, g, limit):
    """Return where the first elements that are finite, and not above the limit, end: hi if all are."""
    top = most = bits_of(limit)
    for i in range(np.uintp(lo), np.uintp(hi)):  # without a way out it vectorises
        top = larger_bits(top, g[i])
    if top > most:
        for i in range(np.uintp(lo), np.uintp(hi)):
            if not abs(g[i]) <= limit:
                return np.intp(i)
    return hi


@kernel
def interpolate(lo, hi, rows, a, b, into, part):
    """Write a + part (b - a), of rows number a and b, into one of these rows."""
    share = rows.dtype.type(part)
    for i in range(np.uintp(lo), np.uintp(hi)):
        p = rows[a, i]
        rows[into, i] = p + share * (rows[b, i] - p)


@kernel
def largest_move(before, after, scale):
    """Return the largest step between two vectors relative to the size of its variable."""
    top = 0.0
    for i in range(before.size):
        unit = scale[i] if scale is not None else 1.0
        top = max(top, relative_move(before[i], after[i], unit))
    return top
