"""Many small fits on a GPU: fits a second, and how near they come to the minimum.

Two ways are timed: from NumPy arrays to NumPy arrays, and with the data on the GPU, from where only
the parameters cross. Accuracy is that of `batches`: the distance from the minimum in statistical
errors of the worst parameter, the median over problems. Gpufit publishes 3.0e6 fits a second of spots
on 5 x 5 pixels (Przybylski et al. 2017, Levenberg-Marquardt, float32, another GPU).
"""

import time
from functools import partial

import numpy as np
from batches import PART_OF_ERROR, TOLERANCES, Judge
from benchmarks.fits import decays, spots
from numba import njit

import adamnb

COUNTS = (100_000, 1_000_000)
DTYPES = (np.float32, np.float64)
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


def seconds(calls, rounds, duration):
    """Return the median seconds of each call, A B A B; calls wait for the GPU themselves."""
    samples = np.empty((len(calls), rounds))
    for r in range(rounds):
        for k, call in enumerate(calls):
            begun, made = time.perf_counter(), 0
            while made == 0 or time.perf_counter() - begun < duration:
                call()
                made += 1
            samples[k, r] = (time.perf_counter() - begun) / made
    return np.median(samples, axis=1)


def rows(cuda, rounds, duration):
    """Yield a row for every kind, number and dtype of fits."""
    for name, (make, function) in FITS.items():
        for count in COUNTS:
            fit = make(count)
            judge = Judge(fit)
            for dtype in DTYPES:
                x0, args = fit.x0.astype(dtype), tuple(a.astype(dtype) for a in fit.args)
                data = tuple(array.astype(dtype) for array in fit.data)
                there = tuple(map(cuda.to_device, data))

                def solve(gtol, data=data, function=function, x0=x0, args=args):
                    return adamnb.minimize_batch(
                        function, x0, args, data, jac="inplace", gtol=gtol, device="cuda"
                    )

                gtol, distance = loosest(solve, judge)
                found = solve(gtol)
                calls = partial(solve, gtol), partial(solve, gtol, there)
                calls[1]()  # both are warm
                host, device = seconds(calls, rounds, duration)
                yield {
                    "fit": name, "count": count, "dtype": np.dtype(dtype).name, "gtol": gtol,
                    "errors": distance, "converged": float(found.success.mean()),
                    "iterations": float(np.median(found.nit)),
                    "fits/s": count / host, "fits/s, data there": count / device,
                    "ratio to Gpufit": count / host / GPUFIT if name == "spot" else None,
                }  # fmt: skip
                del there, calls


def table(rows):
    """Return rows as Markdown."""
    lines = [
        "| fit | number | dtype | gtol | distance, errors | converged | iterations |"
        " 10^6 fits/s | data there |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['fit']} | {row['count']:,} | {row['dtype']} | {row['gtol']:g} |"
            f" {row['errors']:.2g} | {row['converged']:.1%} | {row['iterations']:g} |"
            f" {row['fits/s'] / 1e6:.3g} | {row['fits/s, data there'] / 1e6:.3g} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from gpu import gpu

    print(table(rows(gpu(), 3, 0.1)))
