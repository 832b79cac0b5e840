"""What `bench --job` measured, as a table."""

from __future__ import annotations

import statistics
from typing import Any

__all__ = ["HEADING", "cells"]

HEADING = ["cell", "threads", "fusedrnn", "torch", "ratio", "rounds", "in recurrent kernels"]
"""Characters a second, medians of rounds; the ratio of both in a round, its median and its range; the share of time."""


def cells(row: dict[str, Any]) -> list[str]:
    """One row under the heading."""
    ours, theirs = row["rounds"]["fusedrnn"], row["rounds"].get("torch", [])
    ratios = [a["speed"] / b["speed"] for a, b in zip(ours, theirs, strict=True)] if theirs else []
    return [
        row["cell"],
        row["threads"],
        f"{statistics.median(one['speed'] for one in ours):,.0f}",
        f"{statistics.median(one['speed'] for one in theirs):,.0f}" if theirs else "-",
        f"{statistics.median(ratios):.2f}" if theirs else "-",
        f"{min(ratios):.2f}–{max(ratios):.2f}" if theirs else "-",
        f"{statistics.median(one['recurrent'] for one in ours):.0%}",
    ]
