"""`examples/forecast.py`: better than the naive forecasts and the autoregression, with the same bits on any threads."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("statsmodels", reason="statsmodels comes with the extra `examples`")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import forecast
import fusedrnn as fr


@pytest.mark.parametrize("seed", [0, 1])
def test_it_beats_the_baselines(seed: int) -> None:
    found = forecast.run(seed)
    errors = found["errors"]
    assert found["value"] < found["baseline"] == errors["AR"] < errors["last value"]
    assert found["value"] < 1.05 * errors["AR of square roots"]


def test_threads_do_not_matter() -> None:
    found = []
    for threads in (1, 2):
        with fr.threads(threads):
            found.append(forecast.run()["free"])
    np.testing.assert_array_equal(*found)


def test_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `examples`")
    forecast.draw(forecast.run(), str(tmp_path / "forecast.png"))
    assert (tmp_path / "forecast.png").stat().st_size > 10_000
