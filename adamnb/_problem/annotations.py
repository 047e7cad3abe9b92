"""The types of what the caller gives: names of methods, forms of gradients, options.

A test holds the options against their table.
"""

from collections.abc import Callable, Mapping, Sequence
from logging import Logger, LoggerAdapter
from os import PathLike
from typing import Any, Literal, TypedDict

import numpy as np

MethodName = Literal[
    "adam", "adamw", "amsgrad", "nadam", "radam", "adamax", "adabelief", "yogi", "lion", "rmsprop",
    "momentum", "nesterov", "sgd",
]  # fmt: skip
Scheme = Literal["2-point", "3-point", "cs"]
Gradient = (
    Callable[..., Any] | bool | Literal["inplace", "forward", "2-point", "3-point", "cs"] | None
)
Jacobian = Callable[..., Any] | Literal["forward", "2-point", "3-point", "cs"] | None
Callback = Callable[..., Any] | Sequence[Callable[..., Any]] | None

Numbers = float | Sequence[float] | np.ndarray
PerVariable = Numbers | Mapping[str, Any] | tuple[Any, ...]  # NamedTuples are
Outlet = bool | Callable[..., Any] | Logger | LoggerAdapter
Progress = Outlet | tuple[Outlet, float]
Workers = int | Callable[..., Any]


class BatchOptions(TypedDict, total=False):
    """Options of `minimize` and of `minimize_batch`."""

    # PerVariable, and functions of t and `Plateau`, which are callables and a class of their own.
    learning_rate: Any
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    momentum: float
    centered: bool
    x_scale: PerVariable | None
    clip_norm: float
    maxiter: float
    maxfun: float
    max_time: float
    gtol: float
    ftol: float
    xtol: float
    memory: int | None
    patience: float
    f_target: float
    polish: bool | Literal["L-BFGS-B", "TNC", "SLSQP", "trust-constr", "BFGS", "CG"]
    verify: float
    errors: Literal["likelihood", "chi2", "least_squares"] | None
    n_data: int | Sequence[int] | np.ndarray | None
    level: float
    finite_difference: Scheme | None
    finite_diff_rel_step: PerVariable | None
    catch: type[Exception] | tuple[type[Exception], ...]
    noisy: bool | None
    disp: bool | int
    checkpoint: str | PathLike[str] | None
    checkpoint_every: float
    checkpoint_digest: bool
    resume: str | PathLike[str] | None
    threads: int | None


class Options(BatchOptions, total=False):
    """Options of `minimize`."""

    profile: int | str | Sequence[int | str] | np.ndarray | None
    workers: Workers | None
    history: bool
    progress: Progress
    state: Mapping[str, Any] | None
    comm: Any
    sharded: bool


class MultistartOptions(BatchOptions, total=False):
    """Options of `multistart`, and arguments of the batch that it is."""

    tol: float | None
    options: Mapping[str, Any] | None
    device: Literal["auto", "cpu", "cuda"]
    workers: Workers | None
    progress: Progress


class Hyperparameters(TypedDict, total=False):
    """Hyper-parameters of `Optimizer`."""

    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    momentum: float
    centered: bool


class Tolerances(TypedDict, total=False):
    """Tolerances of `curve_fit`."""

    ftol: float | None
    xtol: float | None
    gtol: float | None
    max_nfev: float | None
    maxfev: float | None
