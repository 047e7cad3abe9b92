"""The picture at the head of the README: ``python docs/picture.py`` writes ``docs/_static/fits.png``."""

from pathlib import Path

import matplotlib
import numba
import numpy as np

import adamnb

matplotlib.use("agg")
from matplotlib import pyplot as plt

PICTURE = Path(__file__).parent / "_static" / "fits.png"


@numba.njit
def decay(t, a, k):
    return a * np.exp(-k * t)


def main(path: Path = PICTURE) -> None:
    """Fit a curve, and a curve in every pixel of an image."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 5, 40)
    y, x = np.mgrid[-1:1:100j, -1:1:100j]
    rates = 0.7 + 0.5 * np.exp(-4 * ((x + 0.3) ** 2 + y**2)) - 0.3 * ((x - 0.4) ** 2 + y**2 < 0.1)
    image = decay(t, 3.0, rates[..., None]) + 0.1 * rng.standard_normal((100, 100, 40))
    fits = adamnb.curve_fit(decay, t, image, sigma=0.1, absolute_sigma=True)
    one = adamnb.curve_fit(decay, t, image[50, 35], sigma=0.1, absolute_sigma=True)

    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    adamnb.plot.fit(decay, t, image[50, 35], one, 0.1, band=2, ax=axes[0])
    axes[0].set(title="one curve", xlabel="t")
    adamnb.plot.maps(fits, names=["x1", "stderr_x1"], ax=axes[1:])
    axes[1].set_title("the rate in each of 10,000 pixels")
    axes[2].set_title("its standard error")
    figure.savefig(path, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    main()
