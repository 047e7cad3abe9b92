"""Calls timed by the device's own clock, side by side, A B A B; and who can take part."""

import gc
import importlib

import numpy as np


def missing(package):
    """Return why an array package takes no part, "" where it does."""
    try:
        module = importlib.import_module(package)
    except ImportError:
        return f"{package} is not installed"
    return "" if module.cuda.is_available() else f"{package} finds no GPU"


def seconds(cuda, call, times):
    """Return the device's seconds from the first of so many calls to the end of the last."""
    first, last = cuda.event(), cuda.event()
    first.record()
    for _ in range(times):
        call()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1e3


def alternate(cuda, calls, effort):
    """Return seconds a call, shape (len(calls), rounds), each call repeated to fill its round."""
    times = []
    for call in calls:
        seconds(cuda, call, 3)  # compiles
        times.append(max(1, round(10 * effort.seconds / seconds(cuda, call, 10))))
    samples = np.empty((len(calls), effort.rounds))
    for r in range(effort.rounds):
        for k, call in enumerate(calls):
            samples[k, r] = seconds(cuda, call, times[k]) / times[k]
    return samples


def release(cuda):
    """Give back the memory that nothing refers to; every package keeps some to reuse it."""
    gc.collect()
    cuda.current_context().memory_manager.deallocations.clear()
    if not missing("torch"):
        importlib.import_module("torch").cuda.empty_cache()
    if not missing("cupy"):
        importlib.import_module("cupy").get_default_memory_pool().free_all_blocks()
