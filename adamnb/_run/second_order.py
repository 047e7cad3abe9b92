"""Is a point where the gradient vanishes a minimum? What differences of gradients tell of the Hessian."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize

from .._compiled.stops import ROUNDINGS, SINGLE, is_single

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]  # f and its gradient

PROBES = (-0.1, 0.1, -0.01, 0.01)  # how far to go along a flat direction, in units of x_scale
DESCENTS = (1e-3, 1e-2, 1e-1, 1.0)  # how far to go where f curves downwards, in units of x_scale
DESCENT = 200  # iterations of a descent
ENOUGH = 1e-9  # relative fall of f that is none of its rounding, in float64
LANCZOS = 12  # gradients for the lowest curvature of more variables than `verify`


class Stationary(NamedTuple):
    """A point where the gradient vanishes, and what is known of its surroundings."""

    x: np.ndarray
    f: float
    g: np.ndarray
    scale: np.ndarray  # size of each variable
    low: np.ndarray
    high: np.ndarray
    free: np.ndarray  # numbers of the variables that no bound holds
    error: float  # relative error of the gradient: its rounding, or that of differences
    least: float  # fall of f that is neither its rounding nor what has all but vanished

    def moved(self, size: float, direction: np.ndarray) -> np.ndarray:
        """Return a point along a direction, in units of the scale of free variables."""
        point = self.x.copy()
        point[self.free] += size * self.scale[self.free] * direction
        return np.clip(point, self.low, self.high)


def stationary(
    x: np.ndarray,
    f: float,
    g: np.ndarray,
    scale: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray] | None,
    push: float = 0.0,
    vanished: float = 0.0,
    differences: bool = False,
) -> Stationary:
    """Return a point with what is known of its surroundings.

    A variable on a bound is held there if its gradient, in units of the scale, is larger than `push`;
    `vanished` is a fall of f that does not count, and `differences` whether g is made of them.
    """
    scale = np.maximum(scale, 1e-3 * np.abs(x))  # or a small part of it is lost in x
    low, high = np.full(x.size, -np.inf), np.full(x.size, np.inf)
    held = np.zeros(x.size, bool)
    if bounds is not None:
        low, high = bounds
        held = (low == high) | (((x <= low) | (x >= high)) & (np.abs(g) * scale > push))
    error = SINGLE if in_single(x, g) else float(np.finfo(float).eps)
    least = max(ENOUGH, 10 * rounding_of(f)) * abs(f) + vanished
    return Stationary(
        x,
        f,
        g,
        scale,
        low,
        high,
        np.flatnonzero(~held),
        error**0.5 if differences else error,
        least,
    )


def in_single(x: np.ndarray, g: np.ndarray) -> bool:
    """Return whether a gradient at x has been computed in float32."""
    with np.errstate(over="ignore"):
        return x.dtype == np.float32 or bool((np.float32(g) == g).all())


class Lower(NamedTuple):
    """A point that is lower, and whether f curves downwards on the way there."""

    x: np.ndarray
    saddle: bool


def rounding_of(*values: float) -> float:
    """Return the relative rounding of f, from values of it: it may be computed in float32."""
    with np.errstate(over="ignore"):
        single = all(is_single.py_func(value) for value in values)
    return ROUNDINGS * (SINGLE if single else float(np.finfo(float).eps))


def lower_point(evaluate: Evaluate, at: Stationary, gradients: int) -> Lower | None:
    """Return a point below a stationary one, found where f curves downwards or not at all, or None.

    Where the Hessian is singular a descent starts from a little way along the flat direction: a
    minimum that is not isolated may end at a saddle of the same height, and then is none. Nothing is
    said of a point until a lower one has been seen.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(x) -> (f, gradient)``
    gradients : int
        The whole Hessian is looked at for up to so many variables, beyond that its lowest curvature.
    """
    if at.free.size == 0:
        return None
    if at.free.size > gradients:
        value, direction, doubt = lanczos(evaluate, at)
        return below(evaluate, at, direction) if value < -doubt else None
    value, direction, doubt = lowest(hessian(evaluate, at), at.error**0.5)
    if abs(value) > doubt:
        return below(evaluate, at, direction) if value < 0 else None
    for size in PROBES:
        lower = further(evaluate, at, at.moved(size, direction))
        if lower is not None:
            return Lower(lower, saddle=False)
    return None


def hessian(evaluate: Evaluate, at: Stationary) -> np.ndarray:
    """Return the Hessian of the free variables in units of their scale, by forward differences.

    It is not yet symmetric, and NaN where it is not finite.
    """
    rows = np.empty((at.free.size, at.free.size))
    h = at.error**0.5
    for row, i in zip(rows, at.free, strict=True):
        shifted = at.x.copy()
        up = at.x[i] + h * at.scale[i] <= at.high[i]
        shifted[i] += h * at.scale[i] if up else -h * at.scale[i]
        with np.errstate(all="ignore"):
            change = (evaluate(shifted)[1] - at.g) / (shifted[i] - at.x[i])
            row[:] = change[at.free] * at.scale[i] * at.scale[at.free]
    return rows


def lowest(rows: np.ndarray, error: float) -> tuple[float, np.ndarray, float]:
    """Return the lowest eigenvalue, where it points, and what it is uncertain by.

    The eigenvalues are those of the Hessian divided by the roots of its diagonal: their signs stay
    (Sylvester), and a variable of small curvature is not lost in the rounding of another. A Hessian
    that is not finite says nothing.
    """
    if not np.isfinite(rows).all():
        return 1.0, np.zeros(len(rows)), 0.0
    diagonal = np.sqrt(np.abs(np.diag(rows)))
    diagonal[diagonal == 0] = np.sqrt(np.abs(rows).max()) or 1.0
    unit = rows / np.outer(diagonal, diagonal)
    values, vectors = np.linalg.eigh((unit + unit.T) / 2)
    doubt = max(np.abs(unit - unit.T).max(), 7 * error) * len(unit)
    direction = vectors[:, 0] / diagonal
    return values[0], direction / np.abs(direction).max(), doubt


def lanczos(evaluate: Evaluate, at: Stationary) -> tuple[float, np.ndarray, float]:
    """Return what `lowest` does, by a few products of the Hessian with vectors (Lanczos 1950)."""
    count, h = at.free.size, at.error**0.5
    steps = min(LANCZOS, count)
    basis, products = np.empty((steps, count)), np.empty((steps, count))
    q = np.random.default_rng(0).normal(size=count)
    for k in range(steps):
        q = q - basis[:k].T @ (basis[:k] @ q)
        norm = np.sqrt(q @ q)
        if not norm > 1e-10 * np.sqrt(count):
            steps = k
            break
        basis[k] = q / norm
        size = h / np.abs(basis[k]).max()
        shifted = at.moved(size, basis[k])
        moved = (shifted - at.x)[at.free] / at.scale[at.free]
        with np.errstate(all="ignore"):
            change = (evaluate(shifted)[1] - at.g)[at.free] * at.scale[at.free]
        length = moved @ basis[k]
        if not (np.isfinite(change).all() and length > 0):
            return 1.0, q, 0.0
        products[k] = q = change / length
    basis, products = basis[:steps], products[:steps]
    ritz = products @ basis.T
    values, vectors = np.linalg.eigh((ritz + ritz.T) / 2)
    doubt = max(np.abs(ritz - ritz.T).max(), 7 * at.error**0.5 * np.abs(values).max())
    direction = basis.T @ vectors[:, 0]
    return values[0], direction / np.abs(direction).max(), doubt


def below(evaluate: Evaluate, at: Stationary, direction: np.ndarray) -> Lower | None:
    """Return a lower point along a direction of negative curvature, or downhill from there."""
    tries = [at.moved(sign * size, direction) for size in DESCENTS for sign in (1.0, -1.0)]
    values = [value if np.isfinite(value) else np.inf for value, _ in map(evaluate, tries)]
    best = tries[int(np.argmin(values))]
    lower = best if min(values) < at.f - at.least else further(evaluate, at, best)
    return None if lower is None else Lower(lower, saddle=True)


def further(evaluate: Evaluate, at: Stationary, point: np.ndarray) -> np.ndarray | None:
    """Return where a descent from a point leads, if that is lower."""
    size = np.where(point != 0, np.abs(point), at.scale)

    def scaled(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, g = evaluate(z * size)
        return value, g * size

    found = optimize.minimize(
        scaled, point / size, jac=True, method="L-BFGS-B",
        options={"maxiter": DESCENT, "ftol": 0.0, "gtol": 0.0},
        bounds=optimize.Bounds(at.low / size, at.high / size),
    )  # fmt: skip
    return found.x * size if found.fun < at.f - at.least else None
