"""One step of Adam on arrays: against PyTorch, Optax and the memory bus."""

import numpy as np
import rivals
import traffic
from measure import alternate
from report import Row

import adamnb

RAM = 10**8  # bytes of x

# n, dtype, the ratios to reach against the traffic limit (None: not compared) and PyTorch
SIZES = [
    (100, np.float32, None, 10.0),
    (1_000, np.float32, None, 10.0),
    (4_096, np.float32, 0.85, 10.0),
    (4_096, np.float64, 0.85, 10.0),
    (100_000, np.float32, 0.85, 1.5),
    (1_000_000, np.float32, None, 1.5),
    (RAM // 4, np.float32, 0.97, 1.0),
    (RAM // 8, np.float64, 0.97, 1.0),
]


def _adamnb_step(x, g):
    optimizer = adamnb.Optimizer(x.copy(), method="adam", learning_rate=1e-3)
    return lambda: optimizer.step(g)


def _traffic_limit(x, g, threads, effort):
    """The traffic on one thread or on all, whichever is the faster here."""
    calls = [traffic.traffic_step(x, g, parallel) for parallel in (False, True)[:threads]]
    return calls[np.argmin(np.median(alternate(calls, effort), axis=1))]


def rows(effort, threads):
    rng = np.random.default_rng(0)
    for n, dtype, of_limit, of_torch in SIZES:
        x, g = rng.normal(size=(2, n)).astype(dtype)
        others = []  # name, callable, ratio to reach
        if rivals.available("torch"):
            step = rivals.torch_step(x, g, threads)
            others.append(("torch.optim.Adam(fused=True)", step, of_torch))
        if rivals.available("jax", "optax"):
            others.append(("Optax, jitted, donated", rivals.optax_step(x, g), None))
        if of_limit is not None:
            others.append(("traffic limit", _traffic_limit(x, g, threads, effort), of_limit))

        calls = [_adamnb_step(x, g), *(step for _, step, _ in others)]
        ours, *theirs = alternate(calls, effort)
        work = f"one step, n = {n:,}, {np.dtype(dtype).name}"
        for (name, _, reach), other in zip(others, theirs, strict=True):
            yield Row(work, "Optimizer.step", name, ours, other, at_least=reach)
