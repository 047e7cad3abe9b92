"""`value_and_grad`, `hessian` and `jacobian`: exact derivatives of the user's Numba functions."""

from collections.abc import Callable

from ._forward import derivatives
from ._forward.named import derivative


def value_and_grad(fun: Callable) -> Callable:
    """Return a Numba function that gives the value of a function and its exact gradient.

    The function is compiled once more, as it stands, for numbers that carry their derivatives (forward
    mode), and so are the Numba functions that it calls. No difference is taken and nothing is traced: it
    may loop, branch on values and return early. `minimize` and the like do so by themselves where they are
    given no gradient.

    Parameters
    ----------
    fun : `@njit` function
        ``fun(x, *args) -> float``, x a vector of floats.

    Returns
    -------
    `@njit` function
        ``(x, *args) -> (f, g)``, g a new vector of the shape and dtype of x. It is found on disk by the next
        process if `fun` is compiled with ``cache=True``.

    Raises
    ------
    TypeError
        If `fun` is no Numba function.
    numba.core.errors.TypingError
        In the first call, if there is no rule for something that `fun` does with x; it names it.

    Notes
    -----
    A pass through `fun` gives the derivatives for eight variables, in one to three times the time of `fun`;
    n variables take n/8 passes. Times of f and gradient, called by compiled code (AMD EPYC with AVX-512;
    ``benchmarks/compare.py --only gradient``), for Rosenbrock's function / a sum of decays at 20 points:

    ===  =======================  ==========================  ===================================
    n    microseconds             over a gradient by hand     compiled differences over these
    ===  =======================  ==========================  ===================================
    2    0.03 / 0.16              1.0 / 0.7                   3.5 / 3.0
    4    0.03 / 0.25              1.0 / 0.8                   4.0 / 4.6
    8    0.04 / 0.40              1.2 / 0.8                   5.5 / 8.5
    16   0.09 / 1.4               2.7 / 1.7                   3.7 / 6.9
    32   0.31 / 7.6               6.7 / 3.8                   2.5 / 6.8
    100  3.9 / 52                 25 / 15                     1.9 / 6.0
    ===  =======================  ==========================  ===================================

    Reverse mode does not grow with n: for hundreds of variables write the gradient, for thousands have it
    from JAX or PyTorch, where a call from Python takes some 10 microseconds. `minimize_batch` compiles the
    same derivatives into kernels for GPUs, where all of them are in registers for a few variables.

    There are rules for

    ======================  ===============================================================================
    numbers                 arithmetic, ``//``, ``%``, ``**``, abs, min, max, round, divmod; `math`
    elements of arrays      exp, log, sqrt, cbrt, powers, trigonometric and hyperbolic functions, hypot,
                            logaddexp, maximum, minimum, where, clip, sign, sinc, nan_to_num; erf, gamma and
                            lgamma of `math`
    arrays                  sum (and its `axis`), prod, mean, average, median, var, std, cumsum, cumprod, max,
                            min, ptp, argmax, argmin, diff, nansum, nanmean, nanmax, nanvar, quantile,
                            percentile, cov, corrcoef, bincount, dot, ``@``, vdot, norm, trace, outer, kron,
                            cross, convolve, correlate, interp, searchsorted, trapezoid, linspace, vander
    linear algebra          solve, inv, det, slogdet, cholesky, matrix_power, lstsq of full rank, eigh and
                            eigvalsh (of levels that differ) of `numpy.linalg`
    what moves elements     slices, masks, lists of places, reshape, concatenate, stack, append, roll, repeat,
                            sort, copy
    ======================  ===============================================================================

    An array that `fun` makes for floats holds what depends on x where `fun` puts it there; an array of
    its caller, of integers or of complex numbers does not, nor does a list of floats. There is no rule
    for pinv, singular values, eigenvalues of other matrices, FFTs, complex numbers, functions made by
    ``@vectorize``, and SciPy's functions. The solvers are loops here, made for up to some hundred unknowns.

    Where there is no derivative it is, as in JAX, 0 for ``abs(x)`` at 0, half for each of two equal
    numbers of ``np.maximum`` and infinite for ``sqrt(x)`` at 0; Python's ``max`` has that of the number
    which it takes. ``x**0`` has 0. What does not depend on a variable has 0 for it, where JAX may have
    NaN. A comparison, ``floor`` and ``//`` have none: what changes with x through these alone, as a root
    that is found by bisection, has gradient 0.

    Examples
    --------
    >>> import numpy as np, numba, adamnb
    >>> @numba.njit
    ... def fun(x, t, y):
    ...     a, k = x
    ...     r = a * np.exp(-k * t) - y
    ...     return r @ r
    >>> t = np.linspace(0.0, 2.0, 9)
    >>> both = adamnb.value_and_grad(fun)
    >>> f, g = both(np.array([1.0, 1.0]), t, 3 * np.exp(-0.5 * t))
    >>> g.round(6).tolist()
    [-13.503996, 6.894531]
    >>> fit = adamnb.minimize(fun, [1.0, 1.0], (t, 3 * np.exp(-0.5 * t)))
    >>> fit.x.round(4).tolist()
    [3.0, 0.5]
    """
    return derivative(derivatives.value_and_grad, fun)


def hessian(fun: Callable) -> Callable:
    """Return a Numba function that gives the exact matrix of second derivatives of a function.

    Parameters
    ----------
    fun : `@njit` function
        As for `value_and_grad`.

    Returns
    -------
    `@njit` function
        ``(x, *args) -> H``, shape (n, n), in the dtype of x, symmetric to the bit.

    Notes
    -----
    It calls `fun` about n**2 / 16 + n / 2 times, with eighteen numbers for each one.

    Examples
    --------
    >>> import numpy as np, numba, adamnb
    >>> @numba.njit
    ... def fun(x):
    ...     return x[0] ** 2 * np.sin(x[1])
    >>> adamnb.hessian(fun)(np.array([3.0, 0.0])).tolist()
    [[0.0, 6.0], [6.0, 0.0]]
    """
    return derivative(derivatives.hessian, fun)


def jacobian(model: Callable) -> Callable:
    """Return a Numba function that gives the exact first derivatives of a vector-valued function.

    Parameters
    ----------
    model : `@njit` function
        ``model(x, *args)`` returns a vector of m numbers, or a tuple of them.

    Returns
    -------
    `@njit` function
        ``(x, *args) -> J``, shape (m, n), in the dtype of x.

    Examples
    --------
    >>> import numpy as np, numba, adamnb
    >>> @numba.njit
    ... def model(x, t):
    ...     return x[0] * t ** x[1]
    >>> adamnb.jacobian(model)(np.array([3.0, 2.0]), np.array([1.0, 2.0])).round(4).tolist()
    [[1.0, 0.0], [4.0, 8.3178]]
    """
    return derivative(derivatives.jacobian, model)
