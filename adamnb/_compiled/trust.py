"""A step by Gauss-Newton within a radius and within bounds, after Moré (1978), and how the radius is learnt.

Of the linear model r + J s there is R, a triangle, and the projections q of r: where Q R = J,
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


@seldom
def gather(w):
    """Write R and q of the free parameters alone, as a triangle again; return how many there are.

    What the others do with their steps, towards a bound, is part of q.
    """
    n, reduced = w.p.size, w.reduced
    right, free, fixed = reduced[n], 0, False
    for i in range(n):
        right[i] = w.projected[i]
    for j in range(n):
        if w.fixed[j] != 0.0:
            fixed = True
            add(right, w.step[j], w.upper[j], 0, j + 1)
            continue
        column = reduced[free]
        for i in range(n):
            column[i] = w.upper[j, i]
        w.units[free] = w.scale[j]
        free += 1
    if fixed:
        for i in range(n):
            reduced[free, i] = right[i]
        triangularise(reduced, free, n)
    return free


@copied
def drop(w, rank):
    """Fix parameters whose columns depend on those before them, of which only so much is left."""
    place, dropped = 0, False
    for j in range(w.p.size):
        if w.fixed[j] == 0.0:
            column = w.reduced[place]
            if not abs(column[place]) > rank * sqrt(dot(column, column, 0, place + 1)):
                w.fixed[j], dropped = 1.0, True
            place += 1
    return dropped


@seldom
def free_columns(w, rank):
    """Do as `gather` does, and fix those that change the model as others do."""
    free = gather(w)
    while drop(w, rank):
        free = gather(w)
    return free


@seldom
def damped(w, free, damping):
    """Solve for the step with a damping, R of the damped system in `w.damped`; return its length.

    With no damping the triangle itself serves.
    """
    a, right, k = w.reduced, w.reduced[free], free
    if damping > 0.0:
        a, right = w.damped, w.damped[free]
        for j in range(k):
            for i in range(2 * k):
                a[j, i] = 0.0
            for i in range(j + 1):
                a[j, i] = w.reduced[j, i]
            a[j, k + j] = sqrt(damping) * w.units[j]
        for i in range(k):
            right[i], right[k + i] = w.reduced[free, i], 0.0
        triangularise(a, k, 2 * k)
    solve(a, right, w.newton, k)
    length = 0.0
    for j in range(k):
        w.newton[j] = -w.newton[j]
        length += (w.units[j] * w.newton[j]) ** 2
    return sqrt(length)


@inner
def growth_of(w, free, damping, length):
    """Return |R'^-1 D D s / |D s||**2, by which the length falls with the damping."""
    u = w.direction
    for j in range(free):
        u[j] = w.units[j] * w.units[j] * w.newton[j] / length
    if damping > 0.0:
        solve_transposed(w.damped, u, free)
    else:
        solve_transposed(w.reduced, u, free)
    return dot(u, u, 0, free)


@copied
def steepest(w, free):
    """Return |D^-1 R' q|: the damping that leaves a step of length 1 is no larger."""
    total = 0.0
    for j in range(free):
        total += (dot(w.reduced[j], w.reduced[free], 0, j + 1) / w.units[j]) ** 2
    return sqrt(total)


@seldom
def within_radius(w, s, free):
    """Solve for the free part of the step into `w.newton`, no longer than the radius but for `SLACK`.

    Returns the length that a step without a radius has.
    """
    radius = s.radius
    whole = length = damped(w, free, 0.0)
    s.damping, s.restricted = 0.0, not length <= (1.0 + SLACK) * radius
    if s.restricted == 0:
        return whole
    excess = length - radius
    low = excess / radius / growth_of(w, free, 0.0, length)
    high = steepest(w, free) / radius
    damping = min(max(s.last_damping, low), high)
    if not damping > 0.0:
        damping = 1e-3 * high
    for _ in range(ROUNDS):
        length = damped(w, free, damping)
        excess = length - radius
        if abs(excess) <= SLACK * radius:
            break
        if excess > 0.0:
            low = max(low, damping)
        else:
            high = min(high, damping)
        new = damping + excess / radius / growth_of(w, free, damping, length)
        damping = min(max(new, low), high)
    s.damping = damping
    return whole


@copied
def learn_radius(s, actual):
    """Learn the radius from what a step achieved; return whether the point is better."""
    ratio = actual / s.predicted
    if not ratio > POOR:  # or the cost is infinite
        bend = -actual - s.slope  # of the parabola along the step, whose lowest point is taken
        factor = min(max(-0.5 * s.slope / bend, 0.1), 0.5) if bend > 0.0 else 0.5
        s.radius = factor * min(s.radius, s.length)
        s.last_damping = s.damping / factor
    elif s.restricted == 0 and s.bounded == 0:
        s.radius = 2.0 * s.length
        s.last_damping = 0.0
    elif ratio >= GOOD:
        s.radius = max(s.radius, 2.0 * s.length)
        s.last_damping = 0.5 * s.damping
    return ratio >= ACCEPTED
