"""One-node ONNX models of a problem, for ONNX Runtime and OpenVINO."""

from __future__ import annotations

from typing import Any

import numpy as np

from fusedrnn.bench.implementations import UnavailableError, require
from fusedrnn.bench.problem import Array, Problem

__all__ = ["OPERATORS", "STATES", "build", "feed", "outputs", "refuse_training"]

OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
STATES = {"lstm": ("h", "c"), "gru": ("h",), "rnn": ("h",)}

_BLOCKS = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
"""ONNX's gate order in ours: i, o, f, c of i, f, g, o, and z, r, h of r, z, n."""

_OPSET = 14
_IR_VERSION = 8


def _reordered(problem: Problem, name: str) -> Array:
    """A parameter of every direction, gates in ONNX's order: (D, G·H, …)."""
    blocks, hidden = _BLOCKS[problem.cell], problem.shape.hidden
    stacked = [problem.params[name + suffix] for suffix in problem.suffixes]
    cut = [value.reshape(len(blocks), hidden, *value.shape[1:])[list(blocks)].reshape(value.shape) for value in stacked]
    return np.stack(cut)


def build(problem: Problem) -> bytes:
    """The serialised model, of one node.

    Inputs "x", for a ragged batch "lengths", for a step "h" (and "c"); outputs "y", "h_n" (and "c_n").
    Sizes are fixed in the model, weights are constants, and a GRU has linear_before_reset=1.
    """
    onnx = require("onnx")
    helper, numpy_helper = require("onnx", "onnx.helper"), require("onnx", "onnx.numpy_helper")
    shape, states = problem.shape, STATES[problem.cell]
    biases = np.concatenate([_reordered(problem, "bias_ih_l0"), _reordered(problem, "bias_hh_l0")], axis=1)
    constants = {"W": _reordered(problem, "weight_ih_l0"), "R": _reordered(problem, "weight_hh_l0"), "B": biases}
    float_type = helper.np_dtype_to_tensor_dtype(np.dtype(problem.dtype))

    steps = problem.x.shape[0]
    state_shape = (shape.directions, shape.batch, shape.hidden)
    inputs = [helper.make_tensor_value_info("x", float_type, problem.x.shape)]
    node_inputs = ["x", "W", "R", "B"]
    if problem.lengths is not None:
        inputs.append(helper.make_tensor_value_info("lengths", onnx.TensorProto.INT32, (shape.batch,)))
        node_inputs.append("lengths")
    if problem.mode == "step":
        inputs += [helper.make_tensor_value_info(name, float_type, state_shape) for name in states]
        node_inputs += ["", *states]
    results = {"y": (steps, *state_shape), **{f"{name}_n": state_shape for name in states}}
    attributes: dict[str, Any] = {"linear_before_reset": 1} if problem.cell == "gru" else {}
    node = helper.make_node(
        OPERATORS[problem.cell],
        node_inputs,
        list(results),
        hidden_size=shape.hidden,
        direction="bidirectional" if shape.directions == 2 else "forward",
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "bench",
        inputs,
        [helper.make_tensor_value_info(name, float_type, size) for name, size in results.items()],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION)
    return model.SerializeToString()  # type: ignore[no-any-return]


def feed(problem: Problem) -> dict[str, Array]:
    """The arrays that go in, state zero."""
    arrays = {"x": problem.x}
    if problem.lengths is not None:
        arrays["lengths"] = problem.lengths.astype(np.int32)
    if problem.mode == "step":
        size = (problem.shape.directions, problem.shape.batch, problem.shape.hidden)
        arrays |= {name: np.zeros(size, problem.dtype) for name in STATES[problem.cell]}
    return arrays


def outputs(problem: Problem, arrays: list[Array]) -> dict[str, Array]:
    """The model's outputs in our layout: y from (T, D, B, H) to (T, B, D·H); a step's y is (B, H)."""
    y, *state = arrays
    steps, directions, batch, hidden = y.shape
    y = y.transpose(0, 2, 1, 3).reshape(steps, batch, directions * hidden)
    return {"y": y[0]} if problem.mode == "step" else problem.name_outputs(y, state)


def refuse_training(problem: Problem) -> None:
    """Raise UnavailableError for a mode that an inference engine does not have."""
    if problem.mode == "train":
        raise UnavailableError("runs inference only")
