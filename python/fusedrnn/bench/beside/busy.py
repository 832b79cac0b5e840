"""Processes that compute all the time. None outlasts its `with` block, its parent or its time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Busy", "GoneError", "busy"]

_LOOP = """
import os, sys, time
parent, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
print("computing", flush=True)
while time.monotonic() < end and os.getppid() == parent:
    for _ in range(100_000):
        pass
"""


class GoneError(Exception):
    """A busy process ended before it was told to."""


class Busy:
    """Processes that compute."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, seconds: float) -> None:
        """One more, which ends by itself after `seconds`. Returns when it computes."""
        command = [sys.executable, "-I", "-S", "-c", _LOOP, str(os.getpid()), str(seconds)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.processes.append(process)
        assert process.stdout is not None
        if not process.stdout.readline():
            raise GoneError("a busy process did not start")

    def check(self) -> None:
        """Raise GoneError unless all of them still compute."""
        if any(process.poll() is not None for process in self.processes):
            raise GoneError("a busy process ended before the measurement did")

    def end(self) -> None:
        """End them now, and wait until they are gone."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.communicate()


@contextmanager
def busy(count: int, seconds: float) -> Iterator[Busy]:
    """`count` processes that compute inside the block, for `seconds` at the most."""
    processes = Busy()
    try:
        for _ in range(count):
            processes.start(seconds)
        yield processes
    finally:
        processes.end()
