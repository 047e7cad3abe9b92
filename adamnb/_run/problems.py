"""The caller's arrays of many problems: checked against each other, and cut into blocks."""

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np

from .._problem.arguments import (
    index_of,
    limits,
    per_variable,
    real_array,
    refuse_masked,
    working_dtype,
)
from .._problem.rows import several
from ..schedules import Plateau
from .block import Block


class Problems:
    """The caller's arrays, checked against each other, and blocks of them.

    `data` may hold arrays on a device, as `_cuda.blocks.viewed` gives them, if `on_gpu`.
    """

    left: np.ndarray | None = None  # numbers of those that are left; None: all of them

    def __init__(
        self, x0: Any, data: Any, bounds: Any, o: dict[str, Any], on_gpu: bool = False,
        where: Callable[[int], str] = index_of,
    ) -> None:  # fmt: skip
        self.on_gpu = on_gpu
        x = np.atleast_1d(real_array(x0))
        if x.ndim > 2:
            raise ValueError(f"`x0` must have shape (B, n) or (n,); got {x.shape}.")
        self.data = tuple(_sliceable(i, array) for i, array in enumerate(several(data)))
        counts = {f"`data[{i}]`": int(array.shape[0]) for i, array in enumerate(self.data)}
        if x.ndim == 2:
            counts = {"`x0`": len(x)} | counts
        if not counts:
            raise ValueError(
                f"`x0` must have shape (B, n) where there is no `data`; got {x.shape}. For a single"
                " problem use `minimize`."
            )
        if len(set(counts.values())) > 1:
            given = ", ".join(f"{name} has {count}" for name, count in counts.items())
            raise ValueError(
                f"The number of problems, the length of the leading axis, differs: {given}."
            )
        self.count, self.n = next(iter(counts.values())), x.shape[-1]
        if self.n == 0:
            raise ValueError(f"`x0` must have at least one variable; got shape {x.shape}.")
        self.dtype, shape = working_dtype(x), (self.count, self.n)
        self.x0 = np.broadcast_to(x, shape)
        self.bounds = limits(bounds, shape, self.dtype, where)
        self.n_data = o["n_data"] if np.ndim(o["n_data"]) == 0 else np.array(o["n_data"])
        self.learning_rate = self._per_problem("learning_rate", o["learning_rate"])
        self.x_scale = self._per_problem("x_scale", o["x_scale"])
        if self.x_scale is not None:
            self.x_scale = np.broadcast_to(self.x_scale, shape)

    def _per_problem(self, name: str, value: Any) -> Any:
        """Return a number, an array of shape (B, n), one of shape (B, 1), or what is none of them."""
        if value is None or callable(value) or isinstance(value, Plateau):
            return value
        if np.ndim(value) == 0:
            return float(value)
        if np.ndim(value) == 1:
            return np.broadcast_to(per_variable(name, value, self.n), (self.count, self.n))
        array = np.asarray(value, dtype=float)
        if array.shape not in ((self.count, 1), (self.count, self.n)):
            raise ValueError(
                f"`{name}` must be a number or have shape ({self.n},), ({self.count}, 1) or"
                f" ({self.count}, {self.n}); got {array.shape}."
            )
        return array

    def only(self, left: np.ndarray) -> "Problems":
        """Return the problems whose numbers are in `left`, in rising order."""
        some = copy(self)
        some.left, some.count = left, len(left)
        return some

    def rows(self, first: int, size: int) -> Any:
        """Return the numbers of the caller's problems, a slice or an array, from number `first` of these on.

        On a GPU, where arrays are sliced, they may be fewer.
        """
        if self.left is None:
            return slice(first, min(first + size, self.count))
        left = self.left[first : first + size]
        if not self.on_gpu:
            return left
        gaps = np.flatnonzero(np.diff(left) != 1)
        return slice(int(left[0]), int(left[gaps[0] if gaps.size else -1]) + 1)

    def starts(self, rows: Any) -> np.ndarray:
        """Return starts within the bounds, in a new array."""
        x = np.array(self.x0[rows], self.dtype, order="C")
        if self.bounds is not None:
            np.clip(x, self.bounds[0][rows], self.bounds[1][rows], out=x)
        return x

    def block(
        self, first: int, size: int, kept: Callable[[Any], bool] = lambda array: False
    ) -> Block:
        """Return the problems from `first` on, with data that are `kept` as they are."""
        return self._block(first, self.rows(first, size), kept)

    def one(self, b: int) -> Block:
        """Return the caller's problem number `b`."""
        return self._block(b, slice(b, b + 1))

    def _block(
        self, first: int, rows: Any, kept: Callable[[Any], bool] = lambda array: False
    ) -> Block:
        """Return the problems in these rows."""
        x, rate, scale = self.starts(rows), self.learning_rate, self.x_scale
        if isinstance(rate, np.ndarray):
            rate = rate[rows, 0].copy() if rate.shape[1] == 1 else rate[rows].copy()
        if scale is not None:
            scale = scale[rows].copy()
        bounds = None
        if self.bounds is not None:
            bounds = self.bounds[0][rows].copy(), self.bounds[1][rows].copy()
        n_data = self.n_data if np.ndim(self.n_data) == 0 else self.n_data[rows]
        return Block(first, x, self.data_of(rows, kept), bounds, scale, rate, n_data)

    def data_of(self, rows: Any, kept: Callable[[Any], bool] = lambda array: False) -> tuple:
        """Return the data of problems, but for what is `kept` in arrays that are nobody else's."""
        take = _contiguous if self.on_gpu else own  # there, it is copied anyway
        parts = [array[rows] for array in self.data]
        for i, part in enumerate(parts):  # what is read from a disk may come masked
            refuse_masked(f"data[{i}]", part)
        return tuple(part if kept(part) else take(part) for part in parts)


def _sliceable(i: int, array: Any) -> Any:
    """Return data[i] as it is where it slices like an array, from a disk perhaps."""
    refuse_masked(f"data[{i}]", array)
    if not all(hasattr(array, name) for name in ("shape", "dtype", "__getitem__")):
        try:
            array = np.asarray(array)
        except ValueError as error:  # ragged
            raise ValueError(f"`data[{i}]` must be an array of shape (B, ...): {error}") from None
    if len(array.shape) == 0:
        raise ValueError(
            f"`data[{i}]` must have a leading axis of problems; got a scalar. Use `args`."
        )
    return array


def own(array: Any) -> np.ndarray:
    """Return a new contiguous array in the machine's byte order."""
    array = np.asarray(array)
    return np.array(array, array.dtype.newbyteorder("="), order="C")


def _contiguous(array: Any) -> Any:
    """Return a contiguous array in the machine's byte order, or one on a device as it is."""
    if hasattr(array, "copy_to_host"):
        return array
    array = np.asarray(array)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))
