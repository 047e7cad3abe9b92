"""Problems whose f or gradient is noisy, by a stream of numbers that repeats bit for bit.

The last of `args` is the state of the stream, which every call advances: `Problem.fresh` is a copy with
the stream at its start, or with another one. `Problem.value` is f without noise. Here are smooth
objectives with noise put on them; `sampled` has means over rows of data, `simulated` models that draw
their own numbers.
"""

import numpy as np

from problems import mgh, sampled, simulated
from problems.bounded import quadratic, spectrum
from problems.problem import Problem, compiled
from problems.streams import normal, stream, student, uniform

TAILS = 2.5  # degrees of freedom of heavy tails: a variance, but no third moment
NORMAL = np.inf


@compiled
def disturbed(f, g, of_f, of_g, freedom, state):
    """f with noise of scale `of_f`, `of_g` on each element of g: Student's, or normal if `freedom` is inf."""
    if of_g > 0.0:
        for i in range(g.size):
            g[i] += normal(of_g, state) if freedom == np.inf else student(of_g, freedom, state)
    if of_f > 0.0:
        f += normal(of_f, state) if freedom == np.inf else student(of_f, freedom, state)
    return f


# Each noisy objective is a function of its own: Numba's disk cache does not hold closures. Nor does it
# see a change of the file that another function comes from: touch this one after changing mgh.py.


@compiled
def noisy_quadratic(x, g, a, of_f, of_g, freedom, state):
    """``x . a x / 2`` with noise."""
    return disturbed(quadratic(x, g, a, np.zeros(x.size)), g, of_f, of_g, freedom, state)


@compiled
def noisy_rosenbrock(x, g, of_f, of_g, freedom, state):
    """#21 with noise."""
    return disturbed(mgh.rosenbrock(x, g), g, of_f, of_g, freedom, state)


@compiled
def noisy_wood(x, g, of_f, of_g, freedom, state):
    """#14 with noise."""
    return disturbed(mgh.wood(x, g), g, of_f, of_g, freedom, state)


@compiled
def noisy_brown_dennis(x, g, of_f, of_g, freedom, state):
    """#16 with noise."""
    return disturbed(mgh.brown_dennis(x, g), g, of_f, of_g, freedom, state)


@compiled
def noisy_broyden_tridiagonal(x, g, of_f, of_g, freedom, state):
    """#30 with noise."""
    return disturbed(mgh.broyden_tridiagonal(x, g), g, of_f, of_g, freedom, state)


@compiled
def multiplied_quadratic(x, g, a, noise, state):
    """``x . a x / 2``, f and each element of g times 1 + a normal number of deviation `noise`."""
    f = quadratic(x, g, a, np.zeros(x.size))
    if noise > 0.0:
        for i in range(g.size):
            g[i] *= 1.0 + normal(noise, state)
        f *= 1.0 + normal(noise, state)
    return f


@compiled
def sparse_quadratic(x, g, a, chance, state):
    """``x . a x / 2``, each element of g zero but for a `chance`, where it is the larger for it."""
    f = quadratic(x, g, a, np.zeros(x.size))
    if chance < 1.0:
        for i in range(g.size):
            g[i] = g[i] / chance if uniform(state) < chance else 0.0
    return f


def with_noise(name, clean, fun, x0, args, level, of_f=False, freedom=NORMAL, **known):
    """`clean` with noise on its gradient whose root mean square length is `level` first gradients.

    `of_f`: and `level` times f at the start on f. `known` are the minima.
    """
    g = np.empty_like(x0)
    f = clean(x0, g, *args)
    of_g = level * np.linalg.norm(g) / np.sqrt(x0.size)
    return Problem(
        f"{name}, {'noise' if freedom == NORMAL else 'heavy tails'} {level:g}{' of both' if of_f else ''}",
        fun,
        x0,
        (*args, level * f if of_f else 0.0, of_g, freedom, stream()),
        exact=(*args, 0.0, 0.0, freedom, stream()),
        **known,
    )


def problems():
    """All noisy problems."""
    return [*quadratics(), *least_squares(), *sampled.problems(), *simulated.problems()]


def quadratics():
    """Quadratics with every kind of noise."""

    def plain(x, g, a):
        return quadratic(x, g, a, np.zeros(x.size))

    def matrix(condition, n=20):
        return spectrum(n, condition, seed=condition)

    def one(level, condition, n=20, **kind):
        name, args = f"Quadratic, condition {condition}", (matrix(condition, n),)
        return with_noise(name, plain, noisy_quadratic, np.ones(n), args, level, **kind)

    found = [one(level, condition) for condition in (10, 1000) for level in (0.01, 0.1, 10.0)]
    found += [
        one(1e-6, 100, of_f=True),
        one(0.01, 100, n=50, of_f=True),
        one(10.0, 30, of_f=True),
        one(0.1, 10, of_f=True, freedom=TAILS),
        one(1.0, 100, freedom=TAILS),
    ]
    kinds = {
        "times 1 + noise": (multiplied_quadratic, 0.0),
        "elements by chance": (sparse_quadratic, 1.0),
    }
    for name, condition, strength in (
        ("times 1 + noise", 100, 0.5),
        ("times 1 + noise", 10, 0.05),
        ("elements by chance", 10, 0.1),
        ("elements by chance", 100, 0.2),
    ):
        fun, none = kinds[name]
        a, text = matrix(condition), f"Quadratic, condition {condition}, {name} {strength:g}"
        args, exact = (a, strength, stream()), (a, none, stream())
        found.append(Problem(text, fun, np.ones(20), args, exact=exact))
    return found


def least_squares():
    """Problems of Moré, Garbow and Hillstrom with noise."""
    rows = (
        ("Wood", noisy_wood, 0.01, False, NORMAL),
        ("Wood", noisy_wood, 0.1, False, NORMAL),
        ("Wood", noisy_wood, 0.01, True, NORMAL),
        ("Brown-Dennis", noisy_brown_dennis, 0.01, False, NORMAL),
        ("Brown-Dennis", noisy_brown_dennis, 0.1, False, NORMAL),
        ("Brown-Dennis", noisy_brown_dennis, 0.01, True, TAILS),
        ("Extended Rosenbrock", noisy_rosenbrock, 0.01, False, NORMAL),
        ("Extended Rosenbrock", noisy_rosenbrock, 0.1, False, NORMAL),
        ("Extended Rosenbrock", noisy_rosenbrock, 0.01, True, NORMAL),
        ("Broyden tridiagonal", noisy_broyden_tridiagonal, 0.01, False, NORMAL),
        ("Broyden tridiagonal", noisy_broyden_tridiagonal, 0.1, False, NORMAL),
        ("Broyden tridiagonal", noisy_broyden_tridiagonal, 1.0, True, NORMAL),
    )
    clean = {problem.name: problem for problem in mgh.problems()}
    return [
        with_noise(
            name, clean[name].fun, fun, clean[name].x0, (), level, of_f, freedom,
            minimum=clean[name].minimum, minima=clean[name].minima,
        )
        for name, fun, level, of_f, freedom in rows
    ]  # fmt: skip
