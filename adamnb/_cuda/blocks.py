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

from .._compiled import machine_code as code
from .._compiled.machine_code import array_type
from .._compiled.reasons import RAISED
from .._compiled.records import STATE
from .._compiled.run import Span
from .._compiled.vectors import X_ROWS, Vectors
from .._forward.refusals import in_words
from .._problem.compiled import CompiledObjective, main_reason
from .._run.block import Batch, Block, CompiledBlocks, Solved
from .._run.covariance import Covariances
from .._run.settings import is_plain
from .._run.state import State, first_rate, first_vectors
from .arrays import contiguous, device_of, interface_of, stream_of, view
from .driver import FEWEST, SIMULATED, THREADS, as_stream, cuda, kernel
from .gradients import differentiated
from .problems import (
    FEW,
    WORD,
    WORDS,
    Lists,
    Settings,
    Signatures,
    begin,
    compiled_kernel,
    gather,
    turn,
)
from .vector import fill, fill_signature

BLOCK_THREADS = THREADS if SIMULATED else 128  # registers allow few of them at once
MOST_PROBLEMS = 2**20  # side by side: the slowest of them is waited for once
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
READ = (
    "nit", "nfev", "njev", "fun_best", "gradient_norm_best", "gradient_norm_first", "wrong_size",
)  # fmt: skip


class EndedState(State):
    """What the host reads when a block is over: best points in the place of all points."""

    def __init__(
        self, x: np.ndarray, g: np.ndarray, records: np.ndarray, scale: np.ndarray | None
    ) -> None:
        none = x[:, :0]
        self.vectors = Vectors(x[:, None], g[:, None], none[:, None], none, scale=scale)
        self.records = records


class ProblemsLast:
    """Memory of a device for many problems, which are the last axis of every array."""

    def __init__(self, x0: np.ndarray) -> None:
        self.x0, (self.size, self.n), self.dtype = x0, x0.shape, x0.dtype

    def points(self) -> tuple[Any, Any]:
        x = self.empty(X_ROWS)
        self.turned(self.x0, x[0])
        return x, cuda.device_array((self.n, self.size), self.dtype)

    def empty(self, count: int) -> Any:
        return cuda.device_array((count, self.n, self.size), self.dtype)

    def rows(self, count: int, value: float) -> Any:
        rows = self.empty(count)
        flat = rows.reshape(1, count * self.n * self.size)
        if rows.size:
            filled = kernel(fill, fill_signature(self.dtype))
            launch(filled, self.size, flat, self.dtype.type(value))
        return rows

    def vector(self, value: float) -> Any:
        return self.rows(1, value).reshape(self.n, self.size)

    def given(self, array: np.ndarray) -> Any:
        return self.turned(array.astype(self.dtype))

    def sizes(self) -> Any:
        return cuda.device_array((self.n, self.size), self.dtype)  # `problems.begin` writes them

    def turned(self, array: Any, target: Any = None) -> Any:
        """Return an array with the problems last, on the device."""
        there = interface_of(array) is not None
        source = array if there else cuda.to_device(array)
        if array.ndim == 1:
            return source
        rows = int(np.prod(array.shape[1:]))
        if target is None:
            target = cuda.device_array((rows, self.size), array.dtype)
        kind = array_type(array.dtype, 2)
        launch(kernel(turn, (kind, kind)), self.size, source.reshape(self.size, rows), target)
        return target.reshape(*array.shape[1:], self.size)


def launch(kernel: Any, threads: int, *arguments: Any) -> None:
    """Run a kernel on so many threads."""
    kernel[max(FEWEST, -(-threads // BLOCK_THREADS)), BLOCK_THREADS](*arguments)


class DeviceBlockAtWork:
    """A block on the device while it is solved."""

    def __init__(self, blocks: "DeviceBlocks", block: Block) -> None:
        self.blocks, self.size, rate = blocks, len(block), block.learning_rate
        memory, method = ProblemsLast(block.x0), blocks.batch.method
        own = np.ndim(rate) == 2
        given = rate if own or np.ndim(rate) == 0 else 0.0
        self.vectors = first_vectors(memory, method, given, block.x_scale, block.bounds)
        self.data = tuple(map(memory.turned, block.data))
        words = np.zeros((WORDS, self.size), np.int64)
        words[WORD["learning_rate"]].view(float)[:] = 1.0 if own else first_rate(rate)
        self.words = cuda.to_device(words)
        self.reasons, self._going, self._coming = (
            cuda.device_array(self.size, np.int32) for _ in range(3)
        )
        self._count = cuda.to_device(np.zeros(1, np.int32))
        launch(
            kernel(begin, blocks.signatures.begin), self.size, self.vectors.x, self.vectors.scale,
            block.x_scale is None, self.reasons, self._going, self._count,
        )  # fmt: skip
        self._left = int(self._count.copy_to_host()[0])

    def count(self) -> int:
        """Return how many problems have not stopped."""
        return self._left

    def run(self, options: np.ndarray, span: Span) -> bool:
        """Iterate all that are going, and wait for them; none is left for this span."""
        self._count.copy_to_device(np.zeros(1, np.int32))
        blocks, rates = self.blocks, span.rates
        lists = Lists(self._going[: self._left], self._coming, self._count, self.reasons)
        there = span._replace(rates=None if rates is None else cuda.to_device(rates))
        launch(
            blocks.kernel, self._left, blocks.method, self.data, blocks.args, lists, self.vectors,
            self.words, Settings(*options[0].tolist()), there,
        )  # fmt: skip
        self._going, self._coming = self._coming, self._going
        self._left = int(self._count.copy_to_host()[0])
        return False

    def end(self) -> tuple[State, np.ndarray, dict[int, Exception]]:
        """Return the best points, why each problem stopped, and what was raised."""
        blocks, v = self.blocks, self.vectors
        x, g = (cuda.device_array((self.size, blocks.n), v.x.dtype) for _ in range(2))
        gathered = kernel(gather, blocks.signatures.gather)
        launch(gathered, self.size, v.x, v.g, self.words, x, g)
        records = np.zeros(self.size, STATE)  # best points are in row 0
        for name in READ:
            word = self.words[WORD[name]].copy_to_host()
            records[name] = word.view(records.dtype[name])
        scale = None
        if v.scale is not None and (blocks.finishes() or blocks.batch.options["errors"]):
            scale = v.scale.copy_to_host().T
        reasons = self.reasons.copy_to_host().astype(np.int64)
        raised = np.flatnonzero(reasons == RAISED)
        exceptions: dict[int, Exception] = dict.fromkeys(
            raised.tolist(), RuntimeError(RAISED_THERE)
        )
        return EndedState(x.copy_to_host(), g.copy_to_host(), records, scale), reasons, exceptions


class DeviceBlocks(CompiledBlocks):
    """Solves blocks on a GPU."""

    growth = GROWTH

    def __init__(self, batch: Batch, sample: Block) -> None:
        self.batch, (_, n), dtype = batch, sample.x0.shape, sample.x0.dtype
        self.n, self.dtype, rate = n, dtype, batch.options["learning_rate"]
        like = tuple(np.zeros(array.shape[1:], array.dtype)[()] for array in sample.data)
        own = CompiledObjective(batch.fun, batch.jac, batch.args, dtype, like)
        self._take(own)
        devices = {device_of(interface_of(a)) for a in sample.data if interface_of(a) is not None}
        if len(devices) > 1:
            raise ValueError(f"`data` must be on one GPU; got {sorted(devices)}.")
        self.context: Any = cuda.gpus[devices.pop()] if devices else nullcontext()
        self.method = batch.method.numba_type(rate is None, is_plain(batch.options))
        few = n <= FEW[dtype.itemsize]
        with self.context:
            self.args = tuple(map(uploaded, batch.args))
            vectors = self._vectors(sample)
            self.signatures = Signatures(
                self.method, vectors, tuple(array_type(a.dtype, a.ndim) for a in sample.data),
                tuple(map(kind_of, batch.args)), callable(rate),
            )  # fmt: skip
            begun = time.perf_counter()
            functions = differentiated(own.sources._replace(args=()), n)
            try:
                self.kernel = compiled_kernel(
                    functions, n if few else None, batch.method.slots, numba.from_dtype(dtype),
                    self.signatures.problems,
                )  # fmt: skip
            except (NumbaError, KeyError, NotImplementedError) as error:  # KeyError: a ufunc
                raise TypeError(
                    f"`fun` or `jac` does not compile for the GPU: {in_words(main_reason(error))}\n"
                    f"{NOT_THERE}"
                ) from error
            code.seconds += time.perf_counter() - begun
        copies = sum((2 - (interface_of(a) is not None)) * nbytes(a) for a in sample.data)
        results = 2 * n * dtype.itemsize
        self.bytes = sum(a.nbytes for a in vectors if a is not None) + results + 8 * WORDS + copies

    def _vectors(self, sample: Block) -> Vectors:
        """Return the vectors of the first problem, on the device."""
        rate, scale, bounds = sample.learning_rate, sample.x_scale, sample.bounds
        given = rate[:1] if np.ndim(rate) == 2 else None if rate is None else 0.0
        return first_vectors(ProblemsLast(sample.x0), self.batch.method, given, scale, bounds)

    def size(self) -> int:
        """Return how many problems a block may have."""
        with self.context:
            free = cuda.current_context().get_memory_info()[0]
        return int(min(MOST_PROBLEMS, max(1, SHARE * free / self.bytes)))

    def begin(self, block: Block) -> DeviceBlockAtWork:
        """Return a block as it is before the first iteration."""
        return DeviceBlockAtWork(self, block)

    def solve(self, block: Block, stopped: Callable[[int], bool]) -> Solved:
        """Solve a block; `stopped` is asked between launches."""
        with self.context:
            return super().solve(block, stopped)

    def _finish(self, block: Block, *ended: Any) -> dict[int, float]:
        return super()._finish(on_host(block), *ended) if self.finishes() else {}

    def _covariances(self, block: Block, *ended: Any) -> Covariances:
        return super()._covariances(on_host(block), *ended)


def on_host(block: Block) -> Block:
    """Return a block with its data on the host."""
    here = tuple(a if interface_of(a) is None else a.copy_to_host() for a in block.data)
    return replace(block, data=here)


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
