"""The order of rows in an epoch, and their batches."""

from collections.abc import Iterator
from itertools import cycle

import numpy as np
from numpy import ndarray
from numpy.random import PCG64, Generator, SeedSequence

from .rows import Arrays, Rows, gathered, read_ahead

WORK = 2**20  # bytes of batches that are gathered at once, where one batch is not larger
BLOCK = 2**20  # bytes of rows side by side that are read from a disk
WINDOW = 32 * BLOCK  # bytes of such blocks, of which two are in memory


class Epochs:
    """Batches of rows, in another order in each epoch, which nothing but the seed and its number says.

    Of rows in memory every order is as likely as any other. Those on disk are read in blocks that follow
    each other at random, and are shuffled within a window of some blocks.

    Parameters
    ----------
    rows : Rows
    batch_size : int
        Rows of a batch. An epoch ends with the rows that are left, whatever their number.
    seed : int
    shuffle : bool
        Whether to change the order at all.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int, shuffle: bool) -> None:
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self.shuffle = shuffle and batch_size < rows.count
        self.batches = -(-rows.count // batch_size)  # of an epoch
        self.whole = batch_size * max(1, WORK // max(1, batch_size * rows.size))

    def random(self, epoch: int) -> Generator:
        """Return the random numbers of an epoch, counted from 0."""
        return Generator(PCG64(SeedSequence(self.seed, spawn_key=(epoch,))))

    def pieces(self, epoch: int, skipped: int = 0) -> Iterator[Arrays]:
        """Yield the batches of an epoch, but for the first ones: arrays of shape (batches, rows, ...).

        They are valid until the next ones are asked for, and not to be written.
        """
        parts, made = self._parts(epoch, skipped), self.shuffle or self.rows.on_disk
        if made and self.rows.count > self.whole:
            parts = read_ahead(parts)
        for part in parts:
            count = len(part[0])
            whole = count - count % self.batch_size
            for lo, hi, size in ((0, whole, self.batch_size), (whole, count, count - whole)):
                if hi > lo:
                    yield tuple(
                        a[lo:hi].reshape((hi - lo) // size, size, *a.shape[1:]) for a in part
                    )

    def _parts(self, epoch: int, skipped: int) -> Iterator[Arrays]:
        """Yield the rows of an epoch, as many at once as are gathered at once, in buffers that take turns."""
        rows, first = self.rows, skipped * self.batch_size
        if not self.shuffle:
            for lo in range(first, rows.count, self.whole):
                yield rows.block(lo, min(lo + self.whole, rows.count))
            return
        random = self.random(epoch)
        buffers = cycle([rows.buffers(min(self.whole, rows.count)) for _ in range(2)])
        if not rows.on_disk:
            order = random.permutation(rows.count)
            for lo in range(first, rows.count, self.whole):
                yield rows.gather(order[lo : lo + self.whole], next(buffers))
            return
        for window in read_ahead(self._windows(random.permutation(self._starts()))):
            order = random.permutation(len(window[0]))
            for lo in range(min(first, order.size), order.size, self.whole):
                yield gathered(window, order[lo : lo + self.whole], next(buffers))
            first = max(0, first + self.batch_size * (-order.size // self.batch_size))

    @property
    def _block(self) -> int:
        """Rows of a block on disk: whole batches, so that one batch of an epoch is smaller."""
        return self.batch_size * max(1, BLOCK // max(1, self.batch_size * self.rows.size))

    def _starts(self) -> ndarray:
        return np.arange(0, self.rows.count, self._block)

    def _windows(self, starts: ndarray) -> Iterator[Arrays]:
        """Yield the rows of some blocks, in two buffers that take turns."""
        rows, block = self.rows, self._block
        several = max(1, WINDOW // max(1, block * rows.size))
        buffers = cycle([rows.buffers(min(several * block, rows.count)) for _ in range(2)])
        for i in range(0, starts.size, several):
            into, filled = next(buffers), 0
            for lo in starts[i : i + several].tolist():
                first, filled = filled, filled + min(block, rows.count - lo)
                rows.read(lo, lo + filled - first, tuple(buffer[first:filled] for buffer in into))
            yield tuple(buffer[:filled] for buffer in into)
