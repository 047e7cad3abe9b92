"""`minimize_batch`: every row is `minimize`, and nothing of a row reaches its neighbours."""

import os
import threading
from functools import partial
from multiprocessing.pool import ThreadPool

import numba
import numpy as np
import pytest
from objectives import NAMES, B, both, decays, fun, inplace, jac, python_both, python_fun, starts
from scipy.optimize import Bounds

import adamnb
from adamnb.schedules import Plateau

FORMS = {
    "inplace": (inplace, "inplace"),
    "both": (both, True),
    "separate": (fun, jac),
    "python": (python_both, True),
    "differences": (python_fun, None),
    "compiled differences": (fun, "3-point"),
}


def batch(form="inplace", x0=(1.0, 1.0), rows=slice(None), **options):
    f, g = FORMS[form]
    y, w, t = decays()
    return adamnb.minimize_batch(f, x0, (t,), (y[rows], w[rows]), jac=g, **options)


def assert_same(one, other, rows=slice(None)):
    """Compare the bits of two results, of the second those in `rows`."""
    for name in NAMES:
        assert one[name].tobytes() == np.ascontiguousarray(other[name][rows]).tobytes(), name


def assert_rows_are_minimize(result, form, x0, one_by_one, **options):
    """Compare the bits of every row with those of `minimize`."""
    f, g = FORMS[form]
    y, w, t = decays()
    for b in range(B):
        alone = adamnb.minimize(
            f, x0[b], (y[b], w[b], t), jac=g, **({"verify": 0} | options), **one_by_one(b)
        )
        for name in NAMES:
            assert np.asarray(alone[name]).tobytes() == result[name][b].tobytes(), (name, b)


def schedule(t):
    return 0.1 / t**0.5


VARIANTS = {
    "automatic": {},
    "fixed": {"learning_rate": 0.05, "maxiter": 200},
    "per variable": {"learning_rate": np.array([0.1, 0.01]), "maxiter": 200},
    "schedule": {"learning_rate": schedule, "maxiter": 200},
    "plateau": {"learning_rate": Plateau(0.1, patience=5), "maxiter": 200},
    "scaled": {"x_scale": [10.0, 0.1]},
    "bounded": {"bounds": [(0, 2.5), (None, 1.0)]},
    "clipped": {"clip_norm": 1e-3, "learning_rate": 0.05, "maxiter": 100},
    "stops": {"gtol": 1e-3, "ftol": 0.0, "xtol": 1e-4, "maxfun": 60},
    "verified": {"verify": 32},
    "polished": {"polish": True, "maxiter": 30},
    "yogi": {"method": "yogi", "maxiter": 100},
    "momentum": {"method": "momentum", "maxiter": 100},
    # Alone with weight decay, the start is evaluated twice more to see whether f is noisy.
    "adamw": {"method": "adamw", "weight_decay": 0.1, "maxiter": 100, "noisy": False},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_rows_are_minimize(options):
    result = batch(x0=starts(), **options)
    assert_rows_are_minimize(result, "inplace", starts(), lambda b: {}, **options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [float, np.float32])
def test_rows_are_minimize_in_every_form(form, dtype):
    result = batch(form, starts(dtype), maxiter=60)
    assert result.x.dtype == dtype
    assert_rows_are_minimize(result, form, starts(dtype), lambda b: {}, maxiter=60)


@pytest.mark.parametrize("form", ["inplace", "python"])
def test_what_differs_from_problem_to_problem(form):
    rng = np.random.default_rng(1)
    upper, scale = rng.uniform(1, 4, (B, 2)), rng.uniform(0.1, 10, (B, 2))
    rates = rng.uniform(0.01, 0.2, (B, 2))
    result = batch(
        form, starts(), bounds=Bounds(0, upper), x_scale=scale, learning_rate=rates, maxiter=50
    )
    assert_rows_are_minimize(
        result, form, starts(), maxiter=50,
        one_by_one=lambda b: {
            "bounds": Bounds(0, upper[b]), "x_scale": scale[b], "learning_rate": rates[b]
        },
    )  # fmt: skip
    column = rates[:, :1]  # a number per problem, not an array per variable
    result = batch(form, starts(), learning_rate=column, x_scale=scale[:, :1], maxiter=50)
    assert_rows_are_minimize(
        result, form, starts(), maxiter=50,
        one_by_one=lambda b: {"learning_rate": column[b, 0], "x_scale": scale[b, 0]},
    )  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2, None])
def test_threads_and_order_change_no_bit(threads):
    if threads == 2 and numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("needs two threads")
    y, w, t = decays(500)
    x0 = np.random.default_rng(5).uniform(0.5, 2, (500, 2))
    order = np.random.default_rng(0).permutation(500)
    expected = adamnb.minimize_batch(inplace, x0, (t,), (y, w), jac="inplace", threads=1)
    shuffled = adamnb.minimize_batch(
        inplace, x0[order], (t,), (y[order], w[order]), jac="inplace", threads=threads
    )
    assert_same(shuffled, expected, order)


def test_one_start_for_all_is_a_start_for_each():
    assert_same(batch(x0=(1.0, 2.0)), batch(x0=np.tile([1.0, 2.0], (B, 1))))


# ------------------------------------------------------------------------------- failure stays at home


@pytest.mark.parametrize("form", ["inplace", "python"])
@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e300])
def test_poisoned_data_change_no_other_bit(form, poison):
    y, w, t = decays()
    f, g = FORMS[form]
    clean = batch(form)
    y[7] = poison
    with np.errstate(all="ignore"):
        poisoned = adamnb.minimize_batch(f, (1.0, 1.0), (t,), (y, w), jac=g)
    others = np.arange(B) != 7
    for name in NAMES:
        assert np.array_equal(poisoned[name][others], clean[name][others]), name
    assert poisoned.status[7] == 3
    assert poisoned.failed.tolist() == [7]


@pytest.mark.parametrize("form", ["inplace", "python"])
def test_a_start_that_is_not_finite_fails_alone(form):
    x0 = starts()
    clean = batch(form, x0.copy())
    x0[4, 1] = np.nan
    result = batch(form, x0)
    others = np.arange(B) != 4
    assert_same(adamnb.BatchResult({n: result[n][others] for n in NAMES}), clean, others)
    assert result.status[4] == 3
    assert result.nfev[4] == 0
    assert np.isnan(result.fun[4])
    assert "`x0` not finite: 1" in result.message[3]


@numba.njit
def raises(x, g, kind, y):
    if kind == 1 and x[0] < 0.5:  # after some steps
        raise ValueError("no logarithm of that")
    if kind == 2:
        raise ArithmeticError("at once")
    g[0] = 2 * (x[0] - y)
    return (x[0] - y) ** 2


def python_raises(x, kind, y):
    g = np.empty(1)
    return raises(x, g, kind, y), g


@pytest.mark.parametrize("form", ["compiled", "python"])
def test_an_exception_stays_in_its_problem(form):
    f, g = (raises, "inplace") if form == "compiled" else (python_raises, True)
    kind = np.zeros(9, int)
    solve = partial(adamnb.minimize_batch, f, [1.0], args=(-3.0,), jac=g)
    clean = solve(data=(kind,))
    kind[[2, 5]] = 1, 2
    result = solve(data=(kind,))
    others = kind == 0
    for name in NAMES:
        assert np.array_equal(result[name][others], clean[name][others]), name
    assert result.status[~others].tolist() == [5, 5]
    assert isinstance(result.exceptions[2], ValueError)
    assert isinstance(result.exceptions[5], ArithmeticError)
    assert 0.5 <= result.x[2, 0] < 1  # the best point before
    assert result.fun[2] == (result.x[2, 0] + 3) ** 2
    assert np.isnan(result.fun[5])
    assert "raised" in repr(result)


@pytest.mark.parametrize("form", ["compiled", "python"])
def test_an_exception_in_every_problem_is_raised(form):
    f, g = (raises, "inplace") if form == "compiled" else (python_raises, True)
    with pytest.raises(ArithmeticError, match="at once"):
        adamnb.minimize_batch(f, [1.0], (-3.0,), (np.full(4, 2),), jac=g)


@numba.njit
def gradient_of_any_length(x, n):
    return x @ x, np.ones(n)


def test_a_gradient_of_wrong_length_fails_alone():
    solve = partial(adamnb.minimize_batch, gradient_of_any_length, [1.0, 2.0], jac=True)
    result = solve(data=(np.array([2, 3, 2]),), maxiter=3)
    assert result.status.tolist() == [1, 5, 1]
    assert "shape (3,), expected (2,)" in str(result.exceptions[1])
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(2,\)"):
        solve(data=(np.array([3, 3]),))


@numba.njit
def slow(x, g, rounds):
    s = 0.0
    for i in range(rounds):
        s += np.sin(s + i)
    g[0] = 2 * x[0]
    return x[0] ** 2 + 0.0 * s


def test_time_limit_ends_what_is_not_done():
    rounds = np.ones(400, int)
    solve = partial(
        adamnb.minimize_batch, slow, [1.0], data=(rounds,), jac="inplace", threads=1,
        gtol=0.0, ftol=0.0, f_target=1e-30,
    )  # fmt: skip
    assert solve().success.all()  # and compiled
    rounds[399] = 100_000_000
    result = solve(max_time=1.5)
    assert result.status[399] == 4
    assert np.isfinite(result.fun[399])
    assert set(result.status) == {0, 4}


@numba.njit
def counted_and_slow(x, g, rounds, calls):
    calls[0] += rounds > 1
    return slow(x, g, rounds)


ROUNDS = 300_000  # some milliseconds


@pytest.mark.parametrize(
    ("options", "fast"),
    [({}, 0), ({}, 2000), ({"polish": True}, 0), ({"learning_rate": schedule}, 0)],
)
def test_time_limit_is_kept_where_most_problems_have_not_begun(options, fast):
    """Blocks are measured in time: to look at 4,000 problems once would take a minute.

    Where fast problems come first, blocks grow, and only calls within a block are short.
    """
    rounds, calls = np.full(4000 + fast, ROUNDS), np.zeros(1, int)
    rounds[:fast] = 1
    solve = partial(
        adamnb.minimize_batch, counted_and_slow, [1.0], (calls,), jac="inplace", threads=1
    )
    assert solve(data=(rounds[:1],), **options).nfev[0] > 1  # and compiled
    calls[0] = 0
    result = solve(data=(rounds,), max_time=0.3, **options)
    slow_ones = result.nfev[fast:]
    assert slow_ones.sum() == calls[0]
    assert 0 < calls[0] < 700
    begun = result.nfev > 0
    assert begun[:fast].all()
    assert set(result.status[~begun]) == {4}
    assert np.isnan(result.fun[~begun]).all()
    assert np.isnan(result.jac[~begun]).all()
    assert (result.x[~begun] == 1.0).all()
    assert np.isfinite(result.fun[begun]).all()
    assert "`max_time` reached" in result.message[4]


@pytest.mark.parametrize("form", ["inplace", "python"])
def test_no_time_at_all(form):
    result = batch(form, max_time=0)
    assert (result.status == 4).all()
    assert (result.nfev == 0).all()
    assert np.isnan(result.fun).all()


@numba.njit
def raises_at_the_end(x, y):
    if y == 1 and abs(x[0] - y) < 1e-6:
        raise ArithmeticError("nearly there")
    return np.sum((x - y) ** 2), 2 * (x - y)


def test_an_exception_while_polishing_stays_in_its_problem():
    result = adamnb.minimize_batch(
        raises_at_the_end, [3.0], data=(np.arange(3.0),), jac=True, polish=True, maxiter=3
    )
    assert result.status.tolist() == [0, 5, 0]
    assert isinstance(result.exceptions[1], ArithmeticError)
    assert np.isfinite(result.fun).all()


# ------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("form", ["inplace", "python"])
def test_no_problem_and_one(form):
    empty = batch(form, np.empty((0, 2)), slice(0, 0))
    assert empty.x.shape == empty.jac.shape == (0, 2)
    assert empty.success.shape == (0,)
    assert empty.message == {}
    assert "0 problems" in repr(empty)
    with pytest.raises(ValueError, match="No problem"):
        _ = empty.best
    assert_same(batch(form, rows=slice(4, 5)), batch(form), slice(4, 5))


def test_mixed_dtypes_and_layouts():
    y, w, t = decays()
    expected = batch()
    swapped = y.astype(">f8"), np.asfortranarray(np.stack([w, w], 1))[:, 0]
    result = adamnb.minimize_batch(inplace, [1, 1], (t,), swapped, jac="inplace")
    assert_same(result, expected)
    narrow = y.astype(np.float32)
    result = adamnb.minimize_batch(inplace, [1, 1], (t,), (narrow, w), jac="inplace")
    alone = adamnb.minimize(inplace, [1, 1], (narrow[3], w[3], t), jac="inplace", verify=0)
    assert result.x[3].tobytes() == alone.x.tobytes()


def test_data_on_disk_are_read_block_by_block(tmp_path):
    y, w, t = decays(5000)
    y.tofile(tmp_path / "y")
    on_disk = np.memmap(tmp_path / "y", float, "r", shape=y.shape)

    class Counting:
        """What slices like an array, as HDF5 data sets do."""

        shape, dtype, largest = y.shape, y.dtype, 0

        def __getitem__(self, rows):
            part = on_disk[rows]
            Counting.largest = max(Counting.largest, len(part))
            return part

    result = adamnb.minimize_batch(inplace, [1, 1], (t,), (Counting(), w), jac="inplace")
    assert 0 < Counting.largest <= 4096
    assert_same(result, adamnb.minimize_batch(inplace, [1, 1], (t,), (y, w), jac="inplace"))


def test_nothing_of_the_caller_is_changed():
    y, w, t = decays()
    x0, scale = starts(), np.full((B, 2), 2.0)
    lower, upper = np.zeros((B, 2)), np.full((B, 2), 1.5)
    ours = (y, w, t, x0, scale, lower, upper)
    before = [array.tobytes() for array in ours]
    for array in ours:
        array.setflags(write=False)
    options = {"x_scale": scale, "bounds": Bounds(lower, upper), "maxiter": 20}
    result = adamnb.minimize_batch(inplace, x0, (t,), (y, w), jac="inplace", **options)
    assert [array.tobytes() for array in ours] == before
    result.x[:] = 0  # ours to write to


# ------------------------------------------------------------------------------- workers and progress


def test_workers_of_every_kind():
    expected = batch("python")
    assert_same(batch("python", workers=2), expected)
    assert_same(batch("python", workers=map), expected)
    with ThreadPool(2) as pool:
        assert_same(batch("python", workers=pool.map), expected)
        assert_same(batch("python", workers=pool.imap_unordered), expected)
    assert_same(batch(workers=map), batch())
    assert_same(batch(workers=1), batch())


@pytest.mark.parametrize(
    ("workers", "error", "text"),
    [
        (lambda f, blocks: None, TypeError, "must return an iterable, as `map` does; got None"),
        (lambda f, blocks: [map(f, blocks)], TypeError, "must return what the function .* got map"),
        (
            lambda f, blocks: [None for b in map(f, blocks)],
            TypeError,
            "must return .* got NoneType",
        ),
        (
            lambda f, blocks: list(map(f, blocks))[1:],
            ValueError,
            "must return all blocks.* got 2. of 23 problems",
        ),
        (lambda f, blocks: [], ValueError, "must return all blocks.* got 0 of 23 problems"),
        (
            lambda f, blocks: 2 * list(map(f, blocks)),
            ValueError,
            "must return each block once.* problem 0 again",
        ),
    ],
    ids=["none", "another", "nothing", "too few", "none at all", "too many"],
)
def test_workers_that_are_no_map(workers, error, text):
    with pytest.raises(error, match=f"`workers` {text}"):
        batch("python", workers=workers)


def test_workers_take_what_pickles():
    with pytest.raises(TypeError, match=r"must pickle for `workers` = 2.*ThreadPool\(n\).map"):
        adamnb.minimize_batch(lambda x: (x @ x, 2 * x), np.ones((4, 2)), jac=True, workers=2)


@pytest.mark.parametrize("workers", [None, 2, map])
def test_progress_may_end_the_work_of_workers(workers):
    def enough(done, total):
        raise StopIteration

    result = batch("python", np.ones((B, 2)), progress=enough, workers=workers)
    assert set(result.status) == {0, 99}
    assert_same(
        adamnb.BatchResult({n: result[n][result.success] for n in NAMES}),
        batch("python", np.ones((B, 2))),
        result.success,
    )


def interrupts(x, y, w, t):
    if w == 100:
        raise KeyboardInterrupt
    return python_both(x, y, w, t)


def test_an_interrupt_keeps_what_is_done():
    y, w, t = decays()
    w[20] = 100
    with pytest.raises(KeyboardInterrupt) as caught:
        adamnb.minimize_batch(interrupts, [1, 1], (t,), (y, w), jac=True)
    found = caught.value.adamnb_result
    assert_same(adamnb.BatchResult({n: found[n][:20] for n in NAMES}), batch("python"), slice(20))
    assert set(found.status[20:]) == {1}
    assert "not finished: 3" in found.message[1]


def dies(x, y, w, t):
    if w == 100:
        os._exit(3)
    return python_both(x, y, w, t)


def test_a_process_that_dies_is_an_error():
    y, w, t = decays()
    w[-1] = 100
    with pytest.raises(RuntimeError, match=r"`workers` has died.*__main__.*ThreadPool\(n\).map"):
        adamnb.minimize_batch(dies, [1, 1], (t,), (y, w), jac=True, workers=2)


def test_exceptions_come_back_from_other_processes():
    kind = np.array([0, 2, 0])
    result = adamnb.minimize_batch(python_raises, [1.0], (-3.0,), (kind,), jac=True, workers=2)
    assert result.status.tolist() == [0, 5, 0]
    assert isinstance(result.exceptions[1], ArithmeticError)


@pytest.mark.parametrize("form", ["inplace", "python"])
def test_progress_counts_every_problem(form):
    seen = []
    batch(form, progress=lambda done, total: seen.append((done, total)))
    assert [total for _, total in seen] == [B] * len(seen)
    done = [count for count, _ in seen]
    assert done == sorted(done)
    assert done[-1] == B


@pytest.mark.parametrize("form", ["inplace", "python"])
def test_progress_may_end_it(form):
    y, w, t = decays(3000 if form == "inplace" else 60)
    f, g = FORMS[form]

    def enough(done, total):
        raise StopIteration

    result = adamnb.minimize_batch(f, [1.0, 1.0], (t,), (y, w), jac=g, progress=enough)
    assert set(result.status) == {0, 99}
    assert (result.nit[result.status == 0] > 0).all()
    stopped = result.status == 99
    assert (result.x[stopped & (result.nfev == 0)] == 1.0).all()


def test_an_exception_in_progress_ends_the_threads():
    def interrupt(done, total):
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt) as caught:
        batch(progress=interrupt)
    assert threading.active_count() == before
    found, expected = caught.value.adamnb_result, batch()
    done = found.status == 0
    assert done.any()
    assert_same(adamnb.BatchResult({n: found[n][done] for n in NAMES}), expected, done)
    assert (found.status[found.nfev == 0] != 0).all()


@pytest.mark.parametrize("form", ["compiled", "python"])
def test_what_every_problem_raises_carries_their_best_points(form):
    f, g = (raises, "inplace") if form == "compiled" else (python_raises, True)
    with pytest.raises(ValueError, match="no logarithm") as caught:
        adamnb.minimize_batch(f, [1.0], (-3.0,), (np.full(4, 1),), jac=g)
    found = caught.value.adamnb_result
    assert (found.status == 5).all()
    assert (found.fun < 16).all()
    assert list(found.exceptions) == [0, 1, 2, 3]


@pytest.mark.parametrize("form", ["compiled", "python"])
def test_what_is_caught_in_a_problem(form):
    """Every row is `minimize`; where one raises at once there is no way back."""
    f, g = (raises, "inplace") if form == "compiled" else (python_raises, True)
    kind = np.array([0, 1, 2, 1])
    options = {"jac": g, "catch": (ValueError, ArithmeticError), "verify": 0}
    result = adamnb.minimize_batch(f, [1.0], (-3.0,), (kind,), **options)
    for b in (0, 1, 3):
        alone = adamnb.minimize(f, [1.0], (kind[b], -3.0), **options)
        for name in NAMES:
            assert np.asarray(alone[name]).tobytes() == result[name][b].tobytes(), (name, b)
    assert list(result.exceptions) == [2]
    assert result.fun[1] < 16
    assert 0.5 <= result.x[1, 0] < 0.6  # where it raises


# ------------------------------------------------------------------------------------------ result


def test_result_says_what_happened():
    y, w, t = decays()
    y[3] = np.nan
    result = adamnb.minimize_batch(inplace, [1, 1], (t,), (y, w), jac="inplace")
    assert result.failed.tolist() == [3]
    assert result.fun[result.best] == np.nanmin(result.fun)
    assert set(result.message) == {0, 3}
    assert "`fun` not finite: 1" in result.message[3]
    lines = repr(result).splitlines()
    assert len(lines) < 12
    assert "23 problems of 2 variables: 22 converged, 1 not" in lines[0]
    assert result.time > 0


def test_disp_prints_the_summary(capsys):
    batch(disp=True)
    assert "23 problems" in capsys.readouterr().out


class Masking:
    """What slices to masked arrays, as variables of netCDF do."""

    shape, dtype = (B, 12), np.dtype(float)

    def __getitem__(self, rows):
        return np.ma.array(np.ones(self.shape)[rows])


WRONG = {
    "no axis of problems": ({"x0": [1.0, 2.0], "data": ()}, ValueError, "`x0` must have shape"),
    "three axes": ({"x0": np.ones((2, 2, 2))}, ValueError, "`x0` has 2, `data.0.` has 23"),
    "no variable": ({"x0": np.ones((B, 0))}, ValueError, "at least one variable"),
    "scalar data": ({"data": (1.0, 2.0)}, ValueError, r"`data\[0\]` must have a leading axis"),
    "two lengths": ({"x0": np.ones((B + 1, 2))}, ValueError, "`x0` has 24, `data.0.` has 23"),
    "rates": ({"learning_rate": np.ones((3, 2))}, ValueError, r"`learning_rate` must .* \(23, 1\)"),
    "scales": ({"x_scale": np.ones(3)}, ValueError, "`x_scale` must have shape"),
    "bounds": ({"bounds": Bounds(0, np.ones((3, 2)))}, ValueError, "number of bounds"),
    "crossed": (
        {"bounds": Bounds(np.eye(B, 2) * 2, 1)}, ValueError,
        "upper bound is less .*index 0 of problem 0: 2.0 > 1.0",
    ),
    "history": ({"history": True}, ValueError, "`history` is not kept"),
    "device": ({"device": "tpu"}, ValueError, "`device` must"),
    "option": ({"maxitre": 3}, TypeError, "Did you mean `maxiter`"),
    "workers": ({"workers": "two"}, TypeError, "`workers` must"),
    "no workers": ({"workers": 0}, ValueError, "`workers` must"),
    "progress": ({"progress": 3}, ValueError, "`progress` must"),
    "masked": ({"x0": np.ma.array(np.ones((B, 2)))}, TypeError, "`x0` must not be a masked"),
    "masked data": (
        {"data": (np.ones(B), np.ma.array(np.ones(B), mask=np.arange(B) % 2))}, TypeError,
        r"`data\[1\]` must not be a masked array, whose mask would be lost: .*weights",
    ),
    "masked on disk": ({"data": (Masking(),)}, TypeError, r"`data\[0\]` must not be a masked"),
    "masked rows": (
        {"data": ([np.ma.array([1.0, 2.0], mask=[0, 1])] * B,)}, TypeError, "must not be a masked"
    ),
    "masked rates": (
        {"learning_rate": np.ma.array(np.ones((B, 1)))}, TypeError, "`learning_rate` must not be a"
    ),
    "masked scales": ({"x_scale": np.ma.array(np.ones((B, 2)))}, TypeError, "`x_scale` must not be"),
    "text": ({"x0": "abc"}, TypeError, "`x0` must be an array"),
    "polish": ({"polish": "BFGS", "bounds": [(0, 1)] * 2}, ValueError, "`polish` must keep"),
    "method": ({"method": "adma"}, ValueError, "`method` must be one of"),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "error", "text"), WRONG.values(), ids=WRONG)
def test_bad_input_is_one_clear_error(wrong, error, text):
    y, w, t = decays()
    calls = []

    def counted(x, *args):
        calls.append(x)
        return python_both(x, *args)

    call = {"x0": [1.0, 1.0], "args": (t,), "data": (y, w), "jac": True} | wrong
    with pytest.raises(error, match=text):
        adamnb.minimize_batch(counted, **call)
    assert not calls


class Column:
    """What a column of a table is to us."""

    def to_numpy(self):
        return np.ones(12)


@pytest.mark.parametrize(
    ("data", "args", "text"),
    [
        (np.ones((B, 12), object), np.ones(12), r"`data\[0\]` is of a type .* ndarray of object"),
        (
            np.ones((B, 12), "g"),
            np.ones(12),
            r"`data\[0\]` is of a type that compiled .* do not take",
        ),
        (np.ones((B, 12)), Column(), r"args\[0\].*do not take: Column\. Pass its `\.to_numpy\(\)`"),
        (np.ones((B, 12)), np.ones(12, ">f8"), r"`args\[0\]` must be in the machine's byte order"),
        (np.ones((B, 12)), np.ma.array(np.ones(12)), r"`args\[0\]` must not be a masked array"),
    ],
)
def test_what_compiled_functions_do_not_take(data, args, text):
    with pytest.raises(TypeError, match=text):
        adamnb.minimize_batch(inplace, [1, 1], (args,), (data, np.ones(B)), jac="inplace")


def test_objects_are_data_of_python_functions():
    ragged = np.empty(3, object)
    ragged[:] = [np.ones(2), np.ones(5), [1.0]]
    result = adamnb.minimize_batch(
        lambda x, y: (float((x[0] - len(y)) ** 2), 2 * (x - len(y))),
        [0.0],
        data=(ragged,),
        jac=True,
    )
    assert result.x[:, 0].round(4).tolist() == [2.0, 5.0, 1.0]


def test_what_does_not_compile_says_so():
    y, w, _t = decays()
    with pytest.raises(TypeError, match="does not compile"):
        adamnb.minimize_batch(inplace, [1, 1], ("text",), (y, w), jac="inplace")
