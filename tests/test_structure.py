"""Parameters with names and shapes: the bits of the flat call, and one clear error for what is none."""

import pickle
from collections import namedtuple
from typing import NamedTuple

import numba
import numpy as np
import pytest
import scipy.optimize
from objectives import cached
from scipy.optimize import Bounds
from test_processes import COUNT, run

import adamnb
from adamnb._problem.flattened import flattened
from adamnb._problem.structure import start_of, starts_of


class Peak(NamedTuple):
    position: float
    width: float


class Spectrum(NamedTuple):
    rate: float
    weight: np.ndarray  # shape (2, 2)
    peak: Peak


T = np.linspace(0.1, 2.0, 8)
X0 = np.array([1.0, 0.5, -0.3, 0.2, 0.7, 0.4, 1.5])
NAMES = (
    "rate", "weight[0, 0]", "weight[0, 1]", "weight[1, 0]", "weight[1, 1]", "peak.position", "peak.width",
)  # fmt: skip
ARRAYS = ("x", "jac", "x_last")
LIMITS = [(None, 0.9), (0.6, 2), (-1, 1), (0, 1), (None, 0.6), (None, None), (0.5, 1.4)]
SCALE = np.array([1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 0.25])


def as_tuple(x):
    return Spectrum(x[0], x[1:5].reshape(2, 2), Peak(x[5], x[6]))


def as_dict(x):
    p = as_tuple(x)
    return {"rate": p.rate, "weight": p.weight, "peak": p.peak._asdict()}


def as_array(x):
    return x.reshape(7, 1)


@cached
def residual(rate, weight, position, width, t):
    return rate * np.exp(-width * t) + weight * t**2 - np.cos(position * t)


@cached
def spectrum(p, t):
    f = 0.0
    for i in range(t.size):
        weight = p.weight[i % 2, i // 2 % 2]
        f += residual(p.rate, weight, p.peak.position, p.peak.width, t[i]) ** 2
    return f + 0.01 * p.weight[0, 1] ** 2


@cached
def flat(x, t):
    f = 0.0
    for i in range(t.size):
        weight = x[1 + 2 * (i % 2) + i // 2 % 2]
        f += residual(x[0], weight, x[5], x[6], t[i]) ** 2
    return f + 0.01 * x[2] ** 2


@cached
def column(x, t):
    """The same of an array with two axes."""
    f = 0.0
    for i in range(t.size):
        weight = x[1 + 2 * (i % 2) + i // 2 % 2, 0]
        f += residual(x[0, 0], weight, x[5, 0], x[6, 0], t[i]) ** 2
    return f + 0.01 * x[2, 0] ** 2


def python(p, t):
    """The same in Python, of a dict, a NamedTuple or an array."""
    if isinstance(p, dict):
        p = Spectrum(p["rate"], p["weight"], Peak(**p["peak"]))
    elif isinstance(p, np.ndarray):
        p = as_tuple(p.reshape(-1))
    i = np.arange(t.size)
    r = residual.py_func(p.rate, p.weight[i % 2, i // 2 % 2], p.peak.position, p.peak.width, t)
    return r @ r + 0.01 * p.weight[0, 1] ** 2


def slope(x, t):
    """Not the gradient, but a vector that depends on x."""
    return 0.1 * (x - 0.3) + 0.01 * np.sin(x)


def same(found, expected):
    for name in ARRAYS:
        assert found[name].tobytes() == expected[name].tobytes(), name
    assert (found.fun, found.nit, found.nfev, found.njev) == (
        expected.fun, expected.nit, expected.nfev, expected.njev,
    )  # fmt: skip
    assert found.compiled == expected.compiled


def minimize(fun, x0, args=(T,), **options):
    return adamnb.minimize(fun, x0, args, **{"maxiter": 12, "verify": 0} | options)


# -------------------------------------------------------------------------------- bits of the flat call

SHAPES = pytest.mark.parametrize("shaped", [as_dict, as_tuple, as_array])


@SHAPES
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("form", ["function", "pair", "inplace"])
def test_gradients_of_python(shaped, dtype, form):
    x0 = X0.astype(dtype)

    def vector(p):
        return np.concatenate([np.ravel(part) for part in leaves(p)])

    def leaves(p):
        if isinstance(p, np.ndarray):
            return [p]
        if isinstance(p, dict):
            return [p["rate"], p["weight"], *p["peak"].values()]
        return [p.rate, p.weight, *p.peak]

    def pair(p, t):
        return python(p, t), shaped(slope(vector(p), t))

    def inplace(p, g, t):
        given = shaped(slope(vector(p), t))
        if isinstance(p, dict):
            g["rate"], g["peak"] = given["rate"], given["peak"]
            g["weight"][:] = given["weight"]
        else:
            g[:] = given
        return python(p, t)

    fun, jac = {
        "function": (python, lambda p, t: pair(p, t)[1]), "pair": (pair, True),
        "inplace": (inplace, "inplace"),
    }[form]  # fmt: skip
    if form == "inplace" and shaped is as_tuple:
        with pytest.raises(TypeError, match=r"`g\.rate` is a number in a NamedTuple"):
            minimize(fun, shaped(x0), jac=jac)
        return
    found = minimize(fun, shaped(x0), jac=jac)
    expected = minimize(lambda x, t: python(as_tuple(x), t), x0, jac=slope)
    same(found, expected)
    assert found.x.dtype == dtype
    assert found.nit == 12
    assert type(found.params) is type(shaped(X0))


@SHAPES
@pytest.mark.parametrize("jac", [None, "2-point", "3-point", "cs"])
def test_differences(shaped, jac):
    found = minimize(python, shaped(X0), jac=jac)
    same(found, minimize(lambda x, t: python(as_tuple(x), t), X0, jac=jac))


LOW, HIGH = (
    np.array([np.nan if b is None else b for b in side]) for side in zip(*LIMITS, strict=True)
)
LOW, HIGH = np.nan_to_num(LOW, nan=-np.inf), np.nan_to_num(HIGH, nan=np.inf)
PAIRS = {
    "weight": (LOW[1:5].reshape(2, 2), [[2, 1], [1, 0.6]]), "rate": (None, 0.9), "peak": {"width": (0.5, 1.4)}
}  # fmt: skip


@pytest.mark.parametrize(
    "bounds",
    [
        LIMITS,
        Bounds(LOW, HIGH),
        PAIRS,
        Bounds(as_dict(LOW), as_dict(HIGH)),
        Spectrum((None, 0.9), PAIRS["weight"], Peak(None, (0.5, 1.4))),
    ],
    ids=["pairs", "Bounds", "dict", "Bounds of dicts", "NamedTuple"],
)
def test_bounds(bounds):
    expected = minimize(flat.py_func, X0, bounds=LIMITS)
    for shaped in (as_dict, as_tuple):
        same(minimize(python_spectrum, shaped(X0), bounds=bounds), expected)
    assert expected.x[0] <= 0.9
    assert expected.x[6] <= 1.4


def python_spectrum(p, t):
    """`flat` in Python, of a dict or NamedTuple."""
    if isinstance(p, dict):
        p = Spectrum(p["rate"], p["weight"], Peak(**p["peak"]))
    return spectrum.py_func(p, t)


def test_bounds_of_an_array():
    expected = minimize(flat.py_func, X0, bounds=LIMITS)
    for bounds in (LIMITS, Bounds(LOW, HIGH), Bounds(as_array(LOW), as_array(HIGH))):
        same(minimize(column.py_func, as_array(X0), bounds=bounds), expected)
    one = minimize(column.py_func, as_array(X0), bounds=Bounds(-1, 1))
    same(one, minimize(flat.py_func, X0, bounds=Bounds(-1, 1)))


@pytest.mark.parametrize("name", ["x_scale", "learning_rate", "finite_diff_rel_step"])
def test_options_for_each_variable(name):
    unit = {"finite_diff_rel_step": 1e-6, "learning_rate": 1e-2}.get(name, 1.0)
    expected = minimize(flat.py_func, X0, **{name: unit * SCALE})
    for shaped, fun in (
        (as_dict, python_spectrum),
        (as_tuple, python_spectrum),
        (as_array, column.py_func),
    ):
        for value in (unit * SCALE, shaped(unit * SCALE)):
            same(minimize(fun, shaped(X0), **{name: value}), expected)
    one = minimize(python_spectrum, as_dict(X0), **{name: unit * 2.0})
    same(one, minimize(flat.py_func, X0, **{name: unit * 2.0}))
    by_part = {"rate": 1.0, "weight": 2.0, "peak": Peak(3.0, 1.0)}
    vector = unit * np.array([1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 1.0])
    scaled = by_part | {"rate": unit, "weight": 2.0 * unit, "peak": Peak(3.0 * unit, unit)}
    same(
        minimize(python_spectrum, as_dict(X0), **{name: scaled}),
        minimize(flat.py_func, X0, **{name: vector}),
    )


# --------------------------------------------------------------------------------------------- Numba


@pytest.mark.parametrize(("shaped", "fun"), [(as_tuple, spectrum), (as_array, column)])
@pytest.mark.parametrize("bounds", [None, LIMITS])
def test_numba_functions(shaped, fun, bounds):
    found = minimize(fun, shaped(X0), bounds=bounds)
    same(found, minimize(flat, X0, bounds=bounds))
    assert found.compiled
    assert found.gradient == "forward"
    called = minimize(fun, shaped(X0), bounds=bounds, callback=lambda p: None)
    assert not called.compiled
    assert called.x.tobytes() == found.x.tobytes()


@cached
def slope_of(p, t):
    weight = 0.1 * (p.weight - 0.3)
    peak = Peak(0.1 * (p.peak.position - 0.3), 0.1 * (p.peak.width - 0.3))
    return Spectrum(0.1 * (p.rate - 0.3), weight, peak)


@cached
def pair_of(p, t):
    return spectrum(p, t), slope_of(p, t)


@cached
def slope_flat(x, t):
    return 0.1 * (x - 0.3)


@cached
def column_inplace(x, g, t):
    g[:] = 0.1 * (x - 0.3)
    return column(x, t)


@pytest.mark.parametrize(
    ("fun", "jac", "shaped"),
    [
        (spectrum, slope_of, as_tuple),
        (pair_of, True, as_tuple),
        (column, slope_flat, as_array),
        (column_inplace, "inplace", as_array),
    ],
)
def test_gradients_of_numba(fun, jac, shaped):
    found = minimize(fun, shaped(X0), jac=jac)
    same(found, minimize(flat, X0, jac=slope_flat))
    assert found.compiled


@cached
def wrong_slope(p, t):
    return Spectrum(p.rate, p.weight[:1], p.peak)


def test_numba_gradient_of_another_shape():
    with pytest.raises(ValueError, match=r"`jac.weight` must have shape \(2, 2\)"):
        minimize(spectrum, as_tuple(X0), jac=wrong_slope)


def test_numba_functions_take_no_dict():
    with pytest.raises(TypeError, match=r"`x0` is a dict, .* NamedTuple .* `fun\.py_func`"):
        minimize(spectrum, as_dict(X0))
    with pytest.raises(TypeError, match=r"`x0\.peak` is a dict"):
        minimize(python, as_tuple(X0)._replace(peak={"position": 1.0}), jac=slope_of)
    cfunc = numba.cfunc("float64(float64[::1])")(lambda x: x[0])
    with pytest.raises(TypeError, match="cfunc takes a vector"):
        adamnb.minimize(cfunc, as_array(X0), jac="2-point")


def test_a_vector_with_strides():
    """As the vectors of a problem are in the memory of a GPU."""
    apart = np.repeat(X0, 2)[::2]
    structure, _ = start_of(as_tuple(X0))
    of_vector, _ = flattened(spectrum, "forward", structure)
    assert of_vector(apart, T) == of_vector(X0, T) == spectrum(as_tuple(X0), T)


MODULE = """
import numba, numpy as np
from typing import NamedTuple

class Line(NamedTuple):
    offset: float
    slope: np.ndarray

def make(power):
    @numba.njit(cache=True)
    def fun(p, t):
        return (p.offset - 1.0) ** power + ((p.slope - t) ** 2).sum()
    return fun

two, four = make(2), make(4)
"""
FIT = """
import numpy as np, adamnb, user
x0 = user.Line(3.0, np.zeros((1, 2)))
for fun in (user.two, user.four):
    r = adamnb.minimize(fun, x0, (np.ones((1, 2)),), learning_rate=0.1, maxiter=3, verify=0)
    assert r.compiled and r.gradient == "forward"
    print("X", r.x.tobytes().hex())
"""


def test_the_next_process_compiles_nothing(tmp_path):
    (tmp_path / "user.py").write_text(MODULE)
    first = run(FIT, tmp_path)
    second = run(f"{COUNT}{FIT}print('compiled', Count.names)", tmp_path)
    assert "compiled []" in second
    assert second.split("compiled")[0] == first
    two, four = first.split()[1::2]
    assert two != four


# ------------------------------------------------------------------------------------- many problems

ROWS = np.stack([X0, 1.1 * X0, X0 + 0.1])


@pytest.mark.parametrize("fun", [spectrum, python_spectrum], ids=["numba", "python"])
def test_batch(fun):
    data = T * np.array([[1.0], [1.1], [0.9]])
    one, flat_fun = as_tuple(X0), flat if fun is spectrum else flat.py_func
    options = {"learning_rate": 0.01, "maxiter": 12}
    for x0, start in ((one, X0), (by_row(ROWS), ROWS)):
        found = adamnb.minimize_batch(fun, x0, data=data, bounds=PAIRS, **options)
        expected = adamnb.minimize_batch(flat_fun, start, data=data, bounds=LIMITS, **options)
        for name in ("x", "fun", "jac", "nit", "nfev", "status"):
            assert found[name].tobytes() == expected[name].tobytes(), name
        assert found.names == NAMES
        assert found.params.weight.shape == (3, 2, 2)
        assert np.array_equal(found.params.weight.reshape(3, 4), found.x[:, 1:5])
        assert np.array_equal(found.params.peak.width, found.x[:, 6])
        assert "7 variables (rate, weight[0, 0], " in repr(found)
    single = adamnb.minimize(fun, one, (data[1],), bounds=PAIRS, verify=0, **options)
    found = adamnb.minimize_batch(fun, one, data=data, bounds=PAIRS, **options)
    assert single.x.tobytes() == found.x[1].tobytes()


def by_row(x):
    return Spectrum(x[:, 0], x[:, 1:5].reshape(-1, 2, 2), Peak(x[:, 5], x[:, 6]))


def test_batch_with_what_each_problem_has_of_its_own():
    rows = [[1.0], [2.0], [0.5]] * SCALE
    low = np.broadcast_to(LOW, (3, 7)) - [[0.0], [1.0], [2.0]]
    bounds = {"weight": (low[:, 1:5].reshape(3, 2, 2), PAIRS["weight"][1]), "rate": (None, 0.9)}
    lower, upper = np.full((3, 7), -np.inf), np.full(7, np.inf)
    lower[:, 1:5], upper[:5] = low[:, 1:5], HIGH[:5]
    found = adamnb.minimize_batch(
        python_spectrum, by_row(ROWS), (T,), x_scale=by_row(rows), bounds=bounds, maxiter=5
    )
    expected = adamnb.minimize_batch(
        flat.py_func, ROWS, (T,), x_scale=rows, bounds=Bounds(lower, upper), maxiter=5
    )
    assert found.x.tobytes() == expected.x.tobytes()


def test_batch_of_arrays():
    found = adamnb.minimize_batch(column.py_func, ROWS[:, :, np.newaxis], (T,), maxiter=5)
    expected = adamnb.minimize_batch(flat.py_func, ROWS, (T,), maxiter=5)
    assert found.x.tobytes() == expected.x.tobytes()
    assert found.params.shape == (3, 7, 1)


def test_arrays_of_another_length_are_one_start():
    def fun(p, y):
        return np.sum((p["k"] - y) ** 2)

    data = np.arange(3.0)
    found = adamnb.minimize_batch(fun, {"k": np.ones(2)}, data=data)
    assert found.params["k"].shape == (3, 2)
    assert np.allclose(found.x, data[:, np.newaxis])
    own = adamnb.minimize_batch(fun, {"k": np.ones(3)}, data=data)
    assert own.params["k"].shape == (3,)


def test_batch_needs_one_number_of_problems():
    with pytest.raises(ValueError, match=r"leading axis of B problems .* \(2, 2\)"):
        adamnb.minimize_batch(python_spectrum, as_tuple(X0), (T,))
    with pytest.raises(ValueError, match=r"leading axis of B problems .* \(3,\), \(2,\)"):
        adamnb.minimize_batch(python_spectrum, {"a": np.ones(3), "b": np.ones(2)})
    with pytest.raises(ValueError, match="number of problems"):
        adamnb.minimize_batch(column.py_func, ROWS[:, :, np.newaxis], data=np.ones((4, 2)))


def test_multistart():
    def wells(p):
        return (p["u"] ** 2 - 1) ** 2 + 0.1 * p["u"] + np.sum((p["w"] - 0.5) ** 2)

    bounds = {"u": (-2, 2), "w": ([-1, -1], 1)}
    found = adamnb.multistart(wells, bounds, 8, rng=1)
    expected = adamnb.multistart(
        lambda x: wells({"u": x[0], "w": x[1:]}), [(-2, 2), (-1, 1), (-1, 1)], 8, rng=1
    )
    assert found.minima_x.tobytes() == expected.minima_x.tobytes()
    assert len(found.minima_x) == 2
    assert found.params["u"] == found.x[0]
    assert np.array_equal(found.params["w"], found.x[1:])
    assert expected.params is expected.x
    with pytest.raises(ValueError, match=r"`bounds\.u` must be finite"):
        adamnb.multistart(wells, {"u": (None, 2), "w": (0, 1)})


# -------------------------------------------------------------------------------- what the caller sees


def test_result():
    found = minimize(python_spectrum, as_dict(X0), jac=lambda p, t: as_dict(slope(X0, t)))
    assert found.names == NAMES
    assert list(found.params) == ["rate", "weight", "peak"]
    assert found.params["rate"] == found.x[0]
    assert type(found.params["rate"]) is np.float64  # and no float, which divides otherwise
    assert np.array_equal(found.params["weight"], found.x[1:5].reshape(2, 2))
    assert found.params["peak"] == {"position": found.x[5], "width": found.x[6]}
    assert not np.shares_memory(found.params["weight"], found.x)
    assert "width: " in repr(found)
    assert pickle.loads(pickle.dumps(found)).names == NAMES
    vector = minimize(flat.py_func, X0)
    assert vector.params is vector.x
    assert vector.names == tuple(f"x[{i}]" for i in range(7))
    assert "params" not in vector
    tuples = minimize(python_spectrum, as_tuple(X0))
    assert type(tuples.params) is Spectrum
    assert type(tuples.params.peak) is Peak
    assert "width: " in repr(tuples)


def test_callbacks_and_summary(capsys):
    seen = []

    def watch(intermediate_result):
        seen.append(intermediate_result.params)

    expected = []
    minimize(python_spectrum, as_dict(X0), callback=watch)
    minimize(python_spectrum, as_dict(X0), callback=lambda p: expected.append(p), disp=False)
    vectors = []
    minimize(flat.py_func, X0, callback=vectors.append)
    for seen_one, one, x in zip(seen, expected, vectors, strict=True):
        for p in (seen_one, one):
            assert np.array_equal(p["weight"].reshape(-1), x[1:5])
            assert p["peak"]["width"] == x[6]
    adamnb.minimize(lambda p: (p["a"] - 1.0) ** 2, {"a": 3.0}, disp=True)
    assert "         a: 1\n" in capsys.readouterr().out


def test_an_exception_carries_the_parameters():
    def fun(p):
        if p["a"] < 2.5:
            raise ArithmeticError
        return p["a"] ** 2

    with pytest.raises(ArithmeticError) as raised:
        adamnb.minimize(fun, {"a": 3.0}, jac=lambda p: {"a": 2 * p["a"]}, learning_rate=0.1)
    assert raised.value.adamnb_result.params["a"] == raised.value.adamnb_result.x[0]


def test_what_goes_wrong_is_named():
    found = adamnb.minimize(
        lambda p: np.exp(-p["rate"]), {"k": [1.0, 2.0], "rate": 1.0},
        jac=lambda p: {"rate": -np.exp(-p["rate"]), "k": [0.0, 0.0]},
    )  # fmt: skip
    assert "still falls as rate grows" in found.message
    found = adamnb.minimize(
        lambda p: p["rate"] ** 2, {"k": [1.0, 2.0], "rate": 1.0},
        jac=lambda p: {"rate": 1.0, "k": [0, np.nan]},
    )  # fmt: skip
    assert " at k[1]" in found.message
    found = adamnb.minimize(
        lambda p: p["b"] ** 2 + p["a"] ** 2, {"a": 1.0, "b": 2.0},
        jac=lambda p: {"b": -2 * p["b"], "a": 2 * p["a"]},
    )  # fmt: skip
    assert "along b f changed" in found.message


def test_check_gradient_names_the_element():
    check = adamnb.check_gradient(
        lambda p: p["a"] ** 2 + np.sum(p["k"] ** 3), {"a": 2.0, "k": [1.0, 3.0]},
        lambda p: {"a": 2 * p["a"], "k": [3.0, 26.0]},
    )  # fmt: skip
    assert check.wrong.tolist() == [2]
    assert check.names == ("a", "k[0]", "k[1]")
    assert repr(check).splitlines()[3].split()[0] == "k[1]"


def spoiling(p, t):
    f = python_spectrum(p, t)
    p["weight"][:] = np.nan
    p["peak"].clear()
    return f


def test_the_caller_may_spoil_and_keep():
    expected = minimize(flat.py_func, X0)
    same(minimize(spoiling, as_dict(X0)), expected)
    kept = []

    def keeping(p, t):
        kept.append((p["weight"], p["weight"].copy()))
        return python_spectrum(p, t)

    start = as_dict(X0.copy())
    same(minimize(keeping, start), expected)
    assert all(np.array_equal(array, copy) for array, copy in kept)
    assert np.array_equal(start["weight"].reshape(-1), X0[1:5])


def test_workers_get_the_structure():
    def backwards(function, numbered):
        return [function(one) for one in reversed(list(numbered))]

    pickle.loads(pickle.dumps(adamnb.minimize(python_spectrum, as_dict(X0), (T,), maxiter=1)))
    found = minimize(python_spectrum, as_dict(X0), workers=backwards)
    same(found, minimize(flat.py_func, X0, workers=backwards))


# -------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("x0", "kind", "text"),
    [
        ({}, ValueError, "`x0` must have at least one element; got {}"),
        ({"a": {}}, ValueError, "at least one element"),
        ({"a": np.empty((0, 2))}, ValueError, "at least one element"),
        (np.empty((0, 2)), ValueError, "at least one element"),
        (
            {"a.b": 1.0, "a": {"b": 2.0}},
            ValueError,
            "must not have two parts of one name; got `x0.a.b`",
        ),
        (
            {1: 1.0, "1": 2.0},
            ValueError,
            "`x0` must not have two parts of one name; got `x0.1` twice",
        ),
        ({"a": None}, TypeError, "`x0.a` must be an array of real numbers; got None"),
        ({"a": "x"}, TypeError, "`x0.a` .*got 'x'"),
        ({"a": 1j}, TypeError, "`x0.a` .*complex128"),
        ({"a": {"b": [{}]}}, TypeError, "`x0.a.b` .*object"),
        ({"a": [[1.0], [2.0, 3.0]]}, ValueError, "`x0.a` .*inhomogeneous"),
        ({"a": np.ma.array([1.0])}, TypeError, "`x0.a` must not be a masked array"),
        ({"a": 1.0, "b": [0.0, np.nan]}, ValueError, r"`x0` must be finite; got nan at b\[1\]"),
        (np.array([[1.0, np.inf]]), ValueError, r"got inf at x\[0, 1\]"),
    ],
)
def test_starts(x0, kind, text):
    with pytest.raises(kind, match=text):
        adamnb.minimize(lambda p: 0.0, x0)


class OnDevice:
    __cuda_array_interface__ = None
    shape = (1,)


def test_a_part_on_a_gpu():
    with pytest.raises(TypeError, match=r"`x0.a` is on a GPU, where x0 is one vector"):
        adamnb.minimize(lambda p: 0.0, {"a": OnDevice()})


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"bounds": {"wait": (0, 1)}}, ValueError, "`bounds` has a part 'wait', .* Did you mean 'weight'?"),
        ({"bounds": {"peak": (0, 1)}}, TypeError, "`bounds.peak` must have the parts 'position', 'width'"),
        ({"bounds": {"rate": (2, 0)}}, ValueError, r"upper bound .*\(rate: 2.0 > 0.0\)"),
        ({"bounds": {"peak": {"width": (np.nan, 0)}}}, ValueError, r"\(peak.width: nan, 0.0\)"),
        ({"bounds": {"weight": (0, [1, 2])}}, ValueError, r"`bounds.weight` .* shape \(2, 2\); got \(2,\)"),
        ({"bounds": {"rate": 3}}, ValueError, r"`bounds.rate` must be a pair \(lower, upper\); got 3"),
        ({"x_scale": {"rate": 1.0}}, ValueError, "`x_scale` lacks the part 'weight'"),
        ({"x_scale": as_dict(X0) | {"rate": None}}, TypeError, "`x_scale.rate` .*got None"),
        ({"x_scale": {"rat": 1.0}}, ValueError, "`x_scale` has a part 'rat', .*'rate'"),
        ({"learning_rate": as_dict(-X0)}, ValueError, "`learning_rate` must be .* >= 0"),
        ({"jac": lambda p, t: None}, TypeError, "`jac` must have the parts 'rate', 'weight', 'peak'"),
        ({"jac": lambda p, t: {"rate": 1.0}}, ValueError, "`jac` lacks the part 'weight'"),
        (
            {"jac": lambda p, t: as_dict(X0) | {"weight": np.ones(4)}}, ValueError,
            r"`jac.weight` must have shape \(2, 2\), as in x0; got \(4,\)",
        ),
        ({"jac": lambda p, t: as_dict(X0) | {"rate": None}}, TypeError, "`jac.rate` .*None"),
        ({"jac": True}, TypeError, "`jac=True` needs `fun` to return"),
    ],
)  # fmt: skip
def test_errors(given, kind, text):
    with pytest.raises(kind, match=text):
        minimize(python_spectrum, as_dict(X0), **given)


def test_scipy_takes_vectors():
    with pytest.raises(ValueError, match="'x0' must only have one dimension"):
        scipy.optimize.minimize(lambda x: 0.0, np.eye(2), method=adamnb.adam)


def test_compiled_code_of_the_caller_takes_vectors():
    with pytest.raises(TypeError, match="`x0` must be a vector"):
        adamnb.njit_minimize(spectrum, as_tuple(X0), (T,))


# ----------------------------------------------------------------------------------------- any tree


PARTS = {n: namedtuple(f"Parts{n}", [f"part{i}" for i in range(n)]) for n in (1, 2, 3)}


def random_tree(rng, depth=0):
    if depth == 3 or (depth and rng.random() < 0.5):
        shape = tuple(rng.integers(0, 4, rng.integers(0, 4)))
        return rng.normal(size=shape) if shape else float(rng.normal())
    parts = [random_tree(rng, depth + 1) for _ in range(rng.integers(1, 4))]
    if rng.random() < 0.3:
        return PARTS[len(parts)](*parts)
    return {f"p{i}" if rng.random() < 0.8 else i: part for i, part in enumerate(parts)}


def equal(a, b):
    assert type(a) is type(b) or (isinstance(a, float) and isinstance(b, float))
    if isinstance(a, dict):
        assert list(a) == list(b)
        return all(equal(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return all(map(equal, a, b))
    return np.shape(a) == np.shape(b) and np.array_equal(a, b)


@pytest.mark.parametrize("seed", range(60))
def test_round_trip(seed):
    tree = {"first": 0.5, "rest": random_tree(np.random.default_rng(seed))}
    structure, vector = start_of(tree)
    assert equal(tree, structure.take(vector))
    assert structure.put(tree, "x0", np.zeros_like(vector)).tobytes() == vector.tobytes()
    assert len(set(structure.names)) == vector.size == len(structure.names)
    rows = np.stack([vector, 2 * vector, -vector])
    again, starts, count = starts_of(structure.take(rows), ())
    assert (again, count) == (structure, 3)
    assert starts.tobytes() == rows.tobytes()


@pytest.mark.parametrize(
    ("leaves", "dtype"),
    [
        (("f4", "f4"), "f4"), (("f4", "f8"), "f8"), (("f4", "i4"), "f8"), (("f4", "f2"), "f8"),
        ((">f4", "f4"), "f4"), (("?", "i8"), "f8"),
    ],
)  # fmt: skip
def test_one_dtype(leaves, dtype):
    tree = {name: np.ones((2, 2), name) for name in leaves}
    assert start_of(tree)[1].dtype == dtype
