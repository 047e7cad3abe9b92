"""`Optimizer` beyond its steps: copies, what can be set, states given back, gradients that are none."""

import copy
import io
import json
import pickle
import re

import numba
import numpy as np
import pytest

import adamnb
from adamnb import schedules
from adamnb._compiled.loops import CHUNK
from adamnb._problem.methods import METHODS

SEVERAL = pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
X0 = np.linspace(-1, 1.5, 5)
RATES = {"float": 0.02, "array": np.linspace(0.01, 0.05, 5), "schedule": schedules.Cosine(0.1, 9)}


def gradient(x):
    return x + np.sin(3 * x)


def started(method="adam", rate=0.02, dtype=np.float64, steps=4, **hyperparameters):
    """Return an `Optimizer` that has taken some steps."""
    optimizer = adamnb.Optimizer(X0.astype(dtype), method, rate, **hyperparameters)
    go_on(optimizer, steps)
    return optimizer


def go_on(optimizer, steps=5):
    for _ in range(steps):
        optimizer.step(gradient(optimizer.x))


def bits(optimizer):
    return optimizer.t, optimizer.x.tobytes(), optimizer.state["slots"].tobytes()


def raises(kind, *texts):
    return pytest.raises(kind, match="(?s)" + ".*".join(map(re.escape, texts)))


# -------------------------------------------------------------------------------------------- copies


def pickled(optimizer):
    return pickle.loads(pickle.dumps(optimizer))


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("method", ["adam", "rmsprop"])
def test_a_copy_goes_on_with_the_same_bits_on_its_own_x(copied, rate, method):
    ours = started(method, RATES[rate], np.float32, beta2=0.9, weight_decay=0.01)
    before = ours.x.copy()
    theirs = copied(ours)
    go_on(theirs)
    assert ours.x.tobytes() == before.tobytes()  # nobody steps the other's
    assert (theirs.x != before).all()
    go_on(ours)
    assert bits(theirs) == bits(ours)
    assert (theirs.method, theirs.state["beta2"]) == (method, 0.9)
    assert np.array_equal(theirs.learning_rate, ours.learning_rate)


def test_a_deep_copy_of_what_holds_both_keeps_them_together():
    ours = started()
    held = copy.deepcopy({"x": ours.x, "optimizer": ours})
    assert held["optimizer"].x is held["x"]


def test_a_shallow_copy_steps_the_same_x_with_a_memory_of_its_own():
    ours = started()
    theirs = copy.copy(ours)
    assert theirs.x is ours.x
    memory = ours.state["slots"].tobytes()
    go_on(theirs, 1)
    assert (ours.t, theirs.t) == (4, 5)
    assert ours.state["slots"].tobytes() == memory


def test_a_copy_from_a_machine_with_more_threads(monkeypatch):
    ours = started(threads=numba.config.NUMBA_NUM_THREADS)
    stored = pickle.dumps(ours)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 1)
    theirs = pickle.loads(stored)
    assert theirs.threads == 1
    for optimizer in (ours, theirs):
        go_on(optimizer)
    assert bits(theirs) == bits(ours)


# ---------------------------------------------------------------------------------------- attributes


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("before", RATES)
def test_a_learning_rate_that_is_set_is_followed(before, rate):
    ours, theirs = started(rate=RATES[before]), started(rate=RATES[before])
    ours.learning_rate = RATES[rate]
    x = theirs.x.copy()
    made = adamnb.Optimizer(x, learning_rate=RATES[rate])
    made.state = theirs.state
    for optimizer in (ours, made):
        go_on(optimizer)
    assert bits(ours) == bits(made)
    assert np.array_equal(ours.learning_rate, RATES[rate])


def test_a_learning_rate_can_be_changed_in_place_of_a_number_only():
    number, array = started(rate=0.02), started(rate=np.full(5, 0.02))
    number.learning_rate *= 0.5
    assert number.learning_rate == 0.01
    with raises(ValueError, "read-only"):
        array.learning_rate *= 0.5
    array.learning_rate = 0.5 * array.learning_rate
    assert array.learning_rate.tolist() == [0.01] * 5


@pytest.mark.parametrize(
    ("rate", "kind", "texts"),
    [
        (-1.0, ValueError, ["`learning_rate` must be None (automatic), a number >= 0", "-1.0"]),
        (np.nan, ValueError, ["`learning_rate`", "nan"]),
        ("0.1", TypeError, ["`learning_rate`", "'0.1'"]),
        (np.ones(3), ValueError, ["`learning_rate` must have shape (5,)", "(3,)"]),
        (None, TypeError, ["`learning_rate`", "adamnb.minimize"]),
        (schedules.Plateau(0.1), TypeError, ["`learning_rate` must not be a Plateau"]),
    ],
)
def test_a_wrong_learning_rate_is_refused_and_the_old_one_kept(rate, kind, texts):
    ours = started()
    with raises(kind, *texts):
        ours.learning_rate = rate
    assert ours.learning_rate == 0.02
    go_on(ours)
    assert bits(ours) == bits(started(steps=9))


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("x", ["`x` of an Optimizer cannot be set", "`optimizer.x[...] = values`"]),
        ("t", ["`t` of an Optimizer cannot be set", "`optimizer.state`"]),
        ("method", ["`method` of an Optimizer cannot be set", "make a new Optimizer"]),
        ("threads", ["`threads` of an Optimizer cannot be set", "make a new Optimizer"]),
        ("beta1", ["`beta1` cannot be set", "optimizer.state | {'beta1': 0.5}"]),
        ("learning_rte", ["`learning_rte` is no attribute", "Did you mean `learning_rate`?"]),
        ("lr", ["`lr` is no attribute of an Optimizer: set `learning_rate` or `state`"]),
        ("momentum", ["`momentum` is no attribute"]),  # adam has none
    ],
)
def test_what_would_be_ignored_cannot_be_set(name, texts):
    ours = started()
    with raises(AttributeError, *texts):
        setattr(ours, name, 0.5)
    go_on(ours)
    assert bits(ours) == bits(started(steps=9))


def test_x_is_written_into():
    ours = started()
    ours.x[...] = X0
    go_on(ours)
    theirs = adamnb.Optimizer(X0.copy(), learning_rate=0.02)
    theirs.state = started().state
    go_on(theirs)
    assert bits(ours) == bits(theirs)


# ---------------------------------------------------------------------------------- a state given back


def through_savez(state):
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    return np.load(file)


def through_json(state):
    return json.loads(json.dumps(state | {"slots": state["slots"].tolist()}))


@pytest.mark.parametrize("stored", [through_savez, through_json])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("method", "hyperparameters"),
    [("adam", {"beta1": np.float32(0.8)}), ("rmsprop", {"centered": np.bool_(True)}), ("sgd", {})],
)
def test_a_stored_state_goes_on_with_the_same_bits(stored, dtype, method, hyperparameters):
    ours = started(method, dtype=dtype, **hyperparameters)
    theirs = adamnb.Optimizer(ours.x.copy(), method, 0.02)
    theirs.state = stored(ours.state)
    for optimizer in (ours, theirs):
        go_on(optimizer)
    assert bits(theirs) == bits(ours)


def test_a_stored_state_of_no_variables():
    empty = adamnb.Optimizer(np.zeros(0))
    empty.state = through_json(empty.state | {"t": 3})
    assert empty.t == 3


def changed_slot(value, slot):
    slots = np.ones((2, 5))
    slots[slot, 3] = value
    return slots


@pytest.mark.parametrize(
    ("change", "kind", "texts"),
    [
        ({"t": -1}, ValueError, ["`state['t']` must be a whole number >= 0", "-1"]),
        ({"t": 1.5}, ValueError, ["`state['t']` must be a whole number", "1.5"]),
        ({"t": np.nan}, ValueError, ["`state['t']` must be a whole number", "nan"]),
        ({"t": np.inf}, ValueError, ["`state['t']` must be a whole number", "inf"]),
        ({"t": 10**30}, ValueError, ["`state['t']` must be a whole number"]),
        ({"t": "3"}, TypeError, ["`state['t']` must be a whole number", "'3'"]),
        ({"t": None}, TypeError, ["`state['t']` must be a whole number", "None"]),
        ({"t": True}, TypeError, ["`state['t']` must be a whole number", "True"]),
        ({"beta1": None}, TypeError, ["`beta1` must satisfy 0 <= beta1 < 1", "None"]),
        ({"beta2": np.array(np.nan)}, ValueError, ["`beta2` must satisfy", "nan"]),
        ({"method": np.array("lion")}, ValueError, ["`state` must be of method 'adam'", "'lion'"]),
        ({"beta3": 0.5}, ValueError, ["`state` must have the keys", "'beta3'"]),
        ({7: 0.5}, ValueError, ["`state` must have the keys", "'7'"]),
        ({"slots": changed_slot(np.nan, 0)}, ValueError, ["['slots'][0]` (m)", "finite", "index 3"]),
        ({"slots": changed_slot(np.nan, 1)}, ValueError, ["['slots'][1]` (v)", "nan at index 3"]),
        ({"slots": changed_slot(-1.0, 1)}, ValueError, ["(v) must be finite and >= 0", "-1.0"]),
        ({"slots": changed_slot(np.inf, 1)}, ValueError, ["(v) must be finite", "inf at index 3"]),
        ({"slots": np.ones(10)}, ValueError, ["`state['slots']` must have shape (2, 5)", "(10,)"]),
        ({"slots": np.ones((2, 5), int)}, ValueError, ["must", "dtype float64", "int64"]),
        ({"slots": [[1.0] * 5, [1.0]]}, ValueError, ["`state['slots']`", "inhomogeneous"]),
        ({"slots": [["1"] * 5] * 2}, ValueError, ["`state['slots']` must", "float64", "<U1"]),
        ({"slots": None}, ValueError, ["`state['slots']` must have shape (2, 5)", "object"]),
    ],
)  # fmt: skip
def test_a_state_that_is_none_changes_nothing(change, kind, texts):
    ours = started()
    with raises(kind, *texts):
        ours.state = ours.state | {"t": 7, "beta1": 0.1} | change
    go_on(ours)
    assert bits(ours) == bits(started(steps=9))


@pytest.mark.parametrize("state", [None, 3, [("t", 1)]])
def test_a_state_that_is_no_dict(state):
    with raises(TypeError, "`state` must be a dict", type(state).__name__):
        started().state = state


def test_lists_of_another_precision_are_refused():
    ours = started(dtype=np.float32)
    with raises(ValueError, "`state['slots']` must", "float32", "float64"):
        ours.state = ours.state | {"slots": [[0.1] * 5] * 2}


@pytest.mark.parametrize("method", METHODS)
def test_slots_that_are_never_negative_are_those_of_squares(method):
    ours = started(method)
    signed = np.array([slot.min() < 0 for slot in ours.state["slots"]])
    for i, name in enumerate(METHODS[method].slot_names):
        slots = np.ones_like(ours.state["slots"])
        slots[i, 0] = -1.0
        if signed[i]:
            ours.state = ours.state | {"slots": slots}
        else:
            with raises(ValueError, f"`state['slots'][{i}]` ({name}) must be finite and >= 0"):
                ours.state = ours.state | {"slots": slots}


# ------------------------------------------------------------------------ gradients that are no number


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_element_that_is_not_finite_rests_and_the_others_are_stepped(method, value):
    ours, whole = started(method), started(method)
    x, slots, good = ours.x.copy(), ours.state["slots"], gradient(ours.x)
    bad = good.copy()
    bad[3] = value
    with raises(FloatingPointError, "`gradient` must be finite", f"{value} at index 3 in step 5"):
        ours.step(bad)
    whole.step(good)
    others = [0, 1, 2, 4]
    assert (ours.x[3], ours.t) == (x[3], 5)
    assert ours.x[others].tobytes() == whole.x[others].tobytes()
    assert np.array_equal(ours.state["slots"][:, 3], slots[:, 3])
    assert np.array_equal(ours.state["slots"][:, others], whole.state["slots"][:, others])
    go_on(ours)
    assert np.isfinite(ours.x).all()


@pytest.mark.parametrize(("dtype", "limit"), [(np.float64, 6.7e153), (np.float32, 9.2e18)])
def test_a_gradient_too_large_to_be_squared(dtype, limit):
    """Its v would be infinite, and the variable rest for ever without a word."""
    ours = started(dtype=dtype)
    x = ours.x.copy()
    with raises(FloatingPointError, "`gradient` must be at most", "at index 0", "divide"):
        ours.step(np.array([-10 * limit, 1, 1, 1, 1], dtype))
    assert ours.x[0] == x[0]
    assert (ours.x[1:] != x[1:]).all()
    ours.step(np.full(5, 0.99 * limit, dtype))
    assert np.isfinite(ours.state["slots"]).all()
    assert (ours.x != x).all()


def test_a_method_without_squares_takes_any_finite_gradient():
    x = np.zeros(2)
    adamnb.Optimizer(x, "momentum", 1e-300).step(np.array([1e300, -1e300]))
    np.testing.assert_allclose(x, [-1.0, 1.0])


def test_an_index_of_several_axes():
    g = np.ones((2, 3))
    g[1, 2] = np.nan
    with raises(FloatingPointError, "nan at index (1, 2)"):
        adamnb.Optimizer(np.ones((2, 3))).step(g)


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=SEVERAL)])
def test_unusable_elements_anywhere(threads):
    """At both ends, side by side, on both sides of a cut between chunks, and a whole chunk of them."""
    n = 3 * CHUNK + 5
    bad = [0, 7, 8, CHUNK - 1, CHUNK, *range(2 * CHUNK, 3 * CHUNK), n - 1]
    x, g = np.linspace(-1, 1, n), np.linspace(1, 2, n)
    whole = x.copy()
    adamnb.Optimizer(whole, threads=threads).step(g)
    expected = whole.copy()
    expected[bad] = x[bad]
    g[bad] = np.nan
    with raises(FloatingPointError, "nan at index 0"):
        adamnb.Optimizer(x, threads=threads).step(g)
    assert x.tobytes() == expected.tobytes()


# -------------------------------------------------------------------------------- overlaps and masks


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=SEVERAL)])
@pytest.mark.parametrize("shift", [-3, -1, 0, 1, 2, 40])
def test_a_gradient_that_overlaps_x(shift, threads):
    n = 40
    memory = np.random.default_rng(8).normal(size=3 * n)
    x, g = memory[n : 2 * n], memory[n + shift : 2 * n + shift]
    apart = x.copy()
    ours, theirs = (adamnb.Optimizer(array, threads=threads) for array in (x, apart))
    for _ in range(3):
        kept = g.copy()
        ours.step(g)
        theirs.step(kept)
    assert x.tobytes() == apart.tobytes()


def test_an_overlapping_gradient_that_is_not_finite():
    """What is told is the gradient before x was written over it."""
    memory = np.array([1.0, 2.0, np.inf])
    with raises(FloatingPointError, "inf at index 1"):
        adamnb.Optimizer(memory[:2]).step(memory[1:])
    assert memory[1] == 2.0


def test_masked_arrays_are_refused_by_name():
    masked = np.ma.array(X0.copy(), mask=X0 > 0)
    with raises(TypeError, "`x` must not be a masked array"):
        adamnb.Optimizer(masked)
    x = X0.copy()
    optimizer = adamnb.Optimizer(x)
    with raises(TypeError, "`gradient` must not be a masked array"):
        optimizer.step(masked)
    assert (optimizer.t, x.tobytes()) == (0, X0.tobytes())


def test_x_that_is_not_aligned():
    x = np.frombuffer(bytearray(17), offset=1)
    with raises(ValueError, "`x` must be", "aligned"):
        adamnb.Optimizer(x)


def test_a_memory_map_is_stepped_in_place(tmp_path):
    x = np.memmap(tmp_path / "x", float, "w+", shape=5)
    x[:] = X0
    ours = adamnb.Optimizer(x, learning_rate=0.02)
    for _ in range(4):
        ours.step(gradient(x))
    assert np.fromfile(tmp_path / "x").tobytes() == started().x.tobytes()


def test_a_method_given_as_a_solver():
    assert adamnb.Optimizer(X0.copy(), adamnb.lion).method == "lion"
