"""Whether to stop: the tests that every iteration makes."""

from math import isfinite, sqrt

import numpy as np

from .cache import copied, inner
from .reasons import (
    BAD_FUN,
    BAD_JAC,
    BY_ERROR,
    BY_GRADIENT,
    BY_MAXFUN,
    BY_MAXITER,
    BY_OBJECTIVE,
    BY_STEP,
    BY_TARGET,
    GOING,
    HIGHER,
    STUCK,
    TOO_LARGE,
    TOO_SMALL,
)


@inner
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


@copied
def is_single(f):
    """Return whether a number is one of float32, as f is where all is computed so."""
    return np.float64(np.float32(f)) == f


@copied
def rounding(s, o):
    """Return the relative rounding of f: that of x, or of float32 where f is computed so."""
    return SINGLE if is_single(s.fun) and is_single(s.fun_best) else o.rounding


@copied
def tolerance(s, o):
    """Return `gtol`, or what the rounding of float32 leaves of a gradient."""
    if 0.0 < o.gtol < 16 * SINGLE and rounding(s, o) >= SINGLE:
        return 16 * SINGLE
    return o.gtol


@copied
def settled(s, gradient_norm, part, vanished):
    """Return whether the gradient leaves f as it is, to first order, or f has all but vanished.

    Without it a fit that starts far off would end as soon as it is a million times nearer.
    """
    f = abs(s.fun_best)
    return gradient_norm <= part * f or f <= vanished * abs(s.fun_first)


@copied
def stationary(s, o):
    """Return whether the gradient at the current point has all but vanished, or is its error alone."""
    part, first = tolerance(s, o), s.gradient_norm_first
    if s.gradient_norm <= max(part * first, min(s.gradient_error, 1e-3 * first)):
        return settled(s, s.gradient_norm, sqrt(part), part * part)
    return False


@copied
def higher(s, o):
    """Return whether f at the current point is above the best by more than it is rounded.

    A residual is rounded as the data are, so that f may be rounded by more than its own digits.
    """
    part = tolerance(s, o)
    rounded = ROUNDINGS * rounding(s, o) * abs(s.fun_best) + 4.0 * s.fun_error
    return s.fun - s.fun_best > rounded + part * sqrt(part) * (s.fun_first - s.fun_best)


@copied
def flat(s):
    """Return whether the gradient has fallen: only then does a small gain or step tell a minimum."""
    fallen = s.gradient_norm_best <= 1e-3 * s.gradient_norm_first
    return fallen and settled(s, s.gradient_norm_best, 0.1, 1e-12)


@copied
def keep_best(s):
    """Keep the current point if it is better than the best."""
    if s.fun < s.fun_best or (s.fun == s.fun_best and s.gradient_norm < s.gradient_norm_best):
        s.fun_best, s.gradient_norm_best, s.x_best, s.g_best = s.fun, s.gradient_norm, s.x, s.g
        s.failures = 0


@inner
def met(s, o):
    """Return which stop test the best point meets, or GOING.

    Where f is as low as at the best point but for its rounding, the point that meets the test is the best.
    """
    if stationary(s, o):
        if higher(s, o):
            return HIGHER
        s.fun_best, s.gradient_norm_best, s.x_best, s.g_best = s.fun, s.gradient_norm, s.x, s.g
        within = s.gradient_norm <= tolerance(s, o) * s.gradient_norm_first
        return BY_GRADIENT if within else BY_ERROR
    if s.fun_best <= o.f_target:
        return BY_TARGET
    if s.nit - s.nit_mark >= o.patience:
        gained = s.fun_mark - s.fun_best
        s.nit_mark, s.fun_mark = s.nit, s.fun_best
        # Above the best point, as after a long step, f is on its way and not at rest.
        above = s.fun - s.fun_best > sqrt(o.ftol) * abs(s.fun_best)
        if o.ftol > 0.0 and gained <= o.ftol * abs(s.fun_best) and flat(s) and not above:
            return BY_OBJECTIVE
    if s.largest_step <= o.xtol and s.nit > 0 and flat(s):
        return BY_STEP
    if s.stop != GOING:  # Python wants no more
        return s.stop
    if s.nit >= o.maxiter:
        return BY_MAXITER
    if s.nfev >= o.maxfun:
        return BY_MAXFUN
    if s.learning_rate < o.rate_lost:
        return STUCK
    return GOING
