"""
Two lines of sodium: parameters with names
==========================================

A lamp shows the two D lines of sodium on a sloping background. The spectrometer counts photons, so the
fit maximises a Poisson likelihood. Seven parameters in a vector are easily mixed up: which one was
``x[4]``? They have names here, in the model, in the bounds, in the scales and in the result.
"""

import importlib.util
from typing import NamedTuple

import numba
import numpy as np

import adamnb

# %%
# The parameters: a NamedTuple, which Numba compiles. Its parts may be numbers, arrays of any shape, and
# NamedTuples again.


class Line(NamedTuple):
    position: float  # nm
    photons: float


class Spectrum(NamedTuple):
    # Photons in a pixel: in the middle, and their change from end to end; one number scales both.
    background: np.ndarray | float
    d2: Line
    d1: Line
    width: float  # nm, of the spectrometer


@numba.njit(error_model="numpy")
def expected(p, wavelength):
    """Expected number of photons in each pixel."""
    pixel = wavelength[1] - wavelength[0]
    middle, end_to_end = wavelength.mean(), wavelength[-1] - wavelength[0]
    photons = p.background[0] + p.background[1] * (wavelength - middle) / end_to_end
    for line in (p.d2, p.d1):
        u = (wavelength - line.position) / p.width
        photons = photons + line.photons * pixel * np.exp(-0.5 * u**2) / (2.5066282746 * p.width)
    return photons


@numba.njit(error_model="numpy")
def misfit(p, counts, wavelength):
    """Negative logarithm of the Poisson likelihood."""
    mu = expected(p, wavelength)
    return np.sum(mu - counts * np.log(mu))


# %%
# Counts as a spectrometer gives them. The wavelengths in air are those of the NIST Atomic Spectra Database;
# D2 is twice as strong as D1.

rng = np.random.default_rng(1859)  # when Kirchhoff and Bunsen saw them
wavelength = np.linspace(588.2, 590.4, 300)
true = Spectrum(np.array([40.0, 15.0]), Line(588.9950, 8000.0), Line(589.5924, 4000.0), 0.06)
counts = rng.poisson(expected(true, wavelength)).astype(float)

# %%
# Bounds and scales by name. A part without bounds is left out; scales are of the structure of the start.

start = Spectrum(np.array([20.0, 0.0]), Line(588.9, 1000.0), Line(589.7, 1000.0), 0.1)
bounds = {
    "background": ([1.0, -np.inf], None),
    "d2": {"position": (588.5, 589.3), "photons": (0, None)},
    "d1": {"position": (589.3, 590.0), "photons": (0, None)},
    "width": (0.01, 0.3),
}
scale = Spectrum(10.0, Line(0.1, 1000.0), Line(0.1, 1000.0), 0.05)
fit = adamnb.minimize(misfit, start, (counts, wavelength), bounds=bounds, x_scale=scale)
print(fit.message)
for name, value in zip(fit.names, fit.x, strict=True):
    print(f"{name:>14} {value:10.4f}")

p = fit.params
assert fit.success
assert abs(p.d2.position - true.d2.position) < 0.005
assert abs(p.d1.position - true.d1.position) < 0.005
assert abs(p.d2.photons / p.d1.photons / 2 - 1) < 0.1

# %%
# The same names for many spectra at once: the lamp warms up, and its lines grow. One start is good for
# all, and each part of the result has one row per spectrum.

brightness = np.linspace(0.2, 1.5, 200)
series = np.empty((brightness.size, wavelength.size))
for row, factor in zip(series, brightness, strict=True):
    d2, d1 = (line._replace(photons=factor * line.photons) for line in (true.d2, true.d1))
    row[:] = rng.poisson(expected(true._replace(d2=d2, d1=d1), wavelength))
fits = adamnb.minimize_batch(misfit, start, (wavelength,), (series,), bounds=bounds, x_scale=scale)
print(fits)
ratio = fits.params.d2.photons / fits.params.d1.photons
print(f"D2 / D1: {ratio.mean():.3f} +- {ratio.std() / ratio.size**0.5:.3f}")
assert fits.success.all()
assert abs(ratio.mean() - 2) < 0.05

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.5))
    axes[0].step(wavelength, counts, where="mid", color="0.6", label="counts")
    axes[0].plot(wavelength, expected(p, wavelength), color="tab:red", label="fit")
    for line, name in ((p.d2, "D2"), (p.d1, "D1")):
        axes[0].annotate(f"{name} {line.position:.3f}", (line.position, counts.max()), ha="center")
    axes[0].set_xlabel("wavelength, nm")
    axes[0].legend()
    axes[1].plot(brightness, fits.params.d2.photons, ".", label="D2")
    axes[1].plot(brightness, fits.params.d1.photons, ".", label="D1")
    axes[1].set_xlabel("brightness of the lamp")
    axes[1].set_ylabel("photons in the line")
    axes[1].legend()
    figure.tight_layout()
    plt.show()
