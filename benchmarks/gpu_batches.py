"""Many small fits on a GPU: fits a second, and how near they come to the minimum.

Two ways are timed: from NumPy arrays to NumPy arrays, and with the data on the GPU already: starts and
results cross. Accuracy is that of `batches`: the distance from the minimum in statistical
errors of the worst parameter, the median over problems. Gpufit publishes 3.0e6 fits a second of spots
on 5 x 5 pixels (Przybylski et al. 2017, Levenberg-Marquardt, float32, another GPU).
"""

from functools import partial

import numpy as np
from batches import PART_OF_ERROR, TOLERANCES, Judge
from benchmarks.fits import decays, spots
from measure import alternate_processes
from numba import njit
from report import Row

import adamnb

COUNTS = (100_000, 1_000_000)
DTYPES = (np.float32, np.float64)
ON_CPU = 100_000  # fits at most
GPUFIT = 3.0e6  # fits of spots a second


# The fits of `benchmarks.fits` in the dtype of x: a literal would turn float32 into float64.


@njit
def decay(x, g, y, t):
    zero = x.dtype.type(0)
    f = a = k = c = zero
    for i in range(t.size):
        e = np.exp(-x[1] * t[i])
        r = x[0] * e + x[2] - y[i]
        f += r * r
        d = r + r
        a += d * e
        k -= d * x[0] * t[i] * e
        c += d
    g[0], g[1], g[2] = a, k, c
    return f


@njit
def spot(x, g, y, grid):
    zero, half, one = x.dtype.type(0), x.dtype.type(0.5), x.dtype.type(1)
    f = a = u0 = v0 = w = c = zero
    inverse = one / (x[3] * x[3])
    for i in range(y.size):
        u, v = grid[0, i] - x[1], grid[1, i] - x[2]
        r2 = u * u + v * v
        e = np.exp(-half * r2 * inverse)
        r = x[0] * e + x[4] - y[i]
        f += r * r
        d = r + r
        m = d * x[0] * e * inverse
        a += d * e
        u0 += m * u
        v0 += m * v
        w += m * r2
        c += d
    g[0], g[1], g[2], g[3], g[4] = a, u0, v0, w / x[3], c
    return f


FITS = {"decay": (decays, decay), "spot": (spots, spot)}


def loosest(solve, judge):
    """Return the largest tolerance that is good enough, or else the smallest, and the distance there."""
    for gtol in TOLERANCES:
        distance = judge.distance(solve(gtol).x.astype(float))
        if distance <= PART_OF_ERROR:
            break
    return gtol, distance


def rows(cuda, effort):
    """Yield a row for every kind, number and dtype of fits, with data here and there."""
    for name, (make, function) in FITS.items():
        for count in COUNTS:
            fit = make(count)
            judge = Judge(fit)
            for dtype in DTYPES:
                x0, args = fit.x0.astype(dtype), tuple(a.astype(dtype) for a in fit.args)
                data = tuple(array.astype(dtype) for array in fit.data)
                there = tuple(map(cuda.to_device, data))

                def solve(gtol, data=data, x0=x0, args=args, function=function, **where):
                    return adamnb.minimize_batch(
                        function, x0, args, data, jac="inplace", gtol=gtol, **where
                    )

                gtol, distance = loosest(partial(solve, device="cuda"), judge)
                some = {"data": tuple(array[:ON_CPU] for array in data), "x0": x0[:ON_CPU]}
                calls = (
                    partial(solve, gtol, device="cuda"), partial(solve, gtol, there),
                    partial(solve, gtol, **some),
                )  # fmt: skip
                host, device, cpu = alternate_processes(calls, effort)
                work = f"a fit, {name}, {count:,} of them, {np.dtype(dtype).name}"
                how = f"minimize_batch on the GPU, gtol={gtol:g} ({distance:.2g} of the error)"
                reach = 1 / GPUFIT if name == "spot" and dtype is np.float32 else None
                for label, ours in ((how, host), (f"{how}, data there", device)):
                    yield Row(
                        work, label, "the same on the CPU, all threads", ours / count,
                        cpu / min(count, ON_CPU), within=reach,
                    )  # fmt: skip
