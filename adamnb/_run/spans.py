"""Spans of iterations in machine code: their types, the learning rates of one, and one iteration alone."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numba import types

from .._compiled.functions import first_class
from .._compiled.held import CALLBACK, CODE, PLACE, hold
from .._compiled.iteration import advance
from .._compiled.machine_code import array_type, machine_code
from .._compiled.problems import run_problems
from .._compiled.reasons import GOING
from .._compiled.records import OPTIONS, STATE
from .._compiled.run import RATES, TRACE, Span, run
from .._compiled.views import of_problems
from .._problem.options import checked_rate
from .state import State

NO_DATA = types.Tuple(())  # of a single problem
NUMBERS = array_type(np.dtype(np.int64), 1)
ONE = np.array([GOING, 0, 1])  # what `run_problems` is told of one problem


def loop_around(
    loop: Callable, functions: types.Type, data: types.Type, method: types.Type, *others: types.Type
) -> Callable:
    """Return a loop as Python calls it, for types: ``call(functions, data, *others)``.

    Its machine code is that of all functions and data; what is compiled for theirs is small.
    """
    around = machine_code(hold, (functions, data, CALLBACK))
    inner = machine_code(loop, (method, *others, CODE, PLACE))

    def call(functions: Any, data: tuple, *others: Any) -> Any:
        return around(functions, data, partial(inner, None, *others))

    return call


# By the addresses of the types, which it keeps: to hash them takes longer than all else here.
_known: dict[tuple[int, ...], tuple] = {}


def run_of(
    functions: types.Type, method: types.Type, vectors: types.Type, span: types.Type
) -> Callable:
    """Return the loop over iterations for types: ``call(functions, vectors, state, options, span)``.

    Its machine code is that of the loop over problems, of which there is one.
    """
    given = functions, method, vectors, span
    key = tuple(map(id, given))
    if key not in _known:
        rest = array_type(STATE, 1), array_type(OPTIONS, 1), span
        signature = method, NUMBERS, of_problems(vectors), *rest, CODE, PLACE
        machine_code(run_problems, signature)
        kind, address = first_class(run_problems.overloads[signature])
        loop = loop_around(run, functions, NO_DATA, method, kind, NUMBERS, vectors, *rest)

        def call(functions: Any, *others: Any) -> int:
            return loop(functions, (), address, ONE.copy(), *others)

        _known[key] = given, call
    return _known[key][-1]


def advance_of(method: types.Type, state: State) -> Callable:
    """Return the machine code of one iteration with an evaluation from Python."""
    vectors, records = state.types()
    vector = array_type(state.vectors.spare.dtype, 1)
    return machine_code(advance, (method, vectors, records, array_type(OPTIONS, 1), vector, vector))


def infinite_here(method: types.Type, state: State, options: np.ndarray) -> int:
    """Make the iteration in which f is infinite at the current point; return the reason."""
    v, state.s.fun = state.vectors, np.inf
    g, next_point = np.zeros_like(v.spare), np.empty_like(v.spare)
    return advance_of(method, state)(None, v, state.records, options, g, next_point)


@cache
def span_type(scheduled: bool, traced: bool = False) -> types.Type:
    """Return the Numba type of a `Span`, with learning rates or a trace or without."""
    rates, trace = RATES if scheduled else types.none, TRACE if traced else types.none
    return types.NamedTuple((types.int64, rates, trace), Span)


def coming_rates(
    rate: Any, settings: Any, steps: int, done: int, now: float
) -> tuple[int, np.ndarray | None]:
    """Return how many evaluations come next, at most `steps`, and the learning rate after each.

    The rates are None where the state has its own. After the last evaluation that `maxiter` and `maxfun`
    allow no step follows, and the rate stays as it is: `now`, if there are none before. Where the
    schedule raises, the steps before are made first: they may be all that it takes.
    """
    if not callable(rate):
        return steps, None
    last = int(min(settings[0].maxiter, settings[0].maxfun - 1))
    steps = min(steps, max(1, last + 1 - done))
    rates: list[float] = []
    for t in range(done + 1, done + steps + 1):
        try:
            rates.append(checked_rate(rate, t) if t <= last else [now, *rates][-1])
        except Exception:
            if not rates:
                raise
            break
    return len(rates), np.array(rates)
