"""Renders the figures of README.md and docs/performance from docs/performance/data.

    python benchmarks/pages.py                          # write the pages and the chart
    python benchmarks/pages.py --check                  # exit 1 where one differs from its data
    python benchmarks/pages.py --add run.json NAME      # a run of `fusedrnn bench --json` as data/NAME.json
    python benchmarks/pages.py --add stages.txt NAME --head commit=… --head command=…   # what stage_times printed

A page is text with marked regions (performance/regions.py); `<!-- begin run NAME -->` and `<!-- end -->` on lines of
their own hold a whole data file. `--add` leaves out what no page shows: the times of single rounds and blocks, and the
folders of the files that the command wrote.
A new machine in the summaries is a line of `MACHINES` in performance/documents.py.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from performance import chart, documents, listing, regions


def pages() -> list[Path]:
    """Every page that has regions."""
    root = documents.ROOT
    return [root / "README.md", root / "docs/performance.md", *sorted((root / "docs/performance").glob("*.md"))]


def stale() -> list[Path]:
    """Pages that differ from their data, and the chart if it does."""
    found = [page for page in pages() if regions.fill(text := page.read_text(encoding="utf-8")) != text]
    drawn = chart.PATH.read_text(encoding="utf-8") if chart.PATH.exists() else ""
    return found if chart.digest() in drawn else [*found, chart.PATH]


def add(source: Path, name: str, head: dict[str, str]) -> None:
    """Keep a run: JSON, a line for every row, or a list of stages."""
    text = source.read_text(encoding="utf-8")
    path = documents.DATA / f"{name}.json"
    if text.startswith("{"):
        path.write_text(kept(json.loads(text), head.get("heading")), encoding="utf-8")
    else:
        path.write_text(
            json.dumps(listing.document(text, name, head), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )


def kept(run: dict[str, Any], heading: str | None) -> str:
    """A run as a data file."""
    document = documents.compact(run) | ({} if heading is None else {"heading": heading})
    machine = document["machine"]
    machine["command"] = re.sub(r"(--(?:json|plot) )\S*/", r"\1", machine["command"])
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in document.pop("rows"))
    fields = [f' "{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in document.items()]
    return "{\n" + ",\n".join([*fields, f' "rows": [\n  {rows}\n ]']) + "\n}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(description="Render the pages of figures from docs/performance/data.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page differs from its data")
    parser.add_argument("--add", nargs=2, metavar=("FILE", "NAME"), help="copy a run's JSON file to the data")
    parser.add_argument(
        "--head",
        action="append",
        default=[],
        metavar="KEY=TEXT",
        help="with --add: the heading of a run; commit, command and what else must be said of a list of stages",
    )
    options = parser.parse_args(arguments)
    if options.add:
        add(Path(options.add[0]), options.add[1], dict(each.split("=", 1) for each in options.head))
        return 0
    found = stale()
    for path in found:
        print(f"{path.relative_to(documents.ROOT)} differs from its data")
        if not options.check:
            chart.draw() if path == chart.PATH else path.write_text(regions.fill(path.read_text("utf-8")), "utf-8")
    return 1 if found and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
