"""Products of vectors and matrices with dual numbers in them."""

import operator
from collections.abc import Callable

import numpy as np
from numba import types

from .arrays import as_element, duals
from .dual import met
from .preferred import overload_first


def _dot(a, b):
    if not duals(a, b):
        return None
    zero = met(a.dtype, b.dtype)
    if a.ndim == b.ndim == 1:

        def vectors(a, b):
            if a.size != b.size:
                raise ValueError("np.dot: the vectors must have the same length.")
            s = as_element(zero, 0.0)
            for i in range(a.size):
                s += a[i] * b[i]
            return s

        return vectors
    if (a.ndim, b.ndim) == (2, 1):

        def matrix_vector(a, b):
            out = np.empty(a.shape[0], zero)
            for i in range(a.shape[0]):
                out[i] = np.dot(a[i], b)
            return out

        return matrix_vector
    if (a.ndim, b.ndim) == (1, 2):
        return lambda a, b: np.dot(b.T, a)
    if a.ndim == b.ndim == 2:

        def matrices(a, b):
            out = np.empty((a.shape[0], b.shape[1]), zero)
            for i in range(a.shape[0]):
                for j in range(b.shape[1]):
                    out[i, j] = np.dot(a[i], b[:, j])
            return out

        return matrices
    return None


def _norm(x, ord=None):  # noqa: A002, NumPy's name
    if not duals(x):
        return None
    if ord is None or isinstance(ord, types.NoneType | types.Omitted):
        return lambda x, ord=None: np.sqrt(np.sum(x * x))  # noqa: A006
    if x.ndim > 1:
        return None

    def of_order(x, ord=None):  # noqa: A002
        if ord == np.inf:
            return np.max(np.abs(x))
        if ord == 1:
            return np.sum(np.abs(x))
        if ord == 2:
            return np.sqrt(np.sum(x * x))
        return np.sum(np.abs(x) ** ord) ** (1 / ord)

    return of_order


def _cross(a, b):
    if not (duals(a, b) and a.ndim == b.ndim == 1):
        return None
    kind = met(a.dtype, b.dtype)

    def product(a, b):
        if a.size != 3 or b.size != 3:
            raise ValueError("np.cross: the vectors must have three elements.")
        out = np.empty(3, kind)
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            out[i] = a[j] * b[k] - a[k] * b[j]
        return out

    return product


def _convolve(a, v, mode="full"):
    if not (duals(a, v) and a.ndim == v.ndim == 1):
        return None
    kind = met(a.dtype, v.dtype)

    def convolution(a, v, mode="full"):
        out = np.zeros(a.size + v.size - 1, kind)
        for i in range(a.size):
            for j in range(v.size):
                out[i + j] += a[i] * v[j]
        most, least = max(a.size, v.size), min(a.size, v.size)
        if mode == "valid":
            return out[least - 1 : most]
        if mode == "same":
            return out[(least - 1) // 2 : (least - 1) // 2 + most]
        return out

    return convolution


def _correlate(a, v, mode="valid"):
    """With the shorter array as the second one, as it is written."""
    if duals(a, v) and a.ndim == v.ndim == 1:
        return lambda a, v, mode="valid": np.convolve(a, v[::-1], mode)
    return None


def _vander(x, N):  # noqa: N803, NumPy's name
    if duals(x):

        def powers(x, N):  # noqa: N803
            out = np.empty((x.size, N), x.dtype)
            for i in range(x.size):
                for j in range(N):
                    out[i, j] = x[i] ** (N - 1 - j)
            return out

        return powers
    return None


FUNCTIONS: dict[Callable, Callable] = {
    np.dot: _dot,
    np.vdot: _dot,
    operator.matmul: _dot,
    np.linalg.norm: _norm,
    np.cross: _cross,
    np.convolve: _convolve,
    np.correlate: _correlate,
    np.vander: _vander,
}
overload_first(FUNCTIONS)
