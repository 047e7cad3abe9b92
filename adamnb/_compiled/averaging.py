"""An answer that luck cannot pass: an average of the points, and a learning rate under noise.

Where f is noisy, the lowest value is a lucky draw, and whoever returns to it stays there. The method goes
on with its momentum, nothing is taken back, the learning rate follows the cosine between steps and
gradients as it does elsewhere, and falls with the number of those that do not agree. The best point is an
average of all, in which late ones count most (Shamir & Zhang 2013).
"""

from math import sqrt

from .cache import copied, inner
from .loops import Measured, mix_all
from .reasons import GOING

LOST = 30  # points in a row that are none, then there is no more to be had
SHORTER = 0.5  # factor of a step after two that led to such points,
RECOVERY = 1.25  # and after one that did not
RATE_MOST = 1e30  # where f falls for ever, the rate must not overflow, for infinity times 0 is NaN
AGREEMENT = 0.1  # part of a mean of cosines that the last one is


@inner
def slower(s, o):
    """Return by how much the learning rate has fallen with the clock, and its changes."""
    return 1.0 / sqrt(1.0 + s.clock / o.clock_scale)


@copied
def adapt_under_noise(m, s, o):
    """Adapt the learning rate to the cosine between the last step and the descent direction.

    The clock goes on by a step that does not agree with the one before; one that does is on its way.
    """
    lengths = sqrt(m.norm2) * sqrt(m.previous2)
    if 0.0 < abs(m.along) <= 2.0 * lengths:  # no cosine at all where squares have underflowed
        s.cosine = m.along / lengths
        z = 0.5 * o.kappa * (o.early_factor if s.t <= o.early else 1.0) * slower(s, o)
        rate = s.learning_rate * (lengths + z * m.along) / (lengths - z * m.along)
        s.learning_rate = RATE_MOST if rate > RATE_MOST else rate
        part = 1.0 / (s.t + 1.0)
        s.agreement += (s.cosine - s.agreement) * (AGREEMENT if part < AGREEMENT else part)
        s.clock += 1.0 - (s.agreement if s.agreement > 0.0 else 0.0)


@inner
def taken_shorter(v, s, m, reason):
    """Take a step that led to a point that is none again, but shorter, by the momentum alone.

    Returns False if that has been in vain, and what is known of the gradient then.
    """
    if reason == GOING:
        s.failures = 0
        part = RECOVERY * s.part
        s.part = part if part < 1.0 else 1.0
        return True, m
    if s.nit == 0 or s.failures >= LOST:
        return False, m
    s.failures += 1
    if s.failures > 1:  # a single one may be chance
        s.part *= SHORTER
    s.x = s.x_before
    for i in range(v.spare.size):
        v.g[s.g, i] = 0
    return True, Measured(0.0, 0.0, 0.0, 0.0)


@inner
def average_on(method, v, s, o):
    """Let the average take in the point that was stepped to, and the mean of f the one before."""
    s.taken_in += 1
    if s.failures == 0:
        change = s.fun - s.fun_mark
        s.sum_count += 1
        s.sum_fun += change
        s.sum_fun2 += change * change
    mix_all(method, v, s.x_best, s.x, s.x_best, weight(s.taken_in, o))


@inner
def go_between(method, v, s, o, base):
    """Take a new base point, row s.x, into the average, and go to a point between the two, row `base`.

    Schedule-free learning (Defazio et al. 2024): their z is the base, x the average, y where the gradient is.
    Points count by the square of the largest learning rate so far.
    """
    if s.learning_rate > s.rate_most:
        s.rate_most = s.learning_rate
    own = s.rate_most * s.rate_most
    s.weights += own
    mix_all(method, v, s.x_best, s.x, s.x_best, own / s.weights if own > 0.0 else 0.0)
    mix_all(method, v, s.x, s.x_best, base, o.between)
    for i in range(v.spare.size):
        v.spare[i] = v.x[base, i]
    s.x_before, s.x = s.x, base


@copied
def weight(count, o):
    """Return the part of point number `count` in an average over the latest.

    Of the power p the points count as k^p, k = 1, 2, ...; power 0 is the mean of all, and exponential ones,
    of the power -1, have a part of their own.
    """
    if count == 1:
        return 1.0
    part = (o.average_power + 1.0) / (count + o.average_power)
    return part if part > o.average_least else o.average_least
