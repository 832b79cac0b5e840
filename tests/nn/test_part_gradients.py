"""Every part's gradients are the slopes of what it gives, by finite differences in float64."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from nn_cases import LENGTHS, PARTS, POOLINGS, ROWS, STEPS, WIDTH, check_slopes, draw, tokens


def check(part: Any, x: np.ndarray, **options: Any) -> None:
    twin = copy.deepcopy(part)
    y, tape = part.record(x, **options)
    dy = draw(*y.shape, seed=5)
    found = tape.backward(dy)

    def value() -> float:  # with the same mask each time
        rng = copy.deepcopy(getattr(twin, "rng", None))
        if rng is not None:
            part.rng = rng
        return float((part.record(x, **options)[0] * dy).sum())

    check_slopes("x", value, x, found.x)
    assert list(found.params) == list(part.params)
    for name, gradient in found.params.items():
        check_slopes(name, value, part.params[name], gradient)


@pytest.mark.parametrize("name", PARTS)
def test_slopes_of_a_batch(name: str, isa: str) -> None:
    check(PARTS[name](np.float64), draw(STEPS, ROWS, WIDTH))


@pytest.mark.parametrize("name", PARTS)
def test_slopes_without_a_batch(name: str) -> None:
    check(PARTS[name](np.float64), draw(STEPS, WIDTH))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", POOLINGS)
def test_slopes_of_rows_of_different_lengths(name: str, batch_first: bool) -> None:
    part = PARTS[name](np.float64)
    part.batch_first = batch_first
    x = draw(STEPS, ROWS, WIDTH)
    check(part, x.swapaxes(0, 1).copy() if batch_first else x, lengths=LENGTHS)


def test_slopes_of_an_embedding() -> None:
    part = fr.nn.Embedding(5, 3, padding_idx=2, dtype=np.float64, rng=0)
    x = tokens(STEPS, ROWS, count=5)
    y, tape = part.record(x)
    dy = draw(*y.shape)
    found = tape.backward(dy)
    assert found.x is None
    free = found.params["weight"] + 0
    assert not free[2].any(), "the padding's vector has a gradient"
    free[2] = np.where(x == 2, 1.0, 0.0).ravel() @ dy.reshape(-1, 3)
    check_slopes("weight", lambda: float((part(x) * dy).sum()), part.params["weight"], free)
