"""What a search from many starts returns: the minima that were found."""

from typing import Any

import numpy as np

from .batch_result import BatchResult
from .html import ROWS
from .html import shown as shown_as_html
from .result import OptimizeResult


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
