"""
Your own loop: the helium atom by variational Monte Carlo
=========================================================

The energy of a trial wave function is an average over random walkers, and so is its gradient: both
are noisy, no two evaluations agree, and line searches fail. This is what Adam was made for. Here
the loop is our own: move the walkers, estimate the gradient, ``optimizer.step(gradient)``.

The trial function is exp(-zeta (r1 + r2) + r12 / (2 (1 + b r12))): two electrons that see a nucleus
screened to the charge zeta, and avoid each other. The best energy that it reaches is -2.89027
hartree, at zeta = 1.843 and b = 0.346; the exact energy of the atom is -2.90372.
"""

import importlib.util

import numpy as np

import adamnb

WALKERS = 2000
rng = np.random.default_rng(2)

# %%
# The physics: logarithm of the trial function, its derivatives with respect to the two parameters,
# the local energy.


def distances(r):
    """Of each electron from the nucleus, (2, walkers), and of both from each other, (walkers,)."""
    return np.linalg.norm(r, axis=2), np.linalg.norm(r[0] - r[1], axis=1)


def log_psi(r, zeta, b):
    """Logarithm of the trial function, shape (walkers,); `r` has shape (2, walkers, 3)."""
    nucleus, between = distances(r)
    return -zeta * nucleus.sum(axis=0) + 0.5 * between / (1.0 + b * between)


def slopes(r, b):
    """Derivatives of `log_psi` with respect to (zeta, b), shape (2, walkers)."""
    nucleus, between = distances(r)
    return np.array([-nucleus.sum(axis=0), -0.5 * (between / (1.0 + b * between)) ** 2])


def local_energy(r, zeta, b):
    """H psi / psi in hartree, shape (walkers,)."""
    (r1, r2), r12 = distances(r)
    jastrow = 0.5 / (1.0 + b * r12) ** 2
    cosine = np.sum(r[0] * r[1], axis=1) / (r1 * r2)
    alone = (zeta - 2.0) * (1.0 / r1 + 1.0 / r2) + 1.0 / r12 - zeta**2
    together = zeta * (r1 + r2) / r12 * (1.0 - cosine) - jastrow - 2.0 / r12
    return alone + jastrow * (together + 2.0 * b / (1.0 + b * r12))


def walk(r, parameters, moves):
    """Metropolis moves of all walkers, in place."""
    current = log_psi(r, *parameters)
    for _ in range(moves):
        trial = r + rng.normal(scale=0.35, size=r.shape)
        proposed = log_psi(trial, *parameters)
        accepted = np.log(rng.random(WALKERS)) < 2.0 * (proposed - current)
        r[:, accepted] = trial[:, accepted]
        current = np.where(accepted, proposed, current)


# %%
# The loop. The rate falls along a cosine to zero, so that the noise averages out at the end. The
# parameters are updated in place: `parameters` is the array that the optimizer was given.

STEPS = 400
parameters = np.array([2.0, 1.0])
optimizer = adamnb.Optimizer(
    parameters, learning_rate=lambda t: 0.015 * (1.0 + np.cos(np.pi * t / STEPS))
)
walkers = rng.normal(size=(2, WALKERS, 3))
walk(walkers, parameters, moves=200)
history = []
for _ in range(STEPS):
    walk(walkers, parameters, moves=5)
    energy = local_energy(walkers, *parameters)
    gradient = 2.0 * np.mean((energy - energy.mean()) * slopes(walkers, parameters[1]), axis=1)
    optimizer.step(gradient)
    history.append((energy.mean(), *parameters))

# %%
# The energy at the parameters found, from a longer walk with an error bar.

blocks = []
for _ in range(200):
    walk(walkers, parameters, moves=10)
    blocks.append(local_energy(walkers, *parameters).mean())
energy, error = np.mean(blocks), np.std(blocks) / np.sqrt(len(blocks))
print(f"zeta = {parameters[0]:.3f}, b = {parameters[1]:.3f}")
print(f"energy {energy:.4f} +- {error:.4f} hartree; best of this form -2.8903, exact -2.9037")
assert np.allclose(parameters, [1.843, 0.346], atol=0.03)
assert abs(energy + 2.89027) < 0.0005 + 4 * error
assert energy > -2.90372 - 4 * error, "below the ground state: the sampling is wrong"

# %%
# The energy and the parameters on the way.

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, (top, bottom) = plt.subplots(2, 1, sharex=True)
    energies, zetas, bs = np.array(history).T
    top.plot(energies, linewidth=1)
    top.axhline(-2.90372, color="tab:red", label="exact")
    top.set(ylabel="energy / hartree", title="Helium, variational Monte Carlo")
    top.legend()
    bottom.plot(zetas, label="zeta")
    bottom.plot(bs, label="b")
    bottom.set(xlabel="step", ylabel="parameter")
    bottom.legend()
    if plt.get_backend().lower() != "agg":
        plt.show()
