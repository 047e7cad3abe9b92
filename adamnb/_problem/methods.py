"""The table of methods: a name, its rule and coefficients, its defaults, its source."""

from dataclasses import dataclass, field

from .._compiled.method import MethodType, method_type
from .._compiled.rules import RULES


@dataclass(frozen=True)
class Method:
    """One row of the table of methods.

    Attributes
    ----------
    rule, coefficients : str
        Names in `rules.RULES` and `rules.COEFFICIENTS`.
    paper : str
        Where the method comes from.
    defaults : dict
        The hyper-parameters that the method has, with their defaults.
    decoupled : bool
        Whether weight decay shrinks x itself (Loshchilov & Hutter 2017) or is added to the gradient.
    start : float
        First value of every slot.
    scale_free : bool
        Whether a step stays the same when the objective is multiplied by a number.
    mean_momentum : bool
        Whether an automatic learning rate replaces the momentum by a mean of gradients.
    """

    name: str
    rule: str
    coefficients: str
    paper: str
    defaults: dict[str, float] = field(default_factory=dict)
    decoupled: bool = False
    start: float = 0.0
    scale_free: bool = True
    mean_momentum: bool = True

    @property
    def slots(self) -> int:
        """Number of vectors that the method remembers."""
        return RULES[self.rule][1]

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Names of these vectors, as the rule has them."""
        return RULES[self.rule][0].py_func.__code__.co_varnames[1 : 1 + self.slots]

    def numba_type(
        self,
        automatic: bool = False,
        plain: bool = False,
        threads: bool = False,
        curved: bool = False,
        averaged: bool = False,
        between: bool = False,
    ) -> MethodType:
        """Return the Numba type by which the compiled loops choose this method."""
        return method_type(
            self.rule, self.coefficients, automatic, plain, threads, curved, averaged, between
        )


def _moments(beta1: float, beta2: float, eps: float, weight_decay: float = 0.0) -> dict[str, float]:
    return {"beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}


def _friction(momentum: float) -> dict[str, float]:
    return {"momentum": momentum, "weight_decay": 0.0}


_ADAM = _moments(0.9, 0.999, 1e-8)
_DESCENT = {"weight_decay": 0.0}
_RMSPROP = {"beta2": 0.99, "eps": 1e-8, "momentum": 0.0, "centered": False, "weight_decay": 0.0}

METHODS = {
    method.name: method
    for method in (
        Method("adam", "adam", "adam", "Kingma & Ba 2014, arXiv 1412.6980", _ADAM),
        Method(
            "adamw", "adam", "adam", "Loshchilov & Hutter 2017, arXiv 1711.05101",
            _moments(0.9, 0.999, 1e-8, 1e-2), decoupled=True,
        ),
        Method("amsgrad", "amsgrad", "adam", "Reddi et al. 2018, arXiv 1904.09237", _ADAM),
        Method("nadam", "adam", "nadam", "Dozat 2016, ICLR workshop", _ADAM),
        Method("radam", "radam", "radam", "Liu et al. 2019, arXiv 1908.03265", _ADAM),
        Method("adamax", "adamax", "adamax", "Kingma & Ba 2014, arXiv 1412.6980, Alg. 2", _ADAM),
        Method(
            "adabelief", "adabelief", "adam", "Zhuang et al. 2020, arXiv 2010.07468",
            _moments(0.9, 0.999, 1e-16), mean_momentum=False,  # v is measured from the momentum
        ),
        Method(
            "yogi", "yogi", "adam", "Zaheer et al. 2018, NeurIPS",
            _moments(0.9, 0.999, 1e-3), start=1e-6,
        ),
        Method(
            "lion", "lion", "lion", "Chen et al. 2023, arXiv 2302.06675",
            {"beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0}, decoupled=True,
        ),
        Method("rmsprop", "rmsprop", "rmsprop", "Tieleman & Hinton 2012, lecture 6.5", _RMSPROP),
        Method(
            "momentum", "accumulate", "momentum", "Polyak 1964", _friction(0.9), scale_free=False
        ),
        Method(
            "nesterov", "accumulate", "nesterov", "Nesterov 1983", _friction(0.9), scale_free=False
        ),
        Method("sgd", "accumulate", "momentum", "Cauchy 1847", _DESCENT, scale_free=False),
    )
}  # fmt: skip
