"""The compiled loop over iterations, around the user's functions."""

from typing import Any, NamedTuple

from numba import types
from numba.extending import overload

from .cache import INLINED, alone, copied, entry, inner
from .curvature import LOOKING
from .differences import differenced
from .intrinsics import lend
from .iteration import copy, iterate
from .reasons import GOING, WRONG_SHAPE

RATES, TRACE = types.Array(types.float64, 1, "C"), types.Array(types.float64, 2, "C")


class Functions(NamedTuple):
    """The user's functions and their arguments.

    `jac` is a function, None where `fun` returns (f, gradient), True where it writes the gradient into its
    second argument, or what has been learnt for differences.
    """

    fun: Any
    jac: Any
    args: tuple


class Span(NamedTuple):
    """How far to run: so many iterations, with these learning rates, written down in this table."""

    steps: int
    rates: Any  # None where the learning rate is the state's own, or one for each iteration
    trace: Any  # None, or rows of (f, gradient norm, learning rate)


def evaluate(functions, x, spare, g, s, scale):
    """Put f at the current point, a row of x, into s.fun, and the gradient into g.

    The user's functions see `spare`, which holds the point and may be spoilt. Returns whether the
    gradient is as long as x. `scale` is that of variables, or None. Compiled by `_evaluate`.
    """


@overload(evaluate, jit_options=INLINED | {"_nrt": True})
def _evaluate(functions, x, spare, g, s, scale):
    def inplace(functions, x, spare, g, s, scale):
        s.fun = functions.fun(spare, g, *functions.args)
        return True

    def both(functions, x, spare, g, s, scale):
        s.fun, gradient = functions.fun(spare, *functions.args)
        return take(gradient, g, s)

    def separate(functions, x, spare, g, s, scale):
        s.fun = functions.fun(spare, *functions.args)
        copy(x[s.x], spare)
        return take(functions.jac(spare, *functions.args), g, s)

    def differences(functions, x, spare, g, s, scale):
        s.fun = functions.fun(spare, *functions.args)
        if s.looked == LOOKING:  # other differences would find other steps
            for i in range(g.size):
                g[i] = 0
            return True
        differenced(functions, x[s.x], spare, g, s)
        note_errors(functions.jac, s, scale)
        return True

    jac = functions.types[1]
    if isinstance(jac, types.BaseTuple):
        return differences
    if isinstance(jac, types.Boolean):
        return inplace
    return both if isinstance(jac, types.NoneType) else separate


@inner
def take(gradient, g, s):
    """Copy a gradient of the right length, an array or a tuple; return whether it was."""
    if len(gradient) != g.size:
        s.wrong_size = len(gradient)
        return False
    for i in range(g.size):
        g[i] = gradient[i]
    return True


@inner
def note_errors(learnt, s, scale):
    """Note the errors of f and of its gradient, the largest in units of `scale`."""
    s.fun_error, s.gradient_error = learnt.known[0].noise, 0.0
    for i in range(learnt.error.size):
        error = learnt.error[i]
        if scale is not None:
            error = error * scale[i]
        s.gradient_error = max(s.gradient_error, error)


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
    g = v.g[0] if s.g == 0 else v.g[1]
    if not evaluate(functions, v.x, v.spare, g, s, v.scale):
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


@alone(nogil=True, _nrt=True)
def evaluated(functions, x, spare, g, state):
    """Put f at a point, the only row of x, into the state, and the gradient into g.

    Returns whether the gradient is as long as x.
    """
    state[0].nfev += 1
    return evaluate(functions, x, spare, g, state[0], None)


@entry(_nrt=True)  # arguments may be lists, or what else shares in memory
def run(method, functions, vectors, state, options, span):
    """Iterate until a stop test is met, or to the end of the span; return the reason.

    `state` and `options` are arrays of one record. What the user's functions get is theirs during the
    call alone.
    """
    return iterate_on(
        method, functions, lend(vectors), lend(state)[0], lend(options)[0], lend(span)
    )
