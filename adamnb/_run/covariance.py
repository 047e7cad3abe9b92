"""The covariance of parameters, the inverse Hessian at the minimum, of many problems at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .._compiled.stops import ROUNDINGS
from .hessians import Measured, Minima
from .points import Points
from .verdicts import ALL_HELD, FOUND, NO_FIT, NOT_AT_MINIMUM

ROUNDS = 6  # of Newton's steps
FAR = 0.1  # standard errors that x may be off, or there are none


@dataclass
class Covariances:
    """Of B problems; NaN where there are none."""

    covariance: np.ndarray  # (B, n, n)
    at_bound: np.ndarray  # (B, n)
    verdict: np.ndarray  # (B,)
    direction: np.ndarray  # (B, n), along which f curves downwards or not at all
    off: np.ndarray  # (B,): by how many standard errors x is off the minimum, ...
    moved: np.ndarray  # ... and has been moved

    @classmethod
    def nothing(cls, count: int, n: int) -> "Covariances":
        """Return those of problems that have not been looked at."""
        off, moved = np.zeros((2, count))
        return cls(
            np.full((count, n, n), np.nan), np.zeros((count, n), bool), np.full(count, int(NO_FIT)),
            np.zeros((count, n)), off, moved,
        )  # fmt: skip

    def put(self, rows: slice | int, part: "Covariances") -> None:
        """Take over those of some problems."""
        for name, array in vars(self).items():
            array[rows] = getattr(part, name)


def covariances(
    points: Points, at: Minima, rows: np.ndarray, height: Callable[[np.ndarray], np.ndarray]
) -> Covariances:
    """Return the covariances of parameters of the problems number `rows`.

    Parameters
    ----------
    height : callable
        ``height(f)``, from f at the minimum by how much it rises when half a squared deviation, in standard
        errors, rises by 1: 1 for a negative log-likelihood.
    """
    found = Covariances.nothing(*at.x.shape)
    for _ in range(ROUNDS):
        moving = [
            _moved(points, at, some, free, height, found) for some, free in _alike(at, rows, found)
        ]
        rows = np.concatenate([rows[:0], *moving])
        if rows.size == 0:
            break
    far = found.off > FAR
    found.verdict[far & (found.verdict == FOUND)] = NOT_AT_MINIMUM
    found.covariance[found.verdict != FOUND] = np.nan
    return found


def _alike(
    at: Minima, rows: np.ndarray, found: Covariances
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the problems that have the same free variables, and the numbers of these."""
    held = found.at_bound[rows] = at.held(rows)
    for pattern in np.unique(held, axis=0) if held.any() else held[:1]:
        some = rows[(held == pattern).all(axis=1)]
        if pattern.all():
            found.verdict[some] = ALL_HELD
        else:
            yield some, np.flatnonzero(~pattern)


def _moved(
    points: Points, at: Minima, rows: np.ndarray, free: np.ndarray,
    height: Callable[[np.ndarray], np.ndarray], found: Covariances,
) -> np.ndarray:  # fmt: skip
    """Write what is found of problems with the same free variables; return which have been moved."""
    measured = Measured(points, at, rows, free, height(at.f[rows]))
    covariance, step, off = measured.inverse()
    square = np.ix_(rows, free, free)
    found.covariance[square] = covariance
    found.verdict[rows] = measured.verdict
    found.off[rows] = np.where(measured.verdict == FOUND, off, 0.0)
    found.direction[np.ix_(rows, free)] = measured.direction
    # On a bound, and pulled off it by nothing that counts.
    x, low, high = (array[np.ix_(rows, free)] for array in (at.x, at.low, at.high))
    error = stderr_of(covariance)
    resting = ((x <= low) | (x >= high)) & (np.abs(step) < FAR * error)
    at.g[np.ix_(rows, free)] = np.where(resting, 0, at.g[np.ix_(rows, free)])
    going = (measured.verdict == FOUND) & (off > measured.tolerance)
    follows = np.zeros(len(rows), bool)
    if going.any():
        follows[going] = _follow(points, at, rows[going], free, step[going])
        found.moved[rows[follows]] += off[follows]
    return rows[follows | (resting.any(axis=1) & (measured.verdict == FOUND))]


def _follow(
    points: Points, at: Minima, rows: np.ndarray, free: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """Move to where Newton's steps lead, where f is not higher there; return where it is not."""
    x = at.x[rows].astype(float)
    x[:, free] += step
    x = np.clip(x, at.low[rows], at.high[rows]).astype(at.x.dtype)
    f, g = points.gradients(rows, x)
    rounded = ROUNDINGS * np.finfo(at.x.dtype).eps * np.abs(at.f[rows])
    if at.noise is not None:
        rounded = np.maximum(rounded, 4 * at.noise[rows])
    with np.errstate(invalid="ignore"):
        follows = (f <= at.f[rows] + rounded) & np.isfinite(g).all(axis=1)
    at.x[rows[follows]], at.f[rows[follows]] = x[follows], f[follows]
    at.g[rows[follows]] = g[follows]
    return follows


def stderr_of(covariance: np.ndarray) -> np.ndarray:
    """Return standard errors, shape (..., n)."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.einsum("...ii->...i", covariance))


def correlation_of(covariance: np.ndarray) -> np.ndarray:
    """Return correlations, shape (..., n, n)."""
    error = stderr_of(covariance)
    with np.errstate(invalid="ignore", divide="ignore"):
        return covariance / (error[..., :, np.newaxis] * error[..., np.newaxis, :])
