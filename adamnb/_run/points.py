"""Who evaluates f beside a minimum: a run, from Python, or machine code, for all problems of a block."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .._compiled.points import END, WORK


class Points(Protocol):
    """What evaluates f of many problems; `rows` are their numbers."""

    def gradients(self, rows: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return f, shape (R,), and gradients, shape (R, n), at one point of each problem."""

    def values(self, rows: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return f, shape (K, R), at K points of each problem, shape (K, R, n)."""


class RunPoints:
    """A single problem, evaluated from Python by the objective of its run."""

    def __init__(self, run: Any) -> None:
        self.objective, self.unit = run.objective, run.unit

    def gradients(self, rows: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        g = np.zeros_like(x[0])
        f = self.objective.evaluate(x[0], g)
        return np.array([f / self.unit]), g[np.newaxis] / self.unit

    def values(self, rows: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.array(self.objective.values(list(x[:, 0])))[:, np.newaxis]


class BlockPoints:
    """The problems of a block, evaluated in machine code that counts in `records`.

    ``run(with_gradients)`` returns the entry.
    """

    def __init__(
        self, run: Callable[[bool], Callable], functions: Any, data: tuple, records: np.ndarray
    ) -> None:
        self.run, self.functions, self.data, self.records = run, functions, data, records

    def gradients(self, rows: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        g = np.zeros_like(x)
        return self._evaluated(rows, x, g), g

    def values(self, rows: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.array([self._evaluated(rows, points, None) for points in x])

    def _evaluated(self, rows: np.ndarray, x: np.ndarray, g: np.ndarray | None) -> np.ndarray:
        """Return f; it is NaN where the user's function raises."""
        f, span = np.empty(len(rows)), np.array([0, len(rows)])
        points, run = x[:, np.newaxis].copy(), self.run(g is not None)
        while span[WORK] < span[END]:
            try:
                run(self.functions, self.data, span, rows, points, f, g, self.records)
                break
            except Exception:
                f[span[WORK]] = np.nan
                if g is not None:
                    g[span[WORK]] = np.nan
                span[WORK] += 1
        return f
