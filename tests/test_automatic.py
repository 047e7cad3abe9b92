"""The automatic learning rate without curvature (`memory=0`): what it does, not how well."""

import itertools

import numba
import numpy as np
import pytest
from scipy.optimize import Bounds, rosen, rosen_der

import adamnb
from adamnb._problem.methods import METHODS

A = np.array([1.0, 30.0, 1000.0])
X0 = np.array([1.0, -2.0, 0.5])


@numba.njit
def bowl(x, g, a, factor):
    """A little more than a quadratic, with its minimum at 1; `factor` is a power of two."""
    f = 0.0
    for i in range(x.size):
        d = x[i] - 1.0
        f += a[i] * (d * d + 0.1 * d * d * d * d)
        g[i] = factor * a[i] * (2.0 * d + 0.4 * d * d * d)
    return factor * f


@numba.njit
def stretched(x, g, a, unit):
    """The same in other units: variable i is x[i] unit[i], unit a power of two."""
    f = bowl(x / unit, g, a, 1.0)
    g /= unit
    return f


def both_loops(fun, x0, args, **options):
    options = {"maxiter": 150, "gtol": 0.0, "ftol": 0.0, "history": True, "memory": 0} | options
    interpreted = adamnb.minimize(fun.py_func, x0, args, jac="inplace", **options)
    compiled = adamnb.minimize(fun, x0, args, jac="inplace", **options)
    assert compiled.compiled
    assert interpreted.x_last.tobytes() == compiled.x_last.tobytes()
    for name, values in interpreted.history.items():
        assert values.tobytes() == compiled.history[name].tobytes()
    return compiled


def test_the_rate_rises_then_decays():
    """In a curved valley the last digits need steps a thousand times smaller than the first."""
    result = adamnb.minimize(rosen, np.tile([-1.2, 1.0], 5), jac=rosen_der, history=True, memory=0)
    rate = result.history["learning_rate"]
    assert result.success
    assert rate.max() > rate[0]
    assert rate[-1] < 1e-3 * rate.max()


@pytest.mark.parametrize("method", ["adam", "amsgrad", "nadam", "adamax"])
def test_the_path_does_not_depend_on_the_unit_of_f(method):
    one, million = (both_loops(bowl, X0, (A, factor), method=method) for factor in (1.0, 2.0**20))
    assert one.x_last.tobytes() == million.x_last.tobytes()
    assert (2.0**20 * one.history["fun"]).tobytes() == million.history["fun"].tobytes()


def test_the_path_does_not_depend_on_the_units_of_x():
    unit = np.array([2.0**-13, 1.0, 2.0**17])
    ones = np.ones(3)
    plain = both_loops(stretched, X0, (A, ones))
    other = both_loops(stretched, X0 * unit, (A, unit))
    assert (plain.x_last * unit).tobytes() == other.x_last.tobytes()
    assert plain.history["fun"].tobytes() == other.history["fun"].tobytes()


@pytest.mark.parametrize("size", [2.0**-30, 2.0**-10, 2.0**10, 2.0**30])
def test_a_scale_that_is_far_off_costs_little(size):
    """x_scale sets the first step: whatever it is, the minimum is found."""
    result = adamnb.minimize(
        bowl, X0, (A, 1.0), jac="inplace", x_scale=size, gtol=0, ftol=0, f_target=1e-10
    )
    assert result.success
    assert result.nit < 1000


def test_a_step_too_far_is_taken_back():
    """Beyond 2 f is enormous: the first step, a hundred times too long, is not kept."""

    def cliff(x):
        if x[0] > 2.0:
            return 1e6, np.array([1.0])
        return (x[0] - 1.0) ** 2, 2.0 * (x - 1.0)

    points = []

    def fun(x):
        points.append(x[0])
        return cliff(x)

    result = adamnb.minimize(fun, [-1.0], jac=True, x_scale=100.0, memory=0)
    assert points[1] > 2.0
    assert points[2] == pytest.approx(-1.0 + 0.1 * (points[1] + 1.0), rel=1e-6)
    assert result.success
    assert result.x[0] == pytest.approx(1.0, abs=1e-6)


def test_a_first_step_keeps_its_promise():
    """Across the valley to nearly the same height: lower, but not by a tenth of what was promised."""
    points = []

    def fun(x):
        points.append(x[0])
        return x[0] ** 2, 2.0 * x

    adamnb.minimize(fun, [-1.0], jac=True, x_scale=19.9 / 3, maxiter=2, memory=0)
    np.testing.assert_allclose(points, [-1.0, 0.99, -0.005], rtol=1e-12)


def test_f_never_ends_above_the_start_and_is_the_best_where_it_is_believed():
    seen = []

    def noisy(x):
        f = float(A @ (x - 1) ** 2) + 10.0 * rng.normal()
        seen.append(f)
        return f, 2 * A * (x - 1) + 100.0 * rng.normal(size=3)

    rng = np.random.default_rng(0)
    result = adamnb.minimize(noisy, X0, jac=True, maxiter=2000, noisy=False)
    assert result.fun == min(seen)
    assert np.isfinite(result.x).all()


def test_active_bounds_are_found_and_kept():
    bounds = Bounds([-np.inf, -np.inf, 1.5], [0.5, np.inf, np.inf])
    result = both_loops(bowl, X0, (A, 1.0), bounds=bounds, maxiter=1000, gtol=1e-8)
    assert result.success
    np.testing.assert_allclose(result.x, [0.5, 1.0, 1.5], rtol=1e-6)
    assert (result.x[0], result.x[2]) == (0.5, 1.5)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_there(method):
    """Within 1e-3 of the way; lion moves by signs, sgd knows no curvature."""
    target = 1e-3 * bowl(X0, np.empty(3), A, 1.0)
    result = adamnb.minimize(
        bowl,
        X0,
        (A, 1.0),
        jac="inplace",
        method=method,
        f_target=target,
        weight_decay=0.0,
        memory=0,
    )
    assert result.success, result.message


def test_a_given_rate_is_untouched():
    result = both_loops(bowl, X0, (A, 1.0), learning_rate=0.01)
    assert set(result.history["learning_rate"].tolist()) == {0.01}


# ------------------------------------------------------------------------- success, saddles, polish


def saddle(x):
    """f falls along x[1], but not at the start, where its gradient is zero."""
    f = x[0] ** 2 + 0.25 * x[1] ** 4 - 0.5 * x[1] ** 2
    return f, np.array([2 * x[0], x[1] ** 3 - x[1]])


def test_a_saddle_is_no_success():
    result = adamnb.minimize(saddle, [1.0, 0.0], jac=True, memory=0)
    assert (result.status, result.success) == (2, False)
    assert result.message.startswith("Not a minimum")
    np.testing.assert_allclose(result.x, 0, atol=1e-6)
    assert adamnb.minimize(saddle, [1.0, 0.0], jac=True, verify=0).success


def test_polishing_leaves_a_saddle():
    result = adamnb.minimize(saddle, [1.0, 0.0], jac=True, polish=True)
    assert result.success
    assert result.fun == pytest.approx(-0.25, rel=1e-12)
    assert "Polished by L-BFGS-B" in result.message


def test_a_saddle_within_bounds_may_be_a_minimum():
    result = adamnb.minimize(saddle, [1.0, 0.0], jac=True, bounds=[(-2, 2), (0, 0)])
    assert result.success


def test_verification_counts_and_changes_no_bit():
    plain, checked = (
        adamnb.minimize(bowl, X0, (A, 1.0), jac="inplace", verify=most) for most in (0, 3)
    )
    assert plain.success
    assert checked.success
    # One to see whether f is noisy, a gradient for each row of the Hessian, and four to compare f with its
    # gradient.
    assert checked.nfev == plain.nfev + 1 + 3 + 4 == plain.nit + 1 + 1 + 3 + 4
    assert plain.x.tobytes() == checked.x.tobytes()
    assert plain.jac.tobytes() == checked.jac.tobytes()


@pytest.mark.parametrize("method", [True, "BFGS", "TNC"])
def test_polish_keeps_bounds_and_counts(method):
    calls = []

    def fun(x):
        calls.append(x.copy())
        assert (x >= [-9.0, 1.5, -9.0]).all()
        assert (x <= 9.0).all()
        g = np.empty(3)
        return bowl(x, g, A, 1.0), g

    bounds = Bounds([-9.0, 1.5, -9.0], 9.0) if method != "BFGS" else None
    if bounds is None:
        result = adamnb.minimize(bowl, X0, (A, 1.0), jac="inplace", maxiter=20, polish=method)
        assert np.abs(result.x - 1.0).max() < 1e-6
    else:
        result = adamnb.minimize(fun, X0, jac=True, maxiter=20, polish=method, bounds=bounds)
        assert result.nfev == result.njev == len(calls)
        np.testing.assert_allclose(result.x, [1.0, 1.5, 1.0], rtol=1e-6)
    assert result.success, result.message


def test_polish_respects_maxfun():
    result = adamnb.minimize(
        bowl, X0, (A, 1.0), jac="inplace", maxiter=5, maxfun=8, gtol=0, ftol=0, polish=True
    )
    assert (result.status, result.nfev) == (1, 8)


def test_bad_polish():
    with pytest.raises(ValueError, match="polish"):
        adamnb.minimize(bowl, X0, (A, 1.0), jac="inplace", polish="l-bfgs")


# --------------------------------------------------------------------------- the rule, in plain NumPy


def by_hand(fun, x0, steps):
    """Points and learning rates of Adam with an automatic rate, written from its description."""
    scale = np.where(x0 != 0, np.abs(x0), 1.0)
    x, rate, t, streak, failures = x0.copy(), 0.3, 0, 0, 0
    m, v, gain, last = np.zeros_like(x0), np.zeros_like(x0), np.ones_like(x0), np.zeros_like(x0)
    first = best_f = best_x = best_g = None
    from_best, points, rates = False, [], []
    for _ in range(steps):
        points.append(x.copy())
        f, g = fun(x)
        came, start, start_g = from_best, best_x, best_g
        if first is None:
            first = best_f = f
            best_x, best_g = x, g
        else:
            promised = rate * (best_g * scale) @ -last
            limit = best_f + min(1.0, 0.01 * 3.0**failures) * (first - best_f)
            if f > limit or (t == 1 and failures < 4 and f > best_f - 0.1 * promised):
                cut = 0.1
                if from_best and promised > 0:
                    cut = np.clip(promised / 2 / (f - best_f + promised), 0.1, 0.5)
                x, f, g, rate = best_x, best_f, best_g, cut * rate
                m, v, last, t, streak = 0 * m, 0 * v, 0 * last, 0, 0
                failures += 1
            elif f < best_f:
                best_x, best_f, best_g, failures = x, f, g, 0
        q = g * scale
        along = -q @ last
        if along != 0:
            cosine = along / np.linalg.norm(q) / np.linalg.norm(last)
            z = (0.15 if t <= 50 else 0.05) * cosine
            rate *= (1 + z) / (1 - z)
            if cosine < 0:
                streak = 0
                if came and t and (ahead := -(start_g * scale) @ last) > 0:
                    part = ahead / (ahead - along)  # along the last step, to its minimum
                    x = start + part * (x - start)
                    q = scale * (start_g + part * (g - start_g))
        rates.append(rate)
        t, streak = t + 1, streak + 1
        gain = np.clip(gain * np.exp(0.02 * np.sign(-q * last)), 1e-4, 1e4)
        m = m + (q - m) / streak
        v = 0.999 * v + 0.001 * q * q
        last = -gain * m / np.sqrt(v / (1 - 0.999**t))
        from_best = x is best_x
        x = x + rate * scale * last
    return points, rates


@pytest.mark.parametrize("x0", [[-1.2, 1.0], [3.0, -3.0], [0.0, 0.1], [-1.2, 1.0, -1.2, 1.0]])
def test_the_rule_is_what_it_is_said_to_be(x0):
    """Path and rates to rounding, which grows along the valley; roll-backs are among them."""
    x0 = np.array(x0)
    seen = []

    def recorded(x):
        seen.append(x.copy())
        return rosen(x), rosen_der(x)

    result = adamnb.minimize(
        recorded, x0, jac=True, maxiter=60, gtol=0, ftol=0, history=True, memory=0
    )
    points, rates = by_hand(lambda x: (rosen(x), rosen_der(x)), x0, 60)
    assert np.sum(np.diff(np.log(rates)) < -1.5) >= (x0.size == 2)
    np.testing.assert_allclose(seen[:60], points, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(result.history["learning_rate"][:60], rates, rtol=1e-8)


def test_a_slope_without_end():
    """The rate grows for ever, and may not overflow: x would be NaN, with a finite f."""
    values = itertools.count(0, -1)
    result = adamnb.minimize(
        lambda x: float(next(values)), np.zeros(3), jac=lambda x: np.array([1e-3, 0.0, 1.0]),
        maxiter=20_000, memory=0,
    )  # fmt: skip
    assert not result.success
    assert np.isfinite(result.x).all()
    assert np.isfinite(result.x_last).all()
