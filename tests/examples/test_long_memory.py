"""`examples/long_memory.py`: gates remember where guessing fails; the strings are those of the grammar."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import fusedrnn as fr
import long_memory


def test_gates_remember() -> None:
    found = long_memory.run(lengths=(10,), steps=400)
    assert found["value"] > found["baseline"] + 0.3
    for task, cells in found["right"].items():
        guessing = long_memory.TASKS[task][-1]
        assert cells["GRU"][0] > guessing + 0.2, task
        assert cells["LSTM"][0] > guessing + 0.2, task


def test_threads_do_not_matter() -> None:
    parts = []
    for threads in (1, 2):
        with fr.threads(threads):
            parts.append([long_memory.learn(task, "LSTM", 12, 30, 0) for task in long_memory.TASKS])
    assert parts[0] == parts[1]


@pytest.mark.parametrize("length", [10, 30, 100])
def test_reber_strings(length: int) -> None:
    rng = np.random.default_rng(length)
    for _ in range(50):
        string = long_memory.reber(rng, length)
        assert abs(len(string) - length) <= 2 + length / 5
        assert string[:3:2] == "BB"
        assert string[1] == string[-2]
        assert string[-1] == string[-3] == "E"
        state = "start"
        for symbol in string[3:-3]:
            state = dict(long_memory.REBER[state])[symbol]
        assert state == "end"


def test_the_sum_is_that_of_the_marked_numbers() -> None:
    batch = long_memory.adding_batch(np.random.default_rng(0), 20, 8)
    x = batch["x"]
    assert (x[..., 1].sum(0) == 2).all()
    np.testing.assert_allclose(batch["targets"][:, 0], (x[..., 0] * x[..., 1]).sum(0), rtol=1e-6)


def test_what_is_to_be_copied_comes_first() -> None:
    batch = long_memory.copy_batch(np.random.default_rng(0), 20, 8)
    np.testing.assert_array_equal(batch["targets"][-long_memory.COPIED :], batch["x"][: long_memory.COPIED])
    assert (batch["targets"][: -long_memory.COPIED] == -1).all()


def test_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `examples`")
    found = long_memory.run(lengths=(10, 12), steps=2)
    long_memory.draw(found, str(tmp_path / "memory.png"))
    assert (tmp_path / "memory.png").stat().st_size > 10_000
