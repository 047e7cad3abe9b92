"""The user's functions as compiled code gets them: the addresses of their machine code."""

from typing import Any
from weakref import WeakKeyDictionary

from numba import types
from numba.core import cgutils
from numba.experimental.function_type import FunctionModel
from numba.extending import NativeValue, register_model, unbox


class FunctionType(types.FunctionType):
    """A compiled function whose value in Python is an int, the address of its machine code.

    Numba's own type takes the dispatcher itself and asks it for its addresses in every call that it is
    passed to, which takes longer than all else that a short run does.
    """


register_model(FunctionType)(FunctionModel)


@unbox(FunctionType)
def _unbox_function(typ, obj, c):
    function = cgutils.create_struct_proxy(typ)(c.context, c.builder)
    function.jit_addr = c.pyapi.long_as_voidptr(obj)
    return NativeValue(function._getvalue())


# By the machine code, which is another one when a function is compiled anew; no function is kept alive.
_known: WeakKeyDictionary[Any, tuple[FunctionType, int]] = WeakKeyDictionary()


def first_class(compiled: Any) -> tuple[FunctionType, int]:
    """Return type and value of a Numba function that has been compiled, one of its `overloads`.

    The value is good as long as the function is there.
    """
    code = compiled.library
    if code not in _known:
        address = code.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        _known[code] = FunctionType(compiled.signature), address
    return _known[code]
