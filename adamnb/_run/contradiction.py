"""Does f change as its gradient says?"""

from typing import NamedTuple

import numpy as np

from .second_order import Evaluate, rounding_of

ELSEWHERE = (0.25, 4.0)  # as far as this as well, the same contradiction is to be seen
ROOM = 0.2  # that bounds must leave, in units of x_scale
NODES = 0.5 - 3**-0.5 / 2, 0.5 + 3**-0.5 / 2  # of Gauss and Legendre, between 0 and 1


class Contradiction(NamedTuple):
    """Along a variable, or along all of them, f changes otherwise than its gradient says."""

    variable: int | None
    changed: float
    said: float

    def __str__(self) -> str:
        along = "a line" if self.variable is None else f"x[{self.variable}]"
        return f"along {along} f changed by {self.changed:.3g}, the gradient says {self.said:.3g}"


def contradiction(
    evaluate: Evaluate, x: np.ndarray, f: float, steps: np.ndarray, name: int
) -> Contradiction | None:
    """Return how f near x contradicts its gradient, or None.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(x) -> (f, gradient)``
    steps : ndarray, shape (n,)
        In which direction to look, up or down by the size of a variable; 0 where it cannot be changed.
    name : int
        For up to so many variables it is found out which of them it is.
    """
    rng = np.random.default_rng(0)
    # Not of one length, or two errors of the same size could cancel.
    if not seen(evaluate, x, f, steps * rng.uniform(0.5, 1.0, x.size)):
        return None
    found = seen(evaluate, x, f, steps * rng.uniform(0.5, 1.0, x.size))
    if found is None or not steps.size <= name:
        return found
    for i in np.flatnonzero(steps):
        alone = np.zeros_like(steps)
        alone[i] = steps[i]
        single = seen(evaluate, x, f, alone)
        if single is not None:
            return single._replace(variable=int(i))
    return found


def seen(evaluate: Evaluate, x: np.ndarray, f: float, way: np.ndarray) -> Contradiction | None:
    """Return the contradiction along a way, if it is one: the same wherever one looks along it.

    The slope is integrated by two points within the way (Gauss and Legendre), so that a kink at x
    itself is none. Neither noise, nor a jump, nor a curve that is too narrow to be seen lasts.
    """

    near = evaluate(x + 1e-5 * way)[0]  # where f has not few digits by chance
    rounded = 10 * rounding_of(f, near)
    reach = rounded ** (1 / 3)  # where rounding and curvature of third order are alike

    def differences(part: float) -> Contradiction:
        h = reach * part
        slopes = [evaluate(x + h * node * way)[1] @ way for node in NODES]
        return Contradiction(None, evaluate(x + h * way)[0] - f, h * float(np.mean(slopes)))

    first = differences(1.0)
    error = first.changed - first.said
    if not abs(error) > max(0.1 * abs(first.said), rounded * abs(f)):
        return None
    if abs(evaluate(x)[0] - f) > 0.01 * abs(error):  # noise
        return None
    for part in ELSEWHERE:
        nearer = differences(part)
        ratio = (nearer.changed - nearer.said) / (part * error)
        if not 0.7 < ratio < 1.4:
            return None
    return first


def ways(
    x: np.ndarray, scale: np.ndarray, bounds: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    """Return for each variable the step, up or down by its scale, that bounds leave room for."""
    if bounds is None:
        return np.where(np.arange(x.size) % 2, -scale, scale)
    low, high = bounds
    with np.errstate(over="ignore"):
        up, down = x + ROOM * scale <= high, x - ROOM * scale >= low
    return np.where(up, scale, np.where(down, -scale, 0))


def apart(steps: np.ndarray, free: np.ndarray) -> list[np.ndarray]:
    """Return the steps of the variables numbered `free` and those of the others, where there are any.

    Bounds hold the others against a slope in which an error of a slope that has vanished would be lost.
    """
    held = steps.copy()
    held[free] = 0
    return [part for part in (steps - held, held) if part.any()]
