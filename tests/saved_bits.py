"""The bits of minimisations of every benchmark problem, and where they are saved.

    PYTHONPATH=benchmarks python tests/saved_bits.py

writes data/bits.json anew, by hand, when bits are meant to change; a test compares with it.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path

import numba
import numpy as np

import adamnb

SAVED = Path(__file__).with_name("data") / "bits.json"
INTERPRETED = {"callback": lambda x: None}  # every iteration is wanted in Python
FEW = 10  # problems of a set
RUNS = {
    "automatic": {"maxiter": 2_000},
    "without pairs": {"maxiter": 2_000, "memory": 0},
    "interpreted": {"maxiter": 100} | INTERPRETED,
    "given": {"maxiter": 500, "learning_rate": 1e-2},
    "clipped": {"maxiter": 200, "clip_norm": 10.0, "xtol": 1e-6, "history": True},
}


def digest(*arrays):
    """A digest of the bits of arrays."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()[:16]


def evaluated(problem):
    """A digest of f and gradient around the start: how this machine rounds exp and products."""
    own, rng, values = problem.fresh(), np.random.default_rng(0), []
    for _ in range(200):
        x = own.x0 + rng.normal(size=own.x0.size) * np.maximum(np.abs(own.x0), 1) * 0.1
        g = np.empty_like(x)
        with np.errstate(all="ignore"):
            values += [np.array([own.fun(x, g, *own.args)]), g]
    return digest(*values)


def bits_of(name, problems):
    """Digests of a set of problems, by their names.

    A loop is compiled for each types of `args`, and differs in the call of the objective alone: where few
    problems have them, the same bits are had by the interpreted loop, and in a fifth of the time.
    """
    kinds = [tuple(map(numba.typeof, problem.args)) for problem in problems]
    count = Counter(kinds)
    return {
        f"{name}/{problem.name}": bits(problem, **(INTERPRETED if count[kind] < FEW else {}))
        for problem, kind in zip(problems, kinds, strict=True)
    }


def bits(problem, **more):
    """A digest for each of the runs on one problem, and of its objective; `more` are options of all."""
    found = {"objective": evaluated(problem)}
    for name, options in RUNS.items():
        own = problem.fresh()
        bounds = None if own.bounds is None else list(zip(*own.bounds, strict=True))
        result = adamnb.minimize(
            own.fun, own.x0, own.args, jac="inplace", bounds=bounds, verify=0, **options | more
        )
        columns = [result.history[column] for column in result.get("history", ())]
        found[name] = digest(
            result.x, result.fun, result.jac, result.x_last, result.fun_last, result.state["slots"],
            result.learning_rate, [result.nit, result.nfev, result.njev, result.status], *columns,
        )  # fmt: skip
    return found


def main():
    from problems import SETS

    runs = {}
    for name, problems in SETS.items():
        runs |= bits_of(name, problems())
    SAVED.write_text(json.dumps(runs, indent=1) + "\n")
    print(f"{SAVED}: {len(runs)} problems, {len(RUNS)} runs of each")


if __name__ == "__main__":
    main()
