"""loop.c, compiled by gcc into a temporary directory and called through ctypes."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

PLAIN = ("-O3", "-march=native")
# sqrt() need not set errno, as it never does in Numba: gcc vectorises the step only then.
NO_ERRNO = (*PLAIN, "-fno-math-errno")

_ARGUMENTS = (
    [ctypes.c_ssize_t]
    + 3 * [np.ctypeslib.ndpointer(np.float64, 1, flags="C")]
    + [ctypes.POINTER(ctypes.c_double), ctypes.POINTER(ctypes.c_int64), ctypes.c_int64]
    + 5 * [ctypes.c_double]
)


def available():
    return shutil.which("gcc") is not None


def build(flags):
    """The C function `minimize` of loop.c under these flags."""
    source = Path(__file__).with_name("loop.c")
    with tempfile.TemporaryDirectory() as directory:
        library = Path(directory, "loop.so")
        subprocess.run(
            ["gcc", *flags, "-shared", "-fPIC", source, "-o", library, "-lm"], check=True
        )
        function = ctypes.CDLL(str(library)).minimize
    function.argtypes = _ARGUMENTS
    return function


def c_loop(flags, x0, steps):
    """A callable that does this many steps from x0 and returns (last x, best x, best f)."""
    minimize = build(flags)
    work, best_x = np.empty(6 * x0.size), np.empty(x0.size)
    best_f, nit = ctypes.c_double(), ctypes.c_int64()

    def run():
        x = x0.copy()
        minimize(x.size, x, work, best_x, best_f, nit, steps, 1e-3, 0.9, 0.999, 1e-8, 0.0)
        if nit.value != steps:
            raise RuntimeError(f"the C loop stopped after {nit.value} of {steps} steps")
        return x, best_x, best_f.value

    return run
