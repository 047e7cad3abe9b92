"""How far the values of a model are from data: residuals, the loss or likelihood, and rows for Gauss-Newton.

With residuals r and their Jacobian J in the units of `rows_of`, the gradient of the cost is J' r and J' J
stands for its Hessian. Robust losses are those of `scipy.optimize.least_squares`, with its correction of
second order (Triggs et al. 1999); counts have Fisher's information (Laurence & Chromy 2010).
"""

from math import inf, log1p, sqrt

import numpy as np

from .cache import copied, inner, kernel
from .intrinsics import disjoint
from .lanes import sum_of_products
from .triangles import TINY, dot

LOSSES = ("linear", "soft_l1", "huber", "cauchy", "arctan")
LINEAR, SOFT_L1, HUBER, CAUCHY, ARCTAN = range(len(LOSSES))
POISSON = len(LOSSES)  # no loss of a residual, but of the value and the count themselves
EPS = float(np.finfo(float).eps)


@inner
def rho(loss, z):
    """Return a loss of the squared residual z, and its two derivatives."""
    if loss == SOFT_L1:
        root = sqrt(1.0 + z)
        return 2.0 * (root - 1.0), 1.0 / root, -0.5 / (root * (1.0 + z))
    if loss == HUBER:
        if z <= 1.0:
            return z, 1.0, 0.0
        root = sqrt(z)
        return 2.0 * root - 1.0, 1.0 / root, -0.5 / (root * z)
    if loss == CAUCHY:
        return log1p(z), 1.0 / (1.0 + z), -1.0 / ((1.0 + z) * (1.0 + z))
    t = 1.0 + z * z
    return np.arctan(z), 1.0 / t, -2.0 * z / (t * t)


@kernel
def whiten(root, a):
    """Solve L a = a in place, L the lower triangle `root` of a covariance matrix."""
    for i in range(root.shape[0]):
        a[i] = (a[i] - dot(root[i], a, 0, i)) / root[i, i]


@kernel
def weigh(y, weights, scaled):
    """Write the weighted data; return how many points have a weight, and how many the weight 1."""
    disjoint()
    points = ones = 0
    for i in range(np.uintp(y.size)):
        w = weights[i]
        r = w * y[i]
        scaled[i] = r if w != 0.0 else 0.0
        points += w != 0.0
        ones += w == 1.0
    return points, ones


@kernel
def subtract(values, y, weights, residuals, rows, factors):
    """Write the weighted residuals twice, and the weights; a value without a weight may be NaN."""
    disjoint()
    for i in range(np.uintp(y.size)):
        w = weights[i]
        r = (values[i] - y[i]) * w
        residuals[i] = rows[i] = r if w != 0.0 else 0.0
        factors[i] = w


@kernel
def cost_of(curve, values, residuals, rows, factors, o):
    """Return the cost of a model's values: half the sum of squares, of losses, or half the deviance.

    Writes the residuals, these as `rows_of` has them into `rows`, and what rows of the Jacobian are to be
    multiplied by. Infinite where a value is not finite.
    """
    y, weights, loss, total = curve.y, curve.weights, o.loss, 0.0
    if loss == POISSON:
        return half_deviance(curve, values, residuals, rows, factors)
    subtract(values, y, weights, residuals, rows, factors)
    if curve.root.size > 0:
        whiten(curve.root, residuals)
        for i in range(y.size):
            rows[i] = residuals[i]
    if loss == LINEAR:
        total = 0.5 * sum_of_products(residuals, residuals)
        return total if total < inf else inf
    scale = o.f_scale
    for i in range(y.size):
        r = residuals[i] / scale
        value, slope, curvature = rho(loss, r * r)
        factor = sqrt(max(slope + 2.0 * curvature * r * r, EPS))
        total += value
        rows[i] = residuals[i] * slope / factor
        factors[i] *= factor
    total *= 0.5 * scale * scale
    return total if total < inf else inf


@copied
def half_deviance(curve, values, residuals, rows, factors):
    """Return half the deviance of counts from their expected values, which must be positive."""
    y, weights, total = curve.y, curve.weights, 0.0
    for i in range(y.size):
        residuals[i] = rows[i] = factors[i] = 0.0
        if weights[i] != 0.0:
            expected = values[i]
            if not TINY <= expected < inf:
                return inf
            excess = expected - y[i]
            total += excess
            if y[i] > 0.0:
                total -= y[i] * log1p(excess / y[i])
            factors[i] = 1.0 / sqrt(expected)
            residuals[i] = rows[i] = excess * factors[i]
    return total if total < inf else inf


@copied
def rows_of(curve, jac, factors, columns):
    """Bring the rows of a Jacobian to the units in which Gauss-Newton takes them."""
    m = curve.y.size
    for j in range(columns):
        column = jac[j]
        if curve.root.size > 0:
            whiten(curve.root, column)
        for i in range(np.uintp(m)):
            factor = factors[i]
            column[i] = column[i] * factor if factor != 0.0 else 0.0
