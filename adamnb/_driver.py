"""Loops over iterations: `advance`, written once, and the compiled loop around it.

The whole state is data: blocks of vectors and one vector of scalars.
"""

from math import inf, isfinite, sqrt

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from ._kernels import empty, forget, largest_move, measure, mix, narrow, shell, sweep_all
from ._rules import (
    BETA1,
    CLIP_NORM,
    EARLY,
    EARLY_FACTOR,
    F_TARGET,
    FACTOR,
    FTOL,
    GTOL,
    HOLD,
    INLINED,
    KAPPA,
    LARGEST,
    LOG_BETA1,
    LOOSER,
    MAXFUN,
    MAXITER,
    MEAN,
    PATIENCE,
    PROMISE,
    RATE_MIN,
    RELATIVE,
    RISE,
    THRESHOLD,
    XTOL,
    coefficients,
    entry,
    inner,
)  # fmt: skip

# Scalars of the state, one float64 vector. X, X_BEST, G, G_BEST are rows of the blocks x and g.
SCALARS = (
    "t", "nit", "nfev", "njev", "fun", "fun_first", "fun_best", "fun_mark", "nit_mark", "slope",
    "slope_first", "slope_best", "step", "learning_rate", "cosine", "failures", "wrong_size",
    "x", "x_best", "g", "g_best", "fun_fell", "nit_fell", "streak", "x_before",
)  # fmt: skip
(T, NIT, NFEV, NJEV, FUN, FUN_FIRST, FUN_BEST, FUN_MARK, NIT_MARK, SLOPE, SLOPE_FIRST, SLOPE_BEST,
 STEP, RATE, COSINE, FAILURES, WRONG_SIZE, X, X_BEST, G, G_BEST, FUN_FELL, NIT_FELL,
 STREAK, X_BEFORE) = range(25)  # fmt: skip

# Why `advance` stopped; 0 is "go on".
(GOING, BY_GRADIENT, BY_OBJECTIVE, BY_STEP, BY_TARGET, BY_MAXITER, BY_MAXFUN, STUCK, BAD_FUN,
 BAD_JAC, TOO_LARGE, WRONG_SHAPE) = range(12)  # fmt: skip

SPARE, X_ROWS = 3, 4  # best, current and next x, and a copy that the user's functions may spoil
G_ROWS = 2  # current and best gradient
RATES, TRACE = types.Array(types.float64, 1, "C"), types.Array(types.float64, 2, "C")
RATE_LOST = 1e-18  # a step below the last bit of every scaled variable
RATE_MOST = 1e30  # where f falls for ever, the rate must not overflow, for infinity times 0 is NaN
PROMISED = 4  # roll-backs after which a first step need not keep its promise
CUT_LEAST, CUT_MOST = 0.1, 0.5  # factors of the learning rate after a roll-back
MAX_FAILURES = 30  # roll-backs without a new best point, then there is no more to be had


@inner
def settled(s, slope, part, vanished):
    """Return whether the slope leaves f as it is, to first order, or f has all but vanished.

    Without it a fit that starts far off would end as soon as it is a million times nearer.
    """
    f = abs(s[FUN_BEST])
    return slope <= part * f or f <= vanished * abs(s[FUN_FIRST])


@inner
def flat(s):
    """Return whether the gradient has fallen: only then does a small gain or step tell a minimum."""
    return s[SLOPE_BEST] <= 1e-3 * s[SLOPE_FIRST] and settled(s, s[SLOPE_BEST], 0.1, 1e-12)


def unless_plain(method, asked):
    """Stand in for `asked`, of which Numba knows that it is false for a plain method."""


@overload(unless_plain, jit_options=INLINED)
def _unless_plain(method, asked):
    if method.plain:
        return lambda method, asked: False
    return lambda method, asked: asked


@inner
def met(method, last, s, o):
    """Return which stop test the current point meets, or 0."""
    if s[SLOPE] <= o[GTOL] * s[SLOPE_FIRST] and settled(s, s[SLOPE], sqrt(o[GTOL]), o[GTOL] ** 2):
        return BY_GRADIENT
    if s[FUN_BEST] <= o[F_TARGET]:
        return BY_TARGET
    if s[NIT] - s[NIT_MARK] >= o[PATIENCE]:
        gained = s[FUN_MARK] - s[FUN_BEST]
        s[NIT_MARK], s[FUN_MARK] = s[NIT], s[FUN_BEST]
        # Above the best point, as after a long step, f is on its way and not at rest.
        above = s[FUN] - s[FUN_BEST] > sqrt(o[FTOL]) * abs(s[FUN_BEST])
        if o[FTOL] > 0.0 and gained <= o[FTOL] * abs(s[FUN_BEST]) and flat(s) and not above:
            return BY_OBJECTIVE
    if unless_plain(method, s[STEP] <= o[XTOL]) and s[NIT] > 0.0 and flat(s):
        return BY_STEP
    if s[NIT] >= o[MAXITER]:
        return BY_MAXITER
    if s[NFEV] >= o[MAXFUN]:
        return BY_MAXFUN
    if (last is not None or unless_plain(method, True)) and s[RATE] < RATE_LOST:
        return STUCK
    return GOING


@inner
def plateau(s, o):
    """Lower the learning rate where f has not fallen for long (`schedules.Plateau`)."""
    if s[NIT] == 0.0 or s[FUN] < s[FUN_FELL] - o[THRESHOLD] * abs(s[FUN_FELL]):
        s[FUN_FELL], s[NIT_FELL] = s[FUN], s[NIT]
    elif s[NIT] - s[NIT_FELL] > o[HOLD]:
        s[RATE], s[NIT_FELL] = max(s[RATE] * o[FACTOR], o[RATE_MIN]), s[NIT]


@inner
def too_high(method, x, g, last, scale, lower, upper, s, o):
    """Return whether f is higher than an automatic learning rate puts up with.

    A first step from an empty memory must keep part of what the gradient promised; it is what finds
    the size of the first learning rate. Later f may rise, but not by much of what it has fallen.
    """
    height = s[FUN_FIRST] - s[FUN_BEST]
    part = o[RISE]
    for _ in range(int(s[FAILURES])):  # few; a power is a call, in every iteration
        part *= o[LOOSER]
    part = min(1.0, part)
    if s[FUN] > s[FUN_BEST] + part * height:
        return True
    if s[T] != 1.0 or s[FAILURES] >= PROMISED:
        return False
    return s[FUN] > s[FUN_BEST] - o[PROMISE] * promised(method, x, g, last, scale, lower, upper, s)


@inner
def promised(method, x, g, last, scale, lower, upper, s):
    """Return the fall that the slope at the best point promised for the step that was made there."""
    here, row = int(s[X_BEST]), int(s[G_BEST])
    _, along, _, _ = measure(method, x, here, g, row, last, scale, lower, upper, True)
    return s[RATE] * along


@inner
def back_to_best(method, x, g, slots, last, scale, lower, upper, s):
    """Return to the best point with a lower learning rate and an empty memory.

    If the step came from there, its new length is that of the minimum of the parabola through f and its
    slope there and f here, as in a backtracking line search (Dennis & Schnabel 1983, A6.3.1).
    """
    cut = CUT_LEAST
    if s[X_BEFORE] == s[X_BEST] and isfinite(s[FUN]):
        fall = promised(method, x, g, last, scale, lower, upper, s)
        if fall > 0.0:
            cut = 0.5 * fall / (s[FUN] - s[FUN_BEST] + fall)
            cut = min(max(cut, CUT_LEAST), CUT_MOST)
    s[RATE] *= cut
    s[X], s[G], s[FUN], s[SLOPE] = s[X_BEST], s[G_BEST], s[FUN_BEST], s[SLOPE_BEST]
    s[FAILURES] += 1
    s[T] = s[STREAK] = 0.0
    empty(method, g, slots, last)


@inner
def adapt(along, norm2, last2, s, o):
    """Adapt learning rate and momentum to the cosine between the last step and the descent direction.

    A step that went too far lowers the rate, one that could have gone on raises it: a hypergradient
    (Baydin et al. 2018) without its size. Where the cosine is negative the momentum is emptied, as
    O'Donoghue & Candes (2015) do with Nesterov's; from then on it is the mean of all gradients, so
    that it grows as long as the way leads down.
    """
    if along != 0.0:
        lengths = sqrt(norm2) * sqrt(last2)
        s[COSINE] = along / lengths
        # exp(2 z cosine) to second order, with one division and no call: up and down cancel exactly.
        z = 0.5 * o[KAPPA] * (o[EARLY_FACTOR] if s[T] <= o[EARLY] else 1.0)
        s[RATE] = min(s[RATE] * (lengths + z * along) / (lengths - z * along), RATE_MOST)
        if along < 0.0 and o[MEAN] > 0.0:
            s[STREAK] = 0.0
    s[STREAK] += 1.0
    if o[MEAN] > 0.0:
        o[BETA1], o[LOG_BETA1] = 1.0 - 1.0 / s[STREAK], -inf  # a mean has no bias to correct


@inner
def drawn_back(method, x, g, slots, last, scale, lower, upper, s, before, row_before, along):
    """Go back to the minimum along the last step, which went too far; return its rows of x and g.

    The slopes at both ends tell where it is, and both gradients what the gradient is there: exactly for
    a quadratic, and without an evaluation.
    """
    here, row = int(s[X]), int(s[G])
    _, ahead, _, _ = measure(method, x, before, g, row_before, last, scale, lower, upper, True)
    if not 0.0 < ahead < inf:
        return here, row
    x_into, g_into = here, row
    if s[X_BEST] == here:  # which is to be kept
        x_into, g_into = before, row_before
    mix(method, x, g, slots, before, here, x_into, row_before, row, g_into, ahead / (ahead - along))
    return x_into, g_into


@inner
def iterate(method, x, twin, g, slots, gain, last, scale, lower, upper, s, o):
    """Judge the current point, whose f is s[FUN] and whose gradient stands in g, and step on.

    One iteration of every loop: stop tests, best point, learning rate, step, bounds. Returns GOING
    after a step (the next point is then row s[X] of x, and row `twin` where that is not None), else
    the reason to stop there.
    """
    # A point is moved into another row, never over itself: rows only change names.
    before, row_before, from_best = int(s[X_BEFORE]), int(s[G_BEST]), s[X_BEFORE] == s[X_BEST]
    clipped = unless_plain(method, o[CLIP_NORM] < inf)
    summed = last is not None or clipped
    s[SLOPE], along, norm2, last2 = measure(
        method, x, int(s[X]), g, int(s[G]), last, scale, lower, upper, summed
    )
    reason = GOING
    if not isfinite(s[FUN]):
        reason = BAD_FUN
    elif not s[SLOPE] <= o[LARGEST]:  # or NaN
        reason = TOO_LARGE if isfinite(s[SLOPE]) else BAD_JAC
    if s[NIT] == 0:
        s[FUN_FIRST] = s[FUN_BEST] = s[FUN_MARK] = s[FUN]
        s[SLOPE_FIRST] = s[SLOPE_BEST] = s[SLOPE]
        if o[RELATIVE] > 0.0 and last is not None and s[SLOPE] > 0.0:
            s[RATE] /= s[SLOPE]  # a step that grows with the objective starts from its gradient
    elif (
        last is not None
        and s[FAILURES] < MAX_FAILURES
        and (reason != GOING or too_high(method, x, g, last, scale, lower, upper, s, o))
    ):
        back_to_best(method, x, g, slots, last, scale, lower, upper, s)
        _, along, norm2, last2 = measure(
            method, x, int(s[X]), g, int(s[G]), last, scale, lower, upper, True
        )
        reason = GOING
    elif reason == GOING and s[FUN] < s[FUN_BEST]:
        s[FUN_BEST], s[SLOPE_BEST], s[X_BEST], s[G_BEST] = s[FUN], s[SLOPE], s[X], s[G]
        s[FAILURES] = 0.0
    if reason == GOING:
        reason = met(method, last, s, o)
    if reason != GOING:
        return reason

    if unless_plain(method, o[HOLD] < inf):
        plateau(s, o)
    here, row = int(s[X]), int(s[G])
    shrink, rate = 1.0, s[RATE]
    if clipped and norm2 > o[CLIP_NORM] ** 2:
        shrink = o[CLIP_NORM] / sqrt(norm2)
    if last is not None:
        adapt(along, norm2, last2, s, o)
        rate = s[RATE]
        if from_best and along < 0.0 and s[T] > 0.0 and s[STREAK] == 1.0:
            here, row = drawn_back(
                method, x, g, slots, last, scale, lower, upper, s, before, row_before, along
            )
    s[T] += 1.0
    s[NIT] += 1.0
    best = int(s[X_BEST])
    there = 3 - here - best if here != best else (here + 1) % 3
    c = coefficients(method, o, s[T], 1.0 if gain is not None else rate)
    if last is not None and s[STREAK] == 1.0:
        c = forget(c)
    c = narrow(c, x)
    k = shell(o, rate, shrink, x)
    sweep_all(method, x, here, there, twin, g, row, slots, gain, last, scale, lower, upper, c, k)
    if unless_plain(method, o[XTOL] > 0.0):
        s[STEP] = largest_move(method, x, here, there, g, scale)
    s[X_BEFORE], s[X], s[G] = here, there, 1.0 - s[G_BEST]
    return GOING


@intrinsic
def lend(typingctx, array):
    """Return `array` without a share in its memory, which the caller keeps alive.

    Numba counts references atomically at every function boundary: some 100 ns an iteration.
    """

    def codegen(context, builder, signature, arguments):
        if not isinstance(signature.args[0], types.Array):
            return arguments[0]
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        view.meminfo = view.meminfo.type(None)
        return view._getvalue()

    return array(array), codegen


@inner
def copy_row(x, here, vector):
    for i in range(vector.size):
        vector[i] = x[here, i]


@entry
def advance(
    method, x, g, slots, gain, last, scale, lower, upper, s, o, gradient, for_fun, for_jac
):  # fmt: skip
    """Make one iteration with a gradient, for the interpreted loop; the last two get the next point."""
    x_, g_, row = lend(x), lend(g), np.uintp(s[G])
    for i in range(gradient.size):
        g_[row, i] = gradient[i]
    reason = iterate(
        method, x_, None, g_, lend(slots), lend(gain), lend(last), lend(scale), lend(lower),
        lend(upper), lend(s), lend(o),
    )  # fmt: skip
    here = int(s[X])
    copy_row(x_, here, lend(for_fun))
    copy_row(x_, here, lend(for_jac))
    return reason


# ------------------------------------------------------------------------------------- compiled loop


def evaluate(fun, jac, x, here, spare, g, args, s):
    """Stand in for the form in which the gradient comes; Numba picks by the type of `jac`.

    Puts f into s[FUN] and the gradient into g; the user's functions see `spare`, which holds a copy
    of x[here] and may be spoilt.
    """


@overload(evaluate, jit_options=INLINED)
def _evaluate(fun, jac, x, here, spare, g, args, s):
    def inplace(fun, jac, x, here, spare, g, args, s):
        s[FUN] = fun(spare, g, *args)
        return True

    def both(fun, jac, x, here, spare, g, args, s):
        s[FUN], gradient = fun(spare, *args)
        return take(gradient, g, s)

    def separate(fun, jac, x, here, spare, g, args, s):
        s[FUN] = fun(spare, *args)
        copy_row(x, here, spare)
        return take(jac(spare, *args), g, s)

    if isinstance(jac, types.Boolean):
        return inplace
    return both if isinstance(jac, types.NoneType) else separate


@inner
def take(gradient, g, s):
    """Copy a gradient of the right length, an array or a tuple."""
    if len(gradient) != g.size:
        s[WRONG_SIZE] = len(gradient)
        return False
    for i in range(g.size):
        g[i] = gradient[i]
    return True


@entry
def run(
    method, fun, jac, args, x, g, slots, gain, last, scale, lower, upper, s, o, steps, rates, trace
):  # fmt: skip
    """Iterate until a stop test is met, `steps` times at most.

    `rates` is None where the learning rate is the state's own, or has one per iteration. `trace` is
    None or has one row (f, slope, learning rate) per iteration.
    """
    # What the user's functions get is theirs during the call alone.
    spare, even, odd = lend(x[SPARE]), lend(g[0]), lend(g[1])
    x_, g_, slots_, gain_, last_ = lend(x), lend(g), lend(slots), lend(gain), lend(last)
    scale_, lower_, upper_, s_, o_ = lend(scale), lend(lower), lend(upper), lend(s), lend(o)
    copy_row(x_, int(s_[X]), spare)
    for i in range(steps):
        if rates is not None:
            s_[RATE] = rates[i]
        here = int(s_[X])
        s_[NFEV] += 1.0
        s_[NJEV] = s_[NFEV]
        if s_[G] == 0.0:
            fits = evaluate(fun, jac, x_, here, spare, even, args, s_)
        else:
            fits = evaluate(fun, jac, x_, here, spare, odd, args, s_)
        if not fits:
            return WRONG_SHAPE
        fun_here = s_[FUN]
        reason = iterate(
            method, x_, SPARE, g_, slots_, gain_, last_, scale_, lower_, upper_, s_, o_
        )
        if trace is not None:
            trace[i, 0], trace[i, 1], trace[i, 2] = fun_here, s_[SLOPE], s_[RATE]
        if reason != GOING:
            return reason
    return GOING
