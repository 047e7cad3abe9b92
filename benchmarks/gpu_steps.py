"""One step on a GPU against the traffic limit, PyTorch and CuPy, all in the same memory."""

import sys

import gpu_timing
import numpy as np
from report import Row

import adamnb

SIZES = (1_000, 10**5, 10**6, 10**7, 10**8, 10**9)
DTYPES = (np.float32, np.float64)
ARRAYS = 4  # variables, gradient and two slots
PASSES = 7  # all are read, all but the gradient are written
RATE = 1e-6
IN_MEMORY = 10**7  # from here on no cache holds the arrays


def traffic(cuda, x, g, slots):
    """Return what reads four arrays, writes three of them, and hardly computes."""

    @cuda.jit
    def move(x, g, slots):
        n, i, stride = np.uintp(x.size), np.uintp(cuda.grid(1)), np.uintp(cuda.gridsize(1))
        while i < n:
            d = g[i]
            p, m, v = x[i], slots[0, i], slots[1, i]
            x[i] = p if p > d else d  # finite, and no slot negative, however often
            slots[0, i] = m if m > d else d
            slots[1, i] = v if v > d else d
            i += stride

    from adamnb._cuda.driver import FEWEST, GRID, THREADS

    blocks = min(GRID, max(FEWEST, -(-x.size // THREADS)))
    return lambda: move[blocks, THREADS](x, g, slots)


def torch_fused(x, g, slots):
    """Return PyTorch's fused step."""
    import torch

    parameter = torch.nn.Parameter(torch.as_tensor(x, device="cuda"))
    parameter.grad = torch.as_tensor(g, device="cuda")
    optimizer = torch.optim.Adam([parameter], lr=RATE, fused=True)
    block = torch.as_tensor(slots, device="cuda")
    optimizer.state[parameter] = {
        "step": torch.zeros((), device="cuda"), "exp_avg": block[0], "exp_avg_sq": block[1],
    }  # fmt: skip
    return optimizer.step


def cupy_kernel(x, g, slots):
    """Return Adam as one CuPy kernel, correction of the bias left out."""
    import cupy

    kernel = cupy.ElementwiseKernel(
        "T g, T beta1, T beta2, T rate, T eps", "T x, T m, T v",
        "m = beta1 * m + ((T)1 - beta1) * g; v = beta2 * v + ((T)1 - beta2) * g * g;"
        " x -= rate * m / (sqrt(v) + eps);",
        "adam",
    )  # fmt: skip
    x, g, (m, v) = cupy.asarray(x), cupy.asarray(g), cupy.asarray(slots)
    return lambda: kernel(g, 0.9, 0.999, RATE, 1e-8, x, m, v)


def contenders(cuda, n, dtype):
    """Return the calls to be timed by name, ours first."""
    x, g = (cuda.to_device(np.full(n, value, dtype)) for value in (1.0, 1e-3))
    ours = adamnb.Optimizer(x, learning_rate=RATE)
    slots = ours._slots
    calls = {"adamnb": lambda: ours.step(g), "traffic limit": traffic(cuda, x, g, slots)}
    for package, name, make in (
        ("torch", "torch.optim.Adam(fused=True)", torch_fused),
        ("cupy", "CuPy ElementwiseKernel", cupy_kernel),
    ):
        if not gpu_timing.missing(package):
            calls[name] = make(x, g, slots)
    return calls


def compared(cuda, n, dtype, effort):
    """Return a row for each contender; all that was allocated is gone afterwards."""
    calls = contenders(cuda, n, dtype)
    ours, *others = gpu_timing.alternate(cuda, list(calls.values()), effort)
    moved = PASSES * n * np.dtype(dtype).itemsize / 1e9

    def speed(samples):
        return f"{moved / np.median(samples):,.4g} GB/s"

    reach = {}
    if n >= IN_MEMORY:
        reach = {"traffic limit": 0.93, "torch.optim.Adam(fused=True)": 1.0}
    return [
        Row(
            f"one step, n = {n:,}, {dtype.__name__}", f"Optimizer.step, {speed(ours)}",
            f"{name}, {speed(other)}", ours, other, at_least=reach.get(name),
        )
        for name, other in zip(list(calls)[1:], others, strict=True)
    ]  # fmt: skip


def rows(cuda, effort):
    for dtype in DTYPES:
        for n in SIZES:
            gpu_timing.release(cuda)
            free = cuda.current_context().get_memory_info()[0]
            if ARRAYS * n * np.dtype(dtype).itemsize > 0.9 * free:
                print(f"n = {n:,} {dtype.__name__} left out: it does not fit", file=sys.stderr)
                continue
            yield from compared(cuda, n, dtype, effort)
