"""What the compiler makes of the loops over elements: vectors, and nothing that is not needed."""

import importlib
import inspect
import pkgutil
import re

import numba
import numpy as np
import pytest
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

import adamnb._compiled
from adamnb._compiled import iteration, kernels, loops, rate
from adamnb._compiled.cache import JIT, STAMP
from adamnb._compiled.machine_code import array_type
from adamnb._compiled.records import OPTIONS
from adamnb._problem.methods import METHODS
from adamnb._run.settings import is_plain, settings
from adamnb._run.state import State

FIXED, AUTOMATIC = 1e-3, None
BOUNDS = (np.zeros(4), np.ones(4))


def one_iteration(method, vectors, state, options):
    return iteration.iterate(method, vectors, state[0], options[0])


def code_of_an_iteration(learning_rate, bounds=None, plain=True, method="adam"):
    """Return the optimised code of `iterate`."""
    state = State(METHODS[method], np.zeros(4), learning_rate, np.ones(4), bounds)
    iterate = numba.njit(**JIT)(one_iteration)
    kind = METHODS[method].numba_type(learning_rate is None, plain)
    iterate.compile(kinds := (kind, *state.types(), array_type(OPTIONS, 1)))
    return iterate.inspect_llvm(kinds)


@pytest.mark.parametrize("learning_rate", [FIXED, AUTOMATIC])
def test_an_iteration_compares_no_addresses(learning_rate):
    """Rows of the state do not overlap, and the compiler is told: it vectorises even four elements."""
    code = code_of_an_iteration(learning_rate)
    checks = re.findall(r"^vector\.memcheck\S*:", code, re.MULTILINE)
    # Of `interpolate`, which writes into a row that it reads.
    assert len(checks) == (0 if learning_rate is FIXED else 2)
    assert re.search(r"call <\d+ x double> @llvm.sqrt", code)
    assert re.search(r"fdiv <\d+ x double>", code)


def test_a_step_within_bounds_is_vectorised():
    """A kernel is optimised before it is part of an iteration, where elements would be stored one by one.

    A masked store is as bad: what it wrote is read again at once.
    """
    code = code_of_an_iteration(FIXED, BOUNDS)
    assert re.search(r"call <\d+ x double> @llvm.sqrt", code)
    assert not re.search(r"call .* @llvm.masked.store", code)


def test_what_is_inlined_has_no_machine_code_of_its_own():
    code_of_an_iteration(FIXED)
    for function, alone in ((kernels.projected, False), (kernels.norm, True)):
        for compiled in function.overloads.values():
            address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
            assert (address != 0) is alone


def test_what_needs_no_rule_is_compiled_once_for_all_methods():
    functions, counts = (loops.measure, rate.lowered, rate.drawn_back), []
    for method in ("adam", "rmsprop"):
        code_of_an_iteration(AUTOMATIC, method=method)
        counts.append([len(function.overloads) for function in functions])
    assert counts[0] == counts[1]


def test_a_caller_may_let_arrays_overlap():
    real, vector, rows = numba.float64, numba.float64[::1], numba.float64[:, ::1]
    step = numba.njit(**JIT)(loops.step.py_func)
    options = array_type(OPTIONS, 1)
    none = numba.none
    kinds = METHODS["adam"].numba_type(), vector, vector, rows, none, options, real, real, none
    step.compile(kinds)
    assert "vector.memcheck" in step.inspect_llvm(kinds)


def test_a_plain_method_is_spared_arithmetic():
    def operations(plain):
        return len(re.findall(r"f(?:add|sub|mul|div) ", code_of_an_iteration(FIXED, plain=plain)))

    assert operations(True) < operations(False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_coefficient_is_subnormal(dtype):
    """A subnormal eps makes a step twice as slow; it is multiplied by sqrt(1 - beta2**t)."""
    o = {"eps": 0.0, "weight_decay": 0.0, "learning_rate": 1}
    eps, real = settings(METHODS["adam"], o, dtype)["eps"][0], np.finfo(dtype)
    assert eps * np.sqrt(1 - 0.9999999) >= real.tiny
    smallest = np.sqrt(np.nextafter(dtype(0), dtype(1)))  # that the root of v can be
    assert smallest + dtype(eps) == smallest


@pytest.mark.parametrize(
    ("changes", "plain"),
    [({}, True), ({"clip_norm": 1.0}, False), ({"xtol": 1e-3}, False), ({"weight_decay": 0.1}, False)],
)  # fmt: skip
def test_what_is_plain(changes, plain):
    options = {"weight_decay": 0.0, "learning_rate": 0.1} | changes
    assert is_plain(options) is plain


def test_every_entry_of_the_disk_cache_bears_the_stamp():
    """By the type of its method, or by its name: Numba looks at the date of one file only."""
    entries = set()
    for source in pkgutil.iter_modules(adamnb._compiled.__path__):
        module = importlib.import_module(f"adamnb._compiled.{source.name}")
        for value in vars(module).values():
            if isinstance(value, Dispatcher) and not isinstance(value._cache, NullCache):
                entries.add(value)
    assert len(entries) > 8
    for entry in entries:
        first = next(iter(inspect.signature(entry.py_func).parameters))
        assert first == "method" or STAMP in entry.py_func.__qualname__, entry
