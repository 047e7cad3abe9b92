"""Exact derivatives of Numba functions: of all that has a rule, of any size; what is said elsewhere."""

import inspect
import math

import many_digits
import numba
import numpy as np
import pytest
import scipy.special
from numba.core.errors import TypingError
from numba.core.runtime import _nrt_python, rtsys
from problems import mgh, nist

import adamnb
from adamnb._forward import derivatives
from adamnb._forward.named import derivative

njit = numba.njit(error_model="numpy")
T = np.linspace(0.1, 2.0, 7)
POINT = np.array([1.1, 0.7, 0.4])


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


# ------------------------------------------------------------------------------------- functions


@njit
def functions(x):
    a, b = x
    return (
        np.exp(a), math.exp(a), np.exp2(a), np.expm1(a), np.log(a), np.log2(a), np.log10(a),
        np.log1p(a), np.sqrt(a), np.cbrt(a), np.square(a), np.reciprocal(a), np.sin(a), math.cos(a),
        np.tan(a), np.arcsin(a), math.acos(a), np.arctan(a), np.sinh(a), np.cosh(a), math.tanh(a),
        np.arcsinh(a), np.arccosh(1 + b), np.arctanh(a), abs(-a), np.degrees(a), math.radians(a),
        math.erf(a), math.erfc(a), math.gamma(a), math.lgamma(b), math.gamma(-a), np.arctan2(a, b),
        np.hypot(a, -b), np.maximum(a, b), np.minimum(a, b), np.logaddexp(a, b), np.copysign(a, -b),
        a**b, 2.0**a, a**-3, math.pow(a, 2.5), np.power(a, b), b % a, np.clip(a, 0.1, 0.2),
        np.where(a > 0, a * b, b), np.sign(a), np.floor(a), np.ceil(a), a // 0.2,
    )  # fmt: skip


def test_functions():
    x = np.array([0.35, 0.9])
    found = adamnb.jacobian(functions)(x)
    _, expected = many_digits.jacobian(functions.py_func, x)
    np.testing.assert_allclose(found, expected.T, rtol=2e-14, atol=2e-15)


@njit
def functions_of_arrays(x):
    a, b, _ = x
    stacked = np.vstack((x, x * x))
    return (
        np.ptp(x), np.kron(x, x)[1], np.vdot(x, T[:3]), np.nansum(x), np.nanmean(x), np.average(x),
        np.median(x), np.linspace(a, b, 4)[1], np.vander(x, 3)[0, 0], np.cumprod(x)[2],
        np.convolve(x, T)[1], np.roll(x, 1)[0], np.repeat(x, 2)[2], stacked[1, 2],
        divmod(a, 0.3)[1], pow(b, 3), np.fmod(-a, 0.3),
        np.sinc(a), np.linalg.norm(x), x.std(), x.cumsum()[1], np.diff(x)[0],
        a if np.isclose(a, a + 1e-12) else b, x[np.searchsorted(T, T[1])],
    )  # fmt: skip


@njit
def add_to(out, x):
    out += x


@njit
def begin_with(s, x):
    s[0] = 3.0
    for _ in range(2):
        s = s * x[0]
    return s


@njit
def doubled_by_name(s, x):
    for _ in range(2):
        s = s * x[0]
    return s


def test_arrays_of_a_caller():
    """What a helper puts into one is there; what it only calls by the same name is another array."""

    @njit
    def fun(x):
        out, s = np.zeros(3), np.ones(3)
        add_to(out, x)
        return out @ out + np.sum(doubled_by_name(s, x)) * np.sum(s)

    f, g = adamnb.value_and_grad(fun)(POINT)
    assert f == pytest.approx(fun(POINT))
    close(g, 2 * POINT + np.array([18 * POINT[0], 0.0, 0.0]))

    @njit
    def changed(x):
        s = np.ones(3)
        return np.sum(begin_with(s, x)) * s[0]

    with pytest.raises(TypingError, match="No derivative"):
        adamnb.value_and_grad(changed)(POINT)


@njit
def further_functions_of_arrays(x):
    a, b, c = x
    pair, t = np.vstack((x, x * x)), T[:3]
    return (
        np.cross(x, t)[1], np.cov(pair)[0, 1], np.cov(x, t)[0, 0], np.corrcoef(pair)[0, 1],
        np.corrcoef(t, x)[0, 1], np.convolve(T, x, "valid")[1], np.convolve(x, T, "same")[0],
        np.correlate(T, x)[2], np.percentile(x, 30.0), np.quantile(x, 0.9),
        np.quantile(x, np.array([0.0, 0.4, 1.0]))[1], np.nanmax(x), np.nanmin(x), np.nanprod(x),
        np.nanvar(x), np.nanstd(x), np.ediff1d(x)[1], np.extract(x > 0.5, x)[1],
        np.bincount(np.array([0, 1, 1]), x)[1], np.trapezoid(x), np.trapezoid(x, dx=0.5),
        np.linalg.norm(x, 1), np.linalg.norm(x, np.inf), np.linalg.norm(-x, 3), np.nan_to_num(x)[2],
        np.append(x, c)[3], np.append(a, x)[2], np.append(a, b)[1], np.logaddexp2(a, b),
        math.exp2(c),
    )  # fmt: skip


def test_further_functions_of_arrays():
    found = adamnb.jacobian(further_functions_of_arrays)(POINT)
    _, expected = many_digits.jacobian(further_functions_of_arrays.py_func, POINT)
    np.testing.assert_allclose(found, expected.T, rtol=1e-14, atol=2e-15)


@njit
def with_nan(x):
    r = np.log(x - 0.5)
    return (
        np.nan_to_num(r)[2],
        np.nanmax(r),
        np.nanmin(r),
        np.nansum(r),
        np.nanmean(r),
        np.nanprod(r),
    )


def test_nan():
    """What is left out has no derivative; what is not, is not lost."""
    f, g = 1 / 0.6, 1 / 0.2
    a, b = math.log(0.6), math.log(0.2)
    expected = [[0, 0], [f, 0], [0, g], [f, g], [f / 2, g / 2], [b * f, a * g]]
    found = adamnb.jacobian(with_nan)(POINT)
    np.testing.assert_allclose(found, np.column_stack((expected, np.zeros(6))), rtol=1e-14)

    @njit
    def largest(x):
        return np.log(x - 0.5).max()

    assert math.isnan(adamnb.value_and_grad(largest)(POINT)[0])


@njit
def casts(x):
    return x.astype(np.float64)[1], np.float64(x[0]), np.int64(x[0]) * x[1]


def test_casts():
    found = adamnb.jacobian(casts)(POINT)
    np.testing.assert_array_equal(found, [[0, 1, 0], [1, 0, 0], [0, 1, 0]])


def test_functions_of_arrays():
    found = adamnb.jacobian(functions_of_arrays)(POINT)
    _, expected = many_digits.jacobian(functions_of_arrays.py_func, POINT)
    np.testing.assert_allclose(found, expected.T, rtol=2e-14, atol=2e-15)


@pytest.mark.parametrize("a", [0.35, 0.02, 7.5])
def test_second_derivatives_of_functions(a):
    """Of the gamma function with digamma, which is differentiated as any code is."""

    @njit
    def fun(x):
        return math.lgamma(x[0]) + np.log(x[0]) * math.erf(x[1]) + x[0] ** x[1]

    h = adamnb.hessian(fun)(np.array([a, 0.9]))
    e, c, power = math.erf(0.9), 2 / math.sqrt(math.pi) * math.exp(-0.81), a**0.9
    expected = np.array([
        [scipy.special.polygamma(1, a) - e / a**2 - 0.09 * a**-1.1, 0.0],
        [0.0, -1.8 * c * math.log(a) + power * math.log(a) ** 2],
    ])  # fmt: skip
    expected[0, 1] = expected[1, 0] = c / a + a**-0.1 * (1 + 0.9 * math.log(a))
    close(h, expected)


# ----------------------------------------------------------------------- where there is no derivative


@njit
def kinks(x):
    a, b, c = x
    return (
        abs(a), np.sqrt(a), np.cbrt(a), np.hypot(a, a), np.maximum(a, 0.0), np.maximum(a, b * 1.0),
        max(a, 0.0), max(0.0, a), a**2, a**1, a**0, a**0.5, a**0.0, a**2.0, c**a, a**c,
        np.sqrt(a) + c, np.logaddexp(a, a), np.minimum(a, b), np.clip(c, 2.0, 3.0),
    )  # fmt: skip


def test_kinks():
    """At (0, 0, 2): what does not depend on a variable never has NaN for it."""
    found = adamnb.jacobian(kinks)(np.array([0.0, 0.0, 2.0]))
    inf = np.inf
    expected = [
        [0, 0, 0], [inf, 0, 0], [inf, 0, 0], [0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0],
        [1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0], [inf, 0, 0], [0, 0, 0], [0, 0, 0],
        [math.log(2), 0, 0], [0, 0, 0],
        [inf, 0, 1], [1, 0, 0], [0.5, 0.5, 0], [0, 0, 0.5],
    ]  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-15)


# --------------------------------------------------------------------------- known analytic gradients


def without_g(fun):
    """Return the objective of a problem that writes its gradient into g, without g."""

    @njit
    def plain(x, *args):
        return fun(x, np.empty_like(x), *args)

    return plain


CHOSEN = [*mgh.problems()[2::4], *nist.problems()[::5]]


@pytest.mark.parametrize("problem", CHOSEN, ids=lambda problem: problem.name)
def test_known_problems(problem):
    """Of both sets some; g is then a vector of what depends on x as well."""
    x, g = problem.x0 * 1.01, np.empty(problem.x0.size)
    f = problem.fun(x, g, *problem.args)
    found_f, found_g = adamnb.value_and_grad(without_g(problem.fun))(x, *problem.args)
    assert found_f == pytest.approx(f, rel=1e-13)
    close(found_g, g)


# ------------------------------------------------------------------------- more variables, and fewer


@njit
def rosenbrock(x):
    f = 0.0
    for i in range(x.size - 1):
        f += 100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2
    return f


def rosenbrock_hessian(x):
    h = np.zeros((x.size, x.size))
    for i in range(x.size - 1):
        h[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
        h[i + 1, i + 1] += 200
        h[i, i + 1] = h[i + 1, i] = -400 * x[i]
    return h


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 31, 32, 33, 70])
def test_numbers_of_variables(n):
    """Passes of some variables each; memory on the stack, and not."""
    x = np.linspace(-1.2, 1.3, n)
    f, g = adamnb.value_and_grad(rosenbrock)(x)
    assert f == rosenbrock(x)
    assert g.shape == (n,)
    close(g, many_digits.jacobian(rosenbrock.py_func, x)[1] if n > 1 else np.zeros(1))
    h = adamnb.hessian(rosenbrock)(x)
    close(h, rosenbrock_hessian(x))
    assert (h == h.T).all()


def test_no_variables():
    f, g = adamnb.value_and_grad(rosenbrock)(np.empty(0))
    assert (f, g.shape) == (0.0, (0,))
    assert adamnb.hessian(rosenbrock)(np.empty(0)).shape == (0, 0)


def test_nothing_of_the_callers_is_changed():
    @njit
    def spoils(x, t):
        x[0] *= 2.0
        return x[0] * x[1] * t[0]

    for x in (POINT.copy(), np.repeat(POINT, 2)[::2]):
        f, g = adamnb.value_and_grad(spoils)(x, T)
        assert f == pytest.approx(2 * 1.1 * 0.7 * T[0])
        close(g, np.array([1.4, 2.2, 0.0]) * T[0])
        assert (x == POINT).all()
    read_only = POINT.copy()
    read_only.flags.writeable = False
    adamnb.value_and_grad(rosenbrock)(read_only)


def test_float32_stays_float32():
    @njit
    def fun(x, t):
        s = x[0] - x[0]
        for i in range(t.size):
            s += (x[0] * np.exp(-x[1] * t[i])) ** 2 + np.sqrt(x[2]) * math.lgamma(x[2])
        return s

    x, t = POINT.astype(np.float32), T.astype(np.float32)
    f, g = adamnb.value_and_grad(fun)(x, t)
    f64, g64 = adamnb.value_and_grad(fun)(x.astype(float), t.astype(float))
    assert type(fun(x, t)) is type(f)
    assert g.dtype == np.float32
    np.testing.assert_allclose(g, g64, rtol=1e-5)
    h = adamnb.hessian(fun)(x, t)
    assert h.dtype == np.float32
    np.testing.assert_allclose(h, adamnb.hessian(fun)(x.astype(float), t.astype(float)), rtol=1e-4)
    assert f == pytest.approx(f64, rel=1e-6)


def test_second_derivatives_of_linear_systems():
    """Of the same code, for dual numbers in the place of floats: against derivatives of the solution."""

    @njit
    def fun(x):
        m = np.array([[2.0, x[0]], [x[1], 3.0]])
        return np.linalg.solve(m, np.array([1.0, x[2]]))[0]

    # The first element is (3 - x0 x2) / (6 - x0 x1).
    a, b, c = POINT
    d, n = 6 - a * b, 3 - a * c
    expected = np.array([
        [-2 * c * b / d**2 + 2 * n * b**2 / d**3, 0.0, 0.0],
        [(n - c * a) / d**2 + 2 * n * a * b / d**3, 2 * n * a**2 / d**3, 0.0],
        [-1 / d - a * b / d**2, -(a**2) / d**2, 0.0],
    ])  # fmt: skip
    expected += np.tril(expected, -1).T
    close(adamnb.hessian(fun)(POINT), expected)


def test_singular_systems():
    @njit
    def solves(x):
        return np.linalg.solve(np.outer(x, x), x)[0]

    @njit
    def factors(x):
        return np.linalg.cholesky(-np.eye(3) * x)[0, 0]

    for function, said in ((solves, "singular"), (factors, "not positive definite")):
        with pytest.raises(np.linalg.LinAlgError, match=said):
            adamnb.value_and_grad(function)(np.ones(3))


def test_jacobian():
    @njit
    def model(x, t):
        return x[0] * np.exp(-x[1] * t) + x[2]

    decay = np.exp(-POINT[1] * T)
    expected = np.array([decay, -POINT[0] * T * decay, np.ones(7)]).T
    close(adamnb.jacobian(model)(POINT, T), expected)

    @njit
    def constant(x, t):
        return t

    assert not adamnb.jacobian(constant)(POINT, T).any()


def test_memory():
    """The gradient is the one array that is made for code without arrays of its own."""

    def allocations(function, *arguments):
        function(*arguments)
        _nrt_python.memsys_enable_stats()
        try:
            before = rtsys.get_allocation_stats().alloc
            function(*arguments)
            return rtsys.get_allocation_stats().alloc - before - len(arguments)  # one to take each
        finally:
            _nrt_python.memsys_disable_stats()

    both = adamnb.value_and_grad(rosenbrock)
    inplace = derivative(derivatives.value_and_grad_inplace, rosenbrock)
    assert allocations(inplace, np.ones(32), np.ones(32)) == 0
    assert allocations(inplace, np.ones(33), np.ones(33)) == 1
    assert allocations(both, np.ones(32)) == 1
    assert allocations(both, np.ones(33)) == 2


def test_parts_are_loaded_at_once():
    """Element by element, a gradient of Rosenbrock's function takes a third longer."""
    inplace = derivative(derivatives.value_and_grad_inplace, rosenbrock)
    inplace(np.ones(8), np.ones(8))
    (code,) = inplace.inspect_llvm().values()
    assert "load <8 x double>" in code
    (line,) = [line for line in code.splitlines() if " alloca " in line and "[8 x double]" in line]
    assert line.endswith("align 64")


def test_gradients_in_place():
    """With the parameters of the function, whatever their names."""

    @njit
    def fun(x, g, power=2):
        return (g - x[0]) ** power * x[1]

    write, g = derivative(derivatives.value_and_grad_inplace, fun), np.zeros(3)
    assert [*inspect.signature(write.py_func).parameters] == ["x", "g_of_x", "g", "power"]
    assert write(POINT, g, 3.0) == fun(POINT, 3.0)
    close(g, adamnb.value_and_grad(fun)(POINT, 3.0)[1])
    write(POINT, g, 3.0, 1)
    close(g, np.array([-0.7, 1.9, 0.0]))


def test_further_arguments():
    """Functions, tuples, and what has a default."""

    @njit
    def fun(x, pair, model, power=2):
        (scale, shift), t = pair
        return (model(x, t[0]) * scale + shift) ** power

    @njit
    def decay(x, t):
        return x[0] * np.exp(-x[1] * t) + x[2]

    f, g = adamnb.value_and_grad(fun)(POINT, ((2.0, 0.5), T), decay)
    e = np.exp(-POINT[1] * T[0])
    r = 2 * decay(POINT, T[0]) + 0.5
    assert f == pytest.approx(r * r)
    close(g, 2 * r * 2 * np.array([e, -POINT[0] * T[0] * e, 1.0]))

    @njit
    def several(x, *args):
        return x[0] * args[0] + x[1] * args[1]

    close(adamnb.value_and_grad(several)(POINT, 2.0, 3.0)[1], np.array([2.0, 3.0, 0.0]))


@pytest.mark.parametrize("options", [{"parallel": True}, {"fastmath": True}, "float64(float64[:])"])
def test_functions_compiled_in_other_ways(options):
    compile_as = numba.njit(**options) if isinstance(options, dict) else numba.njit(options)

    @compile_as
    def fun(x):
        f = 0.0
        for i in numba.prange(x.size):
            f += x[i] ** 2
        return f

    @njit
    def outer(x):
        return fun(x) ** 2

    close(adamnb.value_and_grad(fun)(POINT)[1], 2 * POINT)
    close(adamnb.value_and_grad(outer)(POINT)[1], 4 * POINT * (POINT @ POINT))


def test_nested():
    """A derivative within a function is differentiated as all else."""
    inner = adamnb.value_and_grad(rosenbrock)

    @njit
    def steepness(x):
        f, g = inner(x)
        return g @ g + 0.0 * f

    x = np.array([0.3, -0.4])
    _, g = adamnb.value_and_grad(steepness)(x)
    close(g, 2 * rosenbrock_hessian(x) @ inner(x)[1])


# --------------------------------------------------------------------------------------- what it is


def test_one_function_each():
    assert adamnb.value_and_grad(rosenbrock) is adamnb.value_and_grad(rosenbrock)
    assert adamnb.value_and_grad(rosenbrock) is not adamnb.hessian(rosenbrock)


def test_in_minimisations():
    @njit
    def fun(x, y):
        return (x[0] - y) ** 2 + (x[1] - 1.0) ** 4

    both = adamnb.value_and_grad(fun)
    found = adamnb.minimize(both, [3.0, 1.5], (2.0,), jac=True)
    assert found.compiled
    assert found.x[0] == pytest.approx(2.0, abs=1e-4)
    several = adamnb.minimize_batch(both, [3.0, 1.5], data=(np.array([2.0, 5.0]),), jac=True)
    np.testing.assert_allclose(several.x[:, 0], [2.0, 5.0], atol=1e-4)


def test_a_division_by_zero_is_as_in_the_function_itself():
    @numba.njit
    def fun(x):
        return 1.0 / (x[0] - 1.0)

    with pytest.raises(ZeroDivisionError):
        adamnb.value_and_grad(fun)(np.ones(1))
    f, g = adamnb.value_and_grad(njit(fun.py_func))(np.ones(1))
    assert (f, g[0]) == (np.inf, -np.inf)


@njit
def decomposes(x):
    return np.linalg.svd(np.outer(x, x))[1][0]


@njit
def rounds(x):
    return np.spacing(x[0])


@njit
def drops(x):
    return x.astype(np.int64)[0] * x[1]


@njit
def fills(x):
    a = np.zeros(3, np.int64)
    a[0] = x[0]
    return a[0]


@njit
def lists_of_floats(x):
    a = [0.0] * 3
    a[0] = x[0]
    return a[0]


@njit
def turns(x):
    return abs(np.exp(1j * x[0]))


@njit
def holds_complex(x):
    z = np.zeros(3, np.complex128)
    z[0] = x[0]
    return z[0].real


@njit
def wraps(x):
    r = x * 2
    r %= 0.5
    return r[0]


@njit
def is_vector(x):
    return 2 * x


@njit
def calls(x):
    return 1.0 + decomposes(x)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (decomposes, "no rule for `svd`"),
        (calls, "no rule for `svd`"),
        (rounds, "no rule for `spacing`"),
        (drops, "no rule for `astype` of arrays with these arguments"),
        (fills, "an array or list that holds floats is given a number that depends on x"),
        (lists_of_floats, "an array or list that holds floats is given a number that depends on x"),
        (turns, "complex numbers cannot depend on x"),
        (holds_complex, "complex numbers cannot depend on x"),
        (wraps, "no rule for `imod`"),
        (is_vector, "must return a number"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_has_no_rule(function, said):
    with pytest.raises(TypingError, match=said) as caught:
        adamnb.value_and_grad(function)(POINT)
    text = str(caught.value)
    assert "Dual" not in text
    assert text.count("\n") == 0
    if function is not is_vector:
        assert "`jac`" in text
        assert '`jac="2-point"`' in text


@pytest.mark.parametrize("x", [np.arange(3), np.ones((2, 2)), 1.0], ids=["int", "matrix", "number"])
def test_wrong_x(x):
    with pytest.raises(TypingError, match="`x` must be a vector of floats; got"):
        adamnb.value_and_grad(rosenbrock)(x)


def test_python_functions():
    with pytest.raises(TypeError, match="needs a Numba function"):
        adamnb.value_and_grad(rosenbrock.py_func)
