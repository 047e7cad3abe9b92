"""Problems whose gradient is noisy, by a stream of numbers that repeats bit for bit.

The last of `args` is the state of the stream, an array of shape (1,) and dtype uint64, which every
call advances: `Problem.fresh` is a copy with the stream at its start. `Problem.value` is f without
noise. Where the noise is added, f is returned without it; a minibatch has its own f.
"""

import numpy as np

from problems import mgh
from problems.bounded import quadratic, spectrum
from problems.problem import Problem, compiled


@compiled
def uniform(state):
    """The next number of the stream, in (0, 1): splitmix64, as Steele, Lea and Flood give it."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (np.float64(z >> np.uint64(11)) + 0.5) / 2.0**53


@compiled
def add_noise(g, noise, state):
    """Add normal numbers of standard deviation `noise` to g, by Box and Muller's formula."""
    if noise > 0.0:
        for i in range(g.size):
            radius = np.sqrt(-2.0 * np.log(uniform(state)))
            g[i] += noise * radius * np.cos(2.0 * np.pi * uniform(state))


# Each noisy objective is a function of its own: Numba's disk cache does not hold closures. Nor does it
# see a change of the file that another function comes from: touch this one after changing mgh.py.


@compiled
def noisy_quadratic(x, g, a, b, noise, state):
    """``x . a x / 2 - b . x``, its gradient with noise."""
    f = quadratic(x, g, a, b)
    add_noise(g, noise, state)
    return f


@compiled
def noisy_rosenbrock(x, g, noise, state):
    """#21, its gradient with noise."""
    f = mgh.rosenbrock(x, g)
    add_noise(g, noise, state)
    return f


@compiled
def noisy_wood(x, g, noise, state):
    """#14, its gradient with noise."""
    f = mgh.wood(x, g)
    add_noise(g, noise, state)
    return f


@compiled
def noisy_brown_dennis(x, g, noise, state):
    """#16, its gradient with noise."""
    f = mgh.brown_dennis(x, g)
    add_noise(g, noise, state)
    return f


@compiled
def noisy_broyden_tridiagonal(x, g, noise, state):
    """#30, its gradient with noise."""
    f = mgh.broyden_tridiagonal(x, g)
    add_noise(g, noise, state)
    return f


@compiled
def logistic(w, g, features, labels, ridge, batch, state):
    """``mean log(1 + exp(-label feature . w)) + ridge w . w / 2`` over `batch` random rows.

    `features` has shape (rows, n), `labels`, of shape (rows,), are -1 and 1. Rows are drawn with
    replacement; a batch of all rows is every row once, without noise.
    """
    rows = labels.size
    f = 0.0
    g[:] = ridge * w
    for k in range(batch):
        i = k if batch == rows else int(uniform(state) * rows)
        margin = 0.0
        for j in range(w.size):
            margin += labels[i] * features[i, j] * w[j]
        # exp of what is negative only: it cannot overflow.
        small = np.exp(-abs(margin))
        f += np.log1p(small) + max(-margin, 0.0)
        slope = (small if margin > 0.0 else 1.0) / (1.0 + small)
        for j in range(w.size):
            g[j] -= slope * labels[i] * features[i, j] / batch
    return f / batch + 0.5 * ridge * np.sum(w * w)


def stream():
    """The state at the start of every stream."""
    return np.array([2026], dtype=np.uint64)


def with_noise(name, clean, fun, x0, args, level, minimum=0.0, minima=()):
    """`clean` with noise whose root mean square length is `level` first gradients."""
    g = np.empty_like(x0)
    clean(x0, g, *args)
    noise = level * np.linalg.norm(g) / np.sqrt(x0.size)
    return Problem(
        f"{name}, noise {level:g}",
        fun,
        x0,
        (*args, noise, stream()),
        minimum=minimum,
        minima=minima,
        exact=(*args, 0.0, stream()),
    )


def classification():
    """(features, labels): 1000 rows of 20 features, of scales 0.1 to 1."""
    rng = np.random.default_rng(1000)
    features = rng.standard_normal((1000, 20)) * np.geomspace(0.1, 1.0, 20)
    chance = 1.0 / (1.0 + np.exp(-features @ rng.standard_normal(20)))
    return features, np.where(rng.random(1000) < chance, 1.0, -1.0)


def problems():
    """Six quadratics, eight of Moré, Garbow and Hillstrom, three logistic regressions."""
    found = []
    for condition in (10, 1000):
        args = spectrum(20, condition, seed=condition), np.zeros(20)
        for level in (0.01, 0.1, 10.0):
            name = f"Quadratic, condition {condition}"
            found.append(with_noise(name, quadratic, noisy_quadratic, np.ones(20), args, level))
    noisy = {
        "Wood": noisy_wood,
        "Brown-Dennis": noisy_brown_dennis,
        "Extended Rosenbrock": noisy_rosenbrock,
        "Broyden tridiagonal": noisy_broyden_tridiagonal,
    }
    for p in mgh.problems():
        if p.name in noisy:
            for level in (0.01, 0.1):
                found.append(
                    with_noise(p.name, p.fun, noisy[p.name], p.x0, (), level, p.minimum, p.minima)
                )
    data = (*classification(), 1e-3)
    for batch in (1, 10, 100):
        found.append(
            Problem(
                f"Logistic regression, batch {batch}",
                logistic,
                np.zeros(20),
                (*data, batch, stream()),
                minimum=LOGISTIC_MINIMUM,
                exact=(*data, 1000, stream()),
            )
        )
    return found


LOGISTIC_MINIMUM = 0.53537717458965699
