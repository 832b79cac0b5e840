"""Every way to call a layer, for every variant: layouts, tokens, truncation, every layer's y, streams that change."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import LAYERS
from small_layers import arrays_in, assert_close, assert_same
from variants import (
    VARIANTS,
    H,
    I,
    every_variant,
    is_dilated,
    is_random,
    make,
    option,
    runs_forward_only,
    stepped,
    those,
)

T, B = 7, 3


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def as_state(parts: list[np.ndarray]) -> Any:
    return tuple(parts) if len(parts) == 2 else parts[0]


@every_variant
def test_layouts_are_the_same_call(variant: str) -> None:
    layer, other = make(variant), make(variant, batch_first=True)
    x, reset, dy = normal(T, B, I), normal(T, B) > 0.5, None
    y, state, tape = layer.record(x, reset=reset)
    turned_y, turned_state, turned_tape = other.record(x.swapaxes(0, 1), reset=reset.T)
    assert_same((turned_y.swapaxes(0, 1), turned_state), (y, state))
    dy = normal(*y.shape, seed=1)
    gradients, turned = tape.backward(dy), turned_tape.backward(dy.swapaxes(0, 1))
    assert_same(
        (turned.x.swapaxes(0, 1), turned.state, turned.params), (gradients.x, gradients.state, gradients.params)
    )

    one = make(variant)
    row_y, row_state, row_tape = one.record(x[:, 0], reset=reset[:, 0])
    batch_y, batch_state, batch_tape = make(variant).record(x[:, :1], reset=reset[:, :1])
    assert_same((row_y, row_state), (batch_y[:, 0], [a[:, 0] for a in arrays_in(batch_state)]))
    row, batch = row_tape.backward(dy[:, 0]), batch_tape.backward(dy[:, :1])
    assert_same((row.x, row.params), (batch.x[:, 0], batch.params))


@every_variant
def test_tokens_are_their_vectors(variant: str) -> None:
    layer = make(variant)
    table, tokens = normal(4, I), np.random.default_rng(0).integers(0, 4, (T, B))
    drawn = layer.rng.bit_generator.state
    y, state, tape = layer.record(table[tokens])
    layer.rng.bit_generator.state = drawn
    token_y, token_state, token_tape = layer.record(tokens, embedding=table)
    assert_same((token_y, token_state), (y, state))
    assert_same(layer(tokens, embedding=table), layer(table[tokens]))
    dy = normal(*y.shape)
    expected, found = tape.backward(dy), token_tape.backward(dy)
    gradient = np.zeros_like(table)
    np.add.at(gradient, tokens, expected.x)
    assert found.x is None
    np.testing.assert_allclose(found.embedding, gradient, rtol=0, atol=1e-12)
    assert_close(found.params, expected.params)
    units = np.random.default_rng(1).integers(0, I, (T, B))
    assert_same(layer(units), layer(np.eye(I)[units]))
    if runs_forward_only(variant) and not is_dilated(variant):
        stream = layer.stream(B, embedding=table)
        assert_same(stream.process(tokens), layer(table[tokens])[0])
        assert_same(stream.step(tokens[0]), layer(np.concatenate((table[tokens], table[tokens[:1]])))[0][-1])


@every_variant
def test_dlayers_and_dy_add_up(variant: str) -> None:
    """The last layer's own gradient is dy; every layer's y is y of the layers below it."""
    layer, x = make(variant), normal(T, B, I)
    drawn = layer.rng.bit_generator.state

    def record(**options: Any) -> Any:
        layer.rng.bit_generator.state = drawn
        return layer.record(x, **options)

    y, state, layers, tape = record(return_layers=True)
    plain_y, plain_state, plain = record()
    assert_same((y, state, layers[-1]), (plain_y, plain_state, plain_y))
    assert len(layers) == layer.num_layers
    dy = normal(*y.shape)
    expected = plain.backward(dy)
    nothing: list[Any] = [None] * (layer.num_layers - 1)
    assert_same(tape.backward(dlayers=[*nothing, dy]), expected)
    assert_same(record(return_layers=True)[-1].backward(dy), expected)
    halves = record(return_layers=True)[-1].backward(dy / 2, dlayers=[*nothing, dy / 2])
    assert_same(halves, expected)


@those(lambda name: runs_forward_only(name) and not is_random(name) and not is_dilated(name))
@pytest.mark.parametrize("k2", [1, 3, 7, 50])
def test_truncation_is_separate_calls(variant: str, k2: int) -> None:
    """Windows are counted back from the last step; the state is carried over as a constant."""
    layer, x = make(variant), normal(T, B, I)
    y, last, tape = layer.record(x)
    dy, dlast = normal(*y.shape), as_state([normal(*a.shape, seed=2) for a in arrays_in(last)])
    found = tape.backward(dy, dlast, truncate=k2)
    edges = [*range(T, 0, -k2), 0][::-1]
    state: Any = None
    params = {name: np.zeros_like(array) for name, array in layer.params.items()}
    dx = []
    for start, end in itertools.pairwise(edges):
        _, state, window = layer.record(x[start:end], state)
        gradients = window.backward(dy[start:end], dlast if end == T else None)
        dx.append(gradients.x)
        if start == 0:
            assert_close(found.state, gradients.state)
        for name, gradient in gradients.params.items():
            params[name] += gradient
    assert_close(found.x, np.concatenate(dx))
    for name, gradient in params.items():
        np.testing.assert_allclose(found[name], gradient, rtol=0, atol=1e-12 * max(1.0, float(np.abs(gradient).max())))


@stepped
def test_streams_take_new_weights_and_keep_their_state(variant: str) -> None:
    layer = make(variant)
    x, stream = normal(T, B, I), layer.stream(B)
    stream.process(x)
    state = stream.state
    new = {name: array * 0.5 for name, array in layer.params.items()}
    layer.load_params(new)
    expected_y, expected_state = layer(x[:2], state)
    assert_same(stream.process(x[:2]), expected_y)
    assert_same(stream.state, expected_state)
    layer.params["weight_hh_l0"] = np.zeros_like(new["weight_hh_l0"])
    expected = layer(x[2:3], stream.state)[0][0]
    assert_same(stream.step(x[2]), expected)
    for array in layer.params.values():
        array *= 0.5
    stream.refresh()
    expected = layer(x[3:4], stream.state)[0][0]
    out = np.empty_like(expected)
    assert stream.step(x[3], out) is out
    assert_same(out, expected)
    stream.state = state
    assert_same(stream.state, state)


@stepped
def test_a_stream_is_reset_to_the_first_state(variant: str) -> None:
    layer = make(variant)
    x, stream = normal(T, B, I), layer.stream(B)
    first = stream.state
    y = layer(x)[0]
    assert_same(stream.process(x), y)
    stream.reset([0, 2])
    for part, begin in zip(arrays_in(stream.state), arrays_in(first), strict=True):
        assert_same(part[:, [0, 2]], begin[:, [0, 2]])
        assert (part[:, 1] != begin[:, 1]).any() or "thresholded" in variant
    stream.reset()
    assert_same(stream.state, first)
    assert_same(stream.process(x), y)
    row = layer.stream()
    assert_same(row.step(x[0, 0]), y[0, 0])


@those(lambda name: option(name, "learned_state", False))
def test_the_learned_state_is_used_where_none_is_given(variant: str) -> None:
    layer, x = make(variant), normal(T, B, I)
    directions = 2 if layer.bidirectional else 1
    names = ["initial_h", "initial_c"][: len(arrays_in(layer(x)[1]))]
    ends = ["", "_reverse"][:directions]
    parts = [
        np.stack([layer.params[f"{name}_l{k}{end}"] for k in range(layer.num_layers) for end in ends]) for name in names
    ]
    if not is_dilated(variant):
        state = as_state([np.repeat(part[:, np.newaxis], B, axis=1) for part in parts])
        assert_same(layer(x, state), layer(x))
    _, last = layer(x, lengths=[0] * B)
    for found, part in zip(arrays_in(last), parts, strict=True):
        assert_same(found, np.repeat(part[:, np.newaxis], B, axis=1))


@those(is_random)
def test_masks_are_drawn_anew_and_from_the_seed(variant: str) -> None:
    x = normal(T, B, I)
    layer = make(variant)
    first, second = layer.record(x)[0], layer.record(x)[0]
    assert (first != second).any()
    assert_same(make(variant).record(x)[0], first)
    before = layer.rng.bit_generator.state
    layer(x)
    with pytest.raises(ValueError, match="x: expected shape"):
        layer.record(x[..., :-1])
    assert layer.rng.bit_generator.state == before


@pytest.mark.parametrize("cell", LAYERS)
def test_no_probability_is_no_option(cell: str) -> None:
    zero = {"zoneout": 0.0, "recurrent_dropout": 0, "input_dropout": 0.0, "weight_dropout": 0.0}
    layer, plain = LAYERS[cell](I, H, rng=0, **zero), LAYERS[cell](I, H, rng=0)
    assert repr(layer) == repr(plain)
    assert type(layer._network) is type(plain._network) is fr._core.Network


@pytest.mark.parametrize("cell", LAYERS)
def test_one_mask_serves_all_steps(cell: str) -> None:
    """Keras's dropout: what is dropped of x stays dropped; and everything dropped is an input of zeros."""
    x = np.ones((T, B, I))
    layer = LAYERS[cell](I, H, dtype=np.float64, rng=0, input_dropout=0.5)
    layer.params["weight_hh_l0"][...] = 0
    dx = layer.record(x)[-1].backward(np.ones((T, B, H))).x
    dropped = dx == 0
    assert 0 < dropped[0].sum() < dropped[0].size
    assert (dropped == dropped[0]).all()
    nothing = LAYERS[cell](I, H, dtype=np.float64, rng=0, input_dropout=1.0, recurrent_dropout=1.0)
    assert_close(nothing.record(x)[0][0], nothing(np.zeros_like(x))[0][0])


def test_weight_dropout_drops_weights() -> None:
    layer = fr.RNN(I, H, dtype=np.float64, rng=0, weight_dropout=0.5)
    x = normal(T, B, I)
    gradient = layer.record(x)[-1].backward(np.ones((T, B, H)))["weight_hh_l0"]
    assert 0 < (gradient == 0).sum() < gradient.size


def test_zoneout_in_a_call_is_its_expectation() -> None:
    """All units stay: the state is what it was. The mean over many recordings of one step is what a call gives."""
    layer = fr.GRU(I, H, dtype=np.float64, rng=0, zoneout=1.0)
    x, h0 = normal(T, B, I), normal(1, B, H)
    assert_same(layer(x, h0)[1], h0)
    assert_same(layer.record(x, h0)[1], h0)
    layer = fr.LSTM(I, H, dtype=np.float64, rng=0, zoneout=(0.5, 0.0))
    rows = 4000
    x = np.repeat(normal(1, 1, I), rows, axis=1)
    state = tuple(np.repeat(normal(1, 1, H, seed=k), rows, axis=1) for k in (1, 2))
    mean = layer.record(x, state)[0].mean(axis=1)
    np.testing.assert_allclose(mean, layer(x, state)[0][:, 0], atol=0.1)


@every_variant
def test_nothing_to_do_is_done(variant: str) -> None:
    layer = make(variant)
    for steps, rows in ((0, 3), (4, 0), (0, 0)):
        x = np.zeros((steps, rows, I))
        y, state, tape = layer.record(x)
        assert y.shape == (steps, rows, layer._features)
        assert_same(layer(x), (y, state))
        gradients = tape.backward(np.zeros_like(y))
        assert gradients.x.shape == x.shape
        assert not any(array.any() for array in gradients.params.values())


@every_variant
def test_a_tape_serves_once(variant: str) -> None:
    layer, x = make(variant), normal(T, B, I)
    y, _, tape = layer.record(x)
    assert tape.nbytes > 0
    tape.backward(y)
    with pytest.raises(ValueError, match="tape"):
        tape.backward(y)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name.startswith("lstm")])
def test_return_cell(variant: str) -> None:
    """Of the last layer, its directions side by side."""
    layer, x = make(variant), normal(T, B, I)
    drawn = layer.rng.bit_generator.state
    y, state, cells = layer(x, return_cell=True)
    assert cells.shape == (T, B, H * (2 if layer.bidirectional else 1))
    last = 0 if layer.reverse else -1
    if not is_dilated(variant):
        assert_same(cells[last, :, :H], state[1][-2 if layer.bidirectional else -1])
    _, _, _, layers = layer(x, return_cell=True, return_layers=True)
    assert_same(layers[-1], y)
    layer.rng.bit_generator.state = drawn
    recorded = layer.record(x, return_cell=True, return_layers=True)
    assert len(recorded) == 5
    assert recorded[2].shape == cells.shape


@every_variant
def test_a_frozen_layer_computes_with_what_it_has(variant: str) -> None:
    """Whatever was computed before with other weights, by a call, a recording or a stream."""
    layer, x = make(variant), normal(T, B, I)
    layer(x)
    layer.record(x)
    streams = runs_forward_only(variant) and not is_dilated(variant)
    if streams:
        layer.stream(B).process(x)
    for array in layer.params.values():
        array *= 0.5
    layer.freeze()
    drawn = layer.rng.bit_generator.state
    expected = layer(x), layer.record(x)[0]
    other = make(variant)
    other.load_params(dict(layer.params))
    other.rng.bit_generator.state = drawn
    assert_same(expected, (other(x), other.record(x)[0]))
    layer.rng.bit_generator.state = drawn
    assert_same((layer(x), layer.record(x)[0]), expected)
    if streams:
        stream = layer.stream(B)
        assert_same(np.stack([stream.step(one) for one in x]), expected[0][0])
    with pytest.raises(ValueError, match="frozen"):
        layer.load_params(dict(layer.params))
    layer.unfreeze()
    layer.params["weight_hh_l0"] *= 0.5
    other.params["weight_hh_l0"] *= 0.5
    assert_same(layer(x), other(x))


@every_variant
def test_results_are_the_callers(variant: str) -> None:
    """A tape does not see what happens to the arrays of its call, nor to the parameters."""
    x = normal(T, B, I)
    layer, other = make(variant), make(variant)
    y, state, layers, tape = layer.record(x, return_layers=True)
    expected = other.record(x.copy(), return_layers=True)[-1].backward(np.ones_like(y))
    dy = np.ones_like(y)
    for array in (x, *layers, y, *arrays_in(state)):
        array[...] = np.nan
    for array in layer.params.values():
        array[...] = np.nan
    assert_same(tape.backward(dy), expected)


STREAM_CALLS: dict[str, tuple[Any, type[Exception], str]] = {
    "rows": (lambda stream, x: stream.step(x[0, :2]), ValueError, r"x: expected shape \(3, 5\), got \(2, 5\)"),
    "width": (
        lambda stream, x: stream.step(x[0, :, :4]),
        ValueError,
        r"x: expected shape \(T, 3, 5\), got \(1, 3, 4\)",
    ),
    "dtype": (lambda stream, x: stream.step(x[0].astype(np.float32)), TypeError, "x: expected dtype float64"),
    "type": (lambda stream, x: stream.step([1.0]), TypeError, "x: expected a numpy.ndarray"),
    "steps": (lambda stream, x: stream.process(x[0]), ValueError, r"x: expected shape \(T, 3, 5\), got \(3, 5\)"),
    "out's shape": (lambda stream, x: stream.step(x[0], np.empty((3, 9))), ValueError, "out: expected shape"),
    "out's dtype": (
        lambda stream, x: stream.step(x[0], np.empty((3, 6), np.float32)),
        TypeError,
        "out: expected dtype",
    ),
    "read-only out": (
        lambda stream, x: stream.step(x[0], np.broadcast_to(0.0, (3, 6))),
        ValueError,
        "out: .*read-only",
    ),
    "rows to reset": (lambda stream, x: stream.reset([True]), ValueError, r"rows: expected shape \(3,\), got \(1,\)"),
    "state": (
        lambda stream, x: setattr(stream, "state", (np.zeros((1, 3, 9)), np.zeros((1, 3, 6)))),
        ValueError,
        r"state \(h\): expected shape \(1, 3, 6\)",
    ),
}


@pytest.mark.parametrize("case", STREAM_CALLS)
def test_streams_refuse_by_name_and_keep_their_state(case: str) -> None:
    call, error, message = STREAM_CALLS[case]
    stream, x = make("lstm peephole").stream(B), normal(T, B, I)
    stream.process(x)
    state = stream.state
    with pytest.raises(error, match=message):
        call(stream, x)
    assert_same(stream.state, state)
