"""
Phase retrieval: an image from the brightness of its diffraction patterns
=========================================================================

A detector counts photons: of the wave that reaches it, the phase is lost. Lensless X-ray microscopes
get it back from several patterns of one sample, taken behind known plates that shift the phase of the
light at random. Then the sample, absorption and phase of every pixel, is an optimisation problem: not
convex, and with Fourier transforms for a gradient (Candès, Li & Soltanolkotabi 2015, here for
amplitudes).

The script runs on a GPU where CuPy finds one, and on the CPU where not. Nothing but the array package
differs: `minimize` runs where x0 is.
"""

import importlib.util
from typing import Any

import numpy as np

import adamnb

PRECISION = np.float64  # or float32
xp: Any = np
if importlib.util.find_spec("cupy"):
    import cupy

    if cupy.cuda.is_available():
        xp = cupy

# %%
# The sample: a cell of 128 x 128 pixels that absorbs and delays the light, with organelles that do
# so more. Light that misses it passes unchanged.

N = 128
rng = np.random.default_rng(4)
row, column = np.mgrid[-1 : 1 : N * 1j, -1 : 1 : N * 1j]


def blob(y, x, radius, edge=0.03):
    """A disc with a soft edge."""
    return 1.0 / (1.0 + np.exp((np.hypot(row - y, column - x) - radius) / edge))


absorption, phase = 0.3 * blob(0, 0, 0.7), 0.8 * blob(0, 0, 0.7)
for _ in range(12):
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.5)
    organelle = blob(distance * np.sin(angle), distance * np.cos(angle), rng.uniform(0.04, 0.15))
    absorption += rng.uniform(0, 0.4) * organelle
    phase += rng.uniform(-0.6, 0.6) * organelle
sample = np.exp(-absorption + 1j * phase)

# %%
# Six plates, six patterns. Each is made by some 10 million photons, whose number is random: the root
# of a count has the standard deviation 1/2, whatever the count.

PLATES, PHOTONS = 6, 600.0  # photons a pixel
plates = np.exp(2j * np.pi * rng.random((PLATES, N, N)))
patterns = rng.poisson(PHOTONS * np.abs(np.fft.fft2(plates * sample, norm="ortho")) ** 2)
amplitudes = np.sqrt(patterns / PHOTONS)

# %%
# The misfit of the amplitudes, and its gradient, once for both packages. Real parts come first in x,
# imaginary parts after them. The transform is unitary, so that its adjoint is its inverse. We start
# from a sample that is not there.

shift = xp.asarray(plates.astype(np.result_type(PRECISION, np.complex64)))
measured = xp.asarray(amplitudes.astype(PRECISION))


def misfit(x):
    """Half the sum of squares, and its gradient; x has shape (2 N N,)."""
    wave = (x[: N * N] + 1j * x[N * N :]).reshape(N, N)
    far = xp.fft.fft2(shift * wave, norm="ortho")
    amplitude = xp.abs(far)
    residual = amplitude - measured
    back = xp.fft.ifft2(residual * far / xp.maximum(amplitude, 1e-12), norm="ortho")
    slope = (shift.conj() * back).sum(axis=0).ravel()
    return 0.5 * (residual * residual).sum(), xp.concatenate([slope.real, slope.imag])


start = xp.concatenate([xp.ones(N * N, PRECISION), xp.zeros(N * N, PRECISION)])
res = adamnb.minimize(misfit, start, jac=True, maxiter=300)

# %%
# A common factor of modulus 1 leaves every pattern as it is: the sample is known up to it. Two unknowns
# a pixel fit as many of the six numbers a pixel, so that two thirds of the noise should be left.

x = res.x if xp is np else xp.asnumpy(res.x)
found = (x[: N * N] + 1j * x[N * N :]).reshape(N, N)
found *= np.exp(1j * np.angle(np.vdot(found, sample)))
error = np.linalg.norm(found - sample) / np.linalg.norm(sample)
noise = amplitudes - np.abs(np.fft.fft2(plates * sample, norm="ortho"))
left = float(res.fun) / (0.5 * np.sum(noise**2))
print(f"{x.size} unknowns, arrays of {xp.__name__}, {res.nit} iterations, {res.time:.2f} s")
print(f"error of the sample {error:.4f}, noise left {left:.3f}: {res.message}")
assert error < 0.03
assert abs(left - (1.0 - 2.0 / PLATES)) < 0.02

# %%
# One of the patterns, and the sample.

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(8, 8))
    for ax, image, title in zip(
        axes.flat,
        (np.fft.fftshift(amplitudes[0]), np.angle(sample), np.abs(found), np.angle(found)),
        ("a pattern", "phase of the sample", "found: transmission", "found: phase"),
        strict=True,
    ):
        ax.imshow(image, cmap="gray")
        ax.set(title=title, xticks=[], yticks=[])
    figure.tight_layout()
    if plt.get_backend().lower() != "agg":
        plt.show()
