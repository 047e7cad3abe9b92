"""Arrays with a common leading axis, in memory or on disk: the rows of a data set, checked, and in pieces."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from mmap import mmap
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy import ndarray

from .arguments import on_device, refuse_masked

PIECE = 2**22  # bytes of rows that are read or evaluated at once
NAN_POLICIES = ("raise", "propagate")

Arrays = tuple[ndarray, ...]


class Source(Protocol):
    """Rows in some order."""

    count: int
    on_disk: bool

    def block(self, lo: int, hi: int) -> Arrays:
        """Return rows lo..hi as contiguous arrays in the machine's byte order, not to be written."""

    def pieces(self, lo: int, hi: int) -> list[tuple[int, int]]:
        """Return the ends of the pieces into which rows lo..hi are cut, always in the same way."""


class Rows:
    """The rows of the caller's data as they stand; never changed.

    Parameters
    ----------
    data : array_like or tuple of array_like, each of shape (N, ...)
        What slices like an array, as `numpy.memmap` and datasets of h5py do, is read in pieces.
    nan_policy : "raise" or "propagate"
        Whether numbers that are not finite are an error, for which all rows are read once.

    Attributes
    ----------
    arrays : tuple
        As they were given, but for what had to be made an array.
    count : int
        Number of rows, N.
    size : int
        Bytes of a row.
    on_disk : bool
        Whether one of the arrays is not in memory.
    """

    def __init__(self, data: Any, nan_policy: str = "raise") -> None:
        if nan_policy not in NAN_POLICIES:
            raise ValueError(f"`nan_policy` must be 'raise' or 'propagate'; got {nan_policy!r}.")
        self.arrays = tuple(_checked(f"data[{i}]", a) for i, a in enumerate(several(data)))
        if not self.arrays:
            raise ValueError("`data` must hold at least one array; for none use `adamnb.minimize`.")
        counts = {f"`data[{i}]`": int(a.shape[0]) for i, a in enumerate(self.arrays)}
        if len(set(counts.values())) > 1:
            given = ", ".join(f"{name} has {count:,}" for name, count in counts.items())
            raise ValueError(
                f"The number of rows, the length of the leading axis, differs: {given}."
            )
        self.count = counts["`data[0]`"]
        if self.count == 0:
            raise ValueError("`data` must have at least one row; got none.")
        self.dtypes = [a.dtype.newbyteorder("=") for a in self.arrays]
        self.size = sum(
            int(np.prod(a.shape[1:], dtype=np.int64)) * a.dtype.itemsize for a in self.arrays
        )
        self.on_disk = any(map(_is_on_disk, self.arrays))
        # Not all that reads files lets threads do so at once.
        own = all(isinstance(a, ndarray) for a in self.arrays)
        self._reading: Any = nullcontext() if own else Lock()
        # What is read from a disk, or may not be written, is handed out in copies: machine code that
        # writes into it would end the process.
        self._views = [
            _is_plain(a) and a.flags.writeable and not _is_on_disk(a) for a in self.arrays
        ]
        if nan_policy == "raise":
            self._require_finite()

    def block(self, lo: int, hi: int) -> Arrays:
        """Return rows lo..hi as contiguous arrays in the machine's byte order, not to be written.

        They are views of what is such an array in memory, else copies.
        """
        with self._reading:
            parts = zip(self._parts(lo, hi), self._views, self.dtypes, strict=True)
            return tuple(
                np.asarray(part) if view else np.array(part, dtype, order="C")
                for part, view, dtype in parts
            )

    def read(self, lo: int, hi: int, into: Arrays) -> None:
        """Write rows lo..hi into arrays that hold as many."""
        with self._reading:
            for part, buffer in zip(self._parts(lo, hi), into, strict=True):
                buffer[...] = part

    def _parts(self, lo: int, hi: int) -> Iterator[Any]:
        for i, array in enumerate(self.arrays):
            part = array[lo:hi]
            refuse_masked(f"data[{i}]", part)  # as it may come from a disk
            yield part

    def gather(self, indices: ndarray, into: Arrays) -> Arrays:
        """Write the rows of these numbers into the first rows of `into`, and return them."""
        with self._reading:
            return gathered(self.arrays, indices, into)

    def buffers(self, size: int) -> Arrays:
        """Return arrays that hold so many rows."""
        pairs = zip(self.arrays, self.dtypes, strict=True)
        return tuple(np.empty((size, *array.shape[1:]), dtype) for array, dtype in pairs)

    def pieces(self, lo: int, hi: int) -> list[tuple[int, int]]:
        """Return the ends of the pieces into which rows lo..hi are cut, always in the same way."""
        step = max(1, PIECE // max(1, self.size))
        return [(first, min(first + step, hi)) for first in range(lo, hi, step)]

    def bad(self, lo: int, hi: int) -> str:
        """Return which of rows lo..hi holds the first number that is not finite; empty if none does."""
        for i, part in enumerate(self.block(lo, hi)):
            if part.dtype.kind in "fc":
                wrong = np.argwhere(~np.isfinite(part))
                if wrong.size:
                    index = tuple(wrong[0].tolist())
                    place = ", ".join(map(str, (lo + index[0], *index[1:])))
                    return f"`data[{i}]` is {part[index]} at index {place}"
        return ""

    def _require_finite(self) -> None:
        for lo, hi in self.pieces(0, self.count):
            with np.errstate(over="ignore", invalid="ignore"):
                # A sum, at the speed of memory, tells of most pieces that they are finite.
                sums = [a.sum() for a in self.block(lo, hi) if a.dtype.kind in "fc"]
            if not np.isfinite(sums).all() and (bad := self.bad(lo, hi)):
                raise ValueError(
                    f"{bad}: leave such rows out, or give nan_policy='propagate' if `fun` knows what"
                    " to do with them."
                )


class Reordered:
    """Rows in another order, some of them perhaps, as a `Source`."""

    def __init__(self, rows: Rows, order: ndarray) -> None:
        self.rows, self.order, self.count = rows, order, int(order.size)
        self.on_disk = rows.on_disk

    def block(self, lo: int, hi: int) -> Arrays:
        """Return rows lo..hi in new arrays."""
        return self.rows.gather(self.order[lo:hi], self.rows.buffers(hi - lo))

    def pieces(self, lo: int, hi: int) -> list[tuple[int, int]]:
        """Return the ends of the pieces into which rows lo..hi are cut, always in the same way."""
        return self.rows.pieces(lo, hi)


def gathered(arrays: tuple, indices: ndarray, into: Arrays) -> Arrays:
    """Write the rows of these numbers into the first rows of `into`, and return them."""
    found = tuple(buffer[: indices.size] for buffer in into)
    for array, buffer in zip(arrays, found, strict=True):
        if _is_plain(array):
            np.take(array, indices, axis=0, out=buffer, mode="clip")  # "raise" makes a copy
        elif isinstance(array, ndarray):
            buffer[...] = array[indices]  # `take` would copy the whole array
        else:  # such files are read forwards
            forwards = np.argsort(indices)
            buffer[forwards] = array[indices[forwards]]
    return found


def copied(block: Arrays) -> Arrays:
    """Return rows for a function of Python, which may write to them whatever it was asked for."""
    return tuple(a if a.flags.owndata else a.copy() for a in block)


def read_ahead(blocks: Iterator[Any]) -> Iterator[Any]:
    """Yield blocks, while a thread makes the next one."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = reader.submit(next, blocks, None)
            yield block


def several(data: Any) -> tuple:
    """Return `data` as a tuple of arrays; a single array counts as one."""
    if isinstance(data, tuple) or (
        isinstance(data, list) and all(hasattr(a, "shape") for a in data)
    ):
        return tuple(data)
    return (data,)


def _checked(name: str, array: Any) -> Any:
    """Return one of the arrays as it is where it slices like one of NumPy, else as one of NumPy."""
    refuse_masked(name, array)
    if on_device(array):
        raise TypeError(f"`{name}` must be in the host's memory or on disk; it is on a GPU.")
    if hasattr(array, "tocsr"):
        raise TypeError(
            f"`{name}` must not be a sparse matrix: pass its `.toarray()`, or the indices and values of"
            " each row as arrays of their own."
        )
    dtype = getattr(array, "dtype", None)
    slices = isinstance(dtype, np.dtype) and not hasattr(array, "to_numpy")
    if not (slices and all(hasattr(array, name) for name in ("shape", "__getitem__"))):
        try:
            array = np.asarray(array)
        except ValueError as error:  # ragged
            raise ValueError(f"`{name}` must be an array of shape (N, ...): {error}") from None
    if array.dtype.kind not in "biufc":
        raise TypeError(f"`{name}` must hold numbers; got dtype {array.dtype}.")
    if len(array.shape) == 0:
        raise ValueError(f"`{name}` must have a leading axis of rows; got a scalar. Use `args`.")
    return array


def _is_on_disk(array: Any) -> bool:
    """Return whether an array is in a mapped file, or no array of NumPy at all."""
    if not isinstance(array, ndarray):
        return True
    while isinstance(array, ndarray):
        array = array.base
    return isinstance(array, mmap)


def _is_plain(array: Any) -> bool:
    """Return whether an array is contiguous, and in the machine's byte order."""
    if not isinstance(array, ndarray):
        return False
    return array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative
