"""What happens to one element around its rule: bounds, scale, factors of the learning rate, weight decay.

As the rules, these hold no loop and no literal that would turn float32 arithmetic into float64.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from .cache import WITH_MEMORY, scalar


class Regularisation(NamedTuple):
    """Per-step numbers of clipping and weight decay; a plain method has none."""

    clip: float  # factor of the gradient
    l2: float  # g + l2 x
    decay: float  # x - decay x


class Adaptation(NamedTuple):
    """Per-step numbers of an automatic learning rate."""

    rate: float
    factor_up: float
    factor_down: float
    factor_min: float
    factor_max: float


FACTOR_MIN, FACTOR_MAX = 1e-4, 1e4  # of the learning rate of a variable


@scalar
def regularised(g, p, r):
    """Return the gradient, clipped and with weight decay's part of it."""
    return r.clip * g + r.l2 * p


@scalar
def held(p, g, low, high):
    """Return whether a variable rests on a bound that a step along -g would leave."""
    return (p <= low and g > 0) or (p >= high and g < 0)


@scalar
def within(p, low, high):
    """Return the nearest point within the bounds; NaN stays NaN."""
    p = p if p > low else low
    return p if p < high else high


@scalar
def adapted_factor(factor, g, previous, a):
    """Return a variable's factor of the learning rate: delta-bar-delta (Jacobs 1988), multiplied both ways.

    It grows while gradient and previous step agree, and shrinks where they do not.
    """
    agreement = g * previous
    factor = factor * a.factor_up if agreement > 0 else factor
    factor = factor * a.factor_down if agreement < 0 else factor
    factor = factor if factor < a.factor_max else a.factor_max
    return factor if factor > a.factor_min else a.factor_min


@scalar
def size_of(p, one):
    """Return the typical size of a variable that starts at p; `one` is 1 in its dtype."""
    return abs(p) if p != 0 else one


@register_jitable(**WITH_MEMORY)
def sizes_of(x):
    """Return the same of every element of an array."""
    return np.maximum(np.abs(x), x == 0)


@scalar
def relative_move(before, after, unit):
    """Return how far a variable was moved, relative to its size."""
    return abs(after - before) / max(abs(before), unit)
