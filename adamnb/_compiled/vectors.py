"""The vectors that a run remembers."""

from typing import Any, NamedTuple


class Vectors(NamedTuple):
    """The vectors of a run, in the dtype of x. What a run does not need is None."""

    x: Any  # shape (3, n): best, current and next point
    g: Any  # shape (2, n): current and best gradient
    slots: Any  # shape (slots of the rule, n): the method's memory
    spare: Any  # shape (n,), as below: the current point, which the user's functions may spoil
    factors: Any = None  # of the learning rate, variable by variable
    previous: Any = None  # the previous step, before `factors`' product with the learning rate
    scale: Any = None  # typical size of each variable
    lower: Any = None
    upper: Any = None
    roots: Any = None  # shape (m,), float64: root corrections that problems share; m = 0 for one
    steps: Any = None  # shape (m, n), in units of scale: see `pairs`
    changes: Any = None  # shape (m, n), of the gradient
    table: Any = None  # shape (2 m + 4, m), float64
    order: Any = None  # shape (2 m,), int64: which pairs hold at once
    metric: Any = None  # the diagonal that pairs start from
    free: Any = None  # 1 for a variable that no bound holds, else 0
    sums: Any = None  # shape (2 m + 2,), float64: what passes over all elements add up
    parts: Any = None  # for threads: shape (chunks of elements, 2 m + 2), float64
    algebra: Any = None  # an `Algebra`
    ranks: Any = None  # an `Exchange`, where other ranks have other variables
    chunks: Any = None  # shape (4, m), float64: norms and sums of chunks of elements, for threads


class Algebra(NamedTuple):
    """The functions of `curvature`, compiled once for all loops."""

    judge: Any
    step: Any


X_ROWS, G_ROWS = 3, 2  # of `Vectors.x` and `Vectors.g`


def nothing_after(count: int) -> tuple[None, ...]:
    """Return all fields of `Vectors` but the first ones, as where a run needs none of them.

    In compiled code a field that is left to its default is none at all.
    """
    return (None,) * (len(Vectors._fields) - count)
