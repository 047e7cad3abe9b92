"""
A map of relaxation times
=========================

In magnetic resonance imaging the signal of a tissue decays after each excitation with a time of its own,
T2. Twelve echoes give a decay curve in every pixel, and a fit in every pixel gives a map. Outside the
head there is nothing but noise: those fits mean nothing, and have to be known as such.
"""

# %%
# A phantom: three tissues in a slice, twelve echoes, noise.

import importlib.util

import numba
import numpy as np

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
# The misfit of one pixel, in units of the noise. Data that differ from pixel to pixel are `data`, what
# all have in common is `args`. The function is differentiated as it is compiled.


@numba.njit
def misfit(p, decay, echoes, noise):
    f = 0.0
    for i in range(echoes.size):
        r = (p[0] * np.exp(-echoes[i] / p[1]) - decay[i]) / noise
        f += 0.5 * r * r
    return f


fits = adamnb.minimize_batch(
    misfit,
    [0.5, 100.0],
    args=(echoes, noise),
    data=(signal.reshape(-1, echoes.size),),
    bounds=[(0, None), (5, 2000)],
    gtol=1e-6,
)
print(fits)

# %%
# Noise converges as well: to no signal, or to a decay that no echo has seen. What tells it from tissue
# is the misfit of no signal at all, compared with that of the fit: the likelihood ratio.

amplitude, relaxation = fits.x.T.reshape(2, n, n)
gain = 0.5 * (signal**2).sum(axis=-1) / noise**2 - fits.fun.reshape(n, n)
seen = fits.success.reshape(n, n) & (gain > 15)
T2_map = np.where(seen, relaxation, np.nan)

assert (seen == (tissue > 0)).mean() > 0.999
for kind, true in ((1, 80.0), (2, 110.0), (3, 300.0)):
    found = T2_map[seen & (tissue == kind)]
    print(f"T2 of {true:.0f} ms: {np.mean(found):.1f} +- {np.std(found):.1f} ms")
    assert abs(np.median(found) / true - 1) < 0.02

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2))
    for axis, picture, title in (
        (axes[0], signal[..., 0], "first echo"),
        (axes[1], relaxation, "T2 of every fit, ms"),
        (axes[2], T2_map, "T2 where there is a signal, ms"),
    ):
        shown = axis.imshow(picture, vmin=0, vmax=1 if axis is axes[0] else 350)
        figure.colorbar(shown, ax=axis)
        axis.set_title(title)
        axis.axis("off")
    figure.tight_layout()
    plt.show()
