"""Data sets that the code makes, and the means over their rows that are to be minimised.

Features are those of an AR(1) process with scales from 0.1 to 3, so that the condition number of the Hessian
is about 5,000, and the start is 0 where the objective is convex.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from scipy import optimize

AFTER = 0.75  # correlation of neighbouring features
LOW, HIGH = 0.1, 3.0  # scales of features
HIDDEN, RANK = 10, 5  # units of the network; of the factorisation


@dataclass
class DataSet:
    """A mean over rows.

    inplace(x, g, *data) -> f writes the gradient; torch(x, *data) -> f takes tensors. hessian(x) is the
    Hessian of a convex mean, else None, and penalty is what scikit-learn calls its estimator.
    """

    name: str
    inplace: Callable
    torch: Callable
    x0: np.ndarray
    data: tuple
    hessian: Callable | None = None
    estimator: str | None = None

    @property
    def count(self):
        return len(self.data[0])

    def both(self, x):
        g = np.empty_like(x)
        return self.inplace(x, g, *self.data), g

    @cached_property
    def minimum(self):
        """The minimum to rounding where the mean is convex, else the lowest point of several runs."""
        x = self.x0
        if self.hessian is None:
            starts = [
                x + 0.01 * k * np.random.default_rng(k).standard_normal(x.size) for k in range(2)
            ]
            options = {"maxiter": 1_500, "maxfun": 1_500, "maxcor": 50, "ftol": 0.0, "gtol": 1e-9}
            runs = [
                optimize.minimize(self.both, start, jac=True, method="L-BFGS-B", options=options)
                for start in starts
            ]
            return min(runs, key=lambda run: run.fun).x
        for _ in range(30):
            step = np.linalg.solve(self.hessian(x), self.both(x)[1])
            x = x - step
        return x

    @cached_property
    def errors(self):
        return np.sqrt(np.diag(np.linalg.inv(self.hessian(self.minimum))) / self.count)

    def off(self, x):
        """How far x is from the minimum in standard errors, as the root mean square."""
        return float(np.sqrt(np.mean(((x - self.minimum) / self.errors) ** 2)))

    @cached_property
    def heights(self):
        return self.both(self.x0)[0], self.both(self.minimum)[0]

    def gap(self, x):
        """log10 of how much of the first height above the lowest known is left."""
        first, lowest = self.heights
        return float(np.log10(max((self.both(x)[0] - lowest) / (first - lowest), 1e-12)))


def features(rows, n, seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((rows, n))
    for j in range(1, n):
        a[:, j] = AFTER * a[:, j - 1] + (1 - AFTER**2) ** 0.5 * a[:, j]
    scale = 10 ** rng.permutation(np.linspace(np.log10(LOW), np.log10(HIGH), n))
    a *= scale
    a[:, 0] = 1.0
    return a, rng.standard_normal(n) / scale / n**0.5, rng


# ------------------------------------------------------------------------------------ regressions


@njit(cache=True)
def logistic_inplace(x, g, a, y):
    f = 0.0
    g[:] = 0.0
    for i in range(y.size):
        z = 0.0
        for j in range(x.size):
            z += a[i, j] * x[j]
        e = np.exp(-abs(z))
        f += np.log1p(e) + max(z, 0.0) - y[i] * z
        r = (1.0 / (1.0 + e) if z >= 0 else e / (1.0 + e)) - y[i]
        for j in range(x.size):
            g[j] += r * a[i, j]
    g /= y.size
    return f / y.size


def logistic_torch(x, a, y):
    import torch

    return torch.nn.functional.binary_cross_entropy_with_logits(a @ x, y)


def logistic(rows, n, seed=0):
    a, x, rng = features(rows, n, seed)
    y = (rng.random(rows) < 1 / (1 + np.exp(-1.5 * a @ x))).astype(float)

    def hessian(x):
        p = 1 / (1 + np.exp(-a @ x))
        return (a * (p * (1 - p))[:, None]).T @ a / rows

    return DataSet(
        f"logistic regression, {rows:,} x {n}", logistic_inplace, logistic_torch, np.zeros(n), (a, y),
        hessian, "LogisticRegression",
    )  # fmt: skip


@njit(cache=True)
def poisson_inplace(x, g, a, y):
    f = 0.0
    g[:] = 0.0
    for i in range(y.size):
        z = 0.0
        for j in range(x.size):
            z += a[i, j] * x[j]
        e = np.exp(z)
        f += e - y[i] * z
        for j in range(x.size):
            g[j] += (e - y[i]) * a[i, j]
    g /= y.size
    return f / y.size


def poisson_torch(x, a, y):
    z = a @ x
    return (z.exp() - y * z).mean()


def poisson(rows, n, seed=0):
    a, x, rng = features(rows, n, seed)
    y = rng.poisson(np.exp(0.5 * a @ x)).astype(float)

    def hessian(x):
        return (a * np.exp(a @ x)[:, None]).T @ a / rows

    return DataSet(
        f"Poisson regression, {rows:,} x {n}", poisson_inplace, poisson_torch, np.zeros(n), (a, y),
        hessian, "PoissonRegressor",
    )  # fmt: skip


@njit(cache=True)
def robust_inplace(x, g, a, y):
    """Residuals of Student's distribution with three degrees of freedom."""
    f = 0.0
    g[:] = 0.0
    for i in range(y.size):
        r = -y[i]
        for j in range(x.size):
            r += a[i, j] * x[j]
        f += 2.0 * np.log1p(r * r / 3.0)
        w = 4.0 * r / (3.0 + r * r)
        for j in range(x.size):
            g[j] += w * a[i, j]
    g /= y.size
    return f / y.size


def robust_torch(x, a, y):
    return 2.0 * ((a @ x - y) ** 2 / 3.0).log1p().mean()


def robust(rows, n, seed=0):
    a, x, rng = features(rows, n, seed)
    y = a @ x + rng.standard_t(3, rows)
    return DataSet(
        f"robust regression, {rows:,} x {n}", robust_inplace, robust_torch, np.zeros(n), (a, y)
    )


# -------------------------------------------------------------------------- without a certificate


@njit(cache=True)
def factorisation_inplace(x, g, i, j, value, left):
    """Ratings as scalar products of vectors of rank `RANK`, with a small penalty on their squares."""
    f = 0.0
    g[:] = 0.0
    for k in range(value.size):
        a, b = RANK * i[k], RANK * (left[k] + j[k])
        r = -value[k]
        for t in range(RANK):
            r += x[a + t] * x[b + t]
        f += r * r
        for t in range(RANK):
            f += 1e-2 * (x[a + t] ** 2 + x[b + t] ** 2)
            g[a + t] += 2.0 * (r * x[b + t] + 1e-2 * x[a + t])
            g[b + t] += 2.0 * (r * x[a + t] + 1e-2 * x[b + t])
    g /= value.size
    return f / value.size


def factorisation_torch(x, i, j, value, left):
    table = x.view(-1, RANK)
    a, b = table[i], table[left + j]
    return (((a * b).sum(1) - value) ** 2 + 1e-2 * (a**2 + b**2).sum(1)).mean()


def factorisation(rows, n, seed=0):
    """n numbers in all, three in seven of them on the left."""
    rng = np.random.default_rng(seed)
    left = 3 * n // (7 * RANK)
    right = n // RANK - left
    u, v = rng.standard_normal((left, RANK)), rng.standard_normal((right, RANK))
    i, j = rng.integers(0, left, rows), rng.integers(0, right, rows)
    value = (u[i] * v[j]).sum(1) + 0.5 * rng.standard_normal(rows)
    x0 = 0.5 * rng.standard_normal(RANK * (left + right))
    return DataSet(
        f"factorisation, {rows:,} ratings, n = {x0.size:,}", factorisation_inplace, factorisation_torch, x0,
        (i, j, value, np.full(rows, left)),
    )  # fmt: skip


@njit(cache=True)
def network_inplace(x, g, a, y):
    """One hidden layer of tanh: weights and offsets of its units, then those of the answer."""
    m, f = a.shape[1], 0.0
    active = np.empty(HIDDEN)
    last = HIDDEN * (m + 1)
    g[:] = 0.0
    for k in range(y.size):
        r = x[last + HIDDEN] - y[k]
        for h in range(HIDDEN):
            z = x[h * (m + 1) + m]
            for j in range(m):
                z += x[h * (m + 1) + j] * a[k, j]
            active[h] = np.tanh(z)
            r += x[last + h] * active[h]
        f += r * r
        g[last + HIDDEN] += 2.0 * r
        for h in range(HIDDEN):
            g[last + h] += 2.0 * r * active[h]
            d = 2.0 * r * x[last + h] * (1.0 - active[h] ** 2)
            g[h * (m + 1) + m] += d
            for j in range(m):
                g[h * (m + 1) + j] += d * a[k, j]
    g /= y.size
    return f / y.size


def network_torch(x, a, y):
    m = a.shape[1]
    last = HIDDEN * (m + 1)
    layer = x[:last].view(HIDDEN, m + 1)
    hidden = (a @ layer[:, :m].T + layer[:, m]).tanh()
    return ((hidden @ x[last : last + HIDDEN] + x[last + HIDDEN] - y) ** 2).mean()


def network(rows, n, seed=0):
    """n parameters in all."""
    rng = np.random.default_rng(seed)
    m = (n - HIDDEN - 1) // HIDDEN - 1
    a = rng.standard_normal((rows, m))
    y = np.sin(a[:, 0]) + a[:, 1] * a[:, 2] + 0.1 * rng.standard_normal(rows)
    x0 = 0.5 * rng.standard_normal(HIDDEN * (m + 2) + 1)
    return DataSet(
        f"network, {rows:,} x {m}, n = {x0.size}", network_inplace, network_torch, x0, (a, y)
    )


# Makers with rows and variables: in full, and quick.
CONVEX = {
    "full": [(logistic, 10**6, 20), (poisson, 10**6, 20), (logistic, 10**6, 100),
             (poisson, 10**6, 100), (logistic, 10**5, 500), (logistic, 10**4, 20)],
    "quick": [(logistic, 20_000, 10), (poisson, 20_000, 10)],
}  # fmt: skip
OTHERS = {
    "full": [(robust, 10**5, 20), (factorisation, 10**5, 3_500), (network, 10**5, 121)],
    "quick": [(robust, 10_000, 10), (factorisation, 10_000, 350), (network, 10_000, 71)],
}
