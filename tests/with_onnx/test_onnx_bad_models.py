"""A model that is malformed or cannot be supported gets an error that names what is wrong and in which node."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusedrnn.onnx import accelerate, load
from onnx_models import helper, made, numpy_helper, tensor, weights
from onnx_there import onnx

READERS = [load, accelerate]


def model(
    op_type: str = "GRU", opset: int = 17, inputs: Any = ("x", "W", "R", "B"), values: Any = None, **attributes: Any
) -> Any:
    node = helper.make_node(op_type, list(inputs), ["y"], name="node", **{"hidden_size": 4, **attributes})
    given = weights(op_type, 3, 4) if values is None else values
    return made([node], [tensor("x", [None, None, 3])], [tensor("y", None)], given, opset)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"activations": ["Swish", "Tanh"]}, r"^node 'node': activations: expected any of Relu.*got 'Swish'"),
        ({"activations": ["Tanh"]}, r"^node 'node': activations: expected 2 names"),
        ({"gate_order": 3}, r"^node 'node': gate_order: GRU has no such attribute"),
        ({"output_sequence": 1}, r"^node 'node': output_sequence: GRU has no such attribute"),
        ({"direction": "sideways"}, r"^node 'node': direction: expected one of forward, reverse, bidirectional"),
        ({"hidden_size": 5}, r"^node 'node': hidden_size: expected 4"),
        ({"inputs": ("x", "W", "nothing", "B")}, r"^node 'node': R: .*nothing in the model makes 'nothing'"),
        ({"inputs": ("x", "W")}, r"^node 'node': R: expected an input, got none"),
        (
            {"values": weights("GRU", 3, 5), "hidden_size": 5, "direction": "bidirectional"},
            r"^node 'node': W: expected shape \(2, 15, 3\)",
        ),
        (
            {"values": {**weights("GRU", 3, 4), "B": np.zeros((1, 12), np.float32)}},
            r"^node 'node': B: expected shape \(1, 24\)",
        ),
        ({"opset": 6}, r"^model: expected opset 7 or later, got 6; onnx.version_converter"),
    ],
)
def test_bad_nodes(read: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(model(**given))


@pytest.mark.parametrize("read", READERS)
def test_weights_of_a_wrong_type(read: Any) -> None:
    values = {name: value.astype(np.int32) for name, value in weights("GRU", 3, 4).items()}
    with pytest.raises(TypeError, match=r"^node 'node': W: expected float32, float64, float16 or bfloat16, got int32"):
        read(model(values=values))


@pytest.mark.parametrize("read", READERS)
def test_an_initialiser_with_too_little_data(read: Any) -> None:
    proto = model()
    (W,) = (each for each in proto.graph.initializer if each.name == "W")
    W.raw_data = W.raw_data[:-4]
    with pytest.raises(ValueError, match=r"^node 'node': W: initialiser 'W' cannot be read"):
        read(proto)


@pytest.mark.parametrize("read", READERS)
def test_truncated_files(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    whole = model().SerializeToString()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"model\.onnx: expected an ONNX model, got"):
        read(path)
    for count in range(len(whole)):
        with pytest.raises(ValueError, match=r"^model: expected an ONNX model, got"):
            read(whole[:count])


@pytest.mark.parametrize("read", READERS)
def test_other_files(read: Any, tmp_path: Path) -> None:
    """A pickle is not opened, whatever the name says."""
    path = tmp_path / "model.onnx"
    path.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(ValueError, match=r"model\.onnx: expected an ONNX model, got"):
        read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.onnx")
    with pytest.raises(TypeError, match=r"^model: expected an onnx\.ModelProto, its bytes or a path, got list"):
        read([])


class _Bomb:
    def __reduce__(self) -> Any:
        return _fail, ()


def _fail() -> None:
    raise AssertionError("unpickled")


def test_models_without_what_load_looks_for() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Tanh", ["y"], ["z"])]
    proto = made(nodes, [tensor("x", [2, 3])], [tensor("z", None)], {"w": np.zeros((3, 4), np.float32)})
    with pytest.raises(ValueError, match=r"^model: expected RNN, LSTM or GRU nodes, got only MatMul, Tanh"):
        load(proto)
    proto = made(
        [helper.make_node("DynamicQuantizeLSTM", ["x", "w"], ["y"], name="q", domain="com.microsoft")],
        [tensor("x", [2, 1, 3])],
        [tensor("y", None)],
        {"w": np.zeros((3, 4), np.float32)},
    )
    with pytest.raises(ValueError, match=r"^node 'q': DynamicQuantizeLSTM of domain 'com.microsoft' is not supported"):
        load(proto)


def test_a_weight_that_cannot_be_computed() -> None:
    nodes = [
        helper.make_node("Reshape", ["flat", "shape"], ["W"], name="reshape"),
        helper.make_node("RNN", ["x", "W", "R"], ["y"], name="node", hidden_size=4),
    ]
    values = {"flat": np.zeros(11, np.float32), "shape": np.array([1, 4, 3]), "R": np.zeros((1, 4, 4), np.float32)}
    proto = made(nodes, [tensor("x", [2, 1, 3])], [tensor("y", None)], values)
    with pytest.raises(ValueError, match=r"^node 'node': W: the Reshape node 'reshape' cannot be computed"):
        load(proto)


def test_weights_that_are_random_or_sparse() -> None:
    nodes = [
        helper.make_node("RandomNormal", [], ["W"], name="random", shape=[1, 4, 3]),
        helper.make_node("RNN", ["x", "W", "R"], ["y"], name="node", hidden_size=4),
    ]
    proto = made(nodes, [tensor("x", [2, 1, 3])], [tensor("y", None)], {"R": np.zeros((1, 4, 4), np.float32)})
    with pytest.raises(ValueError, match=r"^node 'node': W: .*'W' comes from the RandomNormal node 'random'"):
        load(proto)
    proto = made(nodes[1:], [tensor("x", [2, 1, 3])], [tensor("y", None)], {"R": np.zeros((1, 4, 4), np.float32)})
    values = numpy_helper.from_array(np.ones(1, np.float32), "W")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [1, 4, 3]))
    with pytest.raises(ValueError, match=r"^node 'node': W: the sparse initialiser 'W' is not supported"):
        load(proto)


def test_changed_bytes() -> None:
    """Whatever is wrong with a file, it is no other error."""
    whole, rng = model(opset=17).SerializeToString(), np.random.default_rng(0)
    refused = 0
    for _ in range(1000):
        changed = bytearray(whole)
        for place in rng.integers(len(whole), size=2):
            changed[place] = rng.integers(256)
        try:
            load(bytes(changed))
        except (ValueError, TypeError):
            refused += 1
    assert 200 < refused < 1000


def test_a_circle() -> None:
    nodes = [
        helper.make_node("Neg", ["W"], ["v"], name="one"),
        helper.make_node("Neg", ["v"], ["W"], name="other"),
        helper.make_node("RNN", ["x", "W", "R"], ["y"], name="node", hidden_size=4),
    ]
    proto = made(nodes, [tensor("x", [2, 1, 3])], [tensor("y", None)], {"R": np.zeros((1, 4, 4), np.float32)})
    with pytest.raises(ValueError, match=r"^node 'node': W: .* depends on itself"):
        load(proto)


def test_nothing_was_changed_in_the_model() -> None:
    proto = model()
    before = proto.SerializeToString()
    load(proto)
    accelerate(proto)
    assert proto.SerializeToString() == before
    assert onnx.load_model_from_string(before) == proto
