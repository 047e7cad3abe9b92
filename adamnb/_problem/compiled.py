"""The user's Numba functions: compiled for what they get, as values that machine code calls."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError
from numba.core.registry import CPUDispatcher
from numpy import ndarray

from .._compiled.differences import KNOWN, Learnt
from .._compiled.evaluation import Functions, evaluated
from .._compiled.functions import first_class
from .._compiled.machine_code import array_type, compile_or_load, machine_code
from .._compiled.records import STATE
from .arguments import COMPILED, FORWARD, refuse_masked
from .differences import Steps, learnt


class CompiledObjective:
    """The user's Numba functions as first-class functions with explicit types.

    Attributes
    ----------
    functions : Functions
        What to pass to the compiled loop; for differences, with what is learnt for `jac`.
    type : numba type
        Of `functions`.
    """

    def __init__(self, fun: Any, jac: Any, args: tuple, dtype: np.dtype, data: tuple = ()) -> None:
        vector = array_type(dtype, 1)
        arguments = (*types_of("data", data), *types_of("args", args))
        if jac == FORWARD:
            fun, jac = gradient_into(fun), "inplace"
        parts = (vector, vector) if jac == "inplace" else (vector,)
        fun_type, fun_value = compiled_function("fun", fun, parts + arguments)
        result = fun_type.signature.return_type
        if jac is True:
            if not (isinstance(result, types.BaseTuple) and len(result) == 2):
                raise TypeError(
                    f"`jac=True` needs `fun` to return (f, gradient); it returns {result}."
                )
            require_number(result[0])
            _require_vector(result[1])
            jac_type, jac_value = types.none, None
        else:
            require_number(result)
            if jac == "inplace":
                jac_type, jac_value = types.boolean, True
            elif jac == COMPILED:
                jac_type, jac_value = learnt_type(1), None
            else:
                jac_type, jac_value = compiled_function("jac", jac, (vector, *arguments))
                _require_vector(jac_type.signature.return_type)
        self.functions = Functions(fun_value, jac_value, data + args)
        self.type = functions_type(fun_type, jac_type, arguments)
        self._called = fun, jac

    @property
    def sources(self) -> Functions:
        """The same with the user's Numba functions themselves, for who compiles them into a kernel."""
        fun, jac = self._called
        return self.functions._replace(fun=fun, jac=jac if callable(jac) else self.functions.jac)


# By the addresses of the types in it, which it keeps: to hash types takes longer than all else here.
_known: dict[tuple[int, ...], types.Type] = {}


def functions_type(
    fun: types.Type, jac: types.Type, arguments: tuple[types.Type, ...]
) -> types.Type:
    """Return the Numba type of `Functions` with arguments of these types."""
    key = id(fun), id(jac), *map(id, arguments)
    if key not in _known:
        _known[key] = types.NamedTuple((fun, jac, types.Tuple(arguments)), Functions)
    return _known[key]


@cache
def learnt_type(ndim: int) -> types.Type:
    """Return the Numba type of what differences learn: of one problem, or, with an axis more, of many."""
    kinds = dict.fromkeys(Learnt._fields, np.dtype(float)) | {"known": KNOWN}
    return types.NamedTuple([array_type(kind, ndim) for kind in kinds.values()], Learnt)


class CompiledDifferences:
    """Differences in machine code, as Python calls them. The arguments are those of `Objective`."""

    def __init__(
        self, fun: Any, args: tuple, bounds: tuple | None, like: np.ndarray, steps: Steps
    ) -> None:
        own = CompiledObjective(fun, COMPILED, args, like.dtype)
        self.learnt = learnt(like, bounds, steps.x_scale)
        self.functions = own.functions._replace(jac=self.learnt)
        self.state = np.zeros(1, STATE)
        vector, points = array_type(like.dtype, 1), array_type(like.dtype, 2)
        signature = own.type, points, vector, vector, array_type(STATE, 1)
        self.run: Callable = machine_code(evaluated, signature)

    @property
    def error(self) -> np.ndarray:
        """Estimated absolute error of each element of the last gradient."""
        return self.learnt.error

    @property
    def noise(self) -> float:
        """Noise of f."""
        return float(self.learnt.known["noise"][0])

    def evaluate(self, x: np.ndarray, spare: np.ndarray, g: np.ndarray, counts: Any) -> float:
        """Write the gradient at x to g, count, and return f."""
        self.state["nfev"] = 0
        counts[1] += 1
        try:
            self.run(self.functions, x[np.newaxis], spare, g, self.state)
        finally:
            counts[0] += int(self.state["nfev"][0])
        return float(self.state["fun"][0])


NUMBERS = "?bBhHiIlLqQfdFD"  # dtypes that all compiled functions take
tuple_type = cache(types.Tuple)  # equal types are one object, which takes time to find


def explain_division(error: BaseException, fun: Any, jac: Any) -> None:
    """Note at a division by zero in a Numba function how it is infinite instead."""
    if isinstance(error, ZeroDivisionError) and any(isinstance(f, Dispatcher) for f in (fun, jac)):
        error.add_note(
            'A Numba function raises where it divides by zero. With @numba.njit(error_model="numpy") the'
            " quotient is infinite or NaN instead, and the run goes back to the best point."
        )


def gradient_into(fun: CPUDispatcher) -> CPUDispatcher:
    """Return the Numba function ``(x, g, *args) -> f`` that writes the exact gradient of `fun` into g."""
    from .._forward import derivatives  # late: it teaches Numba for a quarter of a second
    from .._forward.named import derivative

    return derivative(derivatives.value_and_grad_inplace, fun)


ALONE = ("inplace", FORWARD, COMPILED)  # `jac` where no other function is called than `fun`


def called(fun: Any, jac: Any) -> tuple:
    """Return what is to be called of the two."""
    return (fun,) if jac is True or (isinstance(jac, str) and jac in ALONE) else (fun, jac)


def is_compiled(fun: Any, jac: Any) -> bool:
    """Return whether all that is to be called is a Numba function."""
    return all(isinstance(f, Dispatcher | CFunc) for f in called(fun, jac))


def types_of(name: str, arguments: tuple) -> tuple[types.Type, ...]:
    """Return the Numba types of arguments, which are name[0], name[1], ..."""
    return tuple(type_of(f"{name}[{i}]", argument) for i, argument in enumerate(arguments))


def type_of(name: str, argument: Any, fun: str = "fun") -> types.Type:
    """Return the Numba type of an argument of the function that errors call `fun`."""
    if type(argument) is ndarray and argument.flags.carray and argument.dtype.char in NUMBERS:
        if argument.dtype.isnative:  # as nearly all are: 4 us less
            return array_type(argument.dtype, argument.ndim)
    refuse_masked(name, argument)
    if isinstance(argument, tuple):
        types_of(name, argument)
    dtype = getattr(argument, "dtype", None)
    if isinstance(dtype, np.dtype) and not dtype.isnative:
        raise TypeError(
            f"`{name}` must be in the machine's byte order for compiled functions; got"
            f" {type(argument).__name__} of {dtype}: pass"
            " `array.astype(array.dtype.newbyteorder('='))`."
        )
    try:
        kind = numba.typeof(argument)
    except (ValueError, NumbaError):
        kind = None
    if kind is None or (isinstance(kind, types.Array) and kind.dtype == types.pyobject):
        what = type(argument).__name__ + ("" if dtype is None else f" of {dtype}")
        way = (
            "Pass its `.to_numpy()`, or" if hasattr(argument, "to_numpy") else "To run interpreted,"
        )
        raise TypeError(
            f"`{name}` is of a type that compiled functions do not take: {what}."
            f" {way} pass `{fun}.py_func` instead of `{fun}`."
        )
    return kind


def compiled_function(name: str, function: Any, arguments: tuple) -> tuple[types.FunctionType, Any]:
    """Compile a user's function for these types and return its type and value as a first-class function."""
    if isinstance(function, CFunc):
        signature = vars(function)["_sig"]
        if tuple(signature.args) != arguments:
            raise TypeError(f"`{name}` is a cfunc of {signature.args}, expected {arguments}.")
        return types.FunctionType(signature), function
    compiled = function.overloads.get(arguments)
    if compiled is not None:
        return first_class(compiled)
    check_parameters(name, function, len(arguments))
    try:
        compile_or_load(function, arguments)
        return first_class(function.overloads[arguments])
    except (NumbaError, KeyError, RuntimeError) as error:
        raise TypeError(
            f"`{name}` does not compile for {', '.join(map(str, arguments))}: {main_reason(error)}\n"
            f"To run it interpreted, pass `{name}.py_func` instead of `{name}`."
        ) from error


def check_parameters(name: str, function: Any, count: int) -> None:
    """Raise a `TypeError` unless a function has `count` parameters, which may have defaults."""
    parameters = inspect.signature(function.py_func).parameters
    given = ", ".join(map(str, parameters.values()))
    several = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
    if several or len(parameters) != count:
        raise TypeError(
            f"`{name}` must name the arguments that it gets to be compiled, {count} with x and those of"
            f" `data` and `args`; it is {name}({given}). Give in `args` what has a default as well; or run"
            f" it interpreted: pass `{name}.py_func`."
        )


def main_reason(error: Exception) -> str:
    """Return the line of a Numba error that says why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("Failed in", "- Resolution"))]
    return lines[0] if lines else type(error).__name__


def require_number(kind: types.Type) -> None:
    """Raise a `TypeError` or `ValueError` unless `fun` returns a number."""
    if not isinstance(kind, types.Float | types.Integer | types.Boolean):
        error = ValueError if isinstance(kind, types.Array) else TypeError
        raise error(f"`fun` must return a scalar value; compiled, it returns {kind}.")


def _require_vector(kind: types.Type) -> None:
    vector = isinstance(kind, types.UniTuple) or (isinstance(kind, types.Array) and kind.ndim == 1)
    if not (vector and isinstance(kind.dtype, types.Float | types.Integer)):
        flat = ": return its `.ravel()`" if isinstance(kind, types.Array) and kind.ndim > 1 else ""
        raise TypeError(f"`jac` must return a real vector; compiled, it returns {kind}{flat}.")
