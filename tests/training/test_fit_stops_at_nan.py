"""NaN or infinity in x, targets, loss or a gradient ends `fit` with the step and the name, before a weight changes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from small_runs import check_same_bits

ROWS, STEPS = 3, 6


def make() -> tuple[Any, Any]:
    model = fr.nn.Sequential(fr.LSTM(2, 4, rng=0), fr.nn.Dropout(0.1, rng=1), fr.nn.Linear(4, 2, rng=2))
    return model, fr.optim.Adam(model.params)


def batches(count: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [tuple(rng.standard_normal((2, STEPS, ROWS, 2)).astype(np.float32)) for _ in range(count)]


def check(wrong: list[Any], message: str, loss: Any = fr.nn.mse, **options: Any) -> None:
    """The third batch is wrong: all is as after the second."""
    (model, optimiser), (good, other) = make(), make()
    with pytest.raises(FloatingPointError, match=message):
        fr.fit(model, wrong, optimiser, loss, epochs=1, **options)
    fr.fit(good, wrong[:2], other, loss, epochs=1)
    check_same_bits(dict(model.params), dict(good.params))
    check_same_bits(optimiser.state(), other.state())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("place", "name"), [(0, "x"), (1, "targets")])
def test_in_data(place: int, name: str, value: float) -> None:
    found = batches()
    found[2][place][1, 1, 1] = value
    check(found, f"^step 3: {name}: expected finite numbers")


def test_in_data_that_does_not_count() -> None:
    model, optimiser = make()
    (x, targets), lengths = batches(1)[0], np.array([6, 2, 0])
    for array in (x, targets):
        array[3:, 1] = array[:, 2] = np.nan
    history = fr.fit(model, [(x, targets, lengths)], optimiser, fr.nn.mse, steps=2)
    assert np.isfinite(history.loss).all()
    assert all(np.isfinite(array).all() for array in model.params.values())
    x[1, 1] = np.nan
    with pytest.raises(FloatingPointError, match=r"^step 1: x: "):
        fr.fit(model, [(x, targets, lengths)], optimiser, fr.nn.mse, steps=1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_in_the_loss(value: float) -> None:
    found = batches()
    loss = lambda y, t: (value if t is found[2][1] else fr.nn.mse(y, t)[0], fr.nn.mse(y, t)[1])  # noqa: E731
    check(found, f"^step 3: the loss is {value}", loss)


def test_a_loss_that_overflows() -> None:
    found = batches()
    found[2][1][...] = 1e30
    check(found, "^step 3: the loss is inf")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_in_a_gradient(value: float) -> None:
    found = batches()

    def loss(y: Any, targets: Any) -> Any:
        mean, dy = fr.nn.mse(y, targets)
        if targets is found[2][1]:
            dy[0, 0, 1] = value
        return mean, dy

    names = r"0\.weight_ih_l0, .*2\.weight, 2\.bias"
    check(found, rf"^step 3: NaN or infinity in the gradient of {names}; no parameter", loss)


def test_a_rate_that_is_far_too_high() -> None:
    model, _ = make()
    optimiser = fr.optim.SGD(model.params, lr=1e30)
    with pytest.raises(FloatingPointError, match=r"^step \d: "):
        fr.fit(model, batches(), optimiser, fr.nn.mse, steps=10)


def test_the_last_checkpoint_stays(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "run.safetensors"
    found = batches()
    sound = copy.deepcopy(found)
    found[2][0][0, 0, 0] = np.nan
    check(found, "^step 3: x: ", checkpoint=path, checkpoint_every=1)
    model, optimiser = make()
    history = fr.fit(model, sound, optimiser, fr.nn.mse, epochs=1, checkpoint=path)
    good, other = make()
    fr.fit(good, sound, other, fr.nn.mse, epochs=1)
    assert len(history.loss) == 1
    check_same_bits(dict(model.params), dict(good.params))
