"""Gradients by differences of an f that is random, where many are averaged."""

import numpy as np

from .._compiled.differences import USUAL
from .sides import Values

LONG = 3.0  # factor of a step: half as many and twice as many do nearly as well
MEMORY = 50  # gradients that the curvature is a mean of
CHANGE = 1.5  # factor by which a step changes from one gradient to the next, at most
HIDDEN = 2.0  # standard errors below which a curvature may be 0
OF_CURVATURE = 6.0**0.5  # noise of f(x + h) - 2 f(x) + f(x - h), in noises of f
CLOCK = 100.0  # gradients after which steps begin to shrink


class ScatterDifferences:
    """The gradient of a random f by differences of both sides.

    One such gradient is worth little, and the mean of many is as good as its bias is small, which is of
    third order in the step. So a step is as long as makes the curvature show in one difference,
    ``3 sqrt(noise / |f''|)``, and shrinks with the sixth root of their number (Kiefer & Wolfowitz 1952; Spall
    1992). The curvature is a mean over gradients as well.

    Parameters
    ----------
    values : callable
        ``values(points) -> list of f``
    like : ndarray, shape (n,)
        A point of the dtype of x.
    bounds : pair of ndarray or None
        No point is outside; where both are equal the gradient is 0.
    size : ndarray, shape (n,)
        Of the variables.

    Attributes
    ----------
    noise : float
        Standard deviation of f, which is told from outside whenever it has been looked at.
    error : ndarray of float64, shape (n,)
        Standard deviation of each element of the last gradient.
    """

    LEARNT = ("noise", "longest", "step", "error", "curvature", "count")

    def __init__(
        self, values: Values, like: np.ndarray, bounds: tuple | None, size: np.ndarray
    ) -> None:
        self.values, self.dtype, self.noise = values, like.dtype, 0.0
        self.low, self.high = bounds or np.full((2, like.size), [[-np.inf], [np.inf]], like.dtype)
        self.free = np.flatnonzero(self.low < self.high)
        self.longest = np.asarray(size, float)
        self.step = USUAL * self.longest
        self.error, self.curvature = np.zeros((2, like.size))
        self.count = 0

    def gradient(self, x: np.ndarray, f: float, g: np.ndarray) -> None:
        """Write the gradient at x, where f is known and finite, to g."""
        g[...] = 0
        points, ways = [], np.zeros((2, x.size))
        for i in self.free:
            for side, way in enumerate((self.step[i], -self.step[i])):
                point = x.copy()
                point[i] = np.clip(x[i] + way, self.low[i], self.high[i])
                ways[side, i] = point[i] - x[i]
                points.append(point)
        found = np.full((2, x.size), f)
        found[:, self.free] = np.reshape(self.values(points), (-1, 2)).T
        with np.errstate(all="ignore"):  # beside a bound, and where f is not finite
            apart = ways[0] - ways[1]
            slope = np.where(apart > 0, (found[0] - found[1]) / apart, 0.0)
            bend = 2 * ((found[0] - f) / ways[0] - (found[1] - f) / ways[1]) / apart
        g[self.free] = np.where(np.isfinite(slope), slope, 0.0)[self.free]
        self.error = np.where(apart > 0, 2**0.5 * self.noise / np.fmax(apart, self.step), 0.0)
        self._learn(np.where(np.isfinite(bend), bend, self.curvature))

    def _learn(self, bend: np.ndarray) -> None:
        """Take in what the last values tell of the curvature, and choose the next steps."""
        self.count += 1
        several = min(self.count, MEMORY)
        self.curvature += (bend - self.curvature) / several
        hidden = HIDDEN * OF_CURVATURE * self.noise / (self.step**2 * several**0.5)
        curvature = np.fmax(np.abs(self.curvature), hidden)
        shrunk = (1 + self.count / CLOCK) ** (-1 / 6)
        with np.errstate(divide="ignore", invalid="ignore"):  # f may have no noise here
            wanted = np.fmin(LONG * np.sqrt(self.noise / curvature) * shrunk, self.longest)
        least = np.spacing(self.longest) ** 0.5 * self.longest**0.5
        wanted = np.where(np.isfinite(wanted), np.fmax(wanted, least), self.step)
        self.step = np.clip(wanted, self.step / CHANGE, self.step * CHANGE)
