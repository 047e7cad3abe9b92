"""Scale: a start is no declaration of the size of a variable, nor the unit of f one of its precision."""

import numba
import numpy as np
import pytest
from scipy.optimize import least_squares

import adamnb

RNG = np.random.default_rng(0)
T = np.linspace(0.1, 5, 30)
Y = 2 * T / (0.5 + T) + 0.02 * RNG.normal(size=30)
A = RNG.normal(size=(100, 6))
B = A @ np.array([1, -2, 0.5, 3, 0.1, -1]) + 0.1 * RNG.normal(size=100)


def saturation(p):
    """The law of Michaelis and Menten."""
    v, k = p
    r = v * T / (k + T) - Y
    return r @ r, np.array([2 * r @ (T / (k + T)), -2 * r @ (v * T / (k + T) ** 2)])


def line(x):
    r = A @ x - B
    return r @ r, 2 * A.T @ r


@pytest.mark.parametrize(
    "x0", [(1, 1), (1, 1e-8), (1e-8, 1), (1, 1e-4), (1e-4, 1), (1e-12, 1e-12), (1e-3, 1e3)]
)
def test_a_saturation_curve_from_everywhere(x0):
    best = least_squares(lambda p: p[0] * T / (p[1] + T) - Y, [2, 0.5], xtol=1e-15, gtol=1e-15)
    result = adamnb.minimize(saturation, x0, jac=True)
    assert result.success
    np.testing.assert_allclose(result.x, best.x, rtol=1e-6)
    assert result.nfev < 350


@pytest.mark.parametrize("element", [0, 4])
@pytest.mark.parametrize("start", [1e-2, 1e-4, 1e-8, 1e-12, 1e-30, -1e-12])
def test_a_linear_regression_with_one_coefficient_that_starts_small(start, element):
    x0 = np.ones(6)
    x0[element] = start
    result = adamnb.minimize(line, x0, jac=True)
    assert result.success
    np.testing.assert_allclose(result.x, np.linalg.lstsq(A, B)[0], atol=1e-6)
    assert result.nfev < 100


def test_a_scale_that_is_given_is_kept():
    x0 = np.array([1, 1, 1, 1, 1e-12, 1.0])
    for x_scale in (np.abs(x0), 1.0):
        result = adamnb.minimize(line, x0, jac=True, x_scale=x_scale, maxiter=40)
        assert (result.state["scale"] == x_scale).all()
    assert adamnb.minimize(line, x0, jac=True, maxiter=40).state["scale"][4] > 1e-3


def test_a_variable_outgrows_its_start():
    """All start alike, and small: what they grow to is their size."""
    result = adamnb.minimize(line, np.full(6, 1e-6), jac=True)
    assert result.success
    np.testing.assert_allclose(result.x, np.linalg.lstsq(A, B)[0], atol=1e-6)
    assert result.nfev < 250


@pytest.mark.parametrize("size", [1e-10, 1e-12, 1e-14])
def test_variables_that_start_small_beside_one_that_starts_at_zero(size):
    """That is of size 1, and what is small beside it may be so by chance."""
    x0 = np.array([size] * 5 + [0])
    result = adamnb.minimize(line, x0, jac=True)
    assert result.success
    np.testing.assert_allclose(result.x, np.linalg.lstsq(A, B)[0], atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_variables_that_start_small_by_chance_are_as_large_as_the_others(seed):
    """Or the condition of a sphere would be that of the squares of random numbers."""

    def sphere(x):
        return 0.5 * (x - 1) @ (x - 1), x - 1

    x0 = np.random.default_rng(seed).normal(size=100)
    result = adamnb.minimize(sphere, x0, jac=True)
    assert result.success
    assert result.nit < 60
    assert result.state["scale"].min() > 0.1


@pytest.mark.parametrize("power", [-1000, -700, 664, 996])
def test_f_has_a_unit_of_its_own(power):
    """Squares of the gradient have no digits, or are infinite: the bits are those of another unit of f."""
    unit, seen = 2.0**power, []

    def fun(x, unit):
        r = x - np.array([1, -2.5])
        return unit * (r @ r + r[0] ** 4), unit * (2 * r + [4 * r[0] ** 3, 0])

    def callback(intermediate_result):
        seen.append(intermediate_result.fun)

    plain = adamnb.minimize(fun, [3.0, 1.0], (1.0,), jac=True, history=True)
    result = adamnb.minimize(fun, [3.0, 1.0], (unit,), jac=True, history=True, callback=callback)
    assert result.success
    assert result.x.tobytes() == plain.x.tobytes()
    assert result.fun == plain.fun * unit
    assert result.fun_last == plain.fun_last * unit
    assert (result.jac == plain.jac * unit).all()
    assert (result.history["fun"] == plain.history["fun"] * unit).all()
    np.testing.assert_allclose(seen, plain.history["fun"][1 : len(seen) + 1] * unit, rtol=1e-15)
    target = adamnb.minimize(fun, [3.0, 1.0], (unit,), jac=True, f_target=0.1 * unit)
    assert "has reached `f_target`" in target.message


def test_compiled_functions_in_a_unit_of_their_own():
    @numba.njit
    def fun(x, unit):
        return unit * np.sum((x - 1) ** 2), unit * 2 * (x - 1)

    for unit in (1e-300, 1e200):
        result = adamnb.minimize(fun, [3.0, -2.5], (unit,), jac=True)
        assert result.success
        assert np.abs(result.x - 1).max() < 1e-7


@pytest.mark.parametrize("size", [1e-150, 1e-100, 1e-12])
def test_a_start_that_is_all_but_zero(size):
    result = adamnb.minimize(
        lambda x: ((x - 1) @ (x - 1), 2 * (x - 1)), [3 * size, -2.5 * size], jac=True
    )
    assert result.success
    assert np.abs(result.x - 1).max() < 1e-7


W = np.logspace(-2, 6, 60)
TRUE = np.array([2e4, 1e8, 2e-11])  # two resistances and a capacity


def impedance(p):
    """A resistance in series with a resistance and a capacity side by side."""
    series, parallel, capacity = p
    measured = TRUE[0] + TRUE[1] / (1 + 1j * W * TRUE[1] * TRUE[2])
    d = 1 + 1j * W * parallel * capacity
    r = (series + parallel / d - measured) / abs(measured)
    jacobian = [
        np.ones_like(W) + 0j,
        1 / d - 1j * W * parallel * capacity / d**2,
        -1j * W * parallel**2 / d**2,
    ]
    jacobian = np.array(jacobian) / abs(measured)
    return (abs(r) ** 2).sum(), 2 * (jacobian.conj() * r).real.sum(axis=1)


@pytest.mark.parametrize("factors", [(0.5, 2, 0.5), (2, 0.5, 2), (1.5, 1, 1.0001), (0.5, 0.5, 1)])
def test_variables_of_nineteen_orders_of_magnitude(factors):
    """Small beside the others, and right."""
    result = adamnb.minimize(impedance, TRUE * factors, jac=True)
    assert result.success
    np.testing.assert_allclose(result.x, TRUE, rtol=1e-6)


# ------------------------------------------------------------ where a gradient that fell says little

COLUMNS = np.c_[np.ones(300), RNG.normal(size=(300, 2)) * [1e3, 1e-2] + [500, 0.005]]
COUNTS = RNG.poisson(np.exp(COLUMNS @ [0.5, 3e-4, -40.0]))


def poisson(b):
    """A regression whose columns are not scaled."""
    height = np.exp(COLUMNS @ b)
    return height.sum() - COUNTS @ (COLUMNS @ b), COLUMNS.T @ (height - COUNTS)


@pytest.mark.parametrize("jac", [True, None])
def test_f_that_starts_so_high_that_nothing_counts_beside_it(jac):
    """1e+150; what it has fallen to is 1e-17 of that, and as far from the minimum as before."""
    fun = poisson if jac else lambda b: poisson(b)[0]
    result = adamnb.minimize(fun, [0.1, 0.1, 0.1], jac=jac)
    assert result.fun > 1e40
    assert (result.success, result.status) == (False, 2)
    assert "f falls on" in result.message
    near = adamnb.minimize(poisson, [0.1, 1e-4, -10.0], jac=True)
    assert near.success
    assert np.abs(near.jac / np.abs(COLUMNS).sum(axis=0)).max() < 1e-6


def test_a_variable_much_larger_than_its_start():
    """The gradient is within `gtol` at once; f has not begun to fall."""
    size = 1e8

    def fun(x):
        return (
            (x[0] / size - 1) ** 2 + (x[1] - 2) ** 2,
            np.array([2 * (x[0] / size - 1) / size, 2 * (x[1] - 2)]),
        )

    stopped = adamnb.minimize(fun, [1.0, 1.0], jac=True, memory=0)
    assert stopped.fun > 0.9
    assert not stopped.success
    result = adamnb.minimize(fun, [1.0, 1.0], jac=True)
    assert result.success
    np.testing.assert_allclose(result.x, [size, 2], rtol=1e-6)


@pytest.mark.parametrize("power", [2, 4])
@pytest.mark.parametrize("height", [0, 1])
def test_a_minimum_that_is_flat_is_one(power, height):
    result = adamnb.minimize(
        lambda x: (np.sum((x - 1) ** power) + height, power * (x - 1) ** (power - 1)),
        [3.0, -2.5],
        jac=True,
    )
    assert result.success
