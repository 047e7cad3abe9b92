"""The state of a minimisation: blocks of vectors and one vector of scalars, all plain arrays."""

from copy import copy
from typing import Any

import numpy as np
from numba import types

from . import _driver as D
from . import _rules as R
from ._compiled import array_type
from ._methods import Method
from .schedules import Plateau

# The automatic learning rate, in units of x_scale; `benchmarks/solve.py --constants` shows what each does.
AUTOMATIC = {
    "first_rate": 0.3,
    "kappa": 0.1,  # change of the rate's logarithm per unit of the cosine
    "early": 50,  # for so many steps from an empty memory that change is larger ...
    "early_factor": 3.0,  # ... by this factor
    "gain": 0.02,  # change of a gain's logarithm in a step
    "rise": 0.01,  # f above the best by this part of its fall so far: back to the best point
    "looser": 3.0,  # factor of that part for every return that no new best follows
    "promise": 0.1,  # part of the predicted fall that a first step must keep
}


def option_vector(method: Method, o: dict[str, Any], dtype: np.dtype) -> np.ndarray:
    """Return hyper-parameters and tolerances as the compiled functions read them."""
    real = np.finfo(dtype)
    v = np.zeros(len(R.OPTIONS))
    beta1, beta2 = float(o.get("beta1", 0.0)), float(o.get("beta2", 0.0))
    v[R.BETA1], v[R.BETA2] = beta1, beta2
    with np.errstate(divide="ignore"):  # beta = 0 has the logarithm -inf, and no memory
        v[R.LOG_BETA1], v[R.LOG_BETA2] = np.log(beta1), np.log(beta2)
    # So small a number instead of 0 changes no step, and makes 0/0 a step of 0. It stays normal when it is
    # multiplied by the root of the correction: a subnormal number costs as much as the whole step.
    v[R.EPS] = max(float(o.get("eps", 0.0)), float(real.tiny) * 2.0**20)
    v[R.MOMENTUM], v[R.CENTERED] = o.get("momentum", 0.0), o.get("centered", False)
    v[R.DECAY if method.decoupled else R.L2] = o["weight_decay"]
    v[R.CLIP_NORM] = o.get("clip_norm", np.inf)
    v[R.LARGEST] = np.sqrt(real.max) / 2 if "beta2" in method.defaults else real.max
    for index, name in (
        (R.GTOL, "gtol"), (R.FTOL, "ftol"), (R.XTOL, "xtol"), (R.F_TARGET, "f_target"),
        (R.PATIENCE, "patience"), (R.MAXITER, "maxiter"), (R.MAXFUN, "maxfun"),
    ):  # fmt: skip
        v[index] = o.get(name, 0.0)
    v[R.MAXITER] = np.floor(v[R.MAXITER])
    v[R.XTOL] = v[R.XTOL] or -1.0  # which no step is within
    v[R.RELATIVE], v[R.MEAN] = not method.scale_free, method.mean_momentum
    for index, name in (
        (R.KAPPA, "kappa"), (R.EARLY, "early"), (R.EARLY_FACTOR, "early_factor"), (R.RISE, "rise"),
        (R.LOOSER, "looser"), (R.PROMISE, "promise"),
    ):  # fmt: skip
        v[index] = AUTOMATIC[name]
    v[R.GAIN_UP], v[R.GAIN_DOWN] = np.exp(AUTOMATIC["gain"]), np.exp(-AUTOMATIC["gain"])
    rate = o["learning_rate"]
    v[R.HOLD] = np.inf
    if isinstance(rate, Plateau):
        v[R.FACTOR], v[R.HOLD], v[R.THRESHOLD] = rate.factor, rate.patience, rate.threshold
        v[R.RATE_MIN] = rate.final
    return v


def is_plain(o: np.ndarray, scheduled: bool = False) -> bool:
    """Return whether options ask for nothing that a plain method does without."""
    held = o[R.CLIP_NORM] < np.inf or o[R.HOLD] < np.inf
    return not (scheduled or o[R.L2] or o[R.DECAY] or held or o[R.XTOL] > 0)


class State:
    """All that a minimisation remembers, laid out for the compiled functions.

    Parameters
    ----------
    x0 : ndarray, shape (..., n)
        Start, float32 or float64, within the bounds; copied. Leading axes are problems side by side.
    learning_rate : None, float, ndarray, Plateau or callable
        None adapts it; an array of as many axes as x0 holds one per variable, of one less one per
        problem.
    x_scale : None or ndarray, shape of x0
    bounds : None or pair of ndarray, shape of x0
    """

    def __init__(
        self,
        method: Method,
        x0: np.ndarray,
        learning_rate: Any,
        x_scale: np.ndarray | None,
        bounds: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        (*problems, n), dtype = x0.shape, x0.dtype
        self.method, self.automatic = method, learning_rate is None
        self.x = np.empty((*problems, D.X_ROWS, n), dtype)
        self.x[..., 0, :] = x0
        self.g = np.zeros((*problems, D.G_ROWS, n), dtype)
        self.slots = np.full((*problems, method.slots, n), method.start, dtype)
        self.gain = self.last = self.scale = self.lower = self.upper = None
        self.s = np.zeros((*problems, len(D.SCALARS)))
        if x_scale is not None:
            self.scale = x_scale.astype(dtype)
        if self.automatic:
            self.gain, self.last = np.ones_like(x0), np.zeros_like(x0)
            self.s[..., D.RATE] = AUTOMATIC["first_rate"]
        elif isinstance(learning_rate, Plateau):
            self.s[..., D.RATE] = learning_rate.rate
        elif np.ndim(learning_rate) == x0.ndim:
            self.gain = np.array(learning_rate, dtype)
            self.s[..., D.RATE] = 1.0
        elif not callable(learning_rate):
            self.s[..., D.RATE] = learning_rate
        if bounds is not None:
            self.lower, self.upper = (np.array(bound, dtype, order="C") for bound in bounds)

    def problem(self, b: int) -> "State":
        """Return the state of problem number b of several: views, not copies."""
        one = copy(self)
        for name, block in vars(self).items():
            if isinstance(block, np.ndarray):
                setattr(one, name, block[b])
        return one

    @property
    def vectors(self) -> tuple:
        """The arguments of `advance` and `run` that are blocks, vectors or None."""
        return (
            self.x, self.g, self.slots, self.gain, self.last, self.scale, self.lower, self.upper,
        )  # fmt: skip

    def own(self, array: Any) -> Any:
        """Return an array that the caller may keep."""
        return array.copy()

    def row(self, block: Any, name: int) -> Any:
        """Return the row of `block` whose number stands in the scalars, for the caller to keep."""
        return self.own(block[int(self.s[name])])

    def as_dict(self) -> dict[str, Any]:
        """Return the state by name, for the caller to keep."""
        named: dict[str, Any] = {
            name: float(value) for name, value in zip(D.SCALARS, self.s, strict=True)
        }
        named["x"], named["gradient"] = self.row(self.x, D.X), self.row(self.g, D.G)
        named["x_best"] = self.row(self.x, D.X_BEST)
        named["gradient_best"] = self.row(self.g, D.G_BEST)
        del named["g"], named["g_best"]
        for name in ("slots", "gain", "last", "scale"):
            if (array := getattr(self, name)) is not None:
                named[name] = self.own(array)
        return named | {"method": self.method.name}

    def bad_gradient(self) -> int | None:
        """Return where the current gradient is not finite."""
        where = np.flatnonzero(~np.isfinite(self.g[int(self.s[D.G])]))
        return int(where[0]) if where.size else None

    def types(self, loops: str, plain: bool) -> tuple:
        """Return the Numba types of the method, `vectors`, scalars and options."""
        kinds = [types.none if a is None else array_type(a.dtype, a.ndim) for a in self.vectors]
        numbers = array_type(self.s.dtype, self.s.ndim)
        return self.method.numba_type(loops, plain), *kinds, numbers, numbers
