"""After the last iteration: is it a minimum, and polishing it with a method of SciPy."""

import time
from typing import Any

import numpy as np
from scipy import optimize

from . import _driver as D
from ._arguments import SCHEMES
from ._objective import Objective
from ._result import OUT_OF_SECONDS, POLISHED, SADDLE
from ._second_order import lower_point

ESCAPES = 5  # saddles that polishing leaves, at most
MET = (D.BY_GRADIENT, D.BY_OBJECTIVE, D.BY_STEP)  # tests that a saddle meets as well


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
            counts=memoryview(self.s.data)[D.NFEV : D.NJEV + 1],
        )  # fmt: skip
        self.bounds = problem.bounds
        x0, scale = problem.x0, run.state.scale
        self.unit = np.ones_like(x0) if scale is None else scale  # of the slopes
        self.size = np.where(x0 != 0, np.abs(x0), 1) if scale is None else scale
        self.g = np.empty_like(problem.x0)

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return f and its gradient at x; polishing, the best point is remembered."""
        s, state = self.s, self.run.state
        if s[D.NFEV] >= self.o["maxfun"] or time.perf_counter() > self.run.deadline:
            raise OutOfBudgetError
        x = x.astype(self.g.dtype)
        if self.bounds is not None:  # rounding in scaled variables
            x = np.clip(x, *self.bounds)
        f = self.objective.evaluate(x, self.g)
        if self.polishing and f < s[D.FUN_BEST] and np.isfinite(self.g).all():
            s[D.FUN_BEST], s[D.SLOPE_BEST] = f, self.slope(x, self.g)
            state.x[int(s[D.X_BEST])], state.g[int(s[D.G_BEST])] = x, self.g
        return f, self.g.copy()

    def slope(self, x: np.ndarray, g: np.ndarray) -> float:
        """Return the largest projected gradient element in units of x_scale."""
        if self.bounds is not None:
            held = ((x <= self.bounds[0]) & (g > 0)) | ((x >= self.bounds[1]) & (g < 0))
            g = np.where(held, 0, g)
        return float(np.abs(g * self.unit).max())

    def lower_point(self) -> np.ndarray | None:
        """Return a point near the best that shows it to be no minimum; None for many variables."""
        if self.g.size > self.o["verify"] or self.run.problem.jac in SCHEMES:
            return None
        s, state = self.s, self.run.state
        x, g = state.row(state.x, D.X_BEST), state.row(state.g, D.G_BEST)
        return lower_point(self.evaluate, x, float(s[D.FUN_BEST]), g, self.size, self.bounds)

    def polish(self, method: str) -> int:
        """Minimise on with a method of SciPy from the best point, leaving saddles on the way."""
        s, state = self.s, self.run.state
        reason = D.STUCK
        try:
            for _ in range(1 + ESCAPES):
                ended = self._minimize(method, state.row(state.x, D.X_BEST))
                if s[D.SLOPE_BEST] <= self.o["gtol"] * s[D.SLOPE_FIRST]:
                    reason = D.BY_GRADIENT
                elif ended and s[D.SLOPE_BEST] <= 1e-3 * s[D.SLOPE_FIRST]:
                    reason = POLISHED
                if self.lower_point() is None:
                    return reason
                reason = SADDLE
        except OutOfBudgetError:
            return D.BY_MAXFUN if s[D.NFEV] >= self.o["maxfun"] else OUT_OF_SECONDS
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
    if polish and reason >= D.GOING and np.isfinite(run.s[D.SLOPE_BEST]):
        return Finish(run, polishing=True).polish(polish if isinstance(polish, str) else "L-BFGS-B")
    if reason not in MET:
        return reason
    try:
        return reason if Finish(run, polishing=False).lower_point() is None else SADDLE
    except OutOfBudgetError:
        return reason
