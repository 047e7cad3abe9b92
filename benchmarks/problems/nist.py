"""The certified regressions of NIST that `adamnb` carries, from both of NIST's starts.

The models are written once more, with their gradients, in the form of ``jac="inplace"``.
"""

import numpy as np

from adamnb import _nist
from problems.problem import Problem, compiled


@compiled
def misra1a(b, g, x, y):
    """``y = b1 (1 - exp(-b2 x))``."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        decay = np.exp(-b[1] * x[i])
        r = b[0] * (1.0 - decay) - y[i]
        f += r * r
        g[0] += 2.0 * r * (1.0 - decay)
        g[1] += 2.0 * r * b[0] * x[i] * decay
    return f


@compiled
def misra1b(b, g, x, y):
    """``y = b1 (1 - (1 + b2 x/2)**-2)``."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        u = 1.0 / (1.0 + b[1] * x[i] / 2.0)
        r = b[0] * (1.0 - u * u) - y[i]
        f += r * r
        g[0] += 2.0 * r * (1.0 - u * u)
        g[1] += 2.0 * r * b[0] * x[i] * u**3
    return f


@compiled
def danwood(b, g, x, y):
    """``y = b1 x**b2``."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        power = x[i] ** b[1]
        r = b[0] * power - y[i]
        f += r * r
        g[0] += 2.0 * r * power
        g[1] += 2.0 * r * b[0] * power * np.log(x[i])
    return f


@compiled
def chwirut(b, g, x, y):
    """``y = exp(-b1 x) / (b2 + b3 x)``."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        width = b[1] + b[2] * x[i]
        model = np.exp(-b[0] * x[i]) / width
        r = model - y[i]
        f += r * r
        g[0] -= 2.0 * r * model * x[i]
        g[1] -= 2.0 * r * model / width
        g[2] -= 2.0 * r * model / width * x[i]
    return f


@compiled
def gauss(b, g, x, y):
    """``y = b1 exp(-b2 x) + b3 exp(-(x-b4)**2/b5**2) + b6 exp(-(x-b7)**2/b8**2)``."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        decay = np.exp(-b[1] * x[i])
        r = b[0] * decay - y[i]
        for k in (2, 5):
            r += b[k] * np.exp(-(((x[i] - b[k + 1]) / b[k + 2]) ** 2))
        f += r * r
        g[0] += 2.0 * r * decay
        g[1] -= 2.0 * r * b[0] * x[i] * decay
        for k in (2, 5):
            z = (x[i] - b[k + 1]) / b[k + 2]
            peak = np.exp(-z * z)
            g[k] += 2.0 * r * peak
            g[k + 1] += 4.0 * r * b[k] * peak * z / b[k + 2]
            g[k + 2] += 4.0 * r * b[k] * peak * z * z / b[k + 2]
    return f


@compiled
def lanczos(b, g, x, y):
    """``y = b1 exp(-b2 x) + b3 exp(-b4 x) + b5 exp(-b6 x)``."""
    f = 0.0
    g[:] = 0.0
    for i in range(x.size):
        r = -y[i]
        for k in range(0, 6, 2):
            r += b[k] * np.exp(-b[k + 1] * x[i])
        f += r * r
        for k in range(0, 6, 2):
            decay = np.exp(-b[k + 1] * x[i])
            g[k] += 2.0 * r * decay
            g[k + 1] -= 2.0 * r * b[k] * x[i] * decay
    return f


BY_HAND = {
    "Misra1a": misra1a,
    "Misra1b": misra1b,
    "DanWood": danwood,
    "Chwirut1": chwirut,
    "Chwirut2": chwirut,
    "Gauss1": gauss,
    "Gauss2": gauss,
    "Lanczos3": lanczos,
}


def problems():
    """Sixteen problems, "Misra1a/1" to "Lanczos3/2"; start 2 is the nearer one."""
    return [
        Problem(
            name=f"{name}/{number}",
            fun=BY_HAND[name],
            x0=start,
            args=(data.x, data.y),
            minimum=data.residual_sum,
            certified=data.certified,
        )
        for name in _nist.DATASETS
        for data in [_nist.load(name)]
        for number, start in enumerate(data.starts, start=1)
    ]
