"""What the compiler makes of steps and minimisations on GPUs; no GPU is needed to look at it."""

import ctypes
import inspect
import re
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from devices import CAPABILITIES, INSTALLED, assembled, compiles
from numba import types

from adamnb._compiled.cache import inner
from adamnb._compiled.elements import Adaptation, Regularisation
from adamnb._compiled.method import MethodType
from adamnb._compiled.rules import COEFFICIENTS, RULES
from adamnb._problem.methods import METHODS

DTYPES = (np.float32, np.float64)

if INSTALLED:
    from numba import cuda

    from adamnb._cuda import driver, iteration, step, vector


def step_code(method, dtype, capability, rated=False):
    """Return a step's PTX."""
    signature = step.step_signature(method, np.dtype(dtype), rated)
    return cuda.compile_ptx(step.step, signature, cc=capability)[0]


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


# Every rule for one generation of GPUs, and one rule for all of them.
RULES_AND_GENERATIONS = [(rule, (9, 0)) for rule in RULES] + [
    ("adam", capability) for capability in CAPABILITIES if capability != (9, 0)
]
every_rule = pytest.mark.parametrize(("rule", "capability"), RULES_AND_GENERATIONS)


@compiles
@every_rule
@pytest.mark.parametrize("dtype", DTYPES)
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


def types_of(rule, dtype, automatic=True):
    """Return the types of the kernels of a minimisation that is scaled and bounded."""
    kind = KERNELS[rule].numba_type(automatic)
    given = automatic, automatic, True, True, True  # factors, previous step, scale, bounds
    return iteration.Signatures(kind, np.dtype(dtype), given)


@compiles
@every_rule
@pytest.mark.parametrize("dtype", DTYPES)
def test_code_of_a_move(no_device, rule, dtype, capability, tmp_path):
    kernel, slots = iteration.move, RULES[rule][1]
    coefficients = len(set(re.findall(r"\bc\.(\w+)", inspect.getsource(RULES[rule][0].py_func))))
    # A launch reads its plan and numbers, an element x, g, scale, the bounds and slots; it writes the
    # slots, x in two places, and nothing into the first slot where a variable rests on its bound.
    launch = 5 + len(Regularisation._fields) + len(Adaptation._fields) + coefficients
    given = types_of(rule, dtype, automatic=False).move
    ptx = cuda.compile_ptx(kernel, given, cc=capability)[0]
    unused = 1 + 5  # whether to empty the memory; the numbers of adaptation
    check_code(ptx, capability, dtype, launch - unused + 5 + slots, 2 + slots + 1, tmp_path)
    # Factor and previous step besides; to go back, five places, a number and two rows of x and of g.
    # Stores of the loops that do it or empty the memory are not counted.
    ptx = cuda.compile_ptx(kernel, types_of(rule, dtype).move, cc=capability)[0]
    check_code(ptx, capability, dtype, launch + 7 + slots + 10, None, tmp_path)


@compiles
@pytest.mark.parametrize("capability", CAPABILITIES, ids="{0[0]}.{0[1]}".format)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["begin", "measure", "decide"])
def test_code_of_the_other_kernels(no_device, name, dtype, capability, tmp_path):
    signatures = types_of("adam", dtype)
    kernel, signature = {
        "begin": (iteration.begin, signatures.begin),
        "measure": (iteration.measure, signatures.measure),
        "decide": (iteration.reduce_and_decide, signatures.decide(np.dtype(dtype))),
    }[name]
    ptx = cuda.compile_ptx(kernel, signature, cc=capability)[0]
    if name != "decide":  # which passes over blocks
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
def test_code_of_a_decision(no_device, coefficients):
    method = next(m for m in METHODS.values() if m.coefficients == coefficients)
    signatures = iteration.Signatures(method.numba_type(), np.dtype(np.float32), 5 * (False,))
    ptx = cuda.compile_ptx(iteration.reduce_and_decide, signatures.decide(None), cc=(9, 0))[0]
    assert ".entry" in ptx


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_code_of_fill(no_device, dtype, tmp_path):
    signature = vector.fill_signature(np.dtype(dtype))
    ptx = cuda.compile_ptx(vector.fill, signature, cc=(9, 0))[0]
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
    signature = step.step_signature(method, np.dtype(np.float32), rated=False)
    launched = _Kernel.__new__(_Kernel)
    launched.extensions = driver.KERNEL["extensions"]
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
    code.extensions, code.debug, code.cooperative = driver.KERNEL["extensions"], False, False
    loaded = SimpleNamespace(handle=7, kernel=None, name="name")
    code._codelibrary = SimpleNamespace(get_cufunc=lambda: loaded)
    method, dtype = METHODS["adam"].numba_type(automatic=True), np.dtype(np.float32)
    code.signature = SimpleNamespace(
        args=iteration.Signatures(method, dtype, (True, True, False, False, False)).decide(None)
    )
    theirs, ours = [], []
    monkeypatch.setattr(
        dispatcher, "launch", lambda stream, config, code, *rest: theirs.extend(rest)
    )
    monkeypatch.setattr(
        driver, "DRIVER", SimpleNamespace(
            CUfunction=int, CUstream=int,
            cuLaunchKernel=lambda *arguments: ours.extend(arguments) or (0,),
        ),
    )  # fmt: skip
    vectors = [somewhere((3,) * kind.ndim, dtype, 64 * i) if isinstance(kind, types.Array) else None
               for i, kind in enumerate(code.argument_types)]  # fmt: skip
    place, f, rate = 2, len(vectors) - 2, len(vectors) - 1
    ready = driver.Launch(
        SimpleNamespace(overloads={"": code}), 5, *vectors[:place],
        somewhere((3,), dtype, 1), *vectors[place + 1 : f], 0.0, 0.0,
    )  # fmt: skip
    ready.put(place, 64 * place)
    ready.put(f, 1.5)
    ready.put(rate, 0.25)
    ready(None)
    code.launch([*vectors[:f], 1.5, 0.25], (5, 1, 1), (256, 1, 1))
    *how, addresses, _ = ours
    assert how == [7, 5, 1, 1, driver.THREADS, 1, 1, 0, 0]
    places = (ctypes.c_void_p * len(theirs)).from_address(addresses)
    for place, number in zip(places, theirs, strict=True):
        number = number if isinstance(number, ctypes._SimpleCData) else ctypes.c_int64(number)
        assert type(number).from_address(place).value == number.value
