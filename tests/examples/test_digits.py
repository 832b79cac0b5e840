"""`examples/digits.py`: it beats logistic regression on the same split, with the same bits on any number of threads."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn comes with the extra `examples`")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import digits
import fusedrnn as fr


def test_it_beats_logistic_regression() -> None:
    found = digits.run()
    assert found["baseline"] > 0.9
    assert found["value"] > found["baseline"]
    picture = digits.unsure(found).splitlines()
    assert len(picture) == 9
    assert picture[0].count("said") == 5


def test_threads_do_not_matter() -> None:
    logits = []
    for threads in (1, 2):
        with fr.threads(threads):
            logits.append(digits.run(epochs=1)["logits"])
    np.testing.assert_array_equal(*logits)
