"""How many gradients does a minimisation need, with nothing tuned?"""

import numpy as np
import solve
from problems import SETS
from scipy import optimize

import adamnb

from .problems import rosenbrock_numpy, rosenbrock_start

MAXITER = 10_000
TAU = 1e-5  # solved when f has fallen to this part of f(x0); the minima are 0


def _quadratic(x):
    """Condition number 1e4."""
    g = np.logspace(0, 4, x.size) * x
    return 0.5 * x @ g, g


PROBLEMS = {
    "rosenbrock 2": (rosenbrock_numpy, np.array([-1.2, 1.0])),
    "rosenbrock 10": (rosenbrock_numpy, rosenbrock_start(10)),
    "quadratic 20": (_quadratic, np.ones(20)),
}


def _gradients_until_solved(minimize, problem):
    """Gradients evaluated when f first was TAU f(x0) or less; NaN if that never happened."""
    objective, x0 = PROBLEMS[problem]
    target = TAU * objective(x0)[0]
    count, solved_at = 0, np.nan

    def counted(x):
        nonlocal count, solved_at
        count += 1
        f, g = objective(x)
        if f <= target and np.isnan(solved_at):
            solved_at = count
        return f, g

    minimize(counted, x0, jac=True, options={"maxiter": MAXITER})
    return solved_at


class Gradients:
    """Gradients until solved, with default options."""

    params = tuple(PROBLEMS)
    param_names = ("problem",)

    def track_adamnb(self, problem):
        return _gradients_until_solved(adamnb.minimize, problem)

    def track_lbfgsb(self, problem):
        def lbfgsb(fun, x0, **arguments):
            return optimize.minimize(fun, x0, method="L-BFGS-B", **arguments)

        return _gradients_until_solved(lbfgsb, problem)

    track_adamnb.unit = "gradients"
    track_lbfgsb.unit = "gradients"


class Error:
    """Distance in f from the minimum at the end, with default options."""

    params = tuple(PROBLEMS)
    param_names = ("problem",)

    def track_adamnb(self, problem):
        objective, x0 = PROBLEMS[problem]
        result = adamnb.minimize(objective, x0, jac=True, options={"maxiter": MAXITER})
        return float(result.fun)

    track_adamnb.unit = "f - minimum"


class Solved:
    """Problems with known minima, with default options."""

    params = ("mgh", "nist", "bounded")
    param_names = ("set",)
    timeout = 300

    def setup(self, name):
        problems = SETS[name]()
        self.run = [solve.SOLVERS["adamnb"](problem) for problem in problems]
        near = [
            min((problem.minimum, *problem.minima), key=lambda f, found=result.fun: abs(f - found))
            for problem, (_, result) in zip(problems, self.run, strict=True)
        ]
        self.table, self.false = solve.counts(self.run, near)

    def track_solved_in_1000(self, name):
        return int(np.sum(self.table[:, 1] <= 1_000))

    def track_solved_in_10000(self, name):
        return int(np.sum(self.table[:, 1] <= 10_000))

    def track_false_successes(self, name):
        return len(self.false)

    track_solved_in_1000.unit = "problems to 1e-5"
    track_solved_in_10000.unit = "problems to 1e-5"
    track_false_successes.unit = "problems"
