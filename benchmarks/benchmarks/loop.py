"""How fast does a minimisation go round?"""

import numpy as np

import adamnb

from . import numpy_adam
from .problems import COMPILED_FORMS, exactly, rosenbrock_numpy, rosenbrock_start

STEPS = 1_000


class CompiledLoop:
    """STEPS steps on Rosenbrock, functions compiled by Numba, against the loop in NumPy."""

    params = (2, 100, 10_000)
    param_names = ("n",)

    def setup(self, n):
        self.x0 = rosenbrock_start(n)
        self.time_adamnb(n)

    def time_adamnb(self, n):
        fun, jac = COMPILED_FORMS["inplace"]
        adamnb.minimize(fun, self.x0, jac=jac, **exactly(STEPS))

    def time_numpy(self, n):
        numpy_adam.minimize(rosenbrock_numpy, self.x0, STEPS)


class CompiledForm:
    """What do the ways to hand over the gradient cost, at n = 10?"""

    params = tuple(COMPILED_FORMS)
    param_names = ("form",)

    def setup(self, form):
        self.x0 = rosenbrock_start(10)
        self.time_adamnb(form)

    def time_adamnb(self, form):
        fun, jac = COMPILED_FORMS[form]
        adamnb.minimize(fun, self.x0, jac=jac, **exactly(STEPS))


class InterpretedLoop:
    """The overhead beyond the user's Python functions, which return what they have."""

    params = (10, 1_000)
    param_names = ("n",)

    def setup(self, n):
        self.x0, self.g = rosenbrock_start(n), np.ones(n)
        self.time_adamnb(n)

    def _evaluate(self, x):
        return 1.0, self.g

    def time_adamnb(self, n):
        adamnb.minimize(self._evaluate, self.x0, jac=True, **exactly(STEPS))

    def time_numpy(self, n):
        numpy_adam.minimize(self._evaluate, self.x0, STEPS)
