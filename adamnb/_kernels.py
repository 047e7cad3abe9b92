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

BLOCK = 8192  # elements a thread takes at once; also the unit of every sum, so that bits do not
LANES = 16  # depend on the number of threads
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
    top = np.uint64(0)
    for i in range(np.uintp(lo), np.uintp(hi)):  # unsigned: no index counts from the end
        q = uphill(i, x, here, g, row, scale, lower, upper)
        bits = np.float64(abs(q)).view(np.uint64)
        top = bits if bits > top else top
    return top


@inner
def products(lo, hi, x, here, g, row, last, scale, lower, upper, lanes):
    """Add g.last, g.g and last.last over lo..hi to lanes[:, 0], in an order that is always the same."""
    for j in range(LANES):
        lanes[0, j] = lanes[1, j] = lanes[2, j] = 0.0
    for start in range(lo, hi, LANES):
        for j in range(min(LANES, hi - start)):
            i = start + j
            q = np.float64(uphill(i, x, here, g, row, scale, lower, upper))
            d = np.float64(last[i]) if last is not None else 0.0
            lanes[0, j] += q * d
            lanes[1, j] += q * q
            lanes[2, j] += d * d
    for j in range(1, min(LANES, hi - lo)):
        lanes[0, 0] += lanes[0, j]
        lanes[1, 0] += lanes[1, j]
        lanes[2, 0] += lanes[2, j]


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
def parallel_slope(x, here, g, row, scale, lower, upper):
    n = x.shape[1]
    tops = np.empty(block_count(n), np.uint64)
    for b in numba.prange(tops.size):
        lo, hi = b * BLOCK, min((b + 1) * BLOCK, n)
        tops[b] = slope(lo, hi, x, here, g, row, scale, lower, upper)
    return tops.max()


@numba.njit(parallel=True, **JIT)
def parallel_products(x, here, g, row, last, scale, lower, upper, lanes):
    n = x.shape[1]
    for b in numba.prange(len(lanes)):
        lo, hi = b * BLOCK, min((b + 1) * BLOCK, n)
        products(lo, hi, x, here, g, row, last, scale, lower, upper, lanes[b])


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

    return {"serial": serial, "alone": serial, "threads": parallel}.get(method.loops)


def slope_all(method, x, here, g, row, scale, lower, upper):
    """Stand in for the loop over all elements; Numba picks by type."""


@overload(slope_all, jit_options=INLINED)
def _slope_all(method, x, here, g, row, scale, lower, upper):
    def serial(method, x, here, g, row, scale, lower, upper):
        top = slope(0, x.shape[1], x, here, g, row, scale, lower, upper)
        return np.uint64(top).view(np.float64)

    def parallel(method, x, here, g, row, scale, lower, upper):
        return np.uint64(parallel_slope(x, here, g, row, scale, lower, upper)).view(np.float64)

    return {"serial": serial, "alone": serial, "threads": parallel}.get(method.loops)


def products_all(method, x, here, g, row, last, scale, lower, upper, lanes):
    """Stand in for the loop over all elements; Numba picks by type."""


@overload(products_all, jit_options=INLINED)
def _products_all(method, x, here, g, row, last, scale, lower, upper, lanes):
    def serial(method, x, here, g, row, last, scale, lower, upper, lanes):
        n = x.shape[1]
        for b in range(len(lanes)):
            lo, hi = b * BLOCK, min((b + 1) * BLOCK, n)
            products(lo, hi, x, here, g, row, last, scale, lower, upper, lanes[b])

    def parallel(method, x, here, g, row, last, scale, lower, upper, lanes):
        parallel_products(x, here, g, row, last, scale, lower, upper, lanes)

    return {"serial": serial, "alone": serial, "threads": parallel}.get(method.loops)


def sums(method, x, here, g, row, last, scale, lower, upper):
    """Stand in for g.last, g.g and last.last, g projected and scaled; Numba picks by type."""


@overload(sums, jit_options=INLINED)
def _sums(method, x, here, g, row, last, scale, lower, upper):
    return {"serial": sums_here, "alone": sums_alone, "threads": sums_here}.get(method.loops)


def sums_here(method, x, here, g, row, last, scale, lower, upper):
    """Sum block after block, so that bits do not depend on the number of threads."""
    along = norm2 = last2 = 0.0
    if x.shape[1] <= LANES:  # one element a lane: the same sums without the lanes
        for i in range(np.uintp(x.shape[1])):
            q = np.float64(uphill(i, x, here, g, row, scale, lower, upper))
            d = np.float64(last[i]) if last is not None else 0.0
            along += q * d
            norm2 += q * q
            last2 += d * d
        return along, norm2, last2
    lanes = np.empty((block_count(x.shape[1]), 3, LANES))
    products_all(method, x, here, g, row, last, scale, lower, upper, lanes)
    for b in range(len(lanes)):
        along += lanes[b, 0, 0]
        norm2 += lanes[b, 1, 0]
        last2 += lanes[b, 2, 0]
    return along, norm2, last2


def sums_alone(method, x, here, g, row, last, scale, lower, upper):
    """Sum in the order of `sums_here`, lane after lane, which takes no memory."""
    along = norm2 = last2 = 0.0
    for lo in range(0, x.shape[1], BLOCK):
        hi = min(lo + BLOCK, x.shape[1])
        along_block = norm2_block = last2_block = 0.0
        for lane in range(lo, min(lo + LANES, hi)):
            along_lane = norm2_lane = last2_lane = 0.0
            for i in range(np.uintp(lane), np.uintp(hi), np.uintp(LANES)):
                q = np.float64(uphill(i, x, here, g, row, scale, lower, upper))
                d = np.float64(last[i]) if last is not None else 0.0
                along_lane += q * d
                norm2_lane += q * q
                last2_lane += d * d
            along_block += along_lane
            norm2_block += norm2_lane
            last2_block += last2_lane
        along += along_block
        norm2 += norm2_block
        last2 += last2_block
    return along, norm2, last2


def empty(method, g, slots, last):
    """Stand in for the loop that empties the memory; Numba picks by type."""


@overload(empty, jit_options=INLINED)
def _empty(method, g, slots, last):
    def here(method, g, slots, last):
        for i in range(last.size):
            last[i] = 0
            for slot in range(slots.shape[0]):
                slots[slot, i] = 0

    return {"serial": here, "alone": here, "threads": here}.get(method.loops)


def largest_move(method, x, here, there, g, scale):
    """Stand in for the largest step relative to the size of its variable; Numba picks by type."""


@overload(largest_move, jit_options=INLINED)
def _largest_move(method, x, here, there, g, scale):
    def at_once(method, x, here, there, g, scale):
        top = 0.0
        for i in range(x.shape[1]):
            top = max(top, moved(x, here, there, i, scale))
        return top

    return {"serial": at_once, "alone": at_once, "threads": at_once}.get(method.loops)


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
