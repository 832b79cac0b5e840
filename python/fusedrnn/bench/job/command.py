"""From the options of `bench --job` to its exit code."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fusedrnn._files import whole_file
from fusedrnn.bench import implementations, machine
from fusedrnn.bench.job import char_lm, table
from fusedrnn.bench.progress import Progress

__all__ = ["JOBS", "refuse", "run"]

JOBS = ("char-lm",)
SECONDS = 2.0
"""How long each trains in a round, unless told."""
THREADS = ("1", "default")
"""Unless told."""


def refuse(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the command where the options contradict each other, or ask for a peer that is missing."""
    if options.against not in (None, ["torch"]):
        command.error("--job: compared with torch only")
    if options.against and not implementations.installed("torch"):
        command.error("--job: torch is not installed")
    for name, flag in (("beside", "--beside"), ("modes", "--forward, --train and --step"), ("isa", "--isa")):
        if getattr(options, name) != command.get_default(name):
            command.error(f"--job: not with {flag}")


def run(options: argparse.Namespace, command_line: str) -> int:
    """Measure and print; an exit code."""
    names = ["fusedrnn"] + (["torch"] if implementations.installed("torch") else [])
    seconds = SECONDS if options.milliseconds is None else options.milliseconds / 1e3
    cells = [cell for cell in options.cells if cell in char_lm.CELLS]
    counts = THREADS if options.threads is None else tuple(map(str, options.threads))
    rows = []
    with Progress(len(cells) * len(counts) * options.rounds) as bar:
        for cell in cells:
            for threads in counts:
                rows.append(_row(names, cell, threads, options.rounds, seconds, bar))
    document = {
        "format": "fusedrnn bench job 1",
        "machine": machine.describe(["numpy", *names[1:]], command_line),
        "rows": rows,
    }
    if options.json is not None:
        with whole_file(options.json) as file:
            file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(_table(rows))
    return 0


def _row(names: list[str], cell: str, threads: str, rounds: int, seconds: float, bar: Progress) -> dict[str, Any]:
    """Rounds in which every implementation trains once, one after the other."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(_worker(name, cell, threads)) for name in names}
        for turn in range(rounds):
            for name in names if turn % 2 == 0 else names[::-1]:
                found[name].append(_ask(workers[name], seconds))
            bar.advance(f"{cell}, threads: {threads}")
    return {"cell": cell, "threads": threads, "rounds": found}


@contextmanager
def _worker(name: str, cell: str, threads: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "fusedrnn.bench.job.worker", name, cell, threads]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _ask(worker: subprocess.Popen[str], seconds: float) -> dict[str, float]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{seconds}\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        raise SystemExit("fusedrnn bench: a training process ended early; its message stands above")
    result: dict[str, float] = json.loads(answer)
    return result


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["char-lm, characters a second, medians of rounds", ""]
    for cells in [table.HEADING, *map(table.cells, rows)]:
        lines.append(f"{cells[0]:<6}{cells[1]:<10}{cells[2]:>12}{cells[3]:>12}{cells[4]:>8}{cells[5]:>12}{cells[6]:>24}")
    return "\n".join(lines)
