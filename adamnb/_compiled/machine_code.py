"""Machine code on request: one place where Numba compiles, loads its disk cache and is timed."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numba
import numpy as np
from numba.core.errors import NumbaError
from numba.core.types import Array, Type

seconds = 0.0  # spent compiling and loading since the import of this module

# Entry points by the addresses of dispatcher and types, which are kept: to hash types takes 100 us.
_known: dict[tuple[int, ...], tuple] = {}


def machine_code(dispatcher: Any, signature: tuple[Type, ...]) -> Callable:
    """Return the entry point of `dispatcher` for exactly these types.

    An explicit signature keeps the disk cache usable where arguments are first-class functions, and
    calling the entry point itself saves the look-up of types in every call. A damaged cache file
    is thrown away and made anew; where that fails too, on a full disk, code stays in memory.
    """
    key = id(dispatcher), *map(id, signature)  # equal types are one object: Numba interns them
    if key in _known:
        return _known[key][-1]
    if signature not in dispatcher.overloads:
        compile_or_load(dispatcher, signature)
    _known[key] = dispatcher, signature, dispatcher.overloads[signature].entry_point
    return _known[key][-1]


@contextmanager
def compiling() -> Iterator[None]:
    """Count the time, and put off the search for garbage, a tenth of it, which finds next to nothing."""
    global seconds
    start, collecting = time.perf_counter(), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        seconds += time.perf_counter() - start
        if collecting:
            gc.enable()


@compiling()
def compile_or_load(dispatcher: Any, signature: tuple[Type, ...]) -> None:
    """Compile `dispatcher`, the user's or ours, whatever the state of its disk cache."""
    try:
        dispatcher.compile(signature)
    except NumbaError:
        raise
    except Exception:  # a damaged file
        pass
    if signature in dispatcher.overloads:
        return
    # Damaged, or another signature's code, as two processes leave it that write at the same time.
    with suppress(OSError):
        dispatcher._cache.flush()
    try:
        dispatcher.compile(signature)
    except OSError:  # a full disk
        dispatcher._cache.disable()
        dispatcher.compile(signature)


@cache
def array_type(dtype: np.dtype, ndim: int) -> Array:
    """Return the Numba type of a C-contiguous array."""
    return Array(numba.from_dtype(dtype), ndim, "C")
