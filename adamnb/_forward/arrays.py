"""Sums, products and the like of arrays of dual numbers; expressions of arrays are Numba's own loops."""

import operator
from collections.abc import Callable

import numpy as np
from numba import types
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, signature
from numba.core.utils import pysignature
from numba.extending import intrinsic, lower_builtin, overload, register_jitable
from numba.np.numpy_support import as_dtype, from_dtype

from .dual import NUMBERS, Dual, element, met, real, with_dtype
from .preferred import overload_first

TRAPEZOID = getattr(np, "trapezoid", None) or getattr(np, "trapz")  # noqa: B009, before NumPy 2


def duals(*arrays):
    """Return whether these are arrays of numbers and there are dual numbers in one."""
    return all(isinstance(array, types.Array) for array in arrays) and (
        met(*(array.dtype for array in arrays)) is not None
    )


@intrinsic
def as_element(typingctx, array, value):
    """Return a number as an array, or a type, has it."""
    kind = array.instance_type if isinstance(array, types.TypeRef) else array.dtype

    def codegen(context, builder, signature, arguments):
        return context.cast(builder, arguments[1], signature.args[1], kind)

    return kind(array, value), codegen


@register_jitable
def held(a, kind):
    """Return a copy of an array whose elements are of another type."""
    out = np.empty(a.shape, kind)
    for i in range(a.size):
        out.flat[i] = as_element(kind, a.flat[i])
    return out


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


def _mean(a):
    return (lambda a: np.sum(a) / a.size) if duals(a) else None


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


def _median(a):
    if duals(a):

        def middle(a):
            ordered = np.sort(a.flatten())
            return (ordered[(a.size - 1) // 2] + ordered[a.size // 2]) / 2

        return middle
    return None


def _average(a):
    return (lambda a: np.mean(a)) if duals(a) else None


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


def _linspace(start, stop, num=50):
    kind = met(start, stop)
    if kind is None:
        return None

    def points(start, stop, num=50):
        out = np.empty(num, kind)
        for i in range(num):
            out[i] = start + (stop - start) * (i / max(num - 1, 1))
        if num > 1:
            out[num - 1] = stop
        return out

    return points


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


def _append(arr, values):
    kind = met(element(arr), element(values))
    if kind is None:
        return None
    return lambda arr, values: np.concatenate((listed(arr, kind), listed(values, kind)))


def listed(a, kind):
    """Return a vector with the elements of an array, or with a number."""


@overload(listed)
def _listed(a, kind):
    if isinstance(a, types.Array):
        return lambda a, kind: held(a, kind).flatten()
    return lambda a, kind: np.full(1, as_element(kind, a))


def _divmod(x, y):
    return (lambda x, y: (x // y, x % y)) if met(x, y) is not None else None


def _isclose(a, b, rtol=1e-05, atol=1e-08):
    if met(a, b) is not None:
        return lambda a, b, rtol=1e-05, atol=1e-08: bool(
            a == b or (abs(a - b) <= atol + rtol * abs(b) and np.isfinite(b))
        )
    return None


def _max(a):
    return (lambda a: a.flat[np.argmax(a)]) if duals(a) else None


def _min(a):
    return (lambda a: a.flat[np.argmin(a)]) if duals(a) else None


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


def _diff(a):
    return (lambda a: a[1:] - a[:-1]) if duals(a) and a.ndim == 1 else None


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


def _clip(a, a_min, a_max):
    kinds = map(element, (a, a_min, a_max))
    if met(*kinds) is not None:
        return lambda a, a_min, a_max: np.minimum(np.maximum(a, a_min), a_max)
    return None


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


def _searchsorted(a, v, side="left"):
    if not isinstance(a, types.Array) or not (duals(a) or isinstance(v, Dual) or duals(v)):
        return None
    if isinstance(v, types.Array):
        return lambda a, v, side="left": np.searchsorted(plain(a), plain(v), side)
    return lambda a, v, side="left": np.searchsorted(plain(a), plain(v), side)


@intrinsic
def plain_number(typingctx, number):
    """Return the value of a dual number, and any other number as it is."""

    def codegen(context, builder, signature, arguments):
        kind, value = number, arguments[0]
        while isinstance(kind, Dual):
            kind, value = kind.dtype, builder.extract_value(value, 0)
        return value

    return real(number)(number), codegen


def plain(numbers):
    """Return the values of a dual number or an array of them; floats as they are."""


@overload(plain)
def _plain(numbers):
    if not isinstance(numbers, types.Array):
        return lambda numbers: plain_number(numbers)
    if not duals(numbers):
        return lambda numbers: numbers
    kind = real(numbers.dtype)

    def values(numbers):
        out = np.empty(numbers.shape, kind)
        for i in range(numbers.size):
            out.flat[i] = plain_number(numbers.flat[i])
        return out

    return values


def _round(a, decimals=0):
    return (lambda a, decimals=0: np.round(plain(a), decimals)) if isinstance(a, Dual) else None


def _trapezoid(y, x):
    if duals(y, x) and y.ndim == x.ndim == 1:
        return lambda y, x: np.sum((x[1:] - x[:-1]) * (y[1:] + y[:-1])) / 2
    return None


def _trace(a):
    return (lambda a: np.sum(np.diag(a))) if duals(a) and a.ndim == 2 else None


def array(sequence, dtype=None):
    """Stand for `np.array`, which Numba rewrites where its argument is a list."""
    return np.array(sequence, dtype)


def _either_array(sequence, dtype=None):
    kind = _kind_of_array(sequence, dtype)
    if kind is not None:
        make = _maker(sequence)
        return lambda sequence, dtype=None: make(sequence, kind)
    if isinstance(dtype, types.NoneType | types.Omitted) or dtype is None:
        return lambda sequence, dtype=None: np.array(sequence)
    return lambda sequence, dtype=None: np.array(sequence, dtype)


def _array(sequence):
    kind = _kind_of_array(sequence, None)
    if kind is None:
        return None
    make = _maker(sequence)
    return lambda sequence: make(sequence, kind)


def _kind_of_array(sequence, dtype):
    """Return the type of an array's elements from nested sequences; None where Numba does as well."""
    kinds = _elements(sequence)
    if not kinds:
        return None
    if isinstance(dtype, types.TypeRef):
        return met(*kinds, dtype.instance_type)
    if met(*kinds) is None and _is_matrix_of_tuples(
        sequence
    ):  # as `lifted.py` makes them from lists
        return from_dtype(np.result_type(*map(as_dtype, map(types.unliteral, kinds))))
    return met(*kinds)


def _is_matrix_of_tuples(sequence):
    return isinstance(sequence, types.BaseTuple) and isinstance(sequence[0], types.BaseTuple)


def _maker(sequence):
    """Return the function ``(sequence, kind)`` that makes the array: both say what is compiled."""
    if isinstance(sequence, types.BaseTuple):
        return matrix_of_tuples if _is_matrix_of_tuples(sequence) else vector_of_tuple
    return vector if isinstance(sequence.dtype, NUMBERS | Dual) else matrix


@register_jitable
def vector(sequence, kind):
    out = np.empty(len(sequence), kind)
    for i in range(len(sequence)):
        out[i] = sequence[i]
    return out


@register_jitable
def vector_of_tuple(sequence, kind):
    return vector(uniform(sequence, kind), kind)


@register_jitable
def matrix(sequence, kind):
    out = np.empty((len(sequence), len(sequence[0])), kind)
    for i in range(len(sequence)):
        for j in range(out.shape[1]):
            out[i, j] = sequence[i][j]
    return out


@register_jitable
def matrix_of_tuples(sequence, kind):
    return matrix(uniform(sequence, kind), kind)


@intrinsic
def uniform(typingctx, numbers, kind):
    """Return nested tuples of different numbers as tuples of numbers of one type."""

    def result(given):
        if not isinstance(given, types.BaseTuple):
            return kind.instance_type if hasattr(kind, "instance_type") else kind.dtype
        return types.UniTuple(result(given[0]), len(given))

    def cast(context, builder, given, value):
        if not isinstance(given, types.BaseTuple):
            return context.cast(builder, value, given, result(given))
        parts = [
            cast(context, builder, one, builder.extract_value(value, i))
            for i, one in enumerate(given)
        ]
        return context.make_tuple(builder, result(given), parts)

    def codegen(context, builder, signature, arguments):
        return cast(context, builder, numbers, arguments[0])

    return result(numbers)(numbers, kind), codegen


def _elements(sequence):
    """Return the types of all numbers in nested sequences, None if there is anything else in them."""
    if isinstance(sequence, types.BaseTuple):
        parts = list(map(_elements, sequence))
        return None if None in parts else [kind for part in parts for kind in part]
    if isinstance(sequence, types.List | types.ListType):
        return _elements(sequence.dtype)
    return [sequence] if isinstance(sequence, NUMBERS | Dual) else None


def at(operand, i):
    """Return element i of an array, or a number as it is."""


@overload(at)
def _at(operand, i):
    if isinstance(operand, types.Array):
        return lambda operand, i: operand.flat[i]
    return lambda operand, i: operand


def refuse_shapes(a, b):
    """Raise unless b is a number or an array of the shape of a."""


@overload(refuse_shapes)
def _refuse_shapes(a, b):
    if not isinstance(b, types.Array):
        return lambda a, b: None

    def refuse(a, b):
        if a.shape != b.shape:
            raise ValueError("arrays of the same shape are needed where some depend on x")

    return refuse


def _iadd(a, b):
    if duals(a):

        def added(a, b):
            refuse_shapes(a, b)
            for i in range(a.size):
                a.flat[i] = a.flat[i] + at(b, i)
            return a

        return added
    return None


def _isub(a, b):
    if duals(a):

        def subtracted(a, b):
            refuse_shapes(a, b)
            for i in range(a.size):
                a.flat[i] = a.flat[i] - at(b, i)
            return a

        return subtracted
    return None


def _imul(a, b):
    if duals(a):

        def multiplied(a, b):
            refuse_shapes(a, b)
            for i in range(a.size):
                a.flat[i] = a.flat[i] * at(b, i)
            return a

        return multiplied
    return None


def _ipow(a, b):
    if duals(a):

        def raised(a, b):
            refuse_shapes(a, b)
            for i in range(a.size):
                a.flat[i] = a.flat[i] ** at(b, i)
            return a

        return raised
    return None


def _itruediv(a, b):
    if duals(a):

        def divided(a, b):
            refuse_shapes(a, b)
            for i in range(a.size):
                a.flat[i] = a.flat[i] / at(b, i)
            return a

        return divided
    return None


FUNCTIONS: dict[Callable, Callable] = {
    np.sum: _sum,
    np.prod: _prod,
    np.mean: _mean,
    np.var: _var,
    np.std: _std,
    np.cumsum: _cumsum,
    np.cumprod: _cumprod,
    np.median: _median,
    np.average: _average,
    np.nansum: _nansum,
    np.nanmean: _nanmean,
    np.convolve: _convolve,
    np.linspace: _linspace,
    np.vander: _vander,
    np.append: _append,
    np.isclose: _isclose,
    divmod: _divmod,
    np.argmax: _argmax,
    np.argmin: _argmin,
    np.max: _max,
    np.min: _min,
    np.diff: _diff,
    np.dot: _dot,
    operator.matmul: _dot,
    np.linalg.norm: _norm,
    np.clip: _clip,
    np.where: _where,
    np.trace: _trace,
    np.asarray: _array,
    array: _either_array,
    operator.iadd: _iadd,
    operator.isub: _isub,
    operator.imul: _imul,
    operator.itruediv: _itruediv,
    operator.ipow: _ipow,
    np.interp: _interp,
    np.searchsorted: _searchsorted,
    np.round: _round,
    np.around: _round,
    TRAPEZOID: _trapezoid,
    np.vdot: _dot,
}
METHODS = (
    np.sum,
    np.prod,
    np.mean,
    np.var,
    np.std,
    np.cumsum,
    np.cumprod,
    np.argmax,
    np.argmin,
    np.max,
    np.min,
    np.dot,
)


NO_AXIS, AXIS = pysignature(lambda: None), pysignature(lambda axis: None)


class Methods(AttributeTemplate):
    """The same functions as methods of arrays."""

    key = types.Array

    def resolve_astype(self, array):
        return types.BoundFunction(AsType, array) if duals(array) else None


def sum_along(a, axis):
    return np.sum(a, axis)


def _method(function):
    class Method(AbstractTemplate):
        key = "duals", function.__name__

        def generic(self, args, kws):
            """`axis` is the only argument that may have its name."""
            args = (*args, *kws.values())
            if [*kws] not in ([], ["axis"]) or len(args) > 1:
                return None
            call = self.context.resolve_function_type(function, (self.this, *args), {})
            return call and signature(call.return_type, *args, recvr=self.this).replace(
                pysig=NO_AXIS if not args else AXIS
            )

    @lower_builtin(Method.key, types.Array)
    @lower_builtin(Method.key, types.Array, types.Any)
    def lower(context, builder, sig, args):
        if function is np.sum and len(args) > 1:
            return context.compile_internal(builder, sum_along, sig, args)
        kind = context.typing_context.resolve_value_type(function)
        inner = context.typing_context.resolve_function_type(kind, sig.args, {})
        call = context.get_function(kind, inner)
        context.add_linking_libs(getattr(call, "libs", ()))
        return call(builder, args)

    return lambda self, array: types.BoundFunction(Method, array) if duals(array) else None


class AsType(AbstractTemplate):
    """To floats of another size; not to integers, which have no derivatives."""

    key = "duals", "astype"

    def generic(self, args, kws):
        kind = getattr(args[0], "dtype", None) if len(args) == 1 and not kws else None
        if not isinstance(kind, types.Float):
            return None
        array = types.Array(with_dtype(self.this.dtype, kind), self.this.ndim, "C")
        return signature(array, *args, recvr=self.this)


@lower_builtin(AsType.key, types.Array, types.Any)
def _as_type(context, builder, sig, args):
    kind = types.TypeRef(sig.return_type.dtype)
    inner = sig.return_type(sig.args[0], kind)
    return context.compile_internal(
        builder, lambda a, kind: held(a, kind), inner, [args[0], context.get_dummy_value()]
    )


for function in METHODS:
    setattr(Methods, f"resolve_{function.__name__}", _method(function))
overload_first(FUNCTIONS)
cpu_target.typing_context._attributes[types.Array].insert(0, Methods(cpu_target.typing_context))
