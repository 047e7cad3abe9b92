"""`minimize_batch`: many independent problems, handed out in blocks."""

import os
import pickle
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np
from numba.extending import is_jitted

from ._compiled import machine_code as code
from ._compiled.reasons import GOING, INTERRUPTED, OUT_OF_SECONDS
from ._cuda.access import require_gpu
from ._minimize import merged, solver_of
from ._problem.arguments import (
    ADAPTIVE,
    FORWARD,
    argument_tuple,
    gradient_form,
    gradient_name,
    on_device,
    per_variable,
)
from ._problem.derivative import chosen_gradient
from ._problem.objective import called, is_compiled
from ._problem.options import check_differences, check_polish, complete
from ._problem.workers import DIED, ON_THREADS
from ._run.block import Batch, Block, CompiledBlocks, Solved, solve_block, solve_interpreted
from ._run.problems import Problems, several
from ._run.progress import Progress
from ._run.result import BatchResult, attach
from ._run.team import LARGEST_BLOCK, handed_out


def minimize_batch(
    fun: Callable,
    x0: Any,
    args: Any = (),
    data: Any = (),
    method: Any = "adam",
    jac: Any = None,
    bounds: Any = None,
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    workers: Any = None,
    progress: Any = False,
    **option: Any,
) -> BatchResult:
    """Minimise many independent problems of the same form, each with its own stop.

    If `fun`, and `jac` if there is one, are Numba functions, threads run the whole of each problem in
    machine code, on the CPU or on a GPU. On the CPU every problem has the bits that `minimize` finds for
    it alone.

    Parameters
    ----------
    fun : callable
        Objective ``fun(x, *data_b, *args) -> float`` of one problem, x of shape (n,); `jac` says
        what else it does, as in `minimize`.
    x0 : array_like, shape (B, n) or (n,)
        Starts, or one start for all problems. float32 stays float32; other real types become
        float64. Never changed. A problem whose start is not finite fails alone.
    args : tuple
        Further arguments, the same for all problems.
    data : tuple of array_like, each of shape (B, ...)
        Further arguments of which each problem gets its own: ``data_b = (data[0][b], ...)``. They
        are read block by block, so `numpy.memmap` and what else slices like an array may be larger
        than memory. A masked array is an error: hand the mask on as weights.
    method, tol, options, **option
        As in `minimize`, but for `history` and callbacks. `learning_rate` may have shape (B, 1), a
        number per problem, or (B, n); `x_scale` likewise. `max_time` is for the whole batch; a problem
        that has not begun by then is not evaluated.
        `threads` is the number of threads over problems. `verify` is 0 unless given: success says
        that a point met its test, and nothing of what is around it, a look at which takes longer than
        the fit.
    jac : callable, True, "inplace", "forward", "2-point", "3-point", "cs" or None
        As in `minimize`: without one, Numba functions are differentiated in machine code, exactly or by
        differences. "2-point", "3-point" and "cs" are taken in Python, problem by problem.
    bounds : `scipy.optimize.Bounds` or sequence of (lower, upper) pairs, optional
        For all problems, or `Bounds` with arrays of shape (B, n) or (B, 1).
    device : "auto", "cpu" or "cuda"
        "cuda" is an NVIDIA GPU, with a thread for each problem; "auto" chooses it where x0 or one of
        `data` is there already (any array with ``__cuda_array_interface__``). See Notes.
    workers : int or map-like callable, optional
        For Python functions: number of processes (-1: all cores), or a callable
        ``workers(func, iterable)`` such as ``multiprocessing.Pool().map``, through which blocks of
        problems are solved; `fun`, `jac` and `args` are pickled, and a script does its work below
        ``if __name__ == "__main__":``. For Numba functions an int is the number of threads.
    progress : bool or callable
        True shows a bar (needs tqdm); a callable gets ``(problems done, B)``, and `StopIteration`
        from it ends the batch with what has been found.

    Returns
    -------
    BatchResult
        Arrays with one row per problem.

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
    problem by problem. Sums and products are rounded differently there, so bits are not the CPU's;
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
    if "workers" in given:
        raise TypeError("`workers` is an argument of `minimize_batch`, not one of its options.")
    row = solver_of(method).method
    o = complete(row, given, tol)
    if o["history"]:
        raise ValueError(
            "`history` is not kept for a batch; run `minimize` on one of its problems."
        )
    fun, jac = gradient_form(fun, jac, o["finite_difference"])
    check_differences(jac, given)
    args = argument_tuple(fun, args, 1 + (jac == "inplace") + len(several(data)))
    workers = _checked_workers(workers)
    on_gpu = _gpu_chosen(device, x0, data)
    if on_gpu:
        gradient, fun, jac = _gradient_on_gpu(fun, jac)
        _check_gpu(fun, jac, workers, o)
        x0, data = _viewed(x0, data)
    problems = Problems(x0, data, bounds, o, on_gpu)
    check_polish(o["polish"], bounded=problems.bounds is not None)
    if o["finite_diff_rel_step"] is not None:
        per_variable("finite_diff_rel_step", o["finite_diff_rel_step"], problems.n)
    if problems.count and not on_gpu:
        first = tuple(array[0] for array in problems.block(0, 1).data)
        jac, args = chosen_gradient(fun, jac, args, given, problems.dtype, first)
    if not on_gpu:
        gradient = gradient_name(jac)
    batch = Batch(fun, jac, args, row, o, is_compiled(fun, jac), time.time() + o["max_time"])
    bar = Progress(progress, problems.count)
    solved = Solved.nothing(0, problems.starts(slice(0, problems.count)), GOING)

    def result() -> BatchResult:
        seconds = time.perf_counter() - started, code.seconds - compile_before
        return BatchResult.of(solved, gradient, *seconds)

    try:
        _solve(batch, problems, workers, bar, solved)
    except BaseException as error:
        if solved.nfev.any():
            attach(error, result())
        raise
    found = result()
    if o["disp"]:
        print(found)
    return found


def _solve(batch: Batch, problems: Problems, workers: Any, bar: Progress, solved: Solved) -> None:
    """Write into `solved` what is found, as it is found."""
    with bar as stack:
        parts = _results(batch, problems, workers, bar.stopped)
        stack.enter_context(closing(parts))  # ends the threads, whatever happens
        for part in parts:
            solved.put_block(part)
            bar.advance(len(part))
    solved.reason[solved.reason == GOING] = INTERRUPTED if bar.ended else OUT_OF_SECONDS
    if problems.count and len(solved.errors) == problems.count:
        raise solved.errors[0]


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
    if workers is None or callable(workers):
        return workers
    if isinstance(workers, bool) or not isinstance(workers, int | np.integer):
        raise TypeError(
            f"`workers` must be a whole number, a map-like callable or None; got {workers!r}."
        )
    if workers < -1 or workers == 0:
        raise ValueError(f"`workers` must be -1 (all cores) or at least 1; got {workers}.")
    return (os.cpu_count() or 1) if workers == -1 else int(workers)


# -------------------------------------------------------------------------------------- handing out


def _results(
    batch: Batch, problems: Problems, workers: Any, stopped: Callable[..., bool]
) -> Generator[Solved, None, None]:
    """Yield the solved blocks in any order."""
    if problems.count == 0:
        return
    if problems.on_gpu:
        yield from _one_after_another(batch, problems, stopped)
    elif callable(workers):
        yield from _mapped(batch, problems, workers, stopped)
    elif batch.compiled:
        yield from _threaded(batch, problems, workers or batch.options["threads"], stopped)
    elif workers in (None, 1):
        yield from _interpreted(batch, problems, stopped)
    else:
        yield from _in_processes(batch, problems, workers, stopped)


def _one_after_another(
    batch: Batch, problems: Problems, stopped: Callable[..., bool]
) -> Iterator[Solved]:
    """Solve blocks on a GPU, as large as it takes."""
    from ._cuda.blocks import DeviceBlocks

    blocks, first = DeviceBlocks(batch, problems.block(0, 1)), 0
    while first < problems.count and not (stopped() or batch.late()):
        block = problems.block(first, blocks.size())
        yield blocks.solve(block, stopped)
        first += len(block)


def _equal_blocks(problems: Problems, workers: int) -> Iterator[Block]:
    """Yield blocks, several for each worker, as some problems take longer than others."""
    size = min(max(1, problems.count // (8 * workers)), LARGEST_BLOCK)
    for first in range(0, problems.count, size):
        yield problems.block(first, size)


def _interpreted(batch: Batch, problems: Problems, stopped: Callable[[], bool]) -> Iterator[Solved]:
    """Solve block after block here; what Ctrl-C leaves of one is to be had."""
    for block in _equal_blocks(problems, 1):
        solved = Solved.nothing(block.first, block.x0.copy(), GOING)
        interrupt: KeyboardInterrupt | None = None
        try:
            solve_interpreted(batch, block, stopped, solved)
        except KeyboardInterrupt as raised:
            interrupt = raised
        yield solved
        if interrupt is not None:
            raise interrupt
        if stopped():
            return


def _mapped(
    batch: Batch, problems: Problems, workers: Callable, stopped: Callable[[], bool]
) -> Iterator[Solved]:
    """Solve blocks through the caller's function, which is to return each of them once."""
    out: set[int] = set()  # first problems of blocks that are not yet back

    def blocks() -> Iterator[Block]:
        for block in _equal_blocks(problems, os.cpu_count() or 1):
            out.add(block.first)
            yield block

    returned = workers(partial(solve_block, batch), blocks())
    if not isinstance(returned, Iterable):
        raise TypeError(f"`workers` must return an iterable, as `map` does; got {returned!r}.")
    solved = 0
    for part in returned:
        if not isinstance(part, Solved):
            raise TypeError(
                "`workers` must return what the function that it is given returned, as `map` does; got"
                f" {type(part).__name__}."
            )
        if part.first not in out:
            raise ValueError(
                f"`workers` must return each block once, as `map` does; got problem {part.first} again."
            )
        out.remove(part.first)
        solved += len(part)
        yield part
        if stopped():
            return
    if solved < problems.count:
        raise ValueError(
            f"`workers` must return all blocks, as `map` does; got {solved} of {problems.count} problems."
        )


def _in_processes(
    batch: Batch, problems: Problems, workers: int, stopped: Callable[[], bool]
) -> Iterator[Solved]:
    """Solve blocks in processes of their own; one that dies is an error."""
    solve = partial(solve_block, batch)
    try:
        pickle.dumps(solve)
    except Exception as error:
        raise TypeError(
            f"`fun`, `jac`, `args` and options must pickle for `workers` = {workers}: {error}. Define"
            f" functions at the top of a module; or use threads: {ON_THREADS}."
        ) from error
    blocks, pending = _equal_blocks(problems, workers), set[Future]()
    pool = ProcessPoolExecutor(workers, get_context())
    try:
        while True:
            pending |= {pool.submit(solve, b) for b in islice(blocks, 2 * workers - len(pending))}
            if not pending or stopped():
                return
            done, pending = wait(pending, 0.2, FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(DIED) from error
    finally:
        for process in (pool._processes or {}).values() if pending else ():
            process.terminate()  # nobody waits for what it is at
        pool.shutdown(cancel_futures=True)


def _threaded(
    batch: Batch, problems: Problems, threads: int | None, stopped: Callable[..., bool]
) -> Iterator[Solved]:
    """Solve blocks in machine code, on threads; the first problem shows the types of all."""
    blocks = CompiledBlocks(batch, problems.block(0, 1))

    def solve(first: int, size: int, stop: Callable[[int], bool]) -> Solved:
        return blocks.solve(problems.block(first, size), stop)

    return handed_out(solve, problems.count, threads, stopped, batch.late)
