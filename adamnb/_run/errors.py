"""Standard errors of a fit: what f means, where the fit is, and what is said of them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._problem.arguments import SCHEMES, unbounded
from .covariance import Covariances, correlation_of, covariances, stderr_of
from .hessians import OFF, Minima
from .points import RunPoints
from .profile import intervals
from .result import Result
from .verdicts import FOUND, VERDICTS

NAMED = 0.1  # of the largest part of a direction: parts that are written down
# By how much f rises when half a squared deviation, in standard errors, rises by 1.
HEIGHTS = {"likelihood": 1.0, "chi2": 2.0}


def by_values(jac: Any) -> bool:
    """Return whether Hessians are made of f alone, as gradients would be differences themselves."""
    return isinstance(jac, str) and jac in SCHEMES and jac != "cs"


def height_of(o: dict[str, Any], fitted: np.ndarray, n_data: Any) -> Callable:
    """Return the function of f that gives these heights, for fits of `fitted` variables.

    A sum of squares of residuals has them in units of a sigma that is not known, and is estimated. Where f
    is a mean over rows, what has them is the sum; the mean of squares is in that unit as well.
    """
    if o["errors"] in HEIGHTS:
        return lambda f: np.full(f.shape, HEIGHTS[o["errors"]] / o.get("rows", 1))
    return lambda f: 2 * np.maximum(f, 0.0) / (n_data - fitted)


def of_run(run: Any) -> Covariances | None:
    """Return the covariance of a run's best point, which Newton's steps may move on the way, if asked for."""
    o, problem = run.problem.options, run.problem
    if o["errors"] is None:
        return None
    s, v, unit = run.s, run.state.vectors, run.unit
    x, g = (a.copy()[np.newaxis] for a in (v.x[s.x_best], v.g[s.g_best] / unit))
    f = np.array([s.fun_best / unit])
    if not (np.isfinite(f).all() and np.isfinite(g).all() and s.nfev):
        return Covariances.nothing(*x.shape)
    bounds = problem.bounds or unbounded(problem.x0.shape)
    low, high = (np.asarray(bound, float)[np.newaxis] for bound in bounds)
    noise = curvature = None
    points = RunPoints(run)
    if by_values(problem.jac):
        points.gradients(np.zeros(1, int), x)  # shows the noise of f there
        differences = run.objective.differences
        noise = np.array([differences.noise])
        curvature = np.array([differences.curvature], float)
    size = np.ones(x.size) if v.scale is None else v.scale
    at = Minima(x, f, g, size[np.newaxis], low, high, noise, curvature)
    fitted = (low < high).sum(axis=1)
    found = covariances(points, at, np.zeros(1, int), height_of(o, fitted, o["n_data"]))
    if found.moved[0] > 0:
        v.x[s.x_best], v.g[s.g_best] = x[0], g[0] * unit
        s.fun_best = float(f[0]) * unit
        s.gradient_norm_best = run.state.gradient_norm(v.x[s.x_best], v.g[s.g_best])
    return found


def combination(direction: np.ndarray, size: np.ndarray, name_of: Callable[[int], str]) -> str:
    """Return a direction as a sum of variables, of those that change by a good part of their size."""
    parts = direction / size
    largest = int(np.abs(parts).argmax())
    named = np.flatnonzero(np.abs(parts) >= NAMED * np.abs(parts[largest]))
    first, text = np.sign(direction[named[0]]), ""
    for i in named:
        factor = first * direction[i] / abs(direction[largest])
        sign = "" if not text else " - " if factor < 0 else " + "
        shown = "" if abs(abs(factor) - 1) < 5e-3 else f"{abs(factor):.3g} "
        text += f"{sign}{shown}{name_of(int(i))}"
    return text


def message_of(
    found: Covariances, size: np.ndarray, success: bool, name_of: Callable[[int], str]
) -> str:
    """Return what is to be said of the covariance of a single problem."""
    verdict, off, moved = VERDICTS[int(found.verdict[0])], found.off[0], found.moved[0]
    direction = ""
    if found.direction[0].any():
        direction = combination(found.direction[0], size, name_of)
    text = verdict.message.format(off=off, direction=direction)
    if verdict == FOUND:
        if moved > 0:
            text += f" Newton's steps moved x by {moved:.2g} of them."
        if off > OFF[0]:
            text += f" x is off the minimum by {off:.2g} of them."
        elif not success:
            text += (
                f" The run had not converged, but x is off the minimum by {off:.1g} of them only."
            )
    held = [name_of(int(i)) for i in np.flatnonzero(found.at_bound[0])]
    if held:
        text += f" At a bound, and without an error: {', '.join(held)}."
    return text


def with_errors(run: Any, result: Result, found: Covariances) -> None:
    """Put into a result what is found of its errors, and the intervals that are asked for."""
    o, covariance = run.problem.options, found.covariance[0]
    size = run.state.vectors.scale
    size = np.ones(result.x.size) if size is None else size
    result.stderr, result.covariance = stderr_of(covariance), covariance
    result.correlation = correlation_of(covariance)
    result.at_bound, result.covariance_status = found.at_bound[0], int(found.verdict[0])
    name_of = run.problem.structure.name_of
    result.covariance_message = message_of(found, size, result.success, name_of)
    if o["profile"] is not None:
        bounds = run.problem.bounds or unbounded(result.x.shape)
        fitted = (bounds[0] < bounds[1]).sum(keepdims=True)
        height = height_of(o, fitted, o["n_data"])(np.array([result.fun]))[0]
        which = [int(i) % result.x.size for i in np.atleast_1d(o["profile"])]
        result.intervals, result.intervals_message = intervals(run, which, height, covariance)
        result.nfev, result.njev = run.s.nfev, run.s.njev
