"""What every set of problems is made of."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

# No fastmath: the paths of two runs, and of two machines, are to be compared.
compiled = numba.njit(cache=True, error_model="numpy")


@dataclass(frozen=True, eq=False)
class Problem:
    """Minimise ``fun(x, g, *args)``, which returns f and writes the gradient into g.

    `x0` has shape (n,); `args` holds arrays and numbers; `bounds` is None or (lower, upper), each
    of shape (n,) and perhaps infinite. `minimum` is the global minimum, `minima` are other values
    where a minimiser may rightly stop: local minima, and limits at infinity. `certified` holds the
    parameters at the minimum where somebody certifies them. `exact` is None, or replaces `args`
    where f without noise is wanted; the last of `args` is then the state of a stream (streams.py).
    """

    name: str
    fun: Callable[..., float]
    x0: np.ndarray
    args: tuple = ()
    bounds: tuple[np.ndarray, np.ndarray] | None = None
    minimum: float = 0.0
    minima: tuple[float, ...] = ()
    certified: np.ndarray | None = None
    exact: tuple | None = None

    def fresh(self, seed=None):
        """A copy whose arrays are its own: a noisy objective counts its calls in `args`.

        `seed` starts its stream elsewhere.
        """
        own = copy.deepcopy(self)
        if seed is not None:
            own.args[-1][0] = seed
        return own

    def value(self, x):
        """f at `x`, shape (n,), without noise."""
        return self.pair(x)[0]

    def pair(self, x):
        """(f, g) at `x`, shape (n,), without noise."""
        g = np.empty(len(x))
        args = self.args if self.exact is None else self.exact
        return self.fun(np.asarray(x, dtype=np.float64), g, *args), g
