"""The certified regressions: files, models, and whether Adam finds the certified parameters."""

import numpy as np
import pytest

import adamnb
from adamnb import __main__ as selfcheck
from adamnb import _nist

EVERY = pytest.mark.parametrize("name", _nist.DATASETS)


def gaussians(b, x):
    peaks = (b[k] * np.exp(-(((x - b[k + 1]) / b[k + 2]) ** 2)) for k in (2, 5))
    return b[0] * np.exp(-b[1] * x) + sum(peaks)


# The models once more, as plain NumPy that also takes complex parameters.
MODELS = {
    "Misra1a": lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
    "Misra1b": lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** -2),
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "Chwirut1": lambda b, x: np.exp(-b[0] * x) / (b[1] + b[2] * x),
    "Chwirut2": lambda b, x: np.exp(-b[0] * x) / (b[1] + b[2] * x),
    "Gauss1": gaussians,
    "Gauss2": gaussians,
    "Lanczos3": lambda b, x: sum(b[k] * np.exp(-b[k + 1] * x) for k in (0, 2, 4)),
}

SHAPES = {  # observations, parameters: from NIST's page, not from the files
    "Misra1a": (14, 2),
    "Misra1b": (14, 2),
    "DanWood": (6, 2),
    "Chwirut1": (214, 3),
    "Chwirut2": (54, 3),
    "Gauss1": (250, 8),
    "Gauss2": (250, 8),
    "Lanczos3": (24, 6),
}


@EVERY
def test_every_number_of_the_file_is_read(name):
    data = _nist.load(name)
    observations, parameters = SHAPES[name]
    assert data.x.shape == data.y.shape == (observations,)
    for vector in (*data.starts, data.certified, data.deviations):
        assert vector.shape == (parameters,)
    for array in data:
        if isinstance(array, np.ndarray):
            assert array.flags.c_contiguous
            assert array.dtype == np.float64


def test_one_file_number_by_number():
    data = _nist.load("DanWood")
    np.testing.assert_array_equal(data.x, [1.309, 1.471, 1.490, 1.565, 1.611, 1.680])
    np.testing.assert_array_equal(data.y, [2.138, 3.421, 3.597, 4.340, 4.882, 5.660])
    np.testing.assert_array_equal(data.starts, [[1, 5], [0.7, 4]])
    np.testing.assert_array_equal(data.certified, [0.76886226176, 3.8604055871])
    np.testing.assert_array_equal(data.deviations, [1.8281973860e-2, 5.1726610913e-2])
    assert data.residual_sum == 4.3173084083e-3


def test_unknown_name():
    with pytest.raises(KeyError, match="Misra1z"):
        _nist.load("Misra1z")


@EVERY
def test_certified_residual_sum_at_the_certified_parameters(name):
    data = _nist.load(name)
    found = data.fun(data.certified, data.x, data.y)
    assert found == pytest.approx(data.residual_sum, rel=1e-8)


@EVERY
@pytest.mark.parametrize("start", [0, 1])
def test_objective_and_gradient_against_a_complex_step(name, start):
    data = _nist.load(name)
    b = data.starts[start]
    f, g = adamnb.value_and_grad(data.fun)(b, data.x, data.y)

    residual = MODELS[name](b, data.x) - data.y
    assert f == pytest.approx(residual @ residual, rel=1e-12)
    h = 1e-20 * np.abs(b)
    for k in range(b.size):
        shifted = b + 1j * h[k] * (np.arange(b.size) == k)
        slope = (MODELS[name](shifted, data.x).imag / h[k]) * 2 * residual
        # a sum of up to 250 terms of both signs: rounding is relative to the sum of their sizes
        assert g[k] == pytest.approx(slope.sum(), abs=1e-13 * np.abs(slope).sum())


@pytest.mark.parametrize(
    ("found", "digits"),
    [
        ([1.0, -200.0], 11.0),
        ([1.0, -200.0002], 6.0),
        ([1.01, -200.0002], 2.0),
        ([4.0, -200.0], 0.0),
        ([np.nan, -200.0], 0.0),
        ([1.0, np.inf], 0.0),
    ],
)
def test_correct_digits_are_those_of_the_worst_parameter(found, digits):
    assert _nist.correct_digits(np.array(found), np.array([1.0, -200.0])) == pytest.approx(digits)


BOTH_STARTS = pytest.mark.parametrize("start", [0, 1], ids=["start 1", "start 2"])


def fit(name, start, **options):
    data = _nist.load(name)
    res = adamnb.minimize(data.fun, data.starts[start], args=(data.x, data.y), **options)
    assert res.gradient == "forward"
    return data, res


@BOTH_STARTS
@pytest.mark.parametrize("name", [name for name in _nist.DATASETS if name != "Lanczos3"])
def test_the_certified_parameters_are_found(name, start):
    data, res = fit(name, start)
    assert res.success, res.message
    assert _nist.correct_digits(res.x, data.certified) >= selfcheck.PROMISE
    assert res.fun == pytest.approx(data.residual_sum, rel=1e-7)


@BOTH_STARTS
@pytest.mark.parametrize("name", _nist.DATASETS)
def test_no_false_success(name, start):
    data, res = fit(name, start)
    assert not res.success or res.fun == pytest.approx(data.residual_sum, rel=1e-3)


def test_a_merged_exponential_is_no_success_and_polishing_leaves_it():
    """From NIST's far start two of three exponentials become one: a flat valley with saddles."""
    _, stopped = fit("Lanczos3", 0, memory=0)
    assert not stopped.success
    data, polished = fit("Lanczos3", 0, polish=True)
    assert polished.success
    assert polished.fun == pytest.approx(data.residual_sum, rel=1e-8)


@BOTH_STARTS
@pytest.mark.parametrize("name", _nist.DATASETS)
def test_digits_after_polishing(name, start):
    """At least four, up to the order of the three exponentials."""
    data, res = fit(name, start, polish=True)
    assert res.success, res.message
    found = res.x
    if name == "Lanczos3":
        found = found.reshape(-1, 2)[np.argsort(found[1::2])].ravel()
    assert _nist.correct_digits(found, data.certified) >= 4
