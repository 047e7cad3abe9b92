"""The same bits, whatever runs the loop: repeats, threads, machine code, one step at a time."""

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from objectives import QUARTIC as FORMS
from objectives import quartic as fun
from objectives import quartic_jac as jac
from objectives import quartic_problem as problem
from scipy.optimize import Bounds

import adamnb
from adamnb._problem.methods import METHODS

N = 3 * 8192 + 5  # of the parallel loops: four blocks, the last of them short
SEVERAL = pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")


def minimize(n=5, form="separate", dtype=float, interpreted=False, **options):
    x0, a = problem(n, dtype)
    f, g = FORMS[form]
    if interpreted:  # a callback wants every point: the compiled functions are called one by one
        options["callback"] = lambda x: None
    return adamnb.minimize(f, x0, (a,), jac=g, **({"maxiter": 60} | options))


def bits(result):
    """Return all numbers of a result as bytes."""
    arrays = (result.x, result.jac, result.x_last, result.state["slots"])
    numbers = (result.fun, result.fun_last, result.nit, result.nfev, result.status)
    return (
        *(array.tobytes() for array in arrays),
        *numbers,
        np.asarray(result.learning_rate).tobytes(),
    )


def schedule(t):
    return 0.1 / t**0.5


LONG = {"gtol": 0.0, "ftol": 0.0}  # to the last iteration that is allowed
BOUNDED = {"bounds": Bounds(-0.5, [0.1, 0.2, 0.3, 0.4, 9.0])} | LONG
SCALED = {"x_scale": [1e-2, 1e-1, 1.0, 10.0, 100.0], "learning_rate": 0.01}
VARIANTS = {
    "automatic": {},
    "fixed": {"learning_rate": 0.03},
    "one each": {"learning_rate": [0.01, 0.02, 0.03, 0.04, 0.05]},
    "schedule": {"learning_rate": schedule},
    "scaled": SCALED,
    "clipped": {"clip_norm": 3.0},
    "bounded": BOUNDED,
    "bounded, clipped, scaled": BOUNDED | SCALED | {"clip_norm": 3.0},
    "xtol": {"xtol": 1e-4},
    "float32": {"dtype": np.float32},
    "float32, bounded": {"dtype": np.float32} | BOUNDED,
    "history": {"history": True},
    "decay": {"weight_decay": 0.1},
    "eps 0": {"eps": 0.0},
    "both": {"form": "both"},
    "in place": {"form": "inplace"},
    "in place, bounded": {"form": "inplace"} | BOUNDED,
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_compiled_and_interpreted(variant):
    compiled = minimize(**VARIANTS[variant])
    interpreted = minimize(**VARIANTS[variant], interpreted=True)
    assert compiled.nit > 10
    assert (compiled.compiled, interpreted.compiled) == (True, False)
    assert bits(compiled) == bits(interpreted)
    if "history" in compiled:
        for name, values in compiled.history.items():
            assert values.tobytes() == interpreted.history[name].tobytes()


# One method for every rule with every set of coefficients.
KINDS = {(method.rule, method.coefficients): name for name, method in METHODS.items()}


@pytest.mark.parametrize("method", KINDS.values())
def test_compiled_and_interpreted_by_every_rule(method):
    options = {"method": method, "maxiter": 40}
    assert bits(minimize(**options)) == bits(minimize(**options, interpreted=True))


def test_the_three_forms():
    results = {bits(minimize(form=form, **BOUNDED)) for form in FORMS}
    assert len(results) == 1


@pytest.mark.parametrize("interpreted", [False, True])
def test_repeat(interpreted):
    first = minimize(interpreted=interpreted)
    assert all(bits(minimize(interpreted=interpreted)) == bits(first) for _ in range(3))
    assert bits(minimize(interpreted=interpreted, memory=2)) != bits(first)


@pytest.mark.parametrize("interpreted", [False, True])
def test_python_threads(interpreted):
    alone = [minimize(n=n, interpreted=interpreted, maxiter=300) for n in range(2, 6)]
    with ThreadPoolExecutor(8) as pool:
        sizes = [2 + i % 4 for i in range(32)]
        runs = pool.map(lambda n: minimize(n=n, interpreted=interpreted, maxiter=300), sizes)
        for n, result in zip(sizes, runs, strict=True):
            assert bits(result) == bits(alone[n - 2])


# ------------------------------------------------------------------------------------ Numba's threads


@SEVERAL
@pytest.mark.parametrize(
    ("interpreted", "options"),
    [
        (True, {}),
        (True, {"clip_norm": 3.0, "bounds": Bounds(-0.5, 0.7)}),
        (False, {"clip_norm": 3.0, "bounds": Bounds(-0.5, 0.7)}),
        (True, {"learning_rate": 0.01}),
        (True, {"learning_rate": 0.01, "method": "lion", "dtype": np.float32}),
    ],
)
def test_threads_of_minimize(interpreted, options):
    serial, parallel = (
        minimize(n=N, threads=threads, maxiter=30, interpreted=interpreted, **options)
        for threads in (1, 2)
    )
    assert serial.nit > 20
    assert bits(serial) == bits(parallel)


@SEVERAL
@pytest.mark.parametrize("method", METHODS)
def test_threads_of_the_optimizer(method):
    x, a = problem(N)
    finals = []
    for threads in (1, 2):
        y = x.copy()
        optimizer = adamnb.Optimizer(y, method, 0.01, threads=threads)
        for _ in range(5):
            optimizer.step(a * y)
        finals.append((y.tobytes(), optimizer.state["slots"].tobytes()))
    assert finals[0] == finals[1]
    assert finals[0][0] != x.tobytes()


# ---------------------------------------------------------------------------------------- Optimizer


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rate", [0.01, schedule, np.linspace(0.01, 0.05, 5)])
def test_steps_are_those_of_minimize(method, rate):
    x, a = np.linspace(-1, 1, 5), np.ones(5)
    whole = adamnb.minimize(
        fun, x, (a,), method, jac, learning_rate=rate, maxiter=20, callback=lambda x: None
    )
    optimizer = adamnb.Optimizer(x, method, rate)
    for _ in range(20):
        optimizer.step(jac(x, a))
    assert whole.nit == 20
    assert x.tobytes() == whole.x_last.tobytes()
    assert optimizer.state["slots"].tobytes() == whole.state["slots"].tobytes()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stop", [0, 1, 7, 19])
def test_a_state_given_back(method, stop):
    x, a = problem(6)
    x, a = x.reshape(2, 3), a.reshape(2, 3)
    hyper = {"beta1": 0.7} if "beta1" in METHODS[method].defaults else {"weight_decay": 0.01}
    first = adamnb.Optimizer(x, method, 0.01, **hyper)
    for t in range(20):
        if t == stop:
            state, y = first.state, x.copy()
        first.step(a * x)
    second = adamnb.Optimizer(y, method, 0.01)  # the hyper-parameters come with the state
    second.state = state
    for _ in range(stop, 20):
        second.step(a * y)
    assert y.tobytes() == x.tobytes()
    assert second.t == first.t == 20
    assert second.state["slots"].tobytes() == first.state["slots"].tobytes()


# All but yogi: its memory starts at 1e-6, in Optax as well, and so has a direction from the start.
ZERO = [(method, {}) for method in METHODS if method != "yogi"]
ZERO += [(method, {"eps": 0.0}) for method, _ in ZERO if "eps" in METHODS[method].defaults]


@pytest.mark.parametrize(("method", "eps"), ZERO)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_zero_gradient_is_no_step(method, eps, dtype):
    x = problem(5, dtype)[0]
    before = x.tobytes()
    optimizer = adamnb.Optimizer(x, method, 0.1, weight_decay=0.0, **eps)
    for _ in range(3):
        optimizer.step(np.zeros(5, dtype))
    assert x.tobytes() == before


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("t", [10**6, 10**9, 2**53])
def test_a_step_late_in_time(method, t):
    """The corrections have come to rest, so the step of any large t is the same."""
    late, x0 = [], problem(5)[0]
    for count in (10**12, t):
        x = x0.copy()
        optimizer = adamnb.Optimizer(x, method, 0.1)
        optimizer.step(np.ones(5))
        optimizer.state = optimizer.state | {"t": count}
        y = x.copy()
        optimizer.step(np.full(5, 0.5))
        late.append(x.tobytes())
        assert optimizer.t == count + 1
        assert (x != y).all()
        assert np.isfinite(x).all()
    assert late[0] == late[1]


# A rule of its own is a loop of its own, which takes seconds to compile with the automatic learning rate:
# every rule meets clipping and bounds, and two that differ in how rates are found meet all that is learnt.
UNDONE = [("adam", VARIANTS[name]) for name in ("automatic", "fixed", "schedule", "bounded")]
UNDONE += [(method, VARIANTS["fixed"] | BOUNDED) for method in METHODS]
UNDONE += [("momentum", {"interpreted": True} | VARIANTS[name]) for name in ("automatic", "fixed")]


@pytest.mark.parametrize(("method", "options"), UNDONE)
def test_what_is_asked_for_and_never_done_changes_no_bit(method, options):
    """A run that may clip has other machine code than a plain one."""
    given = options | {"method": method}
    assert bits(minimize(clip_norm=1e300, **given)) == bits(minimize(**given))


def test_a_late_step_of_adam_is_that_of_the_paper():
    x = np.zeros(1)
    optimizer = adamnb.Optimizer(x, learning_rate=0.1, eps=0.0)
    slots = np.array([[3.0], [4.0]])
    optimizer.state = optimizer.state | {"t": 10**9 - 1, "slots": slots}
    optimizer.step(np.array([1.0]))
    m, v = 0.9 * 3.0 + 0.1 * 1.0, 0.999 * 4.0 + 0.001 * 1.0
    np.testing.assert_allclose(x, -0.1 * m / v**0.5, rtol=4 * np.finfo(float).eps)


@pytest.mark.parametrize("method", METHODS)
def test_one_element_and_none(method):
    whole = minimize(n=5, method=method, learning_rate=0.01, maxiter=9, interpreted=True)
    x0, a = problem(5)
    last = adamnb.minimize(
        lambda x: fun(x, a[4:]), x0[4:], jac=lambda x: jac(x, a[4:]), method=method,
        learning_rate=0.01, maxiter=9,
    )  # fmt: skip
    assert last.x_last.tobytes() == whole.x_last[4:].tobytes()
    empty = adamnb.Optimizer(np.zeros(0), method)
    empty.step(np.zeros(0))
    assert empty.t == 1


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 16, 17, 33])
def test_an_element_does_not_depend_on_its_place(size):
    """Vector code and the remainder loop agree to the last bit."""
    x0 = problem(40)[0]
    whole, part = x0.copy(), x0[40 - size :].copy()
    for x in (whole, part):
        optimizer = adamnb.Optimizer(x, learning_rate=0.01)
        for _ in range(5):
            optimizer.step(np.sin(x))
    assert whole[40 - size :].tobytes() == part.tobytes()
