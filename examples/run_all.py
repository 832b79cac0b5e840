"""Run all examples, and print what each measured beside its baseline.

    python examples/run_all.py [NAME …] [--threads N]

An example is a file of this folder with a function `run`, which returns at least "metric", "value" and "baseline".
Whether more or less of it is better, the name of the metric says. `real_models.py` is none of these: it trains nothing,
and downloads what it runs.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import fusedrnn as fr

FOLDER = Path(__file__).resolve().parent


def names() -> list[str]:
    """The examples that are here."""
    return [path.stem for path in sorted(FOLDER.glob("*.py")) if "\ndef run(" in path.read_text(encoding="utf-8")]


def number(value: float) -> str:
    """Four digits at most, as a table wants them."""
    return f"{value:.4g}"


def table(rows: list[tuple[str, str, str, str, str]]) -> Iterator[str]:
    """Aligned lines: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        words = "  ".join(cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True))
        yield words + "".join(cell.rjust(2 + width) for cell, width in zip(row[2:], widths[2:], strict=True))


def main(argv: list[str] | None = None) -> int:
    """Run the examples; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which; all by default: {', '.join(names())}")
    parser.add_argument("--threads", type=int, default=fr.get_num_threads())
    options = parser.parse_args(argv)
    unknown = [name for name in options.names if name not in names()]
    if unknown:
        parser.error(f"no such example: {', '.join(unknown)}; there are {', '.join(names())}")
    if options.threads < 1:
        parser.error("argument --threads: expected at least one")
    sys.path.insert(0, str(FOLDER))
    rows = [("example", "metric", "value", "baseline", "seconds")]
    failed = 0
    for name in options.names or names():
        print(f"{name} …", file=sys.stderr, flush=True)
        began = time.perf_counter()
        try:
            with fr.threads(options.threads):
                found = importlib.import_module(name).run()
            shown = found["metric"], number(found["value"]), number(found["baseline"])
        except (Exception, SystemExit):  # the others are to run all the same
            traceback.print_exc()
            failed += 1
            shown = "failed", "", ""
        rows.append((name, *shown, f"{time.perf_counter() - began:.1f}"))
    print("\n".join(table(rows)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
