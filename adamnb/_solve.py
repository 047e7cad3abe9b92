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
from ._problem.shards import ALONE, Alone, Shards
from ._problem.workers import mapping
from ._run.checkpoint import CheckpointError, digest_of, labels_of, of_rank, state_of
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
    if o["checkpoint"] is not None or o["resume"] is not None or o["state"] is not None:
        labels = labels_of(
            o, data, of="minimize", method=problem.method.name, shape=problem.x0.shape,
            dtype=problem.x0.dtype,
        )  # fmt: skip
        labels |= problem.shards.labels
        take_up(run, labels, state_of(o, labels))
    places = problem.shards.gathered(int(run.s.nit))
    if len(set(places)) > 1:
        raise CheckpointError(
            f"The checkpoints of the ranks are of different iterations: {places}."
        )
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
    """Minimise the sum of the functions of all ranks, which have the same x, or parts of one."""
    o, x0 = problem.options, problem.x0
    shards = _in_common(problem, ranks)
    sees = problem.observe is not None or problem.display is not None
    ranks.watching = any(ranks.gathered(sees))
    if o["sharded"]:
        for name in ("checkpoint", "resume"):
            o[name] = of_rank(o[name], ranks.rank)
    elif ranks.rank != 0:
        o["checkpoint"] = None
    gradient = gradient_name(problem.jac)
    with mapping(o["workers"]) as mapped:
        steps = Steps(problem.x_scale, o["finite_diff_rel_step"], mapped)
        share = Objective(
            problem.fun, problem.jac, problem.args, problem.bounds, x0, None, o["catch"], steps
        )
        whole = replace(
            problem, fun=summed(ranks, share, shards is ALONE), jac=True, args=(), compiled=False,
            ranks=ranks, shards=shards, options=o | {"workers": None, "catch": ()},
        )  # fmt: skip
        data = digest_of(problem.args) if o["checkpoint_digest"] else None
        result = solved(whole, data if o["sharded"] else ranks.gathered(data))
    result.gradient = gradient
    if result.status == NOT_FINITE and ranks.unsound:
        result.message += f" Not finite on rank {', '.join(map(str, ranks.unsound))}."
    return result


def _in_common(problem: Problem, ranks: Ranks) -> Alone:
    """Raise an error on all ranks unless they have in common what they have to; return what is apart."""
    o, x0, bounds = problem.options, problem.x0, problem.bounds
    shared = {
        name: value
        for name, value in o.items()
        if isinstance(value, NUMBERS) and name not in OF_ONE_RANK
    }
    ranks.require_same("sharded", bool(o["sharded"]))
    ranks.require_same("method", problem.method.name)
    if o["sharded"]:  # arrays have an element for each variable
        shared |= {name: "array" for name, value in shared.items() if np.ndim(value)}
        shared |= {name: o[name] is None for name in ("checkpoint", "resume", "state")}
        ranks.require_same("bounds", bounds is None)
        ranks.require_same("x0", x0.dtype.str)
    else:
        ranks.require_same("x0", digest_of((x0, *(bounds or ()))))
    ranks.require_same("options", digest_of(shared))
    return Shards(ranks, x0.size) if o["sharded"] else ALONE
