"""Where pictures are drawn: the caller's axes or new ones, by Matplotlib, imported as late as that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes_or_new(ax: Axes | None) -> Axes:
    """Return where to draw, in a new figure if need be."""
    return pyplot().subplots(layout="constrained")[1] if ax is None else ax


def grid_of_axes(ax: Any, count: int, **layout: Any) -> Any:
    """Return the caller's axes, or so many in a new figure: under each other, or as many maps."""
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, object))
        if given.size != count and not (layout and given.size == 1):
            raise ValueError(f"`ax` must be a sequence of {count} Axes; got {given.size}.")
        return given
    if layout:
        return pyplot().subplots(count, layout="constrained", **layout)[1]
    columns = min(count, 3)
    rows = -(-count // columns)
    size = (3.4 * columns, 2.8 * rows)
    axes = pyplot().subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")[1]
    for unused in axes.flat[count:]:
        unused.remove()
    return axes.ravel()[:count]


def pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError('Pictures need Matplotlib: pip install "adamnb[plot]".') from None
    return pyplot
