"""`multistart`: the minima that are known, counted once each."""

import numba
import numpy as np
import pytest
from scipy.optimize import Bounds
from scipy.stats import qmc

import adamnb


@numba.njit
def six_hump_camel(x):
    """Dixon & Szego (1978): six minima, two of them global."""
    u, v = x
    f = (4 - 2.1 * u**2 + u**4 / 3) * u**2 + u * v + (4 * v**2 - 4) * v**2
    return f, np.array([(8 - 8.4 * u**2 + 2 * u**4) * u + v, u + (16 * v**2 - 8) * v])


def camel(x):
    return six_hump_camel.py_func(x)


BOX = [(-3, 3), (-2, 2)]
VALUES = [-1.031628, -1.031628, -0.215464, -0.215464, 2.104250, 2.104250]


@pytest.mark.parametrize("fun", [six_hump_camel, camel], ids=["compiled", "python"])
@pytest.mark.parametrize("sampler", ["sobol", "halton", "lhs", qmc.Sobol(2, seed=3)])
def test_all_minima_of_the_camel(fun, sampler):
    result = adamnb.multistart(fun, BOX, 64, jac=True, sampler=sampler, rng=3)
    assert np.allclose(result.minima_fun, VALUES, atol=1e-5)
    assert np.allclose(np.abs(result.minima_x[0]), [0.0898, 0.7126], atol=1e-3)
    assert result.counts.sum() == result.batch.success.sum() == 64
    assert result.success
    assert result.fun == result.minima_fun[0] == six_hump_camel(result.x)[0]
    assert result.nfev == result.batch.nfev.sum()
    assert "6 distinct minima from 64 of 64 starts" in repr(result)


def test_the_same_by_value():
    result = adamnb.multistart(six_hump_camel, BOX, 64, jac=True, rng=3, same="fun")
    assert np.allclose(result.minima_fun, VALUES[::2], atol=1e-5)
    assert result.counts.sum() == 64


def test_a_seed_repeats_the_bits_and_starts_fill_the_box():
    one, two = (adamnb.multistart(six_hump_camel, BOX, 50, jac=True, rng=3) for _ in range(2))
    assert one.x.tobytes() == two.x.tobytes()
    assert one.starts.tobytes() == two.starts.tobytes()
    assert one.starts.shape == (50, 2)
    low, high = np.array(BOX).T
    quarter = (high - low) / 4
    assert ((one.starts >= low) & (one.starts <= high)).all()
    assert (one.starts.min(0) < low + quarter).all()
    assert (one.starts.max(0) > high - quarter).all()


@numba.njit
def slope(x):
    return x[0], np.ones(1)


def test_bounds_are_kept_unless_told_otherwise():
    result = adamnb.multistart(slope, [(-1, 2)], 8, jac=True)
    assert result.minima_x.tolist() == [[-1.0]]
    free = adamnb.multistart(slope, [(-1, 2)], 8, jac=True, keep_bounds=False, maxiter=200)
    assert free.x[0] < -1
    assert not free.success
    assert free.minima_x.shape == (0, 1)


@numba.njit
def ridge(x):
    """A saddle on the line x[0] = 0; starts on it stay on it."""
    f = x[1] ** 2 - x[0] ** 2 + x[0] ** 4
    return f, np.array([-2 * x[0] + 4 * x[0] ** 3, 2 * x[1]])


class OnTheRidge(qmc.QMCEngine):
    """The middle of x[0], all along x[1]."""

    def __init__(self):
        super().__init__(2)

    def _random(self, n=1, *, workers=1):
        return np.column_stack([np.full(n, 0.5), np.linspace(0.1, 0.9, n)])


def test_saddles_are_no_minima():
    settings = {"jac": True, "sampler": OnTheRidge()}
    saddle = adamnb.multistart(ridge, [(-1, 1), (-1, 1)], 5, verify=0, **settings)
    assert np.allclose(saddle.minima_x, 0)
    assert saddle.counts.tolist() == [5]
    assert adamnb.multistart(ridge, [(-1, 1), (-1, 1)], 5, **settings).minima_x.shape == (0, 2)


WRONG = {
    "no bounds": ({"bounds": None}, ValueError, "`bounds` must be given"),
    "no finite bounds": (
        {"bounds": Bounds(-1, [np.inf, 1])},
        ValueError,
        "`bounds` must be finite",
    ),
    "no starts": ({"n_starts": 0}, ValueError, "`n_starts` must"),
    "half a start": ({"n_starts": 1.5}, ValueError, "`n_starts` must"),
    "sampler": ({"sampler": "dice"}, ValueError, "`sampler` must"),
    "dimensions": ({"sampler": qmc.Sobol(3)}, ValueError, "d = 2"),
    "same": ({"same": "y"}, ValueError, "`same` must"),
    "same_tol": ({"same_tol": -1.0}, ValueError, "`same_tol` must"),
    "data": ({"data": (np.ones(3),)}, TypeError, "`data` is for"),
    "option": ({"maxitre": 3}, TypeError, "Did you mean `maxiter`"),
}


@pytest.mark.parametrize(("wrong", "error", "text"), WRONG.values(), ids=WRONG)
def test_bad_input_is_one_clear_error(wrong, error, text):
    with pytest.raises(error, match=text):
        adamnb.multistart(six_hump_camel, **({"bounds": BOX, "jac": True} | wrong))


def test_no_time_at_all():
    result = adamnb.multistart(camel, BOX, 4, jac=True, rng=3, max_time=0)
    assert (result.status, result.success, result.nfev) == (4, False, 0)
    assert np.isnan(result.fun)
    assert result.x.tobytes() == result.starts[0].tobytes()
    assert len(result.minima_fun) == 0


def test_an_exception_in_the_last_look_keeps_the_batch():
    searched = []

    def fun(x):
        if searched:
            raise ArithmeticError("too near")
        return camel(x)

    def progress(done, total):
        searched.extend([done] * (done == total))

    with pytest.raises(ArithmeticError) as caught:
        adamnb.multistart(fun, BOX, 4, jac=True, rng=3, progress=progress)
    assert caught.value.adamnb_result.success.all()
    searched.clear()
    caught = adamnb.multistart(
        fun, BOX, 4, jac=True, rng=3, progress=progress, catch=ArithmeticError
    )
    assert caught.batch.success.all()


def test_arguments_in_a_list():
    with pytest.raises(TypeError, match=r"`args` must be a tuple; got a list of 2"):
        adamnb.multistart(lambda x, a, b: camel(x), BOX, 4, [1, 2], jac=True)


def test_where_a_wrong_gradient_vanishes_is_no_minimum():
    """A term is missing: the minimum is at (-1.5, 0), and the gradient vanishes at 0."""
    for tilt in (0, 3):
        found = adamnb.multistart(
            lambda x, tilt=tilt: (x @ x + tilt * x[0], 2 * x),
            [(-5, 5)] * 2,
            n_starts=8,
            jac=True,
            rng=0,
        )
        assert found.success == (tilt == 0)
        assert len(found.minima_fun) == (tilt == 0)
