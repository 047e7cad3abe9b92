"""Pictures of runs, fits and batches.

Each function takes ``ax``, draws there or in a new figure, and returns the axes. Matplotlib is imported when
a picture is drawn: ``pip install "adamnb[plot]"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["convergence", "correlation", "fit", "history", "maps", "profile", "trajectory"]

CURVE, LEVELS, GRID = (
    200,
    12,
    100,
)  # points of a curve, contours, and points of a side of their grid
WIDE = 2.5  # standard errors to either side that a profile shows
STATUS = {
    0: "converged",
    1: "limit reached",
    2: "no progress",
    3: "not finite",
    4: "out of time",
    5: "raised",
    99: "stopped",
}


# ------------------------------------------------------------------------------------------- runs


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
    ax = _axes(ax)
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
    ax = _axes(ax)
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


# ------------------------------------------------------------------------------------------- fits


def fit(
    f: Callable,
    xdata: Any,
    ydata: Any,
    result: Any,
    sigma: Any = None,
    *,
    band: float = 1.0,
    ax: Any = None,
) -> Any:
    """Draw data, the curve with its confidence band, and the residuals.

    Parameters
    ----------
    f : callable
        Model ``f(x, *params)``, as `curve_fit` takes it.
    xdata, ydata : array_like, shape (m,)
        The data.
    result : CurveFit or Result
        Of one curve: from `curve_fit`, or from `minimize` with `errors`.
    sigma : float or array_like, shape (m,) or (m, m), optional
        Standard errors of the data, drawn as bars, or their covariance.
    band : float
        Half the width of the band in standard errors of the curve. These are had from the covariance by
        the delta method: the root of ``J C J^T`` with J the derivatives by the parameters. 0 draws none.
    ax : Axes, or pair of them, optional
        Where to draw: curve and residuals, or with a single one the curve alone.

    Returns
    -------
    Axes, or ndarray of two of them
        As `ax` was given; two in a new figure.
    """
    x, y = np.asarray(xdata, float), np.asarray(ydata, float)
    p, covariance = _parameters(result)
    if p.ndim != 1:
        raise ValueError(f"`result` must be of one curve; got {p.shape[:-1]} of them: pick one.")
    if x.ndim != 1 or y.shape != x.shape:
        raise ValueError(
            f"`xdata` and `ydata` must be of one shape (m,); got {x.shape} and {y.shape}."
        )
    if x.size == 0:
        raise ValueError("`xdata` must have at least one point; got none.")
    if not band >= 0:
        raise ValueError(f"`band` must be a number >= 0; got {band!r}.")
    bars = {} if sigma is None else {"yerr": _errors(sigma, x.size)}
    both = np.atleast_1d(_grid_of_axes(ax, 2, sharex=True, height_ratios=(3, 1)))
    order, there = np.argsort(x), _values(f, x, p)
    grid = np.union1d(np.linspace(x.min(), x.max(), CURVE), x)
    drawn = _values(f, grid, p)
    if not np.allclose(drawn[np.searchsorted(grid, x)], there, rtol=1e-9, atol=0):
        grid, drawn = x[order], there[order]  # a model of the whole of x is right at the data alone
    upper = both[0]
    upper.errorbar(x, y, fmt="o", markersize=3, linewidth=1, color="tab:gray", label="data", **bars)
    upper.plot(grid, drawn, color="tab:red", label="fit")
    if band and np.isfinite(covariance).all():
        spread = band * _spread(f, grid, p, covariance)
        upper.fill_between(
            grid, drawn - spread, drawn + spread, color="tab:red", alpha=0.25, linewidth=0,
            label=f"{band:g} standard error{'s' * (band != 1)}",
        )  # fmt: skip
    upper.legend()
    if len(both) > 1:
        both[1].errorbar(x, y - there, fmt="o", markersize=3, linewidth=1, color="tab:gray", **bars)
        both[1].axhline(0.0, color="tab:red", linewidth=1)
        both[1].set(ylabel="residuals")
    both[-1].set(xlabel="x")
    return both if len(both) > 1 else upper


def correlation(result: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the correlations of the parameters of one fit, with their numbers.

    Parameters
    ----------
    result : Result or CurveFit
        Of `minimize` with `errors`, or of `curve_fit`.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        With an image of the matrix, from -1 to 1.
    """
    from ._run.covariance import correlation_of

    p, covariance = _parameters(result)
    if covariance.ndim != 2:
        raise ValueError("`result` must be of one fit; got many: pick one, as `result[17]`.")
    matrix, names, ax = correlation_of(covariance), _names(result, p.size), _axes(ax)
    image = ax.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r")
    for (i, j), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            shade = "white" if abs(value) > 0.6 else "black"
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", color=shade, fontsize=8)
    ax.set_xticks(range(p.size), names, rotation=45, ha="right")
    ax.set_yticks(range(p.size), names)
    ax.figure.colorbar(image, ax=ax, label="correlation")
    return ax


def profile(
    fun: Callable,
    result: Any,
    variable: int | str = 0,
    args: tuple = (),
    *,
    jac: Any = None,
    bounds: Any = None,
    rise: float = 1.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the profile of a variable: by how much f rises, at its minimum over all others.

    Where it leaves the parabola of the standard error, an interval by `profile` says more than the error.

    Parameters
    ----------
    fun, args, jac, bounds
        As `minimize` had them.
    result : Result
        Of `minimize` with `errors`.
    variable : int or str
        Number of the variable, or its name.
    rise : float
        By how much f rises within one standard error: 1 for ``errors="chi2"``, 0.5 for "likelihood", and
        for "least_squares" ``result.fun / (n_data - n)``.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        With two lines, profile and parabola, and the ends of the interval if `result` has them.
    """
    from scipy.optimize import Bounds

    from ._minimize import minimize
    from ._problem.arguments import limits, unbounded
    from ._problem.structure import start_of

    names, (_, covariance) = result.names, _parameters(result)
    i = _number_of(variable, names)
    error = float(result.stderr[i])
    if not (np.isfinite(error) and error > 0):
        raise ValueError(f"`result` has no standard error of {names[i]}: its profile has no scale.")
    if not rise > 0:
        raise ValueError(f"`rise` must be a number > 0; got {rise!r}.")
    if bounds is None and result.at_bound.any():
        held = names[int(np.flatnonzero(result.at_bound)[0])]
        raise ValueError(f"`bounds` must be those of the fit, which held {held}; got None.")
    structure, best = start_of(result.params)
    pair = limits(structure.bounds(bounds), best.shape, best.dtype, structure.where)
    lower, upper = pair or unbounded(best.shape)
    way = np.nan_to_num(covariance[:, i] / covariance[i, i])  # of the minimum, as variable i grows
    offsets = np.linspace(-WIDE, WIDE, 21) * error
    ends = result.get("intervals")
    if ends is not None and np.isfinite(ends[i]).all():
        offsets = np.union1d(offsets, ends[i] - best[i])
    offsets = offsets[(best[i] + offsets >= lower[i]) & (best[i] + offsets <= upper[i])]
    rises = []
    for offset in offsets:
        low, high = lower.copy(), upper.copy()
        low[i] = high[i] = best[i] + offset
        start = structure.take(np.clip(best + offset * way, low, high))
        least = minimize(fun, start, args, jac=jac, bounds=Bounds(low, high), verify=0)
        rises.append(least.fun - result.fun)
    ax = _axes(ax)
    ax.plot(best[i] + offsets, rises, label="profile")
    ax.plot(best[i] + offsets, rise * (offsets / error) ** 2, "--", label="parabola of the error")
    ax.axhline(rise, color="gray", linewidth=0.7)
    if ends is not None:
        for end in ends[i][np.isfinite(ends[i])]:
            ax.axvline(end, color="tab:red", linewidth=0.7)
    ax.set(xlabel=names[i], ylabel="rise of f", ylim=(0, None))
    ax.legend()
    return ax


# ------------------------------------------------------------------------------------------- batches


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
    axes = np.atleast_1d(_grid_of_axes(ax, len(names)))
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
    ax = _axes(ax)
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


# ------------------------------------------------------------------------------------------- what they share


def _axes(ax: Axes | None) -> Axes:
    """Return where to draw, in a new figure if need be."""
    return _pyplot().subplots(layout="constrained")[1] if ax is None else ax


def _grid_of_axes(ax: Any, count: int, **layout: Any) -> Any:
    """Return the caller's axes, or so many in a new figure: under each other, or as many maps."""
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, object))
        if given.size != count and not (layout and given.size == 1):
            raise ValueError(f"`ax` must be a sequence of {count} Axes; got {given.size}.")
        return given
    if layout:
        return _pyplot().subplots(count, layout="constrained", **layout)[1]
    columns = min(count, 3)
    rows = -(-count // columns)
    size = (3.4 * columns, 2.8 * rows)
    axes = _pyplot().subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")[1]
    for unused in axes.flat[count:]:
        unused.remove()
    return axes.ravel()[:count]


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError('Pictures need Matplotlib: pip install "adamnb[plot]".') from None
    return pyplot


def _parameters(result: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return parameters and covariance of what `curve_fit` or `minimize` returned."""
    if hasattr(result, "popt"):
        return result.popt, result.pcov
    if isinstance(result, Mapping) and "covariance" in result:
        return result["x"], result["covariance"]
    raise ValueError(
        "`result` has no covariance: it must come from `curve_fit`, or from `minimize` with `errors`."
    )


def _names(result: Any, n: int) -> tuple[str, ...]:
    """Return what the parameters are called."""
    return tuple(f"p[{i}]" for i in range(n)) if hasattr(result, "popt") else result.names


def _number_of(variable: int | str, names: tuple[str, ...]) -> int:
    """Return the number of a variable that is given by number or name."""
    if isinstance(variable, str) and variable in names:
        return names.index(variable)
    if isinstance(variable, int | np.integer) and -len(names) <= variable < len(names):
        return int(variable) % len(names)
    raise ValueError(
        f"`variable` must be a number below {len(names)} or one of {', '.join(names)}; got {variable!r}."
    )


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


def _height(fun: Callable, x: Any, args: tuple) -> float:
    """Return f at a point that it may not be defined at: NaN there."""
    try:
        with np.errstate(all="ignore"):
            f = float(fun(np.array(x), *args))
    except (ArithmeticError, ValueError):
        return np.nan
    return f if np.isfinite(f) else np.nan


def _errors(sigma: Any, m: int) -> np.ndarray:
    """Return the standard errors of m points that `curve_fit` may have as `sigma`."""
    errors = np.asarray(sigma, float)
    if errors.shape == (m, m):
        errors = np.sqrt(np.diag(errors))
    if errors.shape not in ((), (1,), (m,)) or not (errors >= 0).all():
        raise ValueError(
            f"`sigma` must be numbers >= 0, one, {m} or the covariance of {m}; got shape {errors.shape}."
        )
    return np.broadcast_to(errors, (m,))


def _values(f: Callable, x: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return a curve; a Numba model may take a single point."""
    from numba.core.errors import TypingError

    try:
        values = np.asarray(f(x, *p), float)
    except (TypeError, TypingError):
        values = np.empty(0)
    return values if values.shape == x.shape else np.array([float(f(one, *p)) for one in x])


def _spread(f: Callable, x: np.ndarray, p: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the standard error of a curve by the delta method, with derivatives of both sides."""
    errors = np.sqrt(np.diag(covariance))
    rows = []
    for i in range(p.size):
        step = 1e-3 * errors[i] or np.cbrt(np.finfo(float).eps) * max(abs(p[i]), 1.0)
        ahead, behind = p.copy(), p.copy()
        ahead[i] += step
        behind[i] -= step
        rows.append((_values(f, x, ahead) - _values(f, x, behind)) / (ahead[i] - behind[i]))
    jac = np.array(rows)
    return np.sqrt(np.maximum(np.einsum("im,ij,jm->m", jac, covariance, jac), 0.0))


def _map_of_status(axis: Axes, status: np.ndarray) -> None:
    """Draw the status of each point, a colour for each, with what they are called."""
    kinds = np.unique(status)
    colours = _pyplot().get_cmap("tab10" if kinds.size > 1 else "Greens_r", max(kinds.size, 2))
    image = axis.imshow(
        np.searchsorted(kinds, status), cmap=colours, vmin=-0.5, vmax=max(kinds.size, 2) - 0.5
    )
    bar = axis.figure.colorbar(image, ax=axis, shrink=0.7, ticks=range(kinds.size))
    bar.ax.set_yticklabels([STATUS[kind] for kind in kinds.tolist()])
