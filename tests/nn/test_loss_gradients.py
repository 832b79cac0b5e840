"""Every loss's gradient is the slope of its value, by finite differences in float64."""

from __future__ import annotations

import numpy as np
import pytest

from nn_cases import LENGTHS, LOSSES, ROWS, STEPS, check_slopes, draw, targets_of


@pytest.mark.parametrize("lengths", ["no lengths", "time first", "batch first"])
@pytest.mark.parametrize("name", LOSSES)
def test_slopes(name: str, lengths: str, isa: str) -> None:
    y = 2 * draw(STEPS, ROWS, 3)
    targets = targets_of(name, y.shape)
    options = {} if lengths == "no lengths" else {"lengths": LENGTHS}
    if lengths == "batch first":
        y, targets = y.swapaxes(0, 1).copy(), targets.swapaxes(0, 1).copy()
        options["batch_first"] = True
    value, dy = LOSSES[name](y, targets, **options)
    assert type(value) is float
    check_slopes("y", lambda: LOSSES[name](y, targets, **options)[0], y, dy)


@pytest.mark.parametrize("name", LOSSES)
def test_what_lies_beyond_a_rows_length_does_not_count(name: str) -> None:
    y = draw(STEPS, ROWS, 3)
    targets = targets_of(name, y.shape)
    beyond = np.arange(STEPS)[:, np.newaxis] >= LENGTHS
    expected = LOSSES[name](y, targets, lengths=LENGTHS)
    y[beyond] = np.nan
    targets[beyond] = -5
    value, dy = LOSSES[name](y, targets, lengths=LENGTHS)
    assert value == expected[0]
    np.testing.assert_array_equal(dy, expected[1])
    assert not dy[beyond].any()


@pytest.mark.parametrize("name", LOSSES)
def test_of_nothing_it_is_zero(name: str) -> None:
    for shape, options in (((STEPS, ROWS, 3), {"lengths": np.zeros(ROWS, int)}), ((0, 3), {}), ((0, 4, 3), {})):
        y = draw(*shape)
        value, dy = LOSSES[name](y, targets_of(name, shape), **options)
        assert value == 0
        assert dy.shape == shape
        assert not dy.any()


@pytest.mark.parametrize("name", LOSSES)
def test_nan_is_not_hidden(name: str) -> None:
    y = draw(7, 3)
    y[3] = np.nan
    targets = targets_of(name, y.shape)
    targets[3] = 0
    value, dy = LOSSES[name](y, targets)
    assert np.isnan(value)
    assert np.isnan(dy[3]).any()


def test_cross_entropy_is_stable() -> None:
    for dtype in (np.float32, np.float64):
        y = np.array([[1e4, 0.0, -1e4], [-1e4, -1e4, -1e4]], dtype)
        value, dy = LOSSES["cross entropy"](y, [2, 0])
        np.testing.assert_allclose(value, (2e4 + np.log(3)) / 2, rtol=1e-6)
        np.testing.assert_allclose(dy, [[0.5, 0, -0.5], [-1 / 3, 1 / 6, 1 / 6]], rtol=1e-6)


def test_a_class_without_weight_and_an_infinite_logit_that_is_no_target() -> None:
    y = np.array([[0.0, 1.0, -np.inf], [np.nan, 0.0, 0.0]])
    value, dy = LOSSES["cross entropy"](y, [0, 2], class_weights=[1, 1, 0])
    np.testing.assert_allclose(value, np.log1p(np.e))
    assert not dy[1].any()
    assert dy[0, 2] == 0
