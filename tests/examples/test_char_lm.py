"""`examples/char_lm.py`, run as a user runs it, and the modules it is made of."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import training
from char_model import Architecture, CharModel, ModelFileError
from corpus import Alphabet, Chunk, Corpus, TextError, python_reference_text, read_chunks, read_text
from extras import require
from ngrams import WittenBell

EXAMPLES = Path(training.__file__).parent

needs_extras = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("tqdm", "safetensors")),
    reason="tqdm and safetensors come with the extra `examples`",
)

ANIMALS = ("cat", "dog", "owl", "hen", "fox", "cow", "ant")
PLACES = ("barn", "garden", "kitchen", "field", "river")
TEXT = "\n".join(
    f"The {a} saw the {b} in the {p}, and the {b} saw the {a}."
    for a, p, b in itertools.product(ANIMALS, PLACES, ANIMALS)
    if a != b
)
"""About 10,000 characters in which there is something to learn quickly."""


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "animals.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


# The program


TINY = ("--hidden", "24", "--embedding-size", "8", "--batch", "4", "--bptt", "16", "--sample-length", "40")


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "char_lm.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=300)
    assert result.returncode == code, result.stdout + result.stderr
    return result


def perplexities(output: str) -> dict[str, float]:
    """The table of the held-out text, by row."""
    table = output.partition("Held-out text")[2].partition("\n\n")[0]
    return {name: float(value) for name, value in re.findall(r"^ +(\S+) +([\d.]+) +[\d.]+$", table, re.MULTILINE)}


def without_times(output: str) -> str:
    """What a run prints, up to the summary: all of it must be the same in another run."""
    return output.partition("\nSummary")[0]


@needs_extras
def test_trains_compares_writes_and_saves(text_file: Path) -> None:
    result = run("--text", text_file, *TINY, "--hidden", 48, "--steps", 400, "--lr", 0.02, "--dropout", 0)
    table = perplexities(result.stdout)
    model = table.pop("GRU" if "GRU" in table else "LSTM")
    assert table.keys() == {"unigram", "bigram", "5-gram"}
    assert model < table["bigram"] < table["unigram"]
    assert "'the apple and pear salad'" in result.stdout
    assert "'the apple and pair salad'" in result.stdout
    assert re.search(r"salad', by a factor of [\d.e+,^]+\.", result.stdout)
    assert "the same parameters and held-out probabilities, to the bit" in result.stdout
    assert re.search(r"throughput +[\d,]+ characters/s, at its peak [\d,]+", result.stdout)
    assert re.search(r"100%\|.*loss [\d.]+, perplexity [\d.]+, held-out [\d.]+, [\d,]+ characters/s", result.stderr)


@needs_extras
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("given", ["embedding", "onehot"])
def test_every_cell_and_input(text_file: Path, cell: str, given: str) -> None:
    size = TINY[:2] + TINY[4:]
    result = run("--text", text_file, *size, "--cell", cell, "--input", given, "--layers", 2, "--steps", 12, "--quiet")
    assert cell.upper() in perplexities(result.stdout)
    assert result.stderr == ""


@needs_extras
def test_a_seed_decides_everything(text_file: Path) -> None:
    arguments = ("--text", text_file, *TINY, "--steps", 20, "--dropout", 0.2, "--layers", 2)
    first = without_times(run(*arguments, "--threads", 1).stdout).replace("1 thread", "2 thread")
    again = without_times(run(*arguments, "--threads", 2, "--quiet").stdout)
    other = without_times(run(*arguments, "--threads", 2, "--seed", 1).stdout)
    assert first == again
    assert first != other


@needs_extras
def test_saved_and_loaded(text_file: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "model.npz", tmp_path / "model.safetensors"
    trained = run("--text", text_file, *TINY, "--steps", 20, "--save", first)
    loaded = run("--text", text_file, "--load", first, "--sample-length", 40, "--save", second)
    again = run("--text", text_file, "--load", second, "--sample-length", 40)
    results = [re.sub(r"\nSaved .*", "", without_times(part.stdout)) for part in (trained, loaded, again)]
    assert results[0] == results[1] == results[2]
    assert f"Saved to {first}" in trained.stdout
    assert "throughput" not in loaded.stdout


@needs_extras
@pytest.mark.parametrize("length", [("--epochs", 0.02), ("--seconds", 0.2)])
def test_other_lengths(text_file: Path, length: tuple[str, float]) -> None:
    result = run("--text", text_file, *TINY, *length, "--sample-length", 0)
    assert re.search(r"training +[\d,]+ steps", result.stdout)


@needs_extras
def test_unknown_characters_are_named(text_file: Path) -> None:
    result = run(
        "--text", text_file, *TINY, "--steps", 2, "--prompt", "The \N{SNOWMAN}", "--compare", "na\u00efve cat", "cat"
    )
    notes = re.findall(r"Not in the model's alphabet, read as one unknown character: (.*)", result.stdout)
    assert notes == [r"'\u2603'", r"'\xef'"]


@needs_extras
def test_equal_sentences_are_equally_likely(text_file: Path) -> None:
    result = run("--text", text_file, *TINY, "--steps", 2, "--compare", "the cat", "the cat")
    assert "Both are as likely." in result.stdout


BAD_ARGUMENTS = [
    (["--cell", "rnn"], "--cell"),
    (["--hidden", "0"], "--hidden: expected an integer of at least 1, got '0'"),
    (["--layers", "1.5"], "--layers: expected an integer"),
    (["--steps", "-1"], "--steps: expected an integer of at least 1"),
    (["--epochs", "nan"], "--epochs: expected a number above 0, got 'nan'"),
    (["--seconds", "0"], "--seconds: expected a number above 0"),
    (["--seconds", "inf"], "--seconds: expected a number above 0"),
    (["--epochs", "1e300"], "--epochs: expected at most 2147483647, got '1e300'"),
    (["--hidden", "9" * 400], "--hidden: expected at most 2147483647, got '999"),
    (["--layers", "9" * 5000], "--layers: expected an integer of at least 1, got '999"),
    (["--threads", "5000"], "--threads: expected at most 4096, got '5000'"),
    (["--batch", "inf"], "--batch: expected an integer of at least 1, got 'inf'"),
    (["--temperature", "nan"], "--temperature: expected a number of at least 0, got 'nan'"),
    (["--lr", "fast"], "--lr: expected a number above 0, got 'fast'"),
    (["--dropout", "1"], "--dropout: expected a number of at least 0 below 1, got '1'"),
    (["--temperature", "-0.1"], "--temperature: expected a number of at least 0"),
    (["--steps", "5", "--epochs", "2"], "not allowed with"),
    (["--compare", "one"], "--compare: expected 2 arguments"),
    (["--compare", "one", ""], "--compare: expected two texts, got an empty one"),
    (["--input", "onehot", "--embedding-size", "8"], "--embedding-size: --input onehot has no embedding"),
    (["--save", "model.pt"], "--save: expected a file name ending in .safetensors or .npz, got 'model.pt'"),
    (["--save", "no/such/folder/model.npz"], "--save: cannot write a file no/such/folder/model.npz: No such file"),
    (["--save", "/proc/model.npz"], "--save: cannot write a file /proc/model.npz"),
    (["--load", "model.bin"], "--load: expected a file name ending in"),
    (["--load", "missing.npz"], "--load: cannot read missing.npz"),
    (["--load", "missing.safetensors"], "--load: cannot read missing.safetensors"),
    (["--load", "model.npz", "--hidden", "3"], "--load skips the training: it leaves nothing to --hidden"),
    (["--text", "missing.txt"], "--text: cannot read missing.txt"),
    (["--text", "."], "--text: cannot read ."),
]


@needs_extras
@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_arguments(arguments: list[str], message: str) -> None:
    result = run(*arguments, code=2)
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""


@needs_extras
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"Too short.", "is too short: 10 characters"),
        (b"\xff" * 999, "UTF-8"),
    ],
)
def test_bad_text(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    assert message in run("--text", path, code=2).stderr


@needs_extras
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_file_that_is_no_model(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"not a model")
    assert "holds no model of this example" in run("--load", path, code=2).stderr


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(SystemExit, match=re.escape("pip install '.[examples]'")):
        require("safetensors.numpy")


# The text


def test_python_reference_text_repeats_no_paragraph() -> None:
    text = python_reference_text()
    assert len(text) > 200_000
    assert max(Counter(" ".join(part.split()) for part in text.split("\n\n")).values()) == 1


def test_read_text_drops_the_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("caf\u00e9", encoding="utf-8-sig")
    assert read_text(path) == "caf\u00e9"


def test_corpus_keeps_the_end_apart() -> None:
    text = "abc" * 100 + "\u00e9" + "xyz" * 10
    corpus = Corpus.of("letters", text)
    assert corpus.alphabet.decode(np.concatenate([corpus.training, corpus.held_out]))[:300] == text[:300]
    assert len(corpus.held_out) == len(text) // 10
    assert corpus.alphabet.characters == "abc"  # the rest is held out, or too rare
    with pytest.raises(TextError, match="too short"):
        Corpus.of("letters", text[:199])


def test_alphabet() -> None:
    alphabet = Alphabet("cab\n\N{PILE OF POO}")
    assert alphabet.characters == "\nabc\N{PILE OF POO}"
    tokens = alphabet.encode("abz\N{PILE OF POO}\udcff")
    np.testing.assert_array_equal(tokens, [2, 3, 0, 5, 0])
    assert alphabet.decode(tokens) == "ab\N{REPLACEMENT CHARACTER}\N{PILE OF POO}\N{REPLACEMENT CHARACTER}"
    assert alphabet.unknown_in("zebra") == "erz"
    assert alphabet.encode("").shape == (0,)
    np.testing.assert_array_equal(Alphabet("").encode("ab"), [0, 0])
    with pytest.raises(ValueError, match="each once"):
        Alphabet("aa")


@pytest.mark.parametrize(("length", "batch", "steps"), [(50, 1, 7), (50, 3, 7), (50, 4, 100), (3, 8, 5)])
def test_readers_go_round_the_text(length: int, batch: int, steps: int) -> None:
    tokens = np.arange(length)
    chunks = list(itertools.islice(read_chunks(tokens, batch, steps), 40))
    inputs, targets = (np.concatenate([getattr(c, name) for c in chunks]) for name in ("inputs", "targets"))
    reset = np.concatenate([np.zeros(c.inputs.shape, bool) if c.reset is None else c.reset for c in chunks])
    np.testing.assert_array_equal(targets, inputs + 1)
    # A reader reads on over the chunks' borders, and begins anew after the last pair: where it is told to forget.
    np.testing.assert_array_equal(inputs[1:], (inputs[:-1] + 1) % (length - 1))
    np.testing.assert_array_equal(reset, inputs == 0)
    np.testing.assert_array_equal(inputs[0], np.arange(batch) * (length - 1) // batch)


# The baselines


def slow_witten_bell(order: int, text: list[int], size: int, context: list[int], token: int) -> float:
    """The formula in `WittenBell`'s docstring, for one token."""
    if order == 0:
        return 1 / size
    shorter = slow_witten_bell(order - 1, text, size, context, token)
    recent = context[len(context) - order + 1 :]
    if len(context) < order - 1:
        return shorter
    followers: dict[int, int] = defaultdict(int)
    for place in range(len(text) - order + 1):
        if text[place : place + order - 1] == recent:
            followers[text[place + order - 1]] += 1
    if not followers:
        return shorter
    kinds = len(followers)
    return (followers[token] + kinds * shorter) / (sum(followers.values()) + kinds)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_ngrams_follow_the_formula(order: int) -> None:
    rng = np.random.default_rng(order)
    text, held_out = rng.integers(0, 4, 60), rng.integers(0, 5, 20)
    scores = WittenBell(order, text, 5).log_probabilities(held_out)
    expected = [
        math.log(slow_witten_bell(order, text.tolist(), 5, held_out[:place].tolist(), int(held_out[place])))
        for place in range(1, len(held_out))
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


@pytest.mark.parametrize("context", [[], [0], [3, 4], [0, 1], [4, 4]])
def test_ngram_probabilities_sum_to_one(context: list[int]) -> None:
    model = WittenBell(3, np.random.default_rng(0).integers(0, 4, 50), 5)
    total = sum(math.exp(model.log_probabilities(np.array([0, *context, token]))[-1]) for token in range(5))
    assert total == pytest.approx(1, rel=1e-12)


def test_ngrams_of_a_text_that_is_too_short() -> None:
    model = WittenBell(3, np.array([1]), 4)
    assert np.isfinite(model.log_probabilities(np.array([1, 2, 3]))).all()
    with pytest.raises(ValueError, match="63 bits"):
        WittenBell(9, np.array([1]), 1000)


# Layers, loss and optimiser


def slope(function, array: np.ndarray, place: tuple[int, ...], step: float = 1e-6) -> float:
    """The derivative of function() with respect to one element, by a central difference."""
    value = array[place]
    array[place] = value + step
    above = function()
    array[place] = value - step
    below = function()
    array[place] = value
    return (above - below) / (2 * step)


def assert_gradient(function, array: np.ndarray, gradient: np.ndarray, rng: np.random.Generator) -> None:
    """The gradient of function() is right at up to 20 places of the array. Float64."""
    assert array.shape == gradient.shape
    for flat in rng.permutation(array.size)[:20]:
        place = tuple(int(i) for i in np.unravel_index(flat, array.shape))
        assert gradient[place] == pytest.approx(slope(function, array, place), rel=1e-6, abs=1e-8)


def test_embedding_gradient() -> None:
    rng = np.random.default_rng(0)
    layer = training.Embedding(6, 3, rng, np.float64)
    tokens = rng.integers(0, 5, (7, 4))  # one token never occurs
    weights = rng.standard_normal((7, 4, 3))
    grads = layer.backward(tokens, weights)
    assert_gradient(lambda: float((layer(tokens) * weights).sum()), layer.params["weight"], grads["weight"], rng)
    assert not grads["weight"][5].any()


def test_one_hot() -> None:
    layer = training.OneHot(4)
    np.testing.assert_array_equal(layer(np.array([[1, 3]])), [[[0, 1, 0, 0], [0, 0, 0, 1]]])
    assert layer.params == layer.backward(np.array([[1, 3]]), np.zeros((1, 2, 4))) == {}


def test_linear_gradient() -> None:
    rng = np.random.default_rng(1)
    layer = training.Linear(5, 3, rng, np.float64)
    x, weights = rng.standard_normal((4, 2, 5)), rng.standard_normal((4, 2, 3))

    def total() -> float:
        return float((layer(x) * weights).sum())

    dx, grads = layer.backward(x, weights)
    assert_gradient(total, x, dx, rng)
    for name, array in layer.params.items():
        assert_gradient(total, array, grads[name], rng)


def test_softmax_cross_entropy_gradient() -> None:
    rng = np.random.default_rng(2)
    logits, targets = 3 * rng.standard_normal((4, 3, 6)), rng.integers(0, 6, (4, 3))
    scratch = logits.copy()
    loss, gradient = training.softmax_cross_entropy(scratch, targets)
    assert gradient is scratch
    assert loss == pytest.approx(-training.log_probabilities(logits, targets).mean(), rel=1e-12)
    assert_gradient(lambda: training.softmax_cross_entropy(logits.copy(), targets)[0], logits, gradient, rng)


def test_log_probabilities_of_large_logits() -> None:
    logits = np.array([[1e4, 0.0, -1e4], [-1e4, -1e4, -1e4]], np.float32)
    np.testing.assert_allclose(training.log_probabilities(logits, np.array([1, 0])), [-1e4, -math.log(3)], rtol=1e-6)


def test_dropout_mask() -> None:
    mask = training.dropout_mask((400, 300), 0.25, np.random.default_rng(0))
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    assert mask.mean() == pytest.approx(1, abs=0.01)


def test_clip_gradients() -> None:
    arrays = [np.array([3.0, 0.0]), np.array([[4.0]])]
    assert training.clip_gradients(arrays, 6.0) == pytest.approx(5)
    assert arrays[1][0, 0] == 4
    assert training.clip_gradients(iter(arrays), 0.5) == pytest.approx(5)
    np.testing.assert_allclose(np.concatenate([a.ravel() for a in arrays]), [0.3, 0, 0.4])


def test_adam_follows_the_paper() -> None:
    rng = np.random.default_rng(3)
    beta1, beta2, epsilon = 0.8, 0.95, 1e-3
    param = rng.standard_normal((training.Adam.BLOCK // 100, 201))  # three blocks, the last one not full
    expected, mean, square = param.copy(), np.zeros_like(param), np.zeros_like(param)
    adam = training.Adam({"w": param}, (beta1, beta2), epsilon)
    for step in range(1, 6):
        gradient = rng.standard_normal(param.shape)
        rate = 0.1 / step
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        expected -= rate * (mean / (1 - beta1**step)) / (np.sqrt(square / (1 - beta2**step)) + epsilon)
        adam.step({"w": gradient}, rate)
    np.testing.assert_allclose(param, expected, rtol=1e-10, atol=1e-12)


def test_adam_refuses_what_it_cannot_change_in_place() -> None:
    adam = training.Adam({"w": np.zeros((4, 4)).T[:2]})
    with pytest.raises(ValueError, match="w: only contiguous"):
        adam.step({"w": np.zeros((2, 4))}, 0.1)


def test_warmup_cosine() -> None:
    rates = [training.warmup_cosine(i / 1000, warmup=0.1, final=0.05) for i in range(1001)]
    assert rates[100] == max(rates) == 1
    assert rates[:101] == sorted(rates[:101])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert min(rates) > 0
    assert rates[-1] == pytest.approx(0.05)


def test_perplexity() -> None:
    assert training.perplexity(math.log(7)) == pytest.approx(7)
    assert training.perplexity(1e6) == math.inf


# The model


def small_model(cell: str = "gru", given: str = "embedding", **settings) -> CharModel:
    architecture = Architecture(cell, hidden=7, layers=settings.pop("layers", 1), input=given, embedding_size=5)
    return CharModel(architecture, Alphabet("\nabcdefgh"), **settings)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("given", ["embedding", "onehot"])
@pytest.mark.parametrize(("layers", "dropout"), [(1, 0.0), (1, 0.3), (2, 0.3)])
def test_model_gradient(cell: str, given: str, layers: int, dropout: float) -> None:
    model = small_model(cell, given, layers=layers, dropout=dropout, dtype=np.float64)
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 10, (9, 3))
    reset = rng.random((8, 3)) < 0.2
    chunk = Chunk(tokens[:-1], tokens[1:], reset)
    _, _, state = model.gradients(Chunk(tokens[:-1], tokens[1:], None), None)
    before = model.rng.bit_generator.state

    def loss_and_gradients() -> tuple[float, dict[str, np.ndarray]]:
        model.rng.bit_generator.state = before  # the same units dropped every time
        return model.gradients(chunk, state)[:2]

    _, gradients = loss_and_gradients()
    assert gradients.keys() == model.params.keys()
    for name, param in model.params.items():
        assert_gradient(lambda: loss_and_gradients()[0], param, gradients[name], rng)


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    """Equal up to how NumPy's products round, which depends on how many rows they have at once."""
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_held_out_scores_do_not_depend_on_the_pieces() -> None:
    model = small_model("lstm")
    tokens = np.random.default_rng(0).integers(0, 10, 101)
    whole = model.log_probabilities(tokens)
    assert whole.shape == (100,)
    for steps in (1, 7, 100):
        assert_close(model.log_probabilities(tokens, steps=steps), whole)
    parts = model.log_probabilities(tokens, readers=3, steps=10)
    assert parts.shape == (100,)
    assert_close(parts[:34], whole[:34])
    assert_close(parts[34:68], model.log_probabilities(tokens[34:69]))
    assert_close(parts[68:], model.log_probabilities(tokens[68:]))
    assert model.log_probabilities(tokens[:5], readers=16).shape == (4,)


def test_score_is_that_of_the_text_alone() -> None:
    model = small_model("lstm")
    texts = ["badge", "cab", "z", "fedfedfed"]
    for text, scores in zip(texts, model.score(texts), strict=True):
        assert_close(scores, model.log_probabilities(model.alphabet.encode("\n" + text)))


@pytest.mark.parametrize("given", ["embedding", "onehot"])
def test_greedy_sample(given: str) -> None:
    model = small_model("lstm", given, rng=3)
    model.params["output.bias"][Alphabet.UNKNOWN] = 100  # likely, and still never written
    written = model.sample("bad", 8, 0, np.random.default_rng(0))
    assert len(written) == 8
    tokens = model.alphabet.encode("\nbad" + written)
    y, _ = model.rnn(model.embedding(tokens[:, np.newaxis]))
    likeliest = model.output(y)[:, 0, 1:].argmax(axis=-1) + 1
    assert written == model.alphabet.decode(likeliest[3:-1])


def test_sample_frequencies() -> None:
    model = small_model()
    model.params["output.weight"][...] = 0
    model.params["output.bias"][...] = np.log(np.arange(10), where=np.arange(10) > 0, out=np.zeros(10))
    written = model.sample("", 20_000, 0.5, np.random.default_rng(0))
    expected = np.arange(10.0) ** 2 / (np.arange(10.0) ** 2).sum()
    frequencies = np.bincount(model.alphabet.encode(written), minlength=10) / len(written)
    np.testing.assert_allclose(frequencies, expected, atol=0.02)


@needs_extras
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_model_comes_back_from_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    model = small_model("lstm", layers=2, rng=5)
    model.save(path)
    loaded = CharModel.load(path)
    assert loaded.architecture == model.architecture
    assert loaded.alphabet.characters == model.alphabet.characters
    for name, param in model.params.items():
        np.testing.assert_array_equal(loaded.params[name], param)


DESCRIPTION = {"characters": "abc", "cell": "gru", "hidden": 4, "layers": 1, "input": "embedding", "embedding_size": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 10**6},
        {"layers": 10**30},
        {"layers": 0},
        {"layers": 1.0},
        {"layers": True},
        {"layers": "1"},
        {"hidden": 10**9},
        {"hidden": 10**400},
        {"hidden": -4},
        {"embedding_size": 10**12},
        {"input": "onehot"},
        {"cell": "lstm"},
        {"characters": "abcd"},
        {"characters": "aab"},
        {"characters": 3},
        {"dropout": 0.5},
    ],
    ids=str,
)
def test_arrays_are_looked_at_before_a_description_is_followed(tmp_path: Path, change: dict[str, Any]) -> None:
    """Whatever it asks for, nothing of that size is made."""
    path = tmp_path / "model.npz"
    params = CharModel(Architecture(hidden=4, embedding_size=2), Alphabet("abc")).params
    np.savez(path, **params, char_lm=np.array(json.dumps(DESCRIPTION)))
    CharModel.load(path)
    np.savez(path, **params, char_lm=np.array(json.dumps({**DESCRIPTION, **change})))
    with pytest.raises(ModelFileError, match="holds no model"):
        CharModel.load(path)


@pytest.mark.parametrize("dtype", [np.int32, np.complex64, np.bool_])
def test_parameters_are_floats(tmp_path: Path, dtype: Any) -> None:
    path = tmp_path / "model.npz"
    params = {name: array.astype(dtype) for name, array in small_model().params.items()}
    np.savez(path, **params, char_lm=np.array(small_model()._description()))
    with pytest.raises(ModelFileError, match="expected floats"):
        CharModel.load(path)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("given", ["embedding", "onehot"])
def test_the_shapes_of_a_description_are_those_of_the_model(cell: str, given: str) -> None:
    model = CharModel(Architecture(cell, 5, 3, given, 2), Alphabet("abcdef"))
    shapes = {name: array.shape for name, array in model.params.items()}
    assert dict(model.architecture.shapes(len(model.alphabet))) == shapes


@needs_extras
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_save_that_fails_leaves_the_old_model(tmp_path: Path, suffix: str) -> None:
    """The disk is full in the middle of the file."""
    path = tmp_path / f"model{suffix}"
    small_model().save(path)
    old = path.read_bytes()
    save = f"""
import resource, signal, sys
sys.path.insert(0, {str(EXAMPLES)!r})
from pathlib import Path
from char_model import Architecture, CharModel
from corpus import Alphabet
model = CharModel(Architecture(hidden=300), Alphabet("abc"))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
model.save(Path({str(path)!r}))
"""
    result = subprocess.run([sys.executable, "-c", save], capture_output=True, text=True)
    assert result.returncode != 0
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@needs_extras
@pytest.mark.parametrize("how", ["Ctrl-C in the report", "nobody reads"])
def test_the_model_is_saved_when_training_ends(text_file: Path, tmp_path: Path, how: str) -> None:
    path = tmp_path / "model.npz"
    length = 10**6 if how == "Ctrl-C in the report" else 40
    options = ["--text", text_file, *TINY, "--steps", 5, "--quiet", "--sample-length", length, "--save", path]
    command = [sys.executable, str(EXAMPLES / "char_lm.py"), *map(str, options)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        if how == "nobody reads":
            process.stdout.close()
            assert process.wait(120) in (0, 1)
        else:
            for line in process.stdout:
                if "gram" in line:
                    process.send_signal(signal.SIGINT)
                    break
            process.communicate(timeout=120)
    CharModel.load(path)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_files_of_other_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    small_model().save(path)
    with np.load(path) as file:
        content = dict(file)
    for change in (
        {"output.bias": np.zeros(3, np.float32)},
        {"another": np.zeros(3, np.float32)},
        {"char_lm": np.array('{"characters": "ab", "cell": "perceptron"}')},
        {"char_lm": np.array("[]")},
    ):
        np.savez(path, **{**content, **change})
        with pytest.raises(ModelFileError, match="holds no model"):
            CharModel.load(path)
