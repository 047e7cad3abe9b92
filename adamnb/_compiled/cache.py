"""How code is compiled, and what its copies on disk are stamped with."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import numba
from numba.core.serialize import dumps
from numba.extending import register_jitable

from .inlined import PartCompiler

# "numpy": a division by zero is infinite instead of an exception, without which nothing vectorises.
# No fastmath: contraction would give scalar and vector loops different bits.
WITH_MEMORY = {"error_model": "numpy"}
# No array is made here and none outlives its caller's, so no reference is counted: that would take time in
# every call, and more of it when code is compiled.
JIT = {"_nrt": False, **WITH_MEMORY}
# A call would put every array's seven words on the stack.
SELDOM = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **JIT}
# A loop over elements, optimised before it is part of its callers, when it is plain which arrays it has.
KERNEL = {"forceinline": True, **SELDOM}
kernel = numba.njit(**KERNEL)
INLINED = {"pipeline_class": PartCompiler, **KERNEL}
inner = numba.njit(**INLINED)
# Copied into the caller before types are known: no compilation of its own, for what is large and has few
# callers. Branches on what is None are not pruned in it.
copied = numba.njit(inline="always", **JIT)
# A function of numbers, which Python may call as well: Numba's simulator of GPUs does.
scalar = register_jitable(**INLINED)
# What is seldom called: one copy of its code for all places where it is.
seldom = numba.njit(**SELDOM)


def entry(function=None, **options):
    """Compile `function` on demand and keep it on disk, or in memory if no folder can be written."""
    if function is None:
        return lambda function: entry(function, **options)
    try:
        return numba.njit(cache=True, **JIT | options)(function)
    except RuntimeError:  # Numba found no place for its cache
        return numba.njit(**JIT | options)(function)


def alone(function=None, **options):
    """Compile `function` on demand as an entry that takes no method: its name bears the stamp."""
    if function is None:
        return lambda function: alone(function, **options)
    function.__qualname__ += f".{STAMP}"
    return entry(function, **options)


def own_name(function: Callable) -> str:
    """Return a name that no other function has.

    Symbols of machine code are named after functions, and two of one name would be mixed up when they are
    loaded from disk: those that ``def make(power)`` returns differ in what they close over alone.
    """
    cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
    try:
        content = dumps(cells)
    except Exception:  # of many kinds, from what cannot be pickled; nor can it be kept on disk
        content = uuid4().bytes
    digest = hashlib.sha256(function.__code__.co_code + content).hexdigest()
    return f"{function.__qualname__}.{digest[:16]}"


def stamp_of(folder: Path) -> str:
    """Return a digest of the sources that are compiled together: those of a folder.

    Numba's disk cache looks at the date of the entry's own file only. As every entry takes a method
    and the digest is part of the method's type, code compiled from other sources is never loaded.
    """
    digest = hashlib.sha256()
    for source in sorted(folder.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


STAMP = stamp_of(Path(__file__).parent)
