"""The curvature of a mean over rows as a dense matrix, and steps by it within bounds and a radius.

It starts as the covariance of the gradients of single rows, which for a likelihood is the Hessian (Fisher's
information) and for other means of losses nearly a multiple of it, and learns from secant pairs.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

# Added to the matrix of unit diagonal, where rows do not tell variables apart; more where that is lost.
RIDGES = 1e-8, 1e-4, 1.0
DAMPING = 0.05  # least curvature of a pair, in parts of what was expected (Powell 1978)


class Move(NamedTuple):
    """A step, the fall of f that it promises, its length in the metric, and whether a radius has cut it."""

    step: ndarray
    promised: float
    length: float
    cut: bool


class Metric:
    """The Hessian of a mean, as far as it is known.

    Parameters
    ----------
    covariance : ndarray, shape (n, n)
        Of the gradients of single rows.
    scale : float
        The Hessian over it.

    Attributes
    ----------
    matrix : ndarray, shape (n, n)
    """

    MEMORY = ("covariance", "scale", "matrix", "new")

    def __init__(self, covariance: ndarray, scale: float) -> None:
        self.covariance, self.scale, self.matrix = covariance, scale, scale * covariance
        self.new = True  # without pairs
        self._factored: tuple | None = None  # of which variables, their units, the factor

    def memory(self) -> dict[str, Any]:
        """Return all that is known, by name; what is learnt later changes none of these arrays."""
        return {name: getattr(self, name) for name in self.MEMORY}

    @classmethod
    def of(cls, memory: Mapping[str, Any]) -> "Metric":
        """Return the metric that had this memory."""
        metric = cls(memory["covariance"], memory["scale"])
        metric.matrix, metric.new = memory["matrix"], memory["new"]
        return metric

    def felt(self) -> ndarray:
        """Return which variables the rows feel."""
        return np.diag(self.matrix) > 0

    def scatter(self) -> ndarray:
        """Return the standard deviation of the gradients of single rows."""
        return np.sqrt(np.diag(self.covariance))

    def solve(self, some: ndarray, right: ndarray) -> ndarray:
        """Return the inverse of the rows and columns of some variables, times a vector or matrix."""
        if self._factored is None or (self._factored[0] != some).any():
            self._factored = some.copy(), *self._factor(some)
        _, unit, factor = self._factored
        if factor is None:
            return np.full(right.shape, np.nan)
        return (cho_solve(factor, (right.T / unit).T, check_finite=False).T / unit).T

    def _factor(self, some: ndarray) -> tuple[ndarray, tuple | None]:
        """Return units of some variables, and a factor of their part of the matrix in these units."""
        unit = np.sqrt(np.diag(self.matrix)[some])
        alike = self.matrix[np.ix_(some, some)] / unit[:, np.newaxis] / unit
        for ridge in RIDGES:
            with suppress(LinAlgError):
                return unit, cho_factor(alike + ridge * np.eye(unit.size), check_finite=False)
        return unit, None

    def square(self, g: ndarray, free: ndarray) -> float:
        """Return the square of a gradient's length: Newton's step promises half of it."""
        return float(g[free] @ self.solve(free, g[free]))

    def errors(self, free: ndarray) -> ndarray:
        """Return the standard errors of free variables that a single row would leave.

        Those which hold of any loss (Huber 1967), or those of a likelihood, whichever are smaller: a few
        rows that are far from the others may make the former large.
        """
        inverse = self.solve(free, np.eye(int(free.sum())))
        scatter = inverse @ self.covariance[np.ix_(free, free)]
        square = np.minimum(np.einsum("ij,ij->i", scatter, inverse), np.diag(inverse) / self.scale)
        return np.sqrt(np.maximum(square, 0.0))

    def learn(self, step: ndarray, change: ndarray) -> None:
        """Take in how the gradient changed along a step (BFGS)."""
        along = self.matrix @ step
        expected, product = float(step @ along), float(step @ change)
        if not expected > 0:
            return
        if product < DAMPING * expected:
            share = (1 - DAMPING) * expected / (expected - product)
            change = share * change + (1 - share) * along
            product = float(step @ change)
        self.matrix = self.matrix + np.outer(change, change) / product
        self.matrix -= np.outer(along, along) / expected
        self.new, self._factored = False, None

    def rescale(self, step: ndarray, change: ndarray) -> None:
        """Take the scale from the first step, which is not yet one that errors of the matrix have chosen."""
        product, expected = float(step @ change), float(step @ self.matrix @ step)
        if self.new and product > 0 and expected > 0:
            self.scale *= product / expected
            self.matrix = self.scale * self.covariance

    def move(self, x: ndarray, g: ndarray, box: tuple, radius: float) -> Move:
        """Return Newton's step from x, no longer than a radius.

        Variables that it would lead beyond a bound go there, and the others make the best of it; where that
        does not descend, the step is along the diagonal of the matrix, projected.
        """
        low, high = box
        free = self.free(x, g, box)
        step, rest = np.zeros(x.size), free.copy()
        while rest.any():
            step[rest] = -self.solve(rest, (g + self.matrix @ np.where(rest, 0.0, step))[rest])
            beyond = rest & ((x + step < low) | (x + step > high))
            if not beyond.any():
                break
            step[beyond] = np.clip(x + step, low, high)[beyond] - x[beyond]
            rest &= ~beyond
        move = self._within(step, g, radius)
        if move.promised > 0:
            return move
        slope, diagonal = np.where(free, g, 0.0), np.diag(self.matrix)
        step = np.clip(x - np.divide(slope, diagonal, where=free, out=slope), low, high) - x
        curvature = float(step @ self.matrix @ step)
        if curvature > 0:
            step = step * min(1.0, -float(g @ step) / curvature)
        return self._within(step, g, radius)

    def _within(self, step: ndarray, g: ndarray, radius: float) -> Move:
        curvature, slope = float(step @ self.matrix @ step), float(g @ step)
        length = float(np.sqrt(max(curvature, 0.0)))
        part = min(1.0, radius / length) if length > 0 else 1.0
        promised = -(part * slope + 0.5 * part * part * curvature)
        return Move(part * step, promised, part * length, part < 1)

    def free(self, x: ndarray, g: ndarray, box: tuple) -> ndarray:
        """Return which variables the rows feel and no bound holds."""
        return self.felt() & ~held(x, g, box)


def held(x: ndarray, g: ndarray, box: tuple) -> ndarray:
    """Return which variables are on a bound, and not pulled away from it."""
    low, high = box
    return (low == high) | ((x <= low) & (g >= 0)) | ((x >= high) & (g <= 0))
