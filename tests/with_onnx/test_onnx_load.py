"""The layers of a model compute what its nodes compute, wherever the nodes and their weights lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn.onnx import gru, load, lstm, rnn
from onnx_cases import Case, model_of, random_case
from onnx_models import FLOAT, helper, made, numpy_helper, tensor, weights
from onnx_there import onnx, session

FUNCTIONS: dict[str, Any] = {"RNN": rnn, "GRU": gru, "LSTM": lstm}


def through(layer: Any, case: Case) -> np.ndarray:
    """y of the layer for the inputs of a node, laid out as Y."""
    given, layout = case.inputs, case.attributes.get("layout")
    states = [given.get(name) for name in ("initial_h", "initial_c")]
    batch = given["X"].shape[0 if layout else 1]
    directions = 2 if layer.bidirectional else 1
    zeros = np.zeros((directions, batch, layer.hidden_size), layer.dtype)
    h, c = (zeros if state is None else state.transpose(1, 0, 2) if layout else state for state in states)
    state = (h, c) if isinstance(layer, fr.LSTM) else h
    y, _ = layer(given["X"], state, lengths=given.get("sequence_lens"))
    y = y.reshape(*y.shape[:2], directions, layer.hidden_size)
    return y if layout else y.transpose(0, 2, 1, 3)


def test_random_nodes() -> None:
    """With the bits of the functions."""
    for seed in range(100):
        case = random_case(np.random.default_rng(seed), np.float64 if seed % 4 == 0 else np.float32)
        layers = load(model_of(case, weights=True))
        assert list(layers) == ["node"]
        exact, *_ = FUNCTIONS[case.op_type](**case.inputs, **case.attributes)
        assert np.array_equal(through(layers["node"], case), exact)


def test_from_a_path_bytes_and_a_proto(tmp_path: Path) -> None:
    model = model_of(random_case(np.random.default_rng(1)), weights=True)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    for given in (path, str(path), path.read_bytes(), model):
        assert list(load(given)) == ["node"]


def test_external_data(tmp_path: Path) -> None:
    given = weights("LSTM", 5, 40)
    model = made(
        [helper.make_node("LSTM", ["x", *given], ["y"], name="lstm", hidden_size=40)],
        [tensor("x", [None, None, 5])],
        [tensor("y", None)],
        given,
    )
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert np.array_equal(load(path)["lstm"].params["bias_hh_l0"][:40], given["B"][0, 160:200])
    unread = onnx.load_model(path, load_external_data=False)
    with pytest.raises(
        ValueError, match=r"^node 'lstm': W: the data of initialiser 'W' lies in a file that has not been read"
    ):
        load(unread)
    (tmp_path / "weights.bin").write_bytes((tmp_path / "weights.bin").read_bytes()[:100])
    with pytest.raises(
        ValueError, match=r"(?s)(model.onnx: its external data|node 'lstm': .*initialiser).*cannot be read"
    ):
        load(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises((FileNotFoundError, ValueError), match=r"weights\.bin"):
        load(path)


def test_weights_by_way_of_other_nodes() -> None:
    """Transposed, cut out, put together, cast, reshaped, quantised: as exporters leave them."""
    given = weights("GRU", 5, 6)
    W, R, B = (given[name] for name in ("W", "R", "B"))
    scale = np.float32(0.01)
    quantised = np.round(R / scale).astype(np.int8)
    nodes = [
        helper.make_node("Transpose", ["kernel"], ["turned"], perm=[1, 0]),
        helper.make_node("Unsqueeze", ["turned", "zero"], ["W"]),
        helper.make_node("DequantizeLinear", ["quantised", "scale"], ["R"]),
        helper.make_node("Constant", [], ["b_hh"], value=numpy_helper.from_array(B[0, 18:])),
        helper.make_node("Slice", ["b_all", "from", "to"], ["b_cut"]),
        helper.make_node("Cast", ["b_cut"], ["b_ih"], to=FLOAT),
        helper.make_node("Concat", ["b_ih", "b_hh"], ["b"], axis=0),
        helper.make_node("Identity", ["b"], ["same_b"]),
        helper.make_node("Reshape", ["same_b", "b_shape"], ["B"]),
        helper.make_node("GRU", ["x", "W", "R", "B"], ["y"], name="gru", hidden_size=6, linear_before_reset=1),
    ]
    values = {
        "kernel": W[0].T,
        "zero": np.array([0]),
        "quantised": quantised,
        "scale": scale,
        "b_all": np.concatenate([np.ones(3), B[0, :18], np.ones(2)]).astype(np.float64),
        "from": np.array([3]),
        "to": np.array([21]),
        "b_shape": np.array([1, -1]),
    }
    model = made(nodes, [tensor("x", [None, None, 5])], [tensor("y", None)], values)
    layer = load(model)["gru"]
    x = np.random.default_rng(0).standard_normal((4, 2, 5)).astype(np.float32)
    (theirs,) = session(model).run(None, {"x": x})
    np.testing.assert_allclose(layer(x)[0], theirs[:, 0], atol=1e-5)


def test_nodes_in_bodies() -> None:
    """Of If, Loop and Scan; weights inside and outside; names that are given twice, once or not at all."""
    given = weights("RNN", 3, 4)
    inner = weights("RNN", 3, 4, seed=1)

    def node(name: str, W: str = "W") -> Any:
        return helper.make_node("RNN", ["x", W, "R"], [f"y{name}"], name=name, hidden_size=4)

    def branch(name: str) -> Any:
        values = [numpy_helper.from_array(inner["W"], "own")]
        return helper.make_graph([node("same", "own")], name, [], [tensor("ysame", None)], values)

    loop = helper.make_graph(
        [node("in_loop"), helper.make_node("Identity", ["go"], ["on"])],
        "loop",
        [tensor("i", [], onnx.TensorProto.INT64), tensor("go", [], onnx.TensorProto.BOOL)],
        [tensor("on", [], onnx.TensorProto.BOOL), tensor("yin_loop", None)],
    )
    scan = helper.make_graph(
        [helper.make_node("RNN", ["seq", "W", "R"], ["z"])], "scan", [tensor("seq", [2, 1, 3])], [tensor("z", None)]
    )
    nodes = [
        helper.make_node("If", ["yes"], ["a"], name="if", then_branch=branch("t"), else_branch=branch("e")),
        helper.make_node("Loop", ["n", "yes"], ["b"], name="loop", body=loop),
        helper.make_node("Scan", ["xs"], ["c"], name="scan", body=scan, num_scan_inputs=1),
        node("outside"),
    ]
    inputs = [tensor("x", [2, 1, 3]), tensor("xs", [5, 2, 1, 3]), tensor("yes", [], onnx.TensorProto.BOOL)]
    model = made(nodes, inputs, [tensor("youtside", None)], {**given, "n": np.array(2)})
    layers = load(model)
    assert set(layers) == {"if.then_branch/same", "if.else_branch/same", "in_loop", "RNN -> z", "outside"}
    assert np.array_equal(layers["in_loop"].params["weight_ih_l0"], given["W"][0])
    assert np.array_equal(layers["if.else_branch/same"].params["weight_ih_l0"], inner["W"][0])


def test_some_nodes_only() -> None:
    given = weights("RNN", 3, 4)
    nodes = [
        helper.make_node("RNN", ["x", "W", "R"], ["a"], name="good", hidden_size=4),
        helper.make_node("RNN", ["x", "w", "R"], ["b"], name="fed", hidden_size=4),
    ]
    model = made(nodes, [tensor("x", [2, 1, 3]), tensor("w", [1, 4, 3])], [tensor("a", None), tensor("b", None)], given)
    assert list(load(model, ["good"])) == ["good"]
    with pytest.raises(
        ValueError, match=r"^node 'fed': W: expected an initialiser .* but 'w' is an input of the graph"
    ):
        load(model)
    with pytest.raises(ValueError, match=r"^nodes: no recurrent node 'bad'; there are good, fed"):
        load(model, ["bad"])


@pytest.mark.parametrize("layout", [0, 1])
def test_a_constant_initial_state_is_one_that_the_layer_has_learned(layout: int) -> None:
    given = weights("LSTM", 3, 4, 2)
    h = np.random.default_rng(0).uniform(-1, 1, (2, 1, 4)).astype(np.float32)

    def model(h: np.ndarray) -> Any:
        node = helper.make_node(
            "LSTM", ["x", *given, "", "h"], ["y"], name="lstm", hidden_size=4, direction="bidirectional", layout=layout
        )
        rows = h.transpose(1, 0, 2) if layout else h
        return made([node], [tensor("x", [None, None, 3])], [tensor("y", None)], {**given, "h": rows})

    layer = load(model(np.repeat(h, 5, axis=1)))["lstm"]
    assert layer.learned_state
    assert np.array_equal(layer.params["initial_h_l0_reverse"], h[1, 0])
    assert not layer.params["initial_c_l0"].any()
    assert not load(model(np.zeros_like(h)))["lstm"].learned_state
    with pytest.raises(ValueError, match=r"^node 'lstm': initial_h: expected a constant with the same values in every"):
        load(model(np.concatenate([h, -h], axis=1)))


def test_functions_of_the_model_are_opened() -> None:
    given = weights("RNN", 3, 4)
    body = [helper.make_node("RNN", ["x", "w", "r"], ["y"], name="inner", hidden_size=4)]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    function = helper.make_function("own", "Layer", ["x", "w", "r"], ["y"], body, opsets)
    graph = helper.make_graph(
        [helper.make_node("Layer", ["x", "W", "R"], ["y"], domain="own")],
        "calls",
        [tensor("x", [2, 1, 3])],
        [tensor("y", None)],
        [numpy_helper.from_array(given[name], name) for name in ("W", "R")],
    )
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=9)
    (layer,) = load(model).values()
    assert np.array_equal(layer.params["weight_hh_l0"], given["R"][0])
