"""fusedrnn.save and load: every kind of module comes back with its options and its bits; bad files are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import LAYERS
from variants import VARIANTS

safetensors = pytest.importorskip("safetensors.numpy", reason="files need safetensors, of the extra `train`")

X = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)


def again(module: Any, folder: Path) -> Any:
    fr.save(folder / "module.safetensors", module)
    return fr.load(folder / "module.safetensors")


@pytest.mark.parametrize("name", [*LAYERS, *VARIANTS])
def test_layers(name: str, tmp_path: Path) -> None:
    layer = LAYERS[name.split()[0]](4, 6, rng=0, batch_first=True, **VARIANTS.get(name, {}))
    found = again(layer, tmp_path)
    assert repr(found) == repr(layer)
    assert np.array_equal(found(X)[0], layer(X)[0])


@pytest.mark.parametrize("cell", [fr.RNNCell, fr.LSTMCell, fr.GRUCell])
def test_cells(cell: Any, tmp_path: Path) -> None:
    made = cell(4, 6, rng=0, dtype=np.float64)
    found = again(made, tmp_path)
    assert repr(found) == repr(made)
    assert all(np.array_equal(found.params[name], array) for name, array in made.params.items())


def tied() -> fr.nn.Sequential:
    embedding = fr.nn.Embedding(7, 6, rng=0)
    return fr.nn.Sequential(embedding, fr.GRU(6, 6, rng=1), fr.nn.Linear(6, 7, tied_to=embedding, rng=2))


MODELS = {
    "pooled": lambda: fr.nn.Sequential(fr.GRU(4, 6, rng=0), fr.nn.Dropout(0.5, rng=1), fr.nn.LastStep()),
    "nested": lambda: fr.nn.Sequential(
        fr.nn.Residual(fr.nn.Sequential(fr.LSTM(4, 4, rng=0), fr.nn.Tanh())),
        fr.nn.MeanPool(),
        fr.nn.Linear(4, 2, rng=1),
    ),
    "tied": tied,
    "bidirectional": lambda: fr.nn.Sequential(
        fr.GRU(4, 6, bidirectional=True, rng=0), fr.nn.LastStep(bidirectional=True)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    x = np.arange(15).reshape(5, 3) % 7 if name == "tied" else X
    found = again(model, tmp_path)
    assert repr(found) == repr(model)
    assert np.array_equal(found(x)[0], model(x)[0])
    assert list(found.params) == list(model.params)
    if name == "tied":
        assert found.parts[2].tied_to is found.parts[0]


def test_encoder_decoder(tmp_path: Path) -> None:
    encoder = fr.nn.Sequential(fr.nn.Embedding(5, 4, rng=0), fr.GRU(4, 6, rng=1))
    decoder = fr.nn.Sequential(fr.nn.Embedding(6, 4, rng=2), fr.GRU(4, 6, rng=3), fr.nn.Linear(6, 6, rng=4))
    model = fr.nn.EncoderDecoder(encoder, decoder)
    found = again(model, tmp_path)
    assert repr(found) == repr(model)
    assert all(np.array_equal(found.params[key], array) for key, array in model.params.items())


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    class Own(fr.GRU):
        pass

    for module in (Own(4, 6, rng=0), np.zeros(3), {"weight": np.zeros(3)}):
        with pytest.raises(TypeError, match="module: expected a layer"):
            fr.save(tmp_path / "file", module)
    assert not (tmp_path / "file").exists()


def write(path: Path, description: Any, arrays: dict[str, Any] | None = None) -> Path:
    arrays = {"weight": np.zeros(4, np.float32)} if arrays is None else arrays
    text = description if isinstance(description, str) else json.dumps(description)
    safetensors.save_file(arrays, path, {"fusedrnn.module": text})
    return path


@pytest.mark.parametrize(
    "description",
    [
        "no JSON",
        [],
        {"class": "eval"},
        {"class": "GRU", "input_size": 1, "hidden_size": 10**9},
        {"class": "GRU", "input_size": 1, "hidden_size": 1, "num_layers": 10**9},
        {"class": "GRU", "input_size": 1, "hidden_size": 1, "rngs": 1},
        {"class": "Linear", "in_features": 10**9, "out_features": 1},
        {"class": "Linear", "in_features": 1, "out_features": 1, "tied_to": {"number": 3}},
        {"class": "Embedding", "num_embeddings": 10**9, "embedding_dim": 10},
        {"class": "Sequential", "parts": 3},
        {"class": "GRU", "input_size": "1", "hidden_size": 1},
        {"class": "GRU"},
    ],
    ids=str,
)
def test_foreign_descriptions(description: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a description that fits the file's arrays"):
        fr.load(write(tmp_path / "file", description))


def test_files_without_a_description(tmp_path: Path) -> None:
    fr.GRU(4, 6, rng=0).save(tmp_path / "file")
    with pytest.raises(ValueError, match="parameters only"):
        fr.load(tmp_path / "file")
    (tmp_path / "damaged").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="damaged"):
        fr.load(tmp_path / "damaged")
    with pytest.raises(FileNotFoundError):
        fr.load(tmp_path / "absent")
