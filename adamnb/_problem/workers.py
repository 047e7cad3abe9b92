"""Who evaluates f at several points: this process, others, or whatever the caller has for it."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing import get_context
from typing import Any

ON_THREADS = "`workers=multiprocessing.pool.ThreadPool(n).map`"
DIED = (
    "A process of `workers` has died; what it printed may say why. Where processes start afresh ('spawn',"
    " 'forkserver': Windows, macOS), a script does its work below `if __name__ == \"__main__\":`, and `fun`"
    " is in a module that they can import, not in a notebook or `python -c`. Or use threads:"
    f" {ON_THREADS}."
)


def mapping(workers: Any) -> AbstractContextManager[Callable]:
    """Give a function like `map`, for as long as the processes behind it live.

    `workers` is a number of processes, -1 for all cores, a map-like callable or None.
    """
    if callable(workers):
        return nullcontext(workers)
    if workers in (None, 1):
        return nullcontext(map)  # what is raised goes through it untouched
    return _processes((os.cpu_count() or 1) if workers == -1 else workers)


@contextmanager
def _processes(count: int) -> Iterator[Callable]:
    try:
        with ProcessPoolExecutor(count, get_context()) as pool:
            yield pool.map
    except BrokenProcessPool as error:
        raise RuntimeError(DIED) from error
