"""Coefficients and rules of all methods: what Adam and its relatives do to one element.

A *rule* maps one gradient element and the method's memory of that element (its slots) to a step; it
holds no loop, no option and no literal that would turn float32 arithmetic into float64. What
changes per step is a `Coefficients` tuple, computed once a step in float64. Loops choose rule and
coefficients by the type of their first argument, a `MethodType`, so that only what is used is
compiled.
"""

import hashlib
from math import exp, expm1, log, sqrt
from pathlib import Path
from typing import NamedTuple

import numba
from numba import types
from numba.extending import NativeValue, models, overload, register_model, unbox

# "numpy": a division by zero is infinite instead of an exception, without which nothing vectorises.
# No fastmath: contraction would give scalar and vector loops different bits.
JIT = {"error_model": "numpy"}
# A call would put every array's seven words on the stack, and count references atomically.
INLINED = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, **JIT}
inner = numba.njit(**INLINED)


def entry(function=None, **options):
    """Compile `function` on demand and keep it on disk, or in memory if no folder can be written."""
    if function is None:
        return lambda function: entry(function, **options)
    try:
        return numba.njit(cache=True, **JIT, **options)(function)
    except RuntimeError:  # Numba found no place for its cache
        return numba.njit(**JIT, **options)(function)


def _stamp() -> str:
    """Return a digest of the sources that are compiled together.

    Numba's disk cache looks at the date of the entry's own file only. As every entry takes a method
    and the digest is part of the method's type, code compiled from other sources is never loaded.
    """
    digest = hashlib.sha256()
    for name in ("_rules.py", "_kernels.py", "_driver.py", "_rows.py", "_remote.py"):
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()[:16]


STAMP = _stamp()


class MethodType(types.Type):
    """Numba type of a method: the names of its rule and coefficients, and where loops over elements run.

    `loops` is "serial", "threads", or "elsewhere": on a device, that has measured what is asked for and
    is told what to do (`_remote`). A `plain` method has neither weight decay nor clipping, no schedule and
    no test of the step: most runs, which are spared the arithmetic and the questions.
    """

    def __init__(
        self, rule: str, coefficients: str, loops: str = "serial", plain: bool = False
    ) -> None:
        self.rule = rule
        self.coefficients = coefficients
        self.loops = loops
        self.plain = plain
        super().__init__(name=f"Method({rule}, {coefficients}, {loops}, {plain}, {STAMP})")


register_model(MethodType)(models.OpaqueModel)


@unbox(MethodType)
def _unbox_method(typ, obj, c):
    return NativeValue(c.context.get_dummy_value())


# Hyper-parameters and tolerances of a run, one float64 vector.
OPTIONS = (
    "beta1", "beta2", "log_beta1", "log_beta2", "eps", "momentum", "centered", "l2", "decay",
    "clip_norm", "largest", "gtol", "ftol", "xtol", "f_target", "patience", "maxiter", "maxfun",
    "relative", "factor", "hold", "threshold", "rate_min", "kappa", "early",
    "early_factor", "rise", "looser", "promise", "gain_up", "gain_down",
    "mean",
)  # fmt: skip
(BETA1, BETA2, LOG_BETA1, LOG_BETA2, EPS, MOMENTUM, CENTERED, L2, DECAY, CLIP_NORM, LARGEST,
 GTOL, FTOL, XTOL, F_TARGET, PATIENCE, MAXITER, MAXFUN, RELATIVE, FACTOR, HOLD, THRESHOLD,
 RATE_MIN, KAPPA, EARLY, EARLY_FACTOR, RISE, LOOSER, PROMISE, GAIN_UP, GAIN_DOWN,
 MEAN) = range(32)  # fmt: skip


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


def root_correction(o, t):
    """Stand in for sqrt(1 - beta2**t); Numba picks by the type of the options."""


@inner
def _root_correction_at(o, t):
    """Return sqrt(1 - beta2**t)."""
    return sqrt(correction(o[LOG_BETA2], t))


@overload(root_correction, jit_options=INLINED)
def _root_correction(o, t):
    def computed(o, t):
        return _root_correction_at(o, t)

    def remembered(o, t):  # many small problems share what would be a tenth of a step in each
        i = len(OPTIONS) + int(t)
        if i >= o.size:
            return _root_correction_at(o, t)
        if o[i] == 0.0:
            o[i] = _root_correction_at(o, t)
        return o[i]

    return remembered if isinstance(o, types.Array) else computed


def adam_coefficients(o, t, rate):
    """Kingma & Ba (2014), Algorithm 1.

    Numerator and denominator are multiplied by the root of the correction of v (their section 2, last
    lines), once a step instead of in every element.
    """
    a, eps = rate, o[EPS]  # as they are once all correction is past
    if t * o[LOG_BETA1] >= NEGLIGIBLE:
        a = rate / correction(o[LOG_BETA1], t)
    if t * o[LOG_BETA2] >= NEGLIGIBLE:
        root = root_correction(o, t)
        a, eps = a * root, eps * root
    return Coefficients(o[BETA1], 1.0 - o[BETA1], o[BETA2], 1.0 - o[BETA2], a, 0.0, o[EPS], eps)


def nadam_coefficients(o, t, rate):
    """Dozat (2016) with PyTorch's momentum schedule mu_t = beta1 (1 - 0.96**(0.004 t) / 2).

    The product of mu_1 ... mu_t is the exponential of a power series in t, not a running product.
    """
    log_q = 0.004 * log(0.96)
    mu = o[BETA1] * (1.0 - 0.5 * exp(log_q * t))
    mu_next = o[BETA1] * (1.0 - 0.5 * exp(log_q * (t + 1.0)))
    log_product = t * o[LOG_BETA1]
    if log_product > -38.0:
        half = 1.0
        for k in range(1, 54):
            half *= 0.5
            log_product -= half / k * exp(k * log_q) * expm1(k * log_q * t) / expm1(k * log_q)
    product = exp(log_product)
    root = root_correction(o, t)
    a = root * rate * mu_next / (1.0 - product * mu_next)
    b = root * rate * (1.0 - mu) / (1.0 - product)
    eps = root * o[EPS]
    return Coefficients(o[BETA1], 1.0 - o[BETA1], o[BETA2], 1.0 - o[BETA2], a, b, 0.0, eps)


def radam_coefficients(o, t, rate):
    """Liu et al. (2019), eps on the raw root as PyTorch has it; momentum alone until rho > 5 (s = 0)."""
    corrected = correction(o[LOG_BETA2], t)
    rho_inf = 2.0 / (1.0 - o[BETA2]) - 1.0
    rho = rho_inf - 2.0 * t / expm1(-t * o[LOG_BETA2])  # t beta2^t / (1 - beta2^t), uncancelled
    a, s, eps = rate / correction(o[LOG_BETA1], t), 0.0, 1.0
    if rho > 5.0:
        rectified = (rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho)
        a, s, eps = a * sqrt(rectified * corrected), 1.0, o[EPS]
    return Coefficients(o[BETA1], 1.0 - o[BETA1], o[BETA2], 1.0 - o[BETA2], a, 0.0, s, eps)


def adamax_coefficients(o, t, rate):
    """Kingma & Ba (2014), Algorithm 2: no v, so nothing but the momentum is corrected."""
    a = rate / correction(o[LOG_BETA1], t)
    return Coefficients(o[BETA1], 1.0 - o[BETA1], o[BETA2], 0.0, a, 0.0, 0.0, o[EPS])


def lion_coefficients(o, t, rate):
    """Chen et al. (2023): constant."""
    return Coefficients(o[BETA1], 1.0 - o[BETA1], o[BETA2], 1.0 - o[BETA2], rate, 0.0, 0.0, 1.0)


def rmsprop_coefficients(o, t, rate):
    """Tieleman & Hinton (2012); mu is the momentum of the scaled step, s switches centering."""
    beta2 = o[BETA2]
    return Coefficients(o[MOMENTUM], 1.0, beta2, 1.0 - beta2, rate, 0.0, o[CENTERED], o[EPS])


def momentum_coefficients(o, t, rate):
    """Polyak (1964), PyTorch's form: m = mu m + g, step = rate m."""
    return Coefficients(o[MOMENTUM], 1.0, 0.0, 0.0, rate, 0.0, 0.0, 1.0)


def nesterov_coefficients(o, t, rate):
    """Nesterov (1983), PyTorch's form: step = rate (mu m + g)."""
    return Coefficients(o[MOMENTUM], 1.0, 0.0, 0.0, rate * o[MOMENTUM], rate, 0.0, 1.0)


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
    rule.__name__: (inner(rule), rule.__code__.co_argcount - 2)
    for rule in (adam, radam, accumulate, amsgrad, adamax, adabelief, yogi, lion, rmsprop)
}
COEFFICIENTS = {
    function.__name__.removesuffix("_coefficients"): inner(function)
    for function in (
        adam_coefficients, nadam_coefficients, radam_coefficients, adamax_coefficients,
        lion_coefficients, rmsprop_coefficients, momentum_coefficients, nesterov_coefficients,
    )
}  # fmt: skip


def coefficients(method, o, t, rate):
    """Stand in for the coefficients of `method`; Numba picks them by type."""


@overload(coefficients, jit_options=INLINED)
def _coefficients(method, o, t, rate):
    function = COEFFICIENTS[method.coefficients]
    return lambda method, o, t, rate: function(o, t, rate)


def apply(method, g, slots, i, c):
    """Return the step of element i by the rule of `method`; compiled loops pick the rule by type.

    `slots` is a tuple of vectors.
    """
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
