"""An automatic learning rate that knows of curvature: the rule, its counts, and when it is not used."""

import numba
import numpy as np
import pytest
from scipy import optimize
from scipy.optimize import rosen, rosen_der

import adamnb
from adamnb._run.settings import pair_count


def valley(x):
    return rosen(x), rosen_der(x)


@numba.njit
def compiled_valley(x, g):
    """Rosenbrock's, in the dtype of x, with a gradient written in place."""
    one, two, hundred = x.dtype.type(1), x.dtype.type(2), x.dtype.type(100)
    f = one - one
    g[:] = f
    for i in range(x.size - 1):
        d, e = x[i + 1] - x[i] * x[i], one - x[i]
        f += hundred * d * d + e * e
        g[i] -= two * (two * hundred * d * x[i] + e)
        g[i + 1] += two * hundred * d
    return f


# --------------------------------------------------------------------------- the rule, in plain NumPy


def times_inverse_hessian(pairs, metric, g):
    """The inverse Hessian of the pairs, newest first, times g: with dense matrices, from the formula."""
    n, agree, left = g.size, [], []
    for s, y, scale in pairs:
        own, pivot = s @ y, s @ y
        if agree:
            steps, changes = (np.array([pair[i] for pair in agree]) for i in (0, 1))
            middle = (steps @ changes.T + changes @ steps.T) / 2
            row = (steps @ y + changes @ s) / 2
            pivot = own - row @ np.linalg.solve(middle, row)
            sizes = np.sqrt(own * np.diag(middle))
            if (np.abs(steps @ y - changes @ s) > 0.1 * sizes).any():
                pivot = 0.0
        (agree if pivot > 1e-8 * own else left).append((s, y, scale))
        if len(agree) == n:
            break
    steps, changes = (np.array([pair[i] for pair in agree]).T for i in (0, 1))
    middle = (steps.T @ changes + changes.T @ steps) / 2
    block = steps @ np.linalg.solve(middle, steps.T)
    if len(agree) == n:
        return block @ g
    first, one = np.diag(max(scale for *_, scale in agree) / metric), np.eye(n)
    for s, y, _ in reversed(left):
        part = one - np.outer(s, y) / (s @ y)
        first = part @ first @ part.T + np.outer(s, s) / (s @ y)
    part = one - steps @ np.linalg.solve(middle, changes.T)
    return (block + part @ first @ part.T) @ g


def by_hand(fun, x0, steps):
    """Points of the rule, written from its description; no bounds, no noise, no rounding."""
    scale, n, memory = np.where(x0 != 0, np.abs(x0), 1.0), x0.size, x0.size + 4
    metric, pairs, radius, looked, points = np.ones(n), [], 0.3 * np.sqrt(n), False, [x0]
    x, (f, g) = x0 / scale, fun(x0)
    g, first, failures = g * scale, True, 0
    while len(points) < steps:
        modelled = bool(pairs)
        h = times_inverse_hessian(pairs, metric, g) if modelled else g / metric
        length = np.linalg.norm(h)
        part = radius / length if length > radius or not modelled else 1.0
        new = x - part * h
        part = part if modelled else 1.0
        points.append(new * scale)
        f1, g1 = fun(new * scale)
        g1, s = g1 * scale, new - x
        slope, y, step = g @ s, g1 - g, np.linalg.norm(new - x)
        ratio = (f - f1) / (-(1 - part / 2) * slope)
        expected = -part * slope
        if modelled and s @ y < 0.05 * expected:
            share = 0.95 * expected / (expected - s @ y)
            y = share * y - (1 - share) * part * g
        if not pairs:
            metric = metric * (s @ y) / (s @ (metric * s))
        updated = metric + y**2 / (s @ y) - (metric * s) ** 2 / (s @ (metric * s))
        metric = np.maximum(updated, 1e-3 * metric)
        pairs = [(s / step, y / step, (s @ y) / (y @ (y / metric))), *pairs][:memory]
        if ratio < 0.1:
            beyond = f1 - f - slope
            cut = -slope / 2 / beyond if beyond > 0 else 0.5
            radius = step * min(max(cut, 0.1), 0.5)
        elif ratio > 0.75 and (part < 1 or not modelled):
            radius = max(radius, 4 * step)
        better = f1 < f and not (first and failures < 4 and ratio < 0.1)
        if better:
            x, f, g, first = new, f1, g1, False
        failures = 0 if better and ratio >= 1e-4 else failures + 1
        mean = (slope + g1 @ s) / 2
        if failures and not looked and abs(f1 - f - mean) > 0.3 * (abs(f1 - f) + abs(mean)):
            looked = True
            points.append(x * scale)
    return points[:steps]


@pytest.mark.parametrize(
    "x0", [[-1.2, 1.0], [3.0, -3.0], [0.0, 0.1], [-1.2, 1.0] * 3, [0.5, -2.0, 0.7, 3.0]]
)
def test_the_rule_is_what_it_is_said_to_be(x0):
    """The path to rounding, which grows along the valley; damped, rejected and cut steps are among them."""
    x0, seen = np.array(x0), []

    def recorded(x):
        seen.append(x.copy())
        return valley(x)

    adamnb.minimize(recorded, x0, jac=True, maxiter=24)
    points = by_hand(valley, x0, 25)
    np.testing.assert_allclose(seen[:25], points, rtol=1e-6, atol=1e-7)


# ------------------------------------------------------------------------------------------- counts


def rotated(n, condition, seed=0):
    """A quadratic with its axes anywhere, and its minimum."""
    rng = np.random.default_rng([seed, n])
    axes = np.linalg.qr(rng.normal(size=(n, n)))[0]
    hessian = axes * np.logspace(0, np.log10(condition), n) @ axes.T
    centre = rng.normal(size=n)

    def fun(x):
        return 0.5 * (x - centre) @ hessian @ (x - centre), hessian @ (x - centre)

    return fun, np.ones(n)


def logistic(n, correlation):
    """A regression whose features are much the same."""
    rng = np.random.default_rng(n)
    features = np.sqrt(correlation) * rng.normal(size=(400, 1))
    features = features + np.sqrt(1 - correlation) * rng.normal(size=(400, n))
    signs = np.where(rng.random(400) < 1 / (1 + np.exp(-features @ rng.normal(size=n))), 1.0, -1.0)

    def fun(x):
        t = signs * (features @ x)
        return np.logaddexp(0, -t).sum() + x @ x / 200, -features.T @ (
            signs / (1 + np.exp(t))
        ) + x / 100

    return fun, np.zeros(n)


def polynomial(degree, low):
    """A fit whose columns are powers."""
    rng = np.random.default_rng(degree)
    columns = np.vander(np.linspace(low, 1, 60), degree + 1)
    y = columns @ rng.normal(size=degree + 1) + 0.01 * rng.normal(size=60)

    def fun(x):
        r = columns @ x - y
        return r @ r, 2 * columns.T @ r

    return fun, np.zeros(degree + 1)


def regression(n):
    """A linear one, correlated."""
    rng = np.random.default_rng([1, n])
    columns = np.sqrt(0.99) * rng.normal(size=(100, 1)) + 0.1 * rng.normal(size=(100, n))
    y = columns @ rng.normal(size=n) + 0.1 * rng.normal(size=100)

    def fun(x):
        r = columns @ x - y
        return r @ r, 2 * columns.T @ r

    return fun, np.zeros(n)


CORRELATED = {
    **{
        f"quadratic, n = {n}, condition {condition:g}": rotated(n, condition)
        for n in (10, 16, 30, 50)
        for condition in (1e4, 1e6, 1e8)
    },
    **{f"logistic, n = {n}": logistic(n, 0.99) for n in (5, 12, 40)},
    **{
        f"polynomial of degree {d} from {low}": polynomial(d, low)
        for d in (4, 6)
        for low in (0, -1)
    },
    **{f"regression, n = {n}": regression(n) for n in (5, 20)},
    **{f"Rosenbrock, n = {n}": (valley, np.tile([-1.2, 1.0], n // 2)) for n in (2, 10)},
}


def gradients(minimize, name):
    """Gradients until f has fallen by all but 1e-5 of the way."""
    (fun, x0), values = CORRELATED[name], []

    def counted(x):
        f, g = fun(x)
        values.append(f)
        return f, g

    minimize(counted, x0)
    lowest = optimize.minimize(fun, x0, jac=True, method="BFGS", options={"gtol": 1e-9}).fun
    reached = np.minimum.accumulate(values) <= lowest + 1e-5 * (values[0] - lowest)
    assert reached.any(), name
    return int(np.argmax(reached)) + 1


def test_as_few_gradients_as_bfgs():
    ours, theirs = (
        np.array([gradients(minimize, name) for name in CORRELATED])
        for minimize in (
            lambda fun, x0: adamnb.minimize(fun, x0, jac=True),
            lambda fun, x0: optimize.minimize(fun, x0, jac=True, method="BFGS"),
        )
    )
    ratio = ours / theirs
    assert np.exp(np.log(ratio).mean()) < 1.0
    assert (ratio > 2).sum() <= 2, list(zip(CORRELATED, ours, theirs, strict=True))
    assert ratio.max() < 3


@pytest.mark.parametrize("seed", [None, 0, 1])  # where to start: as the problem says, or anywhere
@pytest.mark.parametrize("name", CORRELATED)
def test_to_see_that_it_is_a_minimum_takes_few_gradients(name, seed):
    """Some for each variable, on both sides where f may be flat: not a descent for each flat way.

    What rounding leaves of a gradient looks like one of float32, so that curvature is hard to tell.
    """
    fun, x0 = CORRELATED[name]
    if seed is not None:
        x0 = np.random.default_rng(seed).normal(size=x0.size)
    result = adamnb.minimize(fun, x0, jac=True)
    assert result.success
    assert result.nfev - result.nit <= 4 * x0.size + 10


def test_where_newton_says_that_the_minimum_is_far_the_gradient_falls_further():
    fun, x0 = CORRELATED["polynomial of degree 6 from 0"]
    result = adamnb.minimize(fun, x0, jac=True, gtol=1e-6)
    lowest = optimize.minimize(fun, x0, jac=True, method="BFGS", options={"gtol": 1e-12}).fun
    assert result.success
    assert result.fun == pytest.approx(lowest, rel=1e-9)


@pytest.mark.parametrize("name", [name for name in CORRELATED if "quadratic" in name])
def test_with_active_bounds(name):
    """Every point is feasible, and the constrained minimum is that of a method of active sets."""
    fun, x0 = CORRELATED[name]
    bounds = optimize.Bounds(np.full(x0.size, -0.3), np.full(x0.size, 1.2))

    def within(x):
        assert (x >= bounds.lb).all()
        assert (x <= bounds.ub).all()
        return fun(x)

    result = adamnb.minimize(within, x0, jac=True, bounds=bounds)
    assert result.success
    assert result.nfev < 40 * x0.size
    g = result.jac
    free = (result.x > bounds.lb) & (result.x < bounds.ub)
    assert 0 < free.sum() < x0.size
    assert (g[result.x == bounds.lb] > 0).all()
    assert (g[result.x == bounds.ub] < 0).all()
    assert np.abs(g[free]).max() <= 1e-7 * np.abs(fun(x0)[1]).max()


# -------------------------------------------------------------------------------- one rule everywhere


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_loops_have_the_same_bits(bounded, dtype):
    path, start = compiled_valley, np.tile(np.array([-1.2, 1.0], dtype), 3)
    bounds = optimize.Bounds(-2.0, 0.9) if bounded else None
    compiled = adamnb.minimize(path, start, jac="inplace", bounds=bounds)
    interpreted = adamnb.minimize(path.py_func, start, jac="inplace", bounds=bounds)
    batch = adamnb.minimize_batch(path, start[None], jac="inplace", bounds=bounds)
    assert compiled.compiled
    assert not interpreted.compiled
    assert compiled.success
    assert compiled.x.dtype == dtype
    assert compiled.x.tobytes() == interpreted.x.tobytes() == batch.x[0].tobytes()
    assert compiled.nit == interpreted.nit == batch.nit[0]


def test_a_saddle_is_left_downhill():
    def fun(x):
        return x[0] ** 2 + 0.25 * x[1] ** 4 - 0.5 * x[1] ** 2, np.array(
            [2 * x[0], x[1] ** 3 - x[1]]
        )

    result = adamnb.minimize(fun, [1.0, 0.0], jac=True)
    assert result.success
    assert result.fun == pytest.approx(-0.25, rel=1e-12)
    assert adamnb.minimize(fun, [1.0, 0.0], jac=True, memory=0).status == 2
    assert adamnb.minimize(fun, [1.0, 0.0], jac=True, verify=0).fun == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("options", [{"memory": 0}, {"weight_decay": 0.1}])
def test_without_pairs(options):
    """Not where it is not wanted, nor where the step is not along the gradient of f."""
    result = adamnb.minimize(valley, [-1.2, 1.0], jac=True, maxiter=50, **options)
    assert result.state["curved"] == result.state["pairs"] == 0


@pytest.mark.parametrize("memory", [1, 3, 100])
def test_any_memory(memory):
    result = adamnb.minimize(valley, np.tile([-1.2, 1.0], 10), jac=True, memory=memory)
    assert result.success
    assert result.state["pairs"] <= memory
    np.testing.assert_allclose(result.x, 1, atol=1e-5)


@pytest.mark.parametrize("memory", [-1, 1.5, True, 1001])
def test_bad_memory(memory):
    with pytest.raises(ValueError, match="`memory` must be None or a whole number"):
        adamnb.minimize(valley, [-1.2, 1.0], jac=True, memory=memory)


# ------------------------------------------------------------------------------- noise, kinks, the end


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("when", [1, 7])
def test_an_evaluation_that_fails(which, value, when):
    """The step is taken back and made shorter; the minimum is found all the same."""
    calls = 0

    def fun(x):
        nonlocal calls
        f, g = valley(x)
        if calls == when:
            f, g = (value, g) if which == 0 else (f, g * value)
        calls += 1
        return f, g

    result = adamnb.minimize(fun, [-1.2, 1.0], jac=True)
    if value == -np.inf and which == 0:
        assert not result.success or result.fun < 1e-10
        return
    assert result.success
    np.testing.assert_allclose(result.x, 1, atol=1e-6)


@pytest.mark.parametrize("noise", [(1e-3, 0.0), (0.0, 1e-3)])
def test_noise_is_left_to_averages(noise):
    rng = np.random.default_rng(0)

    def fun(x):
        f, g = valley(x)
        return f + noise[0] * rng.normal(), g + noise[1] * rng.normal(size=x.size)

    result = adamnb.minimize(fun, [-1.2, 1.0], jac=True, maxiter=300)
    assert result.noise.fun == pytest.approx(noise[0], rel=0.5)
    assert valley(result.x)[0] < 1e-2


def test_f_is_looked_at_again_only_where_slopes_do_not_explain_a_failed_step():
    """A quadratic is explained by its slopes, however far the first step leads; a kink is not."""

    def looks(fun, x0):
        values, points = [], []

        def recorded(x):
            f, g = fun(x)
            values.append(f)
            points.append(x.tobytes())
            return f, g

        adamnb.minimize(recorded, np.array(x0, float), jac=True, maxiter=3)
        assert (np.diff(values) > 0).any()
        return len(points) - len(set(points))

    centre, curvature = np.array([0.01, -0.02, 0.03]), np.array([1e3, 3e3, 1e4])

    def bowl(x):
        return curvature @ (x - centre) ** 2, 2 * curvature * (x - centre)

    assert looks(bowl, [0, 0, 0]) == 0
    assert looks(lambda x: (np.abs(x).sum(), np.sign(x)), [0.01, 0.1, 1.0]) == 1


def test_a_kink_is_left_to_the_method():
    result = adamnb.minimize(
        lambda x: (np.abs(x - 1).sum(), np.sign(x - 1)), [4.0, -3.0, 0.5], jac=True, maxiter=2000
    )
    np.testing.assert_allclose(result.x, 1, atol=1e-3)


def test_f_at_rest_within_its_rounding():
    """A large constant leaves f no digits for the last part of the way, and the gradient has them."""
    result = adamnb.minimize(
        lambda x: (1e8 + valley(x)[0], valley(x)[1]), [-1.2, 1.0], jac=True, gtol=1e-14
    )
    assert result.success
    np.testing.assert_allclose(result.x, 1, atol=1e-6)


@numba.njit
def fitted(x):
    """A fit of seven points by an exponential, with its gradient."""
    f, g = 0.0, np.zeros(2)
    for i in range(7):
        decay = np.exp(-x[1] * i)
        r = x[0] * decay - (3.0 * np.exp(-0.5 * i) + 0.01 * (-1) ** i)
        f += r * r
        g[0] += 2 * r * decay
        g[1] -= 2 * r * x[0] * i * decay
    return f, g


def test_in_njit_code():
    @numba.njit
    def caller(x0):
        return adamnb.njit_minimize(fitted, x0, (), True)

    inside, outside = caller(np.ones(2)), adamnb.minimize(fitted, np.ones(2), jac=True)
    assert inside.x.tobytes() == outside.x.tobytes()
    assert inside.nit == outside.nit < 40


@pytest.mark.parametrize(("n", "pairs"), [(2, 6), (60, 64), (200, 64), (201, 8), (10**6, 4)])
def test_fewer_pairs_of_many_variables(n, pairs):
    """As many as say all of few variables; few where vectors are in no cache."""
    assert pair_count(n) == pairs
