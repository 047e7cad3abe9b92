"""The user's callables behind one face, called from Python."""

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
from numpy import ndarray

from .arguments import COMPILED, FORWARD, SCHEMES
from .compiled import CompiledDifferences, gradient_into
from .differences import CHOSEN, ComplexStep, Differences, Steps
from .scatter import ScatterDifferences

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
        self.callers_fun, self.unit, self.map = fun, 1.0, steps.map
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
            self.differences = (
                ComplexStep(self._complex_values, like, bounds, steps)
                if jac == "cs"
                else Differences(self.values, like, bounds, jac, steps)
            )
            self.at = self._differences
        else:
            self.at = self._separate
        self.values_of = self._mapped  # the caller's function itself, which may have to be pickled
        self.catch, self.first = catch, bool(catch) and not self.counts[0]
        if catch:
            self.at = partial(self._caught, self.at)
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

    def scatter(self, size: np.ndarray) -> None:
        """Take differences of an f that is random from now on, for variables of these sizes."""
        like = np.empty(self.shape, self.dtype)
        self.differences = ScatterDifferences(self.values, like, self.bounds, size)
        self.at = self._differences
        if self.catch:
            self.at = partial(self._caught, self.at)
        if self.unit != 1.0:
            self.at = partial(self._in_units, self.at)

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

    def pair(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return f and its gradient at x, in a new array."""
        g = np.empty_like(x)
        return self.evaluate(x, g), g

    def value_alone(self, for_fun: ndarray, for_jac: ndarray, g: ndarray) -> Evaluated:
        """Return what `at` does of an f that differences are taken of, but for them: zeros, and counted."""
        self.counts[1] += 1  # one for each iteration, as in machine code
        g[...] = 0
        return self.unit * self.values([for_fun])[0], g

    def values(self, points: list[ndarray]) -> list[float]:
        """Return f at several points, evaluated side by side where differences are; the caller's unit.

        It is infinite at those where `fun` raised what is caught; at the start nothing is.
        """
        if self.first:
            start, points, self.first = self._values(points[:1]), points[1:], False
        else:
            start = []
        return start + self._values(points, self.catch)

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
        self.first = False  # f is infinite where it raises beside the start
        if not np.isfinite(f):
            g[:] = 0
            return f, g
        self.counts[1] += 1
        self.differences.gradient(for_fun, f, g)
        return f, g

    def _compiled_differences(self, for_fun: ndarray, for_jac: ndarray, g: ndarray) -> Evaluated:
        return self.differences.evaluate(for_fun, for_jac, g, self.counts), g

    def _evaluated(self, points: list[ndarray], catch: Any = ()) -> list[Any]:
        """Return what `fun` returns at several points, which are the user's to keep or spoil."""
        self.counts[0] += len(points)
        found = self.values_of(list(enumerate(points)), catch)
        if len(found) != len(points):
            raise ValueError(
                f"`workers` must return one result for each item; got {len(found)} for {len(points)}."
            )
        return [f for _, f in sorted(found, key=itemgetter(0))]

    def _mapped(self, numbered: list[tuple[int, ndarray]], catch: Any) -> list[tuple[int, Any]]:
        return list(self.map(partial(_value, self.callers_fun, self.args, catch), numbered))

    def _values(self, points: list[ndarray], catch: Any = ()) -> list[float]:
        return [f if isinstance(f, float) else as_scalar(f) for f in self._evaluated(points, catch)]

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


def _value(
    fun: Callable, args: tuple, catch: Any, numbered: tuple[int, ndarray]
) -> tuple[int, Any]:
    """Return f at a point, numbered as this is: other processes may give back what is ready first."""
    number, x = numbered
    try:
        return number, fun(x, *args)
    except catch:
        return number, np.inf


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
