"""Values and Jacobian of a model ``f(x, *params)`` at all points, as fits take them.

The functions here return Python functions ``rows(x, p, values, jac)`` to compile. `p` holds the n parameters,
then their lower bounds, then the upper ones; `values` has room for m numbers, and `jac`, of shape
(n + 1, M), a row for each parameter. They return how many values f has. f gets ``taken(x)`` or, point by
point, ``taken(x, i)``.
"""

import numpy as np
from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple

from .derivatives import PARTS
from .lifted import INNER, lifted
from .seeds import ON_STACK, parts_of, room, seeded, value_of, vector_of

# Of differences, relative: short for the place of a narrow peak.
STEP = float(np.finfo(float).eps) ** 0.4

inner = njit(forceinline=True, error_model="numpy", **INNER)


@inner
def number(x, i):
    """Return point i of a single predictor, the only row of x."""
    return x[0, i]


@inner
def column(x, i):
    """Return point i of several predictors."""
    return x[:, i]


@inner
def vector(x):
    """Return a single predictor, the only row of x."""
    return x[0]


@inner
def whole(x):
    """Return x as it is."""
    return x


def parts_for(n):
    """Return the parameters of a pass: as many as there are, in full registers."""
    return next((parts for parts in (1, 2, 4) if parts >= n), PARTS)


@inner
def put(number, i, first, n, duals, values, jac):
    """Take over a value and its derivatives."""
    values[i] = value_of(number)
    parts = parts_of(number, duals)
    for j in range(len(parts)):
        if first + j < n:
            jac[first + j, i] = parts[j]


def by_points(function, n, taken):
    """f is called for one point after the other: it makes no arrays."""
    fun, count = lifted(function, dividing=True), parts_for(n)

    def rows(x, p, values, jac):
        duals = room(p, count, ON_STACK)
        if n > ON_STACK:
            duals = np.empty(n, duals.dtype)
        for first in range(0, n, count):
            for j in range(n):
                duals[j] = seeded(p[j], j - first, count)
            q = to_fixed_tuple(duals, n)
            for i in range(values.size):
                put(fun(taken(x, i), *q), i, first, n, duals, values, jac)
        return values.size

    return rows


def by_arrays(function, n, taken):
    """f is called for all points at once."""
    fun, count = lifted(function), parts_for(n)

    def rows(x, p, values, jac):
        duals = room(p, count, ON_STACK)
        if n > ON_STACK:
            duals = np.empty(n, duals.dtype)
        for first in range(0, n, count):
            for j in range(n):
                duals[j] = seeded(p[j], j - first, count)
            found = vector_of(fun(taken(x), *to_fixed_tuple(duals, n)))
            if found.size != values.size:
                return found.size
            for i in range(found.size):
                put(found[i], i, first, n, duals, values, jac)
        return values.size

    return rows


def by_jacobian(function, n, taken, jacobian):
    """f and its Jacobian, of shape (m, n), are the caller's."""

    def rows(x, p, values, jac):
        q = to_fixed_tuple(p, n)
        found = vector_of(function(taken(x), *q))
        if found.size != values.size:
            return found.size
        derivatives = jacobian(taken(x), *q)
        if derivatives.shape != (values.size, n):
            return -1
        for i in range(values.size):
            values[i] = found[i]
            for j in range(n):
                jac[j, i] = derivatives[i, j]
        return values.size

    return rows


def by_differences(function, n, taken):
    """f has no exact derivatives: differences of both sides are taken, within the bounds."""

    def rows(x, p, values, jac):
        moved = p.copy()
        for j in range(n):
            h = STEP * (abs(p[j]) if p[j] != 0.0 else 1.0)
            moved[j] = min(p[j] + h, p[2 * n + j])
            above = vector_of(function(taken(x), *to_fixed_tuple(moved, n)))
            if above.size != values.size:
                return above.size
            for i in range(values.size):
                jac[j, i] = above[i]
            up = moved[j]
            moved[j] = max(p[j] - h, p[n + j])
            below = vector_of(function(taken(x), *to_fixed_tuple(moved, n)))
            if below.size != values.size:
                return below.size
            width = up - moved[j]
            for i in range(values.size):
                jac[j, i] = (jac[j, i] - below[i]) / width if width > 0.0 else 0.0
            moved[j] = p[j]
        found = vector_of(function(taken(x), *to_fixed_tuple(p, n)))
        if found.size != values.size:
            return found.size
        for i in range(values.size):
            values[i] = found[i]
        return values.size

    return rows
