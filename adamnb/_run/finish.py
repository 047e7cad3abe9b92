"""After the last iteration: is it a minimum, and polishing it with a method of SciPy."""

from typing import Any

import numpy as np
from scipy import optimize

from .._compiled.curvature import RATE_LEAST, SEEN, SIGMAS, differ, is_slight
from .._compiled.elements import sizes_of
from .._compiled.rate import MAX_FAILURES
from .._compiled.reasons import (
    AT_LIMIT,
    BY_EPOCHS,
    BY_ERROR,
    BY_GRADIENT,
    BY_MAXFUN,
    BY_MAXITER,
    BY_NOISE,
    BY_OBJECTIVE,
    BY_ROUNDING,
    BY_STEP,
    CONTRADICTION,
    FALLS,
    FLAT,
    GOING,
    HIGHER,
    LOWER,
    NOT_LOWER,
    OUT_OF_SECONDS,
    POLISHED,
    SADDLE,
    STUCK,
)
from .._compiled.stops import SINGLE
from .._problem.arguments import SCHEMES
from .._problem.shards import ALONE
from .contradiction import contradiction, ways
from .escape import falls_for_ever, unchanged
from .second_order import (
    UNFINISHED,
    Lower,
    Stationary,
    in_single,
    least_fall,
    lower_point,
    stationary,
)

ESCAPES = 5  # saddles that are left, at most
# Tests that a saddle meets as well.
MET = (BY_GRADIENT, BY_ERROR, BY_OBJECTIVE, BY_STEP, BY_ROUNDING)
DOUBTFUL = (HIGHER, STUCK)  # as where the gradient is that of another function
HIGH = 1e30  # |f| at the start, as where an exponential nearly overflows
CHANCES = 16  # looks at a point where no element of the gradient is left
LONG = 100  # iterations beside which a few evaluations more do not count


class OutOfBudgetError(Exception):
    """`maxfun` or `max_time` has been reached."""


class Finish:
    """The end of a run: counts go on, and while it is polished the best point may change."""

    def __init__(self, run: Any, polishing: bool) -> None:
        self.polishing = polishing
        problem = run.problem
        self.run, self.o, self.s = run, problem.options, run.s
        self.objective = run.objective
        self.bounds, ranks = problem.bounds, problem.ranks
        self.differs = problem.jac in SCHEMES or (ranks is not None and ranks.differ)
        scale = run.state.vectors.scale
        self.first_size = sizes_of(problem.x0) if problem.x_scale is None else problem.x_scale
        self.size = self.first_size if scale is None else scale
        self.g = np.empty_like(problem.x0)

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return f and its gradient at x; polishing, the best point is remembered."""
        s, state = self.s, self.run.state
        if s.nfev >= self.o["maxfun"] or self.run.late():
            raise OutOfBudgetError
        x = x.astype(self.g.dtype)
        if self.bounds is not None:  # rounding in scaled variables
            x = np.clip(x, *self.bounds)
        f = self.objective.evaluate(x, self.g)
        if self.polishing and f < s.fun_best and np.isfinite(self.g).all():
            s.fun_best, s.gradient_norm_best = f, state.gradient_norm(x, self.g)
            state.vectors.x[s.x_best], state.vectors.g[s.g_best] = x, self.g
        return f, self.g.copy()

    def best(self) -> Stationary:
        """Return the best point with what is known of its surroundings."""
        s, v, gtol = self.s, self.run.state.vectors, self.o["gtol"]
        x, g = v.x[s.x_best].copy(), v.g[s.g_best].copy()
        f = float(s.fun_best)
        part = max(gtol, 16 * SINGLE if in_single(x, f, g) else 0.0)
        at = stationary(
            x, f, g, self.size, self.bounds, push=gtol * s.gradient_norm_first,
            vanished=part**2 * abs(s.fun_first), differences=self.differs,
        )  # fmt: skip
        elsewhere = UNFINISHED if self.high else max(at.elsewhere, 10.0 * gtol**0.5)
        return at._replace(elsewhere=elsewhere, start=self.run.problem.x0)

    @property
    def high(self) -> bool:
        """Whether f started so high that nothing counts beside it."""
        return began_high(self.s)

    def lower_point(self) -> Lower | None:
        """Return a point near the best that shows it to be no minimum, if it is none."""
        if self.o["verify"] == 0:
            return None
        return lower_point(self.evaluate, self.best(), self.o["verify"])

    def flat(self, at: Stationary) -> bool:
        """Return whether f is the same all around a best point without a gradient, as the start was."""
        if self.o["verify"] == 0 or self.s.gradient_norm_first != 0.0 or at.g.any():
            return False
        return unchanged(self.evaluate, at, ways(at))

    def verified(self, reason: int) -> tuple[int, Lower | None]:
        """Return the reason to stop, unless the best point shows that it is none, and a lower point."""
        at, run = self.best(), self.run
        falls = falls_for_ever(self.evaluate, at, run.problem.x0, self.first_size)
        if falls is not None:
            i, up, fall = falls
            run.detail = f"{run.problem.structure.name_of(i)} {'grows' if up else 'falls'}"
            if fall > at.least:
                return FALLS, None
            if not self.high:
                return AT_LIMIT, None
            lower = lower_point(self.evaluate, at, self.o["verify"])
            on = lower is not None or fall > least_fall(at.f)
            return LOWER if on else AT_LIMIT, lower
        if not self.differs:
            found = contradiction(self.evaluate, at, self.o["verify"])
            if found is not None:
                run.detail = found.said_of(run.problem.structure.name_of)
                return CONTRADICTION, None
        if reason not in MET:
            return reason, None
        if self.flat(at):
            return FLAT, None
        lower = lower_point(self.evaluate, at, self.o["verify"])
        if lower is None:
            return reason, None
        return SADDLE if lower.saddle else LOWER, lower

    def polish(self, method: str) -> int:
        """Minimise on with a method of SciPy from the best point, leaving saddles on the way."""
        s, state = self.s, self.run.state
        reason: int = STUCK
        try:
            for _ in range(1 + ESCAPES):
                ended = self._minimize(method, state.row(state.vectors.x, "x_best"))
                if s.gradient_norm_best <= self.o["gtol"] * s.gradient_norm_first:
                    reason = FLAT if self.flat(self.best()) else BY_GRADIENT
                elif ended and s.gradient_norm_best <= 1e-3 * s.gradient_norm_first:
                    reason = POLISHED
                lower = self.lower_point()
                if lower is None:
                    return reason
                reason = SADDLE if lower.saddle else LOWER
        except OutOfBudgetError:
            return BY_MAXFUN if s.nfev >= self.o["maxfun"] else OUT_OF_SECONDS
        return reason

    def _minimize(self, method: str, x: np.ndarray) -> bool:
        """Run SciPy in variables of order one; return whether it went on to the end."""
        size = np.where(x != 0, np.abs(x), self.size).astype(float)

        def scaled(z: np.ndarray) -> tuple[float, np.ndarray]:
            f, g = self.evaluate(z * size)
            return f, g * size

        box = None
        if self.bounds is not None:
            box = optimize.Bounds(self.bounds[0] / size, self.bounds[1] / size)
        options: dict[str, Any] = {}
        if method == "L-BFGS-B":
            real = np.finfo(x.dtype)
            options = {"maxcor": 30, "gtol": 0.0, "ftol": float(real.eps), "maxls": 40}
            options |= {"maxiter": 15_000, "maxfun": 30_000}
        result = optimize.minimize(
            scaled, x / size, method=method, jac=True, bounds=box, options=options
        )
        return result.status != 1


def began_high(s: Any) -> bool:
    """Return whether f started so high that nothing counts beside it."""
    return bool(abs(s.fun_first) > HIGH)


def lost(run: Any, reason: int) -> bool:
    """Return whether a long run went uphill or crawls, so that there is cause to doubt the gradient."""
    s = run.s
    if reason != BY_MAXITER or s.nit < LONG:
        return False
    if s.curved and s.learning_rate < RATE_LEAST:
        return True
    return bool(s.failures >= MAX_FAILURES or s.fun - s.fun_best > 0.1 * (s.fun_first - s.fun_best))


def is_noisy(run: Any) -> bool:
    """Return whether f or its gradient is another where the best point is evaluated once more.

    A success of f that is noisy is none: a gradient that vanishes by chance, say.
    """
    s, v, o = run.s, run.state.vectors, run.problem.options
    best = v.g[s.g_best]
    count = 1 if run.problem.shards.anywhere(best.any()) else CHANCES
    if o["noisy"] is False or o["verify"] == 0 or (s.looked == SEEN and count == 1):
        return False
    s.looked, g = SEEN, np.empty_like(best)
    for _ in range(count):
        if s.nfev >= o["maxfun"]:
            break
        f, most = value_at(run, v.x[s.x_best], g), 0.0
        if run.objective.differences is None:
            most = run.state.apart(g, best)
        rise, o = f - s.fun_best, run.settings[0]
        if differ(rise, most, s, o) and not is_slight(SIGMAS * abs(rise), most, s, o):
            return True
    return False


def value_at(run: Any, x: np.ndarray, g: np.ndarray) -> float:
    """Return f at x, and write its gradient to g unless that is had by differences."""
    if run.objective.differences is None:
        return run.objective.evaluate(x, g)
    return run.objective.values([x.copy()])[0] * run.unit


def finish(run: Any, reason: int) -> int:
    """Return the reason to stop, after polishing and a look at the surroundings."""
    polish = run.problem.options["polish"]
    s = run.s
    if run.noisy is not None or run.fixed:
        return reason
    ended = reason >= GOING or reason in (BY_EPOCHS, NOT_LOWER)
    if polish and ended and np.isfinite([s.fun_best, s.gradient_norm_best]).all():
        return Finish(run, polishing=True).polish(polish if isinstance(polish, str) else "L-BFGS-B")
    first = run.escapes == ESCAPES
    if first and reason in (*MET, *DOUBTFUL) and is_noisy(run):
        return run.under_noise() if run.rate is None else BY_NOISE
    while True:
        doubtful = reason in (*MET, *DOUBTFUL) or lost(run, reason)
        if run.problem.options["verify"] == 0 or not doubtful or run.problem.shards is not ALONE:
            break
        try:
            reason, lower = Finish(run, polishing=False).verified(reason)
        except OutOfBudgetError:
            break
        if lower is None or run.escapes == 0 or not run.leave_for(lower):
            break
        run.escapes -= 1
        reason = run.iterate()
    return reason
