"""What type checkers see: mistakes are found, examples are not, and the types are those of the tables."""

import importlib.util
import re
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

import adamnb
from adamnb._compiled.misfit import LOSSES
from adamnb._curve_fit import METHODS as FIT_METHODS
from adamnb._curve_fit import TOLERANCES, curve_fit
from adamnb._multistart import SAMPLERS
from adamnb._problem import annotations
from adamnb._problem.arguments import FORWARD, PUBLIC_SCHEMES
from adamnb._problem.methods import METHODS
from adamnb._problem.options import CONVENTIONS, HYPERPARAMETERS, OPTIONS, POLISHERS

ROOT = Path(__file__).parents[1]

# One mistake a line, each of which is to be found, between lines that are right.
MISTAKES = """
import numpy as np
import adamnb

def f(x: np.ndarray) -> float:
    return float(x @ x)

adamnb.minimise(f, [1.0])  # no such name
adamnb.adamm(f, [1.0])  # no such method
adamnb.minimize(f)  # no start
adamnb.minimize(3.0, [1.0])  # no function
adamnb.minimize(f, [1.0], maxitr=5)  # no such option
adamnb.minimize(f, [1.0], maxiter="5")  # a text
adamnb.minimize(f, [1.0], method="adma")  # no such method
adamnb.minimize(f, [1.0], method=adamnb.minimize)  # no method
adamnb.minimize(f, [1.0], jac="4-point")  # no such scheme
adamnb.minimize(f, [1.0], jac=1.5)  # a number
adamnb.minimize(f, [1.0], tol="small")  # a text
adamnb.minimize(f, [1.0], callback=3)  # no function
adamnb.minimize(f, [1.0], errors="chi3")  # no such convention
adamnb.minimize(f, [1.0], polish="Newton")  # no such polisher
adamnb.minimize(f, [1.0], finite_difference="forward")  # no such scheme
adamnb.minimize(f, [1.0], catch="KeyError")  # a text
adamnb.minimize(f, [1.0], progress="bar")  # a text
adamnb.minimize(f, [1.0], options=[("maxiter", 5)])  # no dict
adamnb.minimize(f, [1.0], history=True).gradients  # no such attribute
adamnb.minimize(f, [1.0]).message + 1  # a text and a number
adamnb.minimize(f, [1.0]).success.all()  # of a single run
adamnb.minimize_batch(f, np.ones((3, 2)), device="gpu")  # no such device
adamnb.minimize_batch(f, np.ones((3, 2)), history=True)  # not of a batch
adamnb.minimize_batch(f, np.ones((3, 2)))[0].reason  # of a batch
adamnb.minimize_batch(f, np.ones((3, 2))).reasons  # no such attribute
adamnb.multistart(f, [(0, 1)], "8")  # a text
adamnb.multistart(f, [(0, 1)], same="y")  # neither x nor fun
adamnb.multistart(f, [(0, 1)]).minima  # no such attribute
adamnb.curve_fit(f, [1.0], [1.0], loss="hubber")  # no such loss
adamnb.curve_fit(f, [1.0], [1.0], cost="counts")  # no such cost
adamnb.curve_fit(f, [1.0], [1.0], tol=1e-3)  # no such tolerance
adamnb.curve_fit(f, [1.0], [1.0]).errors  # no such attribute
adamnb.Optimizer(np.ones(2), beta3=0.5)  # no such hyper-parameter
adamnb.Optimizer(np.ones(2)).steps  # no such attribute
adamnb.schedules.Cosin(0.1, steps=10)  # no such schedule
adamnb.plot.history(adamnb.minimize(f, [1.0]), axis=None)  # no such argument
adamnb.check_gradient(f, [1.0])  # no gradient
"""

RIGHT = """
import logging
from typing import assert_type

import numpy as np
import adamnb

def f(x: np.ndarray) -> float:
    return float(x @ x)

given = {"maxiter": 5}
res = adamnb.minimize(f, [1.0, 2.0], (), adamnb.adam, "3-point", tol=1e-6, callback=[print], options=given)
adamnb.minimize(f, {"a": 1.0}, learning_rate=lambda t: 0.1, x_scale={"a": 1.0}, profile=["a"], disp=10)
adamnb.minimize(f, np.ones(2), progress=(logging.getLogger(), 60), catch=(KeyError,), errors="chi2")
adamnb.minimize(f, np.ones(2), learning_rate=adamnb.schedules.Cosine(0.1, steps=10), threads=None, workers=2)
assert_type(res.x, np.ndarray)
assert_type(res.fun, float)
assert_type(res.success, bool)
assert_type(res.history, dict[str, np.ndarray])
batch = adamnb.minimize_batch(f, np.ones((3, 2)), progress=True, errors="likelihood", n_data=[5, 6, 7])
assert_type(batch.fun, np.ndarray)
assert_type(batch[0], adamnb.Result)
popt, pcov = adamnb.curve_fit(f, [1.0], [1.0], jac="forward", max_nfev=10, progress=print)
assert_type(adamnb.curve_fit(f, [1.0], [1.0]).perr, np.ndarray)
found = adamnb.multistart(f, [(0, 1)], 8, sampler="halton", maxiter=50, device="cpu")
assert_type(found.batch, adamnb.BatchResult)
optimizer = adamnb.Optimizer(np.ones(2), "adamw", 0.1, weight_decay=0.01)
optimizer.step(np.ones(2))
"""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    """Let mypy look at the mistakes, at what is right, at the examples, once."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    folder = tmp_path_factory.mktemp("types")
    (folder / "mistakes.py").write_text(MISTAKES)
    (folder / "right.py").write_text(RIGHT)
    examples = sorted(map(str, (ROOT / "examples").glob("*.py")))
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--ignore-missing-imports",
         "--explicit-package-bases", folder / "mistakes.py", folder / "right.py", *examples],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert not run.stderr, run.stderr
    lines = [re.match(r"(.*\.py):(\d+): error: (.*)", line) for line in run.stdout.splitlines()]
    return [(Path(m[1]), int(m[2]), m[3]) for m in lines if m]


def test_mistakes_are_found(complaints):
    planted = {i for i, line in enumerate(MISTAKES.splitlines(), 1) if "  # " in line}
    found = {line for path, line, _ in complaints if path.name == "mistakes.py"}
    lines = MISTAKES.splitlines()
    assert len(planted) >= 30
    assert not [lines[i - 1] for i in sorted(planted - found)]
    assert not [lines[i - 1] for i in sorted(found - planted)]


def test_what_is_right_passes(complaints):
    others = [complaint for complaint in complaints if complaint[0].name != "mistakes.py"]
    assert not others


# ------------------------------------------------------------------------------------------- no drift


def literals(kind):
    """Return the texts that a type allows."""
    if typing.get_origin(kind) is typing.Literal:
        return {value for value in typing.get_args(kind) if isinstance(value, str)}
    return set().union(*map(literals, typing.get_args(kind)))


def test_options_are_those_of_the_table():
    batch, single = (
        typing.get_type_hints(kind) for kind in (annotations.BatchOptions, annotations.Options)
    )
    assert set(single) == set(OPTIONS)
    alone = {"profile", "workers", "history", "progress", "state", "comm", "sharded"}
    assert set(single) - set(batch) == alone
    assert set(typing.get_type_hints(annotations.Hyperparameters)) == set(HYPERPARAMETERS)
    tolerances = set(typing.get_type_hints(annotations.Tolerances))
    assert tolerances == {*TOLERANCES, "max_nfev", "maxfev"}


FILES = {"checkpoint", "resume"}  # any text


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - FILES))
def test_texts_that_a_type_allows_are_allowed(name):
    kind = typing.get_type_hints(annotations.Options)[name]
    texts = literals(kind)
    assert all(OPTIONS[name].allows(text) for text in texts)
    known = {*METHODS, *CONVENTIONS, *POLISHERS, *PUBLIC_SCHEMES, FORWARD, "inplace", "bar", "1"}
    assert texts == {text for text in known if OPTIONS[name].allows(text)}


def test_texts_of_arguments_are_those_there_are():
    assert literals(annotations.MethodName) == set(METHODS)
    assert literals(annotations.Gradient) == {*PUBLIC_SCHEMES, FORWARD, "inplace"}
    assert literals(annotations.Jacobian) == {*PUBLIC_SCHEMES, FORWARD}
    of_fit = typing.get_type_hints(curve_fit)
    assert literals(of_fit["loss"]) == set(LOSSES)
    assert literals(of_fit["method"]) | {None} == set(FIT_METHODS)
    assert literals(typing.get_type_hints(adamnb.multistart)["sampler"]) == set(SAMPLERS)


def test_results_have_the_attributes_that_are_declared():
    result = adamnb.minimize(
        lambda x: float(((x - 1) ** 2).sum()), np.ones(2), errors="chi2", profile=[0], history=True
    )
    rng = np.random.default_rng(0)
    noisy = adamnb.minimize(
        lambda x: (float(x @ x) + rng.normal(), 2 * x + rng.normal(size=2)), np.ones(2), jac=True,
        maxfun=100,
    )  # fmt: skip
    rows = adamnb.minimize_stochastic(
        lambda x, y: float(((y - x[0]) ** 2).mean()), [0.0], np.arange(9.0), epochs=1
    )
    names = adamnb.Result.__annotations__.keys() - {"gradient_norm"}  # which callbacks see
    assert names == result.keys() | noisy.keys() | rows.keys()
    batch = adamnb.minimize_batch(lambda x: float((x**2).sum()), np.ones((2, 2)), errors="chi2")
    assert adamnb.BatchResult.__annotations__.keys() - {"fun_stderr"} == batch.keys()
    starts = adamnb.multistart(lambda x: float(x @ x), [(-1, 1)], 2, rng=1)
    assert adamnb.MultistartResult.__annotations__.keys() == starts.keys()
    fit = curve_fit(lambda x, a: a * x, [1.0, 2.0, 3.0], [1.0, 2.0, 3.1])
    assert adamnb.CurveFit.__annotations__.keys() == vars(fit).keys()


def test_dir_has_the_public_names_alone():
    names = {name for name in dir(adamnb) if not name.startswith("__")}
    assert names == set(adamnb.__all__)
    assert "plot" in names
    source = (ROOT / "adamnb" / "__init__.py").read_text()
    declared = set(
        re.findall(r"^    (?:from \S+ import \w+ as )?(\w+)(?:: Solver)?$", source, re.MULTILINE)
    )
    assert names <= declared | {"schedules"}
