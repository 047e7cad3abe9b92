"""How long until the first result, in a process of its own, and what does a call cost after that?"""

from pathlib import Path

import numba
import numpy as np
from scipy import optimize

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


@numba.njit
def quadratic(x, a):
    """Return a quadratic function and its gradient."""
    return np.sum(a * x * x), 2.0 * a * x


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


class FixedCost:
    """What a call costs beside its iterations: one iteration of few variables, of one problem and of ten."""

    def setup(self):
        self.x0, self.data, self.ten = np.array([3.0, -2.0]), np.ones(2), np.ones((10, 2))
        for call in (self.time_compiled, self.time_interpreted, self.time_batch_of_ten):
            call()

    def time_compiled(self):
        adamnb.minimize(quadratic, self.x0, (self.data,), jac=True, maxiter=1)

    def time_interpreted(self):
        adamnb.minimize(quadratic.py_func, self.x0, (self.data,), jac=True, maxiter=1)

    def time_batch_of_ten(self):
        adamnb.minimize_batch(quadratic, self.x0, data=(self.ten,), jac=True, maxiter=1)

    def time_scipy_lbfgsb(self):
        optimize.minimize(quadratic.py_func, self.x0, (self.data,), jac=True, method="L-BFGS-B")
