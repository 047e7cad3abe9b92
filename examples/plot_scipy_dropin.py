"""
Inside SciPy: bounds, callback and basin hopping
================================================

Every method of adamnb is a callable that SciPy takes as ``method=``. A program that calls
``scipy.optimize.minimize`` keeps its objective, gradient, bounds and callback, and everything in
SciPy that calls ``minimize`` can use Adam, too.
"""

import importlib.util

import numpy as np
from scipy.optimize import Bounds, basinhopping, minimize, rosen, rosen_der

import adamnb

# %%
# Rosenbrock's function with the first coordinate kept below 1/2. The minimum is then not at (1, 1),
# where the gradient vanishes, but on the bound, at (1/2, 1/4): along the valley x2 = x1**2 as far
# as it is allowed.

path: list[np.ndarray] = []
res = minimize(
    rosen,
    [-1.2, 1.0],
    jac=rosen_der,
    method=adamnb.adam,
    bounds=Bounds([-2.0, -2.0], [0.5, 2.0]),
    callback=path.append,
    options={"maxiter": 5000},
)
print(res.message)
print(f"x = {res.x}, f = {res.fun:.6f} after {res.nit} iterations")
assert res.success
assert len(path) == res.nit
assert np.allclose(res.x, [0.5, 0.25], atol=1e-4)
assert abs(res.fun - 0.25) < 1e-4

# %%
# SciPy's own L-BFGS-B with the same arguments finds the same point. (On a small smooth problem it
# needs fewer evaluations than Adam. Adam is for the noisy, huge, badly scaled ones; but nothing in
# the call tells them apart.)

reference = minimize(
    rosen, [-1.2, 1.0], jac=rosen_der, method="L-BFGS-B", bounds=Bounds([-2.0, -2.0], [0.5, 2.0])
)
assert np.allclose(res.x, reference.x, atol=1e-4)

# %%
# Seven argon atoms: basin hopping (Wales & Doye, J. Phys. Chem. A 101, 5111, 1997) was invented for
# such clusters. It shakes the atoms, lets a local minimiser relax them, and repeats. Its local
# minimiser is Adam here. The best energy, of a pentagonal bipyramid, is known: -16.505384 (in units
# of the pair potential's depth).

ATOMS = 7
FIRST, SECOND = np.triu_indices(ATOMS, 1)


def lennard_jones(x):
    """Energy of the cluster and its gradient, shape (3 ATOMS,)."""
    x = x.reshape(ATOMS, 3)
    between = x[FIRST] - x[SECOND]
    square = np.sum(between * between, axis=1)
    sixth = 1.0 / square**3
    slope = (24.0 * sixth - 48.0 * sixth * sixth) / square
    gradient = np.zeros_like(x)
    np.add.at(gradient, FIRST, slope[:, np.newaxis] * between)
    np.subtract.at(gradient, SECOND, slope[:, np.newaxis] * between)
    return np.sum(4.0 * sixth * (sixth - 1.0)), gradient.ravel()


start = np.random.default_rng(5).uniform(-1.2, 1.2, size=3 * ATOMS)
cluster = basinhopping(
    lennard_jones,
    start,
    niter=25,
    stepsize=0.5,
    rng=1,
    minimizer_kwargs={"method": adamnb.adam, "jac": True},
)
print(f"energy of the cluster {cluster.fun:.6f}, known -16.505384; {cluster.nfev} evaluations")
assert abs(cluster.fun + 16.505384) < 1e-4

# %%
# The way along the valley to the bound.

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    x1, x2 = np.meshgrid(np.linspace(-1.6, 1.2, 200), np.linspace(-0.6, 1.6, 200))
    figure, axes = plt.subplots()
    axes.contourf(x1, x2, np.log10(rosen(np.array([x1, x2])) + 1e-3), levels=20)
    axes.plot(*np.array(path).T, color="white", linewidth=1)
    axes.axvline(0.5, color="tab:red", label="bound")
    axes.plot(*res.x, "o", color="tab:red", label="minimum found")
    axes.set(xlabel="x1", ylabel="x2", title="Rosenbrock's valley with a wall")
    axes.legend()
    if plt.get_backend().lower() != "agg":
        plt.show()
