"""f where the user's function leaves it on a device."""

from typing import Any, NamedTuple

import numpy as np

from .arrays import handle_of, view


class Number(NamedTuple):
    """f on the device: what the user's function returned, and its description."""

    owner: Any
    interface: dict[str, Any]
    dtype: np.dtype

    def view(self) -> Any:
        """Return a view of it."""
        return view(self.owner, self.interface, 1)

    def handle(self) -> Any:
        """Return it as `Launch.put` takes it."""
        return handle_of(self.owner, self.interface, 1)
