"""`statsmodels_fit`: the optimiser of a statsmodels model."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ._minimize import minimize


def statsmodels_fit(
    f: Callable,
    score: Callable | None,
    start_params: Any,
    fargs: tuple,
    kwargs: Mapping[str, Any],
    disp: Any = False,
    callback: Callable | None = None,
    **ignored: Any,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Fit a statsmodels model: an optimiser of the form that its `extra_fit_funcs` takes.

    ``model.fit(method="adam", extra_fit_funcs={"adam": adamnb.statsmodels_fit})``. Standard errors come
    from the Hessian of the model, as with every method of statsmodels.

    Parameters
    ----------
    f, score : callable
        Mean negative log-likelihood and its gradient, which is left aside where statsmodels makes it of
        differences, as for state-space models.
    start_params : ndarray, shape (n,)
        Start.
    fargs : tuple
        Further arguments of both.
    kwargs : dict
        What `fit` got besides: options, `bounds` and `tol`, as `adamnb.minimize` has them, and
        `min_method`, the name of another method. `catch` is `LinAlgError` unless it is among them.
    disp, callback : optional
        As in `adamnb.minimize`.
    **ignored
        What else statsmodels hands over. `maxiter` is among it: its default is for Newton's method, 35
        for most models, and cannot be told from a value that was asked for. Use `maxfun` or `max_time`.

    Returns
    -------
    x : ndarray, shape (n,)
        Best parameters.
    retvals : dict
        `mle_retvals` of the fit, with the names that statsmodels uses.
    """
    given = {"catch": np.linalg.LinAlgError} | dict(kwargs)  # a Kalman filter without a start
    given.pop("extra_fit_funcs", None)
    method = given.pop("min_method", "adam")
    jac = None if _by_differences(fargs) else score
    result = minimize(
        f, start_params, fargs, method, jac, callback=callback, disp=bool(disp), **given
    )
    return result.x, {
        "fopt": result.fun,
        "gopt": result.jac,
        "iterations": result.nit,
        "fcalls": result.nfev,
        "gcalls": result.njev,
        "warnflag": result.status,
        "converged": result.success,
        "message": result.message,
    }


def _by_differences(fargs: tuple) -> bool:
    """Return whether the score is made of differences, as state-space models say in their flags.

    Those of parameters that are transformed, as two or more AR or MA coefficients, are no gradient:
    statsmodels 0.15 multiplies by the transposed Jacobian. Its own L-BFGS does without them.
    """
    return any(isinstance(arg, dict) and arg.get("score_method") == "approx" for arg in fargs)
