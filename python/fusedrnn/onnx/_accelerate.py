"""A whole model: its recurrent nodes by fusedrnn, everything else by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusedrnn import _checks
from fusedrnn.onnx._constants import Constants
from fusedrnn.onnx._graph import Scope, node_names, other_recurrent, read_model
from fusedrnn.onnx._load import inputs_of, operator_of
from fusedrnn.onnx._operator import Operator
from fusedrnn.onnx._packages import package
from fusedrnn.onnx._session import info_of, stage_model
from fusedrnn.onnx._stages import cut

_RUN_TIME_INPUTS = ("X", "sequence_lens", "initial_h", "initial_c")


@dataclass(frozen=True)
class Report:
    """What became of the recurrent nodes of a model.

    Attributes:
        taken: the names of the nodes that fusedrnn runs.
        left: the names of those that ONNX Runtime runs, with the reason.
        sessions: how many sessions of ONNX Runtime run the rest.
    """

    taken: tuple[str, ...]
    left: Mapping[str, str]
    sessions: int

    def __str__(self) -> str:
        lines = [f"fusedrnn runs {len(self.taken)} of {len(self.taken) + len(self.left)} recurrent nodes:"]
        lines += [f"  {name}" for name in self.taken]
        lines += [f"  not {name}: {reason}" for name, reason in self.left.items()]
        lines.append(f"ONNX Runtime runs the rest in {self.sessions} sessions")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Taken:
    """A recurrent node that was taken over."""

    operator: Operator
    inputs: dict[str, str]
    """Arguments of the operator, and the names whose values they take."""
    constants: dict[str, Any]
    outputs: list[str]


class Accelerated:
    """A model that runs; `accelerate` makes it.

    Attributes:
        input_names, output_names: those of the model.
        report: what fusedrnn runs and what not.
    """

    report: Report

    def __init__(self, model: object, providers: Sequence[Any] | None, sess_options: Any) -> None:
        self._proto = read_model(model)
        self._scope = Scope(self._proto.graph)
        self._constants = Constants(self._proto, self._scope)
        graph = self._proto.graph
        fixed = {each.name for each in graph.initializer}
        self.input_names = [each.name for each in graph.input if each.name not in fixed]
        self.output_names = [each.name for each in graph.output]
        left: dict[str, str] = {}
        self._known = {
            name: self._constants.value(self._scope, name, f"output {name!r}")
            for name in self.output_names
            if name in fixed
        }
        self._taken = self._take_over(left)
        self._stages = cut(
            self._scope, self._constants, {k: list(node.inputs.values()) for k, (_, node) in self._taken.items()}
        )
        self._sessions = self._make_sessions(providers or ["CPUExecutionProvider"], sess_options)
        names = tuple(name for name, _ in self._taken.values())
        self.report = Report(names, left, sum(each is not None for each in self._sessions))
        del self._proto, self._scope, self._constants  # the sessions and the operators have what they need

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: Any = None
    ) -> list[Any]:
        """As `onnxruntime.InferenceSession.run`.

        Args:
            output_names: the outputs to return; None for all, in the model's order.
            input_feed: a value for each of `input_names`.
            run_options: an `onnxruntime.RunOptions` for every session, or None.

        Returns:
            The values of the outputs.

        Raises:
            ValueError: an output or an input that the model does not have; an input that is missing; a wrong shape
                at a recurrent node.
            TypeError: a wrong dtype at a recurrent node.
            Exceptions of ONNX Runtime: what else is wrong with the inputs.
        """
        wanted = self.output_names if output_names is None else list(output_names)
        _check_names("output_names", wanted, self.output_names)
        _check_names("input_feed", list(input_feed), self.input_names)
        missing = [name for name in self.input_names if name not in input_feed]
        if missing:
            raise ValueError(f"input_feed: expected {', '.join(self.input_names)}, missing: {', '.join(missing)}")
        values = {**self._known, **input_feed}
        for stage, session in zip(self._stages, self._sessions, strict=True):
            if session is not None:
                results = session.run(stage.outputs, {name: values[name] for name in stage.inputs}, run_options)
                values.update(zip(stage.outputs, results, strict=True))
            for place in stage.recurrent:
                _, node = self._taken[place]
                given = {key: np.asarray(values[name]) for key, name in node.inputs.items()}
                results = node.operator(**given, **node.constants)
                values.update((name, result) for name, result in zip(node.outputs, results, strict=False) if name)
        return [values[name] for name in wanted]

    __call__ = run

    def __repr__(self) -> str:
        return f"Accelerated({', '.join(self.input_names)} -> {', '.join(self.output_names)})"

    # Construction

    def _take_over(self, left: dict[str, str]) -> dict[int, tuple[str, _Taken]]:
        """The nodes that fusedrnn runs, by their place in the graph; `left` gets the others, with the reason."""
        found: dict[int, tuple[str, _Taken]] = {}
        places = {id(node): place for place, node in enumerate(self._scope.graph.node)}
        for name, inside, node in node_names(self._scope):
            if inside is not self._scope:
                left[name] = f"it lies in a body ({inside.path.rstrip('/')})"
                continue
            reason = self._not_taken(node)
            if reason is None:
                found[places[id(node)]] = (name, self._made(name, node))
            else:
                left[name] = reason
        for _, node in self._scope.walk():
            if other_recurrent(node):
                left[node.name] = f"{node.op_type} of domain {node.domain!r} is no operator of ONNX"
        return found

    def _not_taken(self, node: Any) -> str | None:
        """Why ONNX Runtime keeps a node; None for one to take over, or with an error to find in it."""
        for key, name in inputs_of(node).items():
            reason = self._constants.reason(self._scope, name)
            if key not in _RUN_TIME_INPUTS and reason is not None and self._scope.find(name) is not None:
                return f"{key} is known only when the model runs: {reason}"
        return None

    def _made(self, name: str, node: Any) -> _Taken:
        operator = operator_of(name, self._scope, node, self._constants)
        operator.layer.freeze()
        inputs: dict[str, str] = {}
        constants: dict[str, Any] = {}
        for key, source in inputs_of(node).items():
            if key not in _RUN_TIME_INPUTS:
                continue
            if self._constants.reason(self._scope, source) is None:
                constants[key] = self._constants.value(self._scope, source, f"node {name!r}: {key}")
            else:
                inputs[key] = source
        return _Taken(operator, inputs, constants, list(node.output))

    def _make_sessions(self, providers: Sequence[Any], sess_options: Any) -> list[Any]:
        """A session for each stage, None where a stage has nothing to compute."""
        session_class = package("onnxruntime").InferenceSession
        infos = {each.name: each for each in self._proto.graph.input}
        sessions: list[Any] = []
        for stage in self._stages:
            session = None
            if stage.outputs:
                model = stage_model(self._proto, stage, infos)
                session = session_class(model.SerializeToString(), sess_options, providers=providers)
                infos.update((each.name, info_of(each.name, each.type, each.shape)) for each in session.get_outputs())
            sessions.append(session)
            for place in stage.recurrent:
                infos.update(_infos_of(self._taken[place][1]))
        return sessions


def _infos_of(node: _Taken) -> dict[str, Any]:
    """What the outputs of a recurrent node are."""
    type_name = {"float32": "float", "float64": "double"}.get(node.operator.dtype.name, node.operator.dtype.name)
    return {
        name: info_of(name, f"tensor({type_name})", [None] * rank)
        for name, rank in zip(node.outputs, (4, 3, 3), strict=False)
        if name
    }


def _check_names(argument: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(f"{argument}: expected any of {', '.join(known)}, got {_checks.shown(name)}")


def accelerate(model: object, *, providers: Sequence[Any] | None = None, sess_options: Any = None) -> Accelerated:
    """A callable that runs a whole ONNX model: recurrent nodes by fusedrnn, everything else by ONNX Runtime.

    The graph is cut at its RNN, LSTM and GRU nodes; what lies between them are sessions of ONNX Runtime. Nodes in the
    bodies of If, Loop and Scan stay with ONNX Runtime, as do those whose weights are known only when the model runs:
    `report` says which, and why.

    Args:
        model: a path, the bytes of a file, or an onnx.ModelProto.
        providers, sess_options: for every `onnxruntime.InferenceSession`; by default it runs on the CPU.

    Returns:
        An `Accelerated`: `accelerated.run(None, {"x": x})`, or a call with the same arguments, gives the outputs as
        `InferenceSession.run` does. An input that has an initialiser is constant.

    Raises:
        FileNotFoundError, ValueError, TypeError: as `load`, except that a model may have no recurrent node.
        ModuleNotFoundError: onnx or onnxruntime is not installed.
    """
    return Accelerated(model, providers, sess_options)
