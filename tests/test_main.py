"""``python -m adamnb``."""

import importlib.metadata
import re
import subprocess
import sys

import numpy as np
import pytest

from adamnb import __main__ as selfcheck
from adamnb import _nist


@pytest.fixture(scope="module")
def run():
    return subprocess.run(
        [sys.executable, "-m", "adamnb"], capture_output=True, text=True, timeout=300
    )


def test_it_passes_and_says_so(run):
    assert run.returncode == 0, run.stdout + run.stderr
    assert "PASSED" in run.stdout.splitlines()[-1]
    assert run.stderr == ""


def test_it_names_versions_threads_and_devices(run):
    for name in ("numba", "numpy", "scipy"):
        assert f"{name} {importlib.metadata.version(name)}" in run.stdout
    assert re.search(r"^CPU: \d+ threads?, .*(omp|tbb|workqueue|not needed)$", run.stdout, re.M)
    assert re.search(r"^GPU: ", run.stdout, re.M)


def test_it_shows_found_beside_certified(run):
    rows = re.findall(r"b\d +(-?\d\.\d{10}e[+-]\d\d) +(-?\d\.\d{10}e[+-]\d\d)", run.stdout)
    found, certified = np.array(rows, dtype=float).T
    expected = np.concatenate([_nist.load(name).certified for name in selfcheck.CHECKED])
    np.testing.assert_array_equal(certified, expected)
    np.testing.assert_allclose(found, certified, rtol=10**-selfcheck.PROMISE)


def test_it_fails_and_says_so(monkeypatch, capsys):
    monkeypatch.setattr(selfcheck, "CHECKED", ("Misra1a",))
    monkeypatch.setattr(selfcheck, "OPTIONS", {"maxiter": 1})
    assert selfcheck.main() == 1
    assert "FAILED" in capsys.readouterr().out.splitlines()[-1]
