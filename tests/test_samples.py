"""A mean over rows, minimised on a growing sample of them."""

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from data_sets import logistic_inplace as mean_logistic
from data_sets import network as make_network
from data_sets import poisson_inplace as mean_poisson
from objectives import mean_inplace, mean_mixture, python_mean
from scipy import optimize

import adamnb
from adamnb._compiled.reasons import (
    BY_GRADIENT,
    BY_STANDARD_ERROR,
    CONVERGED,
    GOING,
    INTERRUPTED,
    OUT_OF_PASSES,
    REASONS,
    UNSUITED,
)
from adamnb._problem.mean import Mean
from adamnb._problem.methods import METHODS
from adamnb._problem.options import complete
from adamnb._problem.parts import Sample, in_random_order
from adamnb._problem.problem import Problem
from adamnb._problem.rows import Reordered, Rows
from adamnb._run.journal import Journal
from adamnb._run.metric import Metric
from adamnb._run.samples import Limits, minimize_by_samples, sizes_of_samples, suited

N, VARIABLES = 100_000, 10


def features(seed=1, count=N, n=VARIABLES):
    """Correlated ones whose scales are 0.1 to 3, and a constant."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((count, n))
    for j in range(1, n):
        a[:, j] = 0.75 * a[:, j - 1] + (1 - 0.75**2) ** 0.5 * a[:, j]
    scale = 10 ** rng.permutation(np.linspace(-1, np.log10(3), n))
    a *= scale
    a[:, 0] = 1.0
    return a, rng.standard_normal(n) / scale / n**0.5, rng


def logistic(seed=1, count=N):
    a, x, rng = features(seed, count)
    return a, (rng.random(count) < 1 / (1 + np.exp(-1.5 * a @ x))).astype(float)


def poisson(seed=1, count=N, n=VARIABLES):
    a, x, rng = features(seed, count, n)
    return a, rng.poisson(np.exp(0.5 * a @ x)).astype(float)


def sample_of(fun, x0, data, order=None, jac="inplace", threads=None, nan_policy="raise"):
    """The mean of `fun` over rows in an order, a random one unless it is given."""
    options = complete(METHODS["adam"], {"threads": threads})
    compiled = hasattr(fun, "py_func")
    problem = Problem(fun, jac, (), x0, None, METHODS["adam"], options, None, None, compiled)
    rows = Rows(data, nan_policy)
    shuffled = in_random_order(rows, 0) if order is None else Reordered(rows, order)
    return Sample(Mean(problem, rows, np.zeros(2, np.int64).data), shuffled, rows)


def solve(fun, x0, data, bounds=None, limits=None, **how):
    x0 = np.asarray(x0)
    return minimize_by_samples(
        Journal(sample_of(fun, x0, data, **how)), x0, bounds, limits or Limits()
    )


def off(found, reference, errors):
    """How far x is from a reference, in standard errors, as the root mean square."""
    return np.sqrt(np.mean(((found.x - reference) / errors) ** 2))


def maximum_likelihood(model):
    fit = model.fit(disp=0, tol=1e-12, maxiter=100)
    return fit.params, fit.bse


def logit(a, y):
    return maximum_likelihood(pytest.importorskip("statsmodels.api").Logit(y, a))


def glm(a, y):
    statsmodels = pytest.importorskip("statsmodels.api")
    fit = statsmodels.GLM(y, a, family=statsmodels.families.Poisson()).fit(tol=1e-14)
    return fit.params, fit.bse


# ------------------------------------------------------------------------------------- the answer


@pytest.mark.parametrize(
    ("fun", "data", "reference"), [(mean_logistic, logistic, logit), (mean_poisson, poisson, glm)]
)
def test_maximum_likelihood_in_a_few_passes(fun, data, reference):
    a, y = data()
    x, errors = reference(a, y)
    found = solve(fun, np.zeros(VARIABLES), (a, y))
    assert found.reason == BY_STANDARD_ERROR
    assert found.sizes == (1_000, 10_000, N)
    assert off(found, x, errors) < 0.0105
    assert found.off == pytest.approx(off(found, x, errors), rel=0.1)
    assert found.passes < 3.6  # three of them over all rows
    spread = np.sqrt(np.diag(np.linalg.inv(found.metric)) / N)
    np.testing.assert_allclose(spread, errors, rtol=0.1)
    g = np.empty(VARIABLES)
    assert found.f == pytest.approx(fun(found.x, g, a, y), rel=1e-12)
    np.testing.assert_allclose(found.g, g, atol=1e-12)


def test_accuracy_and_gtol_ask_for_more():
    a, y = logistic()
    x, errors = logit(a, y)
    rough = solve(mean_logistic, np.zeros(VARIABLES), (a, y), limits=Limits(accuracy=0.3))
    assert off(rough, x, errors) < 0.31
    assert rough.passes < 2.6
    exact = solve(mean_logistic, np.zeros(VARIABLES), (a, y), limits=Limits(gtol=1e-9))
    assert exact.reason == BY_STANDARD_ERROR
    assert off(exact, x, errors) < 1e-5


def test_a_first_look_is_not_believed():
    """Only a step over all rows shows that the curvature is right."""
    found = solve(mean_logistic, np.zeros(VARIABLES), logistic(), limits=Limits(accuracy=50))
    assert found.reason == BY_STANDARD_ERROR
    assert found.passes > 2


@pytest.mark.parametrize("unit", [1e-5, 1.0, 1e5])
def test_standard_errors_need_no_unit_of_f_and_no_sigma(unit):
    a, _, rng = features(2)
    y = unit * (a @ np.ones(VARIABLES) + 3 * rng.standard_normal(N))
    x, _, _, _ = np.linalg.lstsq(a, y)
    errors = 3 * unit * np.sqrt(np.diag(np.linalg.inv(a.T @ a)))
    found = solve(mean_inplace, np.zeros(VARIABLES), (a, y))
    assert found.reason == BY_STANDARD_ERROR
    assert off(found, x, errors) < 0.0105
    assert found.passes < 3.6


def test_scales_of_variables_do_not_matter():
    a, y = logistic()
    scale = np.logspace(-6, 6, VARIABLES)
    plain = solve(mean_logistic, np.zeros(VARIABLES), (a, y))
    scaled = solve(mean_logistic, np.zeros(VARIABLES), (a * scale, y))
    assert scaled.passes == plain.passes
    np.testing.assert_allclose(scaled.x * scale, plain.x, rtol=1e-4)


def test_single_precision():
    a, y = logistic()
    x, errors = logit(a, y)
    found = solve(mean_logistic, np.zeros(VARIABLES, np.float32), (np.float32(a), np.float32(y)))
    assert found.reason == BY_STANDARD_ERROR
    assert found.x.dtype == found.g.dtype == np.float32
    assert off(found, x, errors) < 0.02


def test_bits_do_not_depend_on_threads():
    data = logistic()
    one, two = (solve(mean_logistic, np.zeros(VARIABLES), data, threads=t) for t in (1, 2))
    assert one.x.tobytes() == two.x.tobytes()


def test_bounds_are_kept_by_projected_steps():
    a, y = logistic()
    x, errors = logit(a, y)
    low, high = np.full(VARIABLES, -np.inf), np.full(VARIABLES, np.inf)
    low[1], high[4], low[2] = x[1] + 10 * errors[1], x[4] - 5 * errors[4], x[2] - errors[2] / 2
    low[3] = high[3] = 0.1
    start = np.clip(np.zeros(VARIABLES), low, high)
    found = solve(mean_logistic, start, (a, y), bounds=(low, high))
    assert found.reason == BY_STANDARD_ERROR
    assert found.passes < 3.6
    g = np.empty(VARIABLES)
    reference = optimize.minimize(
        lambda x: (mean_logistic(x, g, a, y), g.copy()), start, jac=True, method="L-BFGS-B",
        bounds=optimize.Bounds(low, high), options={"ftol": 0.0, "gtol": 1e-9, "maxiter": 1_000},
    )  # fmt: skip
    assert found.x[[1, 3]].tolist() == [low[1], 0.1]
    np.testing.assert_array_equal(found.x == low, reference.x == low)
    np.testing.assert_array_equal(found.x == high, reference.x == high)
    assert off(found, reference.x, errors) < 0.0105


def test_a_start_at_the_minimum_is_no_contradiction():
    a, y = logistic()
    x, _ = logit(a, y)
    found = solve(mean_logistic, x, (a, y))
    assert found.reason == BY_STANDARD_ERROR
    g = np.empty(VARIABLES)
    assert found.f <= mean_logistic(x, g, a, y) + 1e-14


def test_no_step_is_made_where_only_rounding_is_left_of_the_gradient():
    """Where rows are repeated, the minimum of a sample is that of all; no step makes less of it."""
    a, x, rng = features(7, 2_000, 3)
    y = a @ x + rng.standard_normal(2_000)
    x, *_ = np.linalg.lstsq(a, y)
    data = np.tile(a, (10, 1)), np.tile(y, 10)
    found = solve(python_mean, x, data, order=np.arange(20_000), jac=True)
    assert found.reason == BY_STANDARD_ERROR
    assert found.nit == 0
    assert found.passes < 3
    np.testing.assert_array_equal(found.x, x)


def test_few_rows_are_all_evaluated_as_minimize_does():
    a, y = logistic(count=500)
    found = solve(mean_logistic, np.zeros(VARIABLES), (a, y))
    assert found.sizes == (500,)
    assert found.reason == BY_GRADIENT
    assert found.message.startswith("Converged: the projected gradient")
    x, errors = logit(a, y)
    assert off(found, x, errors) < 1e-5
    assert found.passes == round(found.passes)


def test_few_rows_with_gradients_that_cannot_be_squared():
    a, x, rng = features(5, 500, 3)
    a, y = 1e60 * a, 1e100 * (a @ x + rng.standard_normal(500))
    found = solve(mean_inplace, np.full(3, 1e40), (a, y))
    assert REASONS[found.reason].status == CONVERGED
    f, g = python_mean(found.x, a, y)
    assert found.f == pytest.approx(f, rel=1e-12)
    np.testing.assert_allclose(found.g, g, atol=1e-12 * 1e160)


@pytest.mark.parametrize(
    ("count", "n", "sizes"),
    [
        (999, 5, (999,)),
        (2_000, 5, (1_000, 2_000)),
        (10**6, 20, (1_000, 10_000, 100_000, 10**6)),
        (10**5, 500, (10_000, 10**5)),
        (10**4, 500, (10**4,)),
        (10**4, 250, (5_000, 10**4)),
    ],
)
def test_sizes_of_samples(count, n, sizes):
    assert sizes_of_samples(count, n) == sizes


@pytest.mark.parametrize(
    ("count", "n", "passes", "worth"),
    [
        (10**6, 20, 2, False),  # those over all rows, of which there are two at least
        (10**6, 20, 3, True),
        (10_000, 71, 3, False),
        (10_000, 71, 10, True),
        (1_999, 5, 10, False),
        (10**6, 1_001, 10, False),
    ],
)
def test_a_sample_is_worth_while_where_passes_are_enough(count, n, passes, worth):
    assert suited(Rows(np.zeros(count)), n, passes) == worth


# ------------------------------------------------------------------------- no success that is none


def failed(found):
    return REASONS[found.reason].status != CONVERGED


def test_separable_data_have_no_minimum():
    a, x, _ = features()
    found = solve(mean_logistic, np.zeros(VARIABLES), (a, (a @ x > 0).astype(float)))
    assert found.reason == UNSUITED
    assert found.message.startswith("A sample of the rows is of no use here: of the first 1,000")


def test_data_of_one_class_have_no_minimum():
    """After a long step f and its gradient are 0: no row feels the variables any more."""
    a, _, _ = features(6, 20_000, 3)
    assert failed(solve(mean_logistic, np.zeros(3), (a, np.ones(20_000))))


def test_rows_that_are_sorted_and_not_shuffled():
    a, y = logistic()
    x, errors = logit(a, y)
    by_class = np.argsort(y, kind="stable")
    found = solve(mean_logistic, np.zeros(VARIABLES), (a, y), order=by_class)
    assert failed(found)  # the first sample has but one class
    for order in (np.argsort(a[:, 3]), np.argsort(a @ x)):
        found = solve(mean_logistic, np.zeros(VARIABLES), (a, y), order=order)
        assert failed(found) or off(found, x, errors) < 0.0105


@pytest.mark.parametrize("shuffled", [True, False])
def test_duplicated_rows(shuffled):
    rows = np.repeat(np.arange(N // 10), 10)
    a, y = (array[rows] for array in logistic())
    x, errors = logit(a, y)
    order = None if shuffled else np.arange(N)
    found = solve(mean_logistic, np.zeros(VARIABLES), (a, y), order=order)
    assert found.reason == BY_STANDARD_ERROR
    assert off(found, x, errors) < 0.0105


def test_columns_that_say_the_same_or_nothing():
    a, y = logistic()
    others = np.arange(VARIABLES) != 5
    x, errors = logit(a[:, others], y)
    a[:, 5] = 0.0
    found = solve(mean_logistic, np.full(VARIABLES, 0.25), (a, y))
    assert found.reason == BY_STANDARD_ERROR
    assert found.x[5] == 0.25
    assert np.sqrt(np.mean(((found.x[others] - x) / errors) ** 2)) < 0.0105
    a[:, 5] = 1.0  # as column 0 is
    found = solve(mean_logistic, np.zeros(VARIABLES), (a, y))
    assert found.reason == BY_STANDARD_ERROR
    together = np.append(found.x[0] + found.x[5], found.x[1:][others[1:]])
    assert np.sqrt(np.mean(((together - x) / errors) ** 2)) < 0.0105


def test_a_column_that_the_first_samples_do_not_feel():
    a, y = logistic()
    a[:, 5] = np.arange(N) % 5_000 == 17
    x, errors = logit(a, y)
    found = solve(mean_logistic, np.zeros(VARIABLES), (a, y))
    assert found.reason == BY_STANDARD_ERROR
    assert off(found, x, errors) < 0.0105


def test_a_saddle_of_the_sample_is_left():
    rng = np.random.default_rng(0)
    y = np.where(rng.random(N) < 0.5, -2.0, 2.0) + rng.standard_normal(N)
    found = solve(mean_mixture, [0.5, 0.5], (y,))
    assert found.reason == BY_STANDARD_ERROR
    np.testing.assert_allclose(sorted(found.x), [-2, 2], atol=0.02)


def test_a_saddle_where_no_row_pulls_away_is_left():
    """Along x[1] the gradients of rows cancel at 0, where f curves downwards."""

    def fun(x, y, pull):
        f = (0.5 * (x[0] - y) ** 2 + pull * x[1]).mean() - 0.25 * x[1] ** 2 + x[1] ** 4 / 8
        return f, np.array([x[0] - y.mean(), pull.mean() - 0.5 * x[1] + 0.5 * x[1] ** 3])

    rng = np.random.default_rng(0)
    data = rng.standard_normal(20_000), np.tile(np.repeat([1.0, -1.0], 1_000), 10)
    found = solve(fun, [1.0, 0.0], data, order=np.arange(20_000), jac=True)
    assert found.reason == BY_STANDARD_ERROR
    assert abs(found.x[1]) == pytest.approx(1, abs=1e-3)


def test_a_minimum_of_samples_that_all_rows_contradict():
    """A loss that forgets what is far: four heavy rows are where the start is, all others elsewhere."""

    def far(x, y, weight):
        r = x[0] - y
        e = weight * np.exp(-0.5 * r * r)
        return (weight - e).mean(), np.array([(r * e).mean()])

    y, weight = 5 + np.random.default_rng(0).standard_normal(20_000), np.ones(20_000)
    y[-4:], weight[-4:] = 0.0, 1e6
    found = solve(far, [0.0], (y, weight), order=np.arange(20_000), jac=True)
    assert found.reason == UNSUITED
    assert "f is lower at the start" in found.message
    assert found.x == 0
    assert found.f < 2


def test_a_network_is_left_soon_and_from_its_start():
    """Steps by the scatter of its gradients lead to a poor minimum, or to none."""
    network = make_network(50_000, 121, seed=3)
    found = solve(network.inplace, network.x0, network.data)
    assert found.reason == UNSUITED
    assert found.x.tobytes() == network.x0.tobytes()
    assert found.passes < 4.5  # not 5
    option = {"jac": "inplace", "seed": 0, "epochs": 5}
    res, own = (
        adamnb.minimize_stochastic(
            network.inplace, network.x0, network.data, method=method, **option
        )
        for method in (None, "adam")
    )
    assert res.samples == found.sizes
    assert res.x.tobytes() == own.x.tobytes()


@pytest.mark.parametrize("kind", ["wrong", "noisy", "matched"])
def test_what_curvature_says_nothing_of(kind):
    a, x, rng = features(3, 20_000)
    y = a @ x
    if kind != "matched":  # exactly, so that the rows do not scatter
        y += rng.standard_normal(y.size)

    def fun(x, a, y):
        f, g = python_mean(x, a, y)
        if kind == "wrong":
            g[2] *= -1
        if kind == "noisy":
            return f + 0.01 * rng.standard_normal(), g + 0.01 * rng.standard_normal(g.size)
        return f, g

    found = solve(fun, np.zeros(VARIABLES), (a, y), jac=True)
    assert found.reason == UNSUITED
    assert kind != "matched" or found.x == pytest.approx(x, rel=1e-4)


def test_a_sample_whose_rows_agree_exactly_leads_to_its_minimum():
    """There f and all gradients are 0, and nothing scatters."""
    a, x = np.random.default_rng(0).integers(-4, 5, (20_000, 3)).astype(float), [2.0, -1.0, 3.0]
    found = solve(python_mean, np.zeros(3), (a, a @ x), jac=True)
    assert found.reason == UNSUITED
    np.testing.assert_allclose(found.x, x, rtol=1e-12)


def test_rows_that_are_not_finite_are_named():
    a, y = logistic()
    a[5_000, 3] = np.nan
    found = solve(
        mean_logistic, np.zeros(VARIABLES), (a, y), order=np.arange(N), nan_policy="propagate"
    )
    assert found.reason == UNSUITED
    assert "not finite over the first 10,000 rows" in found.message
    assert np.isnan(found.f)
    assert np.isfinite(found.x).all()


def test_more_variables_than_a_matrix_is_for():
    n = 1_001
    found = solve(
        mean_inplace, np.zeros(n), (np.ones((50_000, n), np.float32)[:, :n], np.ones(50_000))
    )
    assert found.reason == UNSUITED
    assert "1,001 variables are more than 1,000" in found.message
    assert found.passes == 0


# ------------------------------------------------------------------------------------------ limits


def test_passes_are_limited():
    found = solve(mean_logistic, np.zeros(VARIABLES), logistic(), limits=Limits(passes=2))
    assert found.reason == OUT_OF_PASSES
    assert 1.3 < found.passes <= 2
    assert "`epochs`" in found.message


def test_whoever_watches_sees_samples_grow_and_may_stop():
    seen = []

    def watch(x, f, rows):
        seen.append((f, rows))
        return INTERRUPTED if rows == 10_000 else GOING

    x0 = np.zeros(VARIABLES)
    found = minimize_by_samples(Journal(sample_of(mean_logistic, x0, logistic())), x0, watch=watch)
    assert (found.reason, found.message) == (INTERRUPTED, "")
    rows = [rows for _, rows in seen]
    assert rows == sorted(rows)
    assert set(rows) == {0, 1_000, 10_000}
    values = [f for f, rows in seen if rows == 1_000]
    assert values[-1] == min(values) < values[0]


# ------------------------------------------------------------------------------- scatter and metric


def test_the_scatter_beside_a_large_mean():
    a, x, rng = features(4, 1_000, 3)
    y = a @ x + rng.standard_normal(1_000)

    def high(x, a, y):
        f, g = python_mean(x, a, y)
        return f + 1e8, g + 1e8

    spreads = [
        sample_of(fun, x, (a, y), order=np.arange(1_000), jac=True).spread(x, 1_000, 1_000)
        for fun in (python_mean, high)
    ]
    np.testing.assert_allclose(spreads[1].covariance, spreads[0].covariance, rtol=1e-5, atol=1e-7)
    assert spreads[1].deviation == pytest.approx(spreads[0].deviation, rel=1e-5)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("size", [1, 7, 110])
def test_the_scatter_of_rows_from_parts(compiled, size):
    a, x, rng = features(4, 1_000, 3)
    y = a @ x + rng.standard_normal(1_000)
    fun, jac = (mean_inplace, "inplace") if compiled else (python_mean, True)
    at = x + 0.1
    sample = sample_of(fun, at, (a, y), order=np.arange(1_000), jac=jac)
    spread = sample.spread(at, 990, -(-990 // size))
    f, g = python_mean(at, a[:990], y[:990])
    assert spread.f == pytest.approx(f, rel=1e-12)
    np.testing.assert_allclose(spread.g, g, rtol=1e-10)
    assert sample.mean.passed == 990
    r = (a[:990] @ at - y[:990])[:, np.newaxis] * a[:990]
    half = 0.5 * (a[:990] @ at - y[:990]) ** 2
    if size == 1:
        np.testing.assert_allclose(spread.covariance, np.cov(r.T), rtol=1e-9)
        assert spread.deviation == pytest.approx(half.std(ddof=1), rel=1e-9)
    else:
        ends = np.arange(0, 991, size).tolist()
        ends += [990] * (ends[-1] < 990)
        parts = [r[lo:hi].mean(axis=0) for lo, hi in pairwise(ends)]
        weights = np.diff(ends)
        apart = (np.array(parts) - g) * np.sqrt(weights)[:, np.newaxis]
        np.testing.assert_allclose(
            spread.covariance, apart.T @ apart / (len(parts) - 1), rtol=1e-8, atol=1e-10
        )


def test_what_a_metric_learns():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((4, 4))
    hessian, metric = root @ root.T + np.eye(4), Metric(np.diag([1.0, 2.0, 3.0, 4.0]), 2.0)
    np.testing.assert_array_equal(np.diag(metric.matrix), [2, 4, 6, 8])
    step = rng.standard_normal(4)
    metric.rescale(step, hessian @ step)
    assert step @ metric.matrix @ step == pytest.approx(step @ hessian @ step)
    metric.learn(step, hessian @ step)
    np.testing.assert_allclose(metric.matrix @ step, hessian @ step)
    scale = metric.scale
    metric.rescale(step, 10 * hessian @ step)  # the first step alone tells
    assert metric.scale == scale
    metric.learn(step, -hessian @ step)  # downwards: damped
    assert np.linalg.eigvalsh(metric.matrix)[0] > 0


def test_the_smaller_of_two_standard_errors():
    metric, all_free = Metric(np.diag([1.0, 100.0]), 2.0), np.ones(2, bool)
    np.testing.assert_allclose(metric.errors(all_free), [0.5, 0.05])
    metric.learn(np.array([1.0, 0.0]), np.array([8.0, 0.0]))
    metric.learn(np.array([0.0, 1.0]), np.array([0.0, 50.0]))
    # 1 / 8 of the root of 1 and 1 / 50 of that of 100; the roots of 1 / 8 and 1 / 50 over 2
    np.testing.assert_allclose(metric.errors(all_free), [0.125, 0.1])


def test_a_move_that_bounds_spoil_is_along_the_diagonal():
    metric = Metric(np.array([[1.0, 0.9], [0.9, 1.0]]), 1.0)
    g, box = np.array([-1.0, -0.5]), (np.array([-9.0, -0.1]), np.array([0.001, 9.0]))
    move = metric.move(np.zeros(2), g, box, np.inf)
    assert move.promised > 0
    assert (move.step > 0).all()


def test_a_move_within_bounds_makes_the_best_of_it():
    metric = Metric(np.array([[2.0, 1.0], [1.0, 2.0]]), 1.0)
    g, box = np.array([-3.0, -3.0]), (np.full(2, -9.0), np.array([0.5, 9.0]))
    move = metric.move(np.zeros(2), g, box, np.inf)
    np.testing.assert_allclose(move.step, [0.5, 1.25])
    assert move.promised == pytest.approx(
        -(g @ move.step + 0.5 * move.step @ metric.matrix @ move.step)
    )
    short = metric.move(np.zeros(2), g, box, 0.1)
    assert short.cut
    assert short.length == pytest.approx(0.1)


# ------------------------------------------------------------------------------------------- memory

BEYOND = """
import resource, sys
import numpy as np
from test_samples import features, mean_poisson, solve

path, n = sys.argv[1], 20
solve(mean_poisson, np.zeros(n), (features(1, 3_000, n)[0], np.ones(3_000)))  # loads what is compiled
data = np.load(path, mmap_mode="r")
used = next(line for line in open("/proc/self/status") if line.startswith("VmData"))
limit = 1024 * int(used.split()[1]) + data.nbytes // 2
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.array(data)
except MemoryError:
    print("too large")
found = solve(mean_poisson, np.zeros(n), (data[:, :n], data[:, n]), threads=1)
print(found.reason, found.passes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory that it sets is Linux's")
def test_data_twice_as_large_as_memory(tmp_path):
    a, y = poisson(count=1_200_000, n=20)
    path = tmp_path / "data.npy"
    np.save(path, np.column_stack([a, y]))
    del a, y
    done = subprocess.run(
        [sys.executable, "-c", BEYOND, path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    large, found = done.stdout.splitlines()
    assert large == "too large"
    reason, passes = found.split()
    assert int(reason) == BY_STANDARD_ERROR
    assert float(passes) < 3.6
