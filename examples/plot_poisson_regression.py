"""
Poisson regression
==================

How does the rate of an event depend on what we know about each subject? Counts y_i with the mean
exp(x_i . beta) * exposure_i: the most common model for counts in epidemiology, ecology and particle
physics. The objective is the mean negative log-likelihood; the check is the fit of statsmodels, or
where that is not installed the textbook's iteratively reweighted least squares.
"""

import importlib.util

import numba
import numpy as np

import adamnb

# %%
# A cohort of 20,000 people, each watched for some years. The covariates keep the units they were
# measured in.

rng = np.random.default_rng(8)
people = 20_000
names = ("constant", "smoker", "age / 10 years", "exercise h/week", "treated")
design = np.column_stack(
    [
        np.ones(people),
        rng.random(people) < 0.3,
        rng.normal(0.0, 1.5, people),
        rng.gamma(2.0, 1.5, people),
        rng.random(people) < 0.5,
    ]
)
years = rng.uniform(0.5, 10.0, people)
truth = np.array([-2.5, 0.6, 0.35, -0.08, -0.25])
counts = rng.poisson(years * np.exp(design @ truth)).astype(float)
print(f"{people} people, {counts.sum():.0f} events")

# %%
# The objective as the textbook has it. Data is passed in ``args``, so that another data set needs no new
# compilation; the gradient is had by a second one.


@numba.njit(error_model="numpy")
def loss(beta, design, years, counts):
    """Mean negative log-likelihood without its constant."""
    linear = design @ beta
    return np.mean(years * np.exp(linear) - counts * linear)


res = adamnb.minimize(loss, np.zeros(len(names)), args=(design, years, counts), gtol=1e-8)
print(res.message)
assert res.success

# %%
# The check, and the standard errors from the Fisher information at the minimum.


def reweighted_least_squares(design, years, counts):
    """Maximum likelihood by iteratively reweighted least squares."""
    beta = np.zeros(design.shape[1])
    for _ in range(50):
        mean = years * np.exp(design @ beta)
        update = np.linalg.solve(design.T @ (mean[:, None] * design), design.T @ (counts - mean))
        beta += update
        if np.max(np.abs(update)) < 1e-12:
            return beta
    raise ArithmeticError("reweighted least squares did not converge in 50 iterations")


if importlib.util.find_spec("statsmodels"):
    import statsmodels.api as sm

    model = sm.GLM(counts, design, family=sm.families.Poisson(), exposure=years)
    reference = model.fit(tol=1e-12).params
else:
    reference = reweighted_least_squares(design, years, counts)

mean = years * np.exp(design @ res.x)
error = np.sqrt(np.diag(np.linalg.inv(design.T @ (mean[:, None] * design))))
print(f"{'':16}{'truth':>8}{'adamnb':>12}{'reference':>12}{'std. error':>12}")
for row in zip(names, truth, res.x, reference, error, strict=True):
    print(f"{row[0]:16}{row[1]:8.2f}{row[2]:12.6f}{row[3]:12.6f}{row[4]:12.6f}")
assert np.all(np.abs(res.x - reference) < 1e-3 * error), "the fit is not the maximum likelihood"
assert np.all(np.abs(res.x - truth) < 4 * error), "the truth is not within four standard errors"

# %%
# Rate ratios with their 95 % intervals, as they would be published.

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    place = np.arange(1, len(names))
    axes.errorbar(res.x[1:], place, xerr=1.96 * error[1:], fmt="o", capsize=4, label="fit, 95 %")
    axes.plot(truth[1:], place, "x", color="tab:red", label="truth")
    axes.axvline(0.0, color="gray", linewidth=1)
    axes.set_yticks(place, names[1:])
    axes.set(xlabel="log rate ratio", title="Poisson regression")
    axes.legend()
    figure.tight_layout()
    if plt.get_backend().lower() != "agg":
        plt.show()
