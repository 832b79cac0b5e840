"""The values of a model that do not depend on its inputs: initialisers, and what nodes make of them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fusedrnn._checks import Array
from fusedrnn.onnx._graph import Scope, body_graphs, opset
from fusedrnn.onnx._packages import package

_RANDOM: Final = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial", "Dropout")
)


class Constants:
    """Finds them, and keeps what it has found.

    Whatever nodes lead from initialisers to a weight (Transpose, Slice, Concat, Squeeze, Cast, DequantizeLinear, ...)
    are run by ONNX's own reference evaluator.
    """

    def __init__(self, model: Any, scope: Scope) -> None:
        self._model = model
        self._reasons: dict[tuple[Scope, str], str | None] = {}
        self._values: dict[tuple[Scope, str], Any] = {}
        for inside, node in scope.walk():  # in this order none asks for more than a step back, however deep the model
            for name in filter(None, node.output):
                self.reason(inside, name)

    def reason(self, scope: Scope, name: str) -> str | None:
        """None of a constant; of anything else, why its value is not known before the model runs."""
        key = (scope, name)
        if key not in self._reasons:
            self._reasons[key] = f"{name!r} depends on itself"  # until it is known
            self._reasons[key] = self._found_reason(scope, name)
        return self._reasons[key]

    def _found_reason(self, scope: Scope, name: str) -> str | None:
        found = scope.find(name)
        if found is None:
            return f"nothing in the model makes {name!r}"
        inside, source = found
        if source is None:
            return f"{name!r} is an input of the {'body ' + inside.path if inside.outer else 'graph'}"
        if not _is_node(source):
            return None
        said = f"{name!r} comes from the {source.op_type} node {source.name!r}"
        if source.domain not in ("", "ai.onnx"):
            return f"{said} of domain {source.domain!r}"
        if source.op_type in _RANDOM or any(body_graphs(each) for each in source.attribute):
            return said
        for other in filter(None, source.input):
            reason = self.reason(inside, other)
            if reason is not None:
                return f"{said}, where {reason}"
        return None

    def value(self, scope: Scope, name: str, where: str) -> Array:
        """The value of a constant; `where` begins the message.

        Raises:
            ValueError: it is none, or cannot be read or computed.
        """
        reason = self.reason(scope, name)
        if reason is not None:
            raise ValueError(f"{where}: expected an initialiser or what nodes make of some, but {reason}")
        found = scope.find(name)
        assert found is not None
        inside, source = found
        key = (inside, name)
        if key not in self._values:
            if _is_node(source):
                self._run(inside, source, where)
            else:
                self._values[key] = _array(source, where)
        value: Array = self._values[key]
        return value

    def _run(self, scope: Scope, node: Any, where: str) -> None:
        """Compute all outputs of a node whose inputs are constants."""
        helper, value_info = package("onnx.helper"), package("onnx").ValueInfoProto
        feed = {name: self.value(scope, name, where) for name in node.input if name}
        graph = helper.make_graph(
            [node],
            "constant",
            [value_info(name=name) for name in feed],
            [value_info(name=name) for name in node.output if name],
        )
        try:
            model = helper.make_model(graph, opset_imports=self._opsets_for(node))
            results = package("onnx.reference").ReferenceEvaluator(model).run(None, feed)
        except Exception as error:  # whatever a node of somebody's file makes the evaluator raise
            raise ValueError(f"{where}: the {node.op_type} node {node.name!r} cannot be computed: {error}") from error
        for name, result in zip(filter(None, node.output), results, strict=True):
            self._values[scope, name] = np.asarray(result)

    def _opsets_for(self, node: Any) -> list[Any]:
        """Those of the model. But the evaluator has DequantizeLinear from 19 on only, which still means what it did."""
        if node.op_type != "DequantizeLinear" or opset(self._model) >= 19:
            return list(self._model.opset_import)
        return [package("onnx.helper").make_opsetid("", 19)]


def _is_node(source: Any) -> bool:
    return hasattr(source, "op_type")


def _array(tensor: Any, where: str) -> Array:
    """The values of an initialiser."""
    if not hasattr(tensor, "data_type"):
        raise ValueError(f"{where}: the sparse initialiser {tensor.values.name!r} is not supported; make it dense")
    if tensor.data_location == tensor.EXTERNAL:
        raise ValueError(
            f"{where}: the data of initialiser {tensor.name!r} lies in a file that has not been read; give the path of "
            f"the model instead, or call onnx.external_data_helper.load_external_data_for_model"
        )
    try:
        value: Array = package("onnx.numpy_helper").to_array(tensor)
    except (ValueError, TypeError, LookupError) as error:
        reason = f"unknown type {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{where}: initialiser {tensor.name!r} cannot be read: {reason}") from None
    return value
