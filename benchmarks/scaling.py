"""Scaling over the ranks of an MPI job: ``python benchmarks/scaling.py [--quick]``.

The sum of squares of a linear model with n unknowns; each rank has rows of it. Weak scaling: as many rows a
rank; strong scaling: as many in all. Then what a rank sends, the memory of the methods, and a model of many
ranks.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time

import numpy as np

import adamnb
from adamnb._problem.methods import METHODS
from adamnb._problem.ranks import Ranks
from adamnb._run.state import State

ROWS = 32  # of each rank, or of all
LATENCY, BANDWIDTH = 2e-6, 12e9  # seconds a message, bytes a second and rank: a common fabric
MANY = 1000  # ranks


def measured(n, rows, iterations):
    """Print seconds an iteration, and bytes sent in it, of one rank; run by mpiexec."""
    from mpi4py import MPI

    comm, sent = MPI.COMM_WORLD, []
    rng = np.random.default_rng(comm.Get_rank())
    a, y = rng.normal(size=(rows, n)), rng.normal(size=rows)

    def fun(x):
        r = a @ x - y
        return float(r @ r), 2 * (r @ a)

    leave = Ranks.__exit__

    def noted(ranks, *what):
        leave(ranks, *what)
        sent.append(ranks.sent)

    Ranks.__exit__ = noted
    seconds = []
    for maxiter in (1, 2, iterations + 2, 2, iterations + 2, 2, iterations + 2):
        comm.Barrier()
        begun = time.perf_counter()
        adamnb.minimize(fun, np.ones(n), jac=True, comm=comm, maxiter=maxiter, learning_rate=1e-6)
        seconds.append(time.perf_counter() - begun)
    each = [
        (long - short) / iterations
        for short, long in zip(seconds[1::2], seconds[2::2], strict=True)
    ]
    if comm.Get_rank() == 0:
        sys.stdout.write(json.dumps({"seconds": each, "sent": (sent[2] - sent[1]) / iterations}))


def on_ranks(ranks, n, rows, iterations):
    """Return what `measured` prints, on so many ranks with a thread each."""
    mpiexec = shutil.which("mpiexec", path=sysconfig.get_path("scripts")) or "mpiexec"
    alone = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA")}
    command = [mpiexec, "-n", str(ranks), sys.executable, __file__, "--rank", str(n), str(rows)]
    done = subprocess.run(
        [*command, str(iterations)],
        env=os.environ | alone,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def memory():
    """Print the vectors that a run remembers, each as long as x, by method and learning rate."""
    print("\nvectors of n elements: a given rate; automatic; with 4 pairs, from n = 1e6 on")
    n, x0 = 10_000, np.ones(10_000)
    for name, method in METHODS.items():
        counts = []
        for rate, pairs in ((0.1, 0), (None, 0), (None, 4)):
            vectors = State(method, x0, rate, None, None, pairs).vectors
            arrays = [a for a in vectors if isinstance(a, np.ndarray) and a.shape[-1] == n]
            counts.append(sum(a.size for a in arrays) / n)
        print(f"  {name:>10} " + " ".join(f"{count:5.0f}" for count in counts))


def modelled(seconds, n):
    """Print what the model says of many ranks, from the seconds that a rank computes now."""
    print(
        f"\nmodel: {LATENCY * 1e6:g} us a message, {BANDWIDTH / 1e9:g} GB/s; x whole on every rank"
    )
    for unknowns in (n, 10**8, 10**9):
        own = seconds * unknowns / n
        volume = 2 * 8 * unknowns * (MANY - 1) / MANY
        exchange = 2 * (MANY - 1) * LATENCY + volume / BANDWIDTH
        print(
            f"  {MANY} ranks, n = {unknowns:.0e}: {own:.3g} s of computing, {exchange:.3g} s of exchange,"
            f" weak efficiency {own / (own + exchange):.0%}"
        )
    print(f"  n = 1e11: {7 * 8e11 / 1e12:.1f} TB on each rank for 7 vectors: more than one has")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, to see whether it runs")
    parser.add_argument("--rank", nargs=3, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rank:
        measured(*given.rank)
        return
    n, iterations = (10_000, 3) if given.quick else (1_000_000, 10)
    one = on_ranks(1, n, ROWS, iterations)
    weak, strong = on_ranks(2, n, ROWS, iterations), on_ranks(2, n, ROWS // 2, iterations)
    print(f"n = {n:,}, {ROWS} rows; seconds an iteration, the least of three, and all three")
    base = min(one["seconds"])
    for name, found, ideal in (
        ("1 rank", one, base), ("2 ranks, weak", weak, base), ("2 ranks, strong", strong, base / 2)
    ):  # fmt: skip
        least = min(found["seconds"])
        spread = " ".join(f"{s:.4f}" for s in found["seconds"])
        print(
            f"  {name:>16}: {least:.4f} ({spread}), efficiency {ideal / least:.0%},"
            f" sends {found['sent'] / 8 / n:.2f} n elements"
        )
    memory()
    modelled(base, n)


if __name__ == "__main__":
    main()
