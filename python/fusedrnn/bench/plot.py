"""The chart: how many times longer every peer takes, and how close to the roofline fusedrnn is, row by row."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from fusedrnn._files import whole_file
from fusedrnn.bench import report
from fusedrnn.bench.implementations import OURS

__all__ = ["draw", "require_matplotlib"]

# Okabe and Ito's colours, which stay apart for every kind of colour vision; a marker each for print.
STYLES = {
    "torch": ("#D55E00", "o"),
    "onnxruntime": ("#0072B2", "s"),
    "openvino": ("#CC79A7", "D"),
    "jax": ("#009E73", "^"),
    "numpy": ("#999999", "v"),
}
OURS_COLOUR = "#111111"
LIMITS = {"arithmetic": "#E69F00", "traffic": "#56B4E9"}
ROW_HEIGHT = 0.27
"""Inches."""


def require_matplotlib() -> None:
    """Raise ImportError now rather than after a long run."""
    importlib.import_module("matplotlib.figure")


def draw(document: dict[str, Any], path: Path) -> None:
    """Write the chart; the file's ending is its format."""
    figure_module = importlib.import_module("matplotlib.figure")
    sections = report.sections(document["rows"])
    heights = [ROW_HEIGHT * len(_lines(rows)) + 0.95 for _, rows in sections]
    top, bottom = 0.85, 1.0
    total = sum(heights) + top + bottom
    figure = figure_module.Figure(figsize=(11.5, total), dpi=150, facecolor="white")
    axes = figure.subplots(
        len(sections),
        2,
        squeeze=False,
        gridspec_kw={
            "height_ratios": heights, "width_ratios": (2.6, 1), "wspace": 0.03, "left": 0.2, "right": 0.975,
            "top": 1 - top / total, "bottom": bottom / total, "hspace": 0.95 / (sum(heights) / len(heights)),
        },
    )  # fmt: skip
    for (heading, rows), (left, right) in zip(sections, axes, strict=True):
        _speed(left, heading, rows)
        _share(right, rows)
    _frame(figure, document, total)
    with whole_file(path) as file:
        figure.savefig(file)


def _lines(rows: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """Rows from top to bottom, by cell, with a gap (None) between cells."""
    lines: list[dict[str, Any] | None] = []
    for cell in dict.fromkeys(row["cell"] for row in rows):
        lines += ([None] if lines else []) + [row for row in rows if row["cell"] == cell]
    return lines


def _ticks(axis: Any, rows: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    lines = _lines(rows)
    placed = [(place, row) for place, row in enumerate(lines) if row is not None]
    axis.set_ylim(len(lines) - 0.4, -0.6)
    axis.set_yticks([place for place, _ in placed])
    for place, _ in placed[::2]:
        axis.axhspan(place - 0.5, place + 0.5, color="#F6F6F6", zorder=0, linewidth=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color("#BBBBBB")
    axis.tick_params(axis="both", length=0, labelsize=8, colors="#333333")
    return placed


def _speed(axis: Any, heading: str, rows: list[dict[str, Any]]) -> None:
    """Time over fusedrnn's, logarithmic: right of the line is slower than fusedrnn, left of it faster."""
    placed = _ticks(axis, rows)
    axis.set_yticklabels(
        [f"{row['cell'].upper()}  {report.label(row['shape'])}" for _, row in placed], family="monospace"
    )
    axis.set_title(heading, loc="left", fontsize=10.5, fontweight="bold", pad=7)
    reach = [1.0]
    for place, row in placed:
        own = row["results"][OURS]
        if own["seconds"] is None:
            axis.text(1.0, place, f"  fusedrnn: {own['status']}", va="center", fontsize=7.5)
        else:
            reach += _mark_peers(axis, place, row)
            _write_beside(axis, place, row)
    _ratio_scale(axis, min(reach), max(reach))


def _mark_peers(axis: Any, place: float, row: dict[str, Any]) -> list[float]:
    """A mark for every implementation of a row; the peers' ratios."""
    own = row["results"][OURS]["seconds"]
    ratios = {
        name: result["seconds"] / own
        for name, result in row["results"].items()
        if result["seconds"] is not None and name != OURS
    }
    if ratios:
        axis.plot([1, max(ratios.values())], [place, place], color="#D8D8D8", linewidth=1, zorder=1)
    for name, ratio in ratios.items():
        best = name == row["best_peer"]
        colour, marker = STYLES[name]
        axis.plot(
            ratio, place, marker, color=colour, markersize=7.5 if best else 5, alpha=1 if best else 0.75,
            markeredgecolor="white", markeredgewidth=0.7, zorder=4 if best else 3,
        )  # fmt: skip
    axis.plot(1, place, "|", color=OURS_COLOUR, markersize=9, markeredgewidth=2, zorder=2)
    return list(ratios.values())


def _write_beside(axis: Any, place: float, row: dict[str, Any]) -> None:
    """fusedrnn's time at the left of a row, the ratio to the best peer at the right."""
    axis.annotate(
        report.duration(row["results"][OURS]["seconds"]), (0, place), xycoords=("axes fraction", "data"),
        xytext=(4, 0), textcoords="offset points", va="center", fontsize=7.5, color="#555555",
    )  # fmt: skip
    if row["ratio"] is not None:
        axis.annotate(
            f"{row['ratio']:.2f}×", (1, place), xycoords=("axes fraction", "data"), xytext=(-4, 0),
            textcoords="offset points", va="center", ha="right", fontsize=8,
            fontweight="bold", color="#111111" if row["ratio"] >= 1 else "#C00000",
        )  # fmt: skip


def _ratio_scale(axis: Any, low: float, high: float) -> None:
    """A logarithmic axis of ratios, with room at its ends for what is written there."""
    ticker = importlib.import_module("matplotlib.ticker")
    room = max(high / low, 3.0)
    axis.set_xscale("log")
    axis.set_xlim(low / room**0.16, high * room**0.14)
    axis.axvline(1, color=OURS_COLOUR, linewidth=0.8, zorder=1)
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if room < 300 else (1,)))
    axis.xaxis.set_minor_formatter(ticker.NullFormatter())
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axis.grid(axis="x", color="#E4E4E4", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set_xlabel(
        "time of one call, fusedrnn = 1 (its time at the left, ratio to the best peer at the right)", fontsize=8
    )


def _share(axis: Any, rows: list[dict[str, Any]]) -> None:
    """Percent of the roofline; the thin mark is the share of the phased bound."""
    placed = _ticks(axis, rows)
    axis.set_yticklabels([])
    axis.set_title("share of the measured roofline", loc="left", fontsize=9, color="#333333", pad=7)
    reach = 100.0
    for place, row in placed:
        limits = row["roofline"]
        if limits is None:
            axis.text(2, place, "not measured", va="center", fontsize=7.5, color="#888888")
            continue
        percent, phased = 100 * limits["of_bound"], 100 * limits["of_phased"]
        reach = max(reach, percent, phased)
        axis.barh(place, percent, height=0.62, color=LIMITS[limits["limit"]], zorder=2)
        axis.plot([phased, phased], [place - 0.31, place + 0.31], color="#444444", linewidth=1.4, zorder=3)
        beside = max(percent, phased) if percent < 25 else 0.0  # a short bar has no room for its number
        axis.text(beside + 2, place, f"{percent:.0f} %", va="center", fontsize=7.5, color="#111111", zorder=4)
    axis.set_xlim(0, reach * 1.04)
    axis.set_xticks([0, 50, 100])
    axis.set_xticklabels(["0", "50 %", "100 %"])
    axis.axvline(100, color="#444444", linewidth=0.8, zorder=1)
    axis.grid(axis="x", color="#E4E4E4", linewidth=0.6)
    axis.set_axisbelow(True)


def _frame(figure: Any, document: dict[str, Any], total: float) -> None:
    """Title, legend, and where the figures come from."""
    lines = importlib.import_module("matplotlib.lines")
    patches = importlib.import_module("matplotlib.patches")
    machine, settings = document["machine"], document["settings"]
    figure.text(0.015, 1 - 0.3 / total, "fusedrnn and its peers", fontsize=15, fontweight="bold", va="center")
    shown = {
        name for row in document["rows"] for name, result in row["results"].items() if result["seconds"] is not None
    }
    handles = [lines.Line2D([], [], color=OURS_COLOUR, marker="|", linestyle="", markersize=9, markeredgewidth=2)]
    labels = [OURS]
    for name, (colour, marker) in STYLES.items():
        if name in shown:
            handles.append(lines.Line2D([], [], color=colour, marker=marker, linestyle="", markersize=6))
            labels.append(f"{name} {machine['versions'].get(name, '')}".rstrip())
    for limit, colour in LIMITS.items():
        handles.append(patches.Patch(color=colour))
        labels.append(f"bound by {limit}")
    handles.append(lines.Line2D([], [], color="#444444", marker="|", linestyle="", markersize=9, markeredgewidth=1.4))
    labels.append("phased bound")
    figure.legend(
        handles, labels, loc="upper right", bbox_to_anchor=(0.985, 1 - 0.08 / total), ncols=5, fontsize=8,
        frameon=False, columnspacing=1.4, handletextpad=0.4,
    )  # fmt: skip
    caption = (
        f"{machine['cpu']}, {machine['isa']}. Medians of {settings['rounds']} alternating rounds, "
        f"large marker: best peer. "
        f"fusedrnn {machine['versions']['fusedrnn']}, commit {machine['commit'] or 'unknown'}, {machine['date']}.\n"
        f"{machine['command']}"
    )
    figure.text(0.015, 0.18 / total, caption, fontsize=7, color="#666666", va="bottom", linespacing=1.5)
