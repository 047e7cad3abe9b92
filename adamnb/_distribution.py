"""Blocks of problems, handed out: to threads, to processes, to the caller's map, to a GPU."""

import os
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any

from ._cluster import is_cluster, is_lazy, solved_on_cluster
from ._compiled.reasons import GOING
from ._problem.workers import DIED, ON_THREADS
from ._run.block import Batch, Block, CompiledBlocks, Solved, solve_block, solve_interpreted
from ._run.problems import Problems
from ._run.team import LARGEST_BLOCK, handed_out


def solved_blocks(
    batch: Batch, problems: Problems, workers: Any, stopped: Callable[..., bool]
) -> Generator[Solved, None, None]:
    """Yield the solved blocks in any order."""
    if problems.count == 0:
        return
    if problems.on_gpu:
        yield from _one_after_another(batch, problems, stopped)
    elif is_cluster(workers):
        blocks = partial(_equal_blocks, problems, kept=is_lazy)
        yield from solved_on_cluster(blocks, batch, workers, stopped)
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


def _equal_blocks(
    problems: Problems, workers: int, kept: Callable[[Any], bool] = lambda array: False
) -> Iterator[Block]:
    """Yield blocks, several for each worker, as some problems take longer than others."""
    size = min(max(1, problems.count // (8 * workers)), LARGEST_BLOCK)
    for first in range(0, problems.count, size):
        yield problems.block(first, size, kept)


def _interpreted(batch: Batch, problems: Problems, stopped: Callable[[], bool]) -> Iterator[Solved]:
    """Solve block after block here; what Ctrl-C leaves of one is to be had."""
    for block in _equal_blocks(problems, 1):
        solved = Solved.nothing(block.first, block.x0.copy(), GOING, batch.options)
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
    sample = problems.block(0, 1)
    blocks = CompiledBlocks(batch, sample)

    def solve(first: int, size: int, stop: Callable[[int], bool]) -> Solved:
        block = sample if (first, size) == (0, 1) else problems.block(first, size)
        return blocks.solve(block, stop)

    return handed_out(solve, problems.count, threads, stopped, batch.late)
