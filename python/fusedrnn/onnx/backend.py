"""ONNX's interface for backends (onnx.backend.base), so that its own tests run on fusedrnn.

RNN, LSTM and GRU nodes run on fusedrnn's kernels, also in the bodies of If, Loop and Scan; every other node is run by
ONNX's reference evaluator, in NumPy. It is meant for conformance, not for speed: that is `fusedrnn.onnx.accelerate`.

    import onnx.backend.test
    from fusedrnn.onnx import backend

    tests = onnx.backend.test.BackendTest(backend, __name__)
    tests.include("test_(simple_)?(rnn|lstm|gru)_.*_cpu")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fusedrnn.onnx._operator import Operator
from fusedrnn.onnx._packages import package

_OpRun: Any = package("onnx.reference.op_run").OpRun
_BaseRep: Any = package("onnx.backend.base").BackendRep
_Base: Any = package("onnx.backend.base").Backend

__all__ = ["Backend", "BackendRep", "prepare", "run_model", "run_node", "supports_device"]


class _Recurrent(_OpRun):  # type: ignore[misc]  # onnx need not be there when types are checked
    """A recurrent node as the reference evaluator runs it; the class's name is that of the operator."""

    op_domain = ""

    def _run(
        self,
        X: Any,
        W: Any,
        R: Any,
        B: Any = None,
        sequence_lens: Any = None,
        initial_h: Any = None,
        initial_c: Any = None,
        P: Any = None,
        **attributes: Any,
    ) -> tuple[Any, ...]:
        operator = Operator(type(self).__name__, W, R, B, P, where=f"node {self.onnx_node.name!r}: ", **attributes)
        return operator(X, sequence_lens, initial_h, initial_c)[: len(self.onnx_node.output)]


class RNN(_Recurrent):
    pass


class GRU(_Recurrent):
    pass


class LSTM(_Recurrent):
    pass


class BackendRep(_BaseRep):  # type: ignore[misc]
    """A model that is ready to run."""

    def __init__(self, model: Any) -> None:
        evaluator = package("onnx.reference").ReferenceEvaluator
        self._evaluator = evaluator(model, new_ops=[RNN, GRU, LSTM])

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs, for arrays in the order of the graph's inputs, or by name, or one array."""
        names = self._evaluator.input_names
        if not isinstance(inputs, Mapping):
            values = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            inputs = dict(zip(names, values, strict=False))
        return tuple(self._evaluator.run(None, dict(inputs)))


class Backend(_Base):  # type: ignore[misc]
    """The interface."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> BackendRep:
        """A checked model, ready to run.

        Raises:
            onnx.checker.ValidationError: not a valid model.
            ValueError: another device than CPU.
        """
        if not cls.supports_device(device):
            raise ValueError(f"device: expected CPU, got {device!r}")
        super().prepare(model, device, **kwargs)
        return BackendRep(model)

    @classmethod
    def run_node(
        cls, node: Any, inputs: Any, device: str = "CPU", outputs_info: Sequence[Any] | None = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """The outputs of one node, for its inputs in order (those that it leaves out do not count), or by name."""
        super().run_node(node, inputs, device, outputs_info, **kwargs)
        helper, value_info = package("onnx.helper"), package("onnx").ValueInfoProto
        names = [name for name in node.input if name]
        values = inputs if isinstance(inputs, Mapping) else dict(zip(names, inputs, strict=True))
        graph = helper.make_graph(
            [node],
            "node",
            [value_info(name=name) for name in names],
            [value_info(name=name) for name in node.output if name],
        )
        version = kwargs.get("opset_version", package("onnx.defs").onnx_opset_version())
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
        return BackendRep(model).run(values)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device.partition(":")[0] == "CPU"


prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device
