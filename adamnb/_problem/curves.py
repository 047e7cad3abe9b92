"""The caller's data, starts and bounds of one curve or many: checked, and cut into blocks."""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cholesky
from scipy.optimize import Bounds

from .._compiled.least_squares import Curve
from .arguments import Pair, on_device, real_array, refuse_masked, require_room

NO_ROOT = np.empty((0, 0))


class Data(NamedTuple):
    """What is fitted: points on the last axis of `y`, curves on those before, if there are any."""

    x: Any
    y: np.ndarray
    weights: np.ndarray  # 1/sigma, 0 where a point does not count; of the shape of y, or (m,)
    root: np.ndarray = NO_ROOT  # lower triangle of a covariance of the points of one curve


class Errors(NamedTuple):
    """What the caller says of the errors of the data, and of points without a number."""

    sigma: Any
    weights: Any
    poisson: bool
    check_finite: bool | None
    nan_policy: str | None


def checked_x(xdata: Any, compiled: bool) -> Any:
    """Return x as the model gets it: arrays and sequences of numbers as float64, all else as it is.

    A compiled model takes no objects that know an array, as of pandas and xarray: it gets this.
    """
    refuse_masked("xdata", _on_host("xdata", xdata))
    if isinstance(xdata, list | tuple | np.ndarray) or (compiled and hasattr(xdata, "__array__")):
        return np.ascontiguousarray(real_array(xdata, "xdata"), float)
    return xdata


def checked_y(ydata: Any) -> tuple[np.ndarray, Any]:
    """Return y, and which points of it count: all, or those that are not masked."""
    _on_host("ydata", ydata)
    counted: Any = True
    if isinstance(ydata, np.ma.MaskedArray):
        counted, ydata = ~np.ma.getmaskarray(ydata), ydata.filled(0)
    y = real_array(ydata, "ydata")
    if y.size == 0:
        raise ValueError(f"`ydata` must not be empty! It has shape {y.shape}.")
    return y, counted


def _on_host(name: str, value: Any) -> Any:
    """Return a value that is not on a GPU."""
    if on_device(value):
        raise TypeError(f"`{name}` must be on the host: copy it to a NumPy array.")
    return value


def data_of(x: Any, y: np.ndarray, counted: Any, errors: Errors) -> Data:
    """Return the data, with weights of 0 for points that do not count.

    Where the caller wants NaNs to be omitted, the points of a single curve are left out, as SciPy does.
    """
    policy, many = errors.nan_policy, y.ndim > 1
    if policy == "propagate":
        raise ValueError("`nan_policy='propagate'` is not supported by this function.")
    if policy not in (None, "raise", "omit"):
        raise ValueError(f"nan_policy must be one of {{None, 'raise', 'omit'}}; got {policy!r}.")
    weights = _weights(y, errors)
    counts = (weights != 0) & counted
    bad = np.isnan if policy else _not_finite
    none = np.zeros(1, bool)
    bad_y = bad(y) & counts if policy or not many or errors.check_finite else none
    bad_x: Any = bad(x) if isinstance(x, np.ndarray) else none
    bad_x = bad_x.any(axis=tuple(range(bad_x.ndim - 1)))
    if bad_x.shape == y.shape[-1:]:
        bad_x = bad_x & counts.reshape(-1, y.shape[-1]).any(axis=0)
    if bad_x.any() or bad_y.any():
        if policy == "omit" and not many:
            return _left_out(x, y, errors._replace(nan_policy=None), counts & ~bad_x & ~bad_y)
        if policy == "raise":
            raise ValueError("The input contains nan values.")
        if policy is None and errors.check_finite is not False:
            raise ValueError(
                f"array must not contain infs or NaNs: {_first('xdata', bad_x) or _first('ydata', bad_y)}."
                " Leave such points out with nan_policy='omit', or give them `weights` of 0."
            )
        if policy == "omit":
            counts = counts & ~bad_x & ~bad_y
    if errors.poisson:
        _check_counts(y, counts)
    if not counts.all():
        weights = np.where(counts, weights, 0.0)
    return Data(x, y, weights, _root(y, errors.sigma, counts))


def _not_finite(array: np.ndarray) -> np.ndarray:
    return ~np.isfinite(array)


def _first(name: str, bad: np.ndarray) -> str:
    """Return where the first bad element is, or nothing."""
    return f"`{name}` is not finite at {_place(bad)[1]}" if bad.any() else ""


def _place(bad: np.ndarray) -> tuple[tuple[int, ...], str]:
    """Return the index of the first bad element, and what errors call it."""
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    return index, f"index {index[0] if len(index) == 1 else index}"


def _left_out(x: Any, y: np.ndarray, errors: Errors, kept: np.ndarray) -> Data:
    """Return the data of one curve with fewer points."""
    if not kept.any():
        raise ValueError("`ydata` must have a point that is not NaN.")

    def of_points(array: Any) -> Any:
        array = None if array is None else np.asarray(array)
        return array if array is None or array.shape[-1:] != kept.shape else array[..., kept]

    sigma = of_points(errors.sigma)
    if sigma is not None and sigma.ndim == 2 and sigma.shape[0] == kept.size:
        sigma = sigma[kept]
    x = of_points(x) if hasattr(x, "__array__") else x
    errors = errors._replace(sigma=sigma, weights=of_points(errors.weights))
    return data_of(x, y[kept], True, errors)


def _weights(y: np.ndarray, errors: Errors) -> np.ndarray:
    """Return 1/sigma, shape (m,) or that of y."""
    sigma, weights, m = errors.sigma, errors.weights, y.shape[-1]
    if sigma is not None and (weights is not None or errors.poisson):
        other = "`weights`" if weights is not None else "`cost='poisson'`, which knows the errors"
        raise ValueError(f"`sigma` must not be given with {other}.")
    if weights is not None:
        given = _of_points("weights", weights, y)
        if not (np.isfinite(given) & (given >= 0)).all():
            raise ValueError("`weights` must be finite and at least 0.")
        if errors.poisson and not ((given == 0) | (given == 1)).all():
            raise ValueError("`weights` must be 0 or 1 (or False or True) for `cost='poisson'`.")
        return np.sqrt(given)
    if sigma is None:
        return np.ones(m)
    sigma = real_array(sigma, "sigma")
    if sigma.size == 1:
        sigma = np.full(m, sigma.item())
    elif y.ndim == 1 and sigma.shape == (m, m):
        return np.ones(m)
    given = _of_points("sigma", sigma, y)
    unknown = np.isnan(given) if errors.nan_policy == "omit" else np.zeros(1, bool)
    if not ((given > 0) | unknown).all():
        index, place = _place(~((given > 0) | unknown))
        raise ValueError(
            f"`sigma` must be positive; got {given[index]} at {place}. A point with an infinite one does not"
            " count."
        )
    return np.where(unknown, 0.0, 1.0 / given)


def _of_points(name: str, value: Any, y: np.ndarray) -> np.ndarray:
    """Return an array with a number for each point of one curve, or of each curve."""
    array = np.asarray(real_array(value, name), float)
    if array.shape not in (y.shape, y.shape[-1:]):
        shapes = f"{y.shape[-1:]}" if y.ndim == 1 else f"{y.shape[-1:]} or {y.shape}"
        if name == "sigma":
            shapes = f"() or {shapes}" + (f" or {y.shape * 2}" if y.ndim == 1 else "")
        raise ValueError(
            f"`{name}` has incorrect shape: got {array.shape}, expected {shapes}, as `ydata` has."
        )
    return array


def _root(y: np.ndarray, sigma: Any, counts: np.ndarray) -> np.ndarray:
    """Return the lower triangle of the covariance of the points of one curve, if `sigma` is one."""
    shape = None if sigma is None else np.shape(sigma)
    if y.ndim > 1 or y.size == 1 or shape != (y.size, y.size):
        return NO_ROOT
    covariance = np.array(sigma, float)
    covariance[~counts], covariance[:, ~counts] = 0.0, 0.0  # those are apart from the others
    covariance[~counts, ~counts] = 1.0
    try:
        return np.ascontiguousarray(cholesky(covariance, lower=True))
    except (LinAlgError, ValueError) as error:
        raise ValueError("`sigma` must be positive definite.") from error


def _check_counts(y: np.ndarray, counts: np.ndarray) -> None:
    """Refuse what is no number of counts."""
    negative = (y < 0) & counts
    if negative.any():
        index, place = _place(negative)
        raise ValueError(
            f"`ydata` must be at least 0 for `cost='poisson'`; got {y[index]} at {place}."
        )


def starts_and_bounds(
    p0: Any, bounds: Any, n: int, lead: tuple[int, ...]
) -> tuple[np.ndarray, Pair]:
    """Return starts, shape (B, n), and bounds, shape (B, n) or (1, n); of one curve B is 1.

    Without `p0` it is 1 where there are no bounds, and within them else, as SciPy chooses it.
    """
    count = math.prod(lead)
    low, high = (_side(side, n, lead) for side in _sides(bounds))
    require_room(*((low, high) if lead else (low[0], high[0])))
    p = _feasible(low, high) if p0 is None else np.asarray(real_array(p0, "p0"), float)
    if p0 is not None and np.atleast_1d(p).shape not in ((n,), (*lead, n)):
        raise ValueError(f"`p0` must have shape ({n},) or {(*lead, n)}; got {p.shape}.")
    p = np.array(np.broadcast_to(p.reshape(-1, n), (count, n)), order="C")
    if ((p < low) | (p > high)).any():
        b, j = (int(i) for i in np.argwhere((p < low) | (p > high))[0])
        of = f" of curve {b}" if lead else ""
        raise ValueError(
            f"Initial guess is outside of provided bounds: `p0` is {p[b, j]} at index {j}{of}."
        )
    if not lead and not np.isfinite(p).all():
        raise ValueError(f"`p0` must be finite; got {p[0]}.")
    return p, (low, high)


def _sides(bounds: Any) -> tuple[Any, Any]:
    if isinstance(bounds, Bounds):
        return bounds.lb, bounds.ub
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise ValueError(
            f"`bounds` must be a pair (lower, upper) or a `scipy.optimize.Bounds`; got {bounds!r}."
        ) from None
    return low, high


def _side(bound: Any, n: int, lead: tuple[int, ...]) -> np.ndarray:
    """Return one side of the bounds, shape (1, n) or (B, n)."""
    array = np.asarray(real_array(bound, "bounds"), float)
    if array.ndim == 0:
        return np.full((1, n), array)
    if array.ndim > 1 and array.shape[:-1] == lead and array.shape[-1] in (1, n):
        array = array.reshape(-1, array.shape[-1])
    elif array.ndim > 1 or array.size not in (1, n):
        raise ValueError(
            f"Inconsistent shapes between bounds and `p0`: got {array.shape}, expected () or ({n},)"
            + (f" or {(*lead, n)}." if lead else ".")
        )
    return np.array(np.broadcast_to(np.atleast_2d(array), (len(np.atleast_2d(array)), n)))


def _feasible(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    low, high = np.broadcast_arrays(low, high)
    p, below, above = np.ones(low.shape), np.isfinite(low), np.isfinite(high)
    both = below & above
    p[both] = 0.5 * (low[both] + high[both])
    p[below & ~above] = low[below & ~above] + 1
    p[~below & above] = high[~below & above] - 1
    return p


class Curves:
    """Curves, one after the other, and blocks of them."""

    def __init__(self, data: Data, p: np.ndarray, bounds: Pair) -> None:
        m = data.y.shape[-1]
        self.data, self.p, self.bounds = data, p, bounds
        self.y = data.y.reshape(-1, m)
        self.weights = data.weights.reshape(-1, m)
        self.count, self.n, self.m = len(self.y), p.shape[1], m

    def block(self, first: int, size: int) -> Curve:
        """Return the curves from `first` on, in arrays that are nobody else's where they may change."""
        rows = slice(first, first + size)

        def of_rows(array: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(array[rows] if len(array) > 1 else array, float)

        return Curve(
            np.ascontiguousarray(self.y[rows], float), of_rows(self.weights), self.data.root,
            of_rows(self.bounds[0]), of_rows(self.bounds[1]),
        )  # fmt: skip
