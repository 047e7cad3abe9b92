"""A step by Gauss-Newton within a radius and within bounds, after Moré (1978), and how the radius is learnt.

Of the linear model r + J s there is R, a triangle, and behind it the projections q of r: where Q R = J,
|r + J s|**2 = |q + R s|**2 + a constant. Lengths are those of D s, D the largest norms so far of the
columns of J: no unit of a parameter matters.
"""

from math import sqrt

from .cache import copied, inner, seldom
from .triangles import add, dot, solve, solve_transposed, triangularise

SLACK = 0.1  # relative deviation from the radius that is good enough
ROUNDS = 10  # of Newton's method for the damping
ACCEPTED = 1e-4  # part of the promised reduction
POOR, GOOD = 0.25, 0.75  # parts of it, at which the radius is changed


@inner
def stack(w, j, column, rows):
    """Write column j of a matrix to be made a triangle: so many rows of it, and zeros below."""
    for i in range(rows):
        w.stacked[j, i] = column[i]
    for i in range(rows, w.stacked.shape[1]):
        w.stacked[j, i] = 0.0


@inner
def gather(w, s):
    """Return how many parameters are free, and R and q of these alone.

    What the others do with their steps, towards a bound, is part of q.
    """
    n, free = w.p.size, 0
    if s.fixed == 0:
        return n, w.upper
    right = w.direction
    for i in range(n):
        right[i] = w.upper[n, i]
    for j in range(n):
        if w.fixed[j] != 0.0:
            add(right, w.step[j], w.upper[j], 0, j + 1)
        else:
            stack(w, free, w.upper[j], j + 1)
            w.units[free] = w.scale[j]
            free += 1
    stack(w, free, right, n)
    triangularise(w.stacked, free, w.reduced)
    return free, w.reduced


@inner
def independent(left, square, rank):
    """Return whether a column is more than its error where so much is left of it; `square`, of its norm."""
    return left * left > rank * rank * square


@inner
def drop(w, s, a, rank):
    """Fix parameters whose columns depend on those before them; return whether there are any."""
    if s.fixed == 0 and s.full != 0:
        return False
    place, dropped = 0, False
    for j in range(w.p.size):
        if w.fixed[j] == 0.0:
            if not independent(a[place, place], w.squares[j], rank):
                w.fixed[j], dropped = 1.0, True
                s.fixed += 1
            place += 1
    return dropped


@copied
def newton(w, a, free):
    """Solve for the free part of a step, with R and q as they are in a; return its length."""
    solve(a, a[free], w.newton, free)
    length = 0.0
    for j in range(free):
        w.newton[j] = -w.newton[j]
        length += w.units[j] * w.newton[j] * w.newton[j]
    return sqrt(length)


@seldom
def damped(w, a, free, damping):
    """Solve for the free part of the step with a damping, R then in `w.damped`; return its length."""
    for j in range(free):
        stack(w, j, a[j], j + 1)
        w.stacked[j, free + j] = sqrt(damping * w.units[j])
    stack(w, free, a[free], free)
    triangularise(w.stacked, free, w.damped)
    return newton(w, w.damped, free)


@inner
def growth_of(w, a, free, length):
    """Return |R'^-1 D D s / |D s||**2, by which the length falls with the damping."""
    u, inverse = w.direction, 1.0 / length
    for j in range(free):
        u[j] = w.units[j] * w.newton[j] * inverse
    solve_transposed(a, u, free)
    return dot(u, u, 0, free)


@copied
def steepest(w, a, free):
    """Return |D^-1 R' q|: the damping that leaves a step of length 1 is no larger."""
    total = 0.0
    for j in range(free):
        slope = dot(a[j], a[free], 0, j + 1)
        total += slope * (slope / w.units[j])
    return sqrt(total)


@seldom
def restricted(w, s, a, free, length):
    """Damp a step of this length, the free part in `w.newton`, to the radius, but for `SLACK`."""
    radius = s.radius
    excess = length - radius
    low = excess / radius / growth_of(w, a, free, length)
    high = steepest(w, a, free) / radius
    damping = min(max(s.last_damping, low), high)
    if not damping > 0.0:
        damping = 1e-3 * high
    for _ in range(ROUNDS):
        length = damped(w, a, free, damping)
        excess = length - radius
        if abs(excess) <= SLACK * radius:
            break
        if excess > 0.0:
            low = max(low, damping)
        else:
            high = min(high, damping)
        new = damping + excess / radius / growth_of(w, w.damped, free, length)
        damping = min(max(new, low), high)
    s.damping = damping


@inner
def within_radius(w, s, a, free):
    """Solve for the free part of the step into `w.newton`; return the length that it has without a radius."""
    length = newton(w, a, free)
    s.damping, s.restricted = 0.0, not length <= (1.0 + SLACK) * s.radius
    if s.restricted != 0:
        restricted(w, s, a, free, length)
    return length


@copied
def learn_radius(s, actual):
    """Learn the radius from what a step achieved; return whether the point is better."""
    if not actual > POOR * s.predicted:  # or the cost is infinite
        bend = -actual - s.slope  # of the parabola along the step, whose lowest point is taken
        factor = min(max(-0.5 * s.slope / bend, 0.1), 0.5) if bend > 0.0 else 0.5
        s.radius = factor * min(s.radius, s.length)
        s.last_damping = s.damping / factor
    elif s.restricted == 0 and s.bounded == 0:
        s.radius = 2.0 * s.length
        s.last_damping = 0.0
    elif actual >= GOOD * s.predicted:
        s.radius = max(s.radius, 2.0 * s.length)
        s.last_damping = 0.5 * s.damping
    return actual >= ACCEPTED * s.predicted
