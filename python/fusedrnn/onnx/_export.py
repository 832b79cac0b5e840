"""A layer as an ONNX model: a node for each layer of the stack."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn.layers import GRU, LSTM, RNN
from fusedrnn.onnx._activations import written_activations
from fusedrnn.onnx._layer import Layer
from fusedrnn.onnx._packages import package
from fusedrnn.onnx._weights import SUFFIXES, arrays

OPSETS: Final = (14, 28)
"""Of those between, the nodes written here mean the same."""

_ABSENT: Final[dict[str, Any]] = {
    "proj_size": 0,
    "cell_clip": None,
    "layer_norm": False,
    "minimal": False,
    "independent": False,
    "zoneout": 0.0,
    "connection": None,
    "dilation": 1,
}
"""The options of layers that ONNX's operators lack, and the values at which they do nothing."""


def to_onnx(layer: Layer, *, state: bool = False, lengths: bool = False, opset: int = 17, ir_version: int = 8) -> Any:
    """A model that computes what a call of the layer computes.

    Args:
        layer: an RNN, GRU or LSTM.
        state: whether the model has inputs for the initial state, h_0 and, of an LSTM, c_0, shaped as those of a call.
            Without them it begins at zero, or at the state that the layer has learned.
        lengths: whether it has an input lengths, int32 (B,).
        opset: from 14 to 28.
        ir_version: that of the file's format; ONNX Runtime refuses those that are newer than itself.

    Returns:
        An onnx.ModelProto; onnx.save writes it. Its inputs are x, then lengths, h_0, c_0 as asked for, its outputs y,
        h_n and, of an LSTM, c_n: all shaped as for a call of the layer, with any number of steps and rows. Node k is
        "layer_k". The parameters are copied. What acts in `record` only (dropout of every kind) has no place in it.

    Raises:
        ValueError: an option that ONNX's operators lack (proj_size, cell_clip, layer_norm, minimal, independent,
            zoneout, connection, dilation); a version out of range; says which.
        TypeError: an argument of a wrong type.
        ModuleNotFoundError: onnx is not installed.
    """
    if not isinstance(layer, (RNN, GRU, LSTM)):
        raise TypeError(f"layer: expected an RNN, a GRU or an LSTM, got {_checks.describe(layer)}")
    for name, idle in _ABSENT.items():
        value = getattr(layer, name, idle)
        if value != idle:
            raise ValueError(f"{name}: ONNX's {type(layer).__name__} has no such option; expected {idle}, got {value}")
    state, lengths = _checks.boolean("state", state), _checks.boolean("lengths", lengths)
    version = _checks.integer("opset", opset, *OPSETS)
    return _Writer(layer, state, lengths).model(version, _checks.integer("ir_version", ir_version, 7))


class _Writer:
    """Collects the nodes and the initialisers of a model."""

    def __init__(self, layer: Layer, state: bool, lengths: bool) -> None:
        self._layer, self._has_state, self._has_lengths = layer, state, lengths
        self._helper = package("onnx.helper")
        self._nodes: list[Any] = []
        self._initialisers: dict[str, Array] = {}
        self._directions = 2 if layer.bidirectional else 1
        self._states = ("h", "c") if isinstance(layer, LSTM) else ("h",)

    def model(self, opset: int, ir_version: int) -> Any:
        layer, helper = self._layer, self._helper
        x = self._node("Transpose", ["x"], "x_time_first", perm=[1, 0, 2]) if layer.batch_first else "x"
        last: dict[str, list[str]] = {letter: [] for letter in self._states}
        for k in range(layer.num_layers):
            outputs = [f"Y_{k}", *(f"{letter}_n_{k}" for letter in self._states)]
            node = helper.make_node(
                type(layer).__name__, self._inputs(k, x), outputs, name=f"layer_{k}", **self._attributes()
            )
            self._nodes.append(node)
            for letter, name in zip(self._states, outputs[1:], strict=True):
                last[letter].append(name)
            x = self._merged(k, outputs[0])
        if layer.batch_first:
            self._node("Transpose", [x], "y", perm=[1, 0, 2])
        else:
            self._node("Identity", [x], "y")
        for letter, names in last.items():
            self._node("Concat", names, f"{letter}_n", axis=0)
        graph = helper.make_graph(
            self._nodes,
            "fusedrnn",
            self._input_infos(),
            self._output_infos(),
            [package("onnx.numpy_helper").from_array(value, name) for name, value in self._initialisers.items()],
        )
        imports = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=ir_version, producer_name="fusedrnn")

    def _node(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(self._helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output

    def _constant(self, name: str, value: Any) -> str:
        self._initialisers[name] = np.asarray(value)
        return name

    # A layer

    def _attributes(self) -> dict[str, Any]:
        layer = self._layer
        reverse = layer.reverse
        found: dict[str, Any] = {
            "hidden_size": layer.hidden_size,
            "direction": "bidirectional" if layer.bidirectional else "reverse" if reverse else "forward",
        }
        if layer.clip is not None:
            found["clip"] = layer.clip
        if isinstance(layer, LSTM):
            found["input_forget"] = int(layer.coupled)
        if isinstance(layer, GRU):
            found["linear_before_reset"] = int(layer.reset_after)
        values = zip(("activations", "activation_alpha", "activation_beta"), self._activations(), strict=True)
        found.update((name, value) for name, value in values if value)
        return found

    def _activations(self) -> tuple[list[str], list[float], list[float]]:
        layer = self._layer
        if isinstance(layer, RNN):
            first: Any = (layer.nonlinearity,)
            second: Any = first if layer.reverse_nonlinearity is None else (layer.reverse_nonlinearity,)
        else:
            first = layer.activations
            second = first if layer.reverse_activations is None else layer.reverse_activations
        return written_activations([*first, *second] if layer.bidirectional else first)

    def _inputs(self, k: int, x: str) -> list[str]:
        """The names of the inputs of node k, "" for those it does not have."""
        params = {name: np.asarray(value) for name, value in self._layer.params.items()}
        suffixes = [name.replace("_l0", f"_l{k}") for name in SUFFIXES[: self._directions]]
        coupled = isinstance(self._layer, LSTM) and self._layer.coupled
        weights = {
            letter: self._constant(f"{letter}_{k}", value)
            for letter, value in arrays(type(self._layer).__name__, coupled, params, suffixes).items()
        }
        states = {letter: self._initial(letter, k, params, suffixes) for letter in self._states}
        lengths = "lengths" if self._has_lengths else ""
        names = [x, weights["W"], weights["R"], weights.get("B", ""), lengths]
        names += [states["h"], states.get("c", ""), weights.get("P", "")]
        while not names[-1]:
            names.pop()
        return names

    def _initial(self, letter: str, k: int, params: dict[str, Array], suffixes: list[str]) -> str:
        """The name of an initial state of node k, (D, B, H); "" for zeros."""
        if self._has_state:
            places = [self._constant(f"place_{k + end}", [(k + end) * self._directions]) for end in (0, 1)]
            return self._node("Slice", [f"{letter}_0", *places, self._constant("first_axis", [0])], f"{letter}_0_{k}")
        learned = [params[f"initial_{letter}{suffix}"] for suffix in suffixes if f"initial_{letter}{suffix}" in params]
        if not learned:
            return ""
        rows = self._constant(f"initial_{letter}_{k}", np.stack(learned)[:, np.newaxis])
        return self._node("Expand", [rows, self._state_shape()], f"{letter}_0_{k}")

    def _state_shape(self) -> str:
        """The name of (1, B, H), made once."""
        name = "state_shape"
        if not any(node.output[0] == name for node in self._nodes):
            axis = 0 if self._layer.batch_first else 1
            shape = self._node("Shape", ["x"], "x_shape")
            batch = self._node("Gather", [shape, self._constant("batch_axis", [axis])], "batch")
            one, units = self._constant("one", [1]), self._constant("units", [self._layer.hidden_size])
            self._node("Concat", [one, batch, units], name, axis=0)
        return name

    def _merged(self, k: int, y: str) -> str:
        """Y of node k, (T, D, B, H), as the next layer reads it: (T, B, D*H), or (T, B, H)."""
        merge = self._layer.merge if self._layer.bidirectional else "concat"
        if merge == "concat":
            turned = self._node("Transpose", [y], f"{y}_rows_first", perm=[0, 2, 1, 3])
            return self._node("Reshape", [turned, self._constant("features", [0, 0, -1])], f"y_{k}")
        ways = [self._node("Gather", [y, self._constant(f"direction_{d}", d)], f"{y}_{d}", axis=1) for d in range(2)]
        both = self._node("Mul" if merge == "mul" else "Add", ways, f"{y}_merged")
        if merge != "ave":
            return both
        return self._node("Mul", [both, self._constant("half", np.asarray(0.5, self._layer.dtype))], f"y_{k}")

    # Inputs and outputs

    def _input_infos(self) -> list[Any]:
        found = [self._info("x", self._sequence(self._layer.input_size))]
        if self._has_lengths:
            element = package("onnx").TensorProto.INT32
            found.append(self._helper.make_tensor_value_info("lengths", element, ["batch"]))
        if self._has_state:
            found += [self._info(f"{letter}_0", self._state_axes()) for letter in self._states]
        return found

    def _output_infos(self) -> list[Any]:
        layer = self._layer
        features = layer.hidden_size * (self._directions if layer.merge == "concat" else 1)
        states = [self._info(f"{letter}_n", self._state_axes()) for letter in self._states]
        return [self._info("y", self._sequence(features)), *states]

    def _sequence(self, features: int) -> list[Any]:
        return ["batch", "steps", features] if self._layer.batch_first else ["steps", "batch", features]

    def _state_axes(self) -> list[Any]:
        return [self._layer.num_layers * self._directions, "batch", self._layer.hidden_size]

    def _info(self, name: str, shape: list[Any]) -> Any:
        element = self._helper.np_dtype_to_tensor_dtype(self._layer.dtype)
        return self._helper.make_tensor_value_info(name, element, shape)
