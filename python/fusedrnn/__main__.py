"""`python -m fusedrnn [info | bench]`."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import fusedrnn


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _threads() -> dict[str, str]:
    """What threads cost here. Measured: it takes about 0.1 s."""
    costs = {name: value / 1e3 for name, value in fusedrnn._core.thread_costs().items()}
    awake, asleep = costs["start_awake"], costs["start_asleep"]
    return {
        "processors": str(fusedrnn._core.processors()),
        "another thread begins": f"{awake:.1f} us after it is called, {asleep:.0f} us if asleep",
        "a barrier of two": f"{costs['barrier']:.2f} us",
        "a second thread": f"for calls of {costs['worth_a_second_thread']:.0f} us and more",
    }


def info() -> str:
    """The build and the machine, as aligned lines of plain text."""
    lines: dict[str, Any] = {
        "fusedrnn": fusedrnn.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}",
        "numpy": np.__version__,
        "isa in use": fusedrnn.isa(),
        "isas available": fusedrnn.available_isas(),
        "threads": fusedrnn.get_num_threads(),
    }
    lines |= _threads()
    known = {"version", "isa", "available_isas", "num_threads"}
    lines |= {key.replace("_", " "): value for key, value in fusedrnn.build_info().items() if key not in known}
    width = max(map(len, lines))
    return "\n".join(f"{key:<{width}}  {_text(value)}" for key, value in lines.items())


OVERVIEW = """\
fusedrnn {version}: fast recurrent networks on a CPU

commands
  python -m fusedrnn info          the build, the instruction sets and the threads
  python -m fusedrnn bench         times beside those of the libraries that are installed
  python -m fusedrnn bench --help  its options, among them --job char-lm: a whole training job

in Python
  help(fusedrnn)                   the public names by topic; help(fusedrnn.LSTM) is about one

in the source tree
  README.md                        what it is, and twenty lines to begin with
  docs/                            guide, how-to pages, API, design; docs/index.md lists them
                                   (pip install '.[docs]'; sphinx-build -b html docs build/docs)
  examples/                        a program for every use; python examples/run_all.py runs all
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; an exit code. Without a command it says what there is."""
    parser = argparse.ArgumentParser(prog="python -m fusedrnn", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("info", help="print the build, the instruction sets and the threads")
    commands.add_parser("bench", help="print a comparison table", add_help=False)
    options, rest = parser.parse_known_args(argv)
    if options.command == "bench":
        from fusedrnn import bench

        return bench.main(rest)
    if options.command is None and not rest:
        print(OVERVIEW.format(version=fusedrnn.__version__), end="")
        return 0
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    print(info())
    return 0


if __name__ == "__main__":
    sys.exit(main())
