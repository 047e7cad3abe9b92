"""The 35 problems of Moré, Garbow and Hillstrom, ACM TOMS 7 (1981) 17-41, numbered as there.

All are sums of squares ``f = sum_i r_i(x)**2``. Indices i and j count from 1 in the docstrings, as
in the paper, and from 0 in the code. Where the paper leaves the dimension open it is n = 10, but
12 in #22, a multiple of 4; 6 in #20 and 8 in #35, for which the paper gives the minimum; and m = 20
in #32 to #34.
"""

import numpy as np

from problems.problem import Problem, compiled


@compiled
def rosenbrock(x, g):
    """#1 and #21: ``r = 10 (x2 - x1**2), 1 - x1`` for each pair of variables."""
    f = 0.0
    for i in range(0, x.size, 2):
        a = 10.0 * (x[i + 1] - x[i] * x[i])
        b = 1.0 - x[i]
        f += a * a + b * b
        g[i] = -40.0 * a * x[i] - 2.0 * b
        g[i + 1] = 20.0 * a
    return f


@compiled
def freudenstein_roth(x, g):
    """#2: ``r = -13 + x1 + ((5 - x2) x2 - 2) x2, -29 + x1 + ((x2 + 1) x2 - 14) x2``."""
    a = -13.0 + x[0] + ((5.0 - x[1]) * x[1] - 2.0) * x[1]
    b = -29.0 + x[0] + ((x[1] + 1.0) * x[1] - 14.0) * x[1]
    g[0] = 2.0 * (a + b)
    g[1] = 2.0 * a * ((10.0 - 3.0 * x[1]) * x[1] - 2.0)
    g[1] += 2.0 * b * ((3.0 * x[1] + 2.0) * x[1] - 14.0)
    return a * a + b * b


@compiled
def powell_badly_scaled(x, g):
    """#3: ``r = 1e4 x1 x2 - 1, exp(-x1) + exp(-x2) - 1.0001``."""
    a = 1e4 * x[0] * x[1] - 1.0
    b = np.exp(-x[0]) + np.exp(-x[1]) - 1.0001
    g[0] = 2e4 * a * x[1] - 2.0 * b * np.exp(-x[0])
    g[1] = 2e4 * a * x[0] - 2.0 * b * np.exp(-x[1])
    return a * a + b * b


@compiled
def brown_badly_scaled(x, g):
    """#4: ``r = x1 - 1e6, x2 - 2e-6, x1 x2 - 2``."""
    a = x[0] - 1e6
    b = x[1] - 2e-6
    c = x[0] * x[1] - 2.0
    g[0] = 2.0 * (a + c * x[1])
    g[1] = 2.0 * (b + c * x[0])
    return a * a + b * b + c * c


@compiled
def beale(x, g):
    """#5: ``r_i = y_i - x1 (1 - x2**i)``, y = 1.5, 2.25, 2.625."""
    f = 0.0
    g[:] = 0.0
    power = 1.0
    for i, y in enumerate((1.5, 2.25, 2.625)):
        slope = (i + 1) * power
        power *= x[1]
        r = y - x[0] * (1.0 - power)
        f += r * r
        g[0] -= 2.0 * r * (1.0 - power)
        g[1] += 2.0 * r * x[0] * slope
    return f


@compiled
def jennrich_sampson(x, g):
    """#6: ``r_i = 2 + 2 i - (exp(i x1) + exp(i x2))``, i = 1 to 10."""
    f = 0.0
    g[:] = 0.0
    for i in range(1, 11):
        a = np.exp(i * x[0])
        b = np.exp(i * x[1])
        r = 2.0 + 2.0 * i - a - b
        f += r * r
        g[0] -= 2.0 * r * i * a
        g[1] -= 2.0 * r * i * b
    return f


@compiled
def helical_valley(x, g):
    """#7: ``r = 10 (x3 - 10 theta), 10 (rho - 1), x3`` in cylindrical coordinates, turns."""
    theta = np.arctan(x[1] / x[0]) / (2.0 * np.pi)
    if x[0] < 0.0:
        theta += 0.5
    square = x[0] * x[0] + x[1] * x[1]
    rho = np.sqrt(square)
    a = 10.0 * (x[2] - 10.0 * theta)
    b = 10.0 * (rho - 1.0)
    around = -200.0 * a / (2.0 * np.pi * square)
    g[0] = 20.0 * b * x[0] / rho - around * x[1]
    g[1] = 20.0 * b * x[1] / rho + around * x[0]
    g[2] = 20.0 * a + 2.0 * x[2]
    return a * a + b * b + x[2] * x[2]


@compiled
def bard(x, g, y):
    """#8: ``r_i = y_i - (x1 + i / (v x2 + w x3))``, v = 16 - i, w = min(i, v)."""
    f = 0.0
    g[:] = 0.0
    for i in range(y.size):
        u = i + 1.0
        v = 15.0 - i
        w = min(u, v)
        width = v * x[1] + w * x[2]
        r = y[i] - x[0] - u / width
        f += r * r
        g[0] -= 2.0 * r
        g[1] += 2.0 * r * u * v / width**2
        g[2] += 2.0 * r * u * w / width**2
    return f


@compiled
def gaussian(x, g, y):
    """#9: ``r_i = x1 exp(-x2 (t - x3)**2 / 2) - y_i``, t = (8 - i)/2."""
    f = 0.0
    g[:] = 0.0
    for i in range(y.size):
        z = (7 - i) / 2.0 - x[2]
        peak = np.exp(-x[1] * z * z / 2.0)
        r = x[0] * peak - y[i]
        f += r * r
        g[0] += 2.0 * r * peak
        g[1] -= r * x[0] * peak * z * z
        g[2] += 2.0 * r * x[0] * peak * x[1] * z
    return f


@compiled
def meyer(x, g, y):
    """#10: ``r_i = x1 exp(x2 / (t + x3)) - y_i``, t = 45 + 5 i."""
    f = 0.0
    g[:] = 0.0
    for i in range(y.size):
        t = 50.0 + 5.0 * i + x[2]
        growth = np.exp(x[1] / t)
        r = x[0] * growth - y[i]
        f += r * r
        g[0] += 2.0 * r * growth
        g[1] += 2.0 * r * x[0] * growth / t
        g[2] -= 2.0 * r * x[0] * growth * x[1] / t**2
    return f


@compiled
def gulf(x, g):
    """#11: ``r_i = exp(-|y - x2|**x3 / x1) - t``, t = i/100, y = 25 + (-50 ln t)**(2/3), m = 99.

    The paper prints ``y m i x2`` for ``y - x2``: a minus sign read as "mi".
    """
    f = 0.0
    g[:] = 0.0
    for i in range(1, 100):
        t = i / 100.0
        d = 25.0 + (-50.0 * np.log(t)) ** (2.0 / 3.0) - x[1]
        log = 0.5 * np.log(d * d)
        power = np.exp(x[2] * log) / x[0]
        decay = np.exp(-power)
        r = decay - t
        f += r * r
        g[0] += 2.0 * r * decay * power / x[0]
        g[1] += 2.0 * r * decay * power * x[2] / d
        g[2] -= 2.0 * r * decay * power * log
    return f


@compiled
def box(x, g):
    """#12: ``r_i = exp(-t x1) - exp(-t x2) - x3 (exp(-t) - exp(-10 t))``, t = i/10, m = 10."""
    f = 0.0
    g[:] = 0.0
    for i in range(1, 11):
        t = i / 10.0
        a = np.exp(-t * x[0])
        b = np.exp(-t * x[1])
        c = np.exp(-t) - np.exp(-10.0 * t)
        r = a - b - x[2] * c
        f += r * r
        g[0] -= 2.0 * r * t * a
        g[1] += 2.0 * r * t * b
        g[2] -= 2.0 * r * c
    return f


@compiled
def powell_singular(x, g):
    """#13 and #22: ``x1 + 10 x2, 5**.5 (x3 - x4), (x2 - 2 x3)**2, 10**.5 (x1 - x4)**2`` by fours."""
    f = 0.0
    for i in range(0, x.size, 4):
        a = x[i] + 10.0 * x[i + 1]
        b = x[i + 2] - x[i + 3]
        c = x[i + 1] - 2.0 * x[i + 2]
        d = x[i] - x[i + 3]
        f += a * a + 5.0 * b * b + c**4 + 10.0 * d**4
        g[i] = 2.0 * a + 40.0 * d**3
        g[i + 1] = 20.0 * a + 4.0 * c**3
        g[i + 2] = 10.0 * b - 8.0 * c**3
        g[i + 3] = -10.0 * b - 40.0 * d**3
    return f


@compiled
def wood(x, g):
    """#14: two valleys, ``100 (x2 - x1**2)**2`` and ``90 (x4 - x3**2)**2``, tied together."""
    a = x[1] - x[0] * x[0]
    b = x[3] - x[2] * x[2]
    c = x[1] + x[3] - 2.0
    d = x[1] - x[3]
    g[0] = -400.0 * a * x[0] - 2.0 * (1.0 - x[0])
    g[1] = 200.0 * a + 20.0 * c + 0.2 * d
    g[2] = -360.0 * b * x[2] - 2.0 * (1.0 - x[2])
    g[3] = 180.0 * b + 20.0 * c - 0.2 * d
    valleys = 100.0 * a * a + (1.0 - x[0]) ** 2 + 90.0 * b * b + (1.0 - x[2]) ** 2
    return valleys + 10.0 * c * c + 0.1 * d * d


@compiled
def kowalik_osborne(x, g, u, y):
    """#15: ``r_i = y_i - x1 (u**2 + u x2) / (u**2 + u x3 + x4)``."""
    f = 0.0
    g[:] = 0.0
    for i in range(y.size):
        above = u[i] * (u[i] + x[1])
        below = u[i] * (u[i] + x[2]) + x[3]
        r = y[i] - x[0] * above / below
        f += r * r
        g[0] -= 2.0 * r * above / below
        g[1] -= 2.0 * r * x[0] * u[i] / below
        g[2] += 2.0 * r * x[0] * above * u[i] / below**2
        g[3] += 2.0 * r * x[0] * above / below**2
    return f


@compiled
def brown_dennis(x, g):
    """#16: ``r_i = (x1 + t x2 - exp(t))**2 + (x3 + x4 sin(t) - cos(t))**2``, t = i/5, m = 20."""
    f = 0.0
    g[:] = 0.0
    for i in range(1, 21):
        t = i / 5.0
        a = x[0] + t * x[1] - np.exp(t)
        b = x[2] + x[3] * np.sin(t) - np.cos(t)
        r = a * a + b * b
        f += r * r
        g[0] += 4.0 * r * a
        g[1] += 4.0 * r * a * t
        g[2] += 4.0 * r * b
        g[3] += 4.0 * r * b * np.sin(t)
    return f


@compiled
def osborne1(x, g, y):
    """#17: ``r_i = x1 + x2 exp(-t x4) + x3 exp(-t x5) - y_i``, t = 10 (i - 1)."""
    f = 0.0
    g[:] = 0.0
    for i in range(y.size):
        t = 10.0 * i
        a = np.exp(-t * x[3])
        b = np.exp(-t * x[4])
        r = x[0] + x[1] * a + x[2] * b - y[i]
        f += r * r
        g[0] += 2.0 * r
        g[1] += 2.0 * r * a
        g[2] += 2.0 * r * b
        g[3] -= 2.0 * r * x[1] * t * a
        g[4] -= 2.0 * r * x[2] * t * b
    return f


@compiled
def biggs(x, g):
    """#18: ``r_i = x3 exp(-t x1) - x4 exp(-t x2) + x6 exp(-t x5) - y``, t = i/10, m = 13."""
    f = 0.0
    g[:] = 0.0
    for i in range(1, 14):
        t = i / 10.0
        y = np.exp(-t) - 5.0 * np.exp(-10.0 * t) + 3.0 * np.exp(-4.0 * t)
        a = np.exp(-t * x[0])
        b = np.exp(-t * x[1])
        c = np.exp(-t * x[4])
        r = x[2] * a - x[3] * b + x[5] * c - y
        f += r * r
        g[0] -= 2.0 * r * x[2] * t * a
        g[1] += 2.0 * r * x[3] * t * b
        g[2] += 2.0 * r * a
        g[3] -= 2.0 * r * b
        g[4] -= 2.0 * r * x[5] * t * c
        g[5] += 2.0 * r * c
    return f


@compiled
def osborne2(x, g, y):
    """#19: ``r_i = x1 exp(-t x5) + sum_k x_k exp(-(t - x_k+7)**2 x_k+4) - y_i``, k = 2, 3, 4."""
    f = 0.0
    g[:] = 0.0
    for i in range(y.size):
        t = i / 10.0
        decay = np.exp(-t * x[4])
        r = x[0] * decay - y[i]
        for k in range(1, 4):
            r += x[k] * np.exp(-((t - x[k + 7]) ** 2) * x[k + 4])
        f += r * r
        g[0] += 2.0 * r * decay
        g[4] -= 2.0 * r * x[0] * t * decay
        for k in range(1, 4):
            z = t - x[k + 7]
            peak = np.exp(-z * z * x[k + 4])
            g[k] += 2.0 * r * peak
            g[k + 4] -= 2.0 * r * x[k] * peak * z * z
            g[k + 7] += 4.0 * r * x[k] * peak * z * x[k + 4]
    return f


@compiled
def watson(x, g):
    """#20: ``r_i = p'(t) - p(t)**2 - 1``, p = sum_j x_j t**(j-1), t = i/29; and two more."""
    a = x[1] - x[0] * x[0] - 1.0
    f = x[0] * x[0] + a * a
    g[:] = 0.0
    g[0] = 2.0 * x[0] - 4.0 * a * x[0]
    g[1] = 2.0 * a
    for i in range(1, 30):
        t = i / 29.0
        polynomial = 0.0
        slope = 0.0
        for j in range(x.size - 1, -1, -1):
            slope = slope * t + polynomial
            polynomial = polynomial * t + x[j]
        r = slope - polynomial**2 - 1.0
        f += r * r
        for j in range(x.size):
            g[j] += 2.0 * r * (j * t ** (j - 1) - 2.0 * polynomial * t**j)
    return f


@compiled
def penalty1(x, g):
    """#23: ``1e-5 sum (x_j - 1)**2 + (sum x_j**2 - 1/4)**2``."""
    f = 0.0
    sphere = -0.25
    for j in range(x.size):
        f += 1e-5 * (x[j] - 1.0) ** 2
        sphere += x[j] * x[j]
    for j in range(x.size):
        g[j] = 2e-5 * (x[j] - 1.0) + 4.0 * sphere * x[j]
    return f + sphere * sphere


@compiled
def penalty2(x, g):
    """#24: exponentials times 1e-5 and ``(sum_j (n - j + 1) x_j**2 - 1)**2``."""
    n = x.size
    ellipsoid = -1.0
    for j in range(n):
        ellipsoid += (n - j) * x[j] * x[j]
    for j in range(n):
        g[j] = 4.0 * ellipsoid * (n - j) * x[j]
    f = ellipsoid * ellipsoid + (x[0] - 0.2) ** 2
    g[0] += 2.0 * (x[0] - 0.2)
    for j in range(1, n):
        here = np.exp(x[j] / 10.0)
        before = np.exp(x[j - 1] / 10.0)
        a = here + before - np.exp((j + 1) / 10.0) - np.exp(j / 10.0)
        b = here - np.exp(-0.1)
        f += 1e-5 * (a * a + b * b)
        g[j] += 2e-6 * (a + b) * here
        g[j - 1] += 2e-6 * a * before
    return f


@compiled
def variably_dimensioned(x, g):
    """#25: ``sum (x_j - 1)**2 + s**2 + s**4``, s = sum_j j (x_j - 1)."""
    f = 0.0
    s = 0.0
    for j in range(x.size):
        f += (x[j] - 1.0) ** 2
        s += (j + 1) * (x[j] - 1.0)
    for j in range(x.size):
        g[j] = 2.0 * (x[j] - 1.0) + (2.0 * s + 4.0 * s**3) * (j + 1)
    return f + s**2 + s**4


@compiled
def trigonometric(x, g):
    """#26: ``r_i = n - sum_j cos(x_j) + i (1 - cos(x_i)) - sin(x_i)``."""
    cosines = x.size - np.sum(np.cos(x))
    f = 0.0
    total = 0.0
    for i in range(x.size):
        r = cosines + (i + 1) * (1.0 - np.cos(x[i])) - np.sin(x[i])
        f += r * r
        total += r
        g[i] = 2.0 * r * ((i + 1) * np.sin(x[i]) - np.cos(x[i]))
    g += 2.0 * total * np.sin(x)
    return f


@compiled
def brown_almost_linear(x, g):
    """#27: ``r_i = x_i + sum_j x_j - (n + 1)`` for i < n, ``r_n = prod_j x_j - 1``."""
    n = x.size
    rest = np.sum(x) - (n + 1)
    b = np.prod(x) - 1.0
    f = b * b
    total = 0.0
    for i in range(n - 1):
        r = x[i] + rest
        f += r * r
        total += r
        g[i] = 2.0 * r
    g[n - 1] = 0.0
    for i in range(n):
        # Not prod(x) / x[i]: a variable may be zero, and is at the local minimum.
        g[i] += 2.0 * total + 2.0 * b * np.prod(x[:i]) * np.prod(x[i + 1 :])
    return f


@compiled
def discrete_boundary_value(x, g):
    """#28: ``r_i = 2 x_i - x_i-1 - x_i+1 + h**2 (x_i + t_i + 1)**3 / 2``, t_i = i h."""
    n = x.size
    h = 1.0 / (n + 1)
    f = 0.0
    g[:] = 0.0
    for i in range(n):
        c = x[i] + (i + 1) * h + 1.0
        r = 2.0 * x[i] + h * h * c**3 / 2.0
        if i > 0:
            r -= x[i - 1]
        if i < n - 1:
            r -= x[i + 1]
        f += r * r
        g[i] += 2.0 * r * (2.0 + 1.5 * h * h * c * c)
        if i > 0:
            g[i - 1] -= 2.0 * r
        if i < n - 1:
            g[i + 1] -= 2.0 * r
    return f


@compiled
def discrete_integral(x, g):
    """#29: ``r_i = x_i + h/2 sum_j K_ij (x_j + t_j + 1)**3``, K_ij = min(t) (1 - max(t)), t_i = i h."""
    n = x.size
    h = 1.0 / (n + 1)
    f = 0.0
    g[:] = 0.0
    for i in range(n):
        r = x[i]
        for j in range(n):
            kernel = (min(i, j) + 1) * h * (1.0 - (max(i, j) + 1) * h)
            r += h / 2.0 * kernel * (x[j] + (j + 1) * h + 1.0) ** 3
        f += r * r
        g[i] += 2.0 * r
        for j in range(n):
            kernel = (min(i, j) + 1) * h * (1.0 - (max(i, j) + 1) * h)
            g[j] += 3.0 * r * h * kernel * (x[j] + (j + 1) * h + 1.0) ** 2
    return f


@compiled
def broyden_tridiagonal(x, g):
    """#30: ``r_i = (3 - 2 x_i) x_i - x_i-1 - 2 x_i+1 + 1``."""
    n = x.size
    f = 0.0
    g[:] = 0.0
    for i in range(n):
        r = (3.0 - 2.0 * x[i]) * x[i] + 1.0
        if i > 0:
            r -= x[i - 1]
        if i < n - 1:
            r -= 2.0 * x[i + 1]
        f += r * r
        g[i] += 2.0 * r * (3.0 - 4.0 * x[i])
        if i > 0:
            g[i - 1] -= 2.0 * r
        if i < n - 1:
            g[i + 1] -= 4.0 * r
    return f


@compiled
def broyden_banded(x, g):
    """#31: ``r_i = x_i (2 + 5 x_i**2) + 1 - sum_j x_j (1 + x_j)``, i - 5 <= j <= i + 1, j != i."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        band = range(max(0, i - 5), min(x.size, i + 2))
        r = x[i] * (2.0 + 5.0 * x[i] ** 2) + 1.0
        for j in band:
            if j != i:
                r -= x[j] * (1.0 + x[j])
        f += r * r
        g[i] += 2.0 * r * (2.0 + 15.0 * x[i] ** 2)
        for j in band:
            if j != i:
                g[j] -= 2.0 * r * (1.0 + 2.0 * x[j])
    return f


@compiled
def linear(x, g, a, b):
    """#32 to #34: ``r = a x - b``."""
    f = 0.0
    g[:] = 0.0
    for i in range(a.shape[0]):
        r = -b[i]
        for j in range(x.size):
            r += a[i, j] * x[j]
        f += r * r
        for j in range(x.size):
            g[j] += 2.0 * r * a[i, j]
    return f


@compiled
def chebyquad(x, g):
    """#35: ``r_i = mean_j T_i(x_j) - integral of T_i``, T_i the Chebyshev polynomials on [0, 1]."""
    n = x.size
    f = 0.0
    g[:] = 0.0
    u = 2.0 * x - 1.0
    old, new = np.ones_like(x), u.copy()
    old_slope, new_slope = np.zeros_like(x), np.full_like(x, 2.0)
    for i in range(1, n + 1):
        r = np.sum(new) / n
        if i % 2 == 0:
            r += 1.0 / (i * i - 1.0)
        f += r * r
        g += 2.0 * r / n * new_slope
        old_slope, new_slope = new_slope, 4.0 * new + 2.0 * u * new_slope - old_slope
        old, new = new, 2.0 * u * new - old
    return f


def data(text, scale):
    """A table of the paper, shape (observations,): the integers in `text` over `scale`."""
    return np.array(text.split(), dtype=np.float64) / scale


BARD = data("14 18 22 25 29 32 35 39 37 58 73 96 134 210 439", 1e2)
GAUSSIAN = data("9 44 175 540 1295 2420 3521 3989 3521 2420 1295 540 175 44 9", 1e4)
KOWALIK_U = data("40000 20000 10000 5000 2500 1670 1250 1000 833 714 625", 1e4)
KOWALIK_Y = data("1957 1947 1735 1600 844 627 456 342 323 235 246", 1e4)
MEYER = data(
    "34780 28610 23650 19630 16370 13720 11540 9744 8261 7030 6005 5147 4427 3820 3307 2872", 1.0
)
OSBORNE1 = data(
    "844 908 932 936 925 908 881 850 818 784 751 718 685 658 628 603 580 558 538 522 506 490 478 "
    "467 457 448 438 431 424 420 414 411 406",
    1e3,
)
OSBORNE2 = data(
    "1366 1191 1112 1013 991 885 831 847 786 725 746 679 608 655 616 606 602 626 651 724 649 649 "
    "694 644 624 661 612 558 533 495 500 423 395 375 372 391 396 405 428 429 523 562 607 653 672 "
    "708 633 668 645 632 591 559 597 625 739 710 729 720 636 581 428 292 162 98 54",
    1e3,
)


def linear_args(m, n):
    """(a, b) of #32, #33 and #34, of shapes (m, n) and (m,)."""
    i, j = np.arange(1.0, m + 1), np.arange(1.0, n + 1)
    full_rank = np.eye(m, n) - 2.0 / m
    rank_1 = np.outer(i, j)
    zeros = np.outer(i - 1, j)
    zeros[[0, -1]] = 0.0
    zeros[:, [0, -1]] = 0.0
    return [(a, np.ones(m)) for a in (full_rank, rank_1, zeros)]


def problems():
    """The 35 problems in the paper's order, from its standard starts."""
    t = np.arange(1.0, 11.0) / 11.0
    full_rank, rank_1, zeros = linear_args(20, 10)
    rows = [
        ("Rosenbrock", rosenbrock, [-1.2, 1.0]),
        ("Freudenstein-Roth", freudenstein_roth, [0.5, -2.0]),
        ("Powell badly scaled", powell_badly_scaled, [0.0, 1.0]),
        ("Brown badly scaled", brown_badly_scaled, [1.0, 1.0]),
        ("Beale", beale, [1.0, 1.0]),
        ("Jennrich-Sampson", jennrich_sampson, [0.3, 0.4]),
        ("Helical valley", helical_valley, [-1.0, 0.0, 0.0]),
        ("Bard", bard, [1.0, 1.0, 1.0], (BARD,)),
        ("Gaussian", gaussian, [0.4, 1.0, 0.0], (GAUSSIAN,)),
        ("Meyer", meyer, [0.02, 4000.0, 250.0], (MEYER,)),
        ("Gulf", gulf, [5.0, 2.5, 0.15]),
        ("Box 3-D", box, [0.0, 10.0, 20.0]),
        ("Powell singular", powell_singular, [3.0, -1.0, 0.0, 1.0]),
        ("Wood", wood, [-3.0, -1.0, -3.0, -1.0]),
        ("Kowalik-Osborne", kowalik_osborne, [0.25, 0.39, 0.415, 0.39], (KOWALIK_U, KOWALIK_Y)),
        ("Brown-Dennis", brown_dennis, [25.0, 5.0, -5.0, -1.0]),
        ("Osborne 1", osborne1, [0.5, 1.5, -1.0, 0.01, 0.02], (OSBORNE1,)),
        ("Biggs EXP6", biggs, [1.0, 2.0, 1.0, 1.0, 1.0, 1.0]),
        (
            "Osborne 2",
            osborne2,
            [1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5],
            (OSBORNE2,),
        ),
        ("Watson", watson, np.zeros(6)),
        ("Extended Rosenbrock", rosenbrock, np.tile([-1.2, 1.0], 5)),
        ("Extended Powell singular", powell_singular, np.tile([3.0, -1.0, 0.0, 1.0], 3)),
        ("Penalty I", penalty1, np.arange(1.0, 11.0)),
        ("Penalty II", penalty2, np.full(10, 0.5)),
        ("Variably dimensioned", variably_dimensioned, 1.0 - np.arange(1.0, 11.0) / 10.0),
        ("Trigonometric", trigonometric, np.full(10, 0.1)),
        ("Brown almost-linear", brown_almost_linear, np.full(10, 0.5)),
        ("Discrete boundary value", discrete_boundary_value, t * (t - 1.0)),
        ("Discrete integral equation", discrete_integral, t * (t - 1.0)),
        ("Broyden tridiagonal", broyden_tridiagonal, np.full(10, -1.0)),
        ("Broyden banded", broyden_banded, np.full(10, -1.0)),
        ("Linear, full rank", linear, np.ones(10), full_rank),
        ("Linear, rank 1", linear, np.ones(10), rank_1),
        ("Linear, rank 1 with zeros", linear, np.ones(10), zeros),
        ("Chebyquad", chebyquad, np.arange(1.0, 9.0) / 9.0),
    ]
    return [
        Problem(
            name,
            fun,
            np.array(x0),
            *args,
            minimum=MINIMA.get(name, (0.0,))[0],
            minima=MINIMA.get(name, (0.0,))[1:],
        )
        for name, fun, x0, *args in rows
    ]


# The global minimum and then other values, where there is more than a global minimum of zero. The
# global ones agree with the paper's to all of its digits. The others are the paper's, the limits as
# variables go to infinity in #5, #6, #8, #12 and #15, and the lowest that BFGS and L-BFGS-B find
# from 150 random starts near the standard one.
MINIMA = {
    "Freudenstein-Roth": (0.0, 48.98425367924),
    "Beale": (0.0, 0.4520089285714),
    "Jennrich-Sampson": (124.3621823556148, 259.5801901342533),
    "Bard": (0.00821487730657898, 1.774926777815, 2.362916297192, 17.42869333333333),
    "Gaussian": (1.127932769619011e-08,),
    "Meyer": (87.94585517085,),
    "Box 3-D": (0.0, 0.07558874075499744),
    "Kowalik-Osborne": (
        0.0003075056038492378,
        0.0004236746264698,
        0.0010273430487,
        0.001594352026022,
    ),
    "Brown-Dennis": (85822.20162635631,),
    "Osborne 1": (5.464894697482911e-05,),
    "Biggs EXP6": (0.0, 0.00565564992550, 0.30636677262479),
    "Osborne 2": (
        0.04013773629354776,
        0.08759472409341583,
        0.1136073478090496,
        0.1240979378611383,
        0.2025651959036076,
    ),
    "Watson": (0.002287670053552436,),
    "Penalty I": (7.08765146709037e-05,),
    "Penalty II": (0.000293660537456746,),
    "Trigonometric": (
        0.0,
        4.473565812806e-07,
        2.795056121879e-05,
        4.218633887924e-05,
        0.0008788225218218982,
    ),
    "Brown almost-linear": (0.0, 1.0, 1.841248366088505),
    "Broyden tridiagonal": (
        0.0,
        0.3970793520178,
        0.6615694255249,
        0.8814425849190,
        0.9749285609059,
        1.0097311819822,
    ),
    "Broyden banded": (0.0, 3.057278432425819),
    "Linear, full rank": (10.0,),
    "Linear, rank 1": (190.0 / 41.0,),
    "Linear, rank 1 with zeros": (227.0 / 37.0,),
    "Chebyquad": (0.00351687372567793,),
}
