"""Scaling over the ranks of an MPI job: ``python benchmarks/scaling.py [--quick] [--write]``.

Two ways: every rank has all n variables and some rows of a linear model, whose squares are summed; or
every rank has n variables of a chain (`sharded`), and asks its neighbours for some. A chain of springs
computes next to nothing, and waits for memory; one of atoms, with bonds to sixteen others each, computes.
Weak scaling: as much for each rank; strong scaling: as much in all. Two that know nothing of each other show
what the machine itself leaves of a second process: they share its memory's bandwidth. Then what a rank
sends, the memory of the methods, and a model of many ranks.
"""

import argparse
import datetime
import json
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numba
import numpy as np
import report

import adamnb
from adamnb._problem.methods import METHODS
from adamnb._problem.ranks import Ranks
from adamnb._run.state import State

RESULTS = Path(__file__).with_name("RESULTS.md")
HEADING = "## Ranks of an MPI job"
ROWS = 32  # of each rank, or of all
LATENCY, BANDWIDTH = 2e-6, 12e9  # seconds a message, bytes a second and rank: a common fabric
MANY = 1000  # ranks
WAYS = {
    "rows": "x whole on every rank", "parts": "x in parts", "pairs": "x in parts, automatic",
    "atoms": "x in parts, atoms", "atoms, pairs": "x in parts, atoms, automatic",
}  # fmt: skip
REACH = 8  # atoms on either side to which an atom has bonds


def rows_of(comm, n, rows):
    """Return the share of a sum of squares that a rank has, and where x starts."""
    rng = np.random.default_rng(comm.Get_rank())
    a, y = rng.normal(size=(rows, n)), rng.normal(size=rows)

    def fun(x):
        r = a @ x - y
        return float(r @ r), 2 * (r @ a)

    return fun, np.ones(n)


def atoms_of(comm, n, _):
    """Return the share of the energy of a chain of atoms that a rank has with its n, and where they are.

    Morse's potential, (1 - exp(-d))^2 with d the extension of a bond, summed over pairs up to `REACH` apart.
    """
    rank, count = comm.Get_rank(), comm.Get_size()
    before, after = (rank - 1) % count, (rank + 1) % count
    all_there = np.empty(n + 2 * REACH)  # with those of the neighbours
    left, own, right = np.split(all_there, [REACH, n + REACH])
    first = REACH if rank == 0 else 0  # there is none before
    last = n + REACH + (0 if rank == count - 1 else REACH)

    def fun(x, g):
        own[:] = x
        comm.Sendrecv(x[-REACH:].copy(), after, recvbuf=left, source=before)
        comm.Sendrecv(x[:REACH].copy(), before, recvbuf=right, source=after)
        return bonds(all_there[first:last], g, REACH - first)

    return fun, 1.1 * np.arange(rank * n, (rank + 1) * n, dtype=float)


@numba.njit(error_model="numpy", cache=True)
def bonds(x, g, others):
    """Return the energy of the bonds that begin at own atoms, which `others` precede; write the gradient."""
    energy, n = 0.0, g.size
    g[:] = 0.0
    for i in range(min(others + n, x.size - 1)):
        for k in range(1, min(REACH, x.size - 1 - i) + 1):
            force = np.exp(k - (x[i + k] - x[i]))
            slope = 2.0 * force * (1.0 - force)
            if i - others >= 0:
                energy += (1.0 - force) ** 2
                g[i - others] -= slope
            if 0 <= i + k - others < n:
                g[i + k - others] += slope
    return energy


def part_of(comm, n, _):
    """Return the share of the energy of a chain that a rank has with its n variables, and where x starts.

    f = sum (x[i + 1] - x[i] - 1)^2 + x[i]^4 / 100; the parts of two ranks are coupled where they meet.
    """
    rank, count = comm.Get_rank(), comm.Get_size()
    before, after = (rank - 1) % count, (rank + 1) % count
    there, d = np.empty(2), np.empty(n + 1)

    def fun(x, g):
        comm.Sendrecv(x[-1:].copy(), after, recvbuf=there[:1], source=before)
        comm.Sendrecv(x[:1].copy(), before, recvbuf=there[1:], source=after)
        np.subtract(x[1:], x[:-1], out=d[1:-1])
        d[0], d[-1] = x[0] - there[0], there[1] - x[-1]
        d[1:-1] -= 1.0
        d[0] -= 1.0
        d[-1] -= 1.0
        if rank == 0:
            d[0] = 0.0
        if rank == count - 1:
            d[-1] = 0.0
        np.subtract(d[:-1], d[1:], out=g)
        g *= 2.0
        square = x * x
        f = float(d[:-1] @ d[:-1]) + 0.01 * float(square @ square)
        square *= x
        square *= 0.04
        g += square
        return f

    return fun, np.linspace(-1.0, 1.0, n)


def measured(way, n, rows, iterations, apart):
    """Print seconds an iteration, bytes sent in it and the memory of one rank; run by mpiexec.

    With `apart` every rank minimises by itself.
    """
    from mpi4py import MPI

    world, sent = MPI.COMM_WORLD, []
    comm = MPI.COMM_SELF if apart else world
    share = {"rows": rows_of, "parts": part_of, "pairs": part_of}.get(way, atoms_of)
    fun, x0 = share(comm, n, rows)
    options = {"jac": True} if way == "rows" else {"jac": "inplace", "sharded": True}
    if not way.endswith("pairs"):
        options["learning_rate"] = 1e-6
    leave = Ranks.__exit__

    def noted(ranks, *what):
        leave(ranks, *what)
        sent.append(ranks.sent)

    Ranks.__exit__ = noted
    seconds, made = [], []
    for maxiter in (1, 2, iterations + 2, 2, iterations + 2, 2, iterations + 2):
        world.Barrier()
        begun = time.perf_counter()
        result = adamnb.minimize(
            fun, x0, comm=comm, maxiter=maxiter, ftol=0, gtol=0, noisy=False, **options
        )
        seconds.append(world.allreduce(time.perf_counter() - begun, MPI.MAX))
        made.append(result.nfev)
    count = made[2] - made[1]
    each = [
        (long - short) / count for short, long in zip(seconds[1::2], seconds[2::2], strict=True)
    ]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if world.Get_rank() == 0:
        told = {"seconds": each, "sent": (sent[2] - sent[1]) / count, "memory": most}
        sys.stdout.write(json.dumps(told))


def on_ranks(ranks, way, n, rows, iterations, apart=False):
    """Return what `measured` prints, on so many ranks with a thread each."""
    mpiexec = shutil.which("mpiexec", path=sysconfig.get_path("scripts")) or "mpiexec"
    alone = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA")}
    command = [mpiexec, "-n", str(ranks), sys.executable, __file__, "--rank", way, str(n)]
    done = subprocess.run(
        [*command, str(rows), str(iterations), str(int(apart))],
        env=os.environ | alone,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def scaling(way, n, iterations):
    """Tell weak and strong scaling over two ranks; return seconds an iteration of one rank."""
    half = (n, ROWS // 2) if way == "rows" else (n // 2, ROWS)
    runs = {
        "1 rank": (1, n, ROWS, False),
        "2 that know nothing of each other": (2, n, ROWS, True),
        "2 ranks, weak": (2, n, ROWS, False),
        "2 ranks, strong": (2, *half, False),
    }
    yield f"{WAYS[way]}, n = {n:,} on one rank"
    yield ""
    yield "| ranks | ms an iteration | three times | efficiency | bytes sent | MB of memory |"
    yield "|---|---:|---|---:|---:|---:|"
    base = None
    for name, run in runs.items():
        found = on_ranks(run[0], way, *run[1:3], iterations, run[3])
        middle = sorted(found["seconds"])[1]
        base = base or middle
        ideal = base / 2 if "strong" in name else base
        three = ", ".join(f"{1e3 * s:.2f}" for s in found["seconds"])
        yield (
            f"| {name} | {1e3 * middle:.2f} | {three} | {ideal / middle:.0%} | {found['sent']:.0f}"
            f" | {found['memory'] / 1e6:.0f} |"
        )
    yield ""


def memory():
    """Tell the vectors that a run remembers, each as long as x, by method and learning rate."""
    yield "Vectors that a run remembers, as long as x"
    yield ""
    yield "| method | a given rate | automatic | with 4 pairs, from n = 1e6 on |"
    yield "|---|---:|---:|---:|"
    n, x0 = 10_000, np.ones(10_000)
    for name, method in METHODS.items():
        counts = []
        for rate, pairs in ((0.1, 0), (None, 0), (None, 4)):
            vectors = State(method, x0, rate, None, None, pairs).vectors
            arrays = [a for a in vectors if isinstance(a, np.ndarray) and a.shape[-1] == n]
            counts.append(f"{sum(a.size for a in arrays) / n:.0f}")
        yield f"| {name} | {' | '.join(counts)} |"
    yield ""


def halving(n):
    """Tell the memory of a rank that has all of x, and of one that has half of it."""
    one, two = (on_ranks(ranks, "pairs", n // ranks, ROWS, 3)["memory"] for ranks in (1, 2))
    yield (
        f"Memory of a rank, automatic, n = {n:,} in all: {one / 1e6:.0f} MB of one, {two / 1e6:.0f} MB of"
        f" each of two: {two / one:.0%}."
    )
    yield ""


def modelled(seconds, n):
    """Tell what the model says of many ranks, from the seconds that a rank computes now."""
    yield (
        f"Model: {LATENCY * 1e6:g} us a message, {BANDWIDTH / 1e9:g} GB/s, computing that grows with what a"
        f" rank has; {MANY:,} ranks, a sum over ranks of a few numbers in {MANY - 1:,} messages"
    )
    yield ""
    yield "| way | unknowns in all | computing, s | exchange, s | efficiency | memory of a rank |"
    yield "|---|---:|---:|---:|---:|---:|"
    for unknowns in (n, 10**8, 10**9):
        own = seconds["rows"] * unknowns / n
        volume = 2 * 8 * unknowns * (MANY - 1) / MANY
        exchange = 2 * (MANY - 1) * LATENCY + volume / BANDWIDTH
        yield _row("rows", unknowns, own, exchange, 7 * 8 * unknowns)
    for way, sums, vectors in (("parts", 2, 7), ("pairs", 10, 20)):
        for each in (n, 10**8):
            own = seconds[way] * each / n
            yield _row(
                way, MANY * each, own, sums * (MANY - 1) * LATENCY + 2 * LATENCY, vectors * 8 * each
            )
    yield ""


def _row(way, unknowns, own, exchange, room):
    efficiency = own / (own + exchange)
    numbers = f"{unknowns:.0e} | {own:.3g} | {exchange:.3g} | {efficiency:.0%}"
    return f"| {WAYS[way]} | {numbers} | {room / 1e9:.3g} GB |"


def lines_of(quick):
    n, iterations = (10_000, 3) if quick else (1_000_000, 20)
    packages = (*report.PACKAGES[:4], "mpi4py")
    yield f"* machine: {report.cpu_model()}; versions: {report.versions(packages)}"
    yield f"* date: {datetime.date.today().isoformat()}; `python benchmarks/scaling.py`, a thread a rank"
    yield ""
    yield "Two ranks wait for each other in every iteration, and need the memory at one time; two that"
    yield "know nothing of each other need it in turn. A chain of springs computes little, an atom has"
    yield f"bonds to {2 * REACH} others. An iteration is the middle one of three runs."
    yield ""
    seconds = {}
    for way in WAYS:
        for line in scaling(way, n, iterations):
            if line.startswith("| 1 rank"):
                seconds[way] = float(line.split("|")[2]) / 1e3
            yield line
    yield from halving(20_000 if quick else 20_000_000)
    yield from memory()
    yield from modelled(seconds, n)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small, to see whether it runs")
    parser.add_argument("--write", action="store_true", help=f"also write to {RESULTS.name}")
    parser.add_argument("--rank", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rank:
        measured(given.rank[0], *map(int, given.rank[1:]))
        return
    lines = []
    for line in lines_of(given.quick):
        lines.append(line)
        print(line, flush=True)
    if given.write:
        report.write_section(RESULTS, "\n".join(lines), HEADING)


if __name__ == "__main__":
    main()
