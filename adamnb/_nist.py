"""Certified nonlinear regressions of NIST/ITL: data, models, correct digits.

The models are Numba functions: ``fun(b, x, y)`` returns the residual sum of squares at the parameters `b`.
"""

import re
from collections.abc import Callable
from importlib import resources
from typing import NamedTuple

import numba
import numpy as np

compiled = numba.njit(cache=True, error_model="numpy")


@compiled
def misra1a(b, x, y):
    """``y = b1 (1 - exp(-b2 x))``."""
    r = b[0] * (1.0 - np.exp(-b[1] * x)) - y
    return np.sum(r * r)


@compiled
def misra1b(b, x, y):
    """``y = b1 (1 - (1 + b2 x/2)**-2)``."""
    r = b[0] * (1.0 - (1.0 + b[1] * x / 2.0) ** -2) - y
    return np.sum(r * r)


@compiled
def danwood(b, x, y):
    """``y = b1 x**b2``."""
    r = b[0] * x ** b[1] - y
    return np.sum(r * r)


@compiled
def chwirut(b, x, y):
    """``y = exp(-b1 x) / (b2 + b3 x)``."""
    r = np.exp(-b[0] * x) / (b[1] + b[2] * x) - y
    return np.sum(r * r)


@compiled
def gauss(b, x, y):
    """``y = b1 exp(-b2 x) + b3 exp(-(x-b4)**2/b5**2) + b6 exp(-(x-b7)**2/b8**2)``."""
    r = b[0] * np.exp(-b[1] * x) - y
    for k in (2, 5):
        r += b[k] * np.exp(-(((x - b[k + 1]) / b[k + 2]) ** 2))
    return np.sum(r * r)


@compiled
def lanczos(b, x, y):
    """``y = b1 exp(-b2 x) + b3 exp(-b4 x) + b5 exp(-b6 x)``."""
    r = b[0] * np.exp(-b[1] * x) + b[2] * np.exp(-b[3] * x) + b[4] * np.exp(-b[5] * x) - y
    return np.sum(r * r)


DATASETS: dict[str, Callable[..., float]] = {
    "Misra1a": misra1a,
    "Misra1b": misra1b,
    "DanWood": danwood,
    "Chwirut1": chwirut,
    "Chwirut2": chwirut,
    "Gauss1": gauss,
    "Gauss2": gauss,
    "Lanczos3": lanczos,
}


class Dataset(NamedTuple):
    """One regression: minimise ``fun(b, x, y)`` over `b`, from either of `starts`.

    `x` and `y` have shape (observations,); both of `starts`, `certified` and `deviations` (the
    standard deviations of the parameters) have shape (parameters,); `residual_sum` is the certified
    minimum.
    """

    name: str
    fun: Callable[..., float]
    x: np.ndarray
    y: np.ndarray
    starts: tuple[np.ndarray, np.ndarray]
    certified: np.ndarray
    deviations: np.ndarray
    residual_sum: float


def load(name: str) -> Dataset:
    """The data set `name`, a key of `DATASETS`, read from the file as NIST publishes it."""
    fun = DATASETS[name]
    text = (resources.files("adamnb") / "data" / "nist" / f"{name}.dat").read_text("ascii")
    head, _, data = text.rpartition("Data:")
    parameters = re.findall(r"^ *b\d+ = +(\S+) +(\S+) +(\S+) +(\S+) *$", head, re.MULTILINE)
    start1, start2, certified, deviations = np.array(parameters, dtype=np.float64).T.copy()
    residual_sum = float(re.findall(r"Residual Sum of Squares: +(\S+)", head)[0])
    y, x = np.array([line.split() for line in data.splitlines()[1:]], dtype=np.float64).T.copy()
    return Dataset(name, fun, x, y, (start1, start2), certified, deviations, residual_sum)


def correct_digits(found: np.ndarray, certified: np.ndarray) -> float:
    """Correct digits of the worst parameter, from 0 to 11, the digits to which NIST certifies.

    NIST calls it the log relative error: the least ``-log10(|found - certified| / |certified|)``.
    """
    error = np.max(np.abs((np.asarray(found) - certified) / certified))
    return float(np.log10(1.0 / np.clip(error, 1e-11, 1.0))) if np.isfinite(error) else 0.0
