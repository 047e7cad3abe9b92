"""Runs that go on where another one ended, with the same bits; and files that are whole or refused."""

import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from objectives import QUARTIC, decays, inplace, python_both, quartic, quartic_problem
from scipy.optimize import rosen, rosen_der
from test_bits import KINDS, LONG, VARIANTS
from test_bits import minimize as quartics

import adamnb
from adamnb import CheckpointError, schedules
from adamnb._run import checkpoint as files

X0 = np.linspace(-1.5, 1.2, 6)
LOOPS = pytest.mark.parametrize("interpreted", [False, True], ids=["compiled", "interpreted"])


def assert_same(one, other):
    """Compare all of two results that does not tell the time."""
    left_out = {"time", "compile_time", "state", "history", "noise"}
    assert set(one) == set(other)
    for name in set(one) - left_out:
        assert pickle.dumps(one[name]) == pickle.dumps(other[name]), name
    for name, values in one.get("history", {}).items():
        assert values.tobytes() == other.history[name].tobytes(), name
    if "noise" in one:
        assert one.noise.fun == other.noise.fun
    assert_same_state(one.state, other.state)


def assert_same_state(one, other):
    assert set(one) == set(other)
    for name, value in one.items():
        assert np.array(value).tobytes() == np.array(other[name]).tobytes(), name


def require_same_bits(minimize, after=(), **options):
    """Stop after some iterations and go on, from the state and from a file."""
    whole = minimize(**options)
    for count in {0, 1, 7, whole.nit - 1, *after}:
        part = minimize(**options | {"maxiter": count})
        assert part.nit == min(count, whole.nit)
        state = pickle.loads(pickle.dumps(part.state))
        assert_same(minimize(**options, state=state), whole)
        assert_same_state(part.state, state)  # the caller's
    return whole


@LOOPS
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_goes_on_with_the_same_bits(variant, interpreted):
    """With a history as well, but in machine code, which would be another one for every variant."""
    options = {"history": interpreted} | VARIANTS[variant]
    require_same_bits(quartics, interpreted=interpreted, **options)


@pytest.mark.parametrize("rate", [None, 0.03], ids=["automatic", "given"])
@pytest.mark.parametrize("method", KINDS.values())
def test_every_method_goes_on_with_the_same_bits(method, rate):
    """Called from Python: that machine code has the same bits is tested elsewhere, for every method."""
    require_same_bits(
        quartics, method=method, learning_rate=rate, memory=0, maxiter=40, interpreted=True
    )


def valley(jac=rosen_der, x0=X0, **options):
    return adamnb.minimize(rosen, x0, jac=jac, **options)


RUNS = {
    "pairs": {},
    "without pairs": {"memory": 0, "maxiter": 300, "after": (50, 150)},
    "plateau": {"learning_rate": schedules.Plateau(0.05, patience=5), "maxiter": 80},
    "decay": {"weight_decay": 0.01, "maxiter": 100},
    "polished": {"polish": True, "learning_rate": 0.02, "maxiter": 50},
    "errors": {"errors": "likelihood"},
    "averages": {"noisy": True, "maxiter": 350, "after": (99, 100, 101, 200, 300)},
    "averages, differences": {"noisy": True, "jac": None, "maxiter": 250, "after": (120, 200)},
    "differences": {"jac": None, "after": (20, 40)},
    "both sides": {"jac": "3-point"},
    "complex": {"jac": "cs"},
    "in another unit": {"jac": lambda x: 1e-170 * rosen_der(x)},
}


@pytest.mark.parametrize("run", RUNS)
def test_what_python_remembers_goes_on_as_well(run):
    options = dict(RUNS[run])
    if run == "in another unit":
        slope = options.pop("jac")
        whole = require_same_bits(
            lambda **o: adamnb.minimize(lambda x: 1e-170 * rosen(x), X0, jac=slope, **o)
        )
        assert whole.state["unit"] > 1.0
        return
    whole = require_same_bits(valley, **options)
    assert ("noise.begun" in whole.state) == run.startswith("averages")


def test_compiled_differences_go_on_with_what_they_know():
    x0, a = quartic_problem(5)

    def minimize(**options):
        return adamnb.minimize(quartic, x0, (a,), jac="2-point", **options)

    whole = require_same_bits(minimize)
    assert whole.gradient == "2-point"


def test_a_run_that_left_a_saddle_goes_on():
    def fun(x):
        return x[0] ** 2 - x[1] ** 2 + 0.25 * x[1] ** 4

    def jac(x):
        return np.array([2 * x[0], -2 * x[1] + x[1] ** 3])

    whole = require_same_bits(
        lambda **options: adamnb.minimize(fun, [3.0, 0.0], jac=jac, **options), after=(3, 5)
    )
    assert whole.success
    assert whole.state["escapes"] < 5
    assert whole.fun == pytest.approx(-1.0)


def test_a_state_is_the_same_whenever_it_is_looked_at():
    early, late = valley(maxiter=7), valley(maxiter=7)
    seen = dict(early.state)
    for array in (late.x, late.jac, late.x_last):
        array[:] = np.nan  # the caller's
    for again in (late.state, pickle.loads(pickle.dumps(late.state)), late.state | {"unit": 1.0}):
        assert set(again) == set(seen)
        for name, value in seen.items():
            np.testing.assert_array_equal(again[name], value)
    assert late.state["x"] is late.state["x"]
    assert not np.shares_memory(late.state["x"], late.state["x_best"])
    assert valley(state=late.state).x.tobytes() == valley().x.tobytes()


def test_a_run_that_has_converged_is_over():
    whole = valley()
    again = valley(state=whole.state)
    assert_same(again, whole)
    limits = valley(maxiter=10)
    assert_same(valley(state=limits.state, maxiter=10), limits)
    assert valley(state=limits.state, maxiter=11).nit == 11
    assert_same(valley(state=valley(maxfun=15).state), whole)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("kind", [KeyboardInterrupt, StoppedError])
@pytest.mark.parametrize("jac", [rosen_der, None, "cs"])
@pytest.mark.parametrize("call", [2, 30, 111, 112, 200])
def test_after_an_exception_the_evaluation_is_repeated(kind, jac, call, tmp_path):
    """It may come from anywhere within a gradient by differences; or from a callback."""
    calls = [0]

    def fun(x):
        calls[0] += 1
        if calls[0] == call:
            raise kind
        return rosen(x)

    def minimize(**options):
        return adamnb.minimize(fun, X0, jac=jac, maxiter=40, history=True, **options)

    calls[0] = 10**6
    whole = minimize()
    if call > whole.nfev:
        return
    calls[0], path = 0, tmp_path / "run"
    with pytest.raises(kind) as raised:
        minimize(checkpoint=path)
    calls[0] = 10**6
    if not hasattr(raised.value, "adamnb_result"):  # at the start
        assert not path.with_suffix(".npz").exists()
        return
    assert_same(minimize(state=raised.value.adamnb_result.state), whole)
    assert_same(minimize(resume=path), whole)


def test_after_an_exception_in_machine_code(tmp_path):
    x0, a = quartic_problem(5)
    import numba

    @numba.njit
    def fun(x, g, a, fails):
        fails[0] -= 1
        if fails[0] == 0:
            x[:] = np.nan
            raise ValueError("now")
        f = 0.0
        for i in range(x.size):
            g[i] = 2 * a[i] * (x[i] - 1) + 4 * x[i] ** 3
            f += a[i] * (x[i] - 1) ** 2 + x[i] ** 4
        return f

    def minimize(fails, **options):
        args = a, np.array([fails])
        return adamnb.minimize(fun, x0, args, jac="inplace", history=True, **options)

    whole = minimize(0)
    for call in (2, 3, 20):
        with pytest.raises(ValueError, match="now") as raised:
            minimize(call, checkpoint=tmp_path / "run")
        assert_same(minimize(0, state=raised.value.adamnb_result.state), whole)
        assert_same(minimize(0, resume=tmp_path / "run"), whole)


def test_stopped_by_a_callback_or_by_time():
    whole = valley()

    def stop(intermediate_result):
        if intermediate_result.nit == 9:
            raise StopIteration

    part = valley(callback=stop)
    assert (part.status, part.nit) == (99, 9)
    assert_same(valley(state=part.state), whole)
    late = valley(max_time=0.0)
    assert late.status == 4
    assert_same(valley(state=late.state), whole)


@pytest.mark.parametrize("interpreted", [False, True])
def test_saved_on_the_way(interpreted, tmp_path, monkeypatch):
    """Every state that is written on the way goes on as the whole does."""
    kept = []
    monkeypatch.setattr(files, "write", lambda path, state: kept.append(pickle.dumps(state)))
    options = {"interpreted": interpreted, "history": True} | LONG
    whole = quartics(**options, checkpoint=tmp_path / "run", checkpoint_every=0)
    assert len(kept) > (30 if interpreted else 2)
    for state in map(pickle.loads, kept[:: max(1, len(kept) // 8)]):
        state = {name: value for name, value in state.items() if not name.startswith("label.")}
        assert_same(quartics(**options, state=state), whole)


# ------------------------------------------------------------------------------------------ the file


@pytest.fixture
def file(tmp_path):
    valley(maxiter=7, checkpoint=tmp_path / "run.npz")
    return tmp_path / "run.npz"


def test_the_file_is_an_archive_without_pickles(file):
    with np.load(file, allow_pickle=False) as archive:
        assert archive["version"] == files.VERSION
        np.testing.assert_array_equal(archive["x_best"], valley(maxiter=7).x)
    assert [path.name for path in file.parent.iterdir()] == ["run.npz"]


def test_damage_is_refused(file):
    """Wherever a bit is flipped, or the file ends."""
    whole, rng = file.read_bytes(), np.random.default_rng(1)
    assert files.read(file, {})["nit"] == 7
    for trial in range(200):
        damaged = bytearray(whole)
        if trial % 2:
            damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        else:
            del damaged[rng.integers(len(whole)) :]
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"run\.npz' is damaged, or no checkpoint"):
            files.read(file, {})
    with pytest.raises(CheckpointError, match=r"run\.npz' is damaged"):
        valley(resume=file)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"method": "nadam"}, "method is 'adam' there, and 'nadam' here"),
        ({"x0": X0[:4]}, r"shape is '\(6,\)' there, and '\(4,\)' here"),
        ({"x0": X0.astype("f")}, "dtype is 'float64' there, and 'float32' here"),
        ({"learning_rate": 0.1}, "they differ in changes, factors, metric"),
        ({"memory": 3}, r"`state\['steps'\]` must have shape \(3, 6\)"),
        ({"history": True}, "they differ in history"),
        ({"checkpoint_digest": True}, "data is None there"),
    ],
)
def test_another_problem_is_refused(file, options, reason):
    with pytest.raises(
        CheckpointError, match=f"run.npz' is a checkpoint of another problem: .*{reason}"
    ):
        valley(resume=file, **options)


def test_other_data_are_refused_on_request(tmp_path):
    path, (x0, a) = tmp_path / "run", quartic_problem(5)
    fun, jac = QUARTIC["inplace"]

    def minimize(a, **options):
        return adamnb.minimize(fun, x0, (a,), jac=jac, checkpoint_digest=True, **options)

    part = minimize(a, checkpoint=path, maxiter=7)
    assert_same(minimize(a, resume=path), minimize(a))
    with pytest.raises(CheckpointError, match="another problem: data is"):
        minimize(np.nextafter(a, 2), resume=path)
    with pytest.raises(
        TypeError, match="`checkpoint_digest` needs `args` and `data` that are arrays"
    ):
        adamnb.minimize(rosen, x0, (object(),), checkpoint_digest=True, checkpoint=path)
    assert part.nit == 7


def test_newer_versions_and_missing_files_are_refused(file, monkeypatch):
    monkeypatch.setattr(files, "VERSION", 0)
    with pytest.raises(CheckpointError, match=r"run\.npz' is of version 1, .* reads up to 0"):
        valley(resume=file)
    with pytest.raises(CheckpointError, match=r"none\.npz' cannot be read: .*No such file"):
        valley(resume=file.with_name("none"))


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"checkpoint": 3}, ValueError, "`checkpoint` must be None or the name of a file; got 3"),
        ({"checkpoint": "no/such/folder/run"}, ValueError, "in a folder that exists; got 'no/such"),
        ({"checkpoint": "run", "checkpoint_every": -1}, ValueError, "`checkpoint_every` must be"),
        ({"resume": "a", "state": {}}, ValueError, "`resume` and `state` both say"),
        ({"state": "run"}, TypeError, "`state` must be a dict as `result.state` is; got 'run'"),
        ({"state": {"x": 1}}, ValueError, "of a run with the same options; they differ in"),
    ],
)
def test_wrong_options(options, kind, text):
    with pytest.raises(kind, match=text):
        valley(**options)


def test_a_full_disk_leaves_the_old_file(file):
    """The limit of a file's size stands for the disk's: writing fails half-way."""
    before, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.warns(RuntimeWarning, match="could not be written: .*The run goes on"):
            result = valley(checkpoint=file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.success
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["run.npz"]


# ------------------------------------------------------------------------- batches, single steps


def stop_at(count):
    """Return a `progress` that ends a batch once so many problems are done."""

    def progress(done, total):
        if done >= count:
            raise StopIteration

    return progress


@pytest.mark.parametrize("form", [(inplace, "inplace"), (python_both, True)])
@pytest.mark.parametrize("options", [{}, {"errors": "chi2", "learning_rate": 0.05}])
@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_begins_only_what_is_left(form, options, count, tmp_path):
    (fun, jac), (y, w, t) = form, decays(400)
    calls, path = [0], tmp_path / "fits"

    def counted(*arguments):
        calls[0] += 1
        return fun(*arguments)

    def minimize(**more):
        f = counted if jac is True else fun
        return adamnb.minimize_batch(
            f, [1.0, 1.0], (t,), (y[:rows], w[:rows]), jac=jac, **options, **more
        )

    rows = 7 if jac is True else 400
    whole = minimize()
    needed, calls[0] = calls[0], 0
    part = minimize(checkpoint=path, progress=stop_at(count))
    done = int((part.status != 99).sum())
    assert count <= done
    shown = []
    rest = minimize(resume=path, checkpoint=path, progress=lambda *a: shown.append(a))
    assert shown[0] == (done, rows)
    assert shown[-1] == (rows, rows)
    for name in set(whole) - {"time", "compile_time"}:
        assert pickle.dumps(rest[name]) == pickle.dumps(whole[name]), name
    assert calls[0] == needed  # of both, for Python functions: nothing twice
    calls[0] = 0
    again = minimize(resume=path)
    assert (calls[0], again.x.tobytes()) == (0, whole.x.tobytes())


def test_a_batch_of_other_starts_or_options_is_refused(tmp_path):
    y, w, t = decays(3)

    def minimize(x0=(1.0, 1.0), **options):
        return adamnb.minimize_batch(inplace, x0, (t,), (y, w), jac="inplace", **options)

    path = tmp_path / "fits"
    minimize(checkpoint=path)
    for options, reason in (
        ({"x0": (1.0, 2.0)}, "another problem: x0 is"),
        ({"method": "nadam"}, "another problem: method is 'adam' there"),
        ({"errors": "chi2"}, "a batch with other options: they differ in covariances.at_bound"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            minimize(resume=path, **options)
    with pytest.raises(CheckpointError, match="another problem: of is 'minimize_batch' there"):
        valley(resume=path)
    with pytest.raises(ValueError, match="`state` is of a single run"):
        minimize(state={"x": 1})


@pytest.mark.parametrize("method", ["adam", "lion"])
def test_an_optimizer_saved_and_loaded(method, tmp_path):
    x, y = np.full((2, 3), 2.0), np.zeros((2, 3))
    one = adamnb.Optimizer(x, method, 0.1, beta1=0.8)
    other = adamnb.Optimizer(y, method, 0.1)
    for _ in range(5):
        one.step(x**3)
    one.save(tmp_path / "steps")
    other.load(tmp_path / "steps")
    for _ in range(5):
        one.step(x**3)
        other.step(y**3)
    assert (one.t, x.tobytes()) == (other.t, y.tobytes())
    for wrong in (
        adamnb.Optimizer(np.zeros(6), method),
        adamnb.Optimizer(np.zeros((2, 3), "f"), method),
        adamnb.Optimizer(np.zeros((2, 3)), "sgd"),
    ):
        with pytest.raises(CheckpointError, match=r"steps\.npz' is of another optimizer"):
            wrong.load(tmp_path / "steps")
        assert (wrong.t, wrong.x.any()) == (0, False)


KILLED = """
    import sys
    import numpy as np
    from adamnb._run.checkpoint import write
    from pathlib import Path

    path, state = Path(sys.argv[1]), {"x": np.arange(20000.0)}
    print("ready", flush=True)
    for count in range(10**9):
        write(path, state | {"count": count})
"""


def test_a_kill_while_saving_leaves_a_whole_file(tmp_path):
    """SIGKILL at random moments; 100 of them with `ADAMNB_KILLS=100`."""
    path, rng = tmp_path / "run.npz", np.random.default_rng(3)
    for _ in range(int(os.environ.get("ADAMNB_KILLS", 10))):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(path)], stdout=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            time.sleep(rng.uniform(0.01, 0.05))
            process.send_signal(signal.SIGKILL)
        if path.exists():
            assert files.read(path, {})["x"].size == 20000
    assert path.exists()


def test_ctrl_c_saves_a_compiled_run(tmp_path):
    """A signal to a process whose loop is in machine code."""
    script = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import numpy as np
        import adamnb
        from objectives import QUARTIC, quartic_problem

        fun, jac = QUARTIC["inplace"]
        x0, a = quartic_problem(1000)
        adamnb.minimize(fun, x0, (a,), jac=jac, maxiter=1)
        print("ready", flush=True)
        adamnb.minimize(
            fun, x0, (a,), jac=jac, learning_rate=1e-9, maxiter=1e9, ftol=0, gtol=0,
            checkpoint={str(tmp_path / "run")!r}, checkpoint_every=0.1,
        )
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdout.readline()
        while not (tmp_path / "run.npz").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate()[1]
    fun, jac = QUARTIC["inplace"]
    x0, a = quartic_problem(1000)
    nit = files.read(tmp_path / "run", {})["nit"]
    options = {"learning_rate": 1e-9, "maxiter": nit + 3, "ftol": 0, "gtol": 0}
    rest = adamnb.minimize(fun, x0, (a,), jac=jac, resume=tmp_path / "run", **options)
    assert_same(rest, adamnb.minimize(fun, x0, (a,), jac=jac, **options))
