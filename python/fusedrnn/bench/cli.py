"""The arguments of `python -m fusedrnn bench`."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fusedrnn
from fusedrnn._files import require_writable, whole_file
from fusedrnn.bench import implementations, machine, plot, report, results
from fusedrnn.bench.beside import command as beside
from fusedrnn.bench.beside.situations import ALL, SITUATIONS
from fusedrnn.bench.job import command as job
from fusedrnn.bench.problem import CELLS, DTYPES, MODES, Problem
from fusedrnn.bench.progress import Progress
from fusedrnn.bench.session import Plan, Session
from fusedrnn.bench.shapes import GROUPS, Shape, select

__all__ = ["main"]

MILLISECONDS = 75.0
"""How long each implementation runs in a round, unless told."""


def _names(kind: str, known: Sequence[str]) -> Callable[[str], list[str]]:
    """A converter of "a,b" into a list of known names."""

    def convert(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown {kind} {name!r}; there are {', '.join(known)}")
        return list(dict.fromkeys(chosen))

    return convert


def _shapes(text: str) -> list[Shape]:
    try:
        shapes = select([name.strip() for name in text.split(",") if name.strip()])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not shapes:
        raise argparse.ArgumentTypeError(f"expected a name, a group ({', '.join(GROUPS)}) or BxTxIxH, got nothing")
    return shapes


def _counts(text: str) -> list[int]:
    try:
        counts = [_count(part) for part in text.split(",")]
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected positive integers with commas between, got {text!r}") from None
    return list(dict.fromkeys(counts))


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, got {text!r}")
    return value


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line, on its own so that the tests and the documentation can ask it."""
    groups = "\n".join(f"  {name:<10} {meaning}" for name, meaning in GROUPS.items())
    situations = "\n".join(f"  {name:<14} {situation.meaning}" for name, situation in SITUATIONS.items())
    result = argparse.ArgumentParser(
        prog="python -m fusedrnn bench",
        description="Compare fusedrnn with its peers, and with what the machine can do. Every implementation's result "
        "is checked against the NumPy reference before it is timed. With --beside: compare fusedrnn's default threads "
        "with one thread, on a machine that is not quiet.",
        epilog=f"groups of shapes:\n{groups}\n\nsituations:\n{situations}\n\nmethod and figures: docs/performance.md",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    peers = ", ".join(implementations.PEERS)
    add = result.add_argument
    add("--against", type=_names("implementation", implementations.PEERS), metavar="NAMES",
        help=f"peers, of {peers}; those that are installed unless given")  # fmt: skip
    add("--cells", type=_names("cell", CELLS), default=list(CELLS), metavar="NAMES", help=f"of {', '.join(CELLS)}; all")
    add("--shapes", type=_shapes, default=None, metavar="NAMES",
        help="names, groups or BxTxIxH (with -bi, -ragged), with commas between; quick")  # fmt: skip
    add("--forward", dest="modes", action="append_const", const="forward", help="time the forward pass (the default)")
    add("--train", dest="modes", action="append_const", const="train", help="time forward and backward")
    add("--step", dest="modes", action="append_const", const="step", help="time one streaming step, called from Python")
    add(
        "--threads", type=_counts, metavar="N,…",
        help="thread counts, in the same rounds; 1, with --job 1 and the libraries' defaults")  # fmt: skip
    add("--dtype", choices=DTYPES, default="float32", help="float32 unless given")
    add("--isa", metavar="NAME", help="fusedrnn's instruction set: " + ", ".join(fusedrnn.available_isas()))
    add("--beside", type=_names("situation", [*SITUATIONS, ALL]), metavar="NAMES",
        help="measure beside other work, in these situations (below); all: those whose peer is installed")  # fmt: skip
    add("--job", choices=job.JOBS, help="train a whole model, beside PyTorch if that is installed")
    add("--rounds", type=_count, default=7, metavar="N", help="alternating rounds; 7")
    add("--milliseconds", type=_milliseconds, metavar="N",
        help="about how long each implementation, or setting of the threads, runs in a round; "
        f"{MILLISECONDS:g}, with --beside {beside.MILLISECONDS:g}, with --job {1e3 * job.SECONDS:g}")  # fmt: skip
    add("--no-pin", dest="pin", action="store_false", help="leave the threads to the system's scheduler")
    add("--json", type=Path, metavar="FILE", help="write every round's times (fusedrnn/bench/results.py has the keys)")
    add("--plot", type=Path, metavar="FILE", help="draw a chart (needs matplotlib)")
    add("--markdown", action="store_true", help="print Markdown")
    return result


def problems(shapes: Sequence[Shape], cells: Sequence[str], modes: Sequence[str], dtype: str) -> list[Problem]:
    """What is to be timed, mode by mode and cell by cell.

    A step has one direction, and no T: shapes that only differ in T are one step.
    """
    found: list[Problem] = []
    for mode in modes:
        seen: set[tuple[int, int, int]] = set()
        for cell in cells:
            for shape in shapes:
                size = (shape.batch, shape.inputs, shape.hidden)
                if mode == "step" and (shape.directions == 2 or size in seen):
                    continue
                seen.add(size)
                found.append(Problem(cell, shape, mode, dtype))
            seen.clear()
    return found


def _refuse_what_cannot_be(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """What can be known before anything is timed ends the command here."""
    if options.job is not None:
        job.refuse(command, options)
    elif options.beside is not None:
        beside.refuse(command, options)
    if options.isa is not None and options.isa not in fusedrnn.available_isas():
        command.error(f"--isa: {options.isa!r} is not available; there are {', '.join(fusedrnn.available_isas())}")
    if options.plot is not None:
        try:
            plot.require_matplotlib()
        except ImportError as error:
            command.error(f"--plot: needs matplotlib ({error}); pip install 'fusedrnn[bench]'")
    for name, path in (("--json", options.json), ("--plot", options.plot)):
        try:
            if path is not None:
                require_writable(path)
        except OSError as error:
            command.error(f"{name}: cannot write to {path}: {error.strerror}")


def _plan(command: argparse.ArgumentParser, options: argparse.Namespace) -> Plan:
    """The run that the options ask for."""
    modes = [mode for mode in MODES if mode in (options.modes or ["forward"])]
    against = options.against
    if against is None:
        against = [name for name in implementations.PEERS if implementations.installed(name)]
    shapes = select(["quick"]) if options.shapes is None else options.shapes
    todo = problems(shapes, options.cells, modes, options.dtype)
    if not todo:
        command.error("--step: these shapes have two directions; a stream has one")
    seconds = (MILLISECONDS if options.milliseconds is None else options.milliseconds) / 1e3
    plan = Plan(todo, against, options.threads or [1], options.rounds, seconds, options.isa, options.pin)
    allowed = machine.affinity()
    if allowed is not None and max(plan.threads) > len(allowed):
        print(f"fusedrnn bench: {max(plan.threads)} threads on {len(allowed)} CPUs: not pinned", file=sys.stderr)
    return plan


def _run(plan: Plan, command_line: str) -> tuple[dict[str, Any], bool]:
    """The document of a run, and whether it was interrupted: what is done by then is worth having."""
    document: dict[str, Any] = {
        "format": results.FORMAT,
        "machine": machine.describe(plan.against, command_line),
        "settings": results.settings(plan),
        "rows": [],
    }
    if plan.isa is not None:
        document["machine"]["isa"] = plan.isa
    with Session(plan) as session, Progress(session.steps) as bar:
        session.advance = bar.advance
        try:
            for outcome in session.run():
                document["rows"] += results.rows(outcome)
        except KeyboardInterrupt:
            return document, True
    return document, False


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; an exit code: 1 if something crashed, or computed something else than the reference."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    command = parser()
    options = command.parse_args(arguments)
    command_line = shlex.join(["python", "-m", "fusedrnn", "bench", *arguments])
    _refuse_what_cannot_be(command, options)
    if options.job is not None:
        return job.run(options, command_line)
    if options.beside is not None:
        return beside.run(options, command_line)
    plan = _plan(command, options)
    document, interrupted = _run(plan, command_line)

    if options.json is not None:
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        with whole_file(options.json) as file:
            file.write_text(text, encoding="utf-8")
    print(report.render(document, options.markdown))
    if options.plot is not None and document["rows"]:
        plot.draw(document, options.plot)
    if interrupted:
        print("fusedrnn bench: interrupted; the rows that were finished are shown", file=sys.stderr)
        return 130
    failed = any(
        result["status"] in ("wrong", "crashed") for row in document["rows"] for result in row["results"].values()
    )
    return 1 if failed else 0
