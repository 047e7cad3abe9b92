"""Arrays on NVIDIA GPUs, and the kernel that steps them.

The kernel is the CPU's loop body, one element at a time: no formula stands here. Coefficients come
from the host, where they are computed once a step. Imported when the first array on a device is met.
Nothing else imports numba.cuda: others take `cuda` from here, and a successor of numba-cuda is one change.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numba
import numba_cuda  # noqa: F401 - Numba's own, older copy of numba.cuda is not what is tested
import numpy as np
from numba import cuda, types
from numba.cuda.cudadrv import devicearray

from . import _kernels
from ._compiled import array_type, machine_code
from ._kernels import vectors_of
from ._methods import Method
from ._rules import Coefficients, MethodType

SIMULATED = bool(numba.config.ENABLE_CUDASIM)
DRIVER: Any = None if SIMULATED else cuda.cudadrv.driver.binding
BLOCKS = 4096  # at most: more than any GPU runs at once, so that every one is full
# Threads of a block; and the fewest blocks: below, Numba warns of a GPU that is not full, and those with
# nothing to do cost nothing. In the simulator every thread is one of Python's.
THREADS, FEWEST = (4, 2) if SIMULATED else (256, 128)

ADDRESS = 4  # of what a kernel is told of an array, the fifth number is where it is
KNOWN = 8  # addresses that are remembered to be on a device

CONTIGUOUS = "use cupy.ascontiguousarray, or contiguous() of a tensor"


class Opaque:
    """Hands arguments without data to a kernel: a method is its type, None is None."""

    @staticmethod
    def prepare_args(kind: Any, value: Any, **_: Any) -> tuple[Any, Any]:
        nothing = isinstance(kind, MethodType | types.NoneType)
        return (types.uint64, 0) if nothing else (kind, value)


# The simulator knows fewer options. Nothing is linked to, so what the compiler gives is what runs.
KERNEL: dict[str, Any] = {} if SIMULATED else {"extensions": [Opaque], "lto": False}
DEVICE: dict[str, Any] = {"device": True} | ({} if SIMULATED else {"forceinline": True})

sweep = cuda.jit(**DEVICE)(_kernels.sweep.py_func)


def step(method, x, g, slots, rates, c, k):
    """Step all elements of x in place; one launch passes over memory once."""
    n, stride, one = np.uintp(x.shape[1]), np.uintp(cuda.gridsize(1)), np.uintp(1)
    i = np.uintp(cuda.grid(1))
    while i < n:
        sweep(
            method, i, i + one, x[0], None, None, g[0], vectors_of(method, slots), rates, None, None,
            None, None, c, k,
        )  # fmt: skip
        i += stride


def fill(block, value):
    """Set all elements of a block."""
    n, stride = np.uintp(block.shape[1]), np.uintp(cuda.gridsize(1))
    for row in range(block.shape[0]):
        i = np.uintp(cuda.grid(1))
        while i < n:
            block[row, i] = value
            i += stride


def step_signature(method: MethodType, dtype: np.dtype, rated: bool) -> tuple[types.Type, ...]:
    """Return the types of `step`, with an array of learning rates or without."""
    real, block = numba.from_dtype(dtype), array_type(dtype, 2)
    c, k = (
        types.NamedUniTuple(real, len(kind._fields), kind)
        for kind in (Coefficients, _kernels.Shell)
    )
    rates = array_type(dtype, 1) if rated else types.none
    return method, block, block, block, rates, c, k


def fill_signature(dtype: np.dtype) -> tuple[types.Type, ...]:
    """Return the types of `fill`."""
    return array_type(dtype, 2), numba.from_dtype(dtype)


@cache
def kernel(function: Callable, signature: tuple[types.Type, ...]) -> Any:
    """Compile a kernel for exactly these types: a launch then looks nothing up."""
    return cuda.jit(signature, **KERNEL)(function)


class Launch:
    """A kernel and its arguments, made ready once and launched many times, in an active context.

    Of an array the driver is told the address, sizes and strides. numba-cuda looks them up at every
    launch, some 6 us an array, which is more than a launch itself takes. Here what it found is kept,
    and only what changes is put in its place.
    """

    def __init__(self, kernel: Any, blocks: int, *arguments: Any) -> None:
        self._kernel, self._grid, self._arguments = kernel, (blocks, THREADS), list(arguments)
        self._places: list[int] = []  # where what the driver is told of each argument begins
        if SIMULATED:
            return
        (code,) = kernel.overloads.values()
        told: list[Any] = []
        for kind, argument in zip(code.argument_types, arguments, strict=True):
            self._places.append(len(told))
            code._prepare_args(kind, argument, 0, [], told)
        self._numbers = [
            n if isinstance(n, ctypes._SimpleCData) else ctypes.c_int64(n) for n in told
        ]
        self._list = (ctypes.c_void_p * len(told))(*map(ctypes.addressof, self._numbers))
        self._told = ctypes.addressof(self._list)
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
            self._code, blocks, 1, 1, threads, 1, 1, 0, driver_stream(stream), self._told, 0
        )
        if error:
            raise RuntimeError(f"a kernel could not be launched: {error!r}")
        return None


class DeviceVector:
    """The caller's variables on a GPU, and the steps taken on them.

    A step runs on the stream of its gradient, after all that was launched here before; the host
    waits for nothing.

    Parameters
    ----------
    x : object with ``__cuda_array_interface__``
        float32 or float64, C-contiguous; no copy is made.
    name : str
        What errors call it.
    in_place : bool
        Whether it is stepped in place: it must then not be read-only.
    """

    def __init__(self, x: Any, name: str = "x", in_place: bool = True) -> None:
        interface, self.owner, self.name = interface_of(x), x, name
        self.dtype, self.shape = np.dtype(interface["typestr"]), tuple(interface["shape"])
        if self.dtype not in (np.float32, np.float64) or not self.dtype.isnative:
            raise TypeError(f"`{name}` must have dtype float32 or float64; got {self.dtype}.")
        if not contiguous(interface):
            raise ValueError(f"`{name}` must be C-contiguous; {CONTIGUOUS}.")
        if in_place and interface["data"][1]:
            raise ValueError(
                f"`{name}` must be writeable, it is stepped in place; this {type(x).__name__} is"
                " read-only, as JAX's arrays are: copy it into a CuPy array or a PyTorch tensor."
            )
        self.device = device_of(interface)
        self.context = cuda.gpus[self.device]
        self.size = int(np.prod(self.shape, dtype=np.int64))
        with self.context:
            self.block = view(x, interface, self.size)
        self.blocks = min(BLOCKS, max(FEWEST, -(-self.size // THREADS)))
        self.stream = stream_of(x, interface)  # the handle of the stream used last
        self._known: set[int] = set()  # addresses on this device

    def empty(self, shape: int | tuple[int, int]) -> Any:
        """Return a new array on the device."""
        with self.context:
            return cuda.device_array(shape, self.dtype)

    def full(self, rows: int, value: float) -> Any:
        """Return a new block of as many elements a row as x."""
        block = self.empty((rows, self.size))
        with self.context:
            filled = kernel(fill, fill_signature(self.dtype))
        self.launch(filled, block, self.dtype.type(value))
        return block

    def upload(self, vector: np.ndarray) -> Any:
        """Return a copy on the device."""
        with self.context:
            return cuda.to_device(vector)

    def copy(self, array: Any) -> Any:
        """Return a copy of an array on the device, as a vector, after all steps so far."""
        new = self.empty(self.size)
        with self.context:
            new.copy_to_device(array.reshape(self.size), stream=as_stream(self.stream))
        return new

    def download(self, block: Any) -> np.ndarray:
        """Return a copy on the host of what all steps so far have left."""
        with self.context:
            copy = block.copy_to_host(stream=as_stream(self.stream))
            self._wait()
        return copy

    def replace(self, block: Any, value: np.ndarray) -> None:
        """Overwrite a block with an array of the host, after all steps so far."""
        with self.context:
            block.copy_to_device(np.ascontiguousarray(value), stream=as_stream(self.stream))
            self._wait()

    def gradient(self, gradient: Any, name: str = "gradient") -> Any:
        """Return a view of the gradient, and order the next step after its producer.

        Raises
        ------
        TypeError, ValueError
            If it is not on the device of x, or not of its shape, dtype and layout.
        """
        owner, interface = self._accepted(gradient, name)
        with self.context:
            return view(owner, interface, self.size)

    def handle(self, gradient: Any, name: str) -> Any:
        """Return the gradient as `Launch.put` takes it, and order the next step after its producer."""
        owner, interface = self._accepted(gradient, name)
        return handle_of(owner, interface, self.size)

    def _accepted(self, gradient: Any, name: str) -> tuple[Any, dict[str, Any]]:
        """Return a gradient that is as it must be and its description, and follow its stream.

        Raises
        ------
        TypeError, ValueError
            If it is not on the device of x, or not of its shape, dtype and layout.
        """
        gradient = gradient.detach() if hasattr(gradient, "detach") else gradient
        interface = interface_of(gradient)
        if interface is None:
            raise TypeError(
                f"`{name}` must be on the device, where {self.name} is; got"
                f" {type(gradient).__name__} on the host."
            )
        dtype, shape = np.dtype(interface["typestr"]), tuple(interface["shape"])
        if dtype != self.dtype:
            raise TypeError(
                f"`{name}` must have dtype {self.dtype}, that of {self.name}; got {dtype}."
            )
        if shape != self.shape:
            raise ValueError(
                f"`{name}` must have shape {self.shape}, that of {self.name}; got {shape}."
            )
        if not contiguous(interface):
            raise ValueError(f"`{name}` must be C-contiguous; {CONTIGUOUS}.")
        address = interface["data"][0]
        if address not in self._known:  # the driver takes its time to say whose an address is
            device = device_of(interface)
            if device != self.device:
                raise ValueError(
                    f"`{name}` must be on device {self.device}, that of {self.name}; got device {device}."
                )
            self._known = {address, *list(self._known)[:KNOWN]}
        self.follow(stream_of(gradient, interface))
        return gradient, interface

    def stepper(self, method: Method, rated: bool) -> Callable:
        """Return a function of the arguments of `_kernels.step` that launches a step."""
        kind, real = method.numba_type(), self.dtype.type
        numbers = machine_code(
            _kernels.numbers,
            (
                kind,
                array_type(np.dtype(float), 1),
                *2 * (types.float64,),
                array_type(self.dtype, 1),
            ),
        )
        with self.context:
            launched = kernel(step, step_signature(kind, self.dtype, rated))
        like, ready = np.empty(0, self.dtype), None

        def take_step(_, x, g, slots, rates, o, t, rate):
            nonlocal ready
            c, k = numbers(None, o, t, rate, like)
            c, k = Coefficients(*map(real, c)), _kernels.Shell(*map(real, k))
            with self.context:
                if ready is None:
                    ready = Launch(launched, self.blocks, kind, x, x, slots, rates, c, k)
                for index, value in ((2, g), (5, c), (6, k)):
                    ready.put(index, value)
                ready(self.stream)

        return take_step

    def launch(self, kernel: Any, *arguments: Any) -> None:
        """Run a kernel over all elements, after all that was launched here before."""
        with self.context:
            kernel[self.blocks, THREADS, as_stream(self.stream)](*arguments)

    def _wait(self) -> None:
        """Wait for a copy: without a stream it is over already."""
        if self.stream is not None:
            as_stream(self.stream).synchronize()

    def follow(self, stream: int | None) -> None:
        """Go on with another stream, after what the last one has been given."""
        if stream != self.stream:
            with self.context:
                event = cuda.event(timing=False) if not SIMULATED else cuda.event()
                event.record(as_stream(self.stream))
                event.wait(as_stream(stream))
            self.stream = stream


def interface_of(array: Any) -> Any:
    """Return the description of an array on a device, None for what is none."""
    if SIMULATED and isinstance(array, devicearray.FakeCUDAArray):
        return array.__array_interface__
    return getattr(array, "__cuda_array_interface__", None)


def contiguous(interface: dict[str, Any]) -> bool:
    """Return whether the array is C-contiguous and unmasked."""
    if interface.get("mask") is not None:
        return False
    strides, expected = interface.get("strides"), np.dtype(interface["typestr"]).itemsize
    if strides is None or 0 in interface["shape"]:
        return True
    for length, stride in zip(reversed(interface["shape"]), reversed(strides), strict=True):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


def view(owner: Any, interface: dict[str, Any], size: int) -> Any:
    """Return the array as one row; no copy."""
    row = {"version": 3, "shape": (1, size), "strides": None}
    row |= {name: interface[name] for name in ("typestr", "data")}
    if SIMULATED:  # its devices have the host's memory
        return devicearray.FakeCUDAArray(np.asarray(SimpleNamespace(__array_interface__=row)))
    return cuda.from_cuda_array_interface(row, owner=owner, sync=False)


def handle_of(owner: Any, interface: dict[str, Any], size: int) -> Any:
    """Return the array as `Launch.put` takes it."""
    return view(owner, interface, size) if SIMULATED else interface["data"][0]


def like(owner: Any, array: Any) -> Any:
    """Return a vector on the device as the package of `owner` has arrays: a view, where it has views."""
    package = type(owner).__module__.partition(".")[0]
    if package == "cupy":
        import cupy

        return cupy.asarray(array)
    if package == "torch":
        import torch

        return torch.as_tensor(array, device=owner.device)
    if package in ("jax", "jaxlib"):
        import jax

        return jax.numpy.array(array, copy=True)  # JAX's arrays never change
    return array


def sharing(owner: Any, array: Any) -> Callable[[], Any]:
    """Return a function that gives the array as `like` does, without looking at it anew where it need not."""
    package, known = type(owner).__module__.partition(".")[0], like(owner, array)
    if package in ("jax", "jaxlib"):
        return lambda: like(owner, array)
    # What autograd notes on a tensor must be gone in the next iteration.
    return known.detach if package == "torch" else lambda: known


def device_of(interface: dict[str, Any]) -> int:
    """Return the number of the device that an array is on."""
    pointer = interface["data"][0]
    if SIMULATED or not pointer:
        return 0
    binding, driver = cuda.cudadrv.driver.binding, cuda.cudadrv.driver.driver
    ordinal = binding.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    return int(driver.cuPointerGetAttribute(ordinal, binding.CUdeviceptr(pointer)))


def stream_of(array: Any, interface: dict[str, Any]) -> int | None:
    """Return the handle of the stream that an array is made on, None for the default stream.

    PyTorch's interface has no stream; its streams wait for no other, so its current one is asked for.
    """
    stream = interface.get("stream")
    if stream == 0:
        raise ValueError("`__cuda_array_interface__` must not have the stream 0: it is ambiguous.")
    if stream is None and type(array).__module__.partition(".")[0] == "torch":
        import torch

        stream = torch.cuda.current_stream(array.device).cuda_stream or None
    return stream


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
