"""Loops over elements: one step, norms and products, serial and on threads.

`iterate` calls them through stand-ins, so that they may run elsewhere (`_remote.py`).

Arguments that are None are pruned when a loop is compiled, so what is not asked for costs nothing.
"""

from typing import NamedTuple

import numba
import numpy as np
from numba.extending import overload

from ._rules import (
    DECAY,
    GAIN_DOWN,
    GAIN_UP,
    INLINED,
    JIT,
    L2,
    Coefficients,
    apply,
    coefficients,
    entry,
    inner,
)

BLOCK = 8192  # elements a thread takes at once, and every sum: bits do not depend on the threads
GAIN_MIN, GAIN_MAX = 1e-4, 1e4


class Shell(NamedTuple):
    """Per-step numbers of the loop around a rule."""

    shrink: float  # factor of the gradient (clipping)
    l2: float  # g + l2 x
    decay: float  # x - decay x
    rate: float  # factor of the step where gains are adapted
    gain_up: float
    gain_down: float
    gain_min: float
    gain_max: float


@inner
def shell(o, rate, shrink, x):
    """Return the loop's numbers in the dtype of x."""
    kind = x.dtype.type
    return Shell(
        kind(shrink), kind(o[L2]), kind(rate * o[DECAY]), kind(rate), kind(o[GAIN_UP]),
        kind(o[GAIN_DOWN]), kind(GAIN_MIN), kind(GAIN_MAX),
    )  # fmt: skip


@inner
def forget(c):
    """Return the coefficients without a memory of the direction."""
    return Coefficients(0.0, c.c1, c.beta2, c.c2, c.a, c.b, c.s, c.eps)


@inner
def narrow(c, x):
    """Return the coefficients in the dtype of x."""
    kind = x.dtype.type
    return Coefficients(
        kind(c.mu), kind(c.c1), kind(c.beta2), kind(c.c2), kind(c.a), kind(c.b), kind(c.s),
        kind(c.eps),
    )  # fmt: skip


@inner
def sweep(
    method, lo, hi, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k
):  # fmt: skip
    """Step the elements lo..hi of x[here], into x[there], or in place where that is None.

    `twin` is None or a further row of x that gets the same.
    """
    for i in range(np.uintp(lo), np.uintp(hi)):  # unsigned: no index counts from the end
        p = x[here, i]  # every number is read once: a compiler would read it again after each write
        q = k.shrink * g[row, i] + k.l2 * p
        if lower is not None:
            low, high = lower[i], upper[i]
            if (p <= low and q > 0) or (p >= high and q < 0):
                q = q - q
                slots[0, i] = q
        if scale is not None:
            unit = scale[i]
            q = q * unit
        if gain is not None:
            factor = gain[i]
        if last is not None:
            agreement = q * last[i]
            factor = factor * k.gain_up if agreement > 0 else factor
            factor = factor * k.gain_down if agreement < 0 else factor
            factor = factor if factor < k.gain_max else k.gain_max
            factor = factor if factor > k.gain_min else k.gain_min
            gain[i] = factor
        step = apply(method, q, slots, i, c)
        if gain is not None:
            step = step * factor
        if last is not None:
            last[i] = step
            step = k.rate * step
        if scale is not None:
            step = step * unit
        shrinkage = k.decay * p
        if gain is not None:
            shrinkage = shrinkage * factor
        p = p - step - shrinkage
        if lower is not None:
            p = p if p > low else low
            p = p if p < high else high
        if there is None:
            x[here, i] = p
        else:
            x[there, i] = p
        if twin is not None:
            x[twin, i] = p


@inner
def uphill(i, x, here, g, row, scale, lower, upper):
    """Return a gradient element in units of scale; nothing where it points out of the bounds."""
    q = g[row, i]
    if lower is not None:
        if (x[here, i] <= lower[i] and q > 0) or (x[here, i] >= upper[i] and q < 0):
            q = q - q
    if scale is not None:
        q = q * scale[i]
    return q


@inner
def slope(lo, hi, x, here, g, row, scale, lower, upper):
    """Return the largest |scaled projected gradient|; NaN or infinity where one is not finite.

    Read as integers, the bits of non-negative floats sort like the floats, with infinity and NaN on
    top: one integer maximum, which vectorises, finds the norm and what is not finite.
    """
    top = np.int64(0)
    for i in range(np.uintp(lo), np.uintp(hi)):  # unsigned: no index counts from the end
        top = higher(top, uphill(i, x, here, g, row, scale, lower, upper))
    return top


@inner
def higher(top, q):
    """Return the larger of `top` and the bits of |q|."""
    bits = np.float64(abs(q)).view(np.int64)
    return bits if bits > top else top


@inner
def products(lo, hi, x, here, g, row, last, scale, lower, upper):
    """Return the slope over lo..hi, and the sums of g.last, g.g and last.last.

    Four sums of every fourth element each, which vectorise, in an order that is always the same.
    """
    t0 = t1 = t2 = t3 = np.int64(0)
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = 0.0
    one, lo, hi = np.uintp(1), np.uintp(lo), np.uintp(hi)
    end = hi - (hi - lo) % np.uintp(4)
    for i in range(lo, end, np.uintp(4)):
        j, k, m = i + one, i + np.uintp(2), i + np.uintp(3)
        q0 = np.float64(uphill(i, x, here, g, row, scale, lower, upper))
        q1 = np.float64(uphill(j, x, here, g, row, scale, lower, upper))
        q2 = np.float64(uphill(k, x, here, g, row, scale, lower, upper))
        q3 = np.float64(uphill(m, x, here, g, row, scale, lower, upper))
        t0, t1, t2, t3 = higher(t0, q0), higher(t1, q1), higher(t2, q2), higher(t3, q3)
        b0, b1, b2, b3 = b0 + q0 * q0, b1 + q1 * q1, b2 + q2 * q2, b3 + q3 * q3
        if last is not None:
            d0, d1, d2, d3 = (
                np.float64(last[i]), np.float64(last[j]), np.float64(last[k]), np.float64(last[m])
            )  # fmt: skip
            a0, a1, a2, a3 = a0 + q0 * d0, a1 + q1 * d1, a2 + q2 * d2, a3 + q3 * d3
            c0, c1, c2, c3 = c0 + d0 * d0, c1 + d1 * d1, c2 + d2 * d2, c3 + d3 * d3
    along, norm2, last2 = a0 + a1 + a2 + a3, b0 + b1 + b2 + b3, c0 + c1 + c2 + c3
    top = max(max(t0, t1), max(t2, t3))
    for i in range(end, hi):
        q = np.float64(uphill(i, x, here, g, row, scale, lower, upper))
        d = np.float64(last[i]) if last is not None else 0.0
        top = higher(top, q)
        along, norm2, last2 = along + q * d, norm2 + q * q, last2 + d * d
    return top, along, norm2, last2


@inner
def block_count(n):
    return (n + BLOCK - 1) // BLOCK


@numba.njit(parallel=True, **JIT)
def parallel_sweep(
    method, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k
):
    n = x.shape[1]
    for b in numba.prange(block_count(n)):
        lo, hi = b * BLOCK, min((b + 1) * BLOCK, n)
        sweep(
            method, lo, hi, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k
        )  # fmt: skip


@numba.njit(parallel=True, **JIT)
def parallel_measure(x, here, g, row, last, scale, lower, upper, summed, tops, parts):
    n = x.shape[1]
    for b in numba.prange(tops.size):
        lo, hi = b * BLOCK, min((b + 1) * BLOCK, n)
        if summed:
            tops[b], parts[0, b], parts[1, b], parts[2, b] = products(
                lo, hi, x, here, g, row, last, scale, lower, upper
            )
        else:
            tops[b] = slope(lo, hi, x, here, g, row, scale, lower, upper)


def sweep_all(method, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k):
    """Stand in for the loop over all elements; Numba picks by type."""


@overload(sweep_all, jit_options=INLINED)
def _sweep_all(method, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k):
    def serial(method, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k):
        n = x.shape[1]
        sweep(
            method, 0, n, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k
        )

    def parallel(
        method, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k
    ):
        parallel_sweep(
            method, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k
        )

    return {"serial": serial, "threads": parallel}.get(method.loops)


def measure(method, x, here, g, row, last, scale, lower, upper, summed):
    """Stand in for the slope and, where `summed`, the sums of g.last, g.g and last.last, g projected
    and scaled; Numba picks by type.
    """


@overload(measure, jit_options=INLINED)
def _measure(method, x, here, g, row, last, scale, lower, upper, summed):
    def serial(method, x, here, g, row, last, scale, lower, upper, summed):
        n, top = x.shape[1], np.int64(0)
        along = norm2 = last2 = 0.0
        if summed:  # block after block, as threads have them
            for b in range(block_count(n)):
                lo, hi = b * BLOCK, min((b + 1) * BLOCK, n)
                t, a, q2, d2 = products(lo, hi, x, here, g, row, last, scale, lower, upper)
                top = max(top, t)
                along, norm2, last2 = along + a, norm2 + q2, last2 + d2
        else:
            top = slope(0, n, x, here, g, row, scale, lower, upper)
        return np.int64(top).view(np.float64), along, norm2, last2

    def parallel(method, x, here, g, row, last, scale, lower, upper, summed):
        blocks = block_count(x.shape[1])
        tops, parts = np.zeros(blocks, np.int64), np.zeros((3, blocks))
        parallel_measure(x, here, g, row, last, scale, lower, upper, summed, tops, parts)
        along = norm2 = last2 = 0.0
        for b in range(blocks):
            along, norm2, last2 = along + parts[0, b], norm2 + parts[1, b], last2 + parts[2, b]
        return np.int64(tops.max()).view(np.float64), along, norm2, last2

    return {"serial": serial, "threads": parallel}.get(method.loops)


def empty(method, g, slots, last):
    """Stand in for the loop that empties the memory; Numba picks by type."""


@overload(empty, jit_options=INLINED)
def _empty(method, g, slots, last):
    def here(method, g, slots, last):
        for i in range(last.size):
            last[i] = 0
            for slot in range(slots.shape[0]):
                slots[slot, i] = 0

    return {"serial": here, "threads": here}.get(method.loops)


def largest_move(method, x, here, there, g, scale):
    """Stand in for the largest step relative to the size of its variable; Numba picks by type."""


@overload(largest_move, jit_options=INLINED)
def _largest_move(method, x, here, there, g, scale):
    def at_once(method, x, here, there, g, scale):
        top = 0.0
        for i in range(x.shape[1]):
            top = max(top, moved(x, here, there, i, scale))
        return top

    return {"serial": at_once, "threads": at_once}.get(method.loops)


@inner
def moved(x, here, there, i, scale):
    """Return how far a variable was moved, relative to its size."""
    unit = scale[i] if scale is not None else 1.0
    return abs(x[there, i] - x[here, i]) / max(abs(x[here, i]), unit)


@entry
def step(method, x, g, slots, rates, o, t, rate):
    """Take step number t (from 1) in place; `rates` is None or one learning rate per element."""
    c = narrow(coefficients(method, o, t, rate), x)
    k = shell(o, rate, 1.0, x)
    sweep_all(method, x, 0, None, None, g, 0, slots, rates, None, None, None, None, c, k)


@entry
def numbers(method, o, t, rate, x):
    """Return the coefficients and the loop's numbers of step t for `sweep` on another device."""
    return narrow(coefficients(method, o, t, rate), x), shell(o, rate, 1.0, x)
