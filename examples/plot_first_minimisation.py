"""
A first minimisation: twelve electrons on a sphere
==================================================

Thomson's problem (1904): where do N equal charges on a sphere come to rest? For twelve charges the
answer is known: the corners of an icosahedron, with the energy 49.165253058 (Wales & Ulker, Phys.
Rev. B 74, 212101, 2006).

You need an objective, its gradient and a starting point. There is no learning rate to choose.
"""

import importlib.util

import numba
import numpy as np

import adamnb

N = 12
ENERGY = 49.165253058

# %%
# The energy of the charges, and its gradient, as a NumPy user writes them. The unknowns are 3 N
# free coordinates; only their direction counts, so that no constraint is needed: charge i sits at
# r_i = x_i / |x_i|.


def energy(x):
    """Coulomb energy and its gradient, shape (3 N,)."""
    x = x.reshape(N, 3)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    r = x / length
    between = r[:, np.newaxis] - r
    distance = np.linalg.norm(between, axis=2) + np.diag(np.full(N, np.inf))
    force = -np.sum(between / distance[:, :, np.newaxis] ** 3, axis=1)
    along_sphere = force - r * np.sum(r * force, axis=1, keepdims=True)
    return 0.5 * np.sum(1.0 / distance), (along_sphere / length).ravel()


x0 = np.random.default_rng(1904).normal(size=3 * N)
res = adamnb.minimize(energy, x0, jac=True)
print(res.message)
print(f"energy {res.fun:.9f} after {res.nit} iterations, {res.time:.3f} s; known {ENERGY:.9f}")
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
# The same, compiled: decorate the objective with ``@numba.njit`` and the whole minimisation runs as
# machine code. With ``jac="inplace"`` the gradient is written into `g`, so that no iteration
# allocates anything.


@numba.njit(error_model="numpy")
def compiled_energy(x, g):
    """Coulomb energy; writes its gradient into `g`."""
    total = 0.0
    g[:] = 0.0
    length = np.empty(x.size // 3)
    for i in range(length.size):
        length[i] = np.sqrt(x[3 * i] ** 2 + x[3 * i + 1] ** 2 + x[3 * i + 2] ** 2)
    for i in range(length.size):
        for j in range(i):
            cosine = 0.0
            for k in range(3):
                cosine += x[3 * i + k] * x[3 * j + k] / (length[i] * length[j])
            distance = np.sqrt(2.0 - 2.0 * cosine)
            total += 1.0 / distance
            for k in range(3):
                a, b = x[3 * i + k] / length[i], x[3 * j + k] / length[j]
                g[3 * i + k] -= (cosine * a - b) / (distance**3 * length[i])
                g[3 * j + k] -= (cosine * b - a) / (distance**3 * length[j])
    return total


g = np.empty_like(x0)
f, gradient = energy(x0)
assert np.isclose(compiled_energy(x0, g), f, rtol=1e-12)
assert np.allclose(g, gradient, rtol=1e-9, atol=1e-12)

compiled = adamnb.minimize(compiled_energy, x0, jac="inplace")
print(
    f"compiled: energy {compiled.fun:.9f} after {compiled.nit} iterations, {compiled.time:.3f} s"
    f" (and {compiled.compile_time:.1f} s to compile, once)"
)
assert compiled.success
assert abs(compiled.fun - ENERGY) < 1e-6

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
