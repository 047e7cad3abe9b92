"""The options of a run as compiled code reads them: one record."""

from functools import cache, lru_cache
from math import floor, inf
from struct import Struct
from typing import Any

import numpy as np

from .._compiled.cache import scalar
from .._compiled.curvature import NEVER
from .._compiled.rate import AUTOMATIC
from .._compiled.records import OPTIONS
from .._compiled.rules import HYPERPARAMETERS
from .._problem.methods import Method
from ..schedules import Plateau

# An automatic learning rate below: a step below the last bit of every scaled variable.
RATE_LOST = 1e-18

FACTORS = np.exp([AUTOMATIC["factor_growth"], -AUTOMATIC["factor_growth"]]).tolist()
GROWTH = 10.0  # of a variable, from which its start is no declaration of its size
# A record as it is before a run says what it needs, and its bytes: NumPy takes four times as long to pack it.
FIRST = dict.fromkeys(OPTIONS.names or (), 0.0) | AUTOMATIC
FIRST |= dict(zip(("factor_up", "factor_down"), FACTORS, strict=True)) | {"plateau_patience": NEVER}
GIVEN = (*HYPERPARAMETERS, "gtol", "ftol", "xtol", "f_target")  # as they are
BYTES = Struct("".join("q" if OPTIONS[name].kind == "i" else "d" for name in FIRST))


def settings(
    method: Method, o: dict[str, Any], dtype: np.dtype, looks_out: bool = False
) -> np.ndarray:
    """Return hyper-parameters, tolerances and constants, an array of one record.

    `o` holds the options of `method`; those that it lacks are off. A run that `looks_out` ends where f is
    found to be noisy.
    """
    r, rate = FIRST | {name: o[name] for name in GIVEN if name in o}, o["learning_rate"]
    largest, tiny, root_of_largest, root_of_tiny, rounding = reals(dtype)
    r["log_beta1"], r["log_beta2"] = logarithms(r["beta1"], r["beta2"])
    # So small a number instead of 0 changes no step, and makes 0/0 a step of 0. It stays normal when it is
    # multiplied by the root of the correction: a subnormal number costs as much as the whole step.
    r["eps"] = max(r["eps"], tiny * 2.0**20)
    r["decay" if method.decoupled else "l2"] = o["weight_decay"]
    r["gradient_limit"] = root_of_largest / 2 if "beta2" in method.defaults else largest
    r["gradient_least"] = root_of_tiny * 2.0**20 if rate is None else 0.0
    r["growth"] = GROWTH if o.get("x_scale") is None else inf
    r["rounding"], r["looks_out"] = rounding, looks_out
    r["maxiter"] = whole(o.get("maxiter", 0))
    r["patience"], r["maxfun"] = (-whole(-o.get(name, 0)) for name in ("patience", "maxfun"))
    r["xtol"] = r["xtol"] or -1.0  # off: no step is as small
    r["clip_norm"] = float(o.get("clip_norm", inf))
    if isinstance(rate, Plateau):
        r["plateau_factor"], r["plateau_patience"] = rate.factor, whole(rate.patience)
        r["plateau_threshold"], r["plateau_final"] = rate.threshold, rate.final
    r["mean_momentum"] = method.mean_momentum
    r["rate_per_gradient"] = rate is None and not method.scale_free
    r["rate_lost"] = RATE_LOST if rate is None or not is_plain(o) else -1.0
    return np.frombuffer(bytearray(BYTES.pack(*r.values())), OPTIONS)


@cache
def reals(dtype: np.dtype) -> list[float]:
    """Return the largest number, the smallest normal one, their roots, and the rounding of 1."""
    real = np.finfo(dtype)
    return [
        float(a) for a in (real.max, real.tiny, np.sqrt(real.max), np.sqrt(real.tiny), real.eps)
    ]


@lru_cache
def logarithms(*betas: float) -> list[float]:
    """Return the logarithms; beta = 0 has -inf, and no memory."""
    with np.errstate(divide="ignore"):
        return np.log(betas).tolist()


def whole(number: float) -> int:
    """Return the largest whole number up to a number, which may be infinite."""
    return floor(max(-NEVER, min(number, NEVER)))


def pairs_of(o: dict[str, Any], n: int) -> int:
    """Return how many secant pairs a run remembers; none where the learning rate is given.

    Weight decay changes the gradient to one that f does not have. Steps by pairs are not clipped, but have a
    radius.
    """
    if o["learning_rate"] is not None or o["weight_decay"]:
        return 0
    return pair_count(n) if o.get("memory") is None else int(o["memory"])


@scalar
def pair_count(n: int) -> int:
    """Return how many pairs there are for n variables: as many as say all of them, while that is little.

    With m pairs an iteration reads and writes 30 + 5 m vectors, where the method alone does so with 17, and
    2 m + 1 vectors are remembered. Where these are in no cache, it is a few pairs.
    """
    if n <= 200:
        return min(n + 4, 64)
    return 8 if n < 1_000_000 else 4


def is_plain(o: dict[str, Any]) -> bool:
    """Return whether options ask for nothing that a plain method does without."""
    scheduled = callable(o["learning_rate"]) or isinstance(o["learning_rate"], Plateau)
    clipped, judged = o.get("clip_norm", np.inf) < np.inf, o.get("xtol", 0.0) > 0
    return not (scheduled or o["weight_decay"] or clipped or judged)
