"""A model as it is read: its graph, the graphs inside it, and what every name in them stands for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from fusedrnn import _checks
from fusedrnn.onnx._packages import package

RECURRENT: Final = ("RNN", "GRU", "LSTM")
OLDEST_OPSET: Final = 7


def read_model(model: object) -> Any:
    """A ModelProto from one, its bytes or a path; external data is read, and the model's own functions are inlined.

    Raises:
        FileNotFoundError: no such file, or none with the external data that the model names.
        ValueError: not an ONNX model, or not all of one, or of an opset older than 7.
        TypeError: an argument of another type.
    """
    onnx = package("onnx")
    if isinstance(model, onnx.ModelProto):
        proto = model
    elif isinstance(model, (str, os.PathLike)):
        proto = _read_file(os.fspath(model))
    elif isinstance(model, bytes):
        proto = _decoded("model", lambda: onnx.load_model_from_string(model))
    else:
        raise TypeError(f"model: expected an onnx.ModelProto, its bytes or a path, got {_checks.describe(model)}")
    if not proto.HasField("graph") or not proto.graph.node:
        raise ValueError(f"{_named(model)}: expected an ONNX model, got one without a node")
    if proto.functions:
        proto = package("onnx.inliner").inline_local_functions(proto)
    version = opset(proto)
    if version == 0:
        raise ValueError(f"{_named(model)}: expected an ONNX model, got one without ONNX's opset, or a part of one")
    if version < OLDEST_OPSET:
        raise ValueError(
            f"{_named(model)}: expected opset {OLDEST_OPSET} or later, got {version}; "
            f"onnx.version_converter.convert_version converts it"
        )
    return proto


def _named(model: object) -> str:
    return str(model) if isinstance(model, (str, os.PathLike)) else "model"


def opset(proto: Any) -> int:
    """The version of ONNX's own operators that a model uses; 0 if it says none."""
    return max((int(each.version) for each in proto.opset_import if each.domain in ("", "ai.onnx")), default=0)


def _read_file(path: str | bytes) -> Any:
    onnx = package("onnx")
    name = os.fsdecode(path)
    proto = _decoded(name, lambda: onnx.load_model(name, load_external_data=False))
    try:
        package("onnx.external_data_helper").load_external_data_for_model(proto, os.path.dirname(os.path.abspath(name)))
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ValueError(f"{name}: its external data cannot be read: {error}") from None
    return proto


def _decoded(name: str, read: Any) -> Any:
    try:
        return read()
    except (package("google.protobuf.message").DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}: expected an ONNX model, got something else or a part of one ({error})") from None


@dataclass(eq=False)
class Scope:
    """A graph, and the one round the node whose body it is.

    Attributes:
        path: "" of the main graph; of a body the names of the nodes and attributes that lead to it.
        source: what makes each name: a node, an initialiser, or None for an input of the graph.
    """

    graph: Any
    outer: Scope | None = None
    path: str = ""
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source.update((each.name, None) for each in self.graph.input)
        self.source.update((each.name, each) for each in self.graph.initializer)
        self.source.update((each.values.name, each) for each in self.graph.sparse_initializer)
        for node in self.graph.node:
            self.source.update((name, node) for name in node.output if name)

    def find(self, name: str) -> tuple[Scope, Any] | None:
        """The graph that makes a name, and with what; None if the name is nowhere."""
        if name in self.source:
            return self, self.source[name]
        return None if self.outer is None else self.outer.find(name)

    def bodies(self) -> Iterator[Scope]:
        """The graphs inside this one, one level down."""
        for place, node in enumerate(self.graph.node):
            for attribute in node.attribute:
                for graph in body_graphs(attribute):
                    name = node.name or f"{node.op_type}_{place}"
                    yield Scope(graph, self, f"{self.path}{name}.{attribute.name}/")

    def walk(self) -> Iterator[tuple[Scope, Any]]:
        """Every node of this graph and of those inside it, with its own graph."""
        for node in self.graph.node:
            yield self, node
        for body in self.bodies():
            yield from body.walk()


def body_graphs(attribute: Any) -> list[Any]:
    """The graphs in an attribute."""
    return [attribute.g] if attribute.HasField("g") else list(attribute.graphs)


def used_names(node: Any) -> set[str]:
    """The names that a node reads, those that its bodies take from outside included."""
    found = {name for name in node.input if name}
    for attribute in node.attribute:
        for graph in body_graphs(attribute):
            found |= captured_names(graph)
    return found


def captured_names(graph: Any) -> set[str]:
    """The names that a body takes from outside."""
    own = {each.name for each in (*graph.input, *graph.initializer)}
    own |= {each.values.name for each in graph.sparse_initializer}
    used = {each.name for each in graph.output}
    for node in graph.node:
        used |= used_names(node)
        own.update(node.output)
    return used - own


def node_names(scope: Scope) -> list[tuple[str, Scope, Any]]:
    """Every RNN, LSTM and GRU node with the name it goes by: its own, where that is one node's only.

    A node without a name goes by its kind and its first output; one that shares its name by the path of its graph too.
    """
    found = [
        (node.name or f"{node.op_type} -> {next(filter(None, node.output), '?')}", inside, node)
        for inside, node in scope.walk()
        if is_recurrent(node)
    ]
    names = [name for name, _, _ in found]
    named = [(name if names.count(name) == 1 else inside.path + name, inside, node) for name, inside, node in found]
    taken: dict[str, int] = {}
    result = []
    for name, inside, node in named:
        taken[name] = taken.get(name, 0) + 1
        result.append((name if taken[name] == 1 else f"{name} ({taken[name]})", inside, node))
    return result


def is_recurrent(node: Any) -> bool:
    return node.op_type in RECURRENT and node.domain in ("", "ai.onnx")


def other_recurrent(node: Any) -> bool:
    """A recurrent operator that is not one of the three: com.microsoft's AttnLSTM, DynamicQuantizeLSTM, ..."""
    return not is_recurrent(node) and any(name in node.op_type for name in ("RNN", "GRU", "LSTM"))
