"""The layers of `fusedrnn.torch` beside torch.nn's: one step, sequences and training, in alternating rounds.

    python benchmarks/torch_layers.py [--threads N] [--rounds N] [--only step|forward|train]

Of each problem it prints the medians of both in microseconds a call, and how many times as fast the first is. float32;
a step feeds the state of the step before; training is forward, sum and backward.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

import fusedrnn.torch as ours

STEPS = (16, 64, 128, 256)
SEQUENCES = ((1, 100, 64, 64), (8, 50, 128, 128), (32, 50, 256, 256))


def pair(name: str, inputs: int, hidden: int) -> tuple[Any, Any]:
    theirs, mine = getattr(torch.nn, name)(inputs, hidden), getattr(ours, name)(inputs, hidden)
    mine.load_state_dict(theirs.state_dict())
    return theirs, mine


def step(module: Any, size: int) -> Callable[[], None]:
    is_cell = isinstance(module, torch.nn.RNNCellBase)
    x = torch.randn(1, size) if is_cell else torch.randn(1, 1, size)
    state: list[Any] = [None]

    def call() -> None:
        with torch.inference_mode():
            held = state[0]
            for _ in range(50):
                found = module(x, held)
                held = found if is_cell else found[1]
            state[0] = held

    return call


def forward(module: Any, x: Any) -> Callable[[], None]:
    def call() -> None:
        with torch.inference_mode():
            module(x)

    return call


def train(module: Any, x: Any) -> Callable[[], None]:
    def call() -> None:
        module.zero_grad()
        module(x)[0].sum().backward()

    return call


def problems(only: str | None) -> Iterator[tuple[str, Callable[[], None], Callable[[], None], int]]:
    """What, torch.nn's call, ours, and how many calls each is."""
    if only in (None, "step"):
        for name in ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell"):
            for size in STEPS:
                theirs, mine = pair(name, size, size)
                yield f"{name}, a step, {size}", step(theirs, size), step(mine, size), 50
    for what, make in (("forward", forward), ("train", train)):
        if only in (None, what):
            for name in ("LSTM", "GRU"):
                for rows, steps, inputs, hidden in SEQUENCES:
                    theirs, mine = pair(name, inputs, hidden)
                    x = torch.randn(steps, rows, inputs)
                    yield f"{name}, {what}, {rows}x{steps}x{inputs}x{hidden}", make(theirs, x), make(mine, x), 1


def seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--only", choices=("step", "forward", "train"))
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    print(f"{'':34}{'torch.nn':>12}{'fusedrnn':>12}{'times':>8}")
    for what, theirs, mine, calls in problems(options.only):
        theirs(), mine()
        rounds = [(seconds(theirs), seconds(mine)) for _ in range(options.rounds)]
        a, b = (statistics.median(times) / calls * 1e6 for times in zip(*rounds, strict=True))
        print(f"{what:34}{a:12.1f}{b:12.1f}{a / b:8.2f}")


if __name__ == "__main__":
    main()
