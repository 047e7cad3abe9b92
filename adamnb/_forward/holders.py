"""Arrays that the user's function makes for floats and that are to hold dual numbers.

``r = np.empty(n)`` says float64, and types do not flow back from ``r[i] = x[0]``. So the types of all
variables are found as far as they can be; what is given a dual number and comes from one of NumPy's functions
that make arrays is made for dual numbers, until nothing changes any more. What makes another array of floats,
as ``t.copy()`` or ``2 * t``, is copied into one of dual numbers; so is an array that comes from elsewhere and
has a name that is later given to one of dual numbers (``s = s + h * v``), unless something is put into it.
"""

from collections import defaultdict

from numba.core import ir, types
from numba.core.ir_utils import find_callname, get_definition, guard, mk_unique_var
from numba.core.typed_passes import type_inference_stage

from .arrays import held
from .dual import element, has_duals, met

# Where each has its `dtype` among its arguments.
MAKERS = {
    **dict.fromkeys(
        ("zeros", "empty", "ones", "zeros_like", "empty_like", "ones_like", "array"), 1
    ),
    **dict.fromkeys(("full", "full_like"), 2),
}
# What returns a new array of floats, which nothing else has.
NEW = {"arange", "copy", "diag", "eye", "identity", "linspace", "outer", "repeat", "sort"}
NEW_METHODS = {"copy", "flatten", "astype"}


def hold_duals(state):
    """Make arrays for dual numbers where the function puts some into them."""
    if not any(map(has_duals, state.args)):
        return
    done: set[str] = set()  # names of variables
    while True:
        interpreted = state.typingctx, state.targetctx, state.func_ir, state.args
        found = type_inference_stage(*interpreted, None, state.locals, raise_errors=False)
        kinds, written = _kinds(state.func_ir, found.typemap)
        changed = False
        for block in state.func_ir.blocks.values():
            for statement in list(block.find_insts(ir.Assign)):
                target, kind = statement.target, kinds(statement.target)
                now = found.typemap.get(target.name)
                if kind is None or target.name in done or not _of_floats(now):
                    continue
                place = _maker(state.func_ir, statement.value)
                if place is not None:
                    _make_for(state.func_ir, block, statement, place, kind)
                elif _is_new(state.func_ir, statement.value, found.typemap) or (
                    not written(target) and not _aliases(statement, found.typemap)
                ):
                    _copy_for(state.func_ir, block, statement, kind)
                else:
                    continue
                done.add(target.name)
                changed = True
        if not changed:
            return


def _of_floats(kind):
    """Return whether a type is that of an array of floats, or not known."""
    known = kind is not None and kind is not types.undefined
    return not known or (isinstance(kind, types.Array) and isinstance(kind.dtype, types.Float))


def _maker(func_ir, value):
    """Return where a call of one of `MAKERS` has the dtype among its arguments."""
    name, module = guard(find_callname, func_ir, value) or ("", None)
    return MAKERS.get(name) if module == "numpy" else None


def _is_new(func_ir, value, typemap):
    """Return whether an expression makes a new array, if it makes one."""
    if not isinstance(value, ir.Expr) or value.op != "call":
        return isinstance(value, ir.Expr) and value.op in ("binop", "unary")
    function = guard(get_definition, func_ir, value.func)
    if isinstance(function, ir.Expr) and function.op == "getattr":
        if isinstance(typemap.get(function.value.name), types.Array):
            return function.attr in NEW_METHODS
    name, module = guard(find_callname, func_ir, value) or (None, None)
    return module == "numpy" and name in NEW


def _kinds(func_ir, typemap):
    """Return two functions of a variable: the type of dual numbers that it is to hold, or None; and whether
    it is changed in place, which others who have the array are to see."""
    same: dict[str, str] = {}

    def root(name):
        while name in same:
            name = same[name]
        return name

    def join(a, b):
        if root(a) != root(b):
            same[root(a)] = root(b)

    given: dict[str, list] = defaultdict(list)
    filled: list[str] = []
    for block in func_ir.blocks.values():
        for statement in block.body:
            for into, what in _stores(statement, typemap):
                given[into].append(what)
                filled.append(into)
            filled += _changed(statement)
            for alias in _aliases(statement, typemap):
                join(statement.target.name, alias)
    put: dict[str, list] = defaultdict(list)
    for name, parts in given.items():
        put[root(name)] += parts
    for name, kind in typemap.items():
        if isinstance(kind, types.Array) and has_duals(kind):
            put[root(name)].append(kind.dtype)

    def kind_of(variable):
        kinds = put.get(root(variable.name))
        return met(*kinds) if kinds else None

    return kind_of, lambda variable: root(variable.name) in set(map(root, filled))


def _aliases(statement, typemap):
    """Return the names of what an assignment gives another name to, or a view of."""
    if not isinstance(statement, ir.Assign):
        return []
    value = statement.value
    if isinstance(value, ir.Var):
        return [value.name]
    if not isinstance(value, ir.Expr):
        return []
    if value.op == "phi":
        return [one.name for one in value.incoming_values if isinstance(one, ir.Var)]
    if value.op in ("cast", "getattr", "getitem", "static_getitem"):
        if isinstance(typemap.get(statement.target.name), types.Array):
            return [value.value.name]
    if value.op == "inplace_binop" and isinstance(typemap.get(value.lhs.name), types.Array):
        return [value.lhs.name]
    return []


def _changed(statement):
    """Return the name of what a statement changes in place, numbers included, in a list."""
    if isinstance(statement, ir.SetItem | ir.StaticSetItem):
        return [statement.target.name]
    value = getattr(statement, "value", None)
    if isinstance(value, ir.Expr) and value.op == "inplace_binop":
        return [value.lhs.name]
    return []


def _stores(statement, typemap):
    """Yield names of arrays with the types of dual numbers that a statement puts into them."""

    def duals(variable):
        kind = element(typemap.get(variable.name, types.undefined))
        return kind if has_duals(kind) else None

    if isinstance(statement, ir.SetItem | ir.StaticSetItem):
        if duals(statement.value):
            yield statement.target.name, duals(statement.value)
    elif isinstance(statement, ir.Assign) and isinstance(statement.value, ir.Expr):
        value = statement.value
        if value.op == "inplace_binop" and duals(value.rhs):
            yield value.lhs.name, duals(value.rhs)
        elif value.op == "call" and statement.target.name not in typemap:
            # It may be a function that is to fill an array.
            kinds = [duals(argument) for argument in value.args if duals(argument)]
            for argument in value.args if kinds else ():
                yield argument.name, kinds[0]


def _make_for(func_ir, block, statement, place, kind):
    """Put the type of dual numbers into a call that makes an array."""
    call, loc = statement.value, statement.loc
    dtype = ir.Var(block.scope, mk_unique_var("$dtype"), loc)
    named = ir.Assign(ir.Global("dtype", kind, loc), dtype, loc)
    block.body.insert(block.body.index(statement), named)
    func_ir._definitions[dtype.name] = [named.value]
    call.args = call.args[:place]
    call.kws = [(name, value) for name, value in call.kws if name != "dtype"] + [("dtype", dtype)]


def _copy_for(func_ir, block, statement, kind):
    """Let a statement's variable be a copy, for dual numbers, of the array that it is given."""
    scope, loc = block.scope, statement.loc
    names = "$floats", "$held", "$dtype"
    floats, function, dtype = (ir.Var(scope, mk_unique_var(name), loc) for name in names)
    copied = ir.Expr.call(function, [floats, dtype], (), loc)
    new = [
        ir.Assign(statement.value, floats, loc),
        ir.Assign(ir.Global("held", held, loc), function, loc),
        ir.Assign(ir.Global("dtype", kind, loc), dtype, loc),
        ir.Assign(copied, statement.target, loc),
    ]
    place = block.body.index(statement)
    block.body[place : place + 1] = new
    for one in new:
        func_ir._definitions[one.target.name] = [one.value]
