"""The rows of a run, ready for JSON, a table or a chart.

A document is {"format": 1, "machine": {…}, "settings": {…}, "rows": [row, …]}, a row

    mode, cell, dtype, threads          "forward" | "train" | "step"; …
    shape                               {name, batch, steps, inputs, hidden, directions, ragged, size}
    results                             {implementation: result}
    best_peer                           the fastest other implementation's name, or null
    ratio, ratio_low, ratio_high        how many times longer the best peer takes: of the medians, and the least and
                                        greatest of one round; null without a peer
    ratio_least                         the same of the least times: what is left where the machine is disturbed
    scaling, scaling_least              how many times faster fusedrnn is than with one thread, same rounds: by medians,
                                        and by least times; or null
    machine_scaling                     the same of the ceiling that bounds the row, FMA peak or bandwidth: what the
                                        machine had to give; or null
    gflops                              1e9 operations a second of fusedrnn, see roofline.py
    roofline                            null or {peak_gflops, gbytes_per_s, footprint_bytes, operations, bytes,
                                        bound_seconds, phased_seconds, limit, of_bound, of_phased, of_peak,
                                        of_bound_least, of_phased_least}

and a result

    status                              "timed" | "unavailable" | "wrong" | "crashed"
    seconds                             median seconds of one call, or null
    rounds                              seconds per call of every round
    least                               seconds per call of the fastest 64th (or single call) of any round, or null
    calls, variant, error, detail       calls a round; which set-up; relative error; why not timed
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fusedrnn.bench import machine, roofline, timing
from fusedrnn.bench.implementations import OURS
from fusedrnn.bench.session import Entry, Outcome, Plan

__all__ = ["FORMAT", "rows", "settings"]

FORMAT = 1

Row = dict[str, Any]


def settings(plan: Plan) -> dict[str, Any]:
    """How the run was done: what a reader needs beside the machine."""
    return {
        "rounds": plan.rounds,
        "seconds_per_round": plan.seconds,
        "threads": list(plan.threads),
        "pinned_to": {str(n): machine.pinned(n) if plan.pin else None for n in plan.threads},
        "against": list(plan.against),
        "isa": plan.isa,
    }


def rows(outcome: Outcome) -> list[Row]:
    """One row for every number of threads."""
    counts = dict.fromkeys(threads for _, threads in outcome.entries)
    return [_row(outcome, threads) for threads in counts]


def _row(outcome: Outcome, threads: int) -> Row:
    problem, shape = outcome.problem, outcome.problem.shape
    entries = {name: entry for (name, count), entry in outcome.entries.items() if count == threads}
    ours = entries[OURS]
    medians = {name: entry.seconds for name, entry in entries.items()}
    peers = {name: seconds for name, seconds in medians.items() if seconds is not None and name != OURS}
    best = min(peers, key=peers.__getitem__, default=None)
    ratio: tuple[float, float, float] | tuple[None, None, None] = (None, None, None)
    if best is not None and ours.seconds is not None:
        ratio = timing.paired_ratios(entries[best].times, ours.times)
    work = roofline.work(problem)
    return {
        "mode": problem.mode,
        "cell": problem.cell,
        "dtype": problem.dtype,
        "threads": threads,
        "shape": {
            "name": shape.name,
            "batch": shape.batch,
            "steps": 1 if problem.mode == "step" else shape.steps,
            "inputs": shape.inputs,
            "hidden": shape.hidden,
            "directions": shape.directions,
            "ragged": problem.lengths is not None,
            "size": f"{shape.batch}x1x{shape.inputs}x{shape.hidden}" if problem.mode == "step" else shape.size,
        },
        "results": {name: _result(entry) for name, entry in entries.items()},
        "best_peer": best,
        "ratio": ratio[0],
        "ratio_low": ratio[1],
        "ratio_high": ratio[2],
        "ratio_least": None if best is None else _ratio_of_least(entries),
        "scaling": _scaling(outcome, threads, lambda entry: entry.seconds),
        "scaling_least": _scaling(outcome, threads, lambda entry: entry.least),
        "machine_scaling": _machine_scaling(work, outcome, threads),
        "gflops": None if ours.seconds is None else work.operations / ours.seconds / 1e9,
        "roofline": _roofline(work, outcome, threads, ours),
    }


def _ratio_of_least(entries: dict[str, Entry]) -> float | None:
    least = {name: entry.least for name, entry in entries.items() if entry.least is not None}
    ours = least.pop(OURS, None)
    return min(least.values()) / ours if ours and least else None


def _result(entry: Entry) -> dict[str, Any]:
    return {
        "status": entry.status,
        "seconds": entry.seconds,
        "rounds": entry.times,
        "least": entry.least,
        "calls": entry.calls,
        "variant": entry.variant,
        "error": entry.error,
        "detail": entry.detail,
    }


def _scaling(outcome: Outcome, threads: int, seconds: Callable[[Entry], float | None]) -> float | None:
    if threads == 1 or (OURS, 1) not in outcome.entries:
        return None
    one, many = seconds(outcome.entries[OURS, 1]), seconds(outcome.entries[OURS, threads])
    return None if one is None or many is None else one / many


def _machine_scaling(work: roofline.Work, outcome: Outcome, threads: int) -> float | None:
    one, many = outcome.ceiling(1), outcome.ceiling(threads)
    if threads == 1 or one is None or many is None:
        return None
    limit = roofline.bound(work, one["gflops"], one["gbytes_per_s"]).limit
    name = "gflops" if limit == "arithmetic" else "gbytes_per_s"
    return many[name] / one[name]


def _roofline(work: roofline.Work, outcome: Outcome, threads: int, ours: Entry) -> dict[str, Any] | None:
    ceiling, seconds = outcome.ceiling(threads), ours.seconds
    if ceiling is None or seconds is None:
        return None
    bound = roofline.bound(work, ceiling["gflops"], ceiling["gbytes_per_s"])
    best = {name: max(round_[name] for round_ in outcome.ceilings[threads]) for name in ceiling}
    least = roofline.bound(work, best["gflops"], best["gbytes_per_s"])
    return {
        "peak_gflops": ceiling["gflops"],
        "gbytes_per_s": ceiling["gbytes_per_s"],
        "footprint_bytes": work.footprint,
        "operations": work.operations,
        "bytes": work.bytes,
        "bound_seconds": bound.seconds,
        "phased_seconds": bound.phased_seconds,
        "limit": bound.limit,
        "of_bound": bound.seconds / seconds,
        "of_phased": bound.phased_seconds / seconds,
        "of_peak": work.operations / seconds / (ceiling["gflops"] * 1e9),
        "of_bound_least": None if ours.least is None else least.seconds / ours.least,
        "of_phased_least": None if ours.least is None else least.phased_seconds / ours.least,
    }
