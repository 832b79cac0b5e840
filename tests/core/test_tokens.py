"""Tokens as input: a layer that folds an embedding into W_ih gives the bits of one that is given the vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn import _core

LAYERS: dict[str, Any] = {
    "rnn": fr.RNN,
    "gru": fr.GRU,
    "lstm": fr.LSTM,
    "lstm proj": lambda *sizes, **options: fr.LSTM(*sizes, proj_size=5, **options),
}
every_layer = pytest.mark.parametrize("kind", LAYERS)
SIZES = [(7, 5, 9, 20, 3), (11, 20, 33, 30, 17), (5, 64, 70, 150, 1), (3, 5, 130, 40, 1)]
"""V, I, H, T, B."""


def problem(kind: str, sizes: tuple[int, ...], dtype: Any, **options: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    count, inputs, hidden, steps, batch = sizes
    rng = np.random.default_rng(sum(sizes))
    table = rng.standard_normal((count, inputs)).astype(dtype)
    layer = LAYERS[kind](inputs, hidden, dtype=dtype, rng=1, **options)
    return layer, table, rng.integers(0, count, (steps, batch))


@every_layer
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_folded_outputs_have_the_bits_of_unfolded_ones(
    kind: str, sizes: tuple[int, ...], dtype: Any, bidirectional: bool, isa: str
) -> None:
    layer, table, tokens = problem(kind, sizes, dtype, bidirectional=bidirectional, num_layers=2)
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, len(tokens) + 1, tokens.shape[1])
    reset = rng.random(tokens.shape) < 0.1
    y, _ = layer(table[tokens], lengths=lengths, reset=reset)
    folded, _ = layer(tokens, embedding=table, lengths=lengths, reset=reset)
    recorded, _, _ = layer.record(tokens, embedding=table, lengths=lengths, reset=reset)
    assert folded.tobytes() == y.tobytes()
    assert recorded.tobytes() == y.tobytes()


@every_layer
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_folded_gradients_are_those_of_unfolded_ones(
    kind: str, sizes: tuple[int, ...], bidirectional: bool, bias: bool
) -> None:
    layer, table, tokens = problem(kind, sizes, np.float64, bidirectional=bidirectional, bias=bias, num_layers=2)
    y, _, tape = layer.record(table[tokens])
    dy = np.random.default_rng(0).standard_normal(y.shape)
    expected = tape.backward(dy, truncate=7)
    dtable = np.zeros_like(table)
    np.add.at(dtable, tokens, expected.x)
    found = layer.record(tokens, embedding=table)[2].backward(dy, truncate=7)
    assert found.x is None
    np.testing.assert_allclose(found.embedding, dtable, rtol=1e-9, atol=1e-11 * np.abs(dtable).max())
    for name, gradient in expected.params.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-9, atol=1e-11 * np.abs(gradient).max(), err_msg=name)


@every_layer
@pytest.mark.parametrize("mode", ["fixed", "random"])
def test_gradients_have_the_same_bits_on_any_number_of_threads(kind: str, mode: str) -> None:
    found = []
    for threads in (1, 2, 4):
        with fr.threads(threads):
            _core.set_team_mode(mode)
            try:
                for sizes in SIZES:
                    layer, table, tokens = problem(kind, sizes, np.float32)
                    y, _, tape = layer.record(tokens, embedding=table)
                    gradients = tape.backward(y)
                    found.append([gradients.embedding.tobytes(), *(a.tobytes() for a in gradients.params.values())])
            finally:
                _core.set_team_mode("adaptive")
    of_one = found[: len(SIZES)]
    assert found == of_one * 3


@every_layer
def test_tokens_without_an_embedding_are_unit_vectors(kind: str, isa: str) -> None:
    layer = LAYERS[kind](11, 33, rng=1)
    tokens = np.random.default_rng(0).integers(0, 11, (40, 3))
    x = np.eye(11, dtype=np.float32)[tokens]
    y, _, tape = layer.record(x)
    folded, _, folded_tape = layer.record(tokens)
    assert folded.tobytes() == y.tobytes()
    expected, found = tape.backward(y), folded_tape.backward(y)
    for name, gradient in expected.params.items():
        np.testing.assert_allclose(found[name], gradient, rtol=2e-5, atol=2e-5 * np.abs(gradient).max())
    assert found.embedding is None
    assert layer(tokens[:, 0])[0].tobytes() == layer(x[:, 0])[0].tobytes()


def test_few_steps_and_many_tokens_are_not_folded() -> None:
    layer = fr.GRU(5, 9, rng=1)
    table = np.random.default_rng(0).standard_normal((100, 5)).astype(np.float32)
    tokens = np.arange(30).reshape(10, 3)
    y, _, tape = layer.record(tokens, embedding=table)
    plain, _, plain_tape = layer.record(table[tokens])
    assert y.tobytes() == plain.tobytes()
    found, expected = tape.backward(y), plain_tape.backward(y)
    np.testing.assert_array_equal(found.embedding[tokens], expected.x)
    assert not found.embedding[30:].any()


def test_the_tape_does_not_see_later_changes() -> None:
    layer, table, tokens = problem("lstm", SIZES[0], np.float32)
    y, _, tape = layer.record(tokens, embedding=table)
    expected = layer.record(tokens, embedding=table)[2].backward(y)
    table[...] = 0
    tokens[...] = 0
    found = tape.backward(y)
    np.testing.assert_array_equal(found.embedding, expected.embedding)
    np.testing.assert_array_equal(found["weight_ih_l0"], expected["weight_ih_l0"])


@pytest.mark.parametrize("checkpoint", [None, 7])
def test_checkpoints_and_tokens(checkpoint: int | None) -> None:
    layer, table, tokens = problem("lstm", SIZES[0], np.float64)
    y, _, tape = layer.record(tokens, embedding=table, checkpoint=checkpoint)
    expected = layer.record(tokens, embedding=table)[2].backward(y)
    np.testing.assert_allclose(tape.backward(y).embedding, expected.embedding, rtol=1e-9)


@pytest.mark.parametrize(
    ("x", "embedding", "message"),
    [
        (np.array([[5]]), None, "x: expected tokens from 0 to 4, got 5"),
        (np.array([[-1]]), None, "x: expected tokens from 0 to 4, got -1"),
        (np.array([[7]]), np.zeros((7, 5), np.float32), "x: expected tokens from 0 to 6, got 7"),
        (np.array([[1]]), np.zeros((7, 4), np.float32), "embedding: expected shape"),
        (np.zeros((3, 1, 1, 2), np.int64), None, "x: expected tokens of shape"),
    ],
)
def test_bad_tokens(x: np.ndarray, embedding: np.ndarray | None, message: str) -> None:
    layer = fr.LSTM(5, 3, rng=1)
    for call in (layer, layer.record):
        with pytest.raises(ValueError, match=message):
            call(x, embedding=embedding)


def test_an_embedding_wants_integers_of_the_layers_dtype() -> None:
    layer = fr.LSTM(5, 3, rng=1)
    with pytest.raises(TypeError, match="x: expected integers"):
        layer(np.zeros((3, 1, 5), np.float32), embedding=np.zeros((7, 5), np.float32))
    with pytest.raises(TypeError, match=r"x: expected dtype float32, or tokens of shape \(T, B\)"):
        layer(np.zeros((3, 1, 5), np.int64))
    with pytest.raises(TypeError, match="embedding: expected dtype float32, got float64"):
        layer(np.zeros((3, 1), np.int64), embedding=np.zeros((7, 5)))


# Streams


@every_layer
def test_a_stream_of_tokens_gives_the_bits_of_a_call(kind: str, isa: str) -> None:
    layer, table, tokens = problem(kind, SIZES[1], np.float32)
    y, _ = layer(tokens, embedding=table)
    stream = layer.stream(tokens.shape[1], embedding=table)
    stepped = np.stack([stream.step(row) for row in tokens])
    assert stepped.tobytes() == y.tobytes()
    stream.reset()
    out = np.empty_like(y)
    assert stream.process(tokens, out=out) is out
    assert out.tobytes() == y.tobytes()
    with pytest.raises(ValueError, match="x: expected tokens from 0 to 10, got 11"):
        stream.step(np.full(tokens.shape[1], 11))
