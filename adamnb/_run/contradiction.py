"""Does f change as its gradient says?"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .second_order import Evaluate, Stationary, rounding_of

ELSEWHERE = (0.25, 4.0)  # as far as this as well, the same contradiction is to be seen
ROOM = 0.2  # that bounds must leave, in units of x_scale
LENGTHS = np.random.default_rng(0).uniform(0.5, 1.0, 1024)  # of steps, relative to sizes
NODES = 0.5 - 3**-0.5 / 2, 0.5 + 3**-0.5 / 2  # of Gauss and Legendre, between 0 and 1


class Contradiction(NamedTuple):
    """Along a variable, or along all of them, f changes otherwise than its gradient says."""

    variable: int | None
    changed: float
    said: float

    def said_of(self, name_of: Callable[[int], str]) -> str:
        """Return it in words; `name_of` is what variables are called."""
        along = "a line" if self.variable is None else name_of(self.variable)
        return f"along {along} f changed by {self.changed:.3g}, the gradient says {self.said:.3g}"


def contradiction(evaluate: Evaluate, at: Stationary, name: int) -> Contradiction | None:
    """Return how f near a point contradicts its gradient, or None.

    Free variables are judged apart from those that bounds hold, against a slope in which an error of a
    slope that has vanished would be lost. For up to `name` variables it is found out which of them it is.
    """
    steps = ways(at)
    if at.free.size == steps.size:
        return along(evaluate, at.x, at.f, steps, name)
    held = steps.copy()
    held[at.free] = 0
    for part in (steps - held, held):
        found = along(evaluate, at.x, at.f, part, name) if part.any() else None
        if found is not None:
            return found
    return None


def along(
    evaluate: Evaluate, x: np.ndarray, f: float, steps: np.ndarray, name: int
) -> Contradiction | None:
    """Return what `contradiction` does, for the variables that have steps.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(x) -> (f, gradient)``
    steps : ndarray, shape (n,)
        In which direction to look, up or down by the size of a variable; 0 where it cannot be changed.
    """
    # Not of one length, or two errors of the same size could cancel.
    first, second = lengths(x.size)
    if not seen(evaluate, x, f, steps * first):
        return None
    found = seen(evaluate, x, f, steps * second)
    if found is None or not steps.size <= name:
        return found
    for i in np.flatnonzero(steps):
        alone = np.zeros_like(steps)
        alone[i] = steps[i]
        single = seen(evaluate, x, f, alone)
        if single is not None:
            return single._replace(variable=int(i))
    return found


def lengths(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the lengths of steps along two ways, the same every time."""
    known = LENGTHS
    if 2 * n > known.size:
        known = np.random.default_rng(0).uniform(0.5, 1.0, 2 * n)
    return known[:n], known[n : 2 * n]


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


def ways(at: Stationary) -> np.ndarray:
    """Return for each variable the step, up or down by its scale, that bounds leave room for."""
    x, scale = at.x, at.scale
    if not at.bounded:
        return np.where(np.arange(x.size) % 2, -scale, scale)
    with np.errstate(over="ignore"):
        up, down = x + ROOM * scale <= at.high, x - ROOM * scale >= at.low
    return np.where(up, scale, np.where(down, -scale, 0))
