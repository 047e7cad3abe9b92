"""The size of a variable, where it is not given: its start, until it turns out to be another."""

from math import inf, sqrt

import numpy as np
from numba.extending import overload

from .cache import INLINED, inner, seldom
from .intrinsics import disjoint, float_of
from .kernels import norm
from .loops import on_host

SMALL = 1e-3  # part of the others' size, and of f, from which a start may be a mere placeholder


def size_all(method, v, s, o):
    """Size the variables that start small beside the others; compiled by `_size_all`."""


@overload(size_all, jit_options=INLINED)
def _size_all(method, v, s, o):
    if method.automatic and on_host(v):
        return lambda method, v, s, o: sized(v, s, o)
    return lambda method, v, s, o: None


@seldom
def sized(v, s, o):
    if o.growth < inf:
        enlarge_small(v.x[s.x], v.g[s.g], v.scale, s.fun)


def outgrown(method, v, s, o):
    """Return whether a variable is larger than was thought; compiled by `_outgrown`.

    What is measured in units of its size is then measured anew, and what was remembered of it forgotten.
    """


@overload(outgrown, jit_options=INLINED)
def _outgrown(method, v, s, o):
    if method.automatic and on_host(v):
        return lambda method, v, s, o: resized(v, s, o)
    return lambda method, v, s, o: False


@seldom
def resized(v, s, o):
    if not enlarge(v.x[s.x], v.scale, v.slots, v.previous, o.growth):
        return False
    s.gradient_norm = norm_in_units(v, v.x[s.x], v.g[s.g])
    s.gradient_norm_best = norm_in_units(v, v.x[s.x_best], v.g[s.g_best])
    s.gradient_norm_first = max(s.gradient_norm_first, s.gradient_norm_best)
    return True


@inner
def norm_in_units(v, x, g):
    return float_of(norm(0, x.size, x, g, v.scale, v.lower, v.upper))


@inner
def enlarge(x, scale, slots, previous, limit):
    """Take variables for as large as they are where that is `limit` times what was thought; return if any."""
    disjoint()
    grown, limit = False, scale.dtype.type(limit)
    for i in range(x.size):
        if abs(x[i]) > limit * scale[i]:
            scale[i], previous[i], grown = abs(x[i]), 0, True
            for slot in range(slots.shape[0]):
                slots[slot, i] = 0
    return grown


@inner
def enlarge_small(x, g, scale, f):
    """Take variables that are small beside the others for larger, where f hardly feels them.

    Such a variable is smaller than `SMALL` of the root mean square of all, and a step of its size would
    change f by less than `SMALL` of its share of f. It is taken for as large as the others, or for so
    large that f could vanish.
    """
    disjoint()
    square = 0.0
    for i in range(x.size):
        square += np.float64(x[i]) * np.float64(x[i])
    real = scale.dtype.type
    mean, height = real(sqrt(square / x.size)), real(abs(f))
    small, little, zero = real(SMALL) * mean, real(SMALL * abs(f) / x.size), real(0)
    for i in range(x.size):
        slope, size = abs(g[i]), abs(x[i])
        if zero < size < small and zero < slope * size < little:
            scale[i] = min(mean, height / slope)
