"""An iteration over elements that are on a device: `iterate`, given what was measured there.

On a device one iteration is three launches: the elements are *measured*, one thread *decides*, the
elements are *moved*. `decide` is `iterate`: in place of vectors it gets a `Remote`, and the loops over
elements that it asks for read there what was measured, or write there what is to be done.
"""

from math import isnan
from typing import Any, NamedTuple

from numba import types
from numba.extending import overload

from .._compiled.cache import INLINED, entry
from .._compiled.elements import Adaptation, Regularisation
from .._compiled.iteration import iterate
from .._compiled.loops import (
    Measured,
    forget_all,
    interpolate_all,
    measured,
    sweep_all,
)
from .._compiled.machine_code import array_type
from .._compiled.records import record
from .._compiled.rules import Coefficients

# What the elements are measured for, one reduction each.
(NORM, MOVED, ALONG, NORM2, PREVIOUS2, ALONG_BEST) = range(6)
REDUCTIONS = 6

# What was measured of the gradient in row `g` of g, and of the best one.
REDUCED = record(
    whole=("g",),
    real=("norm", "largest_step", "along", "norm2", "previous2", "along_best", "norm2_best"),
)

# What is to be done: why to stop, or what to do to the vectors before a step between rows of x and g.
PLAN = record(
    whole=(
        "reason", "forget", "interpolate", "before_x", "before_g", "after_x", "after_g", "x", "new", "g",
    )
)  # fmt: skip

# The numbers of a step: those of the rule, of regularisation, of adaptation, and where to interpolate.
RULE, REGULARISATION = 0, len(Coefficients._fields)
ADAPTATION = REGULARISATION + len(Regularisation._fields)
PART = ADAPTATION + len(Adaptation._fields)
NUMBERS = PART + 1


class Remote(NamedTuple):
    """What stands for vectors that are elsewhere."""

    reduced: Any  # an array of one REDUCED
    plan: Any  # an array of one PLAN
    numbers: Any  # shape (NUMBERS,), in the dtype of x
    roots: Any = None


def remote_type(remote: Remote) -> types.Type:
    """Return the Numba type of one whose arrays are on the host."""
    kinds = [types.none if a is None else array_type(a.dtype, a.ndim) for a in remote]
    return types.NamedTuple(kinds, Remote)


def is_remote(v):
    """Return whether the overloads here are to be taken."""
    return getattr(v, "instance_class", None) is Remote


@overload(measured, jit_options=INLINED)
def _measured(method, v, x, g, o):
    def remembered(method, v, x, g, o):
        m = v.reduced[0]
        if g == m.g:
            return Measured(m.norm, m.along, m.norm2, m.previous2)
        return Measured(m.norm, m.along_best, m.norm2_best, 0.0)

    return remembered if is_remote(v) else None


@overload(forget_all, jit_options=INLINED)
def _forget_all(method, v):
    def planned(method, v):
        v.plan[0].forget = 1
        v.reduced[0].along_best = 0.0

    return planned if is_remote(v) else None


@overload(interpolate_all, jit_options=INLINED)
def _interpolate_all(method, v, before, after, into, part):
    def planned(method, v, before, after, into, part):
        plan = v.plan[0]
        plan.interpolate = 1  # into what is moved then
        plan.before_x, plan.before_g = before
        plan.after_x, plan.after_g = after
        v.numbers[PART] = part

    return planned if is_remote(v) else None


@overload(sweep_all, jit_options=INLINED)
def _sweep_all(method, v, s, o, move, k):
    def planned(method, v, s, o, move, k):  # the largest step is measured with the next gradient
        plan = v.plan[0]
        plan.x, plan.new, plan.g = move
        write(k.rule, v.numbers, RULE)
        write(k.regularisation, v.numbers, REGULARISATION)
        write(k.adaptation, v.numbers, ADAPTATION)

    return planned if is_remote(v) else None


def write(values, numbers, first):
    """Write a tuple from place `first` on, nothing of None; compiled by `_write`."""


@overload(write, jit_options=INLINED)
def _write(values, numbers, first):
    def written(values, numbers, first):
        for j in range(len(values)):
            numbers[first + j] = values[j]

    if isinstance(values, types.NoneType):
        return lambda values, numbers, first: None
    return written


@entry
def decide(method, remote, state, options, fun, rate):
    """Make one iteration with what was measured at the current point, whose f is `fun`.

    `state` and `options` are arrays of one record; `rate` is NaN where the learning rate is the state's
    own.
    """
    s, plan, reduced = state[0], remote.plan[0], remote.reduced[0]
    s.fun, s.largest_step = fun, reduced.largest_step
    s.nfev += 1
    s.njev += 1
    if not isnan(rate):
        s.learning_rate = rate
    plan.forget = plan.interpolate = 0
    plan.reason = iterate(method, remote, s, options[0])
    if s.g_best == reduced.g:
        reduced.norm2_best = reduced.norm2
