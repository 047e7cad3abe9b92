"""The noise of f: what its values scatter by, rounding or worse, from a handful of them."""

import enum

import numpy as np

POINTS = 6  # values beside the one that is known
STRUCTURE = (
    1e-2  # relative change of values that else are equal: no rounding, they are far from each other
)


class Spacing(enum.Enum):
    """What a table of differences says of the spacing of its points."""

    GOOD = 0
    TOO_SMALL = 1  # f does not feel it
    TOO_LARGE = 2  # f is not yet a polynomial and noise


def noise_of(values: np.ndarray) -> tuple[float, Spacing]:
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
    unit = float(np.ldexp(0.5, np.frexp(np.abs(values).max())[1]))
    column = values / unit
    if np.count_nonzero(np.diff(column) == 0) >= (len(values) - 1) / 2:
        if np.ptp(column) > STRUCTURE:
            return np.inf, Spacing.TOO_LARGE
        return 0.0, Spacing.TOO_SMALL
    levels, both_signs, gamma = [], [], 1.0
    for k in range(1, len(values)):
        column = np.diff(column)
        gamma *= k / (4 * k - 2)  # (k!)^2 / (2 k)!
        levels.append(float(np.sqrt(gamma * np.mean(column * column))) * unit)
        both_signs.append(column.min() < 0 < column.max())
    if min(levels[:3]) == 0:  # a line, or equal steps of what f is rounded to
        return 0.0, Spacing.TOO_SMALL
    for k in range(len(levels) - 2):
        three = levels[k : k + 3]
        if both_signs[k] and max(three) <= 4 * min(three):
            return levels[k], Spacing.GOOD
    # The last columns hold one and two numbers, which may be small by chance.
    return min(levels[:-2]), Spacing.TOO_LARGE
