"""After many problems: is `jac` the gradient of `fun`?"""

from contextlib import suppress
from typing import Any

import numpy as np

from .._compiled.elements import sizes_of
from .._compiled.reasons import BY_MAXITER, CONTRADICTION
from .._problem.arguments import is_given
from .._problem.objective import Objective
from .batch_result import by_reason
from .block import Batch, Solved, problem_of
from .contradiction import contradiction
from .finish import DOUBTFUL, MET
from .problems import Problems
from .second_order import stationary

FEW = 3  # problems that ended as with a wrong gradient, which are asked whether it is
LITTLE = 0.01  # part of all evaluations that a look at one of the others may take ...
LOOK = 5  # ... by so many
AT_REST, ON_THE_WAY, IN_DOUBT = 1, 2, 3
KINDS = by_reason(
    {BY_MAXITER: ON_THE_WAY} | dict.fromkeys(MET, AT_REST) | dict.fromkeys(DOUBTFUL, IN_DOUBT), 0
)


def ask(batch: Batch, problems: Problems, solved: Solved) -> None:
    """Ask one or a few problems whether the gradient is one of f; if not, ask all, and say so.

    A gradient that is wrong leads some uphill, and others to a point where it vanishes.
    """
    if not is_given(batch.jac) or problems.on_gpu or batch.options["verify"]:
        return
    kinds = KINDS[solved.reason]

    def wrong(b: int) -> bool:
        with suppress(Exception):  # of the caller's functions, beside the point that was found
            return not batch.late() and _is_wrong(batch, problems, solved, b)
        return False

    few = (kinds == IN_DOUBT).nonzero()[0][:FEW].tolist()
    if LITTLE * solved.nfev.sum() >= LOOK:
        for kind in (AT_REST, ON_THE_WAY):
            few += np.flatnonzero(kinds == kind)[:1].tolist()
    if any(map(wrong, few)):
        solved.reason[list(filter(wrong, np.flatnonzero(kinds).tolist()))] = CONTRADICTION


def _is_wrong(batch: Batch, problems: Problems, solved: Solved, b: int) -> bool:
    """Return whether the gradient of problem `b` contradicts f around the point that was found."""
    problem: Any = problem_of(batch, problems.one(b), 0)
    objective = Objective(
        problem.fun, problem.jac, problem.args, problem.bounds, problem.x0,
        catch=batch.options["catch"],
    )  # fmt: skip
    size = sizes_of(problem.x0) if problem.x_scale is None else problem.x_scale
    x, f, g = solved.x[b], float(solved.fun[b]), solved.jac[b]
    at = stationary(x, f, g, size, problem.bounds)
    return contradiction(objective.pair, at, 0) is not None
