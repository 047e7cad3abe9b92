"""What Adam and its relatives do to one element, and the numbers that they take for it.

A *rule* maps one gradient element and the method's memory of that element (its slots) to a step; it
holds no loop, no option and no literal that would turn float32 arithmetic into float64. What
changes per step is a `Coefficients` tuple, computed once a step in float64. Loops choose rule and
coefficients by the type of their first argument, a `MethodType`, so that only what is used is
compiled.
"""

from math import exp, expm1, inf, log, sqrt
from typing import NamedTuple

from numba.extending import overload

from .cache import INLINED, copied, inner


class Hyperparameter(NamedTuple):
    """A number that methods may have: 0 <= value < `below`, or True or False where that is None."""

    below: float | None
    meaning: str


# All that any method has; the table of methods says which has what, and the defaults.
HYPERPARAMETERS = {
    "beta1": Hyperparameter(
        1.0,
        "decay of the average of the gradient; an automatic learning rate takes a mean instead",
    ),
    "beta2": Hyperparameter(1.0, "decay of the average of its square"),
    "eps": Hyperparameter(
        inf,
        "added to the root of v, after bias correction (adabelief: to v itself as well);"
        " 0 unless given with an automatic learning rate",
    ),
    "weight_decay": Hyperparameter(inf, "L2 coefficient, or decoupled decay (adamw, lion)"),
    "momentum": Hyperparameter(1.0, "friction of momentum, nesterov and rmsprop"),
    "centered": Hyperparameter(None, "rmsprop: divide by the standard deviation"),
}


class Coefficients(NamedTuple):
    """Per-step numbers of a rule, named as in `adam`."""

    mu: float  # m = mu m + c1 g
    c1: float
    beta2: float  # v = beta2 v + c2 g^2
    c2: float
    a: float  # step = (a m + b g) / (sqrt(v) + eps)
    b: float
    s: float  # what else a rule needs
    eps: float


class Step(NamedTuple):
    """A step to be taken: what coefficients depend on beside the options `o`."""

    t: float  # its number, from 1
    rate: float
    beta1: float  # of the options, or of the mean of gradients that takes its place
    log_beta1: float
    roots: object  # None, or a table in which sqrt(1 - beta2**t) is remembered


NEGLIGIBLE = -38.0  # below this logarithm, 1 - beta**t is 1 to the last bit
HALF = log(0.5)


@inner
def correction(log_beta, t):
    """Return 1 - beta**t, exact also where beta**t is near 1 and for t up to 1e9 and beyond."""
    exponent = t * log_beta
    if exponent < NEGLIGIBLE:
        return 1.0
    # Below a half there is nothing to cancel, and exp is several times faster.
    return 1.0 - exp(exponent) if exponent < HALF else -expm1(exponent)


@inner
def root_correction(log_beta2, t, roots):
    """Return sqrt(1 - beta2**t), which many small problems share: it would be a tenth of a step of each."""
    if roots is not None:
        i = int(t)
        if i < roots.size:
            if roots[i] == 0.0:
                roots[i] = sqrt(correction(log_beta2, t))
            return roots[i]
    return sqrt(correction(log_beta2, t))


def adam_coefficients(o, step):
    """Kingma & Ba (2014), Algorithm 1.

    Numerator and denominator are multiplied by the root of the correction of v (their section 2, last
    lines), once a step instead of in every element.
    """
    beta1, a, eps = step.beta1, step.rate, o.eps  # as they are once all correction is past
    if step.t * step.log_beta1 >= NEGLIGIBLE:
        a = a / correction(step.log_beta1, step.t)
    if step.t * o.log_beta2 >= NEGLIGIBLE:
        root = root_correction(o.log_beta2, step.t, step.roots)
        a, eps = a * root, eps * root
    return Coefficients(beta1, 1.0 - beta1, o.beta2, 1.0 - o.beta2, a, 0.0, o.eps, eps)


def nadam_coefficients(o, step):
    """Dozat (2016) with PyTorch's momentum schedule mu_t = beta1 (1 - 0.96**(0.004 t) / 2).

    The product of mu_1 ... mu_t is the exponential of a power series in t, not a running product.
    """
    t, beta1 = step.t, step.beta1
    log_q = 0.004 * log(0.96)
    mu = beta1 * (1.0 - 0.5 * exp(log_q * t))
    mu_next = beta1 * (1.0 - 0.5 * exp(log_q * (t + 1.0)))
    log_product = t * step.log_beta1
    if log_product > -38.0:
        half = 1.0
        for k in range(1, 54):
            half *= 0.5
            log_product -= half / k * exp(k * log_q) * expm1(k * log_q * t) / expm1(k * log_q)
    product = exp(log_product)
    root = root_correction(o.log_beta2, t, step.roots)
    a = root * step.rate * mu_next / (1.0 - product * mu_next)
    b = root * step.rate * (1.0 - mu) / (1.0 - product)
    return Coefficients(beta1, 1.0 - beta1, o.beta2, 1.0 - o.beta2, a, b, 0.0, root * o.eps)


def radam_coefficients(o, step):
    """Liu et al. (2019), eps on the raw root as PyTorch has it; momentum alone until rho > 5 (s = 0)."""
    t, beta1, beta2 = step.t, step.beta1, o.beta2
    corrected = correction(o.log_beta2, t)
    rho_inf = 2.0 / (1.0 - beta2) - 1.0
    rho = rho_inf - 2.0 * t / expm1(-t * o.log_beta2)  # t beta2^t / (1 - beta2^t), uncancelled
    a, s, eps = step.rate / correction(step.log_beta1, t), 0.0, 1.0
    if rho > 5.0:
        rectified = (rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho)
        a, s, eps = a * sqrt(rectified * corrected), 1.0, o.eps
    return Coefficients(beta1, 1.0 - beta1, beta2, 1.0 - beta2, a, 0.0, s, eps)


def adamax_coefficients(o, step):
    """Kingma & Ba (2014), Algorithm 2: no v, so nothing but the momentum is corrected."""
    a, beta1 = step.rate / correction(step.log_beta1, step.t), step.beta1
    return Coefficients(beta1, 1.0 - beta1, o.beta2, 0.0, a, 0.0, 0.0, o.eps)


def lion_coefficients(o, step):
    """Chen et al. (2023): constant."""
    beta1, beta2 = step.beta1, o.beta2
    return Coefficients(beta1, 1.0 - beta1, beta2, 1.0 - beta2, step.rate, 0.0, 0.0, 1.0)


def rmsprop_coefficients(o, step):
    """Tieleman & Hinton (2012); mu is the momentum of the scaled step, s switches centering."""
    beta2 = o.beta2
    return Coefficients(o.momentum, 1.0, beta2, 1.0 - beta2, step.rate, 0.0, o.centered, o.eps)


def momentum_coefficients(o, step):
    """Polyak (1964), PyTorch's form: m = mu m + g, step = rate m."""
    return Coefficients(o.momentum, 1.0, 0.0, 0.0, step.rate, 0.0, 0.0, 1.0)


def nesterov_coefficients(o, step):
    """Nesterov (1983), PyTorch's form: step = rate (mu m + g)."""
    rate = step.rate
    return Coefficients(o.momentum, 1.0, 0.0, 0.0, rate * o.momentum, rate, 0.0, 1.0)


# ----------------------------------------------------------------------------------------- rules
# rule(g, slots..., c) -> (step, slots...): the variable then moves by -step. Slot 0 is the one that
# remembers a direction; it is emptied where a variable rests on its bound.


def adam(g, m, v, c):
    """Adam, AdamW and NAdam: one rule, different coefficients."""
    m = c.mu * m + c.c1 * g
    v = c.beta2 * v + c.c2 * (g * g)
    return (c.a * m + c.b * g) / (sqrt(v) + c.eps), m, v


def radam(g, m, v, c):
    """Liu et al. (2019): as long as s is 0, v is not yet known well enough to be used."""
    m = c.mu * m + c.c1 * g
    v = c.beta2 * v + c.c2 * (g * g)
    return c.a * m / (c.s * sqrt(v) + c.eps), m, v


def accumulate(g, m, c):
    """Momentum, Nesterov and plain gradient descent (mu = 0)."""
    m = c.mu * m + c.c1 * g
    return c.a * m + c.b * g, m


def amsgrad(g, m, v, h, c):
    """Reddi et al. (2018): the largest raw v so far; the comparison lets NaN through."""
    m = c.mu * m + c.c1 * g
    v = c.beta2 * v + c.c2 * (g * g)
    h = h if h >= v else v
    return c.a * m / (sqrt(h) + c.eps), m, v, h


def adamax(g, m, u, c):
    """Kingma & Ba (2014), Algorithm 2, with PyTorch's |g| + eps."""
    m = c.mu * m + c.c1 * g
    u = c.beta2 * u
    largest = abs(g) + c.eps
    u = u if u >= largest else largest
    return c.a * m / u, m, u


def adabelief(g, m, v, c):
    """Zhuang et al. (2020), Optax's form: the variance of g about its running mean, s added to it."""
    m = c.mu * m + c.c1 * g
    v = c.beta2 * v + c.c2 * ((g - m) * (g - m)) + c.s
    return c.a * m / (sqrt(v) + c.eps), m, v


def yogi(g, m, v, c):
    """Zaheer et al. (2018): v moves towards g^2 by a bounded amount."""
    m = c.mu * m + c.c1 * g
    change = c.c2 * (g * g)
    v = v - change if v > g * g else v + change
    return c.a * m / (sqrt(v) + c.eps), m, v


def lion(g, m, c):
    """Chen et al. (2023): the sign of an average, then the average."""
    d = c.mu * m + c.c1 * g
    m = c.beta2 * m + c.c2 * g
    step = c.a if d > 0 else (-c.a if d < 0 else d)
    return step, m


def rmsprop(g, velocity, v, mean, c):
    """Tieleman & Hinton (2012) with the momentum and centering of Graves (2013), as in PyTorch."""
    v = c.beta2 * v + c.c2 * (g * g)
    mean = c.beta2 * mean + c.c2 * g
    velocity = c.mu * velocity + g / (sqrt(v - c.s * (mean * mean)) + c.eps)
    return c.a * velocity, velocity, v, mean


RULES = {
    rule.__name__: (copied(rule), rule.__code__.co_argcount - 2)
    for rule in (adam, radam, accumulate, amsgrad, adamax, adabelief, yogi, lion, rmsprop)
}
COEFFICIENTS = {
    function.__name__.removesuffix("_coefficients"): inner(function)
    for function in (
        adam_coefficients, nadam_coefficients, radam_coefficients, adamax_coefficients,
        lion_coefficients, rmsprop_coefficients, momentum_coefficients, nesterov_coefficients,
    )
}  # fmt: skip


def coefficients(method, o, step):
    """Return the coefficients of `method` for a step; compiled by `_coefficients`."""


@overload(coefficients, jit_options=INLINED)
def _coefficients(method, o, step):
    function = COEFFICIENTS[method.coefficients]
    return lambda method, o, step: function(o, step)


def apply(method, g, slots, i, c):
    """Return the step of element i by the rule of `method`, whose memory `slots` is a tuple of vectors."""
    rule, count = RULES[method.rule]
    step, *new = rule.py_func(g, *[slots[slot][i] for slot in range(count)], c)
    for slot in range(count):
        slots[slot][i] = new[slot]
    return step


@overload(apply, jit_options=INLINED)
def _apply(method, g, slots, i, c):
    rule, count = RULES[method.rule]

    def one(method, g, slots, i, c):
        step, slots[0][i] = rule(g, slots[0][i], c)
        return step

    def two(method, g, slots, i, c):
        step, slots[0][i], slots[1][i] = rule(g, slots[0][i], slots[1][i], c)
        return step

    def three(method, g, slots, i, c):
        step, slots[0][i], slots[1][i], slots[2][i] = rule(
            g, slots[0][i], slots[1][i], slots[2][i], c
        )
        return step

    return (one, two, three)[count - 1]
