"""The caller's variables on a GPU, and the memory beside them."""

from typing import Any

import numba
import numpy as np
from numba import types

from .._compiled.machine_code import array_type
from .._compiled.vectors import X_ROWS
from . import driver
from .arrays import contiguous, device_of, handle_of, interface_of, stream_of, view
from .driver import SIMULATED, as_stream, cuda, kernel

KNOWN = 8  # addresses that are remembered to be on a device

CONTIGUOUS = "use cupy.ascontiguousarray, or contiguous() of a tensor"


def fill(rows, value):
    """Set all elements of some rows."""
    n, stride = np.uintp(rows.shape[1]), np.uintp(cuda.gridsize(1))
    for row in range(rows.shape[0]):
        i = np.uintp(cuda.grid(1))
        while i < n:
            rows[row, i] = value
            i += stride


def fill_signature(dtype: np.dtype) -> tuple[types.Type, ...]:
    """Return the types of `fill`."""
    return array_type(dtype, 2), numba.from_dtype(dtype)


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
            self.row = view(x, interface, self.size)
        fitting = -(-self.size // driver.THREADS)
        self.grid = min(driver.GRID, max(driver.FEWEST, fitting))  # blocks of threads
        self.stream = stream_of(x, interface)  # the handle of the stream used last
        self._known: set[int] = set()  # addresses on this device

    def empty(self, shape: int | tuple[int, int]) -> Any:
        """Return a new array on the device."""
        with self.context:
            return cuda.device_array(shape, self.dtype)

    def rows(self, count: int, value: float) -> Any:
        """Return a new array of so many rows as long as x, full of a value."""
        rows = self.empty((count, self.size))
        with self.context:
            filled = kernel(fill, fill_signature(self.dtype))
        self.launch(filled, rows, self.dtype.type(value))
        return rows

    def vector(self, value: float) -> Any:
        """Return a new array as long as x, full of a value."""
        return self.rows(1, value).reshape(self.size)

    def given(self, array: np.ndarray) -> Any:
        """Return a copy on the device, in the dtype of x."""
        return self.upload(np.ascontiguousarray(array, self.dtype))

    def points(self) -> tuple[Any, Any]:
        """Return arrays for X_ROWS points and one more; `iteration.begin` writes the start into both."""
        return self.empty((X_ROWS, self.size)), self.empty(self.size)

    def sizes(self) -> Any:
        """Return an array for the typical sizes; `iteration.begin` writes them."""
        return self.empty(self.size)

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

    def download(self, array: Any) -> np.ndarray:
        """Return a copy on the host of what all steps so far have left."""
        with self.context:
            copy = array.copy_to_host(stream=as_stream(self.stream))
            self._wait()
        return copy

    def replace(self, array: Any, value: np.ndarray) -> None:
        """Overwrite an array with one of the host, after all steps so far."""
        with self.context:
            array.copy_to_device(np.ascontiguousarray(value), stream=as_stream(self.stream))
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

    def launch(self, kernel: Any, *arguments: Any) -> None:
        """Run a kernel over all elements, after all that was launched here before."""
        with self.context:
            kernel[self.grid, driver.THREADS, as_stream(self.stream)](*arguments)

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
