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
    return adamnb.njit_minimize(both, x0, (1.0,), True, "adam", None, maxiter, gtol)


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
