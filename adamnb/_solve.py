"""A minimisation that has been checked, solved: on the host, on a GPU, on the ranks of an MPI job."""

from dataclasses import replace
from typing import Any

import numpy as np

from ._compiled.reasons import NOT_FINITE
from ._problem.arguments import gradient_name
from ._problem.differences import Steps
from ._problem.objective import Objective
from ._problem.problem import Problem
from ._problem.ranks import Ranks, summed
from ._problem.workers import mapping
from ._run.checkpoint import digest_of, labels_of, state_of
from ._run.errors import of_run, with_errors
from ._run.finish import finish
from ._run.result import Result
from ._run.resume import take_up
from ._run.run import Run

NUMBERS = (bool, int, float, str, np.ndarray)  # options that all ranks have in common, ...
OF_ONE_RANK = ("disp", "progress", "checkpoint", "checkpoint_every", "resume")  # ... but for these


def solved(problem: Problem, data: Any) -> Result:
    """Minimise, and show how far it is; `data` is what a checkpoint may digest."""
    if problem.display is None:
        return _where_it_is(problem, data)
    with problem.display:
        return _where_it_is(problem, data)


def _where_it_is(problem: Problem, data: Any) -> Result:
    """Minimise where the start is."""
    if isinstance(problem.x0, np.ndarray):
        with mapping(problem.options["workers"]) as problem.map:
            return to_the_end(_taken_up(Run(problem), data))
    from ._cuda.run import DeviceRun

    run = _taken_up(DeviceRun(problem), data)
    reason = run.iterate()
    run.show_end()
    return run.result(reason)


def _taken_up(run: Any, data: Any) -> Any:
    """Return a run that goes on from a checkpoint or a state, if the options say so."""
    problem, o = run.problem, run.problem.options
    if o["checkpoint"] is None and o["resume"] is None and o["state"] is None:
        return run
    labels = labels_of(
        o, data, of="minimize", method=problem.method.name, shape=problem.x0.shape,
        dtype=problem.x0.dtype,
    )  # fmt: skip
    take_up(run, labels, state_of(o, labels))
    return run


def to_the_end(run: Run) -> Result:
    """Run to the end, and return what is found there; an exception carries what had been found."""
    try:
        reason = finish(run, run.iterate())
        run.show_end()
        found = of_run(run)
        result = run.result(reason)
        if found is not None:
            with_errors(run, result, found)
        return result
    except BaseException as error:
        run.accompany(error)
        raise


def solved_together(problem: Problem, ranks: Ranks) -> Result:
    """Minimise the sum of the functions of all ranks."""
    o, x0 = problem.options, problem.x0
    shared = {
        name: value
        for name, value in o.items()
        if isinstance(value, NUMBERS) and name not in OF_ONE_RANK
    }
    ranks.require_same("x0", digest_of((x0, *(problem.bounds or ()))))
    ranks.require_same("method", problem.method.name)
    ranks.require_same("options", digest_of(shared))
    ranks.watching = any(ranks.gathered(problem.observe is not None))
    if ranks.rank != 0:
        o["checkpoint"] = None
    gradient = gradient_name(problem.jac)
    with mapping(o["workers"]) as mapped:
        steps = Steps(problem.x_scale, o["finite_diff_rel_step"], mapped)
        share = Objective(
            problem.fun, problem.jac, problem.args, problem.bounds, x0, None, o["catch"], steps
        )
        whole = replace(
            problem, fun=summed(ranks, share), jac=True, args=(), compiled=False, ranks=ranks,
            options=o | {"workers": None, "catch": ()},
        )  # fmt: skip
        data = digest_of(problem.args) if o["checkpoint_digest"] else None
        result = solved(whole, ranks.gathered(data))
    result.gradient = gradient
    if result.status == NOT_FINITE and ranks.unsound:
        result.message += f" Not finite on rank {', '.join(map(str, ranks.unsound))}."
    return result
