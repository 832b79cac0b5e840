"""ONNX's own runner passes every RNN, GRU and LSTM test through the backend, and skips none."""

from __future__ import annotations

import re
import unittest
import warnings
from typing import Any

import numpy as np
import pytest

from fusedrnn.onnx import gru
from fusedrnn.onnx._operator import Operator
from onnx_cases import model_of, random_case
from onnx_there import backend, onnx

RECURRENT = re.compile(r"rnn|gru|lstm", re.IGNORECASE)


@pytest.fixture(scope="module")
def runner() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it makes the data of all operators' tests, infinities among them
        import onnx.backend.test

        return onnx.backend.test.BackendTest(backend, __name__)


def test_the_official_tests(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = Operator.__call__

    def counted(self: Operator, *args: Any, **options: Any) -> Any:
        calls.append(self.op_type)
        return original(self, *args, **options)

    monkeypatch.setattr(Operator, "__call__", counted)
    tests = {
        name: case
        for case in runner.test_cases.values()
        for name in dir(case)
        if name.startswith("test_") and name.endswith("_cpu") and RECURRENT.search(name)
    }
    result = unittest.TestResult()
    unittest.TestSuite(case(name) for name, case in tests.items()).run(result)
    assert [text for _, text in (*result.failures, *result.errors)] == []
    assert result.skipped == []
    assert result.testsRun == len(tests) >= 18
    assert len(calls) >= len(tests)  # the runner passes silently over a backend that says it need not have an operator
    assert set(calls) == {"RNN", "GRU", "LSTM"}


def test_random_nodes() -> None:
    """Alone and in a model; inputs in order or by name."""
    for seed in range(20):
        case = random_case(np.random.default_rng(seed))
        model = model_of(case)
        node = model.graph.node[0]
        results = [
            backend.run_model(model, list(case.inputs.values())),
            backend.prepare(model, "CPU").run(case.inputs),
            backend.run_node(node, case.inputs),
            backend.run_node(node, list(case.inputs.values())),
        ]
        for other in results[1:]:
            assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_nodes_in_bodies_run_on_our_kernels() -> None:
    """A GRU in both branches of an If."""
    case = random_case(np.random.default_rng(3))
    while case.op_type != "GRU" or case.attributes.get("layout"):
        case = random_case(np.random.default_rng(int(case.inputs["X"].size) + 1000))
    helper = onnx.helper
    inner = model_of(case).graph

    def branch(name: str) -> Any:
        return helper.make_graph(inner.node, name, [], inner.output)

    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("If", ["yes"], ["Y", "Y_h"], then_branch=branch("a"), else_branch=branch("b"))],
            "outer",
            [helper.make_tensor_value_info("yes", onnx.TensorProto.BOOL, []), *inner.input],
            inner.output,
        ),
        opset_imports=[helper.make_opsetid("", 22)],
        ir_version=10,
    )
    results = backend.run_model(model, {"yes": np.array(True), **case.inputs})
    exact = gru(**case.inputs, **case.attributes)
    assert all(np.array_equal(a, b) for a, b in zip(results, exact, strict=True))


def test_devices() -> None:
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA:0")
    model = model_of(random_case(np.random.default_rng(0)))
    with pytest.raises(ValueError, match="device: expected CPU, got 'CUDA'"):
        backend.prepare(model, "CUDA")
