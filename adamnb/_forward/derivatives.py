"""Gradient, Hessian and Jacobian of the user's function, in passes over a few variables each.

The functions here return Python functions ``derivative(x, *args)`` to compile, whose arguments are lent.
What such a function takes beside these is the caller's, or made for it and returned as well (`returns_g`).
"""

import numpy as np

from .lifted import lifted
from .named import inner
from .seeds import ON_STACK, parts_of, room, seeded, value_of, vector_of, with_lifted

PARTS = 8  # variables of a pass: one register of AVX-512 or two of AVX2, as fast as 4 for a few variables


def passes(fun, count):
    """Return a function that writes the gradient into g, in passes over `count` variables."""

    def gradient(x, g, duals, args):
        first = 0
        while True:
            for i in range(x.size):
                duals[i] = seeded(x[i], i - first, count)
            f = fun(duals, *args)
            value, parts = value_of(f), parts_of(f, duals)
            for j in range(count):
                if first + j < x.size:
                    g[first + j] = parts[j]
            first += count
            if first >= x.size:
                return value

    return gradient


def value_and_grad_inplace(function, name="value_and_grad_inplace"):
    """Write the gradient into g: no memory is allocated for `ON_STACK` variables."""
    gradient = inner(passes(lifted(function), PARTS), function, f"{name}.passes")

    def derivative(x, g, *args):
        args = with_lifted(args)
        duals = room(x, PARTS, ON_STACK)
        if x.size > ON_STACK:
            duals = np.empty(x.size, duals.dtype)
        return gradient(x, g, duals, args)

    return derivative


def value_and_grad(function):
    """Return the value and a new gradient."""
    derivative = value_and_grad_inplace(function, "value_and_grad")
    derivative.returns_g = True
    return derivative


def hessian(function):
    """Return the matrix of second derivatives."""
    fun = lifted(function)

    def derivative(x, *args):
        args = with_lifted(args)
        firsts, n = room(x, PARTS, ON_STACK), x.size
        if n > ON_STACK:
            firsts = np.empty(n, firsts.dtype)
        duals = room(firsts, 1, ON_STACK)
        if n > ON_STACK:
            duals = np.empty(n, duals.dtype)
        h = np.empty((n, n), x.dtype)
        for first in range(0, n, PARTS):
            for i in range(n):
                firsts[i] = seeded(x[i], i - first, PARTS)
            last = first + PARTS if first + PARTS < n else n
            for row in range(last):
                for i in range(n):
                    duals[i] = seeded(firsts[i], i - row, 1)
                f = fun(duals, *args)
                value_of(f)
                parts = parts_of(parts_of(f, duals)[0], firsts)
                for column in range(first, last):
                    if column >= row:
                        h[row, column] = h[column, row] = parts[column - first]
        return h

    return derivative


def jacobian(function):
    """Return the first derivatives of a vector-valued function, a row for each value."""
    fun = lifted(function)

    def derivative(x, *args):
        args = with_lifted(args)
        duals = room(x, PARTS, ON_STACK)
        if x.size > ON_STACK:
            duals = np.empty(x.size, duals.dtype)
        jac = np.empty((0, 0), x.dtype)
        for first in range(0, x.size if x.size else 1, PARTS):
            for i in range(x.size):
                duals[i] = seeded(x[i], i - first, PARTS)
            found = vector_of(fun(duals, *args))
            if first == 0:
                jac = np.empty((found.size, x.size), x.dtype)
            for i in range(found.size):
                parts = parts_of(found[i], duals)
                for j in range(PARTS):
                    if first + j < x.size:
                        jac[i, first + j] = parts[j]
        return jac

    return derivative
