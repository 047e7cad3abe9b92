"""What a minimisation returns: the result, its status codes and messages."""

from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from . import _driver as D

CONVERGED, LIMIT, NO_PROGRESS, NOT_FINITE, OUT_OF_TIME, FAILED, STOPPED = 0, 1, 2, 3, 4, 5, 99

# The status of each reason for which `advance` stops, in the order of their numbers.
STATUS = (
    LIMIT, CONVERGED, CONVERGED, CONVERGED, CONVERGED, LIMIT, LIMIT, NO_PROGRESS, NOT_FINITE,
    NOT_FINITE, NOT_FINITE, NOT_FINITE,
)  # fmt: skip

# Reasons to stop that are known to Python alone.
OUT_OF_SECONDS, INTERRUPTED, SADDLE, POLISHED, ALL_FIXED, BAD_START, RAISED = range(-1, -8, -1)
STATUS_OF = dict(enumerate(STATUS)) | {
    OUT_OF_SECONDS: OUT_OF_TIME, INTERRUPTED: STOPPED, SADDLE: NO_PROGRESS, POLISHED: CONVERGED,
    ALL_FIXED: CONVERGED, BAD_START: NOT_FINITE, RAISED: FAILED,
}  # fmt: skip


# How a batch names them.
BRIEFLY = {
    D.BY_GRADIENT: "gradient within `gtol`", D.BY_OBJECTIVE: "f at rest within `ftol`",
    D.BY_STEP: "step within `xtol`", D.BY_TARGET: "`f_target` reached", POLISHED: "polished",
    ALL_FIXED: "all variables fixed", D.BY_MAXITER: "`maxiter` reached",
    D.BY_MAXFUN: "`maxfun` reached", D.STUCK: "no further progress", SADDLE: "no minimum: a saddle",
    D.BAD_FUN: "`fun` not finite", D.BAD_JAC: "`jac` not finite",
    D.TOO_LARGE: "`jac` too large to be squared", BAD_START: "`x0` not finite",
    OUT_OF_SECONDS: "`max_time` reached", RAISED: "`fun` or `jac` raised",
    INTERRUPTED: "stopped by `progress`",
}  # fmt: skip


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
    nit, nfev, njev : int
        Steps taken; evaluations of the objective (finite differences included) and of the gradient.
    status : int
        0 converged, 1 `maxiter` or `maxfun`, 2 no further progress possible, 3 a value that is not
        finite, 4 `max_time`, 99 the callback raised `StopIteration`.
    success : bool
        Whether `status` is 0.
    message : str
        Which test was met, and its value.
    x_last, fun_last : ndarray, float
        Last point evaluated and its objective.
    learning_rate : float or ndarray
        In use at the end.
    state : dict
        The solver's vectors and numbers as plain arrays and floats.
    time, compile_time : float
        Seconds in all, and those of them spent compiling or loading compiled code.
    compiled : bool
        Whether the whole loop ran in machine code.
    history : dict of ndarray
        If asked for: `fun`, `slope` and `learning_rate` of every point evaluated.
    """

    def __repr__(self) -> str:
        return repr(
            OptimizeResult({k: v for k, v in self.items() if k not in ("state", "history")})
        )


class BatchResult(OptimizeResult):
    """Results of `minimize_batch`: arrays with one row per problem.

    Attributes
    ----------
    x : ndarray, shape (B, n)
        Best point visited of every problem, in the dtype of x0; yours to keep.
    fun : ndarray, shape (B,)
        Objective at `x`; NaN where it was never evaluated.
    jac : ndarray, shape (B, n)
        Gradient at `x`.
    nit, nfev, njev : ndarray of int, shape (B,)
        Steps; evaluations of the objective and of the gradient.
    status : ndarray of int, shape (B,)
        As in `Result`, and 5 where `fun` or `jac` raised.
    success : ndarray of bool, shape (B,)
        Where `status` is 0.
    message : dict
        For every status that occurs, why the problems of that status stopped, and how many.
    errors : dict
        What `fun` or `jac` raised, by problem.
    failed : ndarray of int
        Numbers of the problems without success.
    best : int
        Number of the problem with the lowest `fun`.
    time, compile_time : float
        Seconds in all, and those of them spent compiling or loading compiled code.
    """

    @classmethod
    def of(
        cls, solved: Any, errors: dict[int, Exception], time: float, compile_time: float
    ) -> "BatchResult":
        """Return the result of problems that stopped for the reasons in `solved`."""
        kinds, counts = np.unique(solved.reason, return_counts=True)
        message: dict[int, str] = {}
        status = np.full(len(solved.reason), STOPPED)
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
            code = STATUS_OF[kind]
            status[solved.reason == kind] = code
            before = f"{message[code]}; " if code in message else ""
            message[code] = f"{before}{BRIEFLY[kind]}: {count:,}"
        return cls(
            x=solved.x, fun=solved.fun, jac=solved.jac, nit=solved.nit, nfev=solved.nfev,
            njev=solved.njev, status=status, success=status == CONVERGED,
            message=dict(sorted(message.items())), errors=errors, time=time,
            compile_time=compile_time,
        )  # fmt: skip

    @property
    def failed(self) -> np.ndarray:
        """Numbers of the problems without success."""
        return np.flatnonzero(~self.success)

    @property
    def best(self) -> int:
        """Number of the problem with the lowest finite `fun`."""
        known = np.where(np.isfinite(self.fun), self.fun, np.inf)
        if not (known < np.inf).any():
            raise ValueError("No problem has a finite `fun`.")
        return int(np.argmin(known))

    def __repr__(self) -> str:
        count, n = self.x.shape
        lines = [
            f"{count:,} problems of {n} variable{'s' * (n > 1)}: {int(self.success.sum()):,} converged,"
            f" {len(self.failed):,} not, in {self.time:.3g} s (compiling {self.compile_time:.3g} s)"
        ]
        lines += [f"  status {code:>2}: {text}" for code, text in self.message.items()]
        for name in ("fun", "nit", "nfev"):
            values = np.asarray(self[name], float)
            values = values[np.isfinite(values)]
            if values.size:
                low, middle, high = np.quantile(values, (0, 0.5, 1))
                lines.append(f"  {name:>9}: {low:.6g} .. median {middle:.6g} .. {high:.6g}")
        for b, error in list(self.errors.items())[:1]:
            lines.append(f"  problem {b} raised {type(error).__name__}: {error}")
        return "\n".join(lines)

    __str__ = __repr__


class MultistartResult(OptimizeResult):
    """Result of `multistart`.

    Attributes
    ----------
    x, fun, jac, status, success, message
        Of the lowest minimum, as in `Result`; where no start converged, of the lowest point, and
        `success` is False.
    minima_x : ndarray, shape (M, n)
        The distinct minima, lowest first.
    minima_fun : ndarray, shape (M,)
        Their values.
    counts : ndarray of int, shape (M,)
        How many starts led to each.
    starts : ndarray, shape (n_starts, n)
        Where the search began.
    batch : BatchResult
        What every start led to.
    nit, nfev, njev : int
        Of all starts together.
    """

    @classmethod
    def of(
        cls, batch: BatchResult, starts: np.ndarray, rows: np.ndarray, counts: np.ndarray
    ) -> "MultistartResult":
        """Return the result with the distinct minima in `rows` of `batch`."""
        best = int(rows[0]) if rows.size else batch.best
        return cls(
            x=batch.x[best].copy(), fun=float(batch.fun[best]), jac=batch.jac[best].copy(),
            status=int(batch.status[best]), success=bool(batch.success[best]),
            message=f"{len(rows)} distinct minima from {counts.sum()} of {len(starts)} starts.",
            minima_x=batch.x[rows], minima_fun=batch.fun[rows], counts=counts, starts=starts,
            batch=batch, nit=int(batch.nit.sum()), nfev=int(batch.nfev.sum()),
            njev=int(batch.njev.sum()),
        )  # fmt: skip

    def __repr__(self) -> str:
        lines = [self.message]
        shown = list(zip(self.minima_fun, self.counts, strict=True))
        lines += [f"  f = {fun:.10g}  from {count} starts" for fun, count in shown[:12]]
        if len(shown) > 12:
            lines.append(f"  and {len(shown) - 12} more")
        return "\n".join(lines)

    __str__ = __repr__


def outcome(reason: int, s: Any, o: dict[str, Any], bad: int | None) -> tuple[int, str]:
    """Return status and message for a reason to stop."""
    polish = o["polish"] and ("L-BFGS-B" if o["polish"] is True else o["polish"])
    slope = s[D.SLOPE_BEST] if polish else s[D.SLOPE]
    relative = slope / s[D.SLOPE_FIRST] if 0 < s[D.SLOPE_FIRST] < np.inf else 0.0
    nit = int(s[D.NIT])
    where = "" if bad is None else f" at index {bad}"
    message = {
        D.BY_GRADIENT: (
            f"Converged: the projected gradient fell to {relative:.3g} of the first one"
            f" (`gtol` = {o['gtol']:g})."
        ),
        D.BY_OBJECTIVE: (
            f"Converged: the best f gained less than `ftol` = {o['ftol']:g} (relative) in"
            f" {o['patience']:g} iterations, and the gradient fell to {relative:.3g} of the first."
        ),
        D.BY_STEP: (
            f"Converged: the largest relative step {s[D.STEP]:.3g} is within `xtol` = {o['xtol']:g}."
        ),
        D.BY_TARGET: (
            f"Converged: f = {s[D.FUN_BEST]:g} has reached `f_target` = {o['f_target']:g}."
        ),
        POLISHED: (
            f"Converged: polished until f no longer fell, and the gradient fell to {relative:.3g} of"
            " the first one."
        ),
        ALL_FIXED: "All independent variables were fixed by bounds.",
        D.BY_MAXITER: (
            f"Maximum number of iterations has been exceeded (`maxiter` = {o['maxiter']:g}); the"
            f" gradient fell to {relative:.3g} of the first one."
        ),
        D.BY_MAXFUN: (
            f"Maximum number of function evaluations has been exceeded (`maxfun` = {o['maxfun']:g})."
        ),
        D.STUCK: (
            f"No further progress possible: learning rate {s[D.RATE]:.1g} after {s[D.FAILURES]:g}"
            f" returns to the best point, the gradient fell to {relative:.3g} of the first one. Check"
            " the gradient, or polish."
        ),
        SADDLE: (
            f"Not a minimum: the gradient fell to {relative:.3g} of the first one, but f curves"
            " downwards from there. Start elsewhere, or polish."
        ),
        OUT_OF_SECONDS: f"Time limit of `max_time` = {o['max_time']:g} s has been reached.",
        INTERRUPTED: "`callback` raised `StopIteration`.",
        D.BAD_FUN: (f"`fun` is {s[D.FUN]} in iteration {nit}; the best point is kept."),
        D.BAD_JAC: (f"`jac` is not finite{where} in iteration {nit}; the best point is kept."),
        D.TOO_LARGE: (
            f"`jac` is too large to be squared ({s[D.SLOPE]:.3g} in iteration {nit}): divide the"
            " objective by a constant."
        ),
    }[reason]
    if polish and reason not in (INTERRUPTED, OUT_OF_SECONDS):
        message += f" Polished by {polish}."
    return STATUS_OF[reason], message
