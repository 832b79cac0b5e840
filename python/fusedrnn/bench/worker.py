"""One implementation in a process of its own.

Threads and affinity are set before any library is imported, pools of different libraries never spin in one process,
and a peer that crashes ends its own rows only. The parent sends one command at a time and waits for the answer, so no
two workers ever compute at once.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fusedrnn.bench import implementations, timing
from fusedrnn.bench.implementations import Chosen, UnavailableError, WrongResultError
from fusedrnn.bench.machine import worker_environment
from fusedrnn.bench.problem import Array, Problem

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["CrashedError", "Server", "Worker"]

WARM_UP = 0.01
"""Seconds of untimed calls before every sample, unless one call fills it: so long a call warms itself up."""


class CrashedError(Exception):
    """The worker's process ended, or its library raised something unforeseen."""


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


def _serve(connection: Connection, name: str, threads: int) -> None:
    """The worker's main: answers ("ok", result), ("unavailable" | "wrong" | "crashed", reason)."""
    server: Server | None = None
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            if server is None:
                server = Server(name, threads)
            connection.send(("ok", getattr(server, method)(*arguments)))
        except UnavailableError as error:
            connection.send(("unavailable", str(error)))
        except WrongResultError as error:
            connection.send(("wrong", str(error)))
        except Exception as error:  # whatever a library raises belongs in the report
            connection.send(("crashed", f"{type(error).__name__}: {error}".splitlines()[0]))


class Worker:
    """A `Server` in another process, pinned to `cpus` (None: not pinned)."""

    def __init__(self, name: str, threads: int, cpus: list[int] | None, isa: str | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, threads), daemon=True)
        with _changed_environment(worker_environment(threads, isa)), _affinity(cpus):
            self._process.start()
        theirs.close()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the server.

        Raises:
            UnavailableError, WrongResultError: as the implementation raised them.
            CrashedError: the process is gone, or the library raised something else.
        """
        try:
            self._connection.send((method, arguments))
            status, answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(5)
            raise CrashedError(f"the process ended with exit code {self._process.exitcode}") from None
        if status == "ok":
            return answer
        raise {"unavailable": UnavailableError, "wrong": WrongResultError, "crashed": CrashedError}[status](answer)

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()


@contextmanager
def _changed_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These variables for processes started inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _affinity(cpus: list[int] | None) -> Iterator[None]:
    """These CPUs for processes started inside: a child inherits them before its first instruction."""
    if cpus is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
