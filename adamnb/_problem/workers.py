"""Who evaluates f at several points: this process, others, or whatever the caller has for it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any


@contextmanager
def mapping(workers: Any) -> Iterator[Callable]:
    """Give a function like `map`, for as long as the processes behind it live.

    `workers` is a number of processes, -1 for all cores, a map-like callable or None.
    """
    if callable(workers):
        yield workers
    elif workers in (None, 1):
        yield map
    else:
        with get_context().Pool((os.cpu_count() or 1) if workers == -1 else workers) as pool:
            yield pool.map
