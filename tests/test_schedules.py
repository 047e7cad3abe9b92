"""Schedules: against PyTorch's formulas, and in the loops."""

import copy
import math
import pickle

import numba
import numpy as np
import pytest

import adamnb
from adamnb import schedules as S

EACH = [
    S.Constant(0.1),
    S.Cosine(0.1, 50, final=0.01),
    S.Exponential(0.1, 0.9, every=3),
    S.InverseSqrt(0.1, 10),
    S.Warmup(S.Cosine(0.1, 50, final=0.001), 10),
    S.OneCycle(0.1, 100),
]


def valley(x, g):
    g[0] = -400.0 * x[0] * (x[1] - x[0] * x[0]) - 2.0 * (1.0 - x[0])
    g[1] = 200.0 * (x[1] - x[0] * x[0])
    return 100.0 * (x[1] - x[0] * x[0]) ** 2 + (1.0 - x[0]) ** 2


compiled_valley = numba.njit(valley)
X0 = np.array([-1.2, 1.0])


@pytest.mark.parametrize("schedule", EACH, ids=lambda s: type(s).__name__)
def test_the_loops_follow_a_schedule_and_agree(schedule):
    options = {"learning_rate": schedule, "maxiter": 120, "history": True}
    runs = [adamnb.minimize(fun, X0, jac="inplace", **options) for fun in (valley, compiled_valley)]
    expected = [schedule(t) for t in range(1, 121)]
    for run in runs:
        assert run.history["learning_rate"][:120].tolist() == expected
    assert runs[0].x_last.tobytes() == runs[1].x_last.tobytes()


@pytest.mark.parametrize("schedule", [*EACH, S.Plateau(0.1)], ids=lambda s: type(s).__name__)
def test_they_pickle_copy_and_print(schedule):
    assert pickle.loads(pickle.dumps(schedule)) == copy.deepcopy(schedule) == schedule
    assert repr(schedule).startswith(type(schedule).__name__ + "(")


def test_an_optimizer_follows_one():
    x, y = np.ones(3), np.ones(3)
    schedule = S.Cosine(0.1, 20)
    followed = adamnb.Optimizer(x, learning_rate=schedule)
    by_hand = adamnb.Optimizer(
        y, learning_rate=lambda t: 0.05 * (1 + math.cos((t - 1) / 20 * math.pi))
    )
    for _ in range(20):
        followed.step(2 * x)
        by_hand.step(2 * y)
    np.testing.assert_allclose(x, y, rtol=1e-14)


def test_cosine_ends():
    cosine = S.Cosine(1.0, 10, final=0.25)
    assert cosine(1) == 1.0
    assert cosine(6) == pytest.approx(0.625, rel=1e-15)
    assert cosine(11) == cosine(1000) == 0.25


def test_a_rate_of_zero_is_the_end():
    result = adamnb.minimize(valley, X0, jac="inplace", learning_rate=S.Cosine(0.1, 50))
    assert (result.status, result.nit) == (2, 50)


def follow(fun, x0, **options):
    """Minimise once, or a batch of three, and return what `minimize` does of one."""
    if np.ndim(x0) == 1:
        return adamnb.minimize(fun, x0, jac="inplace", **options)
    return adamnb.minimize_batch(fun, x0, jac="inplace", threads=1, **options)


LOOPS = {
    "interpreted": (valley, X0),
    "compiled": (compiled_valley, X0),
    "batch": (compiled_valley, np.tile(X0, (3, 1))),
    "batch of Python": (valley, np.tile(X0, (3, 1))),
}


@pytest.mark.parametrize(("fun", "x0"), LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("limit", [{"maxiter": 150}, {"maxiter": 150.9}, {"maxfun": 151}])
def test_a_list_of_rates_as_long_as_the_run(fun, x0, limit):
    """Not one is asked for after the last step."""
    rates = np.linspace(0.1, 0.01, 150).tolist()
    found = follow(fun, x0, learning_rate=lambda t: rates[t - 1], gtol=0.0, ftol=0.0, **limit)
    again = follow(
        fun, x0, learning_rate=lambda t: rates[min(t, 150) - 1], gtol=0.0, ftol=0.0, **limit
    )
    assert np.all(found.nit == 150)
    assert np.all(found.status == 1)
    assert found.x.tobytes() == again.x.tobytes()


@pytest.mark.parametrize(("fun", "x0"), LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("maxiter", [0, 1])
def test_no_step_or_one(fun, x0, maxiter):
    asked = []
    found = follow(fun, x0, learning_rate=lambda t: asked.append(t) or 0.1, maxiter=maxiter)
    assert np.all(found.nit == maxiter)
    assert set(asked) == set(range(1, maxiter + 1))


@pytest.mark.parametrize(("fun", "x0"), LOOPS.values(), ids=LOOPS)
def test_a_schedule_that_ends_after_the_last_step(fun, x0):
    """What comes after convergence is not missed, and hardly asked for."""
    full, asked = follow(fun, x0, learning_rate=lambda t: 0.05, gtol=1e-2), []
    steps = int(np.max(full.nit))
    assert np.all(full.success)
    assert 64 < steps < 2000

    def rate(t):
        asked.append(t)
        return [0.05] * t if t > steps + 1 else 0.05  # a list is no rate

    found = follow(fun, x0, learning_rate=rate, gtol=1e-2)
    assert found.x.tobytes() == full.x.tobytes()
    assert max(asked) <= steps + 2
    asked.clear()
    follow(fun, x0, learning_rate=lambda t: asked.append(t) or 0.05, gtol=1e-2)
    assert max(asked) <= 2 * steps + 1


@pytest.mark.parametrize(("fun", "x0"), LOOPS.values(), ids=LOOPS)
def test_a_schedule_that_ends_too_early(fun, x0):
    rates = [0.001] * 100
    with pytest.raises(IndexError):
        follow(fun, x0, learning_rate=lambda t: rates[t - 1])


def test_one_cycle_has_the_values_of_pytorch():
    """OneCycleLR(max_lr=1, total_steps=10) of PyTorch 2.13: printed by it, in float64."""
    expected = [
        0.04, 0.52, 1.0, 0.9504846320134737, 0.8117456539497631, 0.6112620219362892,
        0.388741978063711, 0.18825834605023698, 0.049519367986526286, 4e-06,
    ]  # fmt: skip
    found = [S.OneCycle(1.0, 10)(t) for t in range(1, 11)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_warmup_counts_from_its_end():
    warmup = S.Warmup(S.Exponential(1.0, 0.5), 4)
    assert [warmup(t) for t in range(1, 7)] == [0.25, 0.5, 0.75, 1.0, 0.5, 0.25]


def test_inverse_sqrt():
    assert [S.InverseSqrt(1.0, 4)(t) for t in (1, 4, 16)] == [1.0, 1.0, 0.5]


def plateau_by_hand(values, rate, factor, patience, threshold, final):
    """ReduceLROnPlateau as PyTorch documents it."""
    best, bad, rates = math.inf, 0, []
    for value in values:
        if best == math.inf or value < best - threshold * abs(best):
            best, bad = value, 0
        else:
            bad += 1
        if bad > patience:
            rate, bad = max(rate * factor, final), 0
        rates.append(rate)
    return rates


@pytest.mark.parametrize("fun", [valley, compiled_valley], ids=["interpreted", "compiled"])
def test_plateau(fun):
    schedule = S.Plateau(0.5, factor=0.3, patience=4, threshold=1e-3, final=1e-3)
    result = adamnb.minimize(
        fun, X0, jac="inplace", learning_rate=schedule, maxiter=300, history=True, gtol=0, ftol=0
    )
    expected = plateau_by_hand(result.history["fun"], 0.5, 0.3, 4, 1e-3, 1e-3)
    assert len(set(expected)) > 3
    # the last point is judged, but no step is taken from it
    assert result.history["learning_rate"][:300].tolist() == expected[:300]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: S.Cosine(-0.1, 10), ValueError, "`rate` must satisfy 0 <= rate < inf; got -0.1."),
        (lambda: S.Cosine(0.1, 0), ValueError, "`steps` must satisfy 1 <= steps < inf; got 0."),
        (lambda: S.Cosine("a", 10), TypeError, "`rate` must be a number; got 'a'."),
        (lambda: S.Exponential(0.1, math.nan), ValueError, "`factor` must satisfy"),
        (lambda: S.Warmup(0.1, 10), TypeError, "`schedule` must be a function of t; got 0.1."),
        (lambda: S.OneCycle(0.1, 10, rise=2), ValueError, "`rise` must satisfy 0 <= rise <= 1"),
        (lambda: S.Plateau(0.1, factor=1), ValueError, "`factor` must satisfy 0 <= factor < 1"),
        (lambda: adamnb.Optimizer(X0.copy(), learning_rate=S.Plateau(0.1)), TypeError, "Plateau"),
    ],
)
def test_bad_input(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)


def test_a_schedule_that_ends_is_named():
    """The learning rate that was given is 0, and nobody's gradient is to blame."""
    result = adamnb.minimize(
        valley, [-1.2, 1.0], jac="inplace", learning_rate=S.Exponential(0.1, 0.1)
    )
    assert (result.success, result.status) == (False, 2)
    assert "learning rate that was given fell to" in result.message
