"""All that a run remembers, by name: what another one goes on from, with the same bits."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .._compiled.differences import Learnt
from .._compiled.reasons import FAILED, LIMIT, OUT_OF_TIME, REASONS, STOPPED
from .._problem.state import plain
from .checkpoint import CheckpointError, checkpoint_of, file_of
from .state import FIELDS, POINTS, ROWS

GO_ON = (LIMIT, OUT_OF_TIME, FAILED, STOPPED)  # status of a run that has not come to its own end
LEARNT = tuple(name for name in Learnt._fields if name not in ("low", "high"))


def goes_on(reason: int) -> bool:
    """Return whether a run that stopped for a reason may go on as if it had not."""
    return REASONS[reason].status in GO_ON


class Remembered(Mapping):
    """What a run goes on from, by name: put together when it is looked at, as most never is."""

    def __init__(self, told: Callable[[], dict[str, Any]], further: dict[str, Any]) -> None:
        self._told: Callable | None = told
        self._values = further

    @property
    def _named(self) -> dict[str, Any]:
        told = self._told
        if told is not None:
            self._values, self._told = told() | self._values, None
        return self._values

    def __getitem__(self, name: str) -> Any:
        return self._named[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return self._named | dict(other)

    def __repr__(self) -> str:
        return repr(self._named)

    def __reduce__(self) -> tuple:
        return dict, (self._named,)


def snapshot(run: Any, reason: int) -> Remembered:
    """Return all that a run goes on from, by name; arrays that a run changes at its end are copies."""
    kept = {
        "start": run.state.start(run.problem.x0), "unit": run.unit, "escapes": run.escapes,
        "reason": int(reason),
    }  # fmt: skip
    if run.history is not None:
        kept["history"] = np.concatenate([np.zeros((0, 3)), *run.history])
    for group, learnt in (("differences", run.differences), ("learnt", run.learnt)):
        if learnt is not None:
            kept |= named(group, knowledge(learnt))
    if run.averaging is not None:
        kept |= named("noise", run.averaging.memory())
    return Remembered(run.state.remembered(), kept)


def take_up(run: Any, labels: Mapping[str, str], state: Any) -> None:
    """Let a run save itself, and go on from a state, if there is one; `labels` say what it is of."""
    o = run.problem.options
    run.checkpoint = checkpoint_of(o, labels)
    if state is None:
        return
    try:
        run.go_on_from(state)
    except (TypeError, ValueError) as error:
        if o["resume"] is None:
            raise
        text = f"{str(file_of(o['resume']))!r} is a checkpoint of another problem: {error}"
        raise CheckpointError(text) from error


def named(group: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by names that begin with that of their group."""
    return {f"{group}.{name}": value for name, value in values.items()}


def group_of(given: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Return the values of a group by their own names."""
    first = f"{group}."
    return {name.removeprefix(first): given[name] for name in given if name.startswith(first)}


def knowledge(learnt: Any) -> dict[str, Any]:
    """Return what has been learnt for differences, by name, in copies."""
    learnt = getattr(learnt, "learnt", learnt)
    if isinstance(learnt, Learnt):
        values = {name: getattr(learnt, name) for name in LEARNT}
        return {name: _plainly(array).copy() for name, array in values.items()}
    values = {name: getattr(learnt, name) for name in learnt.LEARNT}
    return {name: a.copy() if isinstance(a, np.ndarray) else a for name, a in values.items()}


def know(learnt: Any, given: Mapping[str, Any]) -> None:
    """Take over what has been learnt for differences."""
    learnt = getattr(learnt, "learnt", learnt)
    names = LEARNT if isinstance(learnt, Learnt) else learnt.LEARNT
    require(set(given) == set(names), "that had other differences")
    for name in names:
        own, value = getattr(learnt, name), given[name]
        require(np.shape(value) == np.shape(_plainly(own)), f"{name!r} has another shape")
        if isinstance(learnt, Learnt):
            _plainly(own)[:] = value
        else:
            setattr(learnt, name, np.array(value, float) if np.ndim(value) else value)


def _plainly(array: Any) -> Any:
    """Return an array, or the bits of a record of it as whole numbers."""
    return array.view(np.int64) if getattr(array, "dtype", None) and array.dtype.names else array


def require_same(name: str, given: Any, own: Any) -> None:
    """Raise a `ValueError` for a state of another run."""
    if given != own:
        raise ValueError(f"`state` is that of a run with {name}={given!r}; got {name}={own!r}.")


def require(right: bool, what: str) -> None:
    """Raise a `ValueError` for a state of a run with other options."""
    if not right:
        raise ValueError(f"`state` must be `result.state` of a run with the same options; {what}.")


def restore(run: Any, given: Any) -> int:
    """Let a run that has not begun go on from a snapshot; return why that run stopped."""
    given = checked(given)
    if run.averaging is not None:
        run.averaging.take_over(group_of(given, "noise"))
    if given["unit"] != 1.0:
        run.use_unit(given["unit"])
    run.escapes = given["escapes"]
    _restore_state(run.state, given)
    own = run.snapshot(given["reason"])
    ungrouped = ({name for name in names if "." not in name} for names in (own, given))
    odd = set.symmetric_difference(*ungrouped)
    require(not odd, f"they differ in {', '.join(sorted(odd))}")
    if isinstance(run.problem.x0, np.ndarray):
        run.problem.x0 = np.array(given["start"])
    if "history" in given:
        run.history.append(np.array(given["history"]))
    _restore_knowledge(run, given)
    return int(given["reason"])


def checked(given: Any) -> dict[str, Any]:
    """Return a state with numbers as Python has them, if it is one of a run."""
    if not isinstance(given, Mapping):
        raise TypeError(f"`state` must be a dict as `result.state` is; got {type(given).__name__}.")
    least = {"reason", "unit", "escapes", "numbers", "start", "method", *POINTS}
    require(least <= set(given), f"they differ in {', '.join(sorted(least - set(given)))}")
    return {name: plain(value) for name, value in given.items()}


def _restore_state(state: Any, given: dict[str, Any]) -> None:
    """Take over vectors and numbers."""
    own = state.as_dict()
    require_same("method", given["method"], own["method"])
    for name, array in own.items():
        if not isinstance(array, np.ndarray) or name not in given:
            continue
        value = np.asarray(given[name])
        if (value.shape, value.dtype) != (array.shape, array.dtype):
            raise ValueError(
                f"`state[{name!r}]` must have shape {array.shape} and dtype {array.dtype}; got"
                f" {value.shape} and {value.dtype}."
            )
    rows = [int(row) for row in given["numbers"]]
    require(all(0 <= row < 3 for row in rows) and max(rows[3:]) < 2, "there are no such rows")
    for name in FIELDS:
        if name in own and name not in POINTS and name in given:
            setattr(state.s, name, given[name])
    for name, row in zip(ROWS, rows, strict=True):
        setattr(state.s, name, row)
    state.put(given)


def _restore_knowledge(run: Any, given: dict[str, Any]) -> None:
    """Take over what has been learnt for differences."""
    for group in ("differences", "learnt"):
        known = group_of(given, group)
        if not known:
            continue
        if "longest" in known:
            run.take_scatter(known["longest"])
        know(run.begin_differences() if group == "differences" else run.begin_to_learn(), known)
