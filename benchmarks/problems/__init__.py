"""Test problems with known minima, as cached Numba functions in the form of ``jac="inplace"``.

>>> [problem.name for problem in SETS["mgh"]()][:2]
['Rosenbrock', 'Freudenstein-Roth']
"""

from problems import bounded, mgh, nist, noisy
from problems.problem import Problem

# Name of the set -> function that makes the list of its problems.
SETS = {
    "mgh": mgh.problems,
    "nist": nist.problems,
    "bounded": bounded.problems,
    "noisy": noisy.problems,
}

__all__ = ["SETS", "Problem"]
