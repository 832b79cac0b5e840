"""A small model with everything that a training run depends on, and its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import fusedrnn as fr

CLASSES = 5


def make_model(dtype: Any = np.float32, seed: int = 0) -> Any:
    """Dropout within layers, between them and in a connection: three generators."""
    rng = np.random.default_rng(seed)
    return fr.nn.Sequential(
        fr.nn.Embedding(CLASSES, 4, dtype=dtype, rng=rng),
        fr.nn.Residual(fr.nn.Sequential(fr.nn.Dropout(0.2, dtype=dtype, rng=seed + 1))),
        fr.LSTM(4, 6, num_layers=2, dropout=0.3, dtype=dtype, rng=seed + 2),
        fr.nn.Dropout(0.1, dtype=dtype, rng=rng),
        fr.GRU(6, 5, dtype=dtype, rng=rng),
        fr.nn.Linear(5, CLASSES, dtype=dtype, rng=rng),
    )


def make_batches(count: int, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, CLASSES, (count, 2, 7, 3))
    return [(x, y) for x, y in drawn]


def shuffled(epoch: int) -> list[Any]:
    """Another order in every epoch."""
    batches = make_batches(4)
    return [batches[k] for k in np.random.default_rng(epoch).permutation(4)]


def run_of(model: Any, optimiser: Any = None, **options: Any) -> dict[str, Any]:
    """Train, and what there is at the end."""
    optimiser = optimiser or fr.optim.Adam(model.params, lr=0.02)
    history = fr.fit(model, shuffled, optimiser, **RUN | options)
    return results(model, optimiser) | {
        "validation": np.array(history.validation).reshape(-1, 2),
        "best step": np.asarray(history.best_step or 0),
        "steps": np.asarray(history.steps),
        "epochs": np.asarray(history.epochs),
    }


RUN: dict[str, Any] = {
    "clip_norm": 0.5,
    "schedule": fr.optim.warmup(3, fr.optim.cosine(10)),
    "validation": make_batches(2, seed=9),
    "carry_state": True,
}


def results(model: Any, optimiser: Any) -> dict[str, Any]:
    drawn = {f"drawn {k}": model.record(make_batches(1)[0][0])[0] for k in range(2)}
    return {**model.params, **optimiser.state(), **drawn}


def check_same_bits(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    assert list(ours) == list(theirs)
    for name in ours:
        one, other = np.asarray(ours[name]), np.asarray(theirs[name])
        assert (one.dtype, one.shape) == (other.dtype, other.shape), name
        assert one.tobytes() == other.tobytes(), name
