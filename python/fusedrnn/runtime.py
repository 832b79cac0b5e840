"""Control of the compiled core: threads, instruction sets, and what was built.

The environment variables FUSEDRNN_NUM_THREADS, OMP_NUM_THREADS and FUSEDRNN_ISA are read once, at import.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from fusedrnn import _checks, _core

__all__ = [
    "available_isas",
    "build_info",
    "get_num_threads",
    "isa",
    "set_num_threads",
    "threads",
    "use_isa",
]


def _count(name: str, value: object) -> int:
    """A number of threads."""
    return _checks.integer(name, value, 1, _core.max_threads)


def set_num_threads(n: int) -> None:
    """Let each call use up to `n` threads, from now on, in the whole process. Results do not depend on it.

    Before the first call it is FUSEDRNN_NUM_THREADS or, where that is not set, OMP_NUM_THREADS (the first number of a
    list; what is no number from 1 to 4096 does not count). Without either it is the number of processors that this
    process may use: those of its affinity, or its CPU quota (of a container, say) where that is less, rounded down but
    at least 1.

    Raises:
        ValueError: n < 1, or n > 4096.
        TypeError: n is not an integer.
    """
    _core.set_num_threads(_count("n", n))


def get_num_threads() -> int:
    """How many threads a call may use."""
    return _core.get_num_threads()


class threads:  # noqa: N801 - used like a function, as contextlib's own
    """`with fusedrnn.threads(n):` uses up to `n` threads inside the block, and what was set before after it.

    The setting is the whole process's, as with `set_num_threads`: two Python threads that change it at the same time
    change it for each other.

    Raises:
        ValueError: n < 1, or n > 4096.
        TypeError: n is not an integer.
    """

    def __init__(self, n: int) -> None:
        self._n = _count("n", n)
        self._before: list[int] = []

    def __enter__(self) -> None:
        before = _core.get_num_threads()
        _core.set_num_threads(self._n)
        self._before.append(before)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _core.set_num_threads(self._before.pop())


def isa() -> str:
    """The instruction set in use, one of `available_isas()`."""
    return _core.isa()


def available_isas() -> list[str]:
    """The instruction sets that are compiled in and that this machine has, the fastest last."""
    return _core.available_isas()


def use_isa(name: str) -> None:
    """Use this instruction set from now on, in the whole process.

    Streams and tapes that exist already stay with the one that their weights were packed for.

    Raises:
        ValueError: the name is unknown, or not available here; the message lists what is.
        TypeError: the name is not a str.
    """
    _core.use_isa(_checks.one_of("name", name, _core.available_isas()))


def build_info() -> dict[str, Any]:
    """How the compiled core was built and what it found on this machine.

    Returns:
        version: of the package.
        compiler, build_type, kernel_flags, cxx_standard, pybind11: what it was built with.
        compiled_isas, available_isas: the instruction sets in it, and those of them that this machine has.
        isa, vector_bytes, fused_multiply_add: the one in use, its vectors' size, and whether it has fma.
        num_threads: how many threads a call may use.
    """
    return _core.build_info()
