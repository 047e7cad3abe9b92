"""Adam in PyTorch and in Optax: each function makes a callable that does one unit of work.

Imports neither Numba nor adamnb, so that first_optax.py pays for JAX alone.
"""

from importlib.util import find_spec

import numpy as np


def available(*modules):
    return all(find_spec(name) for name in modules)


def torch_step(x, g, threads):
    """PyTorch's fused CPU Adam on copies of x and g, float32 or float64."""
    import torch

    torch.set_num_threads(threads)
    p = torch.from_numpy(x.copy()).requires_grad_()
    p.grad = torch.from_numpy(g.copy())
    return torch.optim.Adam([p], lr=1e-3, fused=True).step


def optax_step(x, g):
    """One Optax Adam step, jitted, with the parameters' and the moments' buffers donated."""
    import jax
    import jax.numpy as jnp
    import optax

    adam = optax.adam(1e-3)

    def update(p, g, state):
        step, state = adam.update(g, state, p)
        return optax.apply_updates(p, step), state

    compiled = jax.jit(update, donate_argnums=(0, 2))
    p, g = jnp.array(x), jnp.array(g)
    state = adam.init(p)

    def step():
        nonlocal p, state
        p, state = compiled(p, g, state)
        p.block_until_ready()

    step()
    assert p.dtype == x.dtype
    return step


def _rosenbrock_jax(x):
    import jax.numpy as jnp

    return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def optax_scan(x0, steps):
    """Adam under lax.scan, returning f of every step: no stop test and no best point."""
    import jax
    import jax.numpy as jnp
    import optax

    adam = optax.adam(1e-3)

    def body(carry, _):
        x, state = carry
        f, g = jax.value_and_grad(_rosenbrock_jax)(x)
        step, state = adam.update(g, state, x)
        return (optax.apply_updates(x, step), state), f

    @jax.jit
    def run(x):
        (x, _), history = jax.lax.scan(body, (x, adam.init(x)), length=steps)
        return x, history

    x0 = jnp.asarray(x0)
    return lambda: np.asarray(run(x0)[0])


def optax_while(x0, steps):
    """Adam under lax.while_loop with all that adamnb does: stop test, finite check, best point."""
    import jax
    import jax.numpy as jnp
    import optax

    adam = optax.adam(1e-3)
    evaluate = jax.value_and_grad(_rosenbrock_jax)

    def go_on(carry):
        t, _, _, f, g, *_ = carry
        size = jnp.max(jnp.abs(g))
        return (t < steps) & jnp.isfinite(f) & jnp.isfinite(size) & (size > 0.0)

    def body(carry):
        t, x, state, _, g, best_x, best_f, best_g = carry
        step, state = adam.update(g, state, x)
        x = optax.apply_updates(x, step)
        f, g = evaluate(x)
        better = f < best_f
        best_x, best_g = jnp.where(better, x, best_x), jnp.where(better, g, best_g)
        return t + 1, x, state, f, g, best_x, jnp.minimum(f, best_f), best_g

    @jax.jit
    def run(x):
        f, g = evaluate(x)
        t, last, *_, best_x, best_f, best_g = jax.lax.while_loop(
            go_on, body, (jnp.int64(0), x, adam.init(x), f, g, x, f, g)
        )
        return t, last, best_x, best_f, best_g

    x0 = jnp.asarray(x0)
    if (done := int(run(x0)[0])) != steps:
        raise RuntimeError(f"lax.while_loop stopped after {done} of {steps} steps")
    return lambda: np.asarray(run(x0)[1])


def optax_batch(fun, x0, data, args, rate, gtol, cap=5_000):
    """Optax Adam on many problems side by side, until the last has met our gradient test.

    Every problem stands still once it has met the test. Returns a callable that returns the
    parameters.
    """
    import jax
    import jax.numpy as jnp
    import optax

    adam = optax.adam(rate)
    objective = jax.vmap(jax.value_and_grad(lambda x, *d: fun(x, *d, *map(jnp.asarray, args), jnp)))
    scale = jnp.where(x0 != 0, jnp.abs(x0), 1.0)

    def slope(g):
        return jnp.abs(g * scale).max(axis=1)

    def solve(x, *data):
        _, g = objective(x, *data)
        limit = gtol * slope(g)

        def going(carry):
            _, g, _, t = carry
            return (slope(g) > limit).any() & (t < cap)

        def step(carry):
            x, g, state, t = carry
            move, state = adam.update(g, state, x)
            x = jnp.where((slope(g) > limit)[:, None], x + move, x)
            return x, objective(x, *data)[1], state, t + 1

        return jax.lax.while_loop(going, step, (x, g, adam.init(x), 0))[0]

    compiled = jax.jit(solve)
    inputs = [jnp.asarray(x0), *map(jnp.asarray, data)]
    return lambda: np.asarray(compiled(*inputs))
