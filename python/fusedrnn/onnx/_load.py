"""The recurrent layers of a model, by the names of their nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn.onnx._attributes import read_attributes
from fusedrnn.onnx._constants import Constants
from fusedrnn.onnx._graph import Scope, node_names, other_recurrent, read_model
from fusedrnn.onnx._layer import Layer, made_layer
from fusedrnn.onnx._operator import Operator
from fusedrnn.onnx._packages import package


def load(model: object, nodes: Iterable[str] | None = None) -> dict[str, Layer]:
    """The recurrent layers of an ONNX model, those in the bodies of If, Loop and Scan nodes too.

    Every RNN, LSTM and GRU node of the model becomes a layer that computes what the node computes, with one layer and
    one or two directions. What lies between nodes (Transpose, Reshape, other layers) is left to the caller; to run a
    whole model there is `accelerate`. sequence_lens, initial_h and initial_c are inputs of a node, not part of it:
    give a layer's call `lengths=` and a state. But initial states that are constants other than zero, the same in every
    row, become those of a layer with learned_state=True.

    Args:
        model: a path, the bytes of a file, or an onnx.ModelProto. External data is read from beside the path.
        nodes: names of the nodes to load; None for all.

    Returns:
        {name: RNN, LSTM or GRU}, in the model's order. A node without a name goes by its kind and its first output
        ("LSTM -> y"), one that shares its name with another by the way to its graph, too ("if.then_branch/lstm").
        Layers are float32, or float64 where the weights are; batch_first where the node's layout is 1.

    Raises:
        FileNotFoundError: no such file, or no file with the external data.
        ValueError: not an ONNX model or only a part of one; no recurrent node; no node of a name in `nodes`; a node
            whose weights are missing, of a wrong shape, or known only when the model runs; an attribute or an
            activation that does not exist. The message names the node.
        TypeError: an argument, an attribute or weights of a wrong type.
        ModuleNotFoundError: onnx is not installed.
    """
    proto = read_model(model)
    scope = Scope(proto.graph)
    found = {name: (inside, node) for name, inside, node in node_names(scope)}
    chosen = list(found) if nodes is None else _chosen(nodes, list(found))
    if nodes is None:
        _refuse_others(scope, found)
    constants = Constants(proto, scope)
    return {name: _layer_of(name, *found[name], constants) for name in chosen}


def _chosen(nodes: Iterable[str], names: list[str]) -> list[str]:
    if isinstance(nodes, str):
        raise TypeError(f"nodes: expected names of nodes in a list, got {_checks.shown(nodes)}")
    wanted = list(nodes)
    for name in wanted:
        if name not in names:
            raise ValueError(f"nodes: no recurrent node {_checks.shown(name)}; there are {', '.join(names) or 'none'}")
    return wanted


def _refuse_others(scope: Scope, found: dict[str, Any]) -> None:
    """A ValueError for recurrent operators that are not ONNX's own, and for a model without any."""
    for _, node in scope.walk():
        if other_recurrent(node):
            raise ValueError(
                f"node {node.name!r}: {node.op_type} of domain {node.domain!r} is not supported; "
                f"nodes= names those to load"
            )
    if not found:
        kinds = sorted({node.op_type for _, node in scope.walk()})
        raise ValueError(f"model: expected RNN, LSTM or GRU nodes, got only {', '.join(kinds)}")


def operator_of(name: str, scope: Scope, node: Any, constants: Constants) -> Operator:
    """The operator of a node, with its weights; a ValueError or TypeError that begins with the node's name."""
    where = f"node {name!r}: "
    return Operator(node.op_type, **_weights(where, scope, node, constants), where=where, **attributes_of(node))


def _layer_of(name: str, scope: Scope, node: Any, constants: Constants) -> Layer:
    """The layer of a node. A constant initial state that is not zero becomes one that the layer has learned."""
    where = f"node {name!r}: "
    own = read_attributes(node.op_type, attributes_of(node), where)
    weights = _weights(where, scope, node, constants)
    initial = {
        key: _of_all_rows(where + key, constants.value(scope, source, where + key), own.layout)
        for key, source in inputs_of(node).items()
        if key.startswith("initial") and constants.reason(scope, source) is None
    }
    if not any(state.any() for state in initial.values()):
        return made_layer(own, weights, where)
    zeros = np.zeros_like(next(iter(initial.values())))
    states = ("initial_h", "initial_c") if node.op_type == "LSTM" else ("initial_h",)
    return made_layer(own, weights, where, {key: initial.get(key, zeros) for key in states})


def _of_all_rows(name: str, state: Array, layout: int) -> Array:
    """(D, H), what all rows of a constant initial state are."""
    if state.ndim != 3:
        raise ValueError(f"{name}: expected 3 axes, got shape {state.shape}")
    rows = state.transpose(1, 0, 2) if layout == 0 else state
    if len(rows) == 0 or (rows != rows[0]).any():
        raise ValueError(f"{name}: expected a constant with the same values in every row, got shape {state.shape}")
    first: Array = rows[0]
    return first


def inputs_of(node: Any) -> dict[str, str]:
    """The inputs of a node that are there, by the operator's names of them."""
    keys = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    return {key: name for key, name in zip(keys, node.input, strict=False) if name}


def _weights(where: str, scope: Scope, node: Any, constants: Constants) -> dict[str, Array]:
    given = inputs_of(node)
    for key in ("W", "R"):
        if key not in given:
            raise ValueError(f"{where}{key}: expected an input, got none")
    return {key: constants.value(scope, given[key], where + key) for key in ("W", "R", "B", "P") if key in given}


def attributes_of(node: Any) -> dict[str, Any]:
    """The attributes of a node as Python values."""
    value_of = package("onnx.helper").get_attribute_value
    return {each.name: _plain(value_of(each)) for each in node.attribute}


def _plain(value: Any) -> Any:
    """bytes as text, and repeated fields as lists."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (str, int, float)):
        return value
    return [_plain(each) for each in value]
