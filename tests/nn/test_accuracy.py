"""`accuracy` is the share of right targets among those that count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from nn_cases import draw, tokens


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_share_of_right_targets(batch_first: bool, dtype: Any) -> None:
    y, targets, lengths = draw(6, 5, 4, dtype=dtype), tokens(6, 5, count=4), np.array([0, 6, 2, 5, 1, 3])
    right, counts = y.argmax(-1) == targets, np.ones((6, 5), bool)
    assert fr.nn.accuracy(y, targets) == right.mean()
    if batch_first:
        counts = np.arange(5) < np.minimum(lengths, 5)[:, None]
        lengths = np.minimum(lengths, 5)
    else:
        lengths = lengths[:5]
        counts = np.arange(6)[:, None] < lengths
    options: dict[str, Any] = {"lengths": lengths, "batch_first": batch_first}
    assert fr.nn.accuracy(y, targets, **options) == right[counts].mean()
    counts &= targets != 2
    assert fr.nn.accuracy(y, targets, ignore=2, **options) == right[counts].mean()


def test_its_ends() -> None:
    y = np.eye(7, dtype=np.float32)
    assert fr.nn.accuracy(y, np.arange(7)) == 1.0
    assert fr.nn.accuracy(y, np.arange(7)[::-1].copy() * 0 + 1) == 1 / 7
    assert fr.nn.accuracy(y, np.full(7, 3), ignore=3) == 0.0
    assert fr.nn.accuracy(np.zeros((0, 3), np.float32), np.zeros(0, int)) == 0.0


def test_what_is_refused() -> None:
    y = np.zeros((3, 4), np.float32)
    for arguments, error, name in (
        ((y.tolist(), [0, 1, 2]), TypeError, "y"),
        ((y.astype(int), [0, 1, 2]), TypeError, "y"),
        ((np.float32(1), 0), TypeError, "y"),
        ((y, [0, 1]), ValueError, "targets"),
        ((y, [0, 1, 4]), ValueError, "targets"),
        ((y, [0.0, 1.0, 2.0]), TypeError, "targets"),
    ):
        with pytest.raises(error, match=f"^{name}: "):
            fr.nn.accuracy(*arguments)
