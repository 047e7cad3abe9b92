"""What asks which number is larger: order, places, choices, rounding."""

from collections.abc import Callable

import numpy as np
from numba import types

from .arrays import as_element, at, duals, plain, refuse_shapes
from .dual import Dual, element, met
from .preferred import overload_first


def _argmax(a):
    if duals(a):

        def place(a):
            best = 0
            for i in range(1, a.size):
                if a.flat[i] > a.flat[best]:
                    best = i
            return best

        return place
    return None


def _argmin(a):
    if duals(a):

        def place(a):
            best = 0
            for i in range(1, a.size):
                if a.flat[i] < a.flat[best]:
                    best = i
            return best

        return place
    return None


def _max(a):
    return (lambda a: a.flat[np.argmax(a)]) if duals(a) else None


def _min(a):
    return (lambda a: a.flat[np.argmin(a)]) if duals(a) else None


def _median(a):
    if duals(a):

        def middle(a):
            ordered = np.sort(a.flatten())
            return (ordered[(a.size - 1) // 2] + ordered[a.size // 2]) / 2

        return middle
    return None


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
    np.median: _median,
    np.searchsorted: _searchsorted,
    np.interp: _interp,
    np.where: _where,
    np.clip: _clip,
    np.isclose: _isclose,
    np.round: _round,
    np.around: _round,
    divmod: _divmod,
}
overload_first(FUNCTIONS)
