"""Bad input is an error, before any numerics, that names argument, value and rule."""

import functools
import re
from collections import namedtuple
from decimal import Decimal
from fractions import Fraction

import numba
import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import Bounds, OptimizeWarning

import adamnb

X0 = np.array([1.0, 2.0])
NAN, INF = np.nan, np.inf


def quadratic(x):
    return float(x @ x)


def slope(x):
    return 2 * x


def pair(x):
    return float(x @ x), 2 * x


def minimize(fun=quadratic, x0=X0, jac=slope, **kwargs):
    return adamnb.minimize(fun, x0, jac=jac, **({"maxiter": 5, "gtol": 0.0} | kwargs))


def raises(kind, *texts):
    """Expect an exception of exactly this kind whose message holds all the texts, in order."""
    return pytest.raises(
        kind, match="(?s)" + ".*".join(map(re.escape, texts)), check=lambda e: type(e) is kind
    )


class Series:
    """What a pandas Series is to us: an object with `__array__`."""

    def __array__(self, dtype=None, copy=None):
        return np.array(X0, dtype)


# ---------------------------------------------------------------------------------------------- x0


@pytest.mark.parametrize(
    ("x0", "kind", "texts"),
    [
        (None, TypeError, ["`x0`", "real numbers", "None"]),
        ("12", TypeError, ["`x0`", "real numbers", "'12'"]),
        (b"12", TypeError, ["`x0`", "real numbers", "b'12'"]),
        (["1", "2"], TypeError, ["`x0`", "real numbers", "<U1"]),
        ([None, 1.0], TypeError, ["`x0`", "real numbers", "object"]),
        ({1.0, 2.0}, TypeError, ["`x0`", "real numbers", "object"]),
        ([1j, 2], TypeError, ["`x0`", "real numbers", "complex128"]),
        (np.array(["2020-01-01"], "M8[D]"), TypeError, ["`x0`", "real numbers", "datetime64"]),
        (np.array([1, 2], "m8[s]"), TypeError, ["`x0`", "real numbers", "timedelta64"]),
        (np.ma.array(X0), TypeError, ["`x0`", "masked"]),
        ([1.0, np.ma.masked], TypeError, ["`x0`", "masked"]),
        ([[1.0, 2.0], [3.0]], ValueError, ["`x0`", "real numbers", "inhomogeneous"]),
        ([], ValueError, ["`x0`", "at least one element", "empty"]),
        ([1.0, NAN], ValueError, ["`x0`", "finite", "nan at index 1"]),
        ([1.0, 2.0, -INF], ValueError, ["`x0`", "finite", "-inf at index 2"]),
    ],
)
def test_x0(x0, kind, texts):
    with raises(kind, *texts):
        minimize(x0=x0)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: [1, 2],
        lambda path: (1.0, 2.0),
        lambda path: X0.astype(np.int8),
        lambda path: X0.astype(np.uint64),
        lambda path: X0.astype(np.float16),
        lambda path: X0.astype(np.longdouble),
        lambda path: X0.astype(">f8"),
        lambda path: np.array([1.0, 0.0, 2.0])[::2],
        lambda path: np.frombuffer(X0.tobytes()),  # read-only
        lambda path: np.frombuffer(b" " + X0.tobytes(), offset=1),  # not aligned
        lambda path: np.memmap(path / "x0", float, "w+", shape=2) + X0,
        lambda path: Series(),
    ],
    ids=[
        "list",
        "tuple",
        "int8",
        "uint64",
        "float16",
        "longdouble",
        "big-endian",
        "strided",
        "read-only",
        "unaligned",
        "memmap",
        "series",
    ],
)
def test_kinds_of_x0_give_the_bits_of_the_plain_array(make, tmp_path):
    result = minimize(x0=make(tmp_path))
    assert type(result.x) is np.ndarray
    assert result.x.dtype == np.float64
    assert result.x.tobytes() == minimize().x.tobytes()


@pytest.mark.parametrize("x0", [3, 3.0, np.float64(3), np.array(3), [3], np.array([3], ">i2")])
def test_a_number_is_a_vector_of_one(x0):
    assert minimize(x0=x0).x.tobytes() == minimize(x0=np.array([3.0])).x.tobytes()


def test_bool_x0():
    assert minimize(x0=[True, False]).x.tobytes() == minimize(x0=np.array([1.0, 0.0])).x.tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_float32_stays_float32(order):
    seen = set()
    fun = lambda x: seen.add(x.dtype) or quadratic(x)  # noqa: E731
    result = minimize(fun=fun, x0=X0.astype(order + "f4"))
    assert {result.x.dtype, result.jac.dtype, result.x_last.dtype, *seen} == {np.dtype(np.float32)}


# --------------------------------------------------------------------------------------------- fun


@pytest.mark.parametrize(
    ("value", "kind", "texts"),
    [
        (lambda x: x, ValueError, ["must return a scalar value", "`fun`", "(2,)"]),
        (lambda x: [], ValueError, ["must return a scalar value", "`fun`", "(0,)"]),
        (lambda x: [[1], [1, 2]], ValueError, ["`fun`", "scalar", "inhomogeneous"]),
        (lambda x: None, TypeError, ["`fun`", "number", "None"]),
        (lambda x: "1", TypeError, ["`fun`", "number", "'1'"]),
        (lambda x: {}, TypeError, ["`fun`", "number", "{}"]),
        (lambda x: 1j, TypeError, ["`fun`", "real number", "1j"]),
        (lambda x: np.complex64(1), TypeError, ["`fun`", "real number", "1+0j"]),
        (lambda x: np.datetime64("2020-01-01"), TypeError, ["`fun`", "number", "2020"]),
        (lambda x: np.ma.array(x, mask=True).sum(), TypeError, ["`fun`", "number", "masked"]),
    ],
)
@pytest.mark.parametrize("form", ["separate", "pair", "inplace", "2-point"])
def test_what_fun_returns(form, value, kind, texts):
    jac = {"separate": slope, "pair": True}.get(form, form)
    fun = {
        "pair": lambda x: (value(x), 2 * x),
        "inplace": lambda x, g: value(x),
    }.get(form, value)
    with raises(kind, *texts):
        minimize(fun=fun, jac=jac)


@pytest.mark.parametrize("number", [Fraction, Decimal, np.longdouble])
def test_kinds_of_numbers(number):
    found = minimize(fun=lambda x: number(quadratic(x)))
    assert found.x.tobytes() == minimize().x.tobytes()


@pytest.mark.parametrize(
    "huge",
    [10**400, -(10**400), Fraction(10**400), Decimal("1e400")],
    ids=["int", "negative int", "Fraction", "Decimal"],
)
@pytest.mark.parametrize("form", ["separate", "pair", "inplace"])
def test_beyond_the_range_of_floats_is_infinity(huge, form):
    """What fun gives beyond x[0] = 1 is no number of float64: the step is taken back."""

    def value(x):
        return huge if x[0] > 1 else -x[0]

    jac = {"separate": lambda x: -np.ones(1), "pair": True, "inplace": "inplace"}[form]
    fun = {
        "pair": lambda x: (value(x), -np.ones(1)),
        "inplace": lambda x, g: g.fill(-1.0) or value(x),
    }.get(form, value)
    found = minimize(fun=fun, x0=[0.9], jac=jac, maxiter=50)
    assert found.nfev > 5
    assert 0.9 < found.x[0] <= 1
    assert found.fun == -found.x[0]
    start = minimize(fun=lambda x: huge, x0=[2.0])
    assert (start.status, start.nit) == (3, 0)
    assert f"`fun` is {float('inf') if huge > 0 else float('-inf')}" in start.message


@pytest.mark.parametrize("fun", [None, 3, "rosen"])
def test_fun_is_not_callable(fun):
    with raises(TypeError, "`fun` must be callable", type(fun).__name__):
        minimize(fun=fun)


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
@pytest.mark.parametrize("jac", [slope, "3-point"])
def test_arrays_of_one_element_are_scalars(shape, jac):
    result = minimize(fun=lambda x: np.full(shape, x @ x), jac=jac)
    assert type(result.fun) is float
    assert result.x.tobytes() == minimize(jac=jac).x.tobytes()


# --------------------------------------------------------------------------------------------- jac


@pytest.mark.parametrize(
    ("value", "kind", "texts"),
    [
        (lambda x: np.ones(5), ValueError, ["`jac` returned shape (5,), expected (2,)", "x0"]),
        (lambda x: 1.0, ValueError, ["`jac` returned shape (), expected (2,)", "x0"]),
        (lambda x: [1.0], ValueError, ["`jac` returned shape (1,), expected (2,)", "x0"]),
        (lambda x: np.eye(2), ValueError, ["`jac` returned shape (2, 2), expected (2,)", "x0"]),
        (lambda x: [[1], [1, 2]], ValueError, ["`jac`", "vector", "inhomogeneous"]),
        (lambda x: None, TypeError, ["`jac`", "array", "None"]),
        (lambda x: "ab", TypeError, ["`jac`", "real numbers", "<U2"]),
        (lambda x: 1j * x, TypeError, ["`jac`", "real numbers", "complex128"]),
        (lambda x: [None, 1.0], TypeError, ["`jac`", "real numbers", "object"]),
        (lambda x: np.ma.array(2 * x, mask=[0, 1]), TypeError, ["`jac`", "masked", "filled"]),
        (
            lambda x: np.ones((2, 1, 2)),
            ValueError,
            ["`jac` returned shape (2, 1, 2), expected (2,)"],
        ),
        (lambda x: np.ones((1, 3)), ValueError, ["`jac` returned shape (1, 3), expected (2,)"]),
    ],
)
@pytest.mark.parametrize("form", ["separate", "pair"])
def test_what_jac_returns(form, value, kind, texts):
    with raises(kind, *texts):
        if form == "pair":
            minimize(fun=lambda x: (1.0, value(x)), jac=True)
        else:
            minimize(jac=value)


@pytest.mark.parametrize(
    ("jac", "x0"),
    [
        (lambda x: (2 * x).tolist(), [1.0, 2.0]),
        (lambda x: (2 * x).astype(">f8"), [1.0, 2.0]),
        (lambda x: [int(2 * x[0])], [3.0]),
        (lambda x: int(2 * x[0]), [3.0]),
        (lambda x: (2 * x)[:, None].astype(int), [3.0]),
        (lambda x: (2 * x)[:, None], [1.0, 2.0]),  # as SciPy's L-BFGS-B takes it
        (lambda x: (2 * x)[None, :], [1.0, 2.0]),
        (lambda x: np.ma.array(2 * x), [1.0, 2.0]),  # nothing is masked
    ],
)
def test_lists_and_integers_are_gradients(jac, x0):
    plain = minimize(jac=lambda x: np.array(jac(x), float).reshape(-1), x0=x0)
    assert minimize(jac=jac, x0=x0).x.tobytes() == plain.x.tobytes()
    assert not np.array_equal(plain.x, x0)


@pytest.mark.parametrize("jac", [3, 1, "4-point", (), np.ones(2)])
def test_jac_is_none_of_its_kinds(jac):
    with raises(ValueError, "`jac` must be callable, True, 'inplace', 'forward'", repr(jac)):
        minimize(jac=jac)


def test_jac_true_needs_a_pair():
    with raises(TypeError, "`jac=True` needs `fun` to return (f, gradient)", "float"):
        minimize(jac=True)


def test_a_change_of_shape_names_the_iteration():
    calls = iter(range(100))
    jac = lambda x: 2 * x if next(calls) < 50 else np.ones(3)  # noqa: E731
    with raises(ValueError, "`jac` returned shape (3,), expected (2,)", "iteration 50"):
        minimize(jac=jac, maxiter=99, learning_rate=0.01)


# ----------------------------------------------------------------------------------------- options

FRACTION = "satisfy 0 <= {} < 1"
NUMBER = "be a number >= 0"
RATE = "be None (automatic), a number >= 0"
SCALE = "be None, a number > 0"
BAD_OPTIONS = [
    (
        "learning_rate",
        RATE,
        ValueError,
        [-1, NAN, INF, [1, NAN], [1, -1], [[1], [2, 3]], ["1", "2"]],
    ),
    ("learning_rate", RATE, TypeError, ["0.1", b"1", 1j, object()]),
    ("learning_rate", "have shape (2,)", ValueError, [[1, 2, 3], [[1, 2]], np.ones((2, 1)), []]),
    *(
        (name, FRACTION.format(name), kind, values)
        for name in ("beta1", "beta2")
        for kind, values in ((ValueError, [1, 1.2, -0.1, NAN, [0.9]]), (TypeError, ["0.9", 1j]))
    ),
    *(
        (name, f"satisfy 0 <= {name} < inf", kind, values)
        for name in ("eps", "weight_decay")
        for kind, values in ((ValueError, [-1, NAN, INF]), (TypeError, ["0"]))
    ),
    *(
        (name, NUMBER, kind, values)
        for name in ("maxiter", "maxfun", "max_time", "gtol", "ftol", "xtol")
        for kind, values in ((ValueError, [-1, NAN, [1]]), (TypeError, ["10", 1j]))
    ),
    ("patience", "be a number >= 1", ValueError, [0, 0.5, NAN]),
    ("f_target", "be a number", ValueError, [NAN]),
    ("clip_norm", "be a number > 0", ValueError, [0, -1, NAN]),
    ("x_scale", SCALE, ValueError, [0, -1, NAN, INF, [1, 0]]),
    ("x_scale", SCALE, TypeError, ["1"]),
    ("x_scale", "have shape (2,)", ValueError, [[1, 2, 3], [[1, 2]]]),
    ("threads", "be None or a whole number from 1 to", ValueError, [0, -1, 1.5, True, 10**6]),
    ("threads", "be None or a whole number from 1 to", TypeError, ["2"]),
    *(
        (name, "not be a masked array", TypeError, [np.ma.array(X0)])
        for name in ("learning_rate", "x_scale")
    ),
    ("finite_difference", "be '2-point', '3-point', 'cs'", ValueError, ["4-point", 3]),
    (
        "catch",
        "be an exception class or a tuple of them",
        TypeError,
        ["KeyError", KeyError(), KeyboardInterrupt],
    ),
    (
        "catch",
        "be an exception class or a tuple of them",
        ValueError,
        [3, (KeyError, 3), [KeyError]],
    ),
    ("history", "be True or False", TypeError, ["yes"]),
    ("disp", "be True, False or a whole number n >= 0", TypeError, ["no"]),
    ("disp", "be True, False or a whole number n >= 0", ValueError, [-1, 0.5, NAN]),
    ("progress", "be True, False, a callable, a logging.Logger", TypeError, ["bar"]),
    ("progress", "be True, False, a callable, a logging.Logger", ValueError, [1, (True, -1)]),
]
BAD_OPTION = [
    (name, rule, kind, value) for name, rule, kind, values in BAD_OPTIONS for value in values
]


def shown(rule, value):
    """Return what a message says of the value."""
    if "masked" in rule:
        return ("mask would be lost", ".filled")
    return (f"got {np.shape(value) if 'shape' in rule else repr(value)}",)


@pytest.mark.parametrize(("name", "rule", "kind", "value"), BAD_OPTION)
def test_option(name, rule, kind, value):
    with raises(kind, f"`{name}` must {rule}", *shown(rule, value)):
        minimize(**{name: value})


@pytest.mark.parametrize(("name", "rule", "kind", "value"), BAD_OPTION)
def test_option_of_the_optimizer(name, rule, kind, value):
    if name not in ("learning_rate", "beta1", "beta2", "eps", "weight_decay", "threads"):
        with raises(TypeError, f"`{name}` is not a hyper-parameter of method 'adam'"):
            adamnb.Optimizer(X0.copy(), **{name: value})
        return
    with raises(kind, f"`{name}` must {rule}", *shown(rule, value)):
        adamnb.Optimizer(X0.copy(), **{name: value})


@pytest.mark.parametrize(
    ("name", "value", "nit"),
    [
        ("beta1", 0, 5), ("beta2", 0, 5), ("eps", 0, 5), ("weight_decay", 0, 5),
        ("maxiter", 0, 0), ("maxiter", 3.9, 3), ("maxfun", 0, 0), ("learning_rate", 0.1, 5),
        ("beta1", np.float32(0.5), 5), ("maxiter", np.int64(2), 2), ("learning_rate", [0.1, 0], 5),
    ],
)  # fmt: skip
def test_the_ends_of_the_ranges(name, value, nit):
    result = minimize(**{name: value})
    assert (result.nit, result.success, result.status) == (nit, False, 1)
    assert result.fun <= quadratic(X0)


def test_infinite_maxiter():
    assert minimize(maxiter=INF).success


def test_none_is_the_default_of_every_option():
    from adamnb._problem.options import defaults_of

    names = list(defaults_of("adam"))
    result = adamnb.minimize(quadratic, X0, jac=slope, **dict.fromkeys(names))
    assert result.x.tobytes() == adamnb.minimize(quadratic, X0, jac=slope).x.tobytes()


@pytest.mark.parametrize(
    ("value", "kind", "texts"),
    [
        (-1, ValueError, ["`learning_rate` must return a number >= 0", "-1 at t = 1"]),
        (NAN, ValueError, ["`learning_rate` must return a number >= 0", "nan at t = 1"]),
        ("a", TypeError, ["`learning_rate` must return a number", "'a' at t = 1"]),
        (None, TypeError, ["`learning_rate` must return a number", "None at t = 1"]),
    ],
)
def test_what_a_schedule_returns(value, kind, texts):
    with raises(kind, *texts):
        minimize(learning_rate=lambda t: value)
    with raises(kind, *texts):
        adamnb.Optimizer(X0.copy(), learning_rate=lambda t: value).step(X0)


@pytest.mark.parametrize(("tol", "kind"), [(-1, ValueError), (NAN, ValueError), ("1", TypeError)])
def test_tol(tol, kind):
    with raises(kind, "`tol` must be a number >= 0", repr(tol)):
        minimize(tol=tol)


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ({"learning_rte": 1}, ["`learning_rte` is not an option", "Did you mean `learning_rate`?"]),
        ({"options": {"maxitr": 1}}, ["`maxitr` is not an option", "Did you mean `maxiter`?"]),
        ({"momentum": 0.5}, ["`momentum` is not an option of method 'adam'"]),
        ({"options": {1: 2}}, ["`1` is not an option"]),
        ({"options": {"gtol": 1}, "gtol": 1}, ["`gtol` is given twice"]),
        ({"options": 3}, ["`options` must be a dict", "3"]),
        ({"options": "gtol"}, ["`options` must be a dict", "'gtol'"]),
    ],
)
def test_names_of_options(given, texts):
    with raises(TypeError, *texts):
        minimize(**given)


ELSEWHERE = [
    ("lr", "`learning_rate`"),
    ("Alpha", "`learning_rate`"),
    ("step_size", "`learning_rate`"),
    ("betas", "`beta1` and `beta2`"),
    ("beta_1", "`beta1`"),
    ("momentum", "`beta1`"),
    ("epsilon", "`eps`"),
    ("l2", "`weight_decay`"),
    ("amsgrad", "`method='amsgrad'`"),
    ("max_iter", "`maxiter`"),
    ("timeout", "`max_time`"),
    ("rtol", "`gtol` and `ftol`"),
    ("verbose", "`disp`"),
]


@pytest.mark.parametrize(("name", "own"), ELSEWHERE)
def test_what_others_call_an_option(name, own):
    """Through every door: our own, SciPy's, and the `Optimizer` for what it has."""
    text = f"Did you mean {own}?"
    with raises(TypeError, f"`{name}` is not an option", text):
        minimize(options={name: 1})
    with pytest.warns(OptimizeWarning, match=re.escape(f"options: {name}. {text}")):
        scipy.optimize.minimize(
            quadratic, X0, jac=slope, method=adamnb.adam, options={name: 1, "maxiter": 1}
        )
    if own.split("`")[1] in ("learning_rate", "beta1", "eps", "method='amsgrad'"):
        with raises(TypeError, f"`{name}` is not a hyper-parameter", text):
            adamnb.Optimizer(X0.copy(), **{name: 1})


def test_the_names_of_others_lead_to_options():
    from adamnb._problem.options import MEANT, OPTIONS

    assert {own for meant in MEANT.values() for own in meant if "=" not in own} <= OPTIONS.keys()
    with raises(TypeError, "not an option of method 'sgd'", "Did you mean `weight_decay`?"):
        minimize(method="sgd", l2=1)  # only what the method has is suggested
    with raises(TypeError, "`epsilon` is not an option of method 'sgd'.") as caught:
        minimize(method="sgd", epsilon=1)
    assert "eps`" not in str(caught.value)


def test_name_of_a_hyper_parameter():
    with raises(TypeError, "`bta1` is not a hyper-parameter", "Did you mean `beta1`?"):
        adamnb.Optimizer(X0.copy(), bta1=0.5)


@pytest.mark.parametrize(
    ("method", "kind", "texts"),
    [
        ("adm", ValueError, ["`method` must be one of adam, ", "'adm'", "Did you mean `adam`?"]),
        (None, TypeError, ["`method` must be a name", "None"]),
        (3, TypeError, ["`method` must be a name", "3"]),
    ],
)
def test_method(method, kind, texts):
    with raises(kind, *texts):
        minimize(method=method)


# ----------------------------------------------------------- bounds, constraints, callback, warnings


@pytest.mark.parametrize(
    ("bounds", "kind", "texts"),
    [
        ([(1, 0), (0, 1)], ValueError, ["An upper bound is less than", "index 0: 1.0 > 0.0"]),
        (Bounds([0, 3], [1, 2]), ValueError, ["An upper bound is less than", "index 1: 3.0 > 2.0"]),
        (np.ma.array([(0, 1), (0, 1)]), TypeError, ["`bounds`", "masked"]),
        ([(0, 1), (np.ma.masked, 1)], TypeError, ["`bounds`", "masked"]),
        ([(0, 1)], ValueError, ["The number of bounds is not compatible with the length of `x0`."]),
        ([(0, 1)] * 3, ValueError, ["The number of bounds is not compatible"]),
        (Bounds([0] * 3, 1), ValueError, ["The number of bounds is not compatible"]),
        ([], ValueError, ["The number of bounds is not compatible"]),
        (3, ValueError, ["`bounds` must be", "3"]),
        ("ab", ValueError, ["`bounds` must be", "'ab'"]),
        ([None, (0, 1)], ValueError, ["`bounds` must be", "[None, (0, 1)]"]),
        ([(0, 1, 2), (1, 2, 3)], ValueError, ["`bounds` must be", "(0, 1, 2)"]),
        ([("a", 1), (0, 1)], TypeError, ["`bounds` must hold real numbers", "'a'"]),
        ([(1j, 2), (0, 1)], TypeError, ["`bounds` must hold real numbers", "1j"]),
        ([(0, [1, 2]), (0, 1)], ValueError, ["`bounds` must hold numbers"]),
        ([(0, 1), (NAN, 1)], ValueError, ["`bounds`", "no bound", "index 1: nan, 1.0"]),
        ([(INF, INF), (0, 1)], ValueError, ["`bounds`", "no bound", "index 0: inf, inf"]),
        ([(INF, None)] * 2, ValueError, ["`bounds`", "no bound", "index 0: inf, inf"]),
    ],
)
def test_bounds(bounds, kind, texts):
    with raises(kind, *texts):
        minimize(bounds=bounds)


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds([0.5, 0.5], [3, 3]),
        [(0.5, 3), (0.5, 3)],
        ((0.5, 3),) * 2,
        np.array([[0.5, 3], [0.5, 3]]),
        [(np.array([0.5]), np.array(3)), (np.float32(0.5), 3)],
        zip([0.5, 0.5], [3, 3], strict=True),
    ],
)
def test_forms_of_bounds(bounds):
    x = minimize(bounds=bounds, maxiter=500).x
    assert x.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("low", "high"), [(0.1, 0.7), (-1e300, 0.1), (0.1, 1e300), (0.1, 0.10000001)]
)
def test_bounds_hold_in_float32(low, high):
    seen = []
    fun = lambda x: seen.append(float(x[0])) or quadratic(x)  # noqa: E731
    minimize(fun=fun, x0=np.float32([0.5, 2.0]), bounds=[(low, high), (None, None)])
    assert low <= min(seen) <= max(seen) <= high


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.1), (0.1, 0.1 + 1e-12)])
def test_bounds_between_two_numbers_of_float32(low, high):
    """No number of float32 is allowed, so the variable is fixed at the nearest."""
    x = minimize(x0=np.float32([0.5, 2.0]), bounds=[(low, high), (None, None)]).x
    assert x[0] == np.float32(low)


@pytest.mark.parametrize(
    "constraints",
    [
        [{"type": "eq", "fun": quadratic}],
        {"type": "eq", "fun": quadratic},
        scipy.optimize.LinearConstraint([[1, 1]], 0, 1),
    ],
)
def test_constraints_name_the_way_out(constraints):
    with raises(ValueError, "`constraints` are not supported", "`bounds`", "trust-constr"):
        minimize(constraints=constraints)


@pytest.mark.parametrize("constraints", [(), [], None])
def test_no_constraints(constraints):
    assert minimize(constraints=constraints).nit == 5


@pytest.mark.parametrize(
    ("callback", "texts"),
    [
        (3, ["`callback` must be callable", "int"]),
        (lambda: None, ["`callback` must be callable as callback(x)", "too many"]),
        (lambda a, b: None, ["`callback` must be callable as callback(x)", "'b'"]),
        (lambda intermediate_result, y: None, ["`callback` must be callable as", "'y'"]),
    ],
)
def test_callback(callback, texts):
    def fun(x):
        raise AssertionError("fun was called before the callback was checked")

    with raises(TypeError, *texts):
        minimize(fun=fun, callback=callback)


@pytest.mark.parametrize(
    "form",
    [
        lambda log: lambda x: log.append(x[0]),
        lambda log: lambda intermediate_result: log.append(intermediate_result.x[0]),
        lambda log: lambda *, intermediate_result: log.append(intermediate_result.x[0]),
        lambda log: lambda xk, step=1: log.append(xk[0]),
        lambda log: functools.partial(lambda a, x: log.append(x[0]), 1),
    ],
)
def test_forms_of_callback(form):
    log = []
    result = minimize(callback=form(log))
    assert len(log) == result.nit == 5
    assert log[-1] == result.x_last[0]


@pytest.mark.parametrize(
    ("run", "category", "text"),
    [
        (
            lambda: scipy.optimize.minimize(
                quadratic, X0, jac=slope, method=adamnb.adam,
                options={"maxitr": 1, "maxiter": 1},
            ),
            OptimizeWarning, r"Unknown solver options: maxitr\. Did you mean `maxiter`\?",
        ),
        (
            lambda: adamnb.adam(quadratic, X0, jac=slope, maxitr=1, maxiter=1),
            OptimizeWarning, r"Unknown solver options: maxitr\. Did you mean `maxiter`\?",
        ),
        (lambda: minimize(hess=np.eye), RuntimeWarning, r"adam does not use Hessian .*\(hess\)"),
        (lambda: minimize(hessp=np.eye), RuntimeWarning, r"adam does not use .*\(hessp\)"),
        (
            lambda: adamnb.minimize(quadratic, X0, jac=slope, maxiter=1, disp=True),
            OptimizeWarning, "Maximum number of iterations",
        ),
    ],
)  # fmt: skip
def test_warnings_point_at_the_user(run, category, text, capsys):
    with pytest.warns(category, match=text) as record:
        result = run()
    assert [warning.filename for warning in record] == [__file__]
    assert result.nit > 0


# --------------------------------------------------------------------------------------- Optimizer


@pytest.mark.parametrize(
    ("x", "kind", "texts"),
    [
        ([1.0, 2.0], TypeError, ["`x` must be a NumPy array", "list"]),
        (np.array([1, 2]), TypeError, ["`x` must have dtype float32 or float64", "int64"]),
        (X0.astype(">f8"), TypeError, ["`x` must have dtype float32 or float64", ">f8"]),
        (np.ma.array(X0), TypeError, ["`x` must not be a masked array"]),
        (np.ones(4)[::2], ValueError, ["`x` must be C-contiguous and writeable"]),
        (np.frombuffer(bytes(16)), ValueError, ["`x` must be C-contiguous and writeable"]),
        (np.asfortranarray(np.ones((2, 3))), ValueError, ["`x` must be C-contiguous"]),
    ],
)
def test_x_of_the_optimizer(x, kind, texts):
    with raises(kind, *texts):
        adamnb.Optimizer(x)


@pytest.mark.parametrize(
    ("gradient", "kind", "texts"),
    [
        ([1.0, 2.0], TypeError, ["`gradient` must be a NumPy array", "list"]),
        (np.float32([1, 2]), TypeError, ["`gradient` must have dtype float64", "float32"]),
        (X0.astype(">f8"), TypeError, ["`gradient` must have dtype float64", ">f8"]),
        (np.ones(3), ValueError, ["`gradient` must have shape (2,)", "(3,)"]),
        (np.ma.array(X0), TypeError, ["`gradient` must not be a masked array"]),
        (np.ones((1, 2)), ValueError, ["`gradient` must have shape (2,)", "(1, 2)"]),
        (np.ones(4)[::2], ValueError, ["`gradient` must be C-contiguous"]),
    ],
)
def test_gradient_of_the_optimizer(gradient, kind, texts):
    x = X0.copy()
    optimizer = adamnb.Optimizer(x)
    with raises(kind, *texts):
        optimizer.step(gradient)
    assert optimizer.t == 0
    assert x.tobytes() == X0.tobytes()


def test_method_and_learning_rate_of_the_optimizer():
    with raises(ValueError, "`method` must be one of adam, ", "'adma'", "Did you mean `adam"):
        adamnb.Optimizer(X0.copy(), method="adma")
    with raises(TypeError, "`learning_rate` must be a number", "adamnb.minimize"):
        adamnb.Optimizer(X0.copy(), learning_rate=None)


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({"t": None}, ["`state` must have the keys", "'t'"]),
        ({"method": "lion"}, ["`state` must be of method 'adam'", "'lion'"]),
        ({"slots": np.zeros((2, 3))}, ["`state['slots']` must have shape (2, 2)", "(2, 3)"]),
        ({"slots": np.zeros((2, 2), "f4")}, ["`state['slots']` must", "float64", "float32"]),
        ({"beta1": 2.0}, ["`beta1` must satisfy 0 <= beta1 < 1", "2.0"]),
    ],
)
def test_state_of_the_optimizer(change, texts):
    optimizer = adamnb.Optimizer(X0.copy())
    state = optimizer.state | change
    if state["t"] is None:
        del state["t"]
    with raises(ValueError, *texts):
        optimizer.state = state


@numba.njit
def bowl_around_first(x, centres):
    return np.sum((x - centres[0]) ** 2), 2 * (x - centres[0])


@numba.njit
def bowl_around_attribute(x, point):
    return np.sum((x - point.centre) ** 2), 2 * (x - point.centre)


@numba.njit
def bowl_around_size(x, collection):
    return np.sum((x - len(collection)) ** 2), 2 * (x - len(collection))


Point = namedtuple("Point", "centre unit")


@numba.experimental.jitclass([("centre", numba.float64)])
class Compiled:
    def __init__(self, centre):
        self.centre = centre


@numba.njit
def around_default(x, centre=2.0):
    return np.sum((x - centre) ** 2), 2 * (x - centre)


@numba.njit
def around_all(x, *centres):
    return np.sum((x - centres[0]) ** 2), 2 * (x - centres[0])


@numba.njit
def column(x):
    return np.sum(x**2), (2 * x).reshape(-1, 1)


COMPILED_WRONG = [
    (
        around_default,
        (),
        ["`fun` must name the arguments", "fun(x, centre=2.0)", "`args`", "py_func"],
    ),
    (
        around_default,
        (2.0, 3.0),
        ["`fun` must name the arguments", "3 with x", "fun(x, centre=2.0)"],
    ),
    (around_all, (2.0,), ["`fun` must name the arguments", "fun(x, *centres)", "py_func"]),
    (column, (), ["`jac` must return a real vector", "2d", "ravel"]),
    (around_default, (X0.astype(">f8"),), ["`args[0]`", "byte order", ">f8", "newbyteorder"]),
    (around_default, ((1, X0.astype(">f8")),), ["`args[0][1]`", "byte order", ">f8"]),
    (
        around_default,
        (X0.astype(object),),
        ["`args[0]`", "compiled functions", "object", "py_func"],
    ),
    (around_default, (X0.astype("g"),), ["`args[0]`", "compiled functions", "py_func"]),
    (around_default, (np.ma.array(X0),), ["`args[0]` must not be a masked array"]),
    (around_default, ((np.ma.array(X0),),), ["`args[0]` must not be a masked array"]),
]


@pytest.mark.parametrize(("fun", "args", "texts"), COMPILED_WRONG)
def test_what_compiled_functions_do_not_take(fun, args, texts):
    with raises(TypeError, *texts):
        adamnb.minimize(fun, X0, args, jac=True)


def test_a_default_may_be_given():
    given = {"jac": True, "learning_rate": 0.1}
    number = adamnb.minimize(around_default, X0, (2.0,), **given)
    zero_d = adamnb.minimize(around_default, X0, (np.array(2.0),), **given)
    assert number.success
    assert zero_d.x.tobytes() == number.x.tobytes()


def test_arguments_of_python_functions_are_handed_on():
    """What they are is between the caller and fun: masked, of objects, of any byte order."""
    seen = []

    def fun(x, *args):
        seen.append(args)
        return pair(x)

    given = np.ma.array(X0, mask=[0, 1]), X0.astype(object), X0.astype(">f8"), [1, 2]
    minimize(fun=fun, args=given, jac=True, maxiter=1)
    assert all(one is other for one, other in zip(seen[0], given, strict=True))


def test_args_in_a_list():
    """One argument, as for SciPy; an error where fun takes several."""
    around = lambda x, centre: pair(x - np.array(centre))  # noqa: E731
    assert minimize(fun=around, args=[2.0, 3.0], jac=True).fun < 13
    with raises(TypeError, "`args` must be a tuple", "list of 2", "tuple(args)"):
        minimize(fun=lambda x, a, b: pair(x - a - b), args=[2.0, 3.0], jac=True)
    with raises(TypeError, "`args` must be a tuple", "list of 2", "tuple(args)"):
        adamnb.minimize_batch(
            lambda x, y, a, b: pair(x - a - b), X0, [2.0, 3.0], np.ones(3), jac=True
        )


@pytest.mark.filterwarnings("ignore")  # Numba means to drop lists that it reflects
@pytest.mark.parametrize(
    ("fun", "argument"),
    [
        (bowl_around_first, [2.0, 3.0]),
        (bowl_around_first, numba.typed.List([2.0])),
        (bowl_around_first, numba.typed.List([np.full(2, 2.0)])),
        (bowl_around_first, (np.full(2, 2.0), "text")),
        (bowl_around_attribute, Point(np.full(2, 2.0), 1.0)),
        (bowl_around_attribute, Compiled(2.0)),
        (bowl_around_size, "ab"),
        (bowl_around_size, {1, 2}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_arguments_that_compiled_functions_take(fun, argument):
    """Whatever Numba has a type for, things with a share in memory included."""
    given = {"jac": True, "learning_rate": 0.1}  # compiled for each of them: no automatic one
    result = adamnb.minimize(fun, np.zeros(2), (argument,), **given)
    assert result.compiled
    np.testing.assert_allclose(result.x, 2.0, atol=1e-6)
    fits = adamnb.minimize_batch(fun, np.zeros((3, 2)), (argument,), **given)
    assert fits.x[1].tobytes() == result.x.tobytes()
