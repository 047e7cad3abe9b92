"""Problems with bounds on the variables.

The bounds of the problems of Moré, Garbow and Hillstrom are those of D. M. Gay, "A trust-region
approach to linearly constrained optimization", Lecture Notes in Mathematics 1066 (1984) 72-105, as
two later collections quote them: one has #3 to #5, #7, #9, #11, #12, #14, #16 and #18, the other
the rest and again #7, #12 and #16, in which the two agree. Gay has m = 3 in #11 and #12, where we
keep the m of the unbounded set. With his m the minima that the collections print are ours, to all
of their digits; but #19 has a lower one than the printed, #33 has inactive bounds, and for #34 none
is printed. Some standard starts (#19, #27, #35) are outside: they are moved to the nearest point
inside. The other problems and their bounds are ours.
"""

import numpy as np

from adamnb import _nist
from problems import mgh
from problems.nist import BY_HAND
from problems.problem import Problem, compiled


@compiled
def quadratic(x, g, a, b):
    """``x . a x / 2 - b . x`` with a symmetric."""
    f = 0.0
    for i in range(x.size):
        ax = 0.0
        for j in range(x.size):
            ax += a[i, j] * x[j]
        f += x[i] * (0.5 * ax - b[i])
        g[i] = ax - b[i]
    return f


@compiled
def membrane(v, g, load):
    """Energy of a membrane on a square: half the squared differences of neighbours, less the load.

    `v` has the heights of the inner points of a square grid, row by row; the rim is at height zero.
    This is Moré and Toraldo's elastic-plastic torsion and obstacle problem, SIAM J. Optim. 1 (1991)
    93-113, with `load` as their c h**2.
    """
    side = int(np.sqrt(v.size))
    f = 0.0
    for k in range(v.size):
        f -= load * v[k]
        g[k] = -load
    for row in range(side + 1):
        for column in range(side):
            # The difference across the rows, then, with the indices swapped, across the columns.
            for stride, other in ((side, 1), (1, side)):
                k = row * stride + column * other
                above = v[k - stride] if row > 0 else 0.0
                here = v[k] if row < side else 0.0
                d = here - above
                f += 0.5 * d * d
                if row > 0:
                    g[k - stride] -= d
                if row < side:
                    g[k] += d
    return f


def spectrum(n, condition, seed):
    """A symmetric matrix of shape (n, n) with eigenvalues from 1 to `condition`, evenly in log.

    Two random reflections turn it off the axes, with no factorisation whose last bits would depend
    on the LAPACK.
    """
    a = np.diag(np.geomspace(1.0, condition, n))
    for u in np.random.default_rng(seed).standard_normal((2, n)):
        h = np.eye(n) - 2.0 / np.sum(u * u) * np.outer(u, u)
        a = h @ a @ h
    return (a + a.T) / 2.0


def gay():
    """(name, lower, upper) with Gay's bounds."""
    ones = np.ones(10)
    almost_linear = 100.0 * ones
    almost_linear[2] = 0.9
    return [
        ("Rosenbrock", [-50.0, 0.0], [0.5, 100.0]),
        ("Freudenstein-Roth", [0.0, -30.0], [20.0, -0.9]),
        ("Powell badly scaled", [0.0, 1.0], [1.0, 9.0]),
        ("Brown badly scaled", [0.0, 3e-5], [1e6, 100.0]),
        ("Beale", [0.6, 0.5], [10.0, 100.0]),
        ("Jennrich-Sampson", [0.26, 0.0], [10.0, 20.0]),
        ("Helical valley", [-100.0, -1.0, -1.0], [0.8, 1.0, 1.0]),
        ("Bard", [0.1, 0.0, 0.0], [50.0, 100.0, 50.0]),
        ("Gaussian", [0.398, 1.0, -0.5], [4.2, 2.0, 0.1]),
        ("Meyer", [0.006, 0.0, 0.0], [2.0, 3e5, 3e4]),
        ("Gulf", [1e-16, 0.0, 0.0], [10.0, 10.0, 10.0]),
        ("Box 3-D", [0.0, 5.0, 0.0], [2.0, 9.5, 20.0]),
        ("Powell singular", [0.1, -20.0, -1.0, -1.0], [100.0, 20.0, 1.0, 50.0]),
        ("Wood", [-100.0] * 4, [0.0, 10.0, 100.0, 100.0]),
        ("Kowalik-Osborne", [0.0, -1.0, 0.13, 0.12], [10.0, 12.0, 13.0, 12.0]),
        ("Brown-Dennis", [-10.0, 0.0, -100.0, -20.0], [100.0, 15.0, 0.0, 0.2]),
        ("Osborne 1", [0.0, 0.0, -50.0, 0.0, 0.0], [50.0, 1.9, -0.1, 10.0, 10.0]),
        ("Biggs EXP6", [0.0, 0.0, 0.0, 1.0, 0.0, 0.0], [2.0, 8.0, 1.0, 7.0, 5.0, 5.0]),
        (
            "Osborne 2",
            [1.0, 0.5, 0.0, 0.6] + [0.0] * 7,
            [150.0, 100.0, 100.0, 100.0, 100.0, 500.0, 500.0, 500.0, 100.0, 10.0, 0.0],
        ),
        ("Watson", [-0.015] + [-10.0] * 5, [10.0] + [100.0] * 4 + [0.99]),
        ("Brown almost-linear", [0.0, 1.0] + [0.0] * 8, almost_linear),
        ("Linear, full rank", [-0.5] + [-2.0] * 9, 100.0 * ones),
        ("Linear, rank 1", [-0.9] + [-2.0] * 9, 100.0 * ones),
        ("Linear, rank 1 with zeros", [0.0, -0.4, 0.3] + [0.0] * 7, 100.0 * ones),
        ("Chebyquad", [0.0, 0.0, 0.1] + [0.0] * 5, [0.04, 0.2, 0.3] + [1.0] * 5),
    ]


def ours():
    """(name, fun, args, x0, lower, upper) of the rest; a number bounds every variable."""
    rng = np.random.default_rng(20)
    regression = rng.standard_normal((40, 20)), rng.standard_normal(40)
    stiff = spectrum(50, 1e4, seed=50), 100.0 * np.random.default_rng(51).standard_normal(50)
    line = np.arange(1, 11) / 11.0
    x, y = (grid.ravel() for grid in np.meshgrid(line, line, indexing="ij"))
    rim = np.minimum(np.minimum(x, 1.0 - x), np.minimum(y, 1.0 - y))
    bump = (np.sin(3.2 * x) * np.sin(3.3 * y)) ** 3
    h2 = 1.0 / 121.0
    rows = [
        ("Nonnegative least squares", mgh.linear, regression, np.ones(20), 0.0, np.inf),
        ("Quadratic, condition 1e4", quadratic, stiff, np.zeros(50), -1.0, 1.0),
        ("Torsion, c = 5", membrane, (5.0 * h2,), np.zeros(100), -rim, rim),
        ("Torsion, c = 20", membrane, (20.0 * h2,), np.zeros(100), -rim, rim),
        ("Obstacle", membrane, (h2,), np.ones(100), bump, np.inf),
    ]
    for name in ("Misra1a", "Gauss1", "Lanczos3"):
        nist = _nist.load(name)
        args = nist.x, nist.y
        rows.append((f"{name}, nonnegative", BY_HAND[name], args, nist.starts[0], 0.0, np.inf))
    amplitudes = [0.1, 0.0, 0.1, 0.0, 0.1, 0.0]
    lanczos = BY_HAND["Lanczos3"]
    rows.append(("Lanczos3, amplitudes >= 0.1", lanczos, args, nist.starts[0], amplitudes, np.inf))
    return rows


def problems():
    """Gay's 25 problems and nine of ours."""
    unbounded = {problem.name: problem for problem in mgh.problems()}
    rows = [
        (name, unbounded[name].fun, unbounded[name].args, unbounded[name].x0, *bounds)
        for name, *bounds in gay()
    ]
    found = []
    for name, fun, args, x0, *bounds in rows + ours():
        lower, upper = (np.array(np.broadcast_to(b, x0.shape), np.float64) for b in bounds)
        minimum, *minima = MINIMA[name]
        x0 = np.clip(x0, lower, upper)
        found.append(Problem(name, fun, x0, args, (lower, upper), minimum, tuple(minima)))
    return found


# The global minimum, and after it the other minima found more than once: the best of L-BFGS-B, TNC,
# SLSQP and trust-constr from about a hundred starts (#19: L-BFGS-B from three thousand), polished by
# Newton steps in long double on the variables that are off their bounds.
MINIMA = {
    "Rosenbrock": (0.25,),
    "Freudenstein-Roth": (48.985202, 104.3288410307484),
    "Powell badly scaled": (1.512593672442382e-10,),
    "Brown badly scaled": (783.99999929518400063,),
    "Beale": (0.0,),
    "Jennrich-Sampson": (124.3831129163779,),
    "Helical valley": (0.9904221209614, 4.0),
    "Bard": (0.009582284721153241, 0.01965059921721),
    "Gaussian": (1.127932769619011e-08,),
    "Meyer": (127.4517712113,),
    "Gulf": (5.12168571558317,),
    "Box 3-D": (0.0001143481802641448,),
    "Powell singular": (0.0001878196300583033,),
    "Wood": (1.556700800438565, 7.093836425129051),
    "Kowalik-Osborne": (0.0003078307234641979,),
    "Brown-Dennis": (88860.47976750044,),
    "Osborne 1": (5.470283343373714e-05,),
    "Biggs EXP6": (0.0005320986590782501, 0.242807803971428),
    "Osborne 2": (
        0.3025643583137576,
        0.31267134295918,
        0.33609645701076,
        0.353789656663031,
        0.4230035082823435,
        0.4312694559413743,
        0.4386007773516469,
        0.5102305220483382,
        0.5442857863791829,
        0.57265505612635,
        0.581001212725,
        0.5960671159855,
    ),
    "Watson": (0.002289606438249484,),
    "Brown almost-linear": (0.006093178576596832,),
    "Linear, full rank": (10.25,),
    "Linear, rank 1": (190.0 / 41.0,),
    "Linear, rank 1 with zeros": (6.89,),
    "Chebyquad": (0.003592242385974156, 0.04004123603173841, 0.0626046236790888),
    "Nonnegative least squares": (37.46733330618537,),
    "Quadratic, condition 1e4": (-2228.571698674142,),
    "Torsion, c = 5": (-0.4099451729053533,),
    "Torsion, c = 20": (-2.810736971518339,),
    "Obstacle": (1.167340508039355,),
    "Misra1a, nonnegative": (0.12455138894440,),
    "Gauss1, nonnegative": (1315.822243203378,),
    "Lanczos3, nonnegative": (1.611719359357e-08,),
    "Lanczos3, amplitudes >= 0.1": (1.659882097324e-08,),
}
