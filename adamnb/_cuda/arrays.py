"""The caller's arrays on NVIDIA GPUs, of whatever package: what they are, and views of them."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from .driver import SIMULATED, cuda, fake, is_fake


def interface_of(array: Any) -> Any:
    """Return the description of an array on a device, None for what is none."""
    if is_fake(array):
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
        return fake(np.asarray(SimpleNamespace(__array_interface__=row)))
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
