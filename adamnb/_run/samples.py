"""A mean over rows, minimised on a growing sample of them, with the curvature that the sample tells of.

A first sample is solved from the start, and looked at as `minimize` looks at its last point: is it a minimum?
Then ten times as many rows, and so on, at last all. What a smaller sample has told of the curvature makes
two or three gradients enough in each. The covariance C of the gradients of parts of the rows costs no rows,
and is both the metric and what a standard error is: the minimiser of a mean of losses of N independent rows
has the covariance ``H^-1 C H^-1 / N``, whatever the unit of f is.

Samples that grow: Byrd, Chin, Nocedal & Wu 2012; Bollapragada, Byrd & Nocedal 2018, whose norm test, in the
metric, is that a sample is left as soon as its gradient is lost in its scatter.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from .._compiled.curvature import cut_of
from .._compiled.reasons import (
    AT_LIMIT,
    BY_STANDARD_ERROR,
    CONVERGED,
    GOING,
    OUT_OF_PASSES,
    REASONS,
    UNSUITED,
)
from .._compiled.stops import ROUNDINGS
from .._problem.arguments import unbounded
from .._problem.mean import Mean
from .._problem.methods import METHODS
from .._problem.options import complete
from .._problem.parts import Sample, Spread, in_random_order
from .._problem.problem import Problem
from .._problem.rows import Rows
from .finish import finish
from .journal import Journal
from .metric import Metric, held
from .result import outcome
from .run import Run
from .second_order import Lower, lower_point, stationary

GROWTH = 10  # of a sample: 3, 30 and 100 take 4.0, 3.1 and 4.0 passes where it takes 3.2
LEAST_ROWS, ROWS_PER_VARIABLE = 1_000, 20  # of the first sample
MOST_VARIABLES = 1_000  # of whom a dense matrix is no more work than the rows
MOST_ROWS = 2**23  # on disk, whose order takes 64 megabytes
# Parts of the rows, from which the curvature is estimated: at least, and for each variable, unless their
# products would be more work than the rows; and far from the minimum.
PARTS, PARTS_PER_VARIABLE, WORK = 16_384, 400, 2**32
SOME_PARTS, SOME_PER_VARIABLE = 1_024, 8
LEFT = 1.0  # standard errors of a sample, within which it is left for a larger one, ...
FIRST = 0.05  # ... and the first, of which it is to be seen whether it is a minimum
EVALUATIONS, FEW = 30, 100  # most of a sample, and of the first
IDLE = 10  # steps in a row that led no further
SLIGHT = 1e-4  # change of f, relative, of the step that finds the unit of the curvature
REACH = 3.0  # of the first step, in standard errors that a single row would leave
SPENT = 5.0  # passes after which the first sample is given up, ...
TRIES = 12  # ... or steps, and one pass, after which its minimum is not within reach
USUAL_FIRST, USUAL = 16, 2  # evaluations over the first sample, and over each other at least
VERIFY = 32  # see the option `verify`
LARGE = 1e100  # element of a gradient that is as good as infinite
LIKELY = 4.0  # standard deviations of the mean of a sample
# Stages: over the first sample, by a new metric in each step or after `minimize`; then one for each sample.
ANEW, AGAIN = 0, 1
# All that is remembered between two steps, beside the metric.
MEMORY = (
    "stage", "made", "idle", "before", "radius", "x", "f", "g", "rows", "off", "nit", "parts", "f_first",
    "f_error", "g_first",
)  # fmt: skip


class Limits(NamedTuple):
    """Where to stop.

    accuracy : distance from the minimum, in standard errors
    gtol : part of the first gradient's length in the metric, to be reached as well; 0 is off
    passes : rows evaluated over all rows, at most
    """

    accuracy: float = 0.01
    gtol: float = 0.0
    passes: float = np.inf


DEFAULT = Limits()
MARK = {*MEMORY, *Metric.MEMORY, "passed"}  # names in the mark of a journal


class Sampled(NamedTuple):
    """What was found.

    x, f, g : the last point, with f and its gradient over all rows; f is NaN if it has none
    reason, message : BY_STANDARD_ERROR, UNSUITED, OUT_OF_PASSES; one of `minimize` where there are few rows;
        or what `watch` returned, which has no message
    off : distance from the minimum in standard errors, as the root mean square over the variables
    metric : the Hessian of the mean as far as it is known, or None
    nit, passes, sizes : steps; rows evaluated over all rows; rows of the samples
    """

    x: ndarray
    f: float
    g: ndarray
    reason: int
    message: str
    off: float
    metric: ndarray | None
    nit: int
    passes: float
    sizes: tuple[int, ...]


def minimize_by_samples(
    sample: Journal,
    x0: ndarray,
    bounds: tuple[ndarray, ndarray] | None = None,
    limits: Limits = DEFAULT,
    watch: Callable[[ndarray, float, int], int] = lambda x, f, rows: GOING,
) -> Sampled:
    """Minimise a smooth mean over rows on a growing sample of them, at last over all.

    Success is claimed only over all rows, where the gradient says that the minimum is within `accuracy`
    standard errors, and the last step has shown that the curvature is right. UNSUITED says that a sample
    is of no use here, and why: go on with what needs no curvature, from x. That is where the sample led if it
    had a minimum, else x0.

    Parameters
    ----------
    sample : Journal
        The mean, over rows in random order. What it has a mark and answers of is gone on with.
    x0 : ndarray, shape (n,)
        Start, within the bounds.
    bounds : pair of ndarray, optional
        Kept by steps that are projected (Bertsekas 1982).
    limits : Limits
    watch : callable, optional
        ``watch(x, f, rows)`` before each evaluation, with the best point so far and f there over so many
        rows; what it returns other than GOING is the reason to stop.
    """
    growing = Growing(sample, x0, bounds, limits, watch)
    sizes = growing.sizes
    try:
        if len(sizes) == 1:
            return growing.whole()
        if x0.size > MOST_VARIABLES:
            raise StoppedError(UNSUITED, f"{x0.size:,} variables are more than {MOST_VARIABLES:,}")
        if growing.stage <= AGAIN:
            growing.first(sizes[0])
        growing.starting = False
        for stage, rows in enumerate(sizes[1:-1], AGAIN + 1):
            if growing.stage <= stage:
                growing.settle(stage, rows, LEFT)
        return growing.last(AGAIN + len(sizes) - 1)
    except StoppedError as stopped:
        return growing.found(stopped.reason, stopped.detail)


def suited(rows: Rows, n: int, passes: float) -> bool:
    """Return whether a sample is worth while: whether so many passes are enough to come near the minimum.

    And whether there are enough rows, not too many variables, and memory for the order of the rows.
    """
    sizes = sizes_of_samples(rows.count, n)
    if len(sizes) == 1 or n > MOST_VARIABLES or (rows.on_disk and rows.count > MOST_ROWS):
        return False
    return USUAL_FIRST * sizes[0] + USUAL * sum(sizes[1:]) <= passes * rows.count


def sampled(
    problem: Problem,
    rows: Rows,
    seed: int,
    limits: Limits = DEFAULT,
    watch: Callable[[ndarray, float, int], int] = lambda x, f, rows: GOING,
) -> Sampled:
    """Minimise the mean of a problem over the rows of a data set, from its x0; the seed orders the rows."""
    mean = Mean(problem, rows, np.zeros(2, np.int64).data)
    sample = Journal(Sample(mean, in_random_order(rows, seed), rows))
    return minimize_by_samples(sample, problem.x0, problem.bounds, limits, watch)


def sizes_of_samples(count: int, n: int) -> tuple[int, ...]:
    """Return the numbers of rows of the samples, the last of which is all rows."""
    least, sizes = max(LEAST_ROWS, ROWS_PER_VARIABLE * n), [count]
    while sizes[0] // GROWTH >= least:
        sizes.insert(0, sizes[0] // GROWTH)
    if len(sizes) == 1 and count >= 2 * least:
        sizes.insert(0, least)
    return tuple(sizes)


class StoppedError(Exception):
    """It ends here, and why."""

    def __init__(self, reason: int, detail: str = "") -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Growing:
    """A minimisation on a growing sample under way."""

    metric: Metric

    def __init__(
        self,
        sample: Journal,
        x0: ndarray,
        bounds: tuple[ndarray, ndarray] | None,
        limits: Limits,
        watch: Callable[[ndarray, float, int], int],
    ) -> None:
        self.sample, self.limits, self.watch, self.dtype = sample, limits, watch, x0.dtype
        self.sizes = sizes_of_samples(sample.count, x0.size)
        self.x0, self.bounds = x0, bounds
        low, high = unbounded(x0.shape) if bounds is None else bounds
        self.box = np.asarray(low, float), np.asarray(high, float)
        self.x, self.rows, self.nit = x0.astype(float), 0, 0
        self.f, self.g, self.off = np.nan, np.full(x0.size, np.nan), np.inf
        self.starting = len(self.sizes) > 1  # the first sample is not done
        n, self.parts = x0.size, 0  # parts of which the metric is made, and may be
        self.most = max(PARTS, min(PARTS_PER_VARIABLE * n, WORK // max(n, 1) ** 2))
        self.f_first, self.f_error, self.g_first = np.nan, 0.0, self.g
        self.stage, self.made, self.idle = ANEW - 1, 0, 0  # steps in it, those that led no further
        self.before, self.radius = np.nan, np.inf
        if sample.mark:
            self.recall(sample.mark)

    def memory(self) -> dict[str, Any]:
        """Return all that is remembered between two steps, by name."""
        return {name: getattr(self, name) for name in MEMORY} | self.metric.memory()

    def recall(self, mark: Mapping[str, Any]) -> None:
        """Go on from what was remembered."""
        for name in MEMORY:
            setattr(self, name, mark[name])
        self.metric = Metric.of(mark)

    # ------------------------------------------------------------------------------ evaluations

    def check(self, rows: int) -> None:
        """Stop where the next evaluation would go beyond a limit, or `watch` wants no more."""
        if self.sample.passed + rows > self.limits.passes * self.sample.count:
            raise StoppedError(OUT_OF_PASSES)
        if self.starting and self.sample.passed > SPENT * self.sample.count:
            raise StoppedError(UNSUITED, f"of the first {rows:,} rows no minimum is found")
        if self.sample.coming:  # seen before
            return
        reason = self.watch(self.x.astype(self.dtype), self.f, self.rows)
        if reason != GOING:
            raise StoppedError(reason)

    def evaluate(self, x: ndarray, rows: int) -> tuple[float, ndarray]:
        self.check(rows)
        return self.sample.evaluate(x.astype(self.dtype), rows)

    def scattered(self, x: ndarray, rows: int, most: int) -> Spread:
        self.check(rows)
        return self.sample.spread(x.astype(self.dtype), rows, most)

    def look(self, rows: int) -> None:
        """Evaluate the current point over so many rows; take the metric from them if that is better."""
        if min(rows, self.most) > self.parts:
            spread = self.scattered(self.x, rows, self.most)
            f, g = spread.f, spread.g
        else:
            spread = None
            f, g = self.evaluate(self.x, rows)
        if not (np.isfinite(f) and np.isfinite(g).all()):
            text = f"f or its gradient is not finite over the first {rows:,} rows"
            raise StoppedError(UNSUITED, text)
        if spread is not None:
            scale = self.metric.scale if self.parts else self.begin(spread, rows)
            self.metric, self.parts = Metric(spread.covariance, scale), spread.parts
        self.f, self.g, self.rows = f, g, rows

    def begin(self, spread: Spread, rows: int) -> float:
        """Note what is known at the start; return the unit of the curvature."""
        f, g, covariance, deviation, _ = spread
        if not self.rows:
            self.f_first, self.g_first, self.f_error = f, g, deviation / rows**0.5
        return self.unit_of(covariance, g, max(abs(f), deviation), rows)

    def unit_of(self, covariance: ndarray, g: ndarray, height: float, rows: int) -> float:
        """Return the curvature of f over the covariance of the gradients, along a short step."""
        root = np.sqrt(np.diag(covariance))
        along = np.divide(-np.sign(g), root, where=root > 0, out=np.zeros(root.size))
        end = np.clip(self.x + SLIGHT * height * along, *self.box)
        step = end - self.x
        change = self.evaluate(end, rows)[1] - g
        curvature, expected = float(step @ change), float(step @ covariance @ step)
        if not (curvature > 0 and expected > 0):
            raise StoppedError(
                UNSUITED, "f has no curvature that the scatter of its gradients tells of"
            )
        return curvature / expected

    # ------------------------------------------------------------------------------------ steps

    def distance(self) -> float:
        """Return how far the minimum of the sample is, in its standard errors.

        Infinite where a variable is pulled, or all are at rest, that no row feels: f has left the data.
        """
        resting = held(self.x, self.g, self.box)
        free = self.metric.felt() & ~resting
        if resting.all():
            return 0.0
        if not free.any() or self.g[~free & ~resting].any():
            return np.inf
        step = self.metric.solve(free, self.g[free])
        if not step.any():
            return 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.sqrt(self.rows * np.mean((step / self.metric.errors(free)) ** 2)))

    def near(self, goal: float) -> bool:
        """Return whether the minimum is as near as it should be."""
        if not self.off <= goal:
            return False
        if not (self.limits.gtol and self.rows == self.sample.count):
            return True
        free = self.metric.free(self.x, self.g, self.box)
        part = self.limits.gtol**2
        return self.metric.square(self.g, free) <= part * self.metric.square(self.g_first, free)

    def vanished(self) -> bool:
        """Return whether nothing is left of the gradient but its rounding, which no step takes away."""
        free = self.metric.free(self.x, self.g, self.box)
        rounded = ROUNDINGS * float(np.finfo(self.dtype).eps)
        return bool((np.abs(self.g) <= rounded * self.metric.scatter())[free].all())

    def hopeless(self) -> bool:
        """Return whether the scatter of the gradients says nothing of the curvature, as it seems.

        Some variables have no standard error, or steps that should lead to the minimum do not.
        """
        far = self.off > LEFT and self.made >= TRIES
        return self.off == np.inf or (far and self.sample.passed > self.sample.count)

    def settle(self, stage: int, rows: int, goal: float) -> None:
        """Make steps over the first rows until their minimum is near; in the first stage it may be far."""
        anew = stage == ANEW
        if self.stage != stage:
            # At once: whatever the look says, the stage before has led here.
            self.stage, self.made, self.idle, self.before = stage, 0, 0, np.nan
            self.look(rows)
            self.radius = REACH / self.metric.scale**0.5 if anew else np.inf
        while self.made < (FEW if anew else EVALUATIONS) and self.idle < IDLE:
            self.sample.begin_anew(self.memory())
            self.off = self.distance()
            # A distance that falls slowly is longer than it seems, unless it is all rounding.
            left = 1.0 if self.vanished() else 1 - self.off / self.before
            if self.off == 0.0 or (left > 0 and self.near(goal * left**2)):
                return
            if anew and self.hopeless():
                break
            self.before = self.off
            led, self.radius = self.step(rows, self.radius, anew and self.off > LEFT)
            self.idle = 0 if led else self.idle + 1
            self.made += 1
        raise StoppedError(
            UNSUITED, f"over the first {rows:,} rows the steps lead no further than to {self.off:.2g}"
            " standard errors from where the gradient vanishes",
        )  # fmt: skip

    def step(self, rows: int, radius: float, anew: bool) -> tuple[bool, float]:
        """Make a step; return whether it led further, and the radius of the next."""
        x, f, g, metric = self.x, self.f, self.g, self.metric
        move = metric.move(x, g, self.box, radius)
        end = np.clip(x + move.step, *self.box)
        some = max(SOME_PARTS, SOME_PER_VARIABLE * x.size)
        spread = self.scattered(end, rows, some) if anew else None
        f_end, g_end = self.evaluate(end, rows) if spread is None else (spread.f, spread.g)
        if not (np.isfinite(f_end) and (np.abs(g_end) < LARGE).all()):
            return False, 0.1 * move.length
        free, change = metric.free(x, g, self.box), g_end - g
        rounded = ROUNDINGS * float(np.finfo(self.dtype).eps) * abs(f)
        if move.promised > rounded:
            ratio = (f - f_end) / move.promised
            better = ratio > 0
        else:
            better = metric.square(g_end, free) < metric.square(g, free)
            ratio = 1.0 if better else 0.0
        if self.off > LEFT:
            metric.rescale(move.step, change)
        metric.learn(move.step, change)
        if better:
            self.nit += 1
            if spread is not None:
                self.metric = Metric(spread.covariance, metric.scale)
            self.x, self.f, self.g = end, f_end, g_end
        if ratio < 0.1:
            radius = cut_of(f_end - f, -float(g @ move.step)) * move.length
        elif ratio > 0.75 and move.cut:
            radius = 4 * move.length
        return better, radius

    # ------------------------------------------------------------------------------------ stages

    def first(self, rows: int) -> None:
        """Find a minimum of the first sample: from the start by the metric, else as `minimize` does."""
        if self.stage <= ANEW:
            few = max(EVALUATIONS, self.sample.count // rows)  # or those of a pass over all rows
            try:
                self.settle(ANEW, rows, FIRST)
                lower = self.lower(rows)
                if lower is None:
                    return
                self.x, few = lower.x.astype(float), max(FEW, few)
            except StoppedError as stopped:
                if stopped.reason != UNSUITED:
                    raise
            reason, message = self.robust(rows, few)
            if REASONS[reason].status != CONVERGED or reason == AT_LIMIT:
                raise StoppedError(
                    UNSUITED, f"of the first {rows:,} rows no minimum is found. {message}"
                )
            self.parts = 0
        self.settle(AGAIN, rows, FIRST)
        if self.lower(rows) is not None:
            raise StoppedError(UNSUITED, f"of the first {rows:,} rows no minimum is found")

    def lower(self, rows: int) -> Lower | None:
        """Return a point beside the current one that shows it to be no minimum of the sample, or None."""
        metric, free = self.metric, self.metric.free(self.x, self.g, self.box)
        if not free.any():
            return None
        root, curvature = metric.scatter(), np.diag(metric.matrix)
        scale = np.divide(root, curvature, where=curvature > 0, out=np.ones(root.size))
        slight = 4 * metric.square(self.g, free)  # more than what is still promised
        x = self.x.astype(self.dtype)  # which tells what f is rounded to
        at = stationary(x, self.f, self.g, scale, self.box, vanished=slight)
        return lower_point(lambda x: self.evaluate(x, rows), at, VERIFY)

    def robust(self, rows: int, most: float) -> tuple[int, str]:
        """Go on over the first rows as `minimize` does; return the reason to stop and its words."""
        adam = METHODS["adam"]
        options = complete(adam, {"gtol": self.limits.gtol or None, "maxfun": most})
        start = self.x.astype(self.dtype)
        run = Run(
            Problem(
                lambda x: self.evaluate(x, rows), True, (), start, self.bounds, adam, options, None, None,
                False,
            )
        )  # fmt: skip
        s, v = run.s, run.state.vectors
        try:
            reason = finish(run, run.iterate())
        finally:
            if np.isfinite(s.fun_best) and s.njev:
                self.x, self.f = v.x[s.x_best].astype(float), float(s.fun_best) / run.unit
                self.g, self.rows = v.g[s.g_best] / run.unit, rows
            self.nit += int(s.nit)
        return reason, outcome(reason, s, options, "", run.detail)[1]

    def whole(self) -> Sampled:
        """Minimise over all rows, where they are few."""
        reason, message = self.robust(self.sample.count, np.inf)
        return self.found(reason, message)._replace(message=message)

    def last(self, stage: int) -> Sampled:
        """Find the minimum over all rows."""
        count, x0 = self.sample.count, self.x0.astype(float)
        self.settle(stage, count, self.limits.accuracy)
        if not self.f < self.f_first - LIKELY * self.f_error:
            f, g = self.evaluate(x0, count)
            if f < self.f:
                self.x, self.f, self.g = x0, f, g
                self.off = self.distance()
                if not self.near(self.limits.accuracy):
                    text = "over all rows f is lower at the start than where the samples led"
                    raise StoppedError(UNSUITED, text)
        return self.found(BY_STANDARD_ERROR, f"{self.off:.2g}")

    def found(self, reason: int, detail: str) -> Sampled:
        """Return what has been found; `detail` is what the words of the reason ask for."""
        own = reason in (BY_STANDARD_ERROR, UNSUITED, OUT_OF_PASSES)
        message = REASONS[reason].message.format(detail=detail) if own else ""
        if reason == UNSUITED and self.stage <= ANEW:  # where no minimum was, steps led astray
            self.x, self.rows = self.x0.astype(float), 0
        f, g, count = self.f, self.g, self.sample.count
        if self.rows != count:
            f, g = np.nan, np.full(g.size, np.nan)
        metric = self.metric.matrix if self.parts else None
        return Sampled(
            self.x.astype(self.dtype), f, g.astype(self.dtype), reason, message, self.off, metric, self.nit,
            self.sample.passed / count, self.sizes,
        )  # fmt: skip
