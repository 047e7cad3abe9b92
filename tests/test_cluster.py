"""`minimize_batch` on a Dask cluster of two processes, and dask arrays as data."""

import os
import signal
import warnings

import numpy as np
import pytest
from objectives import NAMES, decays, inplace, python_both

import adamnb

dask = pytest.importorskip("dask", reason="dask is not installed")
distributed = pytest.importorskip("distributed", reason="distributed is not installed")
da = pytest.importorskip("dask.array", reason="dask is not installed")
FITS = int(os.environ.get("ADAMNB_FITS", 20_000))  # 100,000 in a minute


@pytest.fixture(scope="module")
def client():
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        warnings.simplefilter("ignore")
        yield client


def fits(count, fun=inplace, jac="inplace", lazy=False, **options):
    y, w, t = decays(count)
    if lazy:
        y, w = da.from_array(y, chunks=(count // 7 + 1, 5)), da.from_array(w, chunks=count // 3 + 1)
    return adamnb.minimize_batch(fun, [1.0, 1.0], (t,), (y, w), jac=jac, **options)


def assert_same(one, other):
    for name in NAMES:
        assert one[name].tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("form", [(inplace, "inplace"), (python_both, True)])
def test_a_cluster_has_the_bits_of_this_process(client, form, lazy):
    here = fits(30, *form, errors="chi2")
    there = fits(30, *form, errors="chi2", lazy=lazy, workers=client)
    assert_same(there, here)
    assert there.covariance.tobytes() == here.covariance.tobytes()


def test_dask_arrays_are_read_block_by_block():
    largest = [0]

    def block(part):
        largest[0] = max(largest[0], len(part))
        return part

    y, w, t = decays(5000)
    lazy = da.from_array(y, chunks=(500, -1)).map_blocks(block, dtype=float, meta=y[:0])
    with dask.config.set(scheduler="synchronous"):
        found = adamnb.minimize_batch(
            inplace, [1.0, 1.0], (t,), (lazy, w), jac="inplace", threads=1
        )
    assert largest[0] == 500
    assert_same(found, fits(5000))


def test_maps_of_xarray():
    """The example of docs/long_runs.md."""
    xarray = pytest.importorskip("xarray")
    y, _, t = decays(24)

    def fits_of(y):
        rows = y.reshape(-1, y.shape[-1])
        ones = np.ones(len(rows))
        found = adamnb.minimize_batch(inplace, [1.0, 1.0], (t,), (rows, ones), jac="inplace")
        return found.x.reshape(*y.shape[:-1], 2)

    signals = xarray.DataArray(y.reshape(4, 6, -1), dims=("row", "column", "t"))
    lazy = signals.chunk({"row": 2, "column": 3})
    maps = xarray.apply_ufunc(
        fits_of, lazy, input_core_dims=[["t"]], output_core_dims=[["parameter"]],
        dask="parallelized", output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"parameter": 2}},
    )  # fmt: skip
    assert maps.shape == (4, 6, 2)
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_array_equal(maps.values, fits_of(signals.values))


def test_a_worker_that_is_killed_is_made_up_for(client):
    killed = []

    def kill(done, total):
        if not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    found = fits(FITS, lazy=True, workers=client, progress=kill)
    assert killed
    assert killed[0] not in client.run(os.getpid).values()
    assert_same(found, fits(FITS))


def test_an_exception_and_an_early_end(client):
    with pytest.raises(ZeroDivisionError):
        adamnb.minimize_batch(lambda x: 1 / 0, np.ones((3, 1)), workers=client)

    def stop(done, total):
        raise StopIteration

    found = fits(64, python_both, True, workers=client, progress=stop)
    assert 0 < (found.status == 0).sum() < 64
    assert set(found.status) == {0, 99}
