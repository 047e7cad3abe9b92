"""numba.cuda, and how kernels are compiled and launched.

Imported when the first array on a device is met. Nothing else imports numba.cuda: others take `cuda` from
here, and a successor of numba-cuda is one change.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numba_cuda  # noqa: F401 - Numba's own, older copy of numba.cuda is not what is tested
from numba import cuda, types
from numba.cuda.cudadrv import devicearray

from .._compiled.method import MethodType

SIMULATED = bool(numba.config.ENABLE_CUDASIM)
DRIVER: Any = None if SIMULATED else cuda.cudadrv.driver.binding
GRID = 4096  # blocks of threads at most: more than any GPU runs at once, so that every one is full
# Threads of a block; and the fewest blocks: below, Numba warns of a GPU that is not full, and those with
# nothing to do cost nothing. In the simulator every thread is one of Python's.
THREADS, FEWEST = (4, 2) if SIMULATED else (256, 128)

ADDRESS = 4  # of the driver's parameters for an array, the fifth is where it is


class Opaque:
    """Hands arguments without data to a kernel: a method is its type, None is None."""

    @staticmethod
    def prepare_args(kind: Any, value: Any, **_: Any) -> tuple[Any, Any]:
        nothing = isinstance(kind, MethodType | types.NoneType)
        return (types.uint64, 0) if nothing else (kind, value)


# The simulator knows fewer options. Nothing is linked to, so what the compiler gives is what runs.
KERNEL: dict[str, Any] = {} if SIMULATED else {"extensions": [Opaque], "lto": False}
DEVICE: dict[str, Any] = {"device": True} | ({} if SIMULATED else {"forceinline": True})


@cache
def kernel(function: Callable, signature: tuple[types.Type, ...]) -> Any:
    """Compile a kernel for exactly these types: a launch then looks nothing up."""
    return cuda.jit(signature, **KERNEL)(function)


class Launch:
    """A kernel and its arguments, made ready once and launched many times, in an active context.

    Of an array the driver gets the address, sizes and strides. numba-cuda looks them up at every
    launch, some 6 us an array, which is more than a launch itself takes. Here what it found is kept,
    and only what changes is put in its place.
    """

    def __init__(self, kernel: Any, blocks: int, *arguments: Any) -> None:
        self._kernel, self._grid, self._arguments = kernel, (blocks, THREADS), list(arguments)
        self._places: list[int] = []  # where the driver's parameters of each argument begin
        if SIMULATED:
            return
        (code,) = kernel.overloads.values()
        parameters: list[Any] = []
        for kind, argument in zip(code.argument_types, arguments, strict=True):
            self._places.append(len(parameters))
            code._prepare_args(kind, argument, 0, [], parameters)
        self._numbers = [
            n if isinstance(n, ctypes._SimpleCData) else ctypes.c_int64(n) for n in parameters
        ]
        self._list = (ctypes.c_void_p * len(parameters))(*map(ctypes.addressof, self._numbers))
        self._addresses = ctypes.addressof(self._list)
        self._code = DRIVER.CUfunction(int(code._codelibrary.get_cufunc().handle))

    def put(self, index: int, value: Any) -> None:
        """Replace an argument by a number, numbers, or an array of the same shape (`DeviceVector.handle`)."""
        if SIMULATED:
            self._arguments[index] = value
            return
        place = self._places[index]
        if isinstance(value, tuple):
            for part, number in enumerate(value):
                self._numbers[place + part].value = number
        else:
            self._numbers[place if isinstance(value, float) else place + ADDRESS].value = value

    def __call__(self, stream: int | None) -> None:
        """Launch on a stream."""
        if SIMULATED:
            return self._kernel[*self._grid](*self._arguments)
        blocks, threads = self._grid
        (error,) = DRIVER.cuLaunchKernel(
            self._code, blocks, 1, 1, threads, 1, 1, 0, driver_stream(stream), self._addresses, 0
        )
        if error:
            raise RuntimeError(f"a kernel could not be launched: {error!r}")
        return None


@cache
def driver_stream(handle: int | None) -> Any:
    """Return the driver's stream for a handle."""
    return DRIVER.CUstream(handle or 0)


@cache
def as_stream(handle: int | None) -> Any:
    """Return Numba's stream for a handle."""
    return 0 if SIMULATED or handle is None else cuda.external_stream(handle)


def devices() -> str:
    """Return the names of the GPUs, or why there is none."""
    if SIMULATED:
        return "simulated"
    if not cuda.is_available():
        return f"none, {_reason()}"
    names = (cuda.gpus[i].name for i in range(len(cuda.gpus)))
    return ", ".join(name.decode() if isinstance(name, bytes) else name for name in names)


def unavailable() -> str:
    """Return why no GPU can be used, nothing where one can."""
    return "" if cuda.is_available() else f"Numba can use none ({_reason()})"


def _reason() -> str:
    """Return what the driver says."""
    error = getattr(cuda, "cuda_error", lambda: None)()
    return str(error).strip().splitlines()[0].rstrip(".") if error else "no device was found"


def fake(array: Any) -> Any:
    """Return an array of the host as one of the simulator's devices."""
    return devicearray.FakeCUDAArray(array)


def is_fake(array: Any) -> bool:
    """Return whether an array is one of the simulator's devices."""
    return SIMULATED and isinstance(array, devicearray.FakeCUDAArray)


def on_host(array: Any) -> Any:
    """Return the array that the simulator wraps, or what is none as it is."""
    return getattr(array, "_ary", array)
