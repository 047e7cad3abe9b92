"""What is shown of a batch while it is solved, or of the batches of rows of a single problem."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any


class Progress(ExitStack):
    """A bar, the caller's function, or nothing."""

    def __init__(self, progress: Any, total: int, unit: str = "fit") -> None:
        super().__init__()
        self.total, self.done, self.ended = total, 0, False
        self.within = 0  # problems that are done in a block under way
        self.show: Callable[[int], Any] = lambda count: None
        if callable(progress):
            self.show = lambda count: progress(self.done, total)
        elif progress is True:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                raise ImportError(
                    "`progress=True` needs tqdm: pip install tqdm, or give a function (done, total)."
                ) from None
            self.show = self.enter_context(tqdm(total=total, unit=unit, smoothing=0)).update
        elif progress is not False:
            raise TypeError(f"`progress` must be True, False or a callable; got {progress!r}.")

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
        try:
            self.show(new)
        except StopIteration:
            self.ended = True
