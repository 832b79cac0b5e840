"""OpenVINO's CPU plugin, from the same ONNX model: one stream, latency hint, float32 arithmetic.

Without the precision hint it computes in bfloat16 wherever the machine has it. `infer` and a request started and
waited for, its tensors set beforehand, are tried. In a step two requests hold each other's state.
"""

from __future__ import annotations

from functools import partial
from itertools import cycle
from typing import Any

from fusedrnn.bench.implementations import Candidate, UnavailableError, onnx_model, require
from fusedrnn.bench.problem import Array, Problem

DISTRIBUTIONS = ("openvino", "onnx")


def start(threads: int) -> None:
    require("onnx")
    require("openvino")


def prepare(problem: Problem, threads: int) -> dict[str, Candidate]:
    onnx_model.refuse_training(problem)
    if problem.dtype != "float32":
        raise UnavailableError(f"its CPU plugin does not compute in {problem.dtype}")
    core = require("openvino").Core()
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    try:
        compiled = core.compile_model(core.read_model(onnx_model.build(problem)), "CPU", options)
    except RuntimeError as error:
        raise UnavailableError(f"refuses the model ({str(error).splitlines()[0]})") from error
    if problem.mode == "step":
        return {"two requests": _step(problem, compiled)}
    return {"infer": _infer(problem, compiled), "start and wait": _started(problem, compiled)}


def _tensors(arrays: dict[str, Array]) -> dict[str, Any]:
    """Tensors over the arrays' memory, which the caller keeps: a request does not."""
    tensor = require("openvino").Tensor
    return {name: tensor(array, shared_memory=True) for name, array in arrays.items()}


def _outputs(problem: Problem) -> list[str]:
    return ["y", *(f"{name}_n" for name in onnx_model.STATES[problem.cell])]


def _read(problem: Problem, request: Any) -> dict[str, Array]:
    return onnx_model.outputs(problem, [request.get_tensor(name).data for name in _outputs(problem)])


def _infer(problem: Problem, compiled: Any) -> Candidate:
    request, arrays = compiled.create_infer_request(), onnx_model.feed(problem)
    call = partial(request.infer, arrays, share_inputs=True, share_outputs=True)
    return Candidate(call, lambda _: _read(problem, request))


def _started(problem: Problem, compiled: Any) -> Candidate:
    request, arrays = compiled.create_infer_request(), onnx_model.feed(problem)
    for name, tensor in _tensors(arrays).items():
        request.set_tensor(name, tensor)
    launch, wait = request.start_async, request.wait

    def call() -> object:
        launch()
        wait()
        return arrays

    return Candidate(call, lambda _: _read(problem, request))


def _step(problem: Problem, compiled: Any) -> Candidate:
    states = onnx_model.STATES[problem.cell]
    before, after = onnx_model.feed(problem), onnx_model.feed(problem)
    there, back = _tensors(before), _tensors(after)
    requests = compiled.create_infer_request(), compiled.create_infer_request()
    for request, out_of, into in zip(requests, (there, back), (back, there), strict=True):
        request.set_tensor("x", there["x"])
        for name in states:
            request.set_tensor(name, out_of[name])
            request.set_tensor(f"{name}_n", into[name])
    turn = cycle(requests)

    def call() -> Any:
        request = next(turn)
        request.start_async()
        request.wait()
        return request, before, after

    return Candidate(call, lambda out: {"y": _read(problem, out[0])["y"]})
