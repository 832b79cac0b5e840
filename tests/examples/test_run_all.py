"""`examples/run_all.py`: it finds the examples, prints a table, and goes on when one fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import run_all

GOOD = 'def run(seed=0):\n    return {"metric": "share right", "value": 0.98765, "baseline": 1 / 3, "more": []}\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files that are called as no other module is; two of them are examples."""
    for name, code in (("made_up_good", GOOD), ("made_up_bad", "\ndef run():\n    raise ValueError('no data')\n")):
        (tmp_path / f"{name}.py").write_text(f'"""Docs."""\n\n\n{code}', encoding="utf-8")
    (tmp_path / "made_up_part.py").write_text("SIZE = 3\n", encoding="utf-8")
    monkeypatch.setattr(run_all, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def test_it_finds_the_examples() -> None:
    found = run_all.names()
    assert {"char_lm", "music", "policy", "tagging", "translate"} <= set(found)
    assert not {"run_all", "corpus", "ngrams"} & set(found)


def test_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_all.main(["made_up_good", "--threads", "1"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["example", "metric", "value", "baseline", "seconds"]
    assert row.split()[:-1] == ["made_up_good", "share", "right", "0.9877", "0.3333"]
    assert len(header) == len(row)


def test_the_others_run_when_one_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_all.main([]) == 1
    printed = capsys.readouterr()
    assert [line.split()[:2] for line in printed.out.splitlines()[1:]] == [
        ["made_up_bad", "failed"],
        ["made_up_good", "share"],
    ]
    assert "ValueError: no data" in printed.err


def test_a_name_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_all.main(["made_up"])
    assert "no such example: made_up; there are made_up_bad, made_up_good" in capsys.readouterr().err
