"""`examples/tagging.py`: both directions beat one, and one beats the most frequent tag; held-out words and forms."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import tagging


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return tagging.run()


def test_both_directions_beat_one_and_one_beats_words_alone(found: dict[str, Any]) -> None:
    scores = found["scores"]
    assert found["value"] == scores["bidirectional"] > 0.9
    assert found["baseline"] == scores["most frequent tag"]
    assert scores["bidirectional"] > scores["forward only"] + 0.1
    assert scores["forward only"] > scores["most frequent tag"] + 0.1


def test_names_of_the_test_are_partly_new_and_its_forms_are() -> None:
    training, test = tagging.make_data(0, 500, 200)
    known = {word for words, _ in training for word in words}
    names = [word for words, tags in test for word, tag in zip(words, tags, strict=True) if tag]
    assert 0.2 < sum(word not in known for word in names) / len(names) < 0.8
    forms = [{form(words, tags) for words, tags in part} for part in (training, test)]
    assert not forms[0] & forms[1]


def form(words: list[str], tags: list[int]) -> str:
    names = (tagging.TAGS[tag] for tag in tags)
    return " ".join(
        word if tag == "O" else tag[-1] for word, tag in zip(words, names, strict=True) if not tag.startswith("I")
    )


def test_spans() -> None:
    tags = [tagging.TAGS.index(tag) for tag in ("B-P", "I-P", "B-P", "O", "I-L", "B-L", "I-O", "B-O")]
    assert tagging.spans(tags) == {(0, 1, "P"), (2, 2, "P"), (5, 5, "L"), (7, 7, "O")}
    sentence = (["word"] * len(tags), tags)
    assert tagging.f1([tags], [sentence]) == 1
    assert tagging.f1([[0] * len(tags)], [sentence]) == 0


def test_any_number_of_threads_gives_the_same_bits() -> None:
    def params(threads: int) -> dict[str, np.ndarray]:
        training, _ = tagging.make_data(1, 60, 1)
        index = tagging.vocabulary(training)
        model = tagging.make_model(1 + len(index), True, 1)
        with fr.threads(threads):
            tagging.train(model, training, index, 1, 1)
        return dict(model.params)

    one, two = params(1), params(2)
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name], err_msg=name)


def test_main_prints_sentences_and_scores(
    found: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tagging, "run", lambda seed: found)
    tagging.main(["--threads", "1"])
    printed = capsys.readouterr().out
    assert " person]" in printed
    assert f"F1 {found['value']:.3f}" in printed
