"""Minimisation of a mean over the rows of a data set."""

import numpy as np
import pytest
from objectives import mean_inplace, mean_misfit, python_mean

from adamnb._problem import rows as rows_module
from adamnb._problem.arguments import COMPILED, FORWARD
from adamnb._problem.mean import Mean
from adamnb._problem.methods import METHODS
from adamnb._problem.options import complete
from adamnb._problem.problem import Problem
from adamnb._problem.rows import Reordered, Rows

N, TRUE = 1000, np.array([1.0, -2.0, 0.5])


def data(n=N, dtype=float):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(n, TRUE.size))
    return a.astype(dtype), (a @ TRUE + 0.1 * rng.normal(size=n)).astype(dtype)


def on_disk(folder, *arrays):
    for i, array in enumerate(arrays):
        np.save(folder / f"{i}.npy", array)
    return tuple(np.load(folder / f"{i}.npy", mmap_mode="r") for i in range(len(arrays)))


class Sliced:
    """What slices like an array, forwards only, and is none, as datasets of h5py."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, rows):
        if not isinstance(rows, slice):
            assert (np.diff(rows) > 0).all()
        return self.array[rows].copy()


# -------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ((), ValueError, "at least one array"),
        ((np.zeros(3), np.zeros(4)), ValueError, r"`data\[0\]` has 3, `data\[1\]` has 4"),
        (np.zeros((0, 2)), ValueError, "at least one row"),
        (3.0, ValueError, r"`data\[0\]` must have a leading axis of rows; got a scalar"),
        (np.array([None, 1]), TypeError, r"`data\[0\]` must hold numbers; got dtype object"),
        (np.array(["a"]), TypeError, "must hold numbers"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), TypeError, "must not be a masked array"),
        ([[1.0], [1.0, 2.0]], ValueError, r"must be an array of shape \(N, ...\)"),
        ((np.ones(3), [1.0, np.nan, 0.0]), ValueError, r"`data\[1\]` is nan at index 1: leave"),
        (np.array([[1.0, 2.0], [3.0, -np.inf]]), ValueError, r"`data\[0\]` is -inf at index 1, 1"),
    ],
)
def test_bad_data_is_one_clear_error(given, error, text):
    with pytest.raises(error, match=text):
        Rows(given)


def test_a_sparse_matrix_and_an_array_on_a_gpu_are_errors():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="must not be a sparse matrix"):
        Rows(sparse.csr_array(np.eye(3)))

    class There:
        __cuda_array_interface__ = None

    with pytest.raises(TypeError, match="it is on a GPU"):
        Rows(There())


def test_sums_that_overflow_are_no_numbers_that_are_not_finite():
    assert Rows(np.full(10, 1e308)).count == 10
    assert Rows([np.nan], nan_policy="propagate").count == 1
    with pytest.raises(ValueError, match="`nan_policy` must be 'raise' or 'propagate'; got 'omit'"):
        Rows([1.0], nan_policy="omit")


def test_rows_are_views_of_what_is_contiguous_in_memory_and_copies_of_all_else(tmp_path):
    a, y = data()
    (mapped,) = on_disk(tmp_path, a)
    still = a.copy()
    still.flags.writeable = False
    kinds = [a, y, mapped, np.asfortranarray(a), a[:, ::2], a.astype(">f8"), still, Sliced(a)]
    rows = Rows(tuple(kinds))
    block = rows.block(3, 8)
    assert [np.shares_memory(b, k) for b, k in zip(block, kinds[:-1], strict=False)] == (
        [True, True] + 5 * [False]
    )
    order = np.array([7, 3, 900])
    gathered = rows.gather(order, rows.buffers(5))
    for one, few, whole in zip(block, gathered, kinds, strict=True):
        whole = whole.array if isinstance(whole, Sliced) else whole
        assert type(one) is np.ndarray
        assert one.flags.carray
        assert one.dtype.isnative
        assert one.tobytes() == np.array(whole[3:8], one.dtype).tobytes()
        assert few.tobytes() == np.array(whole[order], few.dtype).tobytes()
    assert rows.on_disk
    assert not Rows((a, still)).on_disk


# -------------------------------------------------------------------------------------------- mean


def mean_of(fun, jac, rows, threads=None):
    method = METHODS["adam"]
    o = complete(method, {"threads": threads})
    compiled = hasattr(fun, "py_func")
    problem = Problem(fun, jac, (), np.ones(3), None, method, o, None, None, compiled)
    return Mean(problem, rows, np.zeros(2, np.int64))


@pytest.fixture
def many_pieces(monkeypatch):
    monkeypatch.setattr(rows_module, "PIECE", 1000 * 8)


@pytest.mark.parametrize(
    ("fun", "jac", "tolerance"),
    [
        (mean_inplace, "inplace", 1e-13),
        (mean_misfit, FORWARD, 1e-13),
        (mean_misfit, COMPILED, 1e-6),
        (python_mean, True, 1e-13),
        (lambda *given: python_mean(*given)[0], "3-point", 1e-6),
    ],
)
def test_a_mean_over_pieces_is_that_over_all_rows(fun, jac, tolerance, many_pieces, tmp_path):
    x, whole = np.array([0.3, 0.2, 0.1]), data()
    expected = python_mean(x, *whole)
    found = []
    for given in (whole, on_disk(tmp_path, *whole), tuple(map(Sliced, whole))):
        for threads in (1, None):
            mean = mean_of(fun, jac, rows := Rows(given), threads)
            assert len(rows.pieces(0, N)) == 4
            f, g = mean.evaluate(x, rows)
            assert mean.passed == N
            assert mean.counts[1] == 4
            found.append((f, g.tobytes()))
    assert len(set(found)) == 1
    np.testing.assert_allclose(f, expected[0], rtol=1e-13)
    np.testing.assert_allclose(g, expected[1], rtol=tolerance)


def test_a_mean_over_some_rows_in_another_order(many_pieces):
    x, (a, y) = np.array([0.3, 0.2, 0.1]), data()
    order = np.random.default_rng(1).permutation(N)
    rows = Rows((a, y))
    mean = mean_of(mean_inplace, "inplace", rows)
    f, g = mean.evaluate(x, Reordered(rows, order), 100, 600)
    expected = python_mean(x, a[order[100:600]], y[order[100:600]])
    np.testing.assert_allclose(f, expected[0], rtol=1e-13)
    np.testing.assert_allclose(g, expected[1], rtol=1e-12)


def test_a_piece_that_holds_all_rows_has_the_bits_of_the_function_itself():
    x, (a, y) = np.array([0.3, 0.2, 0.1]), data()
    rows = Rows((a, y))
    f, g = mean_of(mean_inplace, "inplace", rows).evaluate(x, rows)
    own = np.empty(3)
    assert (f, g.tobytes()) == (mean_inplace(x, own, a, y), own.tobytes())
