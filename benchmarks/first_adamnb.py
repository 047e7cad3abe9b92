"""A process for starts.py: import adamnb, minimise Rosenbrock: compiled, without a gradient, interpreted."""

import sys

import adamnb
from benchmarks import problems

fun, jac = {
    "compiled": (problems.rosenbrock, problems.rosenbrock_gradient),
    "forward": (problems.rosenbrock, None),
    "interpreted": (problems.rosenbrock_numpy, True),
}[sys.argv[1]]
result = adamnb.minimize(fun, problems.rosenbrock_start(10), jac=jac, **problems.exactly(1000))
print(result.fun)
