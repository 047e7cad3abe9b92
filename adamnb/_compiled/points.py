"""The user's functions at one point of each of several problems, as differences ask for them."""

from math import nan

from numba import types
from numba.extending import overload

from .cache import INLINED, alone
from .evaluation import evaluate, functions_of
from .views import lend

WORK, END = 0, 1  # in `span`: the place at work, should the user's function raise; the end


def value_at(functions, x, g, i, s):
    """Return f at a point, the only row of x, which is used up.

    Unless g is None, its row i becomes the gradient there; f is NaN where that has another length. Compiled
    by `_value_at`.
    """


@overload(value_at, jit_options=INLINED | {"_nrt": True})
def _value_at(functions, x, g, i, s):
    def value(functions, x, g, i, s):
        return functions.fun(x[0], *functions.args)

    def value_and_gradient(functions, x, g, i, s):
        s.njev, s.x = s.njev + 1, 0
        right = evaluate(functions, x.copy(), x[0], g[i], s, None)
        return s.fun if right else nan

    return value if isinstance(g, types.NoneType) else value_and_gradient


@alone(nogil=True, _nrt=True)
def evaluate_problems(functions, data, span, rows, points, f, g, state):
    """Evaluate the problems numbered in `rows`, and count.

    f, shape (R,), becomes f at `points`, shape (R, 1, n), and g, shape (R, n), unless it is None, the
    gradient. `state` has a record for every problem.
    """
    functions, state = lend(functions), lend(state)
    for i in range(span[WORK], span[END]):
        span[WORK], b = i, rows[i]
        state[b].nfev += 1
        f[i] = value_at(functions_of(functions, data, b), points[i], g, i, state[b])
