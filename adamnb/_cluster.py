"""Blocks of problems on a Dask cluster: what a lost worker was at, another one does, with the same bits."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from ._run.block import Batch, Block, Solved, solve_block
from ._run.problems import own

AHEAD = 2  # blocks for each thread that are on their way


def is_cluster(workers: Any) -> bool:
    """Return whether it is a `distributed.Client`."""
    return any(kind.__module__.partition(".")[0] == "distributed" for kind in type(workers).__mro__)


def solved_on_cluster(
    blocks: Callable[[int], Iterator[Block]],
    batch: Batch,
    client: Any,
    stopped: Callable[..., bool],
) -> Generator[Solved, None, None]:
    """Yield the solved blocks in any order; ``blocks(threads)`` yields those for so many threads.

    A few are on their way at a time, and parts of dask arrays are computed where they are used.
    """
    from distributed import as_completed

    threads = max(1, sum(client.nthreads().values()))
    # The result of a task, not data that are scattered: those could not be made again.
    common = client.submit(_itself, batch, pure=False)
    left, done = blocks(threads), as_completed()
    waiting: set[Any] = set()
    try:
        while True:
            for block in islice(left, AHEAD * threads - len(waiting)):
                data = [client.compute(a) if is_lazy(a) else a for a in block.data]
                future = client.submit(_solved, common, replace(block, data=()), *data, pure=False)
                waiting.add(future)
                done.add(future)
            if not waiting or stopped():
                return
            future = next(done)
            waiting.remove(future)
            yield future.result()
    finally:
        client.cancel(list(waiting))


def is_lazy(array: Any) -> bool:
    """Return whether an array is one of dask."""
    return hasattr(array, "__dask_graph__")


def _itself(batch: Batch) -> Batch:
    return batch


def _solved(batch: Batch, block: Block, *data: Any) -> Solved:
    """Solve a block on a worker."""
    return solve_block(batch, replace(block, data=tuple(map(own, data))))
