"""`multistart`: one problem from many starts, and the distinct minima that they lead to."""

from collections.abc import Callable
from typing import Any, Literal, Unpack

import numpy as np
from scipy.optimize import Bounds
from scipy.stats import qmc

from ._batch import ARGUMENTS, minimize_batch
from ._compiled.elements import sizes_of
from ._minimize import Solver, merged
from ._problem.annotations import Gradient, MethodName, MultistartOptions
from ._problem.arguments import SCHEMES, Pair, argument_tuple, gradient_form, limits
from ._problem.derivative import chosen_gradient
from ._problem.flattened import flattened
from ._problem.objective import Objective
from ._problem.options import OPTIONS, check
from ._problem.structure import VECTOR, Structure, Vector, is_tree, structure_of_bounds
from ._run.batch_result import BatchResult
from ._run.contradiction import contradiction
from ._run.multistart_result import MultistartResult
from ._run.result import attach
from ._run.second_order import lower_point, stationary

SAMPLERS = {"sobol": qmc.Sobol, "halton": qmc.Halton, "lhs": qmc.LatinHypercube}


def multistart(
    fun: Callable,
    bounds: Any,
    n_starts: int = 128,
    args: Any = (),
    method: MethodName | Solver = "adam",
    jac: Gradient = None,
    sampler: Literal["sobol", "halton", "lhs"] | qmc.QMCEngine = "sobol",
    rng: Any = None,
    same: Literal["x", "fun"] = "x",
    same_tol: float = 1e-3,
    keep_bounds: bool = True,
    **batch: Unpack[MultistartOptions],
) -> MultistartResult:
    """Minimise from many starts spread evenly between the bounds, and list the distinct minima.

    Parameters
    ----------
    fun, args, method, jac
        As in `minimize`; a Numba function needs no `jac`.
    bounds : `scipy.optimize.Bounds`, sequence of (lower, upper) pairs, or dict or NamedTuple of them
        Finite; starts are spread between them. A dict or NamedTuple of pairs, of numbers or arrays, says what
        structure the parameters have, as x0 does for `minimize`.
    n_starts : int
        Number of starts, at least 1.
    sampler : "sobol", "halton", "lhs" or `scipy.stats.qmc.QMCEngine`
        Where the starts come from, points of the unit cube.
    rng : int or `numpy.random.Generator`, optional
        Seed of a sampler given by name; without it every call has other starts.
    same : "x" or "fun"
        What makes two minima the same: their places, or, where the problem has symmetries, their
        values.
    same_tol : float
        How near is the same: in "x" as part of the distance between the bounds, in "fun" as part of
        the larger of \\|f\\| and the range of f over all minima.
    keep_bounds : bool
        Whether minima are sought within the bounds only.
    **batch
        Options and arguments of `minimize_batch`. `verify` (here 32) looks at one of each group of
        minima that are the same, and drops the group where f curves downwards or is not what its
        gradient says.

    Returns
    -------
    MultistartResult

    Raises
    ------
    TypeError, ValueError
        For a wrong argument, before anything is computed.

    Examples
    --------
    >>> import numba, adamnb
    >>> @numba.njit
    ... def double_well(x):
    ...     return (x[0] ** 2 - 1) ** 2 + 0.1 * x[0]
    >>> res = adamnb.multistart(double_well, [(-2, 2)], 16, rng=1)
    >>> res.minima_x[:, 0].round(3).tolist(), int(res.counts.sum())
    ([-1.012, 0.987], 16)
    """
    if isinstance(n_starts, bool) or not isinstance(n_starts, int | np.integer) or n_starts < 1:
        raise ValueError(f"`n_starts` must be a whole number >= 1; got {n_starts!r}.")
    if same not in ("x", "fun"):
        raise ValueError(f"`same` must be 'x' or 'fun'; got {same!r}.")
    if not (np.ndim(same_tol) == 0 and same_tol >= 0):
        raise ValueError(f"`same_tol` must be a number >= 0; got {same_tol!r}.")
    if "data" in batch:
        raise TypeError("`data` is for `minimize_batch`: here all starts share `args`.")
    structure, (lower, upper) = _box(bounds)
    starts = lower + (upper - lower) * _unit_points(sampler, lower.size, int(n_starts), rng)
    options = OPTIONS.keys() - ARGUMENTS
    given = merged(batch.pop("options", None), {n: v for n, v in batch.items() if n in options})
    others: dict[str, Any] = {n: v for n, v in batch.items() if n not in options}
    verify = given.pop("verify", OPTIONS["verify"].default)
    check("verify", verify, OPTIONS["verify"])
    args = argument_tuple(fun, args, 1 + (isinstance(jac, str) and jac == "inplace"))
    limit, pair = (Bounds(lower, upper), (lower, upper)) if keep_bounds else (None, None)
    x0 = structure.take(starts)
    found = minimize_batch(
        fun, x0, args, method=method, jac=jac, bounds=limit, options=given, **others
    )
    rows = np.flatnonzero(found.success)
    rows = rows[np.argsort(found.fun[rows], kind="stable")]
    places, tol = found.x[rows] / np.where(upper > lower, upper - lower, 1.0), same_tol
    if same == "fun" and rows.size:
        places = found.fun[rows, None]
        tol = same_tol * max(np.abs(places).min(), np.ptp(places))
    first, counts = _distinct(places, tol)
    rows = rows[first]
    if verify:
        fun, jac = gradient_form(fun, jac, None)
        fun, jac = flattened(fun, jac, structure)
        jac, args = chosen_gradient(fun, jac, args, given, starts.dtype)
        objective = Objective(
            fun, jac, args, pair, starts[0],
            counts=np.ones(2, np.int64).data, catch=given.get("catch") or (),
        )  # fmt: skip
        try:
            true = np.array(
                [_is_minimum(objective, found, b, sizes_of(starts[b]), verify) for b in rows], bool
            )
        except BaseException as error:
            attach(error, found)
            raise
        rows, counts = rows[true], counts[true]
    return structure.shown(MultistartResult.of(found, starts, rows, counts))


def _is_minimum(
    objective: Objective, found: BatchResult, b: int, size: np.ndarray, verify: int
) -> bool:
    """Return whether f is as its gradient says around the minimum that start `b` led to, and not lower.

    `size` is that of the variables, as the start has it.
    """
    x, f = found.x[b], float(found.fun[b])
    differences = objective.jac in SCHEMES
    at = stationary(x, f, found.jac[b], size, objective.bounds, differences=differences)
    if not differences and contradiction(objective.pair, at, 0) is not None:
        return False
    return lower_point(objective.pair, at, verify) is None


def _box(bounds: Any) -> tuple[Vector | Structure, Pair]:
    """Return the structure that bounds have, if they have one, and finite lower and upper bounds."""
    structure: Vector | Structure = VECTOR
    if bounds is None:
        raise ValueError("`bounds` must be given: starts are spread between them.")
    if isinstance(bounds, Bounds):
        n = np.broadcast(bounds.lb, bounds.ub).size
    elif is_tree(bounds):
        structure = structure_of_bounds(bounds)
        bounds, n = structure.bounds(bounds), structure.size
    else:
        bounds = list(bounds)
        n = len(bounds)
    pair = limits(bounds, (n,), np.dtype(float), structure.where)
    if pair is None or not (np.isfinite(pair[0]).all() and np.isfinite(pair[1]).all()):
        raise ValueError(
            f"`bounds` must be finite: starts are spread between them; got {bounds!r}."
        )
    return structure, pair


def _unit_points(sampler: Any, n: int, count: int, rng: Any) -> np.ndarray:
    """Return `count` points of the unit cube."""
    if isinstance(sampler, qmc.QMCEngine):
        if sampler.d != n:
            raise ValueError(f"`sampler` must have d = {n}, as many as `bounds`; got {sampler.d}.")
        return sampler.random(count)
    if not (isinstance(sampler, str) and sampler in SAMPLERS):
        raise ValueError(
            f"`sampler` must be one of {', '.join(map(repr, SAMPLERS))} or a"
            f" scipy.stats.qmc.QMCEngine; got {sampler!r}."
        )
    engine = SAMPLERS[sampler](n, seed=rng)
    if sampler == "sobol":  # balanced where it comes in powers of two
        return engine.random_base2(int(count - 1).bit_length())[:count]
    return engine.random(count)


def _distinct(places: np.ndarray, tol: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the first of each group of places that are the same, and the size of the groups."""
    left, first, counts = np.arange(len(places)), [], []
    while left.size:
        near = np.abs(places[left] - places[left[0]]).max(axis=1) <= tol
        first.append(left[0])
        counts.append(int(near.sum()))
        left = left[~near]
    return np.array(first, int), np.array(counts, int)
