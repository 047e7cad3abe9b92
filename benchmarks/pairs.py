"""Steps by secant pairs: what an iteration costs, what they save, and how many pairs it takes."""

import time
from functools import partial

import numba
import numpy as np
from benchmarks.fits import FITS
from measure import alternate_processes
from report import Row

import adamnb

LARGE, ITERATIONS, FILLED = 10_000_000, 30, 12  # the first iterations touch their memory


@numba.njit(parallel=True, error_model="numpy")
def rosenbrock(x, g):
    """Rosenbrock's function of pairs of variables."""
    parts, half = np.zeros(64), x.size // 2
    for b in numba.prange(64):
        f = 0.0
        for k in range(b * half // 64, (b + 1) * half // 64):
            i = 2 * k
            a, c = 1 - x[i], x[i + 1] - x[i] * x[i]
            f += a * a + 100 * c * c
            g[i], g[i + 1] = -2 * a - 400 * x[i] * c, 200 * c
        parts[b] = f
    return parts.sum()


def iteration(n, memory):
    """Median seconds of an iteration, those of f and its gradient included."""
    ends = []
    adamnb.minimize(
        rosenbrock, np.full(n, -1.2), jac="inplace", memory=memory, maxiter=ITERATIONS, verify=0,
        gtol=0, ftol=0, callback=lambda intermediate_result: ends.append(time.perf_counter()),
    )  # fmt: skip
    return np.array([np.median(np.diff(ends)[FILLED:])])


def rows(effort, threads):
    n = LARGE if effort.processes >= 5 else LARGE // 100
    plain = iteration(n, 0)
    for memory in (4, 8):
        yield Row(
            f"an iteration, Rosenbrock's function, n = {n:,}", f"{memory} pairs", "memory=0",
            iteration(n, memory), plain,
        )  # fmt: skip
    for make in FITS:
        fit = make(10_000 if effort.processes < 5 else None)

        def solve(memory, fit=fit):
            return adamnb.minimize_batch(
                fit.inplace, fit.x0, fit.args, fit.data, jac="inplace", memory=memory
            )

        calls = [partial(solve, memory) for memory in (None, 0)]
        samples = alternate_processes(calls, effort)
        ours, without = (sample / len(fit.x0) for sample in samples)
        yield Row(f"a fit, {fit.name}", "minimize_batch", "memory=0", ours, without)
