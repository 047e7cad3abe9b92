"""Numbers that ranks have in common, each of which has a part of the variables: sums and maxima over all.

Without ranks they are what they are, and nothing is compiled for it.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from .addresses import call_c
from .cache import INLINED

SUM, MOST = 0, 1  # how many of a single number are maxima


class Exchange(NamedTuple):
    """How a rank meets the others."""

    address: int  # of a C function, see `combine`
    variables: int  # of all ranks
    numbers: Any  # shape (4,), float64: room for a few


def combine(ranks, numbers, maxima, count):
    """Make the first numbers those of all ranks: so many are maxima, the others of `count` are sums.

    All ranks do so at the same place, and get the same bits. Compiled by `_combine`.
    """


@overload(combine, jit_options=INLINED)
def _combine(ranks, numbers, maxima, count):
    def with_others(ranks, numbers, maxima, count):
        call_c(ranks.address, numbers, np.int64(maxima), np.int64(count))

    return _unless_alone(ranks, with_others, lambda ranks, numbers, maxima, count: None)


def joined(ranks, number, maxima):
    """Return the sum of a number over all ranks (SUM), or the largest (MOST), NaN if one is.

    Compiled by `_joined`.
    """


@overload(joined, jit_options=INLINED)
def _joined(ranks, number, maxima):
    def with_others(ranks, number, maxima):
        ranks.numbers[0] = number
        combine(ranks, ranks.numbers, maxima, 1)
        return ranks.numbers[0]

    return _unless_alone(ranks, with_others, lambda ranks, number, maxima: number)


def anywhere(ranks, flag):
    """Return whether a flag is set on any rank; compiled by `_anywhere`."""


@overload(anywhere, jit_options=INLINED)
def _anywhere(ranks, flag):
    def with_others(ranks, flag):
        return joined(ranks, 1.0 if flag else 0.0, MOST) > 0.0

    return _unless_alone(ranks, with_others, lambda ranks, flag: flag)


def variables(ranks, n):
    """Return how many variables there are, of which this rank has n; compiled by `_variables`."""


@overload(variables, jit_options=INLINED)
def _variables(ranks, n):
    return _unless_alone(ranks, lambda ranks, n: ranks.variables, lambda ranks, n: n)


def _unless_alone(ranks, with_others, alone):
    return alone if isinstance(ranks, types.NoneType) else with_others
