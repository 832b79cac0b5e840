"""What a layer with options is made of: attributes, parameters, copies, files; what cannot be made is refused."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn import _core
from fusedrnn._options import options_of
from fusedrnn.reference.general_activations import GENERAL_ACTIVATIONS
from kinds import LAYERS
from small_layers import assert_same
from variants import VARIANTS, H, I, every_variant, make

T, B = 5, 3
X = np.random.default_rng(0).standard_normal((T, B, I))


@every_variant
def test_attributes_are_what_was_given_and_fixed(variant: str) -> None:
    layer = make(variant)
    for name, value in VARIANTS[variant].items():
        kept = getattr(layer, name)
        assert kept == (tuple(value) if isinstance(value, list) else value), name
        if name != "dropout":
            with pytest.raises(AttributeError, match=f"{name}: read-only"):
                setattr(layer, name, value)
        assert f"{name}={kept!r}" in repr(layer)
    assert eval(repr(layer), {**vars(fr), "float64": np.float64}).params.keys() == layer.params.keys()


@every_variant
def test_copies_and_pickles(variant: str) -> None:
    layer = make(variant)
    y = layer(X)
    layer(X, return_layers=True)
    for twin in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), copy.copy(layer)):
        assert repr(twin) == repr(layer)
        assert_same(twin(X), y)
    twin = copy.deepcopy(layer)
    for array in layer.params.values():
        array *= 0.5
    assert_same(twin(X), y)


@every_variant
def test_files(variant: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    layer, other = make(variant), make(variant)
    for array in other.params.values():
        array *= 0.5
    layer.save(tmp_path / "layer.safetensors")
    other.load(tmp_path / "layer.safetensors")
    assert_same(other(X), layer(X))


@every_variant
def test_num_params_counts_what_is_free(variant: str) -> None:
    """b_hh counts where b_ih cannot stand in for it: there y changes when one is given what the other loses."""
    layer = make(variant)
    y = layer(X)[0]
    apart = 0
    for name, array in layer.params.items():
        if not name.startswith("bias_hh"):
            continue
        for unit in range(array.size):
            other = layer.params[name.replace("hh", "ih")]
            before = array[unit], other[unit]
            array[unit] += 0.5
            other[unit] -= 0.5
            apart += not np.allclose(layer(X)[0], y, rtol=0, atol=1e-9)
            array[unit], other[unit] = before
    stored = sum(array.size for name, array in layer.params.items() if not name.startswith("bias_hh"))
    assert layer.num_params == stored + apart


@pytest.mark.parametrize("cell", LAYERS)
def test_the_constructor_has_the_options_with_their_defaults(cell: str) -> None:
    signature = inspect.signature(LAYERS[cell]).parameters
    for name, option in options_of(cell).items():
        assert signature[name].default == option.default
        assert getattr(LAYERS[cell](I, H), name) == option.default
    assert type(LAYERS[cell](I, H)._network) is _core.Network


def test_activations_are_those_of_the_reference() -> None:
    from fusedrnn._activations import ACTIVATIONS

    assert {name: (one.alpha, one.beta) for name, one in GENERAL_ACTIVATIONS.items()} == ACTIVATIONS


def test_usual_constants_are_the_plain_function() -> None:
    layer = fr.RNN(I, H, nonlinearity=("leaky_relu", 0.01), rng=0)
    assert layer.nonlinearity == "leaky_relu"
    assert type(layer._network) is _core.Network
    same = fr.LSTM(I, H, bidirectional=True, reverse_activations=["sigmoid", "tanh", "tanh"], rng=0)
    assert type(same._network) is _core.Network
    assert fr.GRU(I, H, activations=(("hard_sigmoid", 0.2, 0.5), "tanh")).activations == ("hard_sigmoid", "tanh")
    assert fr.GRU(I, H, activations=(("hard_sigmoid", 0.2), "tanh")).activations == ("hard_sigmoid", "tanh")
    assert fr.RNN(I, H, nonlinearity=("elu", 0.5)).nonlinearity == ("elu", 0.5)
    assert fr.RNN(I, H, nonlinearity=("affine", 0.5)).nonlinearity == ("affine", 0.5, 0.0)


def test_initial_values() -> None:
    """What is new begins as if it were not there, and a highway passes on most of x; the rest is as without options."""
    layer = fr.LSTM(I, H, num_layers=2, rng=0, layer_norm=True, learned_state=True, connection="highway")
    plain = fr.LSTM(I, H, num_layers=2, rng=0)
    for name, array in layer.params.items():
        constant = {"gain": 1.0, "shift": 0.0, "initial": 0.0, "bias_highway": -1.0}
        expected = next((value for start, value in constant.items() if name.startswith(start)), None)
        assert (array == expected).all() if expected is not None else array.std() > 0.1, name
    assert_same(
        [layer.params[name] for name in plain.params if "l0" in name],
        [plain.params[name] for name in plain.params if "l0" in name],
    )


BAD: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "unknown activation": (
        "lstm",
        {"activations": ("sigmoid", "tanhh", "tanh")},
        ValueError,
        r"activations\[1\]: expected one of sigmoid, tanh, .*softplus, got 'tanhh'",
    ),
    "unknown nonlinearity": ("rnn", {"nonlinearity": "swish"}, ValueError, "nonlinearity: expected one of sigmoid"),
    "activation of no type": (
        "gru",
        {"activations": ("sigmoid", 3)},
        TypeError,
        r"activations\[1\]: expected the name",
    ),
    "activations of no type": ("gru", {"activations": "sigmoid"}, TypeError, "activations: expected 2 activations"),
    "too few activations": ("lstm", {"activations": ("sigmoid", "tanh")}, ValueError, "activations: expected 3"),
    "too many constants": (
        "rnn",
        {"nonlinearity": ("elu", 1.0, 2.0)},
        ValueError,
        "nonlinearity: elu has 1 constants, got 2",
    ),
    "constants that are infinite": ("rnn", {"nonlinearity": ("elu", np.inf)}, ValueError, r"nonlinearity\[1\]"),
    "constants of no type": ("rnn", {"nonlinearity": ("elu", "1")}, TypeError, r"nonlinearity\[1\]"),
    "reverse activations, one direction": (
        "gru",
        {"reverse_activations": ("sigmoid", "tanh")},
        ValueError,
        "reverse_activations: expected None with bidirectional=False",
    ),
    "reverse nonlinearity, one direction": (
        "rnn",
        {"reverse_nonlinearity": "relu"},
        ValueError,
        "reverse_nonlinearity: expected None with bidirectional=False",
    ),
    "clip 0": ("rnn", {"clip": 0.0}, ValueError, "clip: expected a finite number above 0, got 0.0"),
    "clip of no type": ("lstm", {"clip": True}, TypeError, "clip: expected a number above 0"),
    "cell_clip below 0": ("lstm", {"cell_clip": -1}, ValueError, "cell_clip: expected a finite number above 0"),
    "peephole of no type": ("lstm", {"peephole": 1}, TypeError, "peephole: expected a bool, got 1"),
    "minimal, reset before": (
        "gru",
        {"minimal": True, "reset_after": False},
        ValueError,
        "reset_after: expected True, the default, with minimal=True",
    ),
    "minimal, normalised": (
        "gru",
        {"minimal": True, "layer_norm": True},
        ValueError,
        "layer_norm: expected False with minimal=True",
    ),
    "reset before, normalised": (
        "gru",
        {"reset_after": False, "layer_norm": True},
        ValueError,
        "layer_norm: expected False with reset_after=False",
    ),
    "RNN, normalised": ("rnn", {"layer_norm": True}, ValueError, "layer_norm: expected False with an RNN"),
    "both ways and reverse": (
        "lstm",
        {"bidirectional": True, "reverse": True},
        ValueError,
        "reverse: expected False with bidirectional=True",
    ),
    "merge of one": ("lstm", {"merge": "sum"}, ValueError, "merge: expected 'concat' with bidirectional=False"),
    "merge unknown": ("gru", {"bidirectional": True, "merge": "max"}, ValueError, "merge: expected one of concat"),
    "connection unknown": ("gru", {"connection": "dense"}, ValueError, "connection: expected one of residual, highway"),
    "zoneout above 1": ("gru", {"zoneout": 1.5}, ValueError, r"zoneout: expected a number in \[0, 1\], got 1.5"),
    "zoneout of c": ("gru", {"zoneout": (0.1, 0.1)}, ValueError, "zoneout: expected a number, got a pair"),
    "zoneout of three": ("lstm", {"zoneout": (0.1, 0.1, 0.2)}, ValueError, "zoneout: expected a number or a pair"),
    "zoneout of a pair": ("lstm", {"zoneout": (0.1, "x")}, TypeError, r"zoneout \(c\): expected a number"),
    "recurrent_dropout": ("gru", {"recurrent_dropout": -0.1}, ValueError, "recurrent_dropout: expected a number"),
    "input_dropout": ("gru", {"input_dropout": "a"}, TypeError, "input_dropout: expected a number"),
    "weight_dropout": ("rnn", {"weight_dropout": np.nan}, ValueError, "weight_dropout: expected a number"),
    "dilation 0": ("rnn", {"dilation": 0}, ValueError, "dilation: expected an integer of at least 1, got 0"),
    "dilations": ("rnn", {"dilation": (1, 2)}, ValueError, "dilation: expected 1 numbers, one a layer, got 2"),
    "dilations of no type": ("rnn", {"dilation": (1.5,)}, TypeError, r"dilation\[0\]: expected an integer"),
    "learned_state": ("rnn", {"learned_state": None}, TypeError, "learned_state: expected a bool"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_made_is_refused_by_name(case: str) -> None:
    cell, options, error, message = BAD[case]
    with pytest.raises(error, match=message):
        LAYERS[cell](I, H, **options)


def test_options_of_another_cell_are_refused() -> None:
    for cell, option in (("gru", "peephole"), ("rnn", "reset_after"), ("lstm", "independent"), ("gru", "cell_clip")):
        with pytest.raises(TypeError, match=option):
            LAYERS[cell](I, H, **{option: True})


CALLS: dict[str, tuple[str, Any, str]] = {
    "state of a dilated layer": (
        "lstm dilation",
        lambda layer, x: layer(x, (np.zeros((1, B, H)), np.zeros((1, B, H)))),
        "state: expected None with dilation > 1",
    ),
    "truncation of a dilated layer": (
        "rnn dilation",
        lambda layer, x: layer.record(x)[-1].backward(np.zeros((T, B, 2 * H)), truncate=2),
        "truncate: expected None with dilation > 1",
    ),
    "stream of a dilated layer": ("gru dilation", lambda layer, x: layer.stream(), "stream: .* without dilation"),
    "stream in reverse": ("lstm reverse", lambda layer, x: layer.stream(), "stream: .*got reverse=True"),
    "checkpoint": ("lstm peephole", lambda layer, x: layer.record(x, checkpoint=2), "checkpoint: expected None"),
    "x of another width": ("lstm peephole", lambda layer, x: layer(x[..., :3]), r"x: expected shape \(T, B, 5\)"),
    "lengths of another shape": ("gru reset_after", lambda layer, x: layer(x, lengths=[1]), r"lengths: expected shape"),
    "lengths out of range": (
        "gru reset_after",
        lambda layer, x: layer(x, lengths=[1, 2, 9]),
        "lengths: expected values from 0 to T = 5, got 9 at index 2",
    ),
    "reset of another shape": (
        "gru reset_after",
        lambda layer, x: layer(x, reset=np.ones((B, T), np.bool_)),
        r"reset: expected shape \(5, 3\), got \(3, 5\)",
    ),
    "state of another shape": (
        "gru reset_after",
        lambda layer, x: layer(x, np.zeros((1, B, 9))),
        r"state \(h\): expected shape \(1, 3, 6\), got \(1, 3, 9\)",
    ),
    "dy of another shape": (
        "lstm peephole",
        lambda layer, x: layer.record(x)[-1].backward(np.zeros((T, B, 9))),
        r"dy: expected shape \(5, 3, 6\), got \(5, 3, 9\)",
    ),
    "dstate of another shape": (
        "lstm peephole",
        lambda layer, x: layer.record(x)[-1].backward(None, (np.zeros((1, B, 9)), None)),
        r"dstate \(h\): expected shape \(1, 3, 6\), got \(1, 3, 9\)",
    ),
    "dlayers of a call without": (
        "lstm peephole",
        lambda layer, x: layer.record(x)[-1].backward(dlayers=[None]),
        "dlayers: expected None, the call was recorded without return_layers=True",
    ),
    "dlayers of a plain call without": (
        "rnn reverse",
        lambda layer, x: layer.record(x)[-1].backward(dlayers=[None]),
        "dlayers: expected None, the call was recorded without return_layers=True",
    ),
    "dlayers of another number": (
        "rnn reverse",
        lambda layer, x: layer.record(x, return_layers=True)[-1].backward(dlayers=[None]),
        "dlayers: expected 2 items, one a layer, got 1",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_what_cannot_be_called_is_refused_by_name(case: str) -> None:
    variant, call, message = CALLS[case]
    with pytest.raises(ValueError, match=message):
        call(make(variant), X)


def test_wrong_types_are_refused_by_name() -> None:
    layer = make("lstm peephole")
    with pytest.raises(TypeError, match="return_layers: expected a bool, got 1"):
        layer(X, return_layers=1)
    with pytest.raises(TypeError, match="x: expected dtype float64, got float32"):
        layer(X.astype(np.float32))
    with pytest.raises(TypeError, match="dlayers: expected a list"):
        layer.record(X, return_layers=True)[-1].backward(dlayers=X)
    with pytest.raises(ValueError, match=r"mapping: .*missing: weight_ch_l0"):
        layer.load_params(fr.LSTM(I, H, rng=0).params)


def test_what_reads_layers_refuses_what_it_would_misread() -> None:
    with pytest.raises(ValueError, match=r"layer: expected a plain one, .*peephole cannot be followed"):
        fr.gradient_flow(make("lstm peephole"), X)
    with pytest.raises(ValueError, match="layer: expected an LSTM with a forget gate, got coupled=True"):
        fr.nn.init.forget_bias(make("lstm coupled"))
    layer = make("lstm connection")
    fr.nn.init.forget_bias(layer, 2.0)
    highway = fr.LSTM(I, H, num_layers=2, connection="highway", rng=0)
    before = highway.params["bias_highway_l1"].copy()
    fr.nn.init.forget_bias(highway)
    assert_same(highway.params["bias_highway_l1"], before)
