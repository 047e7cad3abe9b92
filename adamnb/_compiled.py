"""Machine code on request: one place where Numba compiles, loads its disk cache and is timed."""

import time
from collections.abc import Callable
from typing import Any

from numba.core.errors import NumbaError
from numba.core.types import Type

seconds = 0.0  # spent compiling and loading since the import of this module


def machine_code(dispatcher: Any, signature: tuple[Type, ...]) -> Callable:
    """Return the entry point of `dispatcher` for exactly these types.

    An explicit signature keeps the disk cache usable where arguments are first-class functions, and
    calling the entry point itself saves the look-up of types in every call. A damaged cache file
    is thrown away and made anew.
    """
    global seconds
    code = dispatcher.overloads.get(signature)
    if code is None:
        start = time.perf_counter()
        try:
            dispatcher.compile(signature)
        except Exception as error:
            if isinstance(error, NumbaError):
                raise
            dispatcher._cache.flush()
            dispatcher.compile(signature)
        seconds += time.perf_counter() - start
    return dispatcher.get_overload(signature)
