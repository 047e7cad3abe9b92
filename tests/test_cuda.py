"""Steps on a GPU.

Without one, every kernel is compiled for several GPUs and its machine code is looked at, and the tests
of steps run in Numba's simulator, which must be chosen before Numba is imported: in a process of their
own. With one, they run on it.
"""

import ctypes
import inspect
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest
import reference
from devices import (
    AVAILABLE,
    CAPABILITIES,
    INSTALLED,
    SIMULATED,
    Exported,
    assembled,
    compiles,
    put,
    simulate,
)
from numba import types

import adamnb
from adamnb._methods import METHODS
from adamnb._rules import COEFFICIENTS, RULES, MethodType, inner

DTYPES = (np.float32, np.float64)

if INSTALLED:
    from numba import cuda

    from adamnb import _cuda, _cuda_loop, _kernels

needs_numba_cuda = pytest.mark.skipif(not INSTALLED, reason="numba-cuda is not installed")
on_device = pytest.mark.skipif(not AVAILABLE, reason="no GPU, and not in the simulator")


# ------------------------------------------------------------------------------------- without a GPU


def process(code, **environment):
    """Run Python code in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_numba_cuda_is_imported_for_device_arrays_only():
    process(
        "import sys, numpy, adamnb, adamnb._minimize\n"
        "adamnb.Optimizer(numpy.ones(3)).step(numpy.ones(3))\n"
        "assert 'adamnb._cuda' not in sys.modules\n"
        "assert 'numba.cuda.dispatcher' not in sys.modules\n"
    )


def test_numba_cuda_is_imported_in_one_file():
    importing = re.compile(
        r"^\s*(from numba import [^()\n]*\bcuda\b|from numba import \([^)]*\bcuda\b"
        r"|(from|import) numba(\.|_)cuda\b)",
        re.MULTILINE,
    )
    package = Path(adamnb.__file__).parent
    found = {path.name for path in package.glob("*.py") if importing.search(path.read_text())}
    assert found == {"_cuda.py"}


@pytest.mark.skipif(AVAILABLE, reason="there is a GPU")
def test_without_a_gpu_the_error_has_reason_and_way_out():
    with pytest.raises(RuntimeError, match=r"CUDA device.*adamnb\[cu12\].*NumPy"):
        adamnb.Optimizer(Exported(np.ones(3)))


def test_without_numba_cuda_the_error_has_reason_and_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "adamnb._cuda", None)
    with pytest.raises(RuntimeError, match=r"does not import.*adamnb\[cu12\].*NumPy"):
        adamnb.Optimizer(Exported(np.ones(3)))


def test_array_of_a_device_for_variables_of_the_host():
    optimizer = adamnb.Optimizer(np.ones(3))
    with pytest.raises(TypeError, match="must be on the host, where x is; got Exported on a GPU"):
        optimizer.step(Exported(np.ones(3)))


@needs_numba_cuda
@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.ones((3, 4)), True),
        (np.ones((3, 4)).T, False),
        (np.ones((3, 4))[:, :2], False),
        (np.ones((1, 4))[:, :4:2], False),
        (np.ones((3, 4))[:1], True),
        (np.ones((3, 4))[::-1], False),
        (np.ones(0)[::2], True),
    ],
    ids=str,
)
def test_contiguous(array, expected):
    described = array.__array_interface__
    assert _cuda.contiguous(described) is expected
    assert _cuda.contiguous(described | {"strides": array.strides}) is expected


@needs_numba_cuda
def test_stream_of_the_producer():
    array = Exported(np.ones(3))
    assert _cuda.stream_of(array, {}) is None
    assert _cuda.stream_of(array, {"stream": None}) is None
    assert _cuda.stream_of(array, {"stream": 2}) == 2
    with pytest.raises(ValueError, match="stream 0"):
        _cuda.stream_of(array, {"stream": 0})


def test_stream_of_torch_is_its_current_one(monkeypatch):
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    current = SimpleNamespace(current_stream=lambda device: SimpleNamespace(cuda_stream=7 * device))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=current))
    tensor = type("Tensor", (), {"__module__": "torch", "device": 3})()
    assert _cuda.stream_of(tensor, {"version": 2}) == 21
    tensor.device = 0  # the default stream has the handle 0
    assert _cuda.stream_of(tensor, {"version": 2}) is None


# --------------------------------------------------------------------------------------- machine code


def step_code(method, dtype, capability, rated=False):
    """Return a step's PTX."""
    signature = _cuda.step_signature(method, np.dtype(dtype), rated)
    return cuda.compile_ptx(_cuda.step, signature, cc=capability)[0]


def parameters(ptx):
    return len(re.findall(r"^\s*\.param", ptx, re.MULTILINE))


def check_code(ptx, capability, dtype, loads, stores, path):
    """Check that a kernel is what it should be: no traffic, arithmetic or memory but what it needs."""
    assert f".target sm_{capability[0]}{capability[1]}" in ptx
    assert len(re.findall(r"\bld\.global", ptx)) == loads
    if stores is not None:
        assert len(re.findall(r"\bst\.global", ptx)) == stores
    assert ".local" not in ptx
    assert not re.search(r"^\s*call", ptx, re.MULTILINE)
    assert re.search(r"setp\.\w+\.[us]64", ptx)  # the index has 64 bits
    if dtype is np.float32:
        assert ".f64" not in ptx
    said = assembled(ptx, capability, path)
    if said is not None:
        assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in said
        registers = int(re.search(r"Used (\d+) registers", said)[1])
        assert registers <= (64 if dtype is np.float32 else 80)  # 1,024 or 768 threads on any GPU


KERNELS = {method.rule: method for method in METHODS.values()}  # coefficients are arguments


@compiles
@pytest.mark.parametrize("capability", CAPABILITIES, ids="{0[0]}.{0[1]}".format)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_code_of_a_step(no_device, rule, dtype, capability, tmp_path):
    method, slots = KERNELS[rule].numba_type(), RULES[rule][1]
    ptx = step_code(method, dtype, capability)
    check_code(ptx, capability, dtype, slots + 2, slots + 1, tmp_path)


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_code_of_a_step_with_an_array_of_learning_rates(no_device, rule, dtype, tmp_path):
    method, slots = KERNELS[rule].numba_type(), RULES[rule][1]
    ptx = step_code(method, dtype, (9, 0), rated=True)
    check_code(ptx, (9, 0), dtype, slots + 3, slots + 1, tmp_path)


def types_of(rule, dtype, **given):
    """Return the types of a minimisation's kernels."""
    full = {"automatic": True, "rated": False, "scaled": True, "bounded": True}
    kind = KERNELS[rule].numba_type("elsewhere")
    return _cuda_loop.Signatures(kind, np.dtype(dtype), **full | given)


@compiles
@pytest.mark.parametrize("capability", CAPABILITIES, ids="{0[0]}.{0[1]}".format)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_code_of_a_move(no_device, rule, dtype, capability, tmp_path):
    kernel, slots = _cuda_loop.move, RULES[rule][1]
    coefficients = len(set(re.findall(r"\bc\.(\w+)", inspect.getsource(RULES[rule][0].py_func))))
    # A launch reads its orders and numbers, an element x, g, scale, the bounds and slots; it writes the
    # slots, x in two places, and nothing into the first slot where a variable rests on its bound.
    launch = 5 + len(_kernels.Shell._fields) + coefficients
    given = types_of(rule, dtype, automatic=False).move
    ptx = cuda.compile_ptx(kernel, given, cc=capability)[0]
    unused = 1 + 5  # the order to empty the memory; the rate and limits of gains
    check_code(ptx, capability, dtype, launch - unused + 5 + slots, 2 + slots + 1, tmp_path)
    # Gain and last step besides; to go back, five orders, a number and two rows of x and of g. Stores of
    # the loops that do it or empty the memory are not counted.
    ptx = cuda.compile_ptx(kernel, types_of(rule, dtype).move, cc=capability)[0]
    check_code(ptx, capability, dtype, launch + 7 + slots + 10, None, tmp_path)


@compiles
@pytest.mark.parametrize("capability", CAPABILITIES, ids="{0[0]}.{0[1]}".format)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["begin", "measure", "conclude"])
def test_code_of_the_other_kernels(no_device, name, dtype, capability, tmp_path):
    signatures = types_of("adam", dtype)
    signature = (
        signatures.conclude(np.dtype(dtype)) if name == "conclude" else vars(signatures)[name]
    )
    ptx = cuda.compile_ptx(vars(_cuda_loop)[name], signature, cc=capability)[0]
    if name != "conclude":  # which passes over blocks
        assert re.search(r"setp\.\w+\.[us]64", ptx)  # the index has 64 bits
    if name == "begin" and dtype is np.float32:  # sums and judgements are float64
        assert ".f64" not in ptx
    said = assembled(ptx, capability, tmp_path)
    if said is not None:
        assert "0 bytes spill stores, 0 bytes spill loads" in said
        if name == "measure":  # the one that passes over memory
            assert int(re.search(r"Used (\d+) registers", said)[1]) <= 96


@compiles
@pytest.mark.parametrize("coefficients", COEFFICIENTS)
def test_code_of_a_judgement(no_device, coefficients):
    method = next(m for m in METHODS.values() if m.coefficients == coefficients)
    signatures = _cuda_loop.Signatures(
        method.numba_type("elsewhere"), np.dtype(np.float32), False, False, False, False
    )
    ptx = cuda.compile_ptx(_cuda_loop.conclude, signatures.conclude(None), cc=(9, 0))[0]
    assert ".entry" in ptx


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_code_of_fill(no_device, dtype, tmp_path):
    signature = _cuda.fill_signature(np.dtype(dtype))
    ptx = cuda.compile_ptx(_cuda.fill, signature, cc=(9, 0))[0]
    check_code(ptx, (9, 0), dtype, 0, 1, tmp_path)


@compiles
@pytest.mark.parametrize("literal", [True, False])
def test_literal_that_promotes_float32_is_found(no_device, literal, monkeypatch, tmp_path):
    def careless(g, m, c):
        m = c.mu * m + (1.0 - c.mu) * g
        return c.a * m, m

    def careful(g, m, c):
        m = c.mu * m + c.b * g
        return c.a * m, m

    rule = careless if literal else careful
    monkeypatch.setitem(RULES, rule.__name__, (inner(rule), 1))
    ptx = step_code(MethodType(rule.__name__, "adam"), np.float32, (9, 0))
    with pytest.raises(AssertionError, match=r"\.f64") if literal else nullcontext():
        check_code(ptx, (9, 0), np.float32, 3, 2, tmp_path)


@compiles
def test_arguments_of_a_launch_are_the_parameters_of_the_code(no_device):
    from numba.cuda.dispatcher import _Kernel

    method = METHODS["adam"].numba_type()
    signature = _cuda.step_signature(method, np.dtype(np.float32), rated=False)
    launched = _Kernel.__new__(_Kernel)
    launched.extensions = _cuda.KERNEL["extensions"]
    arguments = []
    for kind in signature:
        if isinstance(kind, types.Array):
            arguments += ["pointers, sizes and strides"] * (5 + 2 * kind.ndim)
        else:
            value = [np.float32(1)] * len(kind) if isinstance(kind, types.BaseTuple) else None
            launched._prepare_args(kind, value, 0, [], arguments)
    assert len(arguments) == parameters(step_code(method, np.float32, (9, 0)))


class Memory:
    """Memory on a device, as far as a launch asks for it."""

    device_pointer_value = size = _cuda_memsize_ = 2**20

    def __init__(self, address):
        self.device_ctypes_pointer, self.device_pointer = ctypes.c_void_p(address), address


def somewhere(shape, dtype, address):
    """Return an array at an address of a device."""
    from numba.cuda.cudadrv import devicearray

    return devicearray.DeviceNDArray(
        shape, np.empty(shape, dtype).strides, np.dtype(dtype), gpu_data=Memory(address)
    )


@compiles
def test_a_launch_made_ready_tells_the_driver_what_numba_cuda_tells_it(monkeypatch):
    from numba.cuda import dispatcher

    code = dispatcher._Kernel.__new__(dispatcher._Kernel)
    code.extensions, code.debug, code.cooperative = _cuda.KERNEL["extensions"], False, False
    loaded = SimpleNamespace(handle=7, kernel=None, name="name")
    code._codelibrary = SimpleNamespace(get_cufunc=lambda: loaded)
    method, dtype = METHODS["adam"].numba_type("elsewhere"), np.dtype(np.float32)
    code.signature = SimpleNamespace(
        args=_cuda_loop.Signatures(method, dtype, True, False, False, False).conclude(None)
    )
    theirs, ours = [], []
    monkeypatch.setattr(
        dispatcher, "launch", lambda stream, config, code, *rest: theirs.extend(rest)
    )
    monkeypatch.setattr(
        _cuda, "DRIVER", SimpleNamespace(
            CUfunction=int, CUstream=int,
            cuLaunchKernel=lambda *arguments: ours.extend(arguments) or (0,),
        ),
    )  # fmt: skip
    vectors = [somewhere((3,) * kind.ndim, dtype, 64 * i) if isinstance(kind, types.Array) else None
               for i, kind in enumerate(code.argument_types)]  # fmt: skip
    place, f, rate = 2, len(vectors) - 2, len(vectors) - 1
    ready = _cuda.Launch(
        SimpleNamespace(overloads={"": code}), 5, *vectors[:place],
        somewhere((3,), dtype, 1), *vectors[place + 1 : f], 0.0, 0.0,
    )  # fmt: skip
    ready.put(place, 64 * place)
    ready.put(f, 1.5)
    ready.put(rate, 0.25)
    ready(None)
    code.launch([*vectors[:f], 1.5, 0.25], (5, 1, 1), (256, 1, 1))
    *how, addresses, _ = ours
    assert how == [7, 5, 1, 1, _cuda.THREADS, 1, 1, 0, 0]
    places = (ctypes.c_void_p * len(theirs)).from_address(addresses)
    for place, number in zip(places, theirs, strict=True):
        number = number if isinstance(number, ctypes._SimpleCData) else ctypes.c_int64(number)
        assert type(number).from_address(place).value == number.value


@needs_numba_cuda
@pytest.mark.skipif(AVAILABLE, reason="the tests of steps run here")
def test_in_the_simulator():
    assert simulate(__file__) > 60


# ------------------------------------------------------------------------------------------ on a device


@pytest.fixture(autouse=True)
def small_grid(monkeypatch):
    """Let few threads do much, so that each takes several elements."""
    if AVAILABLE:
        monkeypatch.setattr(_cuda, "THREADS", min(_cuda.THREADS, 32))
        monkeypatch.setattr(_cuda, "BLOCKS", _cuda.FEWEST)


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
    blank = _cuda.kernel(_cuda.fill, _cuda.fill_signature(dtype))
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


simulated = pytest.mark.skipif(not SIMULATED, reason="the simulator takes descriptions of arrays")


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
    monkeypatch.setattr(_cuda, "device_of", lambda interface: 1)
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
        lambda x: rosen(OnHost(x)), x0, jac=lambda x: rosen_slope(OnHost(x)), verify=0, **options
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
    assert set(device.state) == set(host.state)


@on_device
def test_minimize_repeats_its_bits_on_the_device():
    runs = [both(np.float64)[1].x.copy_to_host().tobytes() for _ in range(2)]
    assert runs[0] == runs[1]


@on_device
def test_many_elements_on_few_threads():
    n = 70 if SIMULATED else 100_003
    size = np.linspace(1, 3, n)
    x0 = np.linspace(-2, 2, n)

    def fun(x):
        return float(np.sum(size * (x.copy_to_host() - 0.3) ** 4))

    def jac(x):
        return put(4 * size * (x.copy_to_host() - 0.3) ** 3)

    host = adamnb.minimize(
        lambda x: fun(OnHost(x)), x0, jac=lambda x: 4 * size * (x - 0.3) ** 3, maxiter=8, threads=1
    )
    device = adamnb.minimize(fun, put(x0), jac=jac, maxiter=8)
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
    """Stand in for `device_of`: the simulator's arrays say where they are."""
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
    for module in (_cuda, _cuda_loop):
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
    host = adamnb.minimize(misfit, START.astype(dtype), jac=True, maxiter=5, verify=0)
    assert set(seen) == {np.ndarray}
    assert type(host.x) is np.ndarray
    np.testing.assert_allclose(
        np.asarray(device.x), host.x, rtol=1e-4, atol=1e-12
    )  # sums in another order


@needs_numba_cuda
def test_views_for_other_packages(monkeypatch):
    def owner(module):
        return type("Array", (), {"__module__": module, "device": "cuda:1"})()

    calls = SimpleNamespace(
        as_tensor=lambda array, device: ("as_tensor", array, device),
        numpy=SimpleNamespace(array=lambda array, copy: ("array", array, copy)),
    )
    monkeypatch.setitem(sys.modules, "torch", calls)
    monkeypatch.setitem(sys.modules, "jax", calls)
    assert _cuda.like(owner("torch.nn.parameter"), 5) == ("as_tensor", 5, "cuda:1")
    assert _cuda.like(owner("jaxlib._jax"), 5) == ("array", 5, True)
    assert _cuda.like(owner("numba.cuda"), 5) == 5


@pytest.mark.skipif(AVAILABLE and not SIMULATED, reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured():
    benchmarks = Path(__file__).parents[1] / "benchmarks"
    before = sorted(benchmarks.rglob("*.md")), sorted(benchmarks.rglob("*.json"))
    command = [sys.executable, benchmarks / "gpu.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(r"No GPU can be measured: .*\n", done.stderr)
    assert done.stdout == ""
    assert (sorted(benchmarks.rglob("*.md")), sorted(benchmarks.rglob("*.json"))) == before


@on_device
def test_functions_of_the_host():

    with pytest.raises(TypeError, match="run on the host"):
        adamnb.minimize(numba.njit(lambda x: x[0]), put(START), jac=rosen_slope)
