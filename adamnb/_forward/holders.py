"""Arrays that the user's function makes for floats and that are to hold dual numbers.

``r = np.empty(n)`` says float64, and types do not flow back from ``r[i] = x[0]``. So the types of all
variables are found as far as they can be; what is given a dual number and comes from one of NumPy's functions
that make arrays is made for dual numbers, until nothing changes any more.
"""

from collections import defaultdict

from numba.core import ir, types
from numba.core.ir_utils import find_callname, guard, mk_unique_var
from numba.core.typed_passes import type_inference_stage

from .dual import element, has_duals, met

# Where each has its `dtype` among its arguments.
MAKERS = {
    **dict.fromkeys(
        ("zeros", "empty", "ones", "zeros_like", "empty_like", "ones_like", "array"), 1
    ),
    **dict.fromkeys(("full", "full_like"), 2),
}


def hold_duals(state):
    """Make arrays for dual numbers where the function puts some into them."""
    makers = list(_makers(state.func_ir))
    if not any(map(has_duals, state.args)):
        return
    while makers:
        interpreted = state.typingctx, state.targetctx, state.func_ir, state.args
        found = type_inference_stage(*interpreted, None, state.locals, raise_errors=False)
        kinds = _kinds(state.func_ir, found.typemap)
        held = [maker for maker in makers if kinds(maker[1].target) is not None]
        if not held:
            return
        for block, statement, place in held:
            _make_for(state.func_ir, block, statement, place, kinds(statement.target))
            makers.remove((block, statement, place))


def _makers(func_ir):
    for block in func_ir.blocks.values():
        for statement in block.find_insts(ir.Assign):
            name, module = guard(find_callname, func_ir, statement.value) or (None, None)
            if module == "numpy" and name in MAKERS:
                yield block, statement, MAKERS[name]


def _kinds(func_ir, typemap):
    """Return a function that gives the type of dual numbers that a variable is to hold, or None."""
    same: dict[str, str] = {}

    def root(name):
        while name in same:
            name = same[name]
        return name

    def join(a, b):
        if root(a) != root(b):
            same[root(a)] = root(b)

    given: dict[str, list] = defaultdict(list)
    for block in func_ir.blocks.values():
        for statement in block.body:
            for into, what in _stores(statement, typemap):
                given[into].append(what)
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

    return kind_of


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
