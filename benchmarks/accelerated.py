"""What the benchmarks of `fusedrnn.torch.accelerate` on others' models share: alternating rounds, and their report."""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from fusedrnn.bench import machine

Call = Callable[[], Any]

FORMAT = "fusedrnn accelerated 1"
SECONDS = 20.0


def options(doc: str | None, program: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """The options that all of them have; `command` is the line that was typed."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", help="each in turn (default: 1, and PyTorch's own number)")
    parser.add_argument("--rounds", type=int, default=7, help="of inference; of training half as many (default: 7)")
    parser.add_argument("--json", type=Path, help="write the rounds to this file as well")
    found = parser.parse_args(argv)
    threads = f" --threads {' '.join(map(str, found.threads))}" if found.threads else ""
    found.threads = found.threads or sorted({1, torch.get_num_threads()})
    rounds = f" --rounds {found.rounds}" if found.rounds != parser.get_default("rounds") else ""
    policy = os.environ.get("OMP_WAIT_POLICY")  # it decides over PyTorch's threads on a loaded machine
    found.command = f"OMP_WAIT_POLICY={policy} " if policy else ""
    found.command += f"python benchmarks/{program}{threads}{rounds}" + (f" --json {found.json}" if found.json else "")
    return found


class Comparison:
    """PyTorch's time over ours, and how far the results are apart, of one thing after the other."""

    def __init__(self, chosen: argparse.Namespace, packages: Sequence[str]) -> None:
        self.chosen = chosen
        self.machine = machine.describe(["numpy", "torch"], chosen.command)
        self.machine["versions"] |= {name: metadata.version(name) for name in packages}
        self.rows: list[dict[str, Any]] = []

    def threads(self) -> Iterator[int]:
        """Every number of threads, set."""
        for count in self.chosen.threads:
            torch.set_num_threads(count)
            yield count

    def predict(self, model: str, what: str, theirs: Call, mine: Call) -> None:
        """One row; the calls return the arrays or tensors to compare."""
        self._row(model, what, theirs, mine, self.chosen.rounds)

    def train(self, model: str, what: str, theirs: Call, mine: Call) -> None:
        """One row; each call begins anew from the same seed, and returns its losses."""
        self._row(model, what, theirs, mine, (self.chosen.rounds + 1) // 2)

    def _row(self, model: str, what: str, theirs: Call, mine: Call, rounds: int) -> None:
        a, b = theirs(), mine()  # the first calls are not timed
        apart, largest = difference(a, b), max(float(tensor(each).abs().max()) for each in a)
        found = timed_rounds(theirs, mine, rounds)
        ratios = [before / after for before, after in found]
        threads = torch.get_num_threads()
        row = {"model": model, "what": what, "threads": threads, "apart": apart, "largest": largest, "ratios": ratios}
        self.rows.append(row)
        before, after = (1e3 * statistics.median(times) for times in zip(*found, strict=True))
        print(
            f"{model}, {what}, {threads} thread{'s' * (threads > 1)}: PyTorch {before:.2f} ms, accelerated {after:.2f}"
        )
        print(f"  {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f} in a round)")
        print(f"  {apart:.1e} apart, where the largest value is {largest:.3g}", flush=True)
        self.write()

    def write(self) -> None:
        """The JSON file, if one was asked for, of the rows so far."""
        if self.chosen.json:
            document = {"format": FORMAT, "machine": self.machine, "rows": self.rows}
            self.chosen.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def tensor(values: Any) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64).detach()


def difference(a: Sequence[Any], b: Sequence[Any]) -> float:
    """The largest difference between the arrays of two results."""
    return max(float((tensor(x) - tensor(y)).abs().max()) for x, y in zip(a, b, strict=True))


def seconds(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def timed_rounds(theirs: Call, mine: Call, rounds: int) -> list[tuple[float, float]]:
    """Fewer rounds, but two, where they take longer than SECONDS."""
    found: list[tuple[float, float]] = []
    began = time.perf_counter()
    while len(found) < rounds and (len(found) < 2 or time.perf_counter() - began < SECONDS):
        found.append(timed_pair(theirs, mine, swap=len(found) % 2 == 1))
    return found


def timed_pair(theirs: Call, mine: Call, swap: bool) -> tuple[float, float]:
    """A round: the one that begins changes from round to round."""
    gc.collect()
    if swap:
        after = seconds(mine)
        return seconds(theirs), after
    return seconds(theirs), seconds(mine)
