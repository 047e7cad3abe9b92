"""Pictures of fits: the curve with its band, and what is known of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .figures import axes_or_new, grid_of_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE = 200  # points of a curve
WIDE = 2.5  # standard errors to either side that a profile shows


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
    both = np.atleast_1d(grid_of_axes(ax, 2, sharex=True, height_ratios=(3, 1)))
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
    from .._run.covariance import correlation_of

    p, covariance = _parameters(result)
    if covariance.ndim != 2:
        raise ValueError("`result` must be of one fit; got many: pick one, as `result[17]`.")
    matrix, names, ax = correlation_of(covariance), _names(result, p.size), axes_or_new(ax)
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

    from .._minimize import minimize
    from .._problem.arguments import limits, unbounded
    from .._problem.structure import start_of

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
    ax = axes_or_new(ax)
    ax.plot(best[i] + offsets, rises, label="profile")
    ax.plot(best[i] + offsets, rise * (offsets / error) ** 2, "--", label="parabola of the error")
    ax.axhline(rise, color="gray", linewidth=0.7)
    if ends is not None:
        for end in ends[i][np.isfinite(ends[i])]:
            ax.axvline(end, color="tab:red", linewidth=0.7)
    ax.set(xlabel=names[i], ylabel="rise of f", ylim=(0, None))
    ax.legend()
    return ax


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
