"""Tapes: gradients, truncation, checkpoints, and the dropout of a recorded call."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import LAYERS, every_dtype, every_layer
from problems import check_same_bits
from small_layers import B, H, I, T, arrays_in, assert_close, assert_same, normal, state_of, with_reference

# Tapes and gradients


@every_layer
def test_missing_gradients_are_zeros(kind: str) -> None:
    layer, x = LAYERS[kind](I, H, rng=0), normal(T, B, I)
    dy, dstate = normal(T, B, H), state_of(layer, B)
    zero = tuple(np.zeros_like(part) for part in dstate) if kind == "lstm" else np.zeros_like(dstate)

    def backward(*arguments: Any) -> Any:
        return layer.record(x)[-1].backward(*arguments)

    assert_same(backward(dy), backward(dy, zero))
    assert_same(backward(None, dstate), backward(np.zeros_like(dy), dstate))
    if kind == "lstm":
        assert_same(backward(dy, (dstate[0], None)), backward(dy, (dstate[0], zero[1])))
        assert_same(backward(dy, (None, dstate[1])), backward(dy, (zero[0], dstate[1])))
        assert_same(backward(dy, [None, None]), backward(dy))


@every_layer
def test_gradients_are_named_and_frozen(kind: str) -> None:
    layer, x = LAYERS[kind](I, H, num_layers=2, rng=0), normal(T, B, I)
    y, last, tape = layer.record(x)
    gradients = tape.backward(dy=y, dstate=last, truncate=None)
    assert list(gradients.params) == list(layer.params)
    for name, array in gradients.params.items():
        assert array.shape == layer.params[name].shape
    assert gradients.x.shape == x.shape
    assert [part.shape for part in arrays_in(gradients.state)] == [part.shape for part in arrays_in(last)]
    with pytest.raises(AttributeError, match="frozen"):
        gradients.x = x
    with pytest.raises(AttributeError, match="frozen"):
        del gradients.params
    assert_same(pickle.loads(pickle.dumps(gradients)), gradients)
    assert "weight_ih_l0" in repr(gradients)


@every_layer
def test_truncation_at_the_whole_length_is_none(kind: str) -> None:
    """At T exactly, the border. test_properties.py goes beyond it, with networks of every form."""
    layer, x = LAYERS[kind](I, H, rng=0), normal(T, B, I)
    y, _, tape = layer.record(x)
    assert_same(tape.backward(y, truncate=T), layer.record(x)[-1].backward(y))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("cut", [np.s_[:], np.s_[::2], np.s_[:, ::2], np.s_[1:, 1:]], ids=str)
def test_a_tape_with_checkpoints_sees_that_x_has_changed(rows: int, cut: Any) -> None:
    """It reads x again: wherever the change is, and however x lies, it must not use what it was not recorded with."""
    whole = np.random.default_rng(0).standard_normal((9, 2 * rows + 1, 5), np.float32)
    x = whole[cut]
    layer = fr.LSTM(5, 6, rng=0)
    dy = np.ones((*x.shape[:2], 6), np.float32)
    expected = layer.record(x)[-1].backward(dy).x
    for place in ((0, 0, 0), (-1, -1, -1), (1, -1, 2)):
        tape = layer.record(x, checkpoint=4)[-1]
        before = x[place]
        x[place] += 1
        with pytest.raises(ValueError, match="x: expected the values it was recorded with"):
            tape.backward(dy)
        x[place] = before
        assert np.array_equal(tape.backward(dy).x, expected)  # refused before it began, and good for another try
        with pytest.raises(ValueError, match="tape: expected one not used yet"):
            tape.backward(dy)


@every_layer
@pytest.mark.parametrize("checkpoint", [1, 2, 3, 100, sys.maxsize])
def test_checkpoints_change_nothing(kind: str, checkpoint: int) -> None:
    """Every cell with dropout, and the largest k there is. test_bitwise.py has lengths, resets and threads."""
    layer = LAYERS[kind](I, H, num_layers=2, dropout=0.5, rng=0)
    twin = copy.deepcopy(layer)
    x, state = normal(T, B, I), state_of(layer, B)
    y, last, tape = layer.record(x, state)
    kept_y, kept_last, kept = twin.record(x, state, checkpoint=checkpoint)
    assert_same((kept_y, kept_last), (y, last))
    assert_same(kept.backward(y, last), tape.backward(y, last))


@every_layer
@pytest.mark.parametrize("truncate", [None, 2])
@pytest.mark.parametrize("checkpoint", [None, 1])
def test_where_no_gradient_comes_back_nothing_is_multiplied(
    kind: str, checkpoint: int | None, truncate: int | None
) -> None:
    """Not even by an infinite weight: a row that ended knows nothing of the steps that others still take."""
    layer, x, dy = LAYERS[kind](I, H, rng=0), normal(T, B, I), np.ones((T, B, H), np.float32)
    layer.params["weight_hh_l0"][0, 0] = np.inf
    h = np.ones((1, B, H), np.float32)
    lengths = [T, T, 2]
    state = (h, h) if kind == "lstm" else h
    whole = layer.record(x, state, lengths=lengths, checkpoint=checkpoint)[-1].backward(dy, truncate=truncate).x
    for row, n in enumerate(lengths):
        one = slice(row, row + 1)
        first = (h[:, one], h[:, one]) if kind == "lstm" else h[:, one]
        alone = layer.record(x[:n, one], first)[-1].backward(dy[:n, one], truncate=truncate).x
        check_same_bits(f"row {row}", whole[:n, one], alone)
        assert np.isfinite(alone[-1]).all()


def test_checkpoints_keep_the_sign_of_zero() -> None:
    """A gradient that underflows is flushed to a zero that keeps its sign, also where a checkpoint begins."""
    tiny = np.finfo(np.float32).tiny
    layer, x = fr.RNN(1, 2, nonlinearity="identity", bias=False), np.zeros((2, 1, 1), np.float32)
    layer.load_params({"weight_ih_l0": np.full((2, 1), 0.1), "weight_hh_l0": 0.1 * np.eye(2)})
    dy = np.array([[[-tiny, -0.0]], [[0, -tiny]]], np.float32)
    expected = layer.record(x)[-1].backward(dy)
    assert np.signbit(expected.x).all()
    assert_same(layer.record(x, checkpoint=1)[-1].backward(dy), expected)


def test_a_tape_keeps_the_weights_and_inputs_of_its_call() -> None:
    layer, x = fr.LSTM(I, H, rng=0), normal(T, B, I)
    y, _, tape = layer.record(x)
    expected = layer.record(x)[-1].backward(y)
    for array in layer.params.values():
        array += 1
    x[...] = 0
    assert_same(tape.backward(y), expected)


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_tape_cannot_be_copied(clone: Callable[[Any], Any]) -> None:
    for tape in (fr.GRU(I, H).record(normal(T, B, I))[-1], fr.GRUCell(I, H).record(normal(B, I))[-1]):
        with pytest.raises(TypeError, match=rf"^{type(tape).__name__}: cannot be copied"):
            clone(tape)


def test_one_of_many_threads_gets_the_gradients() -> None:
    """dy is copied before the core begins, and while NumPy copies other threads may run."""
    layer, dy = fr.GRU(I, H, rng=0), normal(T, 600, 2 * H)[..., ::2]
    x = normal(T, 600, I)
    expected = layer.record(x)[-1].backward(dy).x

    def attempt(tape: Any) -> Any:
        try:
            return tape.backward(dy).x
        except ValueError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        for _ in range(100):
            results = list(pool.map(attempt, [layer.record(x)[-1]] * 8))
            refused = [str(result) for result in results if isinstance(result, ValueError)]
            assert len(refused) == 7
            assert all("not used yet" in message for message in refused)
            assert_same(next(result for result in results if isinstance(result, np.ndarray)), expected)


def test_a_tape_outlives_its_layer() -> None:
    layer, x = fr.LSTM(I, H, rng=0), normal(T, B, I)
    y, _, tape = layer.record(x)
    expected = layer.record(x)[-1].backward(y)
    stream = layer.stream(B)
    del layer
    gc.collect()
    assert_same(tape.backward(y), expected)
    assert_same(np.stack([stream.step(step) for step in x]), y)


# Dropout


def test_dropout_only_when_recording() -> None:
    layer, x = fr.GRU(I, H, num_layers=3, dropout=0.5, rng=0), normal(T, B, I)
    plain = fr.GRU(I, H, num_layers=3)
    plain.load_params(layer.params)
    assert_same(layer(x), plain(x))
    assert not np.array_equal(layer.record(x)[0], plain(x)[0])
    assert not np.array_equal(layer.record(x)[0], layer.record(x)[0])  # new masks each time
    stream = layer.stream(B)
    assert_same(np.stack([stream.step(step) for step in x]), plain(x)[0])


def test_dropout_masks_count_in_a_checkpointed_tape() -> None:
    x = normal(T, B, I)
    with_masks, without = (
        fr.GRU(I, H, num_layers=3, dropout=p, rng=0).record(x, checkpoint=4)[-1].nbytes for p in (0.5, 0.0)
    )
    assert with_masks - without == 2 * T * B * H * x.itemsize


@every_dtype
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_statistics(dtype: Any, p: float) -> None:
    # Identity layers that copy: what comes out is the mask.
    size, steps, rows = 8, 100, 50
    layer = fr.RNN(size, size, num_layers=2, nonlinearity="identity", bias=False, dropout=p, dtype=dtype, rng=0)
    for name, array in layer.params.items():
        array[...] = np.eye(size) if name.startswith("weight_ih") else 0
    y, _, _ = layer.record(np.ones((steps, rows, size), dtype))
    kept = y != 0
    np.testing.assert_array_equal(y[kept], dtype(1 / (1 - p)))
    n = y.size
    assert abs(kept.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / n)
    assert kept.mean(axis=(0, 1)).min() > 0
    assert kept.mean(axis=(0, 1)).max() < 1


def test_dropout_of_one_passes_nothing() -> None:
    layer, x = fr.LSTM(I, H, num_layers=2, dropout=1.0, rng=0), normal(T, B, I)
    y, _, tape = layer.record(x)
    assert_same(y, layer.record(x * 2)[0])
    gradients = tape.backward(y)
    assert (gradients.x == 0).all()
    assert (gradients.params["weight_ih_l0"] == 0).all()
    assert (gradients.params["weight_ih_l1"] == 0).all()
    assert (gradients.params["bias_ih_l1"] != 0).any()


@every_layer
def test_dropout_is_seeded_and_equals_reference(kind: str) -> None:
    options: dict[str, Any] = {"num_layers": 3, "dropout": 0.4, "bidirectional": True}
    layer, oracle = with_reference(kind, **options)
    twin = LAYERS[kind](I, H, dtype=np.float64, rng=0, batch_first=True, **options)
    single = LAYERS[kind](I, H, dtype=np.float32, rng=0, **options)
    generator = copy.deepcopy(layer.rng)
    x = normal(T, B, I, dtype=float)
    y, last, tape = layer.record(x)
    # The same seed drops the same units whatever the layout or the precision.
    assert_same(twin.record(x.swapaxes(0, 1))[:2], (y.swapaxes(0, 1), last))
    np.testing.assert_allclose(single.record(x.astype(np.float32))[0], y, atol=1e-4)
    masks = [(generator.random((T, B, 2 * H), dtype=np.float32) >= 0.4) / (1 - 0.4) for _ in range(2)]
    expected_y, expected_last, expected_tape = oracle.record(x, dropout_masks=masks)
    assert_close((y, last), (expected_y, expected_last))
    assert_close(tape.backward(y), expected_tape.backward(y))


def test_dropout_unbatched() -> None:
    layer = fr.GRU(I, H, num_layers=2, dropout=0.5, rng=0)
    twin = copy.deepcopy(layer)
    x = normal(T, I)
    assert_same(layer.record(x)[0], twin.record(x[:, None])[0][:, 0])


def test_dropout_warning() -> None:
    with pytest.warns(UserWarning, match="num_layers=1") as caught:
        fr.LSTM(I, H, dropout=0.5)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fr.LSTM(I, H, num_layers=2, dropout=0.5)
        fr.LSTM(I, H)
