"""Steps and minimisations on a GPU, or in Numba's simulator:

    NUMBA_ENABLE_CUDASIM=1 python -m pytest tests/test_cuda_device.py

The simulator must be chosen before Numba is imported. Without it and without a GPU, nothing runs here.
"""

import copy
import sys
from types import SimpleNamespace

import numba
import numpy as np
import pytest
import reference
import scipy.optimize
from devices import AVAILABLE, SIMULATED, Exported, on_device, put, simulated

import adamnb
from adamnb._problem.methods import METHODS

DTYPES = (np.float32, np.float64)

if AVAILABLE:
    from numba import cuda

    from adamnb._cuda import driver, run, vector


@pytest.fixture(autouse=True)
def small_grid(monkeypatch):
    """Let few threads do much, so that each takes several elements."""
    if AVAILABLE:
        monkeypatch.setattr(driver, "THREADS", min(driver.THREADS, 32))
        monkeypatch.setattr(driver, "GRID", driver.FEWEST)


def ulps(got, expected):
    """Return the largest difference in units of the last place; the simulator has none to give away."""
    allowed = np.spacing(np.maximum(np.abs(got), np.abs(expected)))
    return 0 if got.size == 0 else float((np.abs(got - expected) / allowed).max())


ALLOWED = 0 if SIMULATED else 4  # a GPU rounds a product and a sum once

CASES = [
    (method, changes)
    for method in METHODS
    for changes in ({}, {"weight_decay": 0.1}, {"learning_rate": "array"}, {"centered": True})
    if set(changes) <= {"learning_rate", *METHODS[method].defaults}
]


@on_device
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("method", "changes"), CASES, ids=str)
def test_step_is_that_of_the_cpu(method, changes, dtype):
    rng = np.random.default_rng(4)
    n = 100 if SIMULATED else 10_000  # more than threads
    settings = {"learning_rate": 1e-2} | changes
    if settings["learning_rate"] == "array":
        settings["learning_rate"] = rng.uniform(0, 1e-2, n)
    x, gradients = rng.normal(size=n).astype(dtype), rng.normal(size=(3, n)).astype(dtype)
    there = put(x)
    host = adamnb.Optimizer(x, method, **settings)
    device = adamnb.Optimizer(there, method, **settings)
    for g in gradients:
        host.step(g)
        device.step(put(g))
        assert ulps(there.copy_to_host(), x) <= ALLOWED * host.t
    assert host.t == device.t


@on_device
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_step_is_that_of_an_80_bit_reference(method, dtype):
    rng = np.random.default_rng(1)
    x, gradients = rng.normal(size=9).astype(dtype), rng.normal(size=(10, 9)).astype(dtype)
    settings = {"eps_root": METHODS[method].defaults["eps"]} if method == "adabelief" else {}
    expected = reference.trajectory(method, x, gradients, 1e-2, **settings)[-1]
    there = put(x)
    device = adamnb.Optimizer(there, method, 1e-2)
    for g in gradients:
        device.step(put(g))
    np.testing.assert_allclose(there.copy_to_host(), expected, atol=40 * np.finfo(dtype).eps)


@on_device
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 4, 5), ()])
def test_shapes(shape):
    x, g = np.full(shape, 2.0), np.full(shape, 3.0)
    there = put(x)
    host, device = adamnb.Optimizer(x), adamnb.Optimizer(there)
    host.step(g)
    device.step(put(g))
    assert ulps(there.copy_to_host(), x) <= ALLOWED
    assert repr(device) == repr(host)


@on_device
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["adam", "yogi"])  # yogi's slots do not start at zero
def test_state_moves_between_cpu_and_device(method, dtype):
    rng = np.random.default_rng(5)
    x, gradients = rng.normal(size=50).astype(dtype), rng.normal(size=(6, 50)).astype(dtype)
    y = x.copy()
    host = adamnb.Optimizer(x, method, 0.01)
    first = adamnb.Optimizer(y, method, 0.01)
    for g in gradients[:2]:
        host.step(g)
        first.step(g)
    there = put(y)
    second = adamnb.Optimizer(there, method, 0.01)
    second.state = first.state
    for g in gradients[2:4]:
        host.step(g)
        second.step(put(g))
    z = there.copy_to_host()
    third = adamnb.Optimizer(z, method, 0.01)
    third.state = second.state
    assert type(second.state["slots"]) is np.ndarray
    for g in gradients[4:]:
        host.step(g)
        third.step(g)
    assert ulps(z, x) <= ALLOWED * len(gradients)
    assert third.t == host.t == 6


BEYOND = 2**31 + 5  # no index of 32 bits reaches the end


@pytest.mark.skipif(not AVAILABLE or SIMULATED, reason="no GPU")
def test_step_beyond_31_bits(monkeypatch):
    monkeypatch.undo()  # the grid that users have
    n, dtype = BEYOND, np.dtype(np.float32)
    needed, free = 4.1 * n * dtype.itemsize, cuda.current_context().get_memory_info()[0]
    if needed > free:
        pytest.skip(f"needs {needed / 1e9:.0f} GB of GPU memory; {free / 1e9:.0f} GB are free")
    x, g = (cuda.device_array(n, dtype) for _ in range(2))
    blank = driver.kernel(vector.fill, vector.fill_signature(dtype))
    for array, value in ((x, 1.0), (g, 0.5)):
        blank[4096, 256](array.reshape(1, n), dtype.type(value))
    rng = np.random.default_rng(7)
    places = [slice(i, i + 6) for i in (0, n // 4, n // 2, n - 11, n - 6)]  # 2^31 is in n - 6
    for array in (x, g):
        for place in places:
            array[place].copy_to_device(rng.normal(size=6).astype(dtype))

    def looked_at(array):
        return np.concatenate([array[place].copy_to_host() for place in places])

    expected, gradient = looked_at(x), looked_at(g)
    host = adamnb.Optimizer(expected, learning_rate=0.1)
    device = adamnb.Optimizer(x, learning_rate=0.1)
    for _ in range(2):
        host.step(gradient)
        device.step(g)
        assert ulps(looked_at(x), expected) <= ALLOWED * host.t
    for k, expected in enumerate(host.state["slots"]):
        assert ulps(looked_at(device._slots[k]), expected) <= ALLOWED * host.t


@on_device
def test_schedule_and_repeat_runs():
    rng = np.random.default_rng(6)
    x, gradients = rng.normal(size=50), rng.normal(size=(5, 50))
    runs = []
    for _ in range(2):
        there = put(x)
        device = adamnb.Optimizer(there, learning_rate=lambda t: 0.1 / t)
        for g in gradients:
            device.step(put(g))
        runs.append(there.copy_to_host().tobytes())
    assert runs[0] == runs[1]


@simulated
def test_copies_and_a_learning_rate_that_is_set():
    g, rates = Exported(np.ones(3)), np.array([0.1, 0.2, 0.3])
    ours = adamnb.Optimizer(Exported(np.ones(3)), learning_rate=rates)
    ours.step(g)
    theirs, shared = copy.deepcopy(ours), copy.copy(ours)
    assert shared.x is ours.x
    before = ours.x.array.copy()
    theirs.step(g)
    assert (ours.x.array == before).all()
    ours.step(g)
    assert theirs.x.array.tobytes() == ours.x.array.tobytes()
    theirs.learning_rate = 0.0
    before = theirs.x.array.copy()
    theirs.step(g)
    assert (theirs.x.array == before).all()
    assert (ours.t, theirs.t, shared.t) == (2, 3, 1)


@simulated
@pytest.mark.parametrize(
    ("array", "error", "text"),
    [
        (Exported(np.ones(3, np.float16)), TypeError, "dtype float32 or float64; got float16"),
        (Exported(np.ones(3, ">f8")), TypeError, "dtype float32 or float64; got >f8"),
        (Exported(np.ones(3, int)), TypeError, "dtype float32 or float64; got int64"),
        (Exported(np.ones((3, 4)).T), ValueError, "C-contiguous"),
        (Exported(np.ones(3), mask=Exported(np.ones(3, bool))), ValueError, "C-contiguous"),
        (Exported(np.ones(3), data=(1, True)), ValueError, "writeable.*JAX"),
    ],
)
def test_wrong_variables(array, error, text):
    with pytest.raises(error, match=f"`x` must.*{text}"):
        adamnb.Optimizer(array)


@simulated
@pytest.mark.parametrize(
    ("gradient", "error", "text"),
    [
        (np.ones((3, 4)), TypeError, "on the device, where x is; got ndarray on the host"),
        (None, TypeError, "on the device"),
        (Exported(np.ones((3, 4), np.float32)), TypeError, "dtype float64, that of x; got float32"),
        (Exported(np.ones(12)), ValueError, r"shape \(3, 4\), that of x; got \(12,\)"),
        (Exported(np.ones((4, 3)).T), ValueError, "C-contiguous"),
    ],
)
def test_wrong_gradient(gradient, error, text):
    x = np.ones((3, 4))
    optimizer = adamnb.Optimizer(Exported(x))
    with pytest.raises(error, match=f"`gradient` must.*{text}"):
        optimizer.step(gradient)
    assert (x == 1).all()
    assert optimizer.t == 0


@simulated
def test_gradient_of_another_device(monkeypatch):
    optimizer = adamnb.Optimizer(Exported(np.ones(3)))
    monkeypatch.setattr(vector, "device_of", lambda interface: 1)
    with pytest.raises(ValueError, match="must be on device 0, that of x; got device 1"):
        optimizer.step(Exported(np.ones(3)))


@simulated
def test_read_only_gradient_is_read_only():
    x, g = np.ones(3), np.ones(3)
    optimizer = adamnb.Optimizer(Exported(x))
    optimizer.step(Exported(g, data=(g.ctypes.data, False)))
    assert (g == 1).all()
    assert (x < 1).all()


# ------------------------------------------------------------------------------- minimising on a device


def rosen(x):
    x = x.copy_to_host()
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def rosen_slope(x):
    x = x.copy_to_host().astype(float)
    g = np.zeros_like(x)
    g[1:] += 200 * (x[1:] - x[:-1] ** 2)
    g[:-1] += -400 * (x[1:] - x[:-1] ** 2) * x[:-1] - 2 * (1 - x[:-1])
    return g


class OnHost:
    """Lets functions of device arrays take the host's."""

    def __init__(self, x):
        self.copy_to_host = x.copy


START = np.array([-1.2, 1.0, 0.7])
STEPS = 12 if SIMULATED else 200  # the simulator takes its time
RUNS = {
    "automatic": {},
    "bounds": {"bounds": [(-2, 0.5), (-1.2, 3), (None, 0.6)]},
    "a given rate": {"learning_rate": 0.01},
    "a rate each": {"learning_rate": np.array([0.01, 0.02, 0.03]), "weight_decay": 0.1},
    "a schedule": {"learning_rate": adamnb.schedules.Cosine(0.1, 10)},
    "a plateau": {"learning_rate": adamnb.schedules.Plateau(0.1, patience=2)},
    "clipped": {"clip_norm": 10.0, "x_scale": 3.0},
    "a first rate too high": {"x_scale": 40.0},
    "sgd": {"method": "sgd"},
    "nadam, far": {"method": "nadam", "x_scale": [1.0, 200.0, 1.0]},
    "yogi": {"method": "yogi"},
    "the step": {"xtol": 0.5, "gtol": 0, "method": "momentum"},
    "the target": {"f_target": 60.0},
    "evaluations": {"maxfun": 5},
}


def both(dtype, **options):
    """Return the results on the host and on the device."""
    x0 = START.astype(dtype)
    options = {"maxiter": STEPS, **options}
    host = adamnb.minimize(
        lambda x: rosen(OnHost(x)),
        x0,
        jac=lambda x: rosen_slope(OnHost(x)),
        verify=0,
        memory=0,
        **options,
    )
    device = adamnb.minimize(
        rosen, put(x0), jac=lambda x: put(rosen_slope(x).astype(dtype)), **options
    )
    return host, device


@on_device
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("run", RUNS)
def test_minimize_is_that_of_the_cpu(run, dtype):
    host, device = both(dtype, **RUNS[run])
    if not SIMULATED:  # a chaotic path: rounding differs
        assert device.success == host.success
        return
    for name in ("nit", "nfev", "njev", "status", "message"):
        assert device[name] == host[name], name
    # Sums differ in their order, and so the learning rate; a path magnifies that.
    within = {"rtol": 1e6 * np.finfo(dtype).eps if dtype is np.float64 else 1e-4}
    for name in ("fun", "fun_last"):
        np.testing.assert_allclose(device[name], host[name], **within)
    for name in ("x", "jac", "x_last"):
        np.testing.assert_allclose(device[name].copy_to_host(), host[name], **within, atol=1e-7)
    assert set(device.state) == {*host.state, "device.reduced", "device.plan"}


@on_device
@pytest.mark.parametrize("run", RUNS)
def test_minimize_goes_on_with_the_same_bits(run, tmp_path):
    """From a state, whose vectors are on the device, and from a file."""

    def minimize(**more):
        return adamnb.minimize(
            rosen, put(START), jac=lambda x: put(rosen_slope(x)), history=True,
            **{"maxiter": STEPS} | RUNS[run] | more,
        )  # fmt: skip

    def told(result):
        x, history = result.x.copy_to_host(), result.history
        arrays = (x, result.x_last.copy_to_host(), *history.values())
        numbers = [result[name] for name in ("fun", "nit", "nfev", "njev", "message")]
        return [array.tobytes() for array in arrays], numbers

    whole = minimize()
    for count in {0, 1, 7, max(whole.nit - 1, 0)}:
        part = minimize(maxiter=count, checkpoint=tmp_path / "run")
        assert told(minimize(state=part.state)) == told(whole)
        assert told(minimize(resume=tmp_path / "run")) == told(whole)


@on_device
def test_an_exception_on_the_way_carries_a_state(tmp_path):
    calls = [0]

    def minimize(fails, **options):
        def fun(x):
            calls[0] += 1
            if calls[0] == fails:
                raise OSError("now")
            return rosen(x)

        calls[0] = 0
        return adamnb.minimize(
            fun, put(START), jac=lambda x: put(rosen_slope(x)), maxiter=STEPS, **options
        )

    whole = minimize(0)
    with pytest.raises(OSError, match="now") as raised:
        minimize(6, checkpoint=tmp_path / "run", checkpoint_every=0)
    found = raised.value.adamnb_result
    assert (found.nit, found.status) == (5, 5)
    for options in ({"state": found.state}, {"resume": tmp_path / "run"}):
        rest = minimize(0, **options)
        assert rest.x.copy_to_host().tobytes() == whole.x.copy_to_host().tobytes()
        assert rest.nfev == whole.nfev


@on_device
def test_minimize_repeats_its_bits_on_the_device():
    runs = [both(np.float64)[1].x.copy_to_host().tobytes() for _ in range(2)]
    assert runs[0] == runs[1]


@on_device
def test_many_elements_on_few_threads():
    n = 70 if SIMULATED else 100_003
    size = np.linspace(1, 3, n)
    x0 = np.linspace(-2, 2, n)
    options = {"maxiter": 8, "x_scale": np.abs(x0) + (x0 == 0)}  # learnt on the host alone

    def fun(x):
        return float(np.sum(size * (x.copy_to_host() - 0.3) ** 4))

    def jac(x):
        return put(4 * size * (x.copy_to_host() - 0.3) ** 3)

    host = adamnb.minimize(
        lambda x: fun(OnHost(x)),
        x0,
        jac=lambda x: 4 * size * (x - 0.3) ** 3,
        threads=1,
        memory=0,
        **options,
    )
    device = adamnb.minimize(fun, put(x0), jac=jac, **options)
    np.testing.assert_allclose(device.x.copy_to_host(), host.x, rtol=1e-10)
    assert device.nit == host.nit


@on_device
@pytest.mark.parametrize("form", ["True", "inplace", "on the device"])
def test_forms_of_the_gradient(form):
    def inplace(x, g):
        g.copy_to_device(rosen_slope(x))
        return rosen(x)

    call = {
        "True": (lambda x: (rosen(x), put(rosen_slope(x))), True),
        "inplace": (inplace, "inplace"),
        "on the device": (lambda x: put(np.array([rosen(x)])), lambda x: put(rosen_slope(x))),
    }[form]
    expected = both(np.float64, maxiter=5)[1]
    found = adamnb.minimize(call[0], put(START), jac=call[1], maxiter=5)
    assert found.x.copy_to_host().tobytes() == expected.x.copy_to_host().tobytes()
    assert found.fun == expected.fun


@on_device
def test_callback_and_history():
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)
        if len(seen) == 3:
            raise StopIteration

    device = adamnb.minimize(
        rosen, put(START), jac=lambda x: put(rosen_slope(x)), callback=callback, history=True
    )
    assert device.status == 99
    assert [result.nit for result in seen] == [1, 2, 3]
    assert len({result.x.copy_to_host().tobytes() for result in seen}) == 3
    np.testing.assert_allclose(device.history["fun"][1:], [result.fun for result in seen[:2]])


@on_device
def test_progress_and_table(capsys):
    def run(**options):
        there = put(START)
        return adamnb.minimize(
            rosen, there, jac=lambda x: put(rosen_slope(x)), maxiter=9, **options
        )

    plain, seen = run(history=True), []
    with pytest.warns(scipy.optimize.OptimizeWarning, match="maxiter"):
        found = run(progress=seen.append, disp=3)
    assert found.x.copy_to_host().tobytes() == plain.x.copy_to_host().tobytes()
    assert (seen[-1].nit, seen[-1].nfev, seen[-1].fun) == (found.nit, found.nfev, found.fun)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [row for row in rows if row[0].isdigit()]
    assert [int(row[0]) for row in rows] == [0, 3, 6, 9]
    assert [row[1] for row in rows] == [f"{f:.9g}" for f in plain.history["fun"][::3]]

    def enough(point):
        raise StopIteration

    stopped = run(progress=enough)
    assert (stopped.status, stopped.message) == (99, "`progress` raised `StopIteration`.")


@on_device
def test_x0_stays_as_it_is_and_may_be_read_only():
    there = put(START)
    both(np.float64)
    adamnb.minimize(rosen, there, jac=lambda x: put(rosen_slope(x)), maxiter=3)
    assert there.copy_to_host().tobytes() == START.tobytes()


@on_device
@pytest.mark.parametrize(
    ("fun", "jac", "status", "text"),
    [
        (lambda x: np.nan, rosen_slope, 3, "`fun` is nan"),
        (rosen, lambda x: np.array([0.0, np.nan, 1.0]), 3, "`jac` is not finite at index 1"),
    ],
    ids=["fun", "jac"],
)
def test_not_finite(fun, jac, status, text):
    result = adamnb.minimize(fun, put(START), jac=lambda x: put(jac(x)), maxiter=3)
    assert result.status == status
    assert text in result.message


@on_device
@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"x0": np.array([1.0, np.nan])}, ValueError, "`x0` must be finite; got nan at index 1"),
        ({"x0": np.ones((2, 2))}, ValueError, "'x0' must only have one dimension"),
        ({"x0": np.ones(0)}, ValueError, "at least one element"),
        ({"x0": np.ones(3, int)}, TypeError, "`x0` must have dtype float32 or float64; got int64"),
        ({"jac": None}, ValueError, "`jac` must be given where x0 is on a GPU"),
        ({"polish": True}, ValueError, "`polish` runs on the host"),
        ({"fun": lambda x: (1.0, 2.0)}, ValueError, "must return a scalar"),
        ({"fun": lambda x: put(np.ones(3))}, ValueError, "one float32 or float64"),
        ({"jac": rosen_slope}, TypeError, "`jac` must be on the device.*ndarray on the host"),
        ({"jac": lambda x: put(np.ones(4))}, ValueError, r"`jac` must have shape \(3,\)"),
        ({"jac": True}, TypeError, r"returned float"),
    ],
)
def test_wrong_minimize(change, error, text):
    given = {"fun": rosen, "x0": START, "jac": lambda x: put(rosen_slope(x))} | change
    x0 = put(given.pop("x0"))
    with pytest.raises(error, match=text):
        adamnb.minimize(given.pop("fun"), x0, **given, maxiter=3)


def another_device(interface):
    """Return where an array is, as the simulator's say it themselves."""
    return interface.get("device", 0)


@simulated
@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"x0": Exported(np.ones(6)[::2])}, ValueError, "`x0` must be C-contiguous"),
        ({"x0": Exported(np.ones(3), mask=Exported(np.ones(3, bool)))}, ValueError, "contiguous"),
        ({"x0": Exported(np.ones(3, ">f4"))}, TypeError, "`x0` must have dtype.*got >f4"),
        ({"jac": lambda x: Exported(np.ones(6)[::2])}, ValueError, "`jac` must be C-contiguous"),
        (
            {"jac": lambda x: Exported(np.ones(3, np.float32))},
            TypeError,
            "`jac` must have dtype float64, that of x0; got float32",
        ),
        (
            {"jac": lambda x: Exported(np.ones(3), device=1)},
            ValueError,
            "`jac` must be on device 0, that of x0; got device 1",
        ),
        ({"jac": lambda x: None}, TypeError, "`jac` must be on the device.*NoneType"),
        (
            {"fun": lambda x: Exported(np.ones(1), device=1)},
            ValueError,
            "`fun` must return f on device 0, that of x0; got device 1",
        ),
        ({"fun": lambda x: Exported(np.ones(1, int))}, ValueError, "one float32 or float64"),
    ],
)
def test_wrong_arrays_for_minimize(change, error, text, monkeypatch):
    for module in (vector, run):
        monkeypatch.setattr(module, "device_of", another_device)
    call = {"fun": rosen, "x0": put(START), "jac": lambda x: put(rosen_slope(x))} | change
    with pytest.raises(error, match=text):
        adamnb.minimize(**call, maxiter=3)


class CuPyLike(np.ndarray):
    """An array of the host that passes for one of CuPy's on a device."""

    __cuda_array_interface__ = property(lambda self: np.asarray(self).__array_interface__)


CuPyLike.__module__ = "cupy"


@simulated
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_are_of_the_kind_of_x0(dtype, monkeypatch):
    def asarray(array):
        return np.asarray(getattr(array, "_ary", array)).view(CuPyLike)

    def misfit(x):
        seen.append(type(x))
        return (x * x).sum(), 2 * x

    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(asarray=asarray))
    seen = []
    x0 = asarray(START.astype(dtype))
    device = adamnb.minimize(misfit, x0, jac=True, maxiter=5)
    assert set(seen) == {CuPyLike}
    for name in ("x", "jac", "x_last"):
        assert type(device[name]) is CuPyLike
        assert device[name].dtype == dtype
    seen.clear()
    host = adamnb.minimize(misfit, START.astype(dtype), jac=True, maxiter=5, verify=0, memory=0)
    assert set(seen) == {np.ndarray}
    assert type(host.x) is np.ndarray
    np.testing.assert_allclose(
        np.asarray(device.x), host.x, rtol=1e-4, atol=1e-12
    )  # sums in another order


@on_device
def test_functions_of_the_host():

    with pytest.raises(TypeError, match="run on the host"):
        adamnb.minimize(numba.njit(lambda x: x[0]), put(START), jac=rosen_slope)
