"""`examples/translate.py`: whole sentences are right, greedily and by the beam."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import fusedrnn as fr

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import translate


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return translate.run(training=5000, test=200, epochs=12)


def test_it_beats_the_dictionary(found: dict[str, Any]) -> None:
    assert found["value"] == found["scores"]["beam of 4"]
    assert found["value"] > found["baseline"] + 0.4
    assert found["scores"]["greedy"] > found["baseline"] + 0.4


def test_the_beam_is_no_less_likely_than_greedy(found: dict[str, Any]) -> None:
    translator = found["translator"]
    pairs = found["pairs"][:30]
    greedy = translator.greedy([english for english, _ in pairs])
    likelier = 0
    for (english, _), answer in zip(pairs, greedy, strict=True):
        beam = translator.beam(english)
        assert [score for score, _ in beam] == sorted((score for score, _ in beam), reverse=True)
        narrow = translator.beam(english, width=1)
        assert narrow[0][1] == answer
        likelier += beam[0][0] >= narrow[0][0] - 1e-4
    assert likelier >= 29  # a beam may lose the greedy path, but seldom


def test_facts_of_the_test_are_new_and_words_are_not() -> None:
    pairs, test = translate.make_data(0, 3000, 200)
    assert not {" ".join(english) for english, _ in pairs} & {" ".join(english) for english, _ in test}
    for side in (0, 1):
        assert {word for pair in test for word in pair[side]} <= {word for pair in pairs for word in pair[side]}


@pytest.mark.parametrize(
    ("arguments", "english", "german"),
    [
        (("man", "see", "dog", "today", "old", "", True, True),
         "today the old man has not seen the dog", "heute hat der alte Mann den Hund nicht gesehen"),
        (("cat", "look for", "child", "", "", "small", False, False),
         "the cat looks for the small child", "die Katze sucht das kleine Kind"),
        (("king", "know", "king", "often", "", "good", True, False),
         "often the king does not know the good king", "oft kennt der König den guten König nicht"),
    ],
)  # fmt: skip
def test_grammar(arguments: tuple[Any, ...], english: str, german: str) -> None:
    assert translate.sentence(*arguments) == (english.split(), german.split())


def test_any_number_of_threads_gives_the_same_bits() -> None:
    def losses(threads: int) -> list[float]:
        pairs, _ = translate.make_data(1, 200, 1)
        with fr.threads(threads):
            return translate.Translator(pairs, 1).train(pairs, 2, 1)

    assert losses(1) == losses(2)


def test_main_prints_translations_and_shares(
    found: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(translate, "run", lambda seed: found)
    translate.main(["--threads", "1"])
    printed = capsys.readouterr().out
    assert " ".join(found["pairs"][0][0]) in printed
    assert f"{100 * found['value']:5.1f} %" in printed
