"""A minimisation on a GPU: everything stays there, and the host looks from time to time.

One iteration is three launches: elements are measured, one thread judges (`_remote.judge`), elements
are moved. They stop by themselves: once a stop test is met, what has been launched beyond does nothing.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from scipy.optimize import OptimizeResult

from . import _driver as D
from . import _kernels, _remote
from . import _rules as R
from ._compiled import array_type, machine_code
from ._cuda import (
    DEVICE,
    SIMULATED,
    DeviceVector,
    Launch,
    cuda,
    device_of,
    handle_of,
    interface_of,
    kernel,
    like,
    sharing,
    stream_of,
    sweep,
    view,
)
from ._kernels import vectors_of
from ._objective import as_scalar
from ._options import checked_rate
from ._remote import (
    ALONG,
    ALONG_BEST,
    BEFORE,
    EMPTY,
    HERE,
    LAST2,
    MEASURED,
    MIX,
    MOVED,
    NORM2,
    NUMBERS,
    ORDERS,
    PART,
    POINT,
    POINT_ROW,
    REASON,
    REDUCTIONS,
    ROW,
    ROW_BEFORE,
    SHELL,
    THERE,
    TOP,
)
from ._result import INTERRUPTED, OUT_OF_SECONDS
from ._rules import Coefficients, MethodType
from ._solve import BLOCK_SECONDS, LONGEST_BLOCK, Problem, Run
from ._state import AUTOMATIC, State, option_vector

WIDTH = 256  # threads of a block at most, a power of two
GRADIENT = 9  # which argument of `measure` changes ...
FUN, VALUE, RATE = 9, 10, 11  # ... and which of `conclude`

uphill = cuda.jit(**DEVICE)(_kernels.uphill.py_func)
mix_rows = cuda.jit(**DEVICE)(_kernels.mix_rows.py_func)
moved = cuda.jit(**DEVICE)(_kernels.moved.py_func)


def _judge_simulated(*arguments):
    """Run the host's machine code: the simulator has the host's memory, but no overloads."""
    method, *vectors, fun, rate = arguments
    arrays = [None if a is None else np.asarray(getattr(a, "_ary", a)) for a in vectors]
    kinds = [types.none if a is None else array_type(a.dtype, a.ndim) for a in arrays]
    judge = machine_code(_remote.judge, (method, *kinds, types.float64, types.float64))
    judge(None, *arrays, float(fun), float(rate))


judge = _judge_simulated if SIMULATED else cuda.jit(**DEVICE)(_remote.judge.py_func)


@cuda.jit(**DEVICE)
def larger(a, b):
    """Return the larger number, NaN if one is."""
    return b if a <= b or b != b else a


@cuda.jit(**DEVICE)
def fold(parts):
    """Reduce the block's rows of `parts` to their first column, always in the same order."""
    t, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    cuda.syncthreads()
    while half > 0:
        if t < half:
            for k in range(REDUCTIONS):
                if k in (TOP, MOVED):
                    parts[k, t] = larger(parts[k, t], parts[k, t + half])
                else:
                    parts[k, t] += parts[k, t + half]
        cuda.syncthreads()
        half //= 2


def begin(x0, x, slots, gain, last, scale, lower, upper, start, own_scale, bad):
    """Write the first state; `bad` gets the least index where x0 is not finite."""
    one = x.dtype.type(1)
    n, stride = np.uintp(x.shape[1]), np.uintp(cuda.gridsize(1))
    i = np.uintp(cuda.grid(1))
    while i < n:
        p = x0[0, i]
        nothing = p - p  # no literal: one would make float64 of it
        if nothing != nothing:
            cuda.atomic.min(bad, 0, np.int64(i))
        if lower is not None:
            p = p if p > lower[i] else lower[i]
            p = p if p < upper[i] else upper[i]
        x[0, i] = p
        x[D.SPARE, i] = p
        for slot in range(slots.shape[0]):
            slots[slot, i] = start
        if last is not None:
            gain[i], last[i] = one, nothing
        if scale is not None:
            if own_scale:
                scale[i] = abs(p) if p != nothing else one
        i += stride


def measure(x, g, last, scale, lower, upper, s, o, orders, gradient, parts):
    """Take the gradient at the current point; sums and maxima block by block, into `parts`."""
    if orders[REASON] != D.GOING:
        return
    n, stride = np.uintp(x.shape[1]), np.uintp(cuda.gridsize(1))
    here, row, before = int(s[D.X]), int(s[D.G]), int(orders[HERE])
    x_best, g_best = int(s[D.X_BEST]), int(s[D.G_BEST])
    from_best, moves = before == x_best, o[R.XTOL] > 0.0 and s[D.NIT] > 0.0
    top = most = along = norm2 = last2 = along_best = 0.0
    i = np.uintp(cuda.grid(1))
    while i < n:
        g[row, i] = gradient[0, i]
        q = float(uphill(i, x[here], g[row], scale, lower, upper))
        top = larger(top, abs(q))
        norm2 += q * q
        if last is not None:
            d = float(last[i])
            along += q * d
            last2 += d * d
            if from_best:
                along_best += float(uphill(i, x[x_best], g[g_best], scale, lower, upper)) * d
        if moves:
            most = larger(most, float(moved(x, before, here, i, scale)))
        i += stride
    shared, t = cuda.shared.array((REDUCTIONS, WIDTH), numba.float64), cuda.threadIdx.x
    shared[TOP, t], shared[MOVED, t], shared[ALONG, t] = top, most, along
    shared[NORM2, t], shared[LAST2, t], shared[ALONG_BEST, t] = norm2, last2, along_best
    fold(shared)
    if t == 0:
        for k in range(REDUCTIONS):
            parts[k, cuda.blockIdx.x] = shared[k, 0]


def conclude(method, parts, numbers, found, orders, gain, last, s, o, fun, value, rate):
    """Reduce `parts` in one block, and make the iteration; f is `fun`, or `value` where that is None."""
    if cuda.blockIdx.x != 0 or orders[REASON] != D.GOING:
        return
    shared, t = cuda.shared.array((REDUCTIONS, WIDTH), numba.float64), cuda.threadIdx.x
    for k in range(REDUCTIONS):
        shared[k, t] = 0.0
        for j in range(t, parts.shape[1], cuda.blockDim.x):
            if k in (TOP, MOVED):
                shared[k, t] = larger(shared[k, t], parts[k, j])
            else:
                shared[k, t] += parts[k, j]
    fold(shared)
    if t == 0:
        for k in range(REDUCTIONS):
            found[k] = shared[k, 0]
        found[MEASURED] = s[D.G]
        if fun is not None:
            judge(method, numbers, found, orders, gain, last, s, o, float(fun[0, 0]), rate)
        else:
            judge(method, numbers, found, orders, gain, last, s, o, value, rate)


def move(method, x, g, slots, gain, last, scale, lower, upper, numbers, orders):
    """Step all elements as ordered; the point goes to the user's row as well."""
    if orders[REASON] != D.GOING:
        return
    c = Coefficients(
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6], numbers[7]
    )  # fmt: skip
    k = _kernels.Shell(
        numbers[SHELL], numbers[SHELL + 1], numbers[SHELL + 2], numbers[SHELL + 3],
        numbers[SHELL + 4], numbers[SHELL + 5], numbers[SHELL + 6], numbers[SHELL + 7],
    )  # fmt: skip
    here, there, row = orders[HERE], orders[THERE], orders[ROW]
    n, stride, one = np.uintp(x.shape[1]), np.uintp(cuda.gridsize(1)), np.uintp(1)
    i = np.uintp(cuda.grid(1))
    if last is not None:
        if orders[EMPTY] == 1:
            while i < n:
                last[i] = 0
                for slot in range(slots.shape[0]):
                    slots[slot, i] = 0
                i += stride
            i = np.uintp(cuda.grid(1))
        if orders[MIX] == 1:  # into what is moved then
            before, point, part = orders[BEFORE], orders[POINT], numbers[PART]
            row_before, point_row = orders[ROW_BEFORE], orders[POINT_ROW]
            while i < n:
                mix_rows(i, i + one, x, before, point, here, part)
                mix_rows(i, i + one, g, row_before, point_row, row, part)
                i += stride
            i = np.uintp(cuda.grid(1))
    while i < n:
        sweep(
            method, i, i + one, x[here], x[there], x[D.SPARE], g[row], vectors_of(method, slots), gain,
            last, scale, lower, upper, c, k,
        )  # fmt: skip
        i += stride


class Signatures:
    """The types of the kernels of one minimisation."""

    def __init__(
        self, method: MethodType, dtype: np.dtype, automatic: bool, rated: bool, scaled: bool, bounded: bool
    ) -> None:  # fmt: skip
        self.real, self.method = numba.from_dtype(dtype), method
        block, vector = array_type(dtype, 2), array_type(dtype, 1)
        doubles, whole = array_type(np.dtype(float), 1), array_type(np.dtype(np.int64), 1)
        parts = array_type(np.dtype(float), 2)

        def known(given: bool) -> types.Type:
            return vector if given else types.none

        last, gain = known(automatic), known(automatic or rated)
        scale, bound = known(scaled), known(bounded)
        self.begin = (
            block, block, block, gain, last, scale, bound, bound, self.real, types.boolean, whole
        )  # fmt: skip
        self.measure = (
            block, block, last, scale, bound, bound, doubles, doubles, whole, block, parts
        )  # fmt: skip
        self.move = (method, block, block, block, gain, last, scale, bound, bound, vector, whole)
        self._conclude = method, parts, vector, doubles, whole, gain, last, doubles, doubles

    def conclude(self, fun: np.dtype | None) -> tuple:
        """Return the types where f is an array of this dtype, or a number of the host."""
        kind = types.none if fun is None else array_type(fun, 2)
        return *self._conclude, kind, types.float64, types.float64


class DeviceState(State):
    """All that a minimisation remembers, on a GPU; `s` is what the host saw last."""

    def __init__(self, problem: Problem) -> None:
        o = problem.options
        vector: Any = problem.x0
        self.method, self.automatic = problem.method, o["learning_rate"] is None
        self.vector: DeviceVector = vector
        self.s, dtype, n = np.zeros(len(D.SCALARS)), vector.dtype, vector.size
        rate = o["learning_rate"]
        rated = isinstance(rate, np.ndarray)
        own_scale = problem.x_scale is None and self.automatic
        self.x, self.g = vector.empty((D.X_ROWS, n)), vector.empty((D.G_ROWS, n))
        self.slots = vector.empty((problem.method.slots, n))
        self.gain = self.last = self.scale = self.lower = self.upper = None
        if self.automatic:
            self.gain, self.last = vector.empty(n), vector.empty(n)
            self.s[D.RATE] = AUTOMATIC["first_rate"]
        elif rated:
            self.gain, self.s[D.RATE] = vector.upload(rate.astype(dtype)), 1.0
        elif not callable(rate):
            self.s[D.RATE] = getattr(rate, "rate", rate)  # of a Plateau
        if problem.x_scale is not None:
            self.scale = vector.upload(problem.x_scale.astype(dtype))
        elif own_scale:
            self.scale = vector.empty(n)
        if problem.bounds is not None:
            self.lower, self.upper = (
                vector.upload(np.ascontiguousarray(bound, dtype)) for bound in problem.bounds
            )
        self.o = option_vector(problem.method, o, dtype)
        self._s, self._o = vector.upload(self.s), vector.upload(self.o)
        self._found = vector.upload(np.zeros(_remote.MEASURED + 1))
        self._orders = vector.upload(np.zeros(ORDERS, np.int64))
        self._numbers = vector.upload(np.zeros(NUMBERS, dtype))
        self._parts = vector.upload(np.zeros((REDUCTIONS, vector.blocks)))
        self._kind = problem.method.numba_type("elsewhere")
        self._types = Signatures(
            self._kind, dtype, self.automatic, rated, self.scale is not None, self.lower is not None
        )
        self._begin(own_scale)
        self._measure = self._ready(
            measure, self._types.measure, self.x, self.g, self.last, self.scale, self.lower, self.upper,
            self._s, self._o, self._orders, self.g, self._parts,
        )  # fmt: skip
        self._move = self._ready(
            move, self._types.move, self._kind, self.x, self.g, self.slots, self.gain, self.last,
            self.scale, self.lower, self.upper, self._numbers, self._orders,
        )  # fmt: skip
        self._conclude: dict[Any, Launch] = {}  # by the dtype of f on the device, or None
        self.reason = D.GOING

    def _ready(self, function: Callable, signature: tuple, *arguments: Any) -> Launch:
        with self.vector.context:
            return Launch(kernel(function, signature), self.vector.blocks, *arguments)

    def _begin(self, own_scale: bool) -> None:
        vector = self.vector
        bad = vector.upload(np.full(1, vector.size, np.int64))
        with vector.context:
            launched = kernel(begin, self._types.begin)
        vector.launch(
            launched, vector.block, self.x, self.slots, self.gain, self.last, self.scale, self.lower,
            self.upper, vector.dtype.type(self.method.start), own_scale, bad,
        )  # fmt: skip
        index = int(vector.download(bad)[0])
        if index < vector.size:
            value = vector.download(vector.block)[0, index]
            raise ValueError(f"`x0` must be finite; got {value} at index {index}.")

    def advance(self, fun: Any, gradient: Any, rate: float) -> None:
        """Launch one iteration, in an active context.

        `fun` is a number or a `Number`, `gradient` what `DeviceVector.handle` gives.
        """
        here = isinstance(fun, float)
        dtype = None if here else fun.dtype
        if dtype not in self._conclude:
            self._conclude[dtype] = self._ready(
                conclude, self._types.conclude(dtype), self._kind, self._parts, self._numbers,
                self._found, self._orders, self.gain, self.last, self._s, self._o,
                None if here else fun.view(), 0.0, np.nan,
            )  # fmt: skip
        conclusion = self._conclude[dtype]
        self._measure.put(GRADIENT, gradient)
        conclusion.put(VALUE, fun) if here else conclusion.put(FUN, fun.handle())
        conclusion.put(RATE, float(rate))
        for launch in (self._measure, conclusion, self._move):
            launch(self.vector.stream)

    def read(self) -> None:
        """Wait for all that was launched, and see where it led."""
        self.s[:] = self.vector.download(self._s)
        self.reason = int(self.vector.download(self._orders)[REASON])

    def own(self, array: Any) -> Any:
        """Return an array as the caller has arrays; no copy, the run is over and needs it no more."""
        return like(self.vector.owner, array)

    def bad_gradient(self) -> int | None:
        """Return where the current gradient is not finite."""
        where = np.flatnonzero(~np.isfinite(self.vector.download(self.g)[int(self.s[D.G])]))
        return int(where[0]) if where.size else None


class Number(NamedTuple):
    """f on the device: what the user's function returned, and its description."""

    owner: Any
    interface: dict[str, Any]
    dtype: np.dtype

    def view(self) -> Any:
        """Return a view of it."""
        return view(self.owner, self.interface, 1)

    def handle(self) -> Any:
        """Return it as `Launch.put` takes it."""
        return handle_of(self.owner, self.interface, 1)


class DeviceRun(Run):
    """One minimisation under way, on a GPU."""

    state: DeviceState

    def _prepare(self) -> None:
        self.state = DeviceState(self.problem)
        self.s, self.o, self.vector = self.state.s, self.state.o, self.state.vector
        self.point = self.state.x[D.SPARE]
        owner = self.vector.owner
        self.given = sharing(owner, self.point)
        if self.problem.jac == "inplace":
            self.to_fill = sharing(owner, self.vector.empty(self.vector.size))

    def evaluate(self) -> tuple[Any, Any]:
        """Return f and its gradient as the user's functions give them."""
        problem, x = self.problem, self.given()
        if problem.jac == "inplace":
            gradient = self.to_fill()
            return problem.fun(x, gradient, *problem.args), gradient
        if problem.jac is True:
            pair = problem.fun(x, *problem.args)
            if not (isinstance(pair, tuple | list) and len(pair) == 2):
                raise TypeError(
                    f"`jac=True` needs `fun` to return (f, gradient); it returned"
                    f" {type(pair).__name__}."
                )
            return pair[0], pair[1]
        return problem.fun(x, *problem.args), problem.jac(x, *problem.args)

    def scalar(self, fun: Any) -> Any:
        """Return f as a float, or as a `Number`."""
        fun = fun.detach() if hasattr(fun, "detach") else fun
        interface = interface_of(fun)
        if interface is None:
            return as_scalar(fun)
        dtype, shape = np.dtype(interface["typestr"]), tuple(interface["shape"])
        if np.prod(shape) != 1 or dtype not in (np.float32, np.float64):
            raise ValueError(
                f"`fun` must return one float32 or float64; it returned {dtype} of shape {shape}."
            )
        vector = self.vector
        device = device_of(interface)
        if device != vector.device:
            raise ValueError(
                f"`fun` must return f on device {vector.device}, that of x0; got device {device}."
            )
        vector.follow(stream_of(fun, interface))
        return Number(fun, interface, dtype)

    def iterate(self) -> int:
        """Run to the end and return the reason for it."""
        with self.vector.context:  # to enter it costs as much as a launch
            return self._iterate()

    def _iterate(self) -> int:
        problem, state, s, history = self.problem, self.state, self.s, self.history
        vector, count, steps = self.vector, 0, 1
        rate = self.rate if callable(self.rate) else None
        one_by_one = problem.observe is not None or history is not None
        while True:
            begun = time.perf_counter()
            for _ in range(steps):
                fun, given = self.evaluate()
                count += 1
                value, gradient = self.scalar(fun), vector.handle(given, "jac")
                if one_by_one:
                    there = isinstance(value, Number)
                    f = float(vector.download(value.view())[0, 0]) if there else value
                if problem.observe is not None and count > 1:
                    s[D.FUN] = f
                    try:
                        problem.observe(self.seen(vector.gradient(given, "jac")))
                    except StopIteration:
                        return INTERRUPTED
                state.advance(
                    value, gradient, np.nan if rate is None else checked_rate(rate, count)
                )
            state.read()
            if history is not None:
                history.append(np.array([[f, s[D.SLOPE], s[D.RATE]]]))
            if state.reason != D.GOING:
                return state.reason
            now = time.perf_counter()
            if now > self.deadline:
                return OUT_OF_SECONDS
            if not one_by_one:
                steps = int(
                    min(max(1, steps * BLOCK_SECONDS / (now - begun)), 2 * steps, LONGEST_BLOCK)
                )

    def seen(self, gradient: Any) -> OptimizeResult:
        """Return what a callback sees, in copies."""
        vector, s = self.vector, self.s
        x, g = (like(vector.owner, vector.copy(a)) for a in (self.point, gradient))
        return OptimizeResult(
            x=x, fun=float(s[D.FUN]), jac=g, nit=int(s[D.NIT]), nfev=int(s[D.NFEV]) + 1,
            njev=int(s[D.NJEV]) + 1, gradient_norm=float(np.abs(vector.download(gradient)).max()),
        )  # fmt: skip
