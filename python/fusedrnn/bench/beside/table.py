"""A run beside other work as text: aligned columns for a terminal, or Markdown."""

from __future__ import annotations

from typing import Any

from fusedrnn.bench import report
from fusedrnn.bench.beside.situations import SITUATIONS

__all__ = ["render"]

HEADING = [
    "situation", "work", "B×T×I×H", "threads", "of", "default, ms", "p90", "1 thread, ms", "p90",
    "default / 1 thread", "rounds",
]  # fmt: skip

LEGEND = (
    "Milliseconds, medians and 90th percentiles of all calls. threads: fusedrnn's default there. of: fusedrnn's calls "
    "in a turn, or the whole turn with the other library's. default / 1 thread: the ratio of a round's medians, below "
    "1 where the default is the faster one, as the median of all rounds; rounds: its least and greatest. *: the ratio "
    "that counts, of the two."
)


def render(document: dict[str, Any], markdown: bool = False) -> str:
    """The whole report."""
    lines = report.head(report.origin(document["machine"], _settings(document)), markdown)
    if document["rows"]:
        cells = [line for row in document["rows"] for line in _lines(row)]
        lines += ["", *report.table([HEADING, *cells], markdown), "", LEGEND]
    shown = dict.fromkeys(row["situation"] for row in document["rows"])
    for heading, notes in (
        ("Situations", {name: SITUATIONS[name].meaning for name in shown}),
        ("Not timed", document["not_timed"]),
    ):
        if notes:
            entries = [f"{name}: {note}" for name, note in notes.items()]
            lines += ["", f"{heading}:", *(["", *(f"* {entry}" for entry in entries)] if markdown else entries)]
    return "\n".join(lines)


def _settings(document: dict[str, Any]) -> list[tuple[str, str]]:
    """The run's own lines of the head."""
    settings, allowed = document["settings"], document["machine"]["allowed_cpus"]
    blocks = f"{settings['rounds']} rounds of a block each, alternating; {1e3 * settings['seconds_per_block']:g} ms, "
    blocks += f"the first {100 * settings['discarded']:.0f} % not counted"
    variables = ", ".join(f"{name}={value}" for name, value in settings["environment"].items())
    return [
        ("affinity", "any CPU" if allowed is None else f"any of CPU {' '.join(map(str, allowed))}"),
        ("environment", variables or "no variables about threads"),
        ("blocks", blocks),
    ]


def _lines(row: dict[str, Any]) -> list[list[str]]:
    """Cells: one line of a work, two where another library's calls are part of a turn."""
    work = row["work"]
    start = [row["situation"], work["label"], work["size"].replace("x", "×"), str(row["threads"])]
    if not row["by_turns"]:
        return [[*start, "call", *_figures(row["parts"]["turn"], "")]]
    return [
        [*start, title, *_figures(row["parts"][name], "*" if row["counts"] == name else "")]
        for name, title in (("ours", "fusedrnn"), ("turn", "whole turn"))
    ]


def _figures(part: dict[str, Any], mark: str) -> list[str]:
    times = [part[mode][figure] for mode in ("default", "one") for figure in ("median", "p90")]
    ratios = [f"{part['ratio']:.2f}{mark}", f"{part['ratio_low']:.2f}–{part['ratio_high']:.2f}"]
    return [*map(_milliseconds, times), *ratios]


def _milliseconds(seconds: float) -> str:
    value = 1e3 * seconds
    return f"{value:.{3 if value < 9.995 else 2 if value < 99.95 else 1}f}"
