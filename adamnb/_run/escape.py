"""Is there a minimum at all, or does f fall for ever, or not change?"""

import numpy as np

from .second_order import Evaluate, Stationary, rounding_of

FAR = 10.0  # distance from the start, in sizes of x0, from which f may be falling for ever
FURTHER = (0.5, 1.0)  # as far again, in parts of the way
AROUND = (1e-3, -1e-3, 0.1, -0.1)  # where to see whether f changes, in units of x_scale


def falls_for_ever(
    evaluate: Evaluate, at: Stationary, x0: np.ndarray, size: np.ndarray
) -> tuple[int, bool, float] | None:
    """Return where a way leads on and on in which variable, whether up, and by how much f falls, or None."""
    way = at.x - x0
    far = np.abs(way) > FAR * size
    if not far.any():
        return None
    f = at.f
    for part in FURTHER:
        with np.errstate(over="ignore"):
            point = np.clip(at.x + np.where(far, part * way, 0), at.low, at.high)
        if not np.isfinite(point).all():
            break
        value = evaluate(point)[0]
        if not value < f - 10 * rounding_of(f) * abs(f):
            return None
        f = value
    i = int(np.argmax(np.abs(way) / size))
    return i, bool(way[i] > 0), at.f - f if f < at.f else np.inf


def unchanged(evaluate: Evaluate, at: Stationary, steps: np.ndarray) -> bool:
    """Return whether f does not change around a point."""
    points = (np.clip(at.x + size * steps, at.low, at.high) for size in AROUND)
    return all(evaluate(point)[0] == at.f for point in points)
