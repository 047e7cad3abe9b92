"""How fast are fits of curves with standard errors, and how many evaluations do they take?"""

from scipy import optimize

import adamnb

from .fits import decays, spots

COUNT, SUBSET = 2_000, 50
KINDS = {"decays": decays, "spots": spots}


class Curves:
    """COUNT curves at once, and SUBSET of them in a loop around SciPy."""

    params = tuple(KINDS)
    param_names = ("kind",)

    def setup(self, kind):
        self.fit = KINDS[kind](COUNT)
        self.solve()

    def solve(self):
        fit = self.fit
        return adamnb.curve_fit(fit.model, fit.args[0], fit.data[0], fit.x0)

    def time_adamnb(self, kind):
        self.solve()

    def time_adamnb_one_curve(self, kind):
        fit = self.fit
        adamnb.curve_fit(fit.model, fit.args[0], fit.data[0][0], fit.x0[0])

    def time_scipy(self, kind):
        fit = self.fit
        for b in range(SUBSET):
            optimize.curve_fit(fit.model, fit.args[0], fit.data[0][b], fit.x0[b], jac=fit.jacobian)

    def track_evaluations(self, kind):
        return float(self.solve().nfev.mean())

    def track_failed(self, kind):
        return int((~self.solve().success).sum())


Curves.track_evaluations.unit = "evaluations a fit"
Curves.track_failed.unit = "fits"
