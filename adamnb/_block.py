"""A block of independent problems: solved in machine code side by side, or one by one in Python."""

import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np

from . import _driver as D
from . import _rules as R
from ._compiled import array_type, machine_code
from ._finish import finish
from ._methods import Method
from ._objective import CompiledObjective, wrong_shape
from ._options import checked_rate
from ._result import BAD_START, INTERRUPTED, OUT_OF_SECONDS, RAISED
from ._rows import run_rows
from ._solve import LONGEST_BLOCK, Problem, Run
from ._state import State, is_plain, option_vector

CALL_SECONDS = 0.05  # machine code comes back to Python about this often


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


@dataclass
class Block:
    """Problems number `first` and following, as contiguous arrays that are nobody else's."""

    first: int
    x0: np.ndarray
    data: tuple
    bounds: tuple[np.ndarray, np.ndarray] | None
    x_scale: np.ndarray | None
    learning_rate: Any

    def __len__(self) -> int:
        return len(self.x0)


@dataclass
class Solved:
    """The results of a block; `errors` holds what the user's functions raised, by problem."""

    first: int
    x: np.ndarray
    fun: np.ndarray
    jac: np.ndarray
    nit: np.ndarray
    nfev: np.ndarray
    njev: np.ndarray
    reason: np.ndarray
    errors: dict[int, Exception] = field(default_factory=dict)

    @classmethod
    def nothing(cls, first: int, x: np.ndarray) -> "Solved":
        """Return the results of problems of which nothing is known but their start `x`."""
        nit, nfev, njev = np.zeros((3, len(x)), np.int64)
        fun, jac = np.full(len(x), np.nan), np.full_like(x, np.nan)
        return cls(first, x, fun, jac, nit, nfev, njev, np.full(len(x), INTERRUPTED))

    def __len__(self) -> int:
        return len(self.x)

    def put(self, b: int | slice, result: Any) -> None:
        """Take over what has been found for problem `b`."""
        for name in ("x", "fun", "jac", "nit", "nfev", "njev"):
            getattr(self, name)[b] = result[name]


class AtWork:
    """A block in the host's memory while it is solved."""

    def __init__(self, blocks: "CompiledBlocks", block: Block) -> None:
        self.blocks, self.block, self.state = blocks, block, blocks.state(block)
        self.reasons = np.zeros(len(block), np.int64)
        self.reasons[~np.isfinite(block.x0).all(axis=1)] = BAD_START
        self.errors: dict[int, Exception] = {}

    def going(self) -> np.ndarray:
        """Return the numbers of the problems that have not stopped."""
        return np.flatnonzero(self.reasons == D.GOING)

    def count(self) -> int:
        """Return how many have not stopped."""
        return int(np.count_nonzero(self.reasons == D.GOING))

    def run(self, o: np.ndarray, steps: int, rates: np.ndarray | None) -> None:
        """Iterate all that are going; one that raises is left, and the next is gone on with."""
        place, state = np.zeros(1, np.int64), self.state
        while place[0] < len(self.block):
            try:
                return self.blocks.run(
                    None, *self.blocks.functions, self.block.data, self.blocks.batch.args,
                    self.reasons, place, *state.vectors, state.s, o, steps, rates,
                )  # fmt: skip
            except Exception as error:
                b = int(place[0])
                self.errors[b], self.reasons[b] = error, RAISED
                place[0] += 1
        return None

    def end(self) -> tuple[State, np.ndarray, dict[int, Exception]]:
        """Return the last state, why each problem stopped, and what was raised."""
        return self.state, self.reasons, self.errors


class CompiledBlocks:
    """Solves blocks in machine code; the first block shows the types of all."""

    growth = 64  # a call has at most so many times the iterations of the one before
    remembered = (
        1024  # steps of which problems share the correction of the bias (`root_correction`)
    )

    def __init__(self, batch: Batch, sample: Block) -> None:
        self.batch, self.n = batch, sample.x0.shape[1]
        first = tuple(array[0] for array in sample.data)
        own = CompiledObjective(batch.fun, batch.jac, first + batch.args, sample.x0.dtype)
        fun_type, jac_type, _ = own.types
        self.functions = own.values[:2]
        scheduled = callable(batch.options["learning_rate"])
        o = option_vector(batch.method, batch.options, sample.x0.dtype)
        method, *blocks = self.state(sample).types("serial", is_plain(o, scheduled))
        kinds = tuple(numba.typeof(array) for array in sample.data)
        shared = tuple(numba.typeof(argument) for argument in batch.args)
        signature = (
            method, fun_type, jac_type, numba.types.Tuple(kinds), numba.types.Tuple(shared),
            numba.int64[::1], numba.int64[::1], *blocks[:-1], array_type(np.dtype(float), 1), numba.int64,
            D.RATES if scheduled else numba.types.none,
        )  # fmt: skip
        self.run = machine_code(run_rows, signature)

    def state(self, block: Block) -> State:
        """Return the state in which the problems of a block start."""
        return State(self.batch.method, block.x0, block.learning_rate, block.x_scale, block.bounds)

    def begin(self, block: Block) -> Any:
        """Return a block as it is before the first iteration."""
        return AtWork(self, block)

    def solve(self, block: Block, stopped: Callable[[int], bool]) -> Solved:
        """Solve a block; `stopped` is asked from time to time, and told how many problems are done."""
        batch, work = self.batch, self.begin(block)
        o = option_vector(batch.method, batch.options, block.x0.dtype)
        o = np.concatenate([o, np.zeros(self.remembered)])
        steps, done, late = 1, 0, np.zeros(0, np.int64)
        while (left := work.count()) and not stopped(len(block) - left):
            if time.time() > batch.deadline:
                o[R.MAXITER], late = 0, work.going()
            steps, rates = self.rates(done, steps)
            begun = time.perf_counter()
            work.run(o, steps, rates)
            taken = time.perf_counter() - begun
            done += steps
            most = min(self.growth * steps, LONGEST_BLOCK)
            steps = int(min(max(1, steps * CALL_SECONDS / taken), most))
        state, reasons, errors = work.end()
        reasons[reasons == D.GOING] = INTERRUPTED
        reasons[late[reasons[late] == D.BY_MAXITER]] = OUT_OF_SECONDS
        for b in np.flatnonzero(reasons == D.WRONG_SHAPE):
            shapes = (int(state.s[b, D.WRONG_SIZE]),), block.x0.shape[1:]
            errors[int(b)] = ValueError(wrong_shape(*shapes, int(state.s[b, D.NIT])))
            reasons[b] = RAISED
        self._finish(block, state, reasons)
        return self._solved(block, state, reasons, errors)

    def rates(self, done: int, steps: int) -> tuple[int, np.ndarray | None]:
        """Return how many steps come after `done`, and their learning rates, None where states have them."""
        rate = self.batch.options["learning_rate"]
        if not callable(rate):
            return steps, None
        steps = min(steps, max(1, int(self.batch.options["maxiter"]) + 1 - done))
        return steps, np.array([checked_rate(rate, done + 1 + i) for i in range(steps)])

    def finishes(self) -> bool:
        """Return whether Python has the last word."""
        return self.batch.options["polish"] or self.n <= self.batch.options["verify"]

    def _finish(self, block: Block, state: State, reasons: np.ndarray) -> None:
        """Verify and polish, where asked for: in Python, as for a single problem."""
        if not self.finishes():
            return
        for b in np.flatnonzero(reasons >= D.GOING):
            run = Run(problem_of(self.batch, block, int(b)))
            run.state = state.problem(int(b))
            run.s = run.state.s
            reasons[b] = finish(run, int(reasons[b]))

    def _solved(
        self, block: Block, state: State, reasons: np.ndarray, errors: dict[int, Exception]
    ) -> Solved:
        s = state.s
        x, jac = _chosen(state.x, s[:, D.X_BEST]), _chosen(state.g, s[:, D.G_BEST])
        nit, nfev, njev = (s[:, i].astype(np.int64) for i in (D.NIT, D.NFEV, D.NJEV))
        fun = s[:, D.FUN_BEST].copy()
        solved = Solved(block.first, x, fun, jac, nit, nfev, njev, reasons, errors)
        unknown = (s[:, D.NFEV] == 0) | ((reasons == RAISED) & (s[:, D.NIT] == 0))
        solved.fun[unknown] = solved.jac[unknown] = np.nan
        return solved


def _chosen(block: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a row of every problem's block."""
    if block.shape[1] == 1:  # the best ones, chosen elsewhere
        return block[:, 0]
    return block[np.arange(len(block)), rows.astype(int)]


def problem_of(batch: Batch, block: Block, b: int) -> Problem:
    """Return problem `b` of a block as one of its own."""

    def own(array: Any) -> Any:
        return array[b] if isinstance(array, np.ndarray) else array

    options = batch.options | {
        "learning_rate": own(block.learning_rate), "max_time": batch.deadline - time.time(),
        "threads": 1,
    }  # fmt: skip
    bounds = None if block.bounds is None else (block.bounds[0][b], block.bounds[1][b])
    args = tuple(array[b] for array in block.data) + batch.args
    return Problem(
        batch.fun, batch.jac, args, block.x0[b], bounds, batch.method, options, own(block.x_scale),
        None, compiled=False,
    )  # fmt: skip


def solve_interpreted(batch: Batch, block: Block, stopped: Callable[[], bool]) -> Solved:
    """Solve the problems of a block one by one, calling Python."""
    solved = Solved.nothing(block.first, block.x0.copy())
    for b in range(len(block)):
        if stopped():
            break
        if not np.isfinite(block.x0[b]).all():
            solved.reason[b] = BAD_START
        elif time.time() > batch.deadline:
            solved.reason[b] = OUT_OF_SECONDS
        else:
            run = Run(problem_of(batch, block, b))
            try:
                reason = finish(run, run.iterate())
            except Exception as error:
                solved.reason[b], solved.errors[b] = RAISED, error
                if run.s[D.NIT] > 0:
                    solved.put(b, run.result(INTERRUPTED))
            else:
                solved.reason[b] = reason
                solved.put(b, run.result(reason))
    return solved


def solve_block(batch: Batch, block: Block) -> Solved:
    """Solve a block in a process of its own: what is passed and returned can be pickled."""
    if batch.compiled:
        solved = CompiledBlocks(batch, block).solve(block, lambda done: False)
    else:
        solved = solve_interpreted(batch, block, lambda: False)
    solved.errors = {b: _portable(error) for b, error in solved.errors.items()}
    return solved


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
