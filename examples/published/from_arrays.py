"""Models of which there are only arrays, in the order of gates that their authors had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fusedrnn as fr
from published import cells
from published.cells import Array
from published.compare import Row, compare
from published.formats import TesseractNetwork, inert, paddle_arrays

# g2p-en: the sounds of an English word. An encoder of letters and a decoder of phonemes, both GRUs.

WORDS = ("perceptron", "forgetful", "tokenizer", "chiasmus", "zeitgeist", "quixotic", "mnemonic", "borogoves", "snark")
LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANTS = (*"BDFGKLMNPRSTVWYZ", "CH", "DH", "HH", "JH", "NG", "SH", "TH", "ZH", "UW")
PHONEMES = ["<pad>", "<unk>", "<s>", "</s>", *sorted([v + s for v in VOWELS for s in "012"] + [*CONSONANTS])]
START, END = 2, 3


def g2p_en(folder: Path) -> Iterator[Row]:
    arrays = dict(np.load(folder / "g2p_en/checkpoint20.npz"))
    names = {f"{w}_{s}_l0": f"{w[0]}_{s}" for w in ("weight", "bias") for s in ("ih", "hh")}
    encoder, decoder = (fr.GRU.from_params(arrays, part, names=names) for part in ("enc_", "dec_"))
    encoder.freeze()
    stream = decoder.stream()

    def spell(first: Array, step: Callable[[Array], Array]) -> Array:
        """The logits of every phoneme of a word, each of which is the next one's input."""
        logits, phoneme, h = [], START, first
        while phoneme != END and len(logits) < 20:
            h = step(arrays["dec_emb"][phoneme])
            logits.append(h @ arrays["fc_w"].T + arrays["fc_b"])
            phoneme = int(logits[-1].argmax())
        return np.stack(logits)

    def ours(word: str) -> Array:
        _, stream.state = encoder(letters(word)[:, None])
        return spell(stream.state, stream.step)

    def theirs(word: str) -> Array:
        weights = {part: [arrays[f"{part}_{name}"] for name in names.values()] for part in ("enc", "dec")}
        h = cells.g2p_gru(letters(word), np.zeros(256, np.float32), *weights["enc"])[-1]

        def step(x: Array) -> Array:
            nonlocal h
            h = cells.g2p_gru(x[None], h, *weights["dec"])[0]
            return h

        return spell(h, step)

    def letters(word: str) -> Array:
        return arrays["enc_emb"][[LETTERS.index(letter) for letter in (*word, "</s>")]]

    def sounds(logits: Array) -> str:
        return " ".join("|" if k == END else PHONEMES[k] for k in logits.argmax(1))

    yield compare(
        "GRU 256>256 twice, 9 words",
        lambda: np.concatenate([ours(word) for word in WORDS]),
        lambda: np.concatenate([theirs(word) for word in WORDS]),
        "NumPy",
        sounds,
    )


# madmom: beats, downbeats and notes in music. Simple tanh networks, GRUs, and LSTMs with peepholes, in both ways.


def madmom(folder: Path) -> Iterator[Row]:
    models = folder / "madmom/models"
    yield madmom_row("beats: LSTM 25 x 3, both ways, peepholes", models / "beats/2015/beats_blstm_1.pkl")
    downbeats = models / "downbeats/2016/downbeats_bgru_rhythmic_0.pkl"
    yield madmom_row("downbeats: GRU 25 x 3, both ways, learned states", downbeats)
    yield madmom_row("notes: tanh RNN 88 x 3, both ways", models / "notes/2013/notes_brnn.pkl")


MADMOM_GATES = {
    "RecurrentLayer": (),
    "GRULayer": ("reset_gate", "update_gate", "cell"),
    "LSTMLayer": ("input_gate", "forget_gate", "cell", "output_gate"),
}


def madmom_row(layers: str, path: Path) -> Row:
    """The recurrent layers of a network, of which the last layer is none; 200 steps of something like a spectrum."""
    recurrent = inert(path).layers[:-1]
    network = madmom_layer(recurrent)
    network.freeze()
    x = np.abs(np.random.default_rng(0).normal(size=(200, network.input_size))).astype(np.float32)
    return compare(layers, lambda: network(x)[0], lambda: cells.madmom_network(x, recurrent), "NumPy")


def madmom_layer(layers: list[Any]) -> fr.RNN | fr.GRU | fr.LSTM:
    """Bidirectional layers on top of each other as one layer. Every gate is an object with arrays of its own."""
    kind = layers[0].fwd_layer.kind
    arrays: dict[str, Array] = {}
    for k, layer in enumerate(layers):
        for end, own in ((f"_l{k}", layer.fwd_layer), (f"_l{k}_reverse", layer.bwd_layer)):
            gates = [getattr(own, name) for name in MADMOM_GATES[kind]] or [own]
            arrays[f"weight_ih{end}"] = np.hstack([gate.weights for gate in gates])
            arrays[f"weight_hh{end}"] = np.hstack([gate.recurrent_weights for gate in gates])
            arrays[f"bias{end}"] = np.hstack([gate.bias for gate in gates])
            if kind == "GRULayer":
                arrays[f"initial_h{end}"] = own.hid_init
            if kind == "LSTMLayer":
                arrays[f"weight_ch{end}"] = np.hstack([gates[g].peephole_weights for g in (0, 1, 3)])
    if kind == "GRULayer":
        return fr.GRU.from_params(arrays, z="update", transposed=True, biases=1, learned_state=True)
    if kind == "LSTMLayer":
        return fr.LSTM.from_params(arrays, transposed=True, biases=1, peephole=True)
    return fr.RNN.from_params(arrays, transposed=True, biases=1)


# jieba: words of a Chinese sentence. An embedding, two bidirectional GRUs of Paddle's, and a CRF.

SENTENCE = "我来到北京清华大学学习循环神经网络"


def jieba(folder: Path) -> Iterator[Row]:
    model = folder / "jieba-0.42.1/jieba/lac_small"
    arrays = paddle_arrays(model / "model_baseline")
    ids = {entry[1]: int(entry[0]) for entry in entries(model / "word.dic")}
    tags = [entry[1] for entry in entries(model / "tag.dic")]
    x = arrays["word_emb"][[ids.get(letter, ids["OOV"]) for letter in SENTENCE]]
    network = paddle_layer(arrays)
    network.freeze()

    def emission(y: Array) -> Array:
        return y @ arrays["fc_4.w_0"] + arrays["fc_4.b_0"]

    def theirs() -> Array:
        y = x
        for k in (0, 2):
            there, back = (y @ arrays[f"fc_{n}.w_0"] + arrays[f"fc_{n}.b_0"] for n in (k, k + 1))
            there = cells.paddle_gru(there, arrays[f"gru_{k}.w_0"], arrays[f"gru_{k}.b_0"])
            back = cells.paddle_gru(back[::-1], arrays[f"gru_{k + 1}.w_0"], arrays[f"gru_{k + 1}.b_0"])[::-1]
            y = np.hstack((there, back))
        return emission(y)

    def words(scores: Array) -> str:
        """The sentence with a space before every letter whose tag begins a word."""
        found = [tags[k] for k in cells.crf_tags(scores, arrays["crfw"])]
        begins = [tag.endswith("-B") or tag == "O" for tag in found]
        return "".join(" " * (k > 0 and begin) + c for k, (c, begin) in enumerate(zip(SENTENCE, begins, strict=True)))

    def ours() -> Array:
        return emission(network(x)[0])

    yield compare("GRU 128>128>128 both ways, reset before", ours, theirs, "NumPy", words)


def entries(path: Path) -> list[list[str]]:
    """The lines of a dictionary: a number, a tab, and what it stands for."""
    return [line.split("\t") for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n")]


def paddle_layer(arrays: dict[str, Array]) -> fr.GRU:
    """dynamic_gru: its input's product is a layer before it, and u and r lie in one block, c in another."""
    found: dict[str, Array] = {}
    for n, end in enumerate(("_l0", "_l0_reverse", "_l1", "_l1_reverse")):
        size = len(arrays[f"gru_{n}.w_0"])
        of_u_and_r, of_c = np.split(arrays[f"gru_{n}.w_0"].reshape(-1), [2 * size * size])
        found[f"weight_ih{end}"] = arrays[f"fc_{n}.w_0"]
        found[f"weight_hh{end}"] = np.hstack((of_u_and_r.reshape(size, -1), of_c.reshape(size, -1)))
        found[f"bias{end}"] = arrays[f"fc_{n}.b_0"] + arrays[f"gru_{n}.b_0"][0]
    return fr.GRU.from_params(found, gates="paddle_fluid", z="update", transposed=True, biases=1, reset_after=False)


# tesseract: letters in a picture. An LSTM goes down each column, three along the line, the second of them backwards.


def tesseract(folder: Path) -> Iterator[Row]:
    network = TesseractNetwork(folder / "usr/share/tesseract-ocr/5/tessdata/eng.traineddata")
    gates = [gates for kind, gates in network.layers if kind.endswith("LSTM")]
    down, there, back, again = (tesseract_layer(own, reverse=k == 2) for k, own in enumerate(gates))
    picture = np.random.default_rng(0).uniform(-1, 1, (12, 100, 16)).astype(np.float32)  # rows, columns, features

    def ours() -> Array:
        _, (h, _) = down(picture)
        y = h[0]
        for layer in (there, back, again):
            y, _ = layer(y)
        return y

    def theirs() -> Array:
        y = np.stack([cells.tesseract_lstm(column, gates[0])[-1] for column in picture.swapaxes(0, 1)])
        y = cells.tesseract_lstm(y, gates[1])
        y = cells.tesseract_lstm(y[::-1], gates[2])[::-1]
        return cells.tesseract_lstm(y, gates[3])

    yield compare("LSTM 16>48>96>96>192, one reversed, c clipped", ours, theirs, "NumPy")


def tesseract_layer(gates: list[Array], reverse: bool) -> fr.LSTM:
    """A gate's matrix has the columns of x, of h and of the bias."""
    size = len(gates[0])
    w = np.vstack(gates)
    arrays = {"weight_ih": w[:, : -size - 1], "weight_hh": w[:, -size - 1 : -1], "bias": w[:, -1]}
    lstm = fr.LSTM.from_params(arrays, gates="tesseract", biases=1, cell_clip=100.0, reverse=reverse)
    lstm.freeze()
    return lstm
