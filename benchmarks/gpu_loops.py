"""What an iteration of `minimize` costs on a GPU at small n, beyond the user's calls.

The objective hands out what it has: f is a constant and the gradient one of two arrays. Both signs, each
twice in a row, keep an automatic learning rate where it is. The rivals read no f and know no stop test.
"""

import itertools
import time

import gpu_timing
import numpy as np
from report import Row

import adamnb

SIZES = (10, 1_000, 100_000)
RATES = {"learning_rate=1e-3": 1e-3, "automatic rate": None}
GOAL = 15e-6  # seconds an iteration


def numba_arrays(cuda):
    """Return what makes an array on the device, and an f that is had at no cost."""
    return cuda.to_device, 1.0


def cupy_arrays(cuda):
    import cupy

    return cupy.asarray, cupy.ones((), np.float32)


def torch_arrays(cuda):
    import torch

    return lambda array: torch.as_tensor(array, device="cuda"), torch.ones((), device="cuda")


KINDS = {"numba": numba_arrays, "cupy": cupy_arrays, "torch": torch_arrays}


def iteration(make, f, n, rate, iterations):
    """Return a function that runs `minimize` and returns its seconds an iteration, set-up included."""
    x0 = make(np.ones(n, np.float32))
    gradients = [make(np.full(n, value, np.float32)) for value in (1e-3, -1e-3)]

    def run():
        calls = itertools.count()

        def fun(x):
            return f, gradients[next(calls) >> 1 & 1]

        begun = time.perf_counter()
        for _ in range(iterations):
            fun(x0)
        own = (time.perf_counter() - begun) / next(calls)
        calls = itertools.count()
        begun = time.perf_counter()
        adamnb.minimize(fun, x0, jac=True, learning_rate=rate, maxiter=iterations)
        spent = time.perf_counter() - begun
        return spent / next(calls) - own

    return run


def launches(cuda):
    """Return a function that launches as many kernels as an iteration does, and they do nothing."""

    @cuda.jit
    def empty():
        pass

    def launch():
        for _ in range(3):
            empty[128, 256]()

    return launch


def torch_fused(n):
    """Return PyTorch's fused step."""
    import torch

    parameter = torch.nn.Parameter(torch.ones(n, device="cuda"))
    parameter.grad = torch.full((n,), 1e-3, device="cuda")
    return torch.optim.Adam([parameter], lr=1e-3, fused=True).step


def rows(cuda, effort):
    iterations = round(2 * effort.seconds / GOAL)
    kinds = {k: arrays(cuda) for k, arrays in KINDS.items() if not gpu_timing.missing(k)}
    for n in SIZES:
        rivals = {"three launches of an empty kernel": launches(cuda)}
        if "torch" in kinds:
            rivals["torch.optim.Adam(fused=True)"] = torch_fused(n)
        runs = {
            f"minimize, arrays of {kind}, {name}": iteration(*kinds[kind], n, rate, iterations)
            for kind in kinds
            for name, rate in RATES.items()
        }
        for run in runs.values():
            run()  # compiles
        ours, others = {name: [] for name in runs}, {name: [] for name in rivals}
        for _ in range(effort.rounds):
            for name, call in rivals.items():
                others[name].append(gpu_timing.seconds(cuda, call, iterations) / iterations)
            for name, run in runs.items():
                ours[name].append(run())
        for name, seconds in ours.items():
            for rival, other in others.items():
                yield Row(
                    f"one iteration, n = {n:,}, float32", name, rival, np.array(seconds),
                    np.array(other), within=GOAL,
                )  # fmt: skip
