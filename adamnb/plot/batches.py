"""Pictures of many problems, or of many curves: maps, and how many have converged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .figures import axes_or_new, grid_of_axes, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STATUS = {
    0: "converged",
    1: "limit reached",
    2: "no progress",
    3: "not finite",
    4: "out of time",
    5: "raised",
    99: "stopped",
}


def maps(result: Any, *shape: int, names: Sequence[str] | None = None, ax: Any = None) -> Any:
    """Draw what a batch found as maps: each variable, its standard error, and the status.

    Parameters
    ----------
    result : BatchResult or CurveFit
        Of `minimize_batch` or of `curve_fit` of many curves.
    *shape : int
        Height and width of a map whose points are the problems, row after row; that of `ydata`, without
        the points, if it has two such axes.
    names : sequence of str, optional
        Which maps: keys of ``result.columns``, or "x0", "stderr_x0", ... and "status" of curves. By default
        all variables, all standard errors, and the status.
    ax : sequence of Axes, optional
        Where to draw, one for each map.

    Returns
    -------
    ndarray of Axes
        One for each map. Where a problem has no success a map of values is empty.
    """
    columns, lead = _columns(result)
    shape = shape or lead
    whole = all(isinstance(side, int | np.integer) and side > 0 for side in shape)
    if len(shape) != 2 or not whole or np.prod(shape) != columns["status"].size:
        raise ValueError(
            f"`shape` must be the height and the width of a map of {columns['status'].size} points; got"
            f" {shape}."
        )
    if names is None:
        others = {"fun", "success", "nit", "nfev", "message", "status"}
        names = [*(name for name in columns if name not in others), "status"]
    if not names:
        raise ValueError("`names` must have at least one name; got none.")
    for name in names:
        if name not in columns:
            raise ValueError(f"`names` must be of {', '.join(columns)}; got {name!r}.")
    axes = np.atleast_1d(grid_of_axes(ax, len(names)))
    good = columns["status"].reshape(shape) == 0
    for axis, name in zip(axes.flat, names, strict=True):
        values = columns[name].reshape(shape)
        if name == "status":
            _map_of_status(axis, values)
        else:
            image = axis.imshow(np.where(good, values.astype(float), np.nan))
            axis.figure.colorbar(image, ax=axis, shrink=0.7)
        axis.set(title=name, xticks=(), yticks=())
    return axes


def convergence(result: Any, *, ax: Axes | None = None) -> Axes:
    """Draw which part of a batch has converged within so many evaluations.

    Parameters
    ----------
    result : BatchResult or CurveFit
        Of `minimize_batch` or of `curve_fit` of many curves.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        With a line of steps that ends at the part that converged at all; its title says how the others
        ended.
    """
    columns, _ = _columns(result)
    status, nfev = columns["status"], columns["nfev"]
    took = np.sort(nfev[status == 0])
    ax = axes_or_new(ax)
    steps = np.concatenate([[0], took, [max(nfev.max(initial=0), 1)]])
    parts = np.concatenate([[0], np.arange(1, took.size + 1), [took.size]]) / max(status.size, 1)
    ax.step(steps, parts, where="post")
    kinds, counts = np.unique(status, return_counts=True)
    said = [
        f"{STATUS[kind]}: {count:,}" for kind, count in zip(kinds.tolist(), counts, strict=True)
    ]
    ax.set(xlabel="evaluations of f", ylabel="part that has converged", ylim=(0, 1.02))
    ax.set_title(", ".join(said), fontsize="medium")
    return ax


def _columns(result: Any) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    """Return the columns of many problems or curves, and the axes that they had."""
    if hasattr(result, "columns"):
        return result.columns, result.fun.shape
    if not hasattr(result, "popt") or result.popt.ndim < 2:
        raise ValueError("`result` must be of many problems, from `minimize_batch` or `curve_fit`.")
    lead, n = result.popt.shape[:-1], result.popt.shape[-1]
    columns = {f"x{i}": result.popt[..., i].ravel() for i in range(n)}
    columns |= {f"stderr_x{i}": result.perr[..., i].ravel() for i in range(n)}
    return columns | {name: getattr(result, name).ravel() for name in ("status", "nfev")}, lead


def _map_of_status(axis: Axes, status: np.ndarray) -> None:
    """Draw the status of each point, a colour for each, with what they are called."""
    kinds = np.unique(status)
    colours = pyplot().get_cmap("tab10" if kinds.size > 1 else "Greens_r", max(kinds.size, 2))
    image = axis.imshow(
        np.searchsorted(kinds, status), cmap=colours, vmin=-0.5, vmax=max(kinds.size, 2) - 0.5
    )
    bar = axis.figure.colorbar(image, ax=axis, shrink=0.7, ticks=range(kinds.size))
    bar.ax.set_yticklabels([STATUS[kind] for kind in kinds.tolist()])
