"""`check_gradient`: which element of a gradient is wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from ._compiled.elements import sizes_of
from ._problem.arguments import SCHEMES, argument_tuple, gradient_form, on_device
from ._problem.derivative import chosen_gradient
from ._problem.differences import Differences, Steps
from ._problem.flattened import flattened
from ._problem.objective import Objective
from ._problem.structure import start_of

DOUBT = 10.0  # differences may be wrong by so many times the error that is estimated for them
SHOWN = 8  # elements in the table


def check_gradient(fun: Callable, x: Any, jac: Any, args: Any = ()) -> "GradientCheck":
    """Compare a gradient with differences of the objective, element by element.

    The steps of the differences come from the noise of f and its curvature along each variable, so
    that variables may be of any size; what the differences are uncertain by, from noise and from
    another step, is known and is no fault of the gradient.

    Parameters
    ----------
    fun : callable
        Objective, as in `minimize`: Python or Numba.
    x : array_like, shape (n,), or any structure that x0 of `minimize` may have
        Where; a point at which no element is zero for a reason tells most. Never changed.
    jac : callable, True, "inplace" or "forward"
        Gradient, as in `minimize`.
    args : tuple
        Further arguments of `fun` and `jac`.

    Returns
    -------
    GradientCheck

    Raises
    ------
    TypeError, ValueError
        For a wrong argument, or where `fun` is not finite at `x`.

    Notes
    -----
    It takes some 6 n + 7 evaluations of `fun`. An element counts as wrong where it differs by more than
    ten times the uncertainty and by more than the root of the relative noise of f, 1.5e-8 for rounding.

    Examples
    --------
    >>> import numpy as np, adamnb
    >>> def fun(x):
    ...     return x[0] ** 2 * np.exp(x[1]) + 1e9 * x[2] ** 2
    >>> def jac(x):
    ...     return np.array([2 * x[0] * np.exp(x[1]), x[0] * np.exp(x[1]), 2e9 * x[2]])
    >>> check = adamnb.check_gradient(fun, [3.0, 1.0, 2e-6], jac)
    >>> check.ok, check.wrong.tolist()
    (False, [1])
    """
    fun, jac = gradient_form(fun, jac, None)
    if isinstance(jac, str) and jac in SCHEMES:
        raise ValueError(
            "`jac` must be callable, True, 'inplace' or 'forward': else there is none to check."
        )
    if on_device(x):
        raise TypeError("`x` must be an array on the host, where differences are taken.")
    structure, point = start_of(x, "x")
    args = argument_tuple(fun, args, 1 + (isinstance(jac, str) and jac == "inplace"))
    fun, jac = flattened(fun, jac, structure)
    jac, args = chosen_gradient(fun, jac, args, {}, point.dtype)
    given = np.empty_like(point)
    f = Objective(fun, jac, args, None, point).evaluate(point, given)
    if not np.isfinite(f):
        raise ValueError(f"`fun` must be finite at `x`; got {f}.")
    objective = Objective(_value_alone(fun, jac), "3-point", args, None, point)
    g = np.empty_like(point)
    for _ in range(2):  # the second with what the first has learnt
        objective.evaluate(point, g)
    steps: Any = objective.differences
    unit = np.where(point != 0, np.abs(point), sizes_of(point)).astype(float)
    wider = Steps(relative=2 * steps.step / unit)
    other = Differences(steps.values, point, None, "3-point", wider)
    other.gradient(point, f, np.empty_like(point))
    error = np.fmax(steps.error, np.abs(steps.slope - other.slope))
    relative = max(steps.eps, steps.noise / steps.rounds) ** 0.5
    allowed = DOUBT * error + relative * np.abs(steps.slope)
    with np.errstate(invalid="ignore"):
        excess = np.abs(given - steps.slope) / np.maximum(allowed, np.finfo(float).tiny)
    excess[np.isnan(excess)] = np.inf
    wrong = np.flatnonzero(excess > 1)
    return GradientCheck(
        ok=wrong.size == 0, wrong=wrong, jac=given, differences=steps.slope, error=error, fun=f,
        nfev=int(objective.counts[0]) + 1, worst=np.argsort(-excess, kind="stable"),
        names=structure.names,
    )  # fmt: skip


def _value_alone(fun: Callable, jac: Any) -> Callable:
    """Return the objective without its gradient."""
    if jac is True:
        return lambda x, *args: fun(x, *args)[0]
    if isinstance(jac, str) and jac == "inplace":
        return lambda x, *args: fun(x, np.empty_like(x), *args)
    return fun


class GradientCheck(OptimizeResult):
    """Result of `check_gradient`; printed, it is a table of the worst elements.

    Attributes
    ----------
    ok : bool
        Whether no element is wrong.
    wrong : ndarray of int
        Indices of the elements that are.
    jac, differences : ndarray, shape (n,)
        The gradient given, and that by differences.
    error : ndarray, shape (n,)
        What the differences are uncertain by.
    worst : ndarray of int, shape (n,)
        All indices, the one that is farthest off, as these uncertainties go, first.
    fun : float
        Objective at x.
    nfev : int
        Evaluations of `fun`.
    names : tuple of str or None
        What the elements are called, where x has a structure.
    """

    def __repr__(self) -> str:
        n = len(self.jac)
        found = f"{len(self.wrong)} of {n} elements" if len(self.wrong) else f"None of {n} elements"
        lines = [f"{found} of the gradient {'is' if len(self.wrong) < 2 else 'are'} wrong.", ""]
        names = self.names or range(n)
        shown = self.worst[:SHOWN].tolist()
        wide = max(7, *(len(str(names[i])) for i in shown))
        head = "name" if self.names else "index"
        lines.append(f"{head:>{wide}}  {'jac':>16}  {'differences':>16}  {'uncertain by':>12}")
        wrong = set(self.wrong.tolist())
        for i in shown:
            jac, differences, error = self.jac[i], self.differences[i], self.error[i]
            lost = jac != differences and error > max(abs(jac), abs(differences))
            verdict = "  wrong" if i in wrong else "  too small to tell" if lost else ""
            lines.append(
                f"{names[i]:>{wide}}  {jac:16.9g}  {differences:16.9g}  {error:12.1e}{verdict}"
            )
        return "\n".join(lines)

    __str__ = __repr__
