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

from .lifted import INNER, Refusing, own_name
from .stamp import STAMP

_known: WeakKeyDictionary[Dispatcher, dict[Callable, Dispatcher]] = WeakKeyDictionary()


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
    x, both = names[0], ", ".join([names[0], *further, *names[1:]])
    body.__module__, body.__qualname__ = function.py_func.__module__, f"{name}.body"
    # What has no error model of its own, as the function itself may not, has its caller's.
    model = {"error_model": function.targetoptions.get("error_model", "python")}
    scope = {"__name__": body.__module__, "__derivative": numba.njit(**INNER, **model)(body)}
    if getattr(body, "returns_g", False):
        scope["__empty_like"] = np.empty_like
        taken, (g,) = ", ".join(names), further
        code = f"{g} = __empty_like({x}); return __derivative({both}), {g}"
    else:
        taken, code = both, f"return __derivative({both})"
    exec(f"def {make.__name__}({taken}): {code}", scope)
    python: Any = scope[make.__name__]
    python.__qualname__, python.__defaults__ = name, function.py_func.__defaults__
    options = {"nopython": True, "nogil": function.targetoptions.get("nogil", False), **model}
    compiled = Refusing(python, {}, options)
    compiled.derivative_of = ref(function)  # the key of `_known`, which it must not keep
    if not isinstance(function._cache, NullCache):
        compiled._cache = _Beside(make.__name__, function.py_func)
    return compiled


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
