"""Means over the rows of data sets: passes and seconds, side by side with other packages, on one thread.

    python benchmarks/stochastic.py                 all data sets of data_sets.py
    python benchmarks/stochastic.py --only poisson  those whose name has this
    python benchmarks/stochastic.py --quick         a tenth of the rows and fewer, too short to quote
    python benchmarks/stochastic.py --write         also into benchmarks/RESULTS.md

Where the mean is convex, the passes over all rows and the seconds until x is within a hundredth of a standard
error of the minimum, as the root mean square over the variables, at a point whose gradient over all rows has
been paid for. Where it is not, log10 of the part of the first height above the lowest known f that is left
after 1, 3 and 10 passes.
"""

import argparse
import datetime
import sys
import time
from contextlib import suppress
from pathlib import Path

import data_sets
import numpy as np
import report
from scipy import optimize

import adamnb
from adamnb._problem.methods import METHODS
from adamnb._problem.options import complete
from adamnb._problem.problem import Problem
from adamnb._problem.rows import Rows
from adamnb._run.samples import Limits, sampled

RESULTS = Path(__file__).with_name("RESULTS.md")
HEADING = "## Means over the rows of data sets"
PACKAGES = (*report.PACKAGES[:4], "scikit-learn", "torch")
NEAR = 0.01  # standard errors
MOST = 400  # passes
BUDGETS = (1, 3, 10)
RATES = (0.1, 0.03, 0.01, 0.003, 0.001)
BATCH = 256


class EnoughError(Exception):
    """The point is near enough, or the budget is spent."""


class Counted:
    """f and gradient over all rows, called with variables that are `scale` times x; a pass for each call."""

    def __init__(self, data_set, scale=1.0, most=MOST):
        self.data_set, self.scale, self.most = data_set, scale, most
        self.passes, self.lowest, self.x, self.seconds = 0, np.inf, data_set.x0, 0.0

    def __call__(self, z):
        if self.passes == self.most:
            raise EnoughError
        started = time.perf_counter()
        x = z / self.scale
        f, g = self.data_set.both(x)
        self.passes += 1
        if f < self.lowest:
            self.lowest, self.x = f, x
        self.seconds += time.perf_counter() - started
        return f, g / self.scale

    def near(self, z):
        """Stop where the minimum is near; not counted as time."""
        if self.data_set.off(z / self.scale) <= NEAR:
            raise EnoughError


def until_near(minimize, scale=1.0):
    """Run a minimiser over all rows until it is near; return passes, seconds and distance."""

    def solve(data_set):
        counted = Counted(data_set, scale(data_set) if callable(scale) else scale)
        looking = [0.0]

        def fun(z):
            pair = counted(z)
            started = time.perf_counter()
            counted.near(z)
            looking[0] += time.perf_counter() - started
            return pair

        _ = data_set.errors
        started = time.perf_counter()
        with suppress(EnoughError):
            minimize(fun, data_set.x0 * counted.scale)
        seconds = time.perf_counter() - started - looking[0]
        return counted.passes, seconds, data_set.off(counted.x)

    return solve


def lbfgsb(fun, x0):
    optimize.minimize(
        fun, x0, jac=True, method="L-BFGS-B",
        options={"ftol": 0.0, "gtol": 0.0, "maxiter": MOST, "maxfun": MOST, "maxcor": 20},
    )  # fmt: skip


def minimize(fun, x0):
    adamnb.minimize(fun, x0, jac=True, gtol=0.0, ftol=0.0, verify=0, maxiter=MOST)


def deviations(data_set):
    scale = data_set.data[0].std(axis=0)
    return np.where(scale > 0, scale, 1.0)


def by_samples(data_set, passes=np.inf):
    options = complete(METHODS["adam"], {"threads": 1})
    problem = Problem(
        data_set.inplace,
        "inplace",
        (),
        data_set.x0,
        None,
        METHODS["adam"],
        options,
        None,
        None,
        True,
    )
    limits = Limits(accuracy=NEAR, passes=passes)
    return sampled(problem, Rows(data_set.data), 0, limits)


def samples(data_set):
    by_samples(data_set)  # loads what is compiled
    started = time.perf_counter()
    found = by_samples(data_set)
    return found.passes, time.perf_counter() - started, data_set.off(found.x)


def learn(name, **options):
    """An estimator of scikit-learn, without a penalty; it does not tell its passes."""

    def solve(data_set):
        from sklearn import linear_model

        kinds = {"LogisticRegression": {"C": np.inf}, "PoissonRegressor": {"alpha": 0.0}}
        own = {"penalty": None} if name == "SGDClassifier" else kinds[name]
        if name != "SGDClassifier" and data_set.estimator != name:
            return None
        if data_set.estimator != "LogisticRegression" and name == "SGDClassifier":
            return None
        estimator = getattr(linear_model, name)(fit_intercept=False, **own, **options)
        started = time.perf_counter()
        estimator.fit(*data_set.data)
        seconds = time.perf_counter() - started
        return np.nan, seconds, data_set.off(np.ravel(estimator.coef_))

    return solve


def torch_adam(data_set, passes, rate):
    """Adam over shuffled batches, its rate falling to 0 along a cosine; return x."""
    import torch

    torch.manual_seed(0)
    x = torch.tensor(data_set.x0, requires_grad=True)
    data = [torch.as_tensor(array) for array in data_set.data]
    count = data_set.count
    batches = -(-count // BATCH)
    adam = torch.optim.Adam([x], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, passes * batches)
    for _ in range(passes):
        order = torch.randperm(count)
        for k in range(batches):
            some = order[k * BATCH : (k + 1) * BATCH]
            adam.zero_grad()
            data_set.torch(x, *(array[some] for array in data)).backward()
            adam.step()
            schedule.step()
    return x.detach().numpy()


def best_torch(data_set, passes, rates=RATES):
    """The best of some rates in hindsight: passes, seconds of one run, distance."""
    runs = []
    for rate in rates:
        started = time.perf_counter()
        x = torch_adam(data_set, passes, rate)
        runs.append((data_set.off(x), time.perf_counter() - started))
    off, seconds = min(runs)
    return passes, seconds, off


CONVEX = {
    "adamnb, a growing sample": samples,
    "adamnb.minimize, all rows": until_near(minimize),
    "SciPy L-BFGS-B, all rows": until_near(lbfgsb),
    "SciPy L-BFGS-B, columns scaled": until_near(lbfgsb, deviations),
    "scikit-learn lbfgs, tol 1e-4": learn(
        "LogisticRegression", solver="lbfgs", tol=1e-4, max_iter=1_000
    ),
    "scikit-learn lbfgs, tol 1e-7": learn(
        "LogisticRegression", solver="lbfgs", tol=1e-7, max_iter=1_000
    ),
    "scikit-learn newton-cholesky": learn("LogisticRegression", solver="newton-cholesky", tol=1e-7),
    "scikit-learn saga, 20 passes": learn("LogisticRegression", solver="saga", max_iter=20),
    "scikit-learn SGDClassifier": learn("SGDClassifier", loss="log_loss", random_state=0),
    "scikit-learn Poisson lbfgs, tol 1e-7": learn("PoissonRegressor", tol=1e-7, max_iter=1_000),
    "scikit-learn Poisson newton-cholesky": learn(
        "PoissonRegressor", solver="newton-cholesky", tol=1e-7
    ),
    "torch Adam, cosine, best of 3 rates": lambda data_set: best_torch(data_set, 3, RATES[1:4]),
}


def over_all_rows(minimize):
    """The lowest point of a minimiser after some passes."""

    def solve(data_set, passes):
        counted = Counted(data_set, most=passes)
        with suppress(EnoughError):
            minimize(counted, data_set.x0)
        return data_set.gap(counted.x)

    return solve


def epochs(data_set, passes):
    """Two passes of `minimize_stochastic` look at the start and at the answer, and are not counted here."""
    result = adamnb.minimize_stochastic(
        data_set.inplace,
        data_set.x0,
        data_set.data,
        jac="inplace",
        epochs=passes,
        seed=0,
        threads=1,
    )
    return data_set.gap(result.x)


def samples_of(data_set, passes):
    return data_set.gap(by_samples(data_set, passes).x)


OTHERS = {
    "adamnb.minimize_stochastic": epochs,
    "adamnb, a growing sample": samples_of,
    "adamnb.minimize, all rows": over_all_rows(minimize),
    "SciPy L-BFGS-B, all rows": over_all_rows(lbfgsb),
    "torch Adam, cosine, best of 5 rates": lambda data_set, passes: min(
        data_set.gap(torch_adam(data_set, passes, rate)) for rate in RATES
    ),
    "torch Adam, cosine, worst of 5 rates": lambda data_set, passes: max(
        data_set.gap(torch_adam(data_set, passes, rate)) for rate in RATES
    ),
}


def convex(data_set):
    """The table of one convex mean, as lines of markdown."""
    yield f"{data_set.name}: until within {NEAR:g} standard errors, or where it ended"
    yield ""
    yield "| solver | passes | seconds | standard errors away |"
    yield "|---|---:|---:|---:|"
    for name, solve in CONVEX.items():
        found = solve(data_set)
        if found is not None:
            passes, seconds, off = found
            shown = "-" if np.isnan(passes) else f"{passes:.1f}"
            yield f"| {name} | {shown} | {seconds:.3g} | {off:.2g} |"
    yield ""


def others(data_set):
    yield f"{data_set.name}: log10 of the gap after {', '.join(map(str, BUDGETS))} passes"
    yield ""
    yield "| solver | gap |"
    yield "|---|---:|"
    for name, solve in OTHERS.items():
        yield f"| {name} | {' / '.join(f'{solve(data_set, passes):.1f}' for passes in BUDGETS)} |"
    yield ""


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="data sets whose names have this")
    parser.add_argument("--quick", action="store_true", help="few rows")
    parser.add_argument("--write", action="store_true", help=f"also write to {RESULTS.name}")
    chosen = parser.parse_args(arguments)
    size = "quick" if chosen.quick else "full"
    lines = [
        f"* machine: {report.cpu_model()}; versions: {report.versions(PACKAGES)}",
        f"* date: {datetime.date.today().isoformat()}; `python benchmarks/stochastic.py`, one thread",
        "",
    ]
    for table, makers in ((convex, data_sets.CONVEX), (others, data_sets.OTHERS)):
        for make, rows, n in makers[size]:
            if chosen.only not in make.__name__:
                continue
            for line in table(make(rows, n)):
                lines.append(line)
                print(line, flush=True)
    if chosen.write:
        report.write_section(RESULTS, "\n".join(lines), HEADING)


if __name__ == "__main__":
    import warnings

    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="sklearn")  # of rivals that do not converge
    with threadpool_limits(1):
        sys.exit(main())
