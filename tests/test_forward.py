"""Exact derivatives of Numba functions, against complex steps, closed forms and analytic gradients."""

import inspect
import math

import numba
import numpy as np
import pytest
import scipy.special
from numba.core.errors import TypingError
from numba.core.runtime import _nrt_python, rtsys
from problems import mgh, nist

import adamnb
from adamnb._forward import derivatives
from adamnb._forward.named import derivative

njit = numba.njit(error_model="numpy")
RNG = np.random.default_rng(5)
T = np.linspace(0.1, 2.0, 7)
Y = 1.3 * np.exp(-0.6 * T) + 0.01 * RNG.normal(size=7)
X = RNG.normal(size=(7, 3))
COUNTS = np.array([0.0, 2, 1, 4, 0, 3, 1])
LABELS = np.array([0.0, 1, 0, 1, 1, 0, 1])
MEMBERS = np.array([0, 1, 2, 0, 1, 2, 0])
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


def rotation(x):
    c, s = np.cos(x[0]), np.sin(x[0])
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    moved = turn @ x
    moved **= 3
    weights = np.array([1.0, 2.0, 3.0])
    weights[1] = x[2]
    return np.sum(weights * moved) + np.sum(np.outer(moved, x).sum(axis=1) ** 2)


def where_in_where(x):
    return np.sum(np.where(T < 0.5, x[0] * T, np.where(T < 1.5, x[1] * T**2, x[2])) ** 2)


@njit
def kernel_matrix(x):
    apart = T.reshape(-1, 1) - T
    return x[0] ** 2 * np.exp(-0.5 * apart**2 / x[1] ** 2) + x[2] ** 2 * np.eye(7)


def gaussian_process(x):
    k = kernel_matrix(x)
    return 0.5 * Y @ np.linalg.solve(k, Y) + 0.5 * np.linalg.slogdet(k)[1]


def gaussian_process_by_cholesky(x):
    lower = np.linalg.cholesky(kernel_matrix(x))
    z = np.linalg.solve(lower, Y)
    return 0.5 * z @ z + np.log(np.diag(lower)).sum()


def gaussian_process_by_hand(x):
    k = kernel_matrix(x)
    return 0.5 * Y @ np.linalg.solve(k, Y) + 0.5 * np.log(np.linalg.det(k))


def mixed_model(x):
    v = np.eye(7) * x[0] + np.outer(T, T) * x[1]
    r = Y - x[2]
    return r @ np.linalg.inv(v) @ r + np.log(np.linalg.det(v))


def markov_chain(x):
    p = np.array([[1 - x[2], x[2]], [x[1], 1 - x[1]]])
    return np.linalg.matrix_power(p, 5)[0, 1] ** 2 + np.linalg.matrix_power(p, -2)[1, 0]


def profiled(x):
    """Variable projection: what is linear is solved for."""
    basis = np.column_stack((np.exp(-x[0] * T), np.exp(-x[1] * T), x[2] * T))
    c = np.linalg.solve(basis.T @ basis + 0.1 * np.eye(3), basis.T @ Y)
    r = basis @ c - Y
    return r @ r + 0.1 * c @ c


def implicit_euler(x):
    """A stiff reaction, by Newton's method for the step."""
    u, h = np.array([1.0, 0.0]), 0.1
    for _ in range(5):
        v = u.copy()
        for _ in range(12):
            rate = x[0] * v[0] ** 2 - x[1] * v[1]
            g = np.array([v[0] - u[0] + h * rate, v[1] - u[1] - h * rate + h * x[2] * v[1]])
            jac = np.array([
                [1 + 2 * h * x[0] * v[0], -h * x[1]],
                [-2 * h * x[0] * v[0], 1 + h * x[1] + h * x[2]],
            ])  # fmt: skip
            v = v - np.linalg.solve(jac, g)
        u = v
    return u[0] ** 2 + 3 * u[1] ** 2


@njit
def oscillator(t, s, x):
    return np.array([s[1], -x[0] * s[0] - x[1] * s[1] + x[2] * np.sin(t)])


@njit
def heun(model, s, x):
    for i in range(10):
        k = model(0.1 * i, s, x)
        s = s + 0.05 * (k + model(0.1 * (i + 1), s + 0.1 * k, x))
    return s


def integrator(x):
    s = heun(oscillator, np.array([1.0, 0.0]), x)
    return s @ s


def kalman_filter(x):
    mean, p, f = np.zeros(2), np.eye(2), 0.0
    step, noise = np.array([[1.0, 0.1], [0.0, 1.0]]), np.eye(2) * 0.01
    noise[1, 1] = x[1] ** 2
    for y in Y:
        mean = step @ mean
        p = step @ p @ step.T + noise
        s = p[0, 0] + x[2] ** 2
        r = y - x[0] * mean[0]
        gain = p[:, 0] / s
        mean = mean + gain * r
        p = p - np.outer(gain, p[0])
        f += 0.5 * r * r / s + 0.5 * np.log(s)
    return f


def garch(x):
    f, v = 0.0, 1.0
    for y in Y:
        v = x[0] * 0.1 + x[1] * 0.5 * v + x[2] * 0.3 * (y - 0.5) ** 2
        f += np.log(v) + (y - 0.5) ** 2 / v
    return f


def tridiagonal(x):
    """Thomas's algorithm, in place."""
    b, d = np.full(7, 4.0), Y.copy()
    d *= x[0]
    b += x[1] * T
    for i in range(1, 7):
        w = x[2] / b[i - 1]
        b[i] -= w * x[2]
        d[i] -= w * d[i - 1]
    out = np.zeros(7)
    out[-1] = d[-1] / b[-1]
    for i in range(5, -1, -1):
        out[i] = (d[i] - x[2] * out[i + 1]) / b[i]
    return out @ out


def masks(x):
    r = x[0] * T - x[1]
    low = r < 0.3
    r[low] *= x[2]
    r[T > 1.8] = 0.0
    return np.sum(r[r > 0.1] ** 2) + np.sum(r * ~low) + np.count_nonzero(low) * x[1]


def groups(x):
    effects = x[MEMBERS]
    sums = np.zeros(3)
    for i in range(7):
        sums[MEMBERS[i]] += effects[i] * T[i]
    return np.sum((effects - Y) ** 2) + np.sum(sums**2)


def softmax(x):
    scores = np.outer(T, x)
    f = 0.0
    for i in range(7):
        top = np.max(scores[i])
        f -= scores[i, i % 3] - top - np.log(np.sum(np.exp(scores[i] - top)))
    return f


def survival(x):
    left = np.cumprod(1 - 0.1 * x)
    return np.sum(np.log(left)) + np.sum(np.convolve(T, x)[1:4] ** 2) + np.median(x) * left[-1]


def quadrature(x):
    t = np.linspace(x[0], x[0] + x[1], 9)
    return np.trapezoid(np.exp(-(t**2) * x[2]), t)


def polynomials(x):
    by_horner = 0.0
    for c in x[::-1]:
        by_horner = by_horner * 1.3 + c
    series = 1.0
    for k in range(1, 6):
        series += (-1) ** k * x[0] ** k / math.gamma(k + 1)
    return by_horner * series + np.sum((np.vander(T, 3) @ x - Y) ** 2) + pow(x[1], 3)


@njit
def peak(t, height, centre=1.0, width=0.5):
    return height * np.exp(-(((t - centre) / width) ** 2))


@njit
def split(x):
    return x[0], (x[1], x[2]), np.array([x[0], 1.0])


def spectrum(x):
    """Helpers with defaults and keywords, and with several results."""
    height, (centre, width), pair = split(x)
    f = pair[0] * pair[1]
    for t, y in zip(T, Y):  # noqa: B905, Numba has no `strict`
        f += (peak(t, height, width=width) + peak(t, 0.3, centre) - y) ** 2
    return f


def slices_in_place(x):
    a = np.zeros(6)
    a[:3] += x
    a[3:] -= 2 * x
    a[1:4] *= x[0]
    a[::2] /= x[1]
    b = 2 * T
    b[0] = x[2]
    c = np.arange(3.0)
    c += x
    return np.sum(a * a) + b @ b + c @ c


@njit
def factorial_power(a, n):
    return 1.0 if n == 0 else a * n * factorial_power(a, n - 1)


@njit
def doubled(x):
    for i in range(3):
        yield x[i] * 2


def python_things(x):
    """Recursion, a generator, enumerate, dictionaries, a while with break."""
    f = factorial_power(x[0], 4)
    for i, v in enumerate(doubled(x)):
        f += i * v * v
    kept = {0: x[0] * 2, 1: x[1]}
    p, k = 1.0, 0
    while True:
        k += 1
        p *= x[2] / k
        f += p
        if k > 20:
            break
    return f * kept[0] * kept[1]


def normal_and_counts(x):
    """A censored normal and a negative binomial."""
    f = 0.0
    for i in range(7):
        z = (T[i] - x[0]) / x[1]
        f -= np.log(0.5 * math.erfc(-z / math.sqrt(2.0)))
        f -= math.lgamma(COUNTS[i] + x[2]) - math.lgamma(x[2]) + x[2] * np.log(0.4)
    return f


def normal_and_counts_by_hand(x):
    z = (T - x[0]) / x[1]
    f = -np.sum(np.log(0.5 * (1 + scipy.special.erf(z / math.sqrt(2.0)))))
    gammas = scipy.special.loggamma(COUNTS + x[2]) - scipy.special.loggamma(x[2])
    return f - np.sum(gammas) - 7 * x[2] * math.log(0.4)


def closed_over():
    table, factor = np.linspace(0.0, 1.0, 7), 3.0

    def closure(x):
        return np.sum((table * x[0] ** 2 - factor * x[1]) ** 2) * x[2]

    return closure


closure = closed_over()


def searched(x):
    """Where x is what is searched in, and all that is sorted."""
    place = np.searchsorted(np.sort(x), 0.5)
    order = np.argsort(x)
    return (
        np.sort(x)[place] * 3 + x[order[0]] ** 2 + np.append(x, x[0])[3] + np.roll(x, 1)[0] * x[1]
    )


def tables(x):
    """Where x chooses the place in a table; by hand below."""
    j = np.searchsorted(T, x[0])
    return (
        np.interp(x[0], T, Y) + np.interp(1.3, np.array([0.0, 1.0, 2.0]), x) + T[j] * x[1]
        + np.round(x[2] * 10) + np.float64(x[2]) + np.trapezoid(x[0] * T, T)
    )  # fmt: skip


def tables_by_hand(x):
    j = int(np.searchsorted(T, POINT[0]))
    slope = (Y[j] - Y[j - 1]) / (T[j] - T[j - 1])
    return slope * x[0] + 0.7 * x[1] + 0.3 * x[2] + T[j] * x[1] + x[2] + x[0] * np.trapezoid(T, T)


def numbers(x):
    """What Python's numbers can do, beside what has complex values."""
    return max(x[0], x[1], 0.3) * min(x[0], 2.0) + x[0] // 0.3 + x[0] % 0.3 + +x[2] - float(x[1])


def numbers_by_hand(x):
    return x[0] * x[0] + x[0] + x[2] - x[1]


OBJECTIVES = [
    loop, whole_arrays, helpers, filled_by_a_helper, poisson, binomial, mixture, runge_kutta,
    runge_kutta_of_vectors, kepler, hidden_markov, swapped, spline, early, while_loop, slices, iterated,
    in_place, matrices, statistics, pieces, lists, powers, rotation, where_in_where, mixed_model,
    markov_chain, profiled, implicit_euler, integrator, kalman_filter, garch, tridiagonal, masks, groups,
    softmax, survival, quadrature, polynomials, spectrum, slices_in_place, python_things, closure, searched,
]  # fmt: skip
WITHOUT_COMPLEX_VALUES = [
    (numbers, numbers_by_hand), (tables, tables_by_hand), (gaussian_process, gaussian_process_by_hand),
    (gaussian_process_by_cholesky, gaussian_process_by_hand),
    (normal_and_counts, normal_and_counts_by_hand),
]  # fmt: skip


def python_only(function):
    """Return a function that calls the Python functions behind Numba ones, which take no complex x."""
    scope = {
        name: value.py_func if hasattr(value, "py_func") else value
        for name, value in globals().items()
    }
    for name, value in globals().items():
        if hasattr(value, "py_func"):
            helper = value.py_func
            scope[name] = type(function)(helper.__code__, scope, name, helper.__defaults__)
    complex_numpy = type("Numpy", (), {name: getattr(np, name) for name in dir(np)})
    complex_numpy.empty = staticmethod(lambda n: np.zeros(n, complex))
    complex_numpy.zeros = complex_numpy.empty
    complex_numpy.array = staticmethod(lambda rows: np.array(rows, complex))
    complex_numpy.full = staticmethod(lambda n, value: np.full(n, value, complex))
    complex_numpy.var = staticmethod(lambda a: np.mean((a - np.mean(a)) ** 2))
    complex_numpy.std = staticmethod(lambda a: np.sqrt(np.mean((a - np.mean(a)) ** 2)))
    complex_numpy.arange = staticmethod(lambda n: np.arange(n).astype(complex))
    complex_numpy.eye = staticmethod(lambda n: np.eye(n, dtype=complex))
    scope["T"], scope["Y"] = T.astype(complex), Y.astype(complex)
    scope["np"] = complex_numpy
    return type(function)(function.__code__, scope, None, None, function.__closure__)


@pytest.mark.parametrize("function", OBJECTIVES, ids=lambda f: f.__name__)
def test_objectives(function):
    f, g = adamnb.value_and_grad(njit(function))(POINT)
    np.testing.assert_allclose(f, function(POINT), rtol=1e-13)
    close(g, complex_step(python_only(function), POINT))


@pytest.mark.parametrize(("function", "by_hand"), WITHOUT_COMPLEX_VALUES)
def test_objectives_without_complex_values(function, by_hand):
    f, g = adamnb.value_and_grad(njit(function))(POINT)
    assert f == pytest.approx(function(POINT), rel=1e-14)
    close(g, complex_step(python_only(by_hand), POINT))


# ------------------------------------------------------------------------------------- functions


@njit
def functions(x):
    a, b = x
    return (
        np.exp(a), math.exp(a), np.exp2(a), np.expm1(a), np.log(a), np.log2(a), np.log10(a),
        np.log1p(a), np.sqrt(a), np.cbrt(a), np.square(a), np.reciprocal(a), np.sin(a), math.cos(a),
        np.tan(a), np.arcsin(a), math.acos(a), np.arctan(a), np.sinh(a), np.cosh(a), math.tanh(a),
        np.arcsinh(a), np.arccosh(1 + b), np.arctanh(a), abs(-a), np.degrees(a), math.radians(a),
        math.erf(a), math.erfc(a), math.gamma(a), math.lgamma(b), math.gamma(-a), np.arctan2(a, b),
        np.hypot(a, -b), np.maximum(a, b), np.minimum(a, b), np.logaddexp(a, b), np.copysign(a, -b),
        a**b, 2.0**a, a**-3, math.pow(a, 2.5), np.power(a, b), b % a, np.clip(a, 0.1, 0.2),
        np.where(a > 0, a * b, b), np.sign(a), np.floor(a), np.ceil(a), a // 0.2,
    )  # fmt: skip


def complex_functions(x):
    a, b = x
    power = np.power
    gamma, lgamma, erf = scipy.special.gamma, scipy.special.loggamma, scipy.special.erf
    return np.array([
        np.exp(a), np.exp(a), power(2, a), np.exp(a) - 1, np.log(a), np.log(a) / math.log(2),
        np.log10(a), np.log(1 + a), np.sqrt(a), power(a, 1 / 3), a * a, 1 / a, np.sin(a), np.cos(a),
        np.tan(a), np.arcsin(a), np.arccos(a), np.arctan(a), np.sinh(a), np.cosh(a), np.tanh(a),
        np.arcsinh(a), np.arccosh(1 + b), np.arctanh(a), a, a * (180 / np.pi), a * (np.pi / 180),
        erf(a), 1 - erf(a), gamma(a), lgamma(b),
        -np.pi / (np.sin(np.pi * a) * gamma(1 + a)), np.arctan(a / b),
        np.sqrt(a * a + b * b), b, a, np.log(np.exp(a) + np.exp(b)), -a,
        power(a, b), power(2, a), 1 / a**3, power(a, 2.5), power(a, b), b - 2 * a, 0.2,
        a * b, 1, 0, 1, 1,
    ])  # fmt: skip


def test_functions():
    x = np.array([0.35, 0.9])
    found = adamnb.jacobian(functions)(x)
    expected = complex_step(complex_functions, x).T
    np.testing.assert_allclose(found, expected, rtol=2e-14, atol=2e-15)


@njit
def functions_of_arrays(x):
    a, b, c = x
    stacked = np.vstack((x, x * x))
    return (
        np.ptp(x), np.kron(x, x)[1], np.vdot(x, T[:3]), np.nansum(x), np.nanmean(x), np.average(x),
        np.median(x), np.linspace(a, b, 4)[1], np.vander(x, 3)[0, 0], np.cumprod(x)[2],
        np.convolve(x, T)[1], np.append(x, c)[3], np.roll(x, 1)[0], np.repeat(x, 2)[2], stacked[1, 2],
        x.astype(np.float64)[1], np.float64(a), divmod(a, 0.3)[1], pow(b, 3), np.fmod(-a, 0.3),
        np.sinc(a), np.linalg.norm(x), x.std(), x.cumsum()[1], np.diff(x)[0],
        a if np.isclose(a, a + 1e-12) else b, np.int64(a) * b, x[np.searchsorted(T, T[1])],
    )  # fmt: skip


def complex_functions_of_arrays(x):
    a, b, c = x
    mean = (a + b + c) / 3
    return np.array([
        a - c, a * b, x @ T[:3], a + b + c, mean, mean, b, a + (b - a) / 3, a * a, a * b * c,
        a * T[1] + b * T[0], c, c, b, c * c, b, a, a, b**3, -a, np.sin(np.pi * a) / (np.pi * a),
        np.sqrt(a * a + b * b + c * c), np.sqrt(np.sum((x - mean) ** 2) / 3), a + b, b - a, a, b, b,
    ])  # fmt: skip


@njit
def add_to(out, x):
    out += x


@njit
def begin_with(s, x):
    s[0] = 3.0
    for _ in range(2):
        s = s * x[0]
    return s


@njit
def doubled_by_name(s, x):
    for _ in range(2):
        s = s * x[0]
    return s


def test_arrays_of_a_caller():
    """What a helper puts into one is there; what it only calls by the same name is another array."""

    @njit
    def fun(x):
        out, s = np.zeros(3), np.ones(3)
        add_to(out, x)
        return out @ out + np.sum(doubled_by_name(s, x)) * np.sum(s)

    f, g = adamnb.value_and_grad(fun)(POINT)
    assert f == pytest.approx(fun(POINT))
    close(g, 2 * POINT + np.array([18 * POINT[0], 0.0, 0.0]))

    @njit
    def changed(x):
        s = np.ones(3)
        return np.sum(begin_with(s, x)) * s[0]

    with pytest.raises(TypingError, match="No derivative"):
        adamnb.value_and_grad(changed)(POINT)


def test_functions_of_arrays():
    found = adamnb.jacobian(functions_of_arrays)(POINT)
    expected = complex_step(complex_functions_of_arrays, POINT).T
    np.testing.assert_allclose(found, expected, rtol=2e-14, atol=2e-15)


@pytest.mark.parametrize("a", [0.35, 0.02, 7.5])
def test_second_derivatives_of_functions(a):
    """Of the gamma function with digamma, which is differentiated as any code is."""

    @njit
    def fun(x):
        return math.lgamma(x[0]) + np.log(x[0]) * math.erf(x[1]) + x[0] ** x[1]

    h = adamnb.hessian(fun)(np.array([a, 0.9]))
    e, c, power = math.erf(0.9), 2 / math.sqrt(math.pi) * math.exp(-0.81), a**0.9
    expected = np.array([
        [scipy.special.polygamma(1, a) - e / a**2 - 0.09 * a**-1.1, 0.0],
        [0.0, -1.8 * c * math.log(a) + power * math.log(a) ** 2],
    ])  # fmt: skip
    expected[0, 1] = expected[1, 0] = c / a + a**-0.1 * (1 + 0.9 * math.log(a))
    close(h, expected)


# ----------------------------------------------------------------------- where there is no derivative


@njit
def kinks(x):
    a, b, c = x
    return (
        abs(a), np.sqrt(a), np.cbrt(a), np.hypot(a, a), np.maximum(a, 0.0), np.maximum(a, b * 1.0),
        max(a, 0.0), max(0.0, a), a**2, a**1, a**0, a**0.5, a**0.0, a**2.0, c**a, a**c,
        np.sqrt(a) + c, np.logaddexp(a, a), np.minimum(a, b), np.clip(c, 2.0, 3.0),
    )  # fmt: skip


def test_kinks():
    """At (0, 0, 2): what does not depend on a variable never has NaN for it."""
    found = adamnb.jacobian(kinks)(np.array([0.0, 0.0, 2.0]))
    inf = np.inf
    expected = [
        [0, 0, 0], [inf, 0, 0], [inf, 0, 0], [0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0],
        [1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0], [inf, 0, 0], [0, 0, 0], [0, 0, 0],
        [math.log(2), 0, 0], [0, 0, 0],
        [inf, 0, 1], [1, 0, 0], [0.5, 0.5, 0], [0, 0, 0.5],
    ]  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-15)


# --------------------------------------------------------------------------- known analytic gradients


def without_g(fun):
    """Return the objective of a problem that writes its gradient into g, without g."""

    @njit
    def plain(x, *args):
        return fun(x, np.empty_like(x), *args)

    return plain


CHOSEN = [*mgh.problems()[2::4], *nist.problems()[::5]]


@pytest.mark.parametrize("problem", CHOSEN, ids=lambda problem: problem.name)
def test_known_problems(problem):
    """Of both sets some; g is then a vector of what depends on x as well."""
    x, g = problem.x0 * 1.01, np.empty(problem.x0.size)
    f = problem.fun(x, g, *problem.args)
    found_f, found_g = adamnb.value_and_grad(without_g(problem.fun))(x, *problem.args)
    assert found_f == pytest.approx(f, rel=1e-13)
    close(found_g, g)


# ------------------------------------------------------------------------- more variables, and fewer


@njit
def rosenbrock(x):
    f = 0.0
    for i in range(x.size - 1):
        f += 100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2
    return f


def rosenbrock_hessian(x):
    h = np.zeros((x.size, x.size))
    for i in range(x.size - 1):
        h[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
        h[i + 1, i + 1] += 200
        h[i, i + 1] = h[i + 1, i] = -400 * x[i]
    return h


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 31, 32, 33, 70])
def test_numbers_of_variables(n):
    """Passes of some variables each; memory on the stack, and not."""
    x = np.linspace(-1.2, 1.3, n)
    f, g = adamnb.value_and_grad(rosenbrock)(x)
    assert f == rosenbrock(x)
    assert g.shape == (n,)
    close(g, complex_step(rosenbrock.py_func, x) if n > 1 else np.zeros(1))
    h = adamnb.hessian(rosenbrock)(x)
    close(h, rosenbrock_hessian(x))
    assert (h == h.T).all()


def test_no_variables():
    f, g = adamnb.value_and_grad(rosenbrock)(np.empty(0))
    assert (f, g.shape) == (0.0, (0,))
    assert adamnb.hessian(rosenbrock)(np.empty(0)).shape == (0, 0)


def test_nothing_of_the_callers_is_changed():
    @njit
    def spoils(x, t):
        x[0] *= 2.0
        return x[0] * x[1] * t[0]

    for x in (POINT.copy(), np.repeat(POINT, 2)[::2]):
        f, g = adamnb.value_and_grad(spoils)(x, T)
        assert f == pytest.approx(2 * 1.1 * 0.7 * T[0])
        close(g, np.array([1.4, 2.2, 0.0]) * T[0])
        assert (x == POINT).all()
    read_only = POINT.copy()
    read_only.flags.writeable = False
    adamnb.value_and_grad(rosenbrock)(read_only)


def test_float32_stays_float32():
    @njit
    def fun(x, t):
        s = x[0] - x[0]
        for i in range(t.size):
            s += (x[0] * np.exp(-x[1] * t[i])) ** 2 + np.sqrt(x[2]) * math.lgamma(x[2])
        return s

    x, t = POINT.astype(np.float32), T.astype(np.float32)
    f, g = adamnb.value_and_grad(fun)(x, t)
    f64, g64 = adamnb.value_and_grad(fun)(x.astype(float), t.astype(float))
    assert type(fun(x, t)) is type(f)
    assert g.dtype == np.float32
    np.testing.assert_allclose(g, g64, rtol=1e-5)
    h = adamnb.hessian(fun)(x, t)
    assert h.dtype == np.float32
    np.testing.assert_allclose(h, adamnb.hessian(fun)(x.astype(float), t.astype(float)), rtol=1e-4)
    assert f == pytest.approx(f64, rel=1e-6)


def test_hessians():
    for fun in (loop, mixture):
        both, step = adamnb.value_and_grad(njit(fun)), 1e-3

        def slope(i, h, both=both):
            return both(POINT + h * np.eye(3)[i])[1]

        rows = [
            (8 * (slope(i, step) - slope(i, -step)) - slope(i, 2 * step) + slope(i, -2 * step))
            / (12 * step)
            for i in range(3)
        ]
        h = adamnb.hessian(njit(fun))(POINT)
        np.testing.assert_allclose(h, rows, rtol=1e-7, atol=1e-7 * np.abs(h).max())


def test_second_derivatives_of_linear_systems():
    """Of the same code, for dual numbers in the place of floats: against derivatives of the solution."""

    @njit
    def fun(x):
        m = np.array([[2.0, x[0]], [x[1], 3.0]])
        return np.linalg.solve(m, np.array([1.0, x[2]]))[0]

    # The first element is (3 - x0 x2) / (6 - x0 x1).
    a, b, c = POINT
    d, n = 6 - a * b, 3 - a * c
    expected = np.array([
        [-2 * c * b / d**2 + 2 * n * b**2 / d**3, 0.0, 0.0],
        [(n - c * a) / d**2 + 2 * n * a * b / d**3, 2 * n * a**2 / d**3, 0.0],
        [-1 / d - a * b / d**2, -(a**2) / d**2, 0.0],
    ])  # fmt: skip
    expected += np.tril(expected, -1).T
    close(adamnb.hessian(fun)(POINT), expected)


def test_singular_systems():
    @njit
    def solves(x):
        return np.linalg.solve(np.outer(x, x), x)[0]

    @njit
    def factors(x):
        return np.linalg.cholesky(-np.eye(3) * x)[0, 0]

    for function, said in ((solves, "singular"), (factors, "not positive definite")):
        with pytest.raises(np.linalg.LinAlgError, match=said):
            adamnb.value_and_grad(function)(np.ones(3))


def test_jacobian():
    @njit
    def model(x, t):
        return x[0] * np.exp(-x[1] * t) + x[2]

    decay = np.exp(-POINT[1] * T)
    expected = np.array([decay, -POINT[0] * T * decay, np.ones(7)]).T
    close(adamnb.jacobian(model)(POINT, T), expected)

    @njit
    def constant(x, t):
        return t

    assert not adamnb.jacobian(constant)(POINT, T).any()


def test_memory():
    """The gradient is the one array that is made for code without arrays of its own."""

    def allocations(function, *arguments):
        function(*arguments)
        _nrt_python.memsys_enable_stats()
        try:
            before = rtsys.get_allocation_stats().alloc
            function(*arguments)
            return rtsys.get_allocation_stats().alloc - before - len(arguments)  # one to take each
        finally:
            _nrt_python.memsys_disable_stats()

    both = adamnb.value_and_grad(rosenbrock)
    inplace = derivative(derivatives.value_and_grad_inplace, rosenbrock)
    assert allocations(inplace, np.ones(32), np.ones(32)) == 0
    assert allocations(inplace, np.ones(33), np.ones(33)) == 1
    assert allocations(both, np.ones(32)) == 1
    assert allocations(both, np.ones(33)) == 2


def test_parts_are_loaded_at_once():
    """Element by element, a gradient of Rosenbrock's function takes a third longer."""
    inplace = derivative(derivatives.value_and_grad_inplace, rosenbrock)
    inplace(np.ones(8), np.ones(8))
    (code,) = inplace.inspect_llvm().values()
    assert "load <8 x double>" in code


def test_gradients_in_place():
    """With the parameters of the function, whatever their names."""

    @njit
    def fun(x, g, power=2):
        return (g - x[0]) ** power * x[1]

    write, g = derivative(derivatives.value_and_grad_inplace, fun), np.zeros(3)
    assert [*inspect.signature(write.py_func).parameters] == ["x", "g_of_x", "g", "power"]
    assert write(POINT, g, 3.0) == fun(POINT, 3.0)
    close(g, adamnb.value_and_grad(fun)(POINT, 3.0)[1])
    write(POINT, g, 3.0, 1)
    close(g, np.array([-0.7, 1.9, 0.0]))


def test_further_arguments():
    """Functions, tuples, and what has a default."""

    @njit
    def fun(x, pair, model, power=2):
        (scale, shift), t = pair
        return (model(x, t[0]) * scale + shift) ** power

    f, g = adamnb.value_and_grad(fun)(POINT, ((2.0, 0.5), T), decay)
    e = np.exp(-POINT[1] * T[0])
    r = 2 * decay(POINT, T[0]) + 0.5
    assert f == pytest.approx(r * r)
    close(g, 2 * r * 2 * np.array([e, -POINT[0] * T[0] * e, 1.0]))

    @njit
    def several(x, *args):
        return x[0] * args[0] + x[1] * args[1]

    close(adamnb.value_and_grad(several)(POINT, 2.0, 3.0)[1], np.array([2.0, 3.0, 0.0]))


@pytest.mark.parametrize("options", [{"parallel": True}, {"fastmath": True}, "float64(float64[:])"])
def test_functions_compiled_in_other_ways(options):
    compile_as = numba.njit(**options) if isinstance(options, dict) else numba.njit(options)

    @compile_as
    def fun(x):
        f = 0.0
        for i in numba.prange(x.size):
            f += x[i] ** 2
        return f

    @njit
    def outer(x):
        return fun(x) ** 2

    close(adamnb.value_and_grad(fun)(POINT)[1], 2 * POINT)
    close(adamnb.value_and_grad(outer)(POINT)[1], 4 * POINT * (POINT @ POINT))


def test_nested():
    """A derivative within a function is differentiated as all else."""
    inner = adamnb.value_and_grad(rosenbrock)

    @njit
    def steepness(x):
        f, g = inner(x)
        return g @ g + 0.0 * f

    x = np.array([0.3, -0.4])
    _, g = adamnb.value_and_grad(steepness)(x)
    close(g, 2 * rosenbrock_hessian(x) @ inner(x)[1])


# --------------------------------------------------------------------------------------- what it is


def test_one_function_each():
    assert adamnb.value_and_grad(rosenbrock) is adamnb.value_and_grad(rosenbrock)
    assert adamnb.value_and_grad(rosenbrock) is not adamnb.hessian(rosenbrock)


def test_in_minimisations():
    @njit
    def fun(x, y):
        return (x[0] - y) ** 2 + (x[1] - 1.0) ** 4

    both = adamnb.value_and_grad(fun)
    found = adamnb.minimize(both, [3.0, 1.5], (2.0,), jac=True)
    assert found.compiled
    assert found.x[0] == pytest.approx(2.0, abs=1e-4)
    several = adamnb.minimize_batch(both, [3.0, 1.5], data=(np.array([2.0, 5.0]),), jac=True)
    np.testing.assert_allclose(several.x[:, 0], [2.0, 5.0], atol=1e-4)


def test_a_division_by_zero_is_as_in_the_function_itself():
    @numba.njit
    def fun(x):
        return 1.0 / (x[0] - 1.0)

    with pytest.raises(ZeroDivisionError):
        adamnb.value_and_grad(fun)(np.ones(1))
    f, g = adamnb.value_and_grad(njit(fun.py_func))(np.ones(1))
    assert (f, g[0]) == (np.inf, -np.inf)


@njit
def decomposes(x):
    return np.linalg.eigvalsh(np.outer(x, x))[0]


@njit
def rounds(x):
    return np.spacing(x[0])


@njit
def drops(x):
    return x.astype(np.int64)[0] * x[1]


@njit
def fills(x):
    a = np.zeros(3, np.int64)
    a[0] = x[0]
    return a[0]


@njit
def lists_of_floats(x):
    a = [0.0] * 3
    a[0] = x[0]
    return a[0]


@njit
def turns(x):
    return abs(np.exp(1j * x[0]))


@njit
def holds_complex(x):
    z = np.zeros(3, np.complex128)
    z[0] = x[0]
    return z[0].real


@njit
def wraps(x):
    r = x * 2
    r %= 0.5
    return r[0]


@njit
def is_vector(x):
    return 2 * x


@njit
def calls(x):
    return 1.0 + decomposes(x)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (decomposes, "no rule for `eigvalsh`"),
        (calls, "no rule for `eigvalsh`"),
        (rounds, "no rule for `spacing`"),
        (drops, "no rule for `astype` of arrays with these arguments"),
        (fills, "an array or list that holds floats is given a number that depends on x"),
        (lists_of_floats, "an array or list that holds floats is given a number that depends on x"),
        (turns, "complex numbers cannot depend on x"),
        (holds_complex, "complex numbers cannot depend on x"),
        (wraps, "no rule for `imod`"),
        (is_vector, "must return a number"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_has_no_rule(function, said):
    with pytest.raises(TypingError, match=said) as caught:
        adamnb.value_and_grad(function)(POINT)
    text = str(caught.value)
    assert "Dual" not in text
    assert text.count("\n") == 0
    if function is not is_vector:
        assert "`jac`" in text
        assert '`jac="2-point"`' in text


@pytest.mark.parametrize("x", [np.arange(3), np.ones((2, 2)), 1.0], ids=["int", "matrix", "number"])
def test_wrong_x(x):
    with pytest.raises(TypingError, match="`x` must be a vector of floats; got"):
        adamnb.value_and_grad(rosenbrock)(x)


def test_python_functions():
    with pytest.raises(TypeError, match="needs a Numba function"):
        adamnb.value_and_grad(loop)
