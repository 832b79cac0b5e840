"""A run as text: aligned columns for a terminal, or Markdown, as in docs/performance/."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from fusedrnn.bench.implementations import OURS
from fusedrnn.bench.problem import MODES

__all__ = ["LEGEND", "duration", "head", "heading", "notes", "origin", "render", "sections", "table", "tables", "title"]

Document = dict[str, Any]
Row = dict[str, Any]


def duration(seconds: float | None) -> str:
    """Three significant digits and a unit."""
    if seconds is None:
        return "–"
    scale, unit = next(
        ((scale, unit) for scale, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms")) if seconds * scale < 999.5),
        (1.0, "s"),
    )
    value = seconds * scale
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


def sections(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """Rows by mode, dtype and threads, each with a heading."""

    def key(row: Row) -> tuple[int, str, int]:
        return list(MODES).index(row["mode"]), row["dtype"], row["threads"]

    ordered = sorted(rows, key=key)
    return [(title(group[0]), group) for group in (list(found) for _, found in groupby(ordered, key))]


def title(row: Row) -> str:
    """What a section's rows have in common."""
    count = row["threads"]
    return f"{MODES[row['mode']]}, {row['dtype']}, {count} thread{'s' if count > 1 else ''}".capitalize()


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _times(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}×"


def label(shape: dict[str, Any]) -> str:
    """A shape's size as printed: B×T×I×H."""
    return str(shape["size"]).replace("x", "×").replace("-", " ")


def _table(rows: Sequence[Row]) -> list[list[str]]:
    """Cells of a section's table, the heading first."""
    peers = [name for name in dict.fromkeys(name for row in rows for name in row["results"]) if name != OURS]
    scaling = any(row["scaling"] is not None for row in rows)
    columns = ["cell", "shape", "B×T×I×H", OURS, *peers, "× best peer", "rounds", "least", "GFLOP/s", "bound by"]
    columns += ["of bound", "least", "of phased", "least", *(["× 1 thread", "least", "machine"] if scaling else [])]
    return [columns, *(_cells(row, peers, scaling) for row in rows)]


def _cells(row: Row, peers: Sequence[str], scaling: bool) -> list[str]:
    limits = row["roofline"] or {
        "limit": "–",
        "of_bound": None,
        "of_bound_least": None,
        "of_phased": None,
        "of_phased_least": None,
    }
    low, high = row["ratio_low"], row["ratio_high"]
    return [
        row["cell"],
        row["shape"]["name"] if row["shape"]["name"] != row["shape"]["size"] else "–",
        label(row["shape"]),
        _cell(row["results"][OURS], row["best_peer"] == OURS),
        *(_cell(row["results"].get(name), row["best_peer"] == name) for name in peers),
        _times(row["ratio"]),
        "–" if low is None else f"{low:.2f}–{high:.2f}",
        _times(row["ratio_least"]),
        "–" if row["gflops"] is None else f"{row['gflops']:.3g}",
        limits["limit"],
        _percent(limits["of_bound"]),
        _percent(limits["of_bound_least"]),
        _percent(limits["of_phased"]),
        _percent(limits["of_phased_least"]),
        *([_times(row[name]) for name in ("scaling", "scaling_least", "machine_scaling")] if scaling else []),
    ]


def _cell(result: dict[str, Any] | None, best: bool) -> str:
    if result is None:
        return "–"
    if result["status"] != "timed":
        return "–" if result["status"] == "unavailable" else str(result["status"]).upper()
    return duration(result["seconds"]) + ("*" if best else "")


def heading(document: Document) -> list[tuple[str, str]]:
    """Names and values of a run: where its figures come from and how it was done."""
    settings = document["settings"]
    pins = ", ".join(
        f"{threads} thread{'s' if threads != '1' else ''} on "
        + ("any CPU" if cpus is None else f"CPU {' '.join(map(str, cpus))}")
        for threads, cpus in settings["pinned_to"].items()
    )
    rounds = f"{settings['rounds']}, alternating; medians; {1e3 * settings['seconds_per_round']:.0f} ms each"
    return origin(document["machine"], [("affinity", pins), ("rounds", rounds)])


def origin(machine: dict[str, Any], settings: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Where a run's figures come from, the run's own settings among it."""
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    return [
        ("CPU", machine["cpu"] + (f"; {caches}" if caches else "") + f"; {machine['cpus']} CPUs"),
        ("system", machine["system"]),
        ("versions", ", ".join(f"{name} {version}" for name, version in machine["versions"].items())),
        ("commit", machine["commit"] or "not a checkout"),
        ("instruction set", f"{machine['isa']} (fusedrnn; the peers choose their own)"),
        *settings,
        ("load before", "unknown" if machine["load_before"] is None else str(machine["load_before"])),
        ("date", machine["date"]),
        ("command", machine["command"]),
    ]


def _notes(rows: Iterable[Row]) -> list[str]:
    """What was not timed and why, each once, with the rows it is true of."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        for name, result in row["results"].items():
            if result["status"] != "timed":
                where = f"{row['cell']} {row['shape']['name']} ({row['mode']}, threads {row['threads']})"
                reasons.setdefault((name, result["status"], result["detail"]), []).append(where)
    return [
        f"{name}: {status}: {detail}" + (f" [{'; '.join(where[:3])}{'; …' if len(where) > 3 else ''}]")
        for (name, status, detail), where in reasons.items()
    ]


def _variants(rows: Iterable[Row]) -> list[str]:
    """Which set-up of each implementation was the fastest, how often."""
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        for name, result in row["results"].items():
            if result["status"] == "timed":
                of_one = counts.setdefault(name, {})
                of_one[result["variant"]] = of_one.get(result["variant"], 0) + 1
    return [
        f"{name}: " + ", ".join(f"{variant} ({count})" for variant, count in found.items())
        for name, found in counts.items()
    ]


LEGEND = (
    "* the best peer. × best peer: its median over fusedrnn's; rounds: the same ratio's least and greatest in one "
    "round. of bound, of phased: share of the roofline measured in the same rounds (fusedrnn/bench/roofline.py). "
    "least: by the least time of a 64th of a round (or a single call), which other work on the machine disturbs least, "
    "and the best ceiling. machine: the ceiling with these threads over that with one."
)


def tables(document: Document) -> list[tuple[str, list[list[str]]]]:
    """A title and cells, their heading first, for every section."""
    return [(name, _table(rows)) for name, rows in sections(document["rows"])]


def notes(document: Document) -> list[tuple[str, list[str]]]:
    """What is said under the tables: a title and its entries."""
    found = [("Set-ups timed", _variants(document["rows"])), ("Not timed", _notes(document["rows"]))]
    return [(name, entries) for name, entries in found if entries]


def render(document: Document, markdown: bool = False) -> str:
    """The whole report."""
    lines = head(heading(document), markdown)
    for name, cells in tables(document):
        lines += ["", f"### {name}" if markdown else f"{name}", ""]
        lines += table(cells, markdown)
    lines += ["", LEGEND]
    for name, entries in notes(document):
        lines += ["", f"{name}:", *(["", *(f"* {entry}" for entry in entries)] if markdown else entries)]
    return "\n".join(lines)


def head(entries: list[tuple[str, str]], markdown: bool) -> list[str]:
    """Lines of names and values."""
    if markdown:
        return [f"* {name}: {f'`{value}`' if name == 'command' else value}" for name, value in entries]
    width = max(len(name) for name, _ in entries)
    return [f"{name:<{width}}  {value}" for name, value in entries]


def table(rows: list[list[str]], markdown: bool) -> list[str]:
    """Lines of a table, the heading first; the first three columns are text, the others figures."""
    return _markdown(rows) if markdown else _aligned(rows)


def _aligned(table: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]

    def line(cells: list[str]) -> str:
        left = [f"{cell:<{width}}" for cell, width in zip(cells[:3], widths, strict=False)]
        right = [f"{cell:>{width}}" for cell, width in zip(cells[3:], widths[3:], strict=True)]
        return "  ".join(left + right).rstrip()

    return [line(table[0]), "  ".join("-" * width for width in widths), *map(line, table[1:])]


def _markdown(table: list[list[str]]) -> list[str]:
    rule = ["---"] * 3 + ["---:"] * (len(table[0]) - 3)
    lines = [table[0], rule, *table[1:]]
    return ["| " + " | ".join(cell.replace("*", "\\*") for cell in cells) + " |" for cells in lines]
