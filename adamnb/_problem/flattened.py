"""The user's functions of parameters with a structure, as functions of a vector."""

import hashlib
import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.caching import NullCache
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numpy import ndarray

from .._compiled.cache import own_name
from .compiled import called
from .structure import Branch, Leaf, Structure, Vector, leaves_of

STAMP = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]


def flattened(fun: Callable, jac: Any, structure: Vector | Structure) -> tuple[Callable, Any]:
    """Return `fun`, and `jac` if it is a function, as functions of a vector.

    Those of Numba are so again, compiled and on disk beside the user's if these are.

    Raises
    ------
    TypeError
        If a Numba function cannot have such parameters.
    """
    if isinstance(structure, Vector):
        return fun, jac
    form = "pair" if jac is True else "value"
    if isinstance(jac, str) and jac == "inplace":
        form = "inplace"
        _require_arrays(structure.root, "g")
    if any(isinstance(function, Dispatcher) for function in called(fun, jac)):
        _require_compilable(structure.root, "x0")
    fun = _of_vector(fun, form, structure)
    return fun, _of_vector(jac, "gradient", structure) if callable(jac) else jac


def _of_vector(function: Callable, form: str, structure: Structure) -> Callable:
    if isinstance(function, CFunc):
        raise TypeError(
            "A cfunc takes a vector, and x0 has a structure: decorate the function with @numba.njit."
        )
    if isinstance(function, Dispatcher):
        return _compiled(function, form, structure)
    return partial(FORMS[form], function, structure)


# ------------------------------------------------------------------------------------------- Python


def _value(fun: Callable, structure: Structure, x: ndarray, *args: Any) -> Any:
    return fun(structure.take(x), *args)


def _gradient(jac: Callable, structure: Structure, x: ndarray, *args: Any) -> ndarray:
    return structure.put(jac(structure.take(x), *args), "jac", np.empty_like(x))


def _pair(fun: Callable, structure: Structure, x: ndarray, *args: Any) -> Any:
    found = fun(structure.take(x), *args)
    if not (isinstance(found, tuple | list) and len(found) == 2):
        return found  # and the caller says what it must be
    return found[0], structure.put(found[1], "jac", np.empty_like(x))


def _inplace(fun: Callable, structure: Structure, x: ndarray, g: ndarray, *args: Any) -> Any:
    parts = structure.take(g)
    f = fun(structure.take(x), parts, *args)
    structure.put(parts, "g", g)  # what has been put into a dict is no view
    return f


FORMS = {"value": _value, "gradient": _gradient, "pair": _pair, "inplace": _inplace}


def _require_arrays(node: Leaf | Branch, name: str) -> None:
    """Raise a `TypeError` for a number in a NamedTuple, which cannot be written to."""
    if isinstance(node, Leaf):
        return
    for key, part in node.parts:
        if node.kind is not dict and isinstance(part, Leaf) and not part.shape:
            raise TypeError(
                f"`jac='inplace'` writes into arrays, and `{name}.{key}` is a number in a NamedTuple: return"
                " the gradient (jac=True or a function), or make the number an array of one."
            )
        _require_arrays(part, f"{name}.{key}")


# -------------------------------------------------------------------------------------------- Numba


def _require_compilable(node: Leaf | Branch, name: str) -> None:
    """Raise a `TypeError` for a dict, which Numba does not have."""
    if isinstance(node, Leaf):
        return
    if node.kind is dict:
        raise TypeError(
            f"`{name}` is a dict, which Numba functions do not take: make it a NamedTuple"
            " (`typing.NamedTuple`). Or run `fun` interpreted: pass `fun.py_func`, and `jac.py_func`."
        )
    for key, part in node.parts:
        _require_compilable(part, f"{name}.{key}")


@lru_cache(maxsize=128)  # not for ever: each keeps the user's function alive
def _compiled(function: Any, form: str, structure: Structure) -> Dispatcher:
    """Return a Numba function of a vector with the further parameters of the user's function.

    It stands where the user's function stands, as far as Numba can see: there it is on disk, for as long as
    that file is not changed.
    """
    python = function.py_func
    names = [
        "*" * (one.kind is one.VAR_POSITIONAL) + one.name
        for one in inspect.signature(python).parameters.values()
    ]
    leading = 2 if form == "inplace" else 1
    if len(names) < leading or any(name.startswith("*") for name in names[:leading]):
        what = "x and g as its first arguments" if form == "inplace" else "x as its first argument"
        raise TypeError(f"`{python.__name__}` must take {what}.")
    scope: dict[str, Any] = {
        "__name__": python.__module__, "__fun": function, "__empty_like": np.empty_like, "__shaped": shaped,
    }  # fmt: skip
    trees = [_tree(structure.root, name, scope) for name in names[:leading]]
    call = f"__fun({', '.join([*trees, *names[leading:]])})"
    body = [f"return {call}"]
    if form in ("gradient", "pair"):
        returned = "__g" if form == "gradient" else "__f, __g"
        body = [
            f"{returned.replace('__g', '__tree')} = {call}",
            f"__g = __empty_like({names[0]})",
            *_stores(structure),
            f"return {returned}",
        ]
    exec(f"def of_vector({', '.join(names)}):\n    " + "\n    ".join(body), scope)
    made = scope["of_vector"]
    code = python.__code__
    made.__code__ = made.__code__.replace(
        co_filename=code.co_filename, co_firstlineno=code.co_firstlineno
    )
    digest = hashlib.sha256(f"{form} {structure} {STAMP}".encode()).hexdigest()[:16]
    made.__qualname__ = f"{own_name(python)}.{digest}"
    made.__defaults__ = python.__defaults__
    options = {
        "nogil": function.targetoptions.get("nogil", False),
        "error_model": function.targetoptions.get("error_model", "python"),
    }
    return numba.njit(cache=not isinstance(function._cache, NullCache), **options)(made)


@intrinsic
def shaped(typingctx, vector, first, shape):
    """Return the elements of a vector from `first` on as an array, of any strides: no call, as reshape is."""
    kind = types.Array(vector.dtype, shape.count, vector.layout)

    def codegen(context, builder, signature, arguments):
        source = context.make_array(vector)(context, builder, arguments[0])
        sizes = cgutils.unpack_tuple(builder, arguments[2])
        stride = cgutils.unpack_tuple(builder, source.strides)[0]
        place = builder.mul(arguments[1], stride)
        strides: list[Any] = []
        for size in reversed(sizes):
            strides.insert(0, stride)
            stride = builder.mul(stride, size)
        array = context.make_array(kind)(context, builder)
        data = cgutils.pointer_add(builder, source.data, place, source.data.type)
        populate_array(array, data, sizes, strides, source.itemsize, source.meminfo)
        return impl_ret_borrowed(context, builder, kind, array._getvalue())

    return kind(vector, types.intp, shape), codegen


def _tree(node: Leaf | Branch, vector: str, scope: dict[str, Any]) -> str:
    """Return the expression of the parameters in a vector; `scope` gets the classes in it."""
    if isinstance(node, Leaf):
        if not node.shape:
            return f"{vector}[{node.first}]"
        if len(node.shape) == 1:
            return f"{vector}[{node.first}:{node.stop}]"
        return f"__shaped({vector}, {node.first}, {node.shape})"
    kind = f"__kind{len(scope)}"
    scope[kind] = node.kind
    parts = ", ".join(_tree(part, vector, scope) for _, part in node.parts)
    return f"{kind}({parts})"


def _stores(structure: Structure) -> list[str]:
    """Return the lines that write a gradient with a structure into a vector."""
    lines = []
    for leaf, _, path in leaves_of(
        structure.root, structure.take(np.zeros(structure.size)), "__tree"
    ):
        if not leaf.shape:
            lines.append(f"__g[{leaf.first}] = {path}")
            continue
        text = f"`jac{path.removeprefix('__tree')}` must have shape {leaf.shape}, as in x0."
        lines.append(f"if {path}.shape != {leaf.shape}: raise ValueError({text!r})")
        lines.append(f"__g[{leaf.first}:{leaf.stop}] = {path}.ravel()")
    return lines
