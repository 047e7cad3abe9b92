"""Values and functions by their addresses: what is there is lent; functions of Python and of C are called."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, box, intrinsic, models, register_model, unbox

from .views import lent


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
        return lent(context, builder, kind, builder.load(place))

    return kind(address), codegen


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
