"""The rows of a run beside other work, ready for JSON or a table.

A document is {"format": 1, "machine": {…}, "settings": {…}, "rows": [row, …], "not_timed": {situation: reason}}, a row

    situation                           its name
    work                                {kind, label, size, batch, steps, inputs, hidden, layers, columns}: size is
                                        BxTxIxH, columns those of NumPy's matrix or 0
    processes, busy                     how many processes do the work at once; how many others compute
    threads                             what fusedrnn uses by default there
    by_turns                            whether another library's calls are part of a turn
    counts                              the part whose ratio is the answer: "ours" or "turn"
    parts                               {"ours": part, "turn": part}: of our calls in a turn, and of all of it; the same
                                        unless by_turns

a part

    default, one                        figures with default threads, and with one
    ratio, ratio_low, ratio_high        default over one in a round, of that round's medians: the median of all rounds,
                                        the least and the greatest

figures {median, p90, calls, blocks}: seconds of a turn, median and 90th percentile of all turns that count, and how
many they are; blocks is a list of {median, p90, calls} of every round, with several processes of each in turn.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fusedrnn.bench import timing
from fusedrnn.bench.beside.measurement import DISCARDED, MODES, Measured, Plan
from fusedrnn.bench.beside.situations import SITUATIONS
from fusedrnn.bench.beside.works import Times, Work
from fusedrnn.bench.problem import Array

__all__ = ["FORMAT", "row", "settings"]

FORMAT = 1

_LIBRARIES = ("FUSEDRNN_", "GOMP_", "KMP_", "MKL_", "OMP_", "OPENBLAS_")
"""How the names of environment variables begin that set threads, or how they wait."""


def settings(plan: Plan) -> dict[str, Any]:
    """How the run was done: what a reader needs beside the machine."""
    return {
        "situations": list(plan.situations),
        "rounds": plan.rounds,
        "seconds_per_block": plan.seconds,
        "discarded": DISCARDED,
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(_LIBRARIES)},
    }


def row(measured: Measured) -> dict[str, Any]:
    """One work in one situation."""
    situation, work = SITUATIONS[measured.situation], measured.work
    return {
        "situation": measured.situation,
        "work": _work(work),
        "processes": situation.processes,
        "busy": situation.busy,
        "threads": measured.threads,
        "by_turns": work.by_turns,
        "counts": work.counts,
        "parts": {name: _part(measured, column) for column, name in enumerate(Times._fields)},
    }


def _work(work: Work) -> dict[str, Any]:
    shape = work.shape
    return {
        "kind": work.kind,
        "label": work.label,
        "size": shape.size,
        "batch": shape.batch,
        "steps": shape.steps,
        "inputs": shape.inputs,
        "hidden": shape.hidden,
        "layers": work.layers,
        "columns": work.columns,
    }


def _part(measured: Measured, column: int) -> dict[str, Any]:
    times = {mode: [block[:, column] for block in measured.blocks[mode]] for mode in MODES}
    figures = {mode: _figures(blocks) for mode, blocks in times.items()}
    medians = {mode: [block["median"] for block in figures[mode]["blocks"]] for mode in MODES}
    ratio, low, high = timing.paired_ratios(medians["default"], medians["one"])
    return {**figures, "ratio": ratio, "ratio_low": low, "ratio_high": high}


def _figures(blocks: Sequence[Array]) -> dict[str, Any]:
    return {**_summary(np.concatenate(blocks)), "blocks": [_summary(block) for block in blocks]}


def _summary(times: Array) -> dict[str, Any]:
    return {"median": float(np.median(times)), "p90": float(np.percentile(times, 90)), "calls": len(times)}
