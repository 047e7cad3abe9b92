"""Every method against PyTorch, Optax and an 80-bit reference, and the table of methods itself."""

import json
from pathlib import Path

import numpy as np
import pytest
import reference

import adamnb
from adamnb._compiled.rules import COEFFICIENTS, RULES
from adamnb._problem.methods import METHODS

GOLDEN = np.load(Path(__file__).with_name("data") / "golden.npz")
RECORDS = json.loads(str(GOLDEN["records"]))
DTYPES = {np.float64: 1e-12, np.float32: 1e-5}  # what rules of 3 to 8 roundings a step leave in 200


def walk(method, x0, gradients, learning_rate, dtype=np.float64, **hyperparameters):
    """Return the trajectory of an `Optimizer`, shape (steps + 1, n)."""
    x = x0.astype(dtype)
    optimizer = adamnb.Optimizer(x, method, learning_rate, **hyperparameters)
    points = [x.copy()]
    for gradient in gradients.astype(dtype):
        optimizer.step(gradient)
        points.append(x.copy())
    return np.array(points)


def deviation(points, expected):
    """Return the largest deviation relative to the largest |x| that the coordinate has had."""
    size = np.maximum.accumulate(np.abs(expected), axis=0)
    return float((np.abs(points - expected) / size).max())


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{r['key']}-{r['name']}-{r['method']}")
def test_step_is_that_of_torch_and_optax(record):
    points = walk(
        record["method"], GOLDEN["x0"], GOLDEN["gradients"], record["learning_rate"],
        **record["hyperparameters"],
    )  # fmt: skip
    assert deviation(points[GOLDEN["steps"]], GOLDEN[record["key"]]) < 1e-12


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("method", "changes"),
    [
        (method, changes)
        for method in METHODS
        for changes in ({}, {"eps": 1e-2}, {"beta1": 0.0}, {"weight_decay": 0.1})
        if set(changes) <= set(METHODS[method].defaults)
    ],
)
def test_step_is_that_of_an_80_bit_reference(method, changes, dtype):
    rng = np.random.default_rng(1)
    x0 = rng.normal(size=9).astype(dtype)
    gradients = (rng.normal(size=(200, 9)) * 10 ** rng.uniform(-6, 6, 9)).astype(dtype)
    if dtype is np.float32 and method in ("momentum", "nesterov", "sgd"):
        gradients /= 1e6
    settings = {**METHODS[method].defaults, **changes}
    if method == "adabelief":
        settings["eps_root"] = settings["eps"]  # one number here, two in the reference
    expected = reference.trajectory(method, x0, gradients, 1e-2, **settings)
    points = walk(method, x0, gradients, 1e-2, dtype, **changes)
    assert deviation(points, expected) < DTYPES[dtype]


@pytest.mark.parametrize("method", METHODS)
def test_array_of_equal_learning_rates_is_the_number(method):
    rng = np.random.default_rng(2)
    x0, gradients = rng.normal(size=5), rng.normal(size=(50, 5))
    number = walk(method, x0, gradients, 1e-2)
    array = walk(method, x0, gradients, np.full(5, 1e-2))
    assert deviation(array, number) < 1e-13


def test_schedule_counts_from_one():
    seen = []
    x = np.ones(2)
    optimizer = adamnb.Optimizer(x, learning_rate=lambda t: seen.append(t) or 0.1)
    for _ in range(3):
        optimizer.step(np.ones(2))
    assert seen == [1, 2, 3]


def test_first_step_is_the_learning_rate():
    # Optim.jl starts m at the first gradient and corrects it all the same: ten times too far.
    x = np.array([1.0, -2.0])
    adamnb.Optimizer(x, learning_rate=0.25).step(np.array([3.0, -0.001]))
    np.testing.assert_allclose(x, [0.75, -1.75], rtol=1e-5)


def test_weight_decay_leaves_the_gradient_alone():
    gradient = np.array([1.0, 2.0])
    adamnb.Optimizer(np.ones(2), weight_decay=0.1).step(gradient)
    assert gradient.tolist() == [1.0, 2.0]


def test_table_and_code_name_each_other():
    assert {m.rule for m in METHODS.values()} == set(RULES)
    assert {m.coefficients for m in METHODS.values()} == set(COEFFICIENTS)
    assert len(METHODS) == 13


@pytest.mark.parametrize("method", METHODS)
def test_every_method_minimises_with_defaults(method):
    def fun(x):
        return ((x - [1.0, -2.0]) ** 2).sum() + 3.0, 2 * (x - [1.0, -2.0])

    result = adamnb.minimize(fun, [4.0, 5.0], jac=True, method=method, weight_decay=0.0)
    assert result.success, result.message
    np.testing.assert_allclose(result.x, [1.0, -2.0], atol=1e-5)
