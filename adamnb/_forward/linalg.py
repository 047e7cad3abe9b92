"""Linear systems with dual numbers in them.

``A x = b`` gives ``A dx = db - dA x``: the parts are right-hand sides of the same factors, which are those of
the values. Determinants and Cholesky's factors are differentiated as their algorithms.
"""

from collections.abc import Callable

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable
from numba.np.arrayobj import populate_array

from .arrays import duals, held
from .dual import met
from .preferred import overload_first


@intrinsic
def numbers_of(typingctx, array):
    """Return a view of an array of dual numbers with one more axis: each one's value, and its parts."""
    number = array.dtype.dtype
    view = types.Array(number, array.ndim + 1, "A")

    def codegen(context, builder, signature, arguments):
        whole = context.make_array(array)(context, builder, arguments[0])
        data = context.get_data_type(number)
        size = context.get_constant(types.intp, context.get_abi_sizeof(data))
        count = context.get_constant(types.intp, 1 + array.dtype.parts)
        shape = [*cgutils.unpack_tuple(builder, whole.shape, array.ndim), count]
        strides = [*cgutils.unpack_tuple(builder, whole.strides, array.ndim), size]
        out = context.make_array(view)(context, builder)
        if context.enable_nrt:
            context.nrt.incref(builder, array, arguments[0])
        place = builder.bitcast(whole.data, data.as_pointer())
        populate_array(out, place, shape, strides, size, whole.meminfo)
        return out._getvalue()

    return view(array), codegen


@register_jitable
def factor(a, order):
    """Write the factors L and U of a matrix into it, and the order of its rows that they are of.

    Returns the sign of the permutation, 0 if there are no factors.
    """
    n, sign = a.shape[0], 1.0
    if a.shape[1] != n:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square.")
    for i in range(n):
        order[i] = i
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(a[i, k]) > abs(a[pivot, k]):
                pivot = i
        if not abs(a[pivot, k]) > 0:
            return 0.0
        if pivot != k:
            sign = -sign
            order[k], order[pivot] = order[pivot], order[k]
            for j in range(n):
                a[k, j], a[pivot, j] = a[pivot, j], a[k, j]
        for i in range(k + 1, n):
            a[i, k] = a[i, k] / a[k, k]
            for j in range(k + 1, n):
                a[i, j] = a[i, j] - a[i, k] * a[k, j]
    return sign


@register_jitable
def substitute(factors, order, right, out):
    """Write the solutions for the columns of `right` into `out`."""
    n = factors.shape[0]
    for i in range(n):
        for c in range(out.shape[1]):  # element by element: an error of shapes is much code
            out[i, c] = right[order[i], c]
        for j in range(i):
            for c in range(out.shape[1]):
                out[i, c] = out[i, c] - factors[i, j] * out[j, c]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            for c in range(out.shape[1]):
                out[i, c] = out[i, c] - factors[i, j] * out[j, c]
        for c in range(out.shape[1]):
            out[i, c] = out[i, c] / factors[i, i]


@register_jitable
def solved(a, b):
    """Solve for a matrix b; both are arrays of the same dual numbers."""
    x = np.empty(b.shape, b.dtype)
    a_, b_, x_ = numbers_of(a), numbers_of(b), numbers_of(x)
    n, m, parts = b_.shape[0], b_.shape[1], b_.shape[2] - 1
    factors, order = a_[:, :, 0].copy(), np.empty(n, np.intp)
    if a.shape[0] != n:
        raise np.linalg.LinAlgError("Incompatible sizes, cannot solve system.")
    if factor(factors, order) == 0:
        raise np.linalg.LinAlgError("Matrix is singular to machine precision.")
    value = x_[:, :, 0].copy()
    substitute(factors, order, b_[:, :, 0], value)
    right = np.empty((n, m * parts), factors.dtype)
    for i in range(n):
        for c in range(m):
            for k in range(parts):
                s = b_[i, c, 1 + k]
                for j in range(n):
                    s = s - a_[i, j, 1 + k] * value[j, c]
                right[i, c * parts + k] = s
    slopes = np.empty_like(right)
    substitute(factors, order, right, slopes)
    for i in range(n):
        for c in range(m):
            x_[i, c, 0] = value[i, c]
            for k in range(parts):
                x_[i, c, 1 + k] = slopes[i, c * parts + k]
    return x


def _solve(a, b):
    if not duals(a, b):
        return None
    kind = met(a.dtype, b.dtype)
    if b.ndim == 1:

        def of_vector(a, b):
            return solved(held(a, kind), held(b, kind).reshape(b.size, 1)).reshape(b.size)

        return of_vector
    return lambda a, b: solved(held(a, kind), held(b, kind))


def _inv(a):
    if duals(a):
        kind = a.dtype
        return lambda a: solved(held(a, kind), held(np.eye(a.shape[0]), kind))
    return None


def _det(a):
    if duals(a):
        kind = a.dtype

        def determinant(a):
            factors = held(a, kind)
            d = held(np.ones(1), kind)[0] * factor(factors, np.empty(a.shape[0], np.intp))
            for i in range(a.shape[0]):
                d *= factors[i, i]
            return d

        return determinant
    return None


def _slogdet(a):
    if duals(a):
        kind = a.dtype

        def sign_and_logarithm(a):
            factors, logarithm = held(a, kind), held(np.zeros(1), kind)[0]
            sign = factor(factors, np.empty(a.shape[0], np.intp))
            if sign == 0:
                return sign, logarithm - np.inf
            for i in range(a.shape[0]):
                sign *= np.sign(factors[i, i])
                logarithm += np.log(abs(factors[i, i]))
            return sign, logarithm

        return sign_and_logarithm
    return None


def _cholesky(a):
    if duals(a):

        def lower(a):
            n = a.shape[0]
            if a.shape[1] != n:
                raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square.")
            out = np.zeros((n, n), a.dtype)
            for j in range(n):
                for i in range(j, n):
                    s = a[i, j]
                    for k in range(j):
                        s -= out[i, k] * out[j, k]
                    if i > j:
                        out[i, j] = s / out[j, j]
                    elif s > 0:
                        out[j, j] = np.sqrt(s)
                    else:
                        raise np.linalg.LinAlgError("Matrix is not positive definite.")
            return out

        return lower
    return None


def _matrix_power(a, n):
    if duals(a) and isinstance(n, types.Integer):

        def power(a, n):
            base = np.linalg.inv(a) if n < 0 else a
            out = held(np.eye(a.shape[0]), a.dtype)
            for _ in range(abs(n)):
                out = out @ base
            return out

        return power
    return None


def _eigh(a):
    if not duals(a):
        return None

    def decomposed(a):
        n, a_ = a.shape[0], numbers_of(a)
        w, v = np.linalg.eigh(a_[:, :, 0].copy())
        values, vectors = np.empty(n, a.dtype), np.empty((n, n), a.dtype)
        values_, vectors_ = numbers_of(values), numbers_of(vectors)
        for i in range(n):
            values_[i, 0], vectors_[:, i, 0] = w[i], v[:, i]
        for k in range(1, a_.shape[2]):
            turned = v.T.copy() @ a_[:, :, k].copy() @ v.copy()
            for i in range(n):
                values_[i, k] = turned[i, i]
                vectors_[:, i, k] = 0 * v[:, i]
                for j in range(n):
                    if j != i and turned[j, i] != 0:
                        vectors_[:, i, k] += v[:, j] * (turned[j, i] / (w[i] - w[j]))
        return values, vectors

    return decomposed


def _eigvalsh(a):
    return (lambda a: np.linalg.eigh(a)[0]) if duals(a) else None


def _lstsq(a, b):
    if not duals(a, b):
        return None
    kind = met(a.dtype, b.dtype)
    if b.ndim == 1:

        def of_vector(a, b):
            x, rest = fitted(held(a, kind), held(b, kind).reshape(b.size, 1))
            return x.reshape(x.size), rest, a.shape[1], None

        return of_vector

    def of_matrix(a, b):
        x, rest = fitted(held(a, kind), held(b, kind))
        return x, rest, a.shape[1], None

    return of_matrix


@register_jitable
def fitted(a, b):
    """Return the solution and the sums of squares that are left, by modified Gram and Schmidt."""
    m, n = a.shape
    if m < n:
        raise np.linalg.LinAlgError("The matrix must not have fewer rows than columns.")
    r, x, rest = np.zeros((n, n), a.dtype), np.empty((n, b.shape[1]), a.dtype), b.copy()
    for j in range(n):
        r[j, j] = np.sqrt(np.dot(a[:, j], a[:, j]))
        if not r[j, j] > 0:
            raise np.linalg.LinAlgError("The matrix must have full rank.")
        a[:, j] = a[:, j] / r[j, j]
        for k in range(j + 1, n):
            r[j, k] = np.dot(a[:, j], a[:, k])
            a[:, k] -= a[:, j] * r[j, k]
        for c in range(b.shape[1]):
            x[j, c] = np.dot(a[:, j], rest[:, c])
            rest[:, c] -= a[:, j] * x[j, c]
    for j in range(n - 1, -1, -1):
        for c in range(b.shape[1]):
            for k in range(j + 1, n):
                x[j, c] -= r[j, k] * x[k, c]
            x[j, c] = x[j, c] / r[j, j]
    return x, (rest * rest).sum(axis=0)


FUNCTIONS: dict[Callable, Callable] = {
    np.linalg.solve: _solve,
    np.linalg.inv: _inv,
    np.linalg.det: _det,
    np.linalg.slogdet: _slogdet,
    np.linalg.cholesky: _cholesky,
    np.linalg.lstsq: _lstsq,
    np.linalg.eigh: _eigh,
    np.linalg.eigvalsh: _eigvalsh,
    np.linalg.matrix_power: _matrix_power,
}
overload_first(FUNCTIONS)
