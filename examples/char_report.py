"""What a character model has learned, in print."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import fusedrnn as fr
from char_model import CharModel
from char_options import Options
from corpus import Corpus
from ngrams import WittenBell

if TYPE_CHECKING:
    from char_lm import TrainingLog

Scores = NDArray[np.float64]
"""ln P of each of some characters."""

NGRAM_ORDERS = {"unigram": 1, "bigram": 2, "5-gram": 5}


def report(model: CharModel, corpus: Corpus, options: Options, log: TrainingLog | None) -> bool:
    """Everything that is to be said about a model; whether it survived being saved."""
    began = time.perf_counter()
    scores = model.log_probabilities(corpus.held_out)
    reading = len(scores) / (time.perf_counter() - began)
    compare_with_ngrams(model, corpus, scores)
    same = check_saving(model, corpus, scores, options.save)
    writing = print_sample(model, options)
    compare_sentences(model, options.compare)
    facts = [("reading", f"{reading:,.0f} characters/s, one after the other")]
    if writing:
        facts.append(("writing", f"{writing:,.0f} characters/s"))
    if log is not None:
        rounds = log.characters / len(corpus.training)
        training = f"{log.steps:,} steps in {log.seconds:.1f} s, {rounds:.1f} times the text"
        facts = [("training", training), ("throughput", f"{log.speed:,.0f} characters/s"), *facts]
        if options.torch_seconds:
            facts += torch_facts(options, len(corpus.alphabet), log.speed)
    print_facts("Summary", facts)
    return same


def perplexity(nats: float) -> float:
    """exp of a mean of -ln P: as uncertain as a choice between so many equally likely tokens."""
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


def print_facts(title: str, facts: Iterable[tuple[str, str]]) -> None:
    """Names and what they are, one a line."""
    facts = list(facts)
    width = max(len(name) for name, _ in facts)
    print(f"\n{title}")
    for name, value in facts:
        print(f"  {name:<{width}}  {value}")


def print_table(title: str, columns: Sequence[str], rows: dict[str, Sequence[str]]) -> None:
    """A table of numbers; rows by name."""
    lines = [("", *columns), *((name, *row) for name, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print(f"\n{title}")
    for name, *numbers in lines:
        cells = (number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True))
        print("  " + "  ".join([name.ljust(widths[0]), *cells]))


def held_out_perplexities(model: CharModel, corpus: Corpus, ours: Scores) -> dict[str, float]:
    """Of n-gram models of the same training text, and last of the model."""
    tokens = len(corpus.alphabet)
    scores = {
        name: WittenBell(order, corpus.training, tokens).log_probabilities(corpus.held_out)
        for name, order in NGRAM_ORDERS.items()
        if tokens**order < 2**63
    }
    scores[model.cell.upper()] = ours
    return {name: perplexity(-values.mean()) for name, values in scores.items()}


def compare_with_ngrams(model: CharModel, corpus: Corpus, ours: Scores) -> None:
    """The held-out perplexity of the model and of the others."""
    found = held_out_perplexities(model, corpus, ours)
    print_table(
        f"Held-out text, {len(corpus.held_out):,} characters (n-grams: Witten-Bell smoothing)",
        ["perplexity", "bits a character"],
        {name: [f"{value:.3f}", f"{math.log2(value):.3f}"] for name, value in found.items()},
    )
    if found[model.cell.upper()] > found["unigram"]:
        print("  It has learned less than how often each character occurs: more steps, or a smaller --lr, may help.")


def print_sample(model: CharModel, options: Options) -> float:
    """Text that the model writes; how many characters a second it wrote."""
    rng, length = np.random.default_rng(options.seed), options.sample_length
    began = time.perf_counter()
    text = model.sample(options.prompt, length, options.temperature, rng)
    speed = length / (time.perf_counter() - began)
    print(f"\nWritten at temperature {options.temperature:g}, going on from {options.prompt!r}:\n")
    for line in (options.prompt + text).splitlines():
        print(textwrap.fill(line, 76, initial_indent="  | ", subsequent_indent="  | ", replace_whitespace=False))
    note_unknown(model, options.prompt)
    return speed


def compare_sentences(model: CharModel, texts: tuple[str, str]) -> None:
    """Which of the two is likelier, and by how much."""
    scores = model.score(texts)
    print_table(
        "Which is likelier, at the beginning of a line?",
        ["ln P", "ln P a character"],
        {repr(text): [f"{s.sum():.2f}", f"{s.mean():.3f}"] for text, s in zip(texts, scores, strict=True)},
    )
    lead = float(scores[0].sum() - scores[1].sum())
    if lead == 0:
        print("  Both are as likely.")
    else:
        factor = f"{math.exp(abs(lead)):,.3g}" if abs(lead) < math.log(1000) else f"10^{abs(lead) / math.log(10):.1f}"
        print(f"  {texts[0] if lead > 0 else texts[1]!r}, by a factor of {factor}.")
    note_unknown(model, "".join(texts))


def note_unknown(model: CharModel, text: str) -> None:
    """Say which characters of a text from the command line the model does not know."""
    unknown = model.alphabet.unknown_in(text)
    if unknown:
        print(f"  Not in the model's alphabet, read as one unknown character: {' '.join(map(ascii, unknown))}")


def check_saving(model: CharModel, corpus: Corpus, scores: Scores, keep: Path | None) -> bool:
    """Load the saved model again, and say whether parameters and probabilities are the same to the bit.

    Args:
        keep: the file it was saved to; None to save it to one that is deleted again.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = keep or Path(scratch) / "model.safetensors"
        if keep is None:
            model.save(path)
        size = path.stat().st_size
        loaded = CharModel.load(path)
    same = all(np.array_equal(array, loaded.params[name]) for name, array in model.params.items())
    same = same and np.array_equal(scores, loaded.log_probabilities(corpus.held_out))
    print(f"\nSaved {f'to {keep}' if keep else 'for the moment (--save FILE keeps it)'}, {size:,} bytes.")
    print(
        "Loaded again: the same parameters and held-out probabilities, to the bit." if same else "It came back CHANGED."
    )
    return same


def torch_facts(options: Options, tokens: int, ours: float) -> list[tuple[str, str]]:
    """What PyTorch needs for the same training, measured now; nothing where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return []
    threads = fr.get_num_threads()
    settings = {name: getattr(options, name) for name in ("batch", "bptt", "clip", "dropout")}
    settings |= {**options.architecture, "tokens": tokens, "threads": threads, "seconds": options.torch_seconds}
    command = [sys.executable, str(Path(__file__).with_name("char_torch.py")), json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return [("PyTorch", "could not run the same training: " + "".join(done.stderr.splitlines()[-1:]))]
    found = json.loads(done.stdout)
    chosen = "" if threads == 1 else f", the better of 1 and {threads}"
    return [
        ("PyTorch", f"{found['speed']:,.0f} characters/s for the same training ({found['version']})"),
        ("", f"measured after it for {options.torch_seconds:g} s on {found['threads']} thread(s){chosen}"),
        ("times as fast", f"{ours / found['speed']:.1f}"),
    ]
