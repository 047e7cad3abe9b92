"""Exact gradients in kernels: the caller's function is compiled there for dual numbers, as on the host.

Nothing has to be lifted, as no array is made on a device: Numba finds by itself what a function calls.
"""

from functools import lru_cache
from typing import Any

from .._compiled.evaluation import Functions
from .._forward import preferred
from .._forward.derivatives import PARTS, passes
from .._forward.methods import Methods
from .._forward.seeds import room
from .driver import DEVICE, SIMULATED, cuda
from .problems import device_function

if not SIMULATED:
    _context = cuda.descriptor.cuda_target.typing_context
    preferred.prefer_known(_context)
    _context._attributes[Methods.key].insert(0, Methods(_context))


def differentiated(functions: Functions, n: int) -> Functions:
    """Return the functions as they are; a derivative in the form that a kernel takes, for n variables.

    The simulator runs the host's code, derivatives included.
    """
    fun = functions.fun
    whole = functions.jac is True or functions.jac is None
    if SIMULATED or not (whole and hasattr(fun, "derivative_of")):
        return functions
    return functions._replace(fun=device_gradient(fun.derivative_of(), n), jac=True)


@lru_cache(maxsize=64)
def device_gradient(fun: Any, n: int) -> Any:
    """Return the function for the device that writes the exact gradient of `fun` into g."""
    parts = min(n, PARTS)
    gradient = cuda.jit(**DEVICE)(passes(device_function(fun), parts))

    def written(x, g, *args):
        return gradient(x, g, room(x, parts, n), args)

    return cuda.jit(**DEVICE)(written)
