"""
A regression on data larger than memory
=======================================

A million counts in a file, and a Poisson regression of them: `minimize_stochastic` reads the file in blocks,
and never has more than some hundred megabytes of it in memory. The file here is made by the script, and
smaller than that; the call is the same for one of a terabyte, through which it goes in batches. The check is
the textbook's iteratively reweighted least squares on all rows, and how far it is from there in standard
errors.
"""

import importlib.util
import tempfile
from pathlib import Path

import numba
import numpy as np

import adamnb

# %%
# Detector pixels: counts with the mean exp(a row of the design . beta). Rows are written block by block,
# one row of the file for one count, as a simulation or an instrument would do it.

rows, names = 1_000_000, ("constant", "energy", "angle", "pressure", "night")
truth = np.array([0.3, 0.5, -0.4, 0.2, -0.6])
rng = np.random.default_rng(12)
folder = tempfile.TemporaryDirectory()
path = Path(folder.name)
files = {
    "design": np.lib.format.open_memmap(path / "design.npy", "w+", float, (rows, len(names))),
    "counts": np.lib.format.open_memmap(path / "counts.npy", "w+", float, (rows,)),
}
for lo in range(0, rows, 100_000):
    block = rng.normal(size=(100_000, len(names)))
    block[:, 0], block[:, 4] = 1.0, rng.random(100_000) < 0.5
    files["design"][lo : lo + 100_000] = block
    files["counts"][lo : lo + 100_000] = rng.poisson(np.exp(block @ truth))
for file in files.values():
    file.flush()
del files, file

# %%
# The objective is the mean over the rows that it gets; its gradient is had by `minimize_stochastic`. That
# takes a sample of the rows, and larger ones, at last all, with the curvature that they tell of: a few
# passes over the file.


@numba.njit(error_model="numpy")
def loss(beta, design, counts):
    """Mean negative log-likelihood without its constant."""
    f = 0.0
    for i in range(counts.size):
        linear = 0.0
        for j in range(beta.size):
            linear += design[i, j] * beta[j]
        f += np.exp(linear) - counts[i] * linear
    return f / counts.size


design = np.load(path / "design.npy", mmap_mode="r")
counts = np.load(path / "counts.npy", mmap_mode="r")
start = np.zeros(len(names))
res = adamnb.minimize_stochastic(loss, start, (design, counts), seed=1)
print(res.message, f"{res.passes:.1f} passes, samples of {res.samples} rows")
assert res.success

# %%
# Batches are for what has many variables or is not smooth. They need no curvature, and find the neighbourhood
# of the minimum, for one step of Adam for each 64 rows; a fraction of a standard error is left.

batches = adamnb.minimize_stochastic(
    loss, start, (design, counts), method="adam", epochs=3, seed=1, history=True
)
print(batches.message)
print("f in each epoch:", batches.history["fun"].round(5))

# %%
# The check reads the whole file.

reference = res.x.copy()
for _ in range(2):  # Newton's steps, as reweighted least squares makes them
    mean = np.exp(design @ reference)
    fisher = design.T @ (mean[:, None] * design)
    reference += np.linalg.solve(fisher, design.T @ (counts - mean))
error = np.sqrt(np.diag(np.linalg.inv(fisher)))
off = np.abs(batches.x - reference) / error
print(f"{'':12}{'truth':>8}{'samples':>12}{'3 epochs':>12}{'reference':>12}{'std. error':>12}")
for row in zip(names, truth, res.x, batches.x, reference, error, strict=True):
    print(f"{row[0]:12}{row[1]:8.2f}" + "".join(f"{value:12.6f}" for value in row[2:]))
assert np.all(off < 3), "batches are far off the maximum likelihood"
assert np.all(np.abs(res.x - reference) < 0.05 * error)
assert np.all(np.abs(res.x - truth) < 4 * error)

# %%
# Where the three epochs ended, in standard errors of the fit.

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    axes.bar(names, (batches.x - reference) / error)
    axes.axhspan(-1, 1, color="gray", alpha=0.2, linewidth=0, label="one standard error")
    axes.set(ylabel="distance from the maximum likelihood", title="Three epochs of batches")
    axes.legend()
    figure.tight_layout()
    if plt.get_backend().lower() != "agg":
        plt.show()

del design, counts
folder.cleanup()
