"""x in parts: every rank of an MPI job has some of the variables, with their moments and pairs.

What an iteration needs to know of all variables is a handful of sums and maxima. They are made in the order
of ranks, so that all ranks have the same bits of them, and take the same way.
"""

from collections.abc import Callable
from ctypes import CFUNCTYPE, c_double, c_int64, c_void_p, cast
from typing import Any

import numpy as np

from .._compiled.ranks import Exchange
from .ranks import Ranks

MEETING = CFUNCTYPE(None, c_void_p, c_int64, c_int64)


class Alone:
    """All variables, on this rank."""

    exchange: Exchange | None = None  # for machine code
    labels: tuple[tuple[str, str], ...] = ()  # of a checkpoint

    def gathered(self, value: Any) -> list:
        """Return what all ranks have, in their order."""
        return [value]

    def variables(self, n: int) -> int:
        """Return how many there are, of which this rank has n."""
        return n

    def total(self, number: Any) -> Any:
        """Return the sum of a number over all ranks."""
        return number

    def largest(self, number: Any) -> Any:
        """Return the largest of a number over all ranks, NaN if one is."""
        return number

    def anywhere(self, flag: Any) -> bool:
        """Return whether a flag is set on any rank."""
        return bool(flag)

    def first(self, text: str) -> str:
        """Return the text of the first rank that has one."""
        return text

    def watched(self, function: Callable) -> Callable:
        """Return a function of machine code that raises what an exchange in it has raised."""
        return function


class Shards(Alone):
    """The variables of all ranks, of which this one has n."""

    def __init__(self, ranks: Ranks, n: int) -> None:
        ranks.keep_apart()
        self.ranks = ranks
        self.error: BaseException | None = None
        self.count = sum(self.gathered(n))
        self.labels = (("part", f"{ranks.rank} of {ranks.count}"),)
        self._called = MEETING(self._meet)  # is there as long as its address is used
        self.exchange = Exchange(cast(self._called, c_void_p).value or 0, self.count, np.empty(4))

    def _meet(self, address: int, maxima: int, count: int) -> None:
        """Do what `_compiled.ranks.combine` says; machine code knows of no exceptions."""
        numbers = np.ctypeslib.as_array((c_double * count).from_address(address))
        try:
            self.ranks.combine(numbers, maxima)
        except BaseException as error:
            self.error, numbers[:] = error, np.nan

    def gathered(self, value: Any) -> list:
        return self.ranks.gathered(value)

    def watched(self, function: Callable) -> Callable:
        def call(*arguments: Any) -> Any:
            value = function(*arguments)
            if self.error is not None:
                raise self.error
            return value

        return call

    def variables(self, n: int) -> int:
        return self.count

    def total(self, number: Any) -> Any:
        return self._of_all(number, 0)

    def largest(self, number: Any) -> Any:
        return self._of_all(number, 1)

    def _of_all(self, number: Any, maxima: int) -> float:
        numbers = np.array([number], float)
        self.ranks.combine(numbers, maxima)
        return float(numbers[0])

    def anywhere(self, flag: Any) -> bool:
        return self.largest(bool(flag)) > 0

    def first(self, text: str) -> str:
        return next((f"{one} of rank {i}" for i, one in enumerate(self.gathered(text)) if one), "")


ALONE = Alone()
