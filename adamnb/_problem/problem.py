"""A minimisation whose parts have been checked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from .._compiled import machine_code as code
from .methods import Method
from .ranks import Ranks
from .shards import ALONE, Alone
from .structure import VECTOR, Structure, Vector


@dataclass
class Problem:
    """A minimisation whose parts have been checked."""

    fun: Callable
    jac: Any
    args: tuple
    x0: Any  # an ndarray, or `DeviceVector`
    bounds: tuple[np.ndarray, np.ndarray] | None
    method: Method
    options: dict[str, Any]
    x_scale: np.ndarray | None
    observe: Callable[[OptimizeResult], Any] | None
    compiled: bool
    structure: Vector | Structure = VECTOR  # of the caller's parameters
    map: Callable = map  # evaluates differences
    display: Any = None  # what is shown of it, if anything
    started: float = field(default_factory=perf_counter)
    compile_before: float = field(default_factory=lambda: code.seconds)
    ranks: Ranks | None = None  # that f is summed over
    shards: Alone = ALONE  # which variables this one has
