"""One implementation in a process of its own.

Threads and affinity are set before any library is imported, pools of different libraries never spin in one process,
and a peer that crashes ends its own rows only. The parent sends one command at a time and waits for the answer, so no
two workers ever compute at once.
"""

from __future__ import annotations

import gc
from typing import Any

from fusedrnn.bench import implementations, timing
from fusedrnn.bench.implementations import Chosen
from fusedrnn.bench.machine import worker_environment
from fusedrnn.bench.problem import Array, Problem
from fusedrnn.bench.remote import CrashedError, Remote

__all__ = ["CrashedError", "Server", "Worker"]

WARM_UP = 0.01
"""Seconds of untimed calls before every sample, unless one call fills it: so long a call warms itself up."""


class Server:
    """The commands a worker understands, as methods."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.threads = threads
        self._chosen: Chosen | None = None
        self._calls = 1
        implementations.load(name).start(threads)

    def prepare(self, problem: Problem, expected: dict[str, Array], seconds: float) -> dict[str, Any]:
        """Set a problem up, check it, and find how many calls take about `seconds`."""
        self.drop()
        candidates = implementations.load(self.name).prepare(problem, self.threads)
        self._chosen = implementations.choose(candidates, problem, expected, seconds / 4)
        self._calls, _ = timing.calibrate(self._chosen.call, seconds)
        return {"variant": self._chosen.variant, "error": self._chosen.error, "calls": self._calls}

    def sample(self) -> timing.Sample:
        """Once around."""
        assert self._chosen is not None
        return timing.measure(self._chosen.call, self._calls, WARM_UP if self._calls > 1 else None)

    def ceilings(self, dtype: str, footprint: int) -> dict[str, float]:
        """FMA peak (1e9 operations/s) and read bandwidth (1e9 bytes/s)."""
        from fusedrnn import _core

        return _core.ceilings(dtype, footprint, self.threads)

    def drop(self) -> None:
        """Let go of the problem's memory."""
        self._chosen = None
        gc.collect()


class Worker(Remote):
    """A `Server` in another process, pinned to `cpus` (None: not pinned)."""

    def __init__(self, name: str, threads: int, cpus: list[int] | None, isa: str | None) -> None:
        super().__init__(Server, (name, threads), worker_environment(threads, isa), cpus)
