"""The user's callables behind one face: Python functions, finite differences, Numba functions."""

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.ccallback import CFunc
from numba.core.errors import NumbaError
from numba.extending import is_jitted
from numpy import ndarray

from .._compiled.machine_code import array_type, compile_or_load
from .._compiled.run import Functions
from .arguments import SCHEMES
from .differences import CHOSEN, ComplexStep, Differences, Steps

Evaluated = tuple[float, ndarray]  # f and its gradient


class Objective:
    """Evaluates f and its gradient by calling Python, and counts.

    ``at(for_fun, for_jac, g)`` returns f as a float and its gradient: `g`, or what the user's function
    returned, if that is a vector as it should be. The first two are copies of x that the user's functions
    may keep or spoil.

    Parameters
    ----------
    like : ndarray, shape (n,)
        A vector of the shape and dtype of x.
    counts : buffer of two int64, optional
        Counts evaluations of f and of the gradient; kept by the caller if given.
    steps : Steps, optional
        What the caller says of differences.
    """

    def __init__(
        self,
        fun: Callable,
        jac: Any,
        args: tuple,
        bounds: tuple | None,
        like: np.ndarray,
        counts: Any = None,
        steps: Steps = CHOSEN,
    ) -> None:
        self.fun, self.jac, self.args, self.bounds = fun, jac, args, bounds
        self.dtype, self.shape = like.dtype, like.shape
        self.differences: Differences | ComplexStep | None = None
        self.counts: Any = np.zeros(2, np.int64).data if counts is None else counts
        if jac is True:
            self.at = self._both
        elif jac == "inplace":
            self.at = self._inplace
        elif jac in SCHEMES:
            self.map = steps.map
            self.differences = (
                ComplexStep(self._complex_values, like, bounds, steps)
                if jac == "cs"
                else Differences(self._values, like, bounds, jac, steps)
            )
            self.at = self._differences
        else:
            self.at = self._separate

    @property
    def gradient_error(self) -> ndarray | None:
        """Estimated absolute error of each element of the last gradient; None where the caller gives it."""
        return None if self.differences is None else self.differences.error

    def evaluate(self, x: np.ndarray, g: np.ndarray) -> float:
        """Write the gradient at x to g and return f."""
        f, gradient = self.at(x.copy(), x.copy(), g)
        if gradient is not g:
            g[...] = gradient
        return f

    def _separate(self, for_fun: ndarray, for_jac: ndarray, g: ndarray) -> Evaluated:
        counts, args = self.counts, self.args
        counts[0] += 1
        f = self.fun(for_fun, *args)
        if not isinstance(f, float):
            f = as_scalar(f)
        counts[1] += 1
        gradient = self.jac(for_jac, *args)
        if (
            type(gradient) is not ndarray
            or gradient.dtype is not self.dtype
            or gradient.shape != self.shape
            or not gradient.flags.carray
        ):
            g[...] = self._vector(gradient)
            return f, g
        return f, gradient

    def _both(self, for_fun: ndarray, for_jac: ndarray, g: ndarray) -> Evaluated:
        counts = self.counts
        counts[0] += 1
        counts[1] += 1
        pair = self.fun(for_fun, *self.args)
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise TypeError(
                f"`jac=True` needs `fun` to return (f, gradient); it returned {type(pair).__name__}."
            )
        f, gradient = pair
        g[...] = self._vector(gradient)
        return f if isinstance(f, float) else as_scalar(f), g

    def _inplace(self, for_fun: ndarray, for_jac: ndarray, g: ndarray) -> Evaluated:
        counts = self.counts
        counts[0] += 1
        counts[1] += 1
        f = self.fun(for_fun, g, *self.args)
        return f if isinstance(f, float) else as_scalar(f), g

    def _differences(self, for_fun: ndarray, for_jac: ndarray, g: ndarray) -> Evaluated:
        self.counts[0] += 1
        f = as_scalar(self.fun(for_jac, *self.args))
        if not np.isfinite(f):
            g[:] = 0
            return f, g
        self.counts[1] += 1
        self.differences.gradient(for_fun, f, g)  # type: ignore[union-attr]
        return f, g

    def _evaluated(self, points: list[ndarray]) -> list[Any]:
        """Return what `fun` returns at several points, which are the user's to keep or spoil."""
        self.counts[0] += len(points)
        found = list(self.map(partial(_value, self.fun, self.args), list(enumerate(points))))
        if len(found) != len(points):
            raise ValueError(
                f"`workers` must return one result for each item; got {len(found)} for {len(points)}."
            )
        return [f for _, f in sorted(found, key=itemgetter(0))]

    def _values(self, points: list[ndarray]) -> list[float]:
        return [f if isinstance(f, float) else as_scalar(f) for f in self._evaluated(points)]

    def _complex_values(self, points: list[ndarray]) -> list[complex]:
        return [as_complex(f) for f in self._evaluated(points)]

    def _vector(self, gradient: Any) -> np.ndarray:
        """Return what `jac` returned as an array of the right shape."""
        array = _real_vector(gradient)
        if array.shape != self.shape:
            if array.size != 1 or self.shape != (1,):
                raise ValueError(wrong_shape(array.shape, self.shape, int(self.counts[1]) - 1))
            array = array.reshape(1)
        return array


def _value(fun: Callable, args: tuple, numbered: tuple[int, ndarray]) -> tuple[int, Any]:
    """Return f at a point, numbered as this is: other processes may give back what is ready first."""
    number, x = numbered
    return number, fun(x, *args)


def wrong_shape(got: tuple, expected: tuple, iteration: int) -> str:
    """Return the text for a gradient of the wrong shape."""
    return (
        f"`jac` returned shape {got}, expected {expected}, the shape of x0"
        f" (in iteration {iteration})."
    )


def as_scalar(f: Any) -> float:
    """Return what the objective returned as a float, if it is one real number."""
    if f is None or isinstance(f, str | bytes):
        raise TypeError(f"`fun` must return a number; it returned {f!r}.")
    try:
        array = np.asarray(f)
    except ValueError as error:  # ragged
        raise ValueError(f"`fun` must return a scalar value: {error}") from None
    if array.dtype.kind == "c":
        raise TypeError(f"`fun` must return a real number; it returned {f!r}.")
    if array.size != 1:
        raise ValueError(
            "The user-provided objective function must return a scalar value;"
            f" `fun` returned shape {array.shape}."
        )
    try:
        return float(array.reshape(-1)[0])
    except (TypeError, ValueError):
        raise TypeError(f"`fun` must return a number; it returned {f!r}.") from None


def as_complex(f: Any) -> complex:
    """Return what the objective returned for a complex argument, if that is a complex number."""
    array = np.asarray(f)
    if array.dtype.kind == "c" and array.size == 1:
        return complex(array.reshape(-1)[0])
    number = as_scalar(f)
    if np.isfinite(number):
        raise TypeError(
            "`jac='cs'` needs a `fun` that returns a complex number for complex x; it returned the real"
            f" number {f!r}, which has no derivative in it. Take jac=None."
        )
    return complex(number, number)


def _real_vector(gradient: Any) -> np.ndarray:
    if gradient is None:
        raise TypeError("`jac` must return an array; it returned None.")
    try:
        array = np.asarray(gradient)
    except ValueError as error:  # ragged
        raise ValueError(f"`jac` must return a vector: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`jac` must return real numbers; it returned dtype {array.dtype}.")
    return array


class CompiledObjective:
    """The user's Numba functions as first-class functions with explicit types.

    Attributes
    ----------
    functions : Functions
        What to pass to the compiled loop.
    type : numba type
        Of `functions`.
    """

    def __init__(self, fun: Any, jac: Any, args: tuple, dtype: np.dtype) -> None:
        vector = array_type(dtype, 1)
        arguments = tuple(_type_of(i, argument) for i, argument in enumerate(args))
        parts = (vector, vector) if jac == "inplace" else (vector,)
        fun_type = _first_class("fun", fun, parts + arguments)
        result = fun_type.signature.return_type
        if jac is True:
            if not (isinstance(result, types.BaseTuple) and len(result) == 2):
                raise TypeError(
                    f"`jac=True` needs `fun` to return (f, gradient); it returns {result}."
                )
            _require_number(result[0])
            _require_vector(result[1])
            jac_type, jac_value = types.none, None
        else:
            _require_number(result)
            if jac == "inplace":
                jac_type, jac_value = types.boolean, True
            else:
                jac_type, jac_value = _first_class("jac", jac, (vector, *arguments)), jac
                _require_vector(jac_type.signature.return_type)
        self.functions = Functions(fun, jac_value, args)
        kinds = fun_type, jac_type, types.Tuple(arguments)
        self.type = types.NamedTuple(kinds, Functions)


def called(fun: Any, jac: Any) -> tuple:
    """Return what is to be called of the two."""
    return (fun,) if jac is True or (isinstance(jac, str) and jac == "inplace") else (fun, jac)


def is_compiled(fun: Any, jac: Any) -> bool:
    """Return whether all that is to be called is a Numba function."""
    return all(is_jitted(f) or isinstance(f, CFunc) for f in called(fun, jac))


def _type_of(i: int, argument: Any) -> types.Type:
    """Return the Numba type of args[i]."""
    try:
        return numba.typeof(argument)
    except ValueError:
        raise TypeError(
            f"`args[{i}]` is of a type that compiled functions do not take: {type(argument).__name__}."
            " To run them interpreted, pass `fun.py_func` instead of `fun`."
        ) from None


def _first_class(name: str, function: Any, arguments: tuple) -> types.FunctionType:
    """Compile a user's function for these types and return its type as a first-class function."""
    if isinstance(function, CFunc):
        signature = vars(function)["_sig"]
        if tuple(signature.args) != arguments:
            raise TypeError(f"`{name}` is a cfunc of {signature.args}, expected {arguments}.")
        return types.FunctionType(signature)
    try:
        compile_or_load(function, arguments)
        signature = function.overloads[arguments].signature
    except (NumbaError, KeyError, RuntimeError) as error:
        raise TypeError(
            f"`{name}` does not compile for {', '.join(map(str, arguments))}: {main_reason(error)}\n"
            f"To run it interpreted, pass `{name}.py_func` instead of `{name}`."
        ) from error
    return types.FunctionType(signature)


def main_reason(error: Exception) -> str:
    """Return the line of a Numba error that says why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("Failed in", "- Resolution"))]
    return lines[0] if lines else type(error).__name__


def _require_number(kind: types.Type) -> None:
    if not isinstance(kind, types.Float | types.Integer | types.Boolean):
        error = ValueError if isinstance(kind, types.Array) else TypeError
        raise error(f"`fun` must return a scalar value; compiled, it returns {kind}.")


def _require_vector(kind: types.Type) -> None:
    vector = isinstance(kind, types.UniTuple) or (isinstance(kind, types.Array) and kind.ndim == 1)
    if not (vector and isinstance(kind.dtype, types.Float | types.Integer)):
        raise TypeError(f"`jac` must return a real vector; compiled, it returns {kind}.")
