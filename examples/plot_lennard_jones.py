"""
All the shapes of seven atoms
=============================

Seven atoms that attract each other by the Lennard-Jones potential hold together in four different
ways. Where a descent ends depends on where it starts, so many are run, side by side.
"""

# %%
# The energy, in units of the depth of the pair potential and of its zero. A compiled function needs no
# gradient, and is run for all starts on all cores.

import importlib.util

import numba
import numpy as np

import adamnb


@numba.njit(error_model="numpy")  # atoms in one place: infinite, and no exception
def energy(x):
    total = 0.0
    for i in range(0, x.size, 3):
        for j in range(0, i, 3):
            r2 = (x[i] - x[j]) ** 2 + (x[i + 1] - x[j + 1]) ** 2 + (x[i + 2] - x[j + 2]) ** 2
            inverse6 = 1.0 / r2**3
            total += 4.0 * inverse6 * (inverse6 - 1.0)
    return total


# %%
# A thousand starts, spread over a box by a Sobol sequence. A cluster may be turned, and its atoms
# exchanged: minima are the same if their energies are.

atoms = 7
found = adamnb.multistart(energy, [(-2, 2)] * (3 * atoms), 1024, same="fun", same_tol=1e-5, rng=1)
print(found)

# %%
# The four energies are in the Cambridge Cluster Database and in Hoare & McInnes (1976).

known = [-16.505384, -15.935043, -15.593211, -15.533060]
assert np.allclose(found.minima_fun[:4], known, atol=1e-5)

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    plt.figure(figsize=(6, 3.5))
    shapes = [
        "pentagonal bipyramid",
        "capped octahedron",
        "tricapped tetrahedron",
        "bicapped bipyramid",
    ]
    plt.bar(range(4), found.counts[:4], color="C0")
    plt.xticks(range(4), [f"{e:.3f}\n{s}" for e, s in zip(known, shapes, strict=True)], fontsize=7)
    plt.ylabel("starts that end there")
    plt.tight_layout()
    plt.show()
