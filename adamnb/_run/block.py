"""A block of independent problems: solved in machine code side by side, or one by one in Python."""

import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numba import types

from .._compiled.curvature import SEEN
from .._compiled.evaluation import Functions
from .._compiled.machine_code import array_type, machine_code
from .._compiled.points import evaluate_problems
from .._compiled.problems import run_problems
from .._compiled.reasons import (
    BAD_START,
    BY_NOISE,
    GOING,
    INTERRUPTED,
    OUT_OF_SECONDS,
    RAISED,
    WRONG_SHAPE,
)
from .._compiled.records import OPTIONS, STATE
from .._compiled.run import Span
from .._problem.arguments import COMPILED, unbounded
from .._problem.compiled import (
    CompiledObjective,
    explain_division,
    functions_type,
    is_compiled,
    learnt_type,
    tuple_type,
    types_of,
)
from .._problem.differences import learnt
from .._problem.methods import Method
from .._problem.objective import wrong_shape
from .._problem.problem import Problem
from .covariance import Covariances, covariances
from .errors import by_values, height_of, of_run
from .finish import finish
from .hessians import Minima
from .pace import FIRST_STEPS, GROWTH, GROWTH_AHEAD, MOST_STEPS, SECONDS, steps_in
from .points import BlockPoints
from .run import Run
from .settings import is_plain, pairs_of, settings
from .spans import coming_rates, infinite_here, loop_around, span_type
from .state import State, vectors_type

UNKNOWN = 256  # most problems of a call before it is known of each that it is quick
# Steps of which problems share the root of the correction of the bias (`root_correction`).
ROOTS = 1024


@dataclass
class Batch:
    """What all problems of a batch have in common."""

    fun: Callable
    jac: Any
    args: tuple
    method: Method
    options: dict[str, Any]
    compiled: bool
    deadline: float  # in the seconds of time.time(), which other processes share

    def late(self) -> bool:
        """Return whether the time for all problems is over."""
        return time.time() > self.deadline


@dataclass
class Block:
    """Problems number `first` and following, as contiguous arrays that are nobody else's."""

    first: int
    x0: np.ndarray
    data: tuple
    bounds: tuple[np.ndarray, np.ndarray] | None
    x_scale: np.ndarray | None
    learning_rate: Any
    n_data: Any = None

    def __len__(self) -> int:
        return len(self.x0)


@dataclass
class Solved:
    """The results of a block; `exceptions` holds what the user's functions raised, by problem."""

    first: int
    x: np.ndarray
    fun: np.ndarray
    jac: np.ndarray
    nit: np.ndarray
    nfev: np.ndarray
    njev: np.ndarray
    reason: np.ndarray
    exceptions: dict[int, Exception] = field(default_factory=dict)
    fun_stderr: np.ndarray = field(init=False)  # 0 where f is exact
    covariances: Covariances | None = None  # where standard errors are asked for

    def __post_init__(self) -> None:
        self.fun_stderr = np.zeros(len(self.x))

    @classmethod
    def nothing(cls, first: int, x: np.ndarray, reason: int, o: dict[str, Any]) -> "Solved":
        """Return the results of problems of which nothing is known but their start `x`."""
        nit, nfev, njev = np.zeros((3, len(x)), np.int64)
        fun, jac = np.full(len(x), np.nan), np.full_like(x, np.nan)
        found = None if o["errors"] is None else Covariances.nothing(*x.shape)
        reasons = np.full(len(x), reason)
        return cls(first, x, fun, jac, nit, nfev, njev, reasons, covariances=found)

    def __len__(self) -> int:
        return len(self.x)

    def put(self, b: int | slice, result: Any) -> None:
        """Take over what has been found for problem `b`."""
        for name in ("x", "fun", "jac", "nit", "nfev", "njev"):
            getattr(self, name)[b] = result[name]
        self.fun_stderr[b] = result.get("fun_stderr", 0.0)

    def put_block(self, rows: Any, part: "Solved") -> None:
        """Take over the results of a block of the problems number `rows`, a slice or an array."""
        self.put(rows, vars(part))
        self.reason[rows], self.fun_stderr[rows] = part.reason, part.fun_stderr
        if part.exceptions:
            numbers = np.arange(len(self))[rows]
            self.exceptions |= {int(numbers[b]): error for b, error in part.exceptions.items()}
        if self.covariances is not None and part.covariances is not None:
            self.covariances.put(rows, part.covariances)

    def as_dict(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        named = {name: getattr(self, name) for name in ROWS}
        if self.covariances is not None:
            named |= {f"covariances.{name}": a for name, a in vars(self.covariances).items()}
        return named

    def take_over(self, given: dict[str, Any]) -> None:
        """Take over the problems of `as_dict` that had been solved, or had come to a limit.

        Raises
        ------
        ValueError
            If the arrays are not as these are.
        """
        own = self.as_dict()
        if set(given) != set(own):
            raise ValueError(f"they differ in {', '.join(sorted(set(given) ^ set(own)))}")
        done = ~np.isin(given["reason"], [int(reason) for reason in NOT_DONE])
        for name, array in own.items():
            if (array.shape, array.dtype) != (given[name].shape, given[name].dtype):
                raise ValueError(f"{name} has shape {given[name].shape}, not {array.shape}")
            array[done] = given[name][done]


ROWS = ("x", "fun", "jac", "nit", "nfev", "njev", "reason", "fun_stderr")  # of `Solved`
NOT_DONE = (GOING, OUT_OF_SECONDS, INTERRUPTED, RAISED)  # what is begun anew, from the start


class BlockAtWork:
    """A block in the host's memory while it is solved."""

    def __init__(self, blocks: "CompiledBlocks", block: Block) -> None:
        self.blocks, self.block = blocks, block
        method, rate = blocks.batch.method, block.learning_rate
        pairs = pairs_of(blocks.batch.options, blocks.n)
        self.state = State(method, block.x0, rate, block.x_scale, block.bounds, pairs)
        if blocks.batch.options["noisy"] is False:
            self.state.records["looked"] = SEEN
        self.vectors = self.state.vectors._replace(roots=blocks.roots)
        # Of every problem, and the numbers that the next call begins and ends with.
        self.reasons = np.zeros(len(block) + 2, np.int64)
        self.reasons[:-2][~np.isfinite(block.x0).all(axis=1)] = BAD_START
        self.counts = self.state.records["njev"]
        self.functions = blocks.functions
        if blocks.batch.jac == COMPILED:
            self.functions = self.functions._replace(
                jac=learnt(block.x0, block.bounds, block.x_scale)
            )
        # Evaluations that take `SECONDS`, at first as if they took as much longer than those before.
        self.pace = max(1, blocks.pace // GROWTH)
        self.exceptions: dict[int, Exception] = {}

    def count(self) -> int:
        """Return how many problems have not stopped."""
        return int(np.count_nonzero(self.reasons[:-2] == GOING))

    def run(self, options: np.ndarray, span: Span) -> bool:
        """Iterate as many problems as take `SECONDS`; return whether some are left for this span.

        One that raises is left, and the next is gone on with.
        """
        blocks, reasons, size = self.blocks, self.reasons, len(self.block)
        first = int(reasons[-2]) % size
        ahead = first + (reasons[first:size] == GOING).nonzero()[0]
        count = max(1, self.pace // span.steps)
        if span.steps <= FIRST_STEPS:
            count = min(count, UNKNOWN)
        reasons[-2:] = first, ahead[count] if count < len(ahead) else size
        counts = self.counts[first : reasons[-1]]
        before, begun = counts.sum(), time.perf_counter()
        try:
            blocks.run(
                self.functions, self.block.data, reasons, self.vectors, self.state.records,
                options, span,
            )  # fmt: skip
        except Exception as error:
            self._raised(int(reasons[-2]), error, options)
        else:
            reasons[-2] = reasons[-1]
        if made := int(counts.sum() - before):
            self.pace = steps_in(SECONDS, made, time.perf_counter() - begun, GROWTH * self.pace)
        return bool(reasons[-2] < size)

    def _raised(self, b: int, error: Exception, options: np.ndarray) -> None:
        """Leave problem `b`, which raised, or go on with it where f counts as infinite."""
        batch, state = self.blocks.batch, self.state.problem(b)
        if isinstance(error, batch.options["catch"]) and state.s.nit > 0:
            self.reasons[b] = infinite_here(self.blocks.method, state, options)
            return
        explain_division(error, batch.fun, batch.jac)
        self.exceptions[b], self.reasons[b] = error, RAISED
        self.reasons[-2] += 1

    def end(self) -> tuple[State, np.ndarray, dict[int, Exception]]:
        """Return the last state, why each problem stopped, and what was raised."""
        self.blocks.pace = self.pace
        return self.state, self.reasons[:-2], self.exceptions


class CompiledBlocks:
    """Solves blocks in machine code; the first block shows the types of all."""

    growth, looks_out = GROWTH, True
    pace = 1  # of the last block that was solved

    def __init__(self, batch: Batch, sample: Block) -> None:
        self.batch, self.n, self.dtype = batch, sample.x0.shape[1], sample.x0.dtype
        first = tuple(array[0] for array in sample.data)
        self._take(CompiledObjective(batch.fun, batch.jac, batch.args, self.dtype, first))
        self.roots = np.zeros(ROOTS)
        rate = batch.options["learning_rate"]
        self.method = batch.method.numba_type(
            rate is None, is_plain(batch.options), False, pairs_of(batch.options, self.n) > 0
        )
        whole, work = array_type(np.dtype(np.int64), 1), BlockAtWork(self, sample)
        signature = (
            self.functions_type, tuple_type(types_of("data", sample.data)), self.method, whole,
            vectors_type(work.vectors), array_type(STATE, 1), array_type(OPTIONS, 1),
            span_type(callable(rate)),
        )  # fmt: skip
        self.begun: Any = sample, work  # the first block, which has been begun to see its types
        self.run = loop_around(run_problems, *signature)

    def _take(self, own: CompiledObjective) -> None:
        """Take over the user's functions."""
        batch = self.batch
        self.functions = Functions(own.functions.fun, own.functions.jac, batch.args)
        fun_type, jac_type, _ = own.type
        jac_type = learnt_type(2) if batch.jac == COMPILED else jac_type
        self.functions_type = functions_type(fun_type, jac_type, types_of("args", batch.args))

    @cached_property
    def options(self) -> np.ndarray:
        """The options of every run."""
        return settings(self.batch.method, self.batch.options, self.dtype, self.looks_out)

    def begin(self, block: Block) -> Any:
        """Return a block as it is before the first iteration."""
        (sample, work), self.begun = self.begun, (None, None)
        return work if block is sample else BlockAtWork(self, block)

    def solve(self, block: Block, stopped: Callable[[int], bool]) -> Solved:
        """Solve a block; `stopped` is asked from time to time, and told how many problems are done.

        Once it is so, or time is over, the others are left as they are, still going.
        """
        batch, work = self.batch, self.begin(block)
        options, rate, now = self.options, batch.options["learning_rate"], 0.0
        steps, done = 1 if callable(rate) else FIRST_STEPS, 0
        grow = min(self.growth, GROWTH_AHEAD) if callable(rate) else self.growth
        more, failed = False, None
        while (left := work.count()) and not (stopped(len(block) - left) or batch.late()):
            if not more:
                try:
                    steps, rates = coming_rates(rate, options, steps, done, now)
                except Exception as raised:  # by the schedule
                    failed = raised
                    break
                span, begun = Span(steps, rates, None), time.perf_counter()
                now = now if rates is None else rates[-1]
            more = work.run(options, span)
            if not more:
                done += steps
                most = min(grow * steps, MOST_STEPS)
                steps = steps_in(SECONDS, steps, time.perf_counter() - begun, most)
        state, reasons, exceptions = work.end()
        if failed is not None:
            exceptions |= dict.fromkeys(np.flatnonzero(reasons == GOING).tolist(), failed)
            reasons[reasons == GOING] = RAISED
        for b in (reasons == WRONG_SHAPE).nonzero()[0].tolist():
            s = state.records[b]
            error = wrong_shape((int(s.wrong_size),), block.x0.shape[1:], int(s.nit))
            exceptions[b], reasons[b] = ValueError(error), RAISED
        errors = self._finish(block, state, reasons, exceptions, stopped)
        solved = self._solved(block, state, reasons, exceptions)
        solved.fun_stderr[list(errors)] = list(errors.values())
        if batch.options["errors"] is not None:
            functions = getattr(work, "functions", self.functions)
            solved.covariances = self._covariances(block, state, functions, solved)
        return solved

    def _covariances(
        self, block: Block, state: State, functions: Functions, solved: Solved
    ) -> Covariances:
        """Return the covariances of fits, which Newton's steps may improve on the way."""
        jac, dtype = self.batch.jac, self.dtype
        low, high = block.bounds or unbounded(block.x0.shape)
        size = state.vectors.scale
        noise = curvature = None
        if by_values(jac):
            noise, curvature = functions.jac.known["noise"][:, 0], functions.jac.curvature
        at = Minima(
            solved.x, solved.fun, solved.jac, np.ones_like(solved.x) if size is None else size,
            low, high, noise, curvature,
        )  # fmt: skip
        known = np.isfinite(solved.fun) & np.isfinite(solved.jac).all(axis=1)
        rows = np.flatnonzero(known & (solved.reason != RAISED) & (solved.reason != GOING))

        def run(with_gradients: bool) -> Callable:
            whole, real = array_type(np.dtype(np.int64), 1), array_type(np.dtype(float), 1)
            g = array_type(dtype, 2) if with_gradients else types.none
            signature = (
                self.functions_type, tuple_type(types_of("data", block.data)), whole, whole,
                array_type(dtype, 3), real, g, array_type(STATE, 1),
            )  # fmt: skip
            return machine_code(evaluate_problems, signature)

        points = BlockPoints(run, functions, block.data, state.records)
        fitted = (low < high).sum(axis=1)
        height = height_of(self.batch.options, fitted, block.n_data)
        found = covariances(points, at, rows, height)
        solved.nfev, solved.njev = (state.records[name].copy() for name in ("nfev", "njev"))
        return found

    def finishes(self) -> bool:
        """Return whether Python has the last word."""
        return self.batch.options["polish"] or self.n <= self.batch.options["verify"]

    def _finish(
        self,
        block: Block,
        state: State,
        reasons: np.ndarray,
        exceptions: dict[int, Exception],
        stopped: Callable[[int], bool],
    ) -> dict[int, float]:
        """Go on under noise, verify and polish, as for a single problem.

        Returns the standard errors of f where it is noisy.
        """
        errors: dict[int, float] = {}
        todo = reasons > GOING if self.finishes() else reasons == BY_NOISE
        for b in todo.nonzero()[0].tolist():
            run = Run(problem_of(self.batch, block, b, compiled=reasons[b] == BY_NOISE))
            run.state = state.problem(b)
            try:
                if stopped(0):
                    reasons[b] = GOING
                elif reasons[b] == BY_NOISE:
                    reasons[b] = run.under_noise()
                else:
                    reasons[b] = finish(run, int(reasons[b]))
            except Exception as error:
                explain_division(error, self.batch.fun, self.batch.jac)
                exceptions[b], reasons[b] = error, RAISED
            if run.noisy is not None:
                errors[b] = run.noisy.added()["fun_stderr"]
        return errors

    def _solved(
        self, block: Block, state: State, reasons: np.ndarray, exceptions: dict[int, Exception]
    ) -> Solved:
        s, v = state.records, state.vectors
        x, jac = _chosen(v.x, s["x_best"]), _chosen(v.g, s["g_best"])
        fun, nit, nfev, njev = (s[name].copy() for name in ("fun_best", "nit", "nfev", "njev"))
        solved = Solved(block.first, x, fun, jac, nit, nfev, njev, reasons, exceptions)
        unknown = (nfev == 0) | ((reasons == RAISED) & (nit == 0))
        if unknown.any():
            solved.fun[unknown] = solved.jac[unknown] = np.nan
        return solved


def _chosen(rows: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Return the best row of every problem."""
    return rows[np.arange(len(rows)), best]


def problem_of(batch: Batch, block: Block, b: int, compiled: bool = False) -> Problem:
    """Return problem `b` of a block as one of its own, whose loop may be compiled."""

    def own(array: Any) -> Any:
        return array[b] if isinstance(array, np.ndarray) else array

    options = batch.options | {
        "learning_rate": own(block.learning_rate), "max_time": batch.deadline - time.time(),
        "threads": 1, "n_data": own(block.n_data),
    }  # fmt: skip
    bounds = None if block.bounds is None else (block.bounds[0][b], block.bounds[1][b])
    args = tuple(array[b] for array in block.data) + batch.args
    return Problem(
        batch.fun, batch.jac, args, block.x0[b], bounds, batch.method, options, own(block.x_scale),
        None, compiled,
    )  # fmt: skip


def solve_interpreted(
    batch: Batch, block: Block, stopped: Callable[[], bool], solved: Solved
) -> None:
    """Solve the problems of a block one by one, calling Python; `solved` is written as they end."""
    for b in range(len(block)):
        if stopped():
            break
        if not np.isfinite(block.x0[b]).all():
            solved.reason[b] = BAD_START
        elif batch.late():
            solved.reason[b] = OUT_OF_SECONDS
        else:
            run = Run(problem_of(batch, block, b, is_compiled(batch.fun, batch.jac)))
            try:
                reason = finish(run, run.iterate())
                found = of_run(run)
            except Exception as error:
                explain_division(error, batch.fun, batch.jac)
                solved.reason[b], solved.exceptions[b] = RAISED, error
                if run.s.nit > 0:
                    solved.put(b, run.result(INTERRUPTED))
            else:
                solved.reason[b] = reason
                solved.put(b, run.result(reason))
                if solved.covariances is not None and found is not None:
                    solved.covariances.put(slice(b, b + 1), found)


def solve_block(batch: Batch, block: Block) -> Solved:
    """Solve a block in a process of its own: what is passed and returned can be pickled."""
    if batch.compiled:
        solved = CompiledBlocks(batch, block).solve(block, lambda done: False)
    else:
        solved = Solved.nothing(block.first, block.x0.copy(), GOING, batch.options)
        solve_interpreted(batch, block, lambda: False, solved)
    solved.exceptions = {b: _portable(error) for b, error in solved.exceptions.items()}
    return solved


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
