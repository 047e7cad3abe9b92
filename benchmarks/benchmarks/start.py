"""How long until the first result? Each sample is a process of its own."""

from pathlib import Path

import adamnb

from .problems import exactly, rosenbrock, rosenbrock_gradient, rosenbrock_start

# asv gives a timeraw process neither PYTHONPATH nor the folder of the benchmarks.
_PATHS = [str(Path(folder).parents[1]) for folder in (adamnb.__file__, __file__)]
_SAME_PATHS = f"import sys; sys.path[:0] = {_PATHS!r}"
_EMPTY_CACHE = """
import os, tempfile
folder = tempfile.TemporaryDirectory()
os.environ["NUMBA_CACHE_DIR"] = folder.name
"""
_MINIMIZE = """
import adamnb
from benchmarks.problems import exactly, rosenbrock, rosenbrock_gradient, rosenbrock_start
adamnb.minimize(rosenbrock, rosenbrock_start(10), jac=rosenbrock_gradient, **exactly(100))
"""
_MINIMIZE_IN_NUMPY = """
from benchmarks.numpy_adam import minimize
import numpy as np
minimize(lambda x: (x @ x, 2 * x), np.ones(10), 100)
"""


class Import:
    number = 1

    def timeraw_adamnb(self):
        return "import adamnb", _SAME_PATHS

    def timeraw_numba(self):
        return "import numba", _SAME_PATHS

    def timeraw_numpy(self):
        return "import numpy", _SAME_PATHS


class FirstResult:
    """Import and one compiled minimisation."""

    number = 1
    repeat = 3
    timeout = 120

    def setup(self):
        x0 = rosenbrock_start(10)
        adamnb.minimize(rosenbrock, x0, jac=rosenbrock_gradient, **exactly(100))

    def timeraw_warm_cache(self):
        return _MINIMIZE, _SAME_PATHS

    def timeraw_empty_cache(self):
        return _MINIMIZE, _SAME_PATHS + _EMPTY_CACHE

    def timeraw_numpy(self):
        return _MINIMIZE_IN_NUMPY, _SAME_PATHS
