"""`bench --job`: a whole training job is timed in processes of its own; what it trains learns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fusedrnn.bench import main
from fusedrnn.bench.job import char_lm


def test_the_table_and_its_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "job.json"
    arguments = ["--job", "char-lm", "--rounds", "2", "--milliseconds", "60", "--cells", "gru", "--json", str(file)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "in recurrent kernels" in printed
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert [(row["cell"], row["threads"]) for row in rows] == [("gru", "1"), ("gru", "default")]
    for row in rows:
        for one in row["rounds"]["fusedrnn"]:
            assert one["speed"] > 0
            assert 0 < one["recurrent"] < 1


def test_threads_are_those_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--job", "char-lm", "--rounds", "1", "--milliseconds", "20", "--cells", "gru", "--threads", "2"]
    assert main(arguments) == 0
    (row,) = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("gru")]
    assert row[1] == "2"


@pytest.mark.parametrize("cell", char_lm.CELLS)
def test_the_job_learns_its_text(cell: str) -> None:
    job = char_lm.Fused(cell)
    x, targets = char_lm.batches()[0]
    before = job._model.loss(x, targets)[0]
    for _ in range(3 * 8):
        job.step()
    assert job._model.loss(x, targets)[0] < before
    assert np.isfinite(job.recurrent_seconds)


@pytest.mark.parametrize("wrong", [["--beside", "busy"], ["--train"], ["--against", "jax"]])
def test_what_does_not_go_with_a_job(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--job", "char-lm", *wrong])
    assert "--job" in capsys.readouterr().err
