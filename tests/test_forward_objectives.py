"""Exact derivatives of objectives as people write them, against differences with numbers of many digits."""

import math

import many_digits
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
MEMBERS = np.array([0, 1, 2, 0, 1, 2, 0])
NODES, WEIGHTS = np.polynomial.hermite.hermgauss(6)
KNOTS = np.array([0.0, 0.0, 0.0, 0.7, 2.0, 2.0, 2.0])
POINT = np.array([1.1, 0.7, 0.4])


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
    """Where x chooses the place in a table."""
    j = np.searchsorted(T, x[0])
    return (
        np.interp(x[0], T, Y) + np.interp(1.3, np.array([0.0, 1.0, 2.0]), x) + T[j] * x[1]
        + np.round(x[2] * 10) + np.trapezoid(x[0] * T, T)
    )  # fmt: skip


def numbers(x):
    """What Python's numbers can do."""
    return max(x[0], x[1], 0.3) * min(x[0], 2.0) + x[0] // 0.3 + x[0] % 0.3 + +x[2] - float(x[1])


def pseudo_voigt(x):
    """Lines of half Gaussian, half Lorentzian form."""
    centre, width, share = x
    z = (T - centre) / width
    lines = share * np.exp(-np.log(2.0) * z**2) + (1 - share) / (1 + z**2)
    return np.sum((lines - Y) ** 2)


def voigt(x):
    """A Lorentzian line, smeared by a Gaussian, by Gauss and Hermite's quadrature."""
    f = 0.0
    for t, y in zip(T, Y):  # noqa: B905, Numba has no `strict`
        apart = t - x[0] - np.sqrt(2.0) * x[1] * NODES
        f += (np.sum(WEIGHTS * x[2] / (np.pi * (apart**2 + x[2] ** 2))) - y) ** 2
    return f


def energy_levels(x):
    """A spin in a field: levels, and how much of a state is in the lowest."""
    matrix = np.array([[x[0], x[1], 0.1], [x[1], -x[0], x[2]], [0.1, x[2], 0.5]])
    levels, states = np.linalg.eigh(matrix)
    return np.sum((levels - T[:3]) ** 2) + states[0, 0] ** 2 + np.linalg.eigvalsh(matrix)[2] ** 2


def separable(x):
    """Least squares for the parts that are linear, of two columns."""
    basis = np.column_stack((np.exp(-x[0] * T), T ** x[1], x[2] * np.ones(7)))
    c, rest, _, _ = np.linalg.lstsq(basis, Y)
    r = basis @ c - Y
    return r @ r + c @ c + rest[0]


@njit
def growth(size, rate, capacity):
    return rate * size * (1 - size / capacity)


def logistic_growth(x):
    size, h, f = x[2], T[1] - T[0], 0.0
    for y in Y:
        f += (np.log(size) - y) ** 2
        k1 = growth(size, x[0], x[1])
        k2 = growth(size + h / 2 * k1, x[0], x[1])
        k3 = growth(size + h / 2 * k2, x[0], x[1])
        size += h / 6 * (k1 + 2 * k2 + 2 * k3 + growth(size + h * k3, x[0], x[1]))
    return f


def epidemic(x):
    """Susceptible, infected and recovered, by the steps of Runge and Kutta."""

    def slopes(s, beta, gamma):
        new = beta * s[0] * s[1]
        return np.array([-new, new - gamma * s[1], gamma * s[1]])

    state, f = np.array([0.95, 0.05, 0.0]), 0.0
    for i in range(COUNTS.size):
        k1 = slopes(state, x[0], x[1])
        k2 = slopes(state + 0.5 * k1, x[0], x[1])
        k3 = slopes(state + 0.5 * k2, x[0], x[1])
        k4 = slopes(state + k3, x[0], x[1])
        state = state + (k1 + 2.0 * k2 + 2.0 * k3 + k4) / 6.0
        f -= COUNTS[i] * np.log(x[2] * state[1]) - x[2] * state[1]
    return f


def relevance(x):
    """A Gaussian process with a length for each input, by Cholesky and substitution."""
    n = X.shape[0]
    k, z = np.empty((n, n)), np.empty(n)
    for i in range(n):
        for j in range(n):
            k[i, j] = np.exp(-0.5 * np.sum(((X[i] - X[j]) / x) ** 2))
        k[i, i] += 0.1
    lower = np.linalg.cholesky(k)
    for i in range(n):
        z[i] = (Y[i] - lower[i, :i] @ z[:i]) / lower[i, i]
    return 0.5 * np.dot(z, z) + np.sum(np.log(np.diag(lower)))


def weibull(x):
    """Times to failure, some of them censored."""
    shape, scale = np.exp(x[0]), np.exp(x[1] + x[2] * LABELS)
    hazard = (T / scale) ** shape
    seen = np.log(shape) - np.log(scale) + (shape - 1) * np.log(T / scale)
    return -np.sum(np.where(LABELS == 1, seen - hazard, -hazard))


def negative_binomial(x):
    mean, size, f = np.exp(x[0] + x[1] * T), 1 / x[2], 0.0
    for i, k in enumerate(COUNTS):
        f -= math.lgamma(k + size) - math.lgamma(size) - math.lgamma(k + 1)
        f -= size * np.log(size / (size + mean[i])) + k * np.log(mean[i] / (size + mean[i]))
    return f


def beta_binomial(x):
    def log_beta(a, b):
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    f = 0.0
    for i in range(COUNTS.size):
        a = x[0] * np.exp(x[2] * T[i])
        f -= log_beta(COUNTS[i] + a, 5 - COUNTS[i] + x[1]) - log_beta(a, x[1])
    return f


def student(x):
    f = 0.0
    for y in Y:
        z = (y - x[0]) / x[1]
        f -= math.lgamma((x[2] + 1) / 2) - math.lgamma(x[2] / 2) - 0.5 * np.log(np.pi * x[2])
        f += np.log(x[1]) + (x[2] + 1) / 2 * np.log1p(z * z / x[2])
    return f


def moving_average(x):
    """ARMA(1, 1), whose errors are kept in an array."""
    phi, theta, sigma = x
    errors = np.zeros(Y.size)
    for i in range(1, Y.size):
        errors[i] = Y[i] - phi * Y[i - 1] - theta * errors[i - 1]
    return 0.5 * np.sum(errors[1:] ** 2) / sigma**2 + (Y.size - 1) * np.log(sigma)


def tracked(x):
    """Kalman's filter of two observations of a state of two."""
    f, mean, p = 0.0, np.zeros((2, 1)), np.eye(2)
    step = np.array([[1.0, x[0]], [-x[0], 1.0]])
    for i in range(5):
        mean, p = step @ mean, step @ p @ step.T + x[1] * np.eye(2)
        s = p + x[2] * np.eye(2)
        gain = p @ np.linalg.inv(s)
        r = X[i, :2].reshape(2, 1) - mean
        f += 0.5 * (r.T @ np.linalg.solve(s, r))[0, 0] + 0.5 * np.log(np.linalg.det(s))
        mean, p = mean + gain @ r, (np.eye(2) - gain) @ p
    return f


def hill(x):
    top, half, slope = x
    return np.mean((top * T**slope / (half**slope + T**slope) - Y) ** 2)


def von_mises(x):
    """A mixture with the uniform, its constant by the series of Bessel's function."""
    term, bessel = 1.0, 1.0
    for k in range(1, 25):
        term *= (x[1] / (2 * k)) ** 2
        bessel += term
    share = 1 / (1 + np.exp(-x[2]))
    density = share * np.exp(x[1] * np.cos(T - x[0])) / bessel + 1 - share
    return -np.log(density / (2 * np.pi)).sum()


def quantiles(x):
    """Lines, by the losses of quantiles and of Huber."""
    r = Y - x[0] - x[1] * T
    pinball = np.maximum(0.3 * r, (0.3 - 1) * r)
    huber = np.where(np.abs(r) < 0.2, 0.5 * r**2, 0.2 * (np.abs(r) - 0.1))
    return np.sum(pinball) + np.sum(huber) + x[2] * np.max(np.abs(r))


@njit
def basis(i, degree, t):
    """The recursion of Cox and de Boor."""
    if degree == 0:
        return 1.0 if KNOTS[i] <= t < KNOTS[i + 1] else 0.0
    value = 0.0
    if KNOTS[i + degree] > KNOTS[i]:
        value += (t - KNOTS[i]) / (KNOTS[i + degree] - KNOTS[i]) * basis(i, degree - 1, t)
    if KNOTS[i + degree + 1] > KNOTS[i + 1]:
        left = (KNOTS[i + degree + 1] - t) / (KNOTS[i + degree + 1] - KNOTS[i + 1])
        value += left * basis(i + 1, degree - 1, t)
    return value


def b_splines(x):
    """With a scale of the time, so that the recursion is differentiated as well."""
    f = 0.0
    for t, y in zip(T, Y):  # noqa: B905
        value = x[0] * basis(0, 2, x[2] * t) + x[1] * basis(1, 2, x[2] * t) + basis(2, 2, x[2] * t)
        f += (value - y) ** 2
    return f


def ordinal_probit(x):
    cuts = np.cumsum(np.append(x[0], np.exp(x[1:])))
    f = 0.0
    for i in range(MEMBERS.size):
        above, below, k = 1.0, 0.0, MEMBERS[i]
        mean = 0.3 * T[i] * x[2]
        if k < 2:
            above = 0.5 * math.erfc(-(cuts[k] - mean) / math.sqrt(2.0))
        if k > 0:
            below = 0.5 * math.erfc(-(cuts[k - 1] - mean) / math.sqrt(2.0))
        f -= np.log(above - below)
    return f


def exponentials(x):
    """A mixture, its logarithms summed along an axis."""
    rates = np.exp(x)
    logs = np.log(rates) - np.outer(T, rates) + np.log(np.array([0.5, 0.3, 0.2]))
    top = logs.max()
    return -np.sum(top + np.log(np.sum(np.exp(logs - top), axis=1)))


def chemistry(x):
    """A rate by Arrhenius, equilibrium by bisection."""
    k = x[0] * np.exp(-x[1] / 0.8)
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        if middle * middle > 0.3 * (1 - middle):
            high = middle
        else:
            low = middle
    y = low
    for _ in range(6):
        y -= (y * y - k * (1 - y)) / (2 * y + k)
    return (y - x[2]) ** 2


def random_effects(x):
    """Integrals over effects of groups by quadrature, in logarithms."""
    f = 0.0
    for group in range(3):
        logs = np.zeros(NODES.size)
        for i in range(MEMBERS.size):
            if MEMBERS[i] == group:
                eta = x[0] + x[1] * T[i] + math.sqrt(2.0) * x[2] * NODES
                logs += LABELS[i] * eta - np.logaddexp(0.0, eta)
        f -= np.log(np.sum(WEIGHTS * np.exp(logs)))
    return f


OBJECTIVES = [
    loop, whole_arrays, helpers, filled_by_a_helper, poisson, binomial, mixture, runge_kutta,
    runge_kutta_of_vectors, kepler, hidden_markov, swapped, spline, early, while_loop, slices, iterated,
    in_place, matrices, statistics, pieces, lists, powers, rotation, where_in_where, mixed_model,
    markov_chain, profiled, implicit_euler, integrator, kalman_filter, garch, tridiagonal, masks, groups,
    softmax, survival, quadrature, polynomials, spectrum, slices_in_place, python_things, closure, searched,
    numbers, tables, gaussian_process, gaussian_process_by_cholesky, gaussian_process_by_hand,
    normal_and_counts, pseudo_voigt, voigt, logistic_growth, epidemic, relevance, weibull,
    negative_binomial, beta_binomial, student, moving_average, tracked, hill, von_mises,
    quantiles, b_splines, ordinal_probit, energy_levels, separable, exponentials, chemistry, random_effects,
]  # fmt: skip


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("function", OBJECTIVES, ids=lambda f: f.__name__)
def test_gradients(function):
    f, g = adamnb.value_and_grad(njit(function))(POINT)
    expected_f, expected_g = many_digits.jacobian(function, POINT)
    np.testing.assert_allclose(f, expected_f, rtol=1e-13)
    close(g, expected_g)


@pytest.mark.parametrize("function", [loop, mixture], ids=lambda f: f.__name__)
def test_hessians(function):
    close(adamnb.hessian(njit(function))(POINT), many_digits.hessian(function, POINT))
