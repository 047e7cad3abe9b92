"""Dual numbers as a type of Numba: a value and its derivatives with respect to a few variables.

The value and each part are numbers of one type: floats, or dual numbers again for second derivatives. A
float among dual numbers has derivatives of zero, which nothing is computed with.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typeconv import Conversion
from numba.extending import lower_cast, models, register_model
from numba.np.numpy_support import as_dtype, from_dtype

from .emitted import Derived, Real, vector
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
        same = isinstance(other, Dual) and with_dtype(other, real(self)) == self
        if same or isinstance(other, NUMBERS):  # as a float64 becomes a float32 in an array
            return Conversion.unsafe
        return None


class Floats(types.Type):
    """The parts of a number whose parts are floats: a vector register, in memory an array."""

    def __init__(self, dtype: types.Type, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(f"Floats({dtype}, {count})")


@register_model(Floats)
class _FloatsModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        self.element = manager.lookup(kind.dtype).get_value_type()
        self.alignment = kind.dtype.bitwidth // 8
        super().__init__(manager, kind, ir.VectorType(self.element, kind.count))

    def get_data_type(self):
        return ir.ArrayType(self.element, self.be_type.count)

    def as_data(self, builder, value):
        data = ir.Constant(self.get_data_type(), ir.Undefined)
        for i, number in enumerate(Real(builder, value).elements()):
            data = builder.insert_value(data, number.code, i)
        return data

    def from_data(self, builder, value):
        places = range(self.be_type.count)
        return vector([Real(builder, builder.extract_value(value, i)) for i in places]).code

    def load_from_data_pointer(self, builder, ptr, align=None):
        """Load all at once: LLVM does not always make that of one element after the other."""
        place = builder.bitcast(ptr, self.be_type.as_pointer())
        return builder.load(place, align=align or self.alignment)


@register_model(Dual)
class _DualModel(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("value", kind.dtype), ("parts", parts_type(kind))])


def parts_type(kind):
    """Return the type of all parts of a dual number together."""
    several = types.UniTuple if isinstance(kind.dtype, Dual) else Floats
    return several(kind.dtype, kind.parts)


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


def emitted(context, builder, kind, code):
    """Return a number of compiled code as one that Python computes with."""
    if not isinstance(kind, Dual):
        return Real(builder, code)
    value = emitted(context, builder, kind.dtype, builder.extract_value(code, 0))
    parts = builder.extract_value(code, 1)
    if not isinstance(kind.dtype, Dual):
        return Derived(value, [Real(builder, parts)])
    places = range(kind.parts)
    return Derived(
        value,
        [emitted(context, builder, kind.dtype, builder.extract_value(parts, i)) for i in places],
    )


def compiled(context, builder, kind, number):
    """Return a number as compiled code has one of type `kind`, which may be a deeper one."""
    if not isinstance(kind, Dual):
        return number.code
    value, parts = number, context.get_constant_null(parts_type(kind))
    if number.depth == depth(kind):
        value, codes = (
            number.value,
            [compiled(context, builder, kind.dtype, p) for p in number.parts],
        )
        nested = isinstance(kind.dtype, Dual)
        parts = context.make_tuple(builder, parts_type(kind), codes) if nested else codes[0]
    dual = cgutils.create_struct_proxy(kind)(context, builder)
    dual.value, dual.parts = compiled(context, builder, kind.dtype, value), parts
    return dual._getvalue()


@lower_cast(types.Float, Dual)
@lower_cast(types.Integer, Dual)
@lower_cast(types.Boolean, Dual)
def _cast_number(context, builder, given, wanted, value):
    value = context.cast(builder, value, given, real(wanted))
    return compiled(context, builder, wanted, Real(builder, value))


@lower_cast(Dual, Dual)
def _cast_dual(context, builder, given, wanted, code):
    def cast(number):
        if isinstance(number, Derived):
            return Derived(cast(number.value), [cast(part) for part in number.parts])
        if isinstance(number.code.type, ir.VectorType):
            return vector([cast(element) for element in number.elements()])
        return Real(builder, context.cast(builder, number.code, real(given), real(wanted)))

    return compiled(context, builder, wanted, cast(emitted(context, builder, given, code)))
