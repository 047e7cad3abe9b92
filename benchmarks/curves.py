"""Fits of curves with standard errors, by `curve_fit` here and by SciPy's: time a fit.

Both get the same model, a Numba function of arrays, and the same starts; ours gets tolerances with which it
ends as near to the minimum, and as it comes it is a row more. How far from the minimum they end, in standard
errors, is shown, and asserted: of nine in ten curves and of the farthest. Standard errors agree to 1e-4.
"""

import warnings

import numpy as np
from benchmarks.fits import FITS, decays, spots
from measure import alternate_processes
from report import Row
from scipy import optimize

import adamnb

SUBSET = 300  # curves that SciPy fits one by one
COUNTED = 100  # photons of a spot, at its peak
TOLERANCES = {"ftol": 1e-8, "xtol": 1e-8}  # those of SciPy are 1.49e-8
GPUFIT = 1 / 61_000  # seconds a fit, its CPU version, as published (Przybylski et al. 2017)


def _one_by_one(fit, **options):
    """A callable that fits the subset in a loop around SciPy; returns parameters and errors."""

    def loop():
        found = [
            optimize.curve_fit(fit.model, fit.args[0], fit.data[0][b], fit.x0[b], **options)
            for b in range(SUBSET)
        ]
        return np.array([p for p, _ in found]), np.sqrt([np.diag(c) for _, c in found])

    return loop


def _all_at_once(fit, threads, **options):
    return lambda: adamnb.curve_fit(
        fit.model, fit.args[0], fit.data[0], fit.x0, threads=threads, **options
    )


def _distances(fit, popt):
    """How far some of the curves end from their minimum, in standard errors of the parameter farthest off."""
    y = fit.data[0][: len(popt)]
    minimum = adamnb.curve_fit(fit.model, fit.args[0], y, popt, ftol=0, xtol=0, gtol=1e-10)
    return np.abs((popt - minimum.popt) / minimum.perr).max(axis=1)


def _check(fit, ours, theirs):
    """Assert that ours ends as near to the minimum as SciPy's; return both distances, of the median."""
    popt, perr = theirs
    near, far = _distances(fit, ours.popt[:SUBSET]), _distances(fit, popt)
    assert np.quantile(near, 0.9) <= 1.1 * np.quantile(far, 0.9)
    assert near.max() <= 1.1 * far.max()
    assert np.median(np.abs(ours.perr[:SUBSET] / perr - 1).max(axis=1)) < 1e-4
    assert ours.success.mean() > 0.999
    return np.median(near), np.median(far)


def _counted(fit):
    """The spots as counts of photons."""
    low = fit.data[0].min()
    counts = np.random.default_rng(3).poisson(COUNTED * np.maximum(fit.data[0] - min(low, 0), 0.01))
    scale = np.array([COUNTED, 1, 1, 1, COUNTED])
    starts = np.maximum(fit.x0 * scale, (1, 0, 0, 0.3, 1))
    bounds = (0, -2, -2, 0.2, 1e-3), (np.inf, 7, 7, 9, np.inf)
    return starts, counts, bounds


def rows(effort, threads):
    count = 10_000 if effort.processes < 5 else 100_000
    for make, reach in ((decays, (60.0, 100.0)), (spots, (None, None))):
        assert make in FITS
        fit = make(count)
        calls = [
            _all_at_once(fit, threads, **TOLERANCES),
            _one_by_one(fit, jac=fit.jacobian),
            _one_by_one(fit),
            _all_at_once(fit, threads),
            lambda fit=fit: adamnb.minimize_batch(
                fit.inplace, fit.x0, fit.args, fit.data, jac="inplace", threads=threads
            ),
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # curve_fit: no covariance
            samples = alternate_processes(calls, effort)
            ours, theirs = _check(fit, calls[0](), calls[1]())
        work = f"a fit with standard errors, {fit.name}, {count:,} of them"
        for k, (rival, least) in enumerate(
            (("curve_fit, compiled Jacobian", reach[0]), ("curve_fit, no Jacobian", reach[1])), 1
        ):
            yield Row(
                work, f"curve_fit, ftol=xtol=1e-8 ({ours:.0e} of the error)",
                f"SciPy's {rival} ({theirs:.0e})", samples[0] / count, samples[k] / SUBSET,
                at_least=least,
            )  # fmt: skip
            yield Row(
                work, "curve_fit, default", f"SciPy's {rival}", samples[3] / count, samples[k] / SUBSET
            )  # fmt: skip
        yield Row(
            work, "curve_fit, default", "minimize_batch of the misfit, gradient by hand, no errors",
            samples[3] / count, samples[4] / count,
        )  # fmt: skip
    yield from _counts(effort, threads, spots(count))


def _counts(effort, threads, fit):
    starts, counts, bounds = _counted(fit)

    def solve():
        return adamnb.curve_fit(
            fit.model, fit.args[0], counts, starts, bounds=bounds, cost="poisson", threads=threads
        )

    (seconds,) = alternate_processes([solve], effort)
    assert solve().success.mean() > 0.999
    yield Row(
        f"a fit of counts by likelihood, with errors, {fit.name}", "curve_fit, cost='poisson'",
        "Gpufit's CPU version, as published", seconds / len(counts),
        np.full(len(seconds), GPUFIT), at_least=2.0,
    )  # fmt: skip
