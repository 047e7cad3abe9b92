"""How many problems are solved, after how many gradients, how honestly, and how soon.

    python benchmarks/solve.py                        all sets of benchmarks/problems
    python benchmarks/solve.py --set mgh --problems   one set, and every problem of it
    python benchmarks/solve.py --constants            each constant of the rule halved and doubled
    python benchmarks/solve.py --set noisy --seed 1   other streams of noise, which no rule was chosen on
    python benchmarks/solve.py --write                also into benchmarks/RESULTS.md

A problem is solved to tau when ``f - f* <= tau (f(x0) - f*)``, f* the lowest f that any of the solvers
reached, at the first gradient for which that holds; without gradients, at the first evaluation of f. A
success is false where the solver claims one and f is no known minimum, local ones included, to
1e-3 (f(x0) - f*) and, if it is not zero, to 1 %. Under noise other things count: see returned.py.
"""

import argparse
import datetime
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import report
import returned
from constants import varied
from measure import FULL, QUICK, alternate
from problems import SETS
from scipy import optimize

import adamnb

TAUS = (1e-3, 1e-5, 1e-8)
BUDGETS = (200, 1_000, 10_000)  # of gradients
BUDGETS_WITHOUT = (
    100,
    1_000,
    10_000,
)  # of evaluations for each variable, where no gradient is given
MOST = BUDGETS[-1]
WITHOUT = ("mgh", "nist", "bounded")  # sets that are minimised without gradients as well
RESULTS = Path(__file__).with_name("RESULTS.md")
HEADING = "## Problems solved"
UNDER_NOISE = "## Points returned under noise"


class EnoughError(Exception):
    """The budget is spent."""


class Counted:
    """f and gradient of a problem for any solver; remembers the f of each gradient."""

    jac = True
    each = 1  # calls that the budgets count as one

    def __init__(self, problem):
        self.problem, self.values = problem.fresh(), []

    def __call__(self, x):
        if len(self.values) == MOST * self.each:
            raise EnoughError
        g = np.empty_like(x)
        f = self.problem.fun(x, g, *self.problem.args)
        self.values.append(f)
        return f, g

    def solved_after(self, tau, lowest):
        """Gradients until solved, or infinity; without gradients, evaluations for each variable."""
        start = self.problem.value(self.start())
        best = np.fmin.accumulate(np.array(self.values))
        reached = np.flatnonzero(best <= lowest + tau * (start - lowest))
        return (reached[0] + 1) / self.each if reached.size else np.inf

    def start(self):
        x0, bounds = self.problem.x0, self.problem.bounds
        return x0 if bounds is None else np.clip(x0, *bounds)

    def false_success(self, result):
        """Whether `result` claims a success that is none."""
        f, start = self.problem.value(result.x), self.problem.value(self.start())
        known = np.array([self.problem.minimum, *self.problem.minima])
        height = np.abs(f - known)
        near = (height <= 1e-3 * (start - self.problem.minimum)) & (
            (height <= 1e-2 * np.abs(known)) | (np.abs(f) <= 1e-9 * abs(start))
        )
        return bool(result.success) and not near.any()


class Values(Counted):
    """f alone, for solvers that take differences."""

    jac = None

    def __init__(self, problem):
        super().__init__(problem)
        self.each = len(problem.x0)

    def __call__(self, x):
        return super().__call__(x)[0]


def adam(kind=Counted, **options):
    def solve(problem):
        counted = kind(problem)
        box = _pairs(problem)
        options_ = {"maxiter": MOST, "maxfun": MOST * counted.each, **options}
        with suppress(EnoughError):  # differences see `maxfun` between two gradients
            return counted, adamnb.minimize(
                counted, problem.x0, jac=kind.jac, bounds=box, **options_
            )
        return counted, _none(problem)

    return solve


def scipy(method, kind=Counted, **options):
    """SciPy's own stop tests are off for the counts, and at their defaults for the success."""

    def run(problem, settings):
        counted = kind(problem)
        try:
            with np.errstate(all="ignore"):
                result = optimize.minimize(
                    counted, counted.start(), jac=kind.jac, method=method, bounds=_pairs(problem),
                    options=settings,
                )  # fmt: skip
        except (EnoughError, FloatingPointError):
            result = _none(problem)
        return counted, result

    def solve(problem):
        return run(problem, options)[0], run(problem, {})[1]

    return solve


def _none(problem):
    """What a solver is said to have found that did not end within the budget."""
    return optimize.OptimizeResult(success=False, x=problem.x0, fun=problem.value(problem.x0))


def _pairs(problem):
    return None if problem.bounds is None else list(zip(*problem.bounds, strict=True))


SOLVERS = {
    "adamnb": adam(),
    "adamnb, learning_rate=1e-3": adam(learning_rate=1e-3),
    "adamnb, learning_rate=1e-2": adam(learning_rate=1e-2),
    "L-BFGS-B": scipy("L-BFGS-B", gtol=0, ftol=0, maxiter=MOST, maxfun=MOST),
    "BFGS": scipy("BFGS", gtol=0, maxiter=MOST),
    "CG": scipy("CG", gtol=0, maxiter=MOST),
    "TNC": scipy("TNC", gtol=0, ftol=0, xtol=0, maxfun=MOST),
}
NEVER = 10**9  # no limit but that of the budget
SOLVERS_WITHOUT = {
    "adamnb": adam(Values),
    "L-BFGS-B": scipy("L-BFGS-B", Values, gtol=0, ftol=0, maxiter=NEVER, maxfun=NEVER),
    "BFGS": scipy("BFGS", Values, gtol=0, maxiter=NEVER),
}
TAKE_BOUNDS = ("L-BFGS-B", "TNC")


def lowest(runs):
    """The lowest f that any solver reached, one for each problem."""
    return [
        min(np.nanmin(counted.values) for counted, _ in same) for same in zip(*runs, strict=True)
    ]


def counts(run, best):
    """Gradients until solved, shape (problems, taus), and the names of false successes."""
    table = [
        [counted.solved_after(tau, f) for tau in TAUS]
        for (counted, _), f in zip(run, best, strict=True)
    ]
    return np.array(table), [c.problem.name for c, result in run if c.false_success(result)]


def row(name, table, false, budgets=BUDGETS):
    cells = [
        " / ".join(str(np.sum(table[:, j] <= budget)) for budget in budgets)
        for j in range(len(TAUS))
    ]
    return f"| {name} | " + " | ".join([*cells, str(len(false))]) + " |"


def solved(name, problems, each):
    """The table of one set, as lines of markdown."""
    yield f"{name}: {len(problems)} problems, solved after 200 / 1,000 / 10,000 gradients"
    yield from _table(SOLVERS, BUDGETS, problems, each)


def without_gradients(name, problems, each):
    """The table of one set where every solver takes differences."""
    yield (
        f"{name}, without gradients: {len(problems)} problems of n variables, solved after 100 n / 1,000 n"
        " / 10,000 n evaluations of f"
    )
    yield from _table(SOLVERS_WITHOUT, BUDGETS_WITHOUT, problems, each)


def _table(solvers, budgets, problems, each):
    yield ""
    yield "| solver | " + " | ".join(f"tau {tau:.0e}" for tau in TAUS) + " | false successes |"
    yield "|---|---|---|---|---|"
    bounded = any(problem.bounds is not None for problem in problems)
    details = []
    runs = {
        solver: [solve(problem) for problem in problems]
        for solver, solve in solvers.items()
        if not bounded or solver.startswith("adamnb") or solver in TAKE_BOUNDS
    }
    best = lowest(runs.values())
    for solver, run in runs.items():
        table, false = counts(run, best)
        yield row(solver, table, false, budgets)
        if false:
            details.append(f"False successes of {solver}: {', '.join(false)}.")
        if each:
            details += [
                f"{solver}: {problem.name}: {line}"
                for problem, line in zip(problems, table.tolist(), strict=True)
            ]
    yield ""
    yield from details


def digits(problems):
    """Correct digits of the certified parameters with `polish=True`."""
    yield "Correct digits of the worst parameter, `polish=True`, up to the order of equal terms:"
    yield ""
    yield "| data set / start | digits | gradients | success |"
    yield "|---|---|---|---|"
    for problem in problems:
        result = adamnb.minimize(
            problem.fun, problem.x0, args=problem.args, jac="inplace", polish=True
        )
        found = result.x
        if problem.name.startswith("Lanczos"):  # three exponentials, in whatever order
            order = np.argsort(found[1::2])
            found = found.reshape(-1, 2)[order].ravel()
        error = np.max(np.abs(found / problem.certified - 1))
        yield f"| {problem.name} | {-np.log10(max(error, 1e-11)):.1f} | {result.njev} | {result.success} |"
    yield ""


def times(problems, effort):
    """Time to solution, compiled objective, against L-BFGS-B on the same one."""
    runs = [[SOLVERS[name](problem) for problem in problems] for name in ("adamnb", "L-BFGS-B")]
    best = lowest(runs)
    ratios = []
    for i, (problem, f) in enumerate(zip(problems, best, strict=True)):
        if not all(np.isfinite(run[i][0].solved_after(1e-5, f)) for run in runs):
            continue
        goal = f + 1e-5 * (problem.value(problem.x0) - f)
        a, b = alternate([_ours(problem, goal), _lbfgsb(problem, goal)], effort)
        ratios.append(float(np.median(b / a)))
    yield (
        f"Time to tau 1e-5, L-BFGS-B / adamnb, both on the same compiled objective, {len(ratios)}"
        f" problems that both solve: median {np.median(ratios):.2f}, quartiles"
        f" {np.quantile(ratios, 0.25):.2f} and {np.quantile(ratios, 0.75):.2f}, adamnb faster on"
        f" {np.sum(np.array(ratios) > 1)}."
    )
    yield ""


def _ours(problem, goal):
    options = {"args": problem.args, "jac": "inplace", "f_target": goal}
    return lambda: adamnb.minimize(problem.fun, problem.x0, **options)


def _lbfgsb(problem, goal):
    def pair(x):
        g = np.empty_like(x)
        f = problem.fun(x, g, *problem.args)
        if f <= goal:
            raise EnoughError
        return f, g

    options = {"gtol": 0, "ftol": 0, "maxiter": MOST, "maxfun": MOST}

    def run():
        with suppress(EnoughError):
            optimize.minimize(pair, problem.x0, jac=True, method="L-BFGS-B", options=options)

    return run


def constants(problems):
    """The counts with each constant of the automatic rule halved and doubled."""
    yield "| constant | " + " | ".join(f"tau {tau:.0e}" for tau in TAUS) + " | false successes |"
    yield "|---|---|---|---|---|"
    best = lowest([[solve(problem) for problem in problems] for solve in SOLVERS.values()])
    yield row("as it is", *counts([adam()(problem) for problem in problems], best))
    for name in varied():
        yield row(name, *counts([adam()(problem) for problem in problems], best))
    yield ""


def exact(name, problems, chosen):
    """All that is asked for of a set without noise."""
    if chosen.constants:
        yield from constants(problems)
        return
    yield from solved(name, problems, chosen.problems)
    yield ""
    if name in WITHOUT:
        yield from without_gradients(name, problems, chosen.problems)
        yield ""
    if name == "nist":
        yield from digits(problems)
    if name == "mgh":
        yield from times(problems, QUICK if chosen.quick else FULL)


def noisy(problems, chosen):
    """All that is asked for of the problems under noise."""
    if chosen.constants:
        return returned.constants(problems, chosen.seed)
    return returned.table(problems, chosen.problems, chosen.seed)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=SETS, help="one set of problems")
    parser.add_argument("--problems", action="store_true", help="also each problem")
    parser.add_argument("--constants", action="store_true", help="halve and double the constants")
    parser.add_argument("--seed", type=int, default=0, help="of the streams of noise")
    parser.add_argument("--quick", action="store_true", help="times too short to quote")
    parser.add_argument("--write", action="store_true", help=f"also write to {RESULTS.name}")
    chosen = parser.parse_args(arguments)
    head = [
        f"* machine: {report.cpu_model()}; versions: {report.versions()}",
        f"* date: {datetime.date.today().isoformat()}; `python benchmarks/solve.py`",
        "",
    ]
    sections = {}
    for name, problems in SETS.items():
        if chosen.set not in (None, name):
            continue
        under_noise = name == "noisy"
        lines = sections.setdefault(UNDER_NOISE if under_noise else HEADING, [*head])
        for line in noisy(problems(), chosen) if under_noise else exact(name, problems(), chosen):
            lines.append(line)
            print(line, flush=True)
    if chosen.write:
        for heading, lines in sections.items():
            report.write_section(RESULTS, "\n".join(lines), heading)


if __name__ == "__main__":
    sys.exit(main())
