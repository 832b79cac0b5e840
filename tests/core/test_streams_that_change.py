"""Streams: blocks of steps give the bits of single ones; new weights are taken and the state stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr

X = np.random.default_rng(0).standard_normal((12, 3, 4)).astype(np.float32)


def stepped(stream: Any, x: np.ndarray) -> np.ndarray:
    return np.stack([stream.step(row) for row in x])


@pytest.mark.parametrize("make", [fr.RNN, fr.GRU, fr.LSTM])
def test_process_equals_steps(make: Any, isa: str) -> None:
    layer = make(4, 20, num_layers=2, rng=1)
    expected = stepped(layer.stream(3), X)
    stream = layer.stream(3)
    blocks = np.concatenate([stream.process(X[:5]), stream.process(X[5:5]), stream.process(X[5:])])
    assert blocks.tobytes() == expected.tobytes()
    strided = np.repeat(X, 2, axis=0)[::2]
    assert layer.stream(3).process(strided).tobytes() == expected.tobytes()


def assign(layer: Any) -> None:
    layer.params["weight_hh_l0"] = 2 * layer.params["weight_hh_l0"]


def load(layer: Any) -> None:
    layer.load_params({name: 2 * array for name, array in layer.params.items()})


def optimise(layer: Any) -> None:
    fr.optim.SGD(layer.params, lr=0.5).step({name: np.ones_like(array) for name, array in layer.params.items()})


@pytest.mark.parametrize("change", [assign, load, optimise])
def test_a_change_through_fusedrnn_is_noticed(change: Callable[[Any], None]) -> None:
    layer = fr.LSTM(4, 20, rng=1)
    stream = layer.stream(3)
    step = stream.step  # held by a caller: it takes the new weights as well
    stepped(stream, X[:6])
    state = stream.state
    change(layer)
    expected, _ = layer(X[6:], state=state)
    assert np.stack([step(row) for row in X[6:]]).tobytes() == expected.tobytes()


def test_refresh_takes_a_change_in_place() -> None:
    layer = fr.GRU(4, 20, rng=1)
    stream = layer.stream(3)
    state = (stepped(stream, X[:6]), stream.state)[1]
    layer.params["weight_hh_l0"] *= 2
    stream.refresh()
    expected, _ = layer(X[6:], state=state)
    assert stepped(stream, X[6:]).tobytes() == expected.tobytes()


def test_rows_are_reset_by_their_numbers() -> None:
    layer = fr.LSTM(4, 20, rng=1)
    by_mask, by_number = layer.stream(3), layer.stream(3)
    for stream, rows in ((by_mask, np.array([True, False, True])), (by_number, [0, 2])):
        stream.process(X)
        stream.reset(rows)
    for a, b in zip(by_mask.state, by_number.state, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not a[:, [0, 2]].any()
        assert a[:, 1].any()
    with pytest.raises(ValueError, match="rows: expected numbers from 0 to 2, got 3"):
        by_number.reset([3])


@pytest.mark.parametrize(
    ("x", "message"),
    [(X[0], "x: expected shape"), (X[:, :2], "x: expected shape"), (X[:, :, :3], "x: expected shape")],
)
def test_process_refuses_other_shapes(x: np.ndarray, message: str) -> None:
    stream = fr.LSTM(4, 20, rng=1).stream(3)
    with pytest.raises(ValueError, match=message):
        stream.process(x)


def test_a_model_is_stepped_as_it_is_called() -> None:
    model = fr.nn.Sequential(fr.nn.Embedding(9, 4, rng=1), fr.GRU(4, 6, rng=2), fr.nn.Linear(6, 9, rng=3))
    tokens = np.random.default_rng(0).integers(0, 9, (30, 2))
    y, (state,) = model(tokens)
    stream = model.stream(2)
    assert stepped(stream, tokens).tobytes() == y.tobytes()
    np.testing.assert_array_equal(stream.state[0], state)
    stream.reset([1])
    assert not stream.state[0][:, 1].any()
    optimiser = fr.optim.Adam(model.params, lr=0.1)
    _, _, tape = model.record_loss(tokens[:-1], tokens[1:])
    optimiser.step(tape.backward())
    stream.refresh()
    stream.reset()
    assert stepped(stream, tokens).tobytes() == model(tokens)[0].tobytes()
    with pytest.raises(ValueError, match="stream: expected parts that take one step"):
        fr.nn.Sequential(fr.GRU(4, 6), fr.nn.LastStep()).stream()
