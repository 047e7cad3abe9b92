"""
No learning rate: what happens instead
======================================

Without `learning_rate`, every variable has a step of its own size, which adapts as the run goes on:

* the **rate**, common to all, grows while the last step still agrees with the direction of descent
  and shrinks where it went too far: its logarithm changes with the cosine between the two, the
  hypergradient of Baydin et al. (2018, arXiv 1703.04782) without its size;
* the **gains**, one for each variable, do the same with the signs alone: the delta-bar-delta rule
  of Jacobs (1988, Neural Networks 1, 295), on top of Adam;
* the **momentum** is the mean of all gradients since the way last led uphill, then it is emptied:
  the adaptive restart of O'Donoghue & Candes (2015, Found. Comput. Math. 15, 715);
* a step that makes f rise too far is taken back, and the rate cut to between a half and a tenth: to
  what the parabola through f and its slope at the start of the step and f at its end asks for.

Near the minimum the cosine turns negative, the rate falls by itself, and the run converges. A number
given as `learning_rate` switches all this off: the steps are then those of the paper, to the last
bit. Give one where the gradient is noisy, minibatches for instance: a rate that follows each cosine
follows the noise as well, and a `schedules.Cosine` from a good rate ends lower.

Three problems with nothing tuned: a curved valley, a fit whose parameters differ by a factor of
10,000, and a deblurring of 400 unknowns.
"""

import importlib.util

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import rosen, rosen_der

import adamnb

# %%
# The problems: name, f and gradient, start.


def valley(x):
    return rosen(x), rosen_der(x)


t = np.linspace(0.0, 5.0, 50)
signal = 300.0 * np.exp(-0.03 * t)


def decay(x):
    """Amplitude 300, rate 0.03."""
    model = x[0] * np.exp(-x[1] * t)
    r = model - signal
    return r @ r, 2.0 * np.array([r @ np.exp(-x[1] * t), -(r * t) @ model])


sharp = np.repeat([0.0, 1.0, 0.2, 0.8], 100)
blurred = gaussian_filter1d(sharp, 4.0, mode="wrap")


def deblur(x):
    """Least squares, and a little roughness against noise."""
    r = gaussian_filter1d(x, 4.0, mode="wrap") - blurred
    jump = x - np.roll(x, 1)
    slope = gaussian_filter1d(r, 4.0, mode="wrap") + 1e-4 * (jump - np.roll(jump, -1))
    return 0.5 * r @ r + 0.5e-4 * jump @ jump, slope


PROBLEMS = {
    "Rosenbrock, n = 10": (valley, np.where(np.arange(10) % 2, 1.0, -1.2)),
    "decay, 300 and 0.03": (decay, np.array([100.0, 0.1])),
    "deblurring, n = 400": (deblur, np.full(400, 0.5)),
}

# %%
# Each with the default and with the rate that deep learning is used to.

runs = {}
for name, (fun, x0) in PROBLEMS.items():
    automatic = adamnb.minimize(fun, x0, jac=True, history=True)
    constant = adamnb.minimize(
        fun, x0, jac=True, history=True, learning_rate=1e-3, maxiter=automatic.nit
    )
    runs[name] = automatic, constant
    print(f"{name}: f = {automatic.fun:.2e} after {automatic.nit} iterations;", end=" ")
    print(f"with 1e-3 {constant.fun:.2e}. {automatic.message}")
    assert automatic.success
    assert automatic.fun <= constant.fun * (1 + 1e-9)

assert np.allclose(runs["decay, 300 and 0.03"][0].x, [300.0, 0.03], rtol=1e-5)

# %%
# f and the learning rate over the iterations.

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(runs), sharex="col", figsize=(10, 5), layout="constrained")
    for (name, both), (above, below) in zip(runs.items(), axes.T, strict=True):
        for label, run in zip(("automatic", "1e-3"), both, strict=True):
            above.loglog(1 + np.arange(run.history["fun"].size), run.history["fun"], label=label)
            below.loglog(1 + np.arange(run.history["fun"].size), run.history["learning_rate"])
        above.set(title=name, ylabel="f")
        below.set(xlabel="iteration", ylabel="learning rate")
    axes[0, 0].legend()
    if plt.get_backend().lower() != "agg":
        plt.show()
