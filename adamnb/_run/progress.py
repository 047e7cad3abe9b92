"""What is shown of work under way: on a bar, by the caller's function, in a log, or as a table."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from logging import INFO, Logger, LoggerAdapter
from typing import Any, NamedTuple

import numpy as np

from .._problem.options import OPTIONS, check

LOGGED = 10.0  # seconds between two lines of a log, unless the caller has others


class Count(NamedTuple):
    """How many problems are done, and of how many."""

    done: int
    total: int

    def call(self, function: Callable) -> None:
        function(*self)

    def on(self, bar: Any) -> None:
        bar.update(self.done - bar.n)

    def __str__(self) -> str:
        return f"{self.done:,} of {self.total:,} done"


class Point(NamedTuple):
    """Where a minimisation is.

    Attributes
    ----------
    nit, nfev : int
        Steps taken, and evaluations of f.
    fun : float
        The lowest f so far.
    gradient_norm : float
        The largest element of the projected gradient at the last point, times x_scale.
    learning_rate : float
        In use.
    """

    nit: int
    nfev: int
    fun: float
    gradient_norm: float
    learning_rate: float

    def call(self, function: Callable) -> None:
        function(self)

    def on(self, bar: Any) -> None:
        bar.set_postfix_str(
            f"f={self.fun:.6g}, gradient={self.gradient_norm:.2g}, rate={self.learning_rate:.2g}",
            refresh=False,
        )
        bar.update(self.nit - bar.n)

    def __str__(self) -> str:
        return (
            f"iteration {self.nit:,}: f = {self.fun:.10g}, gradient norm {self.gradient_norm:.3g},"
            f" learning rate {self.learning_rate:.3g}"
        )


class Outlet(ExitStack):
    """Where reports go, the caller's choice, and how often; the first one always."""

    def __init__(self, progress: Any, **bar: Any) -> None:
        super().__init__()
        check("progress", progress, OPTIONS["progress"])
        what, period = progress if isinstance(progress, tuple) else (progress, None)
        self.show: Callable[[Any], None] | None = None
        self.period = period or 0.0
        if isinstance(what, Logger | LoggerAdapter):
            self.show = lambda report: what.log(INFO, "%s", report)
            self.period = LOGGED if period is None else period
        elif callable(what):
            self.show = lambda report: report.call(what)
        elif what:
            tqdm = self.enter_context(_bar(bar))
            self.show = lambda report: report.on(tqdm)
        self.ended = False  # whether the caller has had enough
        self.last: Any = None
        self.due = -np.inf

    def report(self, report: Any, final: bool = False) -> None:
        """Show a report if it is time for one, or the final one, unless it has been shown."""
        if self.show is None or report == self.last:
            return
        now = time.monotonic()
        if final or now >= self.due:
            self.last, self.due = report, now + self.period
            try:
                self.show(report)
            except StopIteration:
                self.ended = True


def _bar(settings: dict[str, Any]) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError(
            '`progress=True` needs tqdm: pip install "adamnb[progress]", or give a function or a logger.'
        ) from None
    return tqdm(smoothing=0, **settings)


class Progress(Outlet):
    """How far many problems are."""

    def __init__(self, progress: Any, total: int, unit: str = "fit") -> None:
        super().__init__(progress, total=total, unit=unit)
        self.total, self.done = total, 0
        self.within = 0  # problems that are done in a block under way

    def stopped(self, within: int = 0) -> bool:
        """Return whether the caller has had enough, once `within` problems of the block are shown."""
        if within > self.within:
            new, self.within = within - self.within, within
            self._count(new)
        return self.ended

    def advance(self, count: int) -> None:
        """Count and show the problems of a block."""
        new, self.within = count - self.within, 0
        self._count(new)

    def _count(self, new: int) -> None:
        self.done += new
        self.report(Count(self.done, self.total), final=self.done == self.total)


class Display(Outlet):
    """How far a minimisation is, with a table of every n-th iteration where `disp` is a number n."""

    def __init__(self, progress: Any, disp: Any) -> None:
        super().__init__(progress, unit=" iterations")
        self.every = 0 if isinstance(disp, bool | np.bool_) else int(disp)
        self.coming = 0  # iteration of the next row

    def tabulate(self, nit: int, rows: np.ndarray) -> None:
        """Print what is due of rows (f, gradient norm, learning rate) of the points from `nit` on."""
        if self.coming == 0:
            print(f"{'iteration':>9}  {'f':>16}  gradient norm  learning rate")
        for i in range(max(self.coming, nit), nit + len(rows), self.every):
            f, norm, rate = rows[i - nit]
            print(f"{i:9d}  {f:16.9g}  {norm:13.3g}  {rate:13.3g}")
            self.coming = i + self.every


def display_of(options: dict[str, Any]) -> Display | None:
    """Return what the options want to be shown of a minimisation, if anything."""
    if options["progress"] is False and isinstance(options["disp"], bool):
        return None  # as nearly always, and soon
    display = Display(options["progress"], options["disp"])
    return display if display.show is not None or display.every else None
