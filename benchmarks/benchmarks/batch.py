"""How fast are many fits, and how many iterations do they take?"""

from scipy import optimize

import adamnb

from .fits import decays, regressions, spots

COUNT, SUBSET = 2_000, 50
KINDS = {"decays": decays, "spots": spots, "regressions": regressions}


class Batch:
    """COUNT fits at once, and SUBSET of them in a loop around SciPy."""

    params = tuple(KINDS)
    param_names = ("kind",)

    def setup(self, kind):
        self.fit = KINDS[kind](COUNT)
        self.solve()

    def solve(self):
        fit = self.fit
        return adamnb.minimize_batch(fit.inplace, fit.x0, fit.args, fit.data, jac="inplace")

    def time_adamnb(self, kind):
        self.solve()

    def time_scipy_lbfgsb(self, kind):
        fit = self.fit
        for b in range(SUBSET):
            args = tuple(array[b] for array in fit.data) + fit.args
            optimize.minimize(fit.both, fit.x0[b], args, jac=True, method="L-BFGS-B")

    def track_iterations(self, kind):
        return float(self.solve().nit.mean())

    def track_failed(self, kind):
        return len(self.solve().failed)


Batch.track_iterations.unit = "iterations a fit"
Batch.track_failed.unit = "fits"
