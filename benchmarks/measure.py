"""Callables timed side by side, A B A B, so that a drifting machine drifts for all of them."""

import gc
import time
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, seconds a round, and rounds where a call is a process."""

    rounds: int
    seconds: float
    processes: int


FULL = Effort(rounds=15, seconds=0.1, processes=9)
QUICK = Effort(rounds=3, seconds=0.01, processes=2)


def _repeat(call, times):
    start = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - start


def _calls_per_round(call, seconds):
    """As many calls as last for `seconds`; finding out is the warm-up."""
    call()
    times = 1
    while (spent := _repeat(call, times)) < seconds / 4:
        times *= 2
    return max(1, round(times * seconds / spent))


def _sample(calls, times, rounds):
    """Seconds a call, shape (len(calls), rounds): every round runs each callable in turn."""
    samples = np.empty((len(calls), rounds))
    collecting = gc.isenabled()
    gc.disable()
    try:
        for r in range(rounds):
            for k, call in enumerate(calls):
                samples[k, r] = _repeat(call, times[k]) / times[k]
    finally:
        if collecting:
            gc.enable()
    return samples


def alternate(calls, effort):
    """Seconds a call, shape (len(calls), rounds), each call repeated to fill its round."""
    times = [_calls_per_round(call, effort.seconds) for call in calls]
    return _sample(calls, times, effort.rounds)


def alternate_processes(launches, effort):
    """The same for callables that start a process: once a round, after one of each to warm up."""
    for launch in launches:
        launch()
    return _sample(launches, [1] * len(launches), effort.processes)
