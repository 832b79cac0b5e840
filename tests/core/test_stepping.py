"""One step at a time: cells and streams."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import CELLS, LAYERS, every_dtype, every_layer
from small_layers import VIEWS, B, H, I, T, arrays_in, assert_same, normal, state_of

# Cells


@every_layer
@every_dtype
def test_cell_is_one_step_of_a_layer(kind: str, dtype: Any) -> None:
    cell, layer = CELLS[kind].step(I, H, rng=0, dtype=dtype), LAYERS[kind](I, H, dtype=dtype)
    layer.load_params({f"{name}_l0": array for name, array in cell.params.items()})
    x, state = normal(B, I, dtype=dtype), state_of(layer, B)
    now = tuple(part[0] for part in state) if kind == "lstm" else state[0]
    new = cell(x, now)
    _, expected, expected_tape = layer.record(x[None], state)
    assert_same(arrays_in(new), [part[0] for part in arrays_in(expected)])
    assert_same(cell(x), cell(x, tuple(map(np.zeros_like, now)) if kind == "lstm" else np.zeros_like(now)))

    recorded, tape = cell.record(x, now)
    assert_same(recorded, new)
    assert tape.nbytes > 0
    gradients, wanted = tape.backward(new), expected_tape.backward(None, expected)
    assert_same(gradients.x, wanted.x[0])
    assert_same(arrays_in(gradients.state), [part[0] for part in arrays_in(wanted.state)])
    assert list(gradients.params) == list(cell.params)
    assert_same(arrays_in(gradients.params), arrays_in(wanted.params))
    with pytest.raises(ValueError, match="tape"):
        tape.backward(new)


@every_layer
def test_cell_unbatched(kind: str) -> None:
    cell = CELLS[kind].step(I, H, rng=0)
    x = normal(1, I)
    state = cell(normal(1, I, seed=3))
    first = tuple(part[0] for part in state) if kind == "lstm" else state[0]
    assert_same(arrays_in(cell(x[0], first)), [part[0] for part in arrays_in(cell(x, state))])
    new, tape = cell.record(x[0], first)
    whole, whole_tape = cell.record(x, state)
    assert all(part.shape == (H,) for part in arrays_in(new))
    gradients, wanted = tape.backward(new), whole_tape.backward(whole)
    assert gradients.x.shape == (I,)
    assert_same(arrays_in(gradients.x, gradients.state), [a[0] for a in arrays_in(wanted.x, wanted.state)])
    assert_same(gradients.params, wanted.params)


def test_lstm_cell_unpacks() -> None:
    cell = fr.LSTMCell(I, H)
    h, c = cell(normal(B, I))
    h, c = cell(normal(B, I), (h, c))
    assert h.shape == c.shape == (B, H)
    gradients = cell.record(normal(B, I), (h, c))[1].backward((h, None))
    assert gradients.state[0].shape == (B, H)


# Streams


@every_layer
@every_dtype
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2}, {"batch_first": True}], ids=["plain", "deep", "batch first"]
)
def test_stream_equals_call(kind: str, dtype: Any, options: dict[str, Any]) -> None:
    """Through every method of a stream. test_bitwise.py has the sizes, threads and instruction sets."""
    layer = LAYERS[kind](I, H, rng=0, dtype=dtype, **options)
    x, state = normal(T, B, I, dtype=dtype), state_of(layer, B)
    y, last = layer(x.swapaxes(0, 1) if layer.batch_first else x, state)
    y = y.swapaxes(0, 1) if layer.batch_first else y
    stream = layer.stream(B)
    assert stream.batch_size == B
    stream.state = state
    assert_same(stream.state, state)
    out = np.empty((B, H), dtype)
    for t in range(T):
        assert stream.step(x[t], out=out) is out
        assert_same(out, y[t])
    assert_same(stream.state, last)
    stream.reset()
    assert all((part == 0).all() for part in arrays_in(stream.state))
    assert_same(stream.step(x[0]), layer.stream(B).step(x[0]))


def test_stream_with_projection() -> None:
    layer, x = fr.LSTM(I, H, proj_size=2, num_layers=2, rng=0), normal(T, B, I)
    stream = layer.stream(B)
    y, last = layer(x)
    assert_same(np.stack([stream.step(step) for step in x]), y)
    assert_same(stream.state, last)
    assert [part.shape for part in stream.state] == [(2, B, 2), (2, B, H)]


@every_layer
def test_stream_of_one_row_takes_vectors(kind: str) -> None:
    layer, x = LAYERS[kind](I, H, rng=0), normal(T, I)
    vectors, rows = layer.stream(), layer.stream(batch_size=1)
    out = np.empty(H, np.float32)
    for step in x:
        assert vectors.step(step, out) is out
        assert_same(out, rows.step(step[None])[0])
    assert_same(out, layer(x)[0][-1])


@every_layer
def test_stream_reset_of_rows(kind: str) -> None:
    layer, x = LAYERS[kind](I, H, rng=0), normal(T, B, I)
    reset = np.zeros((T, B), bool)
    reset[3, 1] = True
    stream = layer.stream(B)
    steps = []
    for t in range(T):
        if t == 3:
            stream.reset(rows=[False, True, False])
        steps.append(stream.step(x[t]))
    assert_same(np.stack(steps), layer(x, reset=reset)[0])
    before = stream.state
    stream.reset(np.zeros(B, bool))
    assert_same(stream.state, before)


def test_stream_state_is_a_copy_both_ways() -> None:
    layer, x = fr.LSTM(I, H, rng=0), normal(B, I)
    stream = layer.stream(B)
    stream.step(x)
    h, c = stream.state
    kept = h.copy(), c.copy()
    h[...] = 7
    assert_same(stream.state, kept)
    stream.state = h, c
    h[...] = 8
    assert (stream.state[0] == 7).all()


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stream_cannot_be_copied(clone: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"^Stream: cannot be copied"):
        clone(fr.GRU(I, H).stream())


def test_stream_keeps_its_weights() -> None:
    layer, x = fr.GRU(I, H, rng=0), normal(T, B, I)
    y, _ = layer(x)
    stream = layer.stream(B)
    for array in layer.params.values():
        array += 1
    assert_same(np.stack([stream.step(step) for step in x]), y)
    assert not np.array_equal(layer(x)[0], y)


def test_stream_accepts_any_memory_layout() -> None:
    layer, x = fr.GRU(I, H, rng=0), normal(B, I)
    expected = layer.stream(B).step(x)
    for name, view in VIEWS.items():
        wide = np.zeros((B, 2 * H), np.float32)
        stream = layer.stream(B)
        assert_same(stream.step(view(x), out=wide[:, ::2]), expected)
        assert (wide[:, 1::2] == 0).all(), name
