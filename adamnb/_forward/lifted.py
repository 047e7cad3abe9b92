"""The user's function, and every one that it calls, compiled for dual numbers."""

from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from numba.core import ir
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError
from numba.core.ir_utils import get_definition, guard
from numba.core.registry import CPUDispatcher
from numba.core.untyped_passes import ReconstructSSA

from .._compiled.cache import own_name
from . import expressions as expressions
from . import in_place as in_place
from . import linalg as linalg
from . import making
from . import methods as methods
from . import operations as operations
from . import ordering as ordering
from . import products as products
from . import sums as sums
from .dual import has_duals
from .holders import hold_duals
from .refusals import refusal

# What Numba raises where it meets an unknown type.
INTERNAL = (AttributeError, AssertionError, NotImplementedError)
CASTS: dict[Any, type] = {np.float64: float, np.int64: int, np.int32: int}  # where they are called
INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # not called from Python or C

_known: WeakKeyDictionary[Dispatcher, dict[bool, Any]] = WeakKeyDictionary()


def lifted(function: Dispatcher, dividing: bool = False) -> Dispatcher:
    """Return a function that is compiled for dual numbers where it gets any.

    `dividing` lets numbers be divided by zero as those of arrays are, whatever its own error model.
    """
    if isinstance(function, Lifted):
        return function
    known = _known.setdefault(function, {})
    if dividing not in known:
        known[dividing] = Lifted(function, dividing)
    return known[dividing]


def _renamed(function: Any, suffix: str) -> Callable:
    """Return the function itself under its own name."""
    parts = function.__code__, function.__globals__, function.__name__
    renamed = FunctionType(*parts, function.__defaults__, function.__closure__)
    renamed.__module__, renamed.__qualname__ = function.__module__, own_name(function) + suffix
    return renamed


class Refusing(CPUDispatcher):
    """A Numba function whose errors name what has no derivative."""

    derivative_of: Callable[[], Any]  # returns the function that is differentiated

    def compile(self, sig):
        try:
            return super().compile(sig)
        except (NumbaError, *INTERNAL) as error:
            raise refusal(error) from None


class Lifted(Refusing):
    """A Numba function of the user with a compiler of its own.

    It is never on disk by itself, as what it is compiled for is not the user's, but in what calls it.
    """

    def __init__(self, function: Dispatcher, dividing: bool) -> None:
        options = {
            name: value
            for name, value in function.targetoptions.items()
            if name not in ("cache", "parallel")
        }
        options |= INNER  # Python has no numbers of this type
        name, compiler = "", Compiler
        if dividing:
            name, compiler, options["error_model"] = ".dividing", DividingCompiler, "numpy"
        super().__init__(_renamed(function.py_func, name), function.locals, options, compiler)
        self.original = ref(function)

    def _own(self, args):
        """Return the user's own function where there are no dual numbers among the arguments."""
        return None if any(map(has_duals, args)) else self.original()

    def get_call_template(self, args, kws):
        own = self._own((*args, *kws.values()))
        return own.get_call_template(args, kws) if own else super().get_call_template(args, kws)

    def get_overload(self, sig):
        own = self._own(getattr(sig, "args", sig))
        return own.get_overload(sig) if own else super().get_overload(sig)


@register_pass(mutates_CFG=False, analysis_only=False)
class Lift(FunctionPass):
    """Replace what knows of floats alone: functions that are called, and arrays that are made."""

    _name, dividing = "adamnb_lift", False

    def __init__(self):
        FunctionPass.__init__(self)

    def run_pass(self, state):
        calls = {}
        for block in state.func_ir.blocks.values():
            for call in block.find_exprs("call"):
                calls[call.func.name] = call
        for block in state.func_ir.blocks.values():
            for statement in block.find_insts(ir.Assign):
                function = named(state.func_ir, statement.value)
                if isinstance(function, CPUDispatcher):
                    function = lifted(function, self.dividing)
                elif function is np.array:
                    function = making.array
                    if statement.target.name in calls:
                        rows_as_tuples(state.func_ir, calls[statement.target.name])
                elif isinstance(function, type) and statement.target.name in calls:
                    function = CASTS.get(function, function)
                else:
                    continue
                statement.value = ir.Global(function.__name__, function, statement.loc)
        hold_duals(state)
        return True


@register_pass(mutates_CFG=False, analysis_only=False)
class LiftDividing(Lift):
    _name, dividing = "adamnb_lift_dividing", True


class Compiler(CompilerBase):
    lift: type = Lift

    def define_pipelines(self):
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(self.lift, ReconstructSSA)
        passes.finalize()
        return [passes]


class DividingCompiler(Compiler):
    lift = LiftDividing


MOST = 64  # rows of a matrix, and elements of a row, that are written out


def rows_as_tuples(func_ir, call):
    """Make tuples of the lists in ``np.array([[x[0], 1.0], [0.0, 1.0]])``: those may differ in type."""

    def literal(variable):
        value = guard(get_definition, func_ir, variable) if variable.is_temp else None
        found = isinstance(value, ir.Expr) and value.op == "build_list" and len(value.items) <= MOST
        return value if found else None

    rows = literal(call.args[0]) if call.args else None
    lists = [literal(item) for item in rows.items] if rows else []
    if lists and all(lists):
        for value in (rows, *lists):
            value.op = "build_tuple"


def named(func_ir, value):
    """Return the value that an expression names in the function's module, or an attribute of a module."""
    if isinstance(value, ir.Global | ir.FreeVar):
        return value.value
    if isinstance(value, ir.Expr) and value.op == "getattr":
        owner = guard(get_definition, func_ir, value.value)
        if isinstance(owner, ir.Global | ir.FreeVar) and isinstance(owner.value, ModuleType):
            return getattr(owner.value, value.attr, None)
    return None
