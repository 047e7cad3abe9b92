"""Objectives that are another when they are evaluated again: averages, honest values, no lucky success."""

import numba
import numpy as np
import pytest

import adamnb
from adamnb._problem.methods import METHODS

CENTRE = np.array([1.0, -2.0, 3.0])
CURVATURES = np.array([1.0, 10.0, 3.0])
X0 = np.array([3.0, 1.0, 0.5])


def exact(x):
    return float(CURVATURES @ (x - CENTRE) ** 2)


def bowl(seed, of_f=0.1, of_g=0.5, seen=None):
    """A quadratic with noise, with its own stream of numbers."""
    rng = np.random.default_rng(seed)

    def fun(x):
        f = exact(x) + of_f * rng.standard_normal()
        if seen is not None:
            seen.append(f)
        return f, 2 * CURVATURES * (x - CENTRE) + of_g * rng.standard_normal(x.size)

    return fun


@numba.njit
def uniform(state):
    """The next number in (0, 1) of a stream whose state is an array of one uint64: splitmix64."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (np.float64((z ^ (z >> np.uint64(31))) >> np.uint64(11)) + 0.5) / 2.0**53


@numba.njit
def rolling(x, g, centre, state):
    """A quadratic about `centre`, noise on f and gradient."""
    f = 0.0
    for i in range(x.size):
        noise = uniform(state) - 0.5
        f += (x[i] - centre) ** 2 + 0.1 * noise
        g[i] = 2.0 * (x[i] - centre) + noise
    return f


def stream(seed=1):
    return np.array([seed], np.uint64)


def test_a_noisy_minimum_is_an_average_with_an_honest_value():
    within, errors = 0, []
    for seed in range(40):
        seen = []
        result = adamnb.minimize(bowl(seed, seen=seen), X0, jac=True, maxfun=1000)
        assert result.nfev <= 1000
        assert result.fun > min(seen)
        within += abs(result.fun - exact(result.x)) <= 3 * result.fun_stderr
        errors.append(exact(result.x))
        assert result.noise.fun == pytest.approx(0.1, rel=0.8)
        assert result.noise.jac == pytest.approx(0.5, rel=0.8)
    assert within >= 38
    # The lucky draw of a rule without averages is off by .1 and more.
    assert np.median(errors) < 1e-3


def test_success_says_that_no_improvement_can_be_told_from_noise():
    result = adamnb.minimize(bowl(3), X0, jac=True)
    assert result.success
    assert "within the noise" in result.message
    assert f"{result.fun:.6g}" in result.message
    few = adamnb.minimize(bowl(3), X0, jac=True, maxfun=150)
    assert (few.status, few.success) == (1, False)
    assert "f is noisy" in few.message


@pytest.mark.parametrize("options", [{}, {"memory": 0}, {"bounds": [(0, 4), (-1, 2), (None, 2)]}])
def test_what_is_not_noisy_keeps_its_bits(options):
    def fun(x):
        return exact(x), 2 * CURVATURES * (x - CENTRE)

    plain, looked = (
        adamnb.minimize(fun, X0, jac=True, noisy=noisy, **options) for noisy in (False, None)
    )
    assert plain.x.tobytes() == looked.x.tobytes()
    assert plain.nit in (
        looked.nit,
        looked.nit - 1,
    )  # an iteration may look at the best point again
    assert looked.nfev - plain.nfev in (0, 1)
    assert plain.success
    assert looked.success
    assert "noise" not in looked


@pytest.mark.parametrize("options", [{}, {"noisy": True}, {"noisy": True, "learning_rate": 0.02}])
def test_both_loops_have_the_same_bits(options):
    compiled, interpreted = (
        adamnb.minimize(fun, X0, (1.0, stream()), jac="inplace", maxfun=700, **options)
        for fun in (rolling, rolling.py_func)
    )
    assert (compiled.compiled, interpreted.compiled) == (True, False)
    assert compiled.nfev == interpreted.nfev
    for name in ("x", "jac", "x_last"):
        assert compiled[name].tobytes() == interpreted[name].tobytes()
    assert compiled.fun == interpreted.fun
    assert compiled.fun_stderr == interpreted.fun_stderr


@pytest.mark.parametrize("method", METHODS)
def test_every_method_averages(method):
    said = None if method == "adamw" else True  # with weight decay noise is looked for at the start
    result = adamnb.minimize(
        bowl(1, 0.01, 0.1), X0, jac=True, method=method, maxfun=3000, noisy=said
    )
    assert result.noise.fun == pytest.approx(0.01, rel=0.5)
    assert exact(result.x) < (0.2 if method == "adamw" else 0.01)  # weight decay moves the minimum


def test_the_average_is_that_of_shamir_and_zhang():
    """x_bar = sum of k (k + 1) (k + 2) x_k over their sum, for the power 3."""
    points, fun = [], bowl(0)

    def noted(x):
        points.append(x.copy())
        return fun(x)

    result = adamnb.minimize(
        noted, X0, jac=True, method="sgd", learning_rate=0.01, noisy=True, maxiter=60
    )
    # The last eight evaluations are at the average; the first point is the start.
    k = np.arange(1, 61)
    weights = (k * (k + 1) * (k + 2)).astype(float)
    expected = (weights @ np.array([*points[1:60], result.x_last])) / weights.sum()
    np.testing.assert_allclose(np.array(points[-8:]), np.tile(result.x, (8, 1)))
    np.testing.assert_allclose(result.x, expected, rtol=1e-12)


def test_a_gradient_that_vanishes_by_chance_is_no_success():
    rng = np.random.default_rng(5)

    def sparse(x):
        chosen = (rng.random(x.size) < 0.05) / 0.05
        return float((x - 1) ** 2 @ chosen), 2 * (x - 1) * chosen

    for _ in range(10):
        result = adamnb.minimize(sparse, np.zeros(5), jac=True, maxfun=2000)
        assert not result.success or np.abs(result.x - 1).max() < 0.01
        given = adamnb.minimize(sparse, np.zeros(5), jac=True, learning_rate=1e-3, maxfun=50)
        assert not given.success


@pytest.mark.parametrize("part", [0.05, 0.4])
def test_values_that_are_no_numbers_now_and_then_end_nothing(part):
    rng, fun = np.random.default_rng(0), bowl(2)

    def broken(x):
        f, g = fun(x)
        return (np.nan if rng.random() < part else f), g

    result = adamnb.minimize(broken, X0, jac=True, maxfun=2000, noisy=True)
    assert exact(result.x) < 1e-2
    assert abs(result.fun - exact(result.x)) < 4 * result.fun_stderr


@pytest.mark.parametrize("jac", [True, None])
@pytest.mark.parametrize("noisy", [True, None])
def test_what_is_caught_ends_nothing(jac, noisy):
    rng, fun, calls = np.random.default_rng(0), bowl(2), []

    def broken(x):
        calls.append(x)
        if len(calls) > 20 and rng.random() < 0.05:  # beyond what is learnt at the start
            raise FloatingPointError
        return fun(x) if jac else fun(x)[0]

    result = adamnb.minimize(
        broken, X0, jac=jac, maxfun=3000, noisy=noisy, catch=FloatingPointError
    )
    assert exact(result.x) < 1e-2
    assert abs(result.fun - exact(result.x)) < 4 * result.fun_stderr
    assert result.nfev >= len(calls)


def test_steps_that_failures_have_shortened_are_no_success():
    rng = np.random.default_rng(0)

    def broken(x):
        f, g = (x - 1) @ (x - 1) + 100 + 0.01 * rng.standard_normal(), 2 * (x - 1)
        return (np.nan if rng.random() < 0.6 else f), g

    for _ in range(5):
        result = adamnb.minimize(broken, 3 * X0, jac=True, maxfun=2000, noisy=True)
        assert not result.success or np.abs(result.x - 1).max() < 0.1


def test_values_whose_squares_overflow_end_nothing():
    rng, fun = np.random.default_rng(0), bowl(2)
    result = adamnb.minimize(
        lambda x: 1e300 if rng.random() < 0.01 else fun(x)[0], X0, maxfun=2000, noisy=True
    )
    assert not result.success


@pytest.mark.parametrize("jac", [True, None])
def test_one_value_tells_of_no_noise(jac):
    fun = bowl(0)
    f = fun if jac else lambda x: fun(x)[0]
    result = adamnb.minimize(f, X0, jac=jac, maxfun=1, noisy=True)
    assert not result.success
    assert not np.isfinite([result.noise.fun, result.fun_stderr]).any()


@pytest.mark.parametrize("jac", [True, None])
def test_where_all_is_fixed_f_is_looked_at_and_nothing_else(jac):
    fun = bowl(0)
    f = fun if jac else lambda x: fun(x)[0]
    result = adamnb.minimize(f, X0, jac=jac, bounds=[(x, x) for x in X0], noisy=True)
    assert (result.status, result.nit) == (0, 0)
    assert result.nfev < 20
    assert abs(result.fun - exact(X0)) < 4 * result.fun_stderr


def test_steps_out_of_the_domain_are_taken_shorter():
    rng = np.random.default_rng(0)

    def logarithmic(x):
        with np.errstate(invalid="ignore"):
            f = float(np.sum(x - np.log(x))) + 0.1 * rng.standard_normal()
        return f, 1 - 1 / x + 0.1 * rng.standard_normal(x.size)

    result = adamnb.minimize(logarithmic, [0.02, 5.0], jac=True, maxfun=2000, noisy=True)
    np.testing.assert_allclose(result.x, 1.0, atol=0.05)


def test_bounds_are_kept_and_found():
    fun = bowl(4)

    def inside(x):
        assert (x >= [0, -1, 0]).all()
        assert (x <= [4, 2, 2.5]).all()
        return fun(x)

    result = adamnb.minimize(inside, X0, jac=True, bounds=[(0, 4), (-1, 2), (0, 2.5)], maxfun=2000)
    np.testing.assert_allclose(result.x, [1.0, -1.0, 2.5], atol=0.03)


@pytest.mark.parametrize("noise", [0.1, 1e-3])
def test_without_a_gradient(noise):
    def valley(x):
        return float((x - 1) @ (x - 1) + 10 * (x[1] - x[0] ** 2) ** 2)

    within = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        result = adamnb.minimize(
            lambda x, rng=rng: valley(x) + noise * rng.standard_normal(),
            [-1.2, 1.0, 0.5],
            maxfun=5000,
        )
        assert valley(result.x) < 0.1 * noise
        within += abs(valley(result.x) - result.fun) < 3 * result.fun_stderr
        assert result.noise.jac is None
    assert within >= 9


def test_a_target_is_not_reached_by_luck():
    result = adamnb.minimize(bowl(7), X0, jac=True, f_target=-0.05, maxfun=2000)
    assert not result.success or result.fun > -0.05
    reached = adamnb.minimize(bowl(7), X0, jac=True, f_target=0.1, maxfun=2000)
    assert reached.success
    assert reached.nfev < 500


def test_a_wide_tolerance_ends_early():
    rng = np.random.default_rng(0)

    def above(x):
        return 100 + exact(x) + 0.1 * rng.standard_normal(), 2 * CURVATURES * (
            x - CENTRE
        ) + 0.5 * rng.standard_normal(3)

    result = adamnb.minimize(above, X0, jac=True, tol=1e-3)
    assert result.success
    assert result.nfev < 1000
    assert exact(result.x) < 0.01


def test_callbacks_and_exceptions_leave_what_has_been_found():
    count, fun = 0, bowl(9)

    def stop(x):
        nonlocal count
        count += 1
        if count == 400:
            raise StopIteration

    result = adamnb.minimize(fun, X0, jac=True, callback=stop)
    assert result.status == 99
    assert exact(result.x) < 0.01
    assert np.isfinite(result.fun_stderr)

    def failing(x):
        nonlocal count
        count += 1
        if count == 900:
            raise RuntimeError("broken")
        return fun(x)

    with pytest.raises(RuntimeError, match="broken") as raised:
        adamnb.minimize(failing, X0, jac=True)
    assert exact(raised.value.adamnb_result.x) < 0.01


def test_rows_of_a_batch_go_on_by_averages():
    centres, states = np.linspace(1, 3, 20), np.arange(20, dtype=np.uint64).reshape(20, 1)
    options = {"jac": "inplace", "maxiter": 500}
    together = adamnb.minimize_batch(rolling, np.zeros(3), data=(centres, states.copy()), **options)
    assert (together.fun_stderr > 0).all()
    np.testing.assert_allclose(together.x, np.tile(centres, (3, 1)).T, atol=0.1)
    alone = adamnb.minimize(rolling, np.zeros(3), (centres[7], states[7].copy()), **options)
    assert together.x[7].tobytes() == alone.x.tobytes()
    assert together.fun[7] == alone.fun
    said = adamnb.minimize_batch(
        rolling, np.zeros(3), data=(centres, states.copy()), noisy=True, **options
    )
    np.testing.assert_allclose(said.x, np.tile(centres, (3, 1)).T, atol=0.1)


def test_threads_change_no_bit():
    one, two = (
        adamnb.minimize(
            rolling,
            np.zeros(40_000),
            (1.0, stream()),
            jac="inplace",
            maxfun=60,
            noisy=True,
            threads=t,
        )
        for t in (1, 2)
    )
    assert one.x.tobytes() == two.x.tobytes()


def test_a_random_start_is_of_one_kind():
    """Small elements of a start are small by chance: steps are not to be in proportion to them."""
    x0 = np.random.default_rng(0).standard_normal(30)
    x0[:3] = 1e-4
    rng = np.random.default_rng(1)

    def fun(x):
        return float((x - 1) @ (x - 1)) + rng.standard_normal(), 2 * (x - 1) + rng.standard_normal(
            30
        )

    result = adamnb.minimize(fun, x0, jac=True, maxfun=1000)
    assert np.abs(result.x - 1).max() < 0.2


def test_a_wrong_value_is_an_error():
    with pytest.raises(TypeError, match="`noisy` must be None, True or False; got 'yes'"):
        adamnb.minimize(bowl(0), X0, jac=True, noisy="yes")


@pytest.mark.parametrize("noise", [1e-14, 1e-12])
def test_noise_as_of_rounding_changes_no_more_than_that(noise):
    """As of sums in another order, or on a GPU: the run ends as one without noise does."""
    rng = np.random.default_rng(0)

    def valley(x):
        f = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2 + 3.0
        g = np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])
        return f * (1 + noise * rng.standard_normal()), g * (1 + noise * rng.standard_normal(2))

    result = adamnb.minimize(valley, [-1.2, 1.0], jac=True)
    assert result.success
    assert result.nfev < 150
    np.testing.assert_allclose(result.x, 1.0, atol=1e-4)


def test_rounding_is_no_noise_where_weights_decay():
    rng = np.random.default_rng(0)

    def bowl(x):
        return float((x - 1) @ (x - 1)) * (1 + 1e-15 * rng.standard_normal()) + 1.0, 2 * (x - 1)

    result = adamnb.minimize(bowl, X0, jac=True, method="adamw", weight_decay=0.01, maxiter=20)
    assert "noise" not in result
    result = adamnb.minimize(
        lambda x: (bowl(x)[0] + 1e-6 * rng.standard_normal(), bowl(x)[1]),
        X0, jac=True, method="adamw", weight_decay=0.01, maxiter=20,
    )  # fmt: skip
    assert "noise" in result
