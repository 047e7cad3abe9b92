"""The compiled loop over iterations, around the user's functions."""

from typing import Any, NamedTuple

from numba import types

from .cache import copied, entry, inner
from .held import evaluate_here
from .iteration import copy, iterate
from .reasons import GOING, WRONG_SHAPE
from .views import as_problems

RATES, TRACE = types.Array(types.float64, 1, "C"), types.Array(types.float64, 2, "C")


class Span(NamedTuple):
    """How far to run: so many iterations, with these learning rates, written down in this table."""

    steps: int
    rates: Any  # None where the learning rate is the state's own, or one for each iteration
    trace: Any  # None, or rows of (f, gradient norm, learning rate)


@inner
def set_rate(s, rates, i):
    """Take the learning rate of a step, where rates are given ahead."""
    if rates is not None:
        s.learning_rate = rates[i]


@inner
def write_down(trace, i, fun, s):
    """Write down f, gradient norm and learning rate of a point, where they are wanted."""
    if trace is not None:
        trace[i, 0], trace[i, 1], trace[i, 2] = fun, s.gradient_norm, s.learning_rate


@copied
def iterate_once(method, functions, v, s, o, span, i):
    """Evaluate, and make iteration i of the span; return the reason to stop, or GOING."""
    set_rate(s, span.rates, i)
    s.nfev += 1
    s.njev += 1
    if not evaluate_here(functions, v, s):
        return WRONG_SHAPE
    fun = s.fun
    reason = iterate(method, v, s, o)
    write_down(span.trace, i, fun, s)
    return reason


@copied
def iterate_on(method, functions, v, s, o, span):
    """Iterate until a stop test is met, or to the end of the span; return the reason."""
    copy(v.x[s.x], v.spare)
    for i in range(span.steps):
        reason = iterate_once(method, functions, v, s, o, span, i)
        if reason != GOING:
            return reason
    return GOING


@entry
def run(method, loop, reasons, vectors, state, options, span, code, place):
    """Iterate until a stop test is met, or to the end of the span; return the reason.

    By the machine code of `run_problems`, `loop`, for the only problem there is. `reasons` are three numbers
    of its own, `state` and `options` arrays of one record; `code` and `place` are those of an `Evaluation`.
    """
    loop(method, reasons, as_problems(vectors), state, options, span, code, place)
    return reasons[0]
