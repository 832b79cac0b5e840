"""`fr.nn.pad`: rows of different lengths as one array."""

from __future__ import annotations

import numpy as np
import pytest

import fusedrnn as fr


def test_tokens() -> None:
    x, lengths = fr.nn.pad([[3, 1, 4], [1], []], -1)
    assert x.tolist() == [[3, 1, -1], [1, -1, -1], [4, -1, -1]]
    assert lengths.tolist() == [3, 1, 0]
    assert x.dtype.kind == "i"
    assert x.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features(dtype: type) -> None:
    rows = [np.full((length, 2), length, dtype) for length in (1, 4, 0, 3)]
    x, lengths = fr.nn.pad(rows)
    first, _ = fr.nn.pad(rows, batch_first=True)
    assert x.shape == (4, 4, 2)
    assert x.dtype == dtype
    np.testing.assert_array_equal(first, x.swapaxes(0, 1))
    for index, row in enumerate(rows):
        np.testing.assert_array_equal(x[: lengths[index], index], row)
        assert not x[lengths[index] :, index].any()


def test_a_layer_takes_it() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal((length, 3)).astype(np.float32) for length in (5, 2)]
    gru = fr.GRU(3, 4, rng=0)
    x, lengths = fr.nn.pad(rows)
    y, _ = gru(x, lengths=lengths)
    for index, row in enumerate(rows):
        np.testing.assert_array_equal(y[: len(row), index], gru(row)[0])


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ([], ValueError, "rows: expected at least one"),
        ([[1], 2], TypeError, "rows: expected sequences of numbers, row 1"),
        ([["a"]], TypeError, "rows: expected sequences of numbers, row 0"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], ValueError, r"rows: expected shapes \(T, …\) alike"),
    ],
)
def test_refused(rows: list, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fr.nn.pad(rows)
