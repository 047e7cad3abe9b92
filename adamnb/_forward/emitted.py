"""The arithmetic of dual numbers, computed with when code is generated: each operation emits instructions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir


@dataclass(frozen=True)
class Real:
    """A float, or a vector of floats, on which the processor computes at once: the LLVM value `code`."""

    builder: Any
    code: Any
    depth = 0

    def _with(self, operation, other):
        if other.depth:
            return NotImplemented
        return Real(self.builder, operation(self.like(other.code.type), other.like(self.code.type)))

    def like(self, kind):
        """Return the code, with the number in all places if `kind` is a type of vectors."""
        code = self.code
        if not isinstance(kind, ir.VectorType) or code.type == kind:
            return code
        places, none = ir.VectorType(ir.IntType(32), kind.count), ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(none, code, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(first, none, ir.Constant(places, [0] * kind.count))

    def __add__(self, other):
        return self._with(self.builder.fadd, other)

    def __sub__(self, other):
        return self._with(self.builder.fsub, other)

    def __mul__(self, other):
        return self._with(self.builder.fmul, other)

    def __truediv__(self, other):
        return self._with(self.builder.fdiv, other)

    def __neg__(self):
        # Not `fneg`, which the compiler for GPUs does not know.
        kind = self.code.type
        zero = [-0.0] * kind.count if isinstance(kind, ir.VectorType) else -0.0
        return Real(self.builder, self.builder.fsub(ir.Constant(kind, zero), self.code))

    def __pos__(self):
        return self

    def inverse(self):
        return Real(self.builder, self.builder.fdiv(self.code.type(1.0), self.code))

    def scaled(self, part):
        """Return the product with a part, 0 if that is 0 even where this number is infinite or NaN."""
        product = (self * part).code
        none = self.builder.fcmp_ordered("==", part.code, ir.Constant(part.code.type, None))
        zero = ir.Constant(product.type, None)
        return Real(self.builder, self.builder.select(none, zero, product))

    def elements(self):
        """Return the numbers of a vector."""
        place = ir.IntType(32)
        return [
            Real(self.builder, self.builder.extract_element(self.code, ir.Constant(place, i)))
            for i in range(self.code.type.count)
        ]


def vector(numbers):
    """Return floats as one vector."""
    builder = numbers[0].builder
    code = ir.Constant(ir.VectorType(numbers[0].code.type, len(numbers)), ir.Undefined)
    for i, number in enumerate(numbers):
        code = builder.insert_element(code, number.code, ir.Constant(ir.IntType(32), i))
    return Real(builder, code)


@dataclass(frozen=True)
class Derived:
    """A dual number: value and parts are `Real` or themselves `Derived`; floats are one vector."""

    value: Any
    parts: list

    @property
    def depth(self):
        return 1 + self.value.depth

    def _deeper(self, other):
        """Return whether the other number is a constant for this one."""
        return self.depth > other.depth

    def __add__(self, other):
        if self._deeper(other):
            return Derived(self.value + other, self.parts)
        return Derived(
            self.value + other.value, [a + b for a, b in zip(self.parts, other.parts, strict=True)]
        )

    def __radd__(self, other):
        return Derived(other + self.value, self.parts)

    def __sub__(self, other):
        if self._deeper(other):
            return Derived(self.value - other, self.parts)
        return Derived(
            self.value - other.value, [a - b for a, b in zip(self.parts, other.parts, strict=True)]
        )

    def __rsub__(self, other):
        return Derived(other - self.value, [-part for part in self.parts])

    def __mul__(self, other):
        if self._deeper(other):
            return Derived(self.value * other, [part * other for part in self.parts])
        a, b = self.value, other.value
        pairs = zip(self.parts, other.parts, strict=True)
        return Derived(a * b, [p * b + q * a for p, q in pairs])

    def __rmul__(self, other):
        return Derived(other * self.value, [other * part for part in self.parts])

    def __truediv__(self, other):
        if self._deeper(other):
            r = other.inverse()
            return Derived(self.value / other, [part * r for part in self.parts])
        q, r = self.value / other.value, other.value.inverse()
        pairs = zip(self.parts, other.parts, strict=True)
        return Derived(q, [(a - b * q) * r for a, b in pairs])

    def __rtruediv__(self, other):
        q = other / self.value
        slope = -(q / self.value)
        return Derived(q, [part * slope for part in self.parts])

    def __neg__(self):
        return Derived(-self.value, [-part for part in self.parts])

    def __pos__(self):
        return self

    def inverse(self):
        r = self.value.inverse()
        slope = -(r * r)
        return Derived(r, [part * slope for part in self.parts])

    def scaled(self, part):
        pairs = zip(self.parts, part.parts, strict=True)
        parts = [a.scaled(part.value) + self.value.scaled(b) for a, b in pairs]
        return Derived(self.value.scaled(part.value), parts)
