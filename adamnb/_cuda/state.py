"""The state of a minimisation on a GPU, and the launches of its iterations."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._compiled.iteration import step_on
from .._compiled.machine_code import array_type, machine_code
from .._compiled.reasons import GOING
from .._compiled.records import OPTIONS, STATE
from .._problem.problem import Problem
from .._run.settings import settings
from .._run.state import KEPT, POINTS, Numbers, State, first_rate, first_vectors, projected_norm
from .arrays import interface_of, like, view
from .driver import Launch, kernel
from .iteration import (
    FUN,
    GRADIENT,
    RATE,
    VALUE,
    Signatures,
    begin,
    measure,
    move,
    reduce_and_decide,
)
from .remote import NUMBERS, PLAN, REDUCED, REDUCTIONS, Remote, remote_type
from .vector import DeviceVector


class DeviceState(State):
    """All that a minimisation remembers, on a GPU; `records` is what the host saw last."""

    def __init__(self, problem: Problem) -> None:
        o, vector = problem.options, problem.x0
        rate, dtype = o["learning_rate"], vector.dtype
        self.method, self.automatic = problem.method, rate is None
        self.vector: DeviceVector = vector
        self.vectors = v = first_vectors(
            vector, problem.method, rate, problem.x_scale, problem.bounds
        )
        self.records = np.zeros(1, STATE)
        own = isinstance(rate, np.ndarray)
        self.records["learning_rate"] = 1.0 if own else first_rate(rate)
        self.s = Numbers(self.records)
        self._state = vector.upload(self.records)
        self._options = vector.upload(settings(problem.method, o, dtype))
        self._reduced = vector.upload(np.zeros(1, REDUCED))
        self._plan = vector.upload(np.zeros(1, PLAN))
        self._numbers = vector.upload(np.zeros(NUMBERS, dtype))
        self._parts = vector.upload(np.zeros((REDUCTIONS, vector.grid)))
        self._kind = problem.method.numba_type(self.automatic)
        vectors = v.factors, v.previous, v.scale, v.lower, v.upper
        given = tuple(a is not None for a in vectors)
        self._types = Signatures(self._kind, dtype, given)
        self._begin(problem.x_scale is None)
        self._measure = self._ready(
            measure, self._types.measure, v.x, v.g, v.previous, v.scale, v.lower, v.upper, self._state,
            self._options, self._plan, v.g, self._parts,
        )  # fmt: skip
        self._move = self._ready(
            move, self._types.move, self._kind, v.x, v.g, v.slots, v.spare, *vectors, self._numbers,
            self._plan,
        )  # fmt: skip
        self._decide: dict[Any, Launch] = {}  # by the dtype of f on the device, or None
        self.reason: int = GOING

    def _ready(self, function: Callable, signature: tuple, *arguments: Any) -> Launch:
        with self.vector.context:
            return Launch(kernel(function, signature), self.vector.grid, *arguments)

    def _begin(self, own_scale: bool) -> None:
        """Write the start.

        Raises
        ------
        ValueError
            If it is not finite.
        """
        vector, v = self.vector, self.vectors
        bad = vector.upload(np.full(1, vector.size, np.int64))
        with vector.context:
            launched = kernel(begin, self._types.begin)
        vector.launch(launched, vector.row, v.x, v.spare, v.scale, v.lower, v.upper, own_scale, bad)
        index = int(vector.download(bad)[0])
        if index < vector.size:
            value = vector.download(vector.row)[0, index]
            raise ValueError(f"`x0` must be finite; got {value} at index {index}.")

    def advance(self, fun: Any, gradient: Any, rate: float) -> None:
        """Launch one iteration, in an active context.

        `fun` is a number or a `Number`, `gradient` what `DeviceVector.handle` gives.
        """
        here = isinstance(fun, float)
        dtype = None if here else fun.dtype
        if dtype not in self._decide:
            self._decide[dtype] = self._ready(
                reduce_and_decide, self._types.decide(dtype), self._kind, self._parts, self._reduced,
                self._plan, self._numbers, self._state, self._options, None if here else fun.view(),
                0.0, np.nan,
            )  # fmt: skip
        decision = self._decide[dtype]
        self._measure.put(GRADIENT, gradient)
        decision.put(VALUE, fun) if here else decision.put(FUN, fun.handle())
        decision.put(RATE, float(rate))
        for launch in (self._measure, decision, self._move):
            launch(self.vector.stream)

    def read(self) -> None:
        """Wait for all that was launched, and see where it led."""
        self.records[:] = self.vector.download(self._state)
        self.reason = int(self.vector.download(self._plan)["reason"][0])

    def step_on(self, rate: float) -> None:
        """Make the step before which another run ended, if there is one; `rate` as in `advance`.

        It is decided on the host, once: what was measured is here.
        """
        if not self.s.judged:
            return
        if not np.isnan(rate):
            self.s.learning_rate = rate
        here = [self.vector.download(a) for a in (self._reduced, self._plan, self._numbers)]
        reduced, plan, numbers = here
        options, remote = self.vector.download(self._options), Remote(reduced, plan, numbers)
        signature = self._kind, remote_type(remote), array_type(STATE, 1), array_type(OPTIONS, 1)
        reason = machine_code(step_on, signature)(None, remote, self.records, options)
        plan["reason"] = self.reason = reason
        there = self._state, self._reduced, self._plan, self._numbers
        for array, value in zip(there, (self.records, *here), strict=True):
            self.vector.replace(array, value)
        with self.vector.context:
            self._move(self.vector.stream)

    def remembered(self) -> Callable[[], dict[str, Any]]:
        """Return a function that returns the state of now by name: vectors on the device, numbers here."""
        measured = (self.vector.download(a) for a in (self._reduced, self._plan))
        named = zip(("device.reduced", "device.plan"), measured, strict=True)
        told = super().remembered()() | {name: array.view(np.int64) for name, array in named}
        return lambda: told

    def put(self, given: dict[str, Any]) -> None:
        """Take over what `as_dict` returns; vectors may be on the host as well."""
        v, replace = self.vectors, self.vector.replace
        rows = {
            name: getattr(v, field)[getattr(self.s, row)] for name, (field, row) in POINTS.items()
        }
        rows |= {name: a for name in KEPT if (a := getattr(v, name)) is not None and name in given}
        found = {name: self.downloaded(given[name]) for name in rows}
        for name, array in rows.items():
            if (found[name].shape, found[name].dtype) != (array.shape, array.dtype):
                raise ValueError(
                    f"`state[{name!r}]` must have shape {array.shape} and dtype {array.dtype}; got"
                    f" {found[name].shape} and {found[name].dtype}."
                )
        for name, array in rows.items():
            replace(array, found[name])
        replace(v.spare, found["x"])
        for name, array, kind in (
            ("device.reduced", self._reduced, REDUCED), ("device.plan", self._plan, PLAN)
        ):  # fmt: skip
            bits = np.asarray(given.get(name, ()), np.int64)
            if bits.size * 8 != kind.itemsize:
                raise ValueError(
                    "`state` must be that of a run on a GPU; it is of one on the host."
                )
            replace(array, bits.view(kind))
        replace(self._state, self.records)
        if not self.s.judged:
            self._reset()

    def _reset(self) -> None:
        """Let kernels go on: a run that ended has a plan that says why."""
        plan = self.vector.download(self._plan)
        plan["reason"] = GOING
        self.vector.replace(self._plan, plan)

    def downloaded(self, array: Any) -> np.ndarray:
        """Return a copy on the host of a vector, or of rows, of a state."""
        interface = interface_of(array)
        if interface is None or isinstance(array, np.ndarray):
            return np.ascontiguousarray(array)
        shape = tuple(interface["shape"])
        with self.vector.context:
            rows = view(array, interface, int(np.prod(shape)))
        return self.vector.download(rows).reshape(shape)

    def start(self, x0: Any) -> Any:
        """Return a start that the caller may keep."""
        return self.own(x0.copy(x0.row))

    def own(self, array: Any) -> Any:
        """Return an array as the caller has arrays; no copy, the run is over and needs it no more."""
        return like(self.vector.owner, array)

    given_away = own

    def bad_gradient(self) -> int | None:
        """Return where the current gradient is not finite."""
        where = np.flatnonzero(~np.isfinite(self.vector.download(self.vectors.g)[self.s.g]))
        return int(where[0]) if where.size else None

    def gradient_norm(self, x: Any, g: Any) -> float:
        """Return the largest |element| of a gradient at x, projected and in units of x_scale."""
        v, download = self.vectors, self.vector.download
        around = (None if a is None else download(a) for a in (v.scale, v.lower, v.upper))
        return projected_norm(download(x), download(g), *around)
