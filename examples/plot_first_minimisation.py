"""
A first minimisation: twelve electrons on a sphere
==================================================

Thomson's problem (1904): where do N equal charges on a sphere come to rest? For twelve charges the
answer is known: the corners of an icosahedron, with the energy 49.165253058 (Wales & Ulker, Phys.
Rev. B 74, 212101, 2006).

You need an objective and a starting point. There is no gradient to write, and no learning rate to choose.
"""

import importlib.util

import numba
import numpy as np

import adamnb

N = 12
ENERGY = 49.165253058

# %%
# The energy of the charges. The unknowns are 3 N free coordinates; only their direction counts, so that no
# constraint is needed: charge i sits at ``r_i = x_i / |x_i|``. Decorated with ``@numba.njit``, the function
# is differentiated exactly, and the whole minimisation runs as machine code.


@numba.njit(error_model="numpy")
def energy(x):
    """Coulomb energy."""
    x = x.reshape(N, 3)
    total = 0.0
    for i in range(N):
        for j in range(i):
            cosine = x[i] @ x[j] / np.sqrt((x[i] @ x[i]) * (x[j] @ x[j]))
            total += 1.0 / np.sqrt(2.0 - 2.0 * cosine)
    return total


x0 = np.random.default_rng(1904).normal(size=3 * N)
res = adamnb.minimize(energy, x0)
print(res.message)
print(
    f"energy {res.fun:.9f} after {res.nit} iterations, {res.time:.3f} s, {res.compile_time:.1f} s of it"
    f" to compile, once; known {ENERGY:.9f}"
)
assert res.success
assert abs(res.fun - ENERGY) < 1e-6

# %%
# The neighbours of each charge: an icosahedron has five of them, all at the same angle, arctan 2 =
# 63.43 degrees.

r = res.x.reshape(N, 3) / np.linalg.norm(res.x.reshape(N, 3), axis=1, keepdims=True)
angles = np.degrees(np.arccos(np.clip(r @ r.T, -1.0, 1.0)))
nearest = np.sort(angles, axis=1)[:, 1:6]
print(f"angles to the five nearest charges: {nearest.min():.2f} to {nearest.max():.2f} degrees")
assert np.allclose(nearest, np.degrees(np.arctan(2.0)), atol=0.1)

# %%
# The same in plain NumPy. Whoever has written a gradient gives it, here with the energy (``jac=True``); for a
# Python function without one, differences are taken.


def energy_and_gradient(x):
    """Coulomb energy and its gradient, shape (3 N,)."""
    x = x.reshape(N, 3)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    r = x / length
    between = r[:, np.newaxis] - r
    distance = np.linalg.norm(between, axis=2) + np.diag(np.full(N, np.inf))
    force = -np.sum(between / distance[:, :, np.newaxis] ** 3, axis=1)
    along_sphere = force - r * np.sum(r * force, axis=1, keepdims=True)
    return 0.5 * np.sum(1.0 / distance), (along_sphere / length).ravel()


f, gradient = adamnb.value_and_grad(energy)(x0)
assert np.isclose(energy_and_gradient(x0)[0], f, rtol=1e-12)
assert np.allclose(energy_and_gradient(x0)[1], gradient, rtol=1e-9, atol=1e-12)

plain = adamnb.minimize(energy_and_gradient, x0, jac=True)
print(f"NumPy: energy {plain.fun:.9f} after {plain.nit} iterations, {plain.time:.3f} s")
assert plain.success
assert abs(plain.fun - ENERGY) < 1e-6

# %%
# The charges and their nearest neighbours.

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    axes = plt.figure().add_subplot(projection="3d")
    for i, j in zip(*np.nonzero((angles < 70) & (angles > 1)), strict=True):
        axes.plot(*r[[i, j]].T, color="tab:blue", linewidth=1)
    axes.scatter(*r.T, color="tab:red", s=60)
    axes.set_title(f"{N} charges, energy {res.fun:.6f}")
    axes.set_aspect("equal")
    if plt.get_backend().lower() != "agg":
        plt.show()
