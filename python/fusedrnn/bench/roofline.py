"""The time no program can beat on this machine: the larger of arithmetic and weight traffic.

With G gates, D directions and N = sum of the rows' lengths (B·T unless ragged), multiply and add counted apart:

    forward             2·G·H·(I + H)·N·D operations
    forward + backward  three times that: dx and dh_{t-1} are together one such product, dW_ih and dW_hh another

All N recurrent products count, in both directions of time: the first step's operand is the initial state, whose
gradient is part of the result. Activations and pointwise work do not count.

The recurrence needs every element of W_hh once a step however few the rows, and W_ih once a pass:

    forward             s·G·H·(T·H + I)·D bytes, s bytes an element
    forward + backward  twice that (the backward pass reads both again)

at the read bandwidth of the cache the weights of one direction fit in: a footprint of s·G·H·H bytes, or
s·G·H·(H + I) where each is read once (one step). Both ceilings, FMA peak and bandwidth, are measured by compiled code
with the same instruction set, threads and affinity, in the same rounds as the times (`fusedrnn._core.ceilings`).

    bound   max(operations / peak, bytes / bandwidth)
    phased  the same for the input's and the recurrence's products one after the other, summed

`bound` assumes that arithmetic and traffic overlap perfectly. `phased` is the bound of a program that projects the
input first, as long as it does not do the one while it waits for the other; it is never smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusedrnn import _core
from fusedrnn.bench.problem import Problem

__all__ = ["Bound", "Work", "bound", "work"]


@dataclass(frozen=True)
class Work:
    """What one call must do, input's and recurrence's products apart. Operations and bytes of weights."""

    input_operations: int
    recurrent_operations: int
    input_bytes: int
    recurrent_bytes: int
    footprint: int
    """Bytes over which the read bandwidth is to be measured."""

    @property
    def operations(self) -> int:
        return self.input_operations + self.recurrent_operations

    @property
    def bytes(self) -> int:
        return self.input_bytes + self.recurrent_bytes


@dataclass(frozen=True)
class Bound:
    """Least seconds of one call, and what sets it: "arithmetic" or "traffic"."""

    seconds: float
    phased_seconds: float
    limit: str


def work(problem: Problem) -> Work:
    """The operations and the weight traffic of one call."""
    shape, gates = problem.shape, _core.gates[problem.cell]
    streaming = problem.mode == "step"
    steps, rows = (1, shape.batch) if streaming else (shape.steps, shape.useful_steps)
    units, inputs, directions = shape.hidden, shape.inputs, shape.directions
    products, reads = (3, 2) if problem.mode == "train" else (1, 1)
    element = np.dtype(problem.dtype).itemsize
    recurrent_weights, input_weights = element * gates * units * units, element * gates * units * inputs
    return Work(
        input_operations=2 * gates * units * inputs * rows * directions * products,
        recurrent_operations=2 * gates * units * units * rows * directions * products,
        input_bytes=input_weights * directions * reads,
        recurrent_bytes=recurrent_weights * steps * directions * reads,
        footprint=recurrent_weights + (input_weights if steps == 1 else 0),
    )


def bound(work: Work, gflops: float, gbytes_per_s: float) -> Bound:
    """The bound from measured ceilings: 1e9 operations and 1e9 bytes a second."""

    def seconds(operations: int, moved: int) -> tuple[float, float]:
        return operations / (gflops * 1e9), moved / (gbytes_per_s * 1e9)

    arithmetic, traffic = seconds(work.operations, work.bytes)
    phased = max(seconds(work.input_operations, work.input_bytes))
    phased += max(seconds(work.recurrent_operations, work.recurrent_bytes))
    return Bound(max(arithmetic, traffic), phased, "arithmetic" if arithmetic >= traffic else "traffic")
