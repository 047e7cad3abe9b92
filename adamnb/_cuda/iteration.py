"""The kernels of a minimisation: begin, measure, decide, move.

They stop by themselves: once a stop test is met, what has been launched beyond does nothing.
"""

import numba
import numpy as np
from numba import types

from .._compiled import elements, kernels
from .._compiled.elements import Adaptation, Regularisation
from .._compiled.loops import slots_of
from .._compiled.machine_code import array_type, machine_code
from .._compiled.method import MethodType
from .._compiled.reasons import GOING
from .._compiled.records import OPTIONS, STATE
from .._compiled.rules import Coefficients
from . import remote
from .driver import DEVICE, SIMULATED, cuda, on_host
from .remote import (
    ADAPTATION,
    ALONG,
    ALONG_BEST,
    MOVED,
    NORM,
    NORM2,
    PART,
    PLAN,
    PREVIOUS2,
    REDUCED,
    REDUCTIONS,
    REGULARISATION,
    RULE,
    Remote,
)
from .step import sweep

MOST_THREADS = 256  # of a block, a power of two

projected = cuda.jit(**DEVICE)(kernels.projected.py_func)
interpolate = cuda.jit(**DEVICE)(kernels.interpolate.py_func)
relative_move = cuda.jit(**DEVICE)(elements.relative_move)
size_of = cuda.jit(**DEVICE)(elements.size_of)
within = cuda.jit(**DEVICE)(elements.within)


def _decide_simulated(method, remote_, state, options, fun, rate):
    """Run the host's machine code: the simulator has the host's memory, but no overloads."""
    here = Remote(*map(on_host, remote_))
    decide = machine_code(
        remote.decide,
        (
            method, remote.remote_type(here), array_type(STATE, 1), array_type(OPTIONS, 1),
            types.float64, types.float64,
        ),
    )  # fmt: skip
    decide(None, here, on_host(state), on_host(options), float(fun), float(rate))


decide = _decide_simulated if SIMULATED else cuda.jit(**DEVICE)(remote.decide.py_func)


@cuda.jit(**DEVICE)
def larger(a, b):
    """Return the larger number, NaN if one is."""
    return b if a <= b or b != b else a


@cuda.jit(**DEVICE)
def reduce(parts):
    """Reduce the block's rows of `parts` to their first column, always in the same order."""
    t, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    cuda.syncthreads()
    while half > 0:
        if t < half:
            for k in range(REDUCTIONS):
                if k in (NORM, MOVED):
                    parts[k, t] = larger(parts[k, t], parts[k, t + half])
                else:
                    parts[k, t] += parts[k, t + half]
        cuda.syncthreads()
        half //= 2


def begin(x0, x, spare, scale, lower, upper, own_scale, bad):
    """Write the start, and the size of its variables; `bad` gets the least index where it is not finite."""
    one = x.dtype.type(1)
    n, stride = np.uintp(x.shape[1]), np.uintp(cuda.gridsize(1))
    i = np.uintp(cuda.grid(1))
    while i < n:
        p = x0[0, i]
        nothing = p - p  # no literal: one would make float64 of it
        if nothing != nothing:
            cuda.atomic.min(bad, 0, np.int64(i))
        if lower is not None:
            p = within(p, lower[i], upper[i])
        x[0, i] = p
        spare[i] = p
        if scale is not None:
            if own_scale:
                scale[i] = size_of(p, one)
        i += stride


def measure(x, g, previous, scale, lower, upper, state, options, plan, gradient, parts):
    """Take the gradient at the current point; sums and maxima block by block, into `parts`."""
    if plan[0].reason != GOING:
        return
    s = state[0]
    n, stride = np.uintp(x.shape[1]), np.uintp(cuda.gridsize(1))
    x_, g_, before, x_best, g_best = s.x, s.g, plan[0].x, s.x_best, s.g_best
    from_best, moves = before == x_best, options[0].xtol > 0.0 and s.nit > 0
    top = most = along = norm2 = previous2 = along_best = 0.0
    i = np.uintp(cuda.grid(1))
    while i < n:
        g[g_, i] = gradient[0, i]
        q = float(projected(i, x[x_], g[g_], scale, lower, upper))
        top = larger(top, abs(q))
        norm2 += q * q
        if previous is not None:
            d = float(previous[i])
            along += q * d
            previous2 += d * d
            if from_best:
                along_best += float(projected(i, x[x_best], g[g_best], scale, lower, upper)) * d
        if moves:
            unit = scale[i] if scale is not None else 1.0
            most = larger(most, float(relative_move(x[before, i], x[x_, i], unit)))
        i += stride
    shared, t = cuda.shared.array((REDUCTIONS, MOST_THREADS), numba.float64), cuda.threadIdx.x
    shared[NORM, t], shared[MOVED, t], shared[ALONG, t] = top, most, along
    shared[NORM2, t], shared[PREVIOUS2, t], shared[ALONG_BEST, t] = norm2, previous2, along_best
    reduce(shared)
    if t == 0:
        for k in range(REDUCTIONS):
            parts[k, cuda.blockIdx.x] = shared[k, 0]


def reduce_and_decide(method, parts, reduced, plan, numbers, state, options, fun, value, rate):
    """Reduce `parts` in one block, and make the iteration; f is `fun`, or `value` where that is None."""
    if cuda.blockIdx.x != 0 or plan[0].reason != GOING:
        return
    shared, t = cuda.shared.array((REDUCTIONS, MOST_THREADS), numba.float64), cuda.threadIdx.x
    for k in range(REDUCTIONS):
        shared[k, t] = 0.0
        for j in range(t, parts.shape[1], cuda.blockDim.x):
            if k in (NORM, MOVED):
                shared[k, t] = larger(shared[k, t], parts[k, j])
            else:
                shared[k, t] += parts[k, j]
    reduce(shared)
    if t == 0:
        r = reduced[0]
        r.norm, r.largest_step, r.along = shared[NORM, 0], shared[MOVED, 0], shared[ALONG, 0]
        r.norm2, r.previous2 = shared[NORM2, 0], shared[PREVIOUS2, 0]
        r.along_best, r.g = shared[ALONG_BEST, 0], state[0].g
        there = Remote(reduced, plan, numbers, None)
        if fun is not None:
            decide(method, there, state, options, float(fun[0, 0]), rate)
        else:
            decide(method, there, state, options, value, rate)


def move(
    method, x, g, slots, spare, factors, previous, scale, lower, upper, numbers, plan
):  # fmt: skip
    """Step all elements as planned; the point goes to `spare` as well."""
    if plan[0].reason != GOING:
        return
    c = Coefficients(
        numbers[RULE], numbers[RULE + 1], numbers[RULE + 2], numbers[RULE + 3], numbers[RULE + 4],
        numbers[RULE + 5], numbers[RULE + 6], numbers[RULE + 7],
    )  # fmt: skip
    r = Regularisation(
        numbers[REGULARISATION], numbers[REGULARISATION + 1], numbers[REGULARISATION + 2]
    )
    a = Adaptation(
        numbers[ADAPTATION], numbers[ADAPTATION + 1], numbers[ADAPTATION + 2],
        numbers[ADAPTATION + 3], numbers[ADAPTATION + 4],
    )  # fmt: skip
    x_, new, g_ = plan[0].x, plan[0].new, plan[0].g
    n, stride, one = np.uintp(x.shape[1]), np.uintp(cuda.gridsize(1)), np.uintp(1)
    i = np.uintp(cuda.grid(1))
    if previous is not None:
        if plan[0].forget == 1:
            while i < n:
                previous[i] = 0
                for slot in range(slots.shape[0]):
                    slots[slot, i] = 0
                i += stride
            i = np.uintp(cuda.grid(1))
        if plan[0].interpolate == 1:
            before_x, after_x, part = plan[0].before_x, plan[0].after_x, numbers[PART]
            before_g, after_g = plan[0].before_g, plan[0].after_g
            while i < n:
                interpolate(i, i + one, x, before_x, after_x, x_, part)
                interpolate(i, i + one, g, before_g, after_g, g_, part)
                i += stride
            i = np.uintp(cuda.grid(1))
    while i < n:
        sweep(
            method, i, i + one, x[x_], x[new], spare, g[g_], slots_of(method, slots), factors, previous,
            scale, lower, upper, c, r, a,
        )  # fmt: skip
        i += stride


class Signatures:
    """The types of the kernels of one minimisation, whose vectors are given or None."""

    def __init__(self, method: MethodType, dtype: np.dtype, given: tuple[bool, ...]) -> None:
        rows, vector = array_type(dtype, 2), array_type(dtype, 1)
        factors, previous, scale, lower, upper = (vector if one else types.none for one in given)
        whole, parts = array_type(np.dtype(np.int64), 1), array_type(np.dtype(float), 2)
        state, options = array_type(STATE, 1), array_type(OPTIONS, 1)
        plan, reduced = array_type(PLAN, 1), array_type(REDUCED, 1)
        self.begin = rows, rows, vector, scale, lower, upper, types.boolean, whole
        self.measure = (
            rows, rows, previous, scale, lower, upper, state, options, plan, rows, parts
        )  # fmt: skip
        self.move = (
            method, rows, rows, rows, vector, factors, previous, scale, lower, upper, vector, plan
        )  # fmt: skip
        self._decide = method, parts, reduced, plan, vector, state, options

    def decide(self, fun: np.dtype | None) -> tuple:
        """Return the types where f is an array of this dtype, or a number of the host."""
        kind = types.none if fun is None else array_type(fun, 2)
        return *self._decide, kind, types.float64, types.float64


# Places among the arguments of what changes from launch to launch.
GRADIENT, FUN, VALUE, RATE = 9, 7, 8, 9
