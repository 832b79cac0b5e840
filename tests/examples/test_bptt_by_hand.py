"""`examples/bptt_by_hand.py`: by hand, gradient_flow, kernels and finite differences agree."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import bptt_by_hand


@pytest.mark.parametrize("seed", [1, 2])
def test_four_gradients_are_one(seed: int) -> None:
    found = bptt_by_hand.run(seed)
    for name, terms in found["terms"].items():
        np.testing.assert_allclose(terms["gradient_flow"], terms["by hand"], rtol=1e-12, atol=1e-14)
        sums = found["sums"][name]
        np.testing.assert_allclose(sums["gradient_flow"], sums["by hand"], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(sums["kernels"], sums["by hand"], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(sums["kernels"], sums["differences"], rtol=0, atol=1e-9)
    assert not found["terms"]["W_o"]["by hand"][:2].any()


def test_every_term_is_needed() -> None:
    found = bptt_by_hand.run()
    assert found["value"] < 1e-9
    assert found["baseline"] > 1e-2


def test_it_prints_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    bptt_by_hand.main()
    printed = capsys.readouterr().out
    assert all(f"h_{t} = tanh" in printed for t in (1, 2, 3))
    assert printed.count("step 3") == 3
