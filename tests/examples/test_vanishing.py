"""`examples/vanishing.py`: which gradients vanish, explode and stay; the picture."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import vanishing


@pytest.fixture(scope="module", params=[0, 1])
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    return vanishing.run(request.param)


def test_what_vanishes_explodes_and_stays(found: dict[str, Any]) -> None:
    arrives = {name: norms[-1] / norms[0] for name, norms in found["norms"].items()}
    for name in ("sigmoid", "tanh", "ReLU", "leaky ReLU", "LSTM", "GRU"):
        assert arrives[name] < 1e-12, name
    for name in ("tanh, large W_hh", "ReLU, large W_hh"):
        assert arrives[name] > 1e6, name
    for name in ("IRNN", "LSTM, forget bias 4", "GRU, update bias 4"):
        assert 1e-3 < arrives[name] < 10, name
    assert arrives["sigmoid"] < arrives["tanh"]
    assert arrives["LSTM"] < arrives["LSTM, forget bias 1"] < arrives["LSTM, forget bias 4"]


def test_it_beats_the_baseline(found: dict[str, Any]) -> None:
    assert found["value"] > 1e6 * found["baseline"]


def test_clipping_bounds_the_norm(found: dict[str, Any]) -> None:
    before, after = found["clipped"]
    assert before > 1e6
    assert after == pytest.approx(vanishing.LIMIT)


def test_skip_connections_help_through_depth(found: dict[str, Any]) -> None:
    plain, skipping = found["depth"]["tanh"], found["depth"]["tanh with skip connections"]
    assert plain[0] < 0.05 * plain[-1]
    assert skipping[0] > 0.5 * skipping[-1]


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib comes with the extra `examples`")
def test_picture(found: dict[str, Any], tmp_path: Path) -> None:
    vanishing.draw(found, str(tmp_path / "flow.png"))
    assert (tmp_path / "flow.png").stat().st_size > 10_000
