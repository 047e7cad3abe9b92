"""Arrays of dual numbers: which ones are, their elements, and copies for elements of another type."""

import numpy as np
from numba import types
from numba.extending import intrinsic, overload, register_jitable

from .dual import Dual, met, real


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
