"""The state that the caller gives back to an `Optimizer`, checked and as it was before it was stored."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .methods import Method
from .options import OPTIONS, check

LAST = 2**62  # largest number of a step
NOT_NEGATIVE = ("v", "h", "u")  # slots: averages of squares, and the largest of them or of |g|


def checked_state(
    state: Any, method: Method, shape: tuple[int, int], dtype: np.dtype
) -> dict[str, Any]:
    """Return a state with numbers as Python has them and slots as an array, if it is one."""
    if not isinstance(state, Mapping):
        raise TypeError(
            f"`state` must be a dict as `Optimizer.state` is; got {type(state).__name__}."
        )
    expected = {"method", "t", "slots", *method.defaults}
    if set(state) != expected:
        raise ValueError(
            f"`state` must have the keys {sorted(expected)}; got {sorted(map(str, state))}."
        )
    checked = {name: plain(state[name]) for name in expected - {"slots"}}
    if checked["method"] != method.name:
        raise ValueError(f"`state` must be of method {method.name!r}; got {checked['method']!r}.")
    for name in method.defaults:
        check(name, checked[name], OPTIONS[name])
    t = checked["t"]
    if isinstance(t, bool) or not isinstance(t, int | float):
        raise TypeError(f"`state['t']` must be a whole number >= 0; got {t!r}.")
    if not 0 <= t <= LAST or t != int(t):
        raise ValueError(f"`state['t']` must be a whole number >= 0 and at most 2**62; got {t!r}.")
    return checked | {"t": int(t), "slots": _checked_slots(state["slots"], method, shape, dtype)}


def _checked_slots(
    given: Any, method: Method, shape: tuple[int, int], dtype: np.dtype
) -> np.ndarray:
    """Return the slots of a state as an array of our shape and dtype; lists hold float64."""
    try:
        slots = np.asarray(given)
    except ValueError as error:  # ragged
        raise ValueError(f"`state['slots']` must be an array of numbers: {error}") from None
    if isinstance(given, list | tuple) and slots.dtype.kind in "if":
        with np.errstate(over="ignore"):
            narrow = slots.astype(dtype)
        if np.array_equal(narrow, slots, equal_nan=True):
            slots = narrow
    if slots.shape != shape or slots.dtype != dtype:
        raise ValueError(
            f"`state['slots']` must have shape {shape} and dtype {dtype}; got {slots.shape} and"
            f" {slots.dtype}."
        )
    for i, name in enumerate(method.slot_names):
        least, rule = (0, "finite and >= 0") if name in NOT_NEGATIVE else (-np.inf, "finite")
        bad = np.flatnonzero(~(np.isfinite(slots[i]) & (slots[i] >= least)))
        if bad.size:
            raise ValueError(
                f"`state['slots'][{i}]` ({name}) must be {rule}; got {slots[i, bad[0]]} at index {bad[0]}."
            )
    return slots


def plain(value: Any) -> Any:
    """Return a NumPy scalar or an array without axes, as `numpy.savez` makes them, as Python has it."""
    return (
        value.item()
        if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0
        else value
    )
