"""A team of threads that solves blocks of many problems."""

import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

import numba

FIRST_BLOCK, LARGEST_BLOCK = 16, 4096  # problems
LONG = 0.05  # seconds; a thread's blocks grow until they take so long
INSTANT = 5e-3  # seconds; to start and end threads takes a good part of it


def _never() -> bool:
    return False


def handed_out(
    solve: Callable[[int, int, Callable[[int], bool]], Any],
    count: int,
    threads: int | None,
    stopped: Callable[..., bool],
    late: Callable[[], bool] = _never,
) -> Iterator[Any]:
    """Yield the blocks of `count` problems as they are solved on Python threads, in any order.

    ``solve(first, size, stop)`` returns a block; in machine code, which holds up no other thread. It asks
    ``stop(done)`` from time to time whether to leave the rest, and says how many are done.

    Not a parallel region of Numba's: that could neither be interrupted, nor started in a forked
    process or beside another. The first problem is solved here: if it is the work of an instant, and
    there are few more, these are as well, and no thread is started.
    """
    threads = min(threads or numba.config.NUMBA_NUM_THREADS, count)
    queue: SimpleQueue = SimpleQueue()
    lock, leave = threading.Lock(), threading.Event()
    next_problem, started = 0, time.perf_counter()
    team: list[threading.Thread] = []

    def take(size: int) -> tuple[int, int]:
        """Return the first and the number of the problems that are next, (.., 0) if there are none."""
        nonlocal next_problem
        if late():
            return next_problem, 0
        with lock:
            left = count - next_problem
            share = max(1, left // (2 * threads)) if team else left
            first, size = next_problem, min(size, share, left)
            next_problem += size
        return first, size

    def work() -> None:
        size = FIRST_BLOCK
        try:
            while not leave.is_set() and (block := take(size))[1]:
                begun = time.perf_counter()
                queue.put(solve(*block, lambda done: leave.is_set()))
                if time.perf_counter() - begun < LONG:
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
            while not team and (block := take(size))[1]:
                yield solve(*block, alone)
                left = count - next_problem
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
            if isinstance(part, BaseException):
                failure = part
            elif isinstance(part, threading.Thread):
                working.discard(part)
            elif part is not None:
                yield part
            if failure is not None or stopped():
                leave.set()
    finally:
        leave.set()
        for thread in team:
            thread.join()
    if failure is not None:
        raise failure
