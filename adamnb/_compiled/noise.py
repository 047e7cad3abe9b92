"""The noise of f: what its values scatter by, rounding or worse, from a handful of them."""

import enum
from math import frexp, inf, ldexp, sqrt

import numpy as np
from numba.extending import register_jitable

from .cache import SELDOM

POINTS = 6  # values beside the one that is known
# Relative change of values that else are equal: no rounding, they are far from each other.
STRUCTURE = 1e-2


class Spacing(enum.Enum):
    """What a table of differences says of the spacing of its points."""

    GOOD = 0
    TOO_SMALL = 1  # f does not feel it
    TOO_LARGE = 2  # f is not yet a polynomial and noise


@register_jitable(**SELDOM | {"_nrt": True})
def noise_of(values):
    """Return the standard deviation of the noise in values of f at equally spaced points.

    In a table of differences what is smooth dies out from column to column, and noise stays: ECnoise
    (Moré & Wild 2011, section 3). Where no three columns agree, the least that is left in one is an
    upper bound.

    Parameters
    ----------
    values : ndarray, shape (m,)
        Finite, m >= 4.
    """
    # A power of two divides exactly: what is rounded alike stays alike.
    low = high = values[0]
    for v in values:
        low, high = min(low, v), max(high, v)
    unit = ldexp(0.5, frexp(max(abs(low), abs(high)))[1])
    count, equal, column = len(values) - 1, 0, values / unit
    for k in range(count):
        equal += column[k] == column[k + 1]
    if equal >= count / 2:
        if high / unit - low / unit > STRUCTURE:
            return inf, Spacing.TOO_LARGE
        return 0.0, Spacing.TOO_SMALL
    levels, both_signs, gamma = np.empty(count), np.empty(count), 1.0
    for k in range(count):
        squares, low, high, last = 0.0, inf, -inf, count - k
        for i in range(last):
            d = column[i] = column[i + 1] - column[i]
            squares, low, high = squares + d * d, min(low, d), max(high, d)
        gamma *= (k + 1) / (4 * k + 2)  # (k!)^2 / (2 k)!
        levels[k] = sqrt(gamma * (squares / last)) * unit
        both_signs[k] = low < 0 < high
    if min(levels[0], levels[1], levels[2]) == 0:  # a line, or equal steps of what f is rounded to
        return 0.0, Spacing.TOO_SMALL
    least = levels[0]
    for k in range(count - 2):
        a, b, c = levels[k], levels[k + 1], levels[k + 2]
        if both_signs[k] and max(a, b, c) <= 4 * min(a, b, c):
            return a, Spacing.GOOD
        least = min(least, a)
    # The last columns hold one and two numbers, which may be small by chance.
    return least, Spacing.TOO_LARGE
