"""How soon is the mean over the rows of a data set minimised?"""

import data_sets
import stochastic

import adamnb

ROWS, VARIABLES = 100_000, 20
KINDS = {"logistic": data_sets.logistic, "poisson": data_sets.poisson}


class Samples:
    """A growing sample of ROWS rows, until x is within a hundredth of a standard error."""

    params = tuple(KINDS)
    param_names = ("kind",)

    def setup(self, kind):
        self.data_set = KINDS[kind](ROWS, VARIABLES)
        self.found = stochastic.by_samples(self.data_set)

    def time_adamnb(self, kind):
        stochastic.by_samples(self.data_set)

    def track_passes(self, kind):
        return self.found.passes

    def track_distance(self, kind):
        return self.data_set.off(self.found.x)

    track_passes.unit = "passes"
    track_distance.unit = "standard errors"


class Batches:
    """Three epochs of ROWS rows."""

    params = (16, 64, 256)
    param_names = ("batch_size",)

    def setup(self, batch_size):
        self.data_set = data_sets.robust(ROWS, VARIABLES)
        self.result = self.solve(batch_size)

    def solve(self, batch_size):
        d = self.data_set
        return adamnb.minimize_stochastic(
            d.inplace, d.x0, d.data, jac="inplace", batch_size=batch_size, epochs=3, seed=0
        )

    def time_adamnb(self, batch_size):
        self.solve(batch_size)

    def track_gap(self, batch_size):
        return self.data_set.gap(self.result.x)

    track_gap.unit = "log10 of the part of the first height that is left"
