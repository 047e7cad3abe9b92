"""Exact derivatives of Numba functions, against complex steps, closed forms and analytic gradients."""

import numba
import numpy as np
import pytest

import adamnb

njit = numba.njit(error_model="numpy")
RNG = np.random.default_rng(5)
T = np.linspace(0.1, 2.0, 7)
Y = 1.3 * np.exp(-0.6 * T) + 0.01 * RNG.normal(size=7)
X = RNG.normal(size=(7, 3))
COUNTS = np.array([0.0, 2, 1, 4, 0, 3, 1])
LABELS = np.array([0.0, 1, 0, 1, 1, 0, 1])
POINT = np.array([1.1, 0.7, 0.4])
# Numbers of NumPy, complex ones included, compare by their real parts first: branches work as they should.
STEP = 1e-30


def complex_step(function, x, *args):
    """Return the derivatives of a Python function with respect to x, one row for each variable."""
    rows = []
    for i in range(x.size):
        z = x.astype(complex)
        z[i] += STEP * 1j
        rows.append(np.imag(np.asarray(function(z, *args))) / STEP)
    return np.array(rows)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


# ---------------------------------------------------------------- objectives as people write them


@njit
def half_square(r):
    return 0.5 * r * r


@njit
def decay(x, t):
    return x[0] * np.exp(-x[1] * t) + x[2]


@njit
def fill(out, x, t):
    for i in range(t.size):
        out[i] = decay(x, t[i])


def loop(x):
    f = 0.0
    for i in range(T.size):
        r = x[0] * np.exp(-x[1] * T[i]) + x[2] - Y[i]
        f += r * r
    return f


def whole_arrays(x):
    a, k, c = x
    r = a * np.exp(-k * T) + c - Y
    return r @ r


def helpers(x):
    f = 0.0
    for i in range(T.size):
        f += half_square(decay(x, T[i]) - Y[i])
    return f


def filled_by_a_helper(x):
    out = np.empty(T.size)
    fill(out, x, T)
    return np.sum((out - Y) ** 2)


def poisson(x):
    f = 0.0
    for i in range(T.size):
        rate = np.exp(x[0] + x[1] * T[i]) + x[2]
        f += rate - COUNTS[i] * np.log(rate)
    return f


def binomial(x):
    p = 1 / (1 + np.exp(-(X @ x)))
    return -np.sum(LABELS * np.log(p) + (1 - LABELS) * np.log1p(-p))


def mixture(x):
    f, terms = 0.0, np.empty(2)
    for y in Y:
        terms[0] = np.log(0.3) - 0.5 * ((y - x[0]) / x[2]) ** 2 - np.log(x[2])
        terms[1] = np.log(0.7) - 0.5 * (y - x[1]) ** 2
        top = terms.max()
        f -= top + np.log(np.sum(np.exp(terms - top)))
    return f


def runge_kutta(x):
    u, v, h, f = x[0], x[1], 0.1, 0.0
    for i in range(20):
        k1, l1 = v, -x[2] * u
        k2, l2 = v + h / 2 * l1, -x[2] * (u + h / 2 * k1)
        k3, l3 = v + h / 2 * l2, -x[2] * (u + h / 2 * k2)
        k4, l4 = v + h * l3, -x[2] * (u + h * k3)
        u += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        v += h / 6 * (l1 + 2 * l2 + 2 * l3 + l4)
        f += (u - 0.1 * i) ** 2
    return f


def runge_kutta_of_vectors(x):
    state = np.zeros(2)
    state[0] = x[0]
    for _ in range(10):
        middle = state + 0.05 * np.array([state[1], -x[2] * state[0]])
        state = state + 0.1 * np.array([middle[1], -x[2] * middle[0] + x[1]])
    return np.sum(state**2)


def kepler(x):
    f = 0.0
    for t in T:
        mean = x[0] * t + x[1]
        e = mean
        for _ in range(50):
            change = (e - x[2] * np.sin(e) - mean) / (1 - x[2] * np.cos(e))
            e -= change
            if np.abs(change) < 1e-15:
                break
        f += (np.cos(e) - x[2]) ** 2 * t
    return f


def hidden_markov(x):
    alpha, new, f = np.full(2, 0.5), np.zeros(2), 0.0
    stay = 1 / (1 + np.exp(-x[0]))
    for y in COUNTS:
        for j in range(2):
            rate = x[1] if j == 0 else x[1] + x[2]
            s = 0.0
            for i in range(2):
                s += alpha[i] * (stay if i == j else 1 - stay)
            new[j] = s * np.exp(-rate) * rate**y
        total = new.sum()
        f -= np.log(total)
        alpha[:] = new / total
    return f


def swapped(x):
    old, new = np.zeros(3), np.zeros(3)
    old[0] = 1.0
    for _ in range(4):
        for j in range(3):
            new[j] = old[(j + 1) % 3] * x[j] + x[0] * old[j]
        old, new = new, old
    return old.sum()


def spline(x):
    knots, f = np.array([0.0, 0.8, 2.1]), 0.0
    for i in range(T.size):
        j = np.searchsorted(knots, T[i]) - 1
        w = (T[i] - knots[j]) / (knots[j + 1] - knots[j])
        f += ((1 - w) * x[j] + w * x[j + 1] - Y[i]) ** 2
    return f


def early(x):
    if x[0] < 0:
        return 1e9
    if not x[1] > 0:
        return np.inf
    return x[0] * np.log(x[1]) * x[2]


def while_loop(x):
    v, n = x[0], 0
    while v < 100:
        v = v * v + x[1]
        n += 1
    return np.log(v) + n


def slices(x):
    return np.sum((x[1:] - x[:-1] ** 2) ** 2) + len(x) + x.size * x[-1] + x.shape[0]


def iterated(x):
    product = 1.0
    for v in x:
        product *= v + 1
    return product


def in_place(x):
    r = np.zeros_like(x)
    r += x
    r *= 2.0
    r -= 0.5 * x
    r /= x[0]
    return np.sum(r * r * r)


def matrices(x):
    m = np.array([[x[0], x[1]], [x[1], x[2]]])
    scaled = m @ m + np.outer(x[:2], x[1:])
    return m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0] + np.trace(scaled) + np.sum(scaled.T @ x[:2])


def statistics(x):
    r = x[0] * T ** x[1] - Y
    return np.mean(r) + np.var(r) + np.std(r) + np.dot(r, T) + r.max() - r.min() + np.prod(r + 1)


def pieces(x):
    s = np.concatenate((x[1:], x[:1]))
    c = np.cumsum(s)
    return (
        np.sum(np.where(T > 1, x[0] * T, x[1] * T**2)) + np.diff(c) @ c[1:] + s.reshape(3, 1).sum()
    )


def lists(x):
    values = []
    for t in T:
        values.append(x[0] * t + x[1])
    pair = (x[0], x[1])
    for _ in range(3):
        pair = (pair[1], pair[0] * pair[1])
    return sum([v * v for v in values]) + pair[0] * pair[1]


def powers(x):
    return (
        x[0] ** 2 + x[0] ** 3 + x[0] ** -2 + x[1] ** 2.5 + 2 ** x[1] + x[0] ** x[1] + x[2] ** 0
        + (x[0] + 1) ** 5 * x[2] ** -1
    )  # fmt: skip


def numbers(x):
    """What Python's numbers can do, beside what has complex values."""
    return max(x[0], x[1], 0.3) * min(x[0], 2.0) + x[0] // 0.3 + x[0] % 0.3 + +x[2] - float(x[1])


def numbers_by_hand(x):
    return x[0] * x[0] + x[0] + x[2] - x[1]


OBJECTIVES = [
    loop, whole_arrays, helpers, filled_by_a_helper, poisson, binomial, mixture, runge_kutta,
    runge_kutta_of_vectors, kepler, hidden_markov, swapped, spline, early, while_loop, slices, iterated,
    in_place, matrices, statistics, pieces, lists, powers,
]  # fmt: skip


def python_only(function):
    """Return a function that calls the Python functions behind Numba ones, which take no complex x."""
    scope = {
        name: value.py_func if hasattr(value, "py_func") else value
        for name, value in globals().items()
    }
    for helper in (half_square, decay, fill):
        code = helper.py_func.__code__
        scope[code.co_name] = type(function)(code, scope)
    complex_numpy = type("Numpy", (), {name: getattr(np, name) for name in dir(np)})
    complex_numpy.empty = staticmethod(lambda n: np.zeros(n, complex))
    complex_numpy.zeros = complex_numpy.empty
    complex_numpy.full = staticmethod(lambda n, value: np.full(n, value, complex))
    complex_numpy.var = staticmethod(lambda a: np.mean((a - np.mean(a)) ** 2))
    complex_numpy.std = staticmethod(lambda a: np.sqrt(np.mean((a - np.mean(a)) ** 2)))
    scope["np"] = complex_numpy
    return type(function)(function.__code__, scope)


@pytest.mark.parametrize("function", OBJECTIVES, ids=lambda f: f.__name__)
def test_objectives(function):
    f, g = adamnb.value_and_grad(njit(function))(POINT)
    np.testing.assert_allclose(f, function(POINT), rtol=1e-13)
    close(g, complex_step(python_only(function), POINT))
