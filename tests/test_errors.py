"""Standard errors, covariances and profile intervals: against closed forms and what other programs print."""

import math
import pickle

import numba
import numpy as np
import objectives
import pytest
from scipy.special import gammaln, ndtri

import adamnb
from adamnb import _nist

# ------------------------------------------------------------------------------------ three likelihoods

T = np.arange(16) * 0.3
COUNTS = np.array([118, 86, 67, 57, 40, 36, 21, 25, 17, 13, 15, 9, 14, 8, 12, 7.0])
LEVELS = (np.arange(40) + 0.5) / 40
LIFETIMES = 2.0 * (-np.log(1 - LEVELS)) ** (1 / 1.7)
PEAK = np.concatenate([6 * LEVELS, 3 + 0.4 * ndtri(LEVELS)])


@objectives.cached
def decay(x, counts, t):
    f = 0.0
    for i in range(t.size):
        mean = x[0] * np.exp(-x[1] * t[i]) + x[2]
        f += mean - counts[i] * np.log(mean)
    return f


def weibull(x, times):
    z = times / x[1]
    return -np.sum(np.log(x[0] / x[1]) + (x[0] - 1) * np.log(z) - z ** x[0])


def peak(x, points):
    """A Gaussian on a flat background between 0 and 6: its part, place and width."""
    z = (points - x[1]) / x[2]
    signal = np.exp(-z * z / 2) / (x[2] * math.sqrt(2 * math.pi))
    return -np.sum(np.log(x[0] * signal + (1 - x[0]) / 6))


POSITIVE = (1e-3, None)
# Minimum, errors of HESSE and of MINOS: iminuit 2.33.0, strategy 2, tol 1e-6, errordef 0.5.
MINUIT = {
    "decay": (
        decay.py_func, [100.0, 1.0, 5.0], (COUNTS, T), [POSITIVE] * 3,
        [109.30122102216994, 0.9770213304930706, 7.4206787897161535],
        [7.905907771029018, 0.11493725890525192, 2.0079319147335366],
        [(-7.664643262207112, 8.159192761620032), (-0.11145451224053297, 0.1190110399260705),
         (-2.0771824443841047, 1.9651512900264767)],
    ),
    "weibull": (
        weibull, [1.0, 1.0], (LIFETIMES,), [POSITIVE] * 2,
        [1.729697714902239, 1.9982007645016777],
        [0.21452552911041123, 0.1923848068259068],
        [(-0.20779062132475168, 0.2212069629750766), (-0.18674395323528484, 0.2007794886218091)],
    ),
    "peak": (
        peak, [0.5, 2.5, 0.7], (PEAK,), [(0.0, 1.0), (0.0, 6.0), POSITIVE],
        [0.5038865700270366, 2.9999998475130876, 0.40495452987272856],
        [0.08377531757096283, 0.08393444834426415, 0.07762264135410032],
        [(-0.08436123443247433, 0.08251164485326495), (-0.08466668661917437, 0.08466699162504417),
         (-0.07131791989834485, 0.08641884796560849)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MINUIT)
def test_errors_and_intervals_of_minuit(name):
    fun, x0, args, bounds, x, hesse, minos = MINUIT[name]
    found = adamnb.minimize(
        fun, x0, args, bounds=bounds, errors="likelihood", profile=range(len(x0))
    )
    assert found.covariance_status == 0
    np.testing.assert_allclose((found.x - x) / hesse, 0, atol=1e-4)
    np.testing.assert_allclose(found.stderr, hesse, rtol=1e-4)
    np.testing.assert_allclose(found.intervals - found.x[:, None], minos, rtol=1e-4)
    assert found.intervals_message == "Intervals at 0.6827."


def test_errors_of_minuit_by_machine_code():
    _, x0, args, _, _, hesse, minos = MINUIT["decay"]
    found = adamnb.minimize(decay, x0, args, errors="likelihood", profile=1)
    assert found.gradient == "forward"
    np.testing.assert_allclose(found.stderr, hesse, rtol=1e-4)
    np.testing.assert_allclose(found.intervals[1] - found.x[1], minos[1], rtol=1e-4)
    assert np.isnan(found.intervals[[0, 2]]).all()


@pytest.mark.parametrize("name", MINUIT)
def test_minuit_itself(name):
    iminuit = pytest.importorskip("iminuit")
    fun, x0, args, bounds, _, hesse, minos = MINUIT[name]
    minuit = iminuit.Minuit(lambda x: fun(x, *args), np.array(x0))
    minuit.errordef, minuit.strategy, minuit.tol, minuit.limits = 0.5, 2, 1e-6, bounds
    minuit.migrad()
    minuit.minos()
    ends = [(minuit.merrors[k].lower, minuit.merrors[k].upper) for k in range(len(x0))]
    np.testing.assert_allclose(ends, minos, rtol=1e-4)
    minuit.limits = [(None, None)] * len(x0)
    minuit.hesse()
    np.testing.assert_allclose(minuit.errors, hesse, rtol=1e-3)


def test_other_levels():
    """Of a parabola two standard errors are at 95.45 %."""
    level = math.erf(2**0.5)
    found = adamnb.minimize(lambda x: (x[0] - 3) ** 2, [1.0], errors="chi2", profile=0, level=level)
    np.testing.assert_allclose(found.intervals, [[1.0, 5.0]], rtol=1e-6)


def test_the_profile_of_a_parabola_takes_few_evaluations():
    """The other variables are where they are expected: there is nothing to minimise."""

    def parabola(x):
        f = (x[0] - 1) ** 2 / 0.04 + (x[1] - 2) ** 2 + (x[2] - 2) ** 2 + x[0] * x[1] / 2
        return f, np.array(
            [2 * (x[0] - 1) / 0.04 + x[1] / 2, 2 * (x[1] - 2) + x[0] / 2, 2 * (x[2] - 2)]
        )

    plain = adamnb.minimize(parabola, np.zeros(3), jac=True, errors="chi2")
    found = adamnb.minimize(parabola, np.zeros(3), jac=True, errors="chi2", profile=[0, 1, 2])
    ends = np.stack([found.x - found.stderr, found.x + found.stderr], axis=1)
    np.testing.assert_allclose(found.intervals, ends, rtol=1e-8)
    assert found.nfev - plain.nfev <= 12


def test_a_profile_where_the_function_raises():
    """Where a fit of a profile starts there is no f: its end is before."""

    def walled(x):
        if x[0] > 1.5:
            raise ValueError
        return ((x - 1) ** 2).sum()

    found = adamnb.minimize(walled, [0.0, 0.0], errors="chi2", profile=[0], catch=ValueError)
    np.testing.assert_allclose(found.intervals[0], [0.0, 1.5], atol=0.05)


# ----------------------------------------------------------------------------------------- statsmodels

PEOPLE = np.arange(60)
DESIGN = np.column_stack([np.ones(60), np.sin(PEOPLE), (PEOPLE % 7) / 3 - 1])
CHOICES = ((4 + 2 * np.sin(PEOPLE) + (PEOPLE % 7) / 3) > (PEOPLE * PEOPLE % 11)).astype(float)
EVENTS = ((PEOPLE * PEOPLE * 7) % 13 * ((PEOPLE % 7) + 1) // 6).astype(float)


def logit(beta, design, y):
    linear = design @ beta
    return np.sum(np.logaddexp(0, linear) - y * linear)


def poisson(beta, design, y):
    linear = design @ beta
    return np.sum(np.exp(linear) - y * linear)


def negative_binomial(x, design, y):
    linear, size = design @ x[:-1], 1 / x[-1]
    part = size / (size + np.exp(linear))
    known = gammaln(size + y) - gammaln(size)
    return -np.sum(known + size * np.log(part) + y * np.log(1 - part))


# Parameters and standard errors: statsmodels 0.15.0, Newton's method.
STATSMODELS = {
    "Logit": (
        logit, CHOICES, [0.742516232692765, 0.8334874704454006, 0.33464900180614765],
        [0.29101438595457624, 0.4159195928262298, 0.43487485780452667],
    ),
    "Poisson": (
        poisson, EVENTS, [1.0977151270226895, -0.2671392232146349, 0.7637885562880453],
        [0.07841476743226884, 0.10111127698648603, 0.11304130661511624],
    ),
    "NegativeBinomial": (
        negative_binomial, EVENTS,
        [1.0958540055860382, -0.26641615705461497, 0.780221412839051, 0.07152975239176931],
        [0.08590050692732829, 0.11446248265265403, 0.1289511443546697, 0.07615043459571115],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STATSMODELS)
def test_standard_errors_of_statsmodels(name):
    fun, y, x, errors = STATSMODELS[name]
    x0 = np.zeros(3) if len(x) == 3 else np.array([0.0, 0.0, 0.0, 0.5])
    bounds = None if len(x) == 3 else [(None, None)] * 3 + [(1e-6, None)]
    found = adamnb.minimize(fun, x0, (DESIGN, y), bounds=bounds, errors="likelihood")
    np.testing.assert_allclose(found.x, x, atol=1e-4 * min(errors))
    np.testing.assert_allclose(found.stderr, errors, rtol=1e-4)


@pytest.mark.parametrize("name", STATSMODELS)
def test_statsmodels_itself(name):
    discrete = pytest.importorskip("statsmodels.api")
    _, y, x, errors = STATSMODELS[name]
    model = getattr(discrete, name)(y, DESIGN)
    fit = model.fit(start_params=np.array(x), method="newton", disp=0)
    np.testing.assert_allclose(fit.bse, errors, rtol=1e-6)


# ---------------------------------------------------------------------------------------- closed forms

SIZES = np.array([1.0, 1e8, 1e-11])  # of the parameters of a parabola, side by side


def regression():
    """Return the design of a parabola, data with a sigma of 0.1, and the inverse of the normal matrix."""
    u = np.linspace(0, 1, 50)
    design = np.column_stack([np.ones(50), u, u * u]) / SIZES
    y = design @ (SIZES * [1, 2, 3]) + np.random.default_rng(0).normal(0, 0.1, 50)
    scaled = design * SIZES
    return design, y, np.linalg.inv(scaled.T @ scaled) * np.outer(SIZES, SIZES)


def squares(x, design, y):
    r = design @ x - y
    return r @ r


@pytest.mark.parametrize("jac", [None, "3-point", "cs", lambda x, a, y: 2 * a.T @ (a @ x - y)])
@pytest.mark.parametrize("convention", ["likelihood", "chi2", "least_squares"])
def test_linear_regression(jac, convention):
    design, y, inverse = regression()
    factor = {"likelihood": 0.5, "chi2": 1.0, "least_squares": 1.0}[convention]
    n_data = 50 if convention == "least_squares" else None
    found = adamnb.minimize(
        squares, SIZES / 2, (design, y), jac=jac, errors=convention, n_data=n_data
    )
    if n_data:
        factor = found.fun / 47
    np.testing.assert_allclose(found.covariance, factor * inverse, rtol=1e-7)
    np.testing.assert_allclose(found.stderr, np.sqrt(factor * inverse.diagonal()), rtol=1e-7)
    error = np.sqrt(inverse.diagonal())
    np.testing.assert_allclose(found.correlation, inverse / np.outer(error, error), rtol=1e-6)
    assert not found.at_bound.any()


def test_float32():
    design, y, inverse = regression()
    start = (SIZES / 2).astype(np.float32)
    found = adamnb.minimize(squares, start, (design, y), errors="chi2")
    assert found.x.dtype == np.float32
    assert found.covariance.dtype == np.float64
    np.testing.assert_allclose(found.stderr, np.sqrt(inverse.diagonal()), rtol=1e-2)
    found = adamnb.minimize(
        squares, start, (design, y), jac=lambda x, a, y: 2 * a.T @ (a @ x - y), errors="chi2"
    )
    np.testing.assert_allclose(found.stderr, np.sqrt(inverse.diagonal()), rtol=1e-3)


@pytest.mark.parametrize("name", _nist.DATASETS)
def test_certified_regressions(name):
    """Certified deviations are those of J'J, the exact Hessian's differ from them by a few per cent."""
    data = _nist.load(name)
    h = adamnb.hessian(data.fun)(data.certified, data.x, data.y)
    root = np.sqrt(h.diagonal())
    inverse = np.linalg.inv(h / np.outer(root, root)) / np.outer(root, root)
    count = len(data.y)
    expected = np.sqrt(2 * data.residual_sum / (count - root.size) * inverse.diagonal())
    found = adamnb.minimize(
        data.fun, data.starts[1], (data.x, data.y), errors="least_squares", n_data=count
    )
    np.testing.assert_allclose(found.stderr, expected, rtol=1e-4)
    np.testing.assert_allclose(found.stderr, data.deviations, rtol=0.03)
    if name != "Lanczos3":  # which f alone does not determine
        found = adamnb.minimize(
            data.fun.py_func, data.starts[1], (data.x, data.y), errors="least_squares", n_data=count
        )
        np.testing.assert_allclose(found.stderr, expected, rtol=1e-4)


def curve(x, t, y):
    r = x[0] * np.exp(-x[1] * t) + x[2] - y
    return r @ r


@pytest.mark.parametrize(("noise", "rtol"), [(1e-10, 1e-4), (1e-8, 5e-4), (1e-7, 1e-3)])
def test_noise_of_f(noise, rtol):
    """Steps are as long as the noise, a part of f here, asks for."""
    t = np.linspace(0, 5, 200)
    y = 3 * np.exp(-0.7 * t) + 1 + np.random.default_rng(0).normal(0, 0.05, 200)
    rng = np.random.default_rng(1)

    def noisy(x, t, y):
        return curve(x, t, y) * (1 + noise * rng.uniform(-1, 1))

    exact, found = (
        adamnb.minimize(fun, [1.0, 1.0, 1.0], (t, y), errors="least_squares", n_data=200)
        for fun in (curve, noisy)
    )
    np.testing.assert_allclose(found.stderr, exact.stderr, rtol=rtol)


def test_data_that_are_matched_exactly():
    t = np.linspace(0, 5, 200)
    found = adamnb.minimize(
        curve, [1.0, 1.0, 1.0], (t, 3 * np.exp(-0.7 * t) + 1), errors="least_squares", n_data=200
    )
    assert found.covariance_status == 0
    assert (found.stderr < 1e-12).all()


# ------------------------------------------------------------------------------------ where there are none


def none(found, status, *texts):
    assert found.covariance_status == status
    assert np.isnan(found.stderr).all()
    assert np.isnan(found.covariance).all()
    for text in texts:
        assert text in found.covariance_message


def slopes(fun):
    """Return a gradient by differences that are as good as exact."""
    return lambda x: np.array([(fun(x + 1e-20j * e)).imag / 1e-20 for e in np.eye(x.size)])


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    "fun",
    [
        lambda x: (x[0] + x[1] - 3) ** 2 + (x[2] - 1) ** 2,
        lambda x: 1e6 * (x[0] * x[1] - 3) ** 2 + (x[2] - 1) ** 2,
    ],
)
def test_what_is_not_determined_is_named(fun, exact):
    found = adamnb.minimize(fun, [1.0, 1.0, 0.0], jac=slopes(fun) if exact else None, errors="chi2")
    assert found.success
    none(found, 3, "f does not change along x[0] - x[1]", "Fix one")


@pytest.mark.parametrize("exact", [True, False])
def test_a_saddle_has_no_errors(exact):
    def fun(x):
        return x[0] ** 2 - x[1] ** 2 + x[1] ** 4

    jac = slopes(fun) if exact else None
    found = adamnb.minimize(fun, [1.0, 0.0], jac=jac, errors="likelihood", verify=0)
    none(found, 2, "not positive definite", "along x[1]")


def test_what_is_not_finite_or_noisy_has_none():
    def spike(x):
        return x[0] ** 2 if abs(x[0]) < 1e-14 else math.inf

    found = adamnb.minimize(spike, [0.0], jac=lambda x: 2 * x, errors="chi2", verify=0)
    none(found, 4, "not finite beside x")
    rng = np.random.default_rng(0)
    found = adamnb.minimize(
        lambda x: x @ x, [1e-9, 0.0], jac=lambda x: 2 * x + rng.normal(size=2), errors="chi2",
        verify=0, maxiter=3,
    )  # fmt: skip
    assert np.isnan(found.stderr).all()


def test_bad_starts_and_fixed_variables():
    found = adamnb.minimize(lambda x: math.nan, [1.0], errors="chi2")
    none(found, 7, "there is no fit")
    found = adamnb.minimize(lambda x: x @ x, [1.0], bounds=[(1, 1)], errors="chi2")
    none(found, 6, "every variable is at a bound")


def valley(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def test_a_fit_that_ended_early_is_finished_by_newton():
    whole = adamnb.minimize(valley, [-1.0, 1.0], errors="chi2")
    early = adamnb.minimize(valley, [0.9, 0.8], errors="chi2", maxiter=5)
    assert not early.success
    assert early.covariance_status == 0
    assert "Newton's steps moved x" in early.covariance_message
    np.testing.assert_allclose(early.x, whole.x, rtol=1e-4)
    np.testing.assert_allclose(early.stderr, whole.stderr, rtol=2e-3)
    without = adamnb.minimize(valley, [0.9, 0.8], maxiter=5)  # which is what a run goes on from
    np.testing.assert_array_equal(early.state["x_best"], without.x)


def test_far_from_the_minimum_there_are_none():
    found = adamnb.minimize(
        lambda x: np.log1p(np.exp(-30 * x[0])) + 1e-6 * x[0] ** 2, [-3.0], errors="likelihood", maxiter=0
    )  # fmt: skip
    assert np.isnan(found.stderr).all()
    assert found.covariance_status != 0


# ---------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("exact", [True, False])
def test_at_a_bound(exact):
    """The others are as if it were fixed."""

    def fun(x):
        return (x[0] + 0.5 * x[1]) ** 2 + (x[1] - 2) ** 2 + x[0]

    found = adamnb.minimize(
        fun, [1.0, 1.0], jac=slopes(fun) if exact else None, bounds=[(0, None), (None, None)],
        errors="chi2", profile=[0, 1],
    )  # fmt: skip
    np.testing.assert_array_equal(found.at_bound, [True, False])
    np.testing.assert_allclose(found.stderr, [np.nan, 1.25**-0.5], rtol=1e-6)
    assert np.isnan(found.covariance[0]).all()
    assert np.isnan(found.covariance[:, 0]).all()
    assert "At a bound, and without an error: x[0]" in found.covariance_message
    assert "The interval of x[0] ends at its bound below" in found.intervals_message
    assert found.intervals[0, 0] == 0
    # The profile over x[1] is 0.8 x0^2 + 2.6 x0 with x1 = 1.6 - 0.4 x0; it rises by 1.
    np.testing.assert_allclose(
        found.intervals[0, 1], (np.sqrt(2.6**2 + 3.2) - 2.6) / 1.6, rtol=1e-4
    )


@pytest.mark.parametrize("distance", [1e-9, 1e-3])
def test_near_a_bound_no_point_is_beyond(distance):
    seen = []

    def fun(x):
        seen.append(x.copy())
        return (x[0] - distance) ** 2 + (x[1] - 1 - x[0]) ** 2

    found = adamnb.minimize(fun, [1.0, 1.0], bounds=[(0, None), (0, 5)], errors="chi2")
    assert np.min(seen) >= 0
    np.testing.assert_allclose(found.covariance, [[1, 1], [1, 2]], rtol=1e-6)


# ----------------------------------------------------------------------------------------- what is said


def test_intervals_without_end_and_lower_minima():
    found = adamnb.minimize(
        lambda x: 0.3 * x[0] ** 2 / (1 + x[0] ** 2), [0.1], errors="likelihood", profile=0
    )
    assert "no end below" in found.intervals_message
    assert "no end above" in found.intervals_message
    np.testing.assert_array_equal(found.intervals, [[-np.inf, np.inf]])

    def two(x):
        return 0.2 * (x[0] ** 2 - 1) ** 2 + 0.1 * x[0]

    found = adamnb.minimize(two, [0.9], errors="likelihood", profile=0)
    assert "there is a lower one, f = -0.1" in found.intervals_message
    assert np.isnan(found.intervals).all()
    found = adamnb.minimize(lambda x: np.nan, [1.0], errors="chi2", profile=0)
    assert found.intervals_message == "No intervals: there is no fit, or it leaves no residuals."
    assert np.isnan(found.intervals).all()


def test_the_table():
    design, y, _ = regression()
    found = adamnb.minimize(squares, SIZES / 2, (design, y / 0.1**0.5), errors="chi2", profile=[1])
    lines = repr(found).splitlines()
    assert len(lines) > 3
    for i in range(3):
        assert lines[i].startswith(f"x[{i}] =")
        assert " +- " in lines[i]
    assert " to " in lines[1]
    assert f"{found.correlation[2, 1]:.3f}" in lines[2]
    assert repr(adamnb.minimize(squares, SIZES / 2, (design, y))).lstrip().startswith("message")
    pickle.loads(pickle.dumps(found))


# ------------------------------------------------------------------------------------------------ batch


def test_a_batch_has_the_bits_of_each_fit_alone():
    y, w, t = objectives.decays()
    both = adamnb.minimize_batch(
        objectives.misfit, objectives.starts(), (t,), (y, w), errors="chi2"
    )
    assert (both.covariance_status == 0).all()
    for b in (0, 7, 22):
        alone = adamnb.minimize(
            objectives.misfit, objectives.starts()[b], (y[b], w[b], t), errors="chi2", verify=0
        )
        for name in ("x", "stderr", "covariance", "correlation", "at_bound", "nfev", "njev"):
            np.testing.assert_array_equal(both[b][name], alone[name])
    assert both.covariance_message == {0: f"standard errors found: {objectives.B}"}
    assert "errors  0: standard errors found: 23" in repr(both)


def test_differences_in_machine_code_and_python_functions():
    y, w, t = objectives.decays()
    exact = adamnb.minimize_batch(
        objectives.misfit, objectives.starts(), (t,), (y, w), errors="chi2"
    )
    for fun, rtol in ((objectives.underivable, 1e-4), (objectives.python_fun, 1e-4)):
        found = adamnb.minimize_batch(fun, objectives.starts(), (t,), (y, w), errors="chi2")
        np.testing.assert_allclose(found.stderr, exact.stderr, rtol=rtol)


def test_residuals_of_unknown_sigma():
    y, w, t = objectives.decays()
    rest = adamnb.minimize_batch(
        objectives.misfit, objectives.starts(), (t,), (y, w), errors="chi2"
    )
    counts = np.arange(objectives.B) + 5
    found = adamnb.minimize_batch(
        objectives.misfit, objectives.starts(), (t,), (y, w), errors="least_squares", n_data=counts
    )
    factor = np.sqrt(found.fun / (counts - 2))[:, None]
    np.testing.assert_allclose(found.stderr, factor * rest.stderr, rtol=1e-6)


def test_rows_without_errors():
    y, w, t = objectives.decays(4)
    y[1], w[2] = np.nan, 0.0
    found = adamnb.minimize_batch(objectives.misfit, [1.0, 1.0], (t,), (y, w), errors="chi2")
    assert found.covariance_status[1] == 7
    assert found.covariance_status[2] in (3, 5)
    assert np.isnan(found.stderr[1:3]).all()
    assert np.isfinite(found.stderr[[0, 3]]).all()
    assert found[2].covariance_message in ("parameters not determined", "Hessian lost in noise")


def test_coverage():
    """68 % and 95 % intervals cover the truth in so many of 10,000 simulated decays."""
    truth, t = np.array([200.0, 1.0, 20.0]), np.linspace(0, 4, 16)
    mean = truth[0] * np.exp(-truth[1] * t) + truth[2]
    counts = np.random.default_rng(4).poisson(mean, (10_000, 16)).astype(float)
    found = adamnb.minimize_batch(decay, truth, (t,), (counts,), errors="likelihood")
    assert (found.covariance_status == 0).mean() > 0.999
    off = np.abs(found.x - truth) / found.stderr
    for level in (0.6827, 0.95):
        covered = (off < ndtri((1 + level) / 2)).mean(axis=0)
        np.testing.assert_allclose(covered, level, atol=0.015)


def test_the_table_of_a_batch():
    y, w, t = objectives.decays(6)
    found = adamnb.minimize_batch(objectives.misfit, [1.0, 1.0], (t,), (y, w), errors="chi2")
    names = [
        "x0",
        "x1",
        "stderr_x0",
        "stderr_x1",
        "fun",
        "status",
        "success",
        "nit",
        "nfev",
        "message",
    ]
    assert list(found.columns) == names
    assert all(column.shape == (6,) for column in found.columns.values())
    np.testing.assert_array_equal(found.columns["stderr_x1"], found.stderr[:, 1])
    assert found.columns["message"][3] == found.reason[3] == found[3].message
    maps = found.maps(2, 3)
    assert maps["x1"].shape == (2, 3)
    assert maps["x1"][1, 2] == found.x[5, 1]
    np.testing.assert_array_equal(found.maps((2, 3))["x1"], maps["x1"])
    assert isinstance(found[-1], adamnb._run.result.Result)
    np.testing.assert_array_equal(found[-1].x, found.x[5])
    assert found[np.int64(2)].fun == found["fun"][2]
    with pytest.raises(IndexError, match="below 6; got 6"):
        found[6]
    for key in (slice(1, 3), [1, 2], np.ones(6, bool), True, (0, 1), 1.0, None):
        with pytest.raises(
            TypeError, match=r"by the number of one problem; got .*result\.x\[\.\.\.\]"
        ):
            found[key]
    plain = adamnb.minimize_batch(objectives.misfit, [1.0, 1.0], (t,), (y, w))
    assert list(plain.columns) == names[:2] + names[4:]
    assert "stderr" not in plain[0]
    pandas = pytest.importorskip("pandas")
    assert pandas.DataFrame(found.columns).shape == (6, 10)


def test_a_table_of_variables_that_are_called_as_its_other_columns():
    def parabola(p, y):
        return (p["fun"] - y) ** 2 + (p["stderr_a"] - 2) ** 2 + (p["a"] - 3) ** 2

    start = {"fun": 0.0, "stderr_a": 0.0, "a": 0.0}
    found = adamnb.minimize_batch(parabola, start, data=(np.array([5.0, 6.0]),), errors="chi2")
    columns = found.columns
    assert len(columns) == 6 + 6
    np.testing.assert_allclose(columns["x.fun"], [5, 6], atol=1e-6)
    np.testing.assert_allclose(columns["x.stderr_a"], 2, atol=1e-6)
    np.testing.assert_allclose(columns["a"], 3, atol=1e-6)
    np.testing.assert_allclose(columns["stderr_a"], 1, rtol=1e-6)
    np.testing.assert_array_equal(columns["fun"], found.fun)


# -------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"errors": "hesse"}, ValueError, "`errors` must be None or one of 'likelihood', 'chi2'"),
        ({"errors": True}, ValueError, "`errors` must be"),
        ({"errors": "least_squares"}, ValueError, "needs `n_data`"),
        ({"errors": "least_squares", "n_data": 2}, ValueError, "larger than the number of variables, 2"),
        ({"errors": "least_squares", "n_data": 2.5}, ValueError, "`n_data` must be a whole number"),
        ({"errors": "least_squares", "n_data": [9, 9]}, ValueError, "`n_data` must be one number"),
        ({"errors": "chi2", "n_data": 9}, ValueError, "leave it out"),
        ({"n_data": 9}, ValueError, "`n_data` needs `errors`"),
        ({"profile": [0]}, ValueError, "`profile` needs `errors`"),
        ({"errors": "chi2", "profile": 2}, ValueError, "variables from 0 to 1; got 2"),
        ({"errors": "chi2", "profile": "a"}, TypeError, "`profile` must be the number"),
        ({"errors": "chi2", "level": 1.0}, ValueError, "`level` must satisfy 0 < level < 1; got 1.0"),
        ({"uncertainty": "chi2"}, TypeError, "Did you mean `errors`?"),
    ],
)  # fmt: skip
def test_bad_options(options, kind, text):
    def fun(x):
        raise AssertionError("fun was called before the options were checked")

    with pytest.raises(kind) as caught:
        adamnb.minimize(fun, [1.0, 1.0], **options)
    assert text in str(caught.value)


def test_bad_options_of_a_batch():
    def fun(x):
        raise AssertionError("fun was called before the options were checked")

    with pytest.raises(ValueError, match="`profile` is for a single problem"):
        adamnb.minimize_batch(fun, np.ones((3, 2)), errors="chi2", profile=0)
    with pytest.raises(ValueError, match=r"shape \(3,\); got shape \(2,\)"):
        adamnb.minimize_batch(fun, np.ones((3, 2)), errors="least_squares", n_data=[9, 9])


def test_numba_functions_that_raise_beside_the_minimum():
    @numba.njit
    def fun(x, g, y, w, t):
        g[0] = 2 * (x[0] - 1)
        return 1 / (x[0] == 1) - 1

    y, w, t = objectives.decays(2)
    found = adamnb.minimize_batch(fun, np.ones((2, 1)), (t,), (y, w), jac="inplace", errors="chi2")
    assert found.success.all()
    np.testing.assert_array_equal(found.covariance_status, 4)
    assert np.isnan(found.stderr).all()


def named_chi2(p):
    return ((p["height"] * np.exp(-p["rate"] * T) - NAMED_DATA) ** 2).sum() / 0.05**2


T = np.linspace(0, 4, 30)
NAMED_DATA = 3 * np.exp(-0.7 * T) + 0.05 * np.random.default_rng(1).normal(size=30)


def test_parameters_with_names():
    """They are the names of the table, of profiles and of messages."""
    start = {"height": 1.0, "rate": 1.0}
    fit = adamnb.minimize(named_chi2, start, errors="chi2", profile=["rate"])
    flat = adamnb.minimize(
        lambda x: named_chi2({"height": x[0], "rate": x[1]}), [1.0, 1.0], errors="chi2", profile=1
    )
    assert fit.stderr.tobytes() == flat.stderr.tobytes()
    np.testing.assert_array_equal(fit.intervals, flat.intervals)
    first, second = fit.table().splitlines()
    assert first.split()[0] == "height"
    assert second.split()[0] == "rate"
    with pytest.raises(ValueError, match=r"`profile` must name.*'rat'.*Did you mean 'rate'"):
        adamnb.minimize(named_chi2, start, errors="chi2", profile="rat")
    sum_only = adamnb.minimize(
        lambda p: (p["a"] + p["b"] - 1) ** 2, {"a": 0.0, "b": 0.0}, errors="chi2"
    )
    assert "a - b" in sum_only.covariance_message
