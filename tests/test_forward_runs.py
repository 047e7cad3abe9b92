"""Runs without a gradient: exact derivatives of Numba functions, and differences in compiled code."""

import math
import pickle

import numba
import numpy as np
import pytest
from numba.core.errors import TypingError
from objectives import B, decays, misfit, python_fun, starts, underivable

import adamnb

NAMES = ("x", "fun", "jac", "nit", "nfev", "njev", "status", "success")
Y, W, T = decays()
ARGS = (Y[0], W[0], T)
X0 = starts()[0]


def same(a, b, names=NAMES):
    """Compare results, or rows of them, bit by bit."""
    for name in names:
        assert np.asarray(a[name]).tobytes() == np.asarray(b[name]).tobytes(), name


def row(batch, b):
    return {name: batch[name][b] for name in NAMES}


# ------------------------------------------------------------------------------- exact derivatives


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bits_are_those_of_value_and_grad(dtype):
    found = adamnb.minimize(misfit, X0.astype(dtype), ARGS)
    both = adamnb.value_and_grad(misfit)
    expected = adamnb.minimize(both, X0.astype(dtype), ARGS, jac=True)
    same(found, expected)
    assert found.message == expected.message
    assert (found.gradient, found.compiled, found.success) == ("forward", True, True)
    assert found.x.dtype == found.jac.dtype == dtype


@pytest.mark.parametrize("fun", [misfit, underivable])
def test_bits_are_those_of_calls_from_python(fun):
    seen = []
    options = {"verify": 0, "maxiter": 40}  # which looks around anew
    called = adamnb.minimize(fun, X0, ARGS, callback=lambda x: seen.append(x), **options)
    expected = adamnb.minimize(fun, X0, ARGS, **options)
    same(called, expected)
    assert (called.compiled, expected.compiled) == (False, True)
    assert called.gradient == expected.gradient
    assert len(seen) == called.nit > 10


@pytest.mark.parametrize(("fun", "used"), [(misfit, "forward"), (underivable, "3-point")])
@pytest.mark.parametrize("bounded", [False, True])
def test_rows_of_a_batch_have_the_bits_of_minimize(fun, used, bounded):
    options = {"bounds": [(0, 2), (0, None)] if bounded else None, "verify": 0}
    batch = adamnb.minimize_batch(fun, starts(), (T,), (Y, W), **options)
    assert batch.gradient == used
    assert batch.success.all()
    for b in range(0, B, 7):
        own = adamnb.minimize(fun, starts()[b], (Y[b], W[b], T), **options)
        same(row(batch, b), own)


@pytest.mark.parametrize("fun", [misfit, underivable])
def test_blocks_may_be_solved_elsewhere(fun):
    def elsewhere(solve, blocks):
        return [pickle.loads(pickle.dumps(solve))(block) for block in blocks]

    expected = adamnb.minimize_batch(fun, starts(), (T,), (Y, W), maxiter=30)
    found = adamnb.minimize_batch(fun, starts(), (T,), (Y, W), maxiter=30, workers=elsewhere)
    same(found, expected)


def test_more_variables_than_parts():
    """And more than fit on the stack."""
    fun = numba.njit(lambda x, c: np.sum((x - c) ** 2) + 0.5 * np.sum(x[1:] * x[:-1]))
    for n in (8, 9, 40):
        c = np.arange(1.0, n + 1)
        found = adamnb.minimize(fun, np.zeros(n), (c,), gtol=1e-10)
        hessian = 2 * np.eye(n) + 0.5 * np.eye(n, k=1) + 0.5 * np.eye(n, k=-1)
        np.testing.assert_allclose(found.x, np.linalg.solve(hessian, 2 * c), atol=1e-6)


@numba.njit
def bowl(x, centre=3.0, scale=2.0):
    return scale * np.sum((x - centre) ** 2)


@pytest.mark.parametrize(("args", "at"), [((), 3.0), ((1.0,), 1.0), ((1.0, 4.0), 1.0)])
def test_arguments_with_a_default_may_be_left_out(args, at):
    for options in ({}, {"callback": lambda x: None}):
        found = adamnb.minimize(bowl, [0.0, 9.0], args, **options)
        assert (found.gradient, found.success) == ("forward", True)
        np.testing.assert_allclose(found.x, at, atol=1e-6)


def test_whole_numbers_to_start_with():
    assert (
        adamnb.minimize(bowl, [0, 9]).x.tobytes() == adamnb.minimize(bowl, [0.0, 9.0]).x.tobytes()
    )


def test_many_arguments_are_called_from_python():
    fun = numba.njit(lambda x, *centres: (x[0] - centres[0]) ** 2 + (x[1] - centres[1]) ** 2)
    found = adamnb.minimize(fun, [0.0, 0.0], (1.0, 2.0))
    assert (found.gradient, found.compiled) == ("differences", False)
    np.testing.assert_allclose(found.x, [1, 2], atol=1e-6)


def test_multistart():
    fun = numba.njit(lambda x: (x[0] ** 2 - 1) ** 2 + 0.1 * x[0])
    found = adamnb.multistart(fun, [(-2, 2)], 16, rng=1)
    assert found.batch.gradient == "forward"
    assert found.counts.sum() == 16
    slope = 4 * found.minima_x**3 - 4 * found.minima_x + 0.1
    np.testing.assert_allclose(slope, 0, atol=1e-6)


@pytest.mark.parametrize("fun", [misfit, underivable])
def test_a_saddle_is_left(fun):
    saddle = numba.njit(lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4)
    if fun is underivable:
        saddle = numba.njit(lambda x: (complex(x[0]) ** 2 - x[1] ** 2 + x[1] ** 4).real)
    found = adamnb.minimize(saddle, [3.0, 0.0], memory=0)
    assert not found.success
    assert "f curves downwards" in found.message
    left = adamnb.minimize(saddle, [3.0, 0.0])
    assert left.success
    assert left.fun == pytest.approx(-0.25, abs=1e-9)


def test_check_gradient_looks_at_exact_derivatives():
    assert adamnb.check_gradient(misfit, X0, "forward", ARGS).ok


# ------------------------------------------------------------------------------------ what is asked


@pytest.mark.parametrize(
    ("options", "used"),
    [
        ({"jac": "forward"}, "forward"),
        ({"jac": "2-point"}, "2-point"),
        ({"jac": "3-point"}, "3-point"),
        ({"finite_difference": "2-point"}, "2-point"),
        ({"finite_diff_rel_step": 1e-6}, "differences"),
        ({"workers": lambda function, items: list(map(function, items))}, "differences"),
    ],
)
def test_who_asks_for_differences_gets_them(options, used):
    found = adamnb.minimize(misfit, X0, ARGS, maxiter=3, **options)
    assert (found.gradient, found.compiled) == (used, used == "forward")


def test_python_functions_and_cfuncs_have_differences():
    assert adamnb.minimize(python_fun, X0, ARGS, maxiter=3).gradient == "differences"
    pair = numba.cfunc("float64(float64[::1])")(lambda x: x[0] * x[0] + x[1] * x[1])
    assert adamnb.minimize(pair, X0, maxiter=3).gradient == "differences"


ASKED = [adamnb.minimize, adamnb.minimize_batch]


@pytest.mark.parametrize("run", ASKED)
def test_forward_insists(run):
    x0 = X0 if run is adamnb.minimize else [X0, X0]
    with pytest.raises(
        TypeError, match=r"`jac='forward'`: No derivative: .*complex.*`jac`.*2-point"
    ):
        run(underivable, x0, ARGS, jac="forward")
    with pytest.raises(TypeError, match=r"`jac='forward'` needs a Numba function.*@numba\.njit"):
        run(python_fun, x0, ARGS, jac="forward")
    several = numba.njit(lambda x, *more: x[0])
    with pytest.raises(TypeError, match="`fun` must name the arguments that it gets"):
        run(several, x0, (1.0,), jac="forward")


@pytest.mark.parametrize("jac", [None, "forward"])
def test_what_does_not_compile_is_said(jac):
    fun = numba.njit(lambda x, a: x @ a)
    with pytest.raises(
        TypeError, match=r"`fun` does not compile for array\(float64, 1d, C\), float64"
    ):
        adamnb.minimize(fun, X0, (2.0,), jac=jac)
    with pytest.raises(TypeError, match=r"`args\[0\]` is of a type that compiled functions do not"):
        adamnb.minimize(fun, X0, (object(),), jac=jac)
    vector = numba.njit(lambda x: 2 * x)
    with pytest.raises(ValueError, match="`fun` must return a scalar value"):
        adamnb.minimize(vector, X0, jac=jac)


def test_exceptions_of_the_user_come_through():
    @numba.njit
    def fun(x):
        if x[0] < 1:
            raise ArithmeticError("of the user")
        return x[0] ** 2

    with pytest.raises(ArithmeticError, match="of the user") as raised:
        adamnb.minimize(fun, [3.0])
    assert raised.value.adamnb_result.gradient == "forward"
    assert adamnb.minimize(fun, [3.0], catch=ArithmeticError).x[0] >= 1


# --------------------------------------------------------------------------- compiled differences


@numba.njit
def counted(x, calls, low, high):
    if calls[0] == calls[2]:
        raise ArithmeticError("of the user")
    calls[0] += 1
    for i in range(x.size):
        if not low[i] <= x[i] <= high[i]:
            calls[1] += 1
    return abs(complex(np.sum(np.exp(x) - 2 * x)))


def test_evaluations_are_counted_and_within_the_bounds():
    low, high = np.array([0.0, 1.0, 0.3]), np.array([1.0, 1.0, 0.3 + 1e-9])
    calls = np.array([0, 0, -1])
    found = adamnb.minimize(counted, [0.9, 1, 0.3], (calls, low, high), bounds=list(zip(low, high)))  # noqa: B905
    assert (found.gradient, found.success) == ("3-point", True)
    assert found.nfev == calls[0] > found.njev
    assert calls[1] == 0
    assert abs(found.x[0] - math.log(2)) < 1e-6
    assert np.isnan(found.jac[1])  # its bounds are equal: never differentiated


@pytest.mark.parametrize("callback", [None, lambda x: None])
def test_evaluations_are_counted_until_one_raises(callback):
    calls, everywhere = np.array([0, 0, 30]), np.array([[-np.inf] * 2, [np.inf] * 2])
    with pytest.raises(ArithmeticError, match="of the user") as raised:
        adamnb.minimize(counted, [0.9, 1], (calls, *everywhere), callback=callback)
    assert raised.value.adamnb_result.nfev == 31


@numba.njit
def spectrum(p, data, w):
    """A capacity beside a resistance, in units of the noise."""
    f = 0.0
    for i in range(w.size):
        r = (p[0] + p[1] / (1 + 1j * w[i] * p[1] * p[2]) - data[i]) / abs(data[i])
        f += 1e4 * (r.real**2 + r.imag**2)
    return f


@pytest.mark.parametrize("factors", [(0.5, 0.5, 0.5), (2, 0.5, 1.4)])
def test_variables_of_any_size(factors):
    cell, w = np.array([2e4, 1e8, 2e-11]), 2 * np.pi * np.logspace(0, 6, 40)
    data = cell[0] + cell[1] / (1 + 1j * w * cell[1] * cell[2])
    found = adamnb.minimize(spectrum, cell * factors, (data, w))
    assert (found.gradient, found.success) == ("3-point", True)
    np.testing.assert_allclose(found.x, cell, rtol=1e-6)
    assert found.nfev < 500


@numba.njit
def level(x, y):
    return abs(complex(np.sum((x[0] - y) ** 2)))


def test_a_level_of_1e15_from_1():
    y = 1e15 * (1 + 1e-3 * np.random.default_rng(0).standard_normal(30))
    found = adamnb.minimize(level, [1.0], (y,))
    assert (found.gradient, found.success) == ("3-point", True)
    assert abs(found.x[0] - y.mean()) < 1e-3 * 1e12 / 30**0.5


@numba.njit
def rounded(x, y, w, t):
    return np.float32(abs(complex(underivable(x, y, w, t))))


def test_f_in_float32():
    """Its noise is measured: steps for float64 would be rounded away, and tried again and again."""
    found = adamnb.minimize(rounded, X0, ARGS, maxiter=500)
    assert found.gradient == "3-point"
    exact = adamnb.minimize(misfit, X0, ARGS)
    np.testing.assert_allclose(found.x, exact.x, rtol=1e-5)
    assert found.nfev < 220


def test_x_in_float32():
    found = adamnb.minimize(underivable, X0.astype(np.float32), ARGS)
    assert (found.x.dtype, found.gradient, found.success) == (np.float32, "3-point", True)
    np.testing.assert_allclose(found.x, adamnb.minimize(misfit, X0, ARGS).x, rtol=1e-3)


def test_where_f_is_not_finite():
    """A wall beside the start, and one ahead."""
    fun = numba.njit(lambda x: -abs(complex(np.log(x[0]))) * np.sign(np.log(x[0])) + x[0])
    found = adamnb.minimize(fun, [1e-6])
    assert found.gradient == "3-point"
    assert abs(found.x[0] - 1) < 1e-5


# ------------------------------------------------------------------------- within compiled code


@numba.njit
def fit(x0, y, w, t):
    return adamnb.njit_minimize(misfit, x0, (y, w, t))


@numba.njit
def fit_by_differences(x0, y, w, t):
    return adamnb.njit_minimize(underivable, x0, (y, w, t), None, verify=0)


@pytest.mark.parametrize(
    ("run", "fun", "verify"), [(fit, misfit, 32), (fit_by_differences, underivable, 0)]
)
def test_within_compiled_code(run, fun, verify):
    expected = adamnb.minimize(fun, X0, ARGS, verify=verify)
    found = run(X0, *ARGS)
    same(found._asdict(), expected, ("x", "fun", "jac", "nit", "status"))
    same(
        adamnb.njit_minimize(fun, X0, ARGS)._asdict(), adamnb.minimize(fun, X0, ARGS), ("x", "jac")
    )


def test_what_cannot_be_within_compiled_code():
    pair = numba.njit(lambda x: (x[0], x))

    with pytest.raises(TypingError, match=r"No derivative: .*complex"):
        numba.njit(lambda x0: adamnb.njit_minimize(underivable, x0, (x0, 1.0, x0), "forward"))(X0)
    with pytest.raises(
        TypingError, match=r"`fun` must return a number, or \(f, gradient\) with jac=True"
    ):
        numba.njit(lambda x0: adamnb.njit_minimize(pair, x0))(X0)
