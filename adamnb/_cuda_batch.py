"""Many problems on a GPU, a thread each: the compiled loop over iterations, with the user's functions in it.

On the device the problems are the last axis of every block, so that neighbouring threads read
neighbouring numbers. Of few variables (`NEAR`) a thread copies its problem's state into arrays of its
own, whose size is known when the kernel is compiled: loops over variables are unrolled, most of the
state is in registers, and memory is passed over twice a launch, not many times an iteration. Of more
variables a thread works in the blocks themselves, which is right for any number of them, and slower.

A launch makes some iterations. Each thread whose problem goes on puts it on the list for the next
launch, so that warps stay full; how many there are is all that the host reads.
"""

import operator
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.errors import NumbaError
from numba.extending import intrinsic, is_jitted, models, overload, register_model

from . import _compiled
from . import _driver as D
from ._block import Batch, Block, CompiledBlocks, Solved
from ._compiled import array_type, machine_code
from ._cuda import (
    DEVICE,
    FEWEST,
    KERNEL,
    SIMULATED,
    THREADS,
    as_stream,
    contiguous,
    cuda,
    device_of,
    interface_of,
    kernel,
    stream_of,
    view,
)
from ._driver import G_ROWS, GOING, SPARE, X_ROWS
from ._methods import Method
from ._objective import CompiledObjective, main_reason
from ._result import BAD_START, RAISED
from ._rules import BETA1, INLINED, LOG_BETA1, OPTIONS, MethodType
from ._state import AUTOMATIC, State

if not SIMULATED:
    from . import _cuda_ufuncs  # noqa: F401

NEAR = 48  # bytes of a vector up to which a thread has its own: more would not stay in registers
WIDTH = THREADS if SIMULATED else 128  # threads of a block; registers allow few of them at once
LARGEST = 2**20  # problems side by side: the slowest of them is waited for once
SHARE = 0.25  # of the free memory that a block of problems may take
GROWTH = 2  # from launch to launch: at most half of the iterations are made beside problems that are done
SCALARS = len(D.SCALARS)
ALL_OPTIONS = types.UniTuple(types.float64, len(OPTIONS))
ADAPTED = 1 + max(BETA1, LOG_BETA1)  # options that `adapt` may change are among the first
VECTORS = 5  # gains, last step, scale and bounds
RAISED_THERE = (
    "`fun` or `jac` raised on the GPU, from where no exception comes: device='cpu' shows which."
)
NOT_THERE = (
    "On a GPU functions have numbers, loops and the elements of their arguments, and make no arrays: write"
    " the gradient into g (jac='inplace') or return a tuple of numbers; or use device='cpu'."
)
# What the host wants to know of a problem that is over.
READ = (D.NIT, D.NFEV, D.NJEV, D.FUN_BEST, D.SLOPE_BEST, D.SLOPE_FIRST, D.WRONG_SIZE)


def columns_of(blocks, b):
    """Return the tuple of what each block has for problem b, its last axis; None stays None."""
    return tuple(
        None if block is None else block[b] if block.ndim == 1 else block[..., b]
        for block in blocks
    )


@overload(columns_of, jit_options=INLINED)
def _columns_of(blocks, b):
    if blocks.count == 0:
        return lambda blocks, b: ()
    if isinstance(blocks.types[0], types.NoneType):
        return lambda blocks, b: (None, *columns_of(blocks[1:], b))
    if blocks.types[0].ndim == 1:
        return lambda blocks, b: (blocks[0][b], *columns_of(blocks[1:], b))
    return lambda blocks, b: (blocks[0][..., b], *columns_of(blocks[1:], b))


@cuda.jit(**DEVICE)
def fetch(block, own, b):
    """Copy a vector of problem b."""
    for i in range(own.size):
        own[i] = block[i, b]


@cuda.jit(**DEVICE)
def store(own, block, b):
    """Copy a vector of problem b back."""
    for i in range(own.size):
        block[i, b] = own[i]


def taken(blocks, own, b):
    """Copy vectors of problem b into rows of `own`, and return the tuple of these; None stays None."""
    for block, row in zip(blocks, own, strict=True):
        if block is not None:
            fetch(block, row, b)
    return tuple(None if block is None else row for block, row in zip(blocks, own, strict=True))


@overload(taken, jit_options=INLINED)
def _taken(blocks, own, b):
    if blocks.count == 0:
        return lambda blocks, own, b: ()
    if isinstance(blocks.types[0], types.NoneType):
        return lambda blocks, own, b: (None, *taken(blocks[1:], own[1:], b))

    def first_taken(blocks, own, b):
        row = own[0]
        fetch(blocks[0], row, b)
        return (row, *taken(blocks[1:], own[1:], b))

    return first_taken


class OptionsType(types.Type):
    """Numba type of the options of a thread.

    Most are parameters of the kernel, which take no register and no load; those that `adapt` writes are
    the thread's own.
    """

    def __init__(self) -> None:
        super().__init__(name="Options")


@register_model(OptionsType)
class OptionsModel(models.StructModel):
    """The tuple of all options, and the thread's own first ones."""

    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, [("shared", ALL_OPTIONS), ("own", D.RATES)])


def options_of(shared, own):
    """Return the options of a thread; `own` has the first ones."""
    return np.array(shared)  # in the simulator


@intrinsic
def _paired(typingctx, shared, own):
    def codegen(context, builder, signature, arguments):
        pair = cgutils.create_struct_proxy(signature.return_type)(context, builder)
        pair.shared, pair.own = arguments
        return pair._getvalue()

    return OptionsType()(shared, own), codegen


@intrinsic
def _own(typingctx, o):
    def codegen(context, builder, signature, arguments):
        return cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).own

    return D.RATES(o), codegen


@intrinsic(prefer_literal=True)
def _shared(typingctx, o, i):
    def codegen(context, builder, signature, arguments):
        pair = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0])
        return builder.extract_value(pair.shared, i.literal_value)

    return types.float64(o, i), codegen


@overload(options_of, jit_options=INLINED)
def _options_of(shared, own):
    return lambda shared, own: _paired(shared, own)


@overload(operator.getitem, jit_options=INLINED, prefer_literal=True)
def _get_option(o, i):
    if not isinstance(o, OptionsType):
        return None
    return (lambda o, i: _own(o)[i]) if i.literal_value < ADAPTED else (lambda o, i: _shared(o, i))


@overload(operator.setitem, jit_options=INLINED)
def _set_option(o, i, value):
    if not isinstance(o, OptionsType):
        return None

    def put(o, i, value):
        _own(o)[i] = value

    return put


def _iterate_simulated(method, fun, jac, args, *rest):
    """Run the host's machine code: the simulator has the host's memory, but no overloads."""
    *blocks, rates, trace = rest
    args = tuple(map(_here, args))
    there: list[Any] = [None if block is None else np.asarray(_host(block)) for block in blocks]
    here = [None if block is None else np.ascontiguousarray(block) for block in there]
    kinds = [types.none if block is None else array_type(block.dtype, block.ndim) for block in here]
    form = {True: "inplace", None: True}.get(jac, jac)
    own = CompiledObjective(fun, form, args, there[0].dtype)
    serial = MethodType(method.rule, method.coefficients)
    run = machine_code(D.run, (serial, *own.types, *kinds, D.RATES, D.NO_TRACE))
    reason = run(None, *own.values, *here, _host(rates), trace)
    for new, old in zip(here, there, strict=True):
        if old is not None:
            old[...] = new
    return reason


def _host(array: Any) -> Any:
    """Return what the simulator wraps."""
    return getattr(array, "_ary", array)


def _here(argument: Any) -> Any:
    """Return an argument as the host's machine code takes it."""
    if isinstance(argument, tuple):
        return tuple(map(_here, argument))
    return np.ascontiguousarray(_host(argument)) if np.ndim(argument) else argument


iterate_row = _iterate_simulated if SIMULATED else cuda.jit(**DEVICE)(D.run.py_func)


def turn(source, target):
    """Write a block whose first axis are the problems with the problems last."""
    b = cuda.grid(1)
    if b < target.shape[1]:
        for i in range(target.shape[0]):
            target[i, b] = source[b, i]


def first(start, rate, rates, own_scale, x, g, slots, gain, last, scale, s, reasons, going, count):
    """Write the first state of all problems, whose start is in x[0], and list those that have one."""
    b = cuda.grid(1)
    if b >= reasons.size:
        return
    reason = GOING
    for i in range(x.shape[1]):
        p = x[0, i, b]
        if p - p != 0:
            reason = BAD_START
        for row in range(g.shape[0]):
            g[row, i, b] = 0
        for slot in range(slots.shape[0]):
            slots[slot, i, b] = start
        if last is not None:
            gain[i, b] = 1
            last[i, b] = 0
        if scale is not None:
            if own_scale:
                scale[i, b] = abs(p) if p != 0 else 1
    for k in range(s.shape[0]):
        s[k, b] = 0
    s[D.RATE, b] = rate
    if rates is not None:
        s[D.RATE, b] = rates[b]
    reasons[b] = reason
    if reason == GOING:
        going[cuda.atomic.add(count, 0, 1)] = b


def gather(x, g, s, x_best, g_best):
    """Write the best points and their gradients, the problems first."""
    b = cuda.grid(1)
    if b < x_best.shape[0]:
        here, row = int(s[D.X_BEST, b]), int(s[D.G_BEST, b])
        for i in range(x_best.shape[1]):
            x_best[b, i] = x[here, i, b]
            g_best[b, i] = g[row, i, b]


def problem_kernel(fun, jac, n, slot_count, real):
    """Return the kernel around the user's functions; n is None where there are many variables.

    `jac` is what `_driver.run` takes.
    """

    def near(
        method, data, args, going, coming, count, reasons, x, g, slots, gain, last, scale, lower,
        upper, s, o, rates,
    ):  # fmt: skip
        k = cuda.grid(1)
        if k >= going.size:
            return
        b = going[k]
        own_x, own_g = cuda.local.array((X_ROWS, n), real), cuda.local.array((G_ROWS, n), real)
        own_slots = cuda.local.array((slot_count, n), real)
        own_s = cuda.local.array(SCALARS, numba.float64)
        adapted = cuda.local.array(ADAPTED, numba.float64)
        for row in range(SPARE):
            fetch(x[row], own_x[row], b)
        for row in range(G_ROWS):
            fetch(g[row], own_g[row], b)
        for slot in range(slot_count):
            fetch(slots[slot], own_slots[slot], b)
        vectors = taken((gain, last, scale, lower, upper), cuda.local.array((VECTORS, n), real), b)
        fetch(s, own_s, b)
        for i in range(ADAPTED):
            adapted[i] = o[i]
        reasons[b] = RAISED  # an exception ends a thread
        reason = iterate_row(
            method, fun, jac, columns_of(data, b) + args, own_x, own_g, own_slots, vectors[0],
            vectors[1], vectors[2], vectors[3], vectors[4], own_s, options_of(o, adapted), rates, None,
        )  # fmt: skip
        b = going[k]  # once more: addresses kept over all iterations would take half the registers
        for row in range(SPARE):
            store(own_x[row], x[row], b)
        for row in range(G_ROWS):
            store(own_g[row], g[row], b)
        for slot in range(slot_count):
            store(own_slots[slot], slots[slot], b)
        if last is not None:
            store(vectors[0], gain, b)
            store(vectors[1], last, b)
        store(own_s, s, b)
        reasons[b] = reason
        if reason == GOING:
            coming[cuda.atomic.add(count, 0, 1)] = b

    def far(
        method, data, args, going, coming, count, reasons, x, g, slots, gain, last, scale, lower,
        upper, s, o, rates,
    ):  # fmt: skip
        k = cuda.grid(1)
        if k >= going.size:
            return
        b = going[k]
        own_s = cuda.local.array(SCALARS, numba.float64)
        adapted = cuda.local.array(ADAPTED, numba.float64)
        fetch(s, own_s, b)
        for i in range(ADAPTED):
            adapted[i] = o[i]
        vectors = columns_of((gain, last, scale, lower, upper), b)
        reasons[b] = RAISED
        reason = iterate_row(
            method, fun, jac, columns_of(data, b) + args, x[..., b], g[..., b], slots[..., b],
            vectors[0], vectors[1], vectors[2], vectors[3], vectors[4], own_s,
            options_of(o, adapted), rates, None,
        )  # fmt: skip
        b = going[k]
        store(own_s, s, b)
        reasons[b] = reason
        if reason == GOING:
            coming[cuda.atomic.add(count, 0, 1)] = b

    return far if n is None else near


class Signatures:
    """The types of the kernels of a batch."""

    def __init__(
        self, method: Method, dtype: np.dtype, data: tuple, args: tuple, automatic: bool, rated: bool,
        scaled: bool, bounded: bool, numbered: bool = False,
    ) -> None:  # fmt: skip
        self.slots, self.real = method.slots, numba.from_dtype(dtype)
        block, self.matrix = array_type(dtype, 3), array_type(dtype, 2)
        whole, double = array_type(np.dtype(np.int32), 1), np.dtype(float)
        scalars, doubles = array_type(double, 2), array_type(double, 1)

        def known(given: bool) -> types.Type:
            return self.matrix if given else types.none

        last, gain = known(automatic), known(automatic or rated)
        scale, bound = known(scaled), known(bounded)
        self.first = (
            self.real, types.float64, doubles if numbered else types.none, types.boolean, block, block,
            block, gain, last, scale, scalars, whole, whole, whole,
        )  # fmt: skip
        self.gather = block, block, scalars, self.matrix, self.matrix
        self.problems = (
            method.numba_type(), types.Tuple(data), types.Tuple(args), *4 * (whole,), block,
            block, block, gain, last, scale, bound, bound, scalars, ALL_OPTIONS, doubles,
        )  # fmt: skip


# Kernels live as long as the process; of those around functions that are made anew, the last ones.
@lru_cache(maxsize=64)
def compiled_kernel(
    fun: Any,
    jac: Any,
    n: int | None,
    slots: int,
    real: types.Type,
    signature: tuple[types.Type, ...],
) -> Any:
    """Compile the kernel around the user's functions."""
    own = (fun, jac) if SIMULATED else (device_function(fun), device_function(jac))
    return cuda.jit(signature, **KERNEL)(problem_kernel(*own, n, slots, real))


def device_function(function: Any) -> Any:
    """Return a user's function for the device; what is none stays as it is."""
    if not is_jitted(function):
        return function
    fast = function.targetoptions.get("fastmath") is True
    return cuda.jit(**DEVICE, fastmath=fast)(function.py_func)


class Found(State):
    """What the host reads when a block is over: best points in the place of all points."""

    def __init__(
        self, x: np.ndarray, g: np.ndarray, s: np.ndarray, scale: np.ndarray | None
    ) -> None:
        self.x, self.g, self.s, self.scale = x[:, None], g[:, None], s, scale


class AtWork:
    """A block on the device while it is solved."""

    def __init__(self, blocks: "DeviceBlocks", block: Block) -> None:
        self.blocks, size, n = blocks, *block.x0.shape
        self.size, dtype, rate = size, block.x0.dtype, block.learning_rate
        method, empty = blocks.batch.method, cuda.device_array
        automatic, rated = rate is None, np.ndim(rate) == 2
        numbers = None
        self.x, self.g = empty((X_ROWS, n, size), dtype), empty((G_ROWS, n, size), dtype)
        self.slots = empty((method.slots, n, size), dtype)
        self.gain = self.last = self.scale = self.lower = self.upper = None
        if automatic:
            self.gain, self.last = empty((n, size), dtype), empty((n, size), dtype)
            rate = AUTOMATIC["first_rate"]
        elif rated:
            self.gain, rate = self.turned(rate.astype(dtype)), 1.0
        elif np.ndim(rate) == 1:
            numbers, rate = cuda.to_device(rate), 0.0
        elif callable(rate):
            rate = 0.0
        if block.x_scale is not None:
            self.scale = self.turned(block.x_scale.astype(dtype))
        elif automatic:
            self.scale = empty((n, size), dtype)
        if block.bounds is not None:
            self.lower, self.upper = map(self.turned, block.bounds)
        self.turned(block.x0, self.x[0])
        self.data = tuple(map(self.turned, block.data))
        self.s = empty((SCALARS, size), np.float64)
        self.reasons, self._going, self._coming = (empty(size, np.int32) for _ in range(3))
        self._count = cuda.to_device(np.zeros(1, np.int32))
        self.launch(
            kernel(first, blocks.signatures.first), size, dtype.type(method.start),
            float(getattr(rate, "rate", rate)), numbers, block.x_scale is None, self.x, self.g,
            self.slots, self.gain, self.last, self.scale, self.s, self.reasons, self._going, self._count,
        )  # fmt: skip
        self._left = int(self._count.copy_to_host()[0])

    def turned(self, array: Any, target: Any = None) -> Any:
        """Return a block with the problems last, on the device."""
        there = interface_of(array) is not None
        source = array if there else cuda.to_device(array)
        if array.ndim == 1:
            return source
        rows = int(np.prod(array.shape[1:]))
        if target is None:
            target = cuda.device_array((rows, self.size), array.dtype)
        kind = array_type(array.dtype, 2)
        self.launch(kernel(turn, (kind, kind)), self.size, source.reshape(self.size, rows), target)
        return target.reshape(*array.shape[1:], self.size)

    def launch(self, kernel: Any, threads: int, *arguments: Any) -> None:
        """Run a kernel on so many threads."""
        kernel[max(FEWEST, -(-threads // WIDTH)), WIDTH](*arguments)

    def count(self) -> int:
        """Return how many problems have not stopped."""
        return self._left

    def going(self) -> np.ndarray:
        """Return their numbers."""
        return self._going[: self._left].copy_to_host()

    def run(self, o: np.ndarray, rates: np.ndarray) -> None:
        """Iterate all that are going, and wait for them."""
        self._count.copy_to_device(np.zeros(1, np.int32))
        blocks = self.blocks
        self.launch(
            blocks.kernel, self._left, blocks.kind, self.data, blocks.args, self._going[: self._left],
            self._coming, self._count, self.reasons, self.x, self.g, self.slots, self.gain, self.last,
            self.scale, self.lower, self.upper, self.s, tuple(o.tolist()), cuda.to_device(rates),
        )  # fmt: skip
        self._going, self._coming = self._coming, self._going
        self._left = int(self._count.copy_to_host()[0])

    def end(self) -> tuple[State, np.ndarray, dict[int, Exception]]:
        """Return the best points, why each problem stopped, and what was raised."""
        signatures = self.blocks.signatures
        x, g = (cuda.device_array((self.size, self.x.shape[1]), self.x.dtype) for _ in range(2))
        self.launch(kernel(gather, signatures.gather), self.size, self.x, self.g, self.s, x, g)
        s = np.zeros((SCALARS, self.size))  # best points are in row 0
        for i in READ:
            self.s[i].copy_to_host(s[i])
        scale = None
        if self.scale is not None and self.blocks.finishes():
            scale = self.scale.copy_to_host().T
        reasons = self.reasons.copy_to_host().astype(np.int64)
        raised = np.flatnonzero(reasons == RAISED)
        errors: dict[int, Exception] = dict.fromkeys(raised.tolist(), RuntimeError(RAISED_THERE))
        return Found(x.copy_to_host(), g.copy_to_host(), s.T, scale), reasons, errors


class DeviceBlocks(CompiledBlocks):
    """Solves blocks on a GPU."""

    growth, remembered = GROWTH, 0

    def __init__(self, batch: Batch, sample: Block) -> None:
        self.batch, (_, n), dtype = batch, sample.x0.shape, sample.x0.dtype
        self.n, rate = n, sample.learning_rate
        like = tuple(np.zeros(array.shape[1:], array.dtype)[()] for array in sample.data)
        own = CompiledObjective(batch.fun, batch.jac, like + batch.args, dtype)
        devices = {device_of(interface_of(a)) for a in sample.data if interface_of(a) is not None}
        if len(devices) > 1:
            raise ValueError(f"`data` must be on one GPU; got {sorted(devices)}.")
        self.context: Any = cuda.gpus[devices.pop()] if devices else nullcontext()
        bounded, automatic = sample.bounds is not None, rate is None
        scaled, rated = automatic or sample.x_scale is not None, np.ndim(rate) == 2
        near = n * dtype.itemsize <= NEAR
        self.kind = batch.method.numba_type()
        with self.context:
            self.args = tuple(map(uploaded, batch.args))
            self.signatures = Signatures(
                batch.method, dtype, tuple(array_type(a.dtype, a.ndim) for a in sample.data),
                tuple(map(kind_of, batch.args)), automatic, rated, scaled, bounded, np.ndim(rate) == 1,
            )  # fmt: skip
            begun = time.perf_counter()
            try:
                self.kernel = compiled_kernel(
                    *own.values[:2], n if near else None, batch.method.slots,
                    self.signatures.real, self.signatures.problems,
                )  # fmt: skip
            except (NumbaError, KeyError, NotImplementedError) as error:  # KeyError: a ufunc
                raise TypeError(
                    f"`fun` or `jac` does not compile for the GPU: {main_reason(error)}\n{NOT_THERE}"
                ) from error
            _compiled.seconds += time.perf_counter() - begun
        vectors = 2 + X_ROWS + G_ROWS + batch.method.slots  # and the results
        vectors += automatic + (automatic or rated) + scaled + 2 * bounded
        copies = sum((2 - (interface_of(a) is not None)) * nbytes(a) for a in sample.data)
        self.bytes = vectors * n * dtype.itemsize + 8 * SCALARS + copies

    def size(self) -> int:
        """Return how many problems a block may have."""
        with self.context:
            free = cuda.current_context().get_memory_info()[0]
        return int(min(LARGEST, max(1, SHARE * free / self.bytes)))

    def begin(self, block: Block) -> AtWork:
        """Return a block as it is before the first iteration."""
        return AtWork(self, block)

    def solve(self, block: Block, stopped: Callable[[int], bool]) -> Solved:
        """Solve a block; `stopped` is asked between launches."""
        with self.context:
            return super().solve(block, stopped)

    def _finish(self, block: Block, state: State, reasons: np.ndarray) -> None:
        if self.finishes():
            here = tuple(a if interface_of(a) is None else a.copy_to_host() for a in block.data)
            super()._finish(replace(block, data=here), state, reasons)


def nbytes(array: Any) -> int:
    """Return the size of what one problem has of an array."""
    return int(np.prod(array.shape[1:])) * array.dtype.itemsize


def uploaded(argument: Any) -> Any:
    """Return an argument with its arrays on the device."""
    if isinstance(argument, np.ndarray):
        return cuda.to_device(np.ascontiguousarray(argument))
    if isinstance(argument, tuple):
        inner = map(uploaded, argument)
        return type(argument)(*inner) if hasattr(argument, "_fields") else tuple(inner)
    return argument


def kind_of(argument: Any) -> types.Type:
    """Return the type of an argument there."""
    if isinstance(argument, np.ndarray):
        return array_type(argument.dtype, argument.ndim)
    if isinstance(argument, tuple):
        inner = tuple(map(kind_of, argument))
        named = hasattr(argument, "_fields")
        return types.NamedTuple(inner, type(argument)) if named else types.Tuple(inner)
    return numba.typeof(argument)


def viewed(array: Any, name: str) -> Any:
    """Return the caller's array on a device as Numba's, once it is made; no copy."""
    array = array.detach() if hasattr(array, "detach") else array
    interface = interface_of(array)
    shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    if not contiguous(interface) or not dtype.isnative:
        raise ValueError(f"`{name}` must be C-contiguous and of the machine's byte order.")
    with cuda.gpus[device_of(interface)]:
        if (handle := stream_of(array, interface)) is not None:
            as_stream(handle).synchronize()
        return view(array, interface, int(np.prod(shape))).reshape(shape)
