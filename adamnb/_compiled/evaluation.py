"""The user's functions and their gradient, however that is had, at one point."""

from typing import Any, NamedTuple

from numba import types
from numba.extending import overload

from .cache import INLINED, alone, copied, inner
from .curvature import LOOKING
from .differences import differenced
from .iteration import copy
from .views import problem_of


class Functions(NamedTuple):
    """The user's functions and their arguments.

    `jac` is a function, None where `fun` returns (f, gradient), True where it writes the gradient into its
    second argument, or what has been learnt for differences.
    """

    fun: Any
    jac: Any
    args: tuple


@copied
def functions_of(functions, data, b):
    """Return the functions of problem b: its own data come before the arguments of all."""
    jac, own = problem_of(functions.jac, b), problem_of(data, b)
    return Functions(functions.fun, jac, own + functions.args)


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
        if scale is not None and scale.size > 0:
            error = error * scale[i]
        s.gradient_error = max(s.gradient_error, error)


@alone(nogil=True, _nrt=True)
def evaluated(functions, x, spare, g, state):
    """Put f at a point, the only row of x, into the state, and the gradient into g.

    Returns whether the gradient is as long as x.
    """
    state[0].nfev += 1
    return evaluate(functions, x, spare, g, state[0], None)
