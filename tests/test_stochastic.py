"""Minimisation of a mean over the rows of a data set."""

import pickle
from itertools import chain
from time import sleep

import numpy as np
import pytest
from objectives import mean_inplace, mean_misfit, mean_underivable, python_mean
from test_checkpoint import assert_same

import adamnb
from adamnb import CheckpointError, schedules
from adamnb._compiled.reasons import UNSUITED
from adamnb._problem import epochs as epochs_module
from adamnb._problem import rows as rows_module
from adamnb._problem.arguments import COMPILED, FORWARD
from adamnb._problem.mean import Mean
from adamnb._problem.methods import METHODS
from adamnb._problem.options import complete
from adamnb._problem.problem import Problem
from adamnb._problem.rows import Reordered, Rows
from adamnb._run import checkpoint, samples, stochastic
from adamnb._run.samples import Sampled

N, TRUE = 1000, np.array([1.0, -2.0, 0.5])


def data(n=N, dtype=float):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(n, TRUE.size))
    return a.astype(dtype), (a @ TRUE + 0.1 * rng.normal(size=n)).astype(dtype)


def on_disk(folder, *arrays):
    for i, array in enumerate(arrays):
        np.save(folder / f"{i}.npy", array)
    return tuple(np.load(folder / f"{i}.npy", mmap_mode="r") for i in range(len(arrays)))


class Sliced:
    """What slices like an array, forwards and by one thread at once, and is none, as datasets of h5py."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.busy = False

    def __getitem__(self, rows):
        assert not self.busy, "two threads at once"
        self.busy = True
        if not isinstance(rows, slice):
            assert (np.diff(rows) > 0).all()
        found = self.array[rows].copy()
        sleep(1e-4)
        self.busy = False
        return found


# -------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ((), ValueError, "at least one array"),
        ((np.zeros(3), np.zeros(4)), ValueError, r"`data\[0\]` has 3, `data\[1\]` has 4"),
        (np.zeros((0, 2)), ValueError, "at least one row"),
        (3.0, ValueError, r"`data\[0\]` must have a leading axis of rows; got a scalar"),
        (np.array([None, 1]), TypeError, r"`data\[0\]` must hold numbers; got dtype object"),
        (np.array(["a"]), TypeError, "must hold numbers"),
        (None, TypeError, r"`data\[0\]` must hold numbers; got dtype object"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), TypeError, "must not be a masked array"),
        ([[1.0], [1.0, 2.0]], ValueError, r"must be an array of shape \(N, ...\)"),
        ((np.ones(3), [1.0, np.nan, 0.0]), ValueError, r"`data\[1\]` is nan at index 1: leave"),
        (np.array([[1.0, 2.0], [3.0, -np.inf]]), ValueError, r"`data\[0\]` is -inf at index 1, 1"),
    ],
)
def test_bad_data_is_one_clear_error(given, error, text):
    with pytest.raises(error, match=text):
        Rows(given)


def test_a_sparse_matrix_and_an_array_on_a_gpu_are_errors():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="must not be a sparse matrix"):
        Rows(sparse.csr_array(np.eye(3)))

    class There:
        __cuda_array_interface__ = None

    with pytest.raises(TypeError, match="it is on a GPU"):
        Rows(There())


def test_sums_that_overflow_are_no_numbers_that_are_not_finite():
    assert Rows(np.full(10, 1e308)).count == 10
    assert Rows([np.nan], nan_policy="propagate").count == 1
    with pytest.raises(ValueError, match="`nan_policy` must be 'raise' or 'propagate'; got 'omit'"):
        Rows([1.0], nan_policy="omit")


def test_rows_are_views_of_what_is_contiguous_in_memory_and_copies_of_all_else(tmp_path):
    a, y = data()
    (mapped,) = on_disk(tmp_path, a)
    still = a.copy()
    still.flags.writeable = False
    kinds = [a, y, mapped, np.asfortranarray(a), a[:, ::2], a.astype(">f8"), still, Sliced(a)]
    rows = Rows(tuple(kinds))
    block = rows.block(3, 8)
    assert [np.shares_memory(b, k) for b, k in zip(block, kinds[:-1], strict=False)] == (
        [True, True] + 5 * [False]
    )
    order = np.array([7, 3, 900])
    gathered = rows.gather(order, rows.buffers(5))
    for one, few, whole in zip(block, gathered, kinds, strict=True):
        whole = whole.array if isinstance(whole, Sliced) else whole
        assert type(one) is np.ndarray
        assert one.flags.carray
        assert one.dtype.isnative
        assert one.tobytes() == np.array(whole[3:8], one.dtype).tobytes()
        assert few.tobytes() == np.array(whole[order], few.dtype).tobytes()
    assert rows.on_disk
    assert not Rows((a, still)).on_disk


# -------------------------------------------------------------------------------------------- mean


def mean_of(fun, jac, rows, threads=None):
    method = METHODS["adam"]
    o = complete(method, {"threads": threads})
    compiled = hasattr(fun, "py_func")
    problem = Problem(fun, jac, (), np.ones(3), None, method, o, None, None, compiled)
    return Mean(problem, rows, np.zeros(2, np.int64))


@pytest.fixture
def many_pieces(monkeypatch):
    monkeypatch.setattr(rows_module, "PIECE", 900 * 8)


@pytest.mark.parametrize(
    ("fun", "jac", "tolerance"),
    [
        (mean_inplace, "inplace", 1e-13),
        (mean_misfit, FORWARD, 1e-13),
        (mean_misfit, COMPILED, 1e-6),
        (python_mean, True, 1e-13),
        (lambda *given: python_mean(*given)[0], "3-point", 1e-6),
    ],
)
def test_a_mean_over_pieces_is_that_over_all_rows(fun, jac, tolerance, many_pieces, tmp_path):
    x, whole = np.array([0.3, 0.2, 0.1]), data()
    expected = python_mean(x, *whole)
    found = []
    for given in (whole, on_disk(tmp_path, *whole), tuple(map(Sliced, whole))):
        for threads in (1, None):
            mean = mean_of(fun, jac, rows := Rows(given), threads)
            assert len(rows.pieces(0, N)) == 5  # the last is smaller
            f, g = mean.evaluate(x, rows)
            assert mean.passed == N
            assert mean.counts[1] == 5
            found.append((f, g.tobytes()))
    assert len(set(found)) == 1
    np.testing.assert_allclose(f, expected[0], rtol=1e-13)
    np.testing.assert_allclose(g, expected[1], rtol=tolerance)


def test_a_mean_over_some_rows_in_another_order(many_pieces):
    x, (a, y) = np.array([0.3, 0.2, 0.1]), data()
    order = np.random.default_rng(1).permutation(N)
    rows = Rows((a, y))
    mean = mean_of(mean_inplace, "inplace", rows)
    f, g = mean.evaluate(x, Reordered(rows, order), 100, 600)
    expected = python_mean(x, a[order[100:600]], y[order[100:600]])
    np.testing.assert_allclose(f, expected[0], rtol=1e-13)
    np.testing.assert_allclose(g, expected[1], rtol=1e-12)


def test_a_piece_that_holds_all_rows_has_the_bits_of_the_function_itself():
    x, (a, y) = np.array([0.3, 0.2, 0.1]), data()
    rows = Rows((a, y))
    f, g = mean_of(mean_inplace, "inplace", rows).evaluate(x, rows)
    own = np.empty(3)
    assert (f, g.tobytes()) == (mean_inplace(x, own, a, y), own.tobytes())


# ------------------------------------------------------------------------------------ the whole call

NUMBA = {"inplace": (mean_inplace, "inplace"), "forward": (mean_misfit, None)}
PYTHON = {"both": (python_mean, True)}


def minimised(fun=mean_inplace, jac="inplace", given=None, x0=(0.0, 0.0, 0.0), **option):
    given = data() if given is None else given
    return adamnb.minimize_stochastic(
        fun, np.array(x0), given, jac=jac, **{"seed": 5, "learning_rate": 0.01} | option
    )


def batches(order, size):
    return [order[lo : lo + size] for lo in range(0, len(order), size)]


def order_of(seed, epoch, count=N):
    """The order of rows that a seed promises."""
    sequence = np.random.SeedSequence(seed, spawn_key=(epoch,))
    return np.random.Generator(np.random.PCG64(sequence)).permutation(count)


def published_adam(orders, size, rate, x):
    """Kingma & Ba (2014), Algorithm 1, over the batches of some epochs: the points, one after another."""
    a, y = data()
    m = v = np.zeros_like(x)
    points = []
    for order in orders:
        for rows in batches(order, size):
            g = python_mean(x, a[rows], y[rows])[1]
            t = len(points) + 1
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            x = x - (rate(t) if callable(rate) else rate) * step
            points.append(x)
    return np.array(points)


@pytest.mark.parametrize("size", [64, 100])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("rate", [0.01, schedules.Cosine(0.1, 80)])
def test_steps_are_those_of_the_published_method_over_the_batches_of_a_seed(size, shuffle, rate):
    orders = [order_of(5, epoch) if shuffle else np.arange(N) for epoch in range(3)]
    points = published_adam(orders, size, rate, np.zeros(3))
    for fun, jac in (NUMBA["inplace"], PYTHON["both"]):
        res = minimised(fun, jac, batch_size=size, epochs=3, shuffle=shuffle, learning_rate=rate)
        assert res.nit == len(points)
        np.testing.assert_allclose(res.x, points[-1], rtol=1e-12)
        np.testing.assert_array_equal(res.x, res.x_last)
        assert (res.status, res.success, res.nepoch, res.passes) == (1, False, 3, 5)
        assert res.message.startswith("All epochs are done (`epochs` = 3); over all rows")


@pytest.mark.parametrize(
    ("method", "rate"),
    [
        ("adam", None),
        ("adam", 0.01),
        ("adam", schedules.Cosine(0.1, 80)),
        ("adam", schedules.Plateau(0.1)),
        ("sgd", None),
        ("lion", 0.01),
    ],
)
def test_machine_code_has_the_bits_of_python(method, rate):
    fun = mean_inplace

    def called(x, g, a, y):
        return fun(x, g, a, y)

    option = {"method": method, "learning_rate": rate, "epochs": 2, "history": True}
    compiled, interpreted = minimised(fun, **option), minimised(called, **option)
    assert (compiled.compiled, interpreted.compiled) == (True, False)
    for name in ("x", "fun", "jac", "nit", "nfev", "njev", "message", "passes"):
        assert np.array_equal(compiled[name], interpreted[name]), name
    for name, values in compiled.history.items():
        assert values.tobytes() == interpreted.history[name].tobytes()
    assert compiled.fun < 0.7 * fun(np.zeros(3), np.empty(3), *data())


@pytest.mark.parametrize(
    ("fun", "jac", "gradient"),
    [
        (mean_misfit, None, "forward"),
        (mean_underivable, None, "3-point"),
        (lambda *given: python_mean(*given)[0], None, "differences"),
        (lambda *given: python_mean(*given)[0], "3-point", "3-point"),
        (lambda *given: python_mean(*given)[0], lambda *given: python_mean(*given)[1], "jac"),
    ],
)
def test_gradients_that_nobody_wrote_lead_the_same_way(fun, jac, gradient):
    res, own = minimised(fun, jac, epochs=3), minimised(epochs=3)
    assert res.gradient == gradient
    np.testing.assert_allclose(res.x, own.x, rtol=1e-5)
    np.testing.assert_allclose(res.jac, own.jac, rtol=1e-4)


def test_bits_do_not_depend_on_where_rows_are(tmp_path, many_pieces):
    whole = data()
    kinds = {
        "memory": whole,
        "columns": (np.asfortranarray(whole[0]), whole[1]),
        "big-endian": tuple(a.astype(a.dtype.newbyteorder(">")) for a in whole),
    }
    found = [minimised(given=given) for given in kinds.values()]
    assert len({(r.x.tobytes(), r.fun, r.jac.tobytes()) for r in found}) == 1
    still = [minimised(given=given, shuffle=False) for given in kinds.values()]
    still += [minimised(given=on_disk(tmp_path, *whole), shuffle=False)]
    still += [minimised(given=tuple(map(Sliced, whole)), shuffle=False)]
    assert len({(r.x.tobytes(), r.fun, r.jac.tobytes()) for r in still}) == 1


def test_the_answer_belongs_to_all_rows():
    a, y = data()
    res = minimised(epochs=5)
    f, g = python_mean(res.x, a, y)
    np.testing.assert_allclose(res.fun, f, rtol=1e-12)
    np.testing.assert_allclose(res.jac, g, rtol=1e-10)
    steps = 5 * 16
    assert (res.nit, res.nfev, res.njev) == (steps, steps + 2 + 4, steps + 2 + 4)
    assert (res.seed, res.batch_size, res.passes) == (5, 64, 7)


def test_a_seed_is_drawn_and_told():
    first = minimised(seed=None)
    again = minimised(seed=first.seed)
    other = minimised(seed=first.seed + 1)
    assert first.x.tobytes() == again.x.tobytes() != other.x.tobytes()


def test_a_batch_of_all_rows_is_a_plain_minimisation():
    whole = data()
    res = minimised(batch_size=N, epochs=50, learning_rate=0.1)
    own = adamnb.minimize(
        mean_inplace,
        np.zeros(3),
        whole,
        jac="inplace",
        learning_rate=0.1,
        maxiter=50,
        gtol=0,
        ftol=0,
    )
    assert res.x.tobytes() == own.x_last.tobytes()


def test_success_is_what_the_gradient_over_all_rows_says():
    loose, strict = (minimised(learning_rate=None, gtol=gtol, epochs=20) for gtol in (1e-2, 1e-8))
    assert (loose.status, strict.status) == (0, 1)
    assert loose.message.startswith("Converged: the projected gradient fell to")
    assert loose.x.tobytes() == strict.x.tobytes()
    polished = minimised(polish=True)
    exact = np.linalg.lstsq(*data())[0]
    assert polished.success
    np.testing.assert_allclose(polished.x, exact, rtol=1e-6)


@pytest.mark.parametrize("errors", ["likelihood", "chi2", "least_squares"])
def test_standard_errors_are_those_of_the_sum_over_all_rows(errors):
    a, y = data()
    exact, squares = np.linalg.lstsq(a, y)[:2]
    sigma2 = {"likelihood": 1.0, "chi2": 2.0, "least_squares": 0.5 * 2 * squares[0] / (N - 3)}
    expected = np.sqrt(sigma2[errors] * np.diag(np.linalg.inv(a.T @ a)))
    for fun, jac in (NUMBA["inplace"], (lambda *given: python_mean(*given)[0], "3-point")):
        res = minimised(fun, jac, errors=errors, learning_rate=None)
        np.testing.assert_allclose(res.stderr, expected, rtol=1e-3)
        np.testing.assert_allclose(res.x, exact, atol=1e-3 * expected.max())


def test_f_above_that_at_the_start_is_not_returned():
    exact = np.linalg.lstsq(*data())[0]
    polished = minimised(x0=exact + 0.01, learning_rate=1.0, polish=True)
    assert polished.success
    np.testing.assert_allclose(polished.x, exact, rtol=1e-6)
    res = minimised(x0=exact, learning_rate=1.0)
    assert (res.status, res.success) == (2, False)
    assert "above that at `x0`, which is returned" in res.message
    assert res.x.tobytes() == exact.tobytes()
    np.testing.assert_allclose(res.fun, python_mean(exact, *data())[0], rtol=1e-12)


def test_bounds_hold_in_every_batch():
    seen = []

    def fun(x, a, y):
        seen.append(x.copy())
        return python_mean(x, a, y)

    res = minimised(fun, True, bounds=[(None, 0.5), (-1, None), (None, None)], learning_rate=0.1)
    assert max(x[0] for x in seen) <= 0.5
    assert min(x[1] for x in seen) >= -1
    np.testing.assert_array_equal(res.x[:2], [0.5, -1])


@pytest.mark.parametrize("n", [N, 20_000])
def test_where_all_is_fixed_there_is_one_pass(n):
    res = adamnb.minimize_stochastic(
        python_mean, TRUE, data(n), jac=True, bounds=[(x, x) for x in TRUE]
    )
    assert (res.status, res.nit, res.passes) == (0, 0, 1)
    assert res.x.tolist() == TRUE.tolist()


def test_rows_without_elements_are_rows():
    res = minimised(lambda x, a: x @ x, None, np.zeros((10, 0)), learning_rate=0.1)
    assert res.nit == 10


def test_float32_stays_and_names_are_kept():
    res = minimised(given=data(dtype=np.float32), x0=np.zeros(3, np.float32), learning_rate=0.1)
    assert (res.x.dtype, res.jac.dtype) == (np.float32, np.float32)

    def fun(p, a, y):
        return python_mean(np.append(p["slope"], p["last"]), a, y)[0]

    start = {"slope": np.zeros(2), "last": 0.0}
    named = adamnb.minimize_stochastic(fun, start, data(), seed=5, learning_rate=0.1, epochs=20)
    np.testing.assert_allclose(named.params["slope"], TRUE[:2], atol=0.05)
    assert named.names == ("slope[0]", "slope[1]", "last")


# ---------------------------------------------------------------------------------------- averages


def test_averages_are_those_of_the_points():
    """Against means by their definitions, of the points that Algorithm 1 of Adam makes by hand."""
    points = published_adam([order_of(5, epoch) for epoch in range(2)], 64, 0.01, np.zeros(3))
    weights = np.arange(1.0, len(points) + 1)
    running = points[0]
    for x in points[1:]:
        running = (
            0.9 * running + 0.1 * x
        )  # of torch.optim.swa_utils.AveragedModel, get_ema_multi_avg_fn
    w3 = weights * (weights + 1) * (weights + 2)  # of Shamir & Zhang (2013), eta = 3
    expected = {
        "polyak": points.mean(axis=0),
        "exponential": running,
        "polynomial": w3 @ points / w3.sum(),
    }
    for average, x in expected.items():
        res = minimised(epochs=2, average=average, average_decay=0.9)
        np.testing.assert_allclose(res.x, x, rtol=1e-11)
        np.testing.assert_allclose(res.x_last, points[-1], rtol=1e-12)


# Of rows in their order, batches of 64, 3 epochs: torch 2.13.0, `optim.Adam(lr=0.01)` in float64, and
# `optim.swa_utils.AveragedModel` of it, with `get_ema_multi_avg_fn(0.9)` for the third; optax 0.2.8,
# `contrib.schedule_free_adamw(0.05)`, with its `schedule_free_eval_params`.
ELSEWHERE = {
    None: [0.43024936533863795, -0.45443678776065943, 0.3852534264798792],
    "polyak": [0.22713352873340448, -0.23553690535303684, 0.21381229220596665],
    "exponential": [0.3554972205037024, -0.3723449913630048, 0.326277681312803],
    "schedule-free": [0.8704121692514615, -1.0568771375258665, 0.5679701471904237],
}
LAST = {
    None: ELSEWHERE[None],
    "schedule-free": [0.9214111614824251, -1.141767307839876, 0.5679598025000853],
}


@pytest.mark.parametrize("average", ELSEWHERE)
def test_points_and_averages_are_those_of_torch_and_optax(average):
    rate = 0.05 if average == "schedule-free" else 0.01
    for fun, jac in (NUMBA["inplace"], PYTHON["both"]):
        res = minimised(
            fun,
            jac,
            epochs=3,
            shuffle=False,
            average=average,
            average_decay=0.9,
            learning_rate=rate,
        )
        np.testing.assert_allclose(res.x, ELSEWHERE[average], rtol=1e-13)
        np.testing.assert_allclose(res.x_last, LAST.get(average, LAST[None]), rtol=1e-13)


def test_schedule_free_steps_are_those_that_were_published():
    """Defazio et al. (2024), Algorithm 1, with a warm-up; amsgrad in place of Adam."""
    rate = schedules.Warmup(schedules.Constant(0.05), 10)
    (a, y), z, x, v, largest, weights = data(), np.zeros(3), np.zeros(3), 0.0, 0.0, 0.0
    for t, rows in enumerate(batches(np.arange(N), 64), 1):
        g = python_mean(0.2 * z + 0.8 * x, a[rows], y[rows])[1]
        v = 0.999 * v + 0.001 * g * g
        largest = np.maximum(largest, v)
        z = z - rate(t) * g / (np.sqrt(largest / (1 - 0.999**t)) + 1e-8)
        weights += rate(t) ** 2
        x = x + rate(t) ** 2 / weights * (z - x)
    res = minimised(
        python_mean, True, epochs=1, shuffle=False, average="schedule-free", learning_rate=rate,
        method="amsgrad", beta1=0.8,
    )  # fmt: skip
    np.testing.assert_allclose(res.x, x, rtol=1e-12)
    np.testing.assert_allclose(res.x_last, 0.2 * z + 0.8 * x, rtol=1e-12)


@pytest.mark.parametrize("average", ["polyak", "schedule-free"])
def test_averages_have_the_same_bits_on_threads(average):
    one, two = (minimised(epochs=2, average=average, threads=threads) for threads in (1, 2))
    assert (one.x.tobytes(), one.x_last.tobytes()) == (two.x.tobytes(), two.x_last.tobytes())


def test_an_automatic_rate_comes_nearer_than_any_point_of_it():
    exact = np.linalg.lstsq(*data())[0]
    res = minimised(learning_rate=None, epochs=10, batch_size=8)
    assert np.abs(res.x - exact).max() < 0.01
    assert np.abs(res.x - exact).max() < np.abs(res.x_last - exact).max()


def test_thousands_of_gradients_that_vanish_do_not_turn_the_rate_round():
    """Between two batches that feel x the momentum underflows, and the square of the step before."""
    a = np.zeros((64 * 4000, 3))
    a[:64] = data(64)[0]
    for method in ("adam", "sgd"):
        res = minimised(
            given=(a, np.zeros(len(a))), x0=np.ones(3), shuffle=False, learning_rate=None,
            method=method, epochs=4,
        )  # fmt: skip
        assert res.nit == 4 * 4000
        assert 0 < res.learning_rate < np.inf


# ------------------------------------------------------------------------------------- on the way


def test_a_callback_and_the_history_have_one_value_for_each_epoch():
    seen, whole = [], data()

    def keep(intermediate_result):
        seen.append(intermediate_result)

    res = minimised(epochs=4, callback=keep, history=True, learning_rate=schedules.Cosine(0.1, 64))
    assert [r.nepoch for r in seen] == [1, 2, 3, 4]
    assert [r.nit for r in seen] == [16, 32, 48, 64]
    assert [r.passes for r in seen] == [2, 3, 4, 5]
    assert [r.fun for r in seen] == res.history["fun"].tolist()
    np.testing.assert_allclose(res.history["learning_rate"][-1], schedules.Cosine(0.1, 64)(64))
    points = published_adam([order_of(5, 0)], 64, schedules.Cosine(0.1, 64), np.zeros(3))
    values = [
        python_mean(x, whole[0][rows], whole[1][rows])[0] * len(rows)
        for x, rows in zip([np.zeros(3), *points], batches(order_of(5, 0), 64), strict=False)
    ]
    np.testing.assert_allclose(seen[0].fun, sum(values) / N, rtol=1e-12)
    np.testing.assert_allclose(seen[0].x, points[-1], rtol=1e-12)


def test_stop_iteration_of_callback_and_progress_ends_the_run_with_all_rows_seen():
    def stop(intermediate_result):
        raise StopIteration

    res = minimised(callback=stop)
    assert (res.status, res.nepoch, res.passes) == (99, 1, 3)
    assert res.message == "`callback` raised `StopIteration`."
    np.testing.assert_allclose(res.fun, python_mean(res.x, *data())[0], rtol=1e-12)
    shown = []

    def bar(done, total):
        shown.append((done, total))
        if len(shown) == 3:
            raise StopIteration

    res = minimised(progress=bar, epochs=5)
    assert (res.status, len(shown)) == (99, 3)
    assert res.message == "`progress` raised `StopIteration`."
    assert shown[-1][1] == 5 * 16


@pytest.mark.parametrize("kind", [NUMBA["inplace"], PYTHON["both"]])
def test_limits_end_a_run_within_an_epoch(kind):
    res = minimised(*kind, maxiter=20)
    assert (res.nit, res.status, res.nepoch) == (20, 1, 1)
    assert "`maxiter` = 20" in res.message
    res = minimised(*kind, max_time=0)
    assert (res.nit, res.status, res.passes) == (0, 4, 2 + 64 / N)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, StopIteration])
def test_what_ends_a_run_carries_the_answer_so_far(error):
    calls = []

    def fun(x, a, y):
        calls.append(x)
        if len(calls) == 50:
            raise error
        return python_mean(x, a, y)

    with pytest.raises(error) as raised:
        minimised(fun, True)
    res = raised.value.adamnb_result
    assert (res.status, res.nit) == (5, 50 - 1 - 5)
    assert np.isnan(res.fun)
    assert np.isnan(res.jac).all()
    points = published_adam([order_of(5, epoch) for epoch in range(3)], 64, 0.01, np.zeros(3))
    np.testing.assert_allclose(res.x, points[res.nit - 1], rtol=1e-12)


def test_ctrl_c_between_calls_of_machine_code_carries_the_answer_and_the_state():
    def press(done, total):
        if done > 40:
            raise KeyboardInterrupt

    option = {"epochs": 4, "learning_rate": None}
    with pytest.raises(KeyboardInterrupt) as raised:
        minimised(progress=press, **option)
    res = raised.value.adamnb_result
    assert (res.status, res.nit, res.nepoch) == (5, 47, 2)
    assert np.isnan(res.fun)
    rest, whole = minimised(state=res.state, **option), minimised(**option)
    assert rest.x.tobytes() == whole.x.tobytes()


# ----------------------------------------------------------------------------------------- on disk


def test_rows_on_disk_are_each_read_once_an_epoch_in_an_order_of_the_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(epochs_module, "BLOCK", 30 * 8)
    monkeypatch.setattr(epochs_module, "WINDOW", 240 * 8)
    monkeypatch.setattr(epochs_module, "WORK", 50 * 8)
    (mapped,) = on_disk(tmp_path, np.arange(1000.0))
    order = epochs_module.Epochs(Rows(mapped), 20, seed=1, shuffle=True)
    assert order.batches == 50

    def of(epoch, skipped=0):
        parts = [piece[0].copy() for piece in order.pieces(epoch, skipped)]
        return [batch.tolist() for part in parts for batch in part]

    found = of(0)
    assert len(found) == 50
    assert sorted(chain(*found)) == list(range(1000))
    assert found == of(0) != of(1)
    window = np.array(list(chain(*found[:12])))  # 240 rows of 12 blocks of 20, mixed
    blocks = np.unique(window // 20)
    assert blocks.size == 12
    assert np.unique(np.array(found[0]) // 20).size > 6
    for skipped in (1, 12, 13, 49):
        assert of(0, skipped) == found[skipped:]


@pytest.mark.parametrize("count", [1000, 990])
def test_batches_that_are_skipped_change_no_other(count):
    for shuffle in (False, True):
        order = epochs_module.Epochs(Rows(np.arange(float(count))), 64, seed=1, shuffle=shuffle)
        found = [batch.tolist() for piece in order.pieces(3) for batch in piece[0]]
        assert [len(batch) for batch in found] == 15 * [64] + [count - 15 * 64]
        later = [batch.tolist() for piece in order.pieces(3, 7) for batch in piece[0]]
        assert later == found[7:]
        if not shuffle:
            assert list(chain(*found)) == list(range(count))


def test_a_regression_on_disk_finds_what_one_in_memory_does(tmp_path):
    whole = data()
    exact = np.linalg.lstsq(*whole)[0]
    res = minimised(given=on_disk(tmp_path, *whole), learning_rate=None)
    assert np.abs(res.x - exact).max() < 0.01


# ------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("option", "error", "text"),
    [
        ({"batch_size": 0}, ValueError, "`batch_size` must be a whole number >= 1; got 0"),
        ({"batch_size": 1001}, ValueError, "at most the number of rows, 1,000; got 1,001"),
        ({"batch_size": 2.0}, TypeError, "`batch_size` must be a whole number"),
        ({"epochs": 0}, ValueError, "`epochs` must be a whole number >= 1; got 0"),
        ({"epochs": True}, TypeError, "`epochs` must be a whole number >= 1; got True"),
        ({"seed": -1}, ValueError, "`seed` must be a whole number >= 0; got -1"),
        ({"seed": "a"}, TypeError, "`seed` must be a whole number >= 0; got 'a'"),
        ({"shuffle": 3}, TypeError, "`shuffle` must be True or False; got 3"),
        ({"average": "mean"}, ValueError, "`average` must be None or one of 'polynomial'"),
        ({"average": 1}, TypeError, "`average` must be None or one of"),
        ({"average_decay": 1.0}, ValueError, "must satisfy 0 <= average_decay < 1; got 1.0"),
        (
            {"average": "schedule-free", "learning_rate": None},
            ValueError,
            "needs a `learning_rate`",
        ),
        ({"average": "schedule-free", "method": "adamw"}, ValueError, "no `weight_decay`"),
        ({"average": "schedule-free", "method": "sgd"}, ValueError, "a method with `beta1`"),
        ({"ftol": 1e-3}, ValueError, "`ftol` speaks of single values of f"),
        ({"noisy": True}, ValueError, "`noisy` speaks of single values of f"),
        ({"nan_policy": "omit"}, ValueError, "`nan_policy` must be"),
        ({"callback": 3}, TypeError, "`callback` must be callable"),
        ({"progress": 3}, ValueError, "`progress` must be True, False, a callable"),
        ({"learning_rat": 3}, TypeError, "not an option of method 'adam'. Did you mean"),
        ({"method": "adm"}, ValueError, "`method` must be one of"),
        ({"args": (1.0,)}, TypeError, "`fun` must name the arguments that it gets"),
        ({"jac": "4-point"}, ValueError, "`jac` must be"),
    ],
)
def test_bad_arguments_are_errors_before_anything_is_computed(option, error, text):
    with pytest.raises(error, match=text):
        minimised(**option)


def misfit_of_sum(x, a, y):
    return python_mean(x, a, y)[0] * y.size


def with_a_penalty(x, a, y):
    return misfit_of_sum(x, a, y) + 100.0


def of_weights(x, a, y):
    return np.average((a @ x - y) ** 2, weights=y * y)


@pytest.mark.parametrize(
    ("fun", "text"),
    [
        (
            misfit_of_sum,
            r"and is their sum: over 8 rows it is .*; divide it and its gradient by the",
        ),
        (with_a_penalty, "and is none: over 8 rows it is .*; divide a sum by the number of rows"),
        (of_weights, "and is none: over 8 rows it is .*, also one with weights."),
    ],
)
def test_what_is_no_mean_over_rows_is_an_error_that_says_so(fun, text):
    with pytest.raises(ValueError, match=f"must be the mean over the rows that it gets, {text}"):
        minimised(fun, None)


def test_the_sum_that_was_divided_has_the_errors_of_the_sum():
    """As the message says: of a log-likelihood over its number of rows."""
    a = data()[0]

    def fun(x, a, y):
        return misfit_of_sum(x, a, y) / 0.01 / len(y)

    res = minimised(fun, None, errors="likelihood", polish=True)
    expected = np.sqrt(np.diag(np.linalg.inv(a.T @ a / 0.01)))
    np.testing.assert_allclose(res.stderr, expected, rtol=1e-3)


def test_a_penalty_belongs_to_the_mean():
    def fun(x, a, y, weight):
        f, g = python_mean(x, a, y)
        return f + 0.5 * weight * x @ x, g + weight * x

    a, y = data()
    res = minimised(fun, True, args=(0.3,), polish=True)
    np.testing.assert_allclose(
        res.x, np.linalg.solve(a.T @ a / N + 0.3 * np.eye(3), a.T @ y / N), rtol=1e-6
    )


@pytest.mark.parametrize("kind", [NUMBA["inplace"], PYTHON["both"]])
def test_numbers_that_are_not_finite_end_a_run(kind):
    a, y = data()
    y[700] = np.nan
    res = minimised(*kind, given=(a, y), nan_policy="propagate")
    assert (res.status, res.nit) == (3, 0)
    assert np.isnan(res.fun)
    with np.errstate(over="ignore"):
        far = minimised(*kind, learning_rate=1e200)
    assert (far.status, far.x.tolist()) == (3, [0, 0, 0])


def test_a_gradient_of_another_length_is_an_error():
    with pytest.raises(ValueError, match="`jac` returned shape"):
        minimised(lambda x, a, y: (0.0, np.zeros(2)), True)


def test_nothing_of_the_callers_is_changed():
    a, y = data()
    x0, before = np.zeros(3), (a.tobytes(), y.tobytes())
    adamnb.minimize_stochastic(mean_inplace, x0, (a, y), jac="inplace", seed=1, epochs=1)
    assert (a.tobytes(), y.tobytes(), x0.tolist()) == (*before, [0, 0, 0])


# ---------------------------------------------------------------------------------------- going on


def stop_after(count):
    """Return a progress function that ends a run after so many calls."""
    calls = []

    def bar(done, total):
        calls.append(done)
        if len(calls) == count:
            raise StopIteration

    return bar


GOING_ON = {
    "automatic": {"learning_rate": None},
    "last": {"learning_rate": schedules.Cosine(0.1, 100)},
    "polyak": {"average": "polyak"},
    "between": {"average": "schedule-free", "learning_rate": 0.05},
    "plateau": {"learning_rate": schedules.Plateau(0.1, patience=3), "shuffle": False},
}


@pytest.mark.parametrize("kind", GOING_ON)
@pytest.mark.parametrize(("count", "steps"), [(1, 8), (2, 15), (5, 31)])
def test_a_run_that_goes_on_has_the_bits_of_one_that_was_not_interrupted(
    kind, count, steps, monkeypatch
):
    monkeypatch.setattr(epochs_module, "WORK", 8 * 64 * 32)  # pieces of 8, 7 and 1 batches
    option = GOING_ON[kind] | {"epochs": 4, "history": True}
    for fun, jac in (NUMBA["inplace"], PYTHON["both"]):
        whole = minimised(fun, jac, **option)
        part = minimised(fun, jac, progress=stop_after(count), **option)
        assert (part.status, part.nit) == (99, steps)
        bytes_of_it = pickle.dumps(part.state)
        rest = minimised(fun, jac, state=pickle.loads(bytes_of_it), **option)
        assert rest.nit == whole.nit
        for name in ("x", "x_last", "fun", "jac"):
            assert np.array_equal(rest[name], whole[name]), name
        for name, values in whole.history.items():
            assert rest.history[name].tobytes() == values.tobytes(), name
        again = minimised(fun, jac, state=part.state, **option)
        assert (again.x.tobytes(), pickle.dumps(part.state)) == (rest.x.tobytes(), bytes_of_it)


@pytest.mark.parametrize("kind", GOING_ON)
def test_a_run_that_a_limit_ended_goes_on_with_the_same_bits(kind, tmp_path):
    """From a file; the batch that was judged last is not evaluated again, nor are all rows at the start."""
    option = GOING_ON[kind] | {"epochs": 2, "history": True}
    for fun, jac in (
        NUMBA["inplace"],
        PYTHON["both"],
        (lambda *values: python_mean(*values)[0], None),
    ):
        whole = minimised(fun, jac, **option)
        for steps in (0, 1, 7, 16, whole.nit - 1):
            part = minimised(fun, jac, maxiter=steps, checkpoint=tmp_path / "run", **option)
            assert (part.status, part.nit) == (1, steps)
            rest = minimised(fun, jac, resume=tmp_path / "run", **option)
            for name in ("x", "x_last", "fun", "jac"):
                assert np.array_equal(rest[name], whole[name]), name
            for name in ("nit", "nfev", "njev", "passes", "nepoch", "message"):
                assert rest[name] == whole[name], name
            for name, values in whole.history.items():
                assert rest.history[name].tobytes() == values.tobytes(), name


def test_more_epochs_go_on_from_fewer_and_so_does_a_run_that_raised():
    whole = minimised(python_mean, True, epochs=3)
    part = minimised(python_mean, True, epochs=1, seed=5)
    rest = minimised(python_mean, True, epochs=3, state=part.state, seed=None)
    assert (rest.x.tobytes(), rest.seed) == (whole.x.tobytes(), 5)
    calls = []

    def fun(x, a, y):
        calls.append(x)
        if len(calls) == 30:
            raise ZeroDivisionError
        return python_mean(x, a, y)

    with pytest.raises(ZeroDivisionError) as raised:
        minimised(fun, True, epochs=3)
    rest = minimised(python_mean, True, epochs=3, state=raised.value.adamnb_result.state)
    assert rest.x.tobytes() == whole.x.tobytes()


def test_a_state_of_another_run_is_an_error():
    state = minimised(epochs=1).state
    for given, error, text in (
        ("x", TypeError, "`state` must be a dict as `result.state` is; got 'x'"),
        ({"x": 1}, ValueError, "with the same options; they differ in"),
        (state | {"x": np.zeros(2)}, ValueError, r"`state\['x'\]` must have shape \(3,\)"),
        (state | {"rows": 7}, ValueError, "a run with rows=7; got rows=1000"),
    ):
        with pytest.raises(error, match=text):
            minimised(state=given)
    for option in ({"seed": 6}, {"batch_size": 32}, {"shuffle": False}, {"method": "nadam"}):
        ((name, value),) = option.items()
        with pytest.raises(ValueError, match=f"got {name}={value!r}"):
            minimised(state=state, **option)


# ----------------------------------------------------------------------------------------- samples


@pytest.mark.parametrize("kind", [NUMBA["inplace"], PYTHON["both"]])
def test_without_a_word_of_batches_a_growing_sample_is_taken(kind):
    fun, jac = kind
    a, y = whole = data(20_000)
    res = adamnb.minimize_stochastic(fun, np.zeros(3), whole, jac=jac, seed=2)
    exact, squares = np.linalg.lstsq(a, y)[:2]
    error = np.sqrt(squares[0] / len(y) * np.diag(np.linalg.inv(a.T @ a)))
    assert (res.success, res.status, res.samples) == (True, 0, (2_000, 20_000))
    assert np.abs((res.x - exact) / error).max() < 0.03
    assert res.message.startswith("Converged: over all rows the minimum is ")
    assert res.passes < 6
    assert res.nepoch == 0
    f, g = python_mean(res.x, a, y)
    np.testing.assert_allclose(res.fun, f, rtol=1e-12)
    np.testing.assert_allclose(res.jac, g, atol=1e-14)


def test_rows_on_disk_are_sampled_unless_their_order_takes_much_memory(tmp_path, monkeypatch):
    rows, option = on_disk(tmp_path, *data(20_000)), {"jac": True, "seed": 2, "epochs": 6}
    res = adamnb.minimize_stochastic(python_mean, np.zeros(3), rows, **option)
    assert (res.samples, res.success) == ((2_000, 20_000), True)
    monkeypatch.setattr(samples, "MOST_ROWS", 19_999)
    res = adamnb.minimize_stochastic(python_mean, np.zeros(3), rows, **option)
    assert (res.samples, res.nepoch, res.status) == ((), 6, 1)


def test_the_callback_sees_a_sample_and_may_end_it():
    seen, whole = [], data(20_000)

    def stop(intermediate_result):
        seen.append(intermediate_result)
        if len(seen) == 2:
            raise StopIteration

    res = adamnb.minimize_stochastic(
        python_mean, np.zeros(3), whole, jac=True, seed=2, callback=stop
    )
    assert (res.status, len(seen), seen[0].rows) == (99, 2, 2_000)
    assert res.message == "`callback` raised `StopIteration`."
    np.testing.assert_allclose(res.fun, python_mean(res.x, *whole)[0], rtol=1e-12)
    assert res.fun <= python_mean(np.zeros(3), *whole)[0]


def test_ctrl_c_within_a_sample_carries_its_best_point():
    whole = data(20_000)

    def press(intermediate_result):
        if intermediate_result.nit == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as raised:
        adamnb.minimize_stochastic(
            python_mean, np.zeros(3), whole, jac=True, seed=2, callback=press
        )
    res = raised.value.adamnb_result
    assert (res.status, res.nit) == (5, 3)
    assert np.isnan(res.fun)
    assert python_mean(res.x, *whole)[0] < python_mean(np.zeros(3), *whole)[0]


def test_gtol_is_reached_by_samples_if_it_is_given():
    whole, option = data(20_000), {"jac": True, "seed": 2, "epochs": 20}
    near, exact = (
        adamnb.minimize_stochastic(python_mean, np.zeros(3), whole, gtol=gtol, **option)
        for gtol in (None, 1e-10)
    )
    assert near.success
    assert exact.success
    assert exact.samples
    assert exact.passes > near.passes
    np.testing.assert_allclose(exact.x, np.linalg.lstsq(*whole)[0], rtol=1e-9)


def test_batches_go_on_where_a_sample_is_of_no_use(monkeypatch):
    start, whole = np.full(3, 0.25), data(20_000)

    def unsuited(journal, x0, *_):
        journal.sample.mean.passed += 10_000
        return Sampled(start, np.nan, x0, UNSUITED, "", np.inf, None, 0, 0.5, (2_000, 20_000))

    monkeypatch.setattr(stochastic, "minimize_by_samples", unsuited)
    option = {"jac": True, "seed": 2, "epochs": 5}
    res = adamnb.minimize_stochastic(python_mean, np.zeros(3), whole, **option)
    own = adamnb.minimize_stochastic(
        python_mean, start, whole, method="adam", x_scale=1.0, **option
    )
    assert res.x.tobytes() == own.x.tobytes()
    assert (res.passes, own.passes, res.samples, own.samples) == (7.5, 7, (2_000, 20_000), ())


# ------------------------------------------------------------------------ samples that are gone on with


class ManyCalls:
    """A mean whose calls are counted, one of which may raise."""

    def __init__(self, mean):
        self.mean, self.calls, self.fails, self.error = mean, 0, 0, ZeroDivisionError

    def __call__(self, *given):
        self.calls += 1
        if self.calls == self.fails:
            raise self.error
        return self.mean(*given)


def two_groups(x, y):
    """As `mean_mixture`; between its minima is a saddle, where the metric of a sample is left."""
    p, q = -0.5 * (y - x[0]) ** 2, -0.5 * (y - x[1]) ** 2
    f = np.logaddexp(p, q)
    g = [np.mean(np.exp(p - f) * (x[0] - y)), np.mean(np.exp(q - f) * (x[1] - y))]
    return -np.mean(f), np.array(g)


def growing(kind):
    """Return a mean, a start and rows."""
    rng = np.random.default_rng(0)
    if kind == "saddle":
        y = np.where(rng.random(5_000) < 0.5, -2.0, 2.0) + rng.normal(size=5_000)
        return two_groups, [1.0, 1.0], (y,)
    a, y = data(5_000)
    if kind == "matched":  # exactly by a first sample, so that it does not scatter; batches go on
        y = a @ TRUE
        y[-1] += 1
    if kind == "single":
        return python_mean, np.zeros(3, np.float32), (a.astype(np.float32), y.astype(np.float32))
    return python_mean, np.zeros(3), (a, y)


@pytest.fixture
def small_samples(monkeypatch):
    for name, value in (
        ("LEAST_ROWS", 50),
        ("PARTS", 40),
        ("PARTS_PER_VARIABLE", 0),
        ("SOME_PARTS", 20),
    ):
        monkeypatch.setattr(samples, name, value)
    monkeypatch.setattr(rows_module, "PIECE", 1000 * 32)


KINDS = ("regression", "bounded", "single", "saddle", "matched")


def grown(kind, **option):
    """Return the function that is called, and one that minimises."""
    mean, x0, rows = growing(kind)
    fun = ManyCalls(mean)
    if kind == "bounded":
        option["bounds"] = [(None, 0.5), (-1, None), (None, None)]
    option = {"jac": True, "seed": 3, "epochs": 12} | option

    def minimize(fails=0, **more):
        fun.calls, fun.fails = 0, fails
        return adamnb.minimize_stochastic(fun, x0, rows, **option | more)

    return fun, minimize


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("kind", KINDS)
def test_samples_that_an_exception_ended_go_on_with_the_same_bits(kind, tmp_path):
    """Of any call: the first evaluation over a sample, its parts, a look at its minimum, all rows."""
    fun, minimize = grown(kind)
    whole, path = minimize(), tmp_path / "run"
    calls, known = fun.calls, 0
    assert (len(whole.samples) >= 2, whole.nepoch > 0) == (True, kind == "matched")
    assert whole.success == (kind != "matched")
    for call in [*range(1, min(calls, 450), 1 + calls // 100), calls - 1, calls]:
        fun.error = (ZeroDivisionError, KeyboardInterrupt)[call % 2]
        with pytest.raises(fun.error) as raised:
            minimize(call, checkpoint=path)
        if not hasattr(raised.value, "adamnb_result"):  # nothing is known yet
            assert not known
            assert not path.with_suffix(".npz").exists()
            continue
        known, state = known + 1, raised.value.adamnb_result.state
        assert len(state.get("answers.covariance", ())) <= 1
        assert_same(minimize(**({"resume": path} if known % 2 else {"state": state})), whole)
        assert fun.calls < calls
    assert known > 20


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("kind", ["regression", "matched"])
def test_samples_that_were_saved_on_the_way_go_on_with_the_same_bits(kind, tmp_path, monkeypatch):
    """A run that is killed leaves what was saved last."""
    _, minimize = grown(kind)
    whole, kept = minimize(), []
    monkeypatch.setattr(checkpoint, "write", lambda path, state: kept.append(pickle.dumps(state)))
    assert_same(minimize(checkpoint=tmp_path / "run", checkpoint_every=0), whole)
    assert len(kept) > 20
    for bytes_of_it in kept[:: 1 + len(kept) // 30]:
        state = pickle.loads(bytes_of_it)
        state = {name: state[name] for name in state if not name.startswith("label.")}
        assert_same(minimize(state=state), whole)


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("kind", ["regression", "saddle", "matched"])
def test_samples_go_on_where_passes_seconds_or_the_callback_ended_them(kind, tmp_path):
    fun, minimize = grown(kind)
    path, shown, stops = tmp_path / "run", [], []

    def look(intermediate_result):
        shown.append((intermediate_result.nit, intermediate_result.fun))
        if len(shown) in stops:
            raise StopIteration

    whole, calls, all_shown = minimize(callback=look), fun.calls, tuple(shown)
    for epochs in range(4, min(int(whole.passes), 9)):
        part = minimize(epochs=epochs, checkpoint=path)
        assert part.status in (0, 1)  # where the gradient vanished all the same
        assert_same(minimize(resume=path), whole)
    late = minimize(max_time=0.0)
    assert (late.status, late.passes) == (4, 2)
    assert_same(minimize(state=late.state), whole)
    for stop in (1, 2, 3, len(all_shown) // 2, len(all_shown)):
        shown.clear()
        stops[:] = [stop]
        part, before = minimize(callback=look, checkpoint=path), fun.calls
        assert part.status == 99
        assert_same(minimize(resume=path, callback=look), whole)
        assert tuple(shown) == all_shown
        assert before + fun.calls < calls + 30  # x0 and the answer were looked at, no more
    over = minimize(state=whole.state)
    assert_same(over, whole)
    assert fun.calls <= 5  # all rows at the answer of batches


def test_numbers_that_are_not_finite_at_the_start_are_not_looked_at_again():
    a, y = data()
    y[700] = np.nan
    fun = ManyCalls(python_mean)
    option = {"given": (a, y), "nan_policy": "propagate"}
    whole = minimised(fun, True, **option)
    fun.calls = 0
    assert_same(minimised(fun, True, state=whole.state, **option), whole)
    assert fun.calls == 0


@pytest.mark.usefixtures("small_samples")
def test_samples_of_another_problem_are_refused(tmp_path):
    _, minimize = grown("regression")
    path = tmp_path / "run"
    state = minimize(epochs=4, checkpoint=path).state
    for option, text in (
        ({"method": "adam"}, "that was on a growing sample, and this is of batches"),
        ({"progress": True}, "that was on a growing sample, and this is of batches"),
        ({"seed": 4}, "`state` is that of a run with seed=3; got seed=4"),
        ({"method": "nadam"}, "method is 'adam' there, and 'nadam' here"),
        ({"checkpoint_digest": True}, "data is None there"),
    ):
        with pytest.raises(CheckpointError, match=text):
            minimize(resume=path, **option)
    for name in ("answers.f", "mark.radius"):
        state = {key: value for key, value in state.items() if key != name}
        with pytest.raises(ValueError, match="the same options; that was on a growing sample"):
            minimize(state=state)
    path = path.with_suffix(".npz")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="is damaged"):
        minimize(resume=path)


@pytest.mark.usefixtures("small_samples")
def test_points_of_other_bits_are_evaluated_anew():
    """As another machine may make them; the answers that follow are not believed."""
    fun, minimize = grown("saddle")
    whole, calls = minimize(), fun.calls
    with pytest.raises(ZeroDivisionError) as raised:
        minimize(235)
    state = raised.value.adamnb_result.state
    points = state["answers.x"]
    assert len(points) > 4
    points[3, 0] = np.nextafter(points[3, 0], 9)
    rest = minimize(state=state)
    assert rest.x.tobytes() == whole.x.tobytes()
    assert fun.calls < calls


# ----------------------------------------------------------------------------------- odd calls


@pytest.mark.parametrize("count", [N, 5_000])
@pytest.mark.parametrize("option", [{}, {"polish": True}, {"method": "adamw"}])
def test_a_mean_that_does_not_change_is_no_minimum(count, option):
    x0 = np.ones(3)
    for value in (0.0, 1.0):

        def fun(x, a, y, value=value):
            return value, np.zeros(3)

        res = adamnb.minimize_stochastic(fun, x0, data(count), jac=True, seed=1, epochs=1, **option)
        assert (res.success, res.status) == (False, 2)
        assert res.message.startswith("f does not change around `x0`, where the gradient is 0.")


def test_a_start_at_a_minimum_is_one():
    res = minimised(lambda x, a, y: (x @ x, 2 * x), True, learning_rate=None, epochs=1)
    assert (res.success, res.fun) == (True, 0.0)


@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_are_not_written(shuffle):
    """The first ones show it; what is written later is a copy."""
    calls, (a, y) = [], data()
    before = a.tobytes(), y.tobytes()

    def late(x, a, y):
        calls.append(x)
        if len(calls) > 4:
            y -= 1
        return python_mean(x, a, y)

    def at_once(x, a, y):
        a *= 2
        return python_mean(x, a, y)

    minimised(late, True, given=(a, y), shuffle=shuffle)
    assert len(calls) > 100
    with pytest.raises(ValueError, match=r"must not write .* has changed those of `data\[0\]`"):
        minimised(at_once, True, given=(a, y), shuffle=shuffle)
    assert (a.tobytes(), y.tobytes()) == before


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("error", [StopIteration, KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("kind", ["samples", "batches"])
def test_what_is_raised_comes_through_wherever_it_is_raised(kind, error):
    """Within a generator a `StopIteration` would be another error, and within `map` the end of it."""
    fun, minimize = grown(
        "regression", **({} if kind == "samples" else {"method": "adam", "epochs": 1})
    )
    minimize()
    last, fun.error = fun.calls, error
    for call in (1, 3, 4, 5, 7, 20, 40, 60, last - 2, last):
        with pytest.raises(error):
            minimize(call)
