"""Is a point where the gradient vanishes a minimum? What differences of gradients tell of the Hessian."""

from collections.abc import Callable
from ctypes import c_float
from typing import NamedTuple

import numpy as np
from scipy import optimize

from .._compiled.saddle import ENOUGH, LENGTHS
from .._compiled.stops import ROUNDINGS, SINGLE

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]  # f and its gradient

PROBES = (-0.1, 0.1, -0.01, 0.01)  # how far to go along a flat direction, in units of x_scale
CLOSER = 0.01  # how far, to see whether it is flat
ROUNDED = 7  # errors of a difference that its largest may have
DESCENT = 200  # iterations of a descent
HOPELESS = 5  # of them in which f has fallen so little that it will never be low enough
ELSEWHERE = 0.1  # Newton's step, in units of x_scale, from which the minimum is elsewhere ...
UNFINISHED = 1e-3  # ... where f started so high that nothing counts beside it
NEWTON = (1.0, 0.1)  # parts of it that are tried
EXTINCT = 1e-100  # gradient along a variable, relative to f, below which f may have lost it
DOUBLE = float(np.finfo(float).eps)
SIGNS, LANCZOS = 4, 12  # gradients for the lowest curvature of more variables than `verify`


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
    bounded: bool = False  # whether a bound is finite
    elsewhere: float = ELSEWHERE  # Newton's step from which the minimum is elsewhere
    start: np.ndarray | None = None  # where the run began

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
    error = SINGLE if in_single(x, f, g) else DOUBLE
    least = least_fall(f) + vanished
    return Stationary(
        x,
        f,
        g,
        scale,
        low,
        high,
        np.flatnonzero(~held),
        error ** (2 / 3) if differences else error,
        least,
        bounds is not None and bool(np.isfinite(bounds).any()),
    )


def in_single(x: np.ndarray, f: float, g: np.ndarray) -> bool:
    """Return whether f and its gradient at x have been computed in float32.

    The gradient alone does not tell: what rounding leaves of one that vanishes are a few bits.
    """
    telling = [value for value in (f, *g) if value != 0]
    return x.dtype == np.float32 or (bool(telling) and all(map(is_single, telling)))


def is_single(value: float) -> bool:
    """Return whether a number is one of float32; NumPy would warn of one that is too large."""
    return c_float(value).value == value


class Lower(NamedTuple):
    """A point that is lower, f there, and whether f curves downwards on the way."""

    x: np.ndarray
    f: float
    saddle: bool


def rounding_of(*values: float) -> float:
    """Return the relative rounding of f, from values of it: it may be computed in float32."""
    return ROUNDINGS * (SINGLE if all(map(is_single, values)) else DOUBLE)


def least_fall(f: float) -> float:
    """Return the fall of f that is none of its rounding."""
    return max(ENOUGH, 10 * rounding_of(f)) * abs(f)


def lower_point(evaluate: Evaluate, at: Stationary, gradients: int) -> Lower | None:
    """Return a point below a stationary one, found where f curves downwards or hardly at all, or None.

    Where the Hessian is singular a descent starts from a little way along the flat direction: a
    minimum that is not isolated may end at a saddle of the same height, and then is none. Where it is
    not, but curves so little that the minimum is far off, a descent starts from the point itself.
    Nothing is said of a point until a lower one has been seen.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(x) -> (f, gradient)``
    gradients : int
        The whole Hessian is looked at for up to so many variables, beyond that its lowest curvature.
    """
    if at.free.size == 0:
        return None
    slope = at.g[at.free] * at.scale[at.free]
    if at.free.size > gradients:
        unit = row_norms(evaluate, at) ** 0.5
        if not (np.isfinite(unit).all() and unit.any()):
            return None
        unit[unit == 0] = unit.max()
        value, direction, doubt = lanczos(evaluate, at, unit)
        if value < -doubt:
            return below(evaluate, at, direction)
        return unfinished(evaluate, at, -slope / unit**2)
    # Where no gradient is left, as at a start, f may curve further off alone.
    way = (at.error if at.g.any() else max(at.error, SINGLE)) ** 0.5
    rows = hessian(evaluate, at, way)
    other = rows if at.g.any() else hessian(evaluate, at, -way)  # x**3 curves upwards on one alone
    if not (np.isfinite(rows).all() and np.isfinite(other).all()):
        return None
    unit = np.sqrt(np.abs(rows.diagonal()))
    unit[unit == 0] = np.sqrt(np.abs(rows).max()) or 1.0
    units = unit[:, None] * unit
    values, vectors, doubt = eigen(rows / units, other / units, at.error / way)
    if values[0] < -doubt:
        return below(evaluate, at, of_length_one(vectors[:, 0] / unit))
    curved = values > doubt
    if curved.any() and not curved.all():
        closer = looked_closer(evaluate, at, unit, (values, vectors), curved)
        if closer is not None:
            (values, vectors), curved = closer, np.full(curved.shape, True)
    along, step = slope / unit @ vectors, -slope / unit**2
    if curved.any():
        step = -(vectors[:, curved] @ (along[curved] / values[curved])) / unit
    lower = unfinished(evaluate, at, step)
    if curved.all() or lower is not None:
        return lower
    for size in PROBES:
        found = further(evaluate, at, at.moved(size, of_length_one(vectors[:, 0] / unit)))
        if found is not None:
            return Lower(*found, saddle=False)
    return found_again(evaluate, at)


def found_again(evaluate: Evaluate, at: Stationary) -> Lower | None:
    """Return a lower point, found by a descent from where f knew of variables that it has lost, or None.

    So it is where a component of a model has left the data: f does not change with its position and width
    any more, whatever they are.
    """
    if at.start is None:
        return None
    point, still = at.x.copy(), np.abs(at.g * at.scale)[at.free] <= EXTINCT * abs(at.f)
    for along, i in zip(np.eye(at.free.size)[still], at.free[still], strict=True):
        if all(evaluate(at.moved(size, along))[0] == at.f for size in PROBES[2:]):
            point[i] = at.start[i]
    if (point == at.x).all():
        return None
    found = further(evaluate, at, point)
    return None if found is None else Lower(*found, saddle=False)


def hessian(evaluate: Evaluate, at: Stationary, h: float) -> np.ndarray:
    """Return the Hessian of the free variables in units of their scale, by differences over a way h.

    It is not yet symmetric, and NaN where it is not finite.
    """
    rows = np.empty((at.free.size, at.free.size))
    with np.errstate(all="ignore"):
        for row, i in zip(rows, at.free, strict=True):
            shifted = at.x.copy()
            inside = at.low[i] <= at.x[i] + h * at.scale[i] <= at.high[i]
            shifted[i] += h * at.scale[i] if inside else -h * at.scale[i]
            change = (evaluate(shifted)[1] - at.g) / (shifted[i] - at.x[i])
            row[:] = change[at.free] * at.scale[i] * at.scale[at.free]
    return rows


def eigen(
    rows: np.ndarray, other: np.ndarray, error: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the eigenvalues of a Hessian, its eigenvectors, and what the former are uncertain by.

    It is the mean of `rows` and `other`, those of the other side. Both have been divided by the roots of
    the diagonal: the signs of eigenvalues stay (Sylvester), and a variable of small curvature is not lost in
    the rounding of another.
    """
    middle = (rows + other) / 2
    values, vectors = np.linalg.eigh((middle + middle.T) / 2)
    apart = max(np.abs(middle - middle.T).max(), np.abs(rows - middle).max())
    return values, vectors, max(apart, ROUNDED * error) * len(rows)


def looked_closer(
    evaluate: Evaluate,
    at: Stationary,
    unit: np.ndarray,
    spectrum: tuple[np.ndarray, np.ndarray],
    curved: np.ndarray,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return a spectrum if the values that may be 0 are positive, as a longer way along them tells, or None.

    What rounding makes of differences is less there, by the ratio of the ways: f of condition 1e10 is told
    from one that is flat.
    """
    values, vectors = spectrum
    flat, stiff, count = vectors[:, ~curved], vectors[:, curved], len(values)
    sides, error = [], at.error / CLOSER
    for side in (CLOSER, -CLOSER):
        rows = np.empty((flat.shape[1], flat.shape[1]))
        across = np.empty((flat.shape[1], stiff.shape[1]))
        for k, v in enumerate(flat.T):
            curvature = product(evaluate, at, v / unit, side) / unit
            rows[k], across[k] = curvature @ flat, curvature @ stiff
            if not rows[k, k] - across[k] ** 2 @ (1 / values[curved]) > ROUNDED * error * count:
                return None
        # What is left of it where the others follow: the Schur complement.
        sides.append(rows - across / values[curved] @ across.T)
    lowest, turned, doubt = eigen(sides[0], sides[1], error)
    if not lowest[0] > doubt * count:
        return None
    return np.append(lowest, values[curved]), np.hstack([flat @ turned, stiff])


def product(evaluate: Evaluate, at: Stationary, direction: np.ndarray, way: float) -> np.ndarray:
    """Return the Hessian of the free variables, in units of their scale, times a direction.

    It is a difference over a way in these units, NaN where that cannot be had.
    """
    shifted = at.moved(way / np.abs(direction).max(), direction)
    moved = (shifted - at.x)[at.free] / at.scale[at.free]
    with np.errstate(all="ignore"):
        change = (evaluate(shifted)[1] - at.g)[at.free] * at.scale[at.free]
        return change * (direction @ direction / (moved @ direction))


def row_norms(evaluate: Evaluate, at: Stationary) -> np.ndarray:
    """Return estimates of the norms of the rows of the Hessian, by products with random signs."""
    rng, squares = np.random.default_rng(0), np.zeros(at.free.size)
    for _ in range(SIGNS):
        signs = rng.choice([-1.0, 1.0], at.free.size)
        squares += product(evaluate, at, signs, at.error**0.5) ** 2 / SIGNS
    return np.sqrt(squares)


def lanczos(
    evaluate: Evaluate, at: Stationary, unit: np.ndarray
) -> tuple[float, np.ndarray, float]:
    """Return the lowest eigenvalue, where it points, and what it is uncertain by (Lanczos 1950).

    The Hessian is divided by `unit` from both sides, as its diagonal is not known.
    """
    count = at.free.size
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
        products[k] = q = product(evaluate, at, basis[k] / unit, at.error**0.5) / unit
        if not np.isfinite(q).all():
            return 1.0, q, 0.0
    basis, products = basis[:steps], products[:steps]
    ritz = products @ basis.T
    values, vectors = np.linalg.eigh((ritz + ritz.T) / 2)
    doubt = max(np.abs(ritz - ritz.T).max(), ROUNDED * at.error**0.5 * np.abs(values).max())
    return values[0], of_length_one(basis.T @ vectors[:, 0] / unit), doubt


def of_length_one(direction: np.ndarray) -> np.ndarray:
    """Return a direction whose largest element is 1 or -1."""
    return direction / np.abs(direction).max()


def unfinished(evaluate: Evaluate, at: Stationary, step: np.ndarray) -> Lower | None:
    """Return a point that is lower and far, where Newton's step says that the minimum is, or None.

    So it is where the gradient fell from a height beside which nothing counts, or where a variable is
    much larger than its scale.
    """
    if not (np.isfinite(step).all() and np.abs(step).max() > at.elsewhere):
        return None
    least = least_fall(at.f)
    if not -0.5 * at.g[at.free] * at.scale[at.free] @ step > least:
        return None
    for part in NEWTON:
        point = at.moved(part, step)
        f = evaluate(point)[0]
        if f < at.f - least:
            return Lower(point, f, saddle=False)
    return None


def below(evaluate: Evaluate, at: Stationary, direction: np.ndarray) -> Lower | None:
    """Return a lower point along a direction of negative curvature, or downhill from there."""
    tries = [at.moved(sign * size, direction) for size in LENGTHS for sign in (1.0, -1.0)]
    values = [value if np.isfinite(value) else np.inf for value, _ in map(evaluate, tries)]
    best = tries[int(np.argmin(values))]
    if min(values) < at.f - at.least:
        return Lower(best, min(values), saddle=True)
    found = further(evaluate, at, best)
    return None if found is None else Lower(*found, saddle=True)


def further(
    evaluate: Evaluate, at: Stationary, point: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Return where a descent from a point leads, and f there, if that is lower."""
    low_enough = at.f - at.least
    x, f = descent(evaluate, at, point, low_enough)
    return (x, f) if f < low_enough else None


def descent(
    evaluate: Evaluate, at: Stationary, point: np.ndarray, low_enough: float = -np.inf
) -> tuple[np.ndarray, float]:
    """Return where a descent from a point leads, until f is low enough or hardly falls, and f there."""
    size, values = np.where(point != 0, np.abs(point), at.scale), [np.inf] * HOPELESS

    def scaled(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, g = evaluate(z * size)
        return value, g * size

    def callback(intermediate_result: optimize.OptimizeResult) -> None:
        values.append(intermediate_result.fun)
        hopeless = not values[-1 - HOPELESS] - values[-1] > at.least * HOPELESS / DESCENT
        if values[-1] < low_enough or hopeless:
            raise StopIteration

    with np.errstate(all="ignore"):  # of f far away
        found = optimize.minimize(
            scaled, point / size, jac=True, method="L-BFGS-B",
            options={"maxiter": DESCENT, "ftol": 0.0, "gtol": 0.0},
            bounds=optimize.Bounds(at.low / size, at.high / size), callback=callback,
        )  # fmt: skip
    return found.x * size, float(found.fun)
