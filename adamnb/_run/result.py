"""What a minimisation returns, and what it says."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from .._compiled.reasons import (
    AT_NOISE,
    BY_NOISE,
    INTERRUPTED,
    NOISY_LIMIT,
    OUT_OF_SECONDS,
    RAISED,
    REASONS,
)
from .._problem.structure import as_dict, names_of
from .html import ROWS
from .html import shown as shown_as_html
from .noise import Noise

if TYPE_CHECKING:  # SciPy's, to which any attribute is one, would hide those that there are not

    class OptimizeResult(dict[str, Any]):
        """A dict whose items are attributes."""

else:
    from scipy.optimize import OptimizeResult

UNDER_NOISE = (AT_NOISE, BY_NOISE, NOISY_LIMIT)
SHOWN = 8  # variables that are named; most that have their correlations in the table


class Result(OptimizeResult):
    """Result of a minimisation, a `scipy.optimize.OptimizeResult`.

    Attributes
    ----------
    x : ndarray, shape (n,)
        Best point visited, in the dtype of x0; yours to keep.
    fun : float
        Objective at `x`.
    jac : ndarray, shape (n,)
        Gradient at `x`.
    gradient : str
        How it was had: "jac" if the caller gave it, "forward" (exact derivatives of a Numba function),
        "differences" (forward, and of both sides where these are needed), "2-point", "3-point" (of both
        sides) or "cs".
    nit, nfev, njev : int
        Steps taken; evaluations of the objective (finite differences included) and of the gradient.
    status : int
        0 converged, 1 `maxiter` or `maxfun`, 2 no further progress possible, 3 a value that is not
        finite, 4 `max_time`, 5 an exception, which has this result as its attribute `adamnb_result`,
        99 the callback raised `StopIteration`.
    success : bool
        Whether `status` is 0.
    message : str
        Which test was met, and its value.
    x_last, fun_last : ndarray, float
        Last point evaluated and its objective.
    noise : Noise
        Where f is noisy: standard deviations of one evaluation, `noise.fun` of f and `noise.jac` of the
        elements of its gradient, shape (n,), or None where that is had by differences. `x` is then an
        average of points, `fun` and `jac` are means of several evaluations there.
    fun_stderr : float
        Where f is noisy: standard error of `fun`.
    nepoch, passes, seed, batch_size, samples : int, float, int, int, tuple of int
        Of `minimize_stochastic`: epochs done; rows evaluated, as parts of all; what gives the same order of
        rows again; rows of a batch, and those of the samples.
    learning_rate : float or ndarray
        In use at the end; of steps by secant pairs the longest step, per root of n, in units of `x_scale`.
    state : mapping
        The solver's vectors and numbers as plain arrays and floats.
    time, compile_time : float
        Seconds in all, and those of them spent compiling or loading compiled code.
    compiled : bool
        Whether the whole loop ran in machine code.
    params : ndarray, dict or NamedTuple
        `x` in the structure of x0: the same names and shapes, its arrays yours to keep. `x` itself where x0
        was a vector; then it is no item of the result.
    names : tuple of str
        What the elements of `x` are called: "rate", "width[0]", "peak.position"; "x[0]" of a vector.
    stderr : ndarray, shape (n,)
        With the option `errors`, as all up to `intervals`: standard errors, NaN where there are none.
    covariance, correlation : ndarray, shape (n, n)
        Of the variables that no bound holds; NaN in the rows and columns of the others.
    at_bound : ndarray of bool, shape (n,)
        Variables on a bound that f does not pull away from it. They have no standard error.
    covariance_status, covariance_message : int, str
        0 where there are standard errors; else why there are none: 1 x is off the minimum, 2 the Hessian is
        not positive definite, 3 f does not determine some variables, 4 f is not finite beside x, 5 the
        Hessian is lost in noise, 6 all variables are at bounds, 7 there is no fit.
    intervals, intervals_message : ndarray, shape (n, 2), and str
        With the option `profile`: ends of the intervals of these variables, at a bound where f does not rise
        so far before it, infinite where it never does; NaN for the others.
    history : dict of ndarray
        If asked for: `fun`, `gradient_norm` (the largest element of the projected gradient, times
        x_scale) and `learning_rate` of every point evaluated.
    """

    x: np.ndarray
    fun: float
    jac: np.ndarray
    gradient: str
    nit: int
    nfev: int
    njev: int
    status: int
    success: bool
    message: str
    x_last: np.ndarray
    fun_last: float
    learning_rate: float | np.ndarray
    gradient_norm: float
    state: Mapping[str, Any]
    time: float
    compile_time: float
    compiled: bool
    noise: Noise
    fun_stderr: float
    nepoch: int
    passes: float
    seed: int
    batch_size: int
    samples: tuple[int, ...]
    stderr: np.ndarray
    covariance: np.ndarray
    correlation: np.ndarray
    at_bound: np.ndarray
    covariance_status: int
    covariance_message: str
    intervals: np.ndarray
    intervals_message: str
    history: dict[str, np.ndarray]

    @property
    def params(self) -> Any:
        return self.get("params", self.x)

    @property
    def names(self) -> tuple[str, ...]:
        return names_of(self.params)

    def __repr__(self) -> str:
        hidden = {"state", "history"}
        if "stderr" in self:  # there is a table
            hidden |= {"x", "params", "stderr", "covariance"}
            hidden |= {"correlation", "at_bound", "intervals"}
        shown = {k: v for k, v in self.items() if k not in hidden}
        if "params" in shown:
            shown["params"] = as_dict(shown["params"])
        rest = repr(OptimizeResult(shown))
        return f"{self.table()}\n{rest}" if "stderr" in self else rest

    def table(self) -> str:
        """Return a table of the variables with their standard errors, intervals and correlations."""
        n, ends = self.x.size, self.get("intervals")
        names = self.names
        width = max(map(len, names))
        lines = []
        for i, name in enumerate(names):
            value, error = rounded(float(self.x[i]), float(self.stderr[i]))
            line = (
                f"{name:>{width}} = {value:>13} +- {'at bound' if self.at_bound[i] else error:<9}"
            )
            if ends is not None and not np.isnan(ends[i]).any():
                line += f"  {ends[i, 0]:.6g} to {ends[i, 1]:.6g}"
            if 1 < n <= SHOWN:
                line += " " + " ".join(f"{c:6.3f}" for c in self.correlation[i, :i])
            lines.append(line.rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        n, errors = self.x.size, "stderr" in self
        rows: list[tuple[str, ...]] = []
        for i, name in enumerate(names_of(self.params, 0, ROWS)):
            value, error = f"{float(self.x[i]):.8g}", ""
            if errors:
                value, error = rounded(float(self.x[i]), float(self.stderr[i]))
                error = "at bound" if self.at_bound[i] else error
            rows.append((name, value, error)[: 2 + errors])
        head = ("", "value", "standard error")[: 2 + errors]
        message = f"{self.get('message', 'Under way.')} f = {self.fun:.10g}, nit {self.nit}, nfev {self.nfev}"
        return shown_as_html(message, rows, head, n - ROWS)


def rounded(value: float, error: float) -> tuple[str, str]:
    """Return a value and its standard error as text, with two digits of the latter."""
    if not (np.isfinite(error) and error > 0 and np.isfinite(value)):
        return f"{value:.8g}", f"{error:.2g}"
    digits = int(np.floor(np.log10(max(abs(value), error)))) - int(np.floor(np.log10(error))) + 2
    return f"{value:#.{min(max(digits, 1), 17)}g}", f"{error:#.2g}"


def attach(error: BaseException, result: Any) -> None:
    """Let an exception carry what had been found before it, as its attribute `adamnb_result`."""
    with suppress(Exception):  # of a class that takes no attribute
        error.adamnb_result = result  # type: ignore[attr-defined]


def outcome(
    reason: int, s: Any, o: dict[str, Any], where: str, detail: str = ""
) -> tuple[int, str]:
    """Return status and message for a reason to stop; `where` says where the gradient is not finite."""
    polished = o["polish"] and ("L-BFGS-B" if o["polish"] is True else o["polish"])
    first = s.gradient_norm_first
    message = REASONS[reason].message.format(
        s=s, o=o, detail=detail, where=where,
        relative=s.gradient_norm_best / first if 0 < first < np.inf else 0.0,
        polish="" if polished else ", or polish",
    )  # fmt: skip
    if polished and reason not in (INTERRUPTED, OUT_OF_SECONDS, RAISED, *UNDER_NOISE):
        message += f" Polished by {polished}."
    return REASONS[reason].status, message
