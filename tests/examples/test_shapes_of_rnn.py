"""`examples/shapes_of_rnn.py`: the shapes and counts it prints."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import shapes_of_rnn


def test_shapes() -> None:
    assert shapes_of_rnn.run()["shapes"] == {
        "one_to_one": (1, 4, 1),
        "one_to_many": (7, 4, 5),
        "many_to_one": (4, 1),
        "many_to_many": (7, 4, 1),
        "many_to_many_of_another_length": (10, 4, 5),
        "deep": (7, 4, 1),
        "bidirectional": (7, 4, 1),
    }


def test_a_simple_network_has_31_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    found = shapes_of_rnn.run()
    assert found["value"] == found["baseline"] == 31
    shapes_of_rnn.main()
    assert "31 parameters" in capsys.readouterr().out
