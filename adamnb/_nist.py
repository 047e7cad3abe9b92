"""Certified nonlinear regressions of NIST/ITL: data, models, correct digits.

The models are Numba functions in the form of ``jac="inplace"``: ``fun(b, g, x, y)`` returns the
residual sum of squares at the parameters `b` and writes its gradient into `g`.
"""

import re
from collections.abc import Callable
from importlib import resources
from typing import NamedTuple

import numba
import numpy as np

compiled = numba.njit(cache=True, error_model="numpy")


@compiled
def misra1a(b, g, x, y):
    """``y = b1 (1 - exp(-b2 x))``."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        decay = np.exp(-b[1] * x[i])
        r = b[0] * (1.0 - decay) - y[i]
        f += r * r
        g[0] += 2.0 * r * (1.0 - decay)
        g[1] += 2.0 * r * b[0] * x[i] * decay
    return f


@compiled
def misra1b(b, g, x, y):
    """``y = b1 (1 - (1 + b2 x/2)**-2)``."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        u = 1.0 / (1.0 + b[1] * x[i] / 2.0)
        r = b[0] * (1.0 - u * u) - y[i]
        f += r * r
        g[0] += 2.0 * r * (1.0 - u * u)
        g[1] += 2.0 * r * b[0] * x[i] * u**3
    return f


@compiled
def danwood(b, g, x, y):
    """``y = b1 x**b2``."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        power = x[i] ** b[1]
        r = b[0] * power - y[i]
        f += r * r
        g[0] += 2.0 * r * power
        g[1] += 2.0 * r * b[0] * power * np.log(x[i])
    return f


@compiled
def chwirut(b, g, x, y):
    """``y = exp(-b1 x) / (b2 + b3 x)``."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        width = b[1] + b[2] * x[i]
        model = np.exp(-b[0] * x[i]) / width
        r = model - y[i]
        f += r * r
        g[0] -= 2.0 * r * model * x[i]
        g[1] -= 2.0 * r * model / width
        g[2] -= 2.0 * r * model / width * x[i]
    return f


@compiled
def gauss(b, g, x, y):
    """``y = b1 exp(-b2 x) + b3 exp(-(x-b4)**2/b5**2) + b6 exp(-(x-b7)**2/b8**2)``."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        decay = np.exp(-b[1] * x[i])
        r = b[0] * decay - y[i]
        for k in (2, 5):
            r += b[k] * np.exp(-(((x[i] - b[k + 1]) / b[k + 2]) ** 2))
        f += r * r
        g[0] += 2.0 * r * decay
        g[1] -= 2.0 * r * b[0] * x[i] * decay
        for k in (2, 5):
            z = (x[i] - b[k + 1]) / b[k + 2]
            peak = np.exp(-z * z)
            g[k] += 2.0 * r * peak
            g[k + 1] += 4.0 * r * b[k] * peak * z / b[k + 2]
            g[k + 2] += 4.0 * r * b[k] * peak * z * z / b[k + 2]
    return f


@compiled
def lanczos(b, g, x, y):
    """``y = b1 exp(-b2 x) + b3 exp(-b4 x) + b5 exp(-b6 x)``."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        r = -y[i]
        for k in range(0, 6, 2):
            r += b[k] * np.exp(-b[k + 1] * x[i])
        f += r * r
        for k in range(0, 6, 2):
            decay = np.exp(-b[k + 1] * x[i])
            g[k] += 2.0 * r * decay
            g[k + 1] -= 2.0 * r * b[k] * x[i] * decay
    return f


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
    """One regression: minimise ``fun(b, g, x, y)`` over `b`, from either of `starts`.

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
