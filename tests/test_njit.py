"""`njit_minimize`: what `minimize` finds, and what it refuses, within compiled code."""

import numba
import numpy as np
import pytest
from numba.core.errors import TypingError

import adamnb

X0 = np.array([3.0, -2.0])


@numba.njit
def both(x, centre):
    if x[0] == 100.0:
        raise ArithmeticError("of the user")
    return np.sum((x - centre) ** 2), 2 * (x - centre)


@numba.njit
def automatic(x0, maxiter, gtol):
    return adamnb.njit_minimize(both, x0, (1.0,), True, "adam", None, maxiter, gtol, 1e-12, 0)


@numba.njit
def given(x0, rate):
    return adamnb.njit_minimize(both, x0, (1.0,), True, "adam", rate, 50)


@pytest.mark.parametrize("maxiter", [np.inf, 3.9, 0.0])
def test_limits_are_those_of_minimize(maxiter):
    found = automatic(X0, maxiter, 1e-8)
    expected = adamnb.minimize(both, X0, (1.0,), jac=True, maxiter=maxiter, verify=0)
    for name in ("nit", "nfev", "status", "success", "fun"):
        assert getattr(found, name) == expected[name], name
    assert found.x.tobytes() == expected.x.tobytes()


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (lambda: automatic(X0, -1.0, 0.0), "`maxiter`, `gtol` and `ftol` must be numbers >= 0"),
        (lambda: automatic(X0, np.nan, 0.0), "`maxiter`, `gtol` and `ftol` must be numbers >= 0"),
        (lambda: automatic(X0, 10.0, np.nan), "`maxiter`, `gtol` and `ftol` must be numbers >= 0"),
        (lambda: automatic(np.array([1.0, np.nan]), 10.0, 0.0), "`x0` must be finite"),
        (lambda: automatic(X0[:0], 10.0, 0.0), "`x0` must have at least one element"),
        (lambda: given(X0, -0.1), "`learning_rate` must be a number >= 0"),
        (lambda: given(X0, np.nan), "`learning_rate` must be a number >= 0"),
    ],
)
def test_wrong_values(run, text):
    with pytest.raises(ValueError, match=text):
        run()


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (lambda: automatic(np.ones((2, 2)), 10.0, 0.0), "`x0` must be a vector of real numbers"),
        (lambda: automatic(X0 * 1j, 10.0, 0.0), "`x0` must be a vector of real numbers"),
        (lambda: given(X0, X0), "`learning_rate` must be a number or None"),
    ],
)
def test_wrong_kinds(run, text):
    with pytest.raises(TypingError, match=text):
        run()


def test_an_exception_comes_through():
    with pytest.raises(ArithmeticError, match="of the user"):
        given(np.array([100.0, 1.0]), 0.1)


@numba.njit
def saddle(x, g, a):
    """Minima at x[0] = +-sqrt(1/2) where a = 1; curved upwards where a = -1."""
    f = a * x[0] ** 4 - a * x[0] ** 2 if a > 0 else x[0] ** 2
    g[0] = 4 * a * x[0] ** 3 - 2 * a * x[0] if a > 0 else 2 * x[0]
    for i in range(1, x.size):
        d = x[i] - (0.5 * x[i - 1] if i > 1 else 1.0)
        f += i * d * d
        g[i] = 2 * i * d
        if i > 1:
            g[i - 1] -= i * d
    return f


@numba.njit
def checked(x0, a, verify):
    return adamnb.njit_minimize(saddle, x0, (a,), "inplace", verify=verify)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_saddle_is_no_minimum(n):
    x0 = np.linspace(0, 1, n)
    blind = checked(x0, 1.0, 0)
    assert blind.success
    assert blind.x[0] == 0
    seen = checked(x0, 1.0, 32)
    assert (seen.success, seen.status) == (False, 2)
    assert seen.x.tobytes() == blind.x.tobytes()
    for start, a in ((x0 + 0.1, 1.0), (x0, -1.0)):
        found, unseen = checked(start, a, 32), checked(start, a, 0)
        assert found.success
        assert found.nfev == unseen.nfev + n
