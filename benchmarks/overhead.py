"""What an iteration of the interpreted loop costs beyond its calls of fun and jac."""

import numpy as np
import rivals
from measure import alternate
from report import Row
from scipy import optimize

import adamnb
from benchmarks.problems import exactly, rosenbrock_numpy, rosenbrock_start

SIZES = (10, 1_000)
STEPS = 2_000
REACH = 4e-6


def _adamnb_loop(n):
    """(adamnb on a constant objective, the calls of fun and jac alone), STEPS times each."""
    x0, g = rosenbrock_start(n), np.ones(n)

    def fun(x):
        return 1.0

    def jac(x):
        return g

    def minimise():
        result = adamnb.minimize(fun, x0, jac=jac, **exactly(STEPS))
        if result.nit != STEPS:
            raise RuntimeError(
                f"adamnb stopped after {result.nit} of {STEPS} steps: {result.message}"
            )

    def calls():
        for _ in range(STEPS):
            fun(x0)
            jac(x0)

    return minimise, calls


def _lbfgsb_loop(n):
    """(L-BFGS-B, its calls of fun and jac alone, how many evaluations).

    A constant objective would stop it at once. So it minimises Rosenbrock once, and is then timed
    walking the same way over the recorded values, which cost next to nothing to look up.
    """
    x0 = rosenbrock_start(n)
    values, gradients = [], []

    def record(x):
        f, g = rosenbrock_numpy(x)
        values.append(f)
        gradients.append(g)
        return f, g

    options = {"maxiter": 10_000, "maxfun": 10_000}
    optimize.minimize(record, x0, jac=True, method="L-BFGS-B", options=options)

    def minimise():
        f, g = iter(values), iter(gradients)
        result = optimize.minimize(
            lambda x: next(f), x0, jac=lambda x: next(g), method="L-BFGS-B", options=options
        )
        if result.nfev != len(values):
            raise RuntimeError(f"L-BFGS-B evaluated {result.nfev} times instead of {len(values)}")

    def calls():
        f, g = iter(values), iter(gradients)
        fun, jac = (lambda x: next(f)), (lambda x: next(g))
        for _ in range(len(values)):
            fun(x0)
            jac(x0)

    return minimise, calls, len(values)


def rows(effort, threads):
    for n in SIZES:
        minimise, calls = _adamnb_loop(n)
        lbfgsb, lbfgsb_calls, evaluations = _lbfgsb_loop(n)
        x, g = rosenbrock_start(n), np.ones(n)
        steps = {}
        if rivals.available("torch"):
            steps["torch.optim.Adam(fused=True).step"] = rivals.torch_step(x, g, threads)
        if rivals.available("jax", "optax"):
            steps["Optax, jitted step"] = rivals.optax_step(x, g)

        samples = alternate([minimise, calls, lbfgsb, lbfgsb_calls, *steps.values()], effort)
        ours = (samples[0] - samples[1]) / STEPS
        theirs = {"SciPy L-BFGS-B, an evaluation": (samples[2] - samples[3]) / evaluations}
        theirs |= dict(zip(steps, samples[4:], strict=True))
        work = f"overhead of an interpreted iteration, n = {n:,}"
        for name, other in theirs.items():
            yield Row(work, "minimize, beyond fun and jac", name, ours, other, within=REACH)
