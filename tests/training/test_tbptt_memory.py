"""`tbptt` over a million steps holds one window and one chunk, as over any number."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

import fusedrnn as fr


@pytest.mark.parametrize(("k1", "k2", "chunk"), [(400, 400, 1000), (400, 900, 3000), (500, 500, 30), (1000, 1700, 170)])
def test_memory_stays_as_it_is(k1: int, k2: int, chunk: int) -> None:
    model = fr.nn.Sequential(fr.nn.Embedding(3, 2, rng=0), fr.GRU(2, 2, rng=1), fr.nn.Linear(2, 3, rng=2))
    optimiser = fr.optim.SGD(model.params)
    steps, rng = 1_000_000, np.random.default_rng(0)

    def chunks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for _ in range(-(-steps // chunk)):
            x = rng.integers(0, 3, (chunk, 1))
            yield x, x

    held: list[int] = []
    tracemalloc.start()
    try:
        for update in fr.tbptt(model, chunks(), k1=k1, k2=k2):
            optimiser.step(update.gradients)
            if update.step % (steps // 10) < k1:
                held.append(tracemalloc.get_traced_memory()[0])
                if len(held) == 2:
                    tracemalloc.reset_peak()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    bytes_of_a_step = 200  # token, target, reset, outputs and gradients
    window = bytes_of_a_step * (max(k2, k1) + 2 * chunk)
    assert len(held) >= 9
    assert max(held) - held[1] < window
    assert peak - held[1] < 4 * window + 50_000
