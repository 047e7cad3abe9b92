"""NumPy's functions of numbers, for GPUs: numba-cuda has many of them in `math` alone.

Functions that were written for the CPU, with `np.exp` where `math.exp` would do, then compile as they
are. What numba-cuda has by itself stays as it is. Imported for its effect.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .driver import cuda

IN_MATH: dict[Any, Any] = {
    np.absolute: math.fabs, np.ceil: math.ceil, np.exp: math.exp, np.exp2: math.exp2,
    np.expm1: math.expm1, np.fabs: math.fabs, np.floor: math.floor, np.log1p: math.log1p,
    np.sqrt: math.sqrt, np.trunc: math.trunc,
}  # fmt: skip
IN_MATH_OF_TWO: dict[Any, Any] = {
    np.copysign: math.copysign, np.fmod: math.fmod, np.nextafter: math.nextafter,
    np.power: math.pow,
}  # fmt: skip
LN2 = math.log(2.0)
TO_NUMBER, TO_BOOLEAN = ("f->f", "d->d"), ("f->?", "d->?")


def logaddexp(x, y):
    if x == y:
        return x + LN2  # also where both are infinite
    return (x if x > y else y) + math.log1p(math.exp(-math.fabs(x - y)))


WRITTEN_OUT: dict[Any, dict[str, Callable]] = {
    np.isfinite: dict.fromkeys(TO_BOOLEAN, lambda x: x - x == 0),
    np.isinf: dict.fromkeys(TO_BOOLEAN, lambda x: x == x and x - x != 0),
    np.square: dict.fromkeys(TO_NUMBER, lambda x: x * x),
    np.sign: {
        "f->f": lambda x: x if x != x else math.copysign(np.float32(x != 0), x),
        "d->d": lambda x: x if x != x else math.copysign(np.float64(x != 0), x),
    },
    np.cbrt: {"f->f": lambda x: cuda.libdevice.cbrtf(x), "d->d": lambda x: cuda.libdevice.cbrt(x)},
    np.logaddexp: dict.fromkeys(("ff->f", "dd->d"), logaddexp),
}


def _found(find: Callable, function: Callable) -> Callable:
    """Return what makes code of a function in `math`."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return find(function, signature.args[0])(context, builder, signature, arguments)

    return lower


def _compiled(function: Callable) -> Callable:
    """Return what makes code of a Python function."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.compile_internal(builder, function, signature, arguments)

    return lower


def _add() -> None:
    known, of_one = cuda.ufuncs.ufunc_db(), cuda.mathimpl.get_unary_impl_for_fn_and_ty
    of_two = cuda.mathimpl.get_binary_impl_for_fn_and_ty
    for ufunc, function in IN_MATH.items():
        known.setdefault(ufunc, dict.fromkeys(("f->f", "d->d"), _found(of_one, function)))
    for ufunc, function in IN_MATH_OF_TWO.items():
        known.setdefault(ufunc, dict.fromkeys(("ff->f", "dd->d"), _found(of_two, function)))
    for ufunc, kinds in WRITTEN_OUT.items():
        known.setdefault(ufunc, {kind: _compiled(kinds[kind]) for kind in kinds})


_add()
