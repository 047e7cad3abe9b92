"""The state of a minimisation: vectors in a named tuple, numbers in a record, plain arrays all of them."""

from collections.abc import Callable
from copy import copy
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, Protocol

import numpy as np
from numba import from_dtype, types

from .._compiled.curvature import judge, step
from .._compiled.elements import sizes_of
from .._compiled.functions import first_class
from .._compiled.loops import chunk_count
from .._compiled.machine_code import array_type, machine_code
from .._compiled.pairs import EXTRA, Frame, Pairs
from .._compiled.passes import Sums
from .._compiled.ranks import Exchange
from .._compiled.rate import AUTOMATIC
from .._compiled.records import OPTIONS, STATE
from .._compiled.vectors import G_ROWS, X_ROWS, Algebra, Vectors
from .._problem.methods import Method
from .._problem.shards import ALONE, Alone
from ..schedules import Plateau

Pair = tuple[Any, Any]
NO_ROOTS = np.zeros(0)  # `Vectors.roots`: a single problem shares none


class Memory(Protocol):
    """Where the vectors of a run are: in the host's memory or a device's, for one problem or for many."""

    def points(self) -> tuple[Any, Any]:
        """Return X_ROWS points, the first of them the start, and one more that is the start."""

    def rows(self, count: int, value: float) -> Any:
        """Return so many vectors full of a value."""

    def vector(self, value: float) -> Any:
        """Return a vector full of a value."""

    def given(self, array: Any) -> Any:
        """Return a copy of an array of the caller's."""

    def sizes(self) -> Any:
        """Return the typical size of each variable, as the start has it."""


def first_vectors(
    memory: Memory,
    method: Method,
    learning_rate: Any,
    x_scale: Any,
    bounds: Pair | None,
    **further: Any,
) -> Vectors:
    """Return the vectors of a run before its first iteration, and `further` ones.

    `learning_rate` is None where it adapts, and an array where every variable has its own (`per_variable`).
    """
    automatic = learning_rate is None
    factors = previous = scale = lower = upper = None
    if automatic:
        factors, previous = memory.vector(1.0), memory.vector(0.0)
    elif isinstance(learning_rate, np.ndarray):
        factors = memory.given(learning_rate)
    if x_scale is not None:
        scale = memory.given(x_scale)
    elif automatic:
        scale = memory.sizes()
    if bounds is not None:
        lower, upper = map(memory.given, bounds)
    x, spare = memory.points()
    g, slots = memory.rows(G_ROWS, 0.0), memory.rows(method.slots, method.start)
    return Vectors(x, g, slots, spare, factors, previous, scale, lower, upper, **further)


def of_pairs(x0: np.ndarray, m: int, bounded: bool, shared: bool) -> dict[str, Any]:
    """Return what a run needs that remembers m secant pairs, in the host's memory, by name."""
    (*problems, n), dtype = x0.shape, x0.dtype
    rows = (*problems, m, n)
    return {
        "steps": np.zeros(rows, dtype), "changes": np.zeros(rows, dtype),
        "table": np.zeros((*problems, 2 * m + EXTRA, m)), "order": np.zeros((*problems, 2 * m), np.int64),
        "metric": full(x0.shape, 1.0, dtype), "free": full(x0.shape, 1.0, dtype) if bounded else None,
        "sums": np.empty((*problems, 2 * m + 2)), "algebra": algebra_of(dtype, bounded, False, shared)[1],
    }  # fmt: skip


def on_threads(vectors: Vectors) -> Vectors:
    """Return the vectors of a run whose loops run on threads, in the host's memory."""
    chunks = chunk_count.py_func(vectors.x.shape[1])
    vectors = vectors._replace(chunks=np.empty((4, chunks)))
    if vectors.steps is None:
        return vectors
    return vectors._replace(
        parts=np.empty((chunks, vectors.sums.size)),
        algebra=algebra_of(
            vectors.x.dtype, vectors.free is not None, True, vectors.ranks is not None
        )[1],
    )


def first_rate(learning_rate: Any) -> Any:
    """Return the learning rate before the first iteration."""
    if learning_rate is None:
        return AUTOMATIC["first_rate"]
    if isinstance(learning_rate, Plateau):
        return learning_rate.rate
    return 0.0 if callable(learning_rate) else learning_rate


class Host:
    """The host's memory: new arrays of shape (..., n), leading axes are problems side by side."""

    def __init__(self, x0: np.ndarray) -> None:
        (*self.problems, self.n), self.x0, self.dtype = x0.shape, x0, x0.dtype

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        x = np.empty((*self.problems, X_ROWS, self.n), self.dtype)
        x[..., 0, :] = self.x0
        return x, self.x0.copy()

    def rows(self, count: int, value: float) -> np.ndarray:
        return full((*self.problems, count, self.n), value, self.dtype)

    def vector(self, value: float) -> np.ndarray:
        return full(self.x0.shape, value, self.dtype)

    def given(self, array: np.ndarray) -> np.ndarray:
        return np.array(array, self.dtype, order="C")

    def sizes(self) -> np.ndarray:
        return sizes_of(self.x0)


def full(shape: tuple[int, ...], value: float, dtype: np.dtype) -> np.ndarray:
    """Return what `numpy.full` does, in a fifth of its time for a few elements."""
    if value == 0.0:
        return np.zeros(shape, dtype)
    array = np.empty(shape, dtype)
    array.fill(value)
    return array


def new_records(count: int) -> np.ndarray:
    """Return so many records of STATE as `numpy.zeros` makes them, in a tenth of its time for one."""
    return np.frombuffer(bytearray(count * STATE.itemsize), STATE)


class Numbers:
    """The numbers of one problem as attributes, in place, as Python has numbers.

    A record of NumPy has such attributes as well, and takes ten times as long for each.
    """

    def __init__(self, records: np.ndarray) -> None:
        self.whole = np.frombuffer(records, np.int64).data
        self.real = np.frombuffer(records, np.float64).data

    def row(self, name: str, count: int = 1) -> memoryview:
        """Return `count` numbers from the field `name` on."""
        first = FIELDS.index(name)
        return (self.whole if name in WHOLE else self.real)[first : first + count]


def _number(name: str) -> property:
    """Return a field of STATE as an attribute."""
    part, i = attrgetter("whole" if name in WHOLE else "real"), FIELDS.index(name)

    def read(self: Numbers) -> Any:
        return part(self)[i]

    def write(self: Numbers, value: Any) -> None:
        part(self)[i] = value

    return property(read, write)


ROWS = ("x", "x_best", "x_before", "g", "g_best", "origin_g")  # numbers of rows
# The vectors in these rows, by their names for the caller: where they are, and whose row it is.
POINTS = {
    "x": ("x", "x"), "x_best": ("x", "x_best"), "x_before": ("x", "x_before"),
    "gradient": ("g", "g"), "gradient_best": ("g", "g_best"), "gradient_before": ("g", "origin_g"),
}  # fmt: skip
# What else a run remembers of vectors; all others are made anew in every iteration, or given.
KEPT = (
    "slots", "factors", "previous", "scale", "steps", "changes", "table", "order", "metric", "free",
)  # fmt: skip
kept_of = attrgetter(*KEPT)
FIELDS = STATE.names or ()
WHOLE = {name for name in FIELDS if STATE[name].kind == "i"}
# Those that are remembered by their names; `stop` is what Python says to a run under way.
NUMBERS = tuple(name for name in FIELDS if name not in (*ROWS, "stop"))
numbers_of, rows_of = (itemgetter(*map(FIELDS.index, names)) for names in (NUMBERS, ROWS))
for _name in FIELDS:
    setattr(Numbers, _name, _number(_name))


class State:
    """All that a minimisation remembers, laid out for the compiled functions.

    Parameters
    ----------
    x0 : ndarray, shape (n,) or (B, n)
        Start, float32 or float64, within the bounds; copied. B problems may stand side by side.
    learning_rate : None, float, ndarray, Plateau or callable
        None adapts it; an array of the shape of x0 holds one per variable, of shape (B,) one per problem.
    x_scale : None or ndarray, shape of x0
        None: the size of x0 where the learning rate adapts, else 1.
    bounds : None or pair of ndarray, shape of x0
    pairs : int
        How many secant pairs are remembered.
    shards : Alone
        Which of the variables these are.

    Attributes
    ----------
    vectors : Vectors
        With a leading axis of problems where x0 has one.
    records : ndarray of STATE, shape (1,) or (B,)
        The numbers of every problem.
    s : Numbers
        The same of a single problem.
    """

    shards: Alone = ALONE  # also of what is read when it is over

    def __init__(
        self,
        method: Method,
        x0: np.ndarray,
        learning_rate: Any,
        x_scale: np.ndarray | None,
        bounds: tuple[np.ndarray, np.ndarray] | None,
        pairs: int = 0,
        shards: Alone = ALONE,
    ) -> None:
        self.method, self.automatic = method, learning_rate is None
        axes = learning_rate.ndim if isinstance(learning_rate, np.ndarray) else 0
        own = axes == x0.ndim  # a rate for each variable
        given = learning_rate if own or axes == 0 else 0.0
        self.shards, ranks = shards, shards.exchange
        further = of_pairs(x0, pairs, bounds is not None, ranks is not None) if pairs else {}
        self.vectors = first_vectors(
            Host(x0), method, given, x_scale, bounds, roots=NO_ROOTS, ranks=ranks, **further
        )
        self.records = new_records(x0.shape[0] if x0.ndim > 1 else 1)
        self.records["learning_rate"] = 1.0 if own else first_rate(learning_rate)
        self.s: Any = Numbers(self.records)

    def problem(self, b: int) -> "State":
        """Return the state of problem number b of several: views, not copies."""
        one = copy(self)
        one.vectors = Vectors(
            *(a[b] if isinstance(a, np.ndarray) and a.ndim > 1 else a for a in self.vectors)
        )
        one.records = self.records[b : b + 1]
        one.s = Numbers(one.records)
        return one

    def values(self) -> dict[str, Any]:
        """Return the numbers of a single problem by name, as Python has numbers."""
        return dict(zip(FIELDS, self.records.item(), strict=True))

    def own(self, array: Any) -> Any:
        """Return an array that the caller may keep."""
        return array.copy()

    def start(self, x0: Any) -> Any:
        """Return a start that the caller may keep."""
        return x0.copy()

    def given_away(self, array: Any) -> Any:
        """Return an array that the caller may keep, of a run that needs it no more."""
        return array

    def row(self, block: Any, name: str) -> Any:
        """Return the row whose number stands in the field `name`, for the caller to keep."""
        return self.own(block[getattr(self.s, name)])

    def remembered(self) -> Callable[[], dict[str, Any]]:
        """Return a function that returns the state of now by name, for the caller to keep.

        What a run that goes on writes to is copied at once, but for the vectors in `KEPT`.
        """
        v, own, given_away, method = self.vectors, self.own, self.given_away, self.method.name
        numbers, blocks, kept = self.records.tobytes(), {"x": own(v.x), "g": own(v.g)}, kept_of(v)

        def told() -> dict[str, Any]:
            values = np.frombuffer(numbers, STATE).item()
            named: dict[str, Any] = dict(zip(NUMBERS, numbers_of(values), strict=True))
            named["numbers"] = np.array(rows := rows_of(values))
            for (name, (field, _)), row in zip(POINTS.items(), rows, strict=True):
                named[name] = own(blocks[field][row])
            for name, array in zip(KEPT, kept, strict=True):
                if array is not None:
                    named[name] = given_away(array)
            named["method"] = method
            return named

        return told

    def as_dict(self) -> dict[str, Any]:
        """Return the state by name, for the caller to keep."""
        return self.remembered()()

    def put(self, given: dict[str, Any]) -> None:
        """Take over the vectors of `as_dict`; the numbers of their rows are known."""
        v = self.vectors
        for name, (field, row) in POINTS.items():
            getattr(v, field)[getattr(self.s, row)] = given[name]
        for name in KEPT:
            if (array := getattr(v, name)) is not None and name in given:
                array[...] = given[name]
        v.spare[:] = given["x"]

    def gradient_norm(self, x: np.ndarray, g: np.ndarray) -> float:
        """Return the largest |element| of a gradient at x, projected and in units of x_scale."""
        v = self.vectors
        norm = projected_norm(x, g, v.scale, v.lower, v.upper)
        return float(self.shards.largest(norm))

    def apart(self, g: np.ndarray, other: np.ndarray) -> float:
        """Return the largest |element| of the difference of two gradients, in units of x_scale."""
        scale = self.vectors.scale
        return float(
            self.shards.largest(np.abs((g - other) * (1.0 if scale is None else scale)).max())
        )

    def bad_gradient(self) -> int | None:
        """Return where the current gradient is not finite."""
        where = np.flatnonzero(~np.isfinite(self.vectors.g[self.s.g]))
        return int(where[0]) if where.size else None

    def types(self) -> tuple[types.Type, types.Type]:
        """Return the Numba types of `vectors` and `records`."""
        return vectors_type(self.vectors), array_type(STATE, 1)


# By the dtype and the axes of x, and which vectors there are.
_known: dict[tuple, types.Type] = {}


def vectors_type(vectors: Vectors) -> types.Type:
    """Return the Numba type of vectors that are arrays of NumPy or None."""
    x = vectors.x
    key = x.dtype.char, x.ndim, *[a is None for a in vectors]
    if key not in _known:
        named = {
            name: array_type(a.dtype, a.ndim) if isinstance(a, np.ndarray) else types.none
            for name, a in zip(Vectors._fields, vectors, strict=True)
        }
        shared = vectors.ranks is not None
        if vectors.steps is not None:
            threads, bounded = vectors.chunks is not None, vectors.free is not None
            named["algebra"] = algebra_of(x.dtype, bounded, threads, shared)[0]
        if shared:
            named["ranks"] = EXCHANGE
        _known[key] = types.NamedTuple(list(named.values()), Vectors)
    return _known[key]


EXCHANGE = types.NamedTuple([types.intp, types.intp, array_type(np.dtype(float), 1)], Exchange)


@cache
def algebra_of(
    dtype: np.dtype, bounded: bool, threads: bool, shared: bool
) -> tuple[types.Type, Algebra]:
    """Return the type and the value of the functions of `curvature` for vectors of a dtype."""
    vector, rows, table = array_type(dtype, 1), array_type(dtype, 2), array_type(np.dtype(float), 2)
    low, parts = vector if bounded else types.none, table if threads else types.none
    own = array_type(np.dtype(float), 1), parts, EXCHANGE if shared else types.none
    sums = types.NamedTuple(own, Sums)
    order, records = array_type(np.dtype(np.int64), 1), (from_dtype(STATE), from_dtype(OPTIONS))
    pairs = types.NamedTuple((rows, rows, table, order, vector, low, sums), Pairs)
    given = types.BaseTuple.from_types((vector, low, low), Frame), pairs, *records
    signatures = Algebra(
        judge=(rows, rows, *given, types.boolean), step=(rows, rows, vector, *given)
    )
    found = []
    for function, signature in zip((judge, step), signatures, strict=True):
        machine_code(function, signature)
        found.append(first_class(function.overloads[signature]))
    kinds, values = zip(*found, strict=True)
    return types.NamedTuple(kinds, Algebra), Algebra(*values)


def projected_norm(x: np.ndarray, g: np.ndarray, scale: Any, lower: Any, upper: Any) -> float:
    """Return the largest |element| of a gradient at x, projected and in units of `scale`."""
    if lower is not None:
        g = np.where(((x <= lower) & (g > 0)) | ((x >= upper) & (g < 0)), 0, g)
    return float(np.abs(g if scale is None else g * scale).max())
