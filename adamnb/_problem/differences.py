"""Gradients by differences: steps from the noise of f, and from its curvature along each variable."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._compiled.differences import (
    ENOUGH,
    FALLEN,
    FELT,
    KNOWN,
    LONGER,
    LOOKS,
    MOST,
    SHORTER,
    SPACINGS,
    STRUCTURE,
    TINY,
    USUAL,
    Learnt,
)
from .._compiled.elements import sizes_of
from .._compiled.noise import POINTS, Spacing, noise_of
from .arguments import ADAPTIVE
from .sides import Sides, Values

LEARN = 10  # every so many gradients both sides are looked at, which shows the curvature
TOLERATED = 0.03  # error of a forward difference, as part of the element; above it: both sides
IMAGINARY = 1e-20  # step along the imaginary axis, in units of |x|


class Steps(NamedTuple):
    """What the caller says of differences."""

    x_scale: np.ndarray | None = None  # size of each variable; None: that of x
    relative: Any = None  # step, or one for each variable, in units of |x|; None: chosen
    map: Callable = map  # what evaluates f at several points


CHOSEN = Steps()


class Differences:
    """The gradient of f by differences, and what has been learnt for it.

    A forward difference over h is wrong by ``h |f''| / 2`` and by ``2 noise / h``, least at
    ``h = 2 sqrt(noise / |f''|)`` (Gill, Murray & Wright 1981, 8.6; Moré & Wild 2012). The noise is
    measured (`noise.py`) at the start, and again where f has fallen to a hundredth; curvatures are
    learnt where both sides are looked at: at the start, every tenth time, where f has changed tenfold,
    and for each variable whose forward difference would be wrong by more than 3 %, as near a
    minimum. A step that f does not feel grows before a difference of 0 is believed. Where f is not
    finite the other side is taken, or a shorter step.

    A gradient takes n evaluations, 2 n of both sides, n the number of variables that are not fixed; 6
    more where the noise is measured (36 where their spacing has to be found), and up to 14 more for a
    variable whose step has to be found.

    Parameters
    ----------
    values : callable
        ``values(points) -> list of f``
    like : ndarray, shape (n,)
        x0; every later point has its dtype.
    bounds : pair of ndarray or None
        No point is outside; where both are equal the gradient is 0.
    scheme : str
        ADAPTIVE, "2-point" (forward differences always) or "3-point" (both sides always).
    steps : Steps

    Attributes
    ----------
    slope, error : ndarray of float64, shape (n,)
        The last gradient, and the estimated absolute error of each of its elements.
    step : ndarray of float64, shape (n,)
        Distances of the nearer points that it was had from.
    """

    LEARNT = (  # what a later gradient depends on
        "first", "slope", "error", "step", "size", "reach", "curvature", "around", "rounds", "noise",
        "part", "measured_at", "learnt_at", "count",
    )  # fmt: skip

    def __init__(
        self, values: Values, like: np.ndarray, bounds: tuple | None, scheme: str, steps: Steps
    ) -> None:
        self.values, self.scheme, self.relative = values, scheme, steps.relative
        self.dtype, n = like.dtype, like.size
        self.eps = float(np.finfo(self.dtype).eps)
        self.low, self.high = bounds or np.full((2, n), [[-np.inf], [np.inf]], self.dtype)
        self.free = self.low < self.high
        self.sized = steps.x_scale is not None
        self.size = np.asarray(steps.x_scale if self.sized else sizes_of(like), float)
        self.first = self.eps ** (1 / 3)  # step in units of size where no curvature is known
        self.slope, self.error, self.step = np.zeros((3, n))
        self.reach = np.zeros(n)  # see `_learn`
        self.curvature = np.full(n, np.nan)
        self.around = 0.0  # by how much f changed beside the last point
        self.rounds, self.noise = TINY, TINY  # what rounds in f, and what this makes of f
        self.part = self.eps  # the second as part of the first, where it was measured
        self.measured_at = self.learnt_at = np.inf  # what `rounds` was then
        self.count = 0

    def gradient(self, x: np.ndarray, f: float, g: np.ndarray) -> None:
        """Write the gradient at x, where f is known and finite, to g."""
        g[...] = 0
        if not self.free.any():
            return
        if not self.sized and self.count > 0:
            self.size = np.maximum(np.abs(x), self.size / 2).astype(float)
        with np.errstate(all="ignore"):  # of what is not known, and of f outside its domain
            measured = self._noise_at(x, f)
            changed = not 0.1 < self.rounds / self.learnt_at < 10
            learn = measured or changed or self.count % LEARN == 0
            narrow, wide = self._steps(x)
            both = np.isnan(self.curvature) | learn | (self.scheme == "3-point")
            if self.scheme == ADAPTIVE:
                both |= self._forward_error(narrow) > TOLERATED * np.abs(self.slope)
            near = narrow if self.scheme == "2-point" else np.where(both, wide, narrow)
            sides = Sides(self.values, x, f, self.low, self.high)
            self._look(sides, near, wide, both)
            self._learn(sides)
        if learn:
            self.learnt_at = self.rounds
        self.count += 1
        with np.errstate(over="ignore"):  # of float32; the step is then taken back
            g[...] = self.slope

    # ------------------------------------------------------------------------------------------ steps

    def _steps(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the steps of forward differences, and those of both sides.

        The error of the latter is ``h^2 |f'''| / 6 + noise / h``. With a length L over which f changes by
        its own size M, ``L = sqrt(2 M / |f''|)`` and ``|f'''| = |f''| / L``, their step is longer by a
        factor that depends on the relative noise alone.
        """
        if self.relative is not None:
            step = np.asarray(self.relative * np.where(x != 0, np.abs(x), self.size), float)
            return step, step
        usual = USUAL * self.size
        narrow = 2 * np.sqrt(self.noise / self.curvature)
        wide = 0.8 * narrow * (self.rounds / self.noise) ** (1 / 6)
        wide = np.minimum(wide, np.maximum(usual, 10 * narrow))  # L is a guess
        most = np.maximum(usual, self.reach)
        least = 8 * np.spacing(np.abs(x)).astype(float)  # a shorter one is rounded away
        new, first = np.isnan(self.curvature), self.first * self.size
        narrow = np.where(new, first, np.minimum(narrow, most))
        wide = np.where(new, first, np.minimum(wide, most))
        return np.maximum(narrow, least), np.maximum(wide, least)

    def _look(self, sides: Sides, near: np.ndarray, far: np.ndarray, both: np.ndarray) -> None:
        """Evaluate f beside x, again where a step tells nothing."""
        new, left = np.isnan(self.curvature), np.flatnonzero(self.free)
        felt = np.where(new, 10 * FELT, np.where(self.reach < np.inf, FELT, 0.0)) * self.noise
        for look in range(LOOKS):
            again = ~sides.look(left, near, far, both)
            if self.relative is None:
                longer = sides.change() <= np.where(both, felt, 0.0)
                longer &= (near < 0.9 * MOST * self.size) & (np.abs(sides.a) >= 0.9 * near)
                shorter = new & self._bent(sides) if new.any() else new
                grown = np.minimum(np.where(both, LONGER * near, far), MOST * self.size)
                near = np.where(longer, grown, np.where(shorter, SHORTER * near, near))
                far = np.where(longer | shorter, near, far)
                both, new = both | longer, new & ~longer & (look < LOOKS - 3)
                again |= (longer | shorter)[left]
            left = left[again]
            if left.size == 0:
                return

    def _bent(self, sides: Sides) -> np.ndarray:
        """Return where f changes much, and is bent by nearly as much."""
        slope, curvature = sides.parabola()
        size = np.fmax(np.abs(sides.at_a), np.abs(sides.at_b))
        large = sides.change() > STRUCTURE * size
        return large & (np.abs(curvature * sides.a) > 0.6 * np.abs(slope))

    # --------------------------------------------------------------------------------- what is learnt

    def _forward_error(self, step: np.ndarray) -> np.ndarray:
        return np.fmax(self.curvature, 0.0) * step / 2 + 2 * self.noise / step

    def _learn(self, sides: Sides) -> None:
        """Take over gradient, its error, and curvatures.

        Where noise hides the curvature, steps keep to the size of x, unless such a step tells too little:
        `reach` is what they may be then.
        """
        self.step = np.abs(sides.a)
        slope, curvature = sides.parabola()
        used = sides.both & (self.scheme != "2-point")
        slope = np.where(used, slope, sides.forward())
        self.slope = np.where(self.free, slope, 0.0)
        changes = sides.change()
        self.around = float(np.max(changes, where=np.isfinite(changes), initial=0.0))
        self._know_noise(sides.x, sides.f)
        product, seen = np.abs(sides.a * sides.b), sides.both & np.isfinite(curvature)
        hidden = 4 * self.noise / product  # what noise can make of it
        little = self.noise * sides.weight() > ENOUGH * np.abs(slope)
        reach = np.minimum(np.where(little, LONGER, 1.0) * self.step, MOST * self.size)
        reach = np.where(np.abs(curvature) <= hidden, reach, np.inf)
        # Where f'' changes its sign it says nothing of what follows in f, and is not to fall at once.
        curvature = np.fmax(np.fmax(np.abs(curvature), hidden), self.curvature / 10)
        self.reach = np.where(seen, reach, self.reach)
        self.curvature = np.where(seen, curvature, self.curvature)
        length = np.sqrt(2 * self.rounds / self.curvature)
        error = self.curvature * product / (6 * length) + self.noise * sides.weight()
        error = np.where(used, error, self._forward_error(self.step))
        self.error = np.where(self.free, error + self.eps * np.abs(slope), 0.0)

    # ------------------------------------------------------------------------------------------ noise

    def _noise_at(self, x: np.ndarray, f: float) -> bool:
        """Know the noise at x before its gradient; return whether it has been measured."""
        self._know_noise(x, f)
        if self.rounds >= FALLEN * self.measured_at:
            return False
        noise = self._measured(x, f)
        self._know_noise(x, f)
        self.noise, self.part = max(noise, self.eps * abs(f), TINY), np.nan
        if self.count == 0:
            self.first *= (self.noise / self.rounds / self.eps) ** (1 / 3)
        return True

    def _know_noise(self, x: np.ndarray, f: float) -> None:
        """Know the noise of f, and what rounds in f: itself, parts that cancel in it, values beside it.

        The noise of a sum of squares whose data round falls as its root; until it is measured again, too
        much is better than too little.
        """
        parts = float(np.abs(x * self.slope).sum())
        self.rounds = max(abs(f) + (parts if np.isfinite(parts) else 0.0) + self.around, TINY)
        if np.isnan(self.part):  # just measured, and the gradient is known now
            self.part, self.measured_at = self.noise / self.rounds, self.rounds
        fallen = min(self.rounds / self.measured_at, 1.0)
        noise = (
            self.part * self.measured_at * fallen**0.5 if fallen < 1 else self.part * self.rounds
        )
        self.noise = max(noise, self.eps * abs(f), TINY)

    def _measured(self, x: np.ndarray, f: float) -> float:
        """Return the noise of f at points in a row, along all variables at once."""
        up, down = self.high - x.astype(float), x.astype(float) - self.low
        direction = np.where(up >= down, 1.0, -1.0) * self.free
        spacing = self._steps(x)[1] / POINTS
        longest = np.maximum(spacing, USUAL * self.size)
        most = np.minimum(np.maximum(up, down) / POINTS, longest)
        factor, noise = 1.0, np.inf
        for _ in range(SPACINGS):
            move = direction * np.minimum(factor * spacing, most)
            points = [(x + j * move).astype(self.dtype) for j in range(1, POINTS + 1)]
            values = np.array([f, *self.values([np.clip(p, self.low, self.high) for p in points])])
            level, verdict = np.inf, Spacing.TOO_LARGE
            if np.isfinite(values).all():
                level, verdict = noise_of(values)
                self.around = float(np.ptp(values))
            if verdict is Spacing.TOO_SMALL:
                if factor < 1 or self.relative is not None:
                    break  # between this spacing and the last
                factor *= 100
                continue
            noise = level if verdict is Spacing.GOOD else min(noise, level)
            if verdict is Spacing.GOOD or factor > 1 or level <= 8 * self.eps * abs(f):
                break
            factor /= 100
        if self.count == 0:
            self.first = max(self.first, min(self.first * factor, USUAL))
        return noise if np.isfinite(noise) else 0.0


def learnt(x0: np.ndarray, bounds: tuple | None, x_scale: Any) -> Learnt:
    """Return what compiled differences know at the start, of one problem or, with an axis more, of many."""
    low, high = (np.full(x0.shape, bound) for bound in (-np.inf, np.inf))
    if bounds is not None:
        low[...], high[...] = bounds
    size = np.array(np.broadcast_to(sizes_of(x0) if x_scale is None else x_scale, x0.shape), float)
    known = np.zeros((*x0.shape[:-1], 1), KNOWN)
    eps = float(np.finfo(x0.dtype).eps)
    known["sized"], known["part"], known["eps"] = x_scale is not None, eps, eps
    known["measured_at"], known["first"] = np.inf, eps ** (1 / 3)
    reach, slope, error = np.zeros((3, *x0.shape))
    return Learnt(low, high, size, np.full(x0.shape, np.nan), reach, slope, error, known)


class ComplexStep:
    """The gradient of f as the imaginary part of f beside the real axis, where nothing cancels.

    Squire & Trapp (1998). f is computed with complex numbers, n times. The arguments and `error` are
    those of `Differences`, but for complex values.
    """

    LEARNT = ("error",)  # of the last gradient

    def __init__(
        self, values: Callable[[list[np.ndarray]], list[complex]], like: np.ndarray,
        bounds: tuple | None, steps: Steps,
    ) -> None:  # fmt: skip
        self.values, self.steps, self.sizes = values, steps, sizes_of(like).astype(float)
        self.free = np.flatnonzero(bounds[0] < bounds[1] if bounds else np.ones(like.size, bool))
        self.error, self.noise = np.zeros(like.size), 0.0
        self.eps = float(np.finfo(like.dtype).eps)

    def gradient(self, x: np.ndarray, f: float, g: np.ndarray) -> None:
        """Write the gradient at x to g."""
        step = IMAGINARY if self.steps.relative is None else self.steps.relative
        sizes = self.sizes if self.steps.x_scale is None else self.steps.x_scale
        step = np.broadcast_to(step * np.where(x != 0, np.abs(x), sizes), x.shape)
        points = [x.astype(complex) for _ in self.free]
        for i, point in zip(self.free, points, strict=True):
            point[i] += 1j * step[i]
        g[...] = 0
        g[self.free] = np.imag(self.values(points)) / step[self.free]
        self.error = self.eps * np.abs(g, dtype=float)
