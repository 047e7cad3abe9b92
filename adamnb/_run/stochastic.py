"""The minimisation of a mean over rows under way: an iteration for each batch, then a look at all rows."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from .._compiled.batches import run_batches
from .._compiled.differences import Learnt
from .._compiled.machine_code import array_type
from .._compiled.rate import AUTOMATIC
from .._compiled.reasons import (
    ALL_FIXED,
    BAD_FUN,
    BAD_JAC,
    BY_EPOCHS,
    BY_GRADIENT,
    BY_STANDARD_ERROR,
    GOING,
    INTERRUPTED,
    LIMIT,
    NOT_LOWER,
    OUT_OF_SECONDS,
    REASONS,
    UNSUITED,
)
from .._compiled.records import OPTIONS
from .._compiled.run import Span
from .._compiled.stops import SINGLE
from .._problem.arguments import SCHEMES, gradient_name
from .._problem.compiled import functions_type, tuple_type, types_of
from .._problem.epochs import Epochs
from .._problem.mean import Mean
from .._problem.objective import Objective
from .._problem.parts import Sample, in_random_order
from .._problem.problem import Problem
from .._problem.rows import Arrays, Rows, copied
from .journal import Journal
from .noise import of_one_kind
from .pace import FIRST_STEPS, GROWTH, GROWTH_AHEAD, MOST_STEPS, SECONDS_ALONE, steps_in
from .progress import Progress
from .result import Result
from .resume import checked, goes_on, group_of, named, require, require_same
from .run import HISTORY, Run
from .samples import MARK, Limits, minimize_by_samples
from .settings import is_plain, settings
from .spans import coming_rates, loop_around, span_type
from .state import State, on_threads
from .threads import use_threads


@dataclass
class Plan:
    """How the rows are gone through, and what becomes of the points on the way.

    Attributes
    ----------
    rows : Rows
    order : Epochs
    epochs : int
    average : pair of float, optional
        Power and least part of the average that is the answer (`averaging.weight`); None for the last point.
    between : bool
        Whether gradients are those between base points and their average, which is the answer then.
    observe : callable, optional
        What is told of every epoch.
    bar : Progress
        In batches.
    samples : Limits, optional
        Those of a growing sample, which is tried before batches.
    """

    rows: Rows
    order: Epochs
    epochs: int
    average: tuple[float, float] | None
    between: bool
    observe: Callable[[Result], Any] | None
    bar: Progress
    samples: Limits | None = None


class StochasticRun(Run):
    """A run over batches of rows. Its objective is the mean over all rows."""

    def __init__(self, problem: Problem, plan: Plan) -> None:
        self.plan = plan
        super().__init__(problem)
        self.trace: list[np.ndarray] = []
        self.history, self.noted = self.trace, True  # of the piece at work
        self.gradient = gradient_name(problem.jac)
        self.first: tuple[float, np.ndarray] | None = None  # f, gradient over all rows at the start
        self.samples: tuple[int, ...] = ()
        self.looked = False  # at all rows, at the answer
        self.point = np.nan, 0  # of a sample, that was shown: f and over how many rows
        self.epochs: list[tuple[float, float, float]] = []
        self.sums = np.zeros(3)  # of the epoch at work: rows, and f and gradient norms over them
        self.width = 0  # rows of a batch of the piece at work
        self.mean = Mean(problem, plan.rows, self.s.row("nfev", 2))
        self.pace = FIRST_STEPS  # iterations that machine code makes until it comes back

    def _prepare(self) -> None:
        """Set up the state."""
        problem, o = self.problem, self.problem.options
        x0, scale, automatic = problem.x0, problem.x_scale, self.rate is None
        self.state = State(problem.method, x0, self.rate, scale, problem.bounds)
        if automatic:
            self.s.learning_rate = AUTOMATIC["first_rate_under_noise"]
        if automatic and scale is None:
            self.state.vectors.scale[:] = of_one_kind(self.state.vectors.scale, problem.shards)
        between = self.plan.between
        if between:  # takes the place of the momentum
            o = o | {"beta1": 0.0}
        self.settings = settings(problem.method, o, x0.dtype)
        power, least = self.plan.average or (0.0, 0.0)
        self.settings["average_power"], self.settings["average_least"] = power, least
        self.settings["between"] = problem.options.get("beta1", 0.0)
        self.s.x = self.s.x_before = 1  # beside the answer, row 0
        self.state.vectors.x[:] = x0
        self.s.part = 1.0
        self.parallel = use_threads(x0.size, o["threads"])
        self.method = problem.method.numba_type(
            automatic, is_plain(o), self.parallel, averaged=True, between=between
        )
        if self.parallel:
            self.state.vectors = on_threads(self.state.vectors)

    @cached_property
    def objective(self) -> Objective:
        """The mean over all rows and its gradient; `mean` counts."""
        return Objective(self.of_all_rows, True, (), None, self.problem.x0)

    def of_all_rows(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the mean over all rows and its gradient."""
        return self.mean.evaluate(x, self.plan.rows)

    def snapshot(self, reason: int) -> dict[str, Any]:
        """Return all that another run goes on from, this one having stopped for `reason`."""
        kept = dict(super().snapshot(reason))
        kept.pop("history", None)  # of a piece that has been taken in
        sums = self.summed()
        passed = self.mean.passed + int(sums[0] - self.sums[0])
        kept |= self.same() | {"passed": passed, "epoch_sums": sums}
        kept["epochs"] = np.array(self.epochs).reshape(-1, 3)
        f, g = self.first or (np.nan, np.full_like(self.problem.x0, np.nan))
        kept |= {"first_fun": f, "first_gradient": g}
        if self.samples:
            kept["samples.sizes"] = np.array(self.samples)
        if not self.sampling:
            return kept
        journal = self.journal
        kept |= dict(zip(("nfev", "njev", "passed"), journal.tally, strict=True))
        kept["samples.point"] = np.array(self.point)
        return kept | named("mark", journal.mark) | named("answers", journal.memory())

    def same(self) -> dict[str, Any]:
        """Return what has to be the same for another run to go on."""
        order = self.plan.order
        return {
            "seed": order.seed, "batch_size": order.batch_size, "rows": order.rows.count,
            "shuffle": bool(order.shuffle),
        }  # fmt: skip

    def go_on_from(self, state: Any) -> None:
        """Go on from a state of another run, as if that had not ended."""
        given = checked(state)
        for name, value in self.same().items():
            if name in given:
                require_same(name, given[name], value)
        super().go_on_from(state)
        self.mean.passed, self.sums = int(given["passed"]), np.array(given["epoch_sums"])
        self.epochs = list(map(tuple, np.asarray(given["epochs"]).tolist()))
        self.samples = tuple(np.array(given.get("samples.sizes", ())).tolist())
        if "samples.point" not in given:
            self.first = float(given["first_fun"]), np.array(given["first_gradient"])
            return
        require(
            self.plan.samples is not None, "that was on a growing sample, and this is of batches"
        )
        mark = group_of(given, "mark")
        require(not mark or set(mark) == MARK, "that was on a growing sample")
        f, rows = np.array(given["samples.point"]).tolist()
        self.point = f, int(rows)
        self.journal.take_over(mark, group_of(given, "answers"))

    @cached_property
    def journal(self) -> Journal:
        """The mean over samples, and what has been found there."""
        rows = self.plan.rows
        return Journal(Sample(self.mean, in_random_order(rows, self.plan.order.seed), rows))

    @property
    def sampling(self) -> bool:
        """Whether this is before the first batch, on samples."""
        return "journal" in vars(self) and self.first is None

    @property
    def begun(self) -> bool:
        """Whether something is known that is worth keeping."""
        return super().begun or ("journal" in vars(self) and bool(self.journal.tally[2]))

    @property
    def differences(self) -> Any:
        """What gradients by differences are had by, of batches."""
        machine, objective = self.mean.machine, self.mean.objective
        if machine is not None:
            known = machine.functions.jac
            return known if isinstance(known, Learnt) else None
        return None if objective is None else objective.differences

    def begin_differences(self) -> Any:
        """Return the same."""
        return self.differences

    # ------------------------------------------------------------------------------------- the way

    def iterate(self) -> int:
        """Run to the end and return the reason for it."""
        x0, ended, samples = self.problem.x0, self.ended, self.plan.samples
        if self.first is None:
            if ended is None:
                self.mean.require_mean(x0, self.plan.rows)
            if samples is not None and not self.fixed:
                reason, ended = self.by_samples(samples), None
                if reason != UNSUITED:
                    return reason
            self.first = self.of_all_rows(x0)
        f, g = self.first
        if not (np.isfinite(f) and np.isfinite(g).all()):
            self.pause(BAD_FUN)
            self.take(x0, f, g)
            self.s.fun = f
            self.state.vectors.g[self.s.g] = g
            return BAD_JAC if np.isfinite(f) else BAD_FUN
        if self.fixed:
            self.pause(ALL_FIXED)
            self.take(x0, f, g)
            return ALL_FIXED
        if ended is None or goes_on(ended):
            ended = self.on_threads(self.all_epochs)
        self.pause(ended)
        return self.at_end(ended)

    def by_samples(self, limits: Limits) -> int:
        """Minimise on a growing sample; return the reason to stop, or UNSUITED: batches are to go on."""
        problem, s, v = self.problem, self.s, self.state.vectors
        found = minimize_by_samples(
            self.journal, problem.x0, problem.bounds, limits, self.watch_sample
        )
        self.samples = found.sizes
        if found.reason == UNSUITED:
            v.x[:] = v.spare[:] = found.x
            s.nit = 0
            return UNSUITED
        self.pause(found.reason)
        v.x[:] = v.spare[:] = found.x
        s.nit, s.fun = found.nit, found.f
        if found.reason != BY_STANDARD_ERROR:
            self.first = self.of_all_rows(problem.x0)
            return self.at_end(found.reason)
        self.first, self.detail = (found.f, found.g), f"{found.off:.2g}"
        self.take(found.x, *self.first)
        return BY_STANDARD_ERROR

    def watch_sample(self, x: np.ndarray, f: float, rows: int) -> int:
        """Look at the clock, and keep and show a new point; return the reason to stop, or GOING."""
        self.save_if_due()
        if time.perf_counter() > self.deadline:
            return OUT_OF_SECONDS
        point = f, rows
        if not np.isfinite(f) or point == self.point:
            return GOING
        self.point = point
        self.state.vectors.x[:] = x
        self.s.nit += 1
        return GOING if self.shown(x=x.copy(), fun=f, rows=rows) else INTERRUPTED

    def all_epochs(self) -> int:
        """Go through the epochs; return the reason to stop."""
        plan, reason = self.plan, self.further()
        if reason != GOING:
            return reason
        self.s.judged = 0
        batches = self.machine_code() if self.compiled else self.calls()
        while len(self.epochs) < plan.epochs:
            epoch = len(self.epochs)
            skipped = self.s.nit - epoch * plan.order.batches  # each batch is a step
            for piece in plan.order.pieces(epoch, skipped):
                self.width = piece[0].shape[1]
                try:
                    reason = batches(piece)
                finally:
                    self.take_in()
                if reason == GOING and plan.bar.ended:
                    reason, self.detail = INTERRUPTED, "progress"
                if reason != GOING:
                    return reason
                self.save_if_due()
            rows, f, norms = self.sums.tolist()
            self.sums[:] = 0
            fun, norm, rate = f / rows, norms / rows, self.s.learning_rate
            self.epochs.append((fun, norm, rate))
            if not self.shown(
                x=self.answer().copy(), fun=fun, gradient_norm=norm, learning_rate=rate,
                nepoch=len(self.epochs), passes=self.passes,
            ):  # fmt: skip
                return INTERRUPTED
        return BY_EPOCHS

    def summed(self) -> np.ndarray:
        """Return the sums of the epoch with the piece at work, batch after batch: so are the bits."""
        found = np.concatenate([np.zeros((0, 3)), *self.trace])
        found = self.width * np.column_stack([np.ones(len(found)), found[:, :2]])
        return np.cumsum(np.concatenate([self.sums[np.newaxis], found]), axis=0)[-1]

    def take_in(self) -> None:
        """Take in what has been found on the batches of a piece."""
        sums, made = self.summed(), sum(map(len, self.trace))
        self.mean.passed += int(sums[0] - self.sums[0])
        self.sums = sums
        self.trace.clear()
        self.plan.bar.advance(made)

    def calls(self) -> Callable[[Arrays], int]:
        """Return the function that iterates over batches with evaluations from Python."""
        objective, args = self.mean.objective, self.problem.args
        assert objective is not None
        iterate, gathered = self.iteration(objective), self.plan.order.shuffle

        def batches(piece: Arrays) -> int:
            for i in range(len(piece[0])):
                rows = tuple(array[i] for array in piece)
                objective.args = (*(rows if gathered else copied(rows)), *args)
                reason = iterate()
                if reason != GOING:
                    return reason
            return GOING

        return batches

    def machine_code(self) -> Callable[[Arrays], int]:
        """Return the function that iterates over batches in machine code."""
        machine, args, s = self.mean.machine, self.problem.args, self.s
        assert machine is not None
        fun, jac, _ = machine.type
        kinds = types_of("data", tuple(a[np.newaxis] for a in self.plan.rows.buffers(1)))
        scheduled = callable(self.rate)
        loop = loop_around(
            run_batches, functions_type(fun, jac, types_of("args", args)), tuple_type(kinds), self.method,
            *self.state.types(), array_type(OPTIONS, 1), span_type(scheduled, traced=True),
        )  # fmt: skip
        functions = machine.functions._replace(args=args)

        def batches(piece: Arrays) -> int:
            done, count = 0, len(piece[0])
            while done < count:
                begun, before = time.perf_counter(), s.njev
                if begun > self.deadline:
                    s.stop = OUT_OF_SECONDS
                steps = min(self.pace, count - done)
                steps, rates = coming_rates(self.rate, self.settings, steps, s.nit, s.learning_rate)
                part = tuple(array[done : done + steps] for array in piece)
                span = Span(steps, rates, np.empty((steps, 3)))
                reason = self.run_span(partial(loop, functions, part), span)
                if reason != GOING:
                    return reason
                made = s.njev - before  # fewer than `steps` where f was infinite
                done += made
                most = min((GROWTH_AHEAD if scheduled else GROWTH) * self.pace, MOST_STEPS)
                self.pace = steps_in(SECONDS_ALONE, made, time.perf_counter() - begun, most)
            return GOING

        return batches

    def shown(self, **values: Any) -> bool:
        """Show what has been found to the callback; return whether to go on."""
        s, observe = self.s, self.plan.observe
        if observe is None:
            return True
        seen = Result(nit=s.nit, nfev=s.nfev, njev=s.njev, **values)
        try:
            observe(self.problem.structure.shown(seen))
        except StopIteration:
            self.detail = "callback"
            return False
        return True

    # ------------------------------------------------------------------------------------- the end

    def answer(self, reason: int = GOING) -> np.ndarray:
        """Return the average, or the last point; the one before where that is no point, says the reason."""
        s, x = self.s, self.state.vectors.x
        if self.plan.average is not None:
            return x[s.x_best]
        good = reason == GOING or REASONS[reason].status != REASONS[BAD_FUN].status
        return x[s.x] if good or s.nit == 0 else x[s.x_before]

    def take(self, x: np.ndarray, f: float, g: np.ndarray) -> None:
        """Make x the best point, with f and its gradient over all rows."""
        assert self.first is not None
        s, v, (fun, jac), self.looked = self.s, self.state.vectors, self.first, True
        v.x[s.x_best], v.g[s.g_best], s.fun_best = x, g, f
        norm, x0 = self.state.gradient_norm, self.problem.x0
        s.gradient_norm_best, s.fun_first, s.gradient_norm_first = norm(x, g), fun, norm(x0, jac)

    def at_end(self, reason: int) -> int:
        """Look at all rows at the answer; return the reason to stop."""
        x = self.answer(reason).copy()
        f, g = self.of_all_rows(x)
        assert self.first is not None
        if f <= self.first[0] and np.isfinite(g).all():
            self.take(x, f, g)
        else:
            self.take(self.problem.x0, *self.first)
            if reason == BY_EPOCHS:
                reason, self.detail = NOT_LOWER, f"{f:.6g}"
        if self.problem.jac in SCHEMES:  # from here on the gradient of the whole is given
            self.problem = replace(self.problem, jac=True)
        return BY_GRADIENT if REASONS[reason].status == LIMIT and self.has_vanished() else reason

    def has_vanished(self) -> bool:
        """Return whether the gradient over all rows meets the test that `stops.vanished` makes."""
        s, part = self.s, float(self.problem.options["gtol"])
        if self.problem.x0.dtype == np.float32 and part > 0:
            part = max(part, 16 * SINGLE)
        norm, height = s.gradient_norm_best, abs(s.fun_best)
        small = norm <= part**0.5 * height or height <= part**2 * abs(s.fun_first)
        return bool(norm <= part * s.gradient_norm_first and small)

    @property
    def passes(self) -> float:
        """How often all rows have been evaluated."""
        return self.mean.passed / self.plan.rows.count

    def accompany(self, error: BaseException) -> None:
        """Let an exception that ended the run carry its result; f over all rows is not known then."""
        s, v = self.s, self.state.vectors
        if self.begun and not self.looked:
            if self.kept is None:
                self.kept = self.undone()
                self.save(self.kept)
            v.x[s.x_best], v.g[s.g_best] = self.answer(), np.nan
            s.fun_best = s.gradient_norm_best = np.nan
        super().accompany(error)

    def result(self, reason: int) -> Result:
        """Return the result of a run that stopped for `reason`."""
        self.history = None
        result = super().result(reason)
        plan = self.plan
        result.update(
            nepoch=len(self.epochs), passes=self.passes, seed=plan.order.seed,
            batch_size=plan.order.batch_size, gradient=self.gradient, samples=self.samples,
        )  # fmt: skip
        if self.problem.options["history"]:
            columns = np.array(self.epochs).reshape(-1, len(HISTORY)).T
            result.history = dict(zip(HISTORY, columns, strict=True))
        return result
