"""Parameters that have names and shapes as one vector, and back.

A tree of dicts and NamedTuples, whose leaves are numbers and arrays of any shape; a single array of more
than one axis is a leaf without a tree.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import prod
from typing import Any

import numpy as np

from .arguments import (
    check_finite,
    index_of,
    on_device,
    real_array,
    refuse_masked,
    start_vector,
    working_dtype,
)

PER_PROBLEM = ("learning_rate", "x_scale")  # options that each of many problems may have for itself


@dataclass(frozen=True)
class Leaf:
    """A number or an array: elements `first` to `stop` of the vector."""

    first: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        return self.first + prod(self.shape)

    def flat(self, array: np.ndarray) -> np.ndarray:
        """Return an array of this shape, or several with leading axes, as its part of vectors."""
        return array.reshape(*array.shape[: array.ndim - len(self.shape)], prod(self.shape))

    def take(self, vectors: np.ndarray) -> Any:
        """Return its part of vectors, the last axis: a number of a single one, else views if possible."""
        if not self.shape:
            return vectors.T[self.first]
        return vectors[..., self.first : self.stop].reshape(*vectors.shape[:-1], *self.shape)

    def name_of(self, i: int, name: str) -> str:
        """Return what element i of the vector is called."""
        index = np.unravel_index(i - self.first, self.shape)
        return f"{name or 'x'}[{', '.join(map(str, index))}]" if self.shape else name


@dataclass(frozen=True)
class Branch:
    """A dict or a NamedTuple: its parts follow each other in the vector."""

    kind: type  # dict, or a class of NamedTuples
    parts: tuple[tuple[Any, "Leaf | Branch"], ...]
    first: int

    @property
    def stop(self) -> int:
        return self.parts[-1][1].stop if self.parts else self.first

    def take(self, vectors: np.ndarray) -> Any:
        """Return its part of vectors, with the leaves that `Leaf.take` returns."""
        parts = [part.take(vectors) for _, part in self.parts]
        if self.kind is dict:
            return dict(zip((key for key, _ in self.parts), parts, strict=True))
        return self.kind._make(parts)  # type: ignore[attr-defined]

    def name_of(self, i: int, name: str) -> str:
        """Return what element i of the vector is called."""
        key, part = next((key, part) for key, part in self.parts if i < part.stop)
        return part.name_of(i, f"{name}.{key}" if name else str(key))


class Vector:
    """Parameters without names that are a vector as they stand: everything is left as it is."""

    names = None

    def take(self, vectors: np.ndarray) -> Any:
        return vectors

    def shown(self, result: Any) -> Any:
        return result

    def name_of(self, i: int) -> str:
        return f"x[{i}]"

    def where(self, i: int) -> str:
        return index_of(i)

    def options(self, given: dict[str, Any], count: int | None = None) -> dict[str, Any]:
        return given

    def bounds(self, bounds: Any, count: int | None = None) -> Any:
        return bounds


VECTOR = Vector()


@dataclass(frozen=True)
class Structure:
    """How parameters with names and shapes lie in a vector."""

    root: Leaf | Branch

    @property
    def size(self) -> int:
        return self.root.stop

    def take(self, vectors: np.ndarray) -> Any:
        """Return the parameters in a vector, or in each row of several, where leaves have a leading axis.

        Arrays are views of `vectors` where they can be.
        """
        return self.root.take(vectors)

    def shown(self, result: Any) -> Any:
        """Return a result, or what a callback sees, with the parameters as the caller has them."""
        result["params"] = self.take(result.x.copy())
        return result

    def name_of(self, i: int) -> str:
        """Return what element i of the vector is called."""
        return self.root.name_of(int(i), "")

    where = name_of  # as errors say where it is

    @property
    def names(self) -> tuple[str, ...]:
        """What the elements of the vector are called."""
        return tuple(map(self.name_of, range(self.size)))

    def put(self, tree: Any, name: str, vectors: np.ndarray) -> np.ndarray:
        """Write parameters, `name` in errors, to a vector, or to the rows of several, and return it."""
        for leaf, part, path in leaves_of(self.root, tree, name):
            array, shape = real_array(part, path), (*vectors.shape[:-1], *leaf.shape)
            if array.shape != shape:
                raise ValueError(f"`{path}` must have shape {shape}, as in x0; got {array.shape}.")
            vectors[..., leaf.first : leaf.stop] = leaf.flat(array)
        return vectors

    def option(self, name: str, value: Any, count: int | None = None) -> Any:
        """Return an option for each variable as a vector, if it has this structure, and else as it is.

        Parameters
        ----------
        count : int, optional
            Number of problems, of which each may have its own: the result then has shape (count, n).
        """
        if isinstance(self.root, Branch):
            whole = members(value) is not None
        else:
            if isinstance(value, list | tuple):
                value = real_array(value, name)
            shape = np.shape(value)
            whole = len(shape) > 1 and shape[-len(self.root.shape) :] == self.root.shape
        return self._rows([*leaves_of(self.root, value, name)], count) if whole else value

    def options(self, given: dict[str, Any], count: int | None = None) -> dict[str, Any]:
        """Return options given with those of them as vectors that have this structure."""
        known = dict.fromkeys(PER_PROBLEM, count) | {"finite_diff_rel_step": None}
        options = {
            name: self.option(name, value, known[name]) if name in known else value
            for name, value in given.items()
        }
        if "profile" in given:
            options["profile"] = self.numbers("profile", given["profile"])
        return options

    def numbers(self, option: str, names: Any) -> Any:
        """Return the numbers of variables that are given by name, one or a list, and numbers as they are."""
        if isinstance(names, list | tuple):
            return [self.numbers(option, name) for name in names]
        if not isinstance(names, str):
            return names
        if names not in self.names:
            raise ValueError(
                f"`{option}` must name variables of x0; got {names!r}.{nearest(names, self.names)}"
            )
        return self.names.index(names)

    def bounds(self, bounds: Any, count: int | None = None) -> Any:
        """Return bounds as vectors, if they have this structure, and else as they are."""
        from scipy.optimize import Bounds  # late, as in `limits`

        if isinstance(bounds, Bounds):
            sides = zip(("bounds.lb", "bounds.ub"), (bounds.lb, bounds.ub), strict=True)
            return Bounds(*[self.option(name, _side(side), count) for name, side in sides])
        if not isinstance(self.root, Branch) or members(bounds) is None:
            return bounds
        lower, upper = [], []
        for leaf, pair, path in leaves_of(self.root, bounds, "bounds", whole=False):
            low, high = low_and_high(pair, path)
            lower.append((leaf, -np.inf if low is None else low, path))
            upper.append((leaf, np.inf if high is None else high, path))
        return Bounds(self._rows(lower, count, -np.inf), self._rows(upper, count, np.inf))

    def _rows(
        self, parts: list[tuple[Leaf, Any, str]], count: int | None, otherwise: float = np.nan
    ) -> np.ndarray:
        """Return values of leaves as a vector, or one for each problem; `otherwise` where there is none."""
        given = [(leaf, _spread(leaf, value, path, count)) for leaf, value, path in parts]
        own = any(array.ndim > 1 for _, array in given)
        rows = np.full((count, self.size) if own and count else self.size, otherwise)
        for leaf, array in given:
            rows[..., leaf.first : leaf.stop] = array
        return rows


def _side(side: Any) -> Any:
    """Return one side of `Bounds`, which makes an array of a dict."""
    one = isinstance(side, np.ndarray) and side.dtype.kind == "O" and side.size == 1
    return side.item() if one else side


def _spread(leaf: Leaf, value: Any, path: str, count: int | None) -> np.ndarray:
    """Return a number or an array for a leaf as a number or a vector, or as one for each problem."""
    array = real_array(value, path)
    shapes = [leaf.shape] if count is None else [leaf.shape, (count, *leaf.shape)]
    if array.ndim > 0 and array.shape not in shapes:
        allowed = " or ".join(map(str, shapes))
        raise ValueError(f"`{path}` must be a number or have shape {allowed}; got {array.shape}.")
    return leaf.flat(array) if array.ndim else array


def members(tree: Any) -> dict | None:
    """Return the parts of a dict or NamedTuple by name; None for all else."""
    if isinstance(tree, Mapping):
        return dict(tree)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return dict(zip(tree._fields, tree, strict=True))
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean '...'?" for the nearest of the names that x0 has, or nothing."""
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def as_dict(tree: Any) -> Any:
    """Return a tree with dicts for NamedTuples."""
    parts = members(tree)
    return tree if parts is None else {str(key): as_dict(part) for key, part in parts.items()}


def leaves_of(
    node: Leaf | Branch, tree: Any, name: str, whole: bool = True
) -> Iterator[tuple[Leaf, Any, str]]:
    """Yield each leaf with what a tree of the same structure has for it, and what errors call that.

    Raises
    ------
    TypeError, ValueError
        Where the tree has no such structure; it may lack parts if it need not be `whole`.
    """
    if isinstance(node, Leaf):
        yield node, tree, name
        return
    if tree is None and not whole:
        return
    parts, keys = members(tree), [key for key, _ in node.parts]
    if parts is None:
        known = ", ".join(map(repr, keys))
        raise TypeError(f"`{name}` must have the parts {known}, as x0; got {tree!r}.")
    for key in parts:
        if key not in keys:
            near = nearest(str(key), map(str, keys))
            raise ValueError(f"`{name}` has a part {key!r}, which x0 has not.{near}")
    for key, part in node.parts:
        if key in parts:
            yield from leaves_of(part, parts[key], f"{name}.{key}", whole)
        elif whole:
            raise ValueError(f"`{name}` lacks the part {key!r}, which x0 has.")


def low_and_high(pair: Any, path: str) -> tuple[Any, Any]:
    """Return a pair of bounds; None stands for two of them."""
    refuse_masked(path, pair)
    if pair is None:
        return None, None
    if not isinstance(pair, tuple | list | np.ndarray) or len(pair) != 2:
        raise ValueError(f"`{path}` must be a pair (lower, upper); got {pair!r}.")
    return pair[0], pair[1]


Shape = tuple[int, ...]


def node_of(
    tree: Any, name: str, first: int, shape_of: Callable[[Any, str], Shape]
) -> Leaf | Branch:
    """Return how a tree lies in a vector from `first` on; `shape_of` looks at its leaves."""
    parts = members(tree)
    if parts is None:
        return Leaf(first, shape_of(tree, name))
    nodes, start = [], first
    for key, part in parts.items():
        nodes.append((key, node_of(part, f"{name}.{key}", first, shape_of)))
        first = nodes[-1][1].stop
    return Branch(dict if isinstance(tree, Mapping) else type(tree), tuple(nodes), start)


def shape_of(leaf: Any, name: str) -> Shape:
    """Return the shape of a leaf."""
    return tuple(leaf.shape) if hasattr(leaf, "shape") else real_array(leaf, name).shape


def structure_of_bounds(bounds: Any) -> Structure:
    """Return the structure of a tree of pairs of bounds."""

    def shape_of_both(pair: Any, name: str) -> Shape:
        low, high = low_and_high(pair, name)
        if low is None or high is None:
            raise ValueError(f"`{name}` must be finite, as starts lie between; got {pair!r}.")
        sides = [real_array(side, name).shape for side in (low, high)]
        return max(sides, key=len)  # a number is one for all

    return structure_of(bounds, "bounds", 0, shape_of_both)


def structure_of(
    tree: Any, name: str, axes: int = 0, shape: Callable[[Any, str], Shape] = shape_of
) -> Structure:
    """Return the structure of a tree with at least one element; `axes` lead in each leaf."""
    paths = set()

    def own_shape(leaf: Any, path: str) -> Shape:
        if path in paths:
            raise ValueError(f"`{name}` must not have two parts of one name; got `{path}` twice.")
        paths.add(path)
        return shape(leaf, path)[axes:]

    structure = Structure(node_of(tree, name, 0, own_shape))
    if structure.size == 0:
        raise ValueError(f"`{name}` must have at least one element; got {tree!r}.")
    return structure


def names_of(tree: Any, axes: int = 0, most: int | None = None) -> tuple[str, ...]:
    """Return what the elements of a tree, or of a vector, are called, at `most` so many."""
    structure = structure_of(tree, "x", axes)
    return tuple(map(structure.name_of, range(structure.size)[:most]))


def is_tree(x0: Any) -> bool:
    """Return whether x0 is a dict or a NamedTuple."""
    return not isinstance(x0, np.ndarray | list) and members(x0) is not None


def start_of(x0: Any, name: str = "x0") -> tuple[Vector | Structure, np.ndarray]:
    """Return the structure of a start, and the start as a new vector."""
    if not is_tree(x0):
        x0 = real_array(x0, name)
        if x0.ndim < 2:
            return VECTOR, start_vector(x0, name)
    structure = structure_of(x0, name)
    vector = _vectors(structure, x0, name)
    check_finite(vector, name, structure.name_of)
    return structure, vector


def starts_of(x0: Any, data: tuple) -> tuple[Vector | Structure, Any, int | None]:
    """Return the structure of one of many starts, the starts as vectors, and how many problems there are.

    Each leaf of a tree has a leading axis of problems, or none has and there is one start for all problems
    of `data`. An array of more than two axes has that axis. Of vectors the number is not looked for.
    """
    if on_device(x0):
        return VECTOR, x0, None
    tree = is_tree(x0)
    if not tree:
        x0 = real_array(x0)
        if x0.ndim < 3:
            return VECTOR, x0, None
    one = structure_of(x0, "x0")
    shapes = [leaf.shape for leaf, _, _ in leaves_of(one.root, x0, "x0")]
    lengths, count = {shape[:1] for shape in shapes}, np.shape(data[0])[:1] if data else ()
    if len(lengths) == 1 and lengths != {()} and (not tree or not data or lengths == {count}):
        (count,) = lengths
        one = structure_of(x0, "x0", axes=1)
        return one, _vectors(one, x0, "x0", *count), count[0]
    if count:
        return one, _vectors(one, x0, "x0"), count[0]
    raise ValueError(
        "`x0` must have a leading axis of B problems in each of its parts where there is no `data`; got the"
        f" shapes {', '.join(map(str, shapes))}."
    )


def _vectors(structure: Structure, tree: Any, name: str, *rows: int) -> np.ndarray:
    """Return parameters as a new vector, or as so many rows; it is of float32 if all of them are."""
    dtypes = []
    for _, part, path in leaves_of(structure.root, tree, name):
        if on_device(part):
            raise TypeError(
                f"`{path}` is on a GPU, where x0 is one vector: copy it to the host, or pass a vector."
            )
        dtypes.append(working_dtype(real_array(part, path)))
    return structure.put(tree, name, np.empty((*rows, structure.size), np.result_type(*dtypes)))
