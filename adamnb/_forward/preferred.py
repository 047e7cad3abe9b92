"""What is tried before Numba's own, which knows nothing of dual numbers."""

from collections.abc import Callable
from typing import Any

from numba import types
from numba.core.registry import cpu_target
from numba.extending import overload

_known: dict[Callable, Callable] = {}


def prefer(implementations: dict[Callable, Callable]) -> None:
    """Try for each function its implementation here, a template or an overload, before all others."""
    _known.update(implementations)
    _prefer(implementations, cpu_target.typing_context)


def prefer_known(context: Any) -> None:
    """Do the same for another target, which has a context of its own."""
    _prefer(_known, context)


def _prefer(implementations: dict[Callable, Callable], context: Any) -> None:
    context.refresh()
    for function, implementation in implementations.items():

        def is_other(template, implementation=implementation):
            return implementation not in (template, getattr(template, "_overload_func", None))

        known = sorted(context._lookup_global(function).templates, key=is_other)
        context._remove_global(function)
        context._insert_global(function, types.Function(tuple(known)))


def overload_first(implementations: dict[Callable, Callable]) -> None:
    """Give Numba overloads of functions, which are tried before all others."""
    for function, implementation in implementations.items():
        overload(function, jit_options={"error_model": "numpy"})(implementation)
    prefer(implementations)
