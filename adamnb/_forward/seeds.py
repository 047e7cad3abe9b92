"""Vectors of dual numbers from vectors of numbers, and derivatives out of dual numbers."""

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic, overload
from numba.np.arrayobj import populate_array

from .dual import NUMBERS, Dual, compiled, emitted, real
from .emitted import Derived, Real, vector
from .lifted import lifted
from .refusals import START

ON_STACK = 32  # dual numbers of x


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
    """Return a vector as long as x of dual numbers, on the caller's stack if there are no more than `most`.

    More have memory of their own, but on a GPU, where code cannot have any.
    """
    if not is_vector(x):
        raise TypingError(f"{START} `x` must be a vector of floats; got {x}.")
    kind, near = types.Array(Dual(x.dtype, parts.literal_value), 1, "C"), most.literal_value

    def enough(x, stack):
        return stack if x.size <= near else np.empty(x.size, stack.dtype)

    def codegen(context, builder, signature, arguments):
        number = context.get_data_type(kind.dtype)
        place = cgutils.alloca_once(builder, number, size=near)
        size = context.get_constant(types.intp, context.get_abi_sizeof(number))
        count = context.make_array(x)(context, builder, arguments[0]).nitems
        stack = context.make_array(kind)(context, builder)
        populate_array(stack, place, [count], [size], size, None)
        if not context.enable_nrt:
            return stack._getvalue()
        both = arguments[0], stack._getvalue()
        return context.compile_internal(builder, enough, kind(x, kind), both)

    return kind(x, parts, most), codegen


@intrinsic(prefer_literal=True)
def seeded(typingctx, value, variable, parts):
    """Return a dual number whose part number `variable`, if there is one, is 1 and each other one 0."""
    kind = Dual(value, parts.literal_value)

    def codegen(context, builder, signature, arguments):
        one, zero = (context.get_constant(real(kind), number) for number in (1.0, 0.0))

        def chosen(i):
            here = builder.icmp_signed("==", arguments[1], context.get_constant(types.intp, i))
            return Real(builder, builder.select(here, one, zero))

        number = emitted(context, builder, kind.dtype, arguments[0])
        seeds = [chosen(i) for i in range(kind.parts)]
        if not isinstance(kind.dtype, Dual):
            return compiled(context, builder, kind, Derived(number, [vector(seeds)]))
        codes = [compiled(context, builder, kind.dtype, seed) for seed in seeds]
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
