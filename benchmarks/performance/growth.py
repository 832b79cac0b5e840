"""How cost grows with the sizes, with ragged batches, and off the block of units: from the rows of those runs."""

from __future__ import annotations

from fusedrnn.bench.shapes import select
from performance.documents import MACHINES
from performance.records import Record, records
from performance.runs import markdown
from performance.summaries import WORK, span

__all__ = ["growth", "off_block", "ragged"]


def _of_run(machine: str, start: str) -> list[Record]:
    return [row for row in records(machine) if row.run.startswith(start)]


def growth() -> list[str]:
    """LSTM: time of a row's step, and operations a second, along T, B and H."""
    found = [{row.label: row for row in _of_run(machine, "Growth")} for machine in MACHINES]
    heading = ["B×T×I×H", *(f"{machine}: {unit}" for machine in MACHINES for unit in ("µs a row and step", "GFLOP/s"))]
    lines = []
    for label in dict.fromkeys(label for rows in found for label in rows):
        figures = [_per_step(rows.get(label)) for rows in found]
        lines.append([label, *(figure for pair in figures for figure in pair)])
    return markdown([heading, *lines], 1)


def _per_step(row: Record | None) -> tuple[str, str]:
    if row is None:
        return "–", "–"
    return f"{1e6 * row.time / (row.batch * row.steps):.2f}", f"{row.gflops:.3g}"


def ragged() -> list[str]:
    """A ragged batch's time over its padded twin's, as a share of the useful steps: 1 costs no padding."""
    lines = []
    for mode in ("forward", "train"):
        for cell in ("lstm", "gru"):
            figures = [span(_over_padded(machine, mode, cell)) for machine in MACHINES]
            lines.append([WORK[mode], cell, *figures])
    return markdown([["work", "cell", *MACHINES], *lines], 2)


def _over_padded(machine: str, mode: str, cell: str) -> list[float]:
    rows = {row.label: row for row in _of_run(machine, "Ragged") if (row.mode, row.cell) == (mode, cell)}
    ratios = []
    for label, row in rows.items():
        if label.endswith(" ragged"):
            (shape,) = select([label.replace(" ", "-").replace("×", "x")])
            useful = shape.useful_steps / (shape.batch * shape.steps)
            ratios.append(row.time / (useful * rows[label.removesuffix(" ragged")].time))
    return ratios


def off_block() -> list[str]:
    """The time of a size that is no multiple of the block, over that of the multiple above."""
    lines = []
    for cell in ("lstm", "gru"):
        for size, above in ((100, 112), (1000, 1008)):
            figures = []
            for machine in MACHINES:
                times = {row.hidden: row.time for row in _of_run(machine, "Sizes off") if row.cell == cell}
                figures.append(f"{times[size] / times[above]:.2f}" if size in times and above in times else "–")
            lines.append([cell, f"{size} / {above}", *figures])
    return markdown([["cell", "H", *MACHINES], *lines], 2)
