"""Does f curve downwards from a point where its gradient vanishes? For few variables, in compiled code.

`_run.second_order` sees more, and has SciPy for it; this is for who calls no Python.
"""

from math import sqrt

import numba
import numpy as np

from .cache import INLINED
from .evaluation import evaluate

# Relative steps of differences of gradients, and their relative errors: of exact gradients the root of the
# rounding of a float64, and what is right where these are differences themselves.
EXACT, DIFFERENCED = (2.0**-26, 1e-7), (2.0**-17, 1e-4)
ENOUGH = 1e-9  # relative fall of f that is none of its rounding
LENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # of the steps downwards, in units of the size of variables

with_arrays = numba.njit(**INLINED | {"_nrt": True})


@with_arrays
def is_saddle(functions, x, g, size, states):
    """Return whether a lower point lies where f curves downwards from x, whose gradient is g.

    Takes n gradients, and a few more if there is one. `states[0].fun_best` is f at x, `states[1]` is
    used up, and counts.
    """
    n, spare, gradient = x.size, np.empty(x.size), np.empty(x.size)
    points, hessian = np.empty((1, x.size)), np.empty((x.size, x.size))
    step, error = EXACT if states[0].gradient_error == 0.0 else DIFFERENCED
    for i in range(n):
        points[0] = x
        points[0, i] += step * size[i]
        look(functions, points, spare, gradient, states)
        unit = size[i] / (points[0, i] - x[i])
        for j in range(n):
            hessian[i, j] = (gradient[j] - g[j]) * unit * size[j]
    way = np.zeros(n)
    if not downwards(hessian, error, way):
        return False
    fun = states[0].fun_best
    for length in LENGTHS:
        for sign in (1.0, -1.0):
            for j in range(n):
                points[0, j] = x[j] + sign * length * size[j] * way[j]
            if look(functions, points, spare, gradient, states) < fun - ENOUGH * abs(fun):
                return True
    return False


@with_arrays
def look(functions, points, spare, gradient, states):
    """Evaluate f and its gradient at a point."""
    s = states[1]
    s.nfev += 1
    spare[:] = points[0]
    evaluate(functions, points, spare, gradient, s, None)
    return s.fun


@with_arrays
def downwards(hessian, error, way):
    """Write a way of negative curvature into `way`; return whether there is one.

    A factorisation L D L^T, in units in which the diagonal is 1, has a negative pivot where a matrix has a
    negative eigenvalue (Sylvester). Where a pivot or the matrix is lost in the error, a relative one, nothing
    is said.
    """
    n, uneven = len(hessian), 0.0
    roots = np.empty(n)
    for i in range(n):
        roots[i] = sqrt(abs(hessian[i, i]))
        if not (0.0 < roots[i] < np.inf):
            return False
    for i in range(n):
        for j in range(i + 1):
            a = hessian[i, j] / (roots[i] * roots[j])
            b = hessian[j, i] / (roots[i] * roots[j])
            uneven = max(uneven, abs(a - b))
            hessian[i, j] = 0.5 * (a + b)  # the lower half, from here on
    doubt = n * max(uneven, error)
    for k in range(n):
        pivot = hessian[k, k]
        if pivot < -doubt:
            way[k] = 1.0
            for i in range(k - 1, -1, -1):
                for j in range(i + 1, k + 1):
                    way[i] -= hessian[j, i] * way[j]
            most = 0.0
            for i in range(k + 1):
                way[i] /= roots[i]
                most = max(most, abs(way[i]))
            for i in range(k + 1):
                way[i] /= most
            return True
        if not pivot > doubt:
            return False
        for i in range(k + 1, n):
            for j in range(k + 1, i + 1):
                hessian[i, j] -= hessian[i, k] * hessian[j, k] / pivot
        for i in range(k + 1, n):
            hessian[i, k] /= pivot
    return False
