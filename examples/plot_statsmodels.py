"""
Inside statsmodels: counts that spread
======================================

A model of statsmodels is fitted by adamnb with one more argument; its tables, standard errors and tests
stay. The data are counts of a plant in an alpine meadow, which spread more than Poisson's law allows: the
negative binomial has a parameter for that, and what it leaves of the evidence is the point.
"""

import importlib.util

import numpy as np
import statsmodels.api as sm

import adamnb

# %%
# 1,500 plots. Altitude and rain keep the units that they were measured in, metres and millimetres a year.

rng = np.random.default_rng(4)
plots = 1500
names = ["constant", "altitude / m", "rain / mm", "grazed"]
design = np.column_stack(
    [
        np.ones(plots),
        rng.uniform(200, 2400, plots),
        rng.gamma(4, 250, plots),
        rng.random(plots) < 0.4,
    ]
)
truth = np.array([1.2, -6e-4, 8e-4, -0.5])
spread = 0.6  # the variance is m + spread m**2
mean = np.exp(design @ truth)
counts = rng.negative_binomial(1 / spread, 1 / (1 + spread * mean))
print(f"{plots} plots, {counts.sum()} plants, at most {counts.max()} in one")

# %%
# This is all. What statsmodels calls `maxiter` is not read; options of adamnb go into `fit` by name.

adam = {"method": "adam", "extra_fit_funcs": {"adam": adamnb.statsmodels_fit}, "disp": False}
poisson = sm.Poisson(counts, design).fit(**adam)
binomial = sm.NegativeBinomial(counts, design).fit(**adam)
print(binomial.mle_retvals["message"])
print(binomial.summary(xname=[*names, "spread"]))

# %%
# Statsmodels' own optimiser finds the same maximum, and so the same standard errors.

with np.errstate(all="ignore"):  # its line search tries a spread below 0
    model = sm.NegativeBinomial(counts, design)
    own = model.fit(method="bfgs", maxiter=1000, gtol=1e-8, disp=False)
assert binomial.mle_retvals["converged"]
assert np.all(np.abs(binomial.params - own.params) < 1e-3 * own.bse), "not the same maximum"
assert np.allclose(binomial.bse, own.bse, rtol=1e-4), "not the same standard errors"

# %%
# The truth is within the errors of the negative binomial. Those of Poisson's law, which takes every plant
# for an event of its own, are much too small.

off = np.abs(binomial.params - [*truth, spread]) / binomial.bse
ratio = binomial.bse[:-1] / poisson.bse
print("distance from the truth in standard errors:", off.round(1))
print("standard errors, negative binomial / Poisson:", ratio.round(1))
print(f"log-likelihood {binomial.llf:.0f} with the spread, {poisson.llf:.0f} without")
assert np.all(off < 3), "the truth is not within three standard errors"
assert np.all(ratio > 1.3)

# %%
# The effects, per standard deviation of what is measured, with 95 % intervals.

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    place, unit = np.arange(1, len(names)), design[:, 1:].std(axis=0)
    for fit, label, shift in ((binomial, "negative binomial", 0.1), (poisson, "Poisson", -0.1)):
        effect, error = fit.params[1:4] * unit, 1.96 * fit.bse[1:4] * unit
        axes.errorbar(effect, place + shift, xerr=error, fmt="o", capsize=4, label=label)
    axes.plot(truth[1:] * unit, place, "x", color="black", label="truth")
    axes.axvline(0.0, color="gray", linewidth=1)
    axes.set_yticks(place, names[1:])
    axes.set(
        xlabel="log rate ratio per standard deviation", title="What a meadow's plants depend on"
    )
    axes.legend()
    figure.tight_layout()
    if plt.get_backend().lower() != "agg":
        plt.show()
