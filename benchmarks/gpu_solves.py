"""A whole minimisation on a GPU: the deconvolution of an image, down to its noise.

The tolerance is the misfit that the true image has, which is the noise: a better fit would fit the noise.
PyTorch's Adam has the best learning rate of three, keeps the bound by clipping after each step, and
looks at f every tenth iteration, since to look is to wait.
"""

import time

import gpu_timing
import numpy as np
from report import Row
from scipy import fft as host_fft
from scipy.optimize import Bounds

import adamnb

SHAPES = ((1_000, 1_000), (2_500, 4_000))
LARGEST_ON_CPU = 10**6
RATES = (0.01, 0.1, 1.0)
LIMIT, LOOK = 1_000, 10  # iterations
SPREAD, NOISE = 3.0, 0.01  # of a point, in pixels; relative to the brightest pixel


class Sky:
    """A nebula and stars behind optics that blur, in a picture with noise; float32.

    transfer, picture, start : ndarray
    tolerance : the misfit of the true sky, as expected
    """

    def __init__(self, shape):
        rng = np.random.default_rng(3)
        row, column = (np.linspace(-1, 1, length) for length in shape)
        sky = 0.3 * np.exp(-(((row[:, np.newaxis] - 0.1) / 0.3) ** 2) - (column / 0.4) ** 2)
        stars = sky.size // 1_700
        where = rng.integers(0, shape[0], stars), rng.integers(0, shape[1], stars)
        sky[where] += rng.uniform(5.0, 40.0, stars)
        frequency = np.hypot(host_fft.fftfreq(shape[0])[:, np.newaxis], host_fft.rfftfreq(shape[1]))
        transfer = np.exp(-2.0 * (np.pi * SPREAD * frequency) ** 2)
        blurred = host_fft.irfft2(transfer * host_fft.rfft2(sky), s=shape)
        sigma = NOISE * blurred.max()
        picture = blurred + sigma * rng.normal(size=shape)
        self.shape, self.tolerance = shape, 0.5 * sigma**2 * sky.size
        self.transfer, self.picture = transfer.astype(np.float32), picture.astype(np.float32)
        self.start = np.maximum(self.picture, 0).ravel()


def residual(shape, transfer, picture, fft):
    """Return the residual as a function of the image, and the optics, which are their own adjoint."""

    def blur(image):
        return fft.irfft2(transfer * fft.rfft2(image), s=shape)

    return lambda x: blur(x.reshape(shape)) - picture, blur


def analytic(sky, to_array, fft):
    """Return f and its gradient as a function of arrays of NumPy or CuPy."""
    misfit, blur = residual(sky.shape, to_array(sky.transfer), to_array(sky.picture), fft)

    def fun(x):
        r = misfit(x)
        return 0.5 * (r * r).sum(), blur(r).ravel()

    return fun


def differentiated(sky, device):
    """Return f and its gradient as a function of a tensor, by automatic differentiation."""
    import torch

    def to_tensor(array):
        return torch.as_tensor(array, device=device)

    misfit, _ = residual(sky.shape, to_tensor(sky.transfer), to_tensor(sky.picture), torch.fft)

    def fun(x):
        x = x.detach().requires_grad_()
        f = 0.5 * misfit(x).square().sum()
        return f.detach(), torch.autograd.grad(f, x)[0].contiguous()  # real parts are strided

    return fun


def ours(fun, x0, tolerance):
    """Return a function that minimises, and returns iterations and whether f is small enough."""

    def run():
        result = adamnb.minimize(
            fun, x0, jac=True, bounds=Bounds(0.0, np.inf), f_target=tolerance, maxiter=LIMIT
        )
        return result.nit, result.fun <= tolerance

    return run


def torch_adam(fun, x0, tolerance, rate):
    """Return the same for PyTorch's Adam."""
    import torch

    def run():
        x = x0.clone()
        optimizer = torch.optim.Adam([x], lr=rate, fused=True)
        for nit in range(LIMIT + 1):
            f, x.grad = fun(x)
            if nit % LOOK == 0 and float(f) <= tolerance:
                return nit, True
            optimizer.step()
            x.clamp_(min=0.0)
        return LIMIT, False

    return run


def timed(run):
    """Return seconds, iterations and whether f got small enough; every run ends with a look at f."""
    begun = time.perf_counter()
    nit, reached = run()
    return time.perf_counter() - begun, nit, reached


def contenders(sky):
    """Return our runs by name, and PyTorch's: one for each learning rate."""
    own, rivals = {}, {}
    if not gpu_timing.missing("cupy"):
        import cupy

        own["minimize, CuPy"] = ours(
            analytic(sky, cupy.asarray, cupy.fft), cupy.asarray(sky.start), sky.tolerance
        )
    if not gpu_timing.missing("torch"):
        import torch

        fun, start = differentiated(sky, "cuda"), torch.as_tensor(sky.start, device="cuda")
        own["minimize, PyTorch"] = ours(fun, start, sky.tolerance)
        for rate in RATES:
            name = f"torch.optim.Adam(fused=True), rate {rate} (best of {RATES})"
            rivals[name] = torch_adam(fun, start, sky.tolerance, rate)
    return own, rivals


def best(rivals):
    """Return the one that is there first, None where none is; this also warms up."""
    found = {}
    for name, run in rivals.items():
        for seconds, _, reached in (timed(run), timed(run)):
            if reached:
                found[name] = seconds
    return min(found, key=found.get, default=None)


def compared(sky, effort):
    """Return a row for each of our runs and each rival."""
    own, rivals = contenders(sky)
    chosen = best(rivals)
    others = {chosen: rivals[chosen]} if chosen else {}
    n = sky.start.size
    if n <= LARGEST_ON_CPU:
        others["minimize, NumPy, on the CPU"] = ours(
            analytic(sky, np.asarray, host_fft), sky.start, sky.tolerance
        )
    runs = own | others
    for run in runs.values():
        run()
    seconds, notes = {name: [] for name in runs}, {}
    for _ in range(effort.processes):
        for name, run in runs.items():
            spent, nit, reached = timed(run)
            seconds[name].append(spent)
            notes[name] = f"{name}, {nit} iterations" + ("" if reached else ", not reached")
    work = f"deconvolution to the noise, n = {n:,}, float32"
    rows = [
        Row(work, notes[name], notes[other], np.array(seconds[name]), np.array(seconds[other]))
        for name in own
        for other in others
    ]
    if rivals and not chosen:
        none = f"torch.optim.Adam(fused=True), rates {RATES}: not reached in {LIMIT} iterations"
        rows += [Row(work, notes[name], none, np.array(seconds[name])) for name in own]
    return rows


def rows(cuda, effort):
    with host_fft.set_workers(-1):
        for shape in SHAPES:
            gpu_timing.release(cuda)
            yield from compared(Sky(shape), effort)
