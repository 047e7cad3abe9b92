"""`minimize` and the SciPy-protocol callables: check, and have it solved."""

import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Unpack

import numpy as np
from scipy.optimize import OptimizeWarning

from ._compiled import machine_code as code
from ._compiled.reasons import LIMIT
from ._cuda.access import device_start
from ._problem import options as _options
from ._problem.annotations import Callback, Gradient, MethodName, Options
from ._problem.arguments import (
    argument_tuple,
    gradient_form,
    limits,
    observer,
    on_device,
    per_variable,
)
from ._problem.compiled import is_compiled
from ._problem.derivative import chosen_gradient
from ._problem.flattened import flattened
from ._problem.methods import METHODS
from ._problem.problem import Problem
from ._problem.ranks import Ranks
from ._problem.structure import VECTOR, names_of, start_of
from ._run.progress import display_of
from ._run.result import SHOWN, Result
from ._solve import solved, solved_together
from .schedules import Plateau


def minimize(
    fun: Callable,
    x0: Any,
    args: Any = (),
    method: "MethodName | Solver" = "adam",
    jac: Gradient = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callback = None,
    options: Mapping[str, Any] | None = None,
    **option: Unpack[Options],
) -> Result:
    """Minimise a scalar function of one or more variables with Adam or one of its relatives.

    The call is that of `scipy.optimize.minimize`. If `fun`, and `jac` if there is one, are Numba
    functions, the whole loop runs in machine code; the result has the same bits either way.

    Parameters
    ----------
    fun : callable
        Objective ``fun(x, *args) -> float``, x of shape (n,), or of the structure of x0, and of its dtype.
        It gets a copy of the solver's vector. With ``jac=True`` it returns ``(f, gradient)``, with
        ``jac="inplace"`` it is ``fun(x, g, *args) -> float`` and writes the gradient into ``g``.
        A Numba function has these arrays during the call only: it copies what it keeps.
    x0 : array_like, dict or NamedTuple
        Start: a vector, an array of any shape, or a dict or NamedTuple of numbers, arrays, dicts and
        NamedTuples; see Notes. float32 stays float32; other real types become float64. Never changed. A
        vector on an NVIDIA GPU (CuPy, PyTorch, JAX, Numba: any with ``__cuda_array_interface__``) is
        minimised there; see Notes.
    args : tuple
        Further arguments of `fun` and `jac`; data belongs here, so that new data compiles nothing.
    method : str or callable of this package
        {methods}; or `adamnb.adam` and so on.
    jac : callable, True, "inplace", "forward", "2-point", "3-point", "cs" or None
        Gradient ``jac(x, *args)`` of shape (n,), or of the structure of x0, or how it is had. A Python
        function may return a row or a column for a vector. None: a Numba function is differentiated exactly,
        in machine code, if it does nothing with x that has no rule (see `adamnb.value_and_grad`), as
        "forward" insists; all else by differences, whose steps come from the noise of f, which is
        measured, and from its curvature along each variable: forward ones where these are exact enough,
        else of both sides, which machine code takes always. They take n to 2 n evaluations, and a handful
        now and then.
        "2-point" and "3-point" keep to forward differences and to both sides, called from Python.
        "cs" takes the imaginary part of a `fun` that computes with complex numbers.
        `adamnb.check_gradient` tells whether a `jac` of your own is right.
    hess, hessp : ignored, with a warning
    bounds : `scipy.optimize.Bounds`, sequence of (lower, upper) pairs, or dict of them, optional
        Every point evaluated is within; None or an infinity is no bound. x0 is clipped. A dict or NamedTuple
        has a pair for each part of such an x0 that is bounded, of numbers or of arrays of its shape.
    constraints : empty
        Anything else is an error that names the way out.
    tol : float, optional
        Sets `gtol` and `ftol` where they are not given.
    callback : callable or list of them, optional
        ``callback(x)`` or ``callback(intermediate_result=...)`` after each iteration, with copies, x as
        `fun` gets it; raise `StopIteration` to stop. Numba functions are then called one by one from
        Python; `progress` leaves them in machine code.
    options : dict, optional
    **option
        Options, here or in `options`; see Notes.

    Returns
    -------
    Result
        A `scipy.optimize.OptimizeResult` with the best point visited.

    Raises
    ------
    TypeError, ValueError
        For a wrong argument, before anything is computed.
    Exception
        What `fun`, `jac`, `callback` or a schedule raises comes through. After the first iteration it
        has an attribute `adamnb_result`, the `Result` with the best point so far and status 5, and so
        has the `KeyboardInterrupt` of Ctrl-C; see also the option `catch`.

    Notes
    -----
    With x0 on a GPU, all vectors stay there, `fun` and `jac` get and return arrays of the kind of
    x0, f may be one too, and the result's arrays are of that kind; float32 and float64 only. Stop
    tests are made on the GPU and read some 50 times a second, so that `fun` may be called a few
    times more than the result says. x is lent: it is valid during the call and not to be
    changed. Exact derivatives, differences, `polish`, `verify` and `errors` are of the host alone.

    An x0 with names or shapes is a vector to the solver, with the bits of a flat call: its parts one after
    another, as they stand. `fun` gets them with their names and shapes, numbers as NumPy scalars, and so does
    `jac`, which returns the same structure. ``result.params`` has it, ``result.x`` is flat, ``result.names``
    says what its elements are called. `x_scale`, `learning_rate` and `finite_diff_rel_step` may have it as
    well, with a number for an array of equal ones. Lists are arrays. All parts are of float32 if all of them
    are so in x0. Numba functions take NamedTuples and arrays, and no dict.

    Exact derivatives cost some two to three evaluations of `fun` for each eight variables, and about a
    second of compilation once; the next process finds them on disk if `fun` has ``cache=True``. That a
    function has none is found out anew in each process, in a quarter of a second. Threads of a `fun`
    compiled with ``parallel=True`` are not used in them.

    Where f or its gradient is another when a point is evaluated again, by more than rounding, it is noisy: an
    automatic learning rate looks, where a step fails and before it claims success, which takes an evaluation
    or two where f is exact. The run then goes on in another way, and so does one with ``noisy=True`` from the
    start: the momentum of the method, nothing taken back, a rate that falls with the number of steps that
    do not agree, and as the answer an average of the points, late ones counting most (Shamir & Zhang 2013).
    After 100 steps, 200, 400, ..., and at the end, f and gradient are evaluated there 8 to 100 times.
    ``result.fun`` and ``result.jac`` are those means, ``result.fun_stderr`` the standard error of the first,
    ``result.noise`` what one evaluation scatters by. `maxiter`, `maxfun`, `max_time` end the run, or `ftol`
    where that is wide; status 0 says that no improvement can be told from the noise, and that what may be
    hidden in it is small beside the fall of f. Differences then have both sides and steps by the noise.
    There is no `polish` and no `verify`.

    With `errors` the result has standard errors, `stderr`, with `covariance` and `correlation`, or says why
    it has none. The Hessian is had by differences of gradients, some 2 n of them, or of f where there are
    none, some 2 n (n + 3) values; the directions and steps of these come from the Hessian itself, so that
    neither scales nor correlations of the variables matter, and four digits are right. Beside variables at
    a bound, errors are those of the fit without them. Of a sum of squares it is the whole Hessian, with the
    curvature of the model, which `scipy.optimize.curve_fit` leaves out: where residuals are large, errors
    differ by some per cent.

    The method's hyper-parameters ({hyperparameters}, as far as it has them) and:

    {options}

    Examples
    --------
    >>> import adamnb
    >>> from scipy.optimize import rosen, rosen_der
    >>> res = adamnb.minimize(rosen, [-1.2, 1.0], jac=rosen_der)
    >>> res.success, res.x.round(4).tolist()
    (True, [1.0, 1.0])

    Nobody has to write the gradient of a Numba function:

    >>> import numba, numpy as np
    >>> @numba.njit
    ... def misfit(x, t, y):
    ...     r = x[0] * np.exp(-x[1] * t) - y
    ...     return r @ r
    >>> t = np.linspace(0, 5, 50)
    >>> res = adamnb.minimize(misfit, [1.0, 1.0], (t, 3 * np.exp(-0.7 * t)))
    >>> res.gradient, res.x.round(4).tolist()
    ('forward', [3.0, 0.7])

    Parameters may have names:

    >>> def misfit(p, t, y):
    ...     r = p["height"] * np.exp(-p["rate"] * t) - y
    ...     return r @ r
    >>> start = {"height": 1.0, "rate": 1.0}
    >>> res = adamnb.minimize(misfit, start, (t, 3 * np.exp(-0.7 * t)), bounds={"rate": (0, None)})
    >>> res.names, round(float(res.params["rate"]), 4)
    (('height', 'rate'), 0.7)

    Standard errors of a chi-square, and an interval by the profile of one parameter:

    >>> fit = adamnb.minimize(lambda x: ((x - [1, 2]) ** 2 / [0.01, 0.04]).sum(), [0.0, 0.0],
    ...                       errors="chi2", profile=[1])
    >>> fit.stderr.round(4).tolist(), fit.intervals[1].round(4).tolist()
    ([0.1, 0.2], [1.8, 2.2])
    """
    given = merged(options, option)
    solver = solver_of(method)
    for name, value, what in (("hess", hess, ""), ("hessp", hessp, "-vector product")):
        if value is not None:
            text = f"Method {solver.method.name} does not use Hessian{what} information ({name})."
            _warn(text, RuntimeWarning)
    return solver.solve((fun, x0, args, jac), bounds, constraints, tol, callback, given)


class _CustomMethod(str):
    """SciPy's name of a method that is a callable.

    `scipy.optimize.shgo` looks it up. Who compares names, and runs a method of his own where he knows
    none of them, as lmfit does, is stopped.
    """

    def startswith(self, *_: Any) -> bool:
        raise TypeError(
            "A method of adamnb is a callable, not a name: give it to what takes callables, as SciPy's"
            " `minimize` and lmfit's `Minimizer.scalar_minimize` do."
        )


class Solver:
    """A method as a callable of SciPy's custom-method protocol.

    ``scipy.optimize.minimize(fun, x0, jac=grad, method=adamnb.adam, options={...})``. Arguments
    and result are those of `adamnb.minimize`; an unknown option is an `OptimizeWarning`. Callers hand a
    Hessian to every method that is a callable, so that it is left aside without a word.
    """

    def __init__(self, name: str) -> None:
        self.method = METHODS[name]
        self.__name__ = name
        self.__doc__ = f"Minimise with {name} ({self.method.paper}); see `adamnb.minimize`."

    def __repr__(self) -> str:
        return f"adamnb.{self.method.name}"

    def __reduce__(self) -> tuple:
        return solver_of, (self.method.name,)

    def lower(self) -> str:
        """Return the name by which `scipy.optimize.shgo` looks up what a method takes."""
        return _CustomMethod("_custom")

    def __call__(
        self,
        fun: Callable,
        x0: Any,
        args: Any = (),
        jac: Gradient = None,
        hess: Any = None,
        hessp: Any = None,
        bounds: Any = None,
        constraints: Any = (),
        callback: Callback = None,
        tol: float | None = None,
        **options: Any,
    ) -> Result:
        known = _options.defaults_of(self.method.name)
        for name in [name for name in options if name not in known]:
            del options[name]
            _warn(
                f"Unknown solver options: {name}.{_options.suggest(name, known)}", OptimizeWarning
            )
        return self.solve((fun, x0, args, jac), bounds, constraints, tol, callback, options)

    def solve(self, start, bounds, constraints, tol, callback, given) -> Result:
        """Check everything, then minimise, with the other ranks if there are some.

        `start` is (fun, x0, args, jac).
        """
        clock = time.perf_counter(), code.seconds
        if (comm := given.get("comm")) is None:
            problem = self.checked(start, bounds, constraints, tol, callback, given)
            problem.started, problem.compile_before = clock
            result = solved(problem, problem.args)
        else:
            _options.check("comm", comm, _options.OPTIONS["comm"])
            with Ranks(comm) as ranks:
                problem = self.checked(start, bounds, constraints, tol, callback, given)
                problem.started, problem.compile_before = clock
                result = solved_together(problem, ranks)
        if problem.options["disp"]:
            report(result)
        return result

    def checked(self, start, bounds, constraints, tol, callback, given) -> Problem:
        """Return the problem, checked; `start` is (fun, x0, args, jac)."""
        fun, x0, args, jac = start
        method, there = self.method, on_device(x0)
        structure, x0 = (VECTOR, x0) if there else start_of(x0)
        given, bounds = structure.options(given), structure.bounds(bounds)
        o = _options.complete(method, given, tol)
        fun, jac = gradient_form(fun, jac, o["finite_difference"])
        _options.check_differences(jac, given)
        _options.check_sharded(o, given, jac)
        vector: Any = device_start(x0, fun, jac, o) if there else x0
        pair = limits(bounds, vector.shape, vector.dtype, structure.where)
        if pair is not None and not there:
            vector = np.clip(vector, *pair)
        _options.check_polish(o["polish"], bounded=pair is not None)
        _options.check_errors(o, pair, vector.shape, single=True)
        _refuse(constraints)
        args = argument_tuple(fun, args, 1 + (jac == "inplace"))
        fun, jac = flattened(fun, jac, structure)
        if not there:
            jac, args = chosen_gradient(fun, jac, args, given, vector.dtype)
        o |= for_variables(o, vector.size)
        return Problem(
            fun, jac, args, vector, pair, method, o, o["x_scale"], observer(callback),
            is_compiled(fun, jac) and not there, structure, map, display_of(o),
        )  # fmt: skip


def for_variables(o: Mapping[str, Any], n: int) -> dict[str, Any]:
    """Return the options that may have a number for each of n variables, as arrays if they have."""
    found: dict[str, Any] = {}
    rate = o["learning_rate"]
    if rate is not None and not callable(rate) and not isinstance(rate, Plateau):
        array = per_variable("learning_rate", rate, n)
        found["learning_rate"] = array if np.ndim(rate) else float(rate)
    for name in ("x_scale", "finite_diff_rel_step"):
        if o[name] is not None:
            found[name] = per_variable(name, o[name], n)
    return found


SOLVERS = {name: Solver(name) for name in METHODS}


def solver_of(method: Any) -> Solver:
    """Return the method of a name, in any case, or the method itself; raise for what is neither."""
    if isinstance(method, Solver):
        return method
    if not isinstance(method, str):
        raise TypeError(f"`method` must be a name or a method of adamnb; got {method!r}.")
    solver = SOLVERS.get(method.lower())
    if solver is None:
        text = f"`method` must be one of {', '.join(METHODS)}; got {method!r}."
        raise ValueError(text + _options.suggest(method.lower(), METHODS))
    return solver


def merged(options: Mapping[str, Any] | None, option: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options given in `options` and those given as keywords."""
    if not isinstance(options, Mapping | None):
        raise TypeError(f"`options` must be a dict of option names and values; got {options!r}.")
    given = dict(options or {})
    for name, value in option.items():
        if name in given:
            raise TypeError(f"`{name}` is given twice, in `options` and as a keyword.")
        given[name] = value
    return given


def _refuse(constraints: Any) -> None:
    if constraints is None or (isinstance(constraints, tuple | list) and len(constraints) == 0):
        return
    raise ValueError(
        "`constraints` are not supported: use `bounds`, a penalty in `fun`, a change of variables,"
        " or scipy.optimize.minimize(method='trust-constr')."
    )


def _warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user, outside this package and SciPy's optimize package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("adamnb.", "scipy.optimize._")
    ):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def report(result: Result) -> None:
    """Print a summary as SciPy does, and warn if a limit was hit."""
    print(result.message)
    print(f"         Current function value: {result.fun:f}")
    print(f"         Iterations: {result.nit:d}")
    print(f"         Function evaluations: {result.nfev:d}")
    print(f"         Gradient evaluations: {result.njev:d}")
    if "params" in result:
        for name, value in zip(names_of(result.params, 0, SHOWN), result.x, strict=False):
            print(f"         {name}: {value:.6g}")
    if result.status == LIMIT:
        _warn(result.message, OptimizeWarning)


def _describe() -> str:
    """Return the table of options as the list in the docstring of `minimize`."""
    rows = [
        f"* `{name}` : {option.meaning}; default {option.default}"
        for name, option in _options.OPTIONS.items()
        if name not in _options.HYPERPARAMETERS
    ]
    return "\n    ".join(rows)


if minimize.__doc__:  # python -OO strips it
    minimize.__doc__ = minimize.__doc__.replace("{options}", _describe())
    minimize.__doc__ = minimize.__doc__.replace("{methods}", ", ".join(METHODS))
    hyperparameters = ", ".join(f"`{name}`" for name in _options.HYPERPARAMETERS)
    minimize.__doc__ = minimize.__doc__.replace("{hyperparameters}", hyperparameters)
