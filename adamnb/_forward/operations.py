"""What dual numbers, and arrays of them, can do: arithmetic, comparisons and the functions of `rules.py`."""

import math
import operator
from collections.abc import Callable
from functools import reduce

import numpy as np
from numba import types
from numba.core import cgutils, compiler, targetconfig
from numba.core.typing.npydecl import NumpyRulesInplaceArrayOperator
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin

from .dual import Dual, compiled, depth, element, emitted, has_duals, met, real, with_dtype
from .emitted import Derived
from .preferred import prefer
from .rules import RULES, constant_power, fmod, integer_power, larger, power, remainder, smaller

ARITHMETIC: dict[Callable, tuple] = {
    operator.add: (operator.iadd, np.add),
    operator.sub: (operator.isub, np.subtract),
    operator.mul: (operator.imul, np.multiply),
    operator.truediv: (operator.itruediv, np.true_divide),
    operator.neg: (np.negative,),
    operator.pos: (np.positive, float),
}
MOST = 8  # arguments of `max` and `min`
IN_PLACE = ("iadd", "isub", "imul", "itruediv", "ipow", "imod", "ifloordiv")
# What depends on the values alone, and has no derivative or one of 0.
FLAT: list[Callable] = [
    *(operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne),
    *(np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal),
    *(operator.floordiv, operator.ifloordiv, np.floor_divide, operator.not_, operator.truth),
    *(bool, int, round, math.floor, math.ceil, math.trunc, math.isnan, math.isinf, math.isfinite),
    *(np.floor, np.ceil, np.trunc, np.rint, np.sign, np.isnan, np.isinf, np.isfinite, np.signbit),
]


def entering(kind, result):
    """Return the type as which a number of type `kind` enters a result of type `result`."""
    return with_dtype(kind, real(result)) if isinstance(kind, Dual) else real(result)


class Template(AbstractTemplate):
    """Types of calls with dual numbers or arrays of them among the arguments."""

    def generic(self, args, kws):
        kinds = [types.unliteral(element(kind)) for kind in args]
        result = None if kws or not args else met(*kinds)
        if result is None:
            return None
        call = self.of_numbers(kinds, result)
        arrays = [kind.ndim for kind in args if isinstance(kind, types.Array)]
        if not arrays or call is None:
            return call
        if getattr(self.key, "__name__", "") in IN_PLACE:  # by a copy: `arrays.py`
            return None
        return signature(types.Array(call.return_type, max(arrays), "C"), *args)


class Smooth(Template):
    def of_numbers(self, kinds, result):
        return signature(result, *(entering(kind, result) for kind in kinds))


class Power(Smooth):
    """With an integer for the exponent, if it is one."""

    def of_numbers(self, kinds, result):
        if len(kinds) == 2 and isinstance(kinds[1], types.Integer):
            return signature(kinds[0], kinds[0], types.intp)
        return super().of_numbers(kinds, result)


class Several(Smooth):
    """Of `max` and `min`, which have as many arguments as one likes."""

    def of_numbers(self, kinds, result):
        return signature(result, *[result] * len(kinds)) if 1 < len(kinds) <= MOST else None


class Flat(Template):
    def of_numbers(self, kinds, result):
        inner = self.context.resolve_function_type(self.key, tuple(map(real, kinds)), {})
        return inner and signature(inner.return_type, *kinds)


def lower(function, count, implementation):
    """Take an implementation for dual numbers among `count` arguments."""
    lower_builtin(function, *[Dual] * count)(implementation)
    if count == 2:  # classes by name: with any type in one place it would be an array's as well
        for other in (types.Float, types.Integer, types.Boolean):
            lower_builtin(function, Dual, other)(implementation)
            lower_builtin(function, other, Dual)(implementation)


def arithmetic(operation):
    """Return the implementation of an operation that `emitted` has."""

    def implementation(context, builder, sig, args):
        numbers = [emitted(context, builder, *pair) for pair in zip(sig.args, args, strict=True)]
        if operation is operator.truediv:
            refuse_zero(context, builder, real(sig.return_type), numbers[1])
        return compiled(context, builder, sig.return_type, operation(*numbers))

    return implementation


def refuse_zero(context, builder, kind, divisor):
    """Raise the exception of a division by zero, where the function's error model has one."""
    while isinstance(divisor, Derived):
        divisor = divisor.value
    with cgutils.if_unlikely(
        builder, builder.fcmp_ordered("==", divisor.code, context.get_constant(kind, 0.0))
    ):
        context.error_model.fp_zero_division(builder, ("division by zero",))


def of_values(function):
    """Return the implementation of a function whose derivative is 0: that of values."""

    def implementation(context, builder, sig, args):
        known = context.typing_context.resolve_value_type(function)
        inner = known.get_call_type(context.typing_context, tuple(map(real, sig.args)), {})
        values = []
        for kind, wanted, value in zip(sig.args, inner.args, args, strict=True):
            while isinstance(kind, Dual):
                kind, value = kind.dtype, builder.extract_value(value, 0)
            values.append(context.cast(builder, value, kind, wanted))
        call = context.get_function(known, inner)
        context.add_linking_libs(getattr(call, "libs", ()))
        found = call(builder, values)
        return context.cast(builder, found, inner.return_type, sig.return_type)

    return implementation


def by_rule(rule):
    """Return an implementation that compiles a rule for the values and applies the chain rule."""

    def implementation(context, builder, sig, args):
        kind = sig.return_type
        values, inner_args, numbers = list(args), list(sig.args), []
        for i, given in enumerate(sig.args):
            if not isinstance(given, types.Integer):  # an exponent, without a derivative
                numbers.append(emitted(context, builder, given, args[i]))
                values[i] = of_dtype(context, builder, kind, numbers[-1])
                inner_args[i] = kind.dtype
        inner = types.UniTuple(kind.dtype, 1 + len(numbers))(*inner_args)
        flags = targetconfig.ConfigStack().top_or_none()
        flags = compiler.Flags() if flags is None else flags.copy()
        flags.error_model = "numpy"
        code = context.compile_subroutine(builder, rule, inner, flags=flags)
        found = context.call_internal(builder, code.fndesc, inner, values)
        value, *slopes = (
            emitted(context, builder, kind.dtype, builder.extract_value(found, i))
            for i in range(1 + len(numbers))
        )
        terms = [
            [slope.scaled(part) for part in number.parts]
            for slope, number in zip(slopes, numbers, strict=True)
            if number.depth == depth(kind)
        ]
        parts = [reduce(operator.add, part) for part in zip(*terms, strict=True)]
        return compiled(context, builder, kind, Derived(value, parts))

    return implementation


def of_dtype(context, builder, kind, number):
    """Return the value of a number, or a constant, as compiled code has it in the rule of `kind`."""
    value = number.value if number.depth == depth(kind) else number
    return compiled(context, builder, kind.dtype, value)


def of_power(context, builder, sig, args):
    """Implement a power by the rule for its exponent: a whole number, one without derivatives, or any."""
    rule = power
    if isinstance(sig.args[1], types.Integer):
        rule = integer_power
    elif depth(sig.args[1]) < depth(sig.return_type):
        rule = constant_power
    return by_rule(rule)(context, builder, sig, args)


def pairwise(rule):
    """Return the implementation of a function of several numbers by a rule for two of them."""
    pair = by_rule(rule)

    def implementation(context, builder, sig, args):
        both = sig.return_type(sig.return_type, sig.return_type)
        return reduce(lambda a, b: pair(context, builder, both, (a, b)), args)

    return implementation


TAUGHT: dict[Callable, Callable] = {}


def learn(function, template):
    """Let Numba know the types of a function of dual numbers."""
    TAUGHT[function] = infer_global(function)(type(template.__name__, (template,), {}))


def teach(functions, template, count, implementation):
    """Let Numba know the types and the implementation of functions of `count` numbers."""
    for function in functions:
        learn(function, template)
        lower(function, count, implementation)


def keep_from_numbas_own():
    """Keep dual numbers from a template of Numba that takes it for granted that there is code for them."""
    own = NumpyRulesInplaceArrayOperator.generic

    def generic(self, args, kws):
        return None if any(map(has_duals, args)) else own(self, args, kws)

    NumpyRulesInplaceArrayOperator.generic = generic


def teach_all():
    """Give Numba all that is here."""
    for operation, others in ARITHMETIC.items():
        count = 1 if operation in (operator.neg, operator.pos) else 2
        teach((operation, *others), Smooth, count, arithmetic(operation))
    for rule, functions in RULES.items():
        teach(functions, Smooth, rule.__code__.co_argcount, by_rule(rule))
    teach((operator.mod, operator.imod, np.remainder), Smooth, 2, by_rule(remainder))
    teach((math.fmod, np.fmod), Smooth, 2, by_rule(fmod))
    teach((pow, operator.pow, operator.ipow, math.pow, np.power), Power, 2, of_power)
    for largest, rule in ((max, larger), (min, smaller)):
        learn(largest, Several)
        for count in range(2, MOST + 1):
            lower_builtin(largest, *[Dual] * count)(pairwise(rule))
    for function in FLAT:
        learn(function, Flat)
        for count in (1, 2):
            lower(function, count, of_values(function))
    prefer(TAUGHT)


keep_from_numbas_own()
teach_all()
