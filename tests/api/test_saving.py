"""Layers, parts and models are saved and loaded by safetensors, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr

MAKE: dict[str, Any] = {
    "layer": lambda rng: fr.LSTM(3, 5, num_layers=2, bidirectional=True, proj_size=2, rng=rng),
    "cell": lambda rng: fr.GRUCell(3, 5, rng=rng),
    "part": lambda rng: fr.nn.Linear(3, 5, rng=rng),
    "model": lambda rng: fr.nn.Sequential(fr.nn.Embedding(7, 3, rng=rng), fr.nn.Residual(fr.GRU(3, 3, rng=rng))),
}


@pytest.mark.parametrize("kind", MAKE)
def test_what_is_saved_is_loaded(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "params.safetensors"
    saved, loaded = MAKE[kind](1), MAKE[kind](2)
    saved.save(path)
    loaded.load(str(path))
    for name, array in saved.params.items():
        np.testing.assert_array_equal(loaded.params[name], array)


def test_best_parameters_of_a_checkpoint(tmp_path: Path) -> None:
    model = fr.nn.Sequential(fr.GRU(2, 3, rng=1), fr.nn.Linear(3, 4, rng=1))
    rng = np.random.default_rng(0)
    batches = [(rng.standard_normal((5, 2, 2)).astype(np.float32), rng.integers(0, 4, (5, 2)))]
    path = tmp_path / "run.safetensors"
    fr.fit(model, batches, fr.optim.Adam(model.params), epochs=3, validation=batches, checkpoint=path, progress=False)
    other = fr.nn.Sequential(fr.GRU(2, 3, rng=5), fr.nn.Linear(3, 4, rng=5))
    other.load(path)
    np.testing.assert_array_equal(other(batches[0][0])[0], model(batches[0][0])[0])


def test_a_damaged_or_foreign_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "params.safetensors"
    layer = fr.LSTM(3, 5, rng=1)
    before = {name: array.copy() for name, array in layer.params.items()}
    fr.LSTM(3, 6, rng=1).save(path)
    with pytest.raises(ValueError, match="expected shape"):
        layer.load(path)
    fr.GRU(3, 5, bias=False).save(path)
    with pytest.raises(ValueError, match="mapping: expected exactly the parameters"):
        layer.load(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="expected a safetensors file"):
        layer.load(path)
    with pytest.raises(FileNotFoundError):
        layer.load(tmp_path / "none.safetensors")
    for name, array in layer.params.items():
        np.testing.assert_array_equal(array, before[name])
