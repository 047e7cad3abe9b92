"""What asks which number is larger: order, places, choices, rounding."""

from collections.abc import Callable

import numpy as np
from numba import types
from numba.extending import register_jitable

from .arrays import as_element, at, duals, plain, refuse_shapes
from .dual import Dual, element, met
from .preferred import overload_first


def _argmax(a):
    if duals(a):

        def place(a):
            best = 0
            for i in range(1, a.size):
                if not a.flat[i] <= a.flat[best] and not np.isnan(a.flat[best]):
                    best = i
            return best

        return place
    return None


def _argmin(a):
    if duals(a):

        def place(a):
            best = 0
            for i in range(1, a.size):
                if not a.flat[i] >= a.flat[best] and not np.isnan(a.flat[best]):
                    best = i
            return best

        return place
    return None


def _max(a):
    return (lambda a: a.flat[np.argmax(a)]) if duals(a) else None


def _min(a):
    return (lambda a: a.flat[np.argmin(a)]) if duals(a) else None


def _nanmax(a):
    if duals(a):

        def largest(a):
            best = a.flat[0]
            for v in a.flat:
                if v > best or np.isnan(best):
                    best = v
            return best

        return largest
    return None


def _nanmin(a):
    return (lambda a: -np.nanmax(-a)) if duals(a) else None


def _median(a):
    if duals(a):

        def middle(a):
            ordered = np.sort(a.flatten())
            return (ordered[(a.size - 1) // 2] + ordered[a.size // 2]) / 2

        return middle
    return None


def _quantile(a, q):
    if not duals(a):
        return None
    if isinstance(q, types.Array):

        def several(a, q):
            ordered, out = np.sort(a.flatten()), np.empty(q.size, a.dtype)
            for i in range(q.size):
                out[i] = between(ordered, q[i])
            return out

        return several
    return lambda a, q: between(np.sort(a.flatten()), q)


def _percentile(a, q):
    return (lambda a, q: np.quantile(a, q / 100)) if duals(a) else None


@register_jitable
def between(ordered, q):
    """Return what a part q of the numbers lies below, which is between two of them."""
    if not 0 <= q <= 1:
        raise ValueError("quantiles must be between 0 and 1, percentiles between 0 and 100")
    place = q * (ordered.size - 1)
    low = int(place)
    high = min(low + 1, ordered.size - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _searchsorted(a, v, side="left"):
    if not isinstance(a, types.Array) or not (duals(a) or isinstance(v, Dual) or duals(v)):
        return None
    if isinstance(v, types.Array):
        return lambda a, v, side="left": np.searchsorted(plain(a), plain(v), side)
    return lambda a, v, side="left": np.searchsorted(plain(a), plain(v), side)


def _interp(x, xp, fp):
    kinds = map(element, (x, xp, fp))
    kind = met(*kinds)
    if kind is None or not (isinstance(xp, types.Array) and isinstance(fp, types.Array)):
        return None
    if isinstance(x, types.Array):

        def of_vector(x, xp, fp):
            out = np.empty(x.size, kind)
            for i in range(x.size):
                out[i] = np.interp(x[i], xp, fp)
            return out

        return of_vector if x.ndim == 1 else None

    def of_number(x, xp, fp):
        low, high = 0, xp.size - 1
        if x <= xp[low]:
            return as_element(kind, fp[low])
        if x >= xp[high]:
            return as_element(kind, fp[high])
        while high - low > 1:
            middle = (low + high) // 2
            if x < xp[middle]:
                high = middle
            else:
                low = middle
        weight = (x - xp[low]) / (xp[high] - xp[low])
        return as_element(kind, fp[low] + weight * (fp[high] - fp[low]))

    return of_number


def _where(condition, x, y):
    kinds = map(element, (x, y))
    kind = met(*kinds)
    if kind is None:
        return None
    if not any(isinstance(a, types.Array) for a in (condition, x, y)):
        return lambda condition, x, y: x if condition else y
    if not isinstance(condition, types.Array):
        return None

    def chosen(condition, x, y):
        refuse_shapes(condition, x)
        refuse_shapes(condition, y)
        out = np.empty(condition.shape, kind)
        for i in range(condition.size):
            out.flat[i] = at(x, i) if condition.flat[i] else at(y, i)
        return out

    return chosen


def _clip(a, a_min, a_max):
    kinds = map(element, (a, a_min, a_max))
    if met(*kinds) is not None:
        return lambda a, a_min, a_max: np.minimum(np.maximum(a, a_min), a_max)
    return None


def _nan_to_num(x, copy=True, nan=0.0):
    if isinstance(x, Dual):
        return lambda x, copy=True, nan=0.0: as_element(x, nan) if np.isnan(x) else x
    if duals(x):

        def numbers(x, copy=True, nan=0.0):
            out = x.copy()
            for i in range(x.size):
                if np.isnan(x.flat[i]):
                    out.flat[i] = nan
            return out

        return numbers
    return None


def _extract(condition, arr):
    return (lambda condition, arr: arr[condition]) if duals(arr) else None


def _isclose(a, b, rtol=1e-05, atol=1e-08):
    if met(a, b) is not None:
        return lambda a, b, rtol=1e-05, atol=1e-08: bool(
            a == b or (abs(a - b) <= atol + rtol * abs(b) and np.isfinite(b))
        )
    return None


def _round(a, decimals=0):
    return (lambda a, decimals=0: np.round(plain(a), decimals)) if isinstance(a, Dual) else None


def _divmod(x, y):
    return (lambda x, y: (x // y, x % y)) if met(x, y) is not None else None


FUNCTIONS: dict[Callable, Callable] = {
    np.argmax: _argmax,
    np.argmin: _argmin,
    np.max: _max,
    np.min: _min,
    np.nanmax: _nanmax,
    np.nanmin: _nanmin,
    np.median: _median,
    np.quantile: _quantile,
    np.percentile: _percentile,
    np.searchsorted: _searchsorted,
    np.interp: _interp,
    np.where: _where,
    np.clip: _clip,
    np.nan_to_num: _nan_to_num,
    np.extract: _extract,
    np.isclose: _isclose,
    np.round: _round,
    np.around: _round,
    divmod: _divmod,
}
overload_first(FUNCTIONS)
