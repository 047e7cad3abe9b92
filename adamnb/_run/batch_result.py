"""What a minimisation of many problems returns: a table with a row for each."""

from collections.abc import Mapping
from typing import Any, overload

import numpy as np

from .._compiled.reasons import CONVERGED, REASONS, STOPPED
from .._problem.structure import names_of, structure_of
from .covariance import Covariances, correlation_of, stderr_of
from .html import shown as shown_as_html
from .result import SHOWN, OptimizeResult, Result
from .verdicts import VERDICTS

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
