"""Sums of arrays of dual numbers, and what is made of sums; what Numba makes of expressions is in loops."""

from collections.abc import Callable

import numpy as np
from numba import types

from .arrays import as_element, duals, held
from .dual import met
from .preferred import overload_first

TRAPEZOID = getattr(np, "trapezoid", None) or getattr(np, "trapz")  # noqa: B009, before NumPy 2


def _sum(a):
    if duals(a):

        def total(a):
            s = as_element(a, 0.0)
            for v in a.flat:
                s += v
            return s

        return total
    return None


def _prod(a):
    if duals(a):

        def product(a):
            s = as_element(a, 1.0)
            for v in a.flat:
                s *= v
            return s

        return product
    return None


def _cumsum(a):
    if duals(a) and a.ndim == 1:

        def sums(a):
            out, s = np.empty_like(a), as_element(a, 0.0)
            for i in range(a.size):
                s += a[i]
                out[i] = s
            return out

        return sums
    return None


def _cumprod(a):
    if duals(a) and a.ndim == 1:

        def products(a):
            out, s = np.empty_like(a), as_element(a, 1.0)
            for i in range(a.size):
                s *= a[i]
                out[i] = s
            return out

        return products
    return None


def _diff(a):
    return (lambda a: a[1:] - a[:-1]) if duals(a) and a.ndim == 1 else None


def _ediff1d(ary):
    return (lambda ary: np.diff(ary.flatten())) if duals(ary) else None


def _mean(a):
    return (lambda a: np.sum(a) / a.size) if duals(a) else None


def _average(a):
    return (lambda a: np.mean(a)) if duals(a) else None


def _var(a):
    if duals(a):

        def variance(a):
            mean, s = np.mean(a), as_element(a, 0.0)
            for v in a.flat:
                s += (v - mean) * (v - mean)
            return s / a.size

        return variance
    return None


def _std(a):
    return (lambda a: np.sqrt(np.var(a))) if duals(a) else None


def _nansum(a):
    if duals(a):

        def total(a):
            s = as_element(a, 0.0)
            for v in a.flat:
                if not np.isnan(v):
                    s += v
            return s

        return total
    return None


def _nanmean(a):
    return (lambda a: np.nansum(a) / np.sum(~np.isnan(a))) if duals(a) else None


def _nanprod(a):
    return (lambda a: np.prod(a.flatten()[~np.isnan(a.flatten())])) if duals(a) else None


def _nanvar(a):
    return (lambda a: np.var(a.flatten()[~np.isnan(a.flatten())])) if duals(a) else None


def _nanstd(a):
    return (lambda a: np.sqrt(np.nanvar(a))) if duals(a) else None


def _cov(m, y=None):
    if isinstance(y, types.Array) and duals(m, y):
        kind = met(m.dtype, y.dtype)
        return lambda m, y=None: np.cov(np.vstack((held(m, kind), held(y, kind))))
    if not (duals(m) and m.ndim == 2):
        return None

    def covariances(m, y=None):
        apart = m.copy()
        for i in range(m.shape[0]):
            apart[i] = m[i] - np.mean(m[i])
        return apart @ apart.T / (m.shape[1] - 1)

    return covariances


def _corrcoef(x, y=None):
    if not (duals(x) or (isinstance(y, types.Array) and duals(x, y))):
        return None

    def correlations(x, y=None):
        c = np.cov(x, y)
        size = np.sqrt(np.diag(c))
        return c / np.outer(size, size)

    return correlations


def _bincount(a, weights=None, minlength=0):
    if not duals(weights):
        return None

    def totals(a, weights=None, minlength=0):
        out = np.zeros(max(np.max(a) + 1, minlength), weights.dtype)
        for i in range(a.size):
            out[a[i]] += weights[i]
        return out

    return totals


def _trace(a):
    return (lambda a: np.sum(np.diag(a))) if duals(a) and a.ndim == 2 else None


def _trapezoid(y, x=None, dx=1.0):
    if isinstance(x, types.Array):
        if duals(y, x) and y.ndim == x.ndim == 1:
            return lambda y, x=None, dx=1.0: np.sum((x[1:] - x[:-1]) * (y[1:] + y[:-1])) / 2
    elif duals(y) and y.ndim == 1:
        return lambda y, x=None, dx=1.0: np.sum(y[1:] + y[:-1]) * dx / 2
    return None


FUNCTIONS: dict[Callable, Callable] = {
    np.sum: _sum,
    np.prod: _prod,
    np.cumsum: _cumsum,
    np.cumprod: _cumprod,
    np.diff: _diff,
    np.ediff1d: _ediff1d,
    np.mean: _mean,
    np.average: _average,
    np.var: _var,
    np.std: _std,
    np.nansum: _nansum,
    np.nanmean: _nanmean,
    np.nanprod: _nanprod,
    np.nanvar: _nanvar,
    np.nanstd: _nanstd,
    np.cov: _cov,
    np.corrcoef: _corrcoef,
    np.bincount: _bincount,
    np.trace: _trace,
    TRAPEZOID: _trapezoid,
}
overload_first(FUNCTIONS)
