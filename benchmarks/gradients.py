"""f and its exact gradient by forward mode: against one by hand, compiled differences and JAX.

Each is called many times by compiled code, as a loop over iterations calls it, JAX's in a loop of XLA; and by
Python, as a library calls it, JAX's with arrays of NumPy.
"""

from functools import cache, partial

import numba
import numpy as np
import rivals
from measure import alternate, alternate_processes
from numba import types
from report import Row

import adamnb
from adamnb._forward import derivatives
from adamnb._forward.named import derivative
from benchmarks import fits

njit = numba.njit(error_model="numpy")
CALLS = 2_000
SIZES = (2, 3, 4, 8, 16, 32, 64, 100)
AS_BY_HAND, AS_A_LOOP, AS_A_BATCH = 1 / 1.6, 1 / 3, 1 / 1.5


@njit
def rosenbrock(x):
    f = 0.0
    for i in range(x.size - 1):
        f += 100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2
    return f


@njit
def rosenbrock_by_hand(x, g):
    f = 0.0
    g[:] = 0.0
    for i in range(x.size - 1):
        u, v = x[i + 1] - x[i] ** 2, 1 - x[i]
        f += 100 * u**2 + v**2
        g[i] -= 400 * u * x[i] + 2 * v
        g[i + 1] += 200 * u
    return f


@njit
def decays(x, t, y):
    """Sum of squares of exponentials with a height and a rate each, an odd number more being the level."""
    f = 0.0
    for i in range(t.size):
        r = -y[i]
        for j in range(x.size // 2):
            r += x[2 * j] * np.exp(-x[2 * j + 1] * t[i])
        if x.size % 2:
            r += x[x.size - 1]
        f += r * r
    return f


@njit
def decays_by_hand(x, g, t, y):
    f = 0.0
    g[:] = 0.0
    terms = np.empty(x.size // 2)
    for i in range(t.size):
        r = -y[i]
        for j in range(x.size // 2):
            terms[j] = np.exp(-x[2 * j + 1] * t[i])
            r += x[2 * j] * terms[j]
        if x.size % 2:
            r += x[x.size - 1]
            g[x.size - 1] += 2 * r
        f += r * r
        for j in range(x.size // 2):
            g[2 * j] += 2 * r * terms[j]
            g[2 * j + 1] -= 2 * r * x[2 * j] * t[i] * terms[j]
    return f


@njit
def decay_of_arrays(x, t, y):
    r = x[0] * np.exp(-x[1] * t) + x[2] - y
    return r @ r


def by_differences(fun, count):
    """Return forward differences of a Numba function of x and `count` arguments, written into g."""

    @njit
    def differences(x, g, args):
        f = fun(x, *args)
        for i in range(x.size):
            kept = x[i]
            x[i] = kept + 1.5e-8 * max(1.0, abs(kept))
            g[i] = (fun(x, *args) - f) / (x[i] - kept)
            x[i] = kept
        return f

    if count == 0:
        return njit(lambda x, g: differences(x, g, ()))
    return njit(lambda x, g, t, y: differences(x, g, (t, y)))


@njit
def decay(x, y, t):
    f = 0.0
    for i in range(t.size):
        r = x[0] * np.exp(-x[1] * t[i]) + x[2] - y[i]
        f += r * r
    return f


@cache
def _repeater(count):
    @numba.njit
    def repeat(write, x, args, calls):
        g, s = np.empty_like(x), 0.0
        for _ in range(calls):
            s += write(x, g, *args)
            x[0] += 1e-30 * g[0]  # or nothing would be computed twice
        return s

    return repeat


def called(write, x, args):
    """Return a callable that calls a Numba function ``(x, g, *args)`` many times by its address."""
    vector = types.Array(types.float64, 1, "C")
    signature = types.float64(vector, vector, *(vector,) * len(args))
    write.compile(signature.args)
    kind = types.FunctionType(signature)
    repeat, x = _repeater(len(args)), x.copy()
    repeat.compile((kind, vector, types.UniTuple(vector, len(args)), types.intp))
    return lambda: repeat(write, x, args, CALLS)


def jax_called(fun, x, args):
    """Return the same for a function of JAX."""
    import jax

    both = jax.value_and_grad(fun)

    @jax.jit
    def run(x, *args):
        def once(_, carry):
            x, s = carry
            f, g = both(x, *args)
            return x + 1e-30 * g, s + f

        return jax.lax.fori_loop(0, CALLS, once, (x, 0.0))[1]

    given = [jax.numpy.asarray(a) for a in (x, *args)]
    return lambda: run(*given).block_until_ready()


def jax_from_python(fun, x, args):
    import jax

    both = jax.jit(jax.value_and_grad(fun))

    def call():
        f, g = both(x, *args)
        return float(f), np.asarray(g)

    return call


def _jax_rosenbrock(x):
    import jax.numpy as jnp

    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def _jax_decays(x, t, y):
    import jax.numpy as jnp

    pairs = x[: x.size // 2 * 2].reshape(-1, 2)
    r = jnp.exp(-jnp.outer(t, pairs[:, 1])) @ pairs[:, 0] - y
    r = r + x[-1] if x.size % 2 else r
    return r @ r


def problems(n):
    """name -> (function, its gradient by hand, JAX's function, x, arguments)"""
    t = np.linspace(0.0, 2.0, 20)
    args = t, 3 * np.exp(-0.5 * t)
    return {
        "Rosenbrock": (rosenbrock, rosenbrock_by_hand, _jax_rosenbrock, np.linspace(-1, 1, n), ()),
        "20 points, sum of decays": (
            decays, decays_by_hand, _jax_decays, np.linspace(0.5, 1.5, n), args,
        ),
    }  # fmt: skip


def rows(effort, threads):
    for n in SIZES:
        for name, (fun, by_hand, of_jax, x, args) in problems(n).items():
            write = derivative(derivatives.value_and_grad_inplace, fun)
            others = {
                "by hand": (called(by_hand, x, args), AS_BY_HAND if n <= 8 else None),
                "compiled forward differences": (
                    called(by_differences(fun, len(args)), x, args), 1.0 if n <= 32 else None,
                ),
            }  # fmt: skip
            if rivals.available("jax"):
                others["jax.value_and_grad in lax.fori_loop"] = jax_called(of_jax, x, args), None
            calls = [called(write, x, args), *(call for call, _ in others.values())]
            ours, *theirs = alternate(calls, effort) / CALLS
            work = f"f and gradient, n = {n}, {name}"
            for (rival, (_, reach)), other in zip(others.items(), theirs, strict=True):
                yield Row(work, "forward mode", rival, ours, other, at_least=reach)
            if rivals.available("jax"):
                both = adamnb.value_and_grad(fun)
                calls = [partial(both, x, *args), jax_from_python(of_jax, x, args)]
                reach = 1.0 if n <= 16 else None
                yield Row(
                    work, "forward mode, from Python", "jax.jit(jax.value_and_grad), from Python",
                    *alternate(calls, effort), at_least=reach,
                )  # fmt: skip
    yield _whole_arrays(effort)
    yield _batch(effort)


def _whole_arrays(effort):
    _, _, _, x, args = problems(3)["20 points, sum of decays"]
    writes = [
        derivative(derivatives.value_and_grad_inplace, fun) for fun in (decay_of_arrays, decays)
    ]
    ours, loop = alternate([called(write, x, args) for write in writes], effort) / CALLS
    work = "f and gradient, n = 3, 20 points, a decay"
    return Row(work, "forward mode, whole arrays", "the same as a loop", ours, loop, AS_A_LOOP)


def _batch(effort):
    fit = fits.decays(10_000 if effort.processes < 5 else 100_000)
    calls = [
        partial(adamnb.minimize_batch, fun, fit.x0, fit.args, fit.data, jac=jac)
        for fun, jac in ((decay, None), (fit.inplace, "inplace"))
    ]
    ours, by_hand = alternate_processes(calls, effort) / len(fit.x0)
    work = f"a fit, decay, {len(fit.x0):,} of them"
    return Row(
        work, "minimize_batch, no gradient", "minimize_batch, by hand", ours, by_hand, AS_A_BATCH
    )
