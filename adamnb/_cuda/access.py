"""The way to a GPU: whether there is one, and what it refuses. Imports numba.cuda only where it is asked."""

from typing import Any

from .._problem.arguments import FORWARD, SCHEMES


def require_gpu(subject: str, instead: str) -> None:
    """Raise a `RuntimeError` where no GPU can be used; numba.cuda is imported here."""
    try:
        from .driver import unavailable
    except ImportError as error:
        reason = f"numba-cuda does not import ({error})"
    else:
        reason = unavailable()
    if reason:
        raise RuntimeError(
            f'{subject}, and {reason}. `pip install "adamnb[cu12]"` (or `cu13`, the CUDA version of the'
            f" driver) installs what is needed; or {instead}."
        )


def device_vector(x: Any, name: str = "x", in_place: bool = True) -> Any:
    """Return x as the GPU's loops take it."""
    require_gpu(
        f"`{name}` ({type(x).__name__}) is on a CUDA device",
        "copy the array to the host, where NumPy arrays are stepped on all cores",
    )
    from .vector import DeviceVector

    return DeviceVector(x, name, in_place)


def device_start(x0: Any, fun: Any, jac: Any, o: dict[str, Any]) -> Any:
    """Return a start that is on a GPU, and refuse what cannot be done there."""
    vector = device_vector(x0, "x0", in_place=False)
    if len(vector.shape) != 1:
        raise ValueError("'x0' must only have one dimension.")
    if vector.size == 0:
        raise ValueError("`x0` must have at least one element; got an empty array.")
    if isinstance(jac, str) and jac in (FORWARD, *SCHEMES):
        raise ValueError(
            "`jac` must be given where x0 is on a GPU: a callable, True or 'inplace'. Differences, and exact"
            " derivatives of Numba functions, are of the host; PyTorch and JAX differentiate automatically."
        )
    if any(hasattr(function, "py_func") for function in (fun, jac)):
        raise TypeError(
            "`fun` and `jac` must be Python functions of arrays where x0 is on a GPU, or launch"
            " kernels; Numba functions (@njit) run on the host."
        )
    if o["polish"]:
        raise ValueError("`polish` runs on the host; copy x0 to a NumPy array, or leave it out.")
    if o["errors"]:
        raise ValueError("`errors` are of the host; copy x0 to a NumPy array, or leave them out.")
    if o["noisy"]:
        raise ValueError("`noisy` is of the host; copy x0 to a NumPy array, or leave it out.")
    for name in ("catch", "comm"):
        if o[name]:
            raise ValueError(f"`{name}` is of the host; copy x0 to a NumPy array, or leave it out.")
    return vector
