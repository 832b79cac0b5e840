"""A whole training job beside the same one in PyTorch: what `fusedrnn bench --job` measured."""

from __future__ import annotations

from fusedrnn.bench import report
from fusedrnn.bench.job import table
from performance.documents import load
from performance.runs import markdown

__all__ = ["job"]

SHOWN = ["cell", "threads", "ratio", "rounds", "in recurrent kernels"]


def job(name: str) -> list[str]:
    """Where a data file's figures come from, and its ratios: a loaded machine changes them less than the speeds."""
    document = load(name)
    places = [table.HEADING.index(column) for column in SHOWN]
    rows = [[table.cells(row)[place] for place in places] for row in document["rows"]]
    head = report.head(report.origin(document["machine"], []), markdown=True)
    return [*head, "", *markdown([SHOWN, *rows], text=2)]
