"""Expressions of arrays with dual numbers in them, which Numba compiles as one loop."""

from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.np.arrayobj import populate_array
from numba.np.ufunc.array_exprs import _lower_array_expr

from .dual import Dual


class _Lowerer:
    """What lowers an expression, with each dual number as an array of no axes.

    Numba's loops take arrays of any numbers, but other operands of its own types alone.
    """

    def __init__(self, lowerer):
        self.lowerer, self.context, self.builder = lowerer, lowerer.context, lowerer.builder

    def typeof(self, name):
        kind = self.lowerer.typeof(name)
        return types.Array(kind, 0, "C") if isinstance(kind, Dual) else kind

    def loadvar(self, name):
        kind, value = self.lowerer.typeof(name), self.lowerer.loadvar(name)
        if not isinstance(kind, Dual):
            return value
        context, builder = self.context, self.builder
        data = context.data_model_manager[kind].as_data(builder, value)
        place = cgutils.alloca_once_value(builder, data)
        array = context.make_array(self.typeof(name))(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind)))
        populate_array(array, place, [], [], size, None)
        return array._getvalue()


def _lower(lowerer, expression):
    return _lower_array_expr(_Lowerer(lowerer), expression)


cpu_target.target_context.special_ops["arrayexpr"] = _lower
