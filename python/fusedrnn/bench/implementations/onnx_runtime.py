"""ONNX Runtime: a model of one node, every graph optimisation on; a plain `run` and bound buffers are tried.

In a step the bound state goes back and forth between two buffers, so nothing is copied.
"""

from __future__ import annotations

from functools import partial
from itertools import cycle
from typing import Any

from fusedrnn.bench.implementations import Candidate, UnavailableError, onnx_model, require
from fusedrnn.bench.problem import Array, Problem

DISTRIBUTIONS = ("onnxruntime", "onnx")


def start(threads: int) -> None:
    require("onnx")
    require("onnxruntime")


def prepare(problem: Problem, threads: int) -> dict[str, Candidate]:
    onnx_model.refuse_training(problem)
    ort = require("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(onnx_model.build(problem), options, providers=["CPUExecutionProvider"])
        session.run(None, onnx_model.feed(problem))
    except Exception as error:  # its own exception types share no base but this
        raise UnavailableError(f"refuses the model ({str(error).splitlines()[0]})") from error
    return {"run": _plain(problem, session), "io-binding": _bound(problem, session)}


def _plain(problem: Problem, session: Any) -> Candidate:
    arrays, states = onnx_model.feed(problem), onnx_model.STATES[problem.cell]
    if problem.mode == "forward":
        return Candidate(partial(session.run, None, arrays), partial(onnx_model.outputs, problem))

    def step() -> Any:
        out = session.run(None, arrays)
        arrays.update(zip(states, out[1:], strict=True))
        return out

    return Candidate(step, partial(onnx_model.outputs, problem))


def _bound(problem: Problem, session: Any) -> Candidate:
    value = require("onnxruntime").OrtValue.ortvalue_from_numpy
    arrays = {name: value(array) for name, array in onnx_model.feed(problem).items()}
    names = [output.name for output in session.get_outputs()]
    results = {output.name: value(_empty(output.shape, problem)) for output in session.get_outputs()}

    def binding(into: dict[str, Any], out_of: dict[str, Any]) -> Any:
        bound = session.io_binding()
        for name, buffer in out_of.items():
            bound.bind_ortvalue_input(name, buffer)
        for name in names:
            bound.bind_ortvalue_output(name, into[name])
        return bound

    there = binding(results, arrays)

    def read(_: object) -> dict[str, Array]:
        return onnx_model.outputs(problem, [results[name].numpy() for name in names])

    if problem.mode == "forward":
        return Candidate(partial(session.run_with_iobinding, there), read)

    states = onnx_model.STATES[problem.cell]
    back = binding(
        {"y": results["y"], **{f"{name}_n": arrays[name] for name in states}},
        {"x": arrays["x"], **{name: results[f"{name}_n"] for name in states}},
    )
    turn, run = cycle((there, back)), session.run_with_iobinding
    return Candidate(lambda: run(next(turn)), read)


def _empty(shape: list[int], problem: Problem) -> Array:
    import numpy as np

    return np.zeros(shape, problem.dtype)
