"""`examples/char_lm.py`, run as a user runs it, and the modules it is made of."""

from __future__ import annotations

import importlib.util
import itertools
import math
import os
import re
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import char_lm
import fusedrnn as fr
from char_model import CharModel, ModelFileError, log_softmax
from char_options import Options
from corpus import Alphabet, Corpus, TextError, prose, python_reference_text, read_chunks, read_text
from extras import require
from ngrams import WittenBell

EXAMPLES = Path(char_lm.__file__).parent

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
TINY += ("--torch-seconds", "0")


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "char_lm.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=300)
    assert result.returncode == code, result.stdout + result.stderr
    return result


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """The same within this process: exit code, output, messages."""

    def run_here(*arguments: object) -> tuple[int, str, str]:
        try:
            code = char_lm.main([*map(str, arguments)])
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        return (code, *capsys.readouterr())

    with fr.threads(fr.get_num_threads()):  # --threads is not to outlast the test
        yield run_here


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
    model = table.pop("GRU")
    assert table.keys() == {"unigram", "bigram", "5-gram"}
    assert model < table["bigram"] < table["unigram"]
    assert "'The string is knot a number.'" in result.stdout
    assert re.search(r"  'The string is \w+ a number.', by a factor of [\d.,^]+\.", result.stdout)
    assert "the same parameters and held-out probabilities, to the bit" in result.stdout
    assert re.search(r"throughput +[\d,]+ characters/s\n", result.stdout)
    assert re.search(r"100%\|.*perplexity [\d.]+, held-out [\d.]+, [\d,]+ chars/s", result.stderr)
    lines = [*result.stdout.splitlines()[1:], *re.split(r"[\r\n]+", result.stderr)]  # the first has the file's path
    assert max(map(len, lines)) < 80


@needs_extras
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("embedding_size", [8, 0])
def test_every_cell_and_input(text_file: Path, call: Any, cell: str, embedding_size: int) -> None:
    options = ("--cell", cell, "--embedding-size", embedding_size, "--layers", 2, "--steps", 12, "--quiet")
    code, out, messages = call("--text", text_file, *TINY, *options)
    assert code == 0
    assert cell.upper() in perplexities(out)
    assert messages == ""


@needs_extras
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_same_bits_on_any_number_of_threads(cell: str) -> None:
    """Parameters and held-out probabilities, of a model as wide as the default one."""
    corpus = Corpus.of("animals", TEXT)
    options = Options(cell=cell, steps=6, quiet=True)
    found = []
    for threads in (1, 2, 4):
        with fr.threads(threads):
            model = char_lm.new_model(corpus, options)
            char_lm.train(model, corpus, options)
            found.append({**model.params, "held-out": model.log_probabilities(corpus.held_out)})
    for other in found[1:]:
        for name, array in found[0].items():
            np.testing.assert_array_equal(array, other[name], err_msg=name)


@needs_extras
def test_a_seed_decides_everything(text_file: Path, call: Any) -> None:
    arguments = ("--text", text_file, *TINY, "--steps", 20, "--dropout", 0.2, "--layers", 2)
    first = without_times(call(*arguments, "--threads", 1)[1]).replace("1 thread", "2 thread")
    again = without_times(call(*arguments, "--threads", 2, "--quiet")[1])
    other = without_times(call(*arguments, "--threads", 2, "--seed", 1)[1])
    assert first == again
    assert first != other


@needs_extras
@pytest.mark.parametrize("embedding_size", [8, 0])
def test_saved_and_loaded(text_file: Path, tmp_path: Path, call: Any, embedding_size: int) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    options = ("--text", text_file, "--sample-length", 40)
    _, trained, _ = call(*TINY, *options, "--embedding-size", embedding_size, "--steps", 20, "--save", first)
    _, loaded, _ = call(*options, "--load", first, "--save", second)
    _, again, _ = call(*options, "--load", second)
    results = [without_times(part).partition("Dropout")[0] for part in (trained, loaded, again)]
    results += [without_times(part).partition("Loaded again")[2] for part in (trained, loaded, again)]
    assert results[0] == results[1] == results[2]
    assert results[3] == results[4] == results[5]
    assert f"Saved to {first}" in trained
    assert "throughput" not in loaded


@needs_extras
@pytest.mark.parametrize("length", [("--epochs", 0.02), ("--seconds", 0.2)])
def test_other_lengths(text_file: Path, call: Any, length: tuple[str, float]) -> None:
    _, out, _ = call("--text", text_file, *TINY, *length, "--sample-length", 0)
    assert re.search(r"training +[\d,]+ steps", out)


@needs_extras
def test_unknown_characters_are_named(text_file: Path, call: Any) -> None:
    options = ("--prompt", "The \N{SNOWMAN}", "--compare", "na\u00efve cat", "cat")
    _, out, _ = call("--text", text_file, *TINY, "--steps", 2, *options)
    notes = re.findall(r"Not in the model's alphabet, read as one unknown character: (.*)", out)
    assert notes == [r"'\u2603'", r"'\xef'"]


@needs_extras
def test_equal_sentences_are_equally_likely(text_file: Path, call: Any) -> None:
    _, out, _ = call("--text", text_file, *TINY, "--steps", 2, "--compare", "the cat", "the cat")
    assert "Both are as likely." in out


@needs_extras
def test_a_training_that_diverges_is_stopped(text_file: Path, call: Any) -> None:
    code, out, messages = call("--text", text_file, *TINY, "--lr", 1e9)
    assert code == 1
    assert re.search(r"diverged after step \d+; a smaller --lr or --clip may help", messages)
    assert "Held-out" not in out


@needs_extras
def test_a_model_that_learned_nothing_is_called_so(text_file: Path, call: Any) -> None:
    _, out, _ = call("--text", text_file, *TINY, "--steps", 1, "--lr", 1e-6)
    assert "It has learned less than how often each character occurs" in out


@needs_extras
def test_ctrl_c_ends_the_training_only(text_file: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "char_lm.py"), "--text", str(text_file), *TINY, "--seconds", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        shown = ""
        while "perplexity" not in shown:
            shown += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
        out, messages = process.communicate(timeout=120)
    assert process.returncode == 0
    assert re.search(r"Stopped after \d+ steps\.", messages)
    assert "Summary" in out


@needs_extras
def test_the_speed_of_pytorch_where_it_is(text_file: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--text", text_file, *TINY, "--steps", 5, "--quiet", "--torch-seconds", 0.1)
    if importlib.util.find_spec("torch"):
        _, out, _ = call(*options)
        assert re.search(r"PyTorch +[\d,]+ characters/s for the same training", out)
        assert re.search(r"times as fast +[\d.]+\n", out)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "PyTorch" not in call(*options)[1]


BAD_ARGUMENTS = [
    (["--cell", "rnn"], "--cell"),
    (["--hidden", "0"], "--hidden: expected an integer of at least 1, got '0'"),
    (["--layers", "1.5"], "--layers: expected an integer"),
    (["--steps", "-1"], "--steps: expected an integer of at least 1"),
    (["--epochs", "nan"], "--epochs: expected a number above 0, got 'nan'"),
    (["--seconds", "0"], "--seconds: expected a number above 0"),
    (["--seconds", "inf"], "--seconds: expected a number above 0"),
    (["--epochs", "1e300"], "--epochs: expected at most 2147483647, got '1e300'"),
    (["--hidden", "9" * 400], "--hidden: expected at most 65536, got '999"),
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
    (["--batch", "100000000"], "--batch: expected at most 65536, got '100000000'"),
    (["--bptt", "100000000"], "--bptt: expected at most 65536, got '100000000'"),
    (["--batch", "65536", "--bptt", "65536"], "--batch or --bptt: the training needs about"),
    (["--lr", "1e30"], "--lr: expected at most 2147483647, got '1e30'"),
    (["--save", "model.npz"], "--save: expected a file name ending in .safetensors, got 'model.npz'"),
    (["--save", "no/such/folder/model.safetensors"], "cannot write a file no/such/folder/model.safetensors: No"),
    (["--save", "/proc/model.safetensors"], "--save: cannot write a file /proc/model.safetensors"),
    (["--load", "model.bin"], "--load: expected a file name ending in"),
    (["--load", "missing.safetensors"], "--load: cannot read missing.safetensors"),
    (["--load", "model.safetensors", "--hidden", "3"], "--load skips the training: it leaves nothing to --hidden"),
    (["--text", "missing.txt"], "--text: cannot read missing.txt"),
    (["--text", "."], "--text: cannot read ."),
]


@needs_extras
@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_arguments(call: Any, arguments: list[str], message: str) -> None:
    code, out, messages = call(*arguments)
    assert code == 2
    assert message in " ".join(messages.split())
    assert out == ""


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
def test_bad_text(tmp_path: Path, call: Any, content: bytes, message: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    code, _, messages = call("--text", path)
    assert code == 2
    assert message in messages


@needs_extras
def test_a_file_that_is_no_model(tmp_path: Path, call: Any) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not a model")
    code, _, messages = call("--load", path)
    assert code == 2
    assert "holds no model of this example" in messages


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(SystemExit, match=re.escape("pip install '.[examples]'")):
        require("safetensors.numpy")


# The text


def test_python_reference_text_is_prose_without_repeats() -> None:
    text = python_reference_text()
    assert len(text) > 100_000
    assert max(Counter(text.splitlines()).values()) == 1
    assert not set(text) & set('"*`_=<>[]{}|\\#@')
    assert all(re.fullmatch(r"[A-Z].*[.!?]", line) for line in text.splitlines())


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ('* The "del" statement\n  deletes a *name*, says "help()".', "The del statement deletes a name, says help."),
        ("Changed in version 3.8: It returns **all** the values now.", "It returns all the values now."),
        ("The rest is as it has always been. See a[i] and x = 3.", "The rest is as it has always been."),
        ("Values\n******", ""),
        ("   for item in sequence:\n       f(item)", ""),
    ],
)
def test_prose(paragraph: str, expected: str) -> None:
    assert prose(paragraph) == expected


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
    inputs, targets, reset = (np.concatenate(part) for part in zip(*chunks, strict=True))
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


# The model


def small_model(cell: str = "gru", embedding_size: int = 5, **settings: Any) -> CharModel:
    return CharModel(Alphabet("\nabcdefgh"), cell, hidden=7, embedding_size=embedding_size, **settings)


def test_perplexity() -> None:
    assert char_lm.perplexity(math.log(7)) == pytest.approx(7)
    assert char_lm.perplexity(1e6) == math.inf


def test_log_softmax_of_large_logits() -> None:
    logits = np.array([[1e4, 0.0, -1e4], [-1e4, -1e4, -1e4]], np.float32)
    np.testing.assert_allclose(log_softmax(logits, np.array([1, 0])), [-1e4, -math.log(3)], rtol=1e-6)


def test_held_out_scores_do_not_depend_on_the_pieces() -> None:
    model = small_model("lstm")
    tokens = np.random.default_rng(0).integers(0, 10, 101)
    whole = model.log_probabilities(tokens)
    assert whole.shape == (100,)
    loss, _ = model.network.loss(tokens[:-1, np.newaxis], tokens[1:, np.newaxis])
    assert -whole.mean() == pytest.approx(loss, rel=1e-6)
    for steps in (1, 7, 100):
        np.testing.assert_array_equal(model.log_probabilities(tokens, steps=steps), whole)
    parts = model.log_probabilities(tokens, readers=3, steps=10)
    assert parts.shape == (100,)
    np.testing.assert_array_equal(parts[:34], whole[:34])
    np.testing.assert_array_equal(parts[34:68], model.log_probabilities(tokens[34:69]))
    np.testing.assert_array_equal(parts[68:], model.log_probabilities(tokens[68:]))
    assert model.log_probabilities(tokens[:5], readers=16).shape == (4,)


def test_score_is_that_of_the_text_alone() -> None:
    model = small_model("lstm")
    texts = ["badge", "cab", "z", "fedfedfed"]
    for text, scores in zip(texts, model.score(texts), strict=True):
        np.testing.assert_array_equal(scores, model.log_probabilities(model.alphabet.encode("\n" + text)))


@pytest.mark.parametrize("embedding_size", [5, 0])
def test_greedy_sample(embedding_size: int) -> None:
    model = small_model("lstm", embedding_size, seed=3)
    model.params["output.bias"][Alphabet.UNKNOWN] = 100  # likely, and still never written
    written = model.sample("bad", 8, 0, np.random.default_rng(0))
    assert len(written) == 8
    tokens = model.alphabet.encode("\nbad" + written)
    logits, _ = model.network(tokens[:, np.newaxis])
    likeliest = logits[:, 0, 1:].argmax(axis=-1) + 1
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
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("embedding_size", [5, 0])
def test_a_model_comes_back_from_a_file(tmp_path: Path, cell: str, embedding_size: int) -> None:
    path = tmp_path / "model.safetensors"
    model = small_model(cell, embedding_size, layers=2, seed=5)
    model.save(path)
    loaded = CharModel.load(path)
    assert loaded.cell == cell
    assert loaded.alphabet.characters == model.alphabet.characters
    assert loaded.params.keys() == model.params.keys()
    for name, param in model.params.items():
        np.testing.assert_array_equal(loaded.params[name], param)


@needs_extras
def test_a_file_is_a_state_dict_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    load_file = importlib.import_module("safetensors.torch").load_file
    model = small_model("lstm", layers=2)
    model.save(tmp_path / "model.safetensors")

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(10, 5)
            self.rnn = torch.nn.LSTM(5, 7, 2)
            self.output = torch.nn.Linear(7, 10)

    module = Module()
    module.load_state_dict(load_file(tmp_path / "model.safetensors"))
    tokens = np.arange(10)[:, np.newaxis]
    with torch.no_grad():
        logits = module.output(module.rnn(module.embedding(torch.from_numpy(tokens)))[0]).numpy()
    np.testing.assert_allclose(model.network(tokens)[0], logits, atol=1e-5)


def described(**change: str) -> dict[str, str]:
    return {"characters": "\nabcdefgh", "cell": "gru", **change}


@needs_extras
@pytest.mark.parametrize(
    ("params", "metadata"),
    [
        ({}, None),
        ({}, {"char_lm": '{"characters": "abc", "cell": "gru", "hidden": 7}'}),  # as it was saved once
        ({}, described(cell="lstm")),
        ({}, described(cell="perceptron")),
        ({}, described(characters="abc")),
        ({}, described(characters="aab")),
        ({"output.bias": np.zeros(3, np.float32)}, described()),
        ({"output.bias": np.zeros(10, np.int32)}, described()),
        ({"another": np.zeros(3, np.float32)}, described()),
        ({"rnn.weight_hh_l0": np.zeros((1, 10**6), np.float32)}, described()),
        ({"rnn.weight_hh_l1": np.zeros((21, 7), np.float32)}, described()),
        ({"embedding.weight": np.zeros((10, 10**6), np.float32)}, described()),
    ],
    ids=str,
)
def test_files_of_other_models_are_refused(tmp_path: Path, params: Any, metadata: Any) -> None:
    """Whatever sizes they ask for, nothing larger than the file is made."""
    path = tmp_path / "model.safetensors"
    save_file = importlib.import_module("safetensors.numpy").save_file
    save_file(small_model().params, path, described())
    CharModel.load(path)
    save_file({**small_model().params, **params}, path, metadata)
    with pytest.raises(ModelFileError, match="holds no model"):
        CharModel.load(path)


@needs_extras
def test_a_save_that_fails_leaves_the_old_model(tmp_path: Path) -> None:
    """The disk is full in the middle of the file."""
    path = tmp_path / "model.safetensors"
    small_model().save(path)
    old = path.read_bytes()
    save = f"""
import resource, signal, sys
sys.path.insert(0, {str(EXAMPLES)!r})
from pathlib import Path
from char_model import CharModel
from corpus import Alphabet
model = CharModel(Alphabet("abc"), hidden=300)
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
    path = tmp_path / "model.safetensors"
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
