"""Data files: what `python -m fusedrnn bench --json` writes, or tables of cells as it prints them.

A file of tables is {"format": "tables 1", "machine": its title, "sections": [section, …]}, a section

    heading         of the section
    head            {name: value}: where its figures come from
    tables          [{heading, columns, rows}]: every cell as text
    notes           {title: [entry, …]}

A run of the benchmark may have a "heading" too; without one its section is headed by the file's name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusedrnn.bench import report

__all__ = ["DATA", "MACHINES", "ROOT", "Section", "Table", "compact", "is_beside", "load", "read"]

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "docs/performance/data"

MACHINES: dict[str, tuple[str, ...]] = {
    "Zen 3, AVX2": ("zen3-avx2",),
    "Zen 4, AVX-512": ("zen4-avx512",),
}
"""The machines that the summaries compare, each with its data files."""


@dataclass(frozen=True)
class Table:
    """Rows of text under a heading; columns of the same name occur."""

    heading: str
    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Section:
    """One run."""

    heading: str
    head: dict[str, str]
    tables: list[Table]
    notes: dict[str, list[str]]


def load(name: str) -> dict[str, Any]:
    """A data file as it is."""
    document: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return document


def is_beside(document: dict[str, Any]) -> bool:
    """Whether `bench --beside` wrote it."""
    return "situations" in document.get("settings", {})


def read(name: str) -> list[Section]:
    """A data file's runs."""
    return sections(load(name), name)


def sections(document: dict[str, Any], name: str) -> list[Section]:
    """The runs of a file of tables, or the one run that `bench --json` wrote."""
    if document["format"] != "tables 1":
        tables = [Table(heading, cells[0], cells[1:]) for heading, cells in report.tables(document)]
        title = document.get("heading", name)
        return [Section(title, dict(report.heading(document)), tables, dict(report.notes(document)))]
    return [
        Section(each["heading"], each["head"], [Table(**table) for table in each["tables"]], each["notes"])
        for each in document["sections"]
    ]


def compact(value: Any) -> Any:
    """A run without the lists of single rounds and blocks: no page shows them."""
    if isinstance(value, dict):
        return {
            key: compact(each)
            for key, each in value.items()
            if not (key in ("rounds", "blocks") and isinstance(each, list))
        }
    return [compact(each) for each in value] if isinstance(value, list) else value
