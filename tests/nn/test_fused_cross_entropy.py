"""Linear and cross-entropy in one pass are what they are one after the other: loss and every gradient."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from nn_cases import arrays_of, draw, every_dtype, nn, tokens

STEPS, ROWS, CLASSES = 9, 11, 13
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ignore": {"ignore": 4},
    "all ignored": {"ignore": 4},
    "class weights": {"class_weights": np.linspace(0, 2, CLASSES)},
    "both": {"ignore": 0, "class_weights": np.linspace(1, 2, CLASSES)},
    "weights": {"weights": np.random.default_rng(2).standard_normal((STEPS, ROWS))},
    "all three": {
        "ignore": 0,
        "class_weights": np.linspace(1, 2, CLASSES),
        "weights": np.random.default_rng(3).standard_normal((STEPS, ROWS)),
    },
}


def make(dtype: Any, batch_first: bool, bias: bool) -> Any:
    return nn.Sequential(
        fr.GRU(5, 21, batch_first=batch_first, dtype=dtype, rng=0), nn.Linear(21, CLASSES, bias, dtype=dtype, rng=1)
    )


@every_dtype
@pytest.mark.parametrize("lengths", [None, np.arange(ROWS) % (STEPS + 1)], ids=["all steps", "lengths"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_numbers(name: str, batch_first: bool, lengths: Any, dtype: Any, isa: str) -> None:
    model = make(dtype, batch_first, bias=name != "both")
    shape = (ROWS, STEPS) if batch_first else (STEPS, ROWS)
    x, targets = draw(*shape, 5, dtype=dtype), tokens(*shape, count=CLASSES)
    if name == "all ignored":
        targets[...] = 4
    options = dict(OPTIONS[name])
    if batch_first and "weights" in options:
        options["weights"] = options["weights"].T
    fused = partial(nn.cross_entropy, **options)
    value, state, tape = model.record_loss(x, targets, fused, lengths=lengths)
    apart_value, apart_state, apart = model.record_loss(x, targets, lambda *a, **o: fused(*a, **o), lengths=lengths)
    exact = 1e-13 if dtype is np.float64 else 2e-6
    np.testing.assert_allclose(value, apart_value, rtol=exact)
    np.testing.assert_array_equal(state[0], apart_state[0])
    ours, theirs = arrays_of(tape.backward()), arrays_of(apart.backward())
    assert sorted(ours) == sorted(theirs)
    for key in ours:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=0, atol=exact * max(1e-3, np.abs(theirs[key]).max()))
        assert not np.isnan(ours[key]).any()
    if name == "all ignored":
        assert value == 0
        assert not any(array.any() for array in ours.values())
    np.testing.assert_allclose(model.loss(x, targets, fused, lengths=lengths)[0], value, rtol=exact)


def test_more_rows_than_a_block() -> None:
    """Blocks of rows go from the last to the first, and the bits are those of one after the other within a block."""
    model = nn.Sequential(nn.Linear(7, 1500, dtype=np.float64, rng=0))
    x, targets = draw(3000, 7), tokens(3000, count=1500)
    value, _, tape = model.record_loss(x, targets)
    apart_value, _, apart = model.record_loss(x, targets, lambda *a: nn.cross_entropy(*a))
    np.testing.assert_allclose(value, apart_value, rtol=1e-12)
    ours, theirs = arrays_of(tape.backward()), arrays_of(apart.backward())
    for key in ours:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=0, atol=1e-12 * np.abs(theirs[key]).max())


def test_a_subclass_of_linear_is_not_passed_over() -> None:
    class Doubled(nn.Linear):
        def __call__(self, x: Any) -> Any:
            return 2 * super().__call__(x)

    model = nn.Sequential(Doubled(5, 3, rng=0))
    x, targets = draw(4, 5, dtype=np.float32), tokens(4)
    assert model.loss(x, targets)[0] == nn.cross_entropy(model(x)[0], targets)[0]


def test_rows_that_do_not_count_may_be_anything() -> None:
    model = nn.Sequential(nn.Linear(5, 3, rng=0))
    x, targets = draw(6, 2, 5, dtype=np.float32), tokens(6, 2)
    expected = model.record_loss(x, targets, lengths=[4, 2])
    x[4:, 0] = x[2:, 1] = np.nan
    targets[4:, 0] = 99
    value, _, tape = model.record_loss(x, targets, lengths=[4, 2])
    assert value == expected[0]
    ours, theirs = arrays_of(tape.backward()), arrays_of(expected[2].backward())
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key])
