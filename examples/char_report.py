"""What a character model has learned, in print."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from char_model import CharModel
from corpus import Corpus
from ngrams import WittenBell
from training import perplexity

Scores = NDArray[np.float64]
"""ln P of each of some characters."""

NGRAM_ORDERS = {"unigram": 1, "bigram": 2, "5-gram": 5}


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


def held_out_scores(model: CharModel, corpus: Corpus) -> tuple[Scores, float]:
    """The model's scores of the held-out text, and how many characters a second it read."""
    began = time.perf_counter()
    scores = model.log_probabilities(corpus.held_out)
    return scores, len(scores) / (time.perf_counter() - began)


def compare_with_ngrams(model: CharModel, corpus: Corpus, ours: Scores) -> None:
    """The held-out perplexity of the model and of n-gram models of the same training text."""
    scores = {
        name: WittenBell(order, corpus.training, len(corpus.alphabet)).log_probabilities(corpus.held_out)
        for name, order in NGRAM_ORDERS.items()
        if len(corpus.alphabet) ** order < 2**63
    }
    scores[model.architecture.cell.upper()] = ours
    print_table(
        f"Held-out text, {len(corpus.held_out):,} characters (n-grams: Witten-Bell smoothing)",
        ["perplexity", "bits a character"],
        {name: [f"{perplexity(-s.mean()):.3f}", f"{-s.mean() / math.log(2):.3f}"] for name, s in scores.items()},
    )


def print_sample(model: CharModel, prompt: str, length: int, temperature: float, seed: int) -> float:
    """Text that the model writes; how many characters a second it wrote."""
    began = time.perf_counter()
    text = model.sample(prompt, length, temperature, np.random.default_rng(seed))
    speed = length / (time.perf_counter() - began)
    print(f"\nWritten at temperature {temperature:g}, going on from {prompt!r}:\n")
    print("\n".join(f"  | {line}" for line in (prompt + text).splitlines()))
    note_unknown(model, prompt)
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
        factor = f"{math.exp(abs(lead)):,.3g}" if abs(lead) < 20 else f"e^{abs(lead):.0f}"
        print(f"  {texts[0] if lead > 0 else texts[1]!r}, by a factor of {factor}.")
    note_unknown(model, "".join(texts))


def note_unknown(model: CharModel, text: str) -> None:
    """Say which characters of a text from the command line the model does not know."""
    unknown = model.alphabet.unknown_in(text)
    if unknown:
        print(f"  Not in the model's alphabet, read as one unknown character: {' '.join(map(ascii, unknown))}")


def check_saving(model: CharModel, corpus: Corpus, ours: Scores, keep: Path | None, otherwise: str) -> bool:
    """Load the saved model again, and say whether parameters and probabilities are the same to the bit.

    Args:
        keep: the file it was saved to; None to save it to one that is deleted again.
        otherwise: that file's name.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = keep or Path(scratch) / otherwise
        if keep is None:
            model.save(path)
        size = path.stat().st_size
        loaded = CharModel.load(path)
    same = all(np.array_equal(array, loaded.params[name]) for name, array in model.params.items())
    same = same and np.array_equal(ours, loaded.log_probabilities(corpus.held_out))
    place = f"to {keep}" if keep else f"as {path.suffix}, for the moment (--save keeps it)"
    print(f"\nSaved {place}, {size:,} bytes.")
    print(
        "Loaded again: the same parameters and held-out probabilities, to the bit." if same else "It came back CHANGED."
    )
    return same
