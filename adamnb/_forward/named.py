"""Derivatives as Numba functions with the parameters of the user's function, on disk beside it."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, ref

import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl, FunctionCache, NullCache
from numba.core.dispatcher import Dispatcher

from .._compiled.cache import own_name
from .._compiled.views import lend
from .lifted import INNER, Refusing
from .stamp import STAMP

_known: WeakKeyDictionary[Dispatcher, dict[Any, Dispatcher]] = WeakKeyDictionary()


def derivative(make: Callable, function: Any) -> Dispatcher:
    """Return what `make`, of `derivatives.py`, makes of a Numba function; the same one each time."""
    if not isinstance(function, Dispatcher):
        raise TypeError(
            f"`{make.__name__}` needs a Numba function; got {function!r}. Decorate it with @numba.njit."
        )
    known = _known.setdefault(function, {})
    if make not in known:
        known[make] = _named(make, function)
    return known[make]


def inner(body: Any, function: Dispatcher, name: str) -> Dispatcher:
    """Return a part of a derivative of a function, to be called by compiled code."""
    body.__module__ = function.py_func.__module__
    body.__qualname__ = f"{own_name(function.py_func)}.{name}"
    return numba.njit(forceinline=True, **INNER, **_error_model(function))(body)


def _error_model(function: Dispatcher) -> dict[str, str]:
    """Return the option: what has no error model of its own, as the function may not, has its caller's."""
    return {"error_model": function.targetoptions.get("error_model", "python")}


def _named(make: Callable, function: Any) -> Dispatcher:
    """Return a derivative with the function's own parameters, which those who compile it count."""
    parameters = list(inspect.signature(function.py_func).parameters.values())
    if not parameters or parameters[0].kind is not parameters[0].POSITIONAL_OR_KEYWORD:
        raise TypeError(f"`{function.py_func.__name__}` must take x as its first argument.")
    several = inspect.Parameter.VAR_POSITIONAL
    names = ["*" * (parameter.kind is several) + parameter.name for parameter in parameters]

    name = f"{own_name(function.py_func)}.{make.__name__}"
    body: Any = make(function)
    *further, _ = [*inspect.signature(body).parameters][1:]  # beside x and *args
    further = [one if one not in names else f"{one}_of_{names[0]}" for one in further]
    both = [names[0], *further, *names[1:]]
    # Lent before the call: where that may raise, Numba counts references to all around it.
    lent = [f"*__lend({one[1:]})" if one[0] == "*" else f"__lend({one})" for one in both]
    call = f"__derivative({', '.join(lent)})"
    called = inner(body, function, f"{make.__name__}.body")
    scope = {"__name__": body.__module__, "__derivative": called, "__lend": lend}
    if getattr(body, "returns_g", False):
        scope["__empty_like"] = np.empty_like
        taken, (g,) = ", ".join(names), further
        code = f"{g} = __empty_like({names[0]}); return {call}, {g}"
    else:
        taken, code = ", ".join(both), f"return {call}"
    exec(f"def {make.__name__}({taken}): {code}", scope)
    python: Any = scope[make.__name__]
    python.__qualname__, python.__defaults__ = name, function.py_func.__defaults__
    return _kept(python, function, make.__name__)


def _kept(python: Any, function: Any, kind: str) -> Dispatcher:
    """Return a Numba function made of the user's, of which copies are on disk if there are of the user's."""
    options = {"nopython": True, "nogil": function.targetoptions.get("nogil", False)}
    compiled = Refusing(python, {}, options | _error_model(function))
    compiled.derivative_of = ref(function)  # the key of `_known`, which it must not keep
    if not isinstance(function._cache, NullCache):
        compiled._cache = _Beside(kind, function.py_func)
    return compiled


def rows(make: Callable, function: Any, n: int, *further: Any) -> Dispatcher:
    """Return what `make`, of `models.py`, makes of a model with n parameters; the same one each time."""
    known, key = _known.setdefault(function, {}), (make, n, *further)
    if key not in known:
        own = [f".{own_name(one.py_func)}" for one in further if isinstance(one, Dispatcher)]
        kind = f"{make.__name__}.{n}{''.join(own)}"
        python = make(function, n, *further)
        python.__module__ = function.py_func.__module__
        python.__qualname__ = f"{own_name(function.py_func)}.{kind}"
        known[key] = _kept(python, function, kind)
    return known[key]


class _Files(CompileResultCacheImpl):
    def __init__(self, kind: str, function: Callable) -> None:
        self.kind = kind
        super().__init__(function)

    def get_filename_base(self, fullname, abiflags):
        return super().get_filename_base(f"{fullname}.{self.kind}", abiflags)


class _Beside(FunctionCache):
    """Keeps a derivative where the function is kept, by its source and the sources here."""

    def __init__(self, kind: str, function: Callable) -> None:
        self._impl_class = partial(_Files, kind)
        super().__init__(function)

    def _index_key(self, sig, codegen):
        return (*super()._index_key(sig, codegen), STAMP)
