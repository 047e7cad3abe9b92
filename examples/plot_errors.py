"""
Standard errors and profile intervals
=====================================

How many events does a weak line have, and how sure is that? Twenty bins of a spectrum hold few counts each,
so the likelihood is Poisson's, and its logarithm no parabola: the interval of the line's strength is longer
upwards than downwards. The standard errors come from the Hessian at the minimum, the intervals from the
profile likelihood, as particle physicists have both from MINUIT. The check is a simulation.
"""

import importlib.util

import numba
import numpy as np

import adamnb

# %%
# A line at a known place, of known width, on a background that falls: three parameters.

energy = np.linspace(0.5, 10.0, 20)
line = np.exp(-0.5 * ((energy - 4.0) / 0.7) ** 2)
truth = np.array([6.0, 8.0, 0.25])
names = ("line", "background", "slope")


@numba.njit(error_model="numpy")
def expected(x, energy, line):
    """Mean counts of each bin."""
    return x[0] * line + x[1] * np.exp(-x[2] * energy)


@numba.njit(error_model="numpy")
def loss(x, counts, energy, line):
    """Negative log-likelihood without its constant."""
    mean = expected(x, energy, line)
    return np.sum(mean - counts * np.log(mean))


rng = np.random.default_rng(2)
counts = rng.poisson(expected(truth, energy, line)).astype(float)
bounds = [(0.0, None), (1e-3, None), (0.0, 5.0)]

# %%
# ``errors`` says what the objective is. Printed, the result shows values, errors, intervals and correlations.

fit = adamnb.minimize(
    loss,
    [3.0, 5.0, 0.5],
    (counts, energy, line),
    bounds=bounds,
    errors="likelihood",
    profile=[0, 1, 2],
)
print(fit.table())
print(fit.covariance_message, fit.intervals_message)
assert fit.success
assert fit.covariance_status == 0
down, up = fit.x[0] - fit.intervals[0, 0], fit.intervals[0, 1] - fit.x[0]
assert up > down, "few counts: the interval is longer upwards"

# %%
# Does it cover? Of 4,000 simulated spectra, fitted as one batch, so many have the truth within one and two
# standard errors. Where the line is at its bound, 0, there is no standard error, and the result says so.

many = rng.poisson(expected(truth, energy, line), (4000, energy.size)).astype(float)
batch = adamnb.minimize_batch(
    loss, truth, (energy, line), (many,), bounds=bounds, errors="likelihood"
)
print(batch)
known = batch.covariance_status == 0
off = np.abs(batch.x[known] - truth) / batch.stderr[known]
for count, level in ((1, 0.683), (2, 0.954)):
    covered = (off < count).mean(axis=0)
    print(
        f"within {count}: " + ", ".join(f"{n} {c:.3f}" for n, c in zip(names, covered, strict=True))
    )
    assert np.all(np.abs(covered - level) < 0.03)

# %%
# The profile of the line's strength, beside the parabola of its standard error.

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
    left.errorbar(energy, counts, np.sqrt(np.maximum(counts, 1)), fmt="o", label="counts")
    left.plot(energy, expected(fit.x, energy, line), label="fit")
    left.set(xlabel="energy", title="A weak line")
    left.legend()
    strengths = np.linspace(fit.x[0] - 2 * down, fit.x[0] + 2 * up, 41)
    profile = [
        adamnb.minimize(
            loss, [s, *fit.x[1:]], (counts, energy, line), bounds=[(s, s), *bounds[1:]]
        ).fun
        for s in strengths
    ]
    right.plot(strengths, np.array(profile) - fit.fun, label="profile")
    right.plot(
        strengths, 0.5 * ((strengths - fit.x[0]) / fit.stderr[0]) ** 2, "--", label="parabola"
    )
    right.axhline(0.5, color="gray", linewidth=1)
    right.axvspan(*fit.intervals[0], alpha=0.2)
    right.set(xlabel="strength of the line", title="rise of -log L")
    right.legend()
    figure.tight_layout()
    if plt.get_backend().lower() != "agg":
        plt.show()
