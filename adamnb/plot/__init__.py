"""Pictures of runs, fits and batches.

Each function takes ``ax``, draws there or in a new figure, and returns the axes. Matplotlib is imported when
a picture is drawn: ``pip install "adamnb[plot]"``.
"""

from .batches import convergence, maps
from .fits import correlation, fit, profile
from .runs import history, trajectory

__all__ = ["convergence", "correlation", "fit", "history", "maps", "profile", "trajectory"]
