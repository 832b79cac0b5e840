"""A whole model cut at its recurrent nodes gives what ONNX Runtime gives for all of it."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest

from fusedrnn.onnx import Accelerated, accelerate
from onnx_cases import model_of, random_case
from onnx_models import helper, made, tensor, weights
from onnx_there import onnx, onnxruntime, session
from tolerances import check_same_numbers

BOOL, INT64 = onnx.TensorProto.BOOL, onnx.TensorProto.INT64


def renamed(given: dict[str, np.ndarray], suffix: str) -> dict[str, np.ndarray]:
    return {name + suffix: value for name, value in given.items()}


def rnn(x: str, suffix: str, y: str, op_type: str = "RNN", hidden: int = 4, **more: Any) -> Any:
    """A node with the weights of that suffix."""
    inputs = [x, f"W{suffix}", f"R{suffix}", f"B{suffix}"]
    return helper.make_node(op_type, inputs, [y, f"{y}_h"], name=f"node{suffix}", hidden_size=hidden, **more)


def compare(model: Any, feed: dict[str, Any], taken: int) -> Accelerated:
    ours = accelerate(model)
    assert len(ours.report.taken) == taken
    theirs = session(model)
    names = [each.name for each in theirs.get_outputs()]
    assert ours.output_names == names
    assert ours.input_names == [each.name for each in theirs.get_inputs()]
    for name, mine, other in zip(names, ours.run(None, feed), theirs.run(None, feed), strict=True):
        if isinstance(other, list):
            assert all(np.array_equal(a, b) for a, b in zip(mine, other, strict=True))
        elif other.dtype.kind == "f":
            check_same_numbers(name, mine, other)
        else:
            assert np.array_equal(mine, other)
    assert np.array_equal(ours([names[-1]], feed)[0], ours.run(None, feed)[-1])
    return ours


def x_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_random_nodes() -> None:
    for seed in range(60):
        case = random_case(np.random.default_rng(seed))
        attributes = case.attributes
        if attributes.get("layout") or "hidden_size" not in attributes or "activations" in attributes:
            continue
        if "sequence_lens" in case.inputs:
            case.inputs["sequence_lens"] = np.maximum(case.inputs["sequence_lens"], 1)
        feed = {name: value for name, value in case.inputs.items() if name not in ("W", "R", "B", "P")}
        compare(model_of(case, weights=True), feed, 1)


def test_a_stack_with_other_nodes_between_and_beside() -> None:
    """Two nodes one behind the other, one beside them; values that pass over a stage; outputs of every stage."""
    nodes = [
        helper.make_node("MatMul", ["x", "kernel"], ["a"]),
        rnn("a", "1", "y1"),
        helper.make_node("Squeeze", ["y1", "one"], ["s1"]),
        helper.make_node("Add", ["s1", "a"], ["b"]),
        rnn("b", "2", "y2", "GRU"),
        rnn("x", "3", "y3", "LSTM"),
        helper.make_node("Squeeze", ["y2", "one"], ["s2"]),
        helper.make_node("Squeeze", ["y3", "one"], ["s3"]),
        helper.make_node("Sum", ["s2", "s3", "a", "s1"], ["all"]),
        helper.make_node("Softmax", ["all"], ["y"], axis=-1),
        helper.make_node("Neg", ["x"], ["nobody_reads_it"]),
    ]
    values: dict[str, Any] = {"kernel": x_of(3, 4), "one": np.array([1])}
    values |= (
        renamed(weights("RNN", 4, 4), "1") | renamed(weights("GRU", 4, 4), "2") | renamed(weights("LSTM", 3, 4), "3")
    )
    outputs = [tensor(name, None) for name in ("y", "a", "y1", "y2_h", "y1_h")]
    model = made(nodes, [tensor("x", ["T", "B", 3])], outputs, values)
    ours = compare(model, {"x": x_of(5, 2, 3)}, 3)
    assert ours.report.sessions == 3
    assert "runs 3 of 3 recurrent nodes" in str(ours.report)


def test_an_output_that_is_a_recurrent_node_s() -> None:
    """No session at all."""
    model = made([rnn("x", "", "y")], [tensor("x", [None, None, 3])], [tensor("y", None)], weights("RNN", 3, 4))
    assert compare(model, {"x": x_of(5, 2, 3)}, 1).report.sessions == 0


def test_initialisers_as_inputs_and_as_outputs() -> None:
    """Old files list every initialiser among the inputs."""
    given = weights("RNN", 3, 4)
    inputs = [tensor("x", [None, None, 3]), *(tensor(name, value.shape) for name, value in given.items())]
    nodes = [rnn("x", "", "y"), helper.make_node("Neg", ["y"], ["z"])]
    model = made(nodes, inputs, [tensor("z", [None] * 4), tensor("R", [1, 4, 4])], given)
    compare(model, {"x": x_of(5, 2, 3)}, 1)


def test_constants_are_computed_where_they_are_used() -> None:
    """Made by nodes, read by two stages, by a recurrent node, and by the caller."""
    nodes = [
        helper.make_node("Neg", ["k"], ["minus_k"]),
        helper.make_node("Mul", ["x", "minus_k"], ["a"]),
        rnn("a", "1", "y1"),
        helper.make_node("Mul", ["y1", "minus_k"], ["y"]),
        helper.make_node("Abs", ["states"], ["initial"]),
        helper.make_node("RNN", ["x", "W1", "R1", "", "", "initial"], ["z"], name="other", hidden_size=4),
    ]
    values = {"k": np.float32(2), "states": -np.ones((1, 2, 4), np.float32), **renamed(weights("RNN", 3, 4), "1")}
    outputs = [tensor(name, None) for name in ("y", "minus_k", "z")]
    compare(made(nodes, [tensor("x", [None, 2, 3])], outputs, values), {"x": x_of(5, 2, 3)}, 2)


def test_a_deep_model() -> None:
    """Deeper than Python's stack."""
    deep = [helper.make_node("Neg", [f"x{k}" if k else "x"], [f"x{k + 1}"]) for k in range(3000)]
    nodes = [*deep, rnn("x3000", "", "y"), helper.make_node("Neg", ["y"], ["z"])]
    model = made(nodes, [tensor("x", [None, None, 3])], [tensor("z", None)], weights("RNN", 3, 4))
    compare(model, {"x": x_of(5, 2, 3)}, 1)


def test_lengths_and_states_of_the_caller() -> None:
    nodes = [
        helper.make_node("Cast", ["n"], ["lengths"], to=onnx.TensorProto.INT32),
        helper.make_node("LSTM", ["x", "W", "R", "B", "lengths", "h", "c"], ["y", "", "c_n"], name="l", hidden_size=4),
    ]
    inputs = [tensor("x", [None, 2, 3]), tensor("n", [2], INT64), tensor("h", [1, 2, 4]), tensor("c", [1, 2, 4])]
    model = made(nodes, inputs, [tensor("y", None), tensor("c_n", None)], weights("LSTM", 3, 4))
    feed = {"x": x_of(5, 2, 3), "n": np.array([2, 5]), "h": x_of(1, 2, 4), "c": x_of(1, 2, 4)}
    compare(model, feed, 1)


def test_bodies_stay_with_onnxruntime() -> None:
    """And read what recurrent nodes outside have made."""
    body = helper.make_graph([rnn("s", "2", "in_body")], "body", [], [tensor("in_body", None)])
    other = helper.make_graph([helper.make_node("Identity", ["y1"], ["same"])], "other", [], [tensor("same", None)])
    nodes = [
        rnn("x", "1", "y1"),
        helper.make_node("Squeeze", ["y1", "one"], ["s"]),
        helper.make_node("If", ["yes"], ["y"], name="if", then_branch=body, else_branch=other),
    ]
    values = {"one": np.array([1]), **renamed(weights("RNN", 3, 4), "1"), **renamed(weights("RNN", 4, 4), "2")}
    model = made(nodes, [tensor("x", [None, None, 3]), tensor("yes", [], BOOL)], [tensor("y", None)], values)
    for yes in (True, False):
        ours = compare(model, {"x": x_of(5, 2, 3), "yes": np.array(yes)}, 1)
    assert dict(ours.report.left) == {"node2": "it lies in a body (if.then_branch)"}
    assert "not node2: it lies in a body (if.then_branch)" in str(ours.report)


def test_weights_that_come_when_the_model_runs_stay_with_onnxruntime() -> None:
    given = weights("RNN", 3, 4)
    inputs = [tensor("x", [None, None, 3]), tensor("W", [1, 4, 3])]
    model = made([rnn("x", "", "y")], inputs, [tensor("y", None)], {"R": given["R"], "B": given["B"]})
    ours = compare(model, {"x": x_of(5, 2, 3), "W": given["W"]}, 0)
    assert dict(ours.report.left) == {"node": "W is known only when the model runs: 'W' is an input of the graph"}


def test_a_model_without_a_recurrent_node() -> None:
    model = made([helper.make_node("Tanh", ["x"], ["y"])], [tensor("x", [None])], [tensor("y", [None])], {})
    assert compare(model, {"x": x_of(3)}, 0).report.sessions == 1


def test_sequences_between_stages() -> None:
    """A list of tensors passes over a recurrent node."""
    nodes = [
        helper.make_node("SequenceConstruct", ["x", "x"], ["pair"]),
        rnn("x", "", "y"),
        helper.make_node("SequenceInsert", ["pair", "y_h"], ["three"]),
        helper.make_node("SequenceLength", ["three"], ["count"]),
    ]
    outputs = [tensor("count", None, INT64)]
    model = made(nodes, [tensor("x", [None, None, 3])], outputs, weights("RNN", 3, 4))
    compare(model, {"x": x_of(5, 2, 3)}, 1)


def test_sixteen_bits() -> None:
    given = {name: value.astype(np.float16) for name, value in weights("GRU", 3, 4).items()}
    half = onnx.TensorProto.FLOAT16
    nodes = [rnn("x", "", "y", "GRU"), helper.make_node("Neg", ["y"], ["z"])]
    model = made(nodes, [tensor("x", [None, None, 3], half)], [tensor("z", None, half)], given)
    x = x_of(5, 2, 3).astype(np.float16)
    (mine,), (theirs,) = accelerate(model).run(None, {"x": x}), session(model).run(None, {"x": x})
    assert mine.dtype == np.float16
    assert np.abs(mine.astype(np.float32) - theirs.astype(np.float32)).max() <= 2 * 2.0**-11


def test_session_options_are_handed_on() -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = ""
    options.intra_op_num_threads = 1
    nodes = [helper.make_node("Neg", ["x"], ["a"]), rnn("a", "", "y")]
    model = made(nodes, [tensor("x", [None, None, 3])], [tensor("y", None)], weights("RNN", 3, 4))
    ours = accelerate(model, providers=["CPUExecutionProvider"], sess_options=options)
    assert ours._sessions[0].get_session_options().intra_op_num_threads == 1
    assert ours._sessions[0].get_providers() == ["CPUExecutionProvider"]
    assert repr(ours) == "Accelerated(x -> y)"


def test_wrong_feeds() -> None:
    model = made([rnn("x", "", "y")], [tensor("x", [None, None, 3])], [tensor("y", None)], weights("RNN", 3, 4))
    ours = accelerate(model)
    with pytest.raises(ValueError, match=r"^input_feed: expected x, missing: x"):
        ours.run(None, {})
    with pytest.raises(ValueError, match=r"^input_feed: expected any of x, got 'W'"):
        ours.run(None, {"x": x_of(1, 1, 3), "W": x_of(1)})
    with pytest.raises(ValueError, match=r"^output_names: expected any of y, got 'z'"):
        ours.run(["z"], {"x": x_of(1, 1, 3)})
    with pytest.raises(TypeError, match=r"^node 'node': X: expected dtype float32, that of W, got float64"):
        ours.run(None, {"x": np.zeros((1, 1, 3))})
    with pytest.raises(ValueError, match=r"^node 'node': X: expected shape \(T, B, I\) with I = 3"):
        ours.run(None, {"x": x_of(1, 1, 4)})


def test_what_pytorch_exports() -> None:
    """Stacks in both directions, batch first, states that begin at zero by way of Shape and ConstantOfShape."""
    torch = pytest.importorskip("torch", reason="torch is not installed: it has exported nothing")

    class Model(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(5, 7)
            self.lstm = torch.nn.LSTM(7, 9, num_layers=2, bidirectional=True, batch_first=True)
            self.gru = torch.nn.GRU(18, 6)
            self.rnn = torch.nn.RNN(6, 6, nonlinearity="relu")

        def forward(self, x: Any) -> Any:
            y, (h, _) = self.lstm(self.first(x))
            z, last = self.gru(y.transpose(0, 1))
            return self.rnn(torch.tanh(z), last)[0], h

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no other package warns of its age
        torch.onnx.export(
            Model().eval(),
            (torch.zeros(2, 4, 5),),
            file,
            dynamo=False,
            input_names=["x"],
            output_names=["y", "h"],
            dynamic_axes={"x": {0: "rows", 1: "steps"}},
        )
    compare(onnx.load_model_from_string(file.getvalue()), {"x": x_of(3, 6, 5)}, 4)
