"""The caller's model ``f(x, *params)`` and its Jacobian: in machine code, or called from Python."""

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from numba.core import types
from numba.core.errors import NumbaError
from numba.core.registry import CPUDispatcher

from .._compiled.functions import FunctionType as MachineCode
from .._compiled.functions import first_class
from .._compiled.machine_code import array_type, compile_or_load, machine_code
from .arguments import ADAPTIVE, FORWARD, Pair, real_array
from .compiled import main_reason, type_of

EPS = float(np.finfo(float).eps)
COMPLEX_STEP = 1e-20
STEPS = {"2-point": 1 / 2, "3-point": 1 / 3}  # of differences, as powers of eps
SMALLEST = 1e-3  # size of a parameter for its step, relative to what changes the whole curve
UNFELT = 1e-12  # of a parameter: a size for which its step would be lost in rounding
AGREEMENT = 1e-10  # of values point by point with those of the whole array, relative to the largest


def count_parameters(f: Callable, p0: Any) -> int:
    """Return how many parameters a model has beside x: as many as are in `p0`, or as its signature says."""
    f = getattr(f, "py_func", f)
    if p0 is not None:
        return _count_starts(p0, f)
    signature = _signature_of(f)
    parameters = list(signature.parameters.values()) if signature else []
    named = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][1:]
    if not named:
        raise ValueError(
            "Unable to determine number of fit parameters: give a start for each of them in `p0`."
        )
    return len(named)


def _signature_of(f: Callable) -> inspect.Signature | None:
    try:
        return inspect.signature(f)
    except (TypeError, ValueError):
        return None


def _plainly_takes(f: Callable, count: int) -> bool:
    """Return whether it is plain that f takes so many arguments; to bind its signature takes longer."""
    if not isinstance(f, FunctionType) or vars(f):  # attributes may tell of another signature
        return False
    code = f.__code__
    least = code.co_argcount - len(f.__defaults__ or ())
    return least <= count <= code.co_argcount and code.co_kwonlyargcount == 0


def _count_starts(p0: Any, f: Callable) -> int:
    """Return how many starts there are; refuse a number of them that `f` is not called with."""
    n = np.atleast_1d(real_array(p0, "p0")).shape[-1]
    if n == 0:
        raise ValueError(f"`p0` must have a number for each parameter of `f`; got {p0!r}.")
    if _plainly_takes(f, 1 + n):
        return n
    try:
        if signature := _signature_of(f):
            signature.bind("x", *range(n))
    except TypeError as error:
        raise TypeError(
            f"`p0` must have a number for each parameter of `f`, which does not take x and {n} of them:"
            f" {error}."
        ) from None
    return n


class Rows(NamedTuple):
    """Machine code that gives values and Jacobian at once (`_forward.models`)."""

    type: MachineCode
    address: int
    x: Any  # as it takes x
    gradient: str
    keep: Any  # what must live as long as the address is used


def compiled_rows(f: Any, jac: Any, x: Any, p: np.ndarray, m: int, inside: Callable) -> Rows | None:
    """Return the model in machine code, or None where it is called from Python.

    It is evaluated point by point where it gives the values of the whole array: at the start `p`, and at
    another place ``inside(p)`` the bounds.

    Raises
    ------
    TypeError
        If a Numba function does not compile for x and n numbers.
    """
    if not isinstance(f, CPUDispatcher) or "forceobj" in f.targetoptions:
        if jac == FORWARD:
            raise TypeError(
                "`jac='forward'` needs a Numba function: decorate `f` with @numba.njit, or leave `jac` out"
                " for differences."
            )
        return None
    if not (jac is None or jac == FORWARD or isinstance(jac, CPUDispatcher)):
        return None
    from .._forward import models  # late: it teaches Numba for a quarter of a second

    rows, points, whole = x, None, models.whole
    if isinstance(x, np.ndarray) and x.ndim in (1, 2):
        rows = np.array(np.atleast_2d(x), float, order="C")  # a read-only one is of another type
        points = models.number if x.ndim == 1 else models.column
        whole = models.vector if x.ndim == 1 else models.whole
    if jac is not None and jac != FORWARD:
        made = _made(models.by_jacobian, f, len(p), rows, whole, jac)
        return _required(made, "jac")
    if points is not None and rows.shape[1] == m:
        by_points = _made(models.by_points, f, len(p), rows, points)
        if isinstance(by_points, Rows) and _agree(by_points, f, x, (p, inside(p)), m):
            return by_points
    by_arrays = _made(models.by_arrays, f, len(p), rows, whole)
    if isinstance(by_arrays, Rows) or jac == FORWARD:
        return _required(by_arrays, FORWARD)
    differenced = _made(models.by_differences, f, len(p), rows, whole)
    return _required(differenced, "f", by_arrays)._replace(gradient="3-point")


def _made(make: Callable, f: CPUDispatcher, n: int, x: Any, *further: Any) -> Rows | Exception:
    """Compile a form of the model; return why there is none, if so. Numba remembers either."""
    from .._forward.named import rows

    function = rows(make, f, n, *further)
    kind = type_of("xdata", x, "f")
    vector, matrix = (array_type(np.dtype(float), ndim) for ndim in (1, 2))
    signature = kind, vector, vector, matrix
    try:
        if (compiled := function.overloads.get(signature)) is None:
            compile_or_load(function, signature)
            compiled = function.overloads[signature]
        if compiled.signature.return_type != types.intp:
            return TypeError("`f` must return numbers.")
    except Exception as error:  # of many kinds, where Numba meets what it does not know
        return error
    gradient = "jac" if len(further) > 1 else FORWARD
    return Rows(*first_class(compiled), x, gradient, function)


def _required(made: Rows | Exception, name: str, better: Any = None) -> Rows:
    """Return a form of the model, or raise that it does not compile."""
    if isinstance(made, Rows):
        return made
    if name == FORWARD:
        raise TypeError(f"`jac='forward'`: {made}") from made
    shown = f" ({better})" if better is not None and "No derivative" in str(better) else ""
    raise TypeError(
        f"`{name}` does not compile for `xdata` and numbers as parameters: {main_reason(made)}{shown}\n"
        f"To run it interpreted, pass `{name}.py_func` instead of `{name}`."
    ) from made


def _agree(made: Rows, f: CPUDispatcher, x: Any, places: tuple, m: int) -> bool:
    """Return whether a model has the same values point by point as for the whole of x, if it takes that."""
    kind = type_of("xdata", made.x, "f")
    values, jac = np.empty(m), np.empty((len(places[0]) + 1, max(m, len(places[0]))))
    vector, matrix = array_type(values.dtype, 1), array_type(values.dtype, 2)
    code = machine_code(made.keep, (kind, vector, vector, matrix))
    for p in places:
        try:
            whole = np.asarray(f(x, *p), float)
            code(made.x, p, values, jac)
        except NumbaError:  # it is a function of one point
            return True
        except Exception:  # its own, which a fit is to meet
            return False
        if whole.shape not in ((), (m,)):
            return False
        if (values == whole).all():
            continue
        size = np.abs(whole[np.isfinite(whole)]).max(initial=0.0)
        with np.errstate(invalid="ignore"):  # of two infinities
            same = (values == whole) | (np.abs(values - whole) <= AGREEMENT * size)
        if not (same | (np.isnan(values) & np.isnan(whole))).all():
            return False
    return True


class PythonModel:
    """A model that is called from Python, with its Jacobian or differences of it."""

    def __init__(self, f: Callable, jac: Any, x: Any) -> None:
        self.f, self.jac, self.x = f, jac, x
        self.gradient: str = "jac" if callable(jac) else jac or ADAPTIVE

    def begin(self, bounds: Pair) -> None:
        """Begin a fit within these bounds."""
        self.low, self.high = (side.tolist() for side in bounds)
        self.scheme = "2-point" if self.gradient == ADAPTIVE else self.gradient
        self.rows: np.ndarray | None = None  # of the last Jacobian, one for each parameter
        self.further = 0  # evaluations for differences

    def refined(self) -> bool:
        """Take differences of both sides from now on, if they are chosen here; return whether that is new."""
        new = self.gradient == ADAPTIVE and self.scheme == "2-point"
        self.scheme = "3-point" if new else self.scheme
        return new

    def values(self, p: np.ndarray, m: int) -> np.ndarray:
        """Return the values at p, shape (m,)."""
        return _numbers("f", self.f(self.x, *p), (m,), "ydata")

    def jacobian(self, p: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return the Jacobian at p, where f has these values; shape (m, n)."""
        m, n = len(values), len(p)
        if callable(self.jac):
            return _numbers("jac", self.jac(self.x, *p), (m, n), "the values and `p0`")
        rows, steps = np.empty((n, m)), self._steps(p, values).tolist()
        for j in range(n):
            rows[j] = self._slope(p, j, values, steps[j])
        self.rows = rows
        return rows.T

    def _steps(self, p: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return the steps of differences: those of SciPy, or, of both sides, by what changes the curve.

        A parameter that is large beside that, as the place of a peak, would be moved too far.
        """
        size = np.where(p == 0, 1.0, np.abs(p))
        if self.scheme == "3-point" and self.rows is not None:
            spread = np.linalg.norm(values - values.mean())
            spread = max(spread, SMALLEST * np.linalg.norm(values))  # a curve may be level
            with np.errstate(divide="ignore", invalid="ignore"):
                length = spread / np.linalg.norm(self.rows, axis=1)
            known = (length > UNFELT * np.abs(p)) & (length < np.inf)
            size = np.where(known, np.clip(np.abs(p), SMALLEST * length, length), size)
        return EPS ** STEPS.get(self.scheme, 1.0) * size

    def _slope(self, p: np.ndarray, j: int, values: np.ndarray, h: float) -> np.ndarray:
        """Return the derivatives with respect to parameter j, by differences within the bounds."""
        if self.scheme == "cs":
            return self._moved(p.astype(complex), j, p[j] + COMPLEX_STEP * 1j, len(values), np.imag)
        here = at = p[j].item()
        below, up, down = values, self.high[j] - here, here - self.low[j]
        if self.scheme == "3-point" and min(up, down) >= h:
            at = here - h
            below = self._moved(p.copy(), j, at, len(values))
        elif up < h:
            h = -h if down >= h else up if up >= down else -down
        moved = here + h
        if moved == at:  # its bounds are equal
            return np.zeros(len(values))
        return (self._moved(p.copy(), j, moved, len(values)) - below) / (moved - at)

    def _moved(self, p: np.ndarray, j: int, place: Any, m: int, part: Any = None) -> np.ndarray:
        """Return the values where parameter j is elsewhere; or a part of complex ones, by the step."""
        p[j] = place
        self.further += 1
        returned = self.f(self.x, *p)
        if part is not None:
            returned = part(returned) / COMPLEX_STEP
        return _numbers("f", returned, (m,), "ydata")


def _numbers(name: str, returned: Any, shape: tuple[int, ...], of: str) -> np.ndarray:
    """Return what a function of the caller's returned as real numbers of this shape."""
    if returned is None:
        raise TypeError(f"`{name}` must return an array; it returned None.")
    if type(returned) is np.ndarray and returned.shape == shape and returned.dtype == float:
        return returned
    if np.ma.is_masked(returned):
        raise TypeError(f"`{name}` must return all values; it returned a masked array.")
    array = np.asarray(returned)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` must return real numbers; it returned dtype {array.dtype}.")
    if array.shape == shape or array.ndim == 0:
        return np.broadcast_to(array, shape)
    raise ValueError(f"`{name}` returned shape {array.shape}, expected {shape}, that of {of}.")
