"""Adam for scientific computing: `scipy.optimize.minimize` with Adam inside, compiled by Numba."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import schedules

if TYPE_CHECKING:
    from ._batch import minimize_batch
    from ._minimize import (
        adabelief,
        adam,
        adamax,
        adamw,
        amsgrad,
        lion,
        minimize,
        momentum,
        nadam,
        nesterov,
        radam,
        rmsprop,
        sgd,
        yogi,
    )
    from ._multistart import multistart
    from ._njit import Solution, njit_minimize
    from ._optimizer import Optimizer
    from ._result import BatchResult, MultistartResult, Result

__version__ = "0.1.0"

# Imported at first use: SciPy's optimize package and Numba's decorators each take as long as the rest.
_LATER = {
    "BatchResult": "_result",
    "MultistartResult": "_result",
    "minimize_batch": "_batch",
    "multistart": "_multistart",
    "Optimizer": "_optimizer",
    "Result": "_result",
    "Solution": "_njit",
    "njit_minimize": "_njit",
}

__all__ = [
    "BatchResult", "MultistartResult", "Optimizer", "Result", "Solution", "adabelief", "adam", "adamax",
    "adamw", "amsgrad", "lion", "minimize", "minimize_batch", "momentum", "multistart", "nadam",
    "nesterov", "njit_minimize", "radam", "rmsprop", "schedules", "sgd", "yogi",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _LATER.get(name, "_minimize")  # where the methods are
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
