"""A layer written as an ONNX model: ONNX Runtime computes the same, and so does the layer that is read back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn.onnx import load, to_onnx
from onnx_there import backend, onnx, session
from tolerances import check_same_numbers

LAYERS: list[Any] = [
    fr.RNN(3, 5, rng=0),
    fr.RNN(3, 5, 2, nonlinearity="identity", bias=False, rng=0),
    fr.RNN(3, 5, nonlinearity=("leaky_relu", 0.3), bidirectional=True, reverse_nonlinearity="softsign", rng=0),
    fr.GRU(3, 5, 2, batch_first=True, rng=0),
    fr.GRU(3, 5, reset_after=False, reverse=True, learned_state=True, rng=0),
    fr.GRU(3, 5, 3, bidirectional=True, activations=("hard_sigmoid", ("elu", 0.5)), merge="ave", rng=0),
    fr.LSTM(3, 5, 2, bidirectional=True, rng=0),
    fr.LSTM(3, 5, peephole=True, clip=0.5, rng=0),
    fr.LSTM(3, 5, 2, peephole=True, coupled=True, bidirectional=True, merge="sum", batch_first=True, rng=0),
    fr.LSTM(3, 5, coupled=True, bidirectional=True, merge="mul", learned_state=True, batch_first=True, rng=0),
    fr.LSTM(
        *(3, 5),
        bidirectional=True,
        activations=("sigmoid", ("scaled_tanh", 1.5, 0.5), ("affine", 0.5, 0.1)),
        reverse_activations=(("hard_sigmoid", 0.3, 0.4), "tanh", "softplus"),
        rng=0,
    ),
]
DRAWN = np.random.default_rng(1)
for _layer in LAYERS:
    for _name in _layer.params:
        if _name.startswith("initial"):
            _layer.params[_name] = DRAWN.uniform(-1, 1, _layer.params[_name].shape).astype(np.float32)


def drawn(layer: Any, state: bool, lengths: bool) -> tuple[dict[str, np.ndarray], Any, Any]:
    """What a session is fed, and the state and the lengths of a call."""
    rng, steps, rows = np.random.default_rng(0), 6, 3
    shape = (rows, steps, 3) if layer.batch_first else (steps, rows, 3)
    feed = {"x": rng.standard_normal(shape).astype(layer.dtype)}
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    states = [rng.uniform(-1, 1, (count, rows, 5)).astype(layer.dtype) for _ in range(2)]
    n = np.array([6, 2, 4], np.int32)
    if lengths:
        feed["lengths"] = n
    if state:
        feed["h_0"] = states[0]
        if isinstance(layer, fr.LSTM):
            feed["c_0"] = states[1]
    own = tuple(states) if isinstance(layer, fr.LSTM) else states[0]
    return feed, own if state else None, n if lengths else None


def called(layer: Any, x: np.ndarray, state: Any, lengths: Any) -> list[np.ndarray]:
    y, last = layer(x, state, lengths=lengths)
    return [y, *(last if isinstance(last, tuple) else (last,))]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("lengths", [False, True])
def test_onnxruntime_computes_the_same(layer: Any, state: bool, lengths: bool) -> None:
    model = to_onnx(layer, state=state, lengths=lengths)
    onnx.checker.check_model(model, full_check=True)
    feed, own_state, own_lengths = drawn(layer, state, lengths)
    assert [each.name for each in model.graph.input] == list(feed)
    ours = called(layer, feed["x"], own_state, own_lengths)
    for name, mine, theirs in zip(("y", "h_n", "c_n"), ours, session(model).run(None, feed), strict=False):
        check_same_numbers(name, mine, theirs)


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_read_back_it_has_the_same_parameters(layer: Any) -> None:
    """Layer by layer, but for what is spelled in other nodes: how directions are merged, the batch axis."""
    for k, (name, one) in enumerate(load(to_onnx(layer)).items()):
        assert name == f"layer_{k}"
        assert (one.bidirectional, one.reverse, one.clip, one.bias) == (
            layer.bidirectional,
            layer.reverse,
            layer.clip,
            layer.bias,
        )
        for own, value in one.params.items():
            assert np.array_equal(value, layer.params[own.replace("_l0", f"_l{k}")])


@pytest.mark.parametrize("opset", [14, 22, 28])
def test_float64(opset: int) -> None:
    """ONNX Runtime has none of it; ONNX's evaluator with our kernels has."""
    layer = fr.LSTM(3, 5, 2, bidirectional=True, dtype=np.float64, rng=0)
    model = to_onnx(layer, state=True, opset=opset)
    feed, state, _ = drawn(layer, True, False)
    ours = called(layer, feed["x"], state, None)
    assert all(np.array_equal(a, b) for a, b in zip(ours, backend.run_model(model, feed), strict=True))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (fr.LSTM(3, 5, proj_size=2), r"^proj_size: ONNX's LSTM has no such option; expected 0, got 2"),
        (fr.LSTM(3, 5, cell_clip=2.0), r"^cell_clip: ONNX's LSTM has no such option"),
        (fr.LSTM(3, 5, layer_norm=True), r"^layer_norm: "),
        (fr.GRU(3, 5, minimal=True), r"^minimal: ONNX's GRU"),
        (fr.GRU(3, 5, zoneout=0.1), r"^zoneout: "),
        (fr.RNN(3, 5, independent=True), r"^independent: ONNX's RNN"),
        (fr.RNN(5, 5, 2, connection="residual"), r"^connection: "),
        (fr.RNN(3, 5, dilation=2), r"^dilation: "),
    ],
)
def test_options_that_onnx_lacks(layer: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_onnx(layer)


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match=r"^layer: expected an RNN, a GRU or an LSTM, got LSTMCell"):
        to_onnx(fr.LSTMCell(3, 5))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^opset: expected an integer of at least 14, got 11"):
        to_onnx(fr.GRU(3, 5), opset=11)
    with pytest.raises(TypeError, match=r"^lengths: expected a bool, got \[3\]"):
        to_onnx(fr.GRU(3, 5), lengths=[3])  # type: ignore[arg-type]
