"""How fast is one step on arrays?"""

import numpy as np

import adamnb

from .numpy_adam import NumpyAdam


def _arrays(n, dtype):
    return np.ones(n, dtype), np.linspace(-1.0, 1.0, n, dtype=dtype)


class Step:
    """One step of Adam, from the cost of the call to the speed of memory."""

    params = ([1_000, 100_000, 10_000_000], ["float32", "float64"])
    param_names = ("n", "dtype")

    def setup(self, n, dtype):
        x, self.g = _arrays(n, dtype)
        self.adamnb = adamnb.Optimizer(x.copy(), learning_rate=1e-3)
        self.numpy = NumpyAdam(x)
        self.adamnb.step(self.g)
        self.numpy.step(self.g)

    def time_adamnb(self, n, dtype):
        self.adamnb.step(self.g)

    def time_numpy(self, n, dtype):
        self.numpy.step(self.g)


class StepOfMethod:
    """Is every rule as fast as Adam's? One method for each rule, on one thread, in cache."""

    params = ("adam", "momentum", "amsgrad", "adamax", "adabelief", "yogi", "lion", "rmsprop")
    param_names = ("method",)

    def setup(self, method):
        x, self.g = _arrays(10_000, "float32")
        self.optimizer = adamnb.Optimizer(x, method=method, learning_rate=1e-3, threads=1)
        self.optimizer.step(self.g)

    def time_step(self, method):
        self.optimizer.step(self.g)


class Memory:
    """Does a step need more memory than x, g, m and v?"""

    params = (10_000_000,)
    param_names = ("n",)

    def peakmem_adamnb(self, n):
        x, g = np.ones(n), np.ones(n)
        optimizer = adamnb.Optimizer(x, learning_rate=1e-3)
        optimizer.step(g)

    def peakmem_numpy(self, n):
        x, g = np.ones(n), np.ones(n)
        NumpyAdam(x).step(g)

    def peakmem_four_arrays(self, n):
        for array in [np.empty(n) for _ in range(4)]:
            array[:] = 1.0
