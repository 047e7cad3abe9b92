"""What `curve_fit` returns, and what it says."""

from typing import Any

import numpy as np

from .._compiled.reasons import (
    BAD_DATA,
    BAD_FUN,
    BAD_JAC,
    BAD_START,
    BY_ERROR,
    BY_GRADIENT,
    BY_MAXFUN,
    BY_OBJECTIVE,
    BY_ROUNDING,
    BY_STEP,
    INTERRUPTED,
    OUT_OF_RANGE,
    RAISED,
    REASONS,
    STUCK,
    WRONG_SHAPE,
)
from .html import ROWS, shown
from .result import rounded

# What is said of one curve, with the tolerances and `max_nfev`; and SciPy's number (`ier`) for it.
SAID = {
    BY_GRADIENT: (4, "The minimum is within `gtol` = {gtol:g} standard errors, by the linearised model."),
    BY_OBJECTIVE: (1, "The relative reductions of the cost, made and to come, are within `ftol` = {ftol:g}."),
    BY_STEP: (2, "The relative length of the steps made and to come is at most `xtol` = {xtol:g}."),
    BY_ROUNDING: (1, "No step lowers the cost by more than it is rounded."),
    BY_ERROR: (1, "No step lowers the cost; at most 1e-8 of it is promised, an error of differences."),
    BY_MAXFUN: (5, "The maximum number of evaluations is exceeded (`max_nfev` = {max_nfev:g})."),
    STUCK: (7, "No step from here lowers the cost, and it is no minimum: is `jac` that of `f`?"),
    BAD_FUN: (0, "`f` is not finite at `p0`, or not positive where counts are fitted."),
    BAD_JAC: (0, "The Jacobian is not finite at `p0`."),
    WRONG_SHAPE: (0, "`f` returned another number of values than `ydata` has."),
    BAD_START: (0, "`p0` is not finite."),
    BAD_DATA: (0, "The data are not finite, or no point counts."),
    OUT_OF_RANGE: (0, REASONS[OUT_OF_RANGE].message),
    RAISED: (0, "`f` or `jac` raised."),
    INTERRUPTED: (0, "`progress` raised `StopIteration`."),
}  # fmt: skip

# Where a fit has been under way, so that its best point says something.
KNOWN = (BY_GRADIENT, BY_OBJECTIVE, BY_STEP, BY_ROUNDING, BY_ERROR, BY_MAXFUN, STUCK)


class CurveFit(tuple):
    """Result of `curve_fit`: a tuple ``popt, pcov``, or what `full_output` asks for, with attributes.

    Shapes are those of one curve; of many, the axes of `ydata` before the points come first.

    Attributes
    ----------
    popt : ndarray, shape (n,)
        Best parameters; NaN where nothing could be fitted.
    pcov : ndarray, shape (n, n)
        Their covariance; infinite where the data do not determine them, NaN where `success` is False.
    perr : ndarray, shape (n,)
        Standard errors, the roots of its diagonal.
    cost : float
        Half the sum of squares in units of sigma, of losses, or half the deviance of counts.
    residuals : ndarray, shape (m,)
        ``(f(xdata, *popt) - ydata) / sigma``; those of Pearson for counts. Of one curve only.
    active_mask : ndarray of int, shape (n,)
        -1 where a parameter is at its lower bound, 1 at the upper one. Its `perr`, as SciPy's, is that of
        a fit without bounds, and no error bar.
    nfev, njev : int
        Evaluations of the model, those for differences included, and of its Jacobian.
    status : int
        0 converged, 1 `max_nfev`, 2 no further progress, 3 a value that is not finite, 5 an exception,
        99 not finished.
    success : bool
        Whether `status` is 0.
    message : str, or dict of str by status
        Why it ended.
    exceptions : dict
        What `f` or `jac` raised, by curve, counted through.
    gradient : str
        How the Jacobian was had: "jac", "forward" (exact), "differences" (forward, and of both sides at the
        end), "2-point", "3-point" or "cs".
    compiled : bool
        Whether it ran in machine code.
    time, compile_time : float
        Seconds in all, and those of them spent compiling or loading compiled code.
    """

    popt: np.ndarray
    pcov: np.ndarray
    perr: np.ndarray
    cost: Any  # from here to `message` numbers of one curve, or arrays
    residuals: np.ndarray
    active_mask: np.ndarray
    nfev: Any
    njev: Any
    status: Any
    success: Any
    message: Any
    exceptions: dict[int, Exception]
    gradient: str
    compiled: bool
    time: float
    compile_time: float

    def __new__(cls, unpacked: tuple, attributes: dict[str, Any]) -> "CurveFit":
        result = super().__new__(cls, unpacked)
        vars(result).update(attributes)
        return result

    def __getnewargs__(self) -> tuple:
        return tuple(self), vars(self)

    def __repr__(self) -> str:
        shown = ("popt", "perr", "cost", "nfev", "success", "message")
        if self.popt.ndim == 1:
            return "\n".join(f"{name:>8}: {getattr(self, name)}" for name in shown)
        good = int(np.count_nonzero(self.success))
        count = self.popt[..., 0].size
        lines = [
            f"{count:,} curves, {self.popt.shape[-1]} parameters: {good:,} converged, {count - good:,} not"
        ]
        said = self.message.items()
        return "\n".join(lines + [f"  status {code:>2}: {text}" for code, text in said])

    def _repr_html_(self) -> str:
        if self.popt.ndim > 1:
            first, *others = repr(self).splitlines()
            return shown(first, [line.strip().split(":", 1) for line in others])
        pairs = [rounded(*map(float, pair)) for pair in zip(self.popt, self.perr, strict=True)]
        rows = [(f"p[{i}]", *pair) for i, pair in enumerate(pairs[:ROWS])]
        message = f"{self.message} Cost {self.cost:.8g}, nfev {self.nfev}"
        return shown(message, rows, ("", "value", "standard error"), len(pairs) - ROWS)


def said_of(reason: int, tolerances: dict[str, Any]) -> tuple[int, str]:
    """Return SciPy's number for a reason, and its words."""
    number, words = SAID[REASONS[reason]]
    return number, words.format(**tolerances)


def said_of_many(
    reasons: np.ndarray, tolerances: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[int, str]]:
    """Return which curves are known, their status, SciPy's numbers, and why those of each status ended."""
    message: dict[int, str] = {}
    known, (status, numbers) = np.zeros(reasons.shape, bool), np.zeros((2, *reasons.shape), int)
    kinds, counts = np.unique(reasons, return_counts=True) if reasons.size > 1 else (reasons, (1,))
    for kind, count in zip(kinds, counts, strict=True):
        code, here = REASONS[int(kind)].status, reasons == kind
        numbers[here], words = said_of(int(kind), tolerances)
        known[here], status[here] = kind in KNOWN, code
        before = f"{message[code]} " if code in message else ""
        message[code] = f"{before}{count:,}: {words}"
    return known, status, numbers, dict(sorted(message.items()))
