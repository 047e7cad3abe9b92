"""Minimisation without a gradient: steps, noise, precision, and what differences cost."""

import math
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
from scipy import optimize
from scipy.integrate import solve_ivp

import adamnb
from adamnb._compiled.noise import POINTS, Spacing, noise_of
from adamnb._problem.differences import LOOKS, Differences, Steps
from adamnb._problem.objective import Objective

DIFFERENCES = [None, "2-point", "3-point"]


class Counted:
    """An objective that counts its calls, and keeps where they were."""

    def __init__(self, fun):
        self.fun, self.points = fun, []

    def __call__(self, x, *args):
        self.points.append(x.copy())
        return self.fun(x, *args)


def minimize(fun, x0, **options):
    """Minimise, and compare `nfev` with the calls."""
    counted = Counted(fun)
    result = adamnb.minimize(counted, x0, **options)
    assert result.nfev == len(counted.points)
    return result


def objective(fun, x0, scheme="differences", bounds=None, steps=None):
    x0 = np.asarray(x0)
    x0 = x0 if x0.dtype == np.float32 else x0.astype(float)
    return Objective(fun, scheme, (), bounds, x0, steps=steps or Steps()), x0


def gradient(fun, x0, times=2, **options):
    """Return the gradient at x0, its estimated error, and the number of evaluations for the last one."""
    own, x0 = objective(fun, x0, **options)
    g, before = np.empty_like(x0), 0
    for _ in range(times):
        before = own.counts[0]
        own.evaluate(x0, g)
    return g, own.gradient_error, own.counts[0] - before


# -------------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize("level", [1e-12, 1e-8, 1e-3])
@pytest.mark.parametrize("seed", range(5))
def test_noise_of_a_table(level, seed):
    t = np.arange(POINTS + 1)
    smooth = 3.0 + 0.5 * (t * 1e-4) - (t * 1e-4) ** 2
    values = smooth + level * np.random.default_rng(seed).standard_normal(t.size)
    found, verdict = noise_of(values)
    assert verdict is not Spacing.TOO_SMALL
    assert level / 4 < found < 4 * level


def test_the_end_of_a_table_may_be_small_by_chance():
    # Third differences of f; those of these are of the order of 70, and the last of all is 4.
    column = np.array([86.4, 21.73, 28.45, 110.97])
    for start in (175296.0, 37347943.0, 4616704341758.0):
        column = np.concatenate([[start], column]).cumsum()
    level, verdict = noise_of(column)
    assert verdict is Spacing.TOO_LARGE
    assert level > 1


def test_spacing_of_a_table():
    t = np.arange(POINTS + 1.0)
    assert noise_of(np.ones(POINTS + 1)) == (0.0, Spacing.TOO_SMALL)
    assert noise_of(1.0 + np.round(t / 4) * 1e-7)[1] is Spacing.TOO_SMALL
    assert noise_of(np.where(t == 0, 0.9, 1.0)) == (np.inf, Spacing.TOO_LARGE)
    level, verdict = noise_of(np.exp(t))
    assert verdict is Spacing.TOO_LARGE
    assert level > 0


@pytest.mark.parametrize("level", [1e-10, 1e-6, 1e-3])
def test_noise_is_measured(level):
    """With noise of a known size, the precision is that which the best step has."""
    wobble = lambda x: level * math.sin(1e13 * x[0] + 3e13 * x[1])  # noqa: E731
    own, x0 = objective(lambda x: np.exp(x[0]) + x[1] ** 2 + wobble(x), [0.5, 2.0])
    g = np.empty(2)
    for _ in range(3):
        own.evaluate(x0, g)
    assert level / 5 < own.differences.noise < 5 * level
    true = np.array([np.exp(0.5), 4.0])
    assert (np.abs(g - true) < 10 * own.gradient_error).all()
    assert (own.gradient_error < 5 * level**0.5).all()


# ---------------------------------------------------------------------------------------- precision

SIZES = [1e-140, 1e-11, 1.0, 1e15, 1e120]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["differences", "2-point", "3-point"])
def test_gradients_of_every_size(size, scheme):
    """Elements from forward differences are good to 1e-6, those of both sides to 1e-9."""
    x0 = size * np.array([1.0, -2.0, 0.3])
    fun = lambda x: math.exp(x[0] / size) + math.cos(x[1] / size) + (x[2] / size) ** 3  # noqa: E731
    true = np.array([math.e, math.sin(2.0), 0.27]) / size
    g, error, _ = gradient(fun, x0, scheme=scheme)
    relative = np.abs(g / true - 1)
    assert (relative < (1e-9 if scheme == "3-point" else 1e-6)).all()
    assert (np.abs(g - true) <= 5 * error).all()
    assert (error < 1e-5 * np.abs(true)).all()


def test_float32_feels_the_steps():
    x0 = np.array([1.0, 30.0], np.float32)
    counted = Counted(lambda x: np.exp(x[0]) * x[1])
    g, error, _ = gradient(counted, x0)
    assert {point.dtype for point in counted.points} == {np.dtype(np.float32)}
    true = np.array([30 * np.e, np.e])
    assert g.dtype == np.float32
    np.testing.assert_allclose(g, true, rtol=5e-3)
    assert (np.abs(g - true) <= 5 * error).all()


def test_complex_step_is_exact():
    fun = lambda x: np.exp(x[0]) * np.sin(x[1]) / x[2]  # noqa: E731
    x0 = np.array([1.0, 2.0, 1e-11])
    g, error, evaluations = gradient(fun, x0, scheme="cs", times=1)
    f = fun(x0)
    true = np.array([f, f / np.tan(2.0), -f / 1e-11])
    np.testing.assert_allclose(g, true, rtol=4 * np.finfo(float).eps)
    assert (error <= 4 * np.finfo(float).eps * np.abs(true)).all()
    assert evaluations == 4


def test_complex_step_needs_complex_numbers():
    with pytest.raises(TypeError, match=r"`jac='cs'` needs a `fun` that returns a complex number"):
        adamnb.minimize(lambda x: abs(x @ x), [1.0, 2.0], jac="cs")


def test_the_error_of_the_callers_gradient_is_not_known():
    own = Objective(lambda x: x @ x, lambda x: 2 * x, (), None, np.ones(2))
    assert own.gradient_error is None


# --------------------------------------------------------------------------------- what it evaluates


@pytest.mark.parametrize(
    ("scheme", "most"), [("differences", 2), ("2-point", 1), ("3-point", 2), ("cs", 1)]
)
def test_evaluations_of_a_gradient(scheme, most):
    """n + 1 or 2 n + 1; forward where these are exact enough, and every tenth of both sides."""
    x0 = np.linspace(1, 2, 7)
    fun = lambda x: (x * x * x).sum()  # noqa: E731
    own, x0 = objective(fun, x0, scheme=scheme)
    g, counts = np.empty_like(x0), []
    for _ in range(21):
        before = own.counts[0]
        own.evaluate(x0, g)
        counts.append(own.counts[0] - before)
    both = {"cs": 8, "3-point": 15}
    expected = {0, 10, 20}  # where curvatures are learnt
    for i, count in enumerate(counts):
        measured = POINTS if i == 0 and scheme != "cs" else 0
        forward = both.get(scheme, 15 if i in expected else 8)
        assert count == forward + measured
    assert own.counts[1] == 21


def test_both_sides_where_forward_differences_are_their_own_error():
    offset = np.array([1e-9, 1.0])
    fun = lambda x: 1.0 + (x - 3) @ (x - 3)  # noqa: E731
    g, error, evaluations = gradient(fun, 3 + offset, times=5)
    assert evaluations == 1 + 2 + 1
    assert abs(g[0] - 2e-9) < 1e-10
    assert error[0] < 1e-9
    assert abs(g[1] - 2.0) < 1e-6
    g, error, evaluations = gradient(fun, 3 + offset, times=5, scheme="2-point")
    assert evaluations == 1 + 2  # whoever asks for forward differences gets them, and their error
    assert abs(g[0] - 2e-9) <= error[0] > 1e-9


@pytest.mark.parametrize("scheme", ["differences", "2-point", "3-point"])
@pytest.mark.parametrize("x0", [[0.0, 1.0, 5.0, 2.0], [1e-12, 1 - 1e-12, 5.0, 2.0]])
def test_points_stay_within_the_bounds(scheme, x0):
    low, high = np.array([0.0, 0.0, 5.0, -np.inf]), np.array([1.0, 1.0, 5.0, np.inf])
    counted = Counted(lambda x: np.exp(x).sum())
    g, _, _ = gradient(counted, x0, scheme=scheme, bounds=(low, high))
    points = np.array(counted.points)
    assert (points >= low).all()
    assert (points <= high).all()
    assert g[2] == 0  # its bounds are equal: never differentiated
    np.testing.assert_allclose(g[[0, 1, 3]], np.exp(x0)[[0, 1, 3]], rtol=1e-3)


def test_points_stay_within_narrow_bounds():
    rng = np.random.default_rng(0)
    for _ in range(100):
        low = rng.standard_normal(3)
        high = low + 10.0 ** rng.uniform(-12, 0, 3)
        counted = Counted(lambda x: np.exp(x).sum())
        gradient(counted, np.clip(low + (high - low) * rng.uniform(size=3), low, high),
                 bounds=(low, high))  # fmt: skip
        assert (np.array(counted.points) >= low).all()
        assert (np.array(counted.points) <= high).all()


def test_the_search_for_noise_stays_within_the_bounds():
    """From -1 to just below 0, where the distance is rounded to 1; f feels nothing as far as that."""
    counted = Counted(lambda x: 1.0)
    bounds = np.array([-1.0]), np.array([-1e-17])
    gradient(counted, [-1.0], bounds=bounds, steps=Steps(x_scale=np.array([100.0])))
    assert np.max(counted.points) == -1e-17


def test_no_step_is_rounded_away():
    own, x0 = objective(lambda x: (x - 1e8) @ (x - 1e8), [1e8, 3.0])
    own.evaluate(x0, np.empty(2))
    own.differences.noise = 1e-300
    for step in own.differences._steps(x0):
        assert (x0 + step > x0).all()


def test_bounds_next_to_each_other():
    low = np.array([1.0, 1.0])
    high = np.array([np.nextafter(1.0, 2.0), 1.0 + 1e-14])
    counted = Counted(lambda x: 3 * x[0] + x[1])
    g, error, _ = gradient(counted, low, scheme="3-point", bounds=(low, high))
    assert (np.array(counted.points) <= high).all()
    assert (np.abs(g - [3, 1]) <= error).all()


def test_the_domain_ends_nearby():
    """log is NaN below 0, and the start is nearer to it than the first step is long."""
    fun = lambda x: float(np.log(x[1]) + np.log(1 - x[0] + 1e-7))  # noqa: E731
    g, _, _ = gradient(fun, [1.0, 1e-7], steps=Steps(x_scale=np.ones(2)), times=3)
    np.testing.assert_allclose(g, [-1e7, 1e7], rtol=1e-3)


def test_every_point_is_the_users():
    def spoils(x):
        f = float(np.exp(x).sum())
        x[:] = np.nan
        return f

    x0 = [1.0, 2.0]
    a, _, _ = gradient(spoils, x0)
    b, _, _ = gradient(lambda x: float(np.exp(x).sum()), x0)
    assert a.tobytes() == b.tobytes()


def test_a_step_grows_before_a_difference_of_0_is_believed():
    fun = lambda x: (x[0] - 1e15) ** 2 + 0 * x[1]  # noqa: E731
    own, x0 = objective(fun, [1.0, 1.0])
    g = np.empty(2)
    own.evaluate(x0, g)
    assert abs(g[0] / -2e15 - 1) < 0.1
    assert g[1] == 0
    before = own.counts[0]
    own.evaluate(x0, g)
    assert own.counts[0] - before <= 5  # what f has not felt is not looked for again
    assert before <= 1 + 5 * POINTS + 2 * 2 * LOOKS


def test_a_start_at_0_of_what_is_tiny():
    fun = lambda x: math.tanh((x[0] - 2e-11) / 1e-11) ** 2  # noqa: E731
    true = -2 * math.tanh(2) / math.cosh(2) ** 2 / 1e-11
    g, error, _ = gradient(fun, [0.0], times=3)
    assert abs(g[0] / true - 1) < 1e-5
    assert error[0] < 1e-4 * abs(true)


# ------------------------------------------------------------------------------------------ options


def test_a_relative_step_of_the_callers():
    x0 = np.array([1.0, -4.0, 0.0])
    counted = Counted(lambda x: np.exp(x).sum())
    steps = Steps(relative=np.array([1e-3, 1e-4, 1e-5]))
    gradient(counted, x0, times=1, steps=steps, scheme="2-point")
    moved = np.array(counted.points[1 + POINTS :]) - x0
    distances = np.unique(np.abs(moved).sum(axis=1).round(12))
    np.testing.assert_allclose(distances, [1e-5, 4e-4, 1e-3], rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"finite_diff_rel_step": 0}, ValueError, "`finite_diff_rel_step` must be None, a number > 0"),
        ({"finite_diff_rel_step": "1"}, TypeError, "`finite_diff_rel_step` must be None"),
        ({"finite_diff_rel_step": [1e-6] * 3}, ValueError, r"must have shape \(2,\)"),
        ({"workers": 0}, ValueError, "`workers` must be None, -1, a whole number >= 1"),
        ({"workers": "two"}, TypeError, "`workers` must be None, -1"),
        ({"eps": 1e-4}, ValueError, "`eps` is the step of differences in SciPy.*got 0.0001.*take"
         " `finite_diff_rel_step`"),
        ({"options": {"eps": 1e-4}, "jac": "3-point"}, ValueError, "`finite_diff_rel_step`"),
        ({"jac": lambda x: 2 * x, "finite_diff_rel_step": 1e-6}, ValueError,
         "`finite_diff_rel_step` is for differences, and `jac` gives the gradient"),
        ({"jac": lambda x: 2 * x, "workers": 2}, ValueError, "`workers` is for differences"),
    ],
)  # fmt: skip
def test_options_that_are_refused(options, kind, text):
    with pytest.raises(kind, match=text):
        adamnb.minimize(lambda x: x @ x, [1.0, 2.0], **options)


def test_eps_of_adam_beside_a_learning_rate():
    result = adamnb.minimize(lambda x: x @ x, [1.0, 2.0], learning_rate=0.1, eps=1e-3, maxiter=3)
    expected = adamnb.minimize(
        lambda x: x @ x, [1.0, 2.0], jac=lambda x: 2 * x, learning_rate=0.1, eps=1e-3, maxiter=3
    )
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-6)


def bowl(x, a=1.0):
    return float(a * ((x - 3) @ (x - 3)))


def test_workers_change_no_bit():
    options = {"args": (2.0,), "maxiter": 15}
    expected = adamnb.minimize(bowl, [1.0, 2.0], **options)
    with ThreadPool(2) as pool:
        backwards = lambda func, items: [func(item) for item in items[::-1]]  # noqa: E731
        for workers in (2, pool.map, pool.imap_unordered, backwards):
            result = adamnb.minimize(bowl, [1.0, 2.0], workers=workers, **options)
            assert result.x.tobytes() == expected.x.tobytes()
            assert result.jac.tobytes() == expected.jac.tobytes()
            assert result.nfev == expected.nfev
    with pytest.raises(
        ValueError, match="`workers` must return one result for each item; got 0 for 6"
    ):
        adamnb.minimize(bowl, [1.0, 2.0], workers=lambda func, items: [])
    with pytest.raises(TypeError, match="`workers` is an argument of `minimize_batch`"):
        adamnb.minimize_batch(bowl, [[1.0, 2.0]], options={"workers": 2})


@pytest.mark.parametrize(
    ("jac", "used"),
    [(None, "differences"), ("2-point", "2-point"), ("cs", "cs"), (lambda x: 2 * (x - 3), "jac")],
)
def test_the_result_says_what_was_used(jac, used):
    fun = bowl if jac != "cs" else lambda x: (x - 3) @ (x - 3)
    assert adamnb.minimize(fun, [1.0, 2.0], jac=jac, maxiter=2).gradient == used


def test_finite_difference_chooses_through_scipy():
    result = optimize.minimize(
        bowl, [1.0, 2.0], method=adamnb.adam, options={"finite_difference": "3-point", "maxiter": 2}
    )
    assert result.gradient == "3-point"


@pytest.mark.parametrize("jac", DIFFERENCES)
def test_rows_of_a_batch_have_the_bits_of_minimize(jac):
    x0 = np.array([[1.0, 2.0], [1e-3, 5.0], [4.0, 1e2]])
    options = {
        "jac": jac,
        "maxiter": 30,
        "x_scale": [1.0, 2.0],
        "finite_difference": "3-point",
        "verify": 0,
    }
    batch = adamnb.minimize_batch(bowl, x0, data=([1.0, 1e6, 1e-6],), **options)
    for b, a in enumerate([1.0, 1e6, 1e-6]):
        own = adamnb.minimize(bowl, x0[b], (a,), **options)
        assert batch.x[b].tobytes() == own.x.tobytes()
        assert (batch.nfev[b], batch.status[b]) == (own.nfev, own.status)


# ----------------------------------------------------------------------------------------- problems

W = 2 * np.pi * np.logspace(0, 6, 40)
CELL = np.array([2e4, 1e8, 2e-11])  # ohm, ohm, farad


def impedance(p):
    return p[0] + p[1] / (1 + 1j * W * p[1] * p[2])


def sigmas(residuals, x, best):
    """How far x is from the best, in standard errors of residuals of unit variance."""
    jac = optimize.approx_fprime(best, residuals, 1e-5 * np.abs(best))
    scaled = jac * best
    error = best * np.sqrt(np.diag(np.linalg.inv(scaled.T @ scaled)))
    return np.abs(x - best).max() if best.size == 0 else (np.abs(x - best) / error).max()


@pytest.mark.parametrize("jac", DIFFERENCES)
@pytest.mark.parametrize("factors", [(0.5, 0.5, 0.5), (2, 2, 2), (2, 0.5, 1.4), (0.6, 1.8, 0.7)])
def test_impedance_spectrum(jac, factors):
    """A capacity of 2e-11 F beside a resistance of 1e8 ohm, noise of 1 %."""
    rng = np.random.default_rng(1)
    data = impedance(CELL) * (1 + 0.01 * (rng.normal(size=W.size) + 1j * rng.normal(size=W.size)))

    def residuals(p):
        r = (impedance(p) - data) / np.abs(data) / 0.01
        return np.concatenate([r.real, r.imag])

    options = {"jac": "3-point", "xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
    best = CELL * optimize.least_squares(lambda u: residuals(u * CELL), np.ones(3), **options).x
    result = minimize(lambda p: residuals(p) @ residuals(p), CELL * factors, jac=jac)
    assert result.success
    assert sigmas(residuals, result.x, best) < 1e-3
    assert result.nfev < 400


@pytest.mark.parametrize("jac", DIFFERENCES)
def test_a_level_of_1e15_from_1(jac):
    y = 1e15 * (1 + 1e-3 * np.random.default_rng(0).standard_normal(30))
    result = minimize(lambda x: ((x[0] - y) ** 2).sum(), [1.0], jac=jac)
    assert result.success
    assert abs(result.x[0] - y.mean()) < 1e-3 * 1e12 / 30**0.5


T = np.linspace(0, 4, 30)
COUNTS = 3 * np.exp(-0.7 * T) + 0.02 * np.random.default_rng(0).standard_normal(T.size)


def decay_residuals(p, t=T, y=COUNTS):
    return (p[0] * np.exp(-p[1] * t) - y) / 0.02


SINGLE = {
    "all": lambda p: decay_residuals(p.astype("f4"), T.astype("f4"), COUNTS.astype("f4")),
    "residuals": lambda p: decay_residuals(p).astype("f4"),
}


@pytest.mark.parametrize("jac", DIFFERENCES)
@pytest.mark.parametrize("form", [*SINGLE, "sum"])
def test_objectives_in_float32_under_a_start_in_float64(form, jac):
    def fun(p):
        if form == "sum":
            return np.float32(decay_residuals(p) @ decay_residuals(p))
        r = SINGLE[form](p)
        return float((r * r).sum(dtype="f4"))

    best = optimize.least_squares(decay_residuals, [1.0, 1.0], xtol=1e-15).x
    result = minimize(fun, [1.0, 1.0], jac=jac, maxiter=500)
    assert result.nit > 10
    assert sigmas(decay_residuals, result.x, best) < 0.02


def test_float32_stays_float32():
    best = optimize.least_squares(decay_residuals, [1.0, 1.0], xtol=1e-15).x
    x0 = np.ones(2, np.float32)
    result = minimize(lambda p: decay_residuals(p) @ decay_residuals(p), x0, maxiter=500)
    assert result.x.dtype == result.jac.dtype == np.float32
    assert sigmas(decay_residuals, result.x.astype(float), best) < 0.02


@pytest.mark.parametrize("method", ["RK45", "LSODA"])
def test_an_equation_solved_to_a_thousandth(method):
    def fun(p):
        solution = solve_ivp(
            lambda t, u: -p[1] * u, (0, 4), [p[0]], method=method, t_eval=T, rtol=1e-3
        )
        return float((((solution.y[0] - COUNTS) / 0.02) ** 2).sum())

    best = optimize.least_squares(decay_residuals, [1.0, 1.0], xtol=1e-15).x
    result = minimize(fun, [1.0, 1.0])
    assert result.success
    assert sigmas(decay_residuals, result.x, best) < 0.5  # what a thousandth of the solution makes
    assert result.nfev < 400


def test_the_first_thing_that_is_tried():
    result = minimize(lambda x: ((x - 3) ** 2).sum(), [1.0, 2.0])
    assert result.success
    assert result.nfev < 120
    np.testing.assert_allclose(result.x, 3.0, atol=1e-6)


@pytest.mark.parametrize("jac", DIFFERENCES)
def test_rosenbrock(jac):
    result = minimize(optimize.rosen, [-1.2, 1.0], jac=jac)
    assert result.success
    np.testing.assert_allclose(result.x, 1.0, atol=1e-5)
    assert result.nfev < 4_000


def test_quadratics_whose_minimum_is_0():
    rng = np.random.default_rng(0)
    for _ in range(40):
        n = int(rng.integers(1, 7))
        a, place = rng.standard_normal((n, n)), 3 * rng.standard_normal(n)
        a = a @ a.T + 0.1 * n * np.eye(n)
        result = minimize(lambda x, a=a, c=place: (x - c) @ a @ (x - c), 3 * rng.standard_normal(n))
        assert result.success
        np.testing.assert_allclose(result.x, place, atol=1e-5)


S = np.linspace(0, 1, 20)
EXACT = {
    "line": lambda p: p[0] + p[1] * S,
    "decay": lambda p: p[0] * np.exp(-3 * p[1] * S),
    "Gaussian": lambda p: p[0] * np.exp(-(((4 * S - 2 - p[1]) / p[2]) ** 2) / 2),
}


@pytest.mark.parametrize("name", EXACT)
def test_fits_without_a_residual(name):
    model, rng = EXACT[name], np.random.default_rng(0)
    for _ in range(14):
        true = rng.uniform(0.5, 2, 3 if name == "Gaussian" else 2)
        if name == "line":
            true *= 10.0 ** rng.integers(-3, 4)
        data = model(true)

        def fun(p, data=data):
            r = model(p) - data
            return float(r @ r)

        result = minimize(fun, true * rng.uniform(0.7, 1.4, true.size))
        assert result.success
        np.testing.assert_allclose(result.x, true, rtol=1e-6)


def test_differences_learn_and_repeat():
    """Two runs of the same calls have the same bits."""

    def run():
        values = lambda points: [float(np.exp(p).sum()) for p in points]  # noqa: E731
        own = Differences(values, np.ones(3), None, "differences", Steps())
        g, found = np.empty(3), []
        for k in range(25):
            x = np.ones(3) * (1 - 0.04 * k)
            own.gradient(x, float(np.exp(x).sum()), g)
            found.append(g.tobytes() + own.error.tobytes())
        return found

    assert run() == run()
