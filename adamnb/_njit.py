"""`njit_minimize`: the compiled loop, called from the user's own `@njit` code."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload

from . import _driver as D
from . import _rules as R
from ._methods import METHODS
from ._minimize import minimize
from ._options import complete
from ._result import STATUS
from ._state import AUTOMATIC, is_plain, option_vector


class Solution(NamedTuple):
    """What `njit_minimize` returns; the fields mean what they mean in `Result`."""

    x: np.ndarray
    fun: float
    jac: np.ndarray
    nit: int
    nfev: int
    status: int
    success: bool


def njit_minimize(
    fun: Callable,
    x0: np.ndarray,
    args: tuple = (),
    jac: Any = None,
    method: str = "adam",
    learning_rate: float | None = None,
    maxiter: int = 10_000,
    gtol: float = 1e-8,
    ftol: float = 1e-12,
) -> Solution:
    """Minimise within `@njit` code: `adamnb.minimize` without Python.

    Parameters
    ----------
    fun : `@njit` function
        ``fun(x, *args) -> float``; with ``jac=True`` it returns ``(f, gradient)``, with
        ``jac="inplace"`` it is ``fun(x, g, *args) -> float`` and writes the gradient into ``g``.
    x0 : ndarray, shape (n,), float64
        Start, finite; copied.
    args : tuple
        Further arguments of `fun` and `jac`.
    jac : `@njit` function, True or "inplace"
    method : str
        Name of a method, a literal in the calling code.
    learning_rate : float, optional
        None adapts it, as in `minimize`.
    maxiter, gtol, ftol
        As in `minimize`.

    Returns
    -------
    Solution
        A named tuple with the bits that `minimize` finds.

    Raises
    ------
    ValueError
        If the gradient has another length than x0.

    Notes
    -----
    Nothing but lengths is checked, and Ctrl-C waits for the end. A calling function that is cached
    on disk holds this package's code: delete its cache after an upgrade.

    Examples
    --------
    >>> import numpy as np, numba, adamnb
    >>> @numba.njit
    ... def fun(x, centre):
    ...     return np.sum((x - centre) ** 2), 2 * (x - centre)
    >>> @numba.njit
    ... def nearest(centre):
    ...     return adamnb.njit_minimize(fun, np.zeros(3), (centre,), jac=True).x
    >>> nearest(np.array([1.0, 2.0, 3.0])).round(4).tolist()
    [1.0, 2.0, 3.0]
    """
    result = minimize(
        fun,
        x0,
        args,
        method,
        jac,
        learning_rate=learning_rate,
        maxiter=maxiter,
        gtol=gtol,
        ftol=ftol,
    )
    return Solution(*(getattr(result, name) for name in Solution._fields))


# Not from the disk: compiled for the user's functions themselves, no cache entry would ever be hit.
_run = numba.njit(**R.JIT)(D.run.py_func)
_STATUS = np.array(STATUS)
FIRST_RATE = AUTOMATIC["first_rate"]


def _form(jac):
    """Stand in for `jac` as `run` takes it; Numba picks by type."""


@overload(_form, prefer_literal=True)
def _form_of(jac):
    if isinstance(jac, types.BooleanLiteral | types.Boolean):
        return lambda jac: None
    if isinstance(jac, types.StringLiteral):
        return (lambda jac: True) if jac.literal_value == "inplace" else None
    return lambda jac: jac


def _python_value(argument: Any) -> Any:
    """Return the value of an argument that is known when the calling code is compiled."""
    for name in ("literal_value", "value"):
        if hasattr(argument, name):
            return getattr(argument, name)
    return None if isinstance(argument, types.NoneType) else argument


@overload(njit_minimize, prefer_literal=True, jit_options=R.JIT)
def _njit_minimize(
    fun, x0, args=(), jac=None, method="adam", learning_rate=None, maxiter=10_000, gtol=1e-8, ftol=1e-12
):  # fmt: skip
    name = _python_value(method)
    if name not in METHODS:
        raise numba.core.errors.TypingError(
            f"`method` must be a literal, one of {', '.join(METHODS)}."
        )
    row = METHODS[name]
    defaults = option_vector(row, complete(row, {}), np.dtype(float))
    kind, slots_count, start = row.numba_type("serial", is_plain(defaults)), row.slots, row.start
    automatic = _python_value(learning_rate) is None

    @intrinsic
    def this_method(typingctx):
        return kind(), lambda context, builder, signature, arguments: context.get_dummy_value()

    # One of the two is compiled: the loop with an automatic learning rate or the loop without.
    def start_automatic(x0, o, fun, jac, args, x, g, slots, s, rate):
        s[D.RATE] = FIRST_RATE
        n = x0.size
        scale = np.where(x[0] != 0, np.abs(x[0]), 1.0)
        return _run(
            this_method(), fun, jac, args, x, g, slots, np.ones(n), np.zeros(n), scale, None, None,
            s, o, int(o[R.MAXITER]) + 1, None, None,
        )  # fmt: skip

    def start_given(x0, o, fun, jac, args, x, g, slots, s, rate):
        s[D.RATE] = rate
        return _run(
            this_method(), fun, jac, args, x, g, slots, None, None, None, None, None, s, o,
            int(o[R.MAXITER]) + 1, None, None,
        )  # fmt: skip

    begin = numba.njit(**R.JIT)(start_automatic if automatic else start_given)

    def impl(
        fun, x0, args=(), jac=None, method="adam", learning_rate=None, maxiter=10_000, gtol=1e-8, ftol=1e-12
    ):  # fmt: skip
        x, g = np.empty((D.X_ROWS, x0.size)), np.zeros((D.G_ROWS, x0.size))
        for i in range(x0.size):
            x[0, i] = x0[i]
        slots = np.full((slots_count, x0.size), start)
        s, o = np.zeros(len(D.SCALARS)), defaults.copy()
        o[R.MAXITER], o[R.GTOL], o[R.FTOL] = maxiter, gtol, ftol
        reason = begin(x0, o, fun, _form(jac), args, x, g, slots, s, learning_rate)
        if reason == D.WRONG_SHAPE:
            raise ValueError("`jac` returned a vector of another length than `x0`.")
        status = _STATUS[reason]
        return Solution(
            x[int(s[D.X_BEST])].copy(), s[D.FUN_BEST], g[int(s[D.G_BEST])].copy(), int(s[D.NIT]),
            int(s[D.NFEV]), status, status == 0,
        )  # fmt: skip

    return impl


# Where the first mention of `adamnb.njit_minimize` is in code under compilation, this module is imported
# while Numba looks that name up: it has to learn of the overload at once.
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()
