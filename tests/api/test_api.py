"""The Python API around the core: the arguments of a call in every form they may have.

What the numbers must be is tested elsewhere over the whole grid; here a quick check of each entry point against the
reference, and otherwise equality to the bit between two ways to say the same thing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import LAYERS, every_dtype, every_layer
from small_layers import VIEWS, B, H, I, T, arrays_in, assert_close, assert_same, normal, state_of, with_reference

# Against the reference


@every_layer
@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False, "batch_first": True}],
    ids=["plain", "deep, bidirectional", "no bias, batch first"],
)
@pytest.mark.parametrize("masked", [False, True], ids=["full", "lengths and reset"])
def test_equals_reference(kind: str, options: dict[str, Any], masked: bool) -> None:
    layer, oracle = with_reference(kind, **options)
    lead = (B, T) if layer.batch_first else (T, B)
    x, state = normal(*lead, I, dtype=float), state_of(layer, B)
    masks: dict[str, Any] = {"lengths": [3, 0, 5], "reset": normal(*lead) > 0.8} if masked else {}
    y, last = layer(x, state, **masks)
    expected_y, expected_last, expected_tape = oracle.record(x, state, **masks)
    assert_close((y, last), (expected_y, expected_last))

    recorded_y, recorded_last, tape = layer.record(x, state, **masks)
    assert_same((recorded_y, recorded_last), (y, last))
    assert tape.nbytes > 0
    dy, dstate = normal(*y.shape, dtype=float, seed=2), state_of(layer, B, seed=11)
    assert_close(tape.backward(dy, dstate), expected_tape.backward(dy, dstate))


def test_equals_reference_with_projection_and_cells() -> None:
    layer, oracle = with_reference("lstm", proj_size=2, num_layers=2, bidirectional=True)
    x, state = normal(T, B, I, dtype=float), state_of(layer, B)
    y, last, cells, tape = layer.record(x, state, return_cell=True)
    *expected, expected_tape = oracle.record(x, state, return_cell=True)
    assert cells.shape == (T, B, 2 * H)
    assert_close((y, last, cells), expected)
    assert_same(layer(x, state, return_cell=True), (y, last, cells))
    assert_close(tape.backward(y), expected_tape.backward(y))


@every_layer
@pytest.mark.parametrize("truncate", [1, 2, 100])
def test_truncation_equals_reference(kind: str, truncate: int) -> None:
    layer, oracle = with_reference(kind)
    x = normal(T, B, I, dtype=float)
    y, _, tape = layer.record(x)
    _, _, expected = oracle.record(x)
    assert_close(tape.backward(y, None, truncate), expected.backward(y, None, truncate))


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "sigmoid", "leaky_relu", "identity"])
def test_nonlinearities_equal_reference(nonlinearity: str) -> None:
    layer, oracle = with_reference("rnn", nonlinearity=nonlinearity)
    x = normal(T, B, I, dtype=float)
    y, last, tape = layer.record(x)
    expected_y, expected_last, expected_tape = oracle.record(x)
    assert_close((y, last), (expected_y, expected_last))
    assert_close(tape.backward(y), expected_tape.backward(y))


# Layouts


@every_layer
@every_dtype
def test_unbatched_is_a_batch_of_one(kind: str, dtype: Any) -> None:
    for options in ({}, {"batch_first": True}, {"num_layers": 2, "bidirectional": True}):
        layer = LAYERS[kind](I, H, rng=0, dtype=dtype, **options)
        batched = LAYERS[kind](I, H, dtype=dtype, **{**options, "batch_first": False})
        batched.load_params(layer.params)
        x, state, reset = normal(T, I, dtype=dtype), state_of(layer, 1), np.arange(T) == 2
        alone = tuple(part[:, 0] for part in state) if kind == "lstm" else state[:, 0]
        y, last, tape = layer.record(x, alone, reset=reset)
        expected_y, expected_last, expected_tape = batched.record(x[:, None], state, reset=reset[:, None])
        assert y.shape == (T, H * (2 if layer.bidirectional else 1))
        assert_same(y, expected_y[:, 0])
        assert_same(arrays_in(last), [part[:, 0] for part in arrays_in(expected_last)])
        assert_same(layer(x, alone, reset=reset), (y, last))

        gradients = tape.backward(y, last)
        expected = expected_tape.backward(expected_y, expected_last)
        assert gradients.x.shape == x.shape
        assert_same(gradients.x, expected.x[:, 0])
        assert_same(arrays_in(gradients.state), [part[:, 0] for part in arrays_in(expected.state)])
        assert_same(gradients.params, expected.params)
    if kind == "lstm":
        y, _, cells = layer(x, alone, return_cell=True)
        assert cells.shape == (T, 2 * H)
        assert_same(cells, batched(x[:, None], state, return_cell=True)[2][:, 0])


@every_layer
def test_batch_first_assigned(kind: str) -> None:
    """It takes effect at the next call, in every way to call."""
    layer, other = (LAYERS[kind](I, H, rng=0, batch_first=flag) for flag in (True, False))
    x = normal(B, T, I)
    expected = layer(x), layer(x, lengths=[T] * B), layer.record(x)[0]
    layer = other
    layer.batch_first = np.True_  # type: ignore[assignment]
    assert layer.batch_first is True
    assert_same((layer(x), layer(x, lengths=[T] * B), layer.record(x)[0]), expected)


@every_layer
def test_batch_first_is_the_transpose(kind: str) -> None:
    first, time = (LAYERS[kind](I, H, 2, bidirectional=True, batch_first=flag, rng=0) for flag in (True, False))
    x, state = normal(T, B, I), state_of(time, B)
    lengths, reset = [2, 5, 0], normal(T, B) > 0.8
    y, last, tape = time.record(x, state, lengths=lengths, reset=reset)
    flipped = first.record(x.swapaxes(0, 1), state, lengths=lengths, reset=reset.T)
    assert_same(flipped[:2], (y.swapaxes(0, 1), last))
    gradients, expected = flipped[2].backward(y.swapaxes(0, 1)), tape.backward(y)
    assert_same(gradients.x, expected.x.swapaxes(0, 1))
    assert_same((gradients.state, gradients.params), (expected.state, expected.params))
    if kind == "lstm":
        cells = [layer(a, return_cell=True)[2] for layer, a in ((first, x.swapaxes(0, 1)), (time, x))]
        assert_same(cells[0], cells[1].swapaxes(0, 1))


@every_layer
@pytest.mark.parametrize("shape", [(0, B), (T, 0), (0, 0), (1, 1)], ids=["T 0", "B 0", "T and B 0", "one"])
def test_empty_and_single(kind: str, shape: tuple[int, int]) -> None:
    layer = LAYERS[kind](I, H, num_layers=2, rng=0)
    x, state = normal(*shape, I), state_of(layer, shape[1])
    y, last, tape = layer.record(x, state, lengths=[shape[0]] * shape[1])
    assert y.shape == (*shape, H)
    assert_same((y, last), layer(x, state))
    if shape[0] == 0:
        assert_same(last, state)
    gradients = tape.backward(y, last)
    assert gradients.x.shape == x.shape
    if 0 in shape:
        assert all((array == 0).all() for array in gradients.params.values())
    if shape[0] == 0:
        assert_same(gradients.state, last)


@every_layer
@every_dtype
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_any_memory_layout(kind: str, dtype: Any, view: Callable[[np.ndarray], np.ndarray]) -> None:
    layer = LAYERS[kind](I, H, rng=0, dtype=dtype)
    x, state, dy = normal(T, B, I, dtype=dtype), state_of(layer, B), normal(T, B, H, dtype=dtype)
    reset = normal(T, B) > 0.8
    lengths = np.array([2, 5, 3])
    viewed_state = tuple(map(view, state)) if kind == "lstm" else view(state)
    expected_y, expected_last, expected_tape = layer.record(x, state, lengths=lengths, reset=reset)
    viewed = {"lengths": np.repeat(lengths, 2)[::2].astype(np.uint8), "reset": np.asfortranarray(reset)}
    y, last, tape = layer.record(view(x), viewed_state, **viewed)
    assert_same((y, last), (expected_y, expected_last))
    assert_same(layer(view(x), viewed_state, **viewed), (y, last))
    assert_same(tape.backward(view(dy), viewed_state), expected_tape.backward(dy, state))


def test_broadcast_input() -> None:
    layer = fr.GRU(I, H, rng=0)
    x = np.broadcast_to(normal(1, 1, I), (T, B, I))
    assert_same(layer(x), layer(x.copy()))


@every_layer
def test_inputs_are_left_alone_and_results_are_fresh(kind: str) -> None:
    layer = LAYERS[kind](I, H, rng=0)
    x, state, dy = normal(T, B, I), state_of(layer, B), normal(T, B, H)
    given = arrays_in(x, state, dy, dict(layer.params))
    before = [array.copy() for array in given]
    results: list[Any] = []
    for _ in range(2):
        y, last, tape = layer.record(x, state)
        results += arrays_in(y, last, tape.backward(dy, state), layer(x, state))
    assert_same(given, before)
    for index, array in enumerate(results):
        assert array.flags.writeable
        assert not any(np.may_share_memory(array, other) for other in results[:index])
        assert not any(np.may_share_memory(array, other) for other in given)


# Lengths and resets


@pytest.mark.parametrize(
    "lengths",
    [[4, 0, 5], (4, 0, 5), np.array([4, 0, 5], np.uint8), np.array([4, 0, 5], ">i4"), [np.int32(4), 0, 5]],
    ids=["list", "tuple", "uint8", "big-endian", "NumPy integers"],
)
def test_lengths_of_any_integer_kind(lengths: Any) -> None:
    layer, x = fr.LSTM(I, H, bidirectional=True, rng=0), normal(T, B, I)
    y, _ = layer(x, lengths=lengths)
    assert_same(y, layer(x, lengths=np.array([4, 0, 5]))[0])
    for row, length in enumerate([4, 0, 5]):
        assert (y[length:, row] == 0).all()
        assert_same(y[:length, row], layer(x[:length, row])[0])


@every_layer
def test_reset_begins_a_new_sequence(kind: str) -> None:
    layer, x = LAYERS[kind](I, H, rng=0), normal(T, B, I)
    reset = np.zeros((T, B), bool)
    reset[2, 1] = True
    y, last = layer(x, state_of(layer, B), reset=reset)
    rest, end = layer(x[2:, 1])
    assert_same(y[2:, 1], rest)
    assert_same([part[:, 1] for part in arrays_in(last)], arrays_in(end))
    assert_same(y[:, [0, 2]], layer(x, state_of(layer, B))[0][:, [0, 2]])


@every_layer
@pytest.mark.parametrize("layers", [1, 2])
def test_episodes_packed_end_to_end_equal_the_same_episodes_alone(kind: str, layers: int) -> None:
    """In both directions, forward and backward, to the bit; the states at a row's ends are its outer episodes'."""
    layer = LAYERS[kind](I, H, layers, bidirectional=True, rng=0)
    lengths, begins = [9, 6, 1, 0], [[0, 4, 8], [3], [0], []]
    x, dy = normal(9, 4, I), normal(9, 4, 2 * H)
    reset = np.zeros((9, 4), bool)
    reset[7, 1] = reset[1, 2] = reset[0, 3] = True  # in the padding, where it has no effect
    for row, steps in enumerate(begins):
        reset[steps, row] = True
    y, last, tape = layer.record(x, lengths=lengths, reset=reset)
    assert_same(layer(x, lengths=lengths, reset=reset), (y, last))
    dx = tape.backward(dy).x
    for row, (length, steps) in enumerate(zip(lengths, begins, strict=True)):
        for begin, end in itertools.pairwise(sorted({0, length, *steps})):
            alone, end_of, its_tape = layer.record(x[begin:end, row])
            assert_same(y[begin:end, row], alone)
            assert_same(dx[begin:end, row], its_tape.backward(dy[begin:end, row]).x)
            for whole, part in zip(arrays_in(last), arrays_in(end_of), strict=True):
                if end == length:
                    assert_same(whole[0::2, row], part[0::2])
                if begin == 0:
                    assert_same(whole[1::2, row], part[1::2])


@every_layer
def test_reset_leaves_the_initial_state_of_the_reverse_direction(kind: str) -> None:
    """It enters at a row's end, which is no episode's beginning; forward, a mark at the first step hides it."""
    layer, x = LAYERS[kind](I, H, bidirectional=True, rng=0), normal(T, B, I)
    state, reset = state_of(layer, B), np.zeros((T, B), bool)
    reset[0], lengths = True, [T, 2, 1]
    y = layer(x, state, lengths=lengths, reset=reset)[0]
    assert_same(y[..., H:], layer(x, state, lengths=lengths)[0][..., H:])
    assert_same(y[..., :H], layer(x, lengths=lengths)[0][..., :H])


# Functions


@every_layer
@pytest.mark.parametrize("bias", [True, False])
def test_functional_equals_layer(kind: str, bias: bool) -> None:
    layer = LAYERS[kind](I, H, bias=bias, rng=0, dtype=np.float64)
    function: Callable[..., Any] = getattr(fr.functional, kind)
    weights = list(layer.params.values())
    x, state = normal(T, B, I, dtype=float), state_of(layer, B)
    masks: dict[str, Any] = {"lengths": [3, 0, 5], "reset": normal(T, B) > 0.8}
    parts = [part[0] for part in arrays_in(state)]
    y, last = layer(x, state, **masks)
    given = dict(zip(("h0", "c0"), parts, strict=False))
    ours, end = function(x, *weights, **given, **masks)
    assert_same(ours, y)
    assert_same(arrays_in(end), [part[0] for part in arrays_in(last)])
    turned = {"lengths": masks["lengths"], "reset": masks["reset"].T, "batch_first": True}
    flipped, end_flipped = function(x.swapaxes(0, 1), *map(np.asfortranarray, weights), **given, **turned)
    assert_same((flipped, end_flipped), (y.swapaxes(0, 1), end))
    single, end = function(x[:, 0], *weights)
    assert_same((single, arrays_in(end)), (layer(x[:, 0])[0], [part[0] for part in arrays_in(layer(x[:, 0])[1])]))
    assert function(x[:, 0], *weights, h0=parts[0][0])[0].shape == (T, H)


@every_layer
def test_functional_reverse(kind: str) -> None:
    layer = LAYERS[kind](I, H, bidirectional=True, rng=0)
    function: Callable[..., Any] = getattr(fr.functional, kind)
    weights = [array for name, array in layer.params.items() if name.endswith("_reverse")]
    x = normal(T, B, I)
    masks: dict[str, Any] = {"lengths": [3, 0, 5], "reset": normal(T, B) > 0.8}
    y, last = layer(x, **masks)
    ours, end = function(x, *weights, reverse=True, **masks)
    assert_same(ours, y[..., H:])
    assert_same(arrays_in(end), [part[1] for part in arrays_in(last)])


def test_functional_projection_cells_and_one_bias() -> None:
    layer, x = fr.LSTM(I, H, proj_size=2, rng=0), normal(T, B, I)
    layer.params["bias_hh_l0"] = np.zeros(4 * H)
    w_ih, w_hh, b_ih, _, w_hr = layer.params.values()
    y, last, cells = layer(x, return_cell=True)
    ours = fr.functional.lstm(x, w_ih, w_hh, b_ih, w_hr=w_hr, return_cell=True)
    assert_same(ours, (y, [part[0] for part in last], cells))
    h, c = last
    y, last = layer(x, (h, np.zeros_like(c)))
    assert_same(fr.functional.lstm(x, w_ih, w_hh, b_ih, None, h[0], w_hr=w_hr), (y, [part[0] for part in last]))


def test_functional_nonlinearity() -> None:
    layer, x = fr.RNN(I, H, nonlinearity="relu", rng=0), normal(T, B, I)
    assert_same(fr.functional.rnn(x, *layer.params.values(), nonlinearity="relu")[0], layer(x)[0])


# No rows


@every_layer
@pytest.mark.parametrize("options", [{}, {"num_layers": 3, "dropout": 0.5}, {"bidirectional": True, "num_layers": 2}])
def test_no_rows_take_no_time(kind: str, options: dict[str, Any]) -> None:
    """Of however many steps: every call comes back, with empty arrays."""
    steps, width = 2**34, H * (2 if "bidirectional" in options else 1)
    layer = LAYERS[kind](I, H, rng=0, **options)
    x, dy = np.empty((steps, 0, I), np.float32), np.empty((steps, 0, width), np.float32)
    reset = np.empty((steps, 0), bool)
    assert layer(x)[0].shape == (steps, 0, width)
    for arguments in ({}, {"lengths": []}, {"reset": reset, "state": state_of(layer, 0)}, {"checkpoint": 4}):
        if "checkpoint" in arguments and "bidirectional" in options:
            continue
        for truncate in (None, 3):
            y, last, tape = layer.record(x, **arguments)
            gradients = tape.backward(dy, truncate=truncate)
            assert y.shape == (steps, 0, width)
            assert gradients.x.shape == x.shape
            assert_same(arrays_in(last), arrays_in(gradients.state))
            assert not any(array.any() for array in gradients.params.values())
    strided = np.empty((0, steps, 2 * I), np.float32)[:, :, ::2].swapaxes(0, 1)
    layer.record(strided)[-1].backward(dy)
    expected = with_reference(kind, **options)[1].record(x, reset=reset)
    assert expected[0].shape == (steps, 0, width)
    assert expected[-1].backward(dy, truncate=2).x.shape == x.shape
    function: Callable[..., Any] = getattr(fr.functional, kind)
    first = [array for name, array in layer.params.items() if name.endswith("_l0")]
    assert function(x, *first, reset=reset, reverse=True)[0].shape == (steps, 0, H)
