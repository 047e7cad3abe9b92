"""Random numbers from a stream that repeats bit for bit, on every machine.

The state of a stream is an array of shape (1,) and dtype uint64, which every number advances.
"""

import numpy as np

from problems.problem import compiled


def stream(seed=2026):
    """The state at the start of a stream."""
    return np.array([seed], dtype=np.uint64)


@compiled
def uniform(state):
    """The next number of the stream, in (0, 1): splitmix64, as Steele, Lea and Flood give it."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (np.float64(z >> np.uint64(11)) + 0.5) / 2.0**53


@compiled
def normal(scale, state):
    """A normal number of standard deviation `scale`, by Box and Muller's formula."""
    radius = np.sqrt(-2.0 * np.log(uniform(state)))
    return scale * radius * np.cos(2.0 * np.pi * uniform(state))


@compiled
def student(scale, freedom, state):
    """`scale` times a number of Student's distribution, by the polar method (Bailey 1994)."""
    while True:
        u = 2.0 * uniform(state) - 1.0
        v = 2.0 * uniform(state) - 1.0
        w = u * u + v * v
        if 0.0 < w <= 1.0:
            return scale * u * np.sqrt(freedom * (w ** (-2.0 / freedom) - 1.0) / w)


@compiled
def drawn(k, batch, rows, state):
    """Row number k of a batch, drawn with replacement; a batch of all rows is every row once."""
    return k if batch == rows else int(uniform(state) * rows)
