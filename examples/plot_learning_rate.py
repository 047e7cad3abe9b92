"""
No learning rate: what happens instead
======================================

Without `learning_rate` a run steps by **curvature**: every step s, and how the gradient changed along it, y,
is a secant pair that tells of the Hessian, and the pairs of the run together give an inverse Hessian that
is right for all of them at once (block BFGS: Schnabel 1983; Gao & Goldfarb 2018, SIAM J. Optim. 28, 980),
on top of a diagonal. There is one evaluation of f and gradient a step and no line search: a step is no
longer than a radius, which shrinks to the minimum of a parabola where f falls by less than a tenth of what
was promised, and grows four times where the promise of a step that was cut has been kept. `memory` is the
number of pairs, by default n + 4 up to 64, and 8 beyond 200 variables: 2 n numbers each.

Pairs say nothing of an f that is noisy, which a second look at the best point tells, or that has kinks. Then,
and with `memory=0`, every variable has a step of its own size, which adapts as the run goes on:

* the **rate**, common to all, grows while the last step still agrees with the direction of descent
  and shrinks where it went too far: its logarithm changes with the cosine between the two, the
  hypergradient of Baydin et al. (2018, arXiv 1703.04782) without its size;
* the **gains**, one for each variable, do the same with the signs alone: the delta-bar-delta rule
  of Jacobs (1988, Neural Networks 1, 295), on top of Adam;
* the **momentum** is the mean of all gradients since the way last led uphill, then it is emptied:
  the adaptive restart of O'Donoghue & Candes (2015, Found. Comput. Math. 15, 715);
* a step that makes f rise too far is taken back, and the rate cut to between a half and a tenth: to
  what the parabola through f and its slope at the start of the step and f at its end asks for.

Near the minimum the cosine turns negative, the rate falls by itself, and the run converges. Weight decay
and GPUs have that rule alone. A number given as `learning_rate` switches all this off: the steps are
then those of the paper, to the last bit. Give one where the gradient is noisy, minibatches for
instance: a rate that follows each cosine follows the noise as well, and a `schedules.Cosine` from a good
rate ends lower.

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
# Each with the default, without pairs, and with the rate that deep learning is used to.

runs = {}
for name, (fun, x0) in PROBLEMS.items():
    pairs = adamnb.minimize(fun, x0, jac=True, history=True)
    adaptive = adamnb.minimize(fun, x0, jac=True, history=True, memory=0)
    constant = adamnb.minimize(
        fun, x0, jac=True, history=True, learning_rate=1e-3, maxiter=adaptive.nit
    )
    runs[name] = pairs, adaptive, constant
    print(f"{name}: f = {pairs.fun:.2e} after {pairs.nit} iterations, without pairs", end=" ")
    print(f"{adaptive.fun:.2e} after {adaptive.nit}, with 1e-3 {constant.fun:.2e}. {pairs.message}")
    assert pairs.success
    assert adaptive.success
    assert pairs.nit < adaptive.nit
    assert pairs.fun <= constant.fun * (1 + 1e-9)

assert np.allclose(runs["decay, 300 and 0.03"][0].x, [300.0, 0.03], rtol=1e-5)

# %%
# f and the learning rate over the iterations.

if importlib.util.find_spec("matplotlib"):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(runs), sharex="col", figsize=(10, 5), layout="constrained")
    for (name, three), (above, below) in zip(runs.items(), axes.T, strict=True):
        for label, run in zip(("pairs", "memory=0", "1e-3"), three, strict=True):
            above.loglog(1 + np.arange(run.history["fun"].size), run.history["fun"], label=label)
            below.loglog(1 + np.arange(run.history["fun"].size), run.history["learning_rate"])
        above.set(title=name, ylabel="f")
        below.set(xlabel="iteration", ylabel="learning rate")
    axes[0, 0].legend()
    if plt.get_backend().lower() != "agg":
        plt.show()
