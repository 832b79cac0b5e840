"""The speed of layers with options, beside the plain layer of the same cell: `python benchmarks/variants.py`.

Prints a table in Markdown: for each variant the plain layer's time over its own, of a call and of a training step
(`record` and `backward`), LSTM, GRU and RNN of one shape. 1 means as fast as the plain layer. Each ratio is the median
of rounds in which both take turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fusedrnn as fr

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
    ("lstm", {"learned_state": True}),
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


def ratio(plain: Callable[[], object], variant: Callable[[], object], rounds: int) -> float:
    """The plain one's time over the variant's."""
    plain(), variant()
    return statistics.median(seconds(plain) / seconds(variant) for _ in range(rounds))


def training(layer: Any, x: np.ndarray, dy: np.ndarray) -> None:
    layer.record(x)[-1].backward(dy)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--shape", default="32x50x256x256", help="BxTxIxH")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    batch, steps, inputs, hidden = map(int, options.shape.split("x"))
    fr.set_num_threads(options.threads)
    x = np.random.default_rng(0).standard_normal((steps, batch, inputs)).astype(np.float32)
    print(f"{options.shape} (B×T×I×H), float32, {fr.isa()}, {options.threads} thread(s)\n")
    print("| layer | option | call | training step |\n| --- | --- | --- | --- |")
    for cell, given in VARIANTS:
        plain, variant = LAYERS[cell](inputs, hidden, rng=0), LAYERS[cell](inputs, hidden, rng=0, **given)
        dy = [np.ones_like(layer(x)[0]) for layer in (plain, variant)]
        call = ratio(lambda: plain(x), lambda: variant(x), options.rounds)  # noqa: B023
        step = ratio(lambda: training(plain, x, dy[0]), lambda: training(variant, x, dy[1]), options.rounds // 2)  # noqa: B023
        name = ", ".join(f"{option}={value!r}" for option, value in given.items())
        print(f"| {cell.upper()} | `{name}` | {call:.2f} | {step:.2f} |", flush=True)


if __name__ == "__main__":
    main()
