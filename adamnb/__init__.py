"""Adam for scientific computing: `scipy.optimize.minimize` with Adam inside, compiled by Numba."""

from importlib import import_module
from typing import TYPE_CHECKING

from . import schedules as schedules

if TYPE_CHECKING:  # "as" makes a name public to type checkers
    from . import plot as plot
    from ._batch import minimize_batch as minimize_batch
    from ._check_gradient import GradientCheck as GradientCheck
    from ._check_gradient import check_gradient as check_gradient
    from ._curve_fit import curve_fit as curve_fit
    from ._derivatives import hessian as hessian
    from ._derivatives import jacobian as jacobian
    from ._derivatives import value_and_grad as value_and_grad
    from ._minimize import Solver
    from ._minimize import minimize as minimize
    from ._multistart import multistart as multistart
    from ._njit import Solution as Solution
    from ._njit import njit_minimize as njit_minimize
    from ._optimizer import Optimizer as Optimizer
    from ._run.batch_result import BatchResult as BatchResult
    from ._run.checkpoint import CheckpointError as CheckpointError
    from ._run.fitted import CurveFit as CurveFit
    from ._run.multistart_result import MultistartResult as MultistartResult
    from ._run.result import Result as Result
    from ._statsmodels import statsmodels_fit as statsmodels_fit
    from ._stochastic import minimize_stochastic as minimize_stochastic

    adam: Solver
    adamw: Solver
    amsgrad: Solver
    nadam: Solver
    radam: Solver
    adamax: Solver
    adabelief: Solver
    yogi: Solver
    lion: Solver
    rmsprop: Solver
    momentum: Solver
    nesterov: Solver
    sgd: Solver

__version__ = "0.1.0"

# Imported at first use: SciPy's optimize package and Numba's decorators each take as long as the rest. What
# else the package has by name are the methods, callables of SciPy's protocol.
_LATER = {
    "BatchResult": "_run.batch_result",
    "CheckpointError": "_run.checkpoint",
    "CurveFit": "_run.fitted",
    "GradientCheck": "_check_gradient",
    "MultistartResult": "_run.multistart_result",
    "check_gradient": "_check_gradient",
    "curve_fit": "_curve_fit",
    "hessian": "_derivatives",
    "jacobian": "_derivatives",
    "value_and_grad": "_derivatives",
    "minimize": "_minimize",
    "minimize_batch": "_batch",
    "minimize_stochastic": "_stochastic",
    "multistart": "_multistart",
    "Optimizer": "_optimizer",
    "Result": "_run.result",
    "Solution": "_njit",
    "njit_minimize": "_njit",
    "statsmodels_fit": "_statsmodels",
}


def _public() -> list[str]:
    """Return the public names."""
    return sorted([*_LATER, "plot", "schedules", *import_module("._minimize", __name__).SOLVERS])


if not TYPE_CHECKING:  # to which every name would be one of the package

    def __getattr__(name):
        if name == "__all__":
            return _public()
        if name == "plot":
            value = import_module(".plot", __name__)
        elif name in _LATER:
            value = getattr(import_module(f".{_LATER[name]}", __name__), name)
        elif name.startswith("_") or name not in _public():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        else:
            value = import_module("._minimize", __name__).SOLVERS[name]
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*(name for name in globals() if name.startswith("__")), *_public()]
