"""A layer's options and parameters, and copies of it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import CELLS, LAYERS, every_dtype, every_layer
from small_layers import B, H, I, T, assert_same, normal, unaligned

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
        unaligned,
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


def test_load_params_writes_into_an_assigned_array() -> None:
    layer, shared = fr.RNN(I, H, rng=0), np.zeros((H, I), np.float32)
    layer.params["weight_ih_l0"] = shared
    source = fr.RNN(I, H, rng=1)
    layer.load_params(source.params)
    assert layer.params["weight_ih_l0"] is shared
    assert_same(shared, source.params["weight_ih_l0"])


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


def test_copies_of_params_are_dicts() -> None:
    """Another Params would be a second view of one network, soon out of step with it."""
    layer, x = fr.LSTM(I, H, rng=0), normal(T, B, I)
    expected = layer(x)
    held = copy.copy(layer.params)
    assert type(held) is dict
    assert all(held[name] is array for name, array in layer.params.items())
    held["weight_ih_l0"] = np.zeros((4 * H, I), np.float32)
    assert_same(layer(x), expected)
    for snapshot in (copy.deepcopy(layer.params), pickle.loads(pickle.dumps(layer.params))):
        assert type(snapshot) is dict
        for array in layer.params.values():
            array *= 2
        assert not np.array_equal(layer(x)[0], expected[0])
        layer.load_params(snapshot)
        assert_same(layer(x), expected)


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

    cell = CELLS[kind].step(I, H, rng=0)
    assert_same(clone(cell)(normal(B, I)), cell(normal(B, I)))


@every_layer
@pytest.mark.parametrize("change", ["shape", "dtype", "readonly"])
def test_load_params_after_an_array_was_changed_in_place(kind: str, change: str) -> None:
    """An array whose shape was set in place since it became a parameter is replaced by a fresh one."""
    layer = LAYERS[kind](I, H, rng=0)
    array = layer.params["weight_hh_l0"]
    held = {name: value for name, value in layer.params.items() if name != "weight_hh_l0"}
    if change == "shape":
        array.shape = array.shape[::-1]
    elif change == "dtype":
        array = layer.params["weight_hh_l0"] = np.zeros(array.shape, np.float32)
        array.dtype = np.dtype(np.int32)  # type: ignore[misc]
    else:
        array.flags.writeable = False
    values = {name: np.full(shape, 0.5, np.float32) for name, shape in layer.params.shapes.items()}
    layer.load_params(values)
    assert_same(dict(layer.params), values)
    for name, value in held.items():
        assert layer.params[name] is value
    x = normal(T, B, I)
    fresh = LAYERS[kind](I, H, rng=1)
    fresh.load_params(values)
    assert_same(layer(x), fresh(x))


@every_layer
def test_load_params_that_fails_changes_nothing(kind: str) -> None:
    layer = LAYERS[kind](I, H, rng=0)
    before = {name: value.copy() for name, value in layer.params.items()}
    good: dict[str, Any] = {name: np.full(shape, 0.5, np.float32) for name, shape in layer.params.shapes.items()}

    class Failing(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            if name == "bias_hh_l0":
                raise RuntimeError("no such value")
            return super().__getitem__(name)

    for wrong in (good | {"bias_hh_l0": good["bias_hh_l0"][:-1]}, good | {"bias_hh_l0": "text"}, Failing(good)):
        with pytest.raises((ValueError, TypeError, RuntimeError)):
            layer.load_params(wrong)
        assert_same(dict(layer.params), before)


def test_one_parameter_is_assigned_while_another_has_changed_its_shape() -> None:
    layer = fr.GRU(I, H, rng=0)
    layer.params["weight_hh_l0"].shape = (H, 3 * H)
    layer.params["bias_ih_l0"] = np.ones(3 * H, np.float32)
    assert (layer.params["bias_ih_l0"] == 1).all()
