"""`examples/music.py`: fewer bits a note than a Markov chain; the tunes as written; names and files of melodies."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import music


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return music.run()


def test_it_beats_the_markov_chain(found: dict[str, Any]) -> None:
    assert found["value"] < found["baseline"] - 0.15


@pytest.mark.parametrize("name", music.TUNES)
def test_every_bar_is_full(name: str) -> None:
    for bar in music.TUNES[name].split():
        assert sum(length for _, length in music.notes(bar)) == music.BAR, bar


def test_names_and_notes() -> None:
    tune = music.notes("C2G,EFc2 z4D4")
    assert tune == [("C", 2), ("G,", 1), ("E", 1), ("F", 1), ("c", 2), ("z", 4), ("D", 4)]
    assert music.abc(music.notes("C2G,EFc3 z4D4")) == "C2 G, E F c3 | z4 D4 |"


def test_the_chain_gives_probabilities() -> None:
    probability = music.markov(music.ALL[:15])
    for before in range(music.END + 1):
        assert sum(probability(before, token) for token in range(music.END + 1)) == pytest.approx(1)


def test_midi_has_the_notes_and_their_times() -> None:
    data = music.midi(music.notes("z2C2 A,1c8"))
    assert data[:14] == struct.pack(">4sIHHH", b"MThd", 6, 0, 1, 200)
    assert struct.unpack(">I", data[18:22])[0] == len(data) - 22
    at, time, events = 22, 0, []
    while at < len(data):
        wait = 0
        while True:
            wait = wait << 7 | data[at] & 127
            at += 1
            if data[at - 1] < 128:
                break
        time += wait
        if data[at] == 0xFF:
            at += 3 + data[at + 2]
        else:
            events.append((time, data[at], data[at + 1]))
            at += 3
    on, off = 0x90, 0x80
    assert events == [(200, on, 60), (400, off, 60), (400, on, 57), (500, off, 57), (500, on, 72), (1300, off, 72)]
    assert data.endswith(b"\xff\x2f\x00")


def test_a_low_temperature_takes_the_likeliest_notes() -> None:
    model = music.train(music.ALL, 10, 0)
    cold = [music.compose(model, ("G", 2), 1e-3, seed) for seed in (0, 1)]
    hot = [music.compose(model, ("G", 2), 2.0, seed) for seed in (0, 1)]
    assert cold[0] == cold[1]
    assert hot[0] != hot[1]
    likeliest = model(music.features(cold[0])[:, np.newaxis])[0][1:-1, 0].argmax(-1)
    assert [music.NOTES[token] for token in likeliest] == cold[0][1:]


def test_any_number_of_threads_gives_the_same_bits() -> None:
    def params(threads: int) -> dict[str, np.ndarray]:
        with fr.threads(threads):
            return dict(music.train(music.ALL, 3, 1).params)

    one, two = params(1), params(2)
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name], err_msg=name)


def test_main_prints_note_names_and_writes_a_file(
    found: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(music, "run", lambda seed, temperature: found)
    music.main(["--midi", str(tmp_path / "tune.mid"), "--threads", "1"])
    printed = capsys.readouterr().out
    assert music.abc(found["tunes"][0]) in printed
    assert f"{found['value']:.2f}" in printed
    assert (tmp_path / "tune.mid").read_bytes() == music.midi(found["tunes"][0])
    with pytest.raises(SystemExit):
        music.main(["--temperature", "0"])
    assert "expected a number above 0" in capsys.readouterr().err
