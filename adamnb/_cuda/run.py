"""A minimisation on a GPU: everything stays there, and the host looks from time to time."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._compiled.reasons import GOING, INTERRUPTED, OUT_OF_SECONDS
from .._problem.objective import as_scalar
from .._problem.options import checked_rate
from .._run.pace import MOST_STEPS, SECONDS_ALONE, steps_in
from .._run.result import Result
from .._run.resume import goes_on
from .._run.run import Run
from .arrays import device_of, interface_of, like, sharing, stream_of
from .number import Number
from .state import DeviceState

ON_HOST = (int, float, str, np.ndarray)


class DeviceRun(Run):
    """One minimisation under way, on a GPU."""

    state: DeviceState

    def _prepare(self) -> None:
        self.state = DeviceState(self.problem)
        self.vector, self.point = self.state.vector, self.state.vectors.spare
        owner = self.vector.owner
        self.given = sharing(owner, self.point)
        if self.problem.jac == "inplace":
            self.to_fill = sharing(owner, self.vector.empty(self.vector.size))

    def evaluate(self) -> tuple[Any, Any]:
        """Return f and its gradient as the user's functions give them."""
        problem, x = self.problem, self.given()
        if problem.jac == "inplace":
            gradient = self.to_fill()
            return problem.fun(x, gradient, *problem.args), gradient
        if problem.jac is True:
            pair = problem.fun(x, *problem.args)
            if not (isinstance(pair, tuple | list) and len(pair) == 2):
                raise TypeError(
                    f"`jac=True` needs `fun` to return (f, gradient); it returned"
                    f" {type(pair).__name__}."
                )
            return pair[0], pair[1]
        return problem.fun(x, *problem.args), problem.jac(x, *problem.args)

    def scalar(self, fun: Any) -> Any:
        """Return f as a float, or as a `Number`."""
        fun = fun.detach() if hasattr(fun, "detach") else fun
        interface = interface_of(fun)
        if interface is None:
            return as_scalar(fun)
        dtype, shape = np.dtype(interface["typestr"]), tuple(interface["shape"])
        if np.prod(shape) != 1 or dtype not in (np.float32, np.float64):
            raise ValueError(
                f"`fun` must return one float32 or float64; it returned {dtype} of shape {shape}."
            )
        vector = self.vector
        device = device_of(interface)
        if device != vector.device:
            raise ValueError(
                f"`fun` must return f on device {vector.device}, that of x0; got device {device}."
            )
        vector.follow(stream_of(fun, interface))
        return Number(fun, interface, dtype)

    def iterate(self) -> int:
        """Run to the end and return the reason for it."""
        reason: int = GOING
        ended = self.ended
        if ended is not None and not goes_on(ended):
            return ended
        try:
            with self.vector.context:  # to enter it costs as much as a launch
                if ended is not None:
                    reason = self.further()
                if reason == GOING:
                    reason = self._iterate()
        except BaseException as error:
            self.state.read()
            self.accompany(error)
            raise
        self.pause(reason)
        return reason

    def further(self) -> int:
        """Make the step before which another run ended, if there is one; return why there is none."""
        s, o, rate = self.s, self.problem.options, np.nan
        if callable(self.rate) and s.nit < o["maxiter"] and s.nfev < o["maxfun"]:
            rate = checked_rate(self.rate, s.nit + 1)
        self.state.step_on(rate)
        if self.history and not s.judged:  # as after an iteration that had not ended
            self.history[-1][-1, 1:] = s.gradient_norm, s.learning_rate
        return self.state.reason

    def save(self, state: Mapping[str, Any]) -> None:
        """Save a state, if it is to be saved."""
        if self.checkpoint is not None:
            on_host = {
                name: value if isinstance(value, ON_HOST) else self.state.downloaded(value)
                for name, value in state.items()
            }
            self.checkpoint.save(on_host)

    def _iterate(self) -> int:
        problem, state, s = self.problem, self.state, self.s
        vector, count, steps = self.vector, int(s.nit), 1
        rate = self.rate if callable(self.rate) else None
        one_by_one = problem.observe is not None or self.noted
        while True:
            begun = time.perf_counter()
            for _ in range(steps):
                fun, given = self.evaluate()
                count += 1
                value, gradient = self.scalar(fun), vector.handle(given, "jac")
                if one_by_one:
                    there = isinstance(value, Number)
                    f = float(vector.download(value.view())[0, 0]) if there else value
                if problem.observe is not None and count > 1:
                    s.fun = f
                    try:
                        problem.observe(self.seen(vector.gradient(given, "jac")))
                    except StopIteration:
                        self.detail = "callback"
                        return INTERRUPTED
                coming = np.nan
                if rate is not None and count <= problem.options["maxiter"]:
                    coming = checked_rate(rate, count)
                state.advance(value, gradient, coming)
            state.read()
            now = time.perf_counter()
            if self.noted:
                self.note(count - 1, np.array([[f, s.gradient_norm, s.learning_rate]]))
            if state.reason != GOING:
                return state.reason
            self.save_if_due()
            if self.display is not None and self.enough():
                return INTERRUPTED
            if now > self.deadline:
                return OUT_OF_SECONDS
            if not one_by_one:
                steps = steps_in(SECONDS_ALONE, steps, now - begun, min(2 * steps, MOST_STEPS))

    def seen(self, gradient: Any) -> Result:
        """Return what a callback sees, in copies."""
        vector, s = self.vector, self.s
        x, g = (like(vector.owner, vector.copy(a)) for a in (self.point, gradient))
        return Result(
            x=x, fun=float(s.fun), jac=g, nit=int(s.nit), nfev=int(s.nfev) + 1, njev=int(s.njev) + 1,
            gradient_norm=self.state.gradient_norm(self.point, gradient.reshape(vector.size)),
        )  # fmt: skip
