"""
Two lines in a spectrum of counts
=================================

A detector counts photons in channels of energy. Two lines overlap, on a background that falls. How strong is
the weak one? Channels with a handful of counts have no Gaussian errors, so the fit is that of maximum
likelihood; widths and areas are positive, which bounds say.
"""

# %%
# The spectrum: a strong line, a weak one on its shoulder, few counts.

import importlib.util

import numba
import numpy as np

import adamnb

rng = np.random.default_rng(12)
energy = np.arange(600.0, 720.0, 1.0)  # keV
names = "area 1", "place 1", "area 2", "place 2", "width", "background", "slope"
truth = np.array([900.0, 661.7, 150.0, 671.0, 3.0, 8.0, -0.02])


@numba.njit
def spectrum(energy, area1, place1, area2, place2, width, background, slope):
    """Counts that are expected in each channel."""
    peak = 1 / (np.sqrt(2 * np.pi) * width)
    line1 = area1 * peak * np.exp(-0.5 * ((energy - place1) / width) ** 2)
    line2 = area2 * peak * np.exp(-0.5 * ((energy - place2) / width) ** 2)
    return line1 + line2 + background * np.exp(slope * (energy - 660.0))


counts = rng.poisson(spectrum(energy, *truth))
print(
    f"{counts.sum()} counts in {counts.size} channels, {np.count_nonzero(counts < 5)} with fewer than 5"
)

# %%
# Starts from what one sees, and bounds: what is expected is positive at every point that is tried.

start = [500.0, 662.0, 100.0, 672.0, 2.0, 5.0, 0.0]
low = [0.0, 655.0, 0.0, 665.0, 0.5, 0.1, -1.0]
high = [np.inf, 668.0, np.inf, 680.0, 10.0, np.inf, 1.0]
fit = adamnb.curve_fit(spectrum, energy, counts, start, cost="poisson", bounds=(low, high))
print(fit.message)
for name, value, error, true in zip(names, fit.popt, fit.perr, truth, strict=True):
    print(f"{name:>10}: {value:9.3f} +- {error:6.3f}   (true {true:g})")
assert np.all(np.abs(fit.popt - truth) < 4 * fit.perr)

# %%
# Least squares with the roots of the counts as errors, as is often done, takes channels that happen to
# be low for more exact than others: it finds too few counts. Likelihood keeps their number.

squares = adamnb.curve_fit(
    spectrum, energy, counts, start, np.sqrt(np.maximum(counts, 1)), True, bounds=(low, high)
)
for name, found in (("likelihood", fit), ("least squares", squares)):
    print(f"{name:>13}: {spectrum(energy, *found.popt).sum():.1f} counts, {counts.sum()} were seen")
assert abs(spectrum(energy, *fit.popt).sum() - counts.sum()) < 0.5
assert spectrum(energy, *squares.popt).sum() < counts.sum() - 20

# %%
# Does the error of the weak line's area say what it should? A thousand spectra, fitted at once.

many = rng.poisson(spectrum(energy, *truth), (1000, energy.size))
fits = adamnb.curve_fit(spectrum, energy, many, start, cost="poisson", bounds=(low, high))
pull = ((fits.popt - truth) / fits.perr)[fits.success, 2]
print(
    f"{fits.success.sum()} of 1000 converged; pull of the area: {pull.mean():.2f} +- {pull.std():.2f}"
)
assert fits.success.mean() > 0.99
assert abs(np.median(pull)) < 0.2
assert 0.9 < np.quantile(np.abs(pull), 0.683) < 1.15

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    axes[0].step(energy, counts, where="mid", color="0.6", label="counts")
    axes[0].plot(energy, spectrum(energy, *fit.popt), label="likelihood")
    axes[0].plot(energy, spectrum(energy, *squares.popt), "--", label="least squares")
    axes[0].set_xlabel("energy, keV")
    axes[0].set_yscale("symlog")
    axes[0].legend()
    axes[1].hist(pull, 40)
    axes[1].set_xlabel("area of the weak line: distance from the truth in standard errors")
    figure.tight_layout()
    plt.show()
