"""The speed of layers with options, beside the plain layer of the same cell.

    python benchmarks/variants.py [--shape BxTxIxH] [--threads N] [--rounds N] [--json FILE]

For each option it prints the plain layer's time over the layer's own, of a call and of a training step (`record` and
`backward`): 1 means as fast as the plain layer. Each is the median of rounds in which both take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fusedrnn as fr
from fusedrnn.bench import machine

FORMAT = "fusedrnn variants 1"

LAYERS = {"lstm": fr.LSTM, "gru": fr.GRU, "rnn": fr.RNN}

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("lstm", {"peephole": True}),
    ("lstm", {"coupled": True}),
    ("lstm", {"proj_size": 128}),
    ("lstm", {"proj_size": 128, "peephole": True}),
    ("lstm", {"clip": 3.0}),
    ("lstm", {"cell_clip": 3.0}),
    ("lstm", {"activations": ("hard_sigmoid", "tanh", "softsign")}),
    ("lstm", {"zoneout": 0.1}),
    ("lstm", {"recurrent_dropout": 0.1}),
    ("lstm", {"layer_norm": True}),
    ("gru", {"reset_after": False}),
    ("gru", {"minimal": True}),
    ("gru", {"layer_norm": True}),
    ("rnn", {"nonlinearity": "elu"}),
    ("rnn", {"independent": True}),
]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ratios(plain: Callable[[], object], variant: Callable[[], object], rounds: int) -> list[float]:
    """The plain one's time over the variant's, round by round."""
    plain(), variant()
    return [seconds(plain) / seconds(variant) for _ in range(rounds)]


def training(layer: Any, x: np.ndarray, dy: np.ndarray) -> None:
    layer.record(x)[-1].backward(dy)


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="32x50x256x256", help="BxTxIxH (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=40, help="of calls; of training half as many (default: 40)")
    parser.add_argument("--json", type=Path, help="write the rounds to this file as well")
    return parser.parse_args(argv)


def measured(cell: str, given: dict[str, Any], shape: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """One row: an option, and the ratios of all rounds."""
    batch, steps, inputs, hidden = shape
    x = np.random.default_rng(0).standard_normal((steps, batch, inputs)).astype(np.float32)
    plain, variant = LAYERS[cell](inputs, hidden, rng=0), LAYERS[cell](inputs, hidden, rng=0, **given)
    dy, dy_of_variant = np.ones_like(plain(x)[0]), np.ones_like(variant(x)[0])
    return {
        "cell": cell,
        "option": ", ".join(f"{option}={value!r}" for option, value in given.items()),
        "call": ratios(lambda: plain(x), lambda: variant(x), rounds),
        "training": ratios(lambda: training(plain, x, dy), lambda: training(variant, x, dy_of_variant), rounds // 2),
    }


def main(argv: Sequence[str] | None = None) -> None:
    chosen = options(argv)
    fr.set_num_threads(chosen.threads)
    shape = tuple(map(int, chosen.shape.split("x")))
    described = machine.describe(["numpy"], f"python benchmarks/variants.py --rounds {chosen.rounds}")
    rows = []
    for cell, given in VARIANTS:
        row = measured(cell, given, shape, chosen.rounds)
        rows.append(row)
        call, step = (statistics.median(row[what]) for what in ("call", "training"))
        print(f"{cell:4} {row['option']:60} call {call:.2f}, training step {step:.2f}", flush=True)
    if chosen.json:
        head = {"format": FORMAT, "machine": described, "shape": chosen.shape, "threads": chosen.threads}
        chosen.json.write_text(json.dumps(head | {"rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
