"""`njit_minimize`: the compiled loop, called from the user's own `@njit` code."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numba
import numpy as np
from numba import types
from numba.core.errors import NumbaError, TypingError
from numba.core.registry import CPUDispatcher, cpu_target
from numba.extending import intrinsic, overload

from ._compiled.cache import INLINED, WITH_MEMORY
from ._compiled.curvature import NEVER, judge, step
from ._compiled.differences import Learnt
from ._compiled.elements import sizes_of
from ._compiled.evaluation import Functions
from ._compiled.pairs import EXTRA
from ._compiled.rate import AUTOMATIC
from ._compiled.reasons import CONVERGED, REASONS, STUCK, WRONG_SHAPE
from ._compiled.records import STATE
from ._compiled.run import Span, iterate_on
from ._compiled.saddle import is_saddle
from ._compiled.vectors import G_ROWS, X_ROWS, Algebra, Vectors, nothing_after
from ._compiled.views import lend
from ._minimize import minimize
from ._problem.annotations import MethodName
from ._problem.arguments import FORWARD
from ._problem.compiled import gradient_into
from ._problem.differences import learnt
from ._problem.methods import METHODS
from ._problem.options import complete
from ._problem.structure import VECTOR, start_of
from ._run.settings import is_plain, pair_count, pairs_of, settings


class Solution(NamedTuple):
    """What `njit_minimize` returns; the fields mean what they mean in `Result`."""

    x: np.ndarray
    fun: float
    jac: np.ndarray
    nit: int
    nfev: int
    status: int
    success: bool


def njit_minimize(
    fun: Callable,
    x0: np.ndarray,
    args: tuple = (),
    jac: Callable[..., Any] | Literal[True, "inplace", "forward"] | None = None,
    method: MethodName = "adam",
    learning_rate: float | None = None,
    maxiter: int = 10_000,
    gtol: float = 1e-8,
    ftol: float = 1e-12,
    verify: int = 32,
) -> Solution:
    """Minimise within `@njit` code: `adamnb.minimize` without Python.

    Parameters
    ----------
    fun : `@njit` function
        ``fun(x, *args) -> float``, differentiated as in `minimize`; with ``jac=True`` it returns
        ``(f, gradient)``, with ``jac="inplace"`` it is ``fun(x, g, *args) -> float`` and writes the
        gradient into ``g``.
    x0 : ndarray, shape (n,), float64
        Start, finite; copied.
    args : tuple
        Further arguments of `fun` and `jac`.
    jac : `@njit` function, True, "inplace" or "forward", optional
        None takes exact derivatives, or differences where `fun` has none; "forward" insists on the former.
    method : str
        Name of a method, a literal in the calling code.
    learning_rate : float, optional
        None adapts it, as in `minimize`.
    maxiter, gtol, ftol
        As in `minimize`.
    verify : int
        Up to so many variables, success is claimed only where the Hessian, by differences of as many
        gradients, has no negative eigenvalue. For what else `minimize` looks at, call that.

    Returns
    -------
    Solution
        A named tuple with the bits that `minimize` finds; `nfev` counts what `verify` takes.

    Raises
    ------
    ValueError
        For a value of an argument that `minimize` refuses, or a gradient of another length than x0.
        What `fun` or `jac` raises comes through.

    Notes
    -----
    Nothing but lengths is checked, and Ctrl-C waits for the end. A calling function that is cached
    on disk holds this package's code: delete its cache after an upgrade.

    Examples
    --------
    >>> import numpy as np, numba, adamnb
    >>> @numba.njit
    ... def fun(x, centre):
    ...     return np.sum((x - centre) ** 2)
    >>> @numba.njit
    ... def nearest(centre):
    ...     return adamnb.njit_minimize(fun, np.zeros(3), (centre,)).x
    >>> nearest(np.array([1.0, 2.0, 3.0])).round(4).tolist()
    [1.0, 2.0, 3.0]
    """
    structure, x0 = start_of(x0)
    if structure is not VECTOR:
        raise TypeError(
            "`x0` must be a vector, as in compiled code; `adamnb.minimize` takes names and shapes."
        )
    result = minimize(
        fun,
        x0,
        args,
        method,
        jac,
        learning_rate=learning_rate,
        maxiter=maxiter,
        gtol=gtol,
        ftol=ftol,
        verify=verify,
    )
    return Solution(*(getattr(result, name) for name in Solution._fields))


STATUS = np.array([REASONS[number].status for number in range(max(REASONS) + 1)])
AT_SADDLE = int(STUCK)  # the reason of its status: no further progress
FIRST_KNOWN = learnt(np.ones(1), None, None).known
FIRST_RATE = AUTOMATIC["first_rate"]
LENGTHS = "`jac` returned a vector of another length than `x0`."

part = numba.njit(**INLINED | {"_nrt": True})  # of the caller's code, which makes arrays


@numba.njit(**INLINED)
def run_here(method, functions, vectors, state, options, span):
    """Do what the compiled loop does, with functions that are known here."""
    return iterate_on(
        method, functions, lend(vectors), lend(state)[0], lend(options)[0], lend(span)
    )


def _functions_for(fun, jac, args):
    """Return the function that makes `Functions`, from these types."""
    form = _python_value(jac)

    @part
    def written(fun, jac, x, args):
        return Functions(fun, jac, args)

    @part
    def both(fun, jac, x, args):
        return Functions(fun, None, args)

    @part
    def inplace(fun, jac, x, args):
        return Functions(fun, True, args)

    if isinstance(form, bool | types.Boolean):
        return both
    if form == "inplace":
        return inplace
    if isinstance(form, types.Callable | types.FunctionType):
        return written
    if form is not None and form != FORWARD:
        raise TypingError(
            "`jac` must be an @njit function, True, 'inplace', 'forward' or None within compiled code; got"
            f" {form!r}."
        )
    exact, refusal = _differentiated(fun, args)
    if refusal is not None and form == FORWARD:
        raise refusal

    @part
    def forward(fun, jac, x, args):
        return Functions(exact, True, args)

    @part
    def differences(fun, jac, x, args):
        n = x.size
        size, unknown, known = sizes_of(x), np.full(n, np.nan), FIRST_KNOWN.copy()
        low, high = np.full(n, -np.inf), np.full(n, np.inf)
        return Functions(
            fun,
            Learnt(low, high, size, unknown, np.zeros(n), np.zeros(n), np.zeros(n), known),
            args,
        )

    return forward if refusal is None else differences


def _differentiated(fun, args):
    """Return the exact derivative of a function's type, or why there is none."""
    dispatcher = getattr(fun, "dispatcher", None)
    kinds = () if isinstance(args, tuple | types.Omitted) else tuple(map(types.unliteral, args))
    vector = types.Array(types.float64, 1, "C")
    refusal: NumbaError = TypingError(
        "`jac='forward'` needs an @njit function that is known by its name."
    )
    if isinstance(dispatcher, CPUDispatcher):
        exact = gradient_into(dispatcher)
        try:
            exact.get_call_template((vector, vector, *kinds), {})
        except NumbaError as error:
            refusal = error
        else:
            return exact, None
    call = cpu_target.typing_context.resolve_function_type(fun, (vector, *kinds), {})
    if isinstance(call.return_type, types.BaseTuple):
        raise TypingError(
            f"`fun` must return a number, or (f, gradient) with jac=True; it returns {call.return_type}."
        )
    return None, refusal


def _checked(x0, method, learning_rate):
    """Return the row of the table of methods, and whether the rate is automatic; raise for other types."""
    name = _python_value(method)
    if name not in METHODS:
        raise TypingError(f"`method` must be a literal, one of {', '.join(METHODS)}.")
    rate, vector = _python_value(learning_rate), isinstance(x0, types.Array) and x0.ndim == 1
    if not vector or not isinstance(x0.dtype, types.Float | types.Integer):
        raise TypingError(f"`x0` must be a vector of real numbers; got {x0}.")
    if not isinstance(rate, types.Float | types.Integer | float | int | None):
        raise TypingError(
            f"`learning_rate` must be a number or None within compiled code; got {learning_rate}."
        )
    return METHODS[name], rate is None


def _vectors_for(automatic, curved):
    """Return the function that makes the vectors of a run: with pairs, without, or of a given rate."""
    after_four, after_seven = nothing_after(4), nothing_after(7)

    @part
    def of_pairs(x0, x, g, slots, states, rate):
        states[0].learning_rate = FIRST_RATE
        n, m = x0.size, pair_count(x0.size)
        return Vectors(
            x, g, slots, x0.copy(), np.ones(n), np.zeros(n), sizes_of(x0), None, None, None,
            np.empty((m, n)), np.empty((m, n)), np.zeros((2 * m + EXTRA, m)), np.zeros(2 * m, np.int64),
            np.ones(n), None, np.empty(2 * m + 2), None, Algebra(judge, step), None, None,
        )  # fmt: skip

    @part
    def of_automatic(x0, x, g, slots, states, rate):
        states[0].learning_rate = FIRST_RATE
        ones, zeros = np.ones(x0.size), np.zeros(x0.size)
        return Vectors(x, g, slots, x0.copy(), ones, zeros, sizes_of(x0), *after_seven)

    @part
    def of_given(x0, x, g, slots, states, rate):
        if not 0.0 <= rate < np.inf:
            raise ValueError("`learning_rate` must be a number >= 0.")
        states[0].learning_rate = rate
        return Vectors(x, g, slots, x0.copy(), *after_four)

    return of_pairs if curved else of_automatic if automatic else of_given


def _python_value(argument: Any) -> Any:
    """Return the value of an argument that is known when the calling code is compiled."""
    for name in ("literal_value", "value"):
        if hasattr(argument, name):
            return getattr(argument, name)
    return None if isinstance(argument, types.NoneType) else argument


@overload(njit_minimize, prefer_literal=True, jit_options=WITH_MEMORY)
def _njit_minimize(
    fun, x0, args=(), jac=None, method="adam", learning_rate=None, maxiter=10_000, gtol=1e-8, ftol=1e-12,
    verify=32,
):  # fmt: skip
    row, automatic = _checked(x0, method, learning_rate)
    given = complete(row, {} if automatic else {"learning_rate": 1.0})
    defaults = settings(row, given, np.dtype(float))
    curved = pairs_of(given | {"learning_rate": None if automatic else 1.0}, 1) > 0
    kind = row.numba_type(automatic, is_plain(given), False, curved)
    slot_count, start = row.slots, row.start

    @intrinsic
    def this_method(typingctx):
        return kind(), lambda context, builder, signature, arguments: context.get_dummy_value()

    vectors = _vectors_for(automatic, curved)
    functions_of = _functions_for(fun, jac, args)

    # A record does not keep its array alive: it is taken in functions that have the array as an argument.
    def impl(
        fun, x0, args=(), jac=None, method="adam", learning_rate=None, maxiter=10_000, gtol=1e-8, ftol=1e-12,
        verify=32,
    ):  # fmt: skip
        x, g = np.empty((X_ROWS, x0.size)), np.zeros((G_ROWS, x0.size))
        if x0.size == 0:
            raise ValueError("`x0` must have at least one element; got an empty array.")
        for i in range(x0.size):
            x[0, i] = x0[i]
            if not np.isfinite(x[0, i]):
                raise ValueError("`x0` must be finite.")
        slots = np.full((slot_count, x0.size), start)
        states, options = np.zeros(2, STATE), defaults.copy()  # one more to look around with
        set_limits(options, maxiter, gtol, ftol)
        v = vectors(x[0], x, g, slots, states, learning_rate)
        functions = functions_of(fun, jac, x[0], args)
        span = Span(options[0].maxiter + 1, None, None)
        reason = run_here(this_method(), functions, v, states, options, span)
        if reason == WRONG_SHAPE:
            raise ValueError(LENGTHS)
        if STATUS[reason] == CONVERGED and x0.size <= verify:
            reason = looked_at(functions, x, g, sizes_of(x0), states, reason)
        return solution(x, g, states, STATUS[reason])

    return impl


@part
def set_limits(options, maxiter, gtol, ftol):
    """Write the limits into the options, if they are numbers."""
    if not (maxiter >= 0 and gtol >= 0 and ftol >= 0):  # or NaN
        raise ValueError("`maxiter`, `gtol` and `ftol` must be numbers >= 0.")
    o = options[0]
    o.gtol, o.ftol, o.maxiter = gtol, ftol, NEVER
    if maxiter < NEVER:  # infinity is no integer
        o.maxiter = int(maxiter)


@part
def looked_at(functions, x, g, size, states, reason):
    """Return the reason to stop, once it has been looked whether the best point is a saddle."""
    s = states[0]
    x_best, g_best = x[s.x_best], g[s.g_best]
    for i in range(size.size):
        size[i] = max(size[i], 1e-3 * abs(x_best[i]))
    saddle = is_saddle(functions, x_best, g_best, size, states)
    return AT_SADDLE if saddle else reason


@part
def solution(x, g, states, status):
    """Return what has been found, in arrays of its own."""
    s = states[0]
    nfev = s.nfev + states[1].nfev
    return Solution(
        x[s.x_best].copy(), s.fun_best, g[s.g_best].copy(), s.nit, nfev, status, status == 0
    )


# Where the first mention of `adamnb.njit_minimize` is in code under compilation, this module is imported
# while Numba looks that name up: it has to learn of the overload at once.
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()
