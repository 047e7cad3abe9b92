"""What the tests of GPUs share: which there are, arrays on them, compiling without one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

INSTALLED = importlib.util.find_spec("numba_cuda") is not None
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
CAPABILITIES = ((7, 5), (8, 0), (9, 0), (10, 0))

if INSTALLED:
    from numba import cuda

AVAILABLE = INSTALLED and cuda.is_available()

if SIMULATED:
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    def shared_array(self, shape, dtype):
        """Return the array of a block for this line, the same to threads that ask at the same time."""
        caller = sys._getframe(1)
        place = caller.f_code, caller.f_lineno
        return self._allocations.setdefault(
            place, np.empty(shape, numba.np.numpy_support.as_dtype(dtype))
        )

    FakeCUDAShared.array = shared_array  # its own makes two where two threads are first
    sys.setswitchinterval(1e-5)  # it waits for its threads in a loop that yields nothing

needs_numba_cuda = pytest.mark.skipif(not INSTALLED, reason="numba-cuda is not installed")
compiles = pytest.mark.skipif(
    not INSTALLED or SIMULATED, reason="numba-cuda is not installed, or simulated"
)
on_device = pytest.mark.skipif(not AVAILABLE, reason="no GPU, and not in the simulator")
simulated = pytest.mark.skipif(not SIMULATED, reason="not in the simulator")


class Exported:
    """An array of the host, or a changed description of it, as the simulator's devices would export it."""

    def __init__(self, array, **changes):
        self.array, self.changes = array, changes

    @property
    def __cuda_array_interface__(self):
        return self.array.__array_interface__ | self.changes

    def copy_to_host(self):
        return self.array.copy()


def put(array):
    return Exported(array.copy()) if SIMULATED else cuda.to_device(array)


def assembled(ptx, capability, path):
    """Return what the assembler says of a kernel, None where there is none."""
    ptxas = next(iter(Path(importlib.util.find_spec("numba_cuda").origin).parents[1].glob(
        "nvidia/*/bin/ptxas"
    )), None)  # fmt: skip
    if ptxas is None:
        return None
    source = path / "kernel.ptx"
    source.write_text(ptx)
    arch = "sm_{}{}".format(*capability)
    command = [ptxas, "-v", f"-arch={arch}", source, "-o", path / "kernel.cubin"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr
