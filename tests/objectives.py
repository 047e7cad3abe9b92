"""Objectives that several files of tests minimise: decays, of which there are many, and a quartic."""

import numba
import numpy as np

# On disk, so that the processes that share the tests compile them once.
cached = numba.njit(cache=True)

# ------------------------------------------------------------------------------------------- decays

B = 23  # how many


@cached
def inplace(x, g, y, w, t):
    f = 0.0
    g[:] = 0.0
    for i in range(t.size):
        decay = np.exp(-x[1] * t[i])
        r = x[0] * decay - y[i]
        f += w * r * r
        g[0] += 2 * w * r * decay
        g[1] -= 2 * w * r * x[0] * t[i] * decay
    return f


@cached
def both(x, y, w, t):
    g = np.empty_like(x)
    return inplace(x, g, y, w, t), g


@cached
def fun(x, y, w, t):
    return both(x, y, w, t)[0]


@cached
def jac(x, y, w, t):
    return both(x, y, w, t)[1]


@cached
def misfit(x, y, w, t):
    """The same without a gradient."""
    f = 0.0
    for i in range(t.size):
        r = x[0] * np.exp(-x[1] * t[i]) - y[i]
        f += w * r * r
    return f


@cached
def underivable(x, y, w, t):
    """The same again by complex numbers, which have no rule."""
    f = 0.0
    for i in range(t.size):
        r = complex(x[0]) * np.exp(-x[1] * t[i]) - y[i]
        f += w * (r * r).real
    return f


def python_both(x, y, w, t):
    decay = np.exp(-x[1] * t)
    r = x[0] * decay - y
    return w * (r @ r), 2 * w * np.array([r @ decay, -x[0] * ((r * decay) @ t)])


def python_fun(x, y, w, t):
    return python_both(x, y, w, t)[0]


def tuples(x, y, w, t):
    """Make no array, on the host as well."""
    f = a = b = 0.0
    for i in range(t.size):
        decay = np.exp(-x[1] * t[i])
        r = x[0] * decay - y[i]
        f += w * r * r
        a += 2 * w * r * decay
        b -= 2 * w * r * x[0] * t[i] * decay
    return f, (a, b)


pair = cached(tuples)


@cached
def value(x, y, w, t):
    return pair(x, y, w, t)[0]


@cached
def slope(x, y, w, t):
    return pair(x, y, w, t)[1]


TUPLES = {"both": (pair, True), "separate": (value, slope), "inplace": (inplace, "inplace")}

NAMES = ("x", "fun", "jac", "nit", "nfev", "njev", "status", "success")


def decays(count=B, seed=3):
    """Return data, weights and times of `count` noisy decays."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 4, 12)
    a, k = rng.uniform(1, 5, (count, 1)), rng.uniform(0.3, 2, (count, 1))
    y = a * np.exp(-k * t) + 0.02 * rng.standard_normal((count, t.size))
    return y, rng.uniform(0.5, 2, count), t


def starts(dtype=float):
    return np.random.default_rng(5).uniform(0.5, 2, (B, 2)).astype(dtype)


# ---------------------------------------------------------------------------------- a scaled quartic


@cached
def quartic(x, a):
    f = 0.0
    for i in range(x.size):
        f += a[i] * (x[i] - 1) ** 2 + x[i] ** 4
    return f


@cached
def quartic_jac(x, a):
    g = np.empty_like(x)
    quartic_inplace(x, g, a)
    return g


@cached
def quartic_both(x, a):
    return quartic(x, a), quartic_jac(x, a)


@cached
def quartic_inplace(x, g, a):
    for i in range(x.size):
        g[i] = 2 * a[i] * (x[i] - 1) + 4 * x[i] ** 3
    return quartic(x, a)


QUARTIC = {
    "separate": (quartic, quartic_jac),
    "both": (quartic_both, True),
    "inplace": (quartic_inplace, "inplace"),
}


def quartic_problem(n, dtype=float):
    """Return x0 and the coefficients of a badly scaled quartic."""
    rng = np.random.default_rng(7)
    return rng.normal(size=n).astype(dtype), np.logspace(0, 3, n).astype(dtype)


# ------------------------------------------------------------------------- a regression, row by row


@cached
def mean_inplace(x, g, a, y):
    """The mean of squared residuals of a linear model over the rows of a and y, halved."""
    f = 0.0
    g[:] = 0.0
    for i in range(y.size):
        r = -y[i]
        for j in range(x.size):
            r += a[i, j] * x[j]
        f += 0.5 * r * r
        for j in range(x.size):
            g[j] += r * a[i, j]
    g /= y.size
    return f / y.size


@cached
def mean_misfit(x, a, y):
    """The same without a gradient."""
    f = 0.0
    for i in range(y.size):
        r = -y[i]
        for j in range(x.size):
            r += a[i, j] * x[j]
        f += 0.5 * r * r
    return f / y.size


def python_mean(x, a, y):
    r = a @ x - y
    return 0.5 * np.mean(r * r), a.T @ r / y.size


@cached
def mean_underivable(x, a, y):
    """The same again by complex numbers, which have no rule."""
    f = 0.0
    for i in range(y.size):
        r = complex(-y[i])
        for j in range(x.size):
            r += a[i, j] * x[j]
        f += 0.5 * (r * r).real
    return f / y.size


@cached
def mean_mixture(x, g, y):
    """The mean of minus the log-likelihood of two normal distributions of equal weight and width about x."""
    f = 0.0
    g[:] = 0.0
    for i in range(y.size):
        p, q = -0.5 * (y[i] - x[0]) ** 2, -0.5 * (y[i] - x[1]) ** 2
        f -= np.logaddexp(p, q)
        share = 1.0 / (1.0 + np.exp(q - p))
        g[0] += share * (x[0] - y[i])
        g[1] += (1.0 - share) * (x[1] - y[i])
    g /= y.size
    return f / y.size
