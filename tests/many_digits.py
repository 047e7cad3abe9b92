"""Derivatives of Python functions by differences, with numbers of so many digits that these are exact.

A function is run as it stands, with arrays of mpmath's numbers in the place of floats: where it names
NumPy, `math` or a Numba function, it finds the same for these numbers.
"""

import math
from types import FunctionType, SimpleNamespace

import numpy as np
from mpmath import mp, mpf
from numba.core.dispatcher import Dispatcher

DIGITS, STEP = 60, mpf(10) ** -20  # central differences are then exact to 40 digits


def jacobian(function, x, *args):
    """Return the value of a function and its derivatives, one row for each variable, as floats."""
    with mp.workdps(DIGITS):
        run, x, args = _rewritten(function), numbers(x), [_converted(a) for a in args]
        steps = STEP * numbers(np.eye(x.size))
        value = _floats(run(x.copy(), *args))
        rows = [
            _floats((_array(run(x + h, *args)) - _array(run(x - h, *args))) / (2 * STEP))
            for h in steps
        ]
    return value, np.array(rows)


def hessian(function, x, *args):
    """Return second derivatives: differences of differences, exact to 20 digits."""
    with mp.workdps(DIGITS):
        run, x, args = _rewritten(function), numbers(x), [_converted(a) for a in args]
        steps = numbers(np.eye(x.size)) * mpf(10) ** -13

        def curvature(a, b):
            corners = run(x + a + b, *args) - run(x + a - b, *args) - run(x - a + b, *args)
            return (corners + run(x - a - b, *args)) / (4 * mpf(10) ** -26)

        return np.array([[float(curvature(a, b)) for a in steps] for b in steps])


def numbers(a):
    """Return an array of floats as one of mpmath's numbers."""
    return _each(mpf)(np.asarray(a))


def _each(function, count=1):
    return np.frompyfunc(function, count, 1)


def _array(values):
    return np.array(values, dtype=object)


def _floats(values):
    return _array(values).astype(float)


def _converted(value):
    """Return what a function names as these numbers have it."""
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return numbers(value)
    return REPLACED.get(id(value), value)


def _rewritten(function):
    """Return a function that finds all for these numbers, in its module and in what it closes over."""
    scope = {name: _converted(value) for name, value in function.__globals__.items()}
    scope |= {"float": lambda a: a, "round": NUMPY.round}
    for name, value in function.__globals__.items():
        if isinstance(value, Dispatcher):
            helper = value.py_func
            scope[name] = FunctionType(
                helper.__code__, scope, name, helper.__defaults__, helper.__closure__
            )
    return FunctionType(function.__code__, scope, None, function.__defaults__, function.__closure__)


class Numpy:
    """NumPy, whose own functions stand where they take arrays of any numbers."""

    def __init__(self, **replaced):
        self.__dict__ |= replaced

    def __getattr__(self, name):
        return getattr(np, name)


def _new(make):
    return lambda shape, *rest: numbers(make(shape, *rest))


def _like(make):
    return lambda a: numbers(make(a.shape))


def _full(shape, value):
    return _each(lambda _: mpf(value))(np.empty(shape))


def _made(sequence, dtype=None):
    """Return an array, of integers and booleans as NumPy has them."""
    made = np.asarray(sequence)
    return made if made.dtype.kind in "biu" else _each(mpf)(np.array(sequence, dtype=object))


def _linspace(start, stop, num=50):
    return _array([start + (stop - start) * mpf(i) / (num - 1) for i in range(num)])


def _variance(a):
    return np.mean((a - np.mean(a)) ** 2)


def _interp(x, xp, fp):
    j = min(max(int(np.searchsorted(xp, x)), 1), len(xp) - 1)
    return fp[j - 1] + (x - xp[j - 1]) / (xp[j] - xp[j - 1]) * (fp[j] - fp[j - 1])


def _by_matrices(function):
    """Return one of mpmath's functions of matrices as one of arrays."""

    def of_arrays(*given):
        shape = [one.shape for one in given if isinstance(one, np.ndarray)][-1]
        matrices = [
            mp.matrix(one.tolist()) if isinstance(one, np.ndarray) else one for one in given
        ]
        found = function(*matrices)
        return _array(found.tolist()).reshape(shape) if isinstance(found, mp.matrix) else found

    return of_arrays


def _norm(a, order=2):
    return max(abs(a)) if order == math.inf else np.sum(abs(a) ** order) ** (mpf(1) / order)


def _quantile(a, q):
    place = np.asarray(q) * (len(a) - 1)
    low = place.astype(int)
    high, ordered = np.minimum(low + 1, len(a) - 1), np.sort(a)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _cov(*rows):
    apart = [row - np.mean(row) for row in np.vstack(rows)]
    return np.array([[a @ b / (a.size - 1) for a in apart] for b in apart])


def _corrcoef(*rows):
    c = _cov(*rows)
    return np.array([[c[i, j] / mp.sqrt(c[i, i] * c[j, j]) for j in (0, 1)] for i in (0, 1)])


def _eigh(a):
    values, vectors = mp.eigsy(mp.matrix(a.tolist()))
    return _array(list(values)), _array(vectors.tolist())


def _lstsq(a, b):
    x = _array(list(mp.lu_solve(mp.matrix(a.tolist()), mp.matrix(b.tolist()))))
    return x, _array([np.sum((a @ x - b) ** 2)]), a.shape[1], None


def _slogdet(a):
    found = _det(a)
    return mp.sign(found), mp.log(abs(found))


_det = _by_matrices(mp.det)
BOTH = (
    "exp", "expm1", "log", "log10", "log1p", "sqrt", "cbrt", "sin", "cos", "tan", "sinh", "cosh",
    "tanh", "degrees", "radians",
)  # fmt: skip
INVERSE = ("sin", "cos", "tan", "sinh", "cosh", "tanh")
FUNCTIONS = {
    **{name: _each(getattr(mp, name)) for name in (*BOTH, "sign")},
    **{f"arc{name}": _each(getattr(mp, f"a{name}")) for name in INVERSE},
    "arctan2": _each(mp.atan2, 2),
    "hypot": _each(mp.hypot, 2),
    "exp2": _each(lambda a: mpf(2) ** a),
    "log2": _each(lambda a: mp.log(a, 2)),
    "sinc": _each(lambda a: mp.sinc(mp.pi * a)),
    "floor": _each(mp.floor),
    "ceil": _each(mp.ceil),
    "round": _each(mp.nint),
    "fmod": _each(lambda a, b: a - b * mp.sign(a / b) * mp.floor(abs(a / b)), 2),
    "logaddexp2": _each(lambda a, b: mp.log(mpf(2) ** a + mpf(2) ** b, 2), 2),
    "logaddexp": _each(lambda a, b: mp.log(mp.exp(a) + mp.exp(b)), 2),
    "copysign": _each(lambda a, b: abs(a) if b > 0 else -abs(a), 2),
}
NUMPY = Numpy(
    **FUNCTIONS,
    **{name: _new(getattr(np, name)) for name in ("zeros", "ones", "eye", "arange")},
    **{f"{name}_like": _like(getattr(np, name)) for name in ("zeros", "ones")},
    empty=_new(np.zeros),
    empty_like=_like(np.zeros),
    full=_full,
    array=_made,
    asarray=_made,
    linspace=_linspace,
    var=_variance,
    std=lambda a: mp.sqrt(_variance(a)),
    isclose=lambda a, b: abs(a - b) < 1e-8 + 1e-5 * abs(b),
    average=np.mean,
    cov=_cov,
    corrcoef=_corrcoef,
    quantile=_quantile,
    percentile=lambda a, q: _quantile(a, q / 100),
    bincount=lambda a, weights: _array([np.sum(weights[a == i]) for i in range(max(a) + 1)]),
    nan_to_num=lambda a: a,
    nansum=np.sum,
    nanmean=np.mean,
    nanmax=np.max,
    nanmin=np.min,
    nanprod=np.prod,
    nanvar=_variance,
    nanstd=lambda a: mp.sqrt(_variance(a)),
    isnan=_each(mp.isnan),
    isfinite=_each(mp.isfinite),
    interp=_interp,
    linalg=SimpleNamespace(
        solve=_by_matrices(mp.lu_solve),
        inv=_by_matrices(mp.inverse),
        det=_det,
        slogdet=_slogdet,
        cholesky=_by_matrices(mp.cholesky),
        matrix_power=_by_matrices(lambda a, n: a**n),
        norm=_norm,
        lstsq=_lstsq,
        eigh=_eigh,
        eigvalsh=lambda a: _eigh(a)[0],
    ),
)
MATH = SimpleNamespace(
    **{name: FUNCTIONS[name] for name in (*BOTH, "hypot", "floor", "copysign")},
    **{f"a{name}": FUNCTIONS[f"arc{name}"] for name in (*INVERSE, "tan2")},
    pi=math.pi,
    inf=math.inf,
    erf=mp.erf,
    erfc=mp.erfc,
    gamma=mp.gamma,
    lgamma=mp.loggamma,
    pow=pow,
    exp2=FUNCTIONS["exp2"],
    fabs=abs,
)
mpf.__floordiv__ = lambda a, b: mp.floor(a / b)
mpf.__divmod__ = lambda a, b: (a // b, a % b)
REPLACED = {id(np): NUMPY, id(math): MATH}
