"""Many small independent fits, to the same accuracy: time a fit.

Accuracy is the distance from the minimum in units of the statistical error of the worst parameter,
the median over problems. A fit need not be better than a hundredth of that; what each solver does
by default stands in the table as well.
"""

import warnings

import numpy as np
import rivals
from benchmarks.fits import FITS
from measure import alternate_processes
from report import Row
from scipy import optimize

import adamnb

SUBSET = 300  # problems that SciPy solves one by one, and on which accuracy is judged
VMAPPED = 10_000  # problems that Optax solves side by side
PART_OF_ERROR = 0.01
TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4, 1e-5, 1e-6)
RATES = (0.03, 0.1, 0.3)  # Optax gets the best of them for nothing
REACH = {"curve_fit": 25.0, "least_squares": 100.0, "L-BFGS-B": 100.0, "Optax": 15.0}


class Judge:
    """The minima, found by Fisher scoring, and the statistical errors there."""

    def __init__(self, fit):
        self.x, self.error = np.array(fit.truth[:SUBSET]), np.empty((SUBSET, fit.truth.shape[1]))
        for b in range(SUBSET):
            data = tuple(array[b] for array in fit.data)
            for _ in range(100):
                fisher = fit.fisher(self.x[b], *data, *fit.args)
                self.x[b] -= np.linalg.solve(fisher, fit.both(self.x[b], *data, *fit.args)[1])
            self.error[b] = np.sqrt(np.diag(np.linalg.inv(fisher)) * fit.variance)

    def distance(self, x):
        """Median over problems of the distance from the minimum in statistical errors."""
        return float(np.median((np.abs(x[:SUBSET] - self.x) / self.error).max(axis=1)))


def _one_by_one(fit, solve):
    """A callable that solves the subset in a loop and returns the parameters."""

    def loop():
        return np.array([
            solve(fit.x0[b], tuple(array[b] for array in fit.data)) for b in range(SUBSET)
        ])  # fmt: skip

    return loop


def _scipy(fit):
    """SciPy's ways, with compiled functions and analytic derivatives, by name."""
    ways = {
        "L-BFGS-B": lambda x0, data: (
            optimize.minimize(fit.both, x0, (*data, *fit.args), jac=True, method="L-BFGS-B").x
        )
    }
    if fit.model is not None:
        t = fit.args[0]
        ways["least_squares"] = lambda x0, data: (
            optimize.least_squares(
                lambda x: fit.model(t, *x) - data[0], x0, jac=lambda x: fit.jacobian(t, *x)
            ).x
        )
        ways["curve_fit"] = lambda x0, data: optimize.curve_fit(
            fit.model, t, data[0], p0=x0, jac=fit.jacobian
        )[0]
    return {name: _one_by_one(fit, way) for name, way in ways.items()}


def _adamnb(fit, gtol=None):
    """A callable that solves all problems and returns the parameters."""
    options = {} if gtol is None else {"gtol": gtol}
    return lambda: (
        adamnb.minimize_batch(fit.inplace, fit.x0, fit.args, fit.data, jac="inplace", **options).x
    )


def _with_errors(fit):
    """A callable that solves all problems and has the standard errors as well."""
    count = fit.data[0].shape[1]
    return lambda: (
        adamnb.minimize_batch(
            fit.inplace,
            fit.x0,
            fit.args,
            fit.data,
            jac="inplace",
            errors="least_squares",
            n_data=count,
        ).stderr
    )


def _loosest(fit, judge):
    """The largest tolerance that leaves the minimum by a part of the statistical error."""
    for gtol in TOLERANCES:
        if judge.distance(_adamnb(fit, gtol)()) <= PART_OF_ERROR:
            return gtol
    raise RuntimeError(f"no tolerance is good enough for {fit.name}")


def _optax(fit, judge):
    """Optax with the rate and the tolerance with which it is good enough soonest, or None."""
    best, best_time = None, np.inf
    count = min(VMAPPED, len(fit.x0))
    for rate in RATES:
        for gtol in TOLERANCES:
            solve = rivals.optax_batch(
                fit.jax, fit.x0[:count], [array[:count] for array in fit.data], fit.args, rate, gtol
            )
            if judge.distance(solve()) <= PART_OF_ERROR:
                seconds = alternate_processes([solve], _ONCE)[0].min()
                if seconds < best_time:
                    best, best_time = (solve, count, f"rate {rate:g}"), seconds
                break
    return best


class _ONCE:
    processes = 1


def rows(effort, threads):
    for make, reach in FITS.items():
        fit = make(10_000 if effort.processes < 5 else None)
        judge = Judge(fit)
        gtol = _loosest(fit, judge)
        ours = {f"gtol={gtol:g}": _adamnb(fit, gtol), "default": _adamnb(fit)}
        theirs = {name: (way, SUBSET, name) for name, way in _scipy(fit).items()}
        if rivals.available("jax", "optax") and (found := _optax(fit, judge)) is not None:
            solve, count, rate = found
            theirs["Optax"] = solve, count, f"Optax, vmapped while_loop, {rate}"
        calls = [*ours.values(), *(way for way, _, _ in theirs.values())]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # curve_fit: no covariance
            samples = alternate_processes(calls, effort)
            distances = [judge.distance(call()) for call in calls]
        work = f"a fit, {fit.name}, {len(fit.x0):,} of them"
        if fit.model is not None:
            both = alternate_processes([_with_errors(fit), _adamnb(fit)], effort)
            yield Row(
                work, "minimize_batch, default, with standard errors", "the same without them",
                *(sample / len(fit.x0) for sample in both),
            )  # fmt: skip
        for i, ours_name in enumerate(ours):
            for j, (name, (_, count, label)) in enumerate(theirs.items()):
                k = j + len(ours)
                yield Row(
                    work, f"minimize_batch, {ours_name} ({distances[i]:.1g} of the error)",
                    f"{label} ({distances[k]:.1g})", samples[i] / len(fit.x0), samples[k] / count,
                    at_least=REACH[name] if reach and i == 0 else None,
                )  # fmt: skip
