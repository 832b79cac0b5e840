"""Models in files of Keras, read without it."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fusedrnn as fr
from published import cells
from published.cells import Array, softmax
from published.compare import Row, compare
from published.packages import need

# sleepecg: sleep stages from heart beats. Two bidirectional GRUs; where a feature is missing, the step is masked.


def sleepecg(folder: Path) -> Iterator[Row]:
    need("h5py", "keras", "torch")
    with tempfile.TemporaryDirectory() as name:
        with zipfile.ZipFile(folder / "sleepecg/classifiers/wrn-gru-mesa.zip") as archive:
            path = Path(archive.extract("classifier.keras", name))
        layers = fr.load_keras(path)
        model = keras_on_torch().models.load_model(path)
    first, second = layers.values()
    first.freeze()
    second.freeze()
    dense, head = (model.get_layer(name).get_weights() for name in ("dense", "dense_1"))
    gain, shift, mean, variance = model.get_layer("batch_normalization").get_weights()

    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 400, 36)).astype(np.float32)
    x[rng.random((4, 400)) < 0.1] = -1  # holes
    x[1, :150] = -1  # a shorter night: padding in front
    mask = (x != -1).any(-1)

    def ours() -> Array:
        y = (x * mask[..., None] - mean) / np.sqrt(variance + 0.001) * gain + shift
        y = np.maximum(y @ dense[0] + dense[1], 0)
        for layer in (first, second):
            y, _ = layer(y, mask=mask, held="zero")
        return softmax(y @ head[0] + head[1])

    def theirs() -> Array:
        return np.asarray(model.predict(x, verbose=0))

    yield compare("whole model, GRU 64>8>8 both ways, 4 nights", ours, theirs, "Keras")


def keras_on_torch() -> Any:
    """Keras on PyTorch, unless KERAS_BACKEND says otherwise, on one thread as fusedrnn is here."""
    import torch

    torch.set_num_threads(1)
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    return keras


# textgenrnn: writes titles letter by letter. Two LSTMs trained on a GPU; the head looks at the embedding and at both.

BEGINNING = "How to "


def textgenrnn(folder: Path) -> Iterator[Row]:
    need("h5py")
    import h5py

    package = folder / "textgenrnn-2.0.0/textgenrnn"
    lstms = [*fr.load_keras(package / "textgenrnn_weights.hdf5", config="defaults").values()]
    for lstm in lstms:
        lstm.freeze()
    with h5py.File(package / "textgenrnn_weights.hdf5") as file:
        weights = {
            layer: [file[layer][name][()] for name in file[layer].attrs["weight_names"]]
            for layer in ("embedding", "rnn_1", "rnn_2", "attention", "output")
        }
    numbers = json.loads((package / "textgenrnn_vocab.json").read_text(encoding="utf-8"))
    characters = {number: character for character, number in numbers.items()}

    def ours(x: Array) -> list[Array]:
        first, _ = lstms[0](x[None])
        return [first[0], lstms[1](first)[0][0]]

    def theirs(x: Array) -> list[Array]:
        first = cells.cudnn_lstm(x, *weights["rnn_1"])
        return [first, cells.cudnn_lstm(first, *weights["rnn_2"])]

    def written(layers: Callable[[Array], list[Array]]) -> Array:
        """The logits of the next character, 12 times; the likeliest is written."""
        text, logits = [numbers[c] for c in ("<s>", *BEGINNING)], []
        for _ in range(12):
            x = weights["embedding"][0][[0] * (40 - len(text)) + text]
            seen = np.hstack((x, *layers(x)))
            attended = softmax((seen @ weights["attention"][0])[:, 0]) @ seen
            logits.append(attended @ weights["output"][0] + weights["output"][1])
            text.append(int(logits[-1].argmax()))
        return np.stack(logits)

    def words(logits: Array) -> str:
        return BEGINNING + "".join(characters[k] for k in logits.argmax(1))

    layers = "whole model, LSTM 100>128>128, 12 letters"
    yield compare(layers, lambda: written(ours), lambda: written(theirs), "NumPy", words)
