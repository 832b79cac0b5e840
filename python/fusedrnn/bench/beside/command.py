"""From the options of `bench --beside` to its exit code."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from typing import Any

from fusedrnn.bench import implementations, machine
from fusedrnn.bench.beside import results, table
from fusedrnn.bench.beside.busy import GoneError
from fusedrnn.bench.beside.measurement import Plan, measure, steps
from fusedrnn.bench.beside.situations import ALL, SITUATIONS, expand
from fusedrnn.bench.implementations import UnavailableError
from fusedrnn.bench.progress import Progress
from fusedrnn.bench.remote import CrashedError

__all__ = ["MILLISECONDS", "refuse", "run"]

MILLISECONDS = 700.0
"""How long a block is unless told: several times what a library that adapts its threads takes to do so."""

_OF_THE_COMPARISON = {
    "against": "--against",
    "cells": "--cells",
    "shapes": "--shapes",
    "modes": "--forward, --train and --step",
    "threads": "--threads",
    "dtype": "--dtype",
    "isa": "--isa",
    "pin": "--no-pin",
    "plot": "--plot",
}
"""Options that say what is compared with the peers, and mean nothing here."""


def refuse(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the command where the options contradict each other, or ask by name for a peer that is missing."""
    if not options.beside:
        command.error(f"--beside: expected names, of {', '.join(SITUATIONS)}, or {ALL}; got nothing")
    for name, flag in _OF_THE_COMPARISON.items():
        if getattr(options, name) != command.get_default(name):
            command.error(f"--beside: not with {flag}: what is timed belongs to the situation")
    for name in options.beside:
        reason = None if name == ALL else _missing(name)
        if reason is not None:
            command.error(f"--beside: {name}: {reason}")


def _missing(name: str) -> str | None:
    """Why a situation cannot be: None if it can."""
    peer = SITUATIONS[name].peer
    if peer is None or implementations.installed(peer):
        return None
    return f"not installed; pip install {' '.join(implementations.load(peer).DISTRIBUTIONS)}"


def run(options: argparse.Namespace, command_line: str) -> int:
    """Measure, write and print; 1 if a situation could not be measured to its end, 130 if interrupted."""
    chosen = expand(options.beside)
    missing = {name: reason for name in chosen if (reason := _missing(name)) is not None}
    there = [name for name in chosen if name not in missing]
    seconds = (MILLISECONDS if options.milliseconds is None else options.milliseconds) / 1e3
    plan = Plan(there, options.rounds, seconds)
    peers = [peer for name in there if (peer := SITUATIONS[name].peer) is not None]
    document: dict[str, Any] = {
        "format": results.FORMAT,
        "machine": machine.describe(["numpy", *peers], command_line),
        "settings": results.settings(plan),
        "rows": [],
        "not_timed": missing,
    }
    interrupted = _measure(plan, document)
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table.render(document, options.markdown))
    if interrupted:
        print("fusedrnn bench: interrupted; the rows that were finished are shown", file=sys.stderr)
        return 130
    return 1 if set(document["not_timed"]) & set(there) else 0


def _measure(plan: Plan, document: dict[str, Any]) -> bool:
    """Fill in the rows; whether it was interrupted: what is done by then is worth having."""
    with Progress(sum(steps(plan, name) for name in plan.situations)) as bar:
        for name in plan.situations:
            try:
                with closing(measure(plan, name, bar.advance)) as found:
                    for measured in found:
                        document["rows"].append(results.row(measured))
            except (UnavailableError, CrashedError, GoneError) as error:
                document["not_timed"][name] = str(error)
            except KeyboardInterrupt:
                return True
    return False
