"""A sum over the ranks of an MPI job: the same bits on all of them, and one end, whatever happens."""

import json
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import numpy as np
import pytest
from parts import PARTS, chain
from scipy import optimize

import adamnb

FOLDER = Path(__file__).parent
PROGRAM = FOLDER / "rank_program.py"
MPIEXEC = shutil.which("mpiexec", path=sysconfig.get_path("scripts")) or shutil.which("mpiexec")

pytest.importorskip("mpi4py", reason="mpi4py is not installed")
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec")


def run(*arguments, ranks=2):
    command = [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    return done, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What both ranks tell of each case, by its name."""
    done, lines = run(PROGRAM, tmp_path_factory.mktemp("ranks"))
    assert done.returncode == 0, done.stderr
    cases = {}
    for line in lines:
        cases.setdefault(line.pop("name"), ([], []))[line.pop("rank")].append(line)
    return cases


def both(told, name):
    """Return what is told of a case, which is the same on both ranks."""
    (one,), (other,) = told[name]
    assert one | {"seconds": 0} == other | {"seconds": 0}
    return one


def alone(**options):
    rng = np.random.default_rng(0)
    a, y = rng.normal(size=(401, 20)), rng.normal(size=401)

    def fun(x):
        r = a @ x - y
        return r @ r + 0.1 * np.cos(3 * x).sum()

    def jac(x):
        return 2 * a.T @ (a @ x - y) - 0.3 * np.sin(3 * x)

    return adamnb.minimize(fun, np.ones(20), jac=options.pop("jac", jac), **options)


def test_the_bits_are_those_of_the_other_rank_in_every_run(told):
    one, other = told["same"]
    assert len(one) == len(other) == 20
    assert len({line["bits"] for line in one + other}) == 1
    single = alone()
    assert single.success
    np.testing.assert_allclose(one[0]["x"], single.x, rtol=1e-7)


def test_without_a_gradient(told):
    found = both(told, "differences")
    assert found["status"] == 0
    np.testing.assert_allclose(found["x"], alone().x, rtol=1e-5)
    assert both(told, "two-sided")["nit"] == 20


def test_errors_of_differences_are_those_of_the_sum(told):
    """The stop tests and the look at the minimum know them, as beside one rank that has all rows."""
    found, single = both(told, "both sides"), alone(jac="3-point")
    assert found["message"][:30] == single.message[:30]
    assert abs(found["nit"] - single.nit) <= 1
    np.testing.assert_allclose(found["x"], single.x, rtol=1e-7)
    own = [single.state[name] for name in ("fun_error", "gradient_error")]
    np.testing.assert_allclose(found["errors"], own, rtol=0.6)  # each rank has steps of its own
    by_one = both(told, "one rank alone")
    assert 0 < by_one["errors"][1] < both(told, "differences")["errors"][1]
    for name in ("differences", "both sides", "one rank alone"):
        found = both(told, name)
        assert found["status"] == 0
        assert found["nfev"] < 80  # the look at the minimum knows that digits are missing
    assert told["same"][0][0]["errors"] == [0, 0]


def test_time_and_callbacks_end_all_ranks_at_once(told):
    assert both(told, "late")["status"] == 4
    found = both(told, "callback")
    assert (found["status"], found["nit"]) == (99, 8)


def test_an_exception_on_one_rank_is_an_error_on_all(told):
    for name, text, nit in (
        ("raises", "ValueError: no data", 7),
        ("screen", "OSError: no screen", 8),
        ("wrong on one", "ValueError: `gtol` must be a number >= 0; got -1.", None),
        ("at the start", "ValueError: no data", None),
    ):
        (zero,), (one,) = told[name]
        assert (zero["error"], zero["text"][:14]) == ("RankError", "rank 1 raised "), name
        assert f"{one['error']}: {one['text']}" == zero["text"][14:]
        assert text in zero["text"]
        assert zero["nit"] == one["nit"]
        assert nit in (None, zero["nit"])


def test_ctrl_c_on_one_rank_ends_all(told):
    assert both(told, "interrupted")["error"] == "KeyboardInterrupt"


def test_a_nan_on_one_rank_is_seen_on_all(told):
    found = both(told, "nan")
    assert found["status"] == 3
    assert "`fun` is nan in iteration 7" in found["message"]
    assert "Not finite on rank 1." in found["message"]


def test_what_has_to_be_the_same_on_all_ranks(told):
    for name, argument in (("other x0", "x0"), ("other options", "options")):
        found = both(told, name)
        assert found["error"] == "ValueError"
        assert f"`{argument}` must be the same on all ranks; it differs on rank 1" in found["text"]


def test_a_checkpoint_is_of_all_ranks(told):
    assert both(told, "saved")["nit"] == 7
    assert both(told, "resumed")["bits"] == told["same"][0][0]["bits"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """What both ranks, which have parts of x, tell of each case, by its name."""
    done, lines = run(PROGRAM, "parts", tmp_path_factory.mktemp("parts"))
    assert done.returncode == 0, done.stderr
    cases = {}
    for line in lines:
        cases.setdefault(line.pop("name")[5:], {})[line.pop("rank")] = line
    return {name: (case[0], case[1]) for name, case in cases.items()}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_x_go_the_way_of_the_whole(parts, name):
    zero, one = parts[name]
    options = dict(PARTS[name])
    x0 = np.linspace(-1, 1, 30, dtype=options.pop("dtype", float))
    whole = adamnb.minimize(chain, x0, jac=True, verify=0, **options)
    for found in (zero, one):
        assert (found["status"], found["nit"], found["nfev"]) == (
            whole.status,
            whole.nit,
            whole.nfev,
        )
        assert found["message"] == whole.message
    assert zero["fun"] == one["fun"]
    rtol, atol = (1e-4, 1e-5) if x0.dtype == np.float32 else (1e-9, 1e-12)
    np.testing.assert_allclose(zero["x"] + one["x"], whole.x, rtol=rtol, atol=atol)
    np.testing.assert_allclose(zero["fun"], whole.fun, rtol=rtol, atol=atol)


def test_a_single_rank_has_the_bits_of_a_run_without():
    done, lines = run(PROGRAM, "parts", "none", ranks=1)
    assert done.returncode == 0, done.stderr
    assert [line["name"][5:] for line in lines] == list(PARTS)
    for line in lines:
        options = dict(PARTS[line["name"][5:]])
        x0 = np.linspace(-1, 1, 30, dtype=options.pop("dtype", float))
        whole = adamnb.minimize(chain, x0, jac=True, verify=0, **options)
        assert (line["x"], line["fun"]) == (whole.x.tolist(), whole.fun), line["name"]


def test_parts_of_x_under_noise(parts):
    zero, one = parts["noisy"]
    assert zero["message"] == one["message"]
    assert "noise" in zero["message"]
    assert (zero["fun"], zero["nfev"]) == (one["fun"], one["nfev"])
    assert chain(np.array(zero["x"] + one["x"]))[0] < 0.02 * chain(np.linspace(-1, 1, 30))[0]


def test_what_happens_on_one_rank_ends_all_that_have_parts(parts):
    zero, one = parts["raises"]
    assert (zero["error"], one["error"]) == ("RankError", "ValueError")
    assert zero["text"] == "rank 1 raised ValueError: no data"
    assert {found["error"] for found in parts["interrupted"]} == {"KeyboardInterrupt"}
    assert {found["status"] for found in parts["late"]} == {4}
    for found in parts["nan"]:
        assert found["status"] == 3
        assert "`fun` is nan in iteration 7" in found["message"]
    for found in parts["nan gradient"]:
        assert "`jac` is not finite at index 13 of rank 1 in iteration 7" in found["message"]


def test_ranks_that_wait_for_one_that_failed_end():
    done, _ = run(PROGRAM, "part raises early")
    assert done.returncode != 0
    assert "ValueError: no data" in done.stderr
    assert "Rank 1 failed, and others wait for it in `fun`: no rank goes on." in done.stderr


def test_what_parts_of_x_need(parts):
    for name, text in (
        ("scale", "`options` must be the same on all ranks"),
        ("one", "`options` must be the same on all ranks"),
        ("verify", "`verify` needs the whole of x on a rank"),
        ("alone", "`sharded` needs `comm`"),
        ("differences", "`sharded` needs the gradient of f by this rank's part of x: give `jac`"),
    ):
        for found in parts[name]:
            assert found["error"] == "ValueError", name
            assert text in found["text"]


def test_every_part_has_its_checkpoint(parts):
    for saved, found, whole in zip(
        parts["saved"], parts["resumed"], parts["automatic"], strict=True
    ):
        assert saved["nit"] == 7
        assert (found["bits"], found["nit"], found["nfev"]) == (
            whole["bits"],
            whole["nit"],
            whole["nfev"],
        )
    for found in parts["mixed"]:
        assert found["error"] == "CheckpointError"
        assert "of the ranks are of different iterations: [9, 7]" in found["text"]
    zero, _ = parts["other"]
    assert zero["error"] == "CheckpointError"
    assert "part" in zero["text"]


def test_a_killed_rank_ends_the_job_with_a_message():
    done, _ = run(PROGRAM, "killed")  # which does not hang
    assert done.returncode != 0
    assert "signal 9" in done.stdout + done.stderr


def test_a_batch_on_a_pool_of_ranks(tmp_path):
    program = tmp_path / "fits.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import json, sys
            sys.path.insert(0, {str(FOLDER)!r})
            from mpi4py.futures import MPIPoolExecutor
            from objectives import decays, python_both
            import adamnb

            if __name__ == "__main__":
                y, w, t = decays(40)
                with MPIPoolExecutor() as pool:
                    result = adamnb.minimize_batch(
                        python_both, [1.0, 1.0], (t,), (y, w), jac=True, workers=pool.map
                    )
                print(json.dumps(result.x.tolist()))
            """
        )
    )
    command = [MPIEXEC, "-n", "2", sys.executable, "-m", "mpi4py.futures", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    from objectives import decays, python_both

    y, w, t = decays(40)
    here = adamnb.minimize_batch(python_both, [1.0, 1.0], (t,), (y, w), jac=True)
    assert json.loads(done.stdout) == here.x.tolist()


def test_a_communicator_is_refused_elsewhere():
    with pytest.raises(
        TypeError, match="`comm` must be None or a communicator of mpi4py; got 'me'"
    ):
        adamnb.minimize(optimize.rosen, [0.0, 0.0], comm="me")
