"""What happens across processes: the disk cache, signals, forks, threads, memory."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numba
import pytest

import adamnb

PACKAGE = Path(adamnb.__file__).parent
PREAMBLE = """
import hashlib, os, time
import numpy as np
import adamnb

def digest(*arrays):
    return hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in arrays)).hexdigest()
"""
# User functions in a module file, as the disk cache wants them.
MODULE = """
import numba, numpy as np

@numba.njit(cache=True)
def fun(x, a):
    return (a * x * x).sum()

@numba.njit(cache=True)
def jac(x, a):
    return 2 * a * x
"""
AUTOMATIC = """
import sys
import adamnb, numpy as np, user
A, X0 = np.array([1.0, 10.0]), np.array([3.0, -2.0])
result = adamnb.minimize(user.fun, X0, (A,), jac=user.jac, maxiter=100)
assert result.compiled
assert "adamnb._forward" not in sys.modules  # which teaches Numba, for whom there is something to learn
print("X", result.x.tobytes().hex())
"""
# What the cache does with the machine code does not depend on what is in it: where it is compiled anew, this
# one is, in a fifth of the time.
FIT = AUTOMATIC.replace("maxiter=100", "maxiter=100, learning_rate=0.1")
COUNT = """
import numba.core.event as event
class Count(event.Listener):
    names = []
    def on_start(self, what):
        self.names.append(str(what.data["dispatcher"]))
    def on_end(self, what):
        pass
event.register("numba:compile", Count())
"""


def start(code, folder, root=PACKAGE.parent, **env):
    """Start a Python process with `folder` for its modules and, unless told otherwise, its cache."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": os.pathsep.join(map(str, (root, folder))),
        "NUMBA_CACHE_DIR": str(folder / "cache"),
    } | env
    env = {name: value for name, value in env.items() if value is not None}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=folder,
    )  # fmt: skip


def finish(process):
    """Return what a process printed, after an exit without error or complaint."""
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, err
    assert err == ""
    return out


def run(code, folder, **env):
    return finish(start(code, folder, **env))


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A folder with the user's module and a warm cache, and what its first run printed."""
    folder = tmp_path_factory.mktemp("warm")
    (folder / "user.py").write_text(MODULE)
    return folder, run(FIT, folder)


@pytest.fixture(scope="module")
def automatic(tmp_path_factory):
    """The same of a run with the automatic learning rate."""
    folder = tmp_path_factory.mktemp("automatic")
    (folder / "user.py").write_text(MODULE)
    return folder, run(AUTOMATIC, folder)


@pytest.fixture
def used(warm, tmp_path):
    """A copy of the warm folder that may be spoiled; Numba keeps its cache by path and date."""
    folder = tmp_path / "used"
    shutil.copytree(warm[0], folder)
    return folder, warm[1]


# ----------------------------------------------------------------------------------- the disk cache


@pytest.mark.parametrize(
    ("fit", "cache"), [(FIT, "warm"), (AUTOMATIC, "automatic")], ids=["given", "automatic"]
)
def test_a_second_process_compiles_nothing(fit, cache, request):
    folder, first = request.getfixturevalue(cache)
    out = run(COUNT + fit + "print(Count.names)", folder)
    assert out == first + "[]\n"


def test_the_count_of_compilations_counts(warm, tmp_path):
    folder, first = warm
    out = run(COUNT + FIT + "print(len(Count.names))", folder, NUMBA_CACHE_DIR=str(tmp_path))
    assert out.startswith(first)
    assert int(out.split()[-1]) >= 3


def test_an_interpreted_run_compiles_nothing_twice(automatic):
    code = """
    result = adamnb.minimize(lambda x: float(x @ x), [1.0, 2.0], jac=lambda x: 2 * x, maxiter=9)
    optimizer = adamnb.Optimizer(np.ones(3))
    optimizer.step(np.ones(3))
    """
    folder, _ = automatic
    code = textwrap.dedent(PREAMBLE) + COUNT + textwrap.dedent(code)
    run(code, folder)
    assert run(code + "print(Count.names)", folder) == "[]\n"


BATCH = """
    import user
    fits = adamnb.minimize_batch(
        user.fun, [3.0, -2.0], data=(np.ones((5, 2)),), jac=user.jac, learning_rate=0.1
    )
    assert fits.success.all()
"""


def test_a_second_batch_compiles_nothing(warm):
    folder, _ = warm
    code = textwrap.dedent(PREAMBLE) + COUNT + textwrap.dedent(BATCH)
    first = run(code + "print(Count.names)", folder)
    assert "hold" in first
    assert "run_problems" not in first  # the loop of a single run is that of many
    assert run(code + "print(Count.names)", folder) == "[]\n"


DERIVATIVES = """
import adamnb, numpy as np, plain
X0, T, GIVEN = np.array([3.0, -2.0]), np.ones(2), {"learning_rate": 0.1, "maxiter": 20}
print("X", adamnb.jacobian(plain.model)(X0, T))
fit = adamnb.minimize(adamnb.value_and_grad(plain.fun), X0, (T,), jac=True, **GIVEN)
assert fit.compiled
print("X", fit.x)
own = adamnb.minimize(plain.fun, X0, (T,), **GIVEN)
assert own.gradient == "forward"
assert own.x.tobytes() == fit.x.tobytes()
"""
PLAIN = """
import numba, numpy as np

@numba.njit(cache=True)
def helper(x, t):
    return x[0] * np.exp(-x[1] * t)

@numba.njit(cache=True)
def model(x, t):
    return helper(x, t) - 1.0

@numba.njit(cache=True)
def fun(x, t):
    r = np.zeros(t.size)
    for i in range(t.size):
        r[i] = helper(x, t[i])
    return r @ r
"""


def test_derivatives_are_compiled_once(used, tmp_path):
    """Helpers too; anew where the function or the package's rules have changed."""
    (tmp_path / "plain.py").write_text(PLAIN)
    env = {"NUMBA_CACHE_DIR": str(used[0] / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    first = run(DERIVATIVES, tmp_path, **env)
    assert run(COUNT + DERIVATIVES + "print(Count.names)", tmp_path, **env) == first + "[]\n"
    (tmp_path / "plain.py").write_text(PLAIN.replace("x[0] * np.exp", "2 * x[0] * np.exp"))
    assert run(DERIVATIVES, tmp_path, **env) != first
    (tmp_path / "plain.py").write_text(PLAIN)
    shutil.copytree(PACKAGE, tmp_path / "adamnb", ignore=shutil.ignore_patterns("__pycache__"))
    assert run(DERIVATIVES, tmp_path, root=tmp_path, **env) == first
    rules = tmp_path / "adamnb" / "_forward" / "rules.py"
    source = rules.read_text()
    changed = source.replace(
        "    y = np.exp(x)\n    return y, y", "    y = np.exp(x)\n    return y, y + y"
    )
    assert changed != source
    rules.write_text(changed)
    assert run(DERIVATIVES, tmp_path, root=tmp_path, **env) != first


TWINS = """
import numba, numpy as np

def make(power):
    @numba.njit(cache=True)
    def term(x, i):  # too large to be copied into its caller
        s = 0.0
        for j in range(i):
            s += np.exp(-x * j) * np.sin(x) + np.cos(x * j) * np.tanh(x) + np.cosh(x - j)
        return s * 0.0 + (x - power) ** 2

    @numba.njit(cache=True)
    def fun(x):
        f = 0.0
        for i in range(3):
            f += term(x[0], i) * np.exp(0.0 * x[0]) + np.sinh(0.0 * x[0]) + np.sin(0.0 * x[0])
        return f + power

    return fun

one, two = make(1.0), make(2.0)
"""


def test_twins_have_their_own_derivatives(tmp_path):
    """Functions of one name, compiled in two processes and loaded in a third."""
    (tmp_path / "twins.py").write_text(TWINS)
    code = "import adamnb, numpy as np, twins\n"
    for name in ("one", "two"):
        run(code + f"adamnb.value_and_grad(twins.{name})(np.zeros(1))", tmp_path)
    both = "print(*[adamnb.value_and_grad(f)(np.zeros(1)) for f in (twins.one, twins.two)])"
    assert run(code + both, tmp_path) == "(4.0, array([-6.])) (14.0, array([-12.]))\n"


RULE = "a = a / correction(step.log_beta1, step.t)"  # of Adam


def test_changed_sources_are_not_served_stale(used, tmp_path):
    """A coefficient is changed in a file that is not the one of the cached entry points."""
    folder, first = used
    shutil.copytree(PACKAGE, tmp_path / "adamnb", ignore=shutil.ignore_patterns("__pycache__"))
    env = {"root": tmp_path, "PYTHONDONTWRITEBYTECODE": "1"}
    assert run(FIT, folder, **env) == first
    rules = tmp_path / "adamnb" / "_compiled" / "rules.py"
    source = rules.read_text()
    changed = source.replace(RULE, RULE + " / 2")
    assert changed != source
    rules.write_text(changed)
    assert run(FIT, folder, **env) != first
    rules.write_text(source)
    assert run(FIT, folder, **env) == first


def entries(folder):
    """Return the cache files of the package and the user, of which there must be some of each."""
    index = sorted((folder / "cache").rglob("*.nbi"))
    code = sorted((folder / "cache").rglob("*.nbc"))
    assert len(index) >= 3
    assert len(code) >= 3
    return index, code


@pytest.mark.parametrize(
    ("which", "damage"),
    [
        ("both", lambda data: b""),
        ("nbi", lambda data: data[: len(data) // 2]),
        ("nbc", lambda data: data[: len(data) // 2]),
        ("both", lambda data: b"garbage" + data),
    ],
    ids=["empty", "half an index", "half the code", "garbage"],
)
def test_damaged_cache_files(used, which, damage):
    folder, first = used
    index, code = entries(folder)
    for path in {"nbi": index, "nbc": code, "both": index + code}[which]:
        path.write_bytes(damage(path.read_bytes()))
    assert run(FIT, folder) == first
    assert run(COUNT + FIT + "print(Count.names)", folder) == first + "[]\n"  # made anew


def test_cache_files_of_another_signature(used):
    """Two processes that write at once can leave an index that points to the other's code."""
    folder, first = used
    clipped = FIT.replace("maxiter=100", "maxiter=100, clip_norm=1.0")
    second = run(clipped, folder)
    files = sorted((folder / "cache").rglob("run.run-*.nbc"))
    assert len(files) == 2
    one, two = (path.read_bytes() for path in files)
    files[0].write_bytes(two)
    files[1].write_bytes(one)
    assert run(FIT, folder) == first
    assert run(clipped, folder) == second != first


def test_a_full_disk(used):
    """Files can be made but not filled: the code stays in memory."""
    folder, first = used
    limit = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    """
    shutil.rmtree(folder / "cache")
    assert run(textwrap.dedent(limit) + FIT, folder, PYTHONDONTWRITEBYTECODE="1") == first


def test_read_only_installation_and_no_home(warm, tmp_path):
    _folder, first = warm
    shutil.copytree(PACKAGE, tmp_path / "adamnb", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "user.py").write_text(MODULE.replace("(cache=True)", ""))
    # Root may write everywhere, so files stand where the cache would make folders.
    for folder in ("adamnb", "adamnb/_compiled"):
        (tmp_path / folder / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    env = {"HOME": str(tmp_path / "home"), "NUMBA_CACHE_DIR": None, "PYTHONDONTWRITEBYTECODE": "1"}
    assert run(FIT, tmp_path, **env) == first


def test_first_runs_at_once(warm, tmp_path):
    """Four processes with one empty cache, and a fifth that compiles nothing after them."""
    _, first = warm
    (tmp_path / "user.py").write_text(MODULE)
    processes = [start(FIT, tmp_path) for _ in range(4)]
    assert [finish(process) for process in processes] == [first] * 4
    assert run(COUNT + FIT + "print(Count.names)", tmp_path) == first + "[]\n"


# ------------------------------------------------------------------------------ signals and memory


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_interrupt_of_a_compiled_loop(warm):
    """Ctrl-C after a quarter of a second; without it the run would take for ever."""
    code = (
        PREAMBLE
        + """
import signal, user
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
A, X0 = np.array([1.0, 10.0]), np.array([3.0, -2.0])
options = dict(jac=user.jac, maxiter=np.inf, gtol=0, ftol=0, learning_rate=1e-9)
adamnb.minimize(user.fun, X0, (A,), **options | {"maxiter": 5})  # compiled or loaded
sent = time.perf_counter()
os.system(f"(sleep 0.25; kill -INT {os.getpid()}) &")
try:
    adamnb.minimize(user.fun, X0, (A,), **options)
except KeyboardInterrupt as stop:
    kept = stop.adamnb_result.nit > 0 and stop.adamnb_result.status == 5
    print("interrupted", kept and time.perf_counter() - sent < 10)
after = adamnb.minimize(user.fun, X0, (A,), jac=user.jac, maxiter=100, learning_rate=0.1)
print("X", after.x.tobytes().hex())
"""
    )
    folder, first = warm
    assert run(code, folder) == "interrupted True\n" + first


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_interrupt_of_a_batch(tmp_path):
    """Ctrl-C after a quarter of a second; to evaluate every problem once would take minutes."""
    code = (
        PREAMBLE
        + """
import numba, signal

@numba.njit(nogil=True)
def fun(x, g, rounds, calls):
    calls[0] += 1
    s = 0.0
    for i in range(rounds):
        s += np.sin(s + i)
    g[0] = 2 * x[0]
    return x[0] ** 2 + 0.0 * s

signal.signal(signal.SIGINT, signal.default_int_handler)
rounds, calls = np.full(20_000, 300_000), np.zeros(1, int)
given = dict(jac="inplace", learning_rate=0.1, maxiter=50)
solve = lambda rounds: adamnb.minimize_batch(fun, [1.0], (calls,), (rounds,), **given)
solve(rounds[:1])
calls[0] = 0
os.system(f"(sleep 0.25; kill -INT {os.getpid()}) &")
try:
    solve(rounds)
except KeyboardInterrupt as stop:
    print("interrupted", 0 < calls[0] < 2000, hasattr(stop, "adamnb_result"))
"""
    )
    assert run(code, tmp_path) == "interrupted True True\n"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_no_leak(automatic):
    """Ten thousand small fits, a quarter of each kind, after a warm-up."""
    code = (
        PREAMBLE
        + """
import user
A, X0 = np.array([1.0, 10.0]), np.array([3.0, -2.0])
def fits(count):
    for i in range(count // 4 + 1):
        adamnb.minimize(user.fun, X0, (A,), jac=user.jac, maxiter=3)
        adamnb.minimize(user.fun, X0, (A,), jac=user.jac, maxiter=3, learning_rate=0.1, history=True)
        adamnb.minimize(lambda x: float(x @ x), X0, jac=lambda x: 2 * x, maxiter=3)
        optimizer = adamnb.Optimizer(np.ones(100))
        optimizer.step(np.ones(100))
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
fits(1000)
before = resident()
fits(10_000)
print((resident() - before) / 1e6)
"""
    )
    assert float(run(code, automatic[0])) < 5


# ------------------------------------------------------------------------- forks and Python threads

LARGE = (
    PREAMBLE
    + """
import numba
N = 300_000
def work(threads=None):
    x, g = np.linspace(-1, 1, N), np.linspace(2, 3, N)
    optimizer = adamnb.Optimizer(x, learning_rate=0.01, threads=threads)
    for _ in range(3):
        optimizer.step(g)
    fun, jac = (lambda x: float((x * x).sum())), (lambda x: 2 * x)
    result = adamnb.minimize(fun, x, jac=jac, maxiter=5, threads=threads)
    return digest(x, optimizer.state["slots"], result.x)
"""
)


LAYERS = ["omp", "workqueue"]
several = pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")


@several
@pytest.mark.parametrize("layer", LAYERS)
def test_python_threads(layer, warm):
    code = (
        LARGE
        + """
serial = work(1)
assert work(2) == serial
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    found = set(pool.map(lambda i: work(2 if i % 2 else None), range(12)))
print(found == {serial}, numba.threading_layer())
"""
    )
    assert run(code, warm[0], NUMBA_THREADING_LAYER=layer) == f"True {layer}\n"


@several
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.parametrize("layer", LAYERS)
def test_batch_after_fork(layer, warm):
    """Threads over problems are Python's: a child may start them."""
    code = """
    import multiprocessing, user
    if __name__ == "__main__":
        def solve():
            y = np.random.default_rng(0).uniform(1, 2, (500, 2))
            fits = adamnb.minimize_batch(
                user.fun, [3.0, -2.0], data=(y,), jac=user.jac, learning_rate=0.1, threads=2
            )
            return fits.x.tobytes()
        here = solve()
        adamnb.Optimizer(np.ones(300_000)).step(np.ones(300_000))  # starts Numba's threads
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.starmap(solve, [(), ()]) == [here, here]
    """
    run(textwrap.dedent(PREAMBLE) + textwrap.dedent(code), warm[0], NUMBA_THREADING_LAYER=layer)


@several
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.parametrize("layer", LAYERS)
def test_fork_after_use(layer, warm):
    """The children step alone, also with an Optimizer that was made before the fork."""
    code = (
        LARGE
        + """
import multiprocessing
g = np.linspace(2, 3, N)
old = adamnb.Optimizer(np.ones(N), threads=2)
def in_child(threads):
    old.step(g)
    return work(threads), digest(old.x)
serial = work(1)
assert work(2) == serial
with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.map_async(in_child, [None, 1, 2, 2], chunksize=1).get(60)
once = np.ones(N)
adamnb.Optimizer(once, threads=1).step(g)
print({work for work, _ in found} == {serial}, digest(once) in {old for _, old in found})
old.step(g)
print(digest(once) == digest(old.x), numba.threading_layer())
"""
    )
    out = run(code, warm[0], NUMBA_THREADING_LAYER=layer)
    assert out == f"True True\nTrue {layer}\n"


SPAWN = """
import multiprocessing
import numpy as np
import adamnb

def both(x, y):
    return float((x - y) @ (x - y)), 2 * (x - y)

def work():
    multiprocessing.set_start_method("spawn", force=True)
    y = np.arange(12.0).reshape(6, 2)
    found = adamnb.minimize_batch(both, [0.0, 0.0], data=(y,), jac=True, workers=2)
    print(np.allclose(found.x, y, atol=1e-4))
"""


@pytest.mark.parametrize("way", ["script", "guarded", "command", "terminal"])
def test_workers_that_start_afresh(way, tmp_path):
    """They do their work, or it is an error with the way out; they never hang."""
    guard = 'if __name__ == "__main__":\n    ' if way == "guarded" else ""
    code = SPAWN + guard + "work()\n"
    (tmp_path / "script.py").write_text(code)
    command = {"command": ["-c", code], "terminal": ["-"]}.get(way, ["script.py"])
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        input=code, env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
    )  # fmt: skip
    if way == "guarded":
        assert (done.stdout, done.returncode) == ("True\n", 0)
    else:
        assert (done.stdout, done.returncode) == ("", 1)
        last = done.stderr.splitlines()[-1]
        assert last.startswith("RuntimeError: A process of `workers` has died")
        assert '`if __name__ == "__main__":`' in last


NJIT_BY_ATTRIBUTE = """
import numba, numpy as np, adamnb

@numba.njit
def fun(x):
    return np.sum((x - 1.0) ** 2), 2.0 * (x - 1.0)

@numba.njit
def go():
    return adamnb.njit_minimize(fun, np.zeros(3), (), True, "adam", 0.1)

found, expected = go(), adamnb.minimize(fun, np.zeros(3), jac=True, learning_rate=0.1)
assert found.x.tobytes() == expected.x.tobytes() and found.nit == expected.nit
"""


def test_njit_minimize_is_found_by_numba_in_a_fresh_process():
    subprocess.run([sys.executable, "-c", NJIT_BY_ATTRIBUTE], check=True)
