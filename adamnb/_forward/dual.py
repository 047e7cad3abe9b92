"""Dual numbers as a type of Numba: a value and its derivatives with respect to a few variables.

The value and each part are numbers of one type: floats, or dual numbers again for second derivatives. A
float among dual numbers has derivatives of zero, which nothing is computed with.
"""

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.typeconv import Conversion
from numba.extending import lower_cast, models, register_model
from numba.np.numpy_support import as_dtype, from_dtype

from .emitted import Derived, Real
from .stamp import STAMP

NUMBERS = types.Float | types.Integer | types.Boolean


class Dual(types.Type):
    """A number of type `dtype` with `parts` derivatives of that type."""

    def __init__(self, dtype: types.Type, parts: int) -> None:
        self.dtype, self.parts = dtype, parts
        super().__init__(f"Dual({dtype}, {parts})")

    is_internal = True  # of Numba's own types, whose operations on arrays become one loop

    @property
    def key(self):
        return self.dtype, self.parts, STAMP

    def unify(self, context, other):
        return met(self, other)

    def can_convert_from(self, context, other):
        if isinstance(other, Dual | NUMBERS) and met(self, other) == self:
            return Conversion.safe
        if isinstance(other, NUMBERS):  # as a float64 becomes a float32 in an array
            return Conversion.unsafe
        return None


@register_model(Dual)
class _DualModel(models.StructModel):
    def __init__(self, manager, kind):
        parts = types.UniTuple(kind.dtype, kind.parts)
        super().__init__(manager, kind, [("value", kind.dtype), ("parts", parts)])


def depth(kind):
    """Return how many times over derivatives are taken in a number of this type."""
    return 1 + depth(kind.dtype) if isinstance(kind, Dual) else 0


def with_dtype(kind, dtype):
    """Return the type of a dual number as deep as `kind` with floats of another type."""
    return Dual(with_dtype(kind.dtype, dtype), kind.parts) if isinstance(kind, Dual) else dtype


def real(kind):
    """Return the type of the floats in a number of this type."""
    return real(kind.dtype) if isinstance(kind, Dual) else kind


def met(*kinds):
    """Return the type of a result of these numbers, None if there is no dual number among them.

    The shallower number is a constant of the deeper one; floats meet as they do in Numba.
    """
    kinds = tuple(map(types.unliteral, kinds))
    if not all(isinstance(kind, Dual | NUMBERS) for kind in kinds):
        return None
    deepest = max(kinds, key=depth)
    if not isinstance(deepest, Dual):
        return None
    dtype = from_dtype(np.result_type(*[as_dtype(real(kind)) for kind in kinds]))
    return with_dtype(deepest, dtype)


def element(kind):
    """Return the type of the elements of an array, and a number's own type."""
    return kind.dtype if isinstance(kind, types.Array) else kind


def has_duals(kind):
    """Return whether a value of this type is or holds dual numbers."""
    if isinstance(kind, types.BaseTuple):
        return any(map(has_duals, kind))
    if isinstance(kind, types.Array | types.List | types.ListType):
        return has_duals(kind.dtype)
    return isinstance(kind, Dual)


def emitted(context, builder, kind, value):
    """Return a number of compiled code as one that Python computes with."""
    if not isinstance(kind, Dual):
        return Real(builder, value)
    places = [0, *((1, i) for i in range(kind.parts))]
    first, *parts = (
        emitted(context, builder, kind.dtype, builder.extract_value(value, place))
        for place in places
    )
    return Derived(first, parts)


def compiled(context, builder, kind, number):
    """Return a number as compiled code has one of type `kind`, which may be a deeper one."""
    if not isinstance(kind, Dual):
        return number.code
    value, parts = number, [Real(builder, context.get_constant(real(kind), 0.0))] * kind.parts
    if number.depth == depth(kind):
        value, parts = number.value, number.parts
    dual = cgutils.create_struct_proxy(kind)(context, builder)
    dual.value = compiled(context, builder, kind.dtype, value)
    dual.parts = context.make_tuple(
        builder,
        types.UniTuple(kind.dtype, kind.parts),
        [compiled(context, builder, kind.dtype, part) for part in parts],
    )
    return dual._getvalue()


@lower_cast(types.Float, Dual)
@lower_cast(types.Integer, Dual)
@lower_cast(types.Boolean, Dual)
def _cast_number(context, builder, given, wanted, value):
    value = context.cast(builder, value, given, real(wanted))
    return compiled(context, builder, wanted, Real(builder, value))


@lower_cast(Dual, Dual)
def _cast_dual(context, builder, given, wanted, value):
    def cast(number):
        if isinstance(number, Derived):
            return Derived(cast(number.value), [cast(part) for part in number.parts])
        return Real(builder, context.cast(builder, number.code, real(given), real(wanted)))

    return compiled(context, builder, wanted, cast(emitted(context, builder, given, value)))
