"""``python -m adamnb``: versions, threads, devices, and a self-check on certified data."""

import platform
import sys
import time
from importlib import metadata
from typing import Any

import numba
import numpy as np

import adamnb
from adamnb import _nist

# One setting for every data set; all else is the default. PROMISE is the least number of correct
# digits in the worst parameter with which the check passes.
OPTIONS: dict[str, Any] = {"polish": True}
CHECKED = tuple(_nist.DATASETS)
PROMISE = 4.0


def environment() -> None:
    """Print what is installed and what it runs on."""
    versions = [f"{name} {metadata.version(name)}" for name in ("numba", "numpy", "scipy")]
    print(
        f"adamnb {adamnb.__version__}",
        *versions,
        f"Python {platform.python_version()}",
        platform.machine(),
        sep=", ",
    )
    print(f"CPU: {numba.get_num_threads()} threads, Numba threading layer {threading_layer()}")
    print(f"GPU: {devices()}")


def devices() -> str:
    """The GPUs that arrays may be on."""
    try:
        from ._cuda.driver import devices
    except ImportError:
        return 'none, numba-cuda is not installed (pip install "adamnb[cu12]")'
    return devices()


def threading_layer() -> str:
    """The layer that Numba chose: it is known only after a parallel loop has run."""
    x = np.zeros(2_000_000)
    adamnb.Optimizer(x).step(x)
    try:
        return numba.threading_layer()
    except ValueError:
        return "not needed"


def fit(name: str) -> float:
    """Fit one data set from its second start, print a row per parameter, return the digits.

    Nobody has written a gradient: the models are differentiated in machine code.
    """
    data = _nist.load(name)
    res = adamnb.minimize(data.fun, data.starts[1], args=(data.x, data.y), **OPTIONS)
    digits = _nist.correct_digits(res.x, data.certified)
    running = 1e3 * (res.time - res.compile_time)
    summary = f"{digits:8.1f}{res.nit:12d}{running:10.1f}{res.compile_time:11.1f}"
    for k, (found, certified) in enumerate(zip(res.x, data.certified, strict=True)):
        first = k == 0
        print(f"{name if first else '':10}b{k + 1}{found:19.10e}{certified:19.10e}", end="")
        print(summary if first else "")
    return digits


def main() -> int:
    """Run the self-check; the exit status is 0 if every data set is solved, else 1."""
    environment()
    print("\nNonlinear regressions certified by NIST to 11 digits, from the second start:\n")
    header = f"{'data set':10}  {'found':>19}{'certified':>19}{'digits':>8}"
    print(header + f"{'iterations':>12}{'run, ms':>10}{'compile, s':>11}")
    start = time.perf_counter()
    worst = min(fit(name) for name in CHECKED)
    print(f"\n{len(CHECKED)} fits in {time.perf_counter() - start:.1f} s, compilation included.")
    passed = worst >= PROMISE
    print(
        f"{'PASSED' if passed else 'FAILED'}: {worst:.1f} correct digits or more in every parameter"
        f", {PROMISE:.0f} promised."
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
