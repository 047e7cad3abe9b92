"""The gradient that nobody wrote: exact where a Numba function can be differentiated, else differences."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numba.core.registry import CPUDispatcher

from .._compiled.machine_code import array_type, compile_or_load
from .arguments import ADAPTIVE, COMPILED, FORWARD
from .compiled import (
    check_parameters,
    compiled_function,
    gradient_into,
    require_number,
    types_of,
)

DIFFERENCED = ("finite_difference", "finite_diff_rel_step", "workers")  # options that ask for it


def chosen_gradient(
    fun: Callable,
    jac: Any,
    args: tuple,
    given: Mapping[str, Any],
    dtype: np.dtype,
    data: tuple = (),
) -> tuple[Any, tuple]:
    """Return `jac` and `args`, where no gradient has been written as compiled code has the best one.

    Parameters
    ----------
    jac : as `gradient_form` returns it
        FORWARD insists on exact derivatives, ADAPTIVE takes what there is, all else is left as it is.
    given : mapping
        Options that the caller gave.
    dtype : dtype
        Of x.
    data : tuple
        Arguments of one problem of several, before `args`.

    Returns
    -------
    jac
        FORWARD; COMPILED, differences in machine code; or what was given.
    args : tuple
        With the defaults of `fun` for what is missing.

    Raises
    ------
    TypeError
        If `fun` does not compile, or has no exact derivatives and must have.
    """
    if jac not in (FORWARD, ADAPTIVE):
        return jac, args
    insisted = jac == FORWARD
    if not isinstance(fun, CPUDispatcher) or "forceobj" in fun.targetoptions:
        if insisted:
            raise TypeError(f"`jac='forward'` needs a Numba function; decorate `fun` ({fun!r})"
                            " with @numba.njit, or leave `jac` out for differences.")  # fmt: skip
        return jac, args
    if not insisted and any(given.get(name) is not None for name in DIFFERENCED):
        return jac, args
    whole = _whole(fun, args, 1 + len(data))
    if whole is None:
        if insisted:
            check_parameters("fun", fun, 1 + len(data) + len(args))
        return ADAPTIVE, args
    args = whole
    vector = array_type(dtype, 1)
    arguments = (*types_of("data", data), *types_of("args", args))
    refusal = _refusal(fun, (vector, vector, *arguments))
    if refusal is None:
        return FORWARD, args
    kind, _ = compiled_function("fun", fun, (vector, *arguments))
    require_number(kind.signature.return_type)
    if insisted:
        raise TypeError(f"`jac='forward'`: {refusal}") from refusal
    return COMPILED, args


def _whole(fun: CPUDispatcher, args: tuple, leading: int) -> tuple | None:
    """Return arguments with the defaults of what is missing; None where they are not those of `fun`."""
    parameters = list(inspect.signature(fun.py_func).parameters.values())
    missing = [parameter.default for parameter in parameters[leading + len(args) :]]
    named = all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    if not named or inspect.Parameter.empty in missing or len(parameters) < leading + len(args):
        return None
    return (*args, *missing)


def _refusal(fun: CPUDispatcher, arguments: tuple) -> Exception | None:
    """Compile exact derivatives; return why there are none, if so. Numba remembers either."""
    exact = gradient_into(fun)
    if arguments in exact.overloads:
        return None
    try:
        compile_or_load(exact, arguments)
    except Exception as error:  # of many kinds, where Numba meets what it does not know
        return error
    return None
