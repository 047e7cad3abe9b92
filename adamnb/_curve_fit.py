"""`curve_fit`: models fitted to data by Levenberg-Marquardt, one curve or many."""

import time
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any, Literal, Unpack

import numpy as np
from numba.core.registry import CPUDispatcher
from scipy.linalg import qr
from scipy.optimize import OptimizeWarning

from ._compiled import machine_code as code
from ._compiled.curves import Found
from ._compiled.misfit import LOSSES, POISSON
from ._compiled.reasons import CONVERGED, GOING, INTERRUPTED, RAISED, WRONG_SHAPE
from ._problem import annotations
from ._problem.annotations import Jacobian, Tolerances
from ._problem.arguments import FORWARD, PUBLIC_SCHEMES
from ._problem.curves import Curves, Errors, checked_x, checked_y, data_of, starts_and_bounds
from ._problem.model import PythonModel, compiled_rows, count_parameters
from ._problem.options import OPTIONS, check, suggest
from ._run.covariance import stderr_of
from ._run.fits import CompiledFits, Part, PythonFits, choices_of
from ._run.fitted import CurveFit, said_of, said_of_many
from ._run.progress import Progress
from ._run.result import attach
from ._run.team import handed_out

METHODS = (None, "lm", "trf", "dogbox")
TOLERANCES = {"ftol": 1e-10, "xtol": 1e-10, "gtol": 1e-6}
EVALUATIONS = 100  # for each parameter, and once more
BLOCK = 64  # curves of a Python model between two looks at `progress`


def curve_fit(
    f: Callable,
    xdata: Any,
    ydata: Any,
    p0: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    check_finite: bool | None = None,
    bounds: Any = (-np.inf, np.inf),
    method: Literal["lm", "trf", "dogbox"] | None = None,
    jac: Jacobian = None,
    *,
    full_output: bool = False,
    nan_policy: Literal["raise", "omit"] | None = None,
    loss: Literal["linear", "soft_l1", "huber", "cauchy", "arctan"] = "linear",
    f_scale: float = 1.0,
    cost: Literal["least_squares", "poisson"] = "least_squares",
    weights: Any = None,
    threads: int | None = None,
    progress: annotations.Progress = False,
    **tolerance: Unpack[Tolerances],
) -> CurveFit:
    """Fit a model to one curve, or to each of many, with standard errors.

    The call is that of `scipy.optimize.curve_fit`. A Numba model is differentiated exactly and the
    whole fit runs in machine code, many curves on threads; there is no gradient to write.

    Parameters
    ----------
    f : callable
        Model ``f(x, *params)``: a Numba function or a Python function. A Numba function may also
        take a single point of x and return its value.
    xdata : array_like, shape (m,) or (k, m), or any object
        Where the data are, the same for all curves. `f` gets it as it is; lists and arrays as float64,
        and a Numba function the arrays of pandas and xarray.
    ydata : array_like, shape (m,) or (..., m)
        The data; each row is a curve of its own. The mask of a masked array is heeded: such points
        do not count.
    p0 : array_like, shape (n,) or (..., n), optional
        Starts, within the bounds. Without one it is 1, or within the bounds, where the signature of
        `f` says how many parameters there are.
    sigma : float or array_like, shape (m,), (..., m) or (m, m), optional
        Standard errors of the data, or, for one curve, their covariance. A point with an infinite
        one does not count.
    absolute_sigma : bool
        Whether `sigma` is in the units of the data. If not, it is scaled by what the residuals tell.
    check_finite : bool, optional
        Whether to refuse data that are not finite. By default one curve is refused, and of many the
        one that is not finite fails alone.
    bounds : pair of float or array_like, or `scipy.optimize.Bounds`
        Lower and upper bounds, each a number or of shape (n,) or (..., n). The model is evaluated
        within them only. A parameter whose bounds are equal is fixed.
    method : "lm", "trf", "dogbox" or None
        Taken as SciPy takes it ("lm" wants no bounds, and as many points as parameters), but there is
        one method here, of Levenberg and Marquardt with bounds.
    jac : callable, "forward", "2-point", "3-point", "cs" or None
        Jacobian ``jac(x, *params)`` of shape (m, n), or how it is had: exactly ("forward") or by
        differences. None is exact for a Numba function if there are rules for what it does, else
        differences: of both sides for a Numba function; of a Python function forward ones first, and
        of both sides at the end, for the last digits and the covariance.
    full_output : bool
        Whether to return SciPy's ``popt, pcov, infodict, mesg, ier``.
    nan_policy : "raise", "omit" or None
        "omit" leaves points with a NaN out.
    loss : "linear", "soft_l1", "huber", "cauchy" or "arctan"
        Of the squared residuals in units of `f_scale`, as in `scipy.optimize.least_squares`.
    f_scale : float
        Residual, in units of sigma, from which points count less.
    cost : "least_squares" or "poisson"
        "poisson" is the fit of counts by maximum likelihood: `f` is what is expected, and must be
        positive, which `bounds` see to. The covariance is the inverse of Fisher's information.
    weights : array_like, shape (m,) or (..., m), optional
        In place of `sigma`: ``1 / sigma**2``. 0 or False for a point that does not count.
    threads : int, optional
        Number of threads over curves; all cores by default.
    progress : bool, callable, `logging.Logger`, or pair of one of them and seconds
        True shows a bar (needs tqdm); a callable gets ``(curves done, curves)``, and `StopIteration`
        from it ends the fits; a logger gets a line every 10 s, with ``(logger, 60)`` every 60 s.
    ftol, xtol : float
        Relative reduction of the cost, and relative length of a step in units in which every
        parameter changes the curve as much: the last one and the next that is promised must both be
        within. Default 1e-10.
    gtol : float
        Distance from the minimum in standard errors, as the linearised model has it: the cosine of the
        angle between the residuals and all that the model can change, times the root of the degrees
        of freedom. Default 1e-6.
    max_nfev, maxfev : int
        Most evaluations of the model. Default 100 (n + 1).

    Returns
    -------
    CurveFit
        Unpacks into ``popt, pcov``, and has `perr`, `cost`, `status` and more as attributes. For
        `ydata` of shape (..., m) these are arrays: `popt` has shape (..., n), `pcov` (..., n, n).

    Raises
    ------
    TypeError, ValueError
        For a wrong argument, before anything is computed.
    RuntimeError
        If the fit of one curve fails; it has an attribute `adamnb_result`. Of many curves, those that
        fail say so in `status`, and have NaN in `pcov`.
    Exception
        What `f` raised, for one curve, or in all of many.

    Warns
    -----
    OptimizeWarning
        If the data do not determine the parameters: `pcov` is infinite.

    Notes
    -----
    Steps are those of Moré (1978): least squares of the linearised model by a QR decomposition, within a
    radius in units of the columns of the Jacobian. A parameter that a step takes across a bound moves to
    the bound, and the others are solved for again. A success says that the point met its test *and* that
    the linearised model promises no more there.

    A Numba model is called point by point where that gives what it gives for the whole array, checked
    at the start and at another place; one with sums or recursions over x gets the array.

    References
    ----------
    J. J. Moré, The Levenberg-Marquardt algorithm: implementation and theory (1978);
    T. A. Laurence & B. A. Chromy, Nature Methods 7 (2010), for counts.

    Examples
    --------
    >>> import numba, numpy as np, adamnb
    >>> @numba.njit
    ... def decay(t, a, k):
    ...     return a * np.exp(-k * t)
    >>> t = np.linspace(0, 4, 20)
    >>> popt, pcov = adamnb.curve_fit(decay, t, 3 * np.exp(-0.5 * t))
    >>> popt.round(4).tolist()
    [3.0, 0.5]
    >>> rates = np.array([0.5, 1.0, 2.0])
    >>> fits = adamnb.curve_fit(decay, t, 3 * np.exp(-rates[:, None] * t))
    >>> fits.popt.round(4).tolist()
    [[3.0, 0.5], [3.0, 1.0], [3.0, 2.0]]
    """
    started, compile_before = time.perf_counter(), code.seconds
    _check_names(f, method, jac, loss, cost)
    _check_flags(absolute_sigma, full_output, check_finite)
    _check_keywords(tolerance)
    if threads is not None:
        check("threads", threads, OPTIONS["threads"])
    x, (y, counted) = checked_x(xdata, isinstance(f, CPUDispatcher)), checked_y(ydata)
    n = count_parameters(f, p0)
    lead = y.shape[:-1]
    p, limits = starts_and_bounds(p0, bounds, n, lead)
    if y.size == 1 and not lead:
        y = np.broadcast_to(y.reshape(()), np.shape(f(x, *p[0])) or (1,))
    errors = Errors(sigma, weights, cost == "poisson", check_finite, nan_policy)
    data = data_of(x, y, counted, errors)
    curves = Curves(data, p, limits)
    _check_method(method, limits, n, curves.m)
    choices = _tolerances(tolerance, n)
    absolute = bool(absolute_sigma) or errors.poisson
    kind = POISSON if errors.poisson else LOSSES.index(loss)
    record = choices_of(kind, _positive("f_scale", f_scale), absolute, choices)
    fits = _fits(f, jac, curves, record)
    found, part = _solve(fits, curves, threads, Progress(progress, curves.count))
    attributes = {"gradient": fits.model.gradient, "compiled": isinstance(fits, CompiledFits)}
    attributes["time"] = time.perf_counter() - started
    attributes["compile_time"] = code.seconds - compile_before
    return _result(found, part, lead, choices, full_output, attributes)


# -------------------------------------------------------------------------------------- what is asked for


def _check_names(f: Any, method: Any, jac: Any, loss: Any, cost: Any) -> None:
    """Refuse what is none of the names there are."""
    if not callable(f):
        raise TypeError(f"`f` must be callable; got {type(f).__name__}.")
    if not (jac is None or callable(jac) or jac in (*PUBLIC_SCHEMES, FORWARD)):
        raise ValueError(
            f"`jac` must be callable, 'forward', '2-point', '3-point', 'cs' or None; got {jac!r}."
        )
    for name, value, known in (
        ("method", method, METHODS),
        ("loss", loss, LOSSES),
        ("cost", cost, ("least_squares", "poisson")),
    ):
        if value not in known:
            raise ValueError(f"`{name}` must be one of {known}; got {value!r}.")
    if cost == "poisson" and loss != "linear":
        raise ValueError(f"`loss` is of `cost='least_squares'`; got {loss!r} for counts.")


def _check_flags(absolute_sigma: Any, full_output: Any, check_finite: Any) -> None:
    """Refuse what is neither True nor False."""
    for name, value, allowed in (
        ("absolute_sigma", absolute_sigma, bool | np.bool_ | int),
        ("full_output", full_output, bool | np.bool_ | int),
        ("check_finite", check_finite, bool | np.bool_ | int | None),
    ):
        if not isinstance(value, allowed):
            raise TypeError(f"`{name}` must be True or False; got {value!r}.")


def _check_method(method: Any, limits: Any, n: int, m: int) -> None:
    bounded = np.isfinite(limits[0]).any() or np.isfinite(limits[1]).any()
    if method == "lm" and bounded:
        raise ValueError("Method 'lm' only works for unconstrained problems. Leave `method` out.")
    if n > m and method in (None, "lm") and not bounded:
        raise TypeError(
            f"The number of func parameters={n} must not exceed the number of data points={m}; with"
            " method='trf' it may, and `pcov` is infinite."
        )


def _positive(name: str, value: Any, least: float = 0.0) -> float:
    """Return a number that is positive and finite, or at least `least` where that is larger."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be a number; got {value!r}.") from None
    if not (number > 0 and least <= number < np.inf):
        raise ValueError(f"`{name}` must be positive and finite; got {value!r}.")
    return number


def _check_keywords(given: Mapping[str, Any]) -> None:
    """Refuse what else was given by name and is no tolerance."""
    if "args" in given:
        raise ValueError(
            "'args' is not a supported keyword argument: let `f` close over what it needs."
        )
    if "maxfev" in given and "max_nfev" in given:
        raise TypeError("`maxfev` and `max_nfev` are one; both were given.")
    known = (*TOLERANCES, "max_nfev", "maxfev")
    for name in given:
        if name not in known:
            others = ("sigma", "bounds", "method", "loss", "f_scale", "cost", "weights", "threads")
            raise TypeError(
                f"curve_fit() got an unexpected keyword argument `{name}`."
                f"{suggest(name, (*known, *others, 'progress', 'nan_policy', 'full_output'))}"
            )


def _tolerances(given: Mapping[str, Any], n: int) -> dict[str, Any]:
    """Return the tolerances and the number of evaluations."""
    choices: dict[str, Any] = {}
    for name, default in TOLERANCES.items():
        value = given.get(name, default)
        try:
            choices[name] = 0.0 if value is None else float(value)
        except (TypeError, ValueError):
            raise TypeError(f"`{name}` must be a number or None; got {value!r}.") from None
        if not 0 <= choices[name] < 1:
            raise ValueError(f"`{name}` must satisfy 0 <= {name} < 1; got {value!r}.")
    most = given.get("max_nfev", given.get("maxfev"))
    choices["max_nfev"] = EVALUATIONS * (n + 1)
    if most is not None and most != 0:  # which is MINPACK's word for the default
        choices["max_nfev"] = min(int(_positive("max_nfev", most, 1.0)), 2**62)
    return choices


# -------------------------------------------------------------------------------------- the fits


def _fits(f: Callable, jac: Any, curves: Curves, record: np.ndarray) -> CompiledFits | PythonFits:
    """Return what fits curves, in machine code where the model is a Numba function."""
    (low, high), x = curves.bounds, curves.data.x

    def inside(p: np.ndarray) -> np.ndarray:
        """Return another place than p, no two parameters changed alike."""
        moved = p + (0.1 + 0.03 * np.arange(len(p))) * (np.abs(p) + 0.1)
        return np.clip(moved, low[0], high[0])

    rows = compiled_rows(f, jac, x, curves.p[0], curves.m, inside)
    if rows is not None:
        return CompiledFits(rows, curves, record)
    return PythonFits(PythonModel(f, jac, x), curves, record)


def _parts(
    fits: CompiledFits | PythonFits, count: int, threads: int | None, stopped: Callable
) -> Generator[Part, None, None]:
    if count == 1:
        yield fits.solve(0, 1, stopped)
    elif isinstance(fits, CompiledFits):
        yield from handed_out(fits.solve, count, threads, stopped)
    else:
        for first in range(0, count, BLOCK):
            if stopped():
                return
            yield fits.solve(first, min(BLOCK, count - first), stopped)


def _solve(
    fits: CompiledFits | PythonFits, curves: Curves, threads: int | None, bar: Progress
) -> tuple[Found, Part]:
    """Return what is found for all curves, and the last part of it, with what was raised in any."""
    found = fits.found
    exceptions: dict[int, Exception] = {}
    with bar as stack:
        parts = _parts(fits, curves.count, threads, bar.stopped)
        stack.enter_context(closing(parts))  # ends the threads, whatever happens
        for part in parts:
            exceptions |= part.exceptions
            bar.advance(part.size)
    for b in np.flatnonzero(found.reason == WRONG_SHAPE).tolist():
        exceptions[b] = ValueError(
            f"`f` must return shape ({curves.m},), that of a curve of `ydata`, and `jac` shape"
            f" {curves.m, curves.n}; one of them returned another."
        )
        found.reason[b] = RAISED
    found.reason[found.reason == GOING] = INTERRUPTED
    if len(exceptions) == curves.count:
        raise exceptions[0]
    part.exceptions = exceptions
    return found, part


# -------------------------------------------------------------------------------------- the result


def _result(
    found: Found,
    part: Part,
    lead: tuple[int, ...],
    choices: dict[str, Any],
    full_output: bool,
    attributes: dict[str, Any],
) -> CurveFit:
    """Return the result; raise where the fit of one curve failed."""
    known, status, number, message = said_of_many(found.reason, choices)
    found.p[~known] = np.nan
    success = status == CONVERGED
    found.covariance[~success] = np.nan
    values = {
        "popt": found.p, "pcov": found.covariance, "perr": stderr_of(found.covariance), "cost": found.cost,
        "active_mask": found.active, "nfev": found.nfev, "njev": found.njev,
        "status": status, "success": success, "ier": number,
    }  # fmt: skip
    result = {name: array.reshape(lead + array.shape[1:]) for name, array in values.items()}
    said: Any = message
    if not lead:
        result = {name: v.item() if v.ndim == 0 else v for name, v in result.items()}
        said = said_of(int(found.reason[0]), choices)[1]
        if success[0] and np.isinf(found.covariance).any():
            said += " The data do not determine all parameters."
        result["residuals"] = part.residuals.copy()
    unpacked: tuple = result["popt"], result["pcov"]
    ier = result.pop("ier")
    if full_output:
        infodict = {name: result[name] for name in ("nfev", "njev")}
        if not lead:
            infodict |= {"fvec": result["residuals"]} | _minpack(part, result["residuals"].size)
        unpacked += infodict, said, ier
    more = {"message": said, "exceptions": dict(sorted(part.exceptions.items()))}
    fit = CurveFit(unpacked, result | more | attributes)
    if not lead and not success[0]:
        failure = RuntimeError(f"Optimal parameters not found: {said}")
        attach(failure, fit)
        raise failure
    _warn(np.isinf(values["perr"]), int(success.sum()), lead)
    return fit


def _minpack(part: Part, m: int) -> dict[str, np.ndarray]:
    """Return the triangle as MINPACK has it: by rows, its columns in the order of what is left of them."""
    *upper, projected = part.triangle
    n = len(projected)
    q, r, order = qr(np.transpose(upper), pivoting=True)
    fjac = np.zeros((n, m))
    fjac[:, : min(n, m)] = r.T[:, :m]
    return {"fjac": fjac, "ipvt": order.astype(np.int32), "qtf": q.T @ projected}


def _warn(unknown: np.ndarray, fitted: int, lead: tuple[int, ...]) -> None:
    """Warn where the data do not determine the parameters of curves that are fitted."""
    if unknown.any():
        count = np.count_nonzero(unknown.any(axis=1))
        where = f" in {count:,} of {fitted:,} curves" if lead else ""
        text = f"Covariance of the parameters could not be estimated{where}"
        warnings.warn(text, OptimizeWarning, stacklevel=4)
