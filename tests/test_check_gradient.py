"""Which element of a gradient is wrong, at every size and for every form of gradient."""

import numba
import numpy as np
import objectives
import pytest
from problems import SETS

import adamnb

X = np.array([3.0, 1.0, 2e-6])


def fun(x):
    return x[0] ** 2 * np.exp(x[1]) + 1e9 * x[2] ** 2


def jac(x):
    return np.array([2 * x[0] * np.exp(x[1]), x[0] ** 2 * np.exp(x[1]), 2e9 * x[2]])


def wrong(x):
    g = jac(x)
    g[1] *= 1.0001
    return g


def inplace(x, g):
    g[:] = wrong(x)
    return fun(x)


FORMS = {
    "separate": (fun, wrong),
    "both": (lambda x: (fun(x), wrong(x)), True),
    "inplace": (inplace, "inplace"),
}


def test_a_right_gradient():
    check = adamnb.check_gradient(fun, X, jac)
    assert check.ok
    assert check.wrong.size == 0
    assert check.nfev < 6 * 3 + 30
    assert check.fun == fun(X)
    np.testing.assert_allclose(check.differences, check.jac, rtol=1e-9)
    assert (np.abs(check.differences - check.jac) <= check.error).all()


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_element(form):
    check = adamnb.check_gradient(FORMS[form][0], X, FORMS[form][1])
    assert not check.ok
    assert check.wrong.tolist() == [1]
    assert check.worst[0] == 1
    lines = repr(check).splitlines()
    assert lines[0] == "1 of 3 elements of the gradient is wrong."
    assert lines[2].split() == ["index", "jac", "differences", "uncertain", "by"]
    assert lines[3].split()[:3] == ["1", "24.4669829", "24.4645365"]
    assert lines[3].endswith("wrong")
    assert len(lines) == 6


@pytest.mark.parametrize("jit", [True, False])
def test_numba_functions(jit):
    y, w, t = objectives.decays()
    args, x = (y[0], w[0], t), [2.0, 0.7]
    pair = objectives.both if jit else objectives.python_both
    assert adamnb.check_gradient(pair, x, True, args).ok
    value, slope = (objectives.fun, objectives.jac) if jit else (objectives.python_fun, None)
    slope = slope or (lambda x, y, w, t: objectives.python_both(x, y, w, t)[1] * [1.0, -1.0])
    assert adamnb.check_gradient(value, x, slope, args).wrong.tolist() == ([] if jit else [1])


def test_one_argument_need_not_be_a_tuple():
    assert adamnb.check_gradient(lambda x, a: a @ x, [1.0, 2.0], lambda x, a: a, X[:2]).ok


@pytest.mark.parametrize(
    "name", SETS["mgh"]() + SETS["nist"]() + SETS["bounded"](), ids=lambda p: p.name
)
def test_problems_of_every_kind(name):
    """No element is called wrong that is right, and one that is off by 1e-3 is found."""
    problem, x = name, name.x0 if name.bounds is None else np.clip(name.x0, *name.bounds)
    check = adamnb.check_gradient(problem.fun, x, "inplace", problem.args)
    assert check.ok, check
    k = int(np.argmax(np.abs(check.jac)))

    def off(x, g, *args):
        f = problem.fun(x, g, *args)
        g[k] *= 1.001
        return f

    assert adamnb.check_gradient(off, x, "inplace", problem.args).wrong.tolist() == [k]


@pytest.mark.parametrize("size", [1e-100, 1e-11, 1e15])
@pytest.mark.parametrize("off", [1.0, 1.0001])
def test_sizes(size, off):
    x = size * np.array([1.0, -2.0])
    check = adamnb.check_gradient(
        lambda x: np.exp(x[0] / size) + np.cos(x[1] / size),
        x,
        lambda x: np.array([np.exp(x[0] / size), -off * np.sin(x[1] / size)]) / size,
    )
    assert check.wrong.tolist() == ([] if off == 1 else [1])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_what_float32_hides_is_no_fault(dtype):
    single = lambda x: np.sum(np.exp(x.astype("f4")), dtype="f4")  # noqa: E731
    x = np.array([1.0, 2.0], dtype)
    check = adamnb.check_gradient(single, x, lambda x: np.exp(x.astype("f4")))
    assert check.ok
    assert (check.error > 1e-6).all()
    assert adamnb.check_gradient(single, x, lambda x: 1.02 * np.exp(x)).wrong.tolist() == [0, 1]


def test_structure_on_a_high_ground():
    """The error of a long step shows in that of a longer one."""
    check = adamnb.check_gradient(
        lambda x: 1e6 + np.sin(1000 * x[0]), [1.0], lambda x: 1000 * np.cos(1000 * x)
    )
    assert check.ok


def test_what_cannot_be_told():
    check = adamnb.check_gradient(lambda x: x @ x, [1e-11, 3e20], lambda x: 2 * x)
    assert check.ok
    assert "too small to tell" in repr(check)


def test_nothing_given_is_changed():
    x = X.copy()

    def spoils(x):
        f = fun(x)
        x[:] = 0
        return f

    assert adamnb.check_gradient(spoils, x, jac).ok
    assert x.tobytes() == X.tobytes()


def test_a_gradient_that_is_no_number():
    assert adamnb.check_gradient(fun, X, lambda x: jac(x) * [1, np.nan, 1]).wrong.tolist() == [1]


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((fun, X, None), ValueError, "`jac` must be callable, True, 'inplace' or 'forward'"),
        ((fun, X, "2-point"), ValueError, "`jac` must be callable, True, 'inplace' or 'forward'"),
        ((3, X, jac), TypeError, "`fun` must be callable; got int"),
        ((fun, [1.0, np.nan, 1.0], jac), ValueError, "`x` must be finite; got nan at index 1"),
        ((fun, None, jac), TypeError, "`x` must be an array of real numbers; got None"),
        ((lambda x: np.nan, X, jac), ValueError, "`fun` must be finite at `x`; got nan"),
        ((fun, X, lambda x: x[:2]), ValueError, r"`jac` returned shape \(2,\), expected \(3,\)"),
    ],
)
def test_bad_input(arguments, kind, text):
    with pytest.raises(kind, match=text):
        adamnb.check_gradient(*arguments)


def test_numba_function_called_as_python_sees_it():
    compiled = numba.njit(lambda x: (x * x).sum())
    assert adamnb.check_gradient(compiled, [1.0, 2.0], lambda x: 2 * x).ok
