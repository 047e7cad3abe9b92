"""Arrays without a share in their memory, those of one problem among many, and those of one as of many."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


@intrinsic
def lend(typingctx, value):
    """Return an array, or a tuple with arrays, without a share in its memory, which the caller keeps alive.

    Numba counts references atomically at every function boundary: some 100 ns an iteration, and threads
    that count those to one array wait for each other. What else a tuple holds keeps its share.
    """

    def codegen(context, builder, signature, arguments):
        return lent(context, builder, signature.args[0], arguments[0])

    return value(value), codegen


def lent(context, builder, kind, value):
    """Emit what `lend` does to a value of a type."""
    if isinstance(kind, types.BaseTuple):
        for i, part in enumerate(kind):
            one = builder.extract_value(value, i)
            value = builder.insert_value(value, lent(context, builder, part, one), i)
    elif isinstance(kind, types.Array):
        view = context.make_array(kind)(context, builder, value)
        view.meminfo = view.meminfo.type(None)
        value = view._getvalue()
    elif context.enable_nrt:
        context.nrt.incref(builder, kind, value)
    return value


@intrinsic
def problem_of(typingctx, arrays, b):
    """Return the tuple of what each array has for problem b: an array, a number, or None for None.

    In a named tuple arrays of one axis are what all problems share, and so is what is no tuple.
    """
    if not isinstance(arrays, types.BaseTuple):
        return arrays(arrays, b), lambda context, builder, signature, arguments: arguments[0]
    named = isinstance(arrays, types.BaseNamedTuple)

    def is_cut(kind):
        return isinstance(kind, types.Array) and not (named and kind.ndim == 1)

    def part_of(kind):
        if not is_cut(kind):
            return kind
        return kind.dtype if kind.ndim == 1 else types.Array(kind.dtype, kind.ndim - 1, "C")

    parts = tuple(map(part_of, arrays))
    result = types.NamedTuple(parts, arrays.instance_class) if named else types.Tuple(parts)

    def cut(context, builder, kind, value, index):
        array = context.make_array(kind)(context, builder, value)
        shape = [builder.extract_value(array.shape, i) for i in range(kind.ndim)]
        strides = [builder.extract_value(array.strides, i) for i in range(kind.ndim)]
        first = builder.ptrtoint(array.data, strides[0].type)
        place = builder.add(first, builder.mul(index, strides[0]))
        place = builder.inttoptr(place, array.data.type)
        if kind.ndim == 1:
            return context.unpack_value(builder, kind.dtype, place)
        view = context.make_array(part_of(kind))(context, builder)
        populate_array(view, place, shape[1:], strides[1:], array.itemsize, None)
        return view._getvalue()

    def codegen(context, builder, signature, arguments):
        whole, index = arguments
        rows = [builder.extract_value(whole, i) for i in range(len(arrays))]
        rows = [
            cut(context, builder, kind, value, index) if is_cut(kind) else value
            for kind, value in zip(arrays, rows, strict=True)
        ]
        return context.make_tuple(builder, result, rows)

    return result(arrays, types.intp), codegen


def of_problems(vectors: types.NamedTuple) -> types.NamedTuple:
    """Return the type of the `Vectors` of many problems from that of one; they share the `roots`."""
    kinds = [
        kind.copy(ndim=kind.ndim + 1) if isinstance(kind, types.Array) and name != "roots" else kind
        for name, kind in zip(vectors.fields, vectors, strict=True)
    ]
    return types.NamedTuple(kinds, vectors.instance_class)


@intrinsic
def as_problems(typingctx, vectors):
    """Return the `Vectors` of a problem as those of many, of which it is the only one."""
    result = of_problems(vectors)

    def with_axis(context, builder, kind, value, target):
        if kind is target:
            return value
        array = context.make_array(kind)(context, builder, value)
        shape, strides = (cgutils.unpack_tuple(builder, a) for a in (array.shape, array.strides))
        one = ir.Constant(shape[0].type, 1)
        whole = builder.mul(shape[0], strides[0])
        view = context.make_array(target)(context, builder)
        populate_array(view, array.data, [one, *shape], [whole, *strides], array.itemsize, None)
        return view._getvalue()

    def codegen(context, builder, signature, arguments):
        parts = [
            with_axis(context, builder, kind, builder.extract_value(arguments[0], i), target)
            for i, (kind, target) in enumerate(zip(vectors, result, strict=True))
        ]
        return context.make_tuple(builder, result, parts)

    return result(vectors), codegen


@intrinsic
def or_empty(typingctx, array, like):
    """Return an array, or for None an empty one of another's type."""
    if not isinstance(array, types.NoneType):
        return array(array, like), lambda context, builder, signature, arguments: arguments[0]
    return like(array, like), lambda context, *_: context.get_constant_null(like)
