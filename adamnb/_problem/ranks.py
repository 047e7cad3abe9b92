"""The ranks of an MPI job that minimise a sum together, each of them a share of it.

Every rank runs the whole minimisation, and all of them see the same bits of f and of its gradient: sums are
made in the order of ranks, whatever the timing, so that all go the same way and stop together. What
else may end a run on one of them (time, Ctrl-C, a callback, an exception) is told in each exchange.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import print_exception
from typing import Any

import numpy as np

from .._compiled.reasons import GOING
from .objective import Objective

FAILED, INTERRUPT, STOP, FUN = range(4)  # what an exchange begins with
PATIENCE = 5.0  # seconds after which others must have heard of a failure


class RankError(RuntimeError):
    """Another rank raised an exception."""


class Ranks:
    """All ranks of a communicator, within a ``with`` block that all of them enter.

    Ctrl-C is taken note of, and raised on all of them in their next exchange.

    Attributes
    ----------
    sent : int
        Bytes that this rank has sent to others.
    differ : bool
        Whether one of them takes differences, so that f and its gradient have errors.
    """

    def __init__(self, comm: Any) -> None:
        self.comm, self.rank, self.count = comm, comm.Get_rank(), comm.Get_size()
        self.sent, self.interrupted, self.over = 0, False, False
        self.unsound: list[int] = []  # ranks whose last f was not finite
        self.watching = False  # whether one of them has a callback
        self._tables: dict[int, np.ndarray] = {}  # by the length of their rows
        self.differ, self._errors = False, np.zeros(1)  # those of differences, and of f
        self._headers = np.zeros((self.count, 4))
        self._buffers: dict[tuple, np.ndarray] = {}  # by length and dtype
        self._before: Any = None
        self._apart = False  # whether the caller's functions have messages of their own

    def keep_apart(self) -> None:
        """Take a communicator of its own: the caller's functions have messages, too."""
        self.comm, self._apart = self.comm.Dup(), True

    def __enter__(self) -> "Ranks":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, *_: Any) -> None:
        self.interrupted = True

    def __exit__(self, kind: Any, error: Any, _: Any) -> None:
        try:
            if not self.over:  # the others wait for an exchange
                self.exchange(failure=error)
            if self._apart:
                self.comm.Free()
        finally:
            if self._before is not None:
                signal.signal(signal.SIGINT, self._before)

    def exchange(
        self, f: float = 0.0, stop: int = GOING, failure: BaseException | None = None
    ) -> np.ndarray:
        """Exchange a few numbers; return those of all ranks, a row for each.

        Raises
        ------
        BaseException
            If a rank fails: there its own exception, elsewhere `RankError`; and `KeyboardInterrupt`.
        """
        own = np.array([failure is not None, self.interrupted, stop, f])
        headers = self._headers
        with self._heard(failure):
            self.comm.Allgather(own, headers)
        self.sent += (self.count - 1) * own.nbytes
        if not headers[:, : INTERRUPT + 1].any():
            return headers
        self.over = True
        if headers[:, FAILED].any():
            text = failure and f"{type(failure).__name__}: {failure}"
            texts = self.comm.allgather(text)
            if failure is not None:
                raise failure
            told = [f"rank {rank} raised {text}" for rank, text in enumerate(texts) if text]
            raise RankError("; ".join(told))
        raise KeyboardInterrupt

    @contextmanager
    def _heard(self, failure: BaseException | None) -> Iterator[None]:
        """End the job if the others do not hear of a failure, as they wait for a message of `fun`."""
        if failure is None or not self._apart:
            yield
            return

        def abort() -> None:
            print_exception(failure)
            sys.stderr.write(
                f"Rank {self.rank} failed, and others wait for it in `fun`: no rank goes on.\n"
            )
            sys.stderr.flush()
            self.comm.Abort(1)

        timer = threading.Timer(PATIENCE, abort)
        timer.start()
        yield
        timer.cancel()

    def agreed(self, stop: int) -> int:
        """Return why to stop, if a rank wants to: the reason of the first that does."""
        stops = self.exchange(stop=stop)[:, STOP]
        return int(next((reason for reason in stops.tolist() if reason != GOING), GOING))

    def gathered(self, value: Any) -> list:
        """Return what all ranks have, in their order, once none of them has failed."""
        self.exchange()
        return self.comm.allgather(value)

    def require_same(self, name: str, value: Any) -> None:
        """Raise a `ValueError` on all ranks unless they have the same of what is digested in `value`."""
        own = self.gathered(value)
        other = [rank for rank, one in enumerate(own) if one != own[0]]
        if other:
            raise ValueError(
                f"`{name}` must be the same on all ranks; it differs on rank {other[0]} from that on rank 0."
            )

    def combine(self, numbers: np.ndarray, maxima: int) -> None:
        """Make numbers those of all ranks: the first are maxima, NaN if one is, the others sums.

        Sums are made in the order of ranks.
        """
        table = self._tables.get(numbers.size)
        if table is None:
            table = self._tables[numbers.size] = np.empty((self.count, numbers.size))
        self.comm.Allgather(numbers, table)
        self.sent += (self.count - 1) * numbers.nbytes
        numbers[:] = table[0]
        for other in table[1:]:
            np.maximum(numbers[:maxima], other[:maxima], out=numbers[:maxima])
            numbers[maxima:] += other[maxima:]

    def total(self, share: np.ndarray) -> np.ndarray:
        """Return the sum of the shares of all ranks, in their order: each sums a part, and hands it out.

        It is valid until the next one of its length is made.
        """
        n, count = share.size, self.count
        if count == 1:
            return share
        key = n, share.dtype
        if key not in self._buffers:
            self._buffers[key] = np.zeros((2, count, -(-n // count)), share.dtype)
        whole, parts = self._buffers[key]
        whole.reshape(-1)[:n] = share
        self.comm.Alltoall(whole, parts)
        part = parts[0]
        for other in parts[1:]:
            part += other
        self.comm.Allgather(part, whole)
        self.sent += 2 * (count - 1) * part.nbytes
        return whole.reshape(-1)[:n]

    def share_errors(self, noise: float, error: Any) -> None:
        """Sum the noise of f and the errors of gradients by differences over all ranks.

        Noise is independent from rank to rank, so that its squares add up. The errors that differences choose
        their steps by are as much those of curvature, which add up as they are.
        """
        self._errors = self.total(np.append(error, noise * noise)).copy()

    def errors(self, scale: Any) -> tuple[float, float]:
        """Return the errors of f and of its last gradient, as `Objective.errors` does."""
        error = self._errors[:-1] if scale is None else self._errors[:-1] * scale
        return float(self._errors[-1]) ** 0.5, float(error.max())


def summed(ranks: Ranks, objective: Objective, whole: bool = True) -> Callable:
    """Return the function ``x -> (f, gradient)`` of the sum of which `objective` is this rank's share.

    Unless x is `whole`, the gradient is that of all shares already, by this rank's part of x. It is valid
    until the next call, and x may be spoilt.
    """
    g, d = np.empty(objective.shape, objective.dtype), objective.differences
    ranks.differ = any(ranks.gathered(d is not None))
    exact = 0.0, np.zeros(g.size if ranks.differ else 0)

    def fun(x: np.ndarray) -> tuple[float, np.ndarray]:
        f, gradient, failure = 0.0, g, None
        try:
            f, gradient = objective.at(x, x.copy(), g)
        except BaseException as error:
            failure = error
        values = ranks.exchange(f, failure=failure)[:, FUN]
        ranks.unsound = np.flatnonzero(~np.isfinite(values)).tolist()
        if ranks.differ:
            ranks.share_errors(*(exact if d is None else (d.noise, d.error)))
        return float(sum(values.tolist())), ranks.total(gradient) if whole else gradient

    return fun
