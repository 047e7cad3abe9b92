"""Intervals by the profile likelihood: where f has risen by so much, at its minimum over the other variables.

MINUIT's MINOS (James & Roos 1975). What is looked for is where the root of the rise, which is a straight line
where f is a parabola, has a given value.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from .._problem.arguments import unbounded
from .._problem.methods import METHODS
from .._problem.options import complete
from .._problem.problem import Problem
from .points import RunPoints
from .run import Run

PRECISE, NEAR = 1e-4, 0.03  # of the root and of the length: so near, an end is interpolated
WIDER = 3.0  # factor that an interval grows by at most from fit to fit
BEYOND = 1.02  # a little further than where the end is expected, so that it is enclosed
FITS, NO_END = 40, 1e6  # most of them for an end; standard errors at which there is none
LOWER = 1e-3  # squared standard errors by which a minimum is a lower one
UNKNOWN = 0.01  # first step in sizes of the variable, where there is no standard error


class LowerMinimumError(Exception):
    """A point that is lower than the minimum has been found."""


@dataclass
class Profile:
    """The minimum of f over all variables but number i, as a function of this."""

    run: Run
    i: int
    height: float  # as of `covariances`
    covariance: np.ndarray
    known: list[tuple[float, np.ndarray]] = field(default_factory=list)  # values, and minima there

    def __post_init__(self) -> None:
        s, v = self.run.s, self.run.state.vectors
        self.x = v.x[s.x_best].copy()
        self.f = s.fun_best / self.run.unit
        way = self.covariance[:, self.i] / self.covariance[self.i, self.i]
        self.way = np.where(np.isfinite(way), way, 0.0)  # of the minimum when variable i grows by 1
        self.size = np.ones(self.x.size) if v.scale is None else v.scale.copy()
        n, bounds = self.x.size, self.run.problem.bounds
        self.low, self.high = (np.array(bound, self.x.dtype) for bound in bounds or unbounded((n,)))

    def start(self, value: float) -> np.ndarray:
        """Return a point near the minimum for a value of variable i, by the nearest that are known."""
        points = sorted([(float(self.x[self.i]), self.x), *self.known],
                        key=lambda point: abs(point[0] - value))  # fmt: skip
        near, x = points[0]
        way = self.way
        if len(points) > 1 and points[1][0] != near:
            way = (points[1][1] - x) / (points[1][0] - near)
        start = np.clip(x + way * (value - near), self.low, self.high).astype(self.x.dtype)
        start[self.i] = value
        return start

    def root(self, value: float) -> float:
        """Return the root of the rise of f, in standard errors; infinite where f is not finite."""
        x = self.start(value)
        low, high = self.low.copy(), self.high.copy()
        low[self.i] = high[self.i] = x[self.i]
        x, f = self._minimum(x, low, high)
        if not np.isfinite(f):
            return np.inf
        self.known.append((value, x))
        square = 2 * (f - self.f) / self.height
        if square < -LOWER:
            raise LowerMinimumError(f"f = {f:.10g} at x = {np.array2string(x, precision=6)}")
        return float(np.sqrt(max(square, 0.0)))

    def _minimum(
        self, x: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Return the minimum within bounds, and f there; evaluations count as the run's."""
        own, s = self.run.problem, self.run.s
        f, g = (a[0] for a in RunPoints(self.run).gradients(np.zeros(1, int), x[np.newaxis]))
        g = np.where((low == high) | ((x <= low) & (g > 0)) | ((x >= high) & (g < 0)), 0, g)
        with np.errstate(invalid="ignore", over="ignore"):
            off = g @ self.covariance @ g  # by the squared standard errors of a Newton step
        if off <= (PRECISE * self.height) ** 2 or (low == high).all():
            return x, float(f)
        kept = ("finite_diff_rel_step", "workers", "catch")
        method = METHODS["adam"]
        options = complete(method, {name: own.options[name] for name in kept} | {"verify": 0})
        run = Run(
            Problem(
                own.fun, own.jac, own.args, x, (low, high), method, options, self.size, None,
                compiled=False, map=own.map,
            )
        )  # fmt: skip
        try:
            run.iterate()
        except own.options["catch"]:  # where it starts
            return x, np.inf
        s.nfev, s.njev = s.nfev + run.s.nfev, s.njev + run.s.njev
        return run.state.row(run.state.vectors.x, "x_best"), run.s.fun_best / run.unit


def interval(profile: Profile, error: float, level: float) -> tuple[float, float]:
    """Return the ends of the interval of a variable: where its profile has risen, or its bounds.

    An end is infinite where f does not rise so far.
    """
    i, x, ends = profile.i, float(profile.x[profile.i]), []
    if not (np.isfinite(error) and error > 0):
        error = UNKNOWN * float(profile.size[i])
    deviation = float(ndtri((1 + level) / 2))
    for sign, room in ((-1.0, x - float(profile.low[i])), (1.0, float(profile.high[i]) - x)):

        def root(length: float, sign: float = sign) -> float:
            return profile.root(x + sign * length)

        length = _length(root, error, deviation, room)
        ends.append(x + sign * length if length < room else x + sign * room)
        profile.known.clear()
    return ends[0], ends[1]


def _length(root: Callable[[float], float], error: float, deviation: float, room: float) -> float:
    """Return where a root, which is 0 at 0 and rises, has a value, or `room` where it does not get there."""
    inside, outside = (0.0, 0.0), (np.inf, np.inf)
    slope = 1 / error
    length = deviation * error
    for _ in range(FITS):
        length = min(length, room)
        if length == 0.0 or length > NO_END * deviation * error:
            return room
        value = root(length)
        if value < deviation:
            slope = max((value - inside[1]) / (length - inside[0]), 0.0)
            inside = length, value
            if length == room:
                return room
        else:
            outside = length, value
        near = abs(value - deviation) <= PRECISE * deviation
        if np.isfinite(outside[1]):
            (a, at_a), (b, at_b) = inside, outside
            length = a + (deviation - at_a) * (b - a) / (at_b - at_a)
            if near or b - a <= NEAR * b:
                return length
        elif outside[0] < np.inf:
            length = (inside[0] + outside[0]) / 2
        else:
            reach = (deviation - inside[1]) / slope if slope > 0 else np.inf
            if near:
                return min(length + reach, room)
            length = inside[0] + min(BEYOND * reach, (WIDER - 1) * inside[0])
    return length


def intervals(
    run: Run, which: list[int], height: float, covariance: np.ndarray
) -> tuple[np.ndarray, str]:
    """Return intervals, NaN for variables that are not asked for, and what is to be said of them."""
    n, name_of = len(covariance), run.problem.structure.name_of
    found, said = np.full((n, 2), np.nan), []
    if not (np.isfinite(run.s.fun_best) and height > 0):
        return found, "No intervals: there is no fit, or it leaves no residuals."
    for i in which:
        profile = Profile(run, i, height, covariance)
        try:
            found[i] = interval(
                profile, float(covariance[i, i] ** 0.5), run.problem.options["level"]
            )
        except LowerMinimumError as lower:
            said.append(
                f"No minimum: beside {name_of(i)} there is a lower one, {lower}. Start there."
            )
            continue
        for end, bound, where in zip(
            found[i], (profile.low[i], profile.high[i]), ("below", "above"), strict=True
        ):
            if end == bound and np.isfinite(end):
                said.append(f"The interval of {name_of(i)} ends at its bound {where}.")
            elif np.isinf(end):
                said.append(
                    f"The interval of {name_of(i)} has no end {where}: f does not rise so far."
                )
    return found, " ".join(said) or f"Intervals at {run.problem.options['level']:.4g}."
