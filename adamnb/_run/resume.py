"""A run over batches of rows that goes on from where another one ended, with the same bits."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._problem.state import plain
from .state import FIELDS

ROWS = ("x", "x_best", "x_before", "g", "g_best")  # numbers of rows, which a run chooses itself
POINTS = {"x_best": 0, "x": 1, "x_before": 2}  # where they are put
SAME = ("method", "seed", "batch_size", "rows", "shuffle")  # what has to be the same to go on


def snapshot(run: Any) -> dict[str, Any]:
    """Return all that a run over batches goes on from, by name, for the caller to keep."""
    s, v, order = run.s, run.state.vectors, run.plan.order
    arrays = {name: v.x[getattr(s, name)] for name in POINTS} | {"slots": v.slots}
    arrays |= {"epoch_sums": run.sums, "epochs": np.array(run.epochs).reshape(-1, 3)}
    for name in ("factors", "previous", "scale"):
        if (array := getattr(v, name)) is not None:
            arrays[name] = array
    numbers = {name: value for name, value in run.state.values().items() if name not in ROWS}
    del numbers["stop"]
    same = dict(zip(SAME, (run.problem.method.name, order.seed, order.batch_size, order.rows.count,
                           order.shuffle), strict=True))  # fmt: skip
    return numbers | {name: array.copy() for name, array in arrays.items()} | same


def restore(run: Any, given: Any) -> None:
    """Let a run that has not begun go on from a snapshot; raise for what is none, or of another run."""
    own = snapshot(run)
    if not isinstance(given, Mapping):
        raise TypeError(f"`state` must be a dict as `result.state` is; got {type(given).__name__}.")
    if set(given) != set(own):
        odd = sorted(map(str, set(given) ^ set(own)))
        raise ValueError(
            "`state` must be `result.state` of a run of `minimize_stochastic` with the same options; they"
            f" differ in {', '.join(odd)}."
        )
    given = {name: plain(value) for name, value in given.items()}
    for name in SAME:
        if given[name] != own[name]:
            raise ValueError(
                f"`state` is that of a run with {name}={given[name]!r}; got {name}={own[name]!r}."
            )
    for name, array in own.items():
        if isinstance(array, np.ndarray) and name != "epochs":
            value = np.asarray(given[name])
            if (value.shape, value.dtype) != (array.shape, array.dtype):
                raise ValueError(
                    f"`state[{name!r}]` must have shape {array.shape} and dtype {array.dtype}; got"
                    f" {value.shape} and {value.dtype}."
                )
    v, s = run.state.vectors, run.s
    for name in set(FIELDS) & set(given) - set(ROWS):
        setattr(s, name, given[name])
    for name, place in POINTS.items():
        setattr(s, name, place)
        v.x[place] = given[name]
    v.spare[:] = given["x"]
    v.slots[...], run.sums[:] = given["slots"], given["epoch_sums"]
    for name in ("factors", "previous", "scale"):
        if name in given:
            getattr(v, name)[:] = given[name]
    run.epochs = list(map(tuple, np.asarray(given["epochs"]).tolist()))
