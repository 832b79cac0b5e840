"""A run: every implementation at every thread count in the same alternating rounds, problem by problem."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fusedrnn.bench import machine, roofline, timing
from fusedrnn.bench.implementations import OURS, UnavailableError, WrongResultError, installed
from fusedrnn.bench.problem import Array, Problem
from fusedrnn.bench.worker import CrashedError, Worker

__all__ = ["Entry", "Plan", "Session"]

Key = tuple[str, int]
"""An implementation and its number of threads."""

SETTLE = 0.04
"""Seconds in which idle threads of the last worker stop spinning, before another one is timed. With one thread: 0."""


@dataclass(frozen=True)
class Plan:
    """What is to be run."""

    problems: Sequence[Problem]
    against: Sequence[str]
    threads: Sequence[int] = (1,)
    rounds: int = 7
    seconds: float = 0.075
    """Seconds an implementation takes in one round, about."""
    isa: str | None = None
    pin: bool = True


@dataclass
class Entry:
    """What became of one implementation on one problem: `status` is timed, unavailable, wrong or crashed."""

    status: str = "timed"
    detail: str = ""
    variant: str = ""
    error: float | None = None
    calls: int = 0
    times: list[float] = field(default_factory=list)
    """Seconds per call, one of every round."""
    least_times: list[float] = field(default_factory=list)
    """The same of the fastest part of each round."""

    @property
    def seconds(self) -> float | None:
        """The median; None unless timed."""
        return statistics.median(self.times) if self.status == "timed" and self.times else None

    @property
    def least(self) -> float | None:
        """The least of all; None unless timed."""
        return min(self.least_times) if self.status == "timed" and self.least_times else None


@dataclass
class Outcome:
    """One problem done: entries by implementation and threads, and the ceilings of every round by threads."""

    problem: Problem
    entries: dict[Key, Entry]
    ceilings: dict[int, list[dict[str, float]]]

    def ceiling(self, threads: int) -> dict[str, float] | None:
        """Medians over the rounds, as those of the times."""
        samples = self.ceilings.get(threads)
        if not samples:
            return None
        return {name: statistics.median(sample[name] for sample in samples) for name in ("gflops", "gbytes_per_s")}


class Session:
    """Holds the workers of a run. Use with `with`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.advance: Callable[[str, int], object] = lambda what, steps: None
        """Called before every measurement, with what is measured and how many steps of `steps` that is."""
        self._workers: dict[Key, Worker] = {}
        self._gone: dict[Key, Entry] = {}
        """Implementations that cannot run at all: why."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.close()

    @property
    def steps(self) -> int:
        """What `advance` is told, summed over a run: a step for every set-up and every sample."""
        keys = len(self._keys())
        return len(self.plan.problems) * keys * (1 + self.plan.rounds)

    def _keys(self) -> list[Key]:
        return [(name, threads) for threads in self.plan.threads for name in (OURS, *self.plan.against)]

    def run(self) -> Iterator[Outcome]:
        """Every problem's outcome, as soon as it is there."""
        for problem in self.plan.problems:
            yield self._one(problem)

    def _one(self, problem: Problem) -> Outcome:
        expected = problem.expected()
        entries = {key: self._prepare(key, problem, expected) for key in self._keys()}
        del expected
        missing = sum(entry.status != "timed" for entry in entries.values())
        self.advance("", missing * self.plan.rounds)
        outcome = Outcome(problem, entries, {})
        samplers: dict[Key, Callable[[], None]] = {
            key: partial(self._sample, key, problem, entry, outcome)
            for key, entry in entries.items()
            if entry.status == "timed"
        }
        for _ in timing.alternate(samplers, self.plan.rounds):
            pass
        for key, entry in entries.items():
            if entry.status == "timed":
                self._guarded(key, entry, "drop")
        return outcome

    def _prepare(self, key: Key, problem: Problem, expected: dict[str, Array]) -> Entry:
        name, threads = key
        self.advance(f"{problem.cell} {problem.shape.name}: {name} is set up and checked", 1)
        if key in self._gone:
            return self._gone[key]
        if key not in self._workers:
            if not installed(name) and name != OURS:
                self._gone[key] = Entry("unavailable", "not installed")
                return self._gone[key]
            cpus = machine.pinned(threads) if self.plan.pin else None
            self._workers[key] = Worker(name, threads, cpus, self.plan.isa)
        entry = Entry()
        found = self._guarded(key, entry, "prepare", problem, expected, self.plan.seconds)
        if found is not None:
            entry.variant, entry.error, entry.calls = found["variant"], found["error"], found["calls"]
        return entry

    def _sample(self, key: Key, problem: Problem, entry: Entry, outcome: Outcome) -> None:
        name, threads = key
        self.advance(f"{problem.cell} {problem.shape.name}: {name}", 1)
        if entry.status != "timed":  # crashed in an earlier round
            return
        if max(self.plan.threads) > 1:
            time.sleep(SETTLE)
        sample = self._guarded(key, entry, "sample")
        if sample is None:
            return
        entry.times.append(sample.mean)
        entry.least_times.append(sample.least)
        if name == OURS:
            ceilings = self._guarded(key, entry, "ceilings", problem.dtype, roofline.work(problem).footprint)
            if ceilings is not None:
                outcome.ceilings.setdefault(threads, []).append(ceilings)

    def _guarded(self, key: Key, entry: Entry, method: str, *arguments: Any) -> Any:
        """Ask the worker; a failure goes into the entry, and None comes back."""
        try:
            return self._workers[key].ask(method, *arguments)
        except UnavailableError as error:
            entry.status, entry.detail = "unavailable", str(error)
        except WrongResultError as error:
            entry.status, entry.detail = "wrong", str(error)
        except CrashedError as error:
            entry.status, entry.detail = "crashed", str(error)
            self._workers.pop(key).close()  # a fresh one for the next problem
        return None
