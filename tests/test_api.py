"""The Python API around the core: parameters, options, states, tapes, streams, settings.

What the numbers must be is tested elsewhere over the whole grid; here a quick check of each entry point against the
reference, and otherwise equality to the bit between two ways to say the same thing.
"""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn import reference

T, B, I, H = 5, 3, 4, 6  # noqa: E741

LAYERS: dict[str, Callable[..., Any]] = {"rnn": fr.RNN, "gru": fr.GRU, "lstm": fr.LSTM}
CELLS: dict[str, Callable[..., Any]] = {"rnn": fr.RNNCell, "gru": fr.GRUCell, "lstm": fr.LSTMCell}
REFERENCES: dict[str, Callable[..., Any]] = {"rnn": reference.RNN, "gru": reference.GRU, "lstm": reference.LSTM}

every_layer = pytest.mark.parametrize("kind", LAYERS)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def normal(*shape: int, dtype: Any = np.float32, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def state_of(layer: Any, *rows: int, seed: int = 7) -> Any:
    """A random initial state: h, or (h, c) for an LSTM."""
    slots = layer.num_layers * (2 if layer.bidirectional else 1)
    h = normal(slots, *rows, layer.proj_size or layer.hidden_size, dtype=layer.dtype, seed=seed)
    if isinstance(layer, fr.LSTM):
        return h, normal(slots, *rows, layer.hidden_size, dtype=layer.dtype, seed=seed + 1)
    return h


def arrays_in(*values: Any) -> list[np.ndarray]:
    """The arrays in nested tuples and mappings, in order."""
    found: list[np.ndarray] = []
    for value in values:
        if isinstance(value, np.ndarray):
            found.append(value)
        elif isinstance(value, Mapping):
            found += arrays_in(*value.values())
        elif isinstance(value, (tuple, list)):
            found += arrays_in(*value)
        elif value is not None:
            found += arrays_in(value.x, value.state, value.params)
    return found


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal to the bit, arrays pairwise."""
    pairs = list(zip(arrays_in(ours), arrays_in(theirs), strict=True))
    assert pairs
    for a, b in pairs:
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def assert_close(ours: Any, theirs: Any) -> None:
    """Equal to 1e-12 of the largest value, float64 (the issue's bound)."""
    for a, b in zip(arrays_in(ours), arrays_in(theirs), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * float(np.abs(b).max(initial=0.0)))


# Against the reference


def with_reference(kind: str, **options: Any) -> tuple[Any, Any]:
    layer = LAYERS[kind](I, H, dtype=np.float64, rng=0, **options)
    oracle = REFERENCES[kind](I, H, dtype=np.float64, **options)
    oracle.load_params(layer.params)
    return layer, oracle


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


# Constructors


def test_attributes() -> None:
    layer = fr.LSTM(4, 6, 2, False, True, 0.25, True, 3, dtype="float64", rng=5)
    assert (layer.input_size, layer.hidden_size, layer.num_layers, layer.proj_size) == (4, 6, 2, 3)
    assert (layer.bias, layer.batch_first, layer.bidirectional, layer.dropout) == (False, True, True, 0.25)
    assert layer.dtype == np.float64
    rnn = fr.RNN(4, 6, 2, "relu", False, True, 0.25, True)
    assert (rnn.nonlinearity, rnn.bias, rnn.batch_first, rnn.dropout, rnn.bidirectional) == (
        "relu",
        False,
        True,
        0.25,
        True,
    )
    assert fr.RNNCell(4, 6, False, "relu").nonlinearity == "relu"


def test_numpy_integers_are_sizes() -> None:
    layer = fr.GRU(np.int64(4), np.uint8(6), num_layers=np.int32(2))
    assert (type(layer.input_size), layer.hidden_size, layer.num_layers) == (int, 6, 2)


def test_parameter_names_shapes_and_order_are_torchs() -> None:
    layer = fr.LSTM(4, 6, num_layers=2, bidirectional=True, proj_size=2)
    shapes = {name: array.shape for name, array in layer.params.items()}
    assert list(shapes)[:10] == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
        "weight_hr_l0",
        "weight_ih_l0_reverse",
        "weight_hh_l0_reverse",
        "bias_ih_l0_reverse",
        "bias_hh_l0_reverse",
        "weight_hr_l0_reverse",
    ]
    assert len(shapes) == 20
    assert shapes["weight_ih_l0"] == (24, 4)
    assert shapes["weight_ih_l1_reverse"] == (24, 4)  # 2 directions of 2
    assert shapes["weight_hh_l1"] == (24, 2)
    assert shapes["bias_hh_l1"] == (24,)
    assert shapes["weight_hr_l1"] == (2, 6)
    assert list(fr.GRUCell(4, 6).params) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    assert list(fr.RNN(4, 6, bias=False).params) == ["weight_ih_l0", "weight_hh_l0"]


@pytest.mark.parametrize(
    ("module", "count"),
    [
        (fr.RNN(5, 3), 27),  # with a Linear(3, 1) of 4 the textbook's 31
        (fr.RNN(5, 3, bias=False), 24),
        (fr.RNN(5, 3, num_layers=2, bidirectional=True), 2 * (15 + 9 + 3) + 2 * (18 + 9 + 3)),
        (fr.LSTM(5, 3), 4 * (15 + 9 + 3)),
        (fr.LSTM(5, 3, proj_size=2), 4 * (15 + 6 + 3) + 6),
        (fr.GRU(5, 3), 3 * (15 + 9) + 3 * 3 + 3),
        (fr.GRUCell(5, 3), 3 * (15 + 9) + 3 * 3 + 3),
        (fr.LSTMCell(5, 3, bias=False), 4 * (15 + 9)),
    ],
)
def test_num_params(module: Any, count: int) -> None:
    assert module.num_params == count


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (fr.LSTM(4, 6), "LSTM(4, 6)"),
        (
            fr.LSTM(4, 6, 2, False, True, 0.5, True, 3),
            "LSTM(4, 6, proj_size=3, num_layers=2, bias=False, batch_first=True, dropout=0.5, bidirectional=True)",
        ),
        (fr.GRU(4, 6, dtype=np.float64), "GRU(4, 6, dtype=float64)"),
        (fr.RNN(4, 6, nonlinearity="relu"), "RNN(4, 6, nonlinearity='relu')"),
        (fr.RNNCell(4, 6, False, "relu"), "RNNCell(4, 6, bias=False, nonlinearity='relu')"),
        (fr.LSTMCell(4, 6), "LSTMCell(4, 6)"),
    ],
)
def test_repr(module: Any, text: str) -> None:
    assert repr(module) == text


@every_layer
def test_initial_parameters_are_uniform_and_seeded(kind: str) -> None:
    first, again, other = (LAYERS[kind](16, 64, num_layers=2, rng=seed) for seed in (3, 3, 4))
    assert_same(dict(first.params), dict(again.params))
    assert not np.array_equal(first.params["weight_hh_l0"], other.params["weight_hh_l0"])
    double = LAYERS[kind](16, 64, num_layers=2, rng=3, dtype=np.float64)
    assert_same([array.astype(np.float32) for array in double.params.values()], dict(first.params))
    bound = 1 / np.sqrt(64)
    values = np.concatenate([array.ravel() for array in first.params.values()])
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > 0.99 * bound
    # The mean of n uniform values has standard deviation bound / sqrt(3 n).
    assert abs(float(values.mean())) < 5 * bound / np.sqrt(3 * values.size)
    generator = np.random.default_rng(3)
    assert LAYERS[kind](16, 64, rng=generator).rng is generator


# Parameters


@every_layer
@every_dtype
def test_parameters_changed_in_place_are_seen(kind: str, dtype: Any) -> None:
    layer, x = LAYERS[kind](I, H, rng=0, dtype=dtype), normal(T, B, I, dtype=dtype)
    before, _ = layer(x)
    for name, array in layer.params.items():
        for index in (0, array.size // 2, array.size - 1):
            then, _ = layer(x)
            array.flat[index] += 1
            now, _ = layer(x)
            assert not np.array_equal(now, then), (name, index)
            fresh = LAYERS[kind](I, H, dtype=dtype)
            fresh.load_params(layer.params)
            assert_same(fresh(x), (now, layer(x)[1]))
    layer.params["weight_ih_l0"] *= 0.5
    assert not np.array_equal(layer(x)[0], before)


@every_layer
def test_parameters_assigned_are_seen_and_kept(kind: str) -> None:
    layer, x = LAYERS[kind](I, H, rng=0), normal(T, B, I)
    before, _ = layer(x)
    mine = layer.params["weight_hh_l0"] * 2
    layer.params["weight_hh_l0"] = mine
    assert layer.params["weight_hh_l0"] is mine
    assert not np.array_equal(layer(x)[0], before)
    mine /= 2  # in place, through the caller's own reference
    np.testing.assert_array_equal(layer(x)[0], before)


@pytest.mark.parametrize(
    "convert",
    [
        lambda a: a.astype(np.float64),
        lambda a: a.astype(np.float16),
        lambda a: a.astype(a.dtype.newbyteorder()),
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: unaligned(a),
        lambda a: a.tolist(),
        lambda a: a.view(Subclass),
    ],
    ids=["float64", "float16", "byte-swapped", "Fortran", "strided", "unaligned", "list", "subclass"],
)
def test_assigned_parameters_are_converted(convert: Callable[[np.ndarray], Any]) -> None:
    layer, x = fr.GRU(I, H, rng=0), normal(T, B, I)
    value = layer.params["weight_ih_l0"].astype(np.float16).astype(np.float32)  # the same in every precision
    layer.params["weight_ih_l0"] = value
    expected = layer(x)
    layer.params["weight_ih_l0"] = value + 1
    layer.params["weight_ih_l0"] = convert(value)
    held = layer.params["weight_ih_l0"]
    assert type(held) is np.ndarray
    assert held.dtype == np.float32
    assert held.flags.c_contiguous
    assert held.flags.aligned
    assert_same(layer(x), expected)


class Subclass(np.ndarray):
    """An ndarray that is not exactly one."""


def test_read_only_and_shared_parameters() -> None:
    layer, x = fr.LSTM(I, H, rng=0), normal(T, B, I)
    shared = np.zeros(4 * H, np.float32)
    locked = normal(4 * H, I)
    locked.flags.writeable = False
    layer.params["bias_ih_l0"] = layer.params["bias_hh_l0"] = shared
    layer.params["weight_ih_l0"] = locked
    layer(x)
    source = fr.LSTM(I, H, rng=1)
    layer.load_params(source.params)
    assert_same(dict(layer.params), dict(source.params))
    assert_same(layer(x), source(x))
    np.testing.assert_array_equal(locked, normal(4 * H, I))


def test_non_finite_parameters_are_allowed() -> None:
    layer = fr.RNN(I, H, rng=0)
    layer.params["bias_ih_l0"] = np.full(H, np.nan, np.float32)
    assert np.isnan(layer(normal(T, B, I))[0]).all()


def test_params_is_a_mapping_with_fixed_names() -> None:
    layer = fr.LSTM(I, H)
    assert len(layer.params) == 4
    assert "bias_ih_l0" in layer.params
    assert "nothing" not in layer.params
    assert layer.params.get("nothing") is None
    with pytest.raises(KeyError, match="nothing"):
        layer.params["nothing"]
    with pytest.raises(TypeError, match="bias_ih_l0"):
        del layer.params["bias_ih_l0"]
    with pytest.raises(AttributeError):
        layer.params = {}  # type: ignore[misc, assignment]
    layer.params.update(bias_ih_l0=np.ones(4 * H))
    assert (layer.params["bias_ih_l0"] == 1).all()
    assert "'weight_ih_l0': (24, 4)" in repr(layer.params)


@every_layer
def test_load_params_copies_in_place(kind: str) -> None:
    source, target = LAYERS[kind](I, H, rng=0, dtype=np.float64), LAYERS[kind](I, H, rng=1)
    held = dict(target.params)
    mapping = {name: array.astype(np.float32) for name, array in source.params.items()}
    target.load_params(dict(reversed(mapping.items())))
    for name, array in target.params.items():
        assert array is held[name]  # an optimiser's references stay good
        assert array is not mapping[name]
    assert_same(dict(target.params), mapping)
    target.load_params(source.params)  # float64 into float32
    assert_same(dict(target.params), mapping)
    target.load_params({name: array.tolist() for name, array in source.params.items()})
    assert_same(dict(target.params), mapping)


def test_load_params_from_its_own_arrays() -> None:
    layer = fr.RNN(H, H, rng=0)
    a, b = layer.params["weight_ih_l0"].copy(), layer.params["weight_hh_l0"].copy()
    swapped = {"weight_ih_l0": layer.params["weight_hh_l0"], "weight_hh_l0": layer.params["weight_ih_l0"]}
    layer.load_params({**layer.params, **swapped})
    assert_same([layer.params["weight_ih_l0"], layer.params["weight_hh_l0"]], [b, a])


def test_load_params_from_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: its state_dict cannot be loaded")
    theirs = torch.nn.LSTM(I, H, num_layers=2, bidirectional=True)
    layer = fr.LSTM(I, H, num_layers=2, bidirectional=True)
    layer.load_params(theirs.state_dict())
    assert_same(dict(layer.params), {name: value.numpy() for name, value in theirs.state_dict().items()})


# Copies


@every_layer
@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))], ids=["deepcopy", "pickle"]
)
def test_copies_are_equal_and_independent(kind: str, clone: Callable[[Any], Any]) -> None:
    layer, x = LAYERS[kind](I, H, num_layers=2, dropout=0.5, dtype=np.float64, rng=0), normal(T, B, I, dtype=float)
    layer.params["weight_ih_l0"] *= 2
    twin = clone(layer)
    assert repr(twin) == repr(layer)
    assert_same(twin(x), layer(x))
    assert_same(twin.record(x)[:2], layer.record(x)[:2])  # the generator is part of the copy
    expected = layer(x)
    twin.params["weight_ih_l0"] *= 2
    assert not np.array_equal(twin(x)[0], expected[0])
    assert_same(layer(x), expected)

    cell = CELLS[kind](I, H, rng=0)
    assert_same(clone(cell)(normal(B, I)), cell(normal(B, I)))


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


def unaligned(array: np.ndarray) -> np.ndarray:
    """The same values one byte past an aligned address."""
    result = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    result[...] = array
    assert array.size == 0 or not result.flags.aligned
    return result


def locked(array: np.ndarray) -> np.ndarray:
    result = array.copy()
    result.flags.writeable = False
    return result


VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "read-only": locked,
    "unaligned": unaligned,
    "Fortran": np.asfortranarray,
    "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: np.ascontiguousarray(a[::-1, ..., ::-1])[::-1, ..., ::-1],
    "rows apart": lambda a: np.repeat(a, 3, axis=1)[:, ::3],
    "swapped axes": lambda a: np.ascontiguousarray(a.swapaxes(0, 1)).swapaxes(0, 1),
    "packed record": lambda a: packed(a),
}


def packed(array: np.ndarray) -> np.ndarray:
    """A field of a packed record: strides that are no multiple of the item size."""
    records = np.zeros(array.shape, np.dtype([("pad", np.uint8), ("value", array.dtype)]))
    records["value"] = array
    return records["value"]


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
        assert np.array_equal(layer.record(x, checkpoint=4)[-1].backward(dy).x, expected)


@every_layer
@pytest.mark.parametrize("checkpoint", [1, 2, 3, 100])
def test_checkpoints_change_nothing(kind: str, checkpoint: int) -> None:
    layer = LAYERS[kind](I, H, num_layers=2, dropout=0.5, rng=0)
    twin = copy.deepcopy(layer)
    x, state = normal(T, B, I), state_of(layer, B)
    y, last, tape = layer.record(x, state)
    kept_y, kept_last, kept = twin.record(x, state, checkpoint=checkpoint)
    assert_same((kept_y, kept_last), (y, last))
    assert_same(kept.backward(y, last), tape.backward(y, last))


def test_a_tape_keeps_the_weights_and_inputs_of_its_call() -> None:
    layer, x = fr.LSTM(I, H, rng=0), normal(T, B, I)
    y, _, tape = layer.record(x)
    expected = layer.record(x)[-1].backward(y)
    for array in layer.params.values():
        array += 1
    x[...] = 0
    assert_same(tape.backward(y), expected)


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


# Cells


@every_layer
@every_dtype
def test_cell_is_one_step_of_a_layer(kind: str, dtype: Any) -> None:
    cell, layer = CELLS[kind](I, H, rng=0, dtype=dtype), LAYERS[kind](I, H, dtype=dtype)
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
    cell = CELLS[kind](I, H, rng=0)
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
    y, last = layer(x, lengths=[3, 0, 5])
    ours, end = function(x, *weights, reverse=True, lengths=[3, 0, 5])
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


# Many threads, settings


@every_layer
def test_one_layer_from_many_threads(kind: str) -> None:
    layer = LAYERS[kind](I, 33, num_layers=2, bidirectional=True, rng=0)
    inputs = [normal(1 + n % 7, 1 + n % 5, I, seed=n) for n in range(40)]

    def work(x: np.ndarray) -> Any:
        y, last, tape = layer.record(x)
        return layer(x), (y, last), tape.backward(y, last)

    expected = [work(x) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        for ours, theirs in zip(pool.map(work, inputs * 3), expected * 3, strict=True):
            assert_same(arrays_in(*ours), arrays_in(*theirs))


def test_streams_and_parameters_from_many_threads() -> None:
    def work(seed: int) -> tuple[np.ndarray, np.ndarray]:
        layer, x = fr.GRU(I, 17, rng=seed), normal(20, 2, I, seed=seed)
        for array in layer.params.values():
            array *= 0.5
        stream = layer.stream(2)
        return np.stack([stream.step(step) for step in x]), layer(x)[0]

    with ThreadPoolExecutor(8) as pool:
        for streamed, called in pool.map(work, range(32)):
            assert_same(streamed, called)


def test_threads_context() -> None:
    before = fr.get_num_threads()
    try:
        fr.set_num_threads(2)
        with fr.threads(1):
            assert fr.get_num_threads() == 1
            with fr.threads(3):
                assert fr.get_num_threads() == 3
            assert fr.get_num_threads() == 1
        assert fr.get_num_threads() == 2
        with pytest.raises(RuntimeError, match="inside"), fr.threads(1):
            raise RuntimeError("inside")
        assert fr.get_num_threads() == 2
        again = fr.threads(4)
        with again, again:
            assert fr.get_num_threads() == 4
        assert fr.get_num_threads() == 2
    finally:
        fr.set_num_threads(before)


def test_isa_control() -> None:
    before = fr.isa()
    assert before in fr.available_isas()
    assert "scalar" in fr.available_isas()
    layer, x = fr.LSTM(I, H, rng=0, dtype=np.float64), normal(T, B, I, dtype=float)
    expected = layer(x)
    try:
        for name in fr.available_isas():
            fr.use_isa(name)
            assert fr.isa() == name
            assert_close(layer(x), expected)
    finally:
        fr.use_isa(before)
    assert_same(layer(x), expected)


def test_build_info() -> None:
    info = fr.build_info()
    assert info
    assert all(isinstance(key, str) for key in info)


# The package


def python(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)


def test_info_command() -> None:
    result = python("-m", "fusedrnn", "info")
    assert result.returncode == 0, result.stderr
    assert result.stdout.isascii()
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["numpy"] == np.__version__
    assert fr.__version__ in lines["fusedrnn"]
    assert all(name in result.stdout for name in fr.available_isas())


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("info", "--nonsense"), ("info", "extra")])
def test_command_line_errors(arguments: tuple[str, ...]) -> None:
    result = python("-m", "fusedrnn", *arguments)
    assert result.returncode == 2
    assert "usage: python -m fusedrnn" in result.stderr


def test_bench_gets_its_own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import ModuleType

    from fusedrnn.__main__ import main

    seen: list[list[str]] = []
    bench = ModuleType("fusedrnn.bench")
    bench.main = seen.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fusedrnn.bench", bench)
    assert main(["bench", "--help", "lstm", "--repeat", "3"]) == 0
    assert seen == [["--help", "lstm", "--repeat", "3"]]


def test_bench_without_its_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from fusedrnn.__main__ import main

    monkeypatch.setitem(sys.modules, "fusedrnn.bench", None)
    assert main(["bench"]) == 1
    assert "fusedrnn[bench]" in capsys.readouterr().err


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer's run says nothing about time")
def test_import_stays_light() -> None:
    """The reference, its dataclasses and everything else a call does not need are left for when they are asked for."""
    code = "import numpy, sys; b = set(sys.modules); import fusedrnn; print(*sorted(set(sys.modules) - b))"
    loaded = set(python("-c", code).stdout.split())
    assert not {name for name in loaded if name.startswith(("fusedrnn.reference", "fusedrnn.__main__", "argparse"))}
    assert not {"dataclasses", "inspect", "importlib.metadata"} & loaded


def test_every_public_name_is_there_and_documented() -> None:
    for name in fr.__all__:
        assert name in dir(fr)
        assert getattr(fr, name).__doc__
    assert fr.reference is reference
    with pytest.raises(AttributeError, match="nonsense"):
        _ = fr.nonsense  # type: ignore[attr-defined]
