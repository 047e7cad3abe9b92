"""Fits of curves by Levenberg-Marquardt: in machine code block by block, or around a Python model."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import types

from .._compiled.curves import AGAIN, SLOPES, TRIAL, VALUED, Found, elsewhere, fit_curves
from .._compiled.functions import first_class
from .._compiled.lanes import filled_up
from .._compiled.least_squares import CHOICES, FIT, Curve, Work
from .._compiled.machine_code import array_type, machine_code
from .._compiled.reasons import GOING, RAISED, STUCK
from .._problem.compiled import type_of
from .._problem.curves import Curves
from .._problem.model import PythonModel, Rows
from .fitted import KNOWN
from .pace import FIRST_STEPS, GROWTH, SECONDS, steps_in

NO_X = np.zeros((1, 1))
# Part of a column of the Jacobian that is its error, by how it is had.
RANK = {"forward": 1e-14, "jac": 1e-14, "cs": 1e-14, "3-point": 1e-9, "2-point": 1e-7}


@dataclass
class Part:
    """Curves that have been fitted: how many, and more of the last one."""

    size: int
    residuals: np.ndarray
    triangle: np.ndarray  # R by columns, then projections
    exceptions: dict[int, Exception]


def choices_of(loss: int, f_scale: float, absolute: bool, tolerances: dict[str, Any]) -> np.ndarray:
    """Return what a fit never writes, as compiled code takes it."""
    record = np.zeros(1, CHOICES)
    record["loss"], record["f_scale"], record["absolute"] = loss, f_scale, absolute
    for name, value in tolerances.items():
        record[name] = value
    return record


def work_for(m: int, n: int) -> Work:
    """Return room for one curve of m points and n parameters."""
    of_m, of_n, long, short = np.zeros((2, m)), np.zeros((11, n)), filled_up(m), filled_up(2 * n)
    vectors = np.zeros((2, long)), np.zeros((n + 1, long)), np.zeros((n + 1, short))
    room = Work._make([*of_n, *of_m, *vectors, *np.zeros((3, n + 1, n))])
    return room._replace(trial=np.zeros(3 * n))


def nothing_found(p: np.ndarray) -> Found:
    """Return room for what is found, with the starts in it."""
    count, n = p.shape
    nfev, njev, reason = np.zeros((3, count), np.int64)
    unknown, active = np.zeros((count, n, n)), np.zeros((count, n), np.int64)
    return Found(p, unknown, np.full(count, np.nan), nfev, njev, reason, active)


@cache
def kinds_of() -> tuple[types.Type, ...]:
    """Return the Numba types of a block, of room, state, choices, what is found, and the span."""
    one, two, three = (array_type(np.dtype(float), ndim) for ndim in (1, 2, 3))
    whole, wholes = (array_type(np.dtype(np.int64), ndim) for ndim in (1, 2))
    curves = types.NamedTuple([two] * 5, Curve)
    work = types.NamedTuple([one] * 13 + [two] * 6, Work)
    found = types.NamedTuple([two, three, one, whole, whole, whole, wholes], Found)
    return curves, work, array_type(FIT, 1), array_type(CHOICES, 1), found, whole


class CompiledFits:
    """Fits curves of which the model is machine code."""

    def __init__(self, model: Rows, curves: Curves, choices: np.ndarray) -> None:
        self.model, self.curves, self.choices = model, curves, choices
        self.found = nothing_found(curves.p)
        kinds = model.type, type_of("xdata", model.x, "f"), *kinds_of()
        self.run = machine_code(fit_curves, kinds)
        choices["rank"] = RANK[model.gradient]

    def solve(self, first: int, size: int, stopped: Callable[[int], bool]) -> Part:
        """Fit some curves; `stopped` is asked from time to time whether to leave the others."""
        block = self.curves.block(first, size)
        found = Found(*(array[first : first + size] for array in self.found))
        work, state = work_for(self.curves.m, self.curves.n), np.zeros(1, FIT)
        span, pace = np.array([0, size, 0, 0]), FIRST_STEPS
        exceptions: dict[int, Exception] = {}
        while span[0] < size and not stopped(int(span[0])):
            span[2], begun = pace, time.perf_counter()
            try:
                self.run(
                    self.model.address, self.model.x, block, work, state, self.choices, found, span
                )
            except Exception as error:
                b = int(span[0])
                exceptions[first + b], found.reason[b] = error, RAISED
                span[0], span[3] = b + 1, 0
            made = max(1, pace - int(span[2]))
            pace = steps_in(SECONDS, made, time.perf_counter() - begun, GROWTH * pace)
        best = int(state["best"][0])
        return Part(size, work.residuals[best, : self.curves.m], work.upper, exceptions)


@cache
def stand_in() -> tuple[Any, int]:
    """Return type and address of what stands for a Python model in machine code."""
    one, two = (array_type(np.dtype(float), ndim) for ndim in (1, 2))
    signature = two, one, one, two
    machine_code(elsewhere, signature)
    return first_class(elsewhere.overloads[signature])


class PythonFits:
    """Fits curves of which the model is called from Python, by the same steps."""

    def __init__(self, model: PythonModel, curves: Curves, choices: np.ndarray) -> None:
        self.model, self.curves, self.choices = model, curves, choices
        self.found = nothing_found(curves.p)
        self.work, self.state = work_for(curves.m, curves.n), np.zeros(1, FIT)
        self.kind, self.address = stand_in()
        matrix = array_type(np.dtype(float), 2)
        self.run = machine_code(fit_curves, (self.kind, matrix, *kinds_of()))

    def solve(self, first: int, size: int, stopped: Callable[[int], bool]) -> Part:
        """Fit some curves; `stopped` is asked before each of them whether to leave the others."""
        block = self.curves.block(first, size)
        found = Found(*(array[first : first + size] for array in self.found))
        exceptions: dict[int, Exception] = {}
        for b in range(size):
            if stopped(b):
                break
            try:
                self._fit(block, found, b)
            except Exception as error:
                exceptions[first + b], found.reason[b] = error, RAISED
        best = int(self.state["best"][0])
        residuals = self.work.residuals[best, : self.curves.m]
        return Part(size, residuals, self.work.upper, exceptions)

    def _fit(self, block: Curve, found: Found, b: int) -> None:
        """Fit a curve; where differences are ours to choose, those of both sides have the last word."""
        model, w, m = self.model, self.work, self.curves.m
        span = np.array([b, b + 1, 1, 0])
        low, high = (side[b if len(side) > 1 else 0] for side in (block.low, block.high))
        model.begin((low, high))
        values, before = w.values.copy(), STUCK
        while True:
            span[2], self.choices["rank"] = 1, RANK[model.scheme]
            self.run(self.address, NO_X, block, w, self.state, self.choices, found, span)
            if span[3] == TRIAL:
                w.values[:] = model.values(w.trial[: w.p.size].copy(), m)
                span[3] = VALUED
            elif span[3] == SLOPES:
                values = w.values.copy()
                w.jac[:-1, :m] = model.jacobian(w.trial[: w.p.size].copy(), values).T
            elif found.reason[b] in KNOWN and model.refined():
                w.values[:] = values
                w.jac[:-1, :m] = model.jacobian(w.p.copy(), values).T
                before, span[0], span[3], found.reason[b] = found.reason[b], b, AGAIN, GOING
            else:
                break
        if found.reason[b] == STUCK:  # by the errors of differences, if a test was met before
            found.reason[b] = before
        found.nfev[b] += model.further
