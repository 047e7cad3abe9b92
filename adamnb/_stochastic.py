"""`minimize_stochastic`: the mean over the rows of a data set, batch by batch: check, choose, run."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.random import SeedSequence

from ._compiled import machine_code as code
from ._minimize import Solver, for_variables, merged, report, solver_of
from ._problem import options as _options
from ._problem.annotations import Callback, Gradient, MethodName, Progress
from ._problem.arguments import (
    SCHEMES,
    argument_tuple,
    gradient_form,
    limits,
    observer,
    on_device,
)
from ._problem.compiled import is_compiled
from ._problem.derivative import chosen_gradient
from ._problem.epochs import Epochs
from ._problem.flattened import flattened
from ._problem.problem import Problem
from ._problem.rows import Rows
from ._problem.structure import start_of
from ._problem.workers import mapping
from ._run import progress as shown
from ._run.checkpoint import labels_of, state_of
from ._run.result import Result
from ._run.resume import take_up
from ._run.samples import Limits, suited
from ._run.stochastic import Plan, StochasticRun
from ._solve import to_the_end

BATCH_SIZE = 64  # rows, unless it is given
FREE = "schedule-free"
AVERAGES = {"polynomial": 3.0, "polyak": 0.0, "exponential": -1.0, FREE: 0.0}  # their powers
# Options of batches and samples alike; who gives others speaks of batches.
OF_ANY = (
    "errors", "n_data", "profile", "level", "gtol", "max_time", "disp", "threads", "state", "resume",
    "checkpoint", "checkpoint_every", "checkpoint_digest",
)  # fmt: skip
# Options of single values of f, of which none is to be believed; there is `gtol` for the mean over all rows.
OF_VALUES = ("f_target", "ftol", "xtol", "patience", "memory", "noisy", "catch")


def minimize_stochastic(
    fun: Callable,
    x0: Any,
    data: Any,
    args: Any = (),
    method: MethodName | Solver | None = None,
    jac: Gradient = None,
    bounds: Any = None,
    batch_size: int | None = None,
    epochs: int = 10,
    seed: int | None = None,
    callback: Callback = None,
    options: Mapping[str, Any] | None = None,
    *,
    shuffle: bool = True,
    average: Literal["polynomial", "polyak", "exponential", "schedule-free"] | None = None,
    average_decay: float = 0.999,
    nan_policy: Literal["raise", "propagate"] = "raise",
    progress: Progress = False,
    **option: Any,
) -> Result:
    """Minimise the mean of a function over the rows of a data set, a batch of rows in each iteration.

    For data sets so large that a few steps by all rows take too long, or do not fit into memory. If `fun`,
    and `jac` if there is one, are Numba functions, iterations run in machine code; the bits are the same.

    Parameters
    ----------
    fun : callable
        ``fun(x, *rows, *args) -> float``, the mean over the rows that it gets: arrays of shape (b, ...), as
        many as `data` has. A penalty on x is added to it as it is, once whatever the number of rows. Of a
        sum, as a log-likelihood is one, divide it by the number of rows that it gets and the penalty by that
        of all; a sum is an error that the first rows show. `jac` says what else it does,
        as in `minimize`. Rows are lent: they are valid during the call, and not to be written, which is an
        error where the first rows show it; a function of Python writes to copies then.
    x0 : array_like, dict or NamedTuple
        Start, as in `minimize`.
    data : array_like or tuple of array_like, each of shape (N, ...)
        Rows. `numpy.memmap`, and what else slices like an array, may be larger than memory; see Notes.
        Never changed. A masked array is an error: hand the mask on as weights.
    args : tuple
        Further arguments of `fun` and `jac`.
    method : str or callable of this package, optional
        As in `minimize`, for batches. None takes "adam"; but first, where nothing is given that speaks of
        batches, there are thousands of rows (on disk no more than 8 million), at most 1,000 variables, a
        gradient that is no difference, and `epochs` enough, 3 to 10 of them: a sample of the rows that grows
        tenfold until it is all of them, with the curvature that the scatter of its gradients tells of. A few
        passes are enough for what batches never reach, success with a distance from the minimum in standard
        errors, and `gtol` only if that is given; batches go on where a sample is of no use, as of networks.
    jac, bounds
        As in `minimize`.
    batch_size : int, optional
        Rows of a batch; None takes 64, or all if there are fewer. The last batch of an epoch has what is
        left.
    epochs : int
        How often to go through all rows.
    seed : int, optional
        Of the order of rows; the same order, and the same bits, for the same seed, whatever the threads.
        None draws one; ``result.seed`` has it.
    callback : callable or list of them, optional
        ``callback(x)`` or ``callback(intermediate_result=...)`` after each epoch, with the mean of f on its
        way, or each better point of a sample; raise `StopIteration` to stop.
    options, **option
        As in `minimize`, but for those of single values of f ({of_values}). `learning_rate` None adapts it,
        with a rate that falls by itself; a function of t counts steps, not epochs. `gtol` is judged over
        all rows at the end. `maxiter` and `maxfun` are infinite unless given. `history` has one value for
        each epoch. `errors` says what the sum over all rows is, of which `fun` is the mean; `n_data` is
        their number. `checkpoint`, `resume` and `state` hold samples as well; those that are gone on
        from may be of a run with fewer `epochs`, and say `seed` and `batch_size`.
    shuffle : bool
        Whether rows change their order from epoch to epoch. Without, batches are slices, and nothing is
        copied.
    average : None, "polynomial", "polyak", "exponential" or "schedule-free"
        The answer: the last point (None), or an average of all. "polyak" is their mean (Polyak & Juditsky
        1992); "polynomial" weighs the late ones more (Shamir & Zhang 2013), and is what None means with an
        automatic learning rate; "exponential" is a running mean with `average_decay`. "schedule-free"
        (Defazio et al. 2024) takes gradients between the points and their mean, in place of the momentum,
        `beta1` of the way, so that a constant rate will do.
    average_decay : float
        What is kept of an exponential average in each step.
    nan_policy : "raise" or "propagate"
        Whether numbers in `data` that are not finite are an error; to see takes one reading.
    progress : bool, callable, `logging.Logger`, or pair of one of them and seconds
        True shows a bar (needs tqdm); a callable gets ``(batches done, all)``, and `StopIteration` from it
        ends the run; a logger gets a line every 10 s, as in `minimize_batch`.

    Returns
    -------
    Result
        As of `minimize`, but that `x` is the answer, and `fun` and `jac` are those over all rows there.
        They are never above those at x0: where they would be, x0 is returned. Success is claimed only if
        the gradient over all rows meets `gtol`, as after a run that `polish` ends; else the status is 1.
        Also ``nepoch`` (epochs done), ``passes`` (rows evaluated, as parts of all: two more than epochs,
        for x0 and the answer), ``samples`` (rows of the samples, if there were any), ``seed`` and
        ``batch_size``. `nit` counts steps, and `nfev` and `njev` count calls, each for a batch or for a piece
        of all rows. After an exception, `fun` and `jac` are NaN.

    Raises
    ------
    TypeError, ValueError
        For a wrong argument, before anything is computed, and for a `fun` that is no mean over rows.
    Exception
        As in `minimize`.

    Notes
    -----
    Which function? As long as all rows fit into memory and a pass takes no more than seconds, `minimize`
    with the rows as `args`, or `curve_fit`: some twenty to hundred passes, and digits to the last. This
    function takes three to eight by samples, to a hundredth of a standard error. Batches, for a mean that is
    not smooth, has many variables, or no minimum that a few rows show, find the neighbourhood of the
    minimum in a few passes, and not the last digits: a fraction of a standard error is left, however the rate
    is scheduled; ``polish=True`` goes on from there with gradients over all rows. For a linear or logistic
    model on rows in memory that scikit-learn has, that is as good.

    Of arrays in memory any order of rows is as likely as any other. What is on a disk is read in blocks of
    a megabyte, which follow each other at random; rows are shuffled within windows of 32 blocks, the next
    of which is read meanwhile. Sorted rows should be stored in another order.

    Examples
    --------
    >>> import numpy as np, numba, adamnb
    >>> @numba.njit
    ... def misfit(x, t, y):
    ...     r = x[0] * np.exp(-x[1] * t) - y
    ...     return np.mean(r * r)
    >>> rng = np.random.default_rng(0)
    >>> t = rng.uniform(0, 5, 20_000)
    >>> y = 3 * np.exp(-0.7 * t) + 0.1 * rng.normal(size=t.size)
    >>> res = adamnb.minimize_stochastic(misfit, [1.0, 1.0], (t, y), seed=1)
    >>> res.success, res.passes < 10, res.x.round(1).tolist()
    (True, True, [3.0, 0.7])

    Batches, three times through all rows:

    >>> res = adamnb.minimize_stochastic(misfit, [1.0, 1.0], (t, y), method="adam", epochs=3, seed=1)
    >>> res.success, res.nit, res.x.round(1).tolist()
    (False, 939, [3.0, 0.7])
    """
    clock = time.perf_counter(), code.seconds
    given = merged(options, option)
    _refuse(given, x0)
    structure, vector = start_of(x0)
    given, bounds = structure.options(given), structure.bounds(bounds)
    row = solver_of("adam" if method is None else method).method
    rows = Rows(data, nan_policy)
    own: dict[str, Any] = {"maxiter": np.inf}
    if given.get("errors") == "least_squares":
        own["n_data"] = rows.count
    o = _options.complete(row, own | given)
    o |= {"noisy": False, "epochs": epochs, "rows": rows.count}
    _require_whole("epochs", epochs, 1)
    fun, jac = gradient_form(fun, jac, o["finite_difference"])
    _options.check_differences(jac, given)
    pair = limits(bounds, vector.shape, vector.dtype, structure.where)
    if pair is not None:
        vector = np.clip(vector, *pair)
    _options.check_polish(o["polish"], bounded=pair is not None)
    _options.check_errors(o, pair, vector.shape, single=True)
    weights = _average(average, average_decay, o)
    observe = observer(callback)
    args = argument_tuple(fun, args, 1 + (jac == "inplace") + len(rows.arrays))
    labels = labels_of(
        o, (rows.arrays, args), of="minimize_stochastic", method=row.name, shape=vector.shape,
        dtype=vector.dtype,
    )  # fmt: skip
    asked = {name: value for name, value in given.items() if name not in OF_ANY}
    asked |= {"method": method, "batch_size": batch_size, "average": average}
    state = state_of(o, labels)
    if state is not None:
        seed = state.get("seed") if seed is None else seed
        batch_size = state.get("batch_size") if batch_size is None else batch_size
    order = _order(rows, batch_size, seed, shuffle)
    fun, jac = flattened(fun, jac, structure)
    jac, args = chosen_gradient(fun, jac, args, given, vector.dtype, rows.buffers(1))
    o |= for_variables(o, vector.size)
    bar = shown.Progress(progress, epochs * order.batches, "batch")
    free = all(value is None for value in asked.values()) and shuffle and progress is False
    samples = None
    begun = state is not None and "samples.point" in state
    if free and jac not in SCHEMES and (begun or suited(rows, vector.size, epochs)):
        samples = Limits(gtol=given.get("gtol") or 0.0, passes=epochs)
    plan = Plan(rows, order, epochs, weights, average == FREE, observe, bar, samples)
    with bar, mapping(o["workers"]) as mapped:
        problem = Problem(
            fun, jac, args, vector, pair, row, o, o["x_scale"], None, is_compiled(fun, jac), structure,
            mapped, None, *clock,
        )  # fmt: skip
        run = StochasticRun(problem, plan)
        take_up(run, labels, state)
        result = to_the_end(run)
    if o["disp"]:
        report(result)
    return result


def _refuse(given: Mapping[str, Any], x0: Any) -> None:
    """Raise if what belongs to other calls is given."""
    for name in OF_VALUES:
        if given.get(name) is not None:
            raise ValueError(
                f"`{name}` speaks of single values of f, and these are means over a few rows, of which none"
                f" is believed; got {given[name]!r}: leave it out. `gtol` is judged over all rows."
            )
    if given.get("comm") is not None:
        raise ValueError("`comm` is of `minimize`; leave it out.")
    if "progress" in given:
        raise TypeError(
            "`progress` is an argument of `minimize_stochastic`, not one of its options."
        )
    if on_device(x0):
        raise TypeError("`x0` must be in the host's memory; it is on a GPU: pass a NumPy array.")


def _require_whole(name: str, value: Any, low: int) -> None:
    """Raise unless a value is a whole number from `low` on."""
    rule = f"a whole number >= {low}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"`{name}` must be {rule}; got {value!r}.")
    if value < low:
        raise ValueError(f"`{name}` must be {rule}; got {value!r}.")


def _order(rows: Rows, batch_size: Any, seed: Any, shuffle: Any) -> Epochs:
    """Return the order of rows, and their batches."""
    if batch_size is None:
        batch_size = min(BATCH_SIZE, rows.count)
    _require_whole("batch_size", batch_size, 1)
    if batch_size > rows.count:
        raise ValueError(
            f"`batch_size` must be at most the number of rows, {rows.count:,}; got {batch_size:,}."
        )
    if seed is None:
        seed = int(SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
    _require_whole("seed", seed, 0)
    if not isinstance(shuffle, bool | np.bool_):
        raise TypeError(f"`shuffle` must be True or False; got {shuffle!r}.")
    return Epochs(rows, int(batch_size), int(seed), bool(shuffle))


def _average(average: Any, decay: Any, o: dict[str, Any]) -> tuple[float, float] | None:
    """Return power and least part of the average that is asked for."""
    automatic = o["learning_rate"] is None
    if not (average is None or (isinstance(average, str) and average in AVERAGES)):
        names = ", ".join(map(repr, AVERAGES))
        kind = ValueError if isinstance(average, str) else TypeError
        raise kind(f"`average` must be None or one of {names}; got {average!r}.")
    if isinstance(decay, bool) or not isinstance(decay, int | float | np.number):
        raise TypeError(f"`average_decay` must satisfy 0 <= average_decay < 1; got {decay!r}.")
    if not 0 <= decay < 1:
        raise ValueError(f"`average_decay` must satisfy 0 <= average_decay < 1; got {decay!r}.")
    if average is None:
        return (AVERAGES["polynomial"], 0.0) if automatic else None
    if average == FREE and (automatic or o["weight_decay"] or "beta1" not in o):
        raise ValueError(
            f"`average={FREE!r}` needs a `learning_rate`, no `weight_decay`, and a method with `beta1`,"
            f" which places the gradient; got learning_rate={o['learning_rate']!r} and"
            f" weight_decay={o['weight_decay']!r}: take method='adam' with a rate."
        )
    return AVERAGES[average], 1.0 - float(decay) if average == "exponential" else 0.0


if minimize_stochastic.__doc__:  # python -OO strips it
    minimize_stochastic.__doc__ = minimize_stochastic.__doc__.replace(
        "{of_values}", ", ".join(f"`{name}`" for name in OF_VALUES)
    )
