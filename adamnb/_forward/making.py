"""Arrays that are made of dual numbers, of sequences of them and of other arrays."""

from collections.abc import Callable

import numpy as np
from numba import types
from numba.extending import intrinsic, overload, register_jitable
from numba.np.numpy_support import as_dtype, from_dtype

from .arrays import as_element, held
from .dual import NUMBERS, Dual, element, met
from .preferred import overload_first


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
    """Return the numbers of a sequence as a vector."""
    out = np.empty(len(sequence), kind)
    for i in range(len(sequence)):
        out[i] = sequence[i]
    return out


@register_jitable
def vector_of_tuple(sequence, kind):
    """Return the numbers of a tuple as a vector."""
    return vector(uniform(sequence, kind), kind)


@register_jitable
def matrix(sequence, kind):
    """Return sequences of numbers as the rows of a matrix."""
    out = np.empty((len(sequence), len(sequence[0])), kind)
    for i in range(len(sequence)):
        for j in range(out.shape[1]):
            out[i, j] = sequence[i][j]
    return out


@register_jitable
def matrix_of_tuples(sequence, kind):
    """Return tuples of numbers as the rows of a matrix."""
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


FUNCTIONS: dict[Callable, Callable] = {
    np.asarray: _array,
    array: _either_array,
    np.linspace: _linspace,
    np.append: _append,
}
overload_first(FUNCTIONS)
