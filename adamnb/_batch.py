"""`minimize_batch`: many independent problems: check, choose, collect."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Literal, Unpack

import numpy as np
from numba.extending import is_jitted

from ._cluster import is_cluster
from ._compiled import machine_code as code
from ._compiled.reasons import GOING, INTERRUPTED, OUT_OF_SECONDS
from ._cuda.access import require_gpu
from ._distribution import solved_blocks
from ._minimize import Solver, merged, solver_of
from ._problem.annotations import BatchOptions, Gradient, MethodName, Progress, Workers
from ._problem.arguments import (
    ADAPTIVE,
    FORWARD,
    argument_tuple,
    gradient_form,
    gradient_name,
    on_device,
    per_variable,
)
from ._problem.compiled import called, is_compiled
from ._problem.derivative import chosen_gradient
from ._problem.flattened import flattened
from ._problem.options import check_differences, check_errors, check_polish, complete
from ._problem.rows import several
from ._problem.structure import starts_of
from ._run import doubts
from ._run import progress as shown
from ._run.batch_result import BatchResult
from ._run.block import Batch, Solved
from ._run.checkpoint import (
    Checkpoint,
    CheckpointError,
    checkpoint_of,
    digest_of,
    file_of,
    labels_of,
    read,
)
from ._run.problems import Problems
from ._run.result import attach

ARGUMENTS = {"workers", "progress"}  # options of `minimize` that are arguments here


def minimize_batch(
    fun: Callable,
    x0: Any,
    args: Any = (),
    data: Any = (),
    method: MethodName | Solver = "adam",
    jac: Gradient = None,
    bounds: Any = None,
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    workers: Workers | None = None,
    progress: Progress = False,
    **option: Unpack[BatchOptions],
) -> BatchResult:
    """Minimise many independent problems of the same form, each with its own stop.

    If `fun`, and `jac` if there is one, are Numba functions, threads run the whole of each problem in
    machine code, on the CPU or on a GPU. On the CPU every problem has the bits that `minimize` finds for
    it alone.

    Parameters
    ----------
    fun : callable
        Objective ``fun(x, *data_b, *args) -> float`` of one problem, x of shape (n,), or of the structure
        of x0; `jac` says what else it does, as in `minimize`.
    x0 : array_like, shape (B, n) or (n,), dict or NamedTuple
        Starts, or one start for all problems. In a dict or NamedTuple, as `minimize` takes them, all parts
        have a leading axis B, or none has; an array of more than two axes has one. float32 stays
        float32; other real types become float64. Never changed. A problem whose start is not finite fails
        alone.
    args : tuple
        Further arguments, the same for all problems.
    data : tuple of array_like, each of shape (B, ...)
        Further arguments of which each problem gets its own: ``data_b = (data[0][b], ...)``. They
        are read block by block, so `numpy.memmap`, dask arrays and what else slices like an array may be
        larger than memory. A masked array is an error: hand the mask on as weights.
    method, tol, options, **option
        As in `minimize`, but for `history` and callbacks. `learning_rate` may have shape (B, 1), a
        number per problem, or (B, n); `x_scale` likewise, or with the structure of x0, with leading axes or
        without. `max_time` is for the whole batch; a problem
        that has not begun by then is not evaluated.
        `errors` gives standard errors and covariances row by row; `n_data` may be an array of shape (B,),
        and `profile` is for a single problem.
        With `checkpoint`, `resume` begins only the problems that had not come to an end.
        `threads` is the number of threads over problems. `verify` is 0 unless given: success says
        that a point met its test, and nothing of what is around it, a look at which takes longer than
        the fit. But of problems that end as they do with a wrong `jac`, and where there are many of one
        of the others, it is asked whether f changes as it says, by evaluations that are not counted; if
        it does not, all are asked.
    jac : callable, True, "inplace", "forward", "2-point", "3-point", "cs" or None
        As in `minimize`: without one, Numba functions are differentiated in machine code, exactly or by
        differences. "2-point", "3-point" and "cs" are taken in Python, problem by problem.
    bounds : `scipy.optimize.Bounds`, sequence of (lower, upper) pairs, or dict of them, optional
        For all problems, or `Bounds` with arrays of shape (B, n) or (B, 1), or a dict, as in `minimize`,
        whose arrays may have a leading axis B.
    device : "auto", "cpu" or "cuda"
        "cuda" is an NVIDIA GPU, with a thread for each problem; "auto" chooses it where x0 or one of
        `data` is there already (any array with ``__cuda_array_interface__``). See Notes.
    workers : int, map-like callable or `distributed.Client`, optional
        For Python functions: number of processes (-1: all cores), or a callable
        ``workers(func, iterable)`` such as ``multiprocessing.Pool().map``, through which blocks of
        problems are solved; `fun`, `jac` and `args` are pickled, and a script does its work below
        ``if __name__ == "__main__":``. On several machines ``mpi4py.futures.MPIPoolExecutor().map``, or a
        `distributed.Client`: blocks of dask arrays in `data` are then computed where they are used, and
        what a worker that is lost was at is done by another one. For Numba functions an int is the number
        of threads.
    progress : bool, callable, `logging.Logger`, or pair of one of them and seconds
        True shows a bar (needs tqdm); a callable gets ``(problems done, B)``, and `StopIteration`
        from it ends the batch with what has been found; a logger gets a line every 10 s, with
        ``(logger, 60)`` every 60 s.

    Returns
    -------
    BatchResult
        Arrays with one row per problem. ``result[b]`` is the `Result` of one, ``result.columns`` a table
        for ``pandas.DataFrame``, and ``result.maps(ny, nx)`` the same as maps, where the problems are the
        points of one, row after row.

    Raises
    ------
    TypeError, ValueError
        For a wrong argument, before anything is computed.
    Exception
        What `fun` or `jac` raised, if it did so in every problem; otherwise that problem has
        status 5 and the others go on. An exception that ends the batch, Ctrl-C included, has an
        attribute `adamnb_result`, the `BatchResult` so far, if a problem had been begun.
    RuntimeError
        If there is no GPU where one is asked for.

    Notes
    -----
    On a GPU `fun` and `jac` are Numba functions as well, compiled into the kernel; without `jac` exact
    derivatives are, and there are no differences. They compute with
    numbers and with elements of `x` and of their arguments, and make no arrays: the gradient is
    written into g (``jac="inplace"``) or returned as a tuple. An exception raised there comes out
    without its text, as status 5. Up to 9 variables in float32, or 5 in float64, stay in
    registers; more are right, and slower. Data may be on the GPU, C-contiguous, and are then only
    reordered; the result's arrays are NumPy's always. `polish` and `verify` run on the host,
    problem by problem, and so does what `errors` takes, in machine code. Sums and products are rounded
    differently there, so bits are not the CPU's;
    they repeat, and depend on no other problem.

    Examples
    --------
    >>> import numba, numpy as np, adamnb
    >>> @numba.njit
    ... def misfit(x, y, t):
    ...     f = 0.0
    ...     for i in range(t.size):
    ...         r = x[0] * np.exp(-x[1] * t[i]) - y[i]
    ...         f += r * r
    ...     return f
    >>> t = np.linspace(0, 4, 20)
    >>> rates = np.array([0.5, 1.0, 2.0])
    >>> y = 3 * np.exp(-rates[:, None] * t)
    >>> res = adamnb.minimize_batch(misfit, [1.0, 1.0], (t,), (y,))
    >>> res.x.round(4).tolist()
    [[3.0, 0.5], [3.0, 1.0], [3.0, 2.0]]
    """
    started, compile_before = time.perf_counter(), code.seconds
    given = {"verify": 0} | merged(options, option)
    for name in ARGUMENTS & given.keys():
        raise TypeError(f"`{name}` is an argument of `minimize_batch`, not one of its options.")
    structure, x0, count = starts_of(x0, several(data))
    given, bounds = structure.options(given, count), structure.bounds(bounds, count)
    row = solver_of(method).method
    o = complete(row, given, tol)
    if o["history"]:
        raise ValueError(
            "`history` is not kept for a batch; run `minimize` on one of its problems."
        )
    if o["comm"] is not None:
        raise ValueError(
            "`comm` is of a single run; for a batch give its pool's `map` as `workers`."
        )
    if o["state"] is not None:
        raise ValueError("`state` is of a single run; a batch goes on from a file: give `resume`.")
    fun, jac = gradient_form(fun, jac, o["finite_difference"])
    check_differences(jac, given)
    args = argument_tuple(fun, args, 1 + (jac == "inplace") + len(several(data)))
    fun, jac = flattened(fun, jac, structure)
    workers = _checked_workers(workers)
    on_gpu = _gpu_chosen(device, x0, data)
    if on_gpu:
        gradient, fun, jac = _gradient_on_gpu(fun, jac)
        _check_gpu(fun, jac, workers, o)
        x0, data = _viewed(x0, data)
    problems = Problems(x0, data, bounds, o, on_gpu, structure.where)
    check_errors(o, problems.bounds, (problems.count, problems.n), single=False)
    check_polish(o["polish"], bounded=problems.bounds is not None)
    if o["finite_diff_rel_step"] is not None:
        per_variable("finite_diff_rel_step", o["finite_diff_rel_step"], problems.n)
    solved = Solved.nothing(0, problems.starts(slice(0, problems.count)), GOING, o)
    checkpoint = _taken_up(problems, solved, (several(data), args), row.name, o)
    if problems.count and not on_gpu:
        first = tuple(array[0] for array in problems.data_of(slice(0, 1)))
        jac, args = chosen_gradient(fun, jac, args, given, problems.dtype, first)
    if not on_gpu:
        gradient = gradient_name(jac)
    together = is_compiled(fun, jac) and not o["noisy"]  # averages are taken one by one
    batch = Batch(fun, jac, args, row, o, together, time.time() + o["max_time"])
    bar = shown.Progress(progress, problems.count)
    if o["resume"] is not None:
        problems = problems.only(np.flatnonzero(solved.reason == GOING))

    def result() -> BatchResult:
        seconds = time.perf_counter() - started, code.seconds - compile_before
        return structure.shown(BatchResult.of(solved, gradient, *seconds))

    try:
        _solve(batch, problems, workers, bar, solved, checkpoint)
    except BaseException as error:
        if checkpoint is not None:
            checkpoint.save(solved.as_dict())
        if solved.nfev.any():
            attach(error, result())
        raise
    found = result()
    if o["disp"]:
        print(found)
    return found


def _taken_up(
    problems: Problems, solved: Solved, data: Any, method: str, o: dict[str, Any]
) -> Checkpoint | None:
    """Take over what a checkpoint has, and return the one that is to be written, if the options say so."""
    if o["checkpoint"] is None and o["resume"] is None:
        return None
    labels = labels_of(
        o, data, of="minimize_batch", method=method, shape=solved.x.shape, dtype=solved.x.dtype,
        x0=digest_of(problems.x0),
    )  # fmt: skip
    if o["resume"] is not None:
        try:
            solved.take_over(read(o["resume"], labels))
        except ValueError as error:
            text = f"{str(file_of(o['resume']))!r} is a checkpoint of a batch with other options: {error}."
            raise CheckpointError(text) from error
    return checkpoint_of(o, labels)


def _solve(
    batch: Batch, problems: Problems, workers: Any, bar: shown.Progress, solved: Solved,
    checkpoint: Checkpoint | None,
) -> None:  # fmt: skip
    """Write into `solved` what is found, as it is found."""
    with bar as stack:
        if len(solved) > problems.count:
            bar.advance(len(solved) - problems.count)
        parts = solved_blocks(batch, problems, workers, bar.stopped)
        stack.enter_context(closing(parts))  # ends the threads, whatever happens
        for part in parts:
            solved.put_block(problems.rows(part.first, len(part)), part)
            bar.advance(len(part))
            if checkpoint is not None and checkpoint.due():
                checkpoint.save(solved.as_dict())
    left = solved.reason == GOING
    solved.reason[left] = INTERRUPTED if bar.ended else OUT_OF_SECONDS
    if len(solved) and len(solved.exceptions) == len(solved):
        raise solved.exceptions[0]
    if problems.count and not left.any():
        doubts.ask(batch, problems, solved)
    if checkpoint is not None:
        checkpoint.save(solved.as_dict())


def _gpu_chosen(device: Any, x0: Any, data: Any) -> bool:
    """Return whether problems are solved on a GPU: where it is asked for, or arrays are there."""
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"`device` must be 'auto', 'cpu' or 'cuda'; got {device!r}.")
    arrays = {"x0": x0} | {f"data[{i}]": array for i, array in enumerate(several(data))}
    there = [name for name, array in arrays.items() if on_device(array)]
    if device == "cpu" and there:
        raise ValueError(
            f"`{there[0]}` is on a GPU: copy it to a NumPy array for device='cpu', or leave `device` out."
        )
    if device == "cuda" or there:
        subject = f"`{there[0]}` is on a CUDA device" if there else "device='cuda' needs a GPU"
        require_gpu(subject, "use NumPy arrays with device='cpu', which runs on all cores")
    return device == "cuda" or bool(there)


def _gradient_on_gpu(fun: Any, jac: Any) -> tuple[str, Any, Any]:
    """Return how the gradient is got there, and both functions: Numba's are differentiated in the kernel."""
    if jac not in (FORWARD, ADAPTIVE) or not is_jitted(fun):
        return gradient_name(jac), fun, jac
    from ._derivatives import value_and_grad

    return FORWARD, value_and_grad(fun), True


def _check_gpu(fun: Any, jac: Any, workers: Any, o: dict[str, Any]) -> None:
    """Refuse what cannot be done on a GPU."""
    if not all(is_jitted(function) for function in called(fun, jac)):
        raise TypeError(
            "`fun` and `jac` must be Numba functions (@njit) on a GPU, and `jac` a function, True or"
            " 'inplace': differences, and Python, are of device='cpu'."
        )
    if workers is not None:
        raise ValueError(f"`workers` is of device='cpu'; got {workers!r} for a GPU.")
    if o["noisy"]:
        raise ValueError(f"`noisy` is of device='cpu'; got {o['noisy']!r} for a GPU.")
    if o["catch"]:
        raise ValueError(f"`catch` is of device='cpu'; got {o['catch']!r} for a GPU.")


def _viewed(x0: Any, data: Any) -> tuple[Any, tuple]:
    """Return x0 on the host, as the results are, and data that are on a device as Numba's arrays."""
    from ._cuda.blocks import viewed

    if on_device(x0):
        x0 = viewed(x0, "x0").copy_to_host()
    return x0, tuple(
        viewed(a, f"data[{i}]") if on_device(a) else a for i, a in enumerate(several(data))
    )


def _checked_workers(workers: Any) -> Any:
    if workers is None or callable(workers) or is_cluster(workers):
        return workers
    if isinstance(workers, bool) or not isinstance(workers, int | np.integer):
        raise TypeError(
            f"`workers` must be a whole number, a map-like callable or None; got {workers!r}."
        )
    if workers < -1 or workers == 0:
        raise ValueError(f"`workers` must be -1 (all cores) or at least 1; got {workers}.")
    return (os.cpu_count() or 1) if workers == -1 else int(workers)
