"""Arrays of dual numbers that are changed where they are: ``a += b`` and the like."""

import operator
from collections.abc import Callable

from .arrays import at, duals, refuse_shapes
from .preferred import overload_first

OPERATIONS: dict[Callable, Callable] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    operator.ipow: operator.pow,
}


def _in_place(operation):
    def changed(a, b):
        refuse_shapes(a, b)
        for i in range(a.size):
            a.flat[i] = operation(a.flat[i], at(b, i))
        return a

    changed.__qualname__ = f"in_place_{operation.__name__}"  # each compiled under a name of its own
    return lambda a, b: changed if duals(a) else None


overload_first({name: _in_place(operation) for name, operation in OPERATIONS.items()})
