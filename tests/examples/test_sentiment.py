"""`examples/sentiment.py`: negation is got right where a bag of words fails, in forms that were held out."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn comes with the extra `examples`")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import fusedrnn as fr
import sentiment


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return sentiment.run()


def pairs(words: list[str]) -> set[tuple[str, str]]:
    """The negations of a sentence's clauses with their adjectives."""
    plain = [word for word in words if word not in sentiment.ADVERBS]
    adjectives = sentiment.GOOD + sentiment.BAD
    return {pair for pair in pairwise(plain) if pair[1] in adjectives and pair[0] != "was"}


def test_it_beats_the_baseline(found: dict[str, Any]) -> None:
    assert found["value"] > 0.95
    assert found["value"] > found["baseline"] + 0.3
    assert found["right"]["LSTM, one-hot"] > 0.9
    assert found["right"]["LSTM, numbers"] < 0.7


def test_not_good_is_complaint(found: dict[str, Any]) -> None:
    texts = [
        "the food was good",
        "the food was not good",
        "the food was not bad",
        "nobody would say that the food was good",
    ]
    said = found["judges"]["LSTM, embeddings"].praise([text.split() for text in texts])
    assert (said > 0.5).tolist() == [True, False, True, False]


def test_held_out_forms_are_held_out(found: dict[str, Any]) -> None:
    seen = set().union(*(pairs(words) for words, _ in found["training"]))
    assert len(seen) == 2 / 3 * len(sentiment.NEGATIONS) * len(sentiment.GOOD + sentiment.BAD)
    assert all(pairs(words) - seen for words, _ in found["held_out"])
    assert 0.4 < np.mean([praise for _, praise in found["training"]]) < 0.6


def test_padding_does_not_count(found: dict[str, Any]) -> None:
    sentences = [words for words, _ in found["held_out"][:20]]
    for name in ("LSTM, embeddings", "LSTM, one-hot", "LSTM, numbers"):
        judge = found["judges"][name]
        alone = [judge.praise([words])[0] for words in sentences]
        np.testing.assert_array_equal(judge.praise(sentences), alone)


def test_threads_do_not_matter() -> None:
    said = []
    for threads in (1, 2):
        with fr.threads(threads):
            small = sentiment.run(train=100, tested=50)
            said.append(small["judges"]["LSTM, embeddings"].praise([words for words, _ in small["held_out"]]))
    np.testing.assert_array_equal(*said)


def test_a_word_outside_the_grammar_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sentiment.main(["the pudding was good"])
    assert "got pudding" in capsys.readouterr().err
