"""Loops over elements: one step, norms and products, serial and on threads.

`iterate` calls them through stand-ins, so that they may run elsewhere (`_remote.py`).

Arguments that are None are pruned when a loop is compiled, so what is not asked for costs nothing.
"""

from typing import NamedTuple

import numba
import numpy as np
from numba import types
from numba.core.cpu import CPUContext
from numba.extending import lower_builtin, overload, type_callable

from ._rules import (
    DECAY,
    GAIN_DOWN,
    GAIN_UP,
    INLINED,
    JIT,
    L2,
    RULES,
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

    shrink: (
        float  # factor of the gradient (clipping); a plain method needs neither it nor the next two
    )
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


def pull(method, k, g, p):
    """Stand in for the gradient, clipped and with weight decay's part of it; Numba picks by type."""
    return g if method.plain else k.shrink * g + k.l2 * p


@overload(pull, jit_options=INLINED)
def _pull(method, k, g, p):
    if method.plain:
        return lambda method, k, g, p: g
    return lambda method, k, g, p: k.shrink * g + k.l2 * p


def decayed(method, decay, p):
    """Stand in for a variable after decoupled weight decay; Numba picks by type."""
    return p if method.plain else p - decay * p


@overload(decayed, jit_options=INLINED)
def _decayed(method, decay, p):
    if method.plain:
        return lambda method, decay, p: p
    return lambda method, decay, p: p - decay * p


def disjoint():
    """Tell the compiler that no two arrays which the calling function is given overlap.

    Without that, loops compare all addresses before the first element, and vectorise only where there
    are so many elements that it pays.
    """


@type_callable(disjoint)
def _type_disjoint(context):
    return lambda: types.none


@lower_builtin(disjoint)
def _lower_disjoint(context, builder, signature, arguments):
    if isinstance(context, CPUContext):  # a GPU's thread has few elements and no registers to spare
        for argument in builder.function.args:
            if argument.type.is_pointer:
                argument.add_attribute("noalias")
    return context.get_dummy_value()


@inner
def sweep(method, lo, hi, x, new, twin, g, slots, gain, last, scale, lower, upper, c, k):
    """Step the elements lo..hi of x into `new`, or in place where that is None.

    All are vectors, `slots` a tuple of vectors; `twin` is None or gets the same as `new`.
    """
    if new is not None:  # in place x and g are a caller's, who may have let them overlap
        disjoint()
    for i in range(np.uintp(lo), np.uintp(hi)):  # unsigned: no index counts from the end
        p = x[i]  # every number is read once: a compiler would read it again after each write
        q = pull(method, k, g[i], p)
        if lower is not None:
            low, high = lower[i], upper[i]
            if (p <= low and q > 0) or (p >= high and q < 0):
                q = q - q
                slots[0][i] = q
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
        step, decay = apply(method, q, slots, i, c), k.decay
        if gain is not None:
            step, decay = step * factor, decay * factor
        if last is not None:
            last[i] = step
            step = k.rate * step
        if scale is not None:
            step = step * unit
        p = decayed(method, decay, p) - step
        if lower is not None:
            p = p if p > low else low
            p = p if p < high else high
        if new is None:
            x[i] = p
        else:
            new[i] = p
        if twin is not None:
            twin[i] = p


def vectors_of(method, slots):
    """Stand in for the tuple of a method's slots; Numba picks by type."""
    return tuple(slots)


@overload(vectors_of, jit_options=INLINED)
def _vectors_of(method, slots):
    return (
        lambda method, slots: (slots[0],),
        lambda method, slots: (slots[0], slots[1]),
        lambda method, slots: (slots[0], slots[1], slots[2]),
    )[RULES[method.rule][1] - 1]


def points_of(x, here, there, twin):
    """Stand in for the tuple of three rows of x, None for what is None; Numba picks by type."""


@overload(points_of, jit_options=INLINED)
def _points_of(x, here, there, twin):
    if isinstance(there, types.NoneType):
        return lambda x, here, there, twin: (x[np.uintp(here)], None, None)
    if isinstance(twin, types.NoneType):
        return lambda x, here, there, twin: (x[np.uintp(here)], x[np.uintp(there)], None)
    return lambda x, here, there, twin: (x[np.uintp(here)], x[np.uintp(there)], x[np.uintp(twin)])


@inner
def uphill(i, x, g, scale, lower, upper):
    """Return a gradient element in units of scale; nothing where it points out of the bounds."""
    q = g[i]
    if lower is not None:
        if (x[i] <= lower[i] and q > 0) or (x[i] >= upper[i] and q < 0):
            q = q - q
    if scale is not None:
        q = q * scale[i]
    return q


@inner
def slope(lo, hi, x, g, scale, lower, upper):
    """Return the largest |scaled projected gradient|; NaN or infinity where one is not finite.

    Read as integers, the bits of non-negative floats sort like the floats, with infinity and NaN on
    top: one integer maximum, which vectorises, finds the norm and what is not finite.
    """
    top = np.int64(0)
    for i in range(np.uintp(lo), np.uintp(hi)):  # unsigned: no index counts from the end
        top = higher(top, uphill(i, x, g, scale, lower, upper))
    return top


@inner
def higher(top, q):
    """Return the larger of `top` and the bits of |q|."""
    bits = np.float64(abs(q)).view(np.int64)
    return bits if bits > top else top


@inner
def products(lo, hi, x, g, last, scale, lower, upper):
    """Return the slope over lo..hi, and the sums of g.last, g.g and last.last.

    Four sums of every fourth element each, which vectorise, in an order that is always the same.
    """
    t0 = t1 = t2 = t3 = np.int64(0)
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = 0.0
    one, lo, hi = np.uintp(1), np.uintp(lo), np.uintp(hi)
    end = hi - (hi - lo) % np.uintp(4)
    for i in range(lo, end, np.uintp(4)):
        j, k, m = i + one, i + np.uintp(2), i + np.uintp(3)
        q0 = np.float64(uphill(i, x, g, scale, lower, upper))
        q1 = np.float64(uphill(j, x, g, scale, lower, upper))
        q2 = np.float64(uphill(k, x, g, scale, lower, upper))
        q3 = np.float64(uphill(m, x, g, scale, lower, upper))
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
        q = np.float64(uphill(i, x, g, scale, lower, upper))
        d = np.float64(last[i]) if last is not None else 0.0
        top = higher(top, q)
        along, norm2, last2 = along + q * d, norm2 + q * q, last2 + d * d
    return top, along, norm2, last2


def sweep_rows(
    method, lo, hi, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k
):  # fmt: skip
    """Stand in for `sweep` on rows of blocks; Numba picks by type."""


@overload(sweep_rows, jit_options=INLINED)
def _sweep_rows(
    method, lo, hi, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k
):  # fmt: skip
    def swept(
        method, lo, hi, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k
    ):  # fmt: skip
        point, new, copy = points_of(x, here, there, twin)
        gradient, memory = g[np.uintp(row)], vectors_of(method, slots)
        sweep(
            method, lo, hi, point, new, copy, gradient, memory, gain, last, scale, lower, upper, c, k
        )  # fmt: skip

    return swept


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
        sweep_rows(
            method, lo, hi, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k
        )  # fmt: skip


@numba.njit(parallel=True, **JIT)
def parallel_measure(x, g, last, scale, lower, upper, summed, tops, parts):
    n = x.size
    for b in numba.prange(tops.size):
        lo, hi = b * BLOCK, min((b + 1) * BLOCK, n)
        if summed:
            tops[b], parts[0, b], parts[1, b], parts[2, b] = products(
                lo, hi, x, g, last, scale, lower, upper
            )
        else:
            tops[b] = slope(lo, hi, x, g, scale, lower, upper)


def sweep_all(method, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k):
    """Stand in for the loop over all elements; Numba picks by type."""


@overload(sweep_all, jit_options=INLINED)
def _sweep_all(method, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k):
    def serial(method, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k):
        n = x.shape[1]
        sweep_rows(
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
        p, q = x[np.uintp(here)], g[np.uintp(row)]
        along = norm2 = last2 = 0.0
        if summed:  # block after block, as threads have them
            for b in range(block_count(n)):
                lo, hi = b * BLOCK, min((b + 1) * BLOCK, n)
                t, a, g2, d2 = products(lo, hi, p, q, last, scale, lower, upper)
                top = max(top, t)
                along, norm2, last2 = along + a, norm2 + g2, last2 + d2
        else:
            top = slope(0, n, p, q, scale, lower, upper)
        return np.int64(top).view(np.float64), along, norm2, last2

    def parallel(method, x, here, g, row, last, scale, lower, upper, summed):
        blocks = block_count(x.shape[1])
        tops, parts = np.zeros(blocks, np.int64), np.zeros((3, blocks))
        p, q = x[np.uintp(here)], g[np.uintp(row)]
        parallel_measure(p, q, last, scale, lower, upper, summed, tops, parts)
        along = norm2 = last2 = 0.0
        for b in range(blocks):
            along, norm2, last2 = along + parts[0, b], norm2 + parts[1, b], last2 + parts[2, b]
        return np.int64(tops.max()).view(np.float64), along, norm2, last2

    return {"serial": serial, "threads": parallel}.get(method.loops)


@inner
def mix_rows(lo, hi, block, a, b, into, part):
    """Write a + part (b - a), of rows a and b, into one of these rows."""
    share = block.dtype.type(part)
    for i in range(np.uintp(lo), np.uintp(hi)):
        p = block[a, i]
        block[into, i] = p + share * (block[b, i] - p)


@numba.njit(parallel=True, **JIT)
def parallel_mix(block, a, b, into, part):
    n = block.shape[1]
    for k in numba.prange(block_count(n)):
        mix_rows(k * BLOCK, min((k + 1) * BLOCK, n), block, a, b, into, part)


def mix(method, x, g, slots, before, here, x_into, row_before, row, g_into, part):
    """Stand in for the loop that goes to a point between two, whose gradients are known; Numba picks by
    type.
    """


@overload(mix, jit_options=INLINED)
def _mix(method, x, g, slots, before, here, x_into, row_before, row, g_into, part):
    def serial(method, x, g, slots, before, here, x_into, row_before, row, g_into, part):
        mix_rows(0, x.shape[1], x, before, here, x_into, part)
        mix_rows(0, x.shape[1], g, row_before, row, g_into, part)

    def parallel(method, x, g, slots, before, here, x_into, row_before, row, g_into, part):
        parallel_mix(x, before, here, x_into, part)
        parallel_mix(g, row_before, row, g_into, part)

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
