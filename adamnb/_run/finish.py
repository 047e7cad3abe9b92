"""After the last iteration: is it a minimum, and polishing it with a method of SciPy."""

import time
from typing import Any

import numpy as np
from scipy import optimize

from .._compiled.elements import sizes_of
from .._compiled.reasons import (
    BY_GRADIENT,
    BY_MAXFUN,
    BY_OBJECTIVE,
    BY_STEP,
    GOING,
    OUT_OF_SECONDS,
    POLISHED,
    SADDLE,
    STUCK,
)
from .._problem.arguments import SCHEMES
from .._problem.objective import Objective
from .second_order import lower_point

ESCAPES = 5  # saddles that polishing leaves, at most
MET = (BY_GRADIENT, BY_OBJECTIVE, BY_STEP)  # tests that a saddle meets as well


class OutOfBudgetError(Exception):
    """`maxfun` or `max_time` has been reached."""


class Finish:
    """The end of a run: counts go on, and while it is polished the best point may change."""

    def __init__(self, run: Any, polishing: bool) -> None:
        self.polishing = polishing
        problem = run.problem
        self.run, self.o, self.s = run, problem.options, run.s
        self.objective = Objective(
            problem.fun, problem.jac, problem.args, problem.bounds, problem.x0,
            counts=run.state.numbers("nfev", 2), catch=problem.options["catch"],
        )  # fmt: skip
        self.bounds = problem.bounds
        scale = run.state.vectors.scale
        self.size = sizes_of(problem.x0) if scale is None else scale
        self.g = np.empty_like(problem.x0)

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return f and its gradient at x; polishing, the best point is remembered."""
        s, state = self.s, self.run.state
        if s.nfev >= self.o["maxfun"] or time.perf_counter() > self.run.deadline:
            raise OutOfBudgetError
        x = x.astype(self.g.dtype)
        if self.bounds is not None:  # rounding in scaled variables
            x = np.clip(x, *self.bounds)
        f = self.objective.evaluate(x, self.g)
        if self.polishing and f < s.fun_best and np.isfinite(self.g).all():
            s.fun_best, s.gradient_norm_best = f, state.gradient_norm(x, self.g)
            state.vectors.x[s.x_best], state.vectors.g[s.g_best] = x, self.g
        return f, self.g.copy()

    def lower_point(self) -> np.ndarray | None:
        """Return a point near the best that shows it to be no minimum; None for many variables."""
        if self.g.size > self.o["verify"] or self.run.problem.jac in SCHEMES:
            return None
        s, state = self.s, self.run.state
        x, g = state.row(state.vectors.x, "x_best"), state.row(state.vectors.g, "g_best")
        return lower_point(self.evaluate, x, float(s.fun_best), g, self.size, self.bounds)

    def polish(self, method: str) -> int:
        """Minimise on with a method of SciPy from the best point, leaving saddles on the way."""
        s, state = self.s, self.run.state
        reason: int = STUCK
        try:
            for _ in range(1 + ESCAPES):
                ended = self._minimize(method, state.row(state.vectors.x, "x_best"))
                if s.gradient_norm_best <= self.o["gtol"] * s.gradient_norm_first:
                    reason = BY_GRADIENT
                elif ended and s.gradient_norm_best <= 1e-3 * s.gradient_norm_first:
                    reason = POLISHED
                if self.lower_point() is None:
                    return reason
                reason = SADDLE
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


def finish(run: Any, reason: int) -> int:
    """Return the reason to stop, after polishing and a look at the Hessian."""
    polish = run.problem.options["polish"]
    if polish and reason >= GOING and np.isfinite(run.s.gradient_norm_best):
        return Finish(run, polishing=True).polish(polish if isinstance(polish, str) else "L-BFGS-B")
    if reason not in MET:
        return reason
    try:
        return reason if Finish(run, polishing=False).lower_point() is None else SADDLE
    except OutOfBudgetError:
        return reason
