"""
A map of relaxation times, and of their errors
==============================================

In magnetic resonance imaging the signal of a tissue decays after each excitation with a time of its own,
T2. Twelve echoes give a decay curve in every pixel, and a fit in every pixel gives a map, with a standard
error in every pixel. Outside the head there is nothing but noise: those fits mean nothing, and have to be
known as such.
"""

# %%
# A phantom: three tissues in a slice, twelve echoes, noise.

import importlib.util
import warnings

import numba
import numpy as np
from scipy.optimize import OptimizeWarning

import adamnb

rng = np.random.default_rng(7)
n = 128
y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
tissue = np.zeros((n, n), int)  # 0 is air
tissue[(x / 0.75) ** 2 + (y / 0.9) ** 2 < 1] = 1
tissue[((x + 0.1) / 0.5) ** 2 + (y / 0.6) ** 2 < 1] = 2
tissue[(np.abs(x) - 0.2) ** 2 + (y + 0.1) ** 2 < 0.02] = 3
T2 = np.array([np.nan, 80.0, 110.0, 300.0])[tissue]  # milliseconds
density = np.array([0.0, 0.7, 0.8, 1.0])[tissue]

echoes = np.arange(1, 13) * 15.0
noise = 0.02
signal = np.where(density > 0, density, 0)[..., None] * np.exp(
    -echoes / np.nan_to_num(T2, nan=1.0)[..., None]
)
signal += noise * rng.standard_normal(signal.shape)

# %%
# The model is that of one decay, as one writes it for `scipy.optimize.curve_fit`; all pixels are fitted at
# once, on all cores. It is differentiated as it is compiled, and the results come back as maps. Where there
# is no signal the data say nothing of T2, of which `curve_fit` warns.


@numba.njit
def decay(echo, density, relaxation):
    return density * np.exp(-echo / relaxation)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", OptimizeWarning)
    fits = adamnb.curve_fit(
        decay,
        echoes,
        signal,
        [0.5, 100.0],
        noise,
        absolute_sigma=True,
        bounds=([0, 5], [np.inf, 2000]),
    )
print(fits)

# %%
# Noise converges as well: to no signal, or to a decay that no echo has seen. What tells it from tissue
# is the misfit of no signal at all, compared with that of the fit: the likelihood ratio.

amplitude, relaxation = np.moveaxis(fits.popt, -1, 0)
gain = 0.5 * (signal**2).sum(axis=-1) / noise**2 - fits.cost
seen = fits.success & (gain > 15)
T2_map = np.where(seen, relaxation, np.nan)
error_map = np.where(seen, fits.perr[..., 1], np.nan)

assert (seen == (tissue > 0)).mean() > 0.999

# %%
# In each tissue the times scatter as the errors say: the pull, distance from the truth in standard errors,
# has a deviation of one.

for kind, true in ((1, 80.0), (2, 110.0), (3, 300.0)):
    here = seen & (tissue == kind)
    found, error = T2_map[here], error_map[here]
    pull = (found - true) / error
    print(f"T2 of {true:.0f} ms: {np.mean(found):.1f} +- {np.std(found):.1f} ms")
    print(f"    median of the standard errors: {np.median(error):.1f} ms")
    assert abs(np.median(found) / true - 1) < 0.02
    assert abs(np.std(pull) - 1) < 0.1

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2))
    for axis, picture, title, top in (
        (axes[0], signal[..., 0], "first echo", 1),
        (axes[1], T2_map, "T2 where there is a signal, ms", 350),
        (axes[2], error_map, "its standard error, ms", 40),
    ):
        shown = axis.imshow(picture, vmin=0, vmax=top)
        figure.colorbar(shown, ax=axis)
        axis.set_title(title)
        axis.axis("off")
    figure.tight_layout()
    plt.show()
