"""Many small fits that the benchmarks share: decays, spots in a camera image, logistic regressions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit


@dataclass(frozen=True)
class Fit:
    """A kind of fit, and B problems of it.

    inplace(x, g, *data_b, *args) -> f writes the gradient, both(x, *data_b, *args) -> (f, g);
    fisher is the Gauss-Newton or Fisher matrix in the units of the gradient, and variance what its
    inverse is multiplied by to be the covariance. model(t, *x), jacobian(t, *x): None where the fit
    is no least-squares problem. jax(x, *data_b, *args) -> f takes jax.numpy as its last argument.
    """

    name: str
    inplace: Callable
    both: Callable
    fisher: Callable
    variance: float
    jax: Callable
    x0: np.ndarray
    truth: np.ndarray
    data: tuple
    args: tuple
    model: Callable | None = None
    jacobian: Callable | None = None


# ---------------------------------------------------------------------------------------- decays


@njit(cache=True)
def decay_inplace(x, g, y, t):
    f = g[0] = g[1] = g[2] = 0.0
    for i in range(t.size):
        e = np.exp(-x[1] * t[i])
        r = x[0] * e + x[2] - y[i]
        f += r * r
        g[0] += 2 * r * e
        g[1] -= 2 * r * x[0] * t[i] * e
        g[2] += 2 * r
    return f


@njit(cache=True)
def decay_both(x, y, t):
    g = np.empty(3)
    return decay_inplace(x, g, y, t), g


@njit(cache=True)
def decay_model(t, a, k, c):
    return a * np.exp(-k * t) + c


@njit(cache=True)
def decay_jacobian(t, a, k, c):
    rows = np.empty((t.size, 3))
    for i in range(t.size):
        e = np.exp(-k * t[i])
        rows[i, 0], rows[i, 1], rows[i, 2] = e, -a * t[i] * e, 1.0
    return rows


def decay_jax(x, y, t, jnp):
    return jnp.sum((x[0] * jnp.exp(-x[1] * t) + x[2] - y) ** 2)


def decays(count=None):
    """Exponential decays on a background, 20 points, noise of 2 to .4 per cent."""
    count = count or 100_000
    rng = np.random.default_rng(0)
    t = np.linspace(0, 4, 20)
    truth = np.stack([rng.uniform(*r, count) for r in ((1, 5), (0.5, 2), (0, 1))], axis=1)
    a, k, c = truth.T[:, :, None]
    y = a * np.exp(-k * t) + c + 0.02 * rng.standard_normal((count, t.size))

    def fisher(x, y, t):
        rows = decay_jacobian(t, *x)
        return 2 * rows.T @ rows

    return Fit(
        "decay, n = 3, 20 points", decay_inplace, decay_both, fisher, 2 * 0.02**2, decay_jax,
        np.ones((count, 3)), truth, (y,), (t,), decay_model, decay_jacobian,
    )  # fmt: skip


# ----------------------------------------------------------------------------------------- spots


@njit(cache=True)
def spot_inplace(x, g, y, grid):
    f = 0.0
    g[:] = 0.0
    inverse = 1.0 / (x[3] * x[3])
    for i in range(y.size):
        u, v = grid[0, i] - x[1], grid[1, i] - x[2]
        r2 = u * u + v * v
        e = np.exp(-0.5 * r2 * inverse)
        m = x[0] * e
        r = m + x[4] - y[i]
        f += r * r
        g[0] += 2 * r * e
        g[1] += 2 * r * m * u * inverse
        g[2] += 2 * r * m * v * inverse
        g[3] += 2 * r * m * r2 * inverse / x[3]
        g[4] += 2 * r
    return f


@njit(cache=True)
def spot_both(x, y, grid):
    g = np.empty(5)
    return spot_inplace(x, g, y, grid), g


@njit(cache=True)
def spot_model(grid, a, x, y, w, b):
    return a * np.exp(-0.5 * ((grid[0] - x) ** 2 + (grid[1] - y) ** 2) / w**2) + b


@njit(cache=True)
def spot_jacobian(grid, a, x, y, w, b):
    rows = np.empty((grid.shape[1], 5))
    for i in range(grid.shape[1]):
        u, v = grid[0, i] - x, grid[1, i] - y
        e = np.exp(-0.5 * (u * u + v * v) / w**2)
        rows[i, 0], rows[i, 1], rows[i, 2] = e, a * e * u / w**2, a * e * v / w**2
        rows[i, 3], rows[i, 4] = a * e * (u * u + v * v) / w**3, 1.0
    return rows


def spot_jax(x, y, grid, jnp):
    r2 = (grid[0] - x[1]) ** 2 + (grid[1] - x[2]) ** 2
    return jnp.sum((x[0] * jnp.exp(-0.5 * r2 / x[3] ** 2) + x[4] - y) ** 2)


def spots(count=None):
    """Gaussian spots on 5 x 5 pixels, started from what the pixels show."""
    count = count or 100_000
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0))).reshape(2, 25)
    ranges = ((0.8, 1.2), (1.7, 2.3), (1.7, 2.3), (0.9, 1.1), (0.1, 0.3))
    truth = np.stack([rng.uniform(*r, count) for r in ranges], axis=1)
    a, x, y, w, b = truth.T[:, :, None]
    pixels = a * np.exp(-0.5 * ((grid[0] - x) ** 2 + (grid[1] - y) ** 2) / w**2) + b
    pixels += 0.02 * rng.standard_normal(pixels.shape)
    low, two, one = pixels.min(axis=1), np.full(count, 2.0), np.ones(count)
    x0 = np.stack([pixels.max(axis=1) - low, two, two, one, low], axis=1)

    def fisher(x, y, grid):
        rows = spot_jacobian(grid, *x)
        return 2 * rows.T @ rows

    return Fit(
        "Gaussian spot, n = 5, 5 x 5 pixels", spot_inplace, spot_both, fisher, 2 * 0.02**2, spot_jax,
        x0, truth, (pixels,), (grid,), spot_model, spot_jacobian,
    )  # fmt: skip


# ----------------------------------------------------------------------------------- regressions


@njit(cache=True)
def logistic_inplace(x, g, design, y):
    """Minus the log-likelihood; y is 0 or 1."""
    f = 0.0
    g[:] = 0.0
    for i in range(y.size):
        z = 0.0
        for j in range(x.size):
            z += design[i, j] * x[j]
        e = np.exp(-abs(z))
        f += np.log1p(e) + max(z, 0.0) - y[i] * z
        p = 1.0 / (1.0 + e) if z >= 0 else e / (1.0 + e)
        for j in range(x.size):
            g[j] += (p - y[i]) * design[i, j]
    return f


@njit(cache=True)
def logistic_both(x, design, y):
    g = np.empty_like(x)
    return logistic_inplace(x, g, design, y), g


def logistic_jax(x, design, y, jnp):
    z = design @ x
    return jnp.sum(jnp.logaddexp(0.0, z) - y * z)


def regressions(count=None):
    """Logistic regressions of 100 observations on 4 variables and a constant."""
    count = count or 10_000
    rng = np.random.default_rng(2)
    design = rng.standard_normal((count, 100, 5))
    design[:, :, 0] = 1.0
    truth = rng.uniform(-0.8, 0.8, (count, 5))
    chance = 1 / (1 + np.exp(-np.einsum("bij,bj->bi", design, truth)))
    y = (rng.uniform(size=chance.shape) < chance).astype(float)

    def fisher(x, design, y):
        p = 1 / (1 + np.exp(-design @ x))
        return design.T @ (design * (p * (1 - p))[:, None])

    return Fit(
        "logistic regression, n = 5, 100 points", logistic_inplace, logistic_both, fisher, 1.0,
        logistic_jax, np.zeros((count, 5)), truth, (design, y), (),
    )  # fmt: skip


# Whether a ratio is to be reached.
FITS = {decays: True, spots: False, regressions: False}
