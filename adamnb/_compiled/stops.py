"""Whether to stop: the tests that every iteration makes."""

from math import isfinite, sqrt

import numpy as np

from .cache import copied, inner, seldom
from .reasons import (
    BAD_FUN,
    BAD_JAC,
    BY_ERROR,
    BY_GRADIENT,
    BY_MAXFUN,
    BY_MAXITER,
    BY_OBJECTIVE,
    BY_ROUNDING,
    BY_STEP,
    BY_TARGET,
    GOING,
    HIGHER,
    STUCK,
    TOO_LARGE,
    TOO_SMALL,
)


@copied
def not_finite(s, o):
    """Return the reason to stop where f or the gradient is not finite, or GOING."""
    if not isfinite(s.fun):
        return BAD_FUN
    if not s.gradient_norm <= o.gradient_limit:  # or NaN
        return TOO_LARGE if isfinite(s.gradient_norm) else BAD_JAC
    if s.nit == 0 and 0.0 < s.gradient_norm < o.gradient_least:
        return TOO_SMALL
    return GOING


SINGLE = float(np.finfo(np.float32).eps)
ROUNDINGS = 64  # of f that a sum of many terms may be off by
# Of the first gradient: what has not fallen to it is at rest for no rounding or error.
LITTLE = 1e-3


@inner
def is_single(f):
    """Return whether a number is one of float32, as f is where all is computed so."""
    return np.float64(np.float32(f)) == f


@copied
def at_rest(s, o):
    """Return whether the gradient at the current point has all but vanished: which test it meets, or GOING.

    HIGHER: it has, but f is above the best by more than it is rounded.
    """
    first = s.gradient_norm_first
    if s.gradient_norm > LITTLE * first and s.gradient_norm > o.gtol * first:
        return GOING  # nearly always, and soon found
    return vanished(s, o)


@seldom
def vanished(s, o):
    """Return what `at_rest` does, where the gradient has fallen."""
    f, best, first, norm, part, rounding = (
        s.fun, s.fun_best, s.fun_first, s.gradient_norm, o.gtol, o.rounding,
    )  # fmt: skip
    if is_single(f) and is_single(best):
        rounding = SINGLE
    if rounding >= SINGLE and 0.0 < part < 16 * SINGLE:  # what it leaves of a gradient
        part = 16 * SINGLE
    within = norm <= part * s.gradient_norm_first
    if not (within or norm <= s.gradient_error):
        return GOING
    # The gradient leaves f as it is, to first order, or f has all but vanished: without that a fit that
    # starts far off would end as soon as it is a million times nearer.
    height, root = abs(best), sqrt(part)
    if norm > root * height and height > part * part * abs(first):
        return GOING
    # A residual is rounded as the data are, so that f may be rounded by more than its own digits.
    rounded = ROUNDINGS * rounding * height + 4.0 * s.fun_error
    if f - best > rounded + part * root * (first - best):
        return HIGHER
    return BY_GRADIENT if within else BY_ERROR


@copied
def keep_best(s):
    """Keep the current point if it is better than the best."""
    if s.fun < s.fun_best or (s.fun == s.fun_best and s.gradient_norm < s.gradient_norm_best):
        s.fun_best, s.gradient_norm_best, s.x_best, s.g_best = s.fun, s.gradient_norm, s.x, s.g
        s.failures = 0


RESTED = 3  # steps in a row that promise less than the rounding of f
SURE = 3  # points in a row within the error: after a long step differences have to find their steps anew
TIRED = 50  # so many that there is no more to be had
FRUITLESS = 2  # phases without pairs since which f has not fallen


@inner
def rested(s, o):
    """Return whether the gradient has fallen so far that steps which promise nothing tell a minimum."""
    best, norm = abs(s.fun_best), s.gradient_norm_best
    flat = norm <= 0.1 * best or best <= 1e-12 * abs(s.fun_first)
    return o.ftol > 0.0 and flat and norm <= LITTLE * s.gradient_norm_first


@inner
def met(s, o):
    """Return which stop test the best point meets, or GOING.

    Where f is as low as at the best point but for its rounding, the point that meets the test is the best.
    """
    if s.fun_best <= o.f_target:  # all that was asked for, be it a minimum or not
        return BY_TARGET
    reason = at_rest(s, o)
    s.in_error = s.in_error + 1 if reason == BY_ERROR else 0
    if reason == BY_ERROR and s.curved and s.in_error < SURE:
        reason = GOING
    if reason != GOING:
        if reason != HIGHER:
            s.fun_best, s.gradient_norm_best, s.x_best, s.g_best = s.fun, s.gradient_norm, s.x, s.g
        return reason
    if s.rounding >= RESTED and rested(s, o):
        return BY_ROUNDING
    if s.rounding > TIRED or s.fruitless >= FRUITLESS:
        small = o.ftol > 0.0 and s.gradient_norm_best <= LITTLE * s.gradient_norm_first
        return BY_ROUNDING if small else STUCK
    due, close = s.nit - s.nit_mark >= o.patience, s.largest_step <= o.xtol and s.nit > 0
    if due or close:
        # Only where the gradient has fallen does a small gain or step tell a minimum.
        best, norm = abs(s.fun_best), s.gradient_norm_best
        flat = norm <= 0.1 * best or best <= 1e-12 * abs(s.fun_first)
        flat = flat and norm <= LITTLE * s.gradient_norm_first
        if due:
            gained = s.fun_mark - s.fun_best
            s.nit_mark, s.fun_mark = s.nit, s.fun_best
            # Above the best point, as after a long step, f is on its way and not at rest.
            above = s.fun - s.fun_best > sqrt(o.ftol) * best
            if o.ftol > 0.0 and gained <= o.ftol * best and flat and not above:
                return BY_OBJECTIVE
        if close and flat:
            return BY_STEP
    return ended(s, o)


@inner
def ended(s, o):
    """Return which limit ends the run, or GOING."""
    if s.stop != GOING:  # Python wants no more
        return s.stop
    if s.nit >= o.maxiter:
        return BY_MAXITER
    if s.nfev >= o.maxfun:
        return BY_MAXFUN
    if s.learning_rate < o.rate_lost:
        return STUCK
    return GOING
