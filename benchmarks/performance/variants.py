"""Layers with options beside the plain layer of their cell, as benchmarks/variants.py writes it."""

from __future__ import annotations

import statistics

from fusedrnn.bench import report
from performance.documents import load
from performance.runs import markdown

__all__ = ["variants"]


def variants(name: str = "") -> list[str]:
    """Where the figures of a data file come from, then its table."""
    document = load(name)
    head = report.head(report.origin(document["machine"], []), markdown=True)
    shape = f"* {document['shape'].replace('x', '×')} (B×T×I×H), float32, {document['threads']} thread(s)"
    columns = ["layer", "option", "call", "training step"]
    rows = [
        [row["cell"].upper(), f"`{row['option']}`", *(_median(row[what]) for what in ("call", "training"))]
        for row in document["rows"]
    ]
    return [*head, shape, "", *markdown([columns, *rows], text=2)]


def _median(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f}"
