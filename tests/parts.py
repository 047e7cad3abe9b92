"""A chain of variables, each coupled with the next, and the runs in which ranks have parts of it."""

import numpy as np


def chain(x):
    d = x[1:] - x[:-1] ** 2
    g = np.zeros_like(x)
    g[1:] = 20 * d
    g[:-1] -= 40 * d * x[:-1] + 2 * (1 - x[:-1])
    return float((10 * d * d).sum() + ((1 - x[:-1]) ** 2).sum()), g


# Options, which a run of the whole has as well.
PARTS = {
    "automatic": {},
    "bounds": {"bounds": [(-0.2, 0.8)] * 30},
    "no pairs": {"memory": 0, "maxiter": 60},
    "adam": {"learning_rate": 0.05, "maxiter": 50},
    "clipped": {"learning_rate": 0.01, "clip_norm": 0.5, "maxiter": 50},
    "xtol": {"learning_rate": 0.01, "xtol": 1e-3, "maxiter": 500},
    "adamw": {"method": "adamw", "weight_decay": 0.01, "maxiter": 40},
    "single": {"dtype": np.float32, "learning_rate": 0.05, "maxiter": 30},
    "threads": {"threads": 2, "maxiter": 20},
}
