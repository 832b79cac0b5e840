"""A run: in every situation, blocks of turns with default threads and with one, by turns."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fusedrnn.bench import timing
from fusedrnn.bench.beside.busy import Busy, busy
from fusedrnn.bench.beside.server import Server
from fusedrnn.bench.beside.situations import SITUATIONS
from fusedrnn.bench.beside.works import Work
from fusedrnn.bench.problem import Array
from fusedrnn.bench.remote import Remote

__all__ = ["DISCARDED", "MODES", "Measured", "Plan", "measure", "steps"]

DISCARDED = 0.3
"""The first share of a block, in which a library that adapts may still do so."""

MODES: dict[str, int | None] = {"default": None, "one": 1}
"""What is compared: names of settings of the threads, and the number that is set (None: none)."""

SPARE_SECONDS = 60.0
"""How much longer than the blocks of its situation a busy process lives, if nobody ends it before."""


@dataclass(frozen=True)
class Plan:
    """What is to be run."""

    situations: Sequence[str]
    rounds: int = 7
    seconds: float = 0.7
    """Seconds of a block."""


@dataclass
class Measured:
    """One work in one situation. `blocks` has an array (turns, 2) by mode, of every round and process in turn."""

    situation: str
    work: Work
    threads: int
    """What the default is in that process."""
    blocks: dict[str, list[Array]] = field(default_factory=lambda: {mode: [] for mode in MODES})


def steps(plan: Plan, situation: str) -> int:
    """How many blocks a situation takes."""
    return len(SITUATIONS[situation].works) * plan.rounds * len(MODES)


def measure(plan: Plan, name: str, advance: Callable[[str], object]) -> Generator[Measured, None, None]:
    """Every work of a situation, in fresh processes. `advance` is called before every block, with what is measured.

    Raises:
        UnavailableError, WrongResultError, CrashedError: as `Remote.ask`.
        GoneError: a busy process ended too early.
    """
    situation = SITUATIONS[name]
    lifetime = SPARE_SECONDS + 4 * plan.seconds * (steps(plan, name) + len(MODES) * len(situation.works))
    with ExitStack() as stack:
        processes = [
            stack.enter_context(closing(Remote(Server, (), situation.environment())))
            for _ in range(situation.processes)
        ]
        others = stack.enter_context(busy(situation.busy, lifetime))
        for work in situation.works:
            measured = Measured(name, work, _ask_all(processes, "prepare", work)[0])
            _alternate(plan, processes, others, measured, advance)
            yield measured


def _alternate(
    plan: Plan, processes: list[Remote], others: Busy, measured: Measured, advance: Callable[[str], object]
) -> None:
    """All blocks of a work."""
    for threads in MODES.values():  # caches, clock, and what is made at the first call
        _ask_all(processes, "block", threads, plan.seconds * DISCARDED, 0.0)

    def block(threads: int | None) -> list[Array]:
        advance(f"{measured.situation}: {measured.work.label}")
        found: list[Array] = _ask_all(processes, "block", threads, plan.seconds, DISCARDED)
        others.check()
        return found

    samplers = {mode: partial(block, threads) for mode, threads in MODES.items()}
    for mode, found in timing.alternate(samplers, plan.rounds):
        measured.blocks[mode] += found


def _ask_all(processes: list[Remote], method: str, *arguments: object) -> list[Any]:
    """All of them at the same time."""
    for process in processes:
        process.send(method, *arguments)
    return [process.receive() for process in processes]
