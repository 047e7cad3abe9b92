"""When to use threads: sizes, the number of threads, and processes that were forked."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numba

# Elements above which a parallel step is faster than a serial one, measured on two cores: starting a
# parallel region costs some 3 us with OpenMP or TBB and 50 to 90 us with Numba's own work queue.
PARALLEL_SIZE = {"omp": 32_768, "tbb": 32_768, "workqueue": 262_144}

# Numba's work queue aborts the process when two Python threads start a parallel region at once.
PARALLEL_REGION = threading.RLock()

_forked = False


def _after_fork() -> None:
    """Note that the threads of the parent are gone; a parallel region would kill or hang the child."""
    global _forked
    from numba.np.ufunc import parallel

    _forked = _forked or parallel._is_initialized


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def forked() -> bool:
    """Return whether this is a forked child of a process whose threads had started."""
    return _forked


def use_threads(n: int, threads: int | None) -> bool:
    """Return whether a vector of `n` elements is to be stepped by several threads.

    Serial and parallel loops give the same bits, so this is a question of speed alone; in a forked
    child of a process whose threads had started the answer is always no.
    """
    if threads == 1 or _forked or numba.config.NUMBA_NUM_THREADS == 1:
        return False
    if threads is not None:
        return True
    if n < min(PARALLEL_SIZE.values()):
        return False
    several = numba.get_num_threads() > 1  # asking starts the threads, and names their layer
    return several and n >= PARALLEL_SIZE[numba.threading_layer()]


@contextmanager
def thread_count(threads: int | None) -> Iterator[None]:
    """Let parallel regions inside use `threads` threads; None leaves Numba's setting alone."""
    if threads is None or threads == 1:
        yield
        return
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)
