"""What the pages say in short: ranges over the rows of a use, rows that are lost or tied, shares of the ceilings."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable

from performance.documents import MACHINES
from performance.records import USES, Record, Use, comparisons, fair, of_use, records
from performance.runs import markdown

__all__ = ["TIED", "ceilings", "lost", "ranges", "sentence", "span", "speed", "two_threads"]

TIED = 1.10
"""A ratio below this is a tie, one below 1 a loss."""
CELLS = ("lstm", "gru", "rnn")
WORK = {"step": "one step", "forward": "forward", "train": "forward and backward"}


def span(values: Iterable[float | None], digits: int = 2, unit: str = "×") -> str:
    """The least and the greatest."""
    found = [value for value in values if value is not None]
    if not found:
        return "–"
    low, high = (f"{value:.{digits}f}" for value in (min(found), max(found)))
    return f"{low}{unit}" if low == high else f"{low}–{high}{unit}"


def speed() -> list[str]:
    """README's table: how many times faster than the best peer, by use."""
    columns = [f"{cell.upper()}, {machine}" for machine in MACHINES for cell in CELLS[:2]]
    compared = {machine: comparisons(machine) for machine in MACHINES}
    rows = [
        [use.title, *(_ratios(rows, use, cell) for rows in compared.values() for cell in CELLS[:2])] for use in USES
    ]
    return markdown([["", *columns], *rows], 1)


def _ratios(rows: Iterable[Record], use: Use, cell: str) -> str:
    return span(fair(of_use(rows, use, cell)))


def sentence() -> list[str]:
    """README's sentence on what is lost and tied."""
    rows = [row for machine in MACHINES for row in comparisons(machine)]
    behind = [row for row in rows if row.ratio < TIED]
    lost_rows = [row for row in behind if row.ratio < 1]
    batches = [row for row in behind if row.cell == "lstm" and row.batch >= 8]
    worst = min(rows, key=lambda row: row.ratio)
    tied = len(behind) - len(lost_rows)
    text = (
        f"Of the {len(rows)} float32 rows of both machines' tables, with one thread and two, {len(lost_rows)} are lost "
        f"(slower than the best peer) and {tied} tied (less than {TIED:.2f} times as fast); {len(batches)} of these "
        f"{len(behind)} are LSTM in batches. The worst is {worst.cell.upper()}, {WORK[worst.mode]}, {worst.label}, "
        f"{_threads(worst.threads)}, {worst.machine}: {worst.ratio:.2f} times as fast."
    )
    return textwrap.wrap(text, 120)


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def ranges() -> list[str]:
    """Ranges by use and cell, of medians and of least times."""
    heading = ["work", "cell", *(f"{machine}: {kind}" for machine in MACHINES for kind in ("medians", "least times"))]
    compared = {machine: comparisons(machine) for machine in MACHINES}
    lines = []
    for use in USES:
        for cell in CELLS:
            found = [of_use(rows, use, cell) for rows in compared.values()]
            figures = [span(values) for rows in found for values in (fair(rows), fair(rows, "least"))]
            lines.append([use.title, cell, *figures])
    return markdown([heading, *lines], 2)


def lost(machine: str) -> list[str]:
    """Every row of a machine, of whatever run, that is lost or tied by medians; the worst first."""
    heading = ["run", "work", "cell", "B×T×I×H", "threads", "best peer", "× best peer", "rounds", "least"]
    rows = records(machine)
    behind = sorted((row for row in rows if row.ratio < TIED), key=lambda row: (row.ratio, row.least))
    slower = sum(row.ratio < 1 for row in behind)
    start = (
        f"Of {len(rows)} rows {len(behind)} are below {TIED:.2f} times the best peer's speed, {slower} of them below 1."
    )
    cells = [
        [
            *(row.run, f"{WORK[row.mode]}, {row.dtype}", row.cell, row.label, str(row.threads), row.peer),
            *(f"{row.ratio:.2f}×", row.rounds, f"{row.least:.2f}×"),
        ]
        for row in behind
    ]
    return [start, "", *markdown([heading, *cells], 4)]


def two_threads() -> list[str]:
    """What a second thread gains, beside what it gives the machine's own ceiling."""
    kinds = ("medians", "least times", "the machine")
    heading = ["work", *(f"{machine}: {kind}" for machine in MACHINES for kind in kinds)]
    lines = []
    for use in USES:
        figures = []
        for machine in MACHINES:
            rows = [row for row in comparisons(machine) if row.threads == 2 and use.holds(row)]
            figures += [
                span(getattr(row, name) for row in rows) for name in ("scaling", "scaling_least", "machine_scaling")
            ]
        if set(figures) != {"–"}:
            lines.append([use.title, *figures])
    return markdown([heading, *lines], 1)


def ceilings() -> list[str]:
    """Shares of the ceilings, by least times: of the FMA peak in batches, of the bandwidth with one row."""
    share: dict[str, Callable[[Record], float]] = {
        "batches": lambda row: row.of_bound_least,
        "one sequence": lambda row: row.of_phased_least,
    }
    heading = ["work", "cell", *(f"{machine}: {who}" for machine in MACHINES for who in ("fusedrnn", "best peer"))]
    lines = []
    for use in USES[2:]:
        of = share[use.title.split(",")[0]]
        for cell in CELLS:
            figures = []
            for machine in MACHINES:
                rows = [row for row in of_use(comparisons(machine), use, cell) if row.complete and row.hidden >= 64]
                figures += [
                    span(map(of, rows), 0, " %"),
                    span((of(row) / row.least for row in rows), 0, " %"),
                ]
            lines.append([use.title, cell, *figures])
    return markdown([heading, *lines], 2)
