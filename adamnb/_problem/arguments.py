"""The caller's x0, bounds, jac and callback, checked and brought to the form that the loops take."""

import inspect
from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np

ADAPTIVE = "differences"  # 2-point where that is exact enough, 3-point where not
COMPILED = "compiled differences"  # of both sides, within machine code
PUBLIC_SCHEMES = ("2-point", "3-point", "cs")  # schemes that a caller can ask for
SCHEMES = (ADAPTIVE, COMPILED, *PUBLIC_SCHEMES)
FORWARD = "forward"  # exact derivatives of a Numba function

Pair = tuple[np.ndarray, np.ndarray]


def is_given(jac: Any) -> bool:
    """Return whether the gradient is the caller's: by a function, with f, or written in place."""
    return jac is True or jac == "inplace" or callable(jac)


def start_vector(array: np.ndarray, name: str) -> np.ndarray:
    """Return real numbers as a new contiguous vector: float32 stays, all other types become float64.

    `name` is what errors call them.
    """
    if array.ndim == 0:
        array = array.reshape(1)
    if array.size == 0:
        raise ValueError(f"`{name}` must have at least one element; got an empty array.")
    vector = np.array(array, working_dtype(array), order="C")
    check_finite(vector, name, index_of)
    return vector


def index_of(i: int) -> str:
    """Return what errors call element i of a vector; a structure has names for them."""
    return f"index {i}"


def check_finite(vector: np.ndarray, name: str, name_of: Callable[[int], str]) -> None:
    """Raise a `ValueError` that names the first element of a start that is not finite."""
    # The square says it for nearly all, in a fifth of the time for a few elements.
    if not isfinite(vector.dot(vector)) and not np.isfinite(vector).all():
        i = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise ValueError(f"`{name}` must be finite; got {vector[i]} at {name_of(i)}.")


def refuse_masked(name: str, value: Any) -> None:
    """Raise a `TypeError` for a masked array, or a list or tuple of them: its mask would be lost."""
    for part in value if isinstance(value, list | tuple) else (value,):
        if isinstance(part, np.ma.MaskedArray):
            raise TypeError(
                f"`{name}` must not be a masked array, whose mask would be lost: pass its `.filled(...)` or"
                " `.compressed()`, or the mask as weights of their own."
            )


def argument_tuple(fun: Callable, args: Any, leading: int) -> tuple:
    """Return the arguments of `fun` after `leading` others; what is no tuple is one, as for SciPy."""
    if isinstance(args, tuple):
        return args
    if isinstance(args, list) and not _takes(fun, leading + 1) and _takes(fun, leading + len(args)):
        raise TypeError(
            f"`args` must be a tuple; got a list of {len(args)}, which is one argument: pass `tuple(args)`."
        )
    return (args,)


def _takes(function: Callable, count: int) -> bool:
    """Return whether a function takes so many arguments, as far as one can see."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # some builtins have no signature
        return True
    return True


def on_device(array: Any) -> bool:
    """Return whether an array is on a GPU."""
    return hasattr(array, "__cuda_array_interface__")


def real_array(x0: Any, name: str = "x0") -> np.ndarray:
    """Return x0 as an array of real numbers."""
    if x0 is None or isinstance(x0, str | bytes):
        raise TypeError(f"`{name}` must be an array of real numbers; got {x0!r}.")
    refuse_masked(name, x0)
    try:
        array = np.asarray(x0)
    except ValueError as error:
        raise ValueError(f"`{name}` must be an array of real numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` must be an array of real numbers; got dtype {array.dtype}.")
    return array


def working_dtype(x0: np.ndarray) -> np.dtype:
    """Return the dtype of the solver's vectors."""
    keep = x0.dtype.kind == "f" and x0.dtype.itemsize == 4
    return np.dtype(np.float32 if keep else np.float64)


def unbounded(shape: tuple[int, ...]) -> Pair:
    """Return the bounds of variables that have none, as arrays not to be written."""
    return np.broadcast_to(-np.inf, shape), np.broadcast_to(np.inf, shape)


def limits(
    bounds: Any,
    shape: tuple[int, ...],
    dtype: np.dtype,
    name_of: Callable[[int], str] = index_of,
) -> Pair | None:
    """Return lower and upper bounds of this shape and dtype, or None where no variable has one.

    The arrays may be read-only; with a leading axis of problems they take no more memory than
    what the caller gave. `name_of` is what errors call an element.
    """
    if bounds is None:
        return None
    refuse_masked("bounds", bounds)
    from scipy.optimize import Bounds  # late: it costs as much as everything else together

    if isinstance(bounds, Bounds):
        lower, upper = bounds.lb, bounds.ub
    else:
        try:
            pairs = [(low, high) for low, high in bounds]
        except (TypeError, ValueError):
            raise ValueError(
                "`bounds` must be a `scipy.optimize.Bounds` or a sequence of (lower, upper) pairs;"
                f" got {bounds!r}."
            ) from None
        lower = [-np.inf if low is None else _number(low) for low, _ in pairs]
        upper = [np.inf if high is None else _number(high) for _, high in pairs]
        if len(pairs) != shape[-1]:
            raise ValueError("The number of bounds is not compatible with the length of `x0`.")
    lower, upper = _bound(lower, shape), _bound(upper, shape)
    require_room(lower, upper, name_of)
    if np.isinf(lower).all() and np.isinf(upper).all():
        return None
    lower, upper = np.broadcast_arrays(lower, upper)
    low, high = inward(lower, dtype, np.inf), inward(upper, dtype, -np.inf)
    none = low > high  # float32 has no number between the two
    low[none] = high[none] = lower[none]
    if low.shape == shape:
        return low, high
    return np.broadcast_to(low, shape), np.broadcast_to(high, shape)


def require_room(
    lower: np.ndarray, upper: np.ndarray, name_of: Callable[[int], str] = index_of
) -> None:
    """Raise a `ValueError` that names the first pair of bounds with no number between them."""
    with np.errstate(invalid="ignore"):
        impossible = np.isnan(lower) | np.isnan(upper) | (lower == np.inf) | (upper == -np.inf)
        crossed = lower > upper
    if impossible.any():
        raise ValueError(
            "`bounds` must leave room for a number; use None or an infinity for no bound"
            f" ({_first(impossible, lower, upper, ', ', name_of)})."
        )
    if crossed.any():
        raise ValueError(
            "An upper bound is less than the corresponding lower bound."
            f" ({_first(crossed, lower, upper, ' > ', name_of)})"
        )


def _first(
    wrong: np.ndarray, lower: np.ndarray, upper: np.ndarray, between: str,
    name_of: Callable[[int], str],
) -> str:  # fmt: skip
    """Return where the first wrong pair of bounds is, and the pair."""
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    low, high = (
        np.broadcast_to(lower, wrong.shape)[index],
        np.broadcast_to(upper, wrong.shape)[index],
    )
    where = name_of(index[-1]) + (f" of problem {index[0]}" if len(index) > 1 else "")
    return f"{where}: {low}{between}{high}"


def _number(bound: Any) -> Any:
    """Return the element of an array of one, and everything else as it is."""
    refuse_masked("bounds", bound)
    return bound.item() if isinstance(bound, np.ndarray) and bound.size == 1 else bound


def _bound(bound: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return one side of the bounds as float64, for each variable or for each of each problem."""
    try:
        array = np.asarray(bound)
    except ValueError as error:  # ragged
        raise ValueError(f"`bounds` must hold numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`bounds` must hold real numbers; got {bound!r}.")
    if array.shape == shape[-1:]:  # as nearly always, and soon
        return array.astype(float)
    try:
        np.broadcast_to(array, shape)
        return np.broadcast_to(array, np.broadcast_shapes(array.shape, shape[-1:])).astype(float)
    except ValueError:
        message = "The number of bounds is not compatible with the length of `x0`."
        raise ValueError(message) from None


def inward(bound: np.ndarray, dtype: np.dtype, direction: float) -> np.ndarray:
    """Return a bound in `dtype`, rounded to the feasible side."""
    with np.errstate(over="ignore"):  # beyond float32: to infinity and back
        rounded = bound.astype(dtype)
        outside = rounded < bound if direction > 0 else rounded > bound
        rounded[outside] = np.nextafter(rounded[outside], dtype.type(direction))
    return rounded


def per_variable(name: str, value: Any, n: int) -> np.ndarray:
    """Return a float or an array as a vector of n float64."""
    array = np.asarray(value, dtype=float)
    if array.ndim > 1 or array.size not in (1, n):
        raise ValueError(f"`{name}` must have shape ({n},), the shape of x0; got {array.shape}.")
    return np.broadcast_to(array.reshape(-1), (n,)).copy()


def gradient_form(fun: Any, jac: Any, scheme: str | None) -> tuple[Callable, Any]:
    """Return `fun` and `jac`, where jac is a callable, True, "inplace" or the name of a scheme.

    With `jac=True` SciPy hands over a memoising pair of callables; its inner function is called
    once for both.
    """
    if not callable(fun):
        raise TypeError(f"`fun` must be callable; got {type(fun).__name__}.")
    if callable(jac):
        pair = getattr(jac, "__self__", None)
        if pair is fun and hasattr(pair, "derivative") and callable(getattr(pair, "fun", None)):
            return pair.fun, True
        return fun, jac
    if jac is None or jac is False:
        return fun, scheme or ADAPTIVE
    if jac is True or (isinstance(jac, str) and jac in (*PUBLIC_SCHEMES, FORWARD, "inplace")):
        return fun, jac
    raise ValueError(
        "`jac` must be callable, True, 'inplace', 'forward', '2-point', '3-point', 'cs' or None; got"
        f" {jac!r}."
    )


def gradient_name(jac: Any) -> str:
    """Return how the gradient is had, as results say it."""
    if not isinstance(jac, str) or jac == "inplace":
        return "jac"
    return "3-point" if jac == COMPILED else jac


def observer(callback: Any) -> Callable[[Any], Any] | None:
    """Return the callback as a function of the intermediate result, as SciPy chooses its form.

    Of a list of callbacks, each is called in turn.
    """
    if callback is None:
        return None
    if isinstance(callback, list | tuple):
        observers = [one for one in map(observer, callback) if one is not None]

        def all_of_them(result: Any) -> None:
            for one in observers:
                one(result)

        return all_of_them if observers else None
    if not callable(callback):
        raise TypeError(f"`callback` must be callable; got {type(callback).__name__}.")
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):  # some builtins have none
        return lambda result: callback(result.params)
    if set(signature.parameters) == {"intermediate_result"}:
        return lambda result: callback(intermediate_result=result)
    try:
        signature.bind(None)
    except TypeError as error:
        raise TypeError(
            f"`callback` must be callable as callback(x) or callback(intermediate_result=...): {error}."
        ) from None
    return lambda result: callback(result.params)
