"""fusedrnn itself, through its public API."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import fusedrnn
from fusedrnn.bench.implementations import Candidate
from fusedrnn.bench.problem import Array, Problem, layer_class

DISTRIBUTIONS = ("fusedrnn", "numpy")


def start(threads: int) -> None:
    """The caller chooses the instruction set with FUSEDRNN_ISA."""
    fusedrnn.set_num_threads(threads)


def prepare(problem: Problem, threads: int) -> dict[str, Candidate]:
    shape, x, dy = problem.shape, problem.x, problem.dy
    maker = layer_class(fusedrnn, problem.cell)
    layer = maker(shape.inputs, shape.hidden, bidirectional=shape.directions == 2, dtype=problem.dtype)
    layer.load_params(problem.params)
    options = {} if problem.lengths is None else {"lengths": problem.lengths}

    if problem.mode == "step":
        y = np.empty((shape.batch, shape.hidden), problem.dtype)
        step, x_t = layer.stream(batch_size=shape.batch).step, x[0]
        # Not a partial, which takes 90 ns to merge its keyword: a fifth of a small step.
        return {"stream.step": Candidate(lambda: step(x_t, out=y), lambda out: {"y": out})}

    if problem.mode == "forward":
        return {"layer": Candidate(partial(layer, x, **options), lambda out: problem.name_outputs(*out))}

    def train() -> tuple[Array, Any]:
        y, _, tape = layer.record(x, **options)
        return y, tape.backward(dy)

    return {"record": Candidate(train, lambda out: problem.name_gradients(out[0], out[1].x, out[1].params))}
