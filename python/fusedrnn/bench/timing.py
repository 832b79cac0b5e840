"""Measuring: calibration, rounds that alternate between the implementations, and what is made of the samples.

Nothing here knows what is being timed, and the clock can be replaced.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple, TypeVar

__all__ = ["Sample", "alternate", "calibrate", "measure", "paired_ratios"]

Name = TypeVar("Name", bound=Hashable)
Answer = TypeVar("Answer")
Clock = Callable[[], float]

PARTS = 64
"""A sample's calls are timed in this many parts: a disturbance shorter than the sample spares some of them."""


class Sample(NamedTuple):
    """Seconds per call: over all calls, and over the fastest part of them."""

    mean: float
    least: float


def measure(
    call: Callable[[], object], calls: int, warm_up: float | None = None, clock: Clock = time.perf_counter
) -> Sample:
    """Time `calls` calls in a row, after untimed ones for at least `warm_up` seconds; None: none.

    The untimed calls bring code, weights and clock frequency back after other work, and outlast a pool that still
    spins. The garbage collector is off meanwhile.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        begin = clock()
        while warm_up is not None and clock() - begin < warm_up:
            call()
        least, left = float("inf"), calls
        begin = part_begin = clock()
        for parts_left in range(min(calls, PARTS), 0, -1):
            part = left // parts_left
            for _ in repeat(None, part):
                call()
            part_end = clock()
            least = min(least, (part_end - part_begin) / part)
            part_begin = part_end
            left -= part
        return Sample((part_begin - begin) / calls, least)
    finally:
        if enabled:
            gc.enable()


def calibrate(call: Callable[[], object], seconds: float, clock: Clock = time.perf_counter) -> tuple[int, float]:
    """How many calls take about `seconds`, one at least, and what one of them took. `call` has been called before."""
    calls = 1
    while True:
        each = measure(call, calls, clock=clock).mean
        if each * calls >= seconds / 4:
            return max(1, round(seconds / each)), each
        calls *= 4


def alternate(samplers: Mapping[Name, Callable[[], Answer]], rounds: int) -> Iterator[tuple[Name, Answer]]:
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
