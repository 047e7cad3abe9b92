"""Blocks of problems, handed out: to threads, to processes, to the caller's map, to a GPU."""

import os
import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from multiprocessing import get_context
from queue import Empty, SimpleQueue
from typing import Any

import numba

from ._compiled.reasons import GOING
from ._problem.workers import DIED, ON_THREADS
from ._run.block import Batch, Block, CompiledBlocks, Solved, solve_block, solve_interpreted
from ._run.problems import Problems

FIRST_BLOCK, LARGEST_BLOCK = 16, 4096  # problems
SECONDS = 0.05  # a thread's blocks grow until they take so long
INSTANT = 5e-3  # seconds; to start and end threads takes a good part of it


def solved_blocks(
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
    """Solve blocks on Python threads, which machine code does not hold up.

    Not a parallel region of Numba's: that could neither be interrupted, nor started in a forked
    process or beside another. The first problem is solved here: if it is the work of an instant, and
    there are few more, these are as well, and no thread is started.
    """
    threads = min(threads or numba.config.NUMBA_NUM_THREADS, problems.count)
    blocks = CompiledBlocks(batch, problems.block(0, 1))
    queue: SimpleQueue = SimpleQueue()
    lock, leave = threading.Lock(), threading.Event()
    next_problem, started = 0, time.perf_counter()
    team: list[threading.Thread] = []

    def take(size: int) -> Block | None:
        nonlocal next_problem
        if batch.late():
            return None
        with lock:
            left = problems.count - next_problem
            share = max(1, left // (2 * threads)) if team else left
            first, size = next_problem, min(size, share, left)
            next_problem += size
        return problems.block(first, size) if size else None

    def work() -> None:
        size = FIRST_BLOCK
        try:
            while not leave.is_set() and (block := take(size)) is not None:
                begun = time.perf_counter()
                queue.put(blocks.solve(block, lambda done: leave.is_set()))
                if time.perf_counter() - begun < SECONDS:
                    size = min(4 * size, LARGEST_BLOCK)
        except BaseException as error:
            queue.put(error)
        queue.put(threading.current_thread())

    def start() -> None:
        team.extend(threading.Thread(target=work, daemon=True) for _ in range(threads))
        for thread in team:
            thread.start()

    def alone(done: int) -> bool:
        """Start the team if this takes long, and return whether to stop."""
        if not team and time.perf_counter() - started > INSTANT:
            start()
        return stopped(done)

    failure: BaseException | None = None
    try:
        size = 1
        try:
            while not team and (block := take(size)) is not None:
                yield blocks.solve(block, alone)
                left = problems.count - next_problem
                each = (time.perf_counter() - started) / next_problem
                if not team and left and (left > FIRST_BLOCK or left * each > INSTANT):
                    start()
                size = FIRST_BLOCK
        except KeyboardInterrupt as interrupt:
            failure = interrupt
            leave.set()
        working = set(team)
        while working:
            try:
                part = queue.get(timeout=0.2)  # a wait without end would not see Ctrl-C everywhere
            except Empty:
                part = None
            except KeyboardInterrupt as interrupt:  # what has been found is to be had all the same
                part = interrupt
            if isinstance(part, Solved):
                yield part
            elif isinstance(part, BaseException):
                failure = part
            else:
                working.discard(part)
            if failure is not None or stopped():
                leave.set()
    finally:
        leave.set()
        for thread in team:
            thread.join()
    if failure is not None:
        raise failure
