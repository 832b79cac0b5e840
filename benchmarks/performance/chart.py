"""README's chart: how many times as fast as the best peer, a dot for every row of the data."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

from performance.documents import MACHINES, ROOT
from performance.records import USES, comparisons, fair, of_use

__all__ = ["PATH", "digest", "draw", "points"]

PATH = ROOT / "docs/performance/speed.svg"
CELLS = ("lstm", "gru")
STYLES = (("#0072B2", "o"), ("#D55E00", "D"), ("#009E73", "^"), ("#CC79A7", "s"), ("#999999", "v"))
"""One a machine: colours that stay apart for every kind of colour vision, and markers for print."""

Points = list[tuple[str, dict[str, list[float]]]]


def points() -> Points:
    """A line's title, and every machine's ratios."""
    compared = {machine: comparisons(machine) for machine in MACHINES}
    return [
        (
            f"{use.title}, {cell.upper()}",
            {name: fair(of_use(rows, use, cell)) for name, rows in compared.items()},
        )
        for use in USES
        for cell in CELLS
    ]


def digest() -> str:
    """What tells whether a chart was drawn from these points by this code."""
    source = Path(__file__).read_bytes()
    return hashlib.sha256(source + json.dumps(points()).encode()).hexdigest()[:16]


def draw() -> None:
    """Write the chart."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.rcParams.update({"svg.hashsalt": "fusedrnn", "svg.fonttype": "path", "font.size": 9})
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    lines = points()
    for line, (_, machines) in enumerate(lines):
        for place, ((_, ratios), style) in enumerate(zip(machines.items(), STYLES, strict=False)):
            if ratios:
                _dots(axes, line + 0.34 * (place - (len(machines) - 1) / 2), ratios, style)
    _frame(axes, [title for title, _ in lines])
    for name, (colour, marker) in zip(MACHINES, STYLES, strict=False):
        axes.plot([], [], marker, color=colour, label=name)
    axes.legend(loc="center right", frameon=False)
    figure.savefig(PATH, metadata={"Date": None, "Description": digest()})


def _dots(axes: Any, height: float, ratios: list[float], style: tuple[str, str]) -> None:
    colour, marker = style
    axes.plot([min(ratios), max(ratios)], [height, height], color=colour, linewidth=1, alpha=0.5)
    axes.plot(ratios, [height] * len(ratios), marker, color=colour, markersize=4, alpha=0.75, markeredgewidth=0)


def _frame(axes: Any, titles: list[str]) -> None:
    axes.set_xscale("log")
    ticks = [1, 1.5, 2, 3, 5, 10, 20]
    axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(titles)), titles)
    axes.invert_yaxis()
    axes.axvline(1, color="#111111", linewidth=1)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("times as fast as the best peer (a dot is a shape; float32, one thread)")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
