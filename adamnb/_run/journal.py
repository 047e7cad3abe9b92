"""What has been evaluated over samples of the rows, so that a run that goes on asks for nothing twice.

A minimisation on samples that goes on is made again from its last mark, where all that it remembers has a
name: it asks for what it asked for then, and the answers are read. So it may be left anywhere, within a
step, a look at the surroundings or a minimisation of its own, and the bits are the same.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from .._problem.parts import Sample, Spread
from .resume import require

UNPARTED = np.zeros((0, 0))  # in place of a covariance


class Answer(NamedTuple):
    """What was found over the first rows at a point; of 0 parts, where no scatter was asked for."""

    x: ndarray
    rows: int
    found: Spread


class Journal:
    """A sample whose answers are kept.

    Parameters
    ----------
    sample : Sample

    Attributes
    ----------
    mark : dict
        All that the minimisation remembered at its last mark, by name; empty before the first.
    answers : list of Answer
        Since then.
    coming : list of Answer
        Those that are read before anything is evaluated.
    tally : tuple of int
        Calls of `fun`, gradients and rows, up to the last answer.
    """

    def __init__(self, sample: Sample) -> None:
        self.sample, self.count = sample, sample.count
        self.mark: dict[str, Any] = {}
        self.answers: list[Answer] = []
        self.coming: list[Answer] = []
        self.tally = self._counted()

    @property
    def passed(self) -> int:
        """Rows that have been evaluated."""
        return self.sample.mean.passed

    def _counted(self) -> tuple[int, int, int]:
        mean = self.sample.mean
        return int(mean.counts[0]), int(mean.counts[1]), mean.passed

    def evaluate(self, x: ndarray, rows: int) -> tuple[float, ndarray]:
        """Return f and its gradient over the first rows."""

        def ask() -> Spread:
            return Spread(*self.sample.evaluate(x, rows), UNPARTED, 0.0, 0)

        return self._answer(x, rows, False, ask)[:2]

    def spread(self, x: ndarray, rows: int, most: int) -> Spread:
        """Return f and its gradient over the first rows, and their scatter over at most so many parts."""
        return self._answer(x, rows, True, lambda: self.sample.spread(x, rows, most))

    def _answer(self, x: ndarray, rows: int, parted: bool, ask: Callable[[], Spread]) -> Spread:
        """Return an answer, a known one if this was asked for."""
        known = self.coming.pop(0) if self.coming else None
        same = known is not None and (known.rows, known.found.parts > 0) == (rows, parted)
        if known is not None and same and np.array_equal(known.x, x):
            self.sample.mean.passed += rows
        else:  # other bits, as on another machine, ask for other points from here on
            self.coming.clear()
            known = Answer(x.copy(), rows, ask())
        self.answers.append(known)
        self.tally = self._counted()
        return known.found

    def begin_anew(self, mark: dict[str, Any]) -> None:
        """Note all that is remembered now; the answers so far are not needed any more."""
        self.mark, self.answers = mark | {"passed": self.passed}, []

    def memory(self) -> dict[str, ndarray]:
        """Return the answers by name, in arrays."""
        n, answers = self.sample.mean.problem.x0.size, self.answers
        found = [answer.found for answer in answers]
        return {
            "x": np.array([answer.x for answer in answers], float).reshape(-1, n),
            "rows": np.array([answer.rows for answer in answers], int),
            "f": np.array([one.f for one in found], float),
            "g": np.array([one.g for one in found], float).reshape(-1, n),
            "covariance": np.array([one.covariance for one in found if one.parts], float).reshape(-1, n, n),
            "deviation": np.array([one.deviation for one in found], float),
            "parts": np.array([one.parts for one in found], int),
        }  # fmt: skip

    def take_over(self, mark: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        """Go on from a mark and the answers after it."""
        require(set(given) == set(self.memory()), "that was on a growing sample")
        covariances = iter(given["covariance"])
        numbers = (given[name].tolist() for name in ("rows", "f", "deviation", "parts"))
        points = given["x"].astype(self.sample.mean.problem.x0.dtype)
        for x, g, rows, f, deviation, parts in zip(points, given["g"], *numbers, strict=True):
            covariance = next(covariances) if parts else UNPARTED
            self.coming.append(Answer(x, rows, Spread(f, g, covariance, deviation, parts)))
        self.mark = dict(mark)
        self.sample.mean.passed = int(mark.get("passed", 0))
