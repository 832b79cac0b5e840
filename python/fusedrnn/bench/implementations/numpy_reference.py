"""`fusedrnn.reference`: plain NumPy, as a floor."""

from __future__ import annotations

from functools import partial
from typing import Any

from fusedrnn.bench.implementations import Candidate
from fusedrnn.bench.problem import Array, Problem, reference_layer

DISTRIBUTIONS = ("numpy",)


def start(threads: int) -> None:
    """OpenBLAS takes its threads from the environment, which the worker sets before NumPy is imported."""


def prepare(problem: Problem, threads: int) -> dict[str, Candidate]:
    layer = reference_layer(problem, problem.dtype)
    x, dy, lengths = problem.x, problem.dy, problem.lengths

    if problem.mode == "forward":
        return {"reference": Candidate(partial(layer, x, None, lengths), lambda out: problem.name_outputs(*out))}

    if problem.mode == "step":
        state: Any = None

        def step() -> Array:
            nonlocal state
            y, state = layer(x, state)
            return y  # type: ignore[no-any-return]

        return {"reference": Candidate(step, lambda y: {"y": y[0]})}

    def train() -> tuple[Array, Any]:
        y, _, tape = layer.record(x, None, lengths)
        return y, tape.backward(dy)

    return {"reference": Candidate(train, lambda out: problem.name_gradients(out[0], out[1].x, out[1].params))}
