"""The mean of a function over rows, and its gradient: piece by piece, in memory that is bounded."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numba
import numpy as np
from numba.core.dispatcher import Dispatcher
from numpy import ndarray

from .._compiled.evaluation import evaluated
from .._compiled.machine_code import array_type, machine_code
from .._compiled.records import STATE
from .arguments import COMPILED
from .compiled import CompiledObjective, called
from .differences import Steps, learnt
from .objective import Evaluated, Objective, wrong_shape
from .problem import Problem
from .rows import Arrays, Rows, Source, copied, read_ahead

FEW = 8  # rows by whose f is seen whether it is a mean
ROUGHLY = 1e-3  # relative difference from the mean, above which it is none


class Mean:
    """The mean over rows of ``fun(x, *rows, *args)``, which is the mean over the rows that it gets.

    Pieces of the rows are the same whatever the threads, and are added in their order: so are the bits.

    Parameters
    ----------
    problem : Problem
        Whose `args` are what `fun` gets after the rows.
    rows : Rows
    counts : buffer of two int64
        Counts calls of `fun` and gradients; kept by the caller.

    Attributes
    ----------
    passed : int
        Rows that have been evaluated.
    """

    def __init__(self, problem: Problem, rows: Rows, counts: Any) -> None:
        self.problem, self.counts, self.passed = problem, counts, 0
        fun, jac, x0, o = problem.fun, problem.jac, problem.x0, problem.options
        self.machine: MachineCode | None = None
        self.objective: Objective | None = None
        if problem.compiled:
            self.machine = MachineCode(problem, rows)
        else:
            steps = Steps(problem.x_scale, o["finite_diff_rel_step"], problem.map)
            self.objective = Objective(fun, jac, (), problem.bounds, x0, counts, o["catch"], steps)
        own = [f for f in called(fun, jac) if isinstance(f, Dispatcher)]
        # Differences learn from all pieces; two functions with threads of their own may not run at once.
        alone = jac == COMPILED or any(f.targetoptions.get("parallel") for f in own)
        self.threads = 1 if alone else o["threads"] or numba.config.NUMBA_NUM_THREADS

    def evaluate(self, x: ndarray, source: Source, lo: int = 0, hi: int | None = None) -> Evaluated:
        """Return the mean over rows lo..hi, all unless they are given, and its gradient, a new array."""
        hi = source.count if hi is None else hi
        f, g, pieces = 0.0, np.zeros(x.size), source.pieces(lo, hi)
        found = self._each(x, source, pieces)
        for (first, end), value_and_grad in zip(pieces, found, strict=True):
            weight, (value, gradient) = (end - first) / (hi - lo), value_and_grad()
            f += weight * value
            g += weight * gradient
            self.passed += end - first
        return f, g.astype(x.dtype, copy=False)

    def _each(
        self, x: ndarray, source: Source, pieces: list[tuple[int, int]]
    ) -> Iterator[Callable[[], Evaluated]]:
        """Yield what returns f and its gradient of each piece.

        A generator calls no function of the caller's, in which a `StopIteration` would be another error.
        """
        machine = self.machine
        if machine is not None and self.threads > 1 and len(pieces) > 1:
            with ThreadPoolExecutor(min(self.threads, len(pieces))) as team:
                for found in team.map(lambda piece: machine.run(x, source.block(*piece)), pieces):
                    yield partial(self._counted, found)
        else:
            blocks = (source.block(*piece) for piece in pieces)
            for block in read_ahead(blocks) if source.on_disk else blocks:
                yield partial(self.of_block, x, block)

    def of_block(self, x: ndarray, block: Arrays) -> Evaluated:
        """Return f and its gradient, a new array, over a block of rows."""
        if self.machine is not None:
            return self._counted(self.machine.run(x, block))
        objective = self.objective
        assert objective is not None
        objective.args = (*copied(block), *self.problem.args)
        g = np.empty_like(x)
        return objective.evaluate(x, g), g

    def require_mean(self, x: ndarray, rows: Rows) -> None:
        """Raise a `ValueError` if `fun` is no mean over the rows that it gets, or writes to them.

        That is what the first of them tell.
        """
        half = min(rows.count // 2, FEW)
        ends = ((0, half), (half, 2 * half), (0, 2 * half), (0, 2 * half))
        if half == 0:
            return
        first, second, both, again = [self._of_unwritten(x, rows.block(*piece)) for piece in ends]
        off, size = both - 0.5 * (first + second), abs(first) + abs(second) + abs(both)
        if both != again or not abs(off) > ROUGHLY * size:  # of random numbers nothing can be said
            return
        what, way = "and is none", "divide a sum by the number of rows, also one with weights"
        if abs(both - first - second) <= ROUGHLY * size:
            what, way = "and is their sum", "divide it and its gradient by the number of rows"
            way += ", whose `errors` are those of the sum all the same"
        raise ValueError(
            f"`fun` must be the mean over the rows that it gets, {what}: over {half} rows it is {first:.6g},"
            f" over the next {half} {second:.6g}, and over all of these {both:.6g}; {way}."
        )

    def _of_unwritten(self, x: ndarray, block: Arrays) -> float:
        """Return f over a block; raise a `ValueError` if it is another one afterwards."""
        lent = tuple(a.copy() for a in block)
        f = self.of_block(x, lent)[0]
        for i, (before, after) in enumerate(zip(block, lent, strict=True)):
            if before.tobytes() != after.tobytes():
                raise ValueError(
                    f"`fun` must not write to the rows that it gets, and has changed those of `data[{i}]`:"
                    " let it write to a copy."
                )
        return f

    def _counted(self, found: tuple[float, ndarray, int]) -> Evaluated:
        f, g, calls = found
        self.counts[0] += calls
        self.counts[1] += 1
        return f, g


class MachineCode:
    """Numba functions over blocks of rows, called one block at a time, without Python's lock.

    Attributes
    ----------
    functions : Functions
        Whose `args` are the rows of a block, and what follows.
    type : numba type
        Of `functions`.
    """

    def __init__(self, problem: Problem, rows: Rows) -> None:
        self.args, x0 = problem.args, problem.x0
        own = CompiledObjective(problem.fun, problem.jac, problem.args, x0.dtype, rows.buffers(1))
        self.functions, self.type = own.functions, own.type
        if problem.jac == COMPILED:
            known = learnt(x0, problem.bounds, problem.x_scale)
            self.functions = self.functions._replace(jac=known)
        vector, points, state = (
            array_type(x0.dtype, 1), array_type(x0.dtype, 2), array_type(STATE, 1)
        )  # fmt: skip
        self._entry = machine_code(evaluated, (self.type, points, vector, vector, state))

    def run(self, x: ndarray, block: Arrays) -> tuple[float, ndarray, int]:
        """Return f, its gradient, and how often `fun` was called."""
        g, state = np.empty_like(x), np.zeros(1, STATE)
        functions = self.functions._replace(args=(*block, *self.args))
        if not self._entry(functions, x[np.newaxis], x.copy(), g, state):
            raise ValueError(wrong_shape((int(state["wrong_size"][0]),), x.shape, 0))
        return float(state["fun"][0]), g, int(state["nfev"][0])
