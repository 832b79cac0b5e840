"""The process in which a situation's works run."""

from __future__ import annotations

import gc
from contextlib import nullcontext
from time import perf_counter

import numpy as np

import fusedrnn
from fusedrnn.bench.beside.works import Times, Turn, Work
from fusedrnn.bench.problem import Array

__all__ = ["Server"]


class Server:
    """The commands it understands, as methods."""

    def __init__(self) -> None:
        self._turn: Turn | None = None

    def prepare(self, work: Work) -> int:
        """Make the work's layer and data; how many threads a call uses by default here."""
        self._turn = None
        gc.collect()
        self._turn = work.turn()
        return fusedrnn.get_num_threads()

    def block(self, threads: int | None, seconds: float, discarded: float) -> Array:
        """Turns in a row for about `seconds`, with so many threads; None: the default.

        Returns:
            Seconds of each turn that began after the share `discarded` of the block, (turns, 2): our calls, the whole.
        """
        assert self._turn is not None
        enabled = gc.isenabled()
        gc.disable()
        try:
            with nullcontext() if threads is None else fusedrnn.threads(threads):
                return np.array(_turns(self._turn, seconds, discarded))
        finally:
            if enabled:
                gc.enable()


def _turns(turn: Turn, seconds: float, discarded: float) -> list[Times]:
    """At least one, after at least one that is not counted."""
    turn()
    counted: list[Times] = []
    begin = now = perf_counter()
    while now - begin < seconds or not counted:
        times = turn()
        if now - begin >= discarded * seconds:
            counted.append(times)
        now = perf_counter()
    return counted
