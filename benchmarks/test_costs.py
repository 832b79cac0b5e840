"""What an option or an input costs beside the plain case, fusedrnn alone: one group per question, the plain case first.

    pytest benchmarks/test_costs.py --benchmark-only --benchmark-sort=name --benchmark-columns=median,min,rounds

What needs two CPUs is skipped without FUSEDRNN_BENCH_THREADS=2.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import fusedrnn as fr
from fusedrnn.bench.problem import CELLS, layer_class

Layer = fr.LSTM | fr.GRU | fr.RNN


def numbers(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def train(layer: Layer, x: NDArray[np.float32], dy: NDArray[np.float32], checkpoint: int | None = None) -> int:
    """One forward and backward pass; the tape's bytes."""
    tape = layer.record(x, checkpoint=checkpoint)[-1]
    kept = tape.nbytes  # backward lets go of it
    tape.backward(dy)
    return kept


@pytest.mark.parametrize("every", [None, 100, 10], ids=["1-whole-tape", "2-every-100", "3-every-10"])
@pytest.mark.parametrize("cell", CELLS)
def test_checkpoint(benchmark: Callable[..., object], cell: str, every: int | None) -> None:
    """T = 10 000: time, and in extra_info the bytes that the tape keeps."""
    layer = layer_class(fr, cell)(64, 64, rng=0)
    x, dy = numbers(10_000, 4, 64), numbers(10_000, 4, 64, seed=1)
    benchmark.group = f"checkpoint {cell} 4×10000×64×64"
    with fr.threads(1):
        benchmark.extra_info["tape_bytes"] = train(layer, x, dy, every)
        benchmark(train, layer, x, dy, every)


@pytest.mark.parametrize("scale", [1.0, 1e-40], ids=["1-normal", "2-denormal"])
@pytest.mark.parametrize("cell", CELLS)
def test_denormal_input(benchmark: Callable[..., object], cell: str, scale: float) -> None:
    """Every input is below the smallest normal number."""
    layer = layer_class(fr, cell)(128, 128, rng=0)
    x, dy = numbers(50, 8, 128) * np.float32(scale), numbers(50, 8, 128, seed=1)
    benchmark.group = f"denormal input, training {cell} 8×50×128×128"
    with fr.threads(1):
        benchmark(train, layer, x, dy)


@pytest.mark.parametrize("changes", [False, True], ids=["1-same-weights", "2-changed-weights"])
@pytest.mark.parametrize("size", [(1, 100, 128), (8, 50, 128), (32, 50, 256), (64, 50, 512)], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_packing(benchmark: Callable[..., object], cell: str, size: tuple[int, int, int], changes: bool) -> None:
    """A training step whose weights have changed packs them anew, forward and backward."""
    batch, steps, hidden = size
    layer = layer_class(fr, cell)(hidden, hidden, rng=0)
    x, dy = numbers(steps, batch, hidden), numbers(steps, batch, hidden, seed=1)
    weights = list(layer.params.values())

    def step() -> None:
        if changes:
            for weight in weights:
                weight.flat[0] += np.float32(1e-3)
        train(layer, x, dy)

    benchmark.group = f"packing, training {cell} {batch}×{steps}×{hidden}×{hidden}"
    with fr.threads(1):
        benchmark(step)


@pytest.mark.parametrize("threads", [1, 2], ids=["1-one-thread", "2-two-threads"])
@pytest.mark.parametrize("size", [(2, 100, 32), (2, 100, 64), (2, 100, 128), (4, 1000, 64)], ids=str)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_layers_on_two_threads(
    benchmark: Callable[..., object], cell: str, size: tuple[int, int, int], threads: int
) -> None:
    """One row through several layers: where units are too few to be split, each thread takes layers of its own."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one CPU only: FUSEDRNN_BENCH_THREADS=2")
    layers, steps, hidden = size
    layer = layer_class(fr, cell)(hidden, hidden, num_layers=layers, rng=0)
    x = numbers(steps, 1, hidden)
    benchmark.group = f"two threads, forward {cell}, {layers} layers, 1×{steps}×{hidden}×{hidden}"
    with fr.threads(threads):
        benchmark(layer, x)
