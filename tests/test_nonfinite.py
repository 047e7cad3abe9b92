"""NaN, infinity, overflow, wrong gradients and exceptions: reported, and nothing else is lost."""

from functools import partial

import numba
import numpy as np
import pytest

import adamnb
from adamnb._problem.methods import METHODS

A = np.array([1.0, 10.0])
X0 = np.array([3.0, -2.0])
C = 0.5  # where the minimum is; 0 is as far from every start, in its unit, and soon met
F0 = 68.75
LAST = 99
BAD = [np.nan, np.inf, -np.inf]


def both(x, calls, when, f_bad, g_bad):
    """A quadratic whose f or g is spoiled in one evaluation, counted in calls[0]."""
    f, g = 0.0, np.empty(x.size)
    for i in range(x.size):
        a = 1.0 if i == 0 else 10.0
        f += a * ((x[i] - C) * (x[i] - C))
        g[i] = 2 * a * (x[i] - C)
    if calls[0] == when:
        f += f_bad
        g[1] += g_bad
    calls[0] += 1
    return f, g


FUNCTIONS = {"interpreted": both, "compiled": numba.njit(both)}
LONG = {"memory": 0}  # no pairs, which would end too soon for what happens late


def minimize(loop, which, when, value, **options):
    spoil = (value, 0.0) if which == "fun" else (0.0, value)
    args = (np.zeros(1), when, *spoil)
    return adamnb.minimize(
        FUNCTIONS[loop], X0, args, jac=True, **({"maxiter": LAST} | LONG | options)
    )


def clean(maxiter, loop="interpreted", **options):
    return minimize(loop, "fun", -1, 0.0, maxiter=maxiter, **options)


def best_before(when):
    return clean(max(when - 1, 0), learning_rate=0.01)


@pytest.mark.parametrize("loop", FUNCTIONS)
@pytest.mark.parametrize("which", ["fun", "jac"])
@pytest.mark.parametrize("when", [0, 1, 50, LAST])
@pytest.mark.parametrize("value", BAD)
def test_with_a_given_learning_rate(loop, which, when, value):
    result = minimize(loop, which, when, value, learning_rate=0.01)
    assert (result.status, result.success, result.nit) == (3, False, when)
    assert (result.nfev, result.njev) == (when + 1, when + 1)
    what = f"`fun` is {value}" if which == "fun" else "`jac` is not finite at index 1"
    assert result.message.startswith(f"{what} in iteration {when}")
    assert np.isfinite(result.x).all()
    assert np.isfinite(result.state["slots"]).all()
    if when > 0:
        best = best_before(when)
        assert result.x.tobytes() == best.x.tobytes()
        assert result.jac.tobytes() == best.jac.tobytes()
        assert result.fun == best.fun <= F0


@pytest.mark.parametrize("loop", FUNCTIONS)
@pytest.mark.parametrize("which", ["fun", "jac"])
@pytest.mark.parametrize("when", [1, 5, 20])
@pytest.mark.parametrize("value", BAD)
def test_an_automatic_learning_rate_rolls_back(loop, which, when, value):
    result = minimize(loop, which, when, value, maxiter=2000)
    assert result.success
    assert result.nfev > when
    assert np.abs(result.x - C).max() < 1e-6
    assert np.isfinite(result.state["slots"]).all()
    assert result.message.startswith("Converged")


@pytest.mark.parametrize("loop", FUNCTIONS)
@pytest.mark.parametrize("which", ["fun", "jac"])
@pytest.mark.parametrize("value", BAD)
def test_nothing_to_roll_back_to(loop, which, value):
    result = minimize(loop, which, 0, value)
    assert (result.status, result.success, result.nit) == (3, False, 0)
    assert "in iteration 0" in result.message
    assert result.x.tobytes() == X0.tobytes()


@pytest.mark.parametrize("which", ["fun", "jac"])
def test_nothing_but_nan_after_a_while(which):
    """Rolling back comes to an end, with the best point that was finite."""
    calls = []

    def fun(x):
        calls.append(1)
        f, g = float(A @ ((x - C) * (x - C))), 2 * A * (x - C)
        if len(calls) > 20:
            return (np.nan, g) if which == "fun" else (f, g * np.nan)
        return f, g

    result = adamnb.minimize(fun, X0, jac=True, **LONG)
    assert result.status in (2, 3)
    assert not result.success
    assert result.nfev < 100
    assert np.isfinite(result.x).all()
    assert result.fun == float(A @ ((result.x - C) * (result.x - C))) < F0


@pytest.mark.parametrize("jac", [None, "2-point", "3-point", "cs"])
def test_differences_at_the_edge_of_the_domain(jac):
    """f is NaN for x >= 1 only, where the forward difference looks from x0 = 1 - tiny."""

    def fun(x):
        return x[0] ** 2 if x[0].real < 1.0 else np.nan

    result = adamnb.minimize(fun, [1.0 - 2**-53], jac=jac, learning_rate=0.1, maxiter=0)
    assert (result.status, result.nit) == (1, 0)
    np.testing.assert_allclose(result.jac, 2.0, rtol=1e-5)


@pytest.mark.parametrize("jac", [None, "2-point", "3-point", "cs"])
def test_differences_where_f_is_a_number_at_one_point_only(jac):
    result = adamnb.minimize(lambda x: 1.0 if x[0] == 1.0 else np.nan, [1.0], jac=jac)
    assert (result.status, result.nit) == (3, 0)
    assert result.message.startswith("`jac` is not finite at index 0 in iteration 0")


# ----------------------------------------------------------------------------------------- overflow


@pytest.mark.parametrize("learning_rate", [None, 0.01])
@pytest.mark.parametrize(
    ("method", "dtype", "scale"),
    [*((method, float, 1e155) for method in METHODS), ("adam", float, 1e290), ("adam", "f4", 1e25)],
)
def test_gradients_too_large_to_be_squared(method, learning_rate, dtype, scale):
    """Handled or reported; never a success, nor a limit reached without a step forward."""
    x0, a = X0.astype(dtype), (A * scale).astype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        result = adamnb.minimize(
            lambda x: a @ (x * x), x0, jac=lambda x: 2 * a * x, method=method,
            learning_rate=learning_rate, maxiter=300,
        )  # fmt: skip
    assert np.isfinite(result.x).all()
    assert result.fun <= a @ (x0 * x0)
    if result.success:
        assert np.abs(result.x).max() < 1e-3
    elif result.status == 1:
        assert result.fun < 0.5 * (a @ (x0 * x0))
    else:
        assert result.status in (2, 3)
        assert "beta2" not in METHODS[method].defaults or "too large" in result.message


def test_a_gradient_that_is_too_large_in_its_scale():
    """g is finite, g times x_scale is not."""
    result = adamnb.minimize(lambda x: float(x[0]), [1e10], jac=lambda x: np.full(1, 1e300))
    assert (result.status, result.success) == (3, False)
    assert "in iteration 0" in result.message


# ------------------------------------------------------------------------------------- wrong gradient


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("learning_rate", [None, 0.01])
def test_wrong_sign(method, learning_rate):
    with np.errstate(over="ignore", invalid="ignore"):
        result = adamnb.minimize(
            lambda x: float(A @ ((x - C) * (x - C))), X0, jac=lambda x: -2 * A * (x - C), method=method,
            learning_rate=learning_rate, maxiter=3000, weight_decay=0.0,  # it pulls to the minimum
        )  # fmt: skip
    assert not result.success
    assert result.fun == F0
    assert result.x.tobytes() == X0.tobytes()


# ---------------------------------------------------------------------------------------- exceptions


class UserError(Exception):
    """An exception of the user's own."""


def raising(when, error):
    """Return fun and jac that count calls; the call number `when` of the two raises `error`."""
    count = iter(range(10**6))

    def fun(x):
        if next(count) == when:
            raise error
        return float(A @ ((x - C) * (x - C)))

    def jac(x):
        if next(count) == when:
            raise error
        return 2 * A * (x - C)

    return fun, jac


@pytest.mark.parametrize("when", [0, 1, 20, 21])  # even: fun, odd: jac
@pytest.mark.parametrize(
    "error",
    [UserError("mine"), StopIteration("mine"), KeyboardInterrupt(), SystemExit(3), ValueError("x0"),
     ZeroDivisionError(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
@pytest.mark.parametrize("callback", [None, lambda x: None])
def test_exceptions_come_through(when, error, callback):
    fun, jac = raising(when, error)
    with pytest.raises(type(error)) as caught:
        adamnb.minimize(fun, X0, jac=jac, callback=callback, **LONG)
    assert caught.value is error
    again = adamnb.minimize(fun, X0, jac=jac, maxiter=20, **LONG)
    clean = adamnb.minimize(*raising(-1, error)[:1], X0, jac=jac, maxiter=20, **LONG)
    assert again.x.tobytes() == clean.x.tobytes()


@pytest.mark.parametrize("when", [0, 1, 20])
def test_exceptions_of_the_callback(when):
    error, count = UserError(), iter(range(100))

    def callback(x):
        if next(count) == when:
            raise error

    with pytest.raises(UserError) as caught:
        adamnb.minimize(
            lambda x: float(A @ ((x - C) * (x - C))),
            X0,
            jac=lambda x: 2 * A * (x - C),
            callback=callback,
            **LONG,
        )
    assert caught.value is error


@pytest.mark.parametrize("when", [1, 7])
def test_stop_iteration_of_the_callback(when):
    count = iter(range(1, 100))

    def callback(x):
        if next(count) == when:
            raise StopIteration

    fun, jac = raising(-1, None)
    result = adamnb.minimize(fun, X0, jac=jac, callback=callback, **LONG)
    assert (result.status, result.success, result.nit) == (99, False, when)
    assert result.message == "`callback` raised `StopIteration`."
    assert result.x.tobytes() == adamnb.minimize(fun, X0, jac=jac, maxiter=when, **LONG).x.tobytes()


def test_exceptions_of_a_schedule():
    error = UserError()

    def rate(t):
        if t == 5:
            raise error
        return 0.1

    with pytest.raises(UserError) as caught:
        adamnb.minimize(
            lambda x: float(A @ ((x - C) * (x - C))),
            X0,
            jac=lambda x: 2 * A * (x - C),
            learning_rate=rate,
        )
    assert caught.value is error


@numba.njit
def c_both(x, calls, when, kind):
    calls[0] += 1
    if calls[0] == when:
        if kind == 0:
            raise ValueError("of the user")
        if kind == 1:
            raise StopIteration
        if kind == 2:
            calls[int(x[0]) + 10**6 + np.argmax(x[:0])] = 1.0  # argmax of nothing is a ValueError
    f, g = 0.0, np.empty(x.size)
    if calls[0] == when and kind == 3:
        f = np.inf
    for i in range(x.size):
        f += (x[i] - C) * (x[i] - C)
        g[i] = 2 * (x[i] - C)
    return f, g


@pytest.mark.parametrize("when", [1, 2, 15])
@pytest.mark.parametrize(("kind", "error"), [(0, ValueError), (1, StopIteration), (2, ValueError)])
def test_exceptions_of_compiled_functions(when, kind, error):
    def run(when):
        return adamnb.minimize(c_both, X0, (np.zeros(1), when, kind), jac=True, maxiter=200, **LONG)

    before = run(-1)
    with pytest.raises(error) as caught:
        run(when)
    if kind == 0:
        assert caught.value.args == ("of the user",)
    assert run(-1).x.tobytes() == before.x.tobytes()


LOOPS = {
    "compiled": (c_both, {}),
    "called one by one": (c_both, {"callback": lambda x: None}),
    "interpreted": (c_both.py_func, {}),
}


def spoiled(loop, when, kind, **options):
    """Minimise what raises a ValueError (kind 0) or is infinite (kind 3) in its evaluation `when`."""
    fun, more = LOOPS[loop]
    return adamnb.minimize(fun, X0, (np.zeros(1), when, kind), jac=True, **(LONG | more | options))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("when", [1, 2, 15])
@pytest.mark.parametrize("history", [False, True])
def test_an_exception_carries_the_best_point(loop, when, history):
    with pytest.raises(ValueError, match="of the user") as caught:
        spoiled(loop, when, 0, history=history)
    if when == 1:  # there is none
        assert not hasattr(caught.value, "adamnb_result")
        return
    result = caught.value.adamnb_result
    best = spoiled(loop, -1, 0, maxiter=when - 2)
    assert result.x.tobytes() == best.x.tobytes()
    assert result.jac.tobytes() == best.jac.tobytes()
    assert (result.fun, result.nit, result.nfev) == (best.fun, when - 1, when)
    assert (result.status, result.success) == (5, False)
    assert f"ended the run in iteration {when - 1}" in result.message
    assert np.isnan(result.fun_last)
    if history:
        assert len(result.history["fun"]) == when - 1
        assert result.history["fun"].min() == best.fun


def test_exceptions_of_callback_schedule_and_shape_carry_it_too():
    def run(**options):
        with pytest.raises((UserError, ValueError)) as caught:
            adamnb.minimize(
                lambda x: float(x @ x), X0, **({"jac": lambda x: 2 * x} | LONG | options)
            )
        assert caught.value.adamnb_result.nit >= 3
        return caught.value.adamnb_result

    def failing(at):
        count = iter(range(100))

        def fail(given):
            if next(count) == at:
                raise UserError
            return 0.1

        return fail

    def changing(x, count=iter(range(100))):  # noqa: B008
        return 2 * x if next(count) < 4 else np.ones(3)

    for found in (run(callback=failing(3)), run(learning_rate=failing(4)), run(jac=changing)):
        assert found.fun < X0 @ X0
        assert found.fun == found.x @ found.x


def test_an_exception_that_takes_no_attribute_comes_through():
    class Sealed(Exception):  # noqa: N818
        def __setattr__(self, name, value):
            raise AttributeError(name)

    fun, jac = raising(20, Sealed())
    with pytest.raises(Sealed):
        adamnb.minimize(fun, X0, jac=jac, **LONG)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("when", [2, 3, 15])
@pytest.mark.parametrize("history", [False, True])
def test_what_is_caught_is_infinity(loop, when, history):
    found = spoiled(loop, when, 0, catch=(KeyError, ValueError), history=history)
    expected = spoiled(loop, when, 3, history=history)
    assert found.success
    assert found.nfev > when
    for name in ("x", "jac", "x_last"):
        assert found[name].tobytes() == expected[name].tobytes(), name
    for name in ("fun", "nit", "nfev", "njev", "status", "message"):
        assert found[name] == expected[name], name
    if history:
        for name, values in found.history.items():
            assert values.tobytes() == expected.history[name].tobytes(), name


@pytest.mark.parametrize("when", [20, 21])  # of fun, of jac
def test_what_either_function_raises_is_caught(when):
    found = adamnb.minimize(raising(when, UserError())[0], X0, jac=None, catch=UserError)
    assert found.success
    fun, jac = raising(when, UserError())
    found = adamnb.minimize(fun, X0, jac=jac, catch=UserError, **LONG)
    assert found.success
    assert found.nfev > when // 2


@pytest.mark.parametrize("loop", LOOPS)
def test_what_is_caught_and_what_is_not(loop):
    with pytest.raises(ValueError, match="of the user") as caught:
        spoiled(loop, 1, 0, catch=ValueError)  # at the start there is no way back
    assert not hasattr(caught.value, "adamnb_result")
    with pytest.raises(ValueError, match="of the user"):
        spoiled(loop, 5, 0, catch=(KeyError, np.linalg.LinAlgError))
    given = spoiled(loop, 5, 0, catch=ValueError, learning_rate=0.01)
    assert (given.status, given.nit) == (3, 4)
    assert "`fun` is inf in iteration 4" in given.message


def test_what_we_raise_is_not_caught():
    count = iter(range(100))
    jac = lambda x: 2 * x if next(count) < 5 else np.ones(3)  # noqa: E731
    with pytest.raises(ValueError, match="iteration 5"):
        adamnb.minimize(lambda x: float(x @ x), X0, jac=jac, catch=ValueError)


@pytest.mark.parametrize("jac", [None, "2-point", "3-point"])
def test_f_is_infinite_where_it_raises_beside_the_start(jac):
    """The first differences look at points where f is not defined."""

    def fun(x):
        if x[0] > 1.0:
            raise UserError
        return (x[0] + 1.0) ** 2 + (x[1] - 2.0) ** 2

    found = adamnb.minimize(fun, [1.0, 0.0], jac=jac, catch=UserError)
    assert found.success
    np.testing.assert_allclose(found.x, [-1.0, 2.0], atol=1e-6)
    same = adamnb.minimize(lambda x: np.inf if x[0] > 1.0 else fun(x), [1.0, 0.0], jac=jac)
    assert (same.x.tobytes(), same.nfev) == (found.x.tobytes(), found.nfev)
    with pytest.raises(UserError):
        adamnb.minimize(fun, [1.5, 0.0], jac=jac, catch=UserError)  # at the start itself


@pytest.mark.parametrize("jac", ["separate", "2-point", "inplace"])
def test_the_edge_of_a_domain(jac):
    """A covariance matrix that is no longer positive definite: Cholesky raises, and the fit goes on."""
    raised = []

    def matrix(x):
        return np.array([[1.0, x[0]], [x[0], 1.0]])

    def fun(x, *g):
        try:
            np.linalg.cholesky(matrix(x))
        except np.linalg.LinAlgError:
            raised.append(x)
            raise
        if g:
            g[0][:] = slope(x)
        return -4 * float(x[0]) - 0.5 * float(np.log(1 - x[0] ** 2))

    def slope(x):
        return -4 + x / (1 - x**2)

    options = {"jac": {"separate": slope}.get(jac, jac), "x_scale": 10.0}
    with pytest.raises(np.linalg.LinAlgError) as caught:
        adamnb.minimize(fun, [0.0], **options)
    assert caught.value.adamnb_result.fun <= 0.0
    raised.clear()
    found = adamnb.minimize(fun, [0.0], **options, catch=np.linalg.LinAlgError)
    assert raised
    assert found.success
    np.testing.assert_allclose(found.x, (np.sqrt(65) - 1) / 8, rtol=1e-4)


def test_exceptions_while_polishing():
    def both(x):
        if 0 < abs(x[0] - C) < 1e-3:
            raise UserError
        return float(A @ ((x - C) * (x - C))), 2 * A * (x - C)

    run = partial(adamnb.minimize, both, X0, jac=True, maxiter=5, polish=True, **LONG)
    before = adamnb.minimize(both, X0, jac=True, maxiter=5, **LONG)
    with pytest.raises(UserError) as caught:
        run()
    result = caught.value.adamnb_result
    assert (result.status, result.success) == (5, False)
    assert result.fun <= before.fun
    assert result.fun == both(result.x)[0]
    assert run(catch=UserError).fun <= before.fun


@numba.njit
def reciprocal(x):
    return x[0] + 1.0 / x[0], np.array([1.0 - 1.0 / (x[0] * x[0])])


@pytest.mark.parametrize("options", [{}, {"callback": lambda x: None}])
def test_a_compiled_division_by_zero_says_how_it_is_infinite(options):
    options = options | {"bounds": [(0, None)], "learning_rate": 10.0}
    with pytest.raises(ZeroDivisionError) as caught:
        adamnb.minimize(reciprocal, [2.0], jac=True, **options)
    assert ['error_model="numpy"' in note for note in caught.value.__notes__] == [True]
    assert caught.value.adamnb_result.x == 2.0
    with pytest.raises(ZeroDivisionError) as caught:
        adamnb.minimize(lambda x: (1 / int(x[0]), x), [0.0], jac=True)
    assert not hasattr(caught.value, "__notes__")


def test_a_compiled_shape_that_changes_names_the_iteration():
    @numba.njit
    def fun(x, calls):
        calls[0] += 1
        return (x * x).sum()

    @numba.njit
    def jac(x, calls):
        return 2 * x if calls[0] <= 50 else np.ones(3)

    text = r"`jac` returned shape \(3,\), expected \(2,\).*iteration 50"
    with pytest.raises(ValueError, match=text):
        adamnb.minimize(fun, X0, (np.zeros(1),), jac=jac, learning_rate=0.01)


@pytest.mark.parametrize(
    ("fun", "jac", "args", "texts"),
    [
        (lambda x: x.missing, lambda x: x, (), ["`fun` does not compile", "missing", "py_func"]),
        (lambda x: x.sum(), lambda x: x.missing, (), ["`jac` does not compile", "missing"]),
        (lambda x: x.sum(), lambda x: 1.0, (), ["`jac` must return a real vector", "float64"]),
        (lambda x: 1j, lambda x: x, (), ["`fun` must return a scalar", "complex128"]),
        (lambda x, a: x.sum(), lambda x, a: x, ({},), ["`args[0]`", "dict", "py_func"]),
    ],
)
def test_what_does_not_compile_says_why(fun, jac, args, texts):
    with pytest.raises(TypeError) as caught:
        adamnb.minimize(numba.njit(fun), X0, args, jac=numba.njit(jac))
    for text in texts:
        assert text in str(caught.value)
