"""Is a point where the gradient vanishes a minimum? The Hessian by differences, for few variables."""

from collections.abc import Callable

import numpy as np
from scipy import optimize

PROBES = (-0.1, 0.1, -0.01, 0.01)  # how far to go along a flat direction, in units of x_scale
DESCENTS = (1e-3, 1e-2, 1e-1, 1.0)  # how far to go where f curves downwards, in units of x_scale
DESCENT = 200  # iterations of a descent
ENOUGH = 1e-9  # relative fall of f that is no rounding


def hessian(
    gradient: Callable, x: np.ndarray, g: np.ndarray, scale: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """Return the Hessian in units of `scale`, by forward differences; not yet symmetric."""
    h = np.sqrt(np.finfo(x.dtype).eps)
    rows = np.empty((x.size, x.size))
    for i in range(x.size):
        shifted = x.copy()
        shifted[i] += h * scale[i] if x[i] + h * scale[i] <= upper[i] else -h * scale[i]
        rows[i] = (gradient(shifted) - g) / (shifted[i] - x[i]) * scale[i] * scale
    return rows


def lowest(rows: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Return the lowest eigenvalue, where it points, and what it is uncertain by.

    The eigenvalues are those of the Hessian divided by the roots of its diagonal: their signs stay
    (Sylvester), and a variable of small curvature is not lost in the rounding of another.
    """
    diagonal = np.sqrt(np.abs(np.diag(rows)))
    diagonal[diagonal == 0] = np.sqrt(np.abs(rows).max()) or 1.0
    unit = rows / np.outer(diagonal, diagonal)
    values, vectors = np.linalg.eigh((unit + unit.T) / 2)
    doubt = max(np.abs(unit - unit.T).max(), 1e-7) * len(unit)
    direction = vectors[:, 0] / diagonal
    return values[0], direction / np.abs(direction).max(), doubt


def lower_point(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]],
    x: np.ndarray,
    f: float,
    g: np.ndarray,
    scale: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray | None:
    """Return a point below a stationary one, found where f curves downwards, or None.

    Where the Hessian is singular a descent starts from a little way along the flat direction: a
    minimum that is not isolated may end at a saddle of the same height, and then is none. Nothing is
    said of a point until a lower one has been seen.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(x) -> (f, gradient)``
    x, f, g : ndarray, float, ndarray
        The point; variables on a bound are held.
    scale : ndarray
        Size of each variable.
    """
    low, high = (
        bounds if bounds is not None else (np.full(x.size, -np.inf), np.full(x.size, np.inf))
    )
    free = np.flatnonzero((x > low) & (x < high))

    def moved(point: np.ndarray, size: float, direction: np.ndarray) -> np.ndarray:
        point = point.copy()
        point[free] += size * scale[free] * direction
        return np.clip(point, low, high)

    def look(point: np.ndarray, gradient: np.ndarray) -> tuple[float, np.ndarray, float]:
        def along(z: np.ndarray) -> np.ndarray:
            full = point.copy()
            full[free] = z
            return evaluate(full)[1][free]

        with np.errstate(all="ignore"):
            rows = hessian(along, point[free], gradient[free], scale[free], high[free])
        return lowest(rows) if np.isfinite(rows).all() else (1.0, point[free], 0.0)

    def below(point: np.ndarray, direction: np.ndarray) -> np.ndarray | None:
        tries = [moved(point, sign * size, direction) for size in DESCENTS for sign in (1.0, -1.0)]
        values = [value if np.isfinite(value) else np.inf for value, _ in map(evaluate, tries)]
        lowest_try = tries[int(np.argmin(values))]
        return lowest_try if min(values) < f - ENOUGH * abs(f) else further(lowest_try)

    def further(point: np.ndarray) -> np.ndarray | None:
        size = np.where(point != 0, np.abs(point), scale)

        def scaled(z: np.ndarray) -> tuple[float, np.ndarray]:
            value, g = evaluate(z * size)
            return value, g * size

        found = optimize.minimize(
            scaled, point / size, jac=True, method="L-BFGS-B",
            options={"maxiter": DESCENT, "ftol": 0.0, "gtol": 0.0},
            bounds=optimize.Bounds(low / size, high / size),
        )  # fmt: skip
        return found.x * size if found.fun < f - ENOUGH * abs(f) else None

    if free.size == 0:
        return None
    value, direction, doubt = look(x, g)
    if abs(value) > doubt:
        return below(x, direction) if value < 0 else None
    for size in PROBES:
        lower = further(moved(x, size, direction))
        if lower is not None:
            return lower
    return None
