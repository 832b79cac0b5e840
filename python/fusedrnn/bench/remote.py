"""An object in a process of its own: methods are asked for and answered over a pipe.

The process is a fresh Python, so what a library reads once (environment, affinity) is set before it is imported. It
ends when the pipe is closed, also when its parent is gone.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fusedrnn.bench.implementations import UnavailableError, WrongResultError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["CrashedError", "Remote"]


class CrashedError(Exception):
    """The process ended, or its library raised something unforeseen."""


class Remote:
    """What `make(*arguments)` returns, in another process with these environment variables besides this one's.

    `make` is called before the first answer, so what it raises is raised by `receive` or `ask`. The process is pinned
    to `cpus` (None: not pinned).
    """

    def __init__(
        self,
        make: Callable[..., object],
        arguments: tuple[Any, ...],
        environment: Mapping[str, str],
        cpus: list[int] | None = None,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        with _changed_environment(environment), _affinity(cpus):
            self._process.start()
        theirs.close()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method and wait for what it returns.

        Raises:
            UnavailableError, WrongResultError: as the implementation raised them.
            CrashedError: the process is gone, or the library raised something else.
        """
        self.send(method, *arguments)
        return self.receive()

    def send(self, method: str, *arguments: Any) -> None:
        """Call a method; `receive` has the answer. Raises CrashedError if the process is gone."""
        try:
            self._connection.send((method, arguments))
        except OSError:
            raise self._ended() from None

    def receive(self) -> Any:
        """Wait for what the method of the last `send` returns; raises as `ask`."""
        try:
            status, answer = self._connection.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if status == "ok":
            return answer
        raise {"unavailable": UnavailableError, "wrong": WrongResultError, "crashed": CrashedError}[status](answer)

    def _ended(self) -> CrashedError:
        self._process.join(5)
        return CrashedError(f"the process ended with exit code {self._process.exitcode}")

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()


def _serve(connection: Connection, make: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    """The process's main: answers ("ok", result), ("unavailable" | "wrong" | "crashed", reason)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which closes the pipe
    served: Any = None
    while True:
        try:
            method, values = connection.recv()
            if served is None:
                served, answer = _answer(lambda: make(*arguments))
            if served is not None:
                _, answer = _answer(lambda: getattr(served, method)(*values))  # noqa: B023 - called at once
            connection.send(answer)
        except (EOFError, OSError):
            return


def _answer(call: Callable[[], Any]) -> tuple[Any, tuple[str, Any]]:
    """The result (None if it raised), and what is sent of it."""
    try:
        result = call()
    except UnavailableError as error:
        return None, ("unavailable", str(error))
    except WrongResultError as error:
        return None, ("wrong", str(error))
    except Exception as error:  # whatever a library raises belongs in the report
        return None, ("crashed", f"{type(error).__name__}: {error}".splitlines()[0])
    return result, ("ok", result)


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
