"""The size of a variable, where it is not given: its start, until it turns out to be another."""

from math import inf, sqrt

import numpy as np
from numba.extending import overload

from .cache import SELDOM
from .intrinsics import disjoint, float_of
from .kernels import norm
from .loops import on_host

SMALL = 1e-3  # part of the others' size, and of f, from which a start may be a mere placeholder


def size_all(method, v, s, o):
    """Size the variables that start small beside the others, where f hardly feels them.

    Such a variable is smaller than `SMALL` of the root mean square of all, and a step of its size would
    change f by less than `SMALL` of it. It is taken for as large as the others, or for so large that f
    could vanish. Compiled by `_size_all`.
    """


@overload(size_all, jit_options=SELDOM)
def _size_all(method, v, s, o):
    def sized(method, v, s, o):
        disjoint()
        if o.growth == inf:
            return
        x, g, scale, square = v.x[s.x], v.g[s.g], v.scale, 0.0
        for i in range(x.size):
            square += np.float64(x[i]) * np.float64(x[i])
        real = scale.dtype.type
        mean, height, part, zero = (
            real(sqrt(square / x.size)), real(abs(s.fun)), real(SMALL), real(0),
        )  # fmt: skip
        for i in range(x.size):
            slope, size = abs(g[i]), abs(x[i])
            if zero < size < part * mean and zero < slope * size < part * height:
                most = height / slope
                scale[i] = mean if mean < most else most

    return sized if method.automatic and on_host(v) else lambda method, v, s, o: None


def outgrown(method, v, s, o):
    """Return whether a variable is larger than was thought, by a factor; it is taken for as large then.

    All that is measured in units of its size is measured anew. Compiled by `_outgrown`.
    """


@overload(outgrown, jit_options=SELDOM)
def _outgrown(method, v, s, o):
    def resized(method, v, s, o):
        x, scale, grown = v.x[s.x], v.scale, False
        limit = scale.dtype.type(o.growth)
        for i in range(x.size):
            if abs(x[i]) > limit * scale[i]:
                scale[i], grown = abs(x[i]), True
        if grown:
            best, g = v.x[s.x_best], v.g[s.g_best]
            top = float_of(norm(0, best.size, best, g, scale, v.lower, v.upper))
            s.gradient_norm_best = top
            if top > s.gradient_norm_first:
                s.gradient_norm_first = top
        return grown

    return resized if method.automatic and on_host(v) else lambda method, v, s, o: False
