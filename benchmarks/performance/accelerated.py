"""Others' PyTorch models before and after `fusedrnn.torch.accelerate`, and two thread pools by turns.

Data files are what the programs write that share benchmarks/accelerated.py; only ratios are shown.
"""

from __future__ import annotations

import statistics
from typing import Any

from fusedrnn.bench import report
from performance.documents import load
from performance.runs import markdown

__all__ = ["accelerated", "pools"]


def accelerated(names: str = "") -> list[str]:
    """Data files, by their names with blanks between: where the figures come from, then one table of all rows."""
    documents = [load(name) for name in names.split()]
    columns = ["model", "what", "threads", "before / after", "rounds", "largest difference", "largest value"]
    rows = [_cells(row) for document in documents for row in document["rows"]]
    return [*_origin(documents), "", *markdown([columns, *rows], text=2)]


def pools(name: str = "") -> list[str]:
    """What alternating loses in percent, of the file's rows."""
    documents = [load(each) for each in name.split()]
    columns = ["a turn", "threads", "lost by turns", "rounds"]
    rows = []
    for row in (row for document in documents for row in document["rows"]):
        lost = [100 * (1 / ratio - 1) for ratio in row["ratios"]]
        shown = f"{statistics.median(lost):.1f} %", f"{min(lost):.0f} to {max(lost):.0f} %"
        rows.append([row["model"], str(row["threads"]), *shown])
    return [*_origin(documents), "", *markdown([columns, *rows], text=1)]


def _cells(row: dict[str, Any]) -> list[str]:
    ratios = row["ratios"]
    spread = f"{len(ratios)}: {min(ratios):.2f}–{max(ratios):.2f}"
    differences = [f"{row['apart']:.1e}", f"{row['largest']:.2g}"]
    return [row["model"], row["what"], str(row["threads"]), f"{statistics.median(ratios):.2f}×", spread, *differences]


def _origin(documents: list[dict[str, Any]]) -> list[str]:
    """The heads of all files; what is the same in all is said once."""
    heads = [report.head(report.origin(document["machine"], []), markdown=True) for document in documents]
    shared = [line for line in heads[0] if all(line in head for head in heads)] if heads else []
    return [*shared, *(line for head in heads for line in head if line not in shared)]
