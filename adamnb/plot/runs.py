"""Pictures of runs: what they went through, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .figures import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS, GRID = 12, 100  # contours, and points of a side of their grid


def history(result: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how a run went: f above the best, gradient norm and learning rate of every point.

    Parameters
    ----------
    result : Result
        Of `minimize` with ``history=True``.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        With three lines on a logarithmic scale; the best point itself has no place there.

    Examples
    --------
    >>> import adamnb
    >>> run = adamnb.minimize(lambda x: (x**2).sum(), [1.0, 2.0], history=True)
    >>> adamnb.plot.history(run)  # doctest: +SKIP
    """
    kept = result.get("history")
    if kept is None:
        raise ValueError(
            "`result` has no history: run `minimize` with `history=True`, and plot that."
        )
    ax = axes_or_new(ax)
    above = kept["fun"] - np.min(kept["fun"])
    lines = {
        "f above the best": np.where(above > 0, above, np.nan),
        "gradient norm": kept["gradient_norm"],
        "learning rate": kept["learning_rate"],
    }
    for label, values in lines.items():
        ax.plot(np.arange(len(values)), values, label=label, linewidth=1.2)
    ax.set(xlabel="evaluation", yscale="log")
    ax.legend()
    return ax


def trajectory(
    fun: Callable,
    path: Any,
    args: tuple = (),
    *,
    box: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the way of a run of two variables over the contours of f.

    Parameters
    ----------
    fun : callable
        Objective ``fun(x, *args)`` of two variables.
    path : array_like, shape (k, 2), or list of such points
        Where the run was, as a callback sees it: ``callback=path.append``.
    args : tuple
        Further arguments of `fun`.
    box : pair of pairs, optional
        What is shown, ``((low, high), (low, high))``; by default the path and a margin.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        With contours, lower by equal factors towards the lowest value that is shown, and the path. There are
        none where f is not finite, or raises an `ArithmeticError` or a `ValueError`.
    """
    points = np.asarray(path, float)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(f"`path` must have shape (k, 2), of two variables; got {points.shape}.")
    if not np.isfinite(points).all():
        raise ValueError(f"`path` must be finite; got {points[~np.isfinite(points)][0]}.")
    if box is None:
        low, high = points.min(axis=0), points.max(axis=0)
        margin = 0.15 * np.where(high > low, high - low, 1.0)
        box = np.stack([low - margin, high + margin], axis=1)
    elif np.shape(box) != (2, 2) or not (np.diff(box) > 0).all():
        raise ValueError(f"`box` must be ((low, high), (low, high)) with low < high; got {box!r}.")
    ax = axes_or_new(ax)
    sides = [np.linspace(low, high, GRID) for low, high in box]
    values = np.array([[_height(fun, [a, b], args) for a in sides[0]] for b in sides[1]])
    seen = values[np.isfinite(values)]
    if seen.size and (height := np.ptp(seen)) > 0:
        lowest = np.nanmin([seen.min(), *(_height(fun, point, args) for point in points)])
        levels = lowest + height * np.logspace(-4, 0, LEVELS)
        ax.contour(*sides, values, levels=levels, colors="tab:gray", linewidths=0.7)
    ax.plot(*points.T, "o-", color="tab:red", markersize=3, linewidth=1)
    ax.plot(*points[-1], "*", color="black", markersize=9)
    ax.set(xlabel="x[0]", ylabel="x[1]")
    return ax


def _height(fun: Callable, x: Any, args: tuple) -> float:
    """Return f at a point that it may not be defined at: NaN there."""
    try:
        with np.errstate(all="ignore"):
            f = float(fun(np.array(x), *args))
    except (ArithmeticError, ValueError):
        return np.nan
    return f if np.isfinite(f) else np.nan
