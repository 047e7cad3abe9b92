"""Products of vectors and matrices with dual numbers in them."""

import operator
from collections.abc import Callable

import numpy as np

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


def _norm(a):
    return (lambda a: np.sqrt(np.sum(a * a))) if duals(a) else None


def _convolve(a, v):
    if not (duals(a, v) and a.ndim == v.ndim == 1):
        return None
    kind = met(a.dtype, v.dtype)

    def full(a, v):
        out = np.zeros(a.size + v.size - 1, kind)
        for i in range(a.size):
            for j in range(v.size):
                out[i + j] += a[i] * v[j]
        return out

    return full


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
    np.convolve: _convolve,
    np.vander: _vander,
}
overload_first(FUNCTIONS)
