"""A data file as a page shows it: every run with its head, tables and notes."""

from __future__ import annotations

from fusedrnn.bench import report
from fusedrnn.bench.beside import table as beside
from performance.documents import Section, is_beside, load, read

__all__ = ["markdown", "run"]


def run(name: str) -> list[str]:
    """The whole of a data file."""
    document = load(name)
    if is_beside(document):
        return beside.render(document, markdown=True).split("\n")
    lines = [line for section in read(name) for line in _section(section)]
    return [*lines, report.LEGEND.replace("*", "\\*")]


def _section(section: Section) -> list[str]:
    lines = [f"## {section.heading}", "", *report.head(list(section.head.items()), markdown=True), ""]
    for table in section.tables:
        text = 3 if "B×T×I×H" in table.columns else 1
        lines += [f"### {table.heading}", "", *markdown([table.columns, *table.rows], text), ""]
    for title, entries in section.notes.items():
        lines += [f"{title}:", "", *(f"* {entry}" for entry in entries), ""]
    return lines


def markdown(rows: list[list[str]], text: int) -> list[str]:
    """A table, the heading first; the first `text` columns are text, the others figures."""
    rule = ["---"] * text + ["---:"] * (len(rows[0]) - text)
    return [
        "| " + " | ".join(cell.replace("*", "\\*") for cell in cells) + " |" for cells in [rows[0], rule, *rows[1:]]
    ]
