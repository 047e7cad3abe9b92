"""What the language has no words for: bits, vectors, arrays that do not overlap, rows, addresses, calls."""

from contextlib import contextmanager

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.cpu import CPUContext
from numba.extending import (
    NativeValue,
    box,
    intrinsic,
    lower_builtin,
    models,
    register_model,
    type_callable,
    unbox,
)
from numba.np.arrayobj import populate_array


@intrinsic
def lend(typingctx, value):
    """Return an array, or a tuple with arrays, without a share in its memory, which the caller keeps alive.

    Numba counts references atomically at every function boundary: some 100 ns an iteration, and threads
    that count those to one array wait for each other. What else a tuple holds keeps its share.
    """

    def codegen(context, builder, signature, arguments):
        return _lent(context, builder, signature.args[0], arguments[0])

    return value(value), codegen


def _lent(context, builder, kind, value):
    if isinstance(kind, types.BaseTuple):
        for i, part in enumerate(kind):
            one = builder.extract_value(value, i)
            value = builder.insert_value(value, _lent(context, builder, part, one), i)
    elif isinstance(kind, types.Array):
        view = context.make_array(kind)(context, builder, value)
        view.meminfo = view.meminfo.type(None)
        value = view._getvalue()
    elif context.enable_nrt:
        context.nrt.incref(builder, kind, value)
    return value


@intrinsic
def cast_to(typingctx, numbers, array):
    """Return a named tuple of numbers in the dtype of `array`; None stays None."""
    if isinstance(numbers, types.NoneType):
        return numbers(numbers, array), lambda context, *_: context.get_dummy_value()
    result = types.NamedUniTuple(array.dtype, len(numbers), numbers.instance_class)

    def codegen(context, builder, signature, arguments):
        parts = [
            context.cast(builder, builder.extract_value(arguments[0], i), kind, array.dtype)
            for i, kind in enumerate(numbers)
        ]
        return context.make_tuple(builder, result, parts)

    return result(numbers, array), codegen


@intrinsic
def bits_of(typingctx, number):
    """Return the bits of a float as an integer."""
    width = number.bitwidth

    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(width))

    return types.Integer.from_bitwidth(width)(number), codegen


@intrinsic
def float_of(typingctx, bits):
    """Return the float64 of these bits."""

    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), codegen


LANES = 4  # numbers of a vector; an array is made of whole ones, the last filled up with zeros
VECTOR = ir.VectorType(ir.DoubleType(), LANES)


def filled_up(count):
    """Return the length of an array of whole vectors that has room for so many numbers."""
    return -(-count // LANES) * LANES


@contextmanager
def _vectors(context, builder, *given):
    """Loop over the vectors of arrays of type and value `given`, all as long as the first; yield pointers."""
    arrays = [context.make_array(kind)(context, builder, value) for kind, value in given]
    (size,) = cgutils.unpack_tuple(builder, arrays[0].shape)
    first, step = (ir.Constant(size.type, number) for number in (0, LANES))
    with cgutils.for_range_slice(builder, first, size, step) as (i, _):
        places = [builder.gep(array.data, [i]) for array in arrays]
        yield [builder.bitcast(place, VECTOR.as_pointer()) for place in places]


def _loaded(builder, places):
    return [builder.load(place, align=8) for place in places]


def _chosen(builder, vector, places):
    """Return the vector of the elements of another one at these places."""
    chosen = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), [*places])
    return builder.shuffle_vector(vector, vector, chosen)


@intrinsic
def sum_of_products(typingctx, a, b):
    """Return the sum of a[i] b[i], by a sum for each lane, of arrays of whole vectors.

    The compiler changes no order of a sum, and makes no vectors of it.
    """

    def codegen(context, builder, signature, arguments):
        total = cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * LANES))
        with _vectors(context, builder, *zip(signature.args, arguments, strict=True)) as places:
            product = builder.fmul(*_loaded(builder, places))
            builder.store(builder.fadd(builder.load(total), product), total)
        sums, width = builder.load(total), LANES
        while width > 1:
            width //= 2
            sums = builder.fadd(
                _chosen(builder, sums, range(width)),
                _chosen(builder, sums, range(width, 2 * width)),
            )
        return builder.extract_element(sums, ir.Constant(ir.IntType(32), 0))

    return types.float64(a, b), codegen


@intrinsic
def add_multiple(typingctx, a, factor, b):
    """Add a multiple of b to a, arrays of whole vectors that do not overlap."""

    def codegen(context, builder, signature, arguments):
        one = builder.insert_element(
            ir.Constant(VECTOR, ir.Undefined), arguments[1], ir.Constant(ir.IntType(32), 0)
        )
        factors = _chosen(builder, one, [0] * LANES)
        given = [(signature.args[i], arguments[i]) for i in (0, 2)]
        with _vectors(context, builder, *given) as places:
            old, more = _loaded(builder, places)
            builder.store(builder.fadd(old, builder.fmul(factors, more)), places[0], align=8)
        return context.get_dummy_value()

    return types.none(a, factor, b), codegen


@intrinsic
def call_c(typingctx, address, numbers, first, count):
    """Call the C function ``void (double *, int64_t, int64_t)`` at an address."""

    def codegen(context, builder, signature, arguments):
        array = context.make_array(signature.args[1])(context, builder, arguments[1])
        whole = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [array.data.type, whole, whole])
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        builder.call(function, [array.data, *arguments[2:]])
        return context.get_dummy_value()

    return types.none(types.intp, numbers, types.int64, types.int64), codegen


def disjoint():
    """Tell the compiler that no two arrays which the calling function is given overlap.

    Without that, loops compare all addresses before the first element, and vectorise only where there
    are so many elements that it pays.
    """


@type_callable(disjoint)
def _type_disjoint(context):
    return lambda: types.none


@lower_builtin(disjoint)
def _lower_disjoint(context, builder, signature, arguments):
    if isinstance(context, CPUContext):  # a GPU's thread has few elements and no registers to spare
        for argument in builder.function.args:
            if argument.type.is_pointer:
                argument.add_attribute("noalias")
    return context.get_dummy_value()


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


class Address(types.Type):
    """The address of a value, of a type that is known or not; an int in Python."""

    def __init__(self, kind: types.Type | None = None) -> None:
        self.kind = kind
        super().__init__(f"Address({kind})")


register_model(Address)(models.OpaqueModel)


@unbox(Address)
def _unbox_address(typ, obj, c):
    return NativeValue(c.pyapi.long_as_voidptr(obj))


@intrinsic
def address_of(typingctx, value):
    """Return the address of a copy of a value, good until the calling function returns."""

    def codegen(context, builder, signature, arguments):
        place = cgutils.alloca_once_value(builder, arguments[0])
        return builder.bitcast(place, context.get_value_type(Address()))

    return Address()(value), codegen


@intrinsic
def lent_at(typingctx, address):
    """Return the value at an address, as `lend` does."""
    kind = address.kind

    def codegen(context, builder, signature, arguments):
        place = builder.bitcast(arguments[0], context.get_value_type(kind).as_pointer())
        return _lent(context, builder, kind, builder.load(place))

    return kind(address), codegen


@intrinsic
def or_empty(typingctx, array, like):
    """Return an array, or for None an empty one of another's type."""
    if not isinstance(array, types.NoneType):
        return array(array, like), lambda context, builder, signature, arguments: arguments[0]
    return like(array, like), lambda context, *_: context.get_constant_null(like)


class Callback(types.Type):
    """A Python function for `call_back`, and what it returns."""

    def __init__(self) -> None:
        super().__init__("Callback")


register_model(Callback)(models.OpaqueModel)


@unbox(Callback)
def _unbox_callback(typ, obj, c):
    return NativeValue(obj)


@box(Callback)
def _box_callback(typ, value, c):
    return value


@intrinsic
def call_back(typingctx, function, first, second):
    """Call a Python function with two addresses, under Python's lock; return what it returns."""

    def codegen(context, builder, signature, arguments):
        api = context.get_python_api(builder)
        function, *addresses = arguments
        numbers = [
            api.long_from_ssize_t(builder.ptrtoint(address, api.py_ssize_t))
            for address in addresses
        ]
        result = api.call_function_objargs(function, numbers)
        for number in numbers:
            api.decref(number)
        with cgutils.if_unlikely(builder, cgutils.is_null(builder, result)):
            context.call_conv.return_exc(builder)
        return result

    return function(function, first, second), codegen
