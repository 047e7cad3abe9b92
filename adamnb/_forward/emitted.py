"""The arithmetic of dual numbers, computed with when code is generated: each operation emits instructions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Real:
    """A float: the LLVM value `code`."""

    builder: Any
    code: Any
    depth = 0

    def _of(self, code):
        return Real(self.builder, code)

    def __add__(self, other):
        return (
            self._of(self.builder.fadd(self.code, other.code))
            if not other.depth
            else NotImplemented
        )

    def __sub__(self, other):
        return (
            self._of(self.builder.fsub(self.code, other.code))
            if not other.depth
            else NotImplemented
        )

    def __mul__(self, other):
        return (
            self._of(self.builder.fmul(self.code, other.code))
            if not other.depth
            else NotImplemented
        )

    def __truediv__(self, other):
        return (
            self._of(self.builder.fdiv(self.code, other.code))
            if not other.depth
            else NotImplemented
        )

    def __neg__(self):
        return self._of(self.builder.fneg(self.code))

    def inverse(self):
        return self._of(self.builder.fdiv(self.code.type(1.0), self.code))

    def scaled(self, part):
        """Return the product with a part, 0 if that is 0 even where this number is infinite or NaN."""
        zero, builder = self.code.type(0.0), self.builder
        none = builder.fcmp_ordered("==", part.code, zero)
        return self._of(builder.select(none, zero, builder.fmul(self.code, part.code)))


@dataclass(frozen=True)
class Derived:
    """A dual number: value and parts are `Real` or themselves `Derived`."""

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
