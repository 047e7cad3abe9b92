"""Success is claimed for the point that is returned, or not at all."""

import numba
import numpy as np
import pytest
from problems import SETS
from scipy.optimize import Bounds, rosen, rosen_der

import adamnb


def pit(x):
    """A bowl around 0 with a narrow and deeper pit at 1.3."""
    e = np.exp(-((x[0] - 1.3) ** 2) / 0.02)
    return x[0] ** 2 - 3 * e + 5, np.array([2 * x[0] + 3 * e * (x[0] - 1.3) / 0.01])


def ackley(x):
    r, c = np.sqrt(x @ x / x.size), np.cos(2 * np.pi * x)
    f = -20 * np.exp(-0.2 * r) - np.exp(c.mean()) + 20 + np.e
    g = 4 * np.exp(-0.2 * r) * x / (x.size * r) if r else 0 * x
    return f, g + np.exp(c.mean()) * 2 * np.pi * np.sin(2 * np.pi * x) / x.size


@numba.njit
def many_pits(x, g):
    """Ackley's function."""
    n, s, c = x.size, 0.0, 0.0
    for i in range(n):
        s += x[i] ** 2
        c += np.cos(2 * np.pi * x[i])
    r = np.sqrt(s / n)
    a, b = 20 * np.exp(-0.2 * r), np.exp(c / n)
    for i in range(n):
        g[i] = 0.2 * a * x[i] / (n * r) + b * 2 * np.pi * np.sin(2 * np.pi * x[i]) / n
    return 20 + np.e - a - b


# ------------------------------------------------------------------ at the point that is returned


def test_a_point_that_was_passed_is_no_success():
    """The run comes to rest at 0, above a point that it passed on the slope of the pit."""
    result = adamnb.minimize(pit, [2.767], jac=True, learning_rate=0.5, verify=0)
    assert (result.success, result.status) == (False, 2)
    assert result.fun < 5 == result.fun_last
    assert "above the best point (f = 3.68121)" in result.message


@pytest.mark.parametrize("learning_rate", [None, 0.5, 0.05])
@pytest.mark.parametrize(("fun", "starts"), [(pit, 1), (ackley, 2)])
def test_success_is_stationary(fun, starts, learning_rate):
    claimed = 0
    for x0 in np.random.default_rng(1).uniform(-4, 4, (25, starts)):
        result = adamnb.minimize(fun, x0, jac=True, learning_rate=learning_rate, maxiter=3000)
        if result.success:
            claimed += 1
            assert np.abs(fun(result.x)[1]).max() <= 1e-3 * np.abs(fun(x0)[1]).max()
    assert claimed >= 3


@pytest.mark.parametrize("options", [{}, {"learning_rate": 0.5}, {"learning_rate": 0.1}])
def test_success_in_a_batch_is_stationary(options):
    starts = np.random.default_rng(2).uniform(-4, 4, (300, 2))
    result = adamnb.minimize_batch(many_pits, starts, jac="inplace", maxiter=3000, **options)
    assert result.success.sum() > 50
    assert np.abs(result.jac[result.success]).max() < 1e-3 * 5  # of the gradient at a start


def test_of_equal_points_the_one_that_meets_the_test_is_returned():
    """f is rounded to 1.2e-4, so that it is the same from 0.99 on."""
    result = adamnb.minimize(lambda x: (1e12 + (x - 1) @ (x - 1), 2 * (x - 1)), [3, -2.5], jac=True)
    assert result.success
    assert np.abs(result.x - 1).max() < 1e-7
    assert np.abs(result.jac).max() < 1e-7


# --------------------------------------------------------------------------- f and its gradient

TIMES = np.random.default_rng(3).exponential(size=60)
COVARIATES = np.random.default_rng(4).normal(size=(60, 3)) * [0.5, 1, 2]


def cox(b, whole=True):
    """The partial likelihood of Cox, and its gradient, of which a term may be forgotten."""
    order = np.argsort(-TIMES)
    z = COVARIATES[order]
    risk = np.exp(z @ b)
    at_risk, moment = np.cumsum(risk), np.cumsum(risk[:, None] * z, axis=0)
    f = np.sum(np.log(at_risk)) - np.sum(z @ b)
    g = (moment / at_risk[:, None]).sum(axis=0) - z.sum(axis=0)
    if not whole:
        g[1] += z[:30, 1].sum()
    return f, g


WRONG = {
    "a term is missing": lambda x: 2 * x,
    "a constant": lambda x: 2 * x + np.array([3, 0]) + 0.5,
    "a small constant": lambda x: 2 * x + np.array([3.002, 0]),
    "another function": lambda x: 4 * x**3,
    "the sign": lambda x: -2 * x - np.array([3, 0]),
    "a factor of an element": lambda x: (2 * x + np.array([3, 0])) * np.array([1.0, -1.0]),
}


@pytest.mark.parametrize("learning_rate", [None, 0.01])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_gradient_is_no_success(name, learning_rate):
    result = adamnb.minimize(
        lambda x: x @ x + 3 * x[0], [1.0, 2.0], jac=WRONG[name], learning_rate=learning_rate
    )
    assert not result.success
    if not (name == "another function" and learning_rate):  # that is too slow to end
        assert "`jac` is not the gradient of `fun`: along x[" in result.message
        assert result.status == 2


@pytest.mark.parametrize("x0", [[0.0, 0.0, 0.0], [-0.24, -0.4, -0.07]])
def test_the_variable_whose_gradient_is_wrong_is_named(x0):
    """Even where the limit of iterations ends a run whose steps have become tiny."""
    result = adamnb.minimize(lambda b: cox(b, whole=False), x0, jac=True)
    assert not result.success
    assert "along x[1] f changed by" in result.message
    assert adamnb.minimize(cox, x0, jac=True).success


def test_a_wrong_gradient_of_many_variables():
    right = np.linspace(-1, 1, 200)
    wrong = adamnb.minimize(
        lambda x: ((x - right) @ (x - right), 2 * (x - right) + 0.1 * (right > 0.9)),
        0 * right,
        jac=True,
    )
    assert "along a line f changed by" in wrong.message
    assert adamnb.minimize(
        lambda x: ((x - right) @ (x - right), 2 * (x - right)), 0 * right, jac=True
    ).success


def noisy_bowl(rng, of_f, of_g):
    return lambda x: (
        float(x @ x + of_f * rng.normal()),
        2 * x + of_g * rng.normal(size=x.size),
    )


INNOCENT = {
    "noise of f": (noisy_bowl(np.random.default_rng(0), 1e-3, 0), [1.0, 2.0]),
    "noise of both": (noisy_bowl(np.random.default_rng(1), 0.1, 0.1), [1.0, 2.0]),
    "noise of rounding": (noisy_bowl(np.random.default_rng(2), 1e-12, 1e-12), [1.0, 2.0]),
    "a kink": (
        lambda x: (x[0] ** 2 + 1e-4 * abs(x[1]), np.array([2 * x[0], 1e-4 * np.sign(x[1])])),
        [100.0, 1.0],
    ),
    "a kink that goes one way": (
        lambda x: (x[0] ** 2 + 1e-4 * abs(x[1]), np.array([2 * x[0], 1e-4 * (1 - 2 * (x[1] < 0))])),
        [100.0, 1.0],
    ),
    "a gradient of one digit more or less": (
        lambda x: ((x - 1) @ (x - 1), 2 * (x - 1) * (1 + 0.01 * np.sin(x))),
        [5.0, 3.0],
    ),
    "steps": (lambda x: (np.round(x @ x, 3), 2 * x), [1.0, 2.0]),
    "float32": (lambda x: (float(np.float32(x @ x) + np.float32(1)), 2 * x), [1.0, 2.0]),
}


@pytest.mark.parametrize("name", INNOCENT)
def test_noise_and_kinks_are_no_wrong_gradient(name):
    fun, x0 = INNOCENT[name]
    for learning_rate in (None, 0.01):
        result = adamnb.minimize(fun, x0, jac=True, learning_rate=learning_rate, maxiter=2000)
        assert "not the gradient" not in result.message


@pytest.mark.parametrize(("limits", "x0"), [((0, None), 0.5), ((None, 0.5), 0.5), ((-1, 1), 0.5)])
def test_a_wrong_gradient_beside_variables_that_bounds_hold(limits, x0):
    """They push so hard that along all variables together nothing would be seen."""
    target = np.array([0.2, -100.0, 100.0])

    def right(x):
        return (x - target) @ (x - target), 2 * (x - target)

    def wrong(x):
        f, g = right(x)
        return f, g + np.array([0.2, 0, 0])

    bounds = [(-9, 9), limits, limits]
    result = adamnb.minimize(wrong, [x0] * 3, jac=True, bounds=bounds, maxiter=2000)
    assert not result.success
    assert "along x[0] f changed by" in result.message
    assert adamnb.minimize(right, [x0] * 3, jac=True, bounds=bounds).success
    held = adamnb.minimize(
        lambda x: (right(x)[0], right(x)[1] * [1, -1, -1]), [x0] * 3, jac=True, bounds=[(-1, 1)] * 3
    )
    assert not held.success


# ------------------------------------------------------------------------ flat, saddles, no minimum


@pytest.mark.parametrize("sign", [1, -1])
def test_flat_is_not_converged(sign):
    result = adamnb.minimize(
        lambda x: (sign * np.exp(-x @ x), -sign * 2 * x * np.exp(-x @ x)), [40.0], jac=True
    )
    assert (result.success, result.status, result.nit) == (False, 2, 0)
    assert "does not change around `x0`" in result.message


def test_a_start_at_the_minimum_is_converged():
    result = adamnb.minimize(lambda x: (x @ x, 2 * x), [0.0, 0.0], jac=True)
    assert (result.success, result.nit) == (True, 0)


def test_a_bound_holds_no_variable_that_the_gradient_does_not_push():
    """At 0 the gradient of 5 - x**2 is 0, and f falls on either side."""

    def fun(x):
        return 5 - x[0] ** 2 + (x[1] - 1) ** 2, np.array([-2 * x[0], 2 * (x[1] - 1)])

    for bounds in (Bounds([0, -9], [2, 9]), Bounds([-2, -9], [0, 9])):
        result = adamnb.minimize(fun, [0.0, 0.0], jac=True, bounds=bounds, memory=0)
        assert (result.success, result.status) == (False, 2)
        assert "curves downwards" in result.message
        left = adamnb.minimize(fun, [0.0, 0.0], jac=True, bounds=bounds)
        assert left.success
        assert abs(left.x[0]) == 2
        polished = adamnb.minimize(fun, [0.0, 0.0], jac=True, bounds=bounds, polish=True)
        assert polished.success
        assert abs(polished.x[0]) == 2


@pytest.mark.parametrize("polish", [False, True])
def test_all_variables_fixed_and_f_not_a_number(polish):
    result = adamnb.minimize(
        lambda x: (np.nan, x), [1.0, 1.0], jac=True, bounds=[(1, 1), (1, 1)], polish=polish
    )
    assert (result.success, result.status) == (False, 3)


def saddle(x):
    """Minima at x[0] = +-sqrt(1/2), all others 0; a saddle between them."""
    g = 2 * x
    g[0] = -2 * x[0] + 4 * x[0] ** 3
    return x[1:] @ x[1:] - x[0] ** 2 + x[0] ** 4, g


@pytest.mark.parametrize("n", [2, 33, 500])
def test_a_saddle_is_no_minimum_however_many_variables(n):
    x0 = np.linspace(1, 2, n)
    x0[0] = 0
    result = adamnb.minimize(saddle, x0, jac=True, memory=0)
    assert (result.success, result.status) == (False, 2)
    assert "curves downwards" in result.message
    left = adamnb.minimize(saddle, x0, jac=True)
    assert left.success
    assert left.fun == pytest.approx(-0.25, rel=1e-9)
    polished = adamnb.minimize(saddle, x0, jac=True, polish=True)
    assert polished.success
    assert polished.fun == pytest.approx(-0.25)
    x0[0] = 0.1
    assert adamnb.minimize(saddle, x0, jac=True).success


@pytest.mark.parametrize("n", [33, 100])
@pytest.mark.parametrize("curvature", [0.1, 1e-2])
def test_a_saddle_that_curves_little_in_variables_of_many_sizes(n, curvature):
    rng = np.random.default_rng(n)
    way = rng.normal(size=n)
    way /= np.sqrt(way @ way)
    x0 = rng.normal(size=n)
    x0 -= way * (way @ x0)

    def fun(x):
        p = way @ x
        f = x @ x - (1 + curvature) * p**2 + curvature * p**4
        return f, 2 * x + (4 * curvature * p**3 - 2 * (1 + curvature) * p) * way

    # Steps of other sizes would leave the ridge.
    result = adamnb.minimize(fun, x0, jac=True, memory=0, x_scale=np.abs(x0))
    assert (result.success, result.status) == (False, 2)
    left = adamnb.minimize(fun, x0, jac=True)
    assert left.success
    assert left.fun == pytest.approx(-curvature / 4, rel=1e-9)
    assert "curves downwards" in result.message


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: (
            x[0] ** 3 + x[0] ** 4 + x[1] ** 2,
            np.array([3 * x[0] ** 2 + 4 * x[0] ** 3, 2 * x[1]]),
        ),
        lambda x: (
            x[0] ** 3 - 3 * x[0] * x[1] ** 2 + x[0] ** 4 + x[1] ** 4,
            np.array(
                [3 * x[0] ** 2 - 3 * x[1] ** 2 + 4 * x[0] ** 3, 4 * x[1] ** 3 - 6 * x[0] * x[1]]
            ),
        ),
    ],
    ids=["x**3", "a saddle of three valleys"],
)
def test_a_start_where_f_does_not_curve_and_falls(fun):
    result = adamnb.minimize(fun, [0.0, 0.0], jac=True, memory=0)
    assert (result.success, result.status) == (False, 2)
    left = adamnb.minimize(fun, [0.0, 0.0], jac=True)
    assert left.success
    assert left.fun < -0.1


def test_a_mixture_that_starts_symmetric():
    """Without a gradient: both components stay where they are together, f 96 too high."""
    y = np.concatenate([np.random.default_rng(5).normal(m, 1, 150) for m in (-3, 3)])

    def fun(x):
        return -np.sum(np.logaddexp(-((y - x[0]) ** 2) / 2, -((y - x[1]) ** 2) / 2))

    together = adamnb.minimize(fun, [1.0, 1.0], memory=0)
    assert not together.success
    assert "curves downwards" in together.message
    left = adamnb.minimize(fun, [1.0, 1.0])
    assert left.success
    np.testing.assert_allclose(np.sort(left.x), [-3, 3], atol=0.2)
    apart = adamnb.minimize(fun, [1.0, 1.1])
    assert apart.success
    assert apart.fun < together.fun - 90


def peak_beside_a_parabola(x):
    e = np.exp(-(x[1] ** 2))
    return 1e4 * (x[0] - 1) ** 2 - e, np.array([2e4 * (x[0] - 1), 2 * x[1] * e])


def penalty_beside_a_parabola(x):
    over = max(0.0, x[1] - 1)
    return 1e4 * (x[0] - 1) ** 2 + over**2, np.array([2e4 * (x[0] - 1), 2 * over])


@pytest.mark.parametrize(("gradients", "most"), [(True, 100), (False, 1000)])
def test_a_component_that_has_left_the_data_is_found_again(gradients, most):
    """The first step carries x[1] to where f does not change with it, and its gradient is 0."""
    fun = peak_beside_a_parabola if gradients else lambda x: peak_beside_a_parabola(x)[0]
    scale, jac = [1.0, 1000.0], gradients or None
    lost = adamnb.minimize(fun, [3.0, 0.9], jac=jac, x_scale=scale, verify=0)
    assert lost.fun > -0.1
    assert abs(lost.x[1]) > 30
    result = adamnb.minimize(fun, [3.0, 0.9], jac=jac, x_scale=scale)
    assert result.success
    assert result.nfev < most
    np.testing.assert_allclose(result.x, [1, 0], atol=1e-6)


def test_where_a_penalty_ends_is_a_minimum():
    """f does not change with x[1] there either, and nowhere is it lower."""
    result = adamnb.minimize(penalty_beside_a_parabola, [3.0, 1.9], jac=True, x_scale=[1.0, 1000.0])
    assert result.success
    assert result.x[1] < 1
    assert result.nfev < 50


@pytest.mark.parametrize(
    ("fun", "jac"),
    [(lambda x: -np.log(x[0]), lambda x: -1 / x), (lambda x: 1 / x[0], lambda x: -1 / x**2)],
)
def test_a_function_that_falls_for_ever(fun, jac):
    result = adamnb.minimize(fun, [1.0], jac=jac, bounds=[(1e-3, None)])
    assert (result.success, result.status) == (False, 2)
    assert "f still falls as x[0] grows" in result.message


def test_a_function_that_falls_to_its_limit():
    """No minimum, but nothing that is left of f either."""
    result = adamnb.minimize(lambda x: np.exp(-x[0]), [0.0], jac=lambda x: -np.exp(-x))
    assert result.success
    assert result.fun < 1e-15
    assert "no minimum: f still falls as x[0] grows" in result.message


def test_a_function_that_has_not_fallen_to_its_limit():
    result = adamnb.minimize(
        lambda x: 1 + 1 / x[0], [1.0], jac=lambda x: -1 / x**2, bounds=[(1e-3, None)], x_scale=1
    )
    assert (result.success, result.status) == (False, 2)
    assert "f still falls as x[0] grows" in result.message


def test_logistic_regression_of_data_that_a_line_separates():
    z = np.c_[np.ones(20), np.linspace(-1, 1, 20)]
    side = np.sign(z[:, 1])

    def fun(b):
        margin = side * (z @ b)
        return np.logaddexp(0, -margin).sum(), -(side * np.exp(-np.logaddexp(0, margin))) @ z

    result = adamnb.minimize(fun, np.zeros(2), jac=True)
    assert "f still falls as x[1] grows" in result.message


def test_an_infimum_that_is_reached():
    result = adamnb.minimize(lambda x: (1 + np.exp(-x[0]), -np.exp(-x)), [0.0], jac=True)
    assert result.success
    assert result.fun == pytest.approx(1, abs=1e-9)


# ------------------------------------------------------------------------------------------ float32


def decays(count):
    rng = np.random.default_rng(6)
    t = np.linspace(0, 5, 30)
    true = np.c_[rng.uniform(1, 5, count), rng.uniform(0.3, 2, count), rng.uniform(0, 1, count)]
    y = true[:, :1] * np.exp(-true[:, 1:2] * t) + true[:, 2:]
    return t, y + 0.05 * rng.normal(size=y.shape)


@numba.njit
def decay(x, g, y, t):
    f = g[0] = g[1] = g[2] = y[0] - y[0]  # 0 in the dtype of the data
    for i in range(t.size):
        e = np.exp(-x[1] * t[i])
        r = x[0] * e + x[2] - y[i]
        f += r * r
        g[0] += 2 * r * e
        g[1] -= 2 * r * x[0] * t[i] * e
        g[2] += 2 * r
    return f


def test_float32_fits_converge_as_soon_as_they_can():
    t, y = decays(500)
    exact = adamnb.minimize_batch(decay, [1.0, 1.0, 0.0], (t,), (y,), jac="inplace")
    start = np.array([1.0, 1.0, 0.0], np.float32)
    for dtype in (np.float32, np.float64):  # of the data
        single = adamnb.minimize_batch(
            decay, start, (t.astype(dtype),), (y.astype(dtype),), jac="inplace"
        )
        assert single.success.all()
        assert np.median(single.nfev) <= np.median(exact.nfev)
        np.testing.assert_allclose(single.fun, exact.fun, rtol=1e-5)


def test_an_objective_that_computes_in_float32():
    """As those of JAX do, unless told otherwise, though x0 is float64."""
    t, y = decays(40)
    for row in y:

        def fun(x, row=row):
            x, g = x.astype(np.float32), np.empty(3, np.float32)
            return float(decay.py_func(x, g, row.astype(np.float32), t.astype(np.float32))), g

        result = adamnb.minimize(fun, [1.0, 1.0, 0.0], jac=True)
        assert result.success
        assert result.nfev < 1000


def test_rosenbrock_in_float32():
    result = adamnb.minimize(rosen, np.array([-1.2, 1], np.float32), jac=rosen_der)
    assert result.success
    assert result.nfev < 1500
    assert np.abs(result.x - 1).max() < 1e-4


def test_differences_in_float32_end_at_their_error():
    """No digit is left of the gradient, and the run knows it."""
    t, y = (a.astype(np.float32) for a in decays(10))
    for row in y:

        def fun(x, row=row):
            x = x.astype(np.float32)
            return float(np.sum((x[0] * np.exp(-x[1] * t) + x[2] - row) ** 2))

        result = adamnb.minimize(fun, [1.0, 1.0, 0.0])
        assert result.success
        assert result.nfev < 4000


def test_noise_that_is_overrated_lets_no_f_rise_above_the_start():
    """Osborne 2, from its start without a gradient: a first step leads to f of 1e289, and noise as high."""
    problem = next(p for p in SETS["mgh"]() if p.name == "Osborne 2")
    result = adamnb.minimize(problem.value, problem.x0, maxfun=50_000)
    assert result.success
    assert result.fun == pytest.approx(problem.minimum, rel=1e-6)


def test_a_target_is_all_that_was_asked_for():
    def fun(x):
        return ((x - 1.0) ** 2).sum(), 2.0 * (x - 1.0)

    at_once = adamnb.minimize(fun, np.ones(2), jac=True, f_target=0.0)
    assert at_once.success
    assert "has reached `f_target`" in at_once.message
    assert at_once.nfev == 1  # nobody asks whether it is a minimum, as the gradient would have them
    assert adamnb.minimize(fun, np.ones(2), jac=True).nfev > 1


def decay_with(mistake):
    @numba.njit
    def misfit(x, g, y, t):
        f = decay(x, g, y, t)
        if mistake == 1:
            g[0] += 0.5
        if mistake == 2:
            g[2] = 0.0  # forgotten
        if mistake == 3:
            f += 0.05 * (x[0] ** 2 + x[1] ** 2)  # has no gradient
        return f

    return misfit


def named(fits):
    """Return how many fits say that the gradient is wrong."""
    return [fits[b].message for b in range(len(fits.x))].count("`jac` contradicts `fun`")


@pytest.mark.parametrize("mistake", [0, 1, 2, 3])
def test_a_wrong_gradient_of_many_fits_is_named(mistake):
    t, y = decays(200)
    fits = adamnb.minimize_batch(
        decay_with(mistake), [1.0, 1.0, 0.0], data=(y,), args=(t,), jac="inplace"
    )
    if mistake == 0:
        assert (named(fits), fits.success.sum()) == (0, 200)
    else:
        assert named(fits) > 100
        assert fits.success.sum() <= 20


def test_a_wrong_gradient_of_a_few_fits_is_named_where_they_end_above_their_best_points():
    def fun(x, y):
        return (x[0] - y) ** 2 + x[1] ** 2 + 3 * x[0], np.array([2 * (x[0] - y), 2 * x[1]])

    fits = adamnb.minimize_batch(fun, [1.3, 0.7], data=(np.linspace(1, 2, 4),), jac=True)
    assert not fits.success.any()
    assert named(fits) == 4
