"""QR by the modified method of Gram and Schmidt, and triangular systems: matrices by columns.

``a[j]`` is column j of a matrix, and the last one the right-hand side. No product of a matrix with itself is
formed: that would square its condition. With the right-hand side as a column, R and the projections are as
exact as by Householder's reflections (Björck, BIT 7, 1967).
"""

from math import sqrt

import numpy as np

from .cache import kernel, seldom
from .lanes import add_multiple, sum_of_products

TINY = float(np.finfo(float).tiny)


@kernel
def dot(a, b, lo, hi):
    """Return the sum of a[i] b[i]: four sums of every fourth element each, in an order always the same."""
    t0 = t1 = t2 = t3 = 0.0
    one, lo, hi = np.uintp(1), np.uintp(lo), np.uintp(hi)  # unsigned: no index counts from the end
    end = hi - (hi - lo) % np.uintp(4)
    for i in range(lo, end, np.uintp(4)):
        j, k, m = i + one, i + np.uintp(2), i + np.uintp(3)
        t0, t1 = t0 + a[i] * b[i], t1 + a[j] * b[j]
        t2, t3 = t2 + a[k] * b[k], t3 + a[m] * b[m]
    for i in range(end, hi):
        t0 = t0 + a[i] * b[i]
    return (t0 + t1) + (t2 + t3)


@kernel
def add(a, factor, b, lo, hi):
    """Add a multiple of b to a."""
    for i in range(np.uintp(lo), np.uintp(hi)):
        a[i] += factor * b[i]


@seldom
def triangularise(a, columns, triangle):
    """Write the upper triangle of a matrix, and the projections of column number `columns` behind it.

    Columns are arrays of whole vectors, and lost. Returns False where one of them is not finite.
    """
    for j in range(np.uintp(columns)):
        column = a[j]
        square = sum_of_products(column, column)
        if not square < np.inf:  # not for NaN either
            return False
        lost = square < TINY  # no digits are left of it
        norm = triangle[j, j] = 0.0 if lost else sqrt(square)
        inverse = 0.0 if lost else 1.0 / square
        for k in range(j + np.uintp(1), np.uintp(columns + 1)):
            part = inverse * sum_of_products(column, a[k])
            triangle[k, j] = part * norm
            add_multiple(a[k], -part, column)
    return True


@kernel
def solve(a, right, x, columns):
    """Write the solution of R x = right, R the upper triangle of a."""
    for i in range(columns - 1, -1, -1):
        total = right[i]
        for k in range(i + 1, columns):
            total -= a[k, i] * x[k]
        x[i] = total * (1.0 / a[i, i])  # no division waits for another


@kernel
def solve_transposed(a, x, columns):
    """Solve R' x = right in place."""
    for j in range(columns):
        x[j] = (x[j] - dot(a[j], x, 0, j)) * (1.0 / a[j, j])


@seldom
def invert(a, inverse, columns):
    """Write the columns of the inverse of the upper triangle of a, down to the diagonal."""
    for k in range(columns):
        column = inverse[k]
        for j in range(k):
            column[j] = 0.0
        column[k] = 1.0 / a[k, k]
        add(column, -column[k], a[k], 0, k)
        for j in range(k - 1, -1, -1):
            column[j] = column[j] * inverse[j, j]
            add(column, -column[j], a[j], 0, j)
