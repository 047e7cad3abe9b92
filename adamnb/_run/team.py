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


Solve = Callable[[int, int, Callable[[int], bool]], Any]


def handed_out(
    solve: Solve,
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
    team = _Team(solve, count, threads, stopped, late)
    try:
        yield from team.solved_here()
        yield from team.solved_there()
    finally:
        team.end()
    if team.failure is not None:
        raise team.failure


class _Team:
    """Threads that solve `count` problems, and what they have in common."""

    def __init__(
        self,
        solve: Solve,
        count: int,
        threads: int,
        stopped: Callable[..., bool],
        late: Callable[[], bool],
    ) -> None:
        self.solve, self.count, self.threads = solve, count, threads
        self.stopped, self.late = stopped, late
        self.queue: SimpleQueue = SimpleQueue()  # of blocks, of errors, of threads that have ended
        self.lock, self.leave = threading.Lock(), threading.Event()
        self.next_problem, self.started = 0, time.perf_counter()
        self.members: list[threading.Thread] = []
        self.failure: BaseException | None = None

    def take(self, size: int) -> tuple[int, int]:
        """Return the first and the number of the problems that are next, (.., 0) if there are none."""
        if self.late():
            return self.next_problem, 0
        with self.lock:
            left = self.count - self.next_problem
            share = max(1, left // (2 * self.threads)) if self.members else left
            first, size = self.next_problem, min(size, share, left)
            self.next_problem += size
        return first, size

    def work(self) -> None:
        """Solve blocks as long as there are some."""
        size = FIRST_BLOCK
        try:
            while not self.leave.is_set() and (block := self.take(size))[1]:
                begun = time.perf_counter()
                self.queue.put(self.solve(*block, lambda done: self.leave.is_set()))
                if time.perf_counter() - begun < LONG:
                    size = min(4 * size, LARGEST_BLOCK)
        except BaseException as error:
            self.queue.put(error)
        self.queue.put(threading.current_thread())

    def start(self) -> None:
        """Start the threads."""
        members = [threading.Thread(target=self.work, daemon=True) for _ in range(self.threads)]
        self.members.extend(members)
        for thread in self.members:
            thread.start()

    def alone(self, done: int) -> bool:
        """Start the threads if this takes long, and return whether to stop."""
        if not self.members and time.perf_counter() - self.started > INSTANT:
            self.start()
        return self.stopped(done)

    def solved_here(self) -> Iterator[Any]:
        """Solve what is the work of an instant, or the first problem, and start the threads for the rest."""
        size = 1
        try:
            while not self.members and (block := self.take(size))[1]:
                yield self.solve(*block, self.alone)
                left = self.count - self.next_problem
                each = (time.perf_counter() - self.started) / self.next_problem
                if not self.members and left and (left > FIRST_BLOCK or left * each > INSTANT):
                    self.start()
                size = FIRST_BLOCK
        except KeyboardInterrupt as interrupt:
            self.failure = interrupt
            self.leave.set()

    def solved_there(self) -> Iterator[Any]:
        """Yield what the threads have solved, to their end."""
        working = set(self.members)
        while working:
            try:
                # A wait without end would not see Ctrl-C everywhere.
                part = self.queue.get(timeout=0.2)
            except Empty:
                part = None
            except KeyboardInterrupt as interrupt:  # what has been found is to be had all the same
                part = interrupt
            if isinstance(part, BaseException):
                self.failure = part
            elif isinstance(part, threading.Thread):
                working.discard(part)
            elif part is not None:
                yield part
            if self.failure is not None or self.stopped():
                self.leave.set()

    def end(self) -> None:
        """Let the threads leave, and wait until they have."""
        self.leave.set()
        for thread in self.members:
            thread.join()
