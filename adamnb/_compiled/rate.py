"""The learning rate: given, lowered on a plateau, or adapted, with returns to the best point.

An automatic rate grows while steps agree with the gradient that follows and shrinks where they do not;
a step that leads too high is taken back. What differs between a given and an automatic rate is chosen
by the method's type, so that neither has the other's code.
"""

from math import inf, isfinite, sqrt
from typing import NamedTuple

import numpy as np
from numba.extending import overload

from .averaging import adapt_under_noise, average_on, go_between, slower, taken_shorter
from .cache import INLINED, copied, inner, seldom
from .curvature import (
    CUT_LEAST,
    FIRST_FAILURES,
    NEVER,
    NOISY,
    PAUSE,
    RATE_MOST,
    STAY,
    cut_of,
    first_pairs,
    leave_pairs,
    return_to_pairs,
    take_best,
)
from .elements import FACTOR_MAX, FACTOR_MIN, Adaptation, Regularisation
from .loops import (
    Measured,
    Move,
    Numbers,
    forget_all,
    interpolate_all,
    measure,
    measure_again,
    numbers,
    sweep_all,
)
from .method import kind_of
from .pairs import as_frame, as_pairs
from .reasons import BY_NOISE, BY_ROUNDING, GOING, HIGHER
from .rules import Coefficients, Step, coefficients
from .sizes import outgrown
from .stops import at_rest, ended, keep_best, met, rested

# The automatic learning rate, in units of x_scale; `benchmarks/solve.py --constants` shows what each does.
AUTOMATIC = {
    "first_rate": 0.3,
    "kappa": 0.1,  # change of the rate's logarithm per unit of the cosine
    "early": 50,  # for so many steps from an empty memory that change is larger ...
    "early_factor": 3.0,  # ... by this factor
    "factor_growth": 0.02,  # change of the logarithm of a variable's factor in a step
    "tolerated_rise": 0.01,  # f above the best by this part of its fall so far: back to the best point
    "rise_growth": 3.0,  # factor of that part for every return that no new best follows
    "damping": 0.05,  # least curvature that a pair may have, in parts of what was expected (Powell 1978)
    "drift": 0.1,  # relative difference of the products of pairs that hold at once
    "pivot": 1e-8,  # of a pair that is no combination of the newer ones, relative
    "ratio_low": 0.1,  # part of the promised fall below which the radius shrinks,
    "ratio_high": 0.75,  # and above which it grows,
    "radius_growth": 4.0,  # by this factor
    "sufficient_decrease": 0.1,  # part of the predicted fall that a first step must keep (Armijo 1966)
    "first_rate_under_noise": 0.1,
    "clock_scale": 50.0,  # under noise: steps that do not agree until the rate has fallen to its root of 1/2
}
MAX_FAILURES = 30  # returns without a new best point, then there is no more to be had


def begin(method, v, s, o):
    """Get ready at the first point; compiled by `_begin`."""


@overload(begin, jit_options=INLINED)
def _begin(method, v, s, o):
    def scaled(method, v, s, o):
        if o.rate_per_gradient > 0.0 and s.gradient_norm > 0.0:
            s.learning_rate /= s.gradient_norm  # a step that grows with the objective

    def by_pairs(method, v, s, o):
        first_pairs(v, s)

    return by_pairs if method.curved else scaled


def judged(method, v, s, o, m, reason):
    """Learn from the current point, and return to the best one if it is too high.

    `m` is what was measured at the current point, `reason` is why it is none at all, or GOING. Returns
    whether the point is not to be judged further, as where it was too high, and what is known of the
    gradient then. Compiled by `_judged`.
    """


@overload(judged, jit_options=INLINED)
def _judged(method, v, s, o, m, reason):
    def by_pairs(method, v, s, o, m, reason):
        if s.curved:
            finite = reason == GOING
            how = v.algebra.judge(v.x, v.g, as_frame(v), as_pairs(v), s, o, finite)
            if how == NOISY and o.looks_out > 0.0:
                s.stop = BY_NOISE
                return True, m
            if how != STAY:
                leave_pairs(method, v, s, o, how)
            if s.nit & 15 == 0 or at_rest(s, o) != GOING:
                outgrown(method, v, s, o)
            return True, m
        back, m = taken_back(method, v, s, o, m, reason)
        if s.nit >= s.nit_pairs and (back or reason == GOING):
            keep_best(s)
            return_to_pairs(v.metric, s, o)
            back = True
        return back, m

    def by_rate(method, v, s, o, m, reason):
        return taken_back(method, v, s, o, m, reason)

    def by_itself(method, v, s, o, m, reason):
        return reason == GOING, m

    def about_mean(method, v, s, o, m, reason):
        return taken_shorter(v, s, m, reason)

    if method.averaged:
        return about_mean if method.automatic else by_itself
    return by_pairs if method.curved else by_rate


def found(method, s, o):
    """Return which stop test is met, or GOING; compiled by `_found`."""


@overload(found, jit_options=INLINED)
def _found(method, s, o):
    def by_best(method, s, o):
        return met(s, o)

    def by_pairs(method, s, o):  # what is noisy meets no other test
        return s.stop if s.stop == BY_NOISE else met(s, o)

    def by_limits(method, s, o):
        return ended(s, o)

    if method.averaged:
        return by_limits
    return by_pairs if method.curved else by_best


def stepped(method, v, s, o, m, origin):
    """Step from the current point, or the best; return GOING, or why there is none.

    Compiled by `_stepped`.
    """


@overload(stepped, jit_options=INLINED)
def _stepped(method, v, s, o, m, origin):
    def by_rate(method, v, s, o, m, origin):
        rows, k = next_step(method, v, s, o, m, origin)
        # A point is moved into another row, never over itself: rows only change names.
        free = 3 - rows[0] - s.x_best if rows[0] != s.x_best else (rows[0] + 1) % 3
        move = Move(rows[0], free, rows[1])
        sweep_all(method, v, s, o, move, k)
        s.x_before, s.x, s.g = move.x, move.new, 1 - s.g_best
        return GOING

    by_method = inner(by_rate)

    def by_pairs(method, v, s, o, m, origin):
        if s.curved:
            if v.algebra.step(v.x, v.g, v.spare, as_frame(v), as_pairs(v), s, o):
                return GOING
            take_best(s)
            if rested(s, o):
                return BY_ROUNDING
            leave_pairs(kind_of(method), v, s, o, np.int64(PAUSE))
            m = measure(kind_of(method), v, s.x, s.g, o)
        return by_method(method, v, s, o, m, origin)

    def with_mean(method, v, s, o, m, origin):
        by_method(method, v, s, o, m, origin)
        average_on(kind_of(method), v, s, o)
        return GOING

    def between(method, v, s, o, m, origin):
        base = (
            3 - s.x - s.x_best
        )  # the step from there overwrites the point at which the gradient is
        _, k = next_step(method, v, s, o, m, origin)
        sweep_all(method, v, s, o, Move(base, s.x, s.g), k)
        go_between(kind_of(method), v, s, o, base)
        s.g = 1 - s.g_best
        return GOING

    if method.averaged:
        return between if method.between else with_mean
    return by_pairs if method.curved else by_rate


class Origin(NamedTuple):
    """Where the last step came from: rows of x and g, which hold if it was the best point."""

    x: int
    g: int
    best: bool


def taken_back(method, v, s, o, m, reason):
    """Return to the best point if the current one is too high.

    `m` is what was measured at the current point, `reason` is why it is none at all, or GOING. Returns
    whether it was too high, and what is known of the gradient then. Compiled by `_taken_back`.
    """


@overload(taken_back, jit_options=INLINED)
def _taken_back(method, v, s, o, m, reason):
    def plain(method, v, s, o, m, reason):
        if s.failures >= MAX_FAILURES:
            return False, m
        first, high = s.t == 1 and s.failures < FIRST_FAILURES, reason != GOING or rises(s, o)
        if first or high:
            back = lowered(method, v, s, o, first, high)
            if back:
                anew(method, v, s)
        else:
            keep_best(s)
            back = False  # where f is not the best, x may be but passing
            if s.fun <= s.fun_best and (s.nit & 15 == 0 or at_rest(s, o) != GOING):
                back = outgrown(method, v, s, o)
        return back, Measured(s.gradient_norm, 0.0, 0.0, 0.0) if back else m

    back_from = inner(plain)

    def clipped(method, v, s, o, m, reason):
        back, m = back_from(method, v, s, o, m, reason)
        if back:
            norm2 = measure(method, v, s.x, s.g, o).norm2
            m = Measured(s.gradient_norm, 0.0, norm2, 0.0)
        return back, m

    if not method.automatic:
        return lambda method, v, s, o, m, reason: (False, m)
    return plain if method.plain else clipped


def next_step(method, v, s, o, m, origin):
    """Return from which rows of x and g to step, and the numbers of the step; compiled by `_next_step`.

    `m` is what was measured there, `origin` where the last step came from.
    """


@overload(next_step, jit_options=INLINED)
def _next_step(method, v, s, o, m, origin):
    def plain(method, v, s, o, m, origin):
        s.t += 1
        step = Step(np.float64(s.t), s.learning_rate, o.beta1, o.log_beta1, v.roots)
        return (s.x, s.g), Numbers(coefficients(method, o, step), None, None)

    def given(method, v, s, o, m, origin):
        if o.plateau_patience < NEVER:
            lower_on_plateau(s, o)
        s.t += 1
        step = Step(np.float64(s.t), s.learning_rate, o.beta1, o.log_beta1, v.roots)
        return (s.x, s.g), numbers(method, o, step, clip_factor(m, o))

    def under_noise(method, v, s, o, m, origin):
        adapt_under_noise(m, s, o)
        s.t += 1
        return (s.x, s.g), adapted_numbers(method, v.roots, s, o, m)

    def automatic(method, v, s, o, m, origin):
        adapt(m, s, o)
        rows = s.x, s.g
        if origin.best and m.along < 0.0 and s.t > 0 and s.streak == 1:
            rows = drawn_back(kind_of(method), v, s, o, origin, m.along)
        s.t += 1
        return rows, adapted_numbers(method, v.roots, s, o, m)

    if method.automatic:
        return under_noise if method.averaged else automatic
    return plain if method.plain else given


@inner
def clip_factor(m, o):
    """Return what a gradient is multiplied by so that its norm is within `clip_norm`."""
    return o.clip_norm / sqrt(m.norm2) if m.norm2 > o.clip_norm**2 else 1.0


@inner
def lower_on_plateau(s, o):
    """Lower the learning rate where f has not fallen for long (`schedules.Plateau`)."""
    if s.nit == 0 or s.fun < s.fun_fell - o.plateau_threshold * abs(s.fun_fell):
        s.fun_fell, s.nit_fell = s.fun, s.nit
    elif s.nit - s.nit_fell > o.plateau_patience:
        rate = s.learning_rate * o.plateau_factor
        s.learning_rate = rate if rate > o.plateau_final else o.plateau_final
        s.nit_fell = s.nit


# --------------------------------------------------------------------------- an automatic learning rate


@copied
def rises(s, o):
    """Return whether f is too high: above the best by a part of its fall so far, or for good."""
    part = o.tolerated_rise
    for _ in range(s.failures):  # few; a power is a call, in every iteration
        part *= o.rise_growth
    part = part if part < 1.0 else 1.0
    return s.fun > s.fun_best + part * (s.fun_first - s.fun_best) or at_rest(s, o) == HIGHER


@seldom
def lowered(method, v, s, o, first, high):
    """Lower the learning rate, if there is cause to go back to the best point; return whether there is.

    A first step from an empty memory must keep part of what the gradient predicts; it is what finds the
    size of the first learning rate. If the last step came from the best point, its new length is that of
    the minimum of the parabola through f and its slope there and f here, as in a backtracking line
    search (Dennis & Schnabel 1983, A6.3.1).
    """
    from_best = s.x_before == s.x_best and isfinite(s.fun)
    fall = 0.0  # that the slope at the best point predicts for the step that was made there
    if first or from_best:
        fall = s.learning_rate * measure_again(method, v, s.x_best, s.g_best, o).along
    if not high and not s.fun > s.fun_best - o.sufficient_decrease * fall:
        return False
    cut = CUT_LEAST
    if from_best and fall > 0.0:
        cut = cut_of(s.fun - s.fun_best, fall)
    s.learning_rate *= cut
    s.failures += 1
    return True


@copied
def anew(method, v, s):
    """Start anew from the best point, with an empty memory."""
    s.x, s.g, s.fun, s.gradient_norm = s.x_best, s.g_best, s.fun_best, s.gradient_norm_best
    s.t = s.streak = 0
    forget_all(method, v)


@inner
def adapt(m, s, o):
    """Adapt learning rate and momentum to the cosine between the last step and the descent direction.

    A step that went too far lowers the rate, one that could have gone on raises it: a hypergradient
    (Baydin et al. 2018) without its size. Where the cosine is negative the momentum is emptied, as
    O'Donoghue & Candes (2015) do with Nesterov's; from then on it is the mean of all gradients, so
    that it grows as long as the way leads down.
    """
    lengths = sqrt(m.norm2) * sqrt(m.previous2)
    if 0.0 < abs(m.along) <= 2.0 * lengths:  # no cosine at all where squares have underflowed
        s.cosine = m.along / lengths
        # exp(2 z cosine) to second order, with one division and no call: up and down cancel exactly.
        z = 0.5 * o.kappa * (o.early_factor if s.t <= o.early else 1.0)
        rate = s.learning_rate * (lengths + z * m.along) / (lengths - z * m.along)
        s.learning_rate = RATE_MOST if rate > RATE_MOST else rate
        if m.along < 0.0 and o.mean_momentum > 0.0:
            s.streak = 0
    s.streak += 1


@seldom
def drawn_back(method, v, s, o, origin, along):
    """Go back to the minimum along the last step, which went too far; return its rows of x and g.

    The slopes at both ends tell where it is, and both gradients what the gradient is there: exactly for
    a quadratic, and without an evaluation.
    """
    before, after = (origin.x, origin.g), (s.x, s.g)
    ahead = measure_again(method, v, origin.x, origin.g, o).along
    if not 0.0 < ahead < inf:
        return after
    into = before if s.x_best == s.x else after  # the best point is to be kept
    interpolate_all(method, v, before, after, into, ahead / (ahead - along))
    return into


def adapted_numbers(method, roots, s, o, m):
    """Return the numbers of a step; the rule's own rate is 1, the loop applies the real one.

    Compiled by `_adapted_numbers`.
    """


@overload(adapted_numbers, jit_options=INLINED)
def _adapted_numbers(method, roots, s, o, m):
    rule = published if method.averaged else of_mean
    adaptation = slowed if method.averaged else by_variable

    def plain(method, roots, s, o, m):
        return Numbers(rule(method, roots, s, o), None, adaptation(s, o))

    def decayed(method, roots, s, o, m):
        a = adaptation(s, o)
        r = Regularisation(clip_factor(m, o), o.l2, a.rate * o.decay)
        return Numbers(rule(method, roots, s, o), r, a)

    return plain if method.plain else decayed


@inner
def by_variable(s, o):
    """Return the numbers of a rate that each variable has a factor of."""
    return Adaptation(s.learning_rate, o.factor_up, o.factor_down, FACTOR_MIN, FACTOR_MAX)


@inner
def slowed(s, o):
    """Return the numbers of a rate under noise, which falls."""
    rate = s.learning_rate * slower(s, o) * s.part
    return Adaptation(rate, 1.0, 1.0, FACTOR_MIN, FACTOR_MAX)


@inner
def published(method, roots, s, o):
    """Return the coefficients of the method as it was published."""
    return coefficients(method, o, Step(np.float64(s.t), 1.0, o.beta1, o.log_beta1, roots))


@inner
def of_mean(method, roots, s, o):
    """Return the coefficients with a mean for the momentum, if the method takes one."""
    return momentum_of_mean(coefficients(method, o, step_of_mean(roots, s, o)), s)


@copied
def step_of_mean(roots, s, o):
    """Return the step whose momentum is the mean of the gradients since it was last emptied."""
    if o.mean_momentum > 0.0:  # a mean has no bias to correct
        return Step(np.float64(s.t), 1.0, 1.0 - 1.0 / s.streak, -inf, roots)
    return Step(np.float64(s.t), 1.0, o.beta1, o.log_beta1, roots)


@copied
def momentum_of_mean(c, s):
    """Return the coefficients, without a memory of the direction where the momentum has been emptied."""
    mu = 0.0 if s.streak == 1 else c.mu
    return Coefficients(mu, c.c1, c.beta2, c.c2, c.a, c.b, c.s, c.eps)
