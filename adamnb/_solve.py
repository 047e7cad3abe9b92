"""Running a checked problem: the interpreted loop, the compiled loop, and the result of either."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from sys import getrefcount
from typing import Any

import numpy as np
from numba import types
from scipy.optimize import OptimizeResult

from . import _compiled
from . import _driver as D
from . import _rules as R
from ._finish import finish
from ._methods import Method
from ._objective import CompiledObjective, Objective, wrong_shape
from ._options import checked_rate
from ._result import ALL_FIXED, CONVERGED, INTERRUPTED, OUT_OF_SECONDS, Result, outcome
from ._state import State, is_plain, option_vector
from ._threads import PARALLEL_REGION, thread_count, use_threads

BLOCK_SECONDS = 0.02  # the compiled loop returns to Python about this often, for Ctrl-C and time
LONGEST_BLOCK = 65_536  # iterations; bounds the memory of a block's learning rates and history


@dataclass
class Problem:
    """A minimisation whose parts have been checked."""

    fun: Callable
    jac: Any
    args: tuple
    x0: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray] | None
    method: Method
    options: dict[str, Any]
    x_scale: np.ndarray | None
    observe: Callable[[OptimizeResult], Any] | None
    compiled: bool


class Run:
    """One minimisation under way."""

    def __init__(self, problem: Problem) -> None:
        self.started = time.perf_counter()
        self.compile_before = _compiled.seconds
        self.problem, o = problem, problem.options
        self.rate = o["learning_rate"]
        self.deadline = self.started + o["max_time"]
        self.history: list[np.ndarray] | None = [] if o["history"] else None
        self._prepare()

    def _prepare(self) -> None:
        """Set up the state."""
        problem, o = self.problem, self.problem.options
        self.state = State(problem.method, problem.x0, self.rate, problem.x_scale, problem.bounds)
        self.s, self.o = self.state.s, option_vector(problem.method, o, problem.x0.dtype)
        self.parallel = use_threads(problem.x0.size, o["threads"])
        loops = "threads" if self.parallel else "serial"
        self.types = self.state.types(loops, is_plain(self.o, callable(self.rate)))

    def iterate(self) -> int:
        """Run to the end and return the reason for it."""
        # A callback wants every point, so Numba functions are then called one by one: same bits.
        compiled = self.problem.compiled and self.problem.observe is None
        loop = self.compiled_loop if compiled else self.interpreted_loop
        if not self.parallel:
            return loop()
        with PARALLEL_REGION, thread_count(self.problem.options["threads"]):
            return loop()

    def interpreted_loop(self) -> int:
        problem, state, s, o = self.problem, self.state, self.s, self.o
        scalars: Any = memoryview(s.data)  # a number in a third of the time that an array takes
        objective = Objective(
            problem.fun, problem.jac, problem.args, problem.bounds, problem.x0,
            counts=scalars[D.NFEV : D.NJEV + 1],
        )  # fmt: skip
        vector = _compiled.array_type(problem.x0.dtype, 1)
        advance = _compiled.machine_code(D.advance, (*self.types, *3 * (vector,)))
        evaluate, arguments = objective.at, (None, *state.vectors, s, o)
        for_fun, for_jac = problem.x0.copy(), problem.x0.copy()
        unkept = getrefcount(for_fun)
        # What is looked up in every iteration, by the number that stands in the scalars.
        points: dict[float, np.ndarray] = dict(enumerate(state.x))
        gradients: dict[float, np.ndarray] = dict(enumerate(state.g))
        x_row, g_row, fun = D.X, D.G, D.FUN
        rate = self.rate if callable(self.rate) else None
        observe, history = problem.observe, self.history
        timed = self.deadline < np.inf
        watched = observe is not None or timed or rate is not None
        reason = D.GOING
        while not reason:
            x, g = points[scalars[x_row]], gradients[scalars[g_row]]
            scalars[fun], gradient = evaluate(x, g, for_fun, for_jac)
            # What the user has kept, or a view of it, is the user's.
            if getrefcount(for_fun) != unkept:
                for_fun = np.empty_like(x)
            if getrefcount(for_jac) != unkept:
                for_jac = np.empty_like(x)
            why = D.BY_MAXITER
            if watched:
                if observe is not None and scalars[D.NIT] > 0:
                    try:
                        observe(self.intermediate(x, gradient))
                    except StopIteration:
                        o[R.MAXITER], why = s[D.NIT], INTERRUPTED
                if timed and time.perf_counter() > self.deadline:
                    o[R.MAXITER], why = s[D.NIT], OUT_OF_SECONDS
                if rate is not None:
                    scalars[D.RATE] = checked_rate(rate, int(scalars[D.NIT]) + 1)
            f = scalars[fun]
            reason = advance(*arguments, gradient, for_fun, for_jac)
            if history is not None:
                history.append(np.array([[f, s[D.SLOPE], s[D.RATE]]]))
            if why != D.BY_MAXITER and (reason == D.BY_MAXITER or why == INTERRUPTED):
                reason = why
        return reason

    def compiled_loop(self) -> int:
        problem, s, o, history = self.problem, self.s, self.o, self.history
        objective = CompiledObjective(problem.fun, problem.jac, problem.args, problem.x0.dtype)
        signature = (
            self.types[0], *objective.types, *self.types[1:], types.int64,
            D.RATES if callable(self.rate) else types.none,
            types.none if history is None else D.TRACE,
        )  # fmt: skip
        run = _compiled.machine_code(D.run, signature)
        steps, why = 1, D.BY_MAXITER
        while True:
            begun = time.perf_counter()
            if begun > self.deadline:
                o[R.MAXITER], why = s[D.NIT], OUT_OF_SECONDS
            steps, rates = self.coming_rates(steps)
            trace = None if history is None else np.empty((steps, 3))
            before = int(s[D.NFEV])
            reason = run(None, *objective.values, *self.state.vectors, s, o, steps, rates, trace)
            if history is not None and trace is not None:
                history.append(trace[: int(s[D.NFEV]) - before])
            if reason == D.WRONG_SHAPE:
                shapes = (int(s[D.WRONG_SIZE]),), problem.x0.shape
                raise ValueError(wrong_shape(*shapes, int(s[D.NIT])))
            if reason != D.GOING:
                return why if reason == D.BY_MAXITER else reason
            taken = time.perf_counter() - begun
            most = 64 * steps if rates is trace is None else min(64 * steps, LONGEST_BLOCK)
            steps = int(min(max(1, steps * BLOCK_SECONDS / taken), most))

    def coming_rates(self, steps: int) -> tuple[int, np.ndarray | None]:
        """Return how many steps come next, and their learning rates; None where the state has its own."""
        if not callable(self.rate):
            return steps, None
        first = int(self.s[D.NIT]) + 1
        steps = min(steps, max(1, int(self.o[R.MAXITER]) + 2 - first))
        return steps, np.array([checked_rate(self.rate, first + i) for i in range(steps)])

    def intermediate(self, x: np.ndarray, g: np.ndarray) -> OptimizeResult:
        """Return what a callback sees, in copies."""
        s = self.s
        return OptimizeResult(
            x=x.copy(), fun=float(s[D.FUN]), jac=g.copy(), nit=int(s[D.NIT]),
            nfev=int(s[D.NFEV]), njev=int(s[D.NJEV]), gradient_norm=float(np.abs(g).max()),
        )  # fmt: skip

    def result(self, reason: int) -> Result:
        """Return the result of a run that stopped for `reason`."""
        problem, state, s = self.problem, self.state, self.s
        jac = state.row(state.g, D.G_BEST)
        if problem.bounds is not None and problem.jac in ("2-point", "3-point", "cs"):
            jac[problem.bounds[0] == problem.bounds[1]] = np.nan  # never differentiated
        bad = None
        if reason == D.BAD_JAC:
            bad = state.bad_gradient()
            if bad is None:  # finite, but not when multiplied by x_scale
                reason = D.TOO_LARGE
        if problem.bounds is not None and (problem.bounds[0] == problem.bounds[1]).all():
            reason = ALL_FIXED
        status, message = outcome(reason, s, problem.options, bad)
        rate: Any = float(s[D.RATE])
        if state.gain is not None and not state.automatic:
            rate = state.own(state.gain)
        result = Result(
            x=state.row(state.x, D.X_BEST), fun=float(s[D.FUN_BEST]), jac=jac,
            nit=int(s[D.NIT]), nfev=int(s[D.NFEV]), njev=int(s[D.NJEV]),
            status=status, success=status == CONVERGED, message=message,
            x_last=state.row(state.x, D.X), fun_last=float(s[D.FUN]),
            learning_rate=rate,
            state=state.as_dict(), time=time.perf_counter() - self.started,
            compile_time=_compiled.seconds - self.compile_before, compiled=problem.compiled,
        )  # fmt: skip
        if self.history is not None:
            columns = np.concatenate(self.history).T.copy()
            result.history = dict(zip(("fun", "slope", "learning_rate"), columns, strict=True))
        return result


def solve(problem: Problem) -> Result:
    """Minimise a checked problem."""
    if isinstance(problem.x0, np.ndarray):
        run = Run(problem)
        return run.result(finish(run, run.iterate()))
    from ._cuda_loop import DeviceRun

    run = DeviceRun(problem)
    return run.result(run.iterate())
