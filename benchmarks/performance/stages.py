"""Shares of the FMA peak that the kernels reach when they are left alone: from the lists of stages."""

from __future__ import annotations

from performance.documents import MACHINES, Table, read
from performance.runs import markdown
from performance.summaries import span

__all__ = ["stages"]

COLUMNS = {
    ("Stages of a step", "Forward"): ("% of the peak", "without activations, %"),
    ("Stages of training", "Percent of the FMA peak"): (
        *("all, %", "recorded, %", "through time, %", "bare, %", "dx, %", "dW, %", "packed, %"),
    ),
}
"""A run and the start of its tables' headings: the columns that are shares."""


def stages() -> list[str]:
    """The least and the greatest share of every stage, over the cells and sizes of a list."""
    heading = ["stage", "type", *(f"{machine}: H {size}" for machine in MACHINES for size in ("64", "from 128"))]
    found = [_tables(machine) for machine in MACHINES]
    lines = [
        [f"{run}: {column.removesuffix(', %')}", dtype, *(share for of in found for share in _shares(of, key, column))]
        for (run, title), columns in COLUMNS.items()
        for dtype in ("float32", "float64")
        for key in [(run, f"{title}, {dtype}, 1 thread")]
        for column in columns
    ]
    return markdown([heading, *lines], 2)


def _tables(machine: str) -> dict[tuple[str, str], Table]:
    runs = [section for name in MACHINES[machine] for section in read(name)]
    return {(section.heading, table.heading): table for section in runs for table in section.tables}


def _shares(tables: dict[tuple[str, str], Table], key: tuple[str, str], column: str) -> tuple[str, str]:
    """With 64 units, and with more."""
    if key not in tables:
        return "–", "–"
    table = tables[key]
    place, units = table.columns.index(column), table.columns.index("H")
    few = [float(row[place]) for row in table.rows if row[units] == "64"]
    many = [float(row[place]) for row in table.rows if row[units] != "64"]
    return span(few, 0, " %"), span(many, 0, " %")
