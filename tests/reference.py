"""Oracle: every method in plain NumPy, in any floating-point type.

Nothing of the package is imported here, and no line is shared with it. Speed is no concern;
each method reads like its paper. With ``dtype=np.longdouble`` (80 bits on x86) the result is
the truth that float64 code is measured against; where longdouble is float64, tests that need
more must skip.

=========  ===========================================================================
symbol     meaning
=========  ===========================================================================
g, t       gradient (weight decay of the L2 kind already added) and step, from 1
lr         learning rate
s          state that a method keeps between steps: ``m``, ``v``, ... all start at zero
=========  ===========================================================================

A method returns what is subtracted from x. Its hyperparameters and their defaults are its
keyword arguments. They are Python floats, that is float64 numbers, and NumPy brings them
to the dtype of the array they meet: ``0.9 * m`` in longdouble uses the float64 number 0.9
exactly. So does ``1 - beta``: it is the float64 difference, which is exact for
beta >= 1/2 and is what float64 code uses below that.
"""

from types import SimpleNamespace

import numpy as np


def correction(beta, t, dtype):
    """1 - beta**t without cancellation, for the float64 number beta and the integer t."""
    with np.errstate(divide="ignore"):  # beta = 0: log is -inf and the result is 1
        return dtype(-np.expm1(t * np.log(np.longdouble(beta))))


def quotient(a, b):
    """a / b with 0 / 0 = 0: a zero gradient moves nothing, even with eps = 0."""
    nothing = (a == 0) & (b == 0)
    return np.where(nothing, 0, a / np.where(nothing, 1, b))


def adam(s, g, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Kingma & Ba 2014, Algorithm 1. AdamW (Loshchilov & Hutter 2017) differs in the decay."""
    s.m = beta1 * s.m + (1 - beta1) * g
    s.v = beta2 * s.v + (1 - beta2) * g**2
    m_hat = s.m / correction(beta1, t, g.dtype.type)
    v_hat = s.v / correction(beta2, t, g.dtype.type)
    return lr * quotient(m_hat, np.sqrt(v_hat) + eps)


def amsgrad(s, g, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Reddi et al. 2018; bias-corrected as in PyTorch: the maximum is taken of the raw v."""
    s.m = beta1 * s.m + (1 - beta1) * g
    s.v = beta2 * s.v + (1 - beta2) * g**2
    s.h = np.maximum(s.h, s.v)
    m_hat = s.m / correction(beta1, t, g.dtype.type)
    h_hat = s.h / correction(beta2, t, g.dtype.type)
    return lr * quotient(m_hat, np.sqrt(h_hat) + eps)


def nadam(s, g, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Dozat 2016 with the momentum schedule mu_t, as in PyTorch (momentum_decay 4e-3)."""
    s.m = beta1 * s.m + (1 - beta1) * g
    s.v = beta2 * s.v + (1 - beta2) * g**2
    v_hat = s.v / correction(beta2, t, g.dtype.type)
    mu = beta1 * (1 - 0.5 * np.longdouble(0.96) ** (np.arange(1, t + 2) * np.longdouble(4e-3)))
    on_g = g.dtype.type((1 - mu[t - 1]) / (1 - np.prod(mu[:t])))
    on_m = g.dtype.type(mu[t] / (1 - np.prod(mu)))
    return lr * quotient(on_g * g + on_m * s.m, np.sqrt(v_hat) + eps)


def radam(s, g, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Liu et al. 2019, Algorithm 2; as in PyTorch rectified when rho_t > 5 (paper: 4).

    PyTorch adds eps to the root of the raw v, where Adam adds it to the root of v_hat.
    """
    s.m = beta1 * s.m + (1 - beta1) * g
    s.v = beta2 * s.v + (1 - beta2) * g**2
    m_hat = s.m / correction(beta1, t, g.dtype.type)
    one_minus_beta2_t = correction(beta2, t, np.longdouble)
    rho_inf = 2 / np.longdouble(1 - beta2) - 1
    rho = rho_inf - 2 * t * (1 - one_minus_beta2_t) / one_minus_beta2_t
    if rho <= 5:
        return lr * m_hat
    r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    return lr * quotient(g.dtype.type(r * np.sqrt(one_minus_beta2_t)) * m_hat, np.sqrt(s.v) + eps)


def adamax(s, g, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Kingma & Ba 2014, Algorithm 2; eps as in PyTorch and Optax, the paper has none."""
    s.m = beta1 * s.m + (1 - beta1) * g
    s.u = np.maximum(beta2 * s.u, np.abs(g) + eps)
    return lr * quotient(s.m / correction(beta1, t, g.dtype.type), s.u)


def adabelief(s, g, t, lr, beta1=0.9, beta2=0.999, eps=1e-16, eps_root=1e-16):
    """Zhuang et al. 2020; as in the paper and Optax the new m, and eps_root adds up in v."""
    s.m = beta1 * s.m + (1 - beta1) * g
    s.v = beta2 * s.v + (1 - beta2) * (g - s.m) ** 2 + eps_root
    m_hat = s.m / correction(beta1, t, g.dtype.type)
    v_hat = s.v / correction(beta2, t, g.dtype.type)
    return lr * quotient(m_hat, np.sqrt(v_hat) + eps)


def yogi(s, g, t, lr, beta1=0.9, beta2=0.999, eps=1e-3):
    """Zaheer et al. 2018; as in Optax m and v both start at 1e-6 and both are bias-corrected.

    As m does not start at zero, a zero gradient does move x here, by 3e-4 lr at first.
    """
    if t == 1:
        s.m = s.v = np.full_like(g, 1e-6)
    s.m = beta1 * s.m + (1 - beta1) * g
    s.v = s.v - (1 - beta2) * np.sign(s.v - g**2) * g**2
    m_hat = s.m / correction(beta1, t, g.dtype.type)
    v_hat = s.v / correction(beta2, t, g.dtype.type)
    return lr * quotient(m_hat, np.sqrt(v_hat) + eps)


def lion(s, g, t, lr, beta1=0.9, beta2=0.99):
    """Chen et al. 2023, Algorithm 2."""
    direction = np.sign(beta1 * s.m + (1 - beta1) * g)
    s.m = beta2 * s.m + (1 - beta2) * g
    return lr * direction


def rmsprop(s, g, t, lr, beta2=0.99, eps=1e-8, momentum=0.0, centered=False):
    """Tieleman & Hinton 2012; centered: Graves 2013. As in PyTorch: eps outside the root."""
    s.v = beta2 * s.v + (1 - beta2) * g**2
    s.mean = beta2 * s.mean + (1 - beta2) * g
    variance = s.v - s.mean**2 if centered else s.v
    s.m = momentum * s.m + quotient(g, np.sqrt(variance) + eps)
    return lr * s.m


def momentum(s, g, t, lr, momentum=0.9):
    """Polyak 1964, as in PyTorch: the gradient enters with weight 1, the first buffer is g."""
    s.m = momentum * s.m + g
    return lr * s.m


def nesterov(s, g, t, lr, momentum=0.9):
    """Sutskever et al. 2013 in PyTorch's form, where x is the point the gradient is taken at."""
    s.m = momentum * s.m + g
    return lr * (g + momentum * s.m)


def sgd(s, g, t, lr):
    """Steepest descent."""
    return lr * g


METHODS = {
    "adam": adam,
    "adamw": adam,
    "amsgrad": amsgrad,
    "nadam": nadam,
    "radam": radam,
    "adamax": adamax,
    "adabelief": adabelief,
    "yogi": yogi,
    "lion": lion,
    "rmsprop": rmsprop,
    "momentum": momentum,
    "nesterov": nesterov,
    "sgd": sgd,
}
DECOUPLED = ("adamw", "lion")


def trajectory(
    method,
    x0,
    gradients,
    learning_rate,
    dtype=np.longdouble,
    weight_decay=None,
    **hyperparameters,
):
    """All points that a method visits under a given sequence of gradients.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    x0 : array_like, shape (n,)
    gradients : array_like, shape (steps, n)
    learning_rate : float or array_like of shape (n,)
    dtype : floating-point type of all arithmetic on arrays
    weight_decay : float, optional
        Decoupled (x -= lr weight_decay x) for adamw and lion, added to the gradient
        (g += weight_decay x) for all others. 1e-2 for adamw unless given, otherwise 0.
    **hyperparameters
        Keyword arguments of the function of that method, floats.

    Returns
    -------
    ndarray, shape (steps + 1, n)
        Row t is x after step t, row 0 is x0.
    """
    if weight_decay is None:
        weight_decay = 1e-2 if method == "adamw" else 0.0
    gradients = np.asarray(gradients, dtype)
    lr = np.asarray(learning_rate, dtype)
    x = np.empty((len(gradients) + 1, gradients.shape[1]), dtype)
    x[0] = x0
    zero = np.zeros_like(x[0])
    state = SimpleNamespace(m=zero, v=zero, h=zero, u=zero, mean=zero)
    for t, g in enumerate(gradients, start=1):
        old = x[t - 1]
        decay = weight_decay * old
        if method in DECOUPLED:
            x[t] = old - METHODS[method](state, g, t, lr, **hyperparameters) - lr * decay
        else:
            x[t] = old - METHODS[method](state, g + decay, t, lr, **hyperparameters)
    return x
