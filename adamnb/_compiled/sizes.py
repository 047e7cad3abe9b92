"""The size of a variable, where it is not given: its start, until it turns out to be another."""

from math import inf, sqrt

import numpy as np
from numba.extending import overload

from .cache import SELDOM, inner
from .intrinsics import disjoint, float_of
from .kernels import norm
from .loops import on_host
from .ranks import MOST, SUM, anywhere, joined, variables

LARGEST = 1e3  # most of a size that is learnt, in units of the mean of all or of 1: where f is flat, x drifts
SMALL = 1e-3  # part of the others' size, and of f, from which a start may be a mere placeholder
RATHER_SMALL = 0.2  # part of the others' size from which a start may be small by chance


def size_all(method, v, s, o):
    """Size the variables that start small beside the others, where f hardly feels them.

    A variable is rather small by chance, as in a random start, if a step of its size changes f by less than
    such steps of the others do. It is taken for as large as they are, or for as large as f feels as much:
    the root mean square of all is meant. Where it is smaller than `SMALL` of them, its unit may be another;
    a step of its size must then change f by less than `SMALL` of its share of f, and it is taken for so large
    that f could vanish at most. Compiled by `_size_all`.
    """


@overload(size_all, jit_options=SELDOM)
def _size_all(method, v, s, o):
    def sized(method, v, s, o):
        disjoint()
        if o.growth == inf:
            return
        x, g, scale, square, felt = v.x[s.x], v.g[s.g], v.scale, 0.0, 0.0
        for i in range(x.size):
            size, slope = np.float64(scale[i]), np.float64(g[i])
            square, felt = square + size * size, felt + (slope * size) * (slope * size)
        real, n = scale.dtype.type, variables(v.ranks, x.size)
        mean, height = real(sqrt(joined(v.ranks, square, SUM) / n)), real(abs(s.fun))
        s.size_limit = LARGEST * (mean if mean > real(1) else real(1))
        level = real(sqrt(joined(v.ranks, felt, SUM) / n))
        small, little, zero = real(SMALL) * mean, real(SMALL * abs(s.fun) / n), real(0)
        for i in range(x.size):
            slope, size, most = abs(g[i]), abs(x[i]), zero
            if small <= size < real(RATHER_SMALL) * mean and slope * size < level:
                most = level
            elif zero < size < small and zero < slope * size < little:
                most = height
            if most > zero:
                scale[i] = mean if slope * mean < most else most / slope

    return sized if method.automatic and on_host(v) else lambda method, v, s, o: None


def outgrown(method, v, s, o):
    """Return whether a variable is larger at the best point than was thought; it is taken for as large then.

    What is measured in units of its size is measured anew, and what was remembered of it forgotten.
    Compiled by `_outgrown`.
    """


@overload(outgrown, jit_options=SELDOM)
def _outgrown(method, v, s, o):
    @inner
    def with_pairs(v, i, factor):
        v.metric[i] *= factor * factor
        for k in range(v.steps.shape[0]):
            v.steps[k, i] /= factor
            v.changes[k, i] *= factor

    @inner
    def without(v, i, factor):
        pass

    def resized(method, v, s, o):
        x, scale, grown = v.x[s.x], v.scale, False
        limit, most = scale.dtype.type(o.growth), scale.dtype.type(s.size_limit)
        for i in range(x.size):
            size = abs(x[i])
            if size > limit * scale[i] and scale[i] < most:
                before = scale[i]
                scale[i], v.previous[i], grown = size if size < most else most, 0, True
                rescaled(v, i, scale[i] / before)
                for slot in range(v.slots.shape[0]):
                    v.slots[slot, i] = 0
        grown = anywhere(v.ranks, grown)
        if grown:
            top = float_of(norm(0, x.size, x, v.g[s.g], scale, v.lower, v.upper))
            top = joined(v.ranks, top, MOST)
            s.x_best, s.g_best = s.x, s.g  # f is the same
            s.gradient_norm = s.gradient_norm_best = top
            if s.gradient_norm_best > s.gradient_norm_first:
                s.gradient_norm_first = s.gradient_norm_best
        return grown

    rescaled = with_pairs if method.curved else without
    return resized if method.automatic and on_host(v) else lambda method, v, s, o: False
