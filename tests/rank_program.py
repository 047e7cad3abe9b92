"""What `test_ranks.py` runs under ``mpiexec -n 2``: prints what each rank sees, as JSON lines."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import time

import numpy as np
from mpi4py import MPI
from parts import PARTS, chain

import adamnb
from adamnb._compiled import machine_code

COMM = MPI.COMM_WORLD
RANK, COUNT = COMM.Get_rank(), COMM.Get_size()


def in_turn(compile_or_load):
    """Compile on one rank at a time: the others load what it has written to the disk cache."""

    def alone(dispatcher, signature):
        with open(__file__) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            compile_or_load(dispatcher, signature)

    return alone


machine_code.compile_or_load = in_turn(machine_code.compile_or_load)


class Share:
    """This rank's share of a sum of squares; something happens on rank 1 in call number `when`."""

    def __init__(self, what=None, when=8):
        rng = np.random.default_rng(0)
        a, y = rng.normal(size=(401, 20)), rng.normal(size=401)
        part = slice(RANK * 401 // COUNT, (RANK + 1) * 401 // COUNT)
        self.a, self.y, self.what, self.when, self.calls = a[part], y[part], what, when, 0

    def happens(self):
        self.calls += 1
        return RANK == 1 and self.calls == self.when

    def fun(self, x):
        if self.happens():
            if self.what == "raises":
                raise ValueError("no data")
            if self.what == "interrupted":
                os.kill(os.getpid(), signal.SIGINT)
            if self.what == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "nan":
                return np.nan
        r = self.a @ x - self.y
        time.sleep(self.what == "slow" and RANK * 1e-3)
        return float(r @ r) + 0.1 / COUNT * float(np.cos(3 * x).sum())

    def jac(self, x):
        r = self.a @ x - self.y
        return 2 * self.a.T @ r - 0.3 / COUNT * np.sin(3 * x)

    def seen(self, x):
        if self.happens():
            if self.what == "callback":
                raise StopIteration
            raise OSError("no screen")


class Part(Share):
    """This rank's part of a chain of variables, with the next one of which every one is coupled."""

    def __init__(self, what=None, when=8, n=30):
        super().__init__(what, when)
        self.part = slice(RANK * n // COUNT, (RANK + 1) * n // COUNT)

    def fun(self, x):
        if self.happens() and self.what == "raises early":
            raise ValueError("no data")
        f, g = chain(np.concatenate(COMM.allgather(x)))
        if self.calls == self.when and RANK == 1:
            if self.what == "raises":
                raise ValueError("no data")
            if self.what == "interrupted":
                os.kill(os.getpid(), signal.SIGINT)
            if self.what == "nan":
                f = np.nan
            if self.what == "nan gradient":
                g[-2] = np.nan
        f += 0.01 * rng_of(RANK, self.calls) if self.what == "noisy" else 0.0
        return f / COUNT, g[self.part].astype(x.dtype)


def rng_of(*seed):
    return np.random.default_rng(seed).normal()


def told(name, minimize, rank=None):
    """Print what a call leads to on this rank, or on the one that is given."""
    begun, found = time.time(), {"name": name, "rank": RANK}
    try:
        result = minimize()
    except BaseException as error:
        found |= {"error": type(error).__name__, "text": str(error)}
        found["nit"] = getattr(getattr(error, "adamnb_result", None), "nit", None)
    else:
        x = hashlib.sha256(result.x.tobytes() + result.jac.tobytes()).hexdigest()
        found |= {"x": result.x.tolist(), "bits": f"{x} {result.fun!r}", "message": result.message}
        found["fun"] = result.fun
        found |= {name: int(result[name]) for name in ("status", "nit", "nfev")}
        found["errors"] = [float(result.state[name]) for name in ("fun_error", "gradient_error")]
    found["seconds"] = time.time() - begun
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def minimised(what=None, when=8, **options):
    share = Share(what, when)
    given = {"jac": share.jac, "comm": COMM} | options
    return adamnb.minimize(share.fun, np.ones(20), **given)


def endless(**options):
    return minimised(learning_rate=1e-9, maxiter=1e9, ftol=0, gtol=0, **options)


def parted(what=None, when=8, dtype=float, **options):
    part = Part(what, when)
    x0 = np.linspace(-1, 1, 30, dtype=dtype)[part.part]
    given = {"jac": True, "comm": COMM, "sharded": True} | options
    if "bounds" in given:
        given["bounds"] = given["bounds"][part.part]
    return adamnb.minimize(part.fun, x0, **given)


def parts(folder):
    for name, options in PARTS.items():
        told(f"part {name}", lambda options=options: parted(**options))
    if COUNT == 1:
        return
    told("part noisy", lambda: parted("noisy", maxfun=2_000))
    for what in ("raises", "interrupted", "nan", "nan gradient"):
        told(f"part {what}", lambda what=what: parted(what, learning_rate=1e-4))
    told("part late", lambda: parted(learning_rate=1e-9, maxiter=1e9, ftol=0, gtol=0, max_time=0.3))
    told("part scale", lambda: parted(**({"x_scale": [2.0] * 15} if RANK else {})))
    told("part verify", lambda: parted(verify=4))
    told("part alone", lambda: adamnb.minimize(chain, np.ones(3), jac=True, sharded=True))
    told("part differences", lambda: parted(jac=None))
    told("part saved", lambda: parted(maxiter=7, checkpoint=f"{folder}/part"))
    told("part resumed", lambda: parted(resume=f"{folder}/part"))
    told("part further", lambda: parted(maxiter=9, checkpoint=f"{folder}/mixed"))
    if RANK:
        shutil.copy(f"{folder}/part.1.npz", f"{folder}/mixed.1.npz")
    told("part mixed", lambda: parted(resume=f"{folder}/mixed"))
    told("part other", lambda: parted(resume=f"{folder}/{'part' if RANK else 'mixed'}.{1 - RANK}"))
    told("part one", lambda: parted(checkpoint=f"{folder}/one" if RANK else None))


def main(folder):
    for _ in range(20):
        told("same", lambda: minimised("slow"))
    told("differences", lambda: minimised(jac=None))
    told("both sides", lambda: minimised(jac="3-point"))
    told("one rank alone", lambda: minimised(**({"jac": None} if RANK else {})))
    told("two-sided", lambda: minimised(jac="3-point", learning_rate=0.01, maxiter=20))
    told("late", lambda: endless(max_time=0.3))
    for what in ("raises", "interrupted"):
        told(what, lambda what=what: endless(what=what))
    told("nan", lambda: endless(what="nan"))
    for what in ("callback", "screen"):
        share = Share(what)
        told(what, lambda share=share: endless(callback=share.seen if RANK else None))
    told("other x0", lambda: adamnb.minimize(Share().fun, np.full(20, 1.0 + RANK), comm=COMM))
    told("other options", lambda: minimised(gtol=10.0 ** -(4 + RANK)))
    told("wrong on one", lambda: minimised(**({"gtol": -1} if RANK else {})))
    told("at the start", lambda: minimised(what="raises", when=1))
    told("saved", lambda: minimised(maxiter=7, checkpoint=f"{folder}/run"))
    COMM.Barrier()
    told("resumed", lambda: minimised(resume=f"{folder}/run"))


if __name__ == "__main__":
    if sys.argv[1] == "killed":
        told("killed", lambda: endless(what="killed"))
    elif sys.argv[1] == "part raises early":
        told("part raises early", lambda: parted("raises early"))
    elif sys.argv[1] == "parts":
        parts(sys.argv[2])
    else:
        main(sys.argv[1])
