"""`minimize_batch` on a GPU: every row is `minimize`, and the kernel is looked at without one."""

import math
import re

import numba
import numpy as np
import pytest
from devices import (
    AVAILABLE,
    CAPABILITIES,
    INSTALLED,
    SIMULATED,
    Exported,
    assembled,
    compiles,
    put,
    simulate,
)
from numba import types
from scipy.optimize import Bounds
from test_batch import NAMES, B, both, decays, fun, inplace, python_both, starts

import adamnb
from adamnb._compiled import array_type
from adamnb._methods import METHODS
from adamnb._rules import RULES
from adamnb.schedules import Plateau

DTYPES = (np.float32, np.float64)

if INSTALLED:
    from numba import cuda

    from adamnb import _cuda, _cuda_batch, _cuda_rows

on_device = pytest.mark.skipif(not AVAILABLE, reason="no GPU, and not in the simulator")
simulated = pytest.mark.skipif(not SIMULATED, reason="a GPU rounds a product and a sum once")


# ------------------------------------------------------------------------------------- without a GPU

y_all, w_all, t_all = decays()


def solve(f=inplace, g="inplace", x0=None, **options):
    """Solve the decays on the device."""
    given = {"device": "cuda", "args": (t_all,), "data": (y_all, w_all)} | options
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


def tuples(x, y, w, t):
    """Make no array, on the host as well."""
    f = a = b = 0.0
    for i in range(t.size):
        decay = np.exp(-x[1] * t[i])
        r = x[0] * decay - y[i]
        f += w * r * r
        a += 2 * w * r * decay
        b -= 2 * w * r * x[0] * t[i] * decay
    return f, (a, b)


pair = numba.njit(tuples)


@numba.njit
def value(x, y, w, t):
    return pair(x, y, w, t)[0]


@numba.njit
def slope(x, y, w, t):
    return pair(x, y, w, t)[1]


TUPLES = {"both": (pair, True), "separate": (value, slope), "inplace": (inplace, "inplace")}


@pytest.mark.parametrize("form", TUPLES)
def test_a_gradient_may_be_a_tuple(form):
    f, g = TUPLES[form]
    found = solve(f, g, device="cpu", maxiter=20)
    expected = solve(both, True, device="cpu", maxiter=20)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-9)
    alone = adamnb.minimize(
        f, starts()[2], (y_all[2], w_all[2], t_all), jac=g, maxiter=20, verify=0
    )
    assert alone.x.tobytes() == found.x[2].tobytes()


def test_a_tuple_of_another_length():
    with pytest.raises(ValueError, match=r"shape \(2,\), expected \(3,\)"):
        adamnb.minimize_batch(pair, np.ones((B, 3)), (t_all,), (y_all, w_all), jac=True)


# --------------------------------------------------------------------------------------- machine code


@numba.njit
def spot(x, g, y, grid):
    """Sum of squares of a Gaussian spot on pixels."""
    f = 0.0 * y[0]
    for i in range(g.size):
        g[i] = 0
    inverse = 1 / (x[3] * x[3])
    for i in range(y.size):
        u, v = grid[0, i] - x[1], grid[1, i] - x[2]
        r2 = u * u + v * v
        e = math.exp(-r2 * inverse)
        r = x[0] * e + x[4] - y[i]
        f += r * r
        m = (r + r) * e
        g[0] += m
        g[1] += m * x[0] * u * inverse
        g[2] += m * x[0] * v * inverse
        g[3] += m * x[0] * r2 * inverse / x[3]
        g[4] += r + r
    return f


@numba.njit
def bowl(x, g, centre):
    f = 0 * x[0]
    for i in range(x.size):
        r = x[i] - centre[i]
        g[i] = r + r
        f += r * r
    return f


SHAPES = {bowl: ((2,), ()), spot: ((2,), (2,))}  # axes of data and arguments; of the decays else


def code(
    dtype,
    method="adam",
    capability=(9, 0),
    n=5,
    form=(bowl, True),
    bounded=False,
    far=False,
    plain=False,
):
    """Return the PTX of the kernel around a user's functions."""
    dtype, method = np.dtype(dtype), METHODS[method]
    data, args = (
        tuple(array_type(dtype, ndim) for ndim in shapes)
        for shapes in SHAPES.get(form[0], ((2, 1), (1,)))
    )
    signatures = _cuda_rows.Signatures(
        method, dtype, data, args, True, False, True, bounded, plain=plain
    )
    functions = map(_cuda_rows.device_function, form)
    kernel = _cuda_rows.problem_kernel(
        *functions, None if far else n, method.slots, signatures.real
    )
    return cuda.compile_ptx(kernel, signatures.problems, cc=capability)[0]


def check_code(ptx, capability, path, frame):
    """Check what the assembler says; `frame` is the size of what is indexed by row."""
    assert f".target sm_{capability[0]}{capability[1]}" in ptx
    assert not re.search(r"^\s*call", ptx, re.MULTILINE)  # all is inlined
    said = assembled(ptx, capability, path)
    if said is not None:
        assert "0 bytes spill stores, 0 bytes spill loads" in said
        assert int(re.search(r"(\d+) bytes stack frame", said)[1]) <= frame
        assert int(re.search(r"Used (\d+) registers", said)[1]) <= 255


def frame(dtype, n):
    """Return the size of the rows of x and g, which are chosen while it runs, aligned to 16 bytes."""
    size = n * np.dtype(dtype).itemsize
    return sum(-(-rows * size // 16) * 16 for rows in (4, 2))


KERNELS = {method.rule: name for name, method in METHODS.items()}


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_code_of_every_rule(no_device, rule, dtype, tmp_path):
    ptx = code(dtype, KERNELS[rule])
    check_code(ptx, (9, 0), tmp_path, frame(dtype, 5))


@compiles
@pytest.mark.parametrize("capability", CAPABILITIES, ids="{0[0]}.{0[1]}".format)
def test_code_with_bounds_on_every_generation(no_device, capability, tmp_path):
    ptx = code(np.float64, "amsgrad", capability, bounded=True)
    check_code(ptx, capability, tmp_path, frame(np.float64, 5))


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_code_of_fits_of_spots(no_device, dtype, tmp_path):
    ptx = code(dtype, form=(spot, True))
    check_code(ptx, (9, 0), tmp_path, frame(dtype, 5))


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_code_for_as_many_variables_as_stay_near(no_device, dtype, tmp_path):
    size = np.dtype(dtype).itemsize
    n = _cuda_rows.NEAR[size]
    own = (4 + 2 + 3 + 5) * n * size  # some loops are not unrolled: their arrays stay what they are
    ptx = code(dtype, "amsgrad", n=n, bounded=True, plain=True)
    check_code(ptx, (9, 0), tmp_path, own)


@compiles
@pytest.mark.parametrize("form", TUPLES)
def test_code_of_every_form_of_the_gradient(no_device, form, tmp_path):
    f, g = TUPLES[form]
    ptx = code(np.float64, n=2, form=(f, {True: None, "inplace": True}.get(g, g)))
    check_code(ptx, (9, 0), tmp_path, frame(np.float64, 2))


@compiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_code_for_many_variables(no_device, dtype, tmp_path):
    ptx = code(dtype, far=True)
    check_code(ptx, (9, 0), tmp_path, 0)


def slow_operations(ptx):
    """Return how many roots and quotients there are in float64."""
    return len(re.findall(r"(?:sqrt|div)\.rn\.f64", ptx))


@compiles
def test_elements_of_float32_are_stepped_in_float32(no_device):
    few, many = code(np.float32, n=2), code(np.float32, n=8)
    assert len(re.findall(r"sqrt\.rn\.f32", many)) == 8
    moves = 8 - 2  # relative steps for `xtol`, which is off unless given; all else is per step
    assert slow_operations(many) == slow_operations(few) + moves
    assert slow_operations(code(np.float64, n=4)) >= slow_operations(few) + 2 * 4


@compiles
@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_code_of_the_other_kernels(no_device, dtype, numbered, tmp_path):
    dtype = np.dtype(dtype)
    signatures = _cuda_rows.Signatures(
        METHODS["amsgrad"], dtype, (), (), not numbered, False, True, False, numbered
    )
    block = array_type(dtype, 2)
    for kernel, signature in (
        (_cuda_rows.first, signatures.first),
        (_cuda_rows.gather, signatures.gather),
        (_cuda_rows.turn, (block, block)),
    ):
        check_code(cuda.compile_ptx(kernel, signature, cc=(9, 0))[0], (9, 0), tmp_path, 0)


@compiles
def test_arguments_of_a_launch_are_the_parameters_of_the_code(no_device):
    from numba.cuda.dispatcher import _Kernel

    dtype = np.dtype(np.float32)
    signature = _cuda_rows.Signatures(
        METHODS["adam"], dtype, (array_type(dtype, 2),), (), True, False, True, False
    ).problems
    launched = _Kernel.__new__(_Kernel)
    launched.extensions = _cuda.KERNEL["extensions"]

    def count(kind):
        if isinstance(kind, types.Array):
            return 5 + 2 * kind.ndim  # pointers, sizes and strides
        if isinstance(kind, types.BaseTuple):
            return sum(map(count, kind))
        launched._prepare_args(kind, 1, 0, [], found := [])
        return len(found)

    arguments = sum(map(count, signature))
    assert arguments == len(re.findall(r"^\s*\.param", code(np.float32), re.MULTILINE))


@compiles
@pytest.mark.parametrize(
    "name", ["absolute", "exp", "expm1", "isfinite", "log1p", "sqrt", "square"]
)
def test_numpy_functions_of_numbers(no_device, name):
    function = getattr(np, name)

    def kernel(x):
        x[1] = function(x[0])

    ptx = cuda.compile_ptx(kernel, (numba.float32[::1],), cc=(9, 0))[0]
    assert ".f64" not in ptx


@compiles
def test_what_makes_arrays_says_so(no_device):
    with pytest.raises(numba.core.errors.NumbaError, match="returning of array"):
        code(np.float64, n=2, form=(both, None))


@pytest.mark.skipif(not INSTALLED or AVAILABLE, reason="the tests of problems run here")
def test_in_the_simulator():
    assert simulate(__file__) > 30


# ------------------------------------------------------------------------------------------ on a device


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Let a batch be several blocks, and a block more problems than threads of a block."""
    if AVAILABLE:
        monkeypatch.setattr(_cuda_batch, "LARGEST", 10)


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
@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", TUPLES)
def test_every_form_and_dtype_near_and_far(form, dtype, near, monkeypatch):
    if not near:
        monkeypatch.setattr(_cuda_batch, "NEAR", {4: 0, 8: 0})
    f, g = TUPLES[form]
    options = {"x0": starts(dtype), "maxiter": 25, "bounds": [(0, 3), (None, 1.5)]}
    found = solve(f, g, **options)
    assert found.x.dtype == dtype
    assert_same(found, solve(f, g, device="cpu", **options))


@simulated
def test_rows_are_minimize():
    found = solve(maxiter=50)
    for b in range(B):
        alone = adamnb.minimize(
            inplace, starts()[b], (y_all[b], w_all[b], t_all), jac="inplace", maxiter=50, verify=0
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
            distances, x0, args, data, jac="inplace", maxiter=12, device=device, clip_norm=3.0
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
def test_repeat_and_order_change_no_bit():
    order = np.random.default_rng(0).permutation(B)
    expected = solve(maxiter=60)
    shuffled = solve(x0=starts()[order], data=(y_all[order], w_all[order]), maxiter=60)
    for name in NAMES:
        assert shuffled[name].tobytes() == expected[name][order].tobytes(), name


@on_device
def test_problems_that_are_done_are_left_out(monkeypatch):
    launches = []
    launch = _cuda_batch.AtWork.launch

    def counted(self, kernel, threads, *arguments):
        if (
            len(arguments) > 15
        ):  # the kernel around the problems; the last arguments: steps and rates
            launches.append((threads, arguments[-2]))
        launch(self, kernel, threads, *arguments)

    monkeypatch.setattr(_cuda_batch.AtWork, "launch", counted)
    monkeypatch.setattr(_cuda_batch, "LARGEST", 100)
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
    def ended(method, fun, jac, args, *rest):
        return _cuda_batch.RAISED if args[1] > 1.0 else iterate_row(method, fun, jac, args, *rest)

    if SIMULATED:  # it raises where a GPU ends the thread
        iterate_row = _cuda_rows.iterate_row
        monkeypatch.setattr(_cuda_rows, "iterate_row", ended)
    found = solve(raises_above, maxiter=20)
    raised, clean = w_all > 1.0, solve(maxiter=20)
    assert (found.status[raised] == 5).all()
    assert found.x[~raised].tobytes() == clean.x[~raised].tobytes()
    assert "device='cpu' shows which" in str(found.errors[np.flatnonzero(raised)[0]])
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
    assert np.isfinite(found.fun).all()
    assert found.nfev.tolist() == [1] * B


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
    monkeypatch.setattr(_cuda_batch, "LARGEST", 100)
    seen = []
    found = solve(progress=lambda done, total: seen.append(done), gtol=1e-3)
    assert found.success.all()
    assert seen == sorted(seen)
    assert seen[-1] == B
    assert len(set(seen)) > 2


@on_device
def test_an_interrupt_comes_through(monkeypatch):
    def interrupted(self, o, steps, rates):
        raise KeyboardInterrupt

    monkeypatch.setattr(_cuda_batch.AtWork, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        solve()


@on_device
@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"f": python_both, "g": True}, TypeError, "must be Numba functions"),
        ({"f": fun, "g": python_both}, TypeError, "must be Numba functions"),
        ({"f": fun, "g": None}, TypeError, "must be Numba functions.*differences"),
        ({"workers": 2}, ValueError, "`workers` is of device='cpu'"),
        ({"x0": Exported(starts().T)}, ValueError, "`x0` must be C-contiguous"),
        ({"args": ("text",)}, TypeError, "does not compile"),
    ],
)
def test_wrong_input(change, error, text):
    with pytest.raises(error, match=text):
        solve(**change)
