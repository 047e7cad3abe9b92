"""How good the points are that solvers return where f is noisy.

The lowest point on the way is a lucky draw that nobody could pick out, so what counts is the point that is
returned, by f without noise: its gap is ``(f(x) - f*) / (f(x0) - f*)``, f* the known minimum. A score is
the mean over the problems of log10 of the median gap of some runs, within 1e-8 to 1e2.

A success is false where the gap is above 1e-2, or above 1e-3 and ten deviations of the noise that one
evaluation has at the point. f is covered where it is off by at most three of its standard errors; those
who tell none are held to say f to its last digits.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from constants import varied
from scipy import optimize

import adamnb
from adamnb.schedules import Constant, Cosine

BUDGETS = (200, 1_000, 10_000)  # of evaluations
RUNS = 3  # of each problem, with streams of their own
RATES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
LEAST, MOST = 1e-8, 1e2  # of a gap
SOON, LARGE, NOISES = 1e-3, 1e-2, 10.0  # gaps and noises beyond which a success is false
AGAIN = 64  # evaluations that tell the noise


class Found(NamedTuple):
    """What a solver returns."""

    x: np.ndarray
    fun: float = np.nan
    error: float = 0.0  # standard error of fun
    success: bool = False


class Scores(NamedTuple):
    """Of one solver: arrays of shape (problems, budgets, runs)."""

    gap: np.ndarray
    success: np.ndarray
    false: np.ndarray
    covered: np.ndarray

    @property
    def logs(self):
        """log10 of the median gaps, shape (problems, budgets)."""
        return np.log10(np.clip(np.median(self.gap, axis=2), LEAST, MOST))


def gap(problem, x):
    with np.errstate(all="ignore"):
        part = (problem.value(x) - problem.minimum) / _fall(problem)
    return part if np.isfinite(part) else np.inf


def _fall(problem):
    return problem.value(problem.x0) - problem.minimum


def judged(problem, found):
    """(gap, success, false, covered) of what has been found."""
    part = gap(problem, found.x)
    exact = problem.value(found.x)
    covered = abs(found.fun - exact) <= 3.0 * found.error + 1e-12 * abs(exact)
    return part, found.success, found.success and part > _tolerated(problem, found.x), covered


def _tolerated(problem, x):
    own, g = problem.fresh(), np.empty(len(x))
    noise = np.std([own.fun(x, g, *own.args) for _ in range(AGAIN)])
    return min(LARGE, max(SOON, NOISES * noise / _fall(problem)))


def adam(**options):
    def solve(problem, budget, seed):
        own = problem.fresh(seed)
        result = adamnb.minimize(
            own.fun, own.x0, own.args, jac="inplace", maxfun=budget, maxiter=budget, **options
        )
        return Found(result.x, result.fun, result.get("fun_stderr", 0.0), result.success)

    return solve


def steps(schedule: Callable[[int], Callable[[int], float]], mean=False):
    """Adam with a learning rate of the step, which the budget makes: its last point, or the mean of half."""

    def solve(problem, budget, seed):
        own = problem.fresh(seed)
        x, g, total = own.x0, np.empty_like(own.x0), np.zeros_like(own.x0)
        optimizer = adamnb.Optimizer(x, learning_rate=schedule(budget))
        with suppress(FloatingPointError), np.errstate(all="ignore"):
            for t in range(budget):
                own.fun(x, g, *own.args)
                optimizer.step(g)
                if t >= budget // 2:
                    total += x
        return Found(total / (budget - budget // 2) if mean else x)

    return solve


class Counted:
    """f and gradient for SciPy, as long as the budget lasts; keeps the last iterate."""

    def __init__(self, problem, budget, seed):
        self.own, self.left = problem.fresh(seed), budget
        self.x = self.own.x0.copy()

    def __call__(self, x):
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        g = np.empty_like(x)
        return self.own.fun(x, g, *self.own.args), g

    def keep(self, x):
        self.x = x.copy()


def scipy(method):
    def solve(problem, budget, seed):
        fun = Counted(problem, budget, seed)
        with np.errstate(all="ignore"):
            try:
                result = optimize.minimize(
                    fun, fun.own.x0, jac=True, method=method, callback=fun.keep
                )
            except StopIteration:
                return Found(fun.x)
        return Found(result.x, result.fun, success=result.success)

    return solve


def cosine(rate):
    return lambda budget: Cosine(rate, steps=budget)


def constant(rate):
    return lambda budget: Constant(rate)


SOLVERS = {
    "adamnb": adam(),
    "Adam, rate 1e-3": steps(constant(1e-3)),
    "Adam, rate 1e-2": steps(constant(1e-2)),
    "Adam, rate 1e-1": steps(constant(1e-1)),
    "Adam, cosine from 0.1": steps(cosine(0.1)),
    "L-BFGS-B": scipy("L-BFGS-B"),
    "BFGS": scipy("BFGS"),
}
CLAIM = ("adamnb", "L-BFGS-B", "BFGS")  # something
# The best of these for each problem and budget, which nobody knows beforehand.
HINDSIGHT = {
    "best constant rate in hindsight": [steps(constant(rate)) for rate in RATES],
    "best constant rate, mean of the second half": [steps(constant(rate), True) for rate in RATES],
    "best cosine in hindsight": [steps(cosine(rate)) for rate in RATES],
}


def scores(solve, problems, budgets=BUDGETS, seed=0):
    """`Scores` of a solver; another `seed` is another set of streams."""
    seeds = [2026 + RUNS * seed + k for k in range(RUNS)]
    table = np.array(
        [
            [[judged(p, solve(p, budget, seed)) for seed in seeds] for budget in budgets]
            for p in problems
        ]
    )
    return Scores(table[..., 0], *(table[..., k].astype(bool) for k in (1, 2, 3)))


def row(name, logs, found=None):
    """Mean log10 gaps, and how honest a solver is that claims anything, as a line of markdown."""
    cells = [f"{value:.2f}" for value in logs.mean(axis=0)]
    claims = ["-"] * 3
    if found is not None:
        claims = [f"{found.success.sum()}", f"{found.false.sum()}", f"{found.covered.mean():.1%}"]
    return f"| {name} | " + " | ".join([*cells, *claims]) + " |"


def head(first):
    heads = [
        first,
        *(f"{budget:,} evaluations" for budget in BUDGETS),
        "successes",
        "false",
        "f covered",
    ]
    return ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]


def table(problems, each, seed=0):
    """The table of noisy problems, as lines of markdown."""
    yield f"noisy: {len(problems)} problems, {RUNS} runs of each, mean log10 gap of the points returned"
    yield ""
    yield from head("solver")
    logs, details = {}, []
    for name, solve in SOLVERS.items():
        found = scores(solve, problems, seed=seed)
        logs[name] = found.logs
        yield row(name, logs[name], found if name in CLAIM else None)
        false = [p.name for p, some in zip(problems, found.false, strict=True) if some.any()]
        if false:
            details.append(f"False successes of {name}: {', '.join(false)}.")
    for name, solves in HINDSIGHT.items():
        logs[name] = np.min([scores(solve, problems, seed=seed).logs for solve in solves], axis=0)
        yield row(name, logs[name])
    yield ""
    yield from details
    if each:
        yield ""
        yield from _each(problems, logs)


def _each(problems, logs):
    """The log10 gap of each problem, by solver and budget."""
    yield "| problem | " + " | ".join(logs) + " |"
    yield "|---" * (len(logs) + 1) + "|"
    for i, problem in enumerate(problems):
        cells = [" / ".join(f"{value:.1f}" for value in found[i]) for found in logs.values()]
        yield f"| {problem.name} | " + " | ".join(cells) + " |"
    yield ""


def constants(problems, seed=0):
    """The scores with each constant of the automatic rule halved and doubled."""
    yield from head("constant")
    found = scores(adam(), problems, seed=seed)
    yield row("as it is", found.logs, found)
    for name in varied():
        found = scores(adam(), problems, seed=seed)
        yield row(name, found.logs, found)
    yield ""
