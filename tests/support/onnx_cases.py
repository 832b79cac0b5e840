"""Random RNN, GRU and LSTM nodes: attributes and inputs, drawn from a seed, and models of one node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
ACTIVATIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}
CONSTANTS = {
    "Affine": "ab",
    "ScaledTanh": "ab",
    "HardSigmoid": "ab",
    "LeakyRelu": "a",
    "ThresholdedRelu": "a",
    "Elu": "a",
    "Relu": "",
    "Tanh": "",
    "Sigmoid": "",
    "Softsign": "",
    "Softplus": "",
}
"""Which activations there are, and whether they have an alpha (a) and a beta (b)."""

BOUNDED = ["ScaledTanh", "HardSigmoid", "Tanh", "Sigmoid", "Softsign"]
"""Those under which a long network does not explode."""

INPUTS = {
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
}
SMALL, LARGE = (8, 6, 9, 20), (20, 20, 40, 70)
"""Bounds of T, B, I and H."""

WEIGHTS = ("W", "R", "B", "P")


@dataclass
class Case:
    """A node and its inputs."""

    op_type: str
    inputs: dict[str, np.ndarray]
    attributes: dict[str, Any]

    @property
    def outputs(self) -> list[str]:
        return ["Y", "Y_h", "Y_c"] if self.op_type == "LSTM" else ["Y", "Y_h"]

    @property
    def steps(self) -> int:
        return int(self.inputs["X"].shape[1 if self.attributes.get("layout") else 0])


def happens(rng: np.random.Generator, chance: float) -> bool:
    return bool(rng.random() < chance)


def random_case(rng: np.random.Generator, dtype: Any = np.float32) -> Case:
    """Sizes, inputs that may be left out and attributes, each drawn on its own."""

    def sometimes(chance: float = 0.5) -> bool:
        return happens(rng, chance)

    op_type = str(rng.choice(list(GATES)))
    large = sometimes(0.05)
    T, B, features, H = (int(size) for size in rng.integers(1, LARGE if large else SMALL))
    attributes: dict[str, Any] = {"direction": str(rng.choice(["forward", "reverse", "bidirectional"]))}
    D = 2 if attributes["direction"] == "bidirectional" else 1
    if sometimes(0.85):
        attributes["hidden_size"] = H
    if sometimes(0.2):
        attributes["layout"] = 1
    if sometimes(0.3):
        attributes["clip"] = float(np.float32(rng.uniform(0.2, 2)))
    if sometimes():
        attributes.update(random_activations(rng, BOUNDED if large else list(CONSTANTS), ACTIVATIONS[op_type] * D))
    own = {"GRU": "linear_before_reset", "LSTM": "input_forget"}.get(op_type)
    if own and sometimes():
        attributes[own] = 1

    G, scale = GATES[op_type], 1 / np.sqrt(H)
    batch = (B, D, H) if attributes.get("layout") else (D, B, H)
    shapes = {
        "X": (B, T, features) if attributes.get("layout") else (T, B, features),
        "W": (D, G * H, features),
        "R": (D, G * H, H),
        "B": (D, 2 * G * H),
        "initial_h": batch,
        "initial_c": batch,
        "P": (D, 3 * H),
    }
    inputs: dict[str, np.ndarray] = {}
    for name in INPUTS[op_type]:
        if name == "sequence_lens" and sometimes(0.4):
            shortest = int(sometimes(0.7))
            inputs[name] = rng.integers(shortest, T + 1, B).astype(np.int32)
        elif name in ("X", "W", "R") or (name in shapes and sometimes(0.6)):
            size = 1.0 if name == "X" else 0.5 if name == "P" else scale
            inputs[name] = rng.uniform(-size, size, shapes[name]).astype(dtype)
    return Case(op_type, inputs, attributes)


def random_activations(rng: np.random.Generator, known: list[str], count: int) -> dict[str, Any]:
    """Names of those known, and as many constants as they need, or fewer, or none."""
    names = [str(name) for name in rng.choice(known, count)]
    found: dict[str, Any] = {"activations": names}
    for attribute, letter in (("activation_alpha", "a"), ("activation_beta", "b")):
        most = sum(letter in CONSTANTS[name] for name in names)
        count = most if happens(rng, 0.5) else int(rng.integers(0, most + 1))
        values = [float(np.float32(value)) for value in rng.uniform(0.1, 0.9, count)]
        if values:
            found[attribute] = values
    return found


def model_of(case: Case, opset: int = 22, name: str = "node", weights: bool = False) -> Any:
    """A model of one node: its arrays are the graph's inputs, or with `weights` W, R, B and P are initialisers."""
    from onnx import helper, numpy_helper

    def typed(key: str) -> Any:
        value = case.inputs[key]
        return helper.make_tensor_value_info(key, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)

    inner = set(WEIGHTS) if weights else set()
    names = [key if key in case.inputs else "" for key in INPUTS[case.op_type]]
    while not names[-1]:
        names.pop()
    node = helper.make_node(case.op_type, names, case.outputs, name=name, **case.attributes)
    element = helper.np_dtype_to_tensor_dtype(case.inputs["X"].dtype)
    graph = helper.make_graph(
        [node],
        "one_node",
        [typed(key) for key in case.inputs if key not in inner],
        [helper.make_tensor_value_info(key, element, [None] * (4 if key == "Y" else 3)) for key in case.outputs],
        [numpy_helper.from_array(value, key) for key, value in case.inputs.items() if key in inner],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
