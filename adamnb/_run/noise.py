"""A run whose f is noisy: it goes on by averages, and is looked at now and then.

No value that is met on the way is believed, for the lowest is a lucky draw. After 100 steps, 200, 400, and at
the end, f and its gradient are evaluated at the average a number of times: their means, how far these can be
trusted, and the noise.
"""

from math import inf, sqrt
from typing import Any, NamedTuple

import numpy as np

from .._compiled.curvature import RATE_LEAST
from .._compiled.elements import within
from .._compiled.rate import AUTOMATIC
from .._compiled.reasons import (
    ALL_FIXED,
    AT_NOISE,
    BY_MAXFUN,
    BY_MAXITER,
    BY_TARGET,
    GOING,
    NOISY_LIMIT,
)
from .._compiled.vectors import X_ROWS
from .._problem.scatter import ScatterDifferences
from .._problem.shards import Alone
from .settings import is_plain

POWER = 3.0  # of the average: late points count most
SHORTER = 0.3  # first step of a run that had got further, as part of its last one
SPREAD = 16.0  # of sizes about their geometric mean, where they are of one kind
STRETCH = 100  # steps until the first look; then twice as many each time
LEAST, PART, MOST = 8, 50, 100  # evaluations of a look: at least; of so many one; at most
EXACT = 2  # of a look where f is exact, and its gradient alone is noisy
BELIEVED = 3.0  # standard errors of a rise that is one
WORSE = 10.0  # factor by which the error at another point may be larger
SEEN = 2.0  # standard errors of a fall that can be told
SMALL = 3e-4  # part of the fall of f that is small beside it
FINE = 1e-2  # part of f that is small beside it
STALLED = 1e-3  # part that is left of steps, below which f may be at rest for want of them


class Noise(NamedTuple):
    """The noise of one evaluation, as standard deviations.

    Attributes
    ----------
    fun : float
        Of f.
    jac : ndarray of float64, shape (n,), or None
        Of the elements of its gradient; None where f alone was evaluated again, as with differences.
    """

    fun: float
    jac: np.ndarray | None


class Look(NamedTuple):
    """What several evaluations tell of a point."""

    x: np.ndarray
    f: float  # mean
    error: float  # standard error of the mean
    g: np.ndarray | None  # mean; None where f alone was evaluated
    noise: Noise


class Way(NamedTuple):
    """What the values of f on the way between two looks tell."""

    f: float  # mean
    error: float  # standard error of the mean


class Moments:
    """Mean and deviation of vectors, one after the other (Welford 1962): there may be no room for all."""

    def __init__(self, n: int) -> None:
        self.count, (self.mean, self.squares) = 0, np.zeros((2, n))

    def take(self, vector: np.ndarray) -> None:
        """Take in a vector, unless it is not finite."""
        if np.isfinite(vector).all():
            self.count += 1
            change = vector - self.mean
            self.mean += change / self.count
            self.squares += change * (vector - self.mean)

    def deviation(self) -> np.ndarray:
        """Return the standard deviation of each element."""
        return np.sqrt(self.squares / max(1, self.count - 1))


class UnderNoise:
    """A run that goes on where f has been found, or is said, to be noisy."""

    def __init__(self, run: Any, anew: bool = True) -> None:
        self.run, self.s = run, run.s
        self.maxiter, self.maxfun = (int(run.settings[name][0]) for name in ("maxiter", "maxfun"))
        # `nit` and `nfev` when it began, and at the last look.
        self.begun = self.looked = self.s.nit, self.s.nfev
        self.kept: Look | None = None
        self.ways: list[Way] = []
        self.anew = anew  # else it goes on from what another one remembered
        self.by_averages()
        if anew:
            self.take_averages()

    def by_averages(self) -> None:
        """Let the loop take averages: neither pairs nor factors of the rate are of use."""
        run, o = self.run, self.run.problem.options
        pairs = ("steps", "changes", "table", "order", "metric", "free", "sums", "parts", "algebra")
        run.state.vectors = run.state.vectors._replace(**dict.fromkeys(pairs))
        run.method = run.problem.method.numba_type(
            run.rate is None, is_plain(o), run.parallel, averaged=True
        )
        run.settings = run.settings.copy()
        run.settings["average_power"] = POWER

    def take_averages(self) -> None:
        """Go on from the best point, or from the start."""
        run, s = self.run, self.s
        v, method = run.state.vectors, run.problem.method
        if run.rate is None:
            v.factors[:] = 1
            if run.problem.x_scale is None:
                v.scale[:] = of_one_kind(v.scale, run.problem.shards)
            if s.nit > 0:
                first = AUTOMATIC["first_rate_under_noise"]
                length = SHORTER * s.length / sqrt(run.count) if self.fallen() else first
                norm = 1.0 if method.scale_free else s.gradient_norm_best
                s.learning_rate = within(length, RATE_LEAST, first) / (norm or 1.0)
            else:
                s.learning_rate = AUTOMATIC["first_rate_under_noise"]
        self.start = v.x[s.x_best].copy() if self.fallen() else run.problem.x0
        self.start_from(self.start)

    def fallen(self) -> bool:
        """Return whether f is lower than at the start by more than luck, so that there is cause to go on."""
        s = self.s
        noise = sqrt(s.noise2 / s.looks) if s.looks else 0.0
        return s.fun_first - s.fun_best > BELIEVED * noise

    def start_from(self, x: np.ndarray) -> None:
        """Begin an average at x, with an empty memory."""
        s, v = self.s, self.run.state.vectors
        s.x = s.x_before = (s.x_best + 1) % X_ROWS
        s.g, s.part = 1 - s.g_best, 1.0
        v.x[s.x] = v.x[s.x_best] = v.spare[:] = x
        v.slots[:] = self.run.problem.method.start
        if v.previous is not None:
            v.previous[:] = 0
        s.t = s.streak = s.taken_in = s.failures = 0
        s.stop = GOING

    def know_noise(self) -> None:
        """Take differences for an f that is random, once it has been looked at where the run goes on."""
        run = self.run
        if run.objective.differences is None or run.problem.jac == "cs":
            return
        self.kept = self.look_at(self.start)
        if self.kept is not None:
            scale = run.state.vectors.scale
            run.take_scatter(np.ones(self.start.size) if scale is None else scale)
            self.tell_differences(self.kept)

    def tell_differences(self, found: Look) -> None:
        """Tell differences how noisy f is at a point, if they are those of an f that is random."""
        differences = self.run.objective.differences
        if isinstance(differences, ScatterDifferences) and found.noise.fun < inf:
            differences.noise = found.noise.fun / self.run.unit

    def iterate(self) -> int:
        """Run to the end and return the reason for it."""
        if self.anew:
            self.know_noise()
        if self.run.fixed:
            self.kept = self.kept or self.look_at(self.start)
            self.settle()
            return ALL_FIXED
        while True:
            reason = self.stretch()
            self.run.pause(reason)
            if reason in (BY_MAXITER, BY_MAXFUN):
                self.ways.append(self.way())
                self.look()
                reason = self.judged(reason)
            elif self.kept is None:  # out of time, say, and nothing is known yet
                self.look()
            if reason != GOING:
                self.settle()
                return reason

    def stretch(self) -> int:
        """Run until the next look is due; return the reason to stop there."""
        run, s = self.run, self.s
        if self.anew:
            self.looked = s.nit, s.nfev
        nit, nfev = self.looked
        run.settings["maxiter"] = min(self.maxiter, nit + max(STRETCH, nit - self.begun[0]))
        run.settings["maxfun"] = self.maxfun - self.evaluations(nfev)
        if not self.anew:
            self.anew = True
            return run.loop_on()
        s.fun_mark = self.kept.f if self.kept is not None else s.fun_first
        s.sum_count, s.sum_fun, s.sum_fun2 = 0, 0.0, 0.0
        return run.loop()

    def way(self) -> Way:
        """Return what the last stretch tells of f."""
        s = self.s
        count = max(1, s.sum_count)
        mean = s.sum_fun / count
        variance = s.sum_fun2 / count - mean * mean
        if not variance < inf:  # squares have overflowed
            return Way(s.fun_mark + mean, inf)
        return Way(s.fun_mark + mean, sqrt(max(0.0, variance) / count))

    def evaluations(self, nfev: int) -> int:
        """Return how many evaluations a look takes after so many."""
        if self.kept is not None and self.kept.noise.fun == 0.0:
            return EXACT
        return min(max(LEAST, (nfev - self.begun[1]) // PART), MOST)

    def look(self) -> None:
        """Look at the average, and keep it; unless it is worse than what is kept, or than the start."""
        s, v = self.s, self.run.state.vectors
        found = self.look_at(v.x[s.x_best].copy())
        if found is None:
            return
        if found.noise.fun == 0.0:  # luck cannot pass the last point
            last = self.look_at(v.x[s.x].copy())
            found = last if last is not None and last.f < found.f else found
        if self.kept is None and found.f - BELIEVED * found.error > min(s.fun_first, s.fun_best):
            self.kept = self.look_at(self.start)
        self.tell_differences(found)
        if self.kept is not None and rises(self.kept, found):
            self.kept = self.look_at(self.kept.x) or self.kept  # it may have been luck
        if self.kept is None or not rises(self.kept, found):
            self.kept = found
        elif not found.f - BELIEVED * found.noise.fun <= 0.5 * (s.fun_first + self.kept.f):
            s.learning_rate *= 0.1  # most of the fall has been lost
            self.start_from(self.kept.x)

    def look_at(self, x: np.ndarray) -> Look | None:
        """Evaluate f and gradient at x a number of times, if there are so many left."""
        objective, g, of_g = self.run.objective, None, None
        count = min(self.evaluations(self.s.nfev), self.maxfun - self.s.nfev)
        if count < 1:
            return None
        if objective.differences is None:
            moments, row = Moments(x.size), np.empty_like(x)
            values = np.empty(count)
            for k in range(count):
                values[k] = objective.evaluate(x, row)
                moments.take(row)
            if moments.count:
                g, of_g = moments.mean, moments.deviation()
        else:
            values = np.array(objective.values([x.copy() for _ in range(count)]))
            values = values * self.run.unit
        finite = np.isfinite(values)
        if finite.sum() <= count / 2:
            return Look(x, inf, inf, g, Noise(inf, of_g))
        values, count = values[finite], int(finite.sum())
        if (values == values[0]).all():  # a mean would round
            f, noise = float(values[0]), 0.0 if count > 1 else inf  # of one value nothing is known
        else:
            with np.errstate(over="ignore"):
                f, noise = float(values.mean()), float(values.std(ddof=1))
        return Look(x, f, noise / sqrt(count), g, Noise(noise, of_g))

    def judged(self, reason: int) -> int:
        """Return why to stop after a look, `reason` being the limit that was reached; or GOING."""
        s, o = self.s, self.run.problem.options
        at = self.kept
        if at is None:
            return reason
        if at.f + SEEN * at.error <= o["f_target"] * self.run.unit:
            return BY_TARGET
        unseen, fallen = self.unseen(), s.fun_first - at.f - SEEN * at.noise.fun
        if s.part < STALLED:  # too many points were none
            unseen = inf
        if fallen > 0.0 and unseen <= o["ftol"] * abs(at.f):
            return AT_NOISE
        last = s.nit >= self.maxiter or s.nfev + self.evaluations(s.nfev) >= self.maxfun
        if not last:
            return GOING
        fine = unseen <= FINE * abs(at.f) or abs(at.f) <= at.noise.fun
        small = unseen <= min(SMALL * fallen, at.noise.fun)
        return AT_NOISE if small and fine else NOISY_LIMIT

    def unseen(self) -> float:
        """Return by how much f has fallen, or may have under noise, in about the last half of all steps."""
        if len(self.ways) < 3:
            return inf
        past, last = self.ways[-2:]
        return max(past.f - last.f, 0.0) + SEEN * sqrt(past.error**2 + last.error**2)

    def settle(self) -> None:
        """Make the point that is kept the best one, with its means."""
        run, s, at = self.run, self.s, self.kept
        run.noisy = self
        if at is None:
            s.fun_best = s.fun
            return
        g = run.state.vectors.g[s.g_best]
        if at.g is None:
            run.objective.evaluate(at.x, g)
        else:
            g[:] = at.g
        run.state.vectors.x[s.x_best] = at.x
        s.fun_best, s.gradient_norm_best = at.f, run.state.gradient_norm(at.x, g)
        run.detail = (
            f"f = {at.f / run.unit:.6g} +- {at.error / run.unit:.2g}, and one evaluation has a noise of"
            f" {at.noise.fun / run.unit:.2g}"
        )

    def memory(self) -> dict[str, Any]:
        """Return what it remembers, by name."""
        at = self.kept
        found: dict[str, Any] = {"begun": np.array(self.begun), "looked": np.array(self.looked)}
        found |= {"start": self.start, "ways": np.array(self.ways, float).reshape(-1, 2)}
        if at is None:
            return found
        found |= {"x": at.x, "f": at.f, "error": at.error, "noise": at.noise.fun}
        return found | {k: a for k, a in (("g", at.g), ("of_g", at.noise.jac)) if a is not None}

    def take_over(self, given: dict[str, Any]) -> None:
        """Remember what another one did."""
        self.begun, self.looked = (
            (int(given[name][0]), int(given[name][1])) for name in ("begun", "looked")
        )
        self.start = np.array(given["start"])
        self.ways = [Way(*way) for way in np.asarray(given["ways"]).tolist()]
        if "x" in given:
            noise = Noise(float(given["noise"]), given.get("of_g"))
            self.kept = Look(
                given["x"], float(given["f"]), float(given["error"]), given.get("g"), noise
            )

    def added(self) -> dict[str, Any]:
        """Return what the result has besides."""
        at, unit = self.kept, self.run.unit
        if at is None:
            return {"fun_stderr": np.nan, "noise": Noise(np.nan, None)}
        of_g = None if at.noise.jac is None else at.noise.jac / unit
        return {"fun_stderr": at.error / unit, "noise": Noise(at.noise.fun / unit, of_g)}


def of_one_kind(scale: np.ndarray, shards: Alone) -> np.ndarray:
    """Return the sizes of variables, small ones enlarged if those on all ranks seem to be of one kind.

    A random start has small elements by chance, and steps in proportion to them would be lost in the noise.
    """
    n = shards.variables(scale.size)
    middle = np.exp(shards.total(np.log(scale).sum()) / n)
    if shards.largest(scale.max()) > SPREAD * middle:
        return scale
    return np.maximum(scale, np.sqrt(shards.total(np.sum(scale * scale)) / n), dtype=scale.dtype)


def rises(kept: Look, found: Look) -> bool:
    """Return whether f is higher than it was, by more than noise."""
    rise = found.f - kept.f
    # A point far off, where f is huge and scatters as much, may not hide behind that.
    error = min(found.error, WORSE * kept.error)
    return not rise <= BELIEVED * sqrt(kept.error**2 + error**2)
