"""A block of independent problems on a GPU: put there, iterated, and read when it is over.

A launch makes some iterations. Each thread whose problem goes on puts it on the list for the next
launch, so that warps stay full; how many there are is all that the host reads.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.errors import NumbaError

from . import _compiled
from . import _driver as D
from ._block import Batch, Block, CompiledBlocks, Solved
from ._compiled import array_type
from ._cuda import (
    FEWEST,
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
from ._cuda_rows import NEAR, SCALARS, Signatures, compiled_kernel, first, gather, turn
from ._driver import G_ROWS, X_ROWS
from ._objective import CompiledObjective, main_reason
from ._result import RAISED
from ._state import AUTOMATIC, State, is_plain, option_vector

WIDTH = THREADS if SIMULATED else 128  # threads of a block; registers allow few of them at once
LARGEST = 2**20  # problems side by side: the slowest of them is waited for once
SHARE = 0.25  # of the free memory that a block of problems may take
GROWTH = 2  # from launch to launch: at most half of the iterations are made beside problems that are done
RAISED_THERE = (
    "`fun` or `jac` raised on the GPU, from where no exception comes: device='cpu' shows which."
)
NOT_THERE = (
    "On a GPU functions have numbers, loops and the elements of their arguments, and make no arrays: write"
    " the gradient into g (jac='inplace') or return a tuple of numbers; or use device='cpu'."
)
# What the host wants to know of a problem that is over.
READ = (D.NIT, D.NFEV, D.NJEV, D.FUN_BEST, D.SLOPE_BEST, D.SLOPE_FIRST, D.WRONG_SIZE)


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

    def run(self, o: np.ndarray, steps: int, rates: np.ndarray | None) -> None:
        """Iterate all that are going, and wait for them."""
        self._count.copy_to_device(np.zeros(1, np.int32))
        blocks = self.blocks
        self.launch(
            blocks.kernel, self._left, blocks.signatures.method, self.data, blocks.args,
            self._going[: self._left], self._coming, self._count, self.reasons, self.x, self.g,
            self.slots, self.gain, self.last, self.scale, self.lower, self.upper, self.s,
            tuple(o.tolist()), steps, None if rates is None else cuda.to_device(rates),
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
        scheduled, near = callable(batch.options["learning_rate"]), n <= NEAR[dtype.itemsize]
        with self.context:
            self.args = tuple(map(uploaded, batch.args))
            self.signatures = Signatures(
                batch.method, dtype, tuple(array_type(a.dtype, a.ndim) for a in sample.data),
                tuple(map(kind_of, batch.args)), automatic, rated, scaled, bounded, np.ndim(rate) == 1,
                scheduled, is_plain(option_vector(batch.method, batch.options, dtype), scheduled),
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
