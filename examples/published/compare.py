"""Two ways to run the same: the largest difference, and the times in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from published.cells import Array

MOST_ROUNDS = 9
ENOUGH_SECONDS = 2.0


@dataclass(frozen=True)
class Row:
    """What was compared.

    Attributes:
        layers: which part of the model ran.
        difference: the largest between the outputs, as a part of the largest output where that is more than 1.
        ours, theirs: milliseconds of fusedrnn and of the other, medians of rounds that alternate.
        beside: what the other is.
        says: what the model says by fusedrnn and by the other, where that can be read.
    """

    layers: str
    difference: float
    ours: float
    theirs: float
    beside: str
    says: tuple[str, str] = ("", "")


def compare(
    layers: str,
    ours: Callable[[], Array],
    theirs: Callable[[], Array],
    beside: str,
    words: Callable[[Array], str] | None = None,
) -> Row:
    """Run both, and take their times in turns; `words` reads an output."""
    a, b = ours(), theirs()
    if a.shape != b.shape:
        raise ValueError(f"{layers}: expected outputs of one shape, got {a.shape} and, by {beside}, {b.shape}")
    difference = float(np.abs(a - b).max()) / max(1.0, float(np.abs(b).max()))
    times: tuple[list[float], list[float]] = [], []
    until = time.perf_counter() + ENOUGH_SECONDS
    while not times[1] or (len(times[1]) < MOST_ROUNDS and time.perf_counter() < until):
        for run, taken in zip((ours, theirs), times, strict=True):
            began = time.perf_counter()
            run()
            taken.append(1000 * (time.perf_counter() - began))
    says = (words(a), words(b)) if words else ("", "")
    return Row(layers, difference, *map(statistics.median, times), beside, says)
