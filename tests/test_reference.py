"""The oracle against PyTorch and Optax, so that what is tested against it is tested against them.

data/golden.npz is described, and made, by make_golden.py.
"""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import reference

GOLDEN = np.load(Path(__file__).parent / "data" / "golden.npz")
RECORDS = json.loads(str(GOLDEN["records"]))


@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{r['key']}-{r['method']}")
def test_agrees_with_torch_and_optax(record, dtype):
    x = reference.trajectory(
        record["method"],
        GOLDEN["x0"],
        GOLDEN["gradients"],
        record["learning_rate"],
        dtype,
        **record["hyperparameters"],
    )
    # Rounding is relative to the largest x so far: a coordinate may pass through zero. The
    # bound is 4500 eps: 200 steps, and 1 - 0.999**t loses 3 digits where it is not expm1.
    scale = np.maximum.accumulate(np.abs(x))
    steps = GOLDEN["steps"]
    error = np.abs(x[steps] - GOLDEN[record["key"]]) / scale[steps]
    assert error.max() < 1e-12


def test_every_method_has_a_golden_trajectory():
    assert {record["method"] for record in RECORDS} == set(reference.METHODS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("method", reference.METHODS)
def test_computes_in_the_dtype_asked_for(method, dtype):
    x = reference.trajectory(method, GOLDEN["x0"], GOLDEN["gradients"], 0.1, dtype)
    exact = reference.trajectory(method, GOLDEN["x0"], GOLDEN["gradients"], 0.1)
    scale = np.maximum.accumulate(np.abs(exact))
    assert x.dtype == dtype
    # 1000 eps for 200 steps; SGD and its like add up 1e6-sized steps of both signs.
    assert (np.abs(x - exact) <= 1000 * np.finfo(dtype).eps * scale).all()


@pytest.mark.parametrize("method", sorted(set(reference.METHODS) - {"yogi"}))
def test_zero_gradient_moves_nothing_even_without_eps(method):
    eps = {"eps": 0.0} if method not in ("lion", "momentum", "nesterov", "sgd") else {}
    x = reference.trajectory(method, [1.5], np.zeros((20, 1)), 0.1, weight_decay=0.0, **eps)
    assert (x == 1.5).all()


@pytest.mark.parametrize("t", [1, 10, 10_000])
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9, 1 - 1e-6])
def test_bias_correction_does_not_cancel(beta, t):
    # 1 - beta**t in float64 is more than 1e-13 off for the last beta.
    exact = float(1 - Fraction(beta) ** t)
    assert reference.correction(beta, t, np.float64) == pytest.approx(exact, rel=1e-15)
