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

from .dual import NUMBERS, Dual, met, real
from .preferred import prefer

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
    kinds = [kind.dtype if isinstance(kind, types.Array) else kind for kind in (a, a_min, a_max)]
    if met(*kinds) is not None:
        return lambda a, a_min, a_max: np.minimum(np.maximum(a, a_min), a_max)
    return None


def _where(condition, x, y):
    kinds = [kind.dtype if isinstance(kind, types.Array) else kind for kind in (x, y)]
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
    kinds = [kind.dtype if isinstance(kind, types.Array) else kind for kind in (x, xp, fp)]
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
    if isinstance(a, types.Array) and isinstance(v, Dual):
        return lambda a, v, side="left": np.searchsorted(a, plain(v), side)
    return None


@intrinsic
def plain(typingctx, number):
    """Return the value of a dual number as a float."""

    def codegen(context, builder, signature, arguments):
        kind, value = number, arguments[0]
        while isinstance(kind, Dual):
            kind, value = kind.dtype, builder.extract_value(value, 0)
        return value

    return real(number)(number), codegen


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


for function, implementation in FUNCTIONS.items():
    overload(function, jit_options={"error_model": "numpy"})(implementation)
for function in METHODS:
    setattr(Methods, f"resolve_{function.__name__}", _method(function))
prefer(FUNCTIONS)
cpu_target.typing_context._attributes[types.Array].insert(0, Methods(cpu_target.typing_context))
