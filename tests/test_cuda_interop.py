"""Arrays of GPUs and of other packages: what is asked of them, and what is imported for them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from devices import AVAILABLE, INSTALLED, SIMULATED, Exported, needs_numba_cuda

import adamnb

if INSTALLED:
    from adamnb._cuda import arrays


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
        "assert 'adamnb._cuda.driver' not in sys.modules\n"
        "assert 'numba.cuda.dispatcher' not in sys.modules\n"
    )


def test_numba_cuda_is_imported_in_one_file():
    importing = re.compile(
        r"^\s*(from numba import [^()\n]*\bcuda\b|from numba import \([^)]*\bcuda\b"
        r"|(from|import) numba(\.|_)cuda\b)",
        re.MULTILINE,
    )
    package = Path(adamnb.__file__).parent
    found = {path.name for path in package.rglob("*.py") if importing.search(path.read_text())}
    assert found == {"driver.py"}


@pytest.mark.skipif(AVAILABLE, reason="there is a GPU")
def test_without_a_gpu_the_error_has_reason_and_way_out():
    with pytest.raises(RuntimeError, match=r"CUDA device.*adamnb\[cu12\].*NumPy"):
        adamnb.Optimizer(Exported(np.ones(3)))


def test_without_numba_cuda_the_error_has_reason_and_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "adamnb._cuda.driver", None)
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
    assert arrays.contiguous(described) is expected
    assert arrays.contiguous(described | {"strides": array.strides}) is expected


@needs_numba_cuda
def test_stream_of_the_producer():
    array = Exported(np.ones(3))
    assert arrays.stream_of(array, {}) is None
    assert arrays.stream_of(array, {"stream": None}) is None
    assert arrays.stream_of(array, {"stream": 2}) == 2
    with pytest.raises(ValueError, match="stream 0"):
        arrays.stream_of(array, {"stream": 0})


def test_stream_of_torch_is_its_current_one(monkeypatch):
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    current = SimpleNamespace(current_stream=lambda device: SimpleNamespace(cuda_stream=7 * device))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=current))
    tensor = type("Tensor", (), {"__module__": "torch", "device": 3})()
    assert arrays.stream_of(tensor, {"version": 2}) == 21
    tensor.device = 0  # the default stream has the handle 0
    assert arrays.stream_of(tensor, {"version": 2}) is None


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
    assert arrays.like(owner("torch.nn.parameter"), 5) == ("as_tensor", 5, "cuda:1")
    assert arrays.like(owner("jaxlib._jax"), 5) == ("array", 5, True)
    assert arrays.like(owner("numba.cuda"), 5) == 5


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
