"""The user's callables behind one face: Python functions, finite differences, Numba functions."""

import inspect
from collections.abc import Callable
from functools import cache, partial
from operator import itemgetter
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
from .._compiled.functions import first_class
from .._compiled.machine_code import array_type, compile_or_load, machine_code
from .._compiled.records import STATE
from .._compiled.run import Functions, evaluated
from .arguments import COMPILED, FORWARD, SCHEMES, refuse_masked
from .differences import CHOSEN, ComplexStep, Differences, Steps, learnt

Evaluated = tuple[float, ndarray]  # f and its gradient


class CaughtError(Exception):
    """`fun` or `jac` raised what counts as f = infinity."""


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
    catch : exception class or tuple of them
        What fun and jac may raise where f is then infinite, but not in the first evaluation of all.
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
        catch: Any = (),
        steps: Steps = CHOSEN,
    ) -> None:
        self.fun, self.jac, self.args, self.bounds = fun, jac, args, bounds
        self.callers_fun, self.unit = fun, 1.0
        self.dtype, self.shape = like.dtype, like.shape
        self.differences: Any = None
        self.counts: Any = np.zeros(2, np.int64).data if counts is None else counts
        if jac is True:
            self.at = self._both
        elif jac == "inplace":
            self.at = self._inplace
        elif jac == FORWARD:
            self.fun, self.at = gradient_into(fun), self._inplace
        elif jac == COMPILED:
            self.differences = CompiledDifferences(fun, args, bounds, like, steps)
            self.at = self._compiled_differences
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
        self.values_of = self._mapped  # the caller's function itself, which may have to be pickled
        if catch:
            self.first, self.at = not self.counts[0], partial(self._caught, self.at)
            own = self.fun, self._mapped
            self.fun, self.values_of = (self._guarded(function, catch) for function in own)
            self.jac = self._guarded(jac, catch) if callable(jac) else jac
            if jac == COMPILED:
                self.differences.run = self._guarded(self.differences.run, catch)

    def _guarded(self, function: Callable, catch: Any) -> Callable:
        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except catch as error:
                if self.first:
                    raise
                raise CaughtError from error

        return call

    def _caught(self, at: Callable, for_fun: ndarray, for_jac: ndarray, g: ndarray) -> Evaluated:
        """Return what `at` does, and infinity where `fun` or `jac` raised what is caught."""
        try:
            evaluated = at(for_fun, for_jac, g)
        except CaughtError:
            g[:] = 0
            return np.inf, g
        self.first = False
        return evaluated

    def in_units(self, unit: float) -> None:
        """Give f and its gradient in another unit from now on, a power of two."""
        self.unit, self.at = unit, partial(self._in_units, self.at)

    def _in_units(self, at: Callable, for_fun: ndarray, for_jac: ndarray, g: ndarray) -> Evaluated:
        f, gradient = at(for_fun, for_jac, g)
        np.multiply(gradient, self.unit, out=g)
        return f * self.unit, g

    def errors(self, scale: Any) -> tuple[float, float]:
        """Return the errors of f and of its last gradient, the largest in units of `scale`."""
        d = self.differences
        if d is None:
            return 0.0, 0.0
        with np.errstate(over="ignore"):  # of float32, far away
            error = d.error if scale is None else d.error * scale
        return self.unit * d.noise, self.unit * float(error.max())

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
        self.differences.gradient(for_fun, f, g)
        return f, g

    def _compiled_differences(self, for_fun: ndarray, for_jac: ndarray, g: ndarray) -> Evaluated:
        return self.differences.evaluate(for_fun, for_jac, g, self.counts), g

    def _evaluated(self, points: list[ndarray]) -> list[Any]:
        """Return what `fun` returns at several points, which are the user's to keep or spoil."""
        self.counts[0] += len(points)
        found = self.values_of(list(enumerate(points)))
        if len(found) != len(points):
            raise ValueError(
                f"`workers` must return one result for each item; got {len(found)} for {len(points)}."
            )
        return [f for _, f in sorted(found, key=itemgetter(0))]

    def _mapped(self, numbered: list[tuple[int, ndarray]]) -> list[tuple[int, Any]]:
        return list(self.map(partial(_value, self.callers_fun, self.args), numbered))

    def _values(self, points: list[ndarray]) -> list[float]:
        return [f if isinstance(f, float) else as_scalar(f) for f in self._evaluated(points)]

    def _complex_values(self, points: list[ndarray]) -> list[complex]:
        return [as_complex(f) for f in self._evaluated(points)]

    def _vector(self, gradient: Any) -> np.ndarray:
        """Return what `jac` returned as a vector of the right length, from a row or column as well."""
        array = _real_vector(gradient)
        if array.shape != self.shape:
            if not array.size == max(array.shape, default=1) == self.shape[0]:
                raise ValueError(wrong_shape(array.shape, self.shape, int(self.counts[1]) - 1))
            array = array.reshape(-1)
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
    if f is None or isinstance(f, str | bytes) or np.ma.is_masked(f):
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
    except OverflowError:  # of an integer or a fraction
        return np.inf if array.reshape(-1)[0] > 0 else -np.inf
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
    if np.ma.is_masked(gradient):
        raise TypeError(
            "`jac` must return all elements; it returned a masked array: use its `.filled(0)`."
        )
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
        What to pass to the compiled loop; for differences, with what is learnt for `jac`.
    type : numba type
        Of `functions`.
    sources : Functions
        The same with the user's Numba functions themselves, for who compiles them into a kernel.
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
        own = isinstance(jac_type, types.FunctionType)
        self.sources = Functions(fun, jac if own else jac_value, data + args)
        self.type = functions_type(fun_type, jac_type, arguments)


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
    return tuple(_type_of(f"{name}[{i}]", argument) for i, argument in enumerate(arguments))


def _type_of(name: str, argument: Any) -> types.Type:
    """Return the Numba type of an argument."""
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
        if type(argument) is ndarray and argument.flags.carray:  # as nearly all are: 4 us less
            kind = array_type(argument.dtype, argument.ndim)
        else:
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
            f" {way} pass `fun.py_func` instead of `fun`."
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
    if not isinstance(kind, types.Float | types.Integer | types.Boolean):
        error = ValueError if isinstance(kind, types.Array) else TypeError
        raise error(f"`fun` must return a scalar value; compiled, it returns {kind}.")


def _require_vector(kind: types.Type) -> None:
    vector = isinstance(kind, types.UniTuple) or (isinstance(kind, types.Array) and kind.ndim == 1)
    if not (vector and isinstance(kind.dtype, types.Float | types.Integer)):
        flat = ": return its `.ravel()`" if isinstance(kind, types.Array) and kind.ndim > 1 else ""
        raise TypeError(f"`jac` must return a real vector; compiled, it returns {kind}{flat}.")
