"""The lists that cpp/bench/stage_times and training_times print, as a file of tables."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["document"]

Forms = dict[str, tuple[str, str, tuple[str, ...]]]

FORMS: Forms = {
    r"a step +(\S+) us +(\S+) % of the peak +without activations +(\S+) % +without products +(\S+) us": (
        "Stages of a step",
        "Forward",
        ("µs a step", "% of the peak", "without activations, %", "without products, µs"),
    ),
    (
        r"a step of the recurrence +(\S+) ns +without products +(\S+) ns +"
        r"the product's chain +(\S+) ns, at the peak +(\S+) ns"
    ): (
        "Stages of a step",
        "One row, the recurrence alone, its input projected before",
        ("ns a step", "without products, ns", "the product's chain, ns", "at the peak, ns"),
    ),
    r"all +(\S+) % +recorded +(\S+) +through time +(\S+) \(bare +(\S+)\) +dx +(\S+) +dW +(\S+) \(packed +(\S+)\)": (
        "Stages of training",
        "Percent of the FMA peak",
        ("all, %", "recorded, %", "through time, %", "bare, %", "dx, %", "dW, %", "packed, %"),
    ),
}
"""A line after its cell and sizes: the run's heading, the table's, and the columns."""

_START = r"(\w+) +(\d+) x +(\d+)  "


def document(text: str, name: str, head: dict[str, str]) -> dict[str, Any]:
    """A file of tables from one program's output; `head` says where it comes from.

    Raises:
        ValueError: no line is one of these lists'.
    """
    tables: dict[tuple[str, str], dict[str, Any]] = {}
    dtype = "float32"
    for line in text.splitlines():
        if line in ("float32", "float64"):
            dtype = line
        for form, (run, title, columns) in FORMS.items():
            if match := re.fullmatch(_START + form, line.strip()):
                heading = f"{title}, {dtype}, 1 thread"
                empty = {"heading": heading, "columns": ["cell", "B", "H", *columns], "rows": []}
                tables.setdefault((run, heading), empty)["rows"].append(list(match.groups()))
    if not tables:
        raise ValueError("neither JSON of `fusedrnn bench` nor a list of stage_times or training_times")
    runs = [
        {"heading": run, "head": head, "tables": [table for (of, _), table in tables.items() if of == run], "notes": {}}
        for run in dict.fromkeys(run for run, _ in tables)
    ]
    return {"format": "tables 1", "machine": name, "sections": runs}
