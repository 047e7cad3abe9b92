"""The Numba type of a method, by which compiled code is chosen."""

from functools import cache

from numba import types
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from .cache import STAMP


class MethodType(types.Type):
    """A method as compiled code sees it: nothing but a type, so that only what is used is compiled.

    Parameters
    ----------
    rule, coefficients : str
        Names in `rules.RULES` and `rules.COEFFICIENTS`.
    automatic : bool
        Whether the learning rate adapts.
    plain : bool
        Whether a run has neither weight decay nor clipping, no schedule and no test of the step: most
        runs, which are spared the arithmetic and the questions.
    threads : bool
        Whether loops over elements run on threads.
    curved : bool
        Whether an automatic learning rate knows of curvature.
    averaged : bool
        Whether the best point is an average of the points, as where f is noisy: none is best by luck.
    between : bool
        Whether gradients are those at points between this average and what is averaged.
    """

    def __init__(
        self,
        rule: str,
        coefficients: str,
        automatic: bool = False,
        plain: bool = False,
        threads: bool = False,
        curved: bool = False,
        averaged: bool = False,
        between: bool = False,
    ) -> None:
        self.rule = rule
        self.coefficients = coefficients
        self.automatic = automatic
        self.plain = plain
        self.threads = threads
        self.curved = curved
        self.averaged = averaged
        self.between = between
        self.flags = automatic, plain, threads, curved, averaged, between
        super().__init__(f"Method({rule}, {coefficients}, {self.flags}, {STAMP})")


register_model(MethodType)(models.OpaqueModel)
method_type = cache(MethodType)  # equal types are one object all the same, which takes time to find


@unbox(MethodType)
def _unbox_method(typ, obj, c):
    return NativeValue(c.context.get_dummy_value())


@intrinsic
def kind_of(typingctx, method):
    """Return a method without its rule and coefficients: what needs no more is compiled once for all."""
    kind = method_type("", "", *method.flags)
    return kind(method), lambda context, *_: context.get_dummy_value()
