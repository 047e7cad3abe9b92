"""Learning-rate schedules: callables t -> float for `learning_rate=`, t = 1, 2, ... counting steps.

Each is a small immutable object that prints, compares and pickles. `minimize` evaluates them ahead of
some compiled iterations, never beyond `maxiter`, so they serve the compiled loop as well; `Plateau`
alone looks at the objective, and is followed inside the loop.

Examples
--------
>>> from adamnb import schedules
>>> rate = schedules.Warmup(schedules.Cosine(0.1, steps=100), steps=10)
>>> [round(rate(t), 4) for t in (1, 5, 10, 60, 110)]
[0.01, 0.05, 0.1, 0.05, 0.0]
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields


def _check(schedule: object, least: dict[str, float]) -> None:
    """Raise unless the numbers of `schedule` are finite and not below the values in `least`."""
    for field in fields(schedule):  # type: ignore[arg-type]
        value = getattr(schedule, field.name)
        if field.name not in least:
            continue
        if not isinstance(value, int | float):
            raise TypeError(f"`{field.name}` must be a number; got {value!r}.")
        if not least[field.name] <= value < math.inf:
            raise ValueError(
                f"`{field.name}` must satisfy {least[field.name]:g} <= {field.name} < inf;"
                f" got {value!r}."
            )


@dataclass(frozen=True)
class Constant:
    """``rate``."""

    rate: float

    def __post_init__(self) -> None:
        _check(self, {"rate": 0})

    def __call__(self, t: int) -> float:
        return self.rate


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `rate` at t = 1 towards `final` at t = `steps` + 1, and `final` from there on.

    Loshchilov & Hutter (2016), arXiv 1608.03983, eq. 5, without restarts.
    """

    rate: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        _check(self, {"rate": 0, "steps": 1, "final": 0})

    def __call__(self, t: int) -> float:
        done = min((t - 1) / self.steps, 1.0)
        return self.final + (self.rate - self.final) * 0.5 * (1.0 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Exponential:
    """``rate * factor**((t - 1) / every)``."""

    rate: float
    factor: float
    every: float = 1.0

    def __post_init__(self) -> None:
        _check(self, {"rate": 0, "factor": 0, "every": 1})

    def __call__(self, t: int) -> float:
        return self.rate * self.factor ** ((t - 1) / self.every)


@dataclass(frozen=True)
class InverseSqrt:
    """``rate / sqrt(t / steps)`` after t = `steps`, and `rate` before.

    With `Warmup` over the same `steps`, the schedule of Vaswani et al. (2017), arXiv 1706.03762.
    """

    rate: float
    steps: int = 1

    def __post_init__(self) -> None:
        _check(self, {"rate": 0, "steps": 1})

    def __call__(self, t: int) -> float:
        return self.rate / math.sqrt(max(t / self.steps, 1.0))


@dataclass(frozen=True)
class Warmup:
    """`schedule` after a straight line to its first value, reached at t = `steps`.

    `schedule` counts its own steps from t = `steps` on.
    """

    schedule: Callable[[int], float]
    steps: int

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            raise TypeError(f"`schedule` must be a function of t; got {self.schedule!r}.")
        _check(self, {"steps": 1})

    def __call__(self, t: int) -> float:
        if t < self.steps:
            return self.schedule(1) * t / self.steps
        return self.schedule(t - int(self.steps) + 1)


@dataclass(frozen=True)
class OneCycle:
    """Up from ``rate / start`` to `rate` in the first `rise` of the steps, down to ``rate / end``.

    Both by half a cosine; Smith & Topin (2017), arXiv 1708.07120, in the form of PyTorch, whose
    ``final_div_factor`` is ``end / start`` here.
    """

    rate: float
    steps: int
    rise: float = 0.3
    start: float = 25.0
    end: float = 2.5e5

    def __post_init__(self) -> None:
        _check(self, {"rate": 0, "steps": 2, "rise": 0, "start": 1, "end": 1})
        if self.rise > 1:
            raise ValueError(f"`rise` must satisfy 0 <= rise <= 1; got {self.rise!r}.")

    def __call__(self, t: int) -> float:
        top, last = self.rise * self.steps - 1.0, self.steps - 1.0
        at = min(t - 1.0, last)
        if at <= top:
            low, high, done = self.rate / self.start, self.rate, at / top if top > 0 else 1.0
        else:
            low, high, done = self.rate, self.rate / self.end, (at - top) / (last - top)
        return high + (low - high) * 0.5 * (1.0 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Plateau:
    """`rate`, times `factor` whenever the best f has not fallen for more than `patience` iterations.

    A fall is one by more than `threshold`, relative to \\|f\\|. For `minimize` only: an `Optimizer` and
    a function of t see no objective. PyTorch's ``ReduceLROnPlateau`` with ``threshold_mode="rel"``.
    """

    rate: float
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    final: float = 0.0

    def __post_init__(self) -> None:
        _check(self, {"rate": 0, "factor": 0, "patience": 0, "threshold": 0, "final": 0})
        if self.factor >= 1:
            raise ValueError(f"`factor` must satisfy 0 <= factor < 1; got {self.factor!r}.")
