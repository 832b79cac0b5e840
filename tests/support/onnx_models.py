"""Models around recurrent nodes, as exporters leave them: weights by way of other nodes, stacks, bodies."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnx_cases import GATES
from onnx_there import onnx

helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT = onnx.TensorProto.FLOAT


def weights(op_type: str, features: int, hidden: int, directions: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    """W, R and B."""
    rng, rows = np.random.default_rng(seed), GATES[op_type] * hidden
    shapes = {"W": (directions, rows, features), "R": (directions, rows, hidden), "B": (directions, 2 * rows)}
    return {name: rng.uniform(-0.5, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def made(nodes: list[Any], inputs: list[Any], outputs: list[Any], values: dict[str, Any], opset: int = 17) -> Any:
    """A model; `values` are its initialisers."""
    initialisers = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "made", inputs, outputs, initialisers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def tensor(name: str, shape: Any, element: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, element, shape)
