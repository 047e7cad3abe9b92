"""`curve_fit`: against SciPy, certified values, simulations, and itself."""

import pickle
import warnings

import numba
import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import OptimizeWarning, curve_fit, least_squares, minimize

import adamnb
from adamnb import _nist

rng = np.random.default_rng(3)
T = np.linspace(0, 4, 20)


@numba.njit(cache=True)
def decay(t, a, k, c):
    return a * np.exp(-k * t) + c


@numba.njit(cache=True)
def spot(grid, a, x, y, w, b):
    return a * np.exp(-0.5 * ((grid[0] - x) ** 2 + (grid[1] - y) ** 2) / w**2) + b


@numba.njit
def summed(t, a, k):
    return np.cumsum(a * np.exp(-k * t))


@numba.njit
def relative(t, a, k):
    """The same as one point alone where a is 0."""
    return a * np.exp(-k * t / np.max(t))


@numba.njit
def stepped(t, a, b, c):
    """A function of one number: arrays have no truth value."""
    return a if t < c else b * t


@numba.njit
def spectral(t, a, k):
    """No rule for it: differences."""
    return a * np.linalg.svd(np.diag(t + k))[1]


def decays(count, sigma=0.02, seed=5):
    random = np.random.default_rng(seed)
    truth = np.stack([random.uniform(*r, count) for r in ((1, 5), (0.5, 2), (0, 1))], axis=1)
    a, k, c = truth.T[:, :, None]
    return truth, a * np.exp(-k * T) + c + sigma * random.standard_normal((count, T.size))


TRUTH, CURVES = decays(40)


def bits(*results):
    return [np.asarray(part).tobytes() for fit in results for part in (*fit, fit.cost, fit.nfev)]


# -------------------------------------------------------------------------------------- certified values


def gauss(x, a, b, c, d, e, f, g, h):
    peaks = c * np.exp(-(((x - d) / e) ** 2)) + f * np.exp(-(((x - g) / h) ** 2))
    return a * np.exp(-b * x) + peaks


def lanczos(x, a, b, c, d, e, f):
    return a * np.exp(-b * x) + c * np.exp(-d * x) + e * np.exp(-f * x)


def chwirut(x, a, b, c):
    return np.exp(-a * x) / (b + c * x)


NIST = {
    "Misra1a": lambda x, a, b: a * (1 - np.exp(-b * x)),
    "Misra1b": lambda x, a, b: a * (1 - (1 + b * x / 2) ** -2),
    "DanWood": lambda x, a, b: a * x**b,
    "Chwirut1": chwirut,
    "Chwirut2": chwirut,
    "Gauss1": gauss,
    "Gauss2": gauss,
    "Lanczos3": lanczos,
}
COMPILED = {model: numba.njit(model) for model in NIST.values()}


@pytest.mark.parametrize("name", _nist.DATASETS)
def test_certified_parameters_and_standard_deviations(name):
    """To 6 and 4 digits, from both of NIST's starts."""
    data = _nist.load(name)
    for start in data.starts:
        fit = adamnb.curve_fit(COMPILED[NIST[name]], data.x, data.y, start)
        assert fit.compiled
        assert fit.gradient == "forward"
        assert _nist.correct_digits(fit.popt, data.certified) >= 6
        assert _nist.correct_digits(fit.perr, data.deviations) >= 4
        assert 2 * fit.cost == pytest.approx(data.residual_sum, rel=1e-9)


@pytest.mark.parametrize("name", [name for name in NIST if name != "Lanczos3"])
def test_certified_values_by_differences(name):
    data = _nist.load(name)
    for start in data.starts:
        fit = adamnb.curve_fit(NIST[name], data.x, data.y, start)
        assert not fit.compiled
        assert fit.gradient == "differences"
        assert _nist.correct_digits(fit.popt, data.certified) >= 6
        assert _nist.correct_digits(fit.perr, data.deviations) >= 4


# -------------------------------------------------------------------------------------- SciPy's curve_fit

X = np.linspace(0.3, 5, 30)
MODELS = {  # with true parameters
    "line": (lambda x, a, b: a * x + b, (2, 1)),
    "parabola": (lambda x, a, b, c: a * x**2 + b * x + c, (1, -2, 0.5)),
    "exponential": (lambda x, a, k: a * np.exp(-k * x), (3, 0.7)),
    "decay": (lambda x, a, k, c: a * np.exp(-k * x) + c, (3, 0.7, 0.5)),
    "two decays": (
        lambda x, a, k, b, q: a * np.exp(-k * x) + b * np.exp(-q * x),
        (3, 0.4, 2, 2.5),
    ),
    "gaussian": (lambda x, a, m, s: a * np.exp(-0.5 * ((x - m) / s) ** 2), (2, 2.5, 0.8)),
    "lorentzian": (lambda x, a, m, w: a / (1 + ((x - m) / w) ** 2), (2, 2.5, 0.8)),
    "power": (lambda x, a, p: a * x**p, (1.5, 1.3)),
    "logarithm": (lambda x, a, b: a * np.log(x + b), (2, 1)),
    "logistic": (lambda x, a, k, m: a / (1 + np.exp(-k * (x - m))), (4, 1.5, 2.5)),
    "gompertz": (lambda x, a, b, c: a * np.exp(-b * np.exp(-c * x)), (3, 4, 1.1)),
    "michaelis": (lambda x, v, k: v * x / (k + x), (5, 1.5)),
    "hill": (lambda x, v, k, h: v * x**h / (k**h + x**h), (5, 2, 2.2)),
    "sine": (lambda x, a, w, p: a * np.sin(w * x + p), (2, 1.4, 0.3)),
    "damped sine": (lambda x, a, k, w, p: a * np.exp(-k * x) * np.sin(w * x + p), (3, 0.3, 2, 0.4)),
    "rational": (lambda x, a, b, c: (a + b * x) / (1 + c * x), (1, 2, 0.5)),
    "weibull": (lambda x, a, s, k: a * (1 - np.exp(-((x / s) ** k))), (3, 2, 1.6)),
    "root": (lambda x, a, b: a * np.sqrt(x**2 + b**2), (1.2, 1.5)),
    "tanh": (lambda x, a, b, c: a * np.tanh(b * x) + c, (2, 0.9, 0.5)),
    "peak on a line": (
        lambda x, a, m, s, b, c: a * np.exp(-0.5 * ((x - m) / s) ** 2) + b * x + c,
        (3, 2.4, 0.5, 0.4, 1),
    ),
}
SPREAD = 0.02 + 0.01 * X
CORRELATED = np.outer(SPREAD, SPREAD) * np.exp(-np.abs(X[:, None] - X) / 0.3)
SIGMAS = {"none": None, "number": 0.03, "each": SPREAD, "covariance": CORRELATED}


def exact_jacobian(f):
    def jac(x, *p):
        moved = np.array(p, complex)[:, None] + 1e-30j * np.eye(len(p))
        return np.stack([np.imag(f(x, *moved[:, j])) / 1e-30 for j in range(len(p))], axis=1)

    return jac


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_covariance_of_scipy(name, absolute):
    f, truth = MODELS[name]
    y = f(X, *truth) + 0.03 * np.random.default_rng(1).standard_normal(X.size)
    start = 0.9 * np.array(truth) + 0.05
    for sigma in SIGMAS.values():
        tight = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
        jac = exact_jacobian(f)
        each = np.full(X.size, sigma) if np.ndim(sigma) == 0 and sigma else sigma
        popt, pcov = curve_fit(f, X, y, start, each, absolute, jac=jac, maxfev=10000, **tight)
        for own in (None, jac):
            fit = adamnb.curve_fit(f, X, y, start, sigma, absolute, jac=own)
            np.testing.assert_allclose(fit.popt, popt, rtol=1e-6)
            scale = np.sqrt(np.outer(np.diag(pcov), np.diag(pcov)))
            np.testing.assert_allclose(fit.pcov / scale, pcov / scale, rtol=0, atol=1e-6)
            np.testing.assert_allclose(fit.perr, np.sqrt(np.diag(pcov)), rtol=1e-6)


suite = pytest.importorskip("scipy.optimize.tests.test_minpack").TestCurveFit
# Its reference carries the errors of SciPy's differences: it is 1.6e-6 from the exact covariance, and the
# test asks for 2e-7.
OF_SCIPY = [name for name in vars(suite) if name.startswith("test_") and name != "test_gh4555b"]


class TestOfScipy(suite):
    """SciPy's own tests of its `curve_fit`, run with ours."""

    test_gh4555b = None

    @pytest.fixture(autouse=True)
    def ours(self, monkeypatch):
        monkeypatch.setattr("scipy.optimize.tests.test_minpack.curve_fit", adamnb.curve_fit)
        monkeypatch.setattr(scipy.optimize, "curve_fit", adamnb.curve_fit)


def test_the_tests_of_scipy_are_all_run():
    assert len(OF_SCIPY) > 25
    assert all(callable(getattr(TestOfScipy, name)) for name in OF_SCIPY)


# -------------------------------------------------------------------------------------- forms of the model


def test_a_model_is_called_point_by_point_where_that_gives_the_same():
    """Its machine code has the bits of the whole array, here."""
    fit = adamnb.curve_fit(decay, T, CURVES[0])
    again = adamnb.curve_fit(lambda t, a, k, c: decay(t, a, k, c), T, CURVES[0])
    np.testing.assert_allclose(fit.popt, again.popt, rtol=1e-7)
    np.testing.assert_allclose(fit.pcov, again.pcov, rtol=1e-6)
    assert fit.compiled
    assert not again.compiled


@pytest.mark.parametrize(
    ("model", "gradient"), [(summed, "forward"), (relative, "forward"), (spectral, "3-point")]
)
@pytest.mark.parametrize("start", [(1.0, 1.0), (0.0, 1.0)])
def test_a_model_of_the_whole_array(model, gradient, start):
    y = model(T, 2.0, 0.7) + 0.01 * np.random.default_rng(2).standard_normal(T.size)
    if start[0] == 0:  # its values are 0 there, point by point as well
        fit = adamnb.curve_fit(model, T, y, start, max_nfev=500)
    else:
        fit = adamnb.curve_fit(model, T, y, start)
    popt, pcov = curve_fit(model.py_func, T, y, (1.0, 1.0), ftol=1e-14, xtol=1e-14)
    assert fit.compiled
    assert fit.gradient == gradient
    np.testing.assert_allclose(fit.popt, popt, rtol=1e-5)
    np.testing.assert_allclose(fit.pcov, pcov, rtol=1e-4)


def test_a_model_of_one_number():
    y = np.where(T < 2.0, 1.5, 0.5 * T)
    fit = adamnb.curve_fit(stepped, T, y, (1.0, 1.0, 2.0), bounds=([0, 0, 2.0], [9, 9, 2.0]))
    np.testing.assert_allclose(fit.popt, [1.5, 0.5, 2.0], rtol=1e-12)
    assert fit.compiled


def test_several_predictors():
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0))).reshape(2, 25)
    truth = 3.0, 2.1, 1.8, 1.1, 0.4
    y = spot(grid, *truth) + 0.02 * np.random.default_rng(4).standard_normal(25)
    fit = adamnb.curve_fit(spot, grid, y, (2, 2, 2, 1, 0))
    popt, pcov = curve_fit(spot.py_func, grid, y, (2, 2, 2, 1, 0), ftol=1e-14, xtol=1e-14)
    assert fit.compiled
    np.testing.assert_allclose(fit.popt, popt, rtol=1e-6)
    np.testing.assert_allclose(fit.pcov, pcov, rtol=1e-5, atol=1e-9)


def test_a_numba_jacobian():
    @numba.njit
    def jac(t, a, k, c):
        rows = np.ones((t.size, 3))
        rows[:, 0] = np.exp(-k * t)
        rows[:, 1] = -a * t * rows[:, 0]
        return rows

    fit = adamnb.curve_fit(decay, T, CURVES[0], jac=jac)
    assert fit.compiled
    assert fit.gradient == "jac"
    np.testing.assert_allclose(fit.popt, adamnb.curve_fit(decay, T, CURVES[0]).popt, rtol=1e-8)


@pytest.mark.parametrize("scheme", ["2-point", "3-point", "cs"])
def test_differences(scheme):
    fit = adamnb.curve_fit(decay.py_func, T, CURVES[0], jac=scheme)
    assert fit.gradient == scheme
    exact = adamnb.curve_fit(decay, T, CURVES[0])
    np.testing.assert_allclose(fit.popt, exact.popt, rtol=1e-6)
    np.testing.assert_allclose(fit.pcov, exact.pcov, rtol=1e-4)


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("jac", [None, "3-point"])
def test_differences_of_a_level_curve(jac, offset):
    """All values are one: their spread, which is rounding, says nothing of the length of a step."""
    y = CURVES[0] + offset
    error = y.std(ddof=1) / np.sqrt(y.size)
    for model, slope in ((lambda t, a: a, 1), (lambda t, a: 2 * a - 10 + 0 * t, 2)):
        fit = adamnb.curve_fit(model, T, y, jac=jac)
        np.testing.assert_allclose(fit.perr, error / slope, rtol=1e-6)


def test_any_number_of_parameters():
    @numba.njit
    def polynomial(x, *p):
        total = 0.0
        for c in p:
            total = total * x + c
        return total

    truth = np.arange(1.0, 11.0)
    x = np.linspace(-1, 1, 40)
    fit = adamnb.curve_fit(polynomial, x, np.polyval(truth, x), np.zeros(10))
    np.testing.assert_allclose(fit.popt, truth, rtol=1e-8)
    with pytest.raises(ValueError, match="number of fit parameters"):
        adamnb.curve_fit(polynomial, x, np.polyval(truth, x))


# -------------------------------------------------------------------------------------- many curves


def test_a_row_has_the_bits_of_the_single_fit():
    fits = adamnb.curve_fit(decay, T, CURVES, threads=1)
    assert fits.popt.shape == (40, 3)
    assert fits.pcov.shape == (40, 3, 3)
    assert fits.success.all()
    for b in (0, 17, 39):
        one = adamnb.curve_fit(decay, T, CURVES[b])
        assert one.popt.tobytes() == fits.popt[b].tobytes()
        assert one.pcov.tobytes() == fits.pcov[b].tobytes()
        assert (one.cost, one.nfev, one.njev) == (fits.cost[b], fits.nfev[b], fits.njev[b])


def test_threads_change_no_bit():
    _, curves = decays(600)
    one, two = (adamnb.curve_fit(decay, T, curves, threads=n) for n in (1, 2))
    assert bits(one) == bits(two)


def test_python_models_row_by_row():
    fits = adamnb.curve_fit(decay.py_func, T, CURVES[:5])
    exact = adamnb.curve_fit(decay, T, CURVES[:5])
    assert not fits.compiled
    np.testing.assert_allclose(fits.popt, exact.popt, rtol=1e-6)
    one = adamnb.curve_fit(decay.py_func, T, CURVES[3])
    assert one.popt.tobytes() == fits.popt[3].tobytes()


def test_maps_come_back_in_the_shape_of_the_data():
    image = CURVES.reshape(5, 8, T.size)
    starts = np.ones((5, 8, 3))
    sigma = np.full(image.shape, 0.02)
    fits = adamnb.curve_fit(decay, T, image, starts, sigma, absolute_sigma=True)
    assert fits.popt.shape == fits.perr.shape == (5, 8, 3)
    assert fits.pcov.shape == (5, 8, 3, 3)
    assert fits.status.shape == fits.cost.shape == (5, 8)
    flat = adamnb.curve_fit(decay, T, CURVES, sigma=0.02, absolute_sigma=True)
    assert bits(flat) == bits(fits)


def test_what_goes_wrong_in_a_row_stays_there():
    curves, starts = CURVES[:6].copy(), np.ones((6, 3))
    curves[1, 4], curves[2] = np.nan, np.nan
    starts[3] = np.nan
    fits = adamnb.curve_fit(decay, T, curves, starts, max_nfev=100)
    assert fits.status.tolist() == [0, 3, 3, 3, 0, 0]
    assert np.isnan(fits.popt[[1, 2, 3]]).all()
    assert np.isnan(fits.pcov[[1, 2, 3]]).all()
    clean = adamnb.curve_fit(decay, T, CURVES[[0, 4, 5]], max_nfev=100)
    assert fits.popt[[0, 4, 5]].tobytes() == clean.popt.tobytes()
    assert "2: The data" in fits.message[3]
    with pytest.raises(ValueError, match="`ydata` is not finite at index"):
        adamnb.curve_fit(decay, T, curves, check_finite=True)
    with pytest.raises(ValueError, match="contains nan"):
        adamnb.curve_fit(decay, T, curves, nan_policy="raise")


def test_a_row_that_raises():
    @numba.njit
    def model(t, a, k):
        if a > 4:
            raise ValueError("too large")
        return a * np.exp(-k * t)

    y = np.array([2.0, 6.0])[:, None] * np.exp(-T)
    fits = adamnb.curve_fit(model, T, y)
    assert fits.status.tolist() == [0, 5]
    assert "too large" in str(fits.exceptions[1])
    assert np.isnan(fits.popt[1]).all()
    with pytest.raises(ValueError, match="too large"):
        adamnb.curve_fit(model, T, y[1])


def test_a_row_that_does_not_converge():
    fits = adamnb.curve_fit(decay, T, CURVES[:4], max_nfev=2)
    assert (fits.status == 1).all()
    assert np.isfinite(fits.popt).all()
    assert np.isnan(fits.pcov).all()
    with pytest.raises(RuntimeError, match=r"Optimal parameters not found: .*max_nfev"):
        adamnb.curve_fit(decay, T, CURVES[0], max_nfev=2)


def test_progress_counts_and_ends():
    _, curves = decays(3000)
    done = []
    adamnb.curve_fit(decay, T, curves, progress=lambda count, total: done.append((count, total)))
    assert done[-1] == (3000, 3000)

    def enough(count, total):
        raise StopIteration

    _, many = decays(60_000)  # more than are fitted until the first report
    fits = adamnb.curve_fit(decay, T, many, progress=enough, threads=1)
    assert (fits.status == 99).any()


# -------------------------------------------------------------------------------------- masks, weights, NaN


def test_masks_weights_and_nan_are_one():
    out = np.array([2, 7, 11])
    spoilt = CURVES[:3].copy()
    spoilt[:, out] = 1e3
    counts = np.ones(T.size, bool)
    counts[out] = False
    masked = np.ma.masked_array(spoilt, np.broadcast_to(~counts, spoilt.shape))
    holes = np.where(counts, spoilt, np.nan)
    sigma = np.where(counts, 1.0, np.inf)
    expected = adamnb.curve_fit(decay, T[counts], CURVES[:3, counts])
    for fits in (
        adamnb.curve_fit(decay, T, masked),
        adamnb.curve_fit(decay, T, spoilt, weights=counts),
        adamnb.curve_fit(decay, T, holes, nan_policy="omit"),
        adamnb.curve_fit(decay, T, spoilt, sigma=sigma),
    ):
        np.testing.assert_allclose(fits.popt, expected.popt, rtol=1e-7)
        np.testing.assert_allclose(fits.pcov, expected.pcov, rtol=1e-6)
        one = adamnb.curve_fit(decay, T, masked[1])
        np.testing.assert_allclose(one.popt, expected.popt[1], rtol=1e-7)


def test_masked_points_of_a_covariance():
    f, truth = MODELS["exponential"]
    y = f(X, *truth) + 0.03 * np.random.default_rng(1).standard_normal(X.size)
    counts = np.arange(X.size) % 7 != 3
    part = CORRELATED[np.ix_(counts, counts)]
    expected = adamnb.curve_fit(f, X[counts], y[counts], sigma=part, absolute_sigma=True)
    fit = adamnb.curve_fit(
        f, X, np.ma.masked_array(y, ~counts), sigma=CORRELATED, absolute_sigma=True
    )
    np.testing.assert_allclose(fit.popt, expected.popt, rtol=1e-9)
    np.testing.assert_allclose(fit.pcov, expected.pcov, rtol=1e-8)


def test_weights_are_inverse_variances():
    spread = 0.02 + 0.01 * T
    expected = adamnb.curve_fit(decay, T, CURVES[0], sigma=spread, absolute_sigma=True)
    fit = adamnb.curve_fit(decay, T, CURVES[0], weights=spread**-2, absolute_sigma=True)
    np.testing.assert_allclose(fit.pcov, expected.pcov, rtol=1e-10)


# -------------------------------------------------------------------------------------- bounds


def test_bounds_against_least_squares_and_every_evaluation_within():
    seen = []

    def model(t, a, k, c):
        seen.append((a, k, c))
        return a * np.exp(-k * t) + c

    low, high = [0, 0, 0.9], [2.5, 5, 3]
    y = CURVES[0]
    fit = adamnb.curve_fit(model, T, y, bounds=(low, high))
    other = least_squares(
        lambda p: decay.py_func(T, *p) - y,
        [1, 1, 1],
        bounds=(low, high),
        ftol=1e-14,
        xtol=1e-14,
        gtol=1e-14,
    )
    assert fit.cost <= other.cost * (1 + 1e-9)
    np.testing.assert_allclose(fit.popt, other.x, rtol=1e-4)
    inside = (np.array(seen) >= low) & (np.array(seen) <= high)
    assert inside.all()
    at_bound = [
        int(p == top) - int(p == bottom) for p, bottom, top in zip(fit.popt, low, high, strict=True)
    ]
    assert fit.active_mask.tolist() == at_bound
    assert fit.active_mask.any()


def test_differences_of_a_numba_model_stay_within_the_bounds():
    @numba.njit
    def model(t, a, k, c):
        if a > 2.5 or k < 0.0 or c < 0.9 or c > 0.9:
            raise ValueError("outside of the bounds")
        return (a * np.exp(-k * t) + c * (1 + 0j)).real  # no rule for complex numbers

    bounds = [0, 0, 0.9], [2.5, 5, 0.9]
    fit = adamnb.curve_fit(model, T, CURVES[0], (2.5, 0.0, 0.9), bounds=bounds)
    exact = adamnb.curve_fit(decay, T, CURVES[0], (2.5, 0.0, 0.9), bounds=bounds)
    assert fit.gradient == "3-point"
    assert fit.compiled
    assert fit.active_mask.tolist() == exact.active_mask.tolist()
    np.testing.assert_allclose(fit.popt, exact.popt, rtol=1e-6)


def test_differences_of_a_model_whose_length_depends_on_its_parameters():
    """Shorter on the lower side alone."""

    @numba.njit
    def shorter(t, a):
        return (
            t[: t.size if a >= 1.0 else t.size - 1] * (a + 0j)
        ).real  # no rule for complex numbers

    with pytest.raises(ValueError, match=r"`f` must return shape \(20,\)"):
        adamnb.curve_fit(shorter, T, 2 * T, 1.0)


def test_bounds_of_each_curve_without_starts():
    """One side is a number, the other a map."""
    y = CURVES[:6].reshape(2, 3, -1)
    high = 2 * TRUTH[:6].reshape(2, 3, 3)
    fits = adamnb.curve_fit(decay, T, y, bounds=(0, high))
    np.testing.assert_allclose(fits.popt, adamnb.curve_fit(decay, T, y, high / 2).popt, rtol=1e-7)


def test_random_bounded_fits_reach_the_minimum():
    """Never above what SciPy finds, whatever bounds are active."""
    random = np.random.default_rng(8)
    truth, curves = decays(60, seed=9)
    low = truth - random.uniform(-0.3, 0.6, truth.shape)
    high = low + random.uniform(0.1, 2, truth.shape)
    fits = adamnb.curve_fit(decay, T, curves, bounds=(low, high))
    assert fits.success.all()
    assert ((fits.popt >= low) & (fits.popt <= high)).all()
    assert (fits.active_mask != 0).any(axis=1).mean() > 0.5
    for b in range(60):
        other = least_squares(
            lambda p, y: decay.py_func(T, *p) - y, (low[b] + high[b]) / 2, bounds=(low[b], high[b]),
            args=(curves[b],), ftol=1e-13, xtol=1e-13, gtol=1e-13,
        )  # fmt: skip
        assert fits.cost[b] <= other.cost * (1 + 1e-7)


def test_a_fixed_parameter_has_no_error():
    bounds = ([0, 1.2, 0], [9, 1.2, 9])
    fit = adamnb.curve_fit(decay, T, CURVES[0], (1, 1.2, 1), bounds=bounds)
    popt, pcov = curve_fit(lambda t, a, c: a * np.exp(-1.2 * t) + c, T, CURVES[0])
    assert fit.popt[1] == 1.2
    assert fit.perr[1] == 0
    np.testing.assert_allclose(fit.popt[[0, 2]], popt, rtol=1e-7)
    np.testing.assert_allclose(fit.pcov[np.ix_([0, 2], [0, 2])], pcov, rtol=1e-6)


def test_a_bound_at_which_a_parameter_changes_its_sign_is_no_minimum():
    """f is even in the last one: the cost is stationary at the bound, and no minimum."""

    @numba.njit
    def hyperbola(x, a, b, c):
        return a + b * np.sqrt(x**2 + c**2)

    x, random = np.linspace(-3, 3, 15), np.random.default_rng(0)
    low, high = np.array([-9, 0, 0]), np.array([9, 9, 9])
    starts = random.uniform((-9, 0, 0.01), high, (300, 3))
    y = np.broadcast_to(hyperbola(x, -1, 2, 3), (300, x.size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        fits = adamnb.curve_fit(hyperbola, x, y, starts, bounds=(low, high))
    wrong = fits.cost > 1e-8
    assert wrong.mean() < 0.02  # 0.2 of them where the first step across a bound ends there
    assert np.isinf(fits.pcov[wrong]).all()
    np.testing.assert_allclose(fits.popt[~wrong][:, 2], 3, rtol=1e-6)


# -------------------------------------------------------------------------------------- losses and counts


@pytest.mark.parametrize("loss", ["soft_l1", "huber", "cauchy", "arctan"])
def test_losses_of_least_squares(loss):
    y = CURVES[0].copy()
    y[[3, 9, 15]] += (1.0, -0.8, 1.5)
    fit = adamnb.curve_fit(decay, T, y, (2, 1, 0.5), loss=loss, f_scale=0.05)
    other = least_squares(
        lambda p: decay.py_func(T, *p) - y, (2, 1, 0.5), loss=loss, f_scale=0.05, ftol=1e-15,
        xtol=1e-15, gtol=1e-12, jac="3-point",
    )  # fmt: skip
    assert fit.cost == pytest.approx(other.cost, rel=1e-8)
    np.testing.assert_allclose(fit.popt, other.x, rtol=1e-4)
    linear = adamnb.curve_fit(decay, T, y, (2, 1, 0.5))
    assert np.abs(fit.popt - TRUTH[0]).max() < np.abs(linear.popt - TRUTH[0]).max() / 3
    jac = other.jac.T @ other.jac
    pcov = np.linalg.inv(jac) * 2 * other.cost / (T.size - 3)
    np.testing.assert_allclose(fit.pcov, pcov, rtol=1e-3)


def test_counts_by_maximum_likelihood():
    random = np.random.default_rng(6)
    y = random.poisson(decay.py_func(T, 8.0, 1.0, 1.0), (5, T.size))
    assert (y == 0).any()
    bounds = ([0, 0, 1e-3], np.inf)
    fits = adamnb.curve_fit(decay, T, y, (5, 1, 1), cost="poisson", bounds=bounds)
    for b in range(5):

        def likelihood(p, y=y[b]):
            mu = decay.py_func(T, *p)
            return np.sum(mu - y * np.log(mu))

        found = minimize(
            likelihood, fits.popt[b] * 1.01, method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 9999},
        )  # fmt: skip
        assert likelihood(fits.popt[b]) <= found.fun + 1e-9
        if not fits.active_mask[b].any():
            np.testing.assert_allclose(fits.popt[b], found.x, rtol=1e-4)
            jac = exact_jacobian(decay.py_func)(T, *fits.popt[b])
            mu = decay.py_func(T, *fits.popt[b])
            fisher = jac.T @ (jac / mu[:, None])
            np.testing.assert_allclose(fits.pcov[b], np.linalg.inv(fisher), rtol=1e-6)
            deviance = 2 * np.sum(
                mu - y[b] + np.where(y[b] > 0, y[b] * np.log(np.maximum(y[b], 1) / mu), 0)
            )
            assert 2 * fits.cost[b] == pytest.approx(deviance, rel=1e-9)
            one = adamnb.curve_fit(decay.py_func, T, y[b], (5, 1, 1), cost="poisson", bounds=bounds)
            np.testing.assert_allclose(one.popt, fits.popt[b], rtol=1e-5)
    assert (fits.active_mask == 0).all(axis=1).any()


def test_counts_and_a_model_that_is_not_positive():
    with pytest.raises(RuntimeError, match="not positive"):
        adamnb.curve_fit(decay, T, np.ones(20), (-1, 1, 0), cost="poisson")


# -------------------------------------------------------------------------------------- statistics


def test_intervals_cover_as_often_as_they_say():
    """In 10,000 simulated decays, by the t distribution where sigma is not known."""
    from scipy import stats

    random = np.random.default_rng(11)
    truth = np.array([3.0, 1.2, 0.5])
    curves = decay.py_func(T, *truth) + 0.02 * random.standard_normal((10_000, T.size))
    for options, distribution in (
        ({"sigma": 0.02, "absolute_sigma": True}, stats.norm()),
        ({}, stats.t(T.size - 3)),
    ):
        fits = adamnb.curve_fit(decay, T, curves, truth, **options)
        assert fits.success.all()
        for level in (0.6827, 0.95):
            reach = distribution.ppf(0.5 + level / 2)
            covered = (np.abs(fits.popt - truth) <= reach * fits.perr).mean(axis=0)
            np.testing.assert_allclose(covered, level, rtol=0, atol=0.015)


# -------------------------------------------------------------------------------------- hard cases


def test_no_noise_at_all():
    fits = adamnb.curve_fit(decay, T, decay.py_func(T, *TRUTH.T[:, :, None]))
    assert fits.success.all()
    np.testing.assert_allclose(fits.popt, TRUTH, rtol=1e-9)
    zero = adamnb.curve_fit(lambda t, a: a * t, T, 0 * T)
    assert abs(zero.popt[0]) < 1e-100
    assert zero.success


def test_singular_jacobian_is_a_clear_word():
    product = lambda t, a, b: a * b * t  # noqa: E731
    unused, sum_alone = (lambda t, a, b: a * t), (lambda t, a, b: (a + b) * t)
    for model in (product, unused, sum_alone, numba.njit(product), numba.njit(sum_alone)):
        with pytest.warns(OptimizeWarning, match="could not be estimated"):
            fit = adamnb.curve_fit(model, T, 2 * T + 0.1 * np.sin(T))
        assert np.isinf(fit.pcov).all()
        assert "do not determine" in fit.message
        assert fit.cost == pytest.approx(
            adamnb.curve_fit(lambda t, a: a * t, T, 2 * T + 0.1 * np.sin(T)).cost
        )
    with pytest.warns(OptimizeWarning, match=r"in 2 of 2 curves"):
        adamnb.curve_fit(lambda t, a, b: a * t, T, np.stack([T, 2 * T]))


def test_more_parameters_than_points():
    with pytest.raises(TypeError, match="must not exceed the number of data points=2"):
        adamnb.curve_fit(decay, T[:2], CURVES[0, :2])
    with pytest.warns(OptimizeWarning):
        fit = adamnb.curve_fit(decay, T[:2], CURVES[0, :2], method="trf")
    np.testing.assert_allclose(decay.py_func(T[:2], *fit.popt), CURVES[0, :2], rtol=1e-8)
    assert np.isinf(fit.pcov).all()
    with pytest.warns(OptimizeWarning):
        adamnb.curve_fit(decay, T[:3], CURVES[0, :3])


def test_a_wall_of_infinities_is_stepped_back_from():
    def model(t, a, k):
        if k > 3:
            return np.full(t.size, np.nan)
        return a * np.exp(-k * t)

    fit = adamnb.curve_fit(model, T, 3 * np.exp(-2.5 * T), (1.0, 0.1))
    np.testing.assert_allclose(fit.popt, [3, 2.5], rtol=1e-8)
    with pytest.raises(RuntimeError, match="not finite at `p0`"):
        adamnb.curve_fit(model, T, 3 * np.exp(-2.5 * T), (1.0, 4))


def test_a_jacobian_that_is_not_finite_is_stepped_back_from():
    """Once, in its last column; of so many points that no row is made of whole vectors."""
    t, evaluated = T[:-1], []

    def jac(t, a, k):
        evaluated.append(k)
        falls = np.exp(-k * t)
        return np.stack([falls, -a * t * falls * (np.nan if len(evaluated) == 2 else 1)], axis=1)

    fit = adamnb.curve_fit(lambda t, a, k: a * np.exp(-k * t), t, 3 * np.exp(-2.5 * t), jac=jac)
    np.testing.assert_allclose(fit.popt, [3, 2.5], rtol=1e-8)
    assert len(evaluated) > 3


def test_columns_that_are_nearly_one():
    """Products of them are equal, to the last bit (Läuchli's matrix)."""
    matrix = np.vstack([np.ones(3), 1e-9 * np.eye(3)])
    fit = adamnb.curve_fit(
        lambda x, *p: x @ p, matrix, matrix @ [1, 2, 3], np.zeros(3), jac=lambda x, *p: x
    )
    np.testing.assert_allclose(fit.popt, [1, 2, 3], rtol=1e-6)


def test_a_wrong_jacobian_is_no_success():
    def wrong(t, a, k):
        return np.stack([-np.exp(-k * t), a * t * np.exp(-k * t)], axis=1)

    with pytest.raises(RuntimeError, match="is `jac` that of `f`"):
        adamnb.curve_fit(lambda t, a, k: a * np.exp(-k * t), T, 3 * np.exp(-0.5 * T), jac=wrong)


def test_units_do_not_matter():
    """Parameters 1e9 apart from each other, and a curve of any size."""
    scaled = numba.njit(lambda t, a, k, c: 1e-6 * a * np.exp(-1e5 * k * t) + 1e8 * c)
    unit = np.array([1e-6, 1e5, 1e8])
    start = np.array([1.0, 1.0, 1.0]) / unit
    fit = adamnb.curve_fit(scaled, T, CURVES[0], start)
    plain = adamnb.curve_fit(decay, T, CURVES[0])
    np.testing.assert_allclose(fit.popt * unit, plain.popt, rtol=1e-9)
    np.testing.assert_allclose(fit.perr * unit, plain.perr, rtol=1e-8)
    for factor in (1e-30, 1e30):
        large = adamnb.curve_fit(decay, T, factor * CURVES[0], (factor, 1, factor))
        np.testing.assert_allclose(large.popt / (factor, 1, factor), plain.popt, rtol=1e-9)


# -------------------------------------------------------------------------------------- the call


def test_what_is_returned():
    fit = adamnb.curve_fit(decay, T, CURVES[0])
    popt, pcov = fit
    assert isinstance(fit, tuple)
    assert popt is fit.popt
    assert pcov is fit.pcov
    np.testing.assert_array_equal(fit.perr, np.sqrt(np.diag(pcov)))
    np.testing.assert_allclose(fit.residuals, decay.py_func(T, *popt) - CURVES[0], atol=1e-15)
    assert fit.cost == pytest.approx(0.5 * np.sum(fit.residuals**2))
    assert fit.success is True
    assert fit.status == 0
    again = pickle.loads(pickle.dumps(fit))
    assert bits(again) == bits(fit)
    assert again.message == fit.message
    assert "popt" in repr(fit)
    assert "40 curves" in repr(adamnb.curve_fit(decay, T, CURVES))


def test_full_output_is_that_of_scipy():
    popt, _, info, message, number = adamnb.curve_fit(decay, T, CURVES[0], full_output=True)
    assert number in (1, 2, 3, 4)
    assert isinstance(message, str)
    _, _, other, _, _ = curve_fit(decay.py_func, T, CURVES[0], popt, full_output=True)
    np.testing.assert_allclose(info["fvec"], other["fvec"], atol=1e-8)
    assert info["ipvt"].tolist() == other["ipvt"].tolist()
    np.testing.assert_allclose(
        np.abs(np.triu(info["fjac"].T[:3])), np.abs(np.triu(other["fjac"].T[:3])), rtol=1e-5
    )
    several = adamnb.curve_fit(decay, T, CURVES, full_output=True)
    assert len(several) == 5
    assert several[2]["nfev"].shape == (40,)
    assert np.isin(several[4], (1, 2, 3, 4)).all()


def test_nothing_of_the_callers_is_changed():
    given = [
        T.copy(),
        CURVES[:3].copy(),
        np.ones(3),
        np.full(20, 0.02),
        np.zeros(3),
        np.full(3, 9.0),
    ]
    kept = [array.copy() for array in given]
    t, y, p0, sigma, low, high = given
    for array in given:
        array.flags.writeable = False
    adamnb.curve_fit(decay, t, y, p0, sigma, bounds=(low, high))
    for array, copy in zip(given, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    "convert",
    [list, lambda y: y.astype("f4"), lambda y: y.astype(">f8"), lambda y: np.repeat(y, 2)[::2]],
)
def test_kinds_of_arrays(convert):
    fit = adamnb.curve_fit(decay, convert(T), convert(CURVES[0]))
    np.testing.assert_allclose(fit.popt, adamnb.curve_fit(decay, T, CURVES[0]).popt, rtol=1e-5)


@pytest.mark.parametrize("model", [decay, decay.py_func])
def test_objects_that_know_an_array(model):
    pandas = pytest.importorskip("pandas")
    x, y = pandas.Series(T, index=T + 7), pandas.Series(CURVES[0])
    expected = adamnb.curve_fit(model, T, CURVES[0])
    np.testing.assert_array_equal(adamnb.curve_fit(model, x, y).popt, expected.popt)
    gaps = y.where(y.index != 3)
    fit = adamnb.curve_fit(model, x, gaps, nan_policy="omit")
    expected = adamnb.curve_fit(model, T, gaps.to_numpy(), nan_policy="omit")
    np.testing.assert_array_equal(fit.popt, expected.popt)


BAD = [
    ({"f": 3}, TypeError, "`f` must be callable"),
    ({"ydata": []}, ValueError, "`ydata` must not be empty"),
    ({"ydata": ["a"] * 20}, TypeError, "`ydata` must be an array of real numbers"),
    ({"ydata": 1j * CURVES[0]}, TypeError, "`ydata` must be an array of real numbers"),
    ({"xdata": np.ma.masked_array(T, T > 1)}, TypeError, "`xdata` must not be a masked array"),
    ({"xdata": T[:-1]}, ValueError, r"`f` must return shape \(20,\).* `jac` shape \(20, 3\)"),
    ({"xdata": np.where(T > 1, np.nan, T)}, ValueError, "`xdata` is not finite at index 0|5|6"),
    ({"p0": [1, np.nan, 1]}, ValueError, "`p0` must be finite"),
    ({"p0": "abc"}, TypeError, "`p0` must be an array of real numbers"),
    ({"p0": np.ones((2, 3))}, ValueError, "`p0` must have shape"),
    ({"p0": []}, ValueError, r"`p0` must have a number for each parameter of `f`; got \[\]"),
    ({"p0": [1, 1]}, TypeError, "`p0` must have .* x and 2 of them: missing a required argument: 'c'"),
    ({"p0": [1] * 4, "f": decay.py_func}, TypeError, "4 of them: too many positional arguments"),
    ({"p0": [1, [2, 3]]}, ValueError, "`p0` .*inhomogeneous"),
    ({"sigma": 0.0}, ValueError, "`sigma` must be positive"),
    ({"sigma": np.r_[-1.0, np.ones(19)]}, ValueError, "`sigma` must be positive; got -1.0 at index 0"),
    ({"sigma": np.ones(7)}, ValueError, "`sigma` has incorrect shape"),
    ({"sigma": -np.eye(20)}, ValueError, "`sigma` must be positive definite"),
    ({"sigma": 1.0, "weights": np.ones(20)}, ValueError, "`sigma` must not be given with `weights`"),
    ({"weights": -np.ones(20)}, ValueError, "`weights` must be finite and at least 0"),
    ({"weights": np.ones(3)}, ValueError, "`weights` has incorrect shape"),
    ({"weights": np.zeros(20)}, RuntimeError, "no point counts"),
    ({"bounds": 3}, ValueError, "`bounds` must be a pair"),
    ({"bounds": (2, 1)}, ValueError, r"upper bound is less .*\(index 0: 2.0 > 1.0\)"),
    ({"absolute_sigma": "no"}, TypeError, "`absolute_sigma` must be True or False; got 'no'"),
    ({"absolute_sigma": np.ones(20)}, TypeError, "`absolute_sigma` must be True or False"),
    ({"full_output": "no"}, TypeError, "`full_output` must be True or False; got 'no'"),
    ({"check_finite": "no"}, TypeError, "`check_finite` must be True or False; got 'no'"),
    ({"xdata": object()}, TypeError, "`xdata` is of a type .*pass `f.py_func` instead of `f`"),
    ({"bounds": ([0, 0], [1, 1])}, ValueError, "Inconsistent shapes between bounds"),
    ({"p0": [5, 1, 1], "bounds": (0, 2)}, ValueError, "outside of provided bounds: `p0` is 5.0 at index 0"),
    ({"method": "newton"}, ValueError, "`method` must be one of"),
    ({"method": "lm", "bounds": (0, 9)}, ValueError, "only works for unconstrained"),
    ({"jac": "exact"}, ValueError, "`jac` must be callable"),
    ({"jac": "forward", "f": decay.py_func}, TypeError, "needs a Numba function"),
    ({"loss": "l1"}, ValueError, "`loss` must be one of"),
    ({"f_scale": 0}, ValueError, "`f_scale` must be positive"),
    ({"cost": "gauss"}, ValueError, "`cost` must be one of"),
    ({"cost": "poisson", "loss": "huber"}, ValueError, "`loss` is of"),
    ({"cost": "poisson", "sigma": 1.0}, ValueError, "`sigma` must not be given with `cost='poisson'`"),
    ({"cost": "poisson", "weights": np.full(20, 2)}, ValueError, "must be 0 or 1"),
    ({"cost": "poisson", "ydata": -np.ones(20)}, ValueError, "at least 0 for .*; got -1.0 at index 0"),
    ({"nan_policy": "ignore"}, ValueError, "nan_policy must be one of"),
    ({"gtol": -1}, ValueError, "`gtol` must satisfy"),
    ({"ftol": "x"}, TypeError, "`ftol` must be a number"),
    ({"max_nfev": -3}, ValueError, "`max_nfev` must be positive"),
    ({"threads": 0}, ValueError, "`threads` must be None or a whole number from 1 to"),
    ({"threads": 1.5}, ValueError, "`threads` must be None or a whole number from 1 to"),
    ({"progress": 3}, ValueError, "`progress` must be"),
    ({"args": (1,)}, ValueError, "not a supported keyword"),
    ({"sigmas": 1.0}, TypeError, "`sigmas`.*Did you mean `sigma`"),
    ({"max_nfevs": 1.0}, TypeError, "`max_nfevs`.*Did you mean `max_nfev`"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "kind", "text"), BAD, ids=[str(list(c)) for c, _, _ in BAD])
def test_bad_input_is_one_clear_error(changed, kind, text):
    call = {"f": decay, "xdata": T, "ydata": CURVES[0]} | changed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(kind, match=text):
            adamnb.curve_fit(call.pop("f"), call.pop("xdata"), call.pop("ydata"), **call)


def test_a_python_model_of_another_shape():
    with pytest.raises(ValueError, match=r"`f` returned shape \(3,\), expected \(20,\)"):
        adamnb.curve_fit(lambda t, a: a * t[:3], T, CURVES[0])
    with pytest.raises(ValueError, match=r"`jac` returned shape \(20,\), expected \(20, 1\)"):
        adamnb.curve_fit(lambda t, a: a * t, T, CURVES[0], jac=lambda t, a: t)
    with pytest.raises(TypeError, match="`f` must return real numbers"):
        adamnb.curve_fit(lambda t, a: a * t * 1j, T, CURVES[0])
    with pytest.raises(TypeError, match="`f` must return an array"):
        adamnb.curve_fit(lambda t, a: None, T, CURVES[0])


@pytest.mark.parametrize("unit", [1e-200, 1e-300, 1e160, 1e300])
@pytest.mark.parametrize("f", [decay, decay.py_func])
def test_data_whose_squares_have_no_digits_are_refused(f, unit):
    t = np.linspace(0.0, 4.0, 9)
    y = unit * (2.0 * np.exp(-0.7 * t) + 0.5)
    with pytest.raises(RuntimeError, match="take another unit of `ydata`"):
        adamnb.curve_fit(f, t, y, [unit, 1.0, 0.0])
    fits = adamnb.curve_fit(f, t, np.stack([y, y / unit]), [1.0, 1.0, 0.0])
    assert fits.status.tolist() == [3, 0]
    np.testing.assert_allclose(fits.popt[1], [2.0, 0.7, 0.5], rtol=1e-6)
