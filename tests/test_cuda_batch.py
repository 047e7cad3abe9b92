"""`minimize_batch` on a GPU, or in Numba's simulator: every row is `minimize`."""

import numba
import numpy as np
import pytest
from devices import AVAILABLE, SIMULATED, Exported, on_device, put, simulated
from objectives import NAMES, TUPLES, B, both, decays, fun, inplace, python_both, starts, value
from scipy.optimize import Bounds

import adamnb
from adamnb._compiled.reasons import RAISED
from adamnb._compiled.run import Span
from adamnb._forward import derivatives
from adamnb._forward.named import derivative
from adamnb.schedules import Plateau

DTYPES = (np.float32, np.float64)

if AVAILABLE:
    from adamnb._cuda import blocks, problems

y_all, w_all, t_all = decays()


def solve(f=inplace, g="inplace", x0=None, **options):
    """Solve the decays on the device, where there are no pairs; nor on the host, then."""
    given = {"memory": 0, "device": "cuda", "args": (t_all,), "data": (y_all, w_all)} | options
    return adamnb.minimize_batch(f, starts() if x0 is None else x0, jac=g, **given)


@pytest.mark.skipif(AVAILABLE, reason="there is a GPU")
def test_without_a_gpu_the_error_has_reason_and_way_out():
    with pytest.raises(RuntimeError, match=r"device='cuda' needs a GPU.*adamnb\[cu12\].*'cpu'"):
        solve()
    with pytest.raises(RuntimeError, match=r"`data\[0\]` is on a CUDA device.*adamnb\[cu12\]"):
        solve(device="auto", data=(Exported(y_all), w_all))


def test_arrays_of_a_gpu_for_the_cpu():
    with pytest.raises(ValueError, match="`x0` is on a GPU: copy it"):
        solve(x0=Exported(starts()), device="cpu")


def test_arrays_of_the_host_are_for_the_cpu():
    assert solve(device="auto", maxiter=3).nit.tolist() == [3] * B


@pytest.mark.parametrize("form", TUPLES)
def test_a_gradient_may_be_a_tuple(form):
    f, g = TUPLES[form]
    found = solve(f, g, device="cpu", maxiter=20)
    expected = solve(both, True, device="cpu", maxiter=20)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-9)
    alone = adamnb.minimize(
        f, starts()[2], (y_all[2], w_all[2], t_all), jac=g, maxiter=20, verify=0, memory=0
    )
    assert alone.x.tobytes() == found.x[2].tobytes()


def test_a_tuple_of_another_length():
    with pytest.raises(ValueError, match=r"shape \(2,\), expected \(3,\)"):
        adamnb.minimize_batch(
            TUPLES["both"][0], np.ones((B, 3)), (t_all,), (y_all, w_all), jac=True
        )


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Let a batch be several blocks, and a block more problems than threads of a block."""
    if AVAILABLE:
        monkeypatch.setattr(blocks, "MOST_PROBLEMS", 10)


def assert_same(one, other, rows=slice(None)):
    """Compare the bits of two results, of the second those in `rows`."""
    for name in NAMES:
        here, there = one[name], np.ascontiguousarray(other[name][rows])
        assert here.dtype == there.dtype
        if SIMULATED:
            assert here.tobytes() == there.tobytes(), name
        elif name in ("x", "fun"):
            np.testing.assert_allclose(here, there, rtol=1e-4)


VARIANTS = {
    "automatic": {},
    "one start": {"x0": (1.0, 2.0), "maxiter": 40},
    "fixed": {"learning_rate": 0.05},
    "per variable": {"learning_rate": np.array([0.1, 0.01])},
    "per problem": {"learning_rate": np.linspace(0.01, 0.1, B)[:, None]},
    "per both": {"learning_rate": np.linspace(0.01, 0.1, 2 * B).reshape(B, 2)},
    "schedule": {"learning_rate": adamnb.schedules.Cosine(0.1, 20)},
    "plateau": {"learning_rate": Plateau(0.1, patience=3)},
    "scaled": {"x_scale": [10.0, 0.1], "maxiter": 40},
    "bounded": {"bounds": Bounds(0, np.linspace(0.5, 4, 2 * B).reshape(B, 2)), "maxiter": 40},
    "stops": {"gtol": 1e-3, "ftol": 0.0, "xtol": 1e-4, "maxfun": 60},
    "polished": {"polish": True, "maxiter": 10},
    "verified": {"verify": 2, "maxiter": 10},
    "yogi": {"method": "yogi", "maxiter": 30},
    "momentum": {"method": "momentum", "maxiter": 30},
    "adamw": {"method": "adamw", "learning_rate": 0.1, "weight_decay": 0.1},
}


@on_device
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_rows_are_those_of_the_cpu(options):
    options = ({} if "automatic" in options else {"maxiter": 200 if not options else 30}) | options
    assert_same(solve(**options), solve(device="cpu", **options))


@on_device
@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", TUPLES)
def test_every_form_and_dtype_of_few_and_many_variables(form, dtype, few, monkeypatch):
    if not few:
        monkeypatch.setattr(blocks, "FEW", {4: 0, 8: 0})
    f, g = TUPLES[form]
    options = {"x0": starts(dtype), "maxiter": 25, "bounds": [(0, 3), (None, 1.5)]}
    found = solve(f, g, **options)
    assert found.x.dtype == dtype
    assert_same(found, solve(f, g, device="cpu", **options))


@on_device
@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("form", ["inplace", True, None])
def test_exact_gradients(form, few, monkeypatch):
    """Of a function without a gradient; the simulator runs the host's code for dual numbers."""
    if not few:
        monkeypatch.setattr(blocks, "FEW", {4: 0, 8: 0})
    make = derivatives.value_and_grad if form is True else derivatives.value_and_grad_inplace
    f = value if form is None else derivative(make, value)
    found = solve(f, form, maxiter=25)
    assert_same(found, solve(f, form, device="cpu", maxiter=25))
    assert found.gradient == ("forward" if form is None else "jac")
    np.testing.assert_allclose(found.x, solve(maxiter=25).x, rtol=1e-6)


@simulated
def test_rows_are_minimize():
    found = solve(maxiter=50)
    for b in range(B):
        alone = adamnb.minimize(
            inplace,
            starts()[b],
            (y_all[b], w_all[b], t_all),
            jac="inplace",
            maxiter=50,
            verify=0,
            memory=0,
        )
        for name in NAMES:
            assert np.asarray(alone[name]).tobytes() == found[name][b].tobytes(), (name, b)


@numba.njit
def distances(x, g, centre, weights, flag, unit, power):
    """Take data of several shapes and kinds, and nested arguments."""
    f = 0.0
    for i in range(x.size):
        r = x[i] - centre[i]
        for j in range(weights.shape[1]):
            f += weights[i, j] * unit[0][j] * r**power
        g[i] = 0.0
        for j in range(weights.shape[1]):
            g[i] += weights[i, j] * unit[0][j] * power * r ** (power - 1)
        if flag:
            f += unit[1] * x[i] ** 2
            g[i] += 2 * unit[1] * x[i]
    return f


@on_device
@pytest.mark.parametrize("n", [3, 40])  # 40: more than lanes of a sum
def test_data_and_arguments_of_many_kinds(n):
    rng = np.random.default_rng(2)
    data = (rng.normal(size=(B, n)), rng.uniform(1, 2, (B, n, 2)).astype(np.float32),
            rng.integers(0, 2, B).astype(bool))  # fmt: skip
    args = ((np.array([1.0, 0.5]), 0.25), 2)
    x0 = rng.normal(size=(B, n))
    solve_it = [
        adamnb.minimize_batch(
            distances,
            x0,
            args,
            data,
            jac="inplace",
            maxiter=12,
            device=device,
            clip_norm=3.0,
            memory=0,
            x_scale=np.abs(x0),  # sizes are learnt on the host alone
        )
        for device in ("cuda", "cpu")
    ]
    assert_same(*solve_it)


@on_device
def test_arrays_that_are_there_stay_there():
    expected = solve(maxiter=20)
    found = solve(x0=put(starts()), data=(put(y_all), w_all), device="auto", maxiter=20)
    assert_same(found, expected)
    assert type(found.x) is np.ndarray
    polished = solve(data=(put(y_all), put(w_all)), maxiter=5, polish=True)
    assert_same(polished, solve(maxiter=5, polish=True))


@on_device
def test_standard_errors_are_computed_on_the_host():
    found = solve(data=(put(y_all), put(w_all)), errors="chi2")
    expected = solve(device="cpu", errors="chi2")
    np.testing.assert_array_equal(found.covariance_status, 0)
    np.testing.assert_allclose(found.stderr, expected.stderr, rtol=1e-4)


@on_device
def test_repeat_and_order_change_no_bit():
    order = np.random.default_rng(0).permutation(B)
    expected = solve(maxiter=60)
    shuffled = solve(x0=starts()[order], data=(y_all[order], w_all[order]), maxiter=60)
    for name in NAMES:
        assert shuffled[name].tobytes() == expected[name][order].tobytes(), name


@on_device
def test_problems_that_are_done_are_left_out(monkeypatch):
    launches, launch = [], blocks.launch

    def counted(kernel, threads, *arguments):
        if isinstance(arguments[-1], Span):  # the kernel around the problems
            launches.append((threads, arguments[-1].steps))
        launch(kernel, threads, *arguments)

    monkeypatch.setattr(blocks, "launch", counted)
    monkeypatch.setattr(blocks, "MOST_PROBLEMS", 100)
    found = solve(gtol=1e-3)
    assert found.success.all()
    done = 0
    for threads, steps in launches:
        assert threads == (found.nfev > done).sum()
        done += steps
    assert done >= found.nfev.max()
    assert launches[-1][0] < B


# ------------------------------------------------------------------------------- failure stays at home


@on_device
@pytest.mark.parametrize("poison", ["start", "data"])
def test_poison_changes_no_other_bit(poison):
    clean, x0, y = solve(maxiter=40), starts(), y_all.copy()
    if poison == "start":
        x0[7, 1] = np.nan
    else:
        y[7] = np.nan
    found = solve(x0=x0, data=(y, w_all), maxiter=40)
    others = np.arange(B) != 7
    for name in NAMES:
        assert found[name][others].tobytes() == clean[name][others].tobytes(), name
    assert found.status[7] == 3
    assert np.isnan(found.fun[7])
    assert found.nfev[7] == (0 if poison == "start" else 1)


@numba.njit
def wrong_length(x, y, w, t):
    return x[0] ** 2, (x[0], x[0], x[0])


@on_device
def test_a_gradient_of_wrong_length():
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(2,\)"):
        solve(wrong_length, True)


@numba.njit
def raises_above(x, g, y, w, t):
    if w > 1.0:
        raise ValueError("too heavy")
    return inplace(x, g, y, w, t)


@on_device
def test_an_exception_leaves_a_mark(monkeypatch):
    def ended(method, functions, *rest):
        return RAISED if functions.args[1] > 1.0 else iterate_problem(method, functions, *rest)

    if SIMULATED:  # it raises where a GPU ends the thread
        iterate_problem = problems.iterate_problem
        monkeypatch.setattr(problems, "iterate_problem", ended)
    found = solve(raises_above, maxiter=20)
    raised, clean = w_all > 1.0, solve(maxiter=20)
    assert (found.status[raised] == 5).all()
    assert found.x[~raised].tobytes() == clean.x[~raised].tobytes()
    assert "device='cpu' shows which" in str(found.exceptions[np.flatnonzero(raised)[0]])
    with pytest.raises(RuntimeError, match="raised on the GPU"):
        solve(raises_above, data=(y_all, w_all + 1))


@on_device
def test_no_problem_and_one():
    empty = solve(x0=np.empty((0, 2)), data=(y_all[:0], w_all[:0]))
    assert empty.x.shape == (0, 2)
    one = solve(x0=starts()[3:4], data=(y_all[3:4], w_all[3:4]), maxiter=30)
    assert_same(one, solve(maxiter=30), slice(3, 4))


@on_device
def test_time_limit():
    found = solve(max_time=0.0)
    assert set(found.status.tolist()) == {4}
    assert np.isnan(found.fun).all()
    assert found.nfev.tolist() == [0] * B


@on_device
def test_progress_counts_and_may_end_it():
    seen = []

    def progress(done, total):
        seen.append((done, total))
        if done >= 20:
            raise StopIteration

    found = solve(progress=progress, maxiter=5)
    assert seen == [(10, B), (20, B)]
    assert found.status.tolist() == [1] * 20 + [99] * (B - 20)


@on_device
def test_progress_within_a_block(monkeypatch):
    monkeypatch.setattr(blocks, "MOST_PROBLEMS", 100)
    seen = []
    found = solve(progress=lambda done, total: seen.append(done), gtol=1e-3)
    assert found.success.all()
    assert seen == sorted(seen)
    assert seen[-1] == B
    assert len(set(seen)) > 2


@on_device
def test_an_interrupt_comes_through(monkeypatch):
    def interrupted(self, options, span):
        raise KeyboardInterrupt

    monkeypatch.setattr(blocks.DeviceBlockAtWork, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        solve()


@on_device
@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"f": python_both, "g": True}, TypeError, "must be Numba functions"),
        ({"f": fun, "g": python_both}, TypeError, "must be Numba functions"),
        ({"workers": 2}, ValueError, "`workers` is of device='cpu'"),
        ({"x0": Exported(starts().T)}, ValueError, "`x0` must be C-contiguous"),
        ({"args": ("text",)}, TypeError, "does not compile"),
    ],
)
def test_wrong_input(change, error, text):
    with pytest.raises(error, match=text):
        solve(**change)
