"""
Ten thousand stars in one image
===============================

Each star of a crowded frame is a spot of a few pixels. Where it is, how bright and how blurred is a
fit of five numbers to its own cut-out of the image: ten thousand small problems that have nothing to do
with each other.
"""

# %%
# A frame: stars of different brightness on a grid with jitter, a sky, and the noise of counting
# photons.

import importlib.util

import numba
import numpy as np

import adamnb

rng = np.random.default_rng(42)
side, pitch, reach = 100, 9, 3  # stars a side, pixels from one to the next, half a cut-out
size = side * pitch
nodes = pitch // 2 + pitch * np.arange(side)
corner = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
place = corner + rng.uniform(-0.8, 0.8, corner.shape)
flux, width, sky = rng.uniform(200, 2000, len(place)), rng.uniform(1.0, 1.4, len(place)), 20.0

offset = np.arange(-reach, reach + 1)
u, v = (a.ravel() for a in np.meshgrid(offset, offset, indexing="ij"))
rows, columns = corner[:, :1] + u, corner[:, 1:] + v  # of the pixels of every cut-out
r2 = (rows - place[:, :1]) ** 2 + (columns - place[:, 1:]) ** 2
image = np.full((size, size), sky)
image[rows, columns] += flux[:, None] * np.exp(-0.5 * r2 / width[:, None] ** 2)
image = rng.poisson(image).astype(float)

# %%
# The misfit of one cut-out, each pixel weighted by its own noise. `x` holds peak, position, width and
# sky. A loop makes no arrays, and its derivatives make none.


@numba.njit
def misfit(x, pixels, u, v):
    peak, du, dv, width, sky = x
    f = 0.0
    for i in range(pixels.size):
        r2 = (u[i] - du) ** 2 + (v[i] - dv) ** 2
        r = peak * np.exp(-0.5 * r2 / width**2) + sky - pixels[i]
        f += 0.5 * r * r / max(pixels[i], 1.0)
    return f


# %%
# Every star starts from its own pixels and keeps its own bounds.

cutouts = image[rows, columns]
low, high = cutouts.min(axis=1), cutouts.max(axis=1)
zero, one = np.zeros(len(low)), np.ones(len(low))
start = np.stack([high - low, zero, zero, 1.2 * one, low], axis=1)
fits = adamnb.minimize_batch(
    misfit,
    start,
    args=(u.astype(float), v.astype(float)),
    data=(cutouts,),
    bounds=[(0, None), (-2, 2), (-2, 2), (0.5, 3), (0, None)],
    x_scale=np.stack([high - low, one, one, one, low + 1], axis=1),
    gtol=1e-6,
)
print(fits)
assert fits.success.mean() > 0.99

# %%
# What is left are the photons. The scatter of the positions is what the Fisher information allows.

peak, du, dv, blur, background = fits.x.T
model = peak[:, None] * np.exp(
    -0.5 * ((u - du[:, None]) ** 2 + (v - dv[:, None]) ** 2) / blur[:, None] ** 2
)
residual = np.zeros_like(image)
residual[rows, columns] = (cutouts - model - background[:, None]) / np.sqrt(np.maximum(cutouts, 1))

shape = np.exp(-0.5 * r2 / width[:, None] ** 2)
expected = sky + flux[:, None] * shape
slope = flux[:, None] * shape * (rows - place[:, :1]) / width[:, None] ** 2
allowed = 1 / np.sqrt((slope**2 / expected).sum(axis=1))  # Cramer and Rao
error = corner[:, 0] + du - place[:, 0]
ratio = np.std(error / allowed)
print(f"scatter of the positions: {ratio:.2f} of the least that is possible")
assert 0.95 < ratio < 1.15

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
    window = np.s_[: 12 * pitch, : 12 * pitch]
    axes[0].imshow(image[window], cmap="gray_r")
    axes[0].set_title("image, a corner of it")
    axes[1].imshow(residual[window], cmap="RdBu", vmin=-4, vmax=4)
    axes[1].set_title("residual, in units of the noise")
    axes[2].loglog(flux, np.abs(error), ".", ms=2, alpha=0.3)
    order = np.argsort(flux)
    axes[2].loglog(flux[order], allowed[order], "k.", ms=1)
    axes[2].set_xlabel("peak, photons")
    axes[2].set_title("error of position, pixels; black: allowed")
    figure.tight_layout()
    plt.show()
