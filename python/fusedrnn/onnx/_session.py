"""A stage of a model as a model of its own, for a session of ONNX Runtime."""

from __future__ import annotations

from typing import Any

from fusedrnn.onnx._graph import used_names
from fusedrnn.onnx._packages import package
from fusedrnn.onnx._stages import Stage


def stage_model(model: Any, stage: Stage, infos: dict[str, Any]) -> Any:
    """The stage as a model; `infos` has a ValueInfoProto of every name that it reads."""
    onnx = package("onnx")
    graph, known = model.graph, {each.name: each for each in model.graph.output}
    used = set(stage.outputs).union(*(used_names(node) for node in stage.nodes))
    found = onnx.ModelProto(ir_version=model.ir_version)
    found.opset_import.extend(model.opset_import)
    found.graph.name = graph.name or "stage"
    found.graph.node.extend(stage.nodes)
    found.graph.input.extend(infos[name] for name in stage.inputs)
    found.graph.output.extend(known.get(name, onnx.ValueInfoProto(name=name)) for name in stage.outputs)
    found.graph.initializer.extend(each for each in graph.initializer if each.name in used)
    found.graph.sparse_initializer.extend(each for each in graph.sparse_initializer if each.values.name in used)
    return found


def info_of(name: str, type_name: str, shape: list[Any] | None) -> Any:
    """A ValueInfoProto of what a session says of one of its outputs, as in "tensor(float)", ["batch", 3].

    Raises:
        ValueError: a type that cannot be handed from one session to the next.
    """
    info = package("onnx").ValueInfoProto(name=name)
    info.type.CopyFrom(_type_of(type_name, shape))
    return info


def _type_of(type_name: str, shape: list[Any] | None) -> Any:
    helper = package("onnx.helper")
    kind, _, inner = type_name.rstrip(")").partition("(")
    if kind == "tensor":
        # An empty shape is that of a scalar, or one that is not known: so it says nothing.
        return helper.make_tensor_type_proto(_element(inner), shape or None)
    if kind == "seq":
        return helper.make_sequence_type_proto(_type_of(inner + ")", None))
    if kind == "optional":
        return helper.make_optional_type_proto(_type_of(inner + ")", None))
    raise ValueError(f"model: a value of type {type_name} lies between recurrent nodes, which is not supported")


def _element(name: str) -> int:
    """The number of an element type, by ONNX Runtime's name of it."""
    number: int = getattr(package("onnx").TensorProto, {"float": "FLOAT", "double": "DOUBLE"}.get(name, name.upper()))
    return number
