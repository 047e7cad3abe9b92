"""A mean over the first of many rows in random order, and how its gradient scatters from part to part."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from .._compiled.machine_code import array_type, machine_code
from .._compiled.points import evaluate_problems
from .._compiled.records import STATE
from .arguments import COMPILED
from .compiled import functions_type, tuple_type, types_of
from .epochs import BLOCK, WINDOW
from .mean import Mean
from .objective import wrong_shape
from .rows import Arrays, Reordered, Rows, Source

HELD = 2**26  # bytes of rows that are held in memory, where a sample has no more

Parts = tuple[ndarray, ndarray, ndarray]  # rows, f and gradients of parts of the rows


class Spread(NamedTuple):
    """A mean over a sample, and how its rows scatter about it."""

    f: float
    g: ndarray
    covariance: ndarray  # of the gradients of single rows, shape (n, n)
    deviation: float  # standard deviation of f of single rows
    parts: int  # of which both are estimated


def in_random_order(rows: Rows, seed: int) -> Reordered:
    """Return rows in an order that the seed says, so that the first ones are a sample of all.

    Those on disk are in blocks that follow each other at random, shuffled within windows of some blocks:
    a sample is read from a part of the file alone. The order itself takes eight bytes a row.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    if not rows.on_disk:
        return Reordered(rows, random.permutation(rows.count))
    block = max(1, BLOCK // max(1, rows.size))
    starts = random.permutation(np.arange(0, rows.count, block))
    order, filled, several = np.empty(rows.count, np.int64), 0, WINDOW // BLOCK
    for i in range(0, starts.size, several):
        blocks = [np.arange(lo, min(lo + block, rows.count)) for lo in starts[i : i + several]]
        window = random.permutation(np.concatenate(blocks))
        order[filled : filled + window.size] = window
        filled += window.size
    return Reordered(rows, order)


class Sample:
    """The mean over the first rows of a source, which are in random order.

    Parameters
    ----------
    mean : Mean
    rows : Source
        In random order: its first rows are a sample of all.
    whole : Source, optional
        The same rows in any order, for sums over all of them.
    """

    def __init__(self, mean: Mean, rows: Source, whole: Source | None = None) -> None:
        self.mean, self.rows, self.whole = mean, rows, rows if whole is None else whole
        self.count = rows.count
        self._size = sum(a.nbytes for a in rows.block(0, 1))
        self._held: Source = rows

    def evaluate(self, x: ndarray, rows: int) -> tuple[float, ndarray]:
        """Return f and its gradient over the first rows."""
        source = self.whole if rows == self.count else self._source(rows)
        f, g = self.mean.evaluate(x, source, 0, rows)
        return f, g.astype(float, copy=False)

    def _source(self, rows: int) -> Source:
        """Return a source of the first rows, in memory if they are few."""
        if rows * self._size > HELD:
            self._held = self.rows
        elif self._held.count != rows or self._held is self.rows:
            self._held = self.rows  # whose place the next one may take
            one = self.rows.block(0, 1)
            held = tuple(np.empty((rows, *a.shape[1:]), a.dtype) for a in one)
            for lo, hi in self.rows.pieces(0, rows):
                for array, part in zip(held, self.rows.block(lo, hi), strict=True):
                    array[lo:hi] = part
            self._held = Rows(held, nan_policy="propagate")
        return self._held

    def spread(self, x: ndarray, rows: int, most: int) -> Spread:
        """Return f and its gradient over the first rows, and their scatter over at most so many parts."""
        size, n = -(-rows // most), x.size
        mean, about, squares = np.zeros(n + 1), np.zeros(n + 1), np.zeros((n + 1, n + 1))
        count = 0
        for found in self._pieces(x, rows, size):
            sizes, values, gradients = found()
            parts = np.column_stack([gradients, values])
            with np.errstate(over="ignore", invalid="ignore"):
                mean += sizes / rows @ parts
                if count == 0:
                    about = parts.mean(axis=0)
                parts -= about  # or digits are lost where the scatter is small beside the mean
                parts *= np.sqrt(sizes)[:, np.newaxis]
                squares += parts.T @ parts
            count += sizes.size
        self.mean.passed += rows
        with np.errstate(over="ignore", invalid="ignore"):
            squares -= rows * np.outer(mean - about, mean - about)
            squares /= max(count - 1, 1)
            np.fill_diagonal(squares, np.maximum(np.diag(squares), 0.0))
        return Spread(mean[-1], mean[:-1], squares[:-1, :-1], squares[-1, -1] ** 0.5, count)

    def _pieces(self, x: ndarray, rows: int, size: int) -> Iterator[Callable[[], Parts]]:
        """Yield what returns the parts of each piece of the first rows; see `Mean`."""
        mean, source = self.mean, self._source(rows)
        work, pieces = Parting(mean, source), source.pieces(0, rows)

        def parts(piece: tuple[int, int]) -> Parts:
            return work.of_block(x, source.block(*piece), size)

        if mean.machine is not None and mean.threads > 1 and len(pieces) > 1:
            with ThreadPoolExecutor(min(mean.threads, len(pieces))) as team:
                for found in team.map(parts, pieces):
                    yield partial(_known, found)
        else:
            for piece in pieces:
                yield partial(parts, piece)


def _known(found: Parts) -> Parts:
    return found


class Parting:
    """Evaluates a block of rows part by part: in machine code, where parts are problems of one shape."""

    def __init__(self, mean: Mean, rows: Source) -> None:
        self.mean, self.machine, self.entry = mean, mean.machine, None
        problem = mean.problem
        if self.machine is None or problem.jac == COMPILED:
            return
        fun, jac = self.machine.type.types[:2]
        shared = functions_type(fun, jac, types_of("args", problem.args))
        whole, real = array_type(np.dtype(np.int64), 1), array_type(np.dtype(float), 1)
        dtype = problem.x0.dtype
        data = tuple(a[np.newaxis] for a in rows.block(0, 1))
        signature: tuple[Any, ...] = (
            shared, tuple_type(types_of("data", data)), whole, whole, array_type(dtype, 3), real,
            array_type(dtype, 2), array_type(STATE, 1),
        )  # fmt: skip
        self.functions = self.machine.functions._replace(args=problem.args)
        self.entry = machine_code(evaluate_problems, signature)

    def of_block(self, x: ndarray, block: Arrays, size: int) -> Parts:
        """Return f and gradients of parts of so many rows; the last may have fewer."""
        rows = len(block[0])
        starts = np.arange(0, rows, size)
        sizes = np.minimum(size, rows - starts)
        f, g = np.empty(starts.size), np.empty((starts.size, x.size))
        done = rows // size if self.entry is not None else 0
        if done:
            f[:done], g[:done] = self._alike(x, block, size, done)
        for k in range(done, starts.size):
            part = tuple(a[starts[k] : starts[k] + sizes[k]] for a in block)
            f[k], g[k] = self.mean.of_block(x, part)
        return sizes, f, g

    def _alike(self, x: ndarray, block: Arrays, size: int, count: int) -> tuple[ndarray, ndarray]:
        """Return f and gradients of the first parts, all of so many rows."""
        data = tuple(a[: size * count].reshape(count, size, *a.shape[1:]) for a in block)
        numbers, span = np.arange(count), np.array([0, count])
        points = np.repeat(x[np.newaxis, np.newaxis], count, axis=0)
        f, g, state = np.empty(count), np.empty((count, x.size), x.dtype), np.zeros(count, STATE)
        assert self.entry is not None
        self.entry(self.functions, data, span, numbers, points, f, g, state)
        if state["wrong_size"].any():
            raise ValueError(wrong_shape((int(state["wrong_size"].max()),), x.shape, 0))
        counts = self.mean.counts
        counts[0] += count
        counts[1] += count
        return f, g
