"""Measuring: calibration, rounds that alternate between the implementations, and what is made of the samples.

Nothing here knows what is being timed, and the clock can be replaced.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import TypeVar

__all__ = ["alternate", "calibrate", "measure", "paired_ratios"]

Name = TypeVar("Name", bound=Hashable)
Sample = TypeVar("Sample")
Clock = Callable[[], float]


def measure(
    call: Callable[[], object], calls: int, warm_up: float | None = None, clock: Clock = time.perf_counter
) -> float:
    """Seconds per call over `calls` calls in a row, after untimed ones for at least `warm_up` seconds; None: none.

    The untimed calls bring code, weights and clock frequency back after other work, and outlast a pool that still
    spins. The garbage collector is off meanwhile.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        begin = clock()
        while warm_up is not None and clock() - begin < warm_up:
            call()
        begin = clock()
        for _ in repeat(None, calls):
            call()
        return (clock() - begin) / calls
    finally:
        if enabled:
            gc.enable()


def calibrate(call: Callable[[], object], seconds: float, clock: Clock = time.perf_counter) -> tuple[int, float]:
    """How many calls take about `seconds`, one at least, and what one of them took. `call` has been called before."""
    calls = 1
    while True:
        each = measure(call, calls, clock=clock)
        if each * calls >= seconds / 4:
            return max(1, round(seconds / each)), each
        calls *= 4


def alternate(samplers: Mapping[Name, Callable[[], Sample]], rounds: int) -> Iterator[tuple[Name, Sample]]:
    """Every sampler once a round, as (name, sample).

    Whatever slows the machine for a while then slows all of them alike. The first place moves on by one each round,
    so that nobody always follows the same neighbour's start of the round.
    """
    names = list(samplers)
    for turn in range(rounds):
        first = turn % len(names) if names else 0
        for name in names[first:] + names[:first]:
            yield name, samplers[name]()


def paired_ratios(times: Sequence[float], ours: Sequence[float]) -> tuple[float, float, float]:
    """(ratio of the medians, least, greatest ratio of one round): how much longer `times` are than `ours`."""
    each = [other / own for other, own in zip(times, ours, strict=True)]
    return statistics.median(times) / statistics.median(ours), min(each), max(each)
