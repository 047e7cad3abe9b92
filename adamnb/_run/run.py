"""One minimisation under way: the interpreted loop, the compiled loop, and the result of either."""

import time
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from sys import getrefcount
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._compiled import machine_code as code
from .._compiled.curvature import LOOKING, SEEN, begin_pairs, differ
from .._compiled.differences import Learnt
from .._compiled.iteration import step_on
from .._compiled.machine_code import array_type, machine_code
from .._compiled.rate import AUTOMATIC
from .._compiled.reasons import (
    ALL_FIXED,
    BAD_FUN,
    BAD_JAC,
    BY_NOISE,
    CONVERGED,
    GOING,
    INTERRUPTED,
    OUT_OF_SECONDS,
    RAISED,
    RATE_ENDED,
    STUCK,
    TOO_LARGE,
    TOO_SMALL,
    WRONG_SHAPE,
)
from .._compiled.records import OPTIONS
from .._compiled.run import Span
from .._compiled.vectors import X_ROWS
from .._problem.arguments import COMPILED, SCHEMES, gradient_name
from .._problem.compiled import CompiledObjective, explain_division
from .._problem.differences import Steps, learnt
from .._problem.objective import Objective, wrong_shape
from .._problem.options import checked_rate
from .._problem.problem import Problem
from .checkpoint import Checkpoint
from .finish import ESCAPES, began_high
from .noise import UnderNoise
from .pace import FIRST_STEPS, GROWTH, GROWTH_AHEAD, MOST_STEPS, SECONDS_ALONE, steps_in
from .progress import Point
from .result import Result, attach, outcome
from .resume import goes_on, knowledge, named, restore, snapshot
from .second_order import Lower
from .settings import is_plain, pairs_of, settings
from .spans import advance_of, coming_rates, infinite_here, run_of, span_type
from .state import State, on_threads, vectors_type
from .threads import PARALLEL_REGION, thread_count, use_threads

NEARER = 1e-3  # part of a gradient that passed, from which the next one does, where a minimum was too far off


class Run:
    """One minimisation under way."""

    state: Any
    unit = 1.0  # of f in the state, a power of two
    detail = ""  # of the reason to stop, as a look at the last point found it
    noisy: UnderNoise | None = None  # how it went on where f is noisy
    averaging: UnderNoise | None = None  # the same while it does
    escapes = ESCAPES  # points of which a lower one is near that are left, at most
    learnt: Learnt | None = None  # for differences, by the compiled loop
    kept: Mapping[str, Any] | None = None  # what another run goes on from; None: what there is now
    before: list[int] | None = None  # `nfev`, `njev` and `nit` before what is under way
    rows = 0  # of `history`, then
    known: dict[str, Any] | None = None  # of differences, then
    marked: dict[str, Any] | None = None  # all that there was then, of the compiled loop
    ended: int | None = None  # why the run stopped that this one goes on from

    checkpoint: Checkpoint | None = None  # where it saves itself

    def __init__(self, problem: Problem) -> None:
        self.started, self.compile_before = problem.started, problem.compile_before
        self.problem, o = problem, problem.options
        # A callback wants every point, so Numba functions are then called one by one: same bits.
        self.compiled = problem.compiled and problem.observe is None
        self.rate = o["learning_rate"]
        self.deadline = self.started + o["max_time"]
        self.history: list[np.ndarray] | None = [] if o["history"] else None
        self.display = problem.display
        tabulated = self.display is not None and self.display.every > 0
        self.noted = self.history is not None or tabulated  # whether every point is
        bounds = problem.bounds
        held = bounds is not None and bool((bounds[0] == bounds[1]).all())
        self.fixed = not problem.shards.anywhere(not held)  # whether no variable is free
        self._prepare()

    def _prepare(self) -> None:
        """Set up the state."""
        problem, o = self.problem, self.problem.options
        self.count = problem.shards.variables(problem.x0.size)
        pairs = pairs_of(o, self.count)
        self.state = State(
            problem.method, problem.x0, self.rate, problem.x_scale, problem.bounds, pairs, problem.shards
        )  # fmt: skip
        self.settings = settings(problem.method, o, problem.x0.dtype, looks_out=True)
        if o["noisy"] is False:
            self.s.looked = SEEN
        self.parallel = use_threads(problem.x0.size, o["threads"])
        self.method = problem.method.numba_type(
            self.rate is None, is_plain(o), self.parallel, pairs > 0
        )
        if self.parallel:
            self.state.vectors = on_threads(self.state.vectors)

    @property
    def s(self) -> Any:
        """The numbers of the state."""
        return self.state.s

    @property
    def differences(self) -> Any:
        """What gradients by differences are had by, so far."""
        return vars(self)["objective"].differences if "objective" in vars(self) else None

    def begin_differences(self) -> Any:
        """Return what gradients by differences are had by."""
        return self.objective.differences

    @cached_property
    def objective(self) -> Objective:
        """The user's functions as Python calls them, with the counts of this run."""
        problem, o = self.problem, self.problem.options
        steps = Steps(problem.x_scale, o["finite_diff_rel_step"], problem.map)
        counts = self.s.row("nfev", 2)
        return Objective(
            problem.fun, problem.jac, problem.args, problem.bounds, problem.x0, counts, o["catch"], steps
        )  # fmt: skip

    def go_on_from(self, state: Any) -> None:
        """Go on from a state of another run, as if that had not ended."""
        if isinstance(state, Mapping) and "noise.begun" in state:
            self.averaging = UnderNoise(self, anew=False)
        self.ended = restore(self, state)

    def iterate(self) -> int:
        """Run to the end and return the reason for it."""
        o, ended = self.problem.options, self.ended
        self.ended = None
        if ended is None:
            if o["noisy"] is True or (self.decays and o["noisy"] is None and self.random()):
                return self.under_noise()
            reason = self.loop()
        elif self.averaging is not None:
            return self.averaging.iterate()
        else:
            reason = self.loop_on() if goes_on(ended) else ended
        if reason in (TOO_LARGE, TOO_SMALL) and self.rate is None and self.s.nit == 0:
            self.use_unit(2.0 ** -round(np.log2(self.s.gradient_norm)))
            reason = self.loop()
        self.pause(reason)
        return self.under_noise() if reason == BY_NOISE else reason

    def snapshot(self, reason: int) -> Mapping[str, Any]:
        """Return all that another run goes on from, this one having stopped for `reason`."""
        return snapshot(self, reason)

    def pause(self, reason: int) -> None:
        """Keep what another run goes on from, and save it if it is to be saved."""
        self.kept = self.snapshot(reason)
        self.save(self.kept)

    def save(self, state: Mapping[str, Any]) -> None:
        """Save a state, if it is to be saved."""
        if self.checkpoint is not None:
            self.checkpoint.save(state)

    def save_if_due(self) -> None:
        """Save what there is between two iterations, if it is time to."""
        if self.checkpoint is not None and self.problem.shards.anywhere(self.checkpoint.due()):
            self.save(self.snapshot(GOING))

    @property
    def begun(self) -> bool:
        """Whether something is known that is worth keeping."""
        return bool(self.s.nit > 0)

    @property
    def decays(self) -> bool:
        """Whether an automatic learning rate has weight decay, with which nothing else looks for noise."""
        return self.rate is None and self.problem.options["weight_decay"] > 0

    def random(self) -> bool:
        """Return whether f or its gradient is another when the start is evaluated again."""
        x, (one, two) = self.problem.x0, np.empty((2, self.problem.x0.size), self.problem.x0.dtype)
        f, again = (self.objective.evaluate(x, g) for g in (one, two))
        if not np.isfinite(f):
            return False
        at, o = SimpleNamespace(fun_best=f), self.settings[0]
        at.gradient_norm_best = self.state.gradient_norm(x, one)
        return bool(differ(again - f, self.state.apart(two, one), at, o))

    def under_noise(self) -> int:
        """Go on where f is noisy; return the reason to stop."""
        self.averaging = UnderNoise(self)
        return self.averaging.iterate()

    def loop(self) -> int:
        """Run until there is a reason to stop, on as many threads as it is to have."""
        self.s.judged, self.learnt = 0, None
        return self.looped()

    def loop_on(self) -> int:
        """Run on as another one would have done that ended early."""
        reason = self.on_threads(self.further)
        return self.looped() if reason == GOING else reason

    def looped(self) -> int:
        self.kept = self.before = self.known = self.marked = None
        return self.on_threads(self.compiled_loop if self.compiled else self.interpreted_loop)

    def further(self) -> int:
        """Make the step before which another run ended, if there is one; return why there is none."""
        state, s, o = self.state, self.s, self.settings[0]
        if not s.judged:
            return GOING
        if callable(self.rate) and s.nit < o.maxiter and s.nfev < o.maxfun:
            s.learning_rate = checked_rate(self.rate, s.nit + 1)
        signature = self.method, *state.types(), array_type(OPTIONS, 1)
        step = self.problem.shards.watched(machine_code(step_on, signature))
        reason = step(None, state.vectors, state.records, self.settings)
        if self.history and not s.judged:  # as after an iteration that had not ended
            self.history[-1][-1, 1:] = s.gradient_norm, s.learning_rate
        return reason

    def begin_to_learn(self) -> Learnt:
        """Return what the compiled loop knows for differences before its first gradient."""
        problem = self.problem
        self.learnt = learnt(problem.x0, problem.bounds, problem.x_scale)
        return self.learnt

    def take_scatter(self, size: np.ndarray) -> None:
        """Take differences of an f that is random from now on, for variables of these sizes."""
        self.compiled = False
        self.objective.scatter(size)

    def on_threads(self, loop: Callable[[], int]) -> int:
        """Run a loop on as many threads as it is to have."""
        if not self.parallel:
            return loop()
        with PARALLEL_REGION, thread_count(self.problem.options["threads"]):
            return loop()

    def use_unit(self, unit: float) -> None:
        """Take a unit of f, in which the first gradient is about 1 where its square has no digits.

        Numba functions are then called one by one.
        """
        self.compiled, self.settings = False, self.settings.copy()
        self.settings["f_target"] *= unit
        self.unit = unit
        self.objective.in_units(unit)
        if self.history is not None:
            self.history.clear()

    def interpreted_loop(self) -> int:
        iterate = self.iteration(self.objective)
        while (reason := iterate()) == GOING:
            if self.display is not None and self.enough():
                if self.problem.ranks is None:
                    return INTERRUPTED
                self.s.stop = INTERRUPTED  # of all ranks, once they have met
        return INTERRUPTED if self.s.stop == INTERRUPTED else reason

    def iteration(self, objective: Objective) -> Callable[[], int]:
        """Return a function that makes the next iteration and returns the reason to stop, or GOING.

        No generator, in which a `StopIteration` of the caller's functions would be another error.
        """
        state, noted = self.state, self.noted
        step = self.problem.shards.watched(advance_of(self.method, state))
        evaluate, v = objective.at, state.vectors
        records, options = state.records, self.settings
        for_fun, for_jac, buffer = v.spare, v.spare.copy(), np.empty_like(v.spare)
        unkept = getrefcount(for_fun), getrefcount(for_jac)
        fun, watched = self.s.row("fun"), self.watched()
        told = self.errors_of(objective)
        errors = self.s.row("fun_error", 2) if told is not None else None
        counts, saved = self.s.row("nfev", 3), self.checkpoint is not None
        learns = objective.differences is not None

        def iterate() -> int:
            nonlocal v, for_fun, for_jac
            self.before = counts.tolist()
            if learns:
                self.known = knowledge(objective.differences)
            if self.history is not None:
                self.rows = len(self.history)
            if saved:
                self.save_if_due()
            looking = learns and self.s.looked == LOOKING
            at = objective.value_alone if looking else evaluate
            fun[0], gradient = at(for_fun, for_jac, buffer)
            # What the user has kept, or a view of it, is the user's.
            if getrefcount(for_fun) != unkept[0]:
                for_fun = np.empty_like(for_fun)
                v = state.vectors = v._replace(spare=for_fun)
            if getrefcount(for_jac) != unkept[1]:
                for_jac = np.empty_like(for_jac)
            if told is not None and errors is not None and not looking:
                errors[0], errors[1] = told(v.scale)
            if watched:
                self.watch(gradient)
            f, nit = fun[0], self.s.nit if noted else 0
            reason = step(None, v, records, options, gradient, for_jac)
            if noted:
                self.note(nit, np.array([[f, self.s.gradient_norm, self.s.learning_rate]]))
            return reason

        return iterate

    def errors_of(self, objective: Objective) -> Callable | None:
        """Return what tells of the errors of f and of its last gradient; None where they have none."""
        ranks = self.problem.ranks
        if ranks is not None and ranks.differ:
            return lambda scale: [self.unit * error for error in ranks.errors(scale)]
        return objective.errors if objective.differences else None

    def late(self) -> bool:
        """Return whether the time is over, on one of the ranks if there are some."""
        over, ranks = time.perf_counter() > self.deadline, self.problem.ranks
        if ranks is None or self.deadline == np.inf:
            return over
        return ranks.agreed(OUT_OF_SECONDS if over else GOING) != GOING

    def note(self, nit: int, rows: np.ndarray) -> None:
        """Keep and show rows of (f, gradient norm, learning rate) of the points from iteration `nit` on."""
        if self.history is not None:
            self.history.append(rows)
        if self.display is not None and self.display.every:
            self.display.tabulate(nit, rows / [self.unit, self.unit, 1.0])

    def reached(self) -> Point:
        """Return how far it is."""
        s, unit = self.s, self.unit
        return Point(
            int(s.nit), int(s.nfev), float(s.fun_best) / unit, float(s.gradient_norm) / unit,
            float(s.learning_rate),
        )  # fmt: skip

    def enough(self) -> bool:
        """Report how far it is; return whether the caller has had enough."""
        self.display.report(self.reached())
        if self.display.ended:
            self.detail = "progress"
        return self.display.ended

    def show_end(self) -> None:
        """Report how it ended, whatever the time."""
        if self.display is not None:
            self.display.report(self.reached(), final=True)

    def watched(self) -> bool:
        """Return whether there is something to do between two interpreted iterations."""
        if self.problem.ranks is not None and self.problem.ranks.watching:
            return True
        return self.problem.observe is not None or self.deadline < np.inf or callable(self.rate)

    def watch(self, gradient: np.ndarray) -> None:
        """Show the current point to the callback, look at the clock, set the learning rate."""
        s, observe, ranks = self.s, self.problem.observe, self.problem.ranks
        if ranks is not None and not ranks.watching:
            ranks = None
        if s.nit > 0 and (observe is not None or ranks is not None):
            norm = self.state.gradient_norm(self.state.vectors.x[s.x], gradient)
            try:
                if observe is not None:
                    observe(self.intermediate(gradient, norm))
            except StopIteration:
                s.stop, self.detail = INTERRUPTED, "callback"
        if ranks is not None:
            s.stop = ranks.agreed(s.stop)
            if s.stop == INTERRUPTED:
                self.detail = self.detail or "callback"  # of another rank
        if self.late() and s.stop == GOING:
            s.stop = OUT_OF_SECONDS
        o = self.settings[0]
        if callable(self.rate) and s.nit < o.maxiter and s.nfev < o.maxfun:  # a step may follow
            s.learning_rate = checked_rate(self.rate, s.nit + 1)

    def compiled_loop(self) -> int:
        problem, s, state, noted = self.problem, self.s, self.state, self.noted
        objective = CompiledObjective(problem.fun, problem.jac, problem.args, problem.x0.dtype)
        scheduled, vectors = callable(self.rate), vectors_type(state.vectors)
        span_kind = span_type(scheduled, noted)
        functions = objective.functions
        if problem.jac == COMPILED:
            known = self.begin_to_learn() if self.learnt is None else self.learnt
            functions = functions._replace(jac=known)
        loop = partial(run_of(objective.type, self.method, vectors, span_kind), functions)
        steps = 1 if scheduled else FIRST_STEPS
        while True:
            begun = time.perf_counter()
            if begun > self.deadline:
                s.stop = OUT_OF_SECONDS
            done = s.nit if scheduled else 0
            steps, rates = coming_rates(self.rate, self.settings, steps, done, s.learning_rate)
            trace = np.empty((steps, 3)) if noted else None
            before = s.njev
            self.save_if_due()
            if problem.jac == COMPILED:
                self.marked = copied(self.snapshot(RAISED))
            reason = self.run_span(loop, Span(steps, rates, trace))
            taken = time.perf_counter() - begun
            if reason != GOING:
                return reason
            if self.display is not None and self.enough():
                return INTERRUPTED
            most = (GROWTH_AHEAD if scheduled else GROWTH) * steps
            if scheduled or noted:
                most = min(most, MOST_STEPS)
            made = s.njev - before  # fewer than `steps` where f was infinite
            steps = steps_in(SECONDS_ALONE, made, taken, most)

    def run_span(self, loop: Callable, span: Span) -> int:
        """Run a span in machine code; where `catch` names what is raised, f is infinite there."""
        s, state = self.s, self.state
        nit, before, whole = s.nit, s.njev, False
        self.before = [s.nfev, s.njev, s.nit]
        try:
            reason = loop(state.vectors, state.records, self.settings, span)
            whole = reason != WRONG_SHAPE
        except self.problem.options["catch"]:
            if s.nit == 0:
                raise
            reason = infinite_here(self.method, state, self.settings)
        finally:
            rows = max(0, s.njev - before - (not whole))
            if span.trace is not None:
                self.note(nit, span.trace[:rows])
        if reason == WRONG_SHAPE:
            shape = self.problem.x0.shape
            raise ValueError(wrong_shape((s.wrong_size,), shape, s.nit))
        if span.trace is not None and not whole:
            self.note(nit + rows, np.array([[np.inf, s.gradient_norm, s.learning_rate]]))
        return reason

    def leave_for(self, lower: Lower) -> bool:
        """Go on from a point lower than the best one; return whether this run can.

        Unless that is a saddle, the gradient has to fall further than was asked for, as the minimum was far
        off where it passed. From a start so high that nothing counts beside it, the best point is the start.
        """
        if self.state.vectors.steps is None:
            return False
        s, v, o = self.s, self.state.vectors, self.settings[0]
        if s.nit >= o.maxiter or s.nfev >= o.maxfun:
            return False
        begin_pairs(v.metric, s)
        s.x_before, s.x, s.g = s.x_best, (s.x_best + 1) % X_ROWS, 1 - s.g_best
        v.x[s.x] = v.spare[:] = lower.x
        s.slope, s.part, s.modelled, s.nit = 2.0 * (lower.f - s.fun_best), 1.0, 0, s.nit + 1
        s.length_tried = float(np.linalg.norm((v.spare - v.x[s.x_best]) / v.scale))
        if not lower.saddle:
            if began_high(s):
                s.fun_first, s.gradient_norm_first = s.fun_best, s.gradient_norm_best
            elif o.gtol > 0.0:
                most = NEARER / o.gtol * s.gradient_norm_best
                s.gradient_norm_first = min(s.gradient_norm_first, most)
        s.learning_rate = AUTOMATIC["first_rate"]
        return True

    def accompany(self, error: BaseException) -> None:
        """Let an exception that ended the run carry its result, if there is one."""
        explain_division(error, self.problem.fun, self.problem.jac)
        if self.begun:
            if self.kept is None:
                self.kept = self.undone()
                self.save(self.kept)
            self.s.fun = np.nan  # of the point that raised
            attach(error, self.result(RAISED))

    def undone(self) -> dict[str, Any]:
        """Return what another run goes on from, which begins with the evaluation that led to no step."""
        s, before, history = self.s, self.before, self.history
        kept = dict(self.snapshot(RAISED))
        if before is None:
            return kept
        nfev, njev, nit = before
        under_way = s.njev - s.nit > njev - nit if self.compiled else s.nit == nit
        if under_way and not s.judged:
            if self.marked is not None:
                return self.marked
            back = (s.nfev - 1, s.njev - 1) if self.compiled else (nfev, njev)
            kept |= dict(zip(("nfev", "njev"), back, strict=True))
            return kept | named("differences", self.known or {})
        if (
            "history" in kept
            and history is not None
            and not self.compiled
            and len(history) == self.rows
        ):
            row = np.array([[s.fun, s.gradient_norm, s.learning_rate]])
            kept["history"] = np.concatenate([kept["history"], row])
        return kept

    def intermediate(self, g: np.ndarray, norm: float) -> Result:
        """Return what a callback sees of a point whose gradient is g, of this norm, in copies."""
        s, v = self.s, self.state.vectors
        unit = self.unit
        seen = Result(
            x=v.x[s.x].copy(), fun=s.fun / unit, jac=g / unit, nit=s.nit, nfev=s.nfev, njev=s.njev,
            gradient_norm=norm / unit,
        )  # fmt: skip
        return self.problem.structure.shown(seen)

    def result(self, reason: int) -> Result:
        """Return the result of a run that stopped for `reason`."""
        problem, state = self.problem, self.state
        v, s, unit = state.vectors, self.s, self.unit
        jac = state.own(v.g[s.g_best])
        if unit != 1.0:
            jac, s = jac / unit, SimpleNamespace(**state.values())
            for name in ("fun", "fun_best", "fun_first", "gradient_norm"):
                setattr(s, name, getattr(s, name) / unit)
        differences = isinstance(problem.jac, str) and problem.jac in SCHEMES
        if problem.bounds is not None and differences:
            jac[problem.bounds[0] == problem.bounds[1]] = np.nan  # never differentiated
        where = ""
        if reason == BAD_JAC:
            bad = state.bad_gradient()
            where = problem.shards.first(
                "" if bad is None else f" at {problem.structure.where(bad)}"
            )
            if not where:  # finite, but not when multiplied by x_scale
                reason = TOO_LARGE
        if reason != BAD_FUN and self.fixed:
            reason = ALL_FIXED
        if reason == STUCK and self.rate is not None:
            reason = RATE_ENDED
        status, message = outcome(reason, s, problem.options, where, self.detail)
        rate: Any = s.learning_rate
        if v.factors is not None and not state.automatic:
            rate = state.own(v.factors)
        result = Result(
            x=state.own(v.x[s.x_best]), fun=s.fun_best, jac=jac, nit=s.nit, nfev=s.nfev, njev=s.njev,
            status=status, success=status == CONVERGED, message=message,
            x_last=state.own(v.x[s.x]), fun_last=s.fun, learning_rate=rate,
            state=self.snapshot(reason) if self.kept is None else self.kept,
            time=time.perf_counter() - self.started,
            compile_time=code.seconds - self.compile_before, compiled=self.compiled,
            gradient=gradient_name(problem.jac),
        )  # fmt: skip
        if self.noisy is not None:
            result.update(self.noisy.added())
        if self.history is not None:
            columns = np.concatenate(self.history).T / [[unit], [unit], [1.0]]
            result.history = dict(zip(HISTORY, columns, strict=True))
        return problem.structure.shown(result)


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state whose arrays are nobody else's."""
    return {name: a.copy() if isinstance(a, np.ndarray) else a for name, a in state.items()}


HISTORY = ("fun", "gradient_norm", "learning_rate")
