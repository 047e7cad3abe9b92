"""A step of an `Optimizer` on a GPU.

The kernel is the CPU's loop body, one element at a time: no formula stands here. Coefficients come from
the host, where they are computed once a step.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

from .._compiled import kernels
from .._compiled.elements import Regularisation
from .._compiled.loops import numbers_for_device, slots_of
from .._compiled.machine_code import array_type, machine_code
from .._compiled.method import MethodType
from .._compiled.records import OPTIONS
from .._compiled.rules import Coefficients
from .._problem.methods import Method
from .driver import DEVICE, Launch, cuda, kernel
from .vector import DeviceVector

sweep = cuda.jit(**DEVICE)(kernels.sweep.py_func)


def step(method, x, g, slots, rates, c, r):
    """Step all elements of x in place; one launch passes over memory once."""
    n, stride, one = np.uintp(x.shape[1]), np.uintp(cuda.gridsize(1)), np.uintp(1)
    i = np.uintp(cuda.grid(1))
    while i < n:
        sweep(
            method, i, i + one, x[0], None, None, g[0], slots_of(method, slots), rates, None, None,
            None, None, c, r, None,
        )  # fmt: skip
        i += stride


def step_signature(method: MethodType, dtype: np.dtype, rated: bool) -> tuple[types.Type, ...]:
    """Return the types of `step`, with an array of learning rates or without."""
    real, rows = numba.from_dtype(dtype), array_type(dtype, 2)
    c, r = (
        types.NamedUniTuple(real, len(kind._fields), kind)
        for kind in (Coefficients, Regularisation)
    )
    rates = array_type(dtype, 1) if rated else types.none
    return method, rows, rows, rows, rates, c, r


def stepper(vector: DeviceVector, method: Method, rated: bool) -> Callable:
    """Return a function of the arguments of `loops.step` that launches a step."""
    kind, real = method.numba_type(), vector.dtype.type
    numbers = machine_code(
        numbers_for_device, (kind, array_type(OPTIONS, 1), types.float64, types.float64)
    )
    with vector.context:
        launched = kernel(step, step_signature(kind, vector.dtype, rated))
    ready = None

    def take_step(
        _: None, x: Any, g: Any, slots: Any, rates: Any, o: Any, t: int, rate: float, missed: None
    ) -> None:
        nonlocal ready
        k = numbers(None, o, t, rate)
        c = Coefficients(*map(real, k.rule))
        r = Regularisation(*map(real, k.regularisation))
        with vector.context:
            if ready is None:
                ready = Launch(launched, vector.grid, kind, x, x, slots, rates, c, r)
            for index, value in ((2, g), (5, c), (6, r)):
                ready.put(index, value)
            ready(vector.stream)

    return take_step
