"""The caller's arrays are never touched, and what the caller's functions do to theirs changes no bit."""

import numba
import numpy as np
import pytest
import scipy.optimize

import adamnb

A = np.array([1.0, 10.0, 100.0])
X0 = np.array([3.0, -2.0, 1.0])
BOUNDS = np.array([[-1.0, 4.0], [-3.0, 5.0], [0.5, 2.0]])
MAXITER = 20
C = 0.7  # where the minimum is; 0 is as far from every start, in its unit, and soon met


def fun(x, a):
    return float(a @ ((x - C) * (x - C)))


def jac(x, a):
    return 2 * a * (x - C)


def minimize(fun=fun, jac=jac, args=(A,), **kwargs):
    return adamnb.minimize(fun, X0, args, jac=jac, **({"maxiter": MAXITER, "memory": 0} | kwargs))


@pytest.fixture(scope="module")
def clean():
    return minimize()


def same(result, clean):
    """Assert that two runs have the same bits."""
    for name in ("x", "jac", "x_last"):
        assert result[name].tobytes() == clean[name].tobytes()
    assert (result.fun, result.nit, result.nfev) == (clean.fun, clean.nit, clean.nfev)
    assert result.nit == MAXITER


# -------------------------------------------------------------------------------------- interpreted


class Buffer:
    """A gradient that comes in one array each time, prepared by `change`."""

    def __init__(self, change=lambda buffer: buffer):
        self.buffer = np.zeros(6)
        self.change = change

    def __call__(self, x, a):
        buffer = self.change(self.buffer)
        buffer[:] = 2 * a * (x - C)
        return buffer


def fun_spoils(x, a):
    f = fun(x, a)
    x[:] = np.nan
    return f


def jac_spoils(x, a):
    g = jac(x, a)
    x[:] = np.nan
    return g


def jac_in_its_argument(x, a):
    x[:] = 2 * a * (x - C)
    return x


def jac_read_only(x, a):
    return np.frombuffer(jac(x, a).tobytes())


def both_in_place(x, g, a):
    f = fun(x, a)
    g[:] = jac(x, a)
    x[:] = np.nan
    return f


kept = []


def jac_keeps_and_spoils(x, a):
    """Spoil every gradient returned before, then return a new one."""
    for old in kept:
        old[:] = np.nan
    kept.append(jac(x, a))
    return kept[-1]


@pytest.mark.parametrize(
    ("fun", "jac"),
    [
        (fun_spoils, jac),
        (fun, jac_spoils),
        (fun_spoils, jac_in_its_argument),
        (fun, jac_in_its_argument),
        (fun, Buffer(lambda buffer: buffer[:3])),
        (fun, Buffer(lambda buffer: buffer[::2])),
        (fun, Buffer(lambda buffer: buffer[::-2])),
        (fun, jac_read_only),
        (fun, jac_keeps_and_spoils),
        (both_in_place, "inplace"),
        (lambda x, a: (fun(x, a), jac_in_its_argument(x, a)), True),
        (lambda x, a: (fun(x, a), jac_spoils(x, a)), True),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_aliasing(fun, jac, clean):
    same(minimize(fun, jac), clean)


def test_differences_of_a_function_that_spoils_x():
    same(minimize(fun_spoils, "3-point"), minimize(fun, "3-point"))


@pytest.mark.parametrize("spoils", [False, True])
def test_memoized_pair_of_scipy(spoils, clean):
    buffer = np.empty(3)

    def both(x, a):
        buffer[:] = 2 * a * (x - C)
        f = fun(x, a)
        if spoils:
            x[:] = np.nan
        return f, buffer

    result = scipy.optimize.minimize(
        both, X0, (A,), method=adamnb.adam, jac=True, options={"maxiter": MAXITER, "memory": 0}
    )
    same(result, clean)


# ----------------------------------------------------------------------------------------- compiled


@numba.njit
def c_fun(x, a):
    f = 0.0
    for i in range(x.size):
        f += a[i] * ((x[i] - C) * (x[i] - C))
    return f


@numba.njit
def c_jac(x, a):
    return 2 * a[: x.size] * (x - C)


@numba.njit
def c_fun_spoils(x, a):
    f = c_fun(x, a)
    x[:] = np.nan
    return f


@numba.njit
def c_jac_in_its_argument(x, a):
    for i in range(x.size):
        x[i] = 2 * a[i] * (x[i] - C)
    return x


@numba.njit
def c_jac_in_a_buffer(x, a):
    """The buffer is the end of `a`."""
    buffer = a[3:6]
    for i in range(x.size):
        buffer[i] = 2 * a[i] * (x[i] - C)
    return buffer


@numba.njit
def c_jac_strided(x, a):
    buffer = np.zeros(6)[::2]
    for i in range(x.size):
        buffer[i] = 2 * a[i] * (x[i] - C)
    return buffer


@numba.njit
def c_both(x, a):
    return c_fun(x, a), c_jac_in_its_argument(x, a)


@numba.njit
def c_inplace(x, g, a):
    f = c_fun(x, a)
    for i in range(x.size):
        g[i] = 2 * a[i] * (x[i] - C)
        x[i] = np.nan
    return f


@pytest.mark.parametrize(
    ("fun", "jac"),
    [
        (c_fun_spoils, c_jac),
        (c_fun_spoils, c_jac_in_its_argument),
        (c_fun, c_jac_in_a_buffer),
        (c_fun, c_jac_strided),
        (c_both, True),
        (c_inplace, "inplace"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
@pytest.mark.parametrize("compiled", [True, False])
def test_aliasing_of_compiled_functions(fun, jac, compiled):
    data = np.concatenate((A, A))
    spoiled = minimize(fun, jac, (data,), callback=None if compiled else lambda x: None)
    plain = minimize(c_fun, c_jac, (data[:3],))
    same(spoiled, plain)


def test_a_compiled_read_only_gradient():
    data = np.array(A)
    data.flags.writeable = False
    constant = numba.njit(lambda x, a: a)  # a linear function has a constant gradient
    linear = numba.njit(lambda x, a: (a * x).sum())
    result = minimize(linear, constant, (data,))
    same(result, minimize(lambda x, a: (a * x).sum(), lambda x, a: a, (data,)))


# ---------------------------------------------------------------------------------- the arrays given


@pytest.mark.parametrize("functions", [(fun, jac), (c_fun, c_jac), (fun, "2-point")])
def test_nothing_given_is_changed(functions):
    given = {
        "x0": X0.copy(),
        "args": (A.copy(),),
        "bounds": scipy.optimize.Bounds(*BOUNDS.T.copy()),
        "learning_rate": np.array([0.1, 0.2, 0.3]),
        "x_scale": np.array([1.0, 2.0, 3.0]),
    }
    arrays = [given["x0"], *given["args"], given["bounds"].lb, given["bounds"].ub,
              given["learning_rate"], given["x_scale"]]  # fmt: skip
    before = [array.tobytes() for array in arrays]
    options = {"maxiter": MAXITER}
    fun, jac = functions
    result = adamnb.minimize(fun, jac=jac, options=options, **given)
    assert [array.tobytes() for array in arrays] == before
    assert options == {"maxiter": MAXITER}
    assert result.nit > 5
    outputs = [result.x, result.x_last, result.jac, result.learning_rate]
    outputs += [value for value in result.state.values() if isinstance(value, np.ndarray)]
    for i, output in enumerate(outputs):
        assert not any(np.shares_memory(output, array) for array in arrays)
        assert not any(np.shares_memory(output, other) for other in outputs[:i])


def test_x0_may_be_changed_while_it_runs(clean):
    x0 = X0.copy()

    def spoils(x, a):
        x0[:] = np.nan
        return fun(x, a)

    same(adamnb.minimize(spoils, x0, (A,), jac=jac, maxiter=MAXITER, memory=0), clean)


def test_bounds_may_be_changed_while_it_runs():
    lower, upper = BOUNDS.T.copy()

    def spoils(x, a):
        lower[:] = upper[:] = np.nan
        return fun(x, a)

    bounds = scipy.optimize.Bounds(lower, upper)
    clean = minimize(bounds=BOUNDS)
    same(minimize(spoils, bounds=bounds), clean)


# ----------------------------------------------------------------------------------------- callback


KEPT = {
    "itself": lambda x: x,
    "a view": lambda x: x[1:],
    "a memoryview": memoryview,
    "a reshaped view of a view": lambda x: x[:].reshape(1, -1),
}


@pytest.mark.parametrize("keep", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("form", ["separate", True, "inplace"])
def test_functions_may_keep_what_they_are_given(form, keep, clean):
    kept, seen = [], []

    def noted(x):
        kept.append(keep(x))
        seen.append(x.copy())

    def f(x, a):
        noted(x)
        return fun(x, a)

    def g(x, a):
        noted(x)
        return jac(x, a)

    def both(x, a):
        noted(x)
        return fun(x, a), jac(x, a)

    def inplace(x, out, a):
        noted(x)
        out[:] = jac(x, a)
        return fun(x, a)

    given = {"separate": (f, g), True: (both, True), "inplace": (inplace, "inplace")}[form]
    result = minimize(*given)
    assert result.x.tobytes() == clean.x.tobytes()
    assert len(kept) == (result.nfev + result.njev if form == "separate" else result.nfev)
    for view, x in zip(kept, seen, strict=True):
        assert np.array_equal(np.asarray(view), np.asarray(keep(x)))


def test_a_gradient_that_is_the_point_itself():
    result = adamnb.minimize(lambda x: 0.5 * float(x @ x), X0, jac=lambda x: x)
    expected = adamnb.minimize(lambda x: 0.5 * float(x @ x), X0, jac=lambda x: x.copy())
    assert result.x.tobytes() == expected.x.tobytes()
    assert result.nit == expected.nit


@pytest.mark.parametrize("form", ["x", "intermediate_result"])
def test_callback_may_keep_or_spoil(form, clean):
    seen, kept = [], []

    def take(x, g=None):
        seen.append(x.copy())
        kept.append(x)
        if len(kept) % 2:
            for array in (x, g):
                if array is not None:
                    array[:] = np.nan

    def whole(intermediate_result):
        take(intermediate_result.x, intermediate_result.jac)
        intermediate_result.fun = np.nan

    same(minimize(callback=take if form == "x" else whole), clean)
    assert len(kept) == MAXITER
    for i, (x, copy) in enumerate(zip(kept, seen, strict=True)):
        if i % 2:  # those not spoiled are still what they were
            assert x.tobytes() == copy.tobytes()
    assert len({x.tobytes() for x in seen}) == MAXITER


# ---------------------------------------------------------------------------------------- Optimizer


def test_optimizer_only_reads_the_gradient():
    x, g = X0.copy(), np.array(A)
    g.flags.writeable = False
    rates = np.array([0.1, 0.2, 0.3])
    optimizer = adamnb.Optimizer(x, learning_rate=rates)
    view, state = x[:], optimizer.state
    for _ in range(3):
        optimizer.step(g)
    assert g.tobytes() == A.tobytes()
    assert rates.tolist() == [0.1, 0.2, 0.3]
    assert (view != X0).all()  # in place
    assert not state["slots"].any()  # a copy
    optimizer.state["slots"][:] = np.nan
    optimizer.step(g)
    assert np.isfinite(x).all()


def test_optimizer_takes_x_as_its_own_gradient():
    """The gradient of x.x / 2 is x itself; element by element it is read before it is written."""
    x, y = X0.copy(), X0.copy()
    aliased, clean = adamnb.Optimizer(x), adamnb.Optimizer(y)
    for _ in range(5):
        aliased.step(x)
        clean.step(y.copy())
    assert x.tobytes() == y.tobytes()
    assert x.tobytes() != X0.tobytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_gradient_that_is_the_variables(threads):
    x = np.random.default_rng(3).normal(size=9000)  # of x**2 / 2
    apart = x.copy()
    ours, expected = (adamnb.Optimizer(array, threads=threads) for array in (x, apart))
    for _ in range(3):
        expected.step(apart.copy())
        ours.step(x)
    assert x.tobytes() == apart.tobytes()
