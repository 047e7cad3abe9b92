"""Adam for scientific computing: `scipy.optimize.minimize` with Adam inside, compiled by Numba."""

from ._minimize import SOLVERS, minimize
from ._njit import Solution, njit_minimize
from ._optimizer import Optimizer
from ._result import Result

__version__ = "0.1.0"

adam = SOLVERS["adam"]
adamw = SOLVERS["adamw"]
amsgrad = SOLVERS["amsgrad"]
nadam = SOLVERS["nadam"]
radam = SOLVERS["radam"]
adamax = SOLVERS["adamax"]
adabelief = SOLVERS["adabelief"]
yogi = SOLVERS["yogi"]
lion = SOLVERS["lion"]
rmsprop = SOLVERS["rmsprop"]
momentum = SOLVERS["momentum"]
nesterov = SOLVERS["nesterov"]
sgd = SOLVERS["sgd"]

__all__ = ["Optimizer", "Result", "Solution", "minimize", "njit_minimize", *SOLVERS]
