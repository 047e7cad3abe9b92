"""Objectives that the benchmarks share: as cached Numba functions and in NumPy."""

import numpy as np
from numba import njit


def rosenbrock_start(n, dtype=np.float64):
    """The usual start (-1.2, 1, -1.2, 1, ...), shape (n,)."""
    return np.where(np.arange(n) % 2 == 0, -1.2, 1.0).astype(dtype)


@njit(cache=True)
def rosenbrock_inplace(x, g):
    """f, with the gradient written into g."""
    f = 0.0
    carry = 0.0
    for i in range(x.size - 1):
        a = x[i + 1] - x[i] * x[i]
        b = 1.0 - x[i]
        f += 100.0 * a * a + b * b
        g[i] = carry - 400.0 * a * x[i] - 2.0 * b
        carry = 200.0 * a
    g[x.size - 1] = carry
    return f


@njit(cache=True)
def rosenbrock(x):
    f = 0.0
    for i in range(x.size - 1):
        a = x[i + 1] - x[i] * x[i]
        b = 1.0 - x[i]
        f += 100.0 * a * a + b * b
    return f


@njit(cache=True)
def rosenbrock_gradient(x):
    g = np.empty_like(x)
    carry = 0.0
    for i in range(x.size - 1):
        a = x[i + 1] - x[i] * x[i]
        g[i] = carry - 400.0 * a * x[i] - 2.0 * (1.0 - x[i])
        carry = 200.0 * a
    g[x.size - 1] = carry
    return g


@njit(cache=True)
def rosenbrock_pair(x):
    g = np.empty_like(x)
    return rosenbrock_inplace(x, g), g


def rosenbrock_numpy(x):
    """(f, g) without Numba."""
    a = x[1:] - x[:-1] ** 2
    b = 1.0 - x[:-1]
    g = np.zeros_like(x)
    g[:-1] = -400.0 * a * x[:-1] - 2.0 * b
    g[1:] += 200.0 * a
    return 100.0 * a @ a + b @ b, g


# How adamnb.minimize takes each compiled form: name -> (fun, jac).
COMPILED_FORMS = {
    "inplace": (rosenbrock_inplace, "inplace"),
    "fun+jac": (rosenbrock, rosenbrock_gradient),
    "jac=True": (rosenbrock_pair, True),
}


def exactly(steps):
    """Options for this many steps of plain Adam: no stop test is met, not even on a plateau."""
    return {
        "learning_rate": 1e-3,
        "maxiter": steps,
        "gtol": 0.0,
        "ftol": 0.0,
        "patience": steps + 1,
    }
