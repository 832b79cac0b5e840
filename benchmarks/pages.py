"""Renders the figures of README.md and docs/performance from docs/performance/data.

    python benchmarks/pages.py                          # write the pages and the chart
    python benchmarks/pages.py --check                  # exit 1 where one differs from its data
    python benchmarks/pages.py --add run.json NAME      # a run of `fusedrnn bench --json` as data/NAME.json

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

from performance import chart, documents, regions


def pages() -> list[Path]:
    """Every page that has regions."""
    root = documents.ROOT
    return [root / "README.md", root / "docs/performance.md", *sorted((root / "docs/performance").glob("*.md"))]


def stale() -> list[Path]:
    """Pages that differ from their data, and the chart if it does."""
    found = [page for page in pages() if regions.fill(text := page.read_text(encoding="utf-8")) != text]
    drawn = chart.PATH.read_text(encoding="utf-8") if chart.PATH.exists() else ""
    return found if chart.digest() in drawn else [*found, chart.PATH]


def add(source: Path, name: str) -> None:
    """Keep a run, a line for every row."""
    document = documents.compact(json.loads(source.read_text(encoding="utf-8")))
    machine = document["machine"]
    machine["command"] = re.sub(r"(--(?:json|plot) )\S*/", r"\1", machine["command"])
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in document.pop("rows"))
    fields = [f' "{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in document.items()]
    text = "{\n" + ",\n".join([*fields, f' "rows": [\n  {rows}\n ]']) + "\n}\n"
    (documents.DATA / f"{name}.json").write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(description="Render the pages of figures from docs/performance/data.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page differs from its data")
    parser.add_argument("--add", nargs=2, metavar=("FILE", "NAME"), help="copy a run's JSON file to the data")
    options = parser.parse_args(arguments)
    if options.add:
        add(Path(options.add[0]), options.add[1])
        return 0
    found = stale()
    for path in found:
        print(f"{path.relative_to(documents.ROOT)} differs from its data")
        if not options.check:
            chart.draw() if path == chart.PATH else path.write_text(regions.fill(path.read_text("utf-8")), "utf-8")
    return 1 if found and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
