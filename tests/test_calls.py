"""What a call does beside its iterations: counted, and never with what another call has left."""

import gc
import sys
import threading
import weakref
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import types
from numba.core.dispatcher import Dispatcher

import adamnb
from adamnb._compiled import functions, machine_code
from adamnb._run import block, fits, team

X0 = np.array([3.0, -2.0])
DATA = np.array([1.0, 10.0])


@numba.njit
def fun(x, a):
    f = 0.0
    for i in range(x.size):
        f += a[i] * (x[i] - 1.0) ** 2
    return f


@numba.njit
def jac(x, a):
    return 2.0 * a * (x - 1.0)


@numba.njit
def misfit(x, g, y, a):
    f = 0.0
    for i in range(x.size):
        f += a[i] * (x[i] - y) ** 2
        g[i] = 2.0 * a[i] * (x[i] - y)
    return f


def solve(a=DATA, **options):
    return adamnb.minimize(fun, X0, (a,), jac=jac, **({"maxiter": 1} | options))


def solve_ten(a=DATA, count=10, **options):
    y = np.linspace(1.0, 2.0, count)
    return adamnb.minimize_batch(misfit, X0, (a,), (y,), jac="inplace", **options)


@pytest.fixture
def counted(monkeypatch):
    """Count what takes long in Numba: types of values, new types, code that is looked up or compiled."""
    counts = {}

    def count(place, name):
        original = getattr(place, name)

        def noted(*args, **kwargs):
            counts[name] = counts.get(name, 0) + 1
            return original(*args, **kwargs)

        monkeypatch.setattr(place, name, noted)

    count(numba, "typeof")
    count(types.FunctionType, "__init__")
    count(types.NamedTuple, "__init__")
    count(Dispatcher, "compile")
    count(
        Dispatcher, "get_compile_result"
    )  # what Numba's own first-class functions ask for each time
    return counts


@pytest.mark.parametrize(("call", "asked"), [(solve, {}), (solve_ten, {"typeof": 1})])  # of y[0]
def test_a_second_call_with_new_data_compiles_and_looks_up_nothing(call, asked, counted):
    call()
    seconds = machine_code.seconds
    counted.clear()
    call(2 * DATA, maxiter=3)
    assert counted == asked
    assert machine_code.seconds == seconds


def test_what_is_no_plain_array_is_asked_for_once_a_call(counted):
    plain, read_only = solve(), DATA.copy()
    read_only.flags.writeable = False
    solve(read_only)
    counted.clear()
    assert solve(read_only).x.tobytes() == plain.x.tobytes()
    assert counted == {"typeof": 1}


def test_another_dtype_is_another_function():
    solve()
    result = solve(DATA.astype(np.int64), maxiter=200)
    assert result.x.tobytes() == solve(maxiter=200).x.tobytes()
    assert solve(DATA.astype(np.float32)).compiled


TARGET = 1.0  # what Numba takes for a constant


@numba.njit
def around_target(x):
    return np.sum((x - TARGET) ** 2), 2.0 * (x - TARGET)


def test_a_function_compiled_anew_is_the_new_one(monkeypatch):
    first = adamnb.minimize(around_target, X0, jac=True)
    monkeypatch.setitem(around_target.py_func.__globals__, "TARGET", 5.0)
    around_target.recompile()
    second = adamnb.minimize(around_target, X0, jac=True)
    np.testing.assert_allclose(first.x, 1.0, atol=1e-6)
    np.testing.assert_allclose(second.x, 5.0, atol=1e-6)


def test_nothing_of_the_caller_is_kept_alive():
    function = numba.njit(lambda x, a: (np.sum(a * x * x), 2.0 * a * x))
    data = DATA.copy()
    adamnb.minimize(function, X0, (data,), jac=True, maxiter=1)
    code, array = weakref.ref(next(iter(function.overloads.values())).library), weakref.ref(data)
    assert code() in functions._known
    del function, data
    gc.collect()
    assert array() is None
    assert code() is None


def test_options_may_change_between_two_calls():
    options = {"maxiter": 1}
    assert adamnb.minimize(fun, X0, (DATA,), jac=jac, options=options).nit == 1
    options |= {"maxiter": 2, "x_scale": 0.9}
    second = adamnb.minimize(fun, X0, (DATA,), jac=jac, options=options)
    assert (second.nit, options) == (2, {"maxiter": 2, "x_scale": 0.9})
    assert second.x_last.tobytes() == solve(maxiter=2, x_scale=0.9).x_last.tobytes()
    assert second.x_last.tobytes() != solve(maxiter=2).x_last.tobytes()


PACKAGE = str(Path(adamnb.__file__).parent)


@pytest.fixture
def calls_of():
    """Count the functions, of whatever language, that this package calls in a second call of its own."""
    before = sys.getprofile()

    def calls_of(call):
        count = 0

        def noted(frame, event, argument):
            nonlocal count
            caller = {"call": frame.f_back, "c_call": frame}.get(event)
            count += caller is not None and caller.f_code.co_filename.startswith(PACKAGE)

        call()
        sys.setprofile(noted)
        call()
        sys.setprofile(before)
        return count

    yield calls_of
    sys.setprofile(before)


@numba.njit
def line(t, a, b):
    return a + b * t


# A script that fits in loops pays for each of them. These are the counts of Python 3.11: who adds to them has
# looked whether that is needed in every call.
COUNTS = {
    "one": (solve, 310),
    "within bounds": (lambda: solve(bounds=[(-1.0, 4.0)] * 2), 380),
    "in Python": (
        lambda: adamnb.minimize(fun.py_func, X0, (DATA,), jac=jac.py_func, maxiter=1), 295
    ),
    "ten": (lambda: solve_ten(maxiter=1), 750),
    "a curve": (lambda: adamnb.curve_fit(line, np.arange(4.0), np.arange(4.0) ** 2, [1.0, 1.0]), 395),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_a_call_does_no_more_than_it_did(name, calls_of, monkeypatch):
    for place, seconds in ((team, "INSTANT"), (block, "SECONDS"), (fits, "SECONDS")):
        monkeypatch.setattr(place, seconds, np.inf)  # no second look at a clock
    call, most = COUNTS[name]
    assert calls_of(call) <= most


# ------------------------------------------------------------------------------ threads of a batch


@pytest.fixture
def started(monkeypatch):
    """Count the threads that are started."""
    names, start = [], threading.Thread.start

    def noted(thread):
        names.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    return names


@pytest.mark.parametrize(
    ("count", "instant", "expected"),
    [
        (1, 0.0, False),
        (10, np.inf, False),
        (17, np.inf, False),
        (10, 0.0, True),
        (90, np.inf, True),
    ],
)
def test_threads_are_started_where_there_is_work_for_them(
    count, instant, expected, started, monkeypatch
):
    monkeypatch.setattr(team, "INSTANT", instant)
    fits = solve_ten(count=count)
    assert bool(started) is (expected or instant == 0.0)
    alone = adamnb.minimize(misfit, X0, (2.0, DATA), jac="inplace", verify=0)
    assert fits.success.all()
    if count > 1:
        assert fits.x[-1].tobytes() == alone.x.tobytes()


def test_a_first_problem_that_takes_long_does_not_hold_up_the_others(started, monkeypatch):
    """Threads take the others while it is still at work, and every problem is solved once."""
    monkeypatch.setattr(team, "INSTANT", 0.0)
    done = []
    fits = solve_ten(count=40, progress=lambda count, total: done.append(count))
    assert started
    assert fits.success.all()
    assert done[-1] == 40
    assert done == sorted(done)
