"""Derivatives of functions: each rule returns the value and the derivative with respect to each argument.

The arguments are floats or, for second derivatives, dual numbers. Where there is no derivative, it is what
JAX has: 0 for abs at 0 and half for each of two equal numbers of `maximum` and `minimum`. It is infinite for
sqrt at 0, but 0 for x**0 and for 0**p with respect to p; that of `hypot` at 0 is 0, as that of abs.
"""

import math

import numpy as np
from numba.extending import register_jitable

LN2, LN10 = math.log(2.0), math.log(10.0)
TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)


def exp(x):
    y = np.exp(x)
    return y, y


def exp2(x):
    y = np.exp2(x)
    return y, LN2 * y


def expm1(x):
    return np.expm1(x), np.exp(x)


def log(x):
    return np.log(x), 1 / x


def log2(x):
    return np.log2(x), 1 / (LN2 * x)


def log10(x):
    return np.log10(x), 1 / (LN10 * x)


def log1p(x):
    return np.log1p(x), 1 / (1 + x)


def sqrt(x):
    y = np.sqrt(x)
    return y, 0.5 / y


def cbrt(x):
    y = np.cbrt(x)
    return y, 1 / (3 * y * y)


def square(x):
    return x * x, 2 * x


def reciprocal(x):
    y = 1 / x
    return y, -y * y


def sin(x):
    return np.sin(x), np.cos(x)


def cos(x):
    return np.cos(x), -np.sin(x)


def tan(x):
    y = np.tan(x)
    return y, 1 + y * y


def arcsin(x):
    return np.arcsin(x), 1 / np.sqrt((1 - x) * (1 + x))


def arccos(x):
    return np.arccos(x), -1 / np.sqrt((1 - x) * (1 + x))


def arctan(x):
    return np.arctan(x), 1 / (1 + x * x)


def sinh(x):
    return np.sinh(x), np.cosh(x)


def cosh(x):
    return np.cosh(x), np.sinh(x)


def tanh(x):
    y = np.tanh(x)
    return y, (1 - y) * (1 + y)


def arcsinh(x):
    return np.arcsinh(x), 1 / np.hypot(1.0, x)


def arccosh(x):
    return np.arccosh(x), 1 / (np.sqrt(x - 1) * np.sqrt(x + 1))


def arctanh(x):
    return np.arctanh(x), 1 / ((1 - x) * (1 + x))


def absolute(x):
    return abs(x), np.sign(x)


def degrees(x):
    return x * (180 / math.pi), 180 / math.pi


def radians(x):
    return x * (math.pi / 180), math.pi / 180


def erf(x):
    return math.erf(x), TWO_OVER_SQRT_PI * np.exp(-x * x)


def erfc(x):
    return math.erfc(x), -TWO_OVER_SQRT_PI * np.exp(-x * x)


def gamma(x):
    y = math.gamma(x)
    return y, y * digamma(x)


def lgamma(x):
    return math.lgamma(x), digamma(x)


@register_jitable(error_model="numpy")
def digamma(x):
    """Return the derivative of lgamma: reflection, recurrence to x >= 10, Stirling's series."""
    y = 0 * x
    if x <= 0:
        if x == np.floor(x):
            return y + np.nan
        y = y - math.pi / np.tan(math.pi * x)
        x = 1 - x
    while x < 10:
        y = y - 1 / x
        x = x + 1
    r = 1 / (x * x)
    tail = 1 / 120 - r * (1 / 252 - r * (1 / 240 - r * (1 / 132 - r * (691 / 32760 - r / 12))))
    return y + np.log(x) - 0.5 / x - r * (1 / 12 - r * tail)


def integer_power(x, n):
    if n == 2:
        return x * x, 2 * x
    if n == 0:
        return x**n, 0 * x
    if n > 0:
        y = x ** (n - 1)
        return y * x, n * y
    return x**n, n * x ** (n - 1)


def constant_power(x, p):
    if p == 0:
        return x**p, 0 * x, 0.0
    return x**p, p * x ** (p - 1), 0.0


def power(x, p):
    y = x**p
    slope = p * x ** (p - 1)
    if p == 0:
        slope = 0 * x
    if x == 0:
        return y, slope, 0 * y
    return y, slope, np.log(x) * y


def remainder(x, y):
    return x % y, 1.0, -np.floor(x / y)


def fmod(x, y):
    return np.fmod(x, y), 1.0, -np.trunc(x / y)


def sinc(x):
    y = np.sinc(x)
    return y, 0 * x if x == 0 else (np.cos(math.pi * x) - y) / x


def arctan2(y, x):
    r = x * x + y * y
    return np.arctan2(y, x), x / r, -y / r


def hypot(x, y):
    r = np.hypot(x, y)
    if r == 0:
        return r, 0 * x, 0 * y
    return r, x / r, y / r


def maximum(x, y):
    if x > y:
        return x, 1.0, 0.0
    if x < y:
        return y, 0.0, 1.0
    return np.maximum(x, y), 0.5, 0.5


def minimum(x, y):
    if x < y:
        return x, 1.0, 0.0
    if x > y:
        return y, 0.0, 1.0
    return np.minimum(x, y), 0.5, 0.5


def logaddexp(x, y):
    if x == y:
        return np.logaddexp(x, y), 0.5, 0.5
    return np.logaddexp(x, y), 1 / (1 + np.exp(y - x)), 1 / (1 + np.exp(x - y))


def logaddexp2(x, y):
    if x == y:
        return np.logaddexp2(x, y), 0.5, 0.5
    return np.logaddexp2(x, y), 1 / (1 + np.exp2(y - x)), 1 / (1 + np.exp2(x - y))


def copysign(x, y):
    z = np.copysign(x, y)
    return z, np.copysign(1.0, z) * np.copysign(1.0, x), 0.0


def larger(x, y):
    """Return the larger number as Python's max does: the first one unless the second is larger."""
    return (y, 0.0, 1.0) if y > x else (x, 1.0, 0.0)


def smaller(x, y):
    """Return the smaller number as Python's min does: the first one unless the second is smaller."""
    return (y, 0.0, 1.0) if y < x else (x, 1.0, 0.0)


RULES = {
    exp: (math.exp, np.exp),
    exp2: (math.exp2, np.exp2),
    expm1: (math.expm1, np.expm1),
    log: (math.log, np.log),
    log2: (math.log2, np.log2),
    log10: (math.log10, np.log10),
    log1p: (math.log1p, np.log1p),
    sqrt: (math.sqrt, np.sqrt),
    cbrt: (math.cbrt, np.cbrt),
    square: (np.square,),
    reciprocal: (np.reciprocal,),
    sin: (math.sin, np.sin),
    cos: (math.cos, np.cos),
    tan: (math.tan, np.tan),
    arcsin: (math.asin, np.arcsin),
    arccos: (math.acos, np.arccos),
    arctan: (math.atan, np.arctan),
    sinh: (math.sinh, np.sinh),
    cosh: (math.cosh, np.cosh),
    tanh: (math.tanh, np.tanh),
    arcsinh: (math.asinh, np.arcsinh),
    arccosh: (math.acosh, np.arccosh),
    arctanh: (math.atanh, np.arctanh),
    absolute: (abs, math.fabs, np.absolute, np.fabs),
    degrees: (math.degrees, np.degrees, np.rad2deg),
    radians: (math.radians, np.radians, np.deg2rad),
    erf: (math.erf,),
    erfc: (math.erfc,),
    gamma: (math.gamma,),
    lgamma: (math.lgamma,),
    arctan2: (math.atan2, np.arctan2),
    hypot: (math.hypot, np.hypot),
    maximum: (np.maximum, np.fmax),
    minimum: (np.minimum, np.fmin),
    logaddexp: (np.logaddexp,),
    logaddexp2: (np.logaddexp2,),
    copysign: (math.copysign, np.copysign),
    sinc: (np.sinc,),
}
