"""Loops over all elements, serial and on threads: what an iteration asks of its vectors.

A method of threads has the elements cut into chunks. Sums are taken chunk by chunk by all, so that bits
do not depend on the threads. GPUs have overloads of their own (`_cuda.remote`).
"""

from math import inf
from typing import NamedTuple

import numba
import numpy as np
from numba import types
from numba.extending import overload

from .cache import INLINED, JIT, copied, entry, inner, seldom
from .elements import Regularisation
from .intrinsics import cast_to, float_of
from .kernels import (
    apart,
    interpolate,
    larger_bits,
    largest_move,
    norm,
    products,
    sweep,
    usable,
)
from .ranks import MOST, combine, joined
from .rules import RULES, Step, coefficients
from .vectors import Vectors

RANKS = Vectors._fields.index("ranks")
CHUNK = 8192  # elements that a thread takes at once, and that are summed by themselves


class Measured(NamedTuple):
    """What is known of a gradient g, projected and scaled. The sums are 0 where they are not asked for."""

    norm: float  # its largest |element|; NaN or infinity where one is not finite
    along: float  # g . previous step
    norm2: float  # g . g
    previous2: float  # previous step . previous step


class Move(NamedTuple):
    """Which rows of x and g a step is between: from `x` by the gradient `g` to `new`."""

    x: int
    new: int
    g: int


class Numbers(NamedTuple):
    """The numbers of a step, float64; loops take them in the dtype of x."""

    rule: object  # Coefficients
    regularisation: object  # Regularisation, or None where the method is plain
    adaptation: object  # Adaptation, or None where the learning rate is given


@copied
def chunk_count(n):
    """Return how many chunks n elements make."""
    return (n + CHUNK - 1) // CHUNK


@copied
def chunk(b, n):
    """Return where chunk b of n elements begins and ends."""
    lo, hi = b * CHUNK, (b + 1) * CHUNK
    return lo, hi if hi < n else n


def on_host(vectors):
    """Return whether the overloads here are to be taken: the vectors are in the host's memory."""
    return getattr(vectors, "instance_class", None) is Vectors


@inner
def numbers(method, o, step, clip):
    """Return the numbers of a step with a given learning rate."""
    r = Regularisation(clip, o.l2, step.rate * o.decay)
    return Numbers(coefficients(method, o, step), r, None)


# ------------------------------------------------------------------------------------------- a step


def slots_of(method, slots):
    """Return the tuple of a method's slots; compiled by `_slots_of`."""
    return tuple(slots)


@overload(slots_of, jit_options=INLINED)
def _slots_of(method, slots):
    return (
        lambda method, slots: (slots[0],),
        lambda method, slots: (slots[0], slots[1]),
        lambda method, slots: (slots[0], slots[1], slots[2]),
    )[RULES[method.rule][1] - 1]


@numba.njit(parallel=True, **JIT)
def parallel_sweep(
    method, x, new, twin, g, slots, factors, previous, scale, lower, upper, c, r, a
):  # fmt: skip
    n = x.size
    for b in numba.prange(chunk_count(n)):
        lo, hi = chunk(b, n)
        sweep(
            method, lo, hi, x, new, twin, g, slots_of(method, slots),
            factors, previous, scale, lower, upper, c, r, a,
        )  # fmt: skip


def sweep_all(method, v, s, o, move, k):
    """Step all elements, and note the largest step where xtol asks for it; compiled by `_sweep_all`."""


@overload(sweep_all, jit_options=INLINED)
def _sweep_all(method, v, s, o, move, k):
    def serial(method, v, s, o, move, k):
        sweep(
            method, 0, v.spare.size, v.x[np.uintp(move.x)], v.x[np.uintp(move.new)], v.spare,
            v.g[np.uintp(move.g)], slots_of(method, v.slots), v.factors, v.previous, v.scale, v.lower,
            v.upper, cast_to(k.rule, v.x), cast_to(k.regularisation, v.x), cast_to(k.adaptation, v.x),
        )  # fmt: skip

    def threads(method, v, s, o, move, k):
        parallel_sweep(
            method, v.x[np.uintp(move.x)], v.x[np.uintp(move.new)], v.spare, v.g[np.uintp(move.g)],
            v.slots, v.factors, v.previous, v.scale, v.lower, v.upper, cast_to(k.rule, v.x),
            cast_to(k.regularisation, v.x), cast_to(k.adaptation, v.x),
        )  # fmt: skip

    if not on_host(v):
        return None
    if method.plain:
        return threads if method.threads else serial
    sweep_ = inner(threads if method.threads else serial)

    def noted(method, v, s, o, move, k):
        sweep_(method, v, s, o, move, k)
        if o.xtol > 0.0:
            most = largest_move(v.x[move.x], v.x[move.new], v.scale)
            s.largest_step = joined(v.ranks, most, MOST)

    return noted


# ------------------------------------------------------------------------------------ norms and sums


@numba.njit(parallel=True, **JIT)
def parallel_norm(x, g, scale, lower, upper, chunks):
    """Write the largest element of the projected gradient of each chunk."""
    for b in numba.prange(chunk_count(x.size)):
        lo, hi = chunk(b, x.size)
        chunks[0, b] = float_of(norm(lo, hi, x, g, scale, lower, upper))


@numba.njit(parallel=True, **JIT)
def parallel_products(x, g, previous, scale, lower, upper, chunks):
    """Write what `products` returns for each chunk."""
    for b in numba.prange(chunk_count(x.size)):
        lo, hi = chunk(b, x.size)
        top, chunks[1, b], chunks[2, b], chunks[3, b] = products(
            lo, hi, x, g, previous, scale, lower, upper
        )
        chunks[0, b] = float_of(top)


def norm_alone(threads):
    """Return the function that measures the norm alone."""

    def serial(method, v, x, g, o):
        x_, g_ = v.x[np.uintp(x)], v.g[np.uintp(g)]
        top = norm(0, x_.size, x_, g_, v.scale, v.lower, v.upper)
        return Measured(float_of(top), 0.0, 0.0, 0.0)

    def parallel(method, v, x, g, o):
        x_, g_, top = v.x[np.uintp(x)], v.g[np.uintp(g)], np.int64(0)
        parallel_norm(x_, g_, v.scale, v.lower, v.upper, v.chunks)
        for b in range(chunk_count(x_.size)):
            top = larger_bits(top, v.chunks[0, b])
        return Measured(float_of(top), 0.0, 0.0, 0.0)

    return parallel if threads else serial


def norm_and_products(threads):
    """Return the function that measures all."""

    def serial(method, v, x, g, o):
        x_, g_ = v.x[np.uintp(x)], v.g[np.uintp(g)]
        top, along, norm2, previous2 = np.int64(0), 0.0, 0.0, 0.0
        for b in range(chunk_count(x_.size)):
            lo, hi = chunk(b, x_.size)
            t, a, g2, p2 = products(lo, hi, x_, g_, v.previous, v.scale, v.lower, v.upper)
            top = t if t > top else top
            along, norm2, previous2 = along + a, norm2 + g2, previous2 + p2
        return Measured(float_of(top), along, norm2, previous2)

    def parallel(method, v, x, g, o):
        x_, g_, top = v.x[np.uintp(x)], v.g[np.uintp(g)], np.int64(0)
        parallel_products(x_, g_, v.previous, v.scale, v.lower, v.upper, v.chunks)
        along, norm2, previous2 = 0.0, 0.0, 0.0
        for b in range(chunk_count(x_.size)):
            top = larger_bits(top, v.chunks[0, b])
            along, norm2 = along + v.chunks[1, b], norm2 + v.chunks[2, b]
            previous2 = previous2 + v.chunks[3, b]
        return Measured(float_of(top), along, norm2, previous2)

    return parallel if threads else serial


def measured(method, v, x, g, o):
    """Return what the method needs to know of gradient row g at point row x; compiled by `_measured`."""


@overload(measured, jit_options=INLINED)
def _measured(method, v, x, g, o):
    if not on_host(v):
        return None
    if method.automatic:
        return norm_and_products(method.threads)
    if method.plain:
        return norm_alone(method.threads)
    all_of, norm_of = inner(norm_and_products(method.threads)), inner(norm_alone(method.threads))

    def for_clipping(method, v, x, g, o):
        if o.clip_norm < inf:
            return all_of(method, v, x, g, o)
        return norm_of(method, v, x, g, o)

    return for_clipping


def of_all(v, m):
    """Return what all ranks have measured together; compiled by `_of_all`."""


@overload(of_all, jit_options=INLINED)
def _of_all(v, m):
    def with_others(v, m):
        a = v.ranks.numbers
        a[0], a[1], a[2], a[3] = m.norm, m.along, m.norm2, m.previous2
        combine(v.ranks, a, 1, 4)
        return Measured(a[0], a[1], a[2], a[3])

    alone = not on_host(v) or isinstance(v.types[RANKS], types.NoneType)
    return (lambda v, m: m) if alone else with_others


@inner
def measure(method, v, x, g, o):
    """Return what `measured` does, which Numba compiles for each kind of caller; this once for all."""
    return of_all(v, measured(method, v, x, g, o))


measure_again = seldom(measure.py_func)


# ------------------------------------------------------------------------------------------ the rest


@numba.njit(parallel=True, **JIT)
def parallel_interpolate(rows, a, b, into, part):
    """Write a point between two rows, on threads."""
    n = rows.shape[1]
    for k in numba.prange(chunk_count(n)):
        lo, hi = chunk(k, n)
        interpolate(lo, hi, rows, a, b, into, part)


def interpolate_all(method, v, before, after, into, part):
    """Go to a point between two, whose gradients are known; compiled by `_interpolate_all`.

    `before`, `after` and `into` are pairs of rows of x and g; `into` is one of the other two.
    """


@overload(interpolate_all, jit_options=INLINED)
def _interpolate_all(method, v, before, after, into, part):
    def serial(method, v, before, after, into, part):
        n = v.spare.size
        interpolate(0, n, v.x, before[0], after[0], into[0], part)
        interpolate(0, n, v.g, before[1], after[1], into[1], part)

    def threads(method, v, before, after, into, part):
        parallel_interpolate(v.x, before[0], after[0], into[0], part)
        parallel_interpolate(v.g, before[1], after[1], into[1], part)

    if on_host(v):
        return threads if method.threads else serial
    return None


def mix_all(method, v, a, b, into, part):
    """Make row `into` of x the point that lies by a part of the way between rows a and b, and may be one.

    Compiled by `_mix_all`.
    """


@overload(mix_all, jit_options=INLINED)
def _mix_all(method, v, a, b, into, part):
    def serial(method, v, a, b, into, part):
        interpolate(0, v.spare.size, v.x, a, b, into, part)

    def threads(method, v, a, b, into, part):
        parallel_interpolate(v.x, a, b, into, part)

    if on_host(v):
        return threads if method.threads else serial
    return None


def forget_all(method, v):
    """Empty the memory; compiled by `_forget_all`."""


@overload(forget_all, jit_options=INLINED)
def _forget_all(method, v):
    def forget(method, v):
        for i in range(v.previous.size):
            v.previous[i] = 0
            for slot in range(v.slots.shape[0]):
                v.slots[slot, i] = 0

    return forget if on_host(v) else None


TAKEN, INCOMPLETE, OVERLAP = 0, 1, 2  # what `step` returns


@entry
def step(method, x, g, slots, factors, options, t, rate, missed):
    """Take step number t (from 1) in place; return whether that could be done.

    OVERLAP: nothing was done, as g would have changed with x. INCOMPLETE: elements whose gradient is not
    finite or too large to be squared were left as they are, and so was the memory of them.

    x and g are vectors, slots has rows, `factors` is None or one learning rate per element, `options`
    is an array of one record, `missed` is None or, for threads, has a number for each chunk.
    """
    if not apart(x, g):
        return OVERLAP
    k = numbers_of_step(method, options, t, rate)
    return step_in_place(method, x, g, slots, factors, options[0].gradient_limit, k, missed)


def numbers_of_step(method, options, t, rate):
    """Return the numbers of step t; compiled by `_numbers_of_step`."""


@overload(numbers_of_step, jit_options=INLINED)
def _numbers_of_step(method, options, t, rate):
    def plain(method, options, t, rate):
        o = options[0]
        c = coefficients(method, o, Step(t, rate, o.beta1, o.log_beta1, None))
        return Numbers(c, None, None)

    def decayed(method, options, t, rate):
        o = options[0]
        return numbers(method, o, Step(t, rate, o.beta1, o.log_beta1, None), 1.0)

    return plain if method.plain else decayed


@inner
def step_chunk(method, lo, hi, x, g, slots, factors, limit, c, r):
    """Step the elements lo..hi of x in place, all but unusable ones; return TAKEN or INCOMPLETE.

    The gradient is still near when it is read for the second time.
    """
    outcome = TAKEN
    while lo < hi:
        end = usable(lo, hi, g, limit)
        sweep(
            method, lo, end, x, None, None, g, slots_of(method, slots), factors, None, None, None,
            None, c, r, None,
        )  # fmt: skip
        if end < hi:
            outcome = INCOMPLETE
        lo = end + 1
    return outcome


@numba.njit(parallel=True, **JIT)
def parallel_step(method, x, g, slots, factors, limit, c, r, missed):
    """Step in place on threads; `missed` gets what `step_chunk` returns for each chunk."""
    for b in numba.prange(missed.size):
        lo, hi = chunk(b, x.size)
        missed[b] = step_chunk(method, lo, hi, x, g, slots, factors, limit, c, r)


def step_in_place(method, x, g, slots, factors, limit, k, missed):
    """Step all elements of x in place; return TAKEN or INCOMPLETE. Compiled by `_step_in_place`."""


@overload(step_in_place, jit_options=INLINED)
def _step_in_place(method, x, g, slots, factors, limit, k, missed):
    def serial(method, x, g, slots, factors, limit, k, missed):
        c, r, top = cast_to(k.rule, x), cast_to(k.regularisation, x), x.dtype.type(limit)
        outcome = TAKEN
        for b in range(chunk_count(x.size)):
            lo, hi = chunk(b, x.size)
            outcome |= step_chunk(method, lo, hi, x, g, slots, factors, top, c, r)
        return outcome

    def threads(method, x, g, slots, factors, limit, k, missed):
        c, r, top = cast_to(k.rule, x), cast_to(k.regularisation, x), x.dtype.type(limit)
        parallel_step(method, x, g, slots, factors, top, c, r, missed)
        outcome = TAKEN
        for b in range(missed.size):
            outcome |= missed[b]
        return outcome

    return threads if method.threads else serial


@entry
def numbers_for_device(method, options, t, rate):
    """Return the numbers of step t for `sweep` on a device; `options` is an array of one record."""
    return numbers_of_step(method, options, t, rate)
