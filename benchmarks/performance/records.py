"""Rows of comparisons as numbers, and the choice of rows that the summaries are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from performance.documents import MACHINES, Section, Table, read

__all__ = ["USES", "Record", "Use", "comparisons", "fair", "of_use", "records", "seconds"]

UNITS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
PEERS = ("torch", "onnxruntime", "openvino", "jax")
MODES = {"Forward and backward": "train", "Forward, whole sequences": "forward", "One streaming step": "step"}


@dataclass(frozen=True)
class Record:
    """One row of a table of comparisons. A figure the row does not have is None."""

    machine: str
    run: str
    native: bool
    """Whether fusedrnn used the machine's best instruction set."""
    complete: bool
    """Whether all of `PEERS` were there."""
    mode: str
    dtype: str
    threads: int
    cell: str
    label: str
    batch: int
    steps: int
    inputs: int
    hidden: int
    time: float
    peer: str
    ratio: float
    rounds: str
    least: float
    gflops: float
    bound: str
    of_bound_least: float
    of_phased_least: float
    scaling: float | None
    scaling_least: float | None
    machine_scaling: float | None


@dataclass(frozen=True)
class Use:
    """A kind of work, as a user would name it."""

    title: str
    mode: str
    batch: range
    hidden: range

    def holds(self, record: Record) -> bool:
        """Whether a row is of this use."""
        return record.mode == self.mode and record.batch in self.batch and record.hidden in self.hidden


ANY = range(1, 1 << 20)
USES = (
    Use("one streaming step from Python", "step", range(1, 2), ANY),
    Use("one sequence, H below 64", "forward", range(1, 2), range(1, 64)),
    Use("one sequence, H from 64", "forward", range(1, 2), range(64, 1 << 20)),
    Use("batches, inference", "forward", range(8, 1 << 20), ANY),
    Use("one sequence, training", "train", range(1, 2), ANY),
    Use("batches, training", "train", range(8, 1 << 20), ANY),
)


def records(machine: str) -> list[Record]:
    """Every row of comparisons of a machine's data files."""
    runs = [section for name in MACHINES[machine] for section in read(name)]
    best = next(section.head["instruction set"] for section in runs if "instruction set" in section.head)
    return [
        _record(machine, section, section.head["instruction set"] == best, table, row)
        for section in runs
        for table in section.tables
        if "× best peer" in table.columns
        for row in table.rows
        if row[table.columns.index("× best peer")] != "–"
    ]


def comparisons(machine: str) -> list[Record]:
    """The rows that the ranges are of: float32, with the machine's best instruction set."""
    return [each for each in records(machine) if each.dtype == "float32" and each.native]


def of_use(rows: Iterable[Record], use: Use, cell: str) -> list[Record]:
    """The rows of one use and cell, with one thread."""
    return [each for each in rows if use.holds(each) and each.cell == cell and each.threads == 1]


def fair(rows: Iterable[Record], figure: str = "ratio") -> list[float]:
    """A figure of the rows with all peers, and of the others where it is below all of these.

    With fewer peers a row looks better than it is: it may lower a range, not raise it.
    """
    found = [(float(getattr(each, figure)), each.complete) for each in rows]
    floor = min((value for value, complete in found if complete), default=float("inf"))
    return [value for value, complete in found if complete or value < floor]


def seconds(text: str) -> float:
    """A printed duration."""
    value, unit = text.rstrip("*").split(" ")
    return float(value) * UNITS[unit]


def _number(text: str) -> float:
    return float(text.rstrip("×% "))


def _record(machine: str, section: Section, native: bool, table: Table, row: list[str]) -> Record:
    columns = table.columns
    mode, dtype, threads = table.heading.rsplit(", ", 2)

    def after(column: str, offset: int = 0) -> float:
        return _number(row[columns.index(column) + offset])

    scaled = "× 1 thread" in columns
    ours, ratio = columns.index("fusedrnn"), columns.index("× best peer")
    label = row[columns.index("B×T×I×H")]
    batch, steps, inputs, hidden = map(int, re.findall(r"\d+", label))
    return Record(
        machine=machine,
        run=section.heading,
        native=native,
        complete=all(peer in columns for peer in PEERS),
        mode=MODES[mode],
        dtype=dtype,
        threads=int(threads.split()[0]),
        cell=row[0],
        label=label,
        batch=batch,
        steps=steps,
        inputs=inputs,
        hidden=hidden,
        time=seconds(row[ours]),
        peer=next(name for name, cell in zip(columns[ours:ratio], row[ours:ratio], strict=True) if "*" in cell),
        ratio=_number(row[ratio]),
        rounds=row[ratio + 1],
        least=after("× best peer", 2),
        gflops=after("GFLOP/s"),
        bound=row[columns.index("bound by")],
        of_bound_least=after("of bound", 1),
        of_phased_least=after("of phased", 1),
        scaling=after("× 1 thread") if scaled else None,
        scaling_least=after("× 1 thread", 1) if scaled else None,
        machine_scaling=after("× 1 thread", 2) if scaled else None,
    )
