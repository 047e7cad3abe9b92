"""What `test_ranks.py` runs under ``mpiexec -n 2``: prints what each rank sees, as JSON lines."""

import hashlib
import json
import os
import signal
import sys
import time

import numpy as np
from mpi4py import MPI

import adamnb

COMM = MPI.COMM_WORLD
RANK, COUNT = COMM.Get_rank(), COMM.Get_size()


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
    else:
        main(sys.argv[1])
