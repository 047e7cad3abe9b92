"""What a minimisation returns: results, and what they say."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .._compiled.reasons import (
    AT_NOISE,
    BY_NOISE,
    CONVERGED,
    INTERRUPTED,
    NOISY_LIMIT,
    OUT_OF_SECONDS,
    RAISED,
    REASONS,
    STOPPED,
)
from .._problem.structure import as_dict, names_of, structure_of
from .covariance import Covariances, correlation_of, stderr_of
from .html import ROWS
from .html import shown as shown_as_html
from .noise import Noise
from .verdicts import VERDICTS

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


LEAST, MOST = min(REASONS), max(REASONS)


def by_reason(values: Mapping[Any, Any], other: Any) -> np.ndarray:
    """Return an array of values by the numbers of reasons, of which negative ones count from the end."""
    table = np.array([other] * (1 + MOST - LEAST))
    for number, value in values.items():
        table[number] = value
    return table


STATUS = by_reason({number: reason.status for number, reason in REASONS.items()}, STOPPED)
BRIEFS = by_reason({number: reason.brief for number, reason in REASONS.items()}, None)


class BatchResult(OptimizeResult):
    """Results of `minimize_batch`: arrays with one row per problem.

    ``result[17]`` is the `Result` of problem 17, ``pandas.DataFrame(result.columns)`` a table of all.
    `len` and iteration are those of a dict of the names.

    Attributes
    ----------
    x : ndarray, shape (B, n)
        Best point visited of every problem, in the dtype of x0; yours to keep.
    fun : ndarray, shape (B,)
        Objective at `x`; NaN where it was never evaluated.
    jac : ndarray, shape (B, n)
        Gradient at `x`.
    gradient : str
        How it was had, as in `Result`.
    nit, nfev, njev : ndarray of int, shape (B,)
        Steps; evaluations of the objective and of the gradient.
    status : ndarray of int, shape (B,)
        As in `Result`, and 5 where `fun` or `jac` raised.
    success : ndarray of bool, shape (B,)
        Where `status` is 0.
    message : dict
        For every status that occurs, why the problems of that status stopped, and how many.
    reason : ndarray of str, shape (B,)
        Why each problem stopped.
    fun_stderr : ndarray, shape (B,)
        Where f of some problem is noisy: standard errors of `fun`, an estimate then; 0 where f is exact.
    stderr, covariance, at_bound, covariance_status : ndarray, shape (B, n), (B, n, n), (B, n) and (B,)
        With the option `errors`: as in `Result`, for each problem.
    covariance_message : dict
        For every status of these that occurs its meaning, and how many.
    exceptions : dict
        What `fun` or `jac` raised, by problem.
    params : ndarray, dict or NamedTuple
        `x` in the structure of x0, a leading axis B in each part; `x` itself where x0 had none.
    names : tuple of str
        What the variables are called, as in `Result`.
    columns : dict
        Flat arrays of shape (B,) by name: x0, x1, ..., or the names of the variables, stderr_x0, ..., fun,
        status, success, nit, nfev, and message. A variable of one of these names is "x.fun" and so on.
    failed : ndarray of int
        Numbers of the problems without success.
    best : int
        Number of the problem with the lowest `fun`.
    time, compile_time : float
        Seconds in all, and those of them spent compiling or loading compiled code.
    """

    x: np.ndarray
    fun: np.ndarray
    jac: np.ndarray
    gradient: str
    nit: np.ndarray
    nfev: np.ndarray
    njev: np.ndarray
    status: np.ndarray
    success: np.ndarray
    message: dict[int, str]
    reason: np.ndarray
    fun_stderr: np.ndarray
    stderr: np.ndarray
    covariance: np.ndarray
    at_bound: np.ndarray
    covariance_status: np.ndarray
    covariance_message: dict[int, str]
    exceptions: dict[int, Exception]
    time: float
    compile_time: float

    @classmethod
    def of(cls, solved: Any, gradient: str, time: float, compile_time: float) -> "BatchResult":
        """Return the result of problems that stopped for the reasons in `solved`."""
        counts = np.bincount(solved.reason - LEAST)
        message: dict[int, str] = {}
        for i in counts.nonzero()[0].tolist():
            reason = REASONS[i + LEAST]
            before = f"{message[reason.status]}; " if reason.status in message else ""
            message[reason.status] = f"{before}{reason.brief}: {counts[i]:,}"
        status = STATUS[solved.reason]
        result = cls(
            x=solved.x, fun=solved.fun, jac=solved.jac, gradient=gradient, nit=solved.nit,
            nfev=solved.nfev, njev=solved.njev, status=status, success=status == CONVERGED,
            message=dict(sorted(message.items())), reason=BRIEFS[solved.reason],
            exceptions=dict(sorted(solved.exceptions.items())), time=time, compile_time=compile_time,
        )  # fmt: skip
        if solved.fun_stderr.any():
            result.fun_stderr = solved.fun_stderr
        if solved.covariances is not None:
            result._take(solved.covariances)
        return result

    def _take(self, found: Covariances) -> None:
        """Take over covariances."""
        self.stderr = stderr_of(found.covariance)
        self.covariance, self.at_bound = found.covariance, found.at_bound
        self.covariance_status = found.verdict
        kinds, counts = np.unique(found.verdict, return_counts=True)
        self.covariance_message = {
            kind: f"{VERDICTS[kind].brief}: {count:,}"
            for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True)
        }

    @overload
    def __getitem__(self, key: str) -> Any: ...

    @overload
    def __getitem__(self, key: int) -> Result: ...

    def __getitem__(self, key: Any) -> Any:
        """Return an attribute by its name, or the `Result` of a problem by its number."""
        if isinstance(key, str):
            return super().__getitem__(key)
        if isinstance(key, bool) or not isinstance(key, int | np.integer):
            raise TypeError(
                f"A batch is indexed by a name or by the number of one problem; got {key!r}: index its"
                " arrays, as `result.x[...]`."
            )
        return self._problem(int(key))

    def _problem(self, b: int) -> Result:
        count = len(self.fun)
        if not -count <= b < count:
            raise IndexError(f"The number of a problem must be below {count}; got {b}.")
        rows = ("x", "jac", "stderr", "covariance", "at_bound")
        numbers = ("fun", "nit", "nfev", "njev", "status", "success", "covariance_status")
        own = {name: self[name][b].copy() for name in rows if name in self}
        own |= {name: self[name][b].item() for name in numbers if name in self}
        if "params" in self:
            own["params"] = structure_of(self.params, "x", axes=1).take(own["x"].copy())
        result = Result(own, gradient=self.gradient, message=self.reason[b])
        if "covariance" in own:
            result.correlation = correlation_of(result.covariance)
            result.covariance_message = VERDICTS[result.covariance_status].brief
        return result

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Flat arrays of shape (B,) by name."""
        names = self.names if "params" in self else [f"x{i}" for i in range(self.x.shape[1])]
        others = {name: self[name] for name in ("fun", "status", "success", "nit", "nfev")}
        others["message"] = self.reason
        taken = {*others, *(f"stderr_{name}" for name in names)}
        names = [f"x.{name}" if name in taken else name for name in names]
        columns = dict(zip(names, self.x.T, strict=True))
        if "stderr" in self:
            errors = zip(names, self.stderr.T, strict=True)
            columns |= {f"stderr_{name}": error for name, error in errors}
        return columns | others

    def maps(self, *shape: Any) -> dict[str, np.ndarray]:
        """Return the columns in the shape of a map, as of data of shape (ny, nx, m) row after row.

        ``minimize_batch(fun, x0, data=data.reshape(ny * nx, m)).maps(ny, nx)["x1"]``
        """
        return {name: column.reshape(*shape) for name, column in self.columns.items()}

    @property
    def params(self) -> Any:
        return self.get("params", self.x)

    @property
    def names(self) -> tuple[str, ...]:
        return names_of(self.params, axes=1)

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

    def _named(self) -> str:
        """Return the first names, where the variables have some."""
        if "params" not in self:
            return ""
        more = ", ..." if self.x.shape[1] > SHOWN else ""
        return f" ({', '.join(names_of(self.params, 1, SHOWN))}{more})"

    def __repr__(self) -> str:
        count, n = self.x.shape
        lines = [
            f"{count:,} problems of {n} variable{'s' * (n > 1)}{self._named()}:"
            f" {int(self.success.sum()):,} converged, {len(self.failed):,} not, in {self.time:.3g} s"
            f" (compiling {self.compile_time:.3g} s)"
        ]
        lines += [f"  status {code:>2}: {text}" for code, text in self.message.items()]
        for name in ("fun", "nit", "nfev"):
            values = np.asarray(self[name], float)
            values = values[np.isfinite(values)]
            if values.size:
                low, middle, high = np.quantile(values, (0, 0.5, 1))
                lines.append(f"  {name:>9}: {low:.6g} .. median {middle:.6g} .. {high:.6g}")
        for code, text in self.get("covariance_message", {}).items():
            lines.append(f"  errors {code:>2}: {text}")
        for b, error in list(self.exceptions.items())[:1]:
            lines.append(f"  problem {b} raised {type(error).__name__}: {error}")
        return "\n".join(lines)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        first, *others = repr(self).splitlines()
        return shown_as_html(first, [line.strip().split(":", 1) for line in others])


class MultistartResult(OptimizeResult):
    """Result of `multistart`.

    Attributes
    ----------
    x, fun, jac, status, success, message
        Of the lowest minimum, as in `Result`; where no start converged, of the lowest point, and
        `success` is False. `fun` is NaN where nothing was evaluated.
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
    params : ndarray, dict or NamedTuple
        `x` in the structure of the bounds; `x` itself where they had none.
    """

    x: np.ndarray
    fun: float
    jac: np.ndarray
    status: int
    success: bool
    message: str
    minima_x: np.ndarray
    minima_fun: np.ndarray
    counts: np.ndarray
    starts: np.ndarray
    batch: BatchResult
    nit: int
    nfev: int
    njev: int

    @property
    def params(self) -> Any:
        return self.get("params", self.x)

    @classmethod
    def of(
        cls, batch: BatchResult, starts: np.ndarray, rows: np.ndarray, counts: np.ndarray
    ) -> "MultistartResult":
        """Return the result with the distinct minima in `rows` of `batch`."""
        known = np.isfinite(batch.fun).any()  # none where the time was over at once
        best = int(rows[0]) if rows.size else batch.best if known else 0
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

    def _repr_html_(self) -> str:
        rows = [
            (f"{fun:.10g}", f"{count}", np.array2string(x, precision=6, threshold=ROWS))
            for fun, count, x in zip(self.minima_fun, self.counts, self.minima_x, strict=True)
        ]
        return shown_as_html(self.message, rows[:ROWS], ("f", "starts", "x"), len(rows) - ROWS)


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
