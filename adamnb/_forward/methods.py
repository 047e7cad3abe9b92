"""Functions of arrays of dual numbers as methods of these."""

import numpy as np
from numba import types
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, signature
from numba.core.utils import pysignature
from numba.extending import lower_builtin

from .arrays import duals, held
from .dual import with_dtype

METHODS = (
    np.sum, np.prod, np.mean, np.var, np.std, np.cumsum, np.cumprod, np.argmax, np.argmin, np.max,
    np.min, np.dot,
)  # fmt: skip
NO_AXIS, AXIS = pysignature(lambda: None), pysignature(lambda axis: None)


class Methods(AttributeTemplate):
    """The same functions as methods of arrays."""

    key = types.Array

    def resolve_astype(self, array):
        return types.BoundFunction(AsType, array) if duals(array) else None


def sum_along(a, axis):
    """Return the sums along an axis."""
    return np.sum(a, axis)


def _method(function):
    class Method(AbstractTemplate):
        key = "duals", function.__name__

        def generic(self, args, kws):
            """`axis` is the only argument that may have its name."""
            args = (*args, *kws.values())
            if [*kws] not in ([], ["axis"]) or len(args) > 1:
                return None
            call = self.context.resolve_function_type(function, (self.this, *args), {})
            return call and signature(call.return_type, *args, recvr=self.this).replace(
                pysig=NO_AXIS if not args else AXIS
            )

    @lower_builtin(Method.key, types.Array)
    @lower_builtin(Method.key, types.Array, types.Any)
    def lower(context, builder, sig, args):
        if function is np.sum and len(args) > 1:
            return context.compile_internal(builder, sum_along, sig, args)
        kind = context.typing_context.resolve_value_type(function)
        inner = context.typing_context.resolve_function_type(kind, sig.args, {})
        call = context.get_function(kind, inner)
        context.add_linking_libs(getattr(call, "libs", ()))
        return call(builder, args)

    return lambda self, array: types.BoundFunction(Method, array) if duals(array) else None


class AsType(AbstractTemplate):
    """To floats of another size; not to integers, which have no derivatives."""

    key = "duals", "astype"

    def generic(self, args, kws):
        kind = getattr(args[0], "dtype", None) if len(args) == 1 and not kws else None
        if not isinstance(kind, types.Float):
            return None
        array = types.Array(with_dtype(self.this.dtype, kind), self.this.ndim, "C")
        return signature(array, *args, recvr=self.this)


@lower_builtin(AsType.key, types.Array, types.Any)
def _as_type(context, builder, sig, args):
    kind = types.TypeRef(sig.return_type.dtype)
    inner = sig.return_type(sig.args[0], kind)
    return context.compile_internal(
        builder, lambda a, kind: held(a, kind), inner, [args[0], context.get_dummy_value()]
    )


for function in METHODS:
    setattr(Methods, f"resolve_{function.__name__}", _method(function))
cpu_target.typing_context._attributes[types.Array].insert(0, Methods(cpu_target.typing_context))
