"""Hessians of many problems at once, by differences of gradients or of f alone.

They are had along directions in which they are nearly unit matrices: first along the variables, then along
what this shows to be independent of each other, by steps that are a small part of a standard error. So
nothing has a scale: not the variables, not f, not what the data say of their sums.
"""

from typing import NamedTuple

import numpy as np

from .points import Points
from .verdicts import DOWNWARDS, FOUND, INFINITE, NOISY, UNDETERMINED

# First steps of differences of gradients in sizes of variables; further ones in standard errors, and at least
# so many sizes; what is left of a curvature that is none; how far x may be off in standard errors.
FIRST, STEP, LEAST, FLAT, OFF = np.array(
    [(1e-5, 1e-3, 1e-7, 1e-9, 1e-4), (1e-2, 0.2, 1e-3, 1e-4, 1e-2)]  # float64, float32
).T
# The same of second differences of f, unless its noise asks for more.
SECOND, SECOND_LEAST = 0.01, 1e-9
# Times the steps, one after the other where a Hessian is not symmetric; where one of values is not repeated.
OTHERS, LONGER = np.array([(1.0, 0.1, 10.0, 100.0), (1.0, 3.0, 10.0, 30.0)])
LONGEST = 0.3  # standard errors that steps are lengthened to for what is not repeated
NEAR_BOUND = 0.1  # of the step, where a bound is so near that differences are taken beside x
SETTLED = 0.3  # what the Hessian may differ from the unit matrix by
ROUNDED = 1e3  # roundings of x that Newton's step may be
UNEVEN, UNCERTAIN = 1e-3, 0.05  # asymmetry of a Hessian: take longer steps; give up
# First steps in standard errors, and their errors, that need no further ones.
SHORT, CLEAR = 0.1, 1e-4
PASSES = 8  # of measuring


class Minima(NamedTuple):
    """Where B problems ended. x, f and g are changed where Newton's steps lead further down."""

    x: np.ndarray
    f: np.ndarray
    g: np.ndarray
    size: np.ndarray  # of the variables, shape (B, n)
    low: np.ndarray
    high: np.ndarray
    noise: np.ndarray | None = None  # of f; None where there are gradients that are no differences
    curvature: np.ndarray | None = None  # along each variable, as far as it is known then

    def held(self, rows: np.ndarray) -> np.ndarray:
        """Return which variables are on a bound, and not pulled away from it."""
        x, g, low, high = self.x[rows], self.g[rows], self.low[rows], self.high[rows]
        return (low == high) | ((x <= low) & (g >= 0)) | ((x >= high) & (g <= 0))

    def single(self, rows: np.ndarray) -> np.ndarray:
        """Return 1 where gradients have been computed in float32, else 0."""
        if self.x.dtype == np.float32:
            return np.ones(len(rows), int)
        both = np.column_stack([self.f[rows], self.g[rows]])
        with np.errstate(all="ignore"):
            return (np.float32(both) == both).all(axis=1).astype(int)


class Measured:
    """Hessians of problems with the same free variables, along directions that make them unit matrices.

    Attributes
    ----------
    ways : ndarray, shape (R, n, n)
        Directions, one a row, in which the curvature of f is about `height`: that of `covariances`, `own`, or
        1 where it is 0, as where data are matched exactly.
    hessian : ndarray, shape (R, n, n)
        Along these, in units of `height`.
    slope : ndarray, shape (R, n)
        Of f at x along these, in the same units.
    verdict, direction, tolerance : ndarray
        See `Covariances`; how far x may be off.
    """

    def __init__(
        self, points: Points, at: Minima, rows: np.ndarray, free: np.ndarray, height: np.ndarray
    ) -> None:
        self.points, self.at, self.rows, self.free, self.own = points, at, rows, free, height
        x = at.x[rows].astype(float)
        self.full, self.x = x, x[:, free]
        self.low, self.high = at.low[np.ix_(rows, free)], at.high[np.ix_(rows, free)]
        size = at.size[np.ix_(rows, free)].astype(float)
        self.size = np.maximum(size, 1e-3 * np.abs(self.x))
        self.single = at.single(rows)
        self.height = np.where(height > 0, height, 1.0)
        self.tolerance = OFF[self.single]
        count, n = self.x.shape
        self.error, self.slope = np.zeros(count), np.zeros((count, n))
        self.verdict, self.direction = np.full(count, int(NOISY)), np.zeros((count, n))
        first = FIRST[self.single, None] * self.size
        if at.noise is not None:
            self.noise = at.noise[rows]
            curvature = at.curvature[np.ix_(rows, free)] if at.curvature is not None else np.nan
            with np.errstate(all="ignore"):
                known = np.sqrt(self.height[:, None] / curvature)
            first = np.where(np.isfinite(known) & (known > 0), known, self.size)
        self.ways = first[:, :, None] * np.eye(n)
        self.hessian, self.expected, self.uneven = np.zeros((3, count, n, n))
        with np.errstate(all="ignore"):  # of what is not finite, which is seen
            self._measure()

    def _measure(self) -> None:
        """Find directions and the Hessian along them."""
        left, others = np.arange(len(self.rows)), np.zeros(len(self.rows), int)
        by_gradients = self.at.noise is None
        factors = OTHERS if by_gradients else LONGER
        self._look(left, np.ones_like(self.slope) if by_gradients else self._steps(left))
        for turn in range(PASSES):
            finite = np.isfinite(self.hessian[left]).all(axis=(1, 2))
            self.ways[left[~finite]] *= 0.1
            told = self._told(left[finite]) if by_gradients and turn == 0 else np.inf
            lowest = self._turn(left[finite], longer=not by_gradients and turn < 2)
            if (lowest > told).any():
                clear = left[finite][lowest > told]
                self._take_unit(clear)
                self._judge(clear)
                left = np.setdiff1d(left, clear)
                if left.size == 0:
                    return
            steps = self._steps(left)
            other = factors[others[left], None] * steps
            self._look(left, other if by_gradients else np.minimum(other, np.fmax(steps, LONGEST)))
            h, error = self.hessian[left], self.error[left]
            finite = np.isfinite(h).all(axis=(1, 2))
            self.verdict[left] = np.where(finite, int(NOISY), int(INFINITE))
            apart = np.abs(h - self.expected[left]).max(axis=(1, 2))
            settled = apart <= SETTLED
            if by_gradients:
                uneven = error > UNEVEN * np.maximum(np.abs(h).max(axis=(1, 2)), 1)
            else:
                uneven = settled & (apart > np.maximum(UNEVEN, 4 * error))
                settled &= apart <= UNCERTAIN
            good = settled & (error <= UNCERTAIN) & ~(uneven & (turn < PASSES - 1))
            self._judge(left[good])
            others[left[uneven]] = np.minimum(others[left[uneven]] + 1, len(factors) - 1)
            left = left[~good]
            if left.size == 0:
                return

    def _told(self, rows: np.ndarray) -> np.ndarray:
        """Return the eigenvalue, in units of the diagonal, above which the first look tells all.

        Where its steps were a small part of a standard error, and the Hessian is symmetric.
        """
        square = np.einsum("rii->ri", self.hessian[rows])
        short = (square > 0).all(axis=1) & (square <= SHORT**2).all(axis=1)
        root = np.sqrt(np.abs(square))
        uneven = (self.uneven[rows] / (root[:, :, None] * root[:, None, :])).max(axis=(1, 2))
        return np.where(short & (len(self.free) > 1), np.maximum(uneven / CLEAR, CLEAR), np.inf)

    def _take_unit(self, rows: np.ndarray) -> None:
        """Take the Hessian for the unit matrix that it has been turned to."""
        self.hessian[rows] = np.eye(len(self.free))
        self._take_slope(rows)

    def _take_slope(self, rows: np.ndarray) -> None:
        g = self.at.g[np.ix_(self.rows[rows], self.free)]
        self.slope[rows] = np.einsum("rki,ri->rk", self.ways[rows], g) / self.height[rows, None]

    def _steps(self, rows: np.ndarray) -> np.ndarray:
        """Return steps along each direction, in its length."""
        sizes = np.abs(self.ways[rows] / self.size[rows, None, :]).max(axis=2)
        if self.at.noise is not None:
            by_noise = (300 * self.noise[rows] / self.height[rows]) ** 0.25
            step, least = np.maximum(SECOND, by_noise), SECOND_LEAST
        else:
            step, least = STEP[self.single[rows]], LEAST[self.single[rows], None]
        return np.maximum(step[:, None], least / sizes)

    def _turn(self, rows: np.ndarray, longer: bool) -> np.ndarray:
        """Take directions in which the Hessian is diagonal, of a length that makes it 1, or -1, or 0.

        What is 0 is looked at once more along steps that are as long as those along the variables; where it
        is so for the noise of f, and `longer`, along steps so long that it would be seen. Returns the lowest
        eigenvalues, in units of the diagonal.
        """
        h = self.hessian[rows]
        root = np.sqrt(np.abs(np.einsum("rii->ri", h)))
        root[root == 0] = 1.0
        values, vectors = np.linalg.eigh(h / (root[:, :, None] * root[:, None, :]))
        flat = FLAT[self.single[rows], None]
        lost = 10 * self.error[rows, None] if self.at.noise is not None else 0.0
        is_flat = np.abs(values) < np.maximum(flat, lost)
        length = np.where(longer & (lost > flat), lost, 1.0)
        lengths = np.sqrt(np.where(is_flat, length, np.abs(values)))
        turned = np.swapaxes(vectors, 1, 2) / lengths[:, :, None]
        self.ways[rows] = turned @ (self.ways[rows] / root[:, :, None])
        self.expected[rows] = np.where(is_flat, 0.0, np.sign(values))[:, :, None] * np.eye(
            values.shape[1]
        )
        return values[:, 0]

    def _look(self, rows: np.ndarray, steps: np.ndarray) -> None:
        """Measure the Hessian along the directions of some problems."""
        by_gradients = self.at.noise is None
        reach = (1 if by_gradients else 2) * np.abs(steps[:, :, None] * self.ways[rows])
        x, low, high = self.x[rows], self.low[rows], self.high[rows]
        most = reach.max(axis=1)
        near = ((x - most < low) | (x + most > high)).any(axis=1)
        if near.any():
            room = np.where(most > 0, (high - low) / (2 * most), np.inf).min(axis=1)
            part = np.minimum(NEAR_BOUND if by_gradients else 1.0, room)
            steps = np.where(near[:, None], part[:, None] * steps, steps)
            most = np.where(near[:, None], part[:, None] * most, most)
        centre = x + np.maximum(low + most - x, 0.0) - np.maximum(x + most - high, 0.0)
        measure = self._by_gradients if by_gradients else self._by_values
        measure(rows, centre, steps)
        h = self.hessian[rows] / self.height[rows, None, None]
        self.hessian[rows] = (h + np.swapaxes(h, 1, 2)) / 2
        if by_gradients:
            self.uneven[rows] = np.abs(h - np.swapaxes(h, 1, 2))
            self.error[rows] = self.uneven[rows].max(axis=(1, 2))
            self._take_slope(rows)
        else:
            moved = np.einsum("rkl,rl->rk", self.hessian[rows], self._along(rows, centre - x))
            self.slope[rows] = self.slope[rows] / self.height[rows, None] - moved

    def _along(self, rows: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """Return moves as sums of directions."""
        if not moves.any():
            return np.zeros_like(moves)
        return np.linalg.solve(np.swapaxes(self.ways[rows], 1, 2), moves[:, :, None])[:, :, 0]

    def _points(self, rows: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return points of all variables, in the dtype of x, within the bounds."""
        point = np.broadcast_to(self.full[rows], (*x.shape[:-1], self.full.shape[1])).copy()
        point[..., self.free] = np.clip(x, self.low[rows], self.high[rows])
        return point.astype(self.at.x.dtype)

    def _by_gradients(self, rows: np.ndarray, centre: np.ndarray, steps: np.ndarray) -> None:
        """Take differences of gradients to both sides, divided by the steps that rounding leaves."""
        n, numbers = len(self.free), self.rows[rows]
        moves, changes = np.empty((2, len(rows), n, n))
        for k in range(n):
            move = steps[:, k, None] * self.ways[rows, k]
            ends = [self._points(rows, centre + sign * move) for sign in (1.0, -1.0)]
            moves[:, k] = (ends[0].astype(float) - ends[1])[:, self.free]
            (above, up), (below, down) = (self.points.gradients(numbers, end) for end in ends)
            changes[:, k] = (up.astype(float) - down)[:, self.free]
            changes[~np.isfinite(above + below), k] = np.nan
        ways = self.ways[rows]
        width = 2 * steps[:, :, None]
        taken = np.swapaxes(
            np.linalg.solve(np.swapaxes(ways, 1, 2), np.swapaxes(moves / width, 1, 2)), 1, 2
        )
        along = (changes / width) @ np.swapaxes(ways, 1, 2)
        bad = ~np.isfinite(along).all(axis=(1, 2))
        taken[bad] = np.eye(n)
        try:
            self.hessian[rows] = np.linalg.solve(taken, along)
        except np.linalg.LinAlgError:  # a step was rounded away
            self.hessian[rows] = np.nan

    def _by_values(self, rows: np.ndarray, centre: np.ndarray, steps: np.ndarray) -> None:
        """Take second differences of f, of fourth order along each direction."""
        n = len(self.free)
        moves = steps[:, :, None] * self.ways[rows]
        pairs = [(k, j) for k in range(n) for j in range(k)]
        offsets = [
            sign * size * moves[:, k] for k in range(n) for size in (1, 2) for sign in (1, -1)
        ]
        offsets += [sign * (moves[:, k] + moves[:, j]) for k, j in pairs for sign in (1, -1)]
        offsets.append(np.zeros_like(centre))
        points = self._points(rows, centre + np.array(offsets))
        f = self.points.values(self.rows[rows], points)
        f, middle = f[:-1], f[-1]
        sides = f[: 4 * n].reshape(n, 2, 2, -1)
        seconds = sides.sum(axis=2) - 2 * middle  # (n, size, R)
        near, far = seconds[:, 0], seconds[:, 1] / 4
        h = np.empty((n, n, len(rows)))
        for k in range(n):
            h[k, k] = (4 * near[k] - far[k]) / 3
        for (k, j), both in zip(pairs, f[4 * n :].reshape(len(pairs), 2, len(rows)), strict=True):
            h[k, j] = h[j, k] = (both.sum(axis=0) - 2 * middle - near[k] - near[j]) / 2
        firsts = sides[:, :, 0] - sides[:, :, 1]
        square = steps[:, :, None] * steps[:, None, :]
        self.hessian[rows] = np.moveaxis(h, 2, 0) / square
        self.slope[rows] = ((8 * firsts[:, 0] - firsts[:, 1]) / 12).T / steps
        noise = self.noise[rows] / self.height[rows]
        self.error[rows] = 4 * noise / np.min(steps, axis=1) ** 2
        self.tolerance[rows] = np.maximum(OFF[0], 3 * noise / np.min(steps, axis=1))

    def _judge(self, rows: np.ndarray) -> None:
        """Say of Hessians that are nearly diagonal whether they are those of minima."""
        lowest = np.einsum("rii->ri", self.expected[rows])
        worst = lowest.argmin(axis=1)
        value = lowest[np.arange(len(rows)), worst]
        self.verdict[rows] = np.select(
            [value > 0, value < 0], [int(FOUND), int(DOWNWARDS)], int(UNDETERMINED)
        )
        lost = rows[value <= 0]
        self.direction[lost] = self.ways[lost, worst[value <= 0]]

    def inverse(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return covariances, Newton's steps, and how long these are in standard errors."""
        count, n = self.x.shape
        covariance, step = np.full((count, n, n), np.nan), np.zeros((count, n))
        off, good = np.zeros(count), self.verdict == FOUND
        ways, own = self.ways[good], self.own[good]
        inverse = np.linalg.inv(self.hessian[good])
        turned = np.swapaxes(ways, 1, 2) @ inverse
        found = turned @ ways
        covariance[good] = (found + np.swapaxes(found, 1, 2)) / 2
        covariance[good] *= (own / self.height[good])[:, None, None]
        step[good] = -np.einsum("rik,rk->ri", turned, self.slope[good])
        square = np.einsum("rk,rkl,rl->r", self.slope[good], inverse, self.slope[good])
        with np.errstate(all="ignore"):
            off[good] = np.where(own > 0, np.sqrt(square * self.height[good] / own), 0.0)
        rounding = ROUNDED * float(np.finfo(self.at.x.dtype).eps)
        rounded = (np.abs(step) <= rounding * self.size).all(axis=1)
        off[rounded] = 0.0  # as where the data are matched exactly
        return covariance, step, off
