"""What the language has no words for: casts, bits, arrays that do not overlap."""

from llvmlite import ir
from numba import types
from numba.core.cpu import CPUContext
from numba.extending import intrinsic, lower_builtin, type_callable


@intrinsic
def cast_to(typingctx, numbers, array):
    """Return a named tuple of numbers in the dtype of `array`; None stays None."""
    if isinstance(numbers, types.NoneType):
        return numbers(numbers, array), lambda context, *_: context.get_dummy_value()
    result = types.NamedUniTuple(array.dtype, len(numbers), numbers.instance_class)

    def codegen(context, builder, signature, arguments):
        parts = [
            context.cast(builder, builder.extract_value(arguments[0], i), kind, array.dtype)
            for i, kind in enumerate(numbers)
        ]
        return context.make_tuple(builder, result, parts)

    return result(numbers, array), codegen


@intrinsic
def bits_of(typingctx, number):
    """Return the bits of a float as an integer."""
    width = number.bitwidth

    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(width))

    return types.Integer.from_bitwidth(width)(number), codegen


@intrinsic
def float_of(typingctx, bits):
    """Return the float64 of these bits."""

    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), codegen


def disjoint():
    """Tell the compiler that no two arrays which the calling function is given overlap.

    Without that, loops compare all addresses before the first element, and vectorise only where there
    are so many elements that it pays.
    """


@type_callable(disjoint)
def _type_disjoint(context):
    return lambda: types.none


@lower_builtin(disjoint)
def _lower_disjoint(context, builder, signature, arguments):
    if isinstance(context, CPUContext):  # a GPU's thread has few elements and no registers to spare
        for argument in builder.function.args:
            if argument.type.is_pointer:
                argument.add_attribute("noalias")
    return context.get_dummy_value()
