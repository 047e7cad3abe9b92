"""Vectors of dual numbers from vectors of numbers, and derivatives out of dual numbers."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic, overload
from numba.np.arrayobj import populate_array

from .dual import NUMBERS, Dual, compiled, emitted, real
from .emitted import Derived, Real
from .lifted import lifted
from .refusals import START

ON_STACK = 32  # dual numbers of x
LINE = 64  # bytes of the cache: else a process in three, by its stack, is slower by a third


def is_vector(kind):
    """Return whether a type is that of a vector that derivatives can be taken with respect to."""
    return (
        isinstance(kind, types.Array)
        and kind.ndim == 1
        and isinstance(real(kind.dtype), types.Float)
    )


@intrinsic
def with_lifted(typingctx, arguments):
    """Return the further arguments of a function with the lifted ones of Numba functions among them."""

    def kind_of(given):
        if isinstance(given, types.BaseTuple) and not isinstance(given, types.BaseNamedTuple):
            return types.Tuple(tuple(map(kind_of, given)))
        function = given.dispatcher if isinstance(given, types.Dispatcher) else None
        return types.Dispatcher(lifted(function)) if isinstance(function, CPUDispatcher) else given

    result = kind_of(arguments)

    def codegen(context, builder, signature, values):
        if context.enable_nrt:
            context.nrt.incref(builder, arguments, values[0])
        return values[0]  # functions have no value

    return result(arguments), codegen


@intrinsic(prefer_literal=True)
def room(typingctx, x, parts, most):
    """Return a vector as long as x of dual numbers, on the caller's stack, which holds `most` of them."""
    if not is_vector(x):
        raise TypingError(f"{START} `x` must be a vector of floats; got {x}.")
    kind = types.Array(Dual(x.dtype, parts.literal_value), 1, "C")

    def codegen(context, builder, signature, arguments):
        number = context.get_data_type(kind.dtype)
        place = cgutils.alloca_once(builder, number, size=most.literal_value)
        place.align = LINE
        size = context.get_constant(types.intp, context.get_abi_sizeof(number))
        count = context.make_array(x)(context, builder, arguments[0]).nitems
        array = context.make_array(kind)(context, builder)
        populate_array(array, place, [count], [size], size, None)
        return array._getvalue()

    return kind(x, parts, most), codegen


@intrinsic(prefer_literal=True)
def seeded(typingctx, value, variable, parts):
    """Return a dual number whose part number `variable`, if there is one, is 1 and each other one 0."""
    kind = Dual(value, parts.literal_value)

    def codegen(context, builder, signature, arguments):
        one, zero = (ir.Constant(context.get_value_type(real(kind)), n) for n in (1.0, 0.0))
        places = ir.Constant(ir.VectorType(arguments[1].type, kind.parts), [*range(kind.parts)])
        variable = Real(builder, arguments[1]).like(places.type)
        here = builder.icmp_signed("==", variable, places)
        ones, zeros = (
            ir.Constant(ir.VectorType(n.type, kind.parts), [n] * kind.parts) for n in (one, zero)
        )
        seeds = Real(builder, builder.select(here, ones, zeros))
        number = emitted(context, builder, kind.dtype, arguments[0])
        if not isinstance(kind.dtype, Dual):
            return compiled(context, builder, kind, Derived(number, [seeds]))
        codes = [compiled(context, builder, kind.dtype, seed) for seed in seeds.elements()]
        inner = [emitted(context, builder, kind.dtype, code) for code in codes]
        return compiled(context, builder, kind, Derived(number, inner))

    return kind(value, types.intp, parts), codegen


@intrinsic
def value_of(typingctx, number):
    """Return the value of a dual number, and any other number as a float."""
    if isinstance(number, Dual):
        return number.dtype(
            number
        ), lambda context, builder, signature, arguments: builder.extract_value(arguments[0], 0)
    if not isinstance(number, NUMBERS):
        raise TypingError(f"{START} the function must return a number; it returns {number}.")
    kind = number if isinstance(number, types.Float) else types.float64
    return kind(number), lambda context, builder, signature, arguments: context.cast(
        builder, arguments[0], number, kind
    )


@intrinsic
def parts_of(typingctx, number, like):
    """Return the parts of a dual number as a tuple, zeros for another number.

    `like` is an array of dual numbers with as many parts.
    """
    if isinstance(number, Dual):
        kind = types.UniTuple(number.dtype, number.parts)

        def taken(context, builder, signature, arguments):
            parts = builder.extract_value(arguments[0], 1)
            if isinstance(number.dtype, Dual):
                return parts
            elements = [element.code for element in Real(builder, parts).elements()]
            return context.make_tuple(builder, kind, elements)

        return kind(number, like), taken
    kind = types.UniTuple(like.dtype.dtype, like.dtype.parts)

    def codegen(context, builder, signature, arguments):
        return context.get_constant_null(kind)

    return kind(number, like), codegen


def vector_of(result):
    """Return what a vector-valued function returned as an array."""


@overload(vector_of)
def _vector_of(result):
    if isinstance(result, types.Array) and result.ndim == 1:
        return lambda result: result
    if isinstance(result, types.BaseTuple | types.List):
        return lambda result: np.asarray(result)
    raise TypingError(
        f"{START} the function must return a vector or a tuple of numbers; it returns {result}."
    )
