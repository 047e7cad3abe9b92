"""What is shown of work under way: bars, callables, logs, tables; and that it changes no bit."""

import importlib.util
import logging
import time
from itertools import pairwise

import numba
import numpy as np
import pytest

import adamnb
from adamnb._run.progress import Progress

X0 = np.array([-1.2, 1.0, -1.2, 1.0])


@numba.njit
def rosenbrock(x, g):
    f = 0.0
    g[:] = 0.0
    for i in range(x.size - 1):
        bend, off = x[i + 1] - x[i] ** 2, 1.0 - x[i]
        f += 100.0 * bend**2 + off**2
        g[i] -= 400.0 * x[i] * bend + 2.0 * off
        g[i + 1] += 200.0 * bend
    return f


FORMS = {"compiled": rosenbrock, "interpreted": rosenbrock.py_func}


def solve(form="compiled", **options):
    return adamnb.minimize(FORMS[form], X0, jac="inplace", **options)


def assert_same(found, expected):
    for name in ("x", "jac", "x_last"):
        assert found[name].tobytes() == expected[name].tobytes(), name
    for name in ("fun", "nit", "nfev", "status", "message", "compiled"):
        assert found[name] == expected[name], name


@pytest.fixture
def log():
    """Keep what a logger is told."""
    logger, lines = logging.Logger("fits"), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    logger.lines = lines
    return logger


# --------------------------------------------------------------------------------------- minimize


@pytest.mark.parametrize("form", FORMS)
def test_a_callable_sees_how_far_it_is_and_changes_no_bit(form):
    seen, plain = [], solve(form)
    found = solve(form, progress=seen.append)
    assert_same(found, plain)
    steps = [point.nit for point in seen]
    assert steps == sorted(steps)
    assert len(set(seen)) == len(seen)
    assert (seen[-1].nit, seen[-1].nfev, seen[-1].fun) == (found.nit, found.nfev, found.fun)
    assert seen[-1].learning_rate == found.learning_rate
    assert all(later.fun <= sooner.fun for sooner, later in pairwise(seen))
    if form == "interpreted":
        assert len(seen) >= found.nit


@pytest.mark.parametrize("form", FORMS)
def test_a_callable_may_end_it(form):
    def enough(point):
        raise StopIteration

    found = solve(form, progress=enough)
    assert (found.status, found.success) == (99, False)
    assert found.message == "`progress` raised `StopIteration`."
    assert 0 < found.nit < solve(form).nit
    assert found.fun <= rosenbrock(X0, np.empty(4))


@pytest.mark.parametrize("form", FORMS)
def test_what_a_callable_raises_comes_through(form):
    def fails(point):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        solve(form, progress=fails)
    assert caught.value.adamnb_result.nit > 0


def test_a_slow_callable_does_not_slow_the_loop():
    seen = []

    def slow(point):
        time.sleep(0.03)  # longer than machine code stays away
        seen.append(point.nit)
        assert len(seen) < 30

    solve(method="sgd", learning_rate=1e-6, maxiter=2000, progress=slow)
    assert seen[-1] == 2000


def test_a_bar(capsys):
    tqdm = pytest.importorskip("tqdm", reason="tqdm is not installed")
    plain = solve()
    assert_same(solve(progress=True), plain)
    shown = capsys.readouterr().err
    assert f"{plain.nit} iterations" in shown
    assert f"f={plain.fun:.6g}, gradient=" in shown
    assert "rate=" in shown
    assert not tqdm.tqdm._instances


def test_without_tqdm_the_error_names_a_way_out(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"adamnb\[progress\].*function or a logger"):
        solve(progress=True)


@pytest.mark.parametrize("form", FORMS)
def test_a_logger_has_the_first_line_and_the_last(form, log):
    found = solve(form, progress=log)
    assert [line.split(":")[0] for line in log.lines] == [
        f"iteration {log_nit}" for log_nit in (first_report(form), found.nit)
    ]
    assert f"f = {found.fun:.10g}, gradient norm " in log.lines[-1]


def first_report(form):
    """Return the iteration after which there is something to report for the first time."""
    seen = []
    solve(form, progress=(seen.append, 1e6))
    assert len(seen) == 2
    return seen[0].nit


def test_a_period(log):
    solve("interpreted", progress=(log, 0))
    every = len(log.lines)
    assert every >= solve("interpreted").nit
    adapter = logging.LoggerAdapter(log, {})
    solve("interpreted", progress=(adapter, 1e6))
    assert len(log.lines) == every + 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("every", [1, 10])
def test_a_table_has_the_rows_of_the_history(form, every, capsys):
    plain = solve(form, history=True)
    assert_same(solve(form, disp=every), plain)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["iteration", "f", "gradient", "norm", "learning", "rate"]
    rows = [line.split() for line in lines if line[:9].strip().isdigit()]
    points = range(0, plain.nit + 1, every)
    assert [int(row[0]) for row in rows] == list(points)
    columns = (plain.history[name] for name in ("fun", "gradient_norm", "learning_rate"))
    formats = ("{:.9g}", "{:.3g}", "{:.3g}")
    for i, (column, text) in enumerate(zip(columns, formats, strict=True), 1):
        assert [row[i] for row in rows] == [text.format(column[k]) for k in points]
    assert lines[len(rows)] == plain.message


def test_a_table_is_in_the_units_of_f(capsys):
    def tiny(x, g):  # its gradient has no square
        return 1e-300 * rosenbrock(x, g) + 0.0 * g.__imul__(1e-300).sum()

    seen = []
    adamnb.minimize(tiny, X0, jac="inplace", disp=5, progress=seen.append)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [row for row in rows if row[0].isdigit()]
    assert [int(row[0]) for row in rows] == list(range(0, 5 * len(rows), 5))
    assert all(0 <= float(row[1]) < 1e-296 for row in rows)
    assert seen[-1].fun < 1e-310


def test_disp_true_is_a_summary_alone(capsys):
    for disp in (True, np.bool_(True)):
        solve(disp=disp)
        assert capsys.readouterr().out.startswith("Converged")
    solve(disp=0)
    assert capsys.readouterr().out == ""


def test_a_list_of_callbacks():
    seen, results = [], []
    both = [
        lambda x: seen.append(x.copy()),
        lambda intermediate_result: results.append(intermediate_result),
    ]
    found = solve("interpreted", callback=both, maxiter=5)
    assert len(seen) == len(results) == found.nit == 5
    assert all(x.tobytes() == result.x.tobytes() for x, result in zip(seen, results, strict=True))
    assert solve("interpreted", callback=[], maxiter=5).nit == 5

    def enough(x):
        raise StopIteration

    assert solve("interpreted", callback=(both[0], enough)).nit == 1


RULE = "`progress` must be True, False, a callable, a logging.Logger, or a pair"
BAD = {
    "a negative period": ({"progress": (True, -1)}, ValueError, RULE),
    "no period": ({"progress": (print,)}, ValueError, RULE),
    "an endless period": ({"progress": (print, np.inf)}, ValueError, RULE),
    "a period alone": ({"progress": (10, 20)}, ValueError, RULE),
    "a callback in a list": ({"callback": [print, 3]}, TypeError, "`callback` must be callable"),
    "a callback of two": (
        {"callback": [lambda x, y: None]}, TypeError, r"`callback` must be callable as callback\(x\)"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "kind", "text"), BAD.values(), ids=BAD)
def test_bad_values_are_one_clear_error(wrong, kind, text):
    def fun(x):
        raise AssertionError("fun was called")

    with pytest.raises(kind, match=text):
        adamnb.minimize(fun, X0, **wrong)


# ------------------------------------------------------------------------------------------- many problems


def test_many_problems_have_a_period_and_the_last_report():
    seen = []
    progress = Progress((lambda done, total: seen.append((done, total)), 1e6), 10)
    for _ in range(10):
        progress.advance(1)
    assert seen == [(1, 10), (10, 10)]


def test_a_batch_and_curves_are_logged(log):
    adamnb.minimize_batch(
        FORMS["interpreted"], np.tile(X0, (3, 1)), jac="inplace", progress=(log, 0), disp=2
    )
    assert log.lines[-1] == "3 of 3 done"

    def line(t, a, b):
        return a + b * t

    log.lines.clear()
    t = np.arange(4.0)
    adamnb.curve_fit(line, t, np.ones((2, 4)) * t, progress=log)
    assert log.lines[-1] == "2 of 2 done"


def test_a_single_run_of_a_batch_prints_no_table(capsys):
    adamnb.minimize_batch(FORMS["interpreted"], np.tile(X0, (2, 1)), jac="inplace", disp=1)
    assert capsys.readouterr().out.startswith("2 problems of 4 variables")


@pytest.mark.parametrize("name", ["progress", "workers"])
def test_arguments_of_a_batch_are_no_options(name):
    with pytest.raises(TypeError, match=f"`{name}` is an argument of `minimize_batch`"):
        adamnb.minimize_batch(FORMS["compiled"], X0, jac="inplace", options={name: 1})


def test_a_bar_of_many(capsys):
    if importlib.util.find_spec("tqdm") is None:
        pytest.skip("tqdm is not installed")
    with Progress(True, 5) as bar:
        bar.advance(5)
    assert "5/5" in capsys.readouterr().err
