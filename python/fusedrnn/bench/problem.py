"""One piece of work: its data, what the result must be, and whether a result is that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusedrnn import _core, reference
from fusedrnn.bench.shapes import Shape

__all__ = ["CELLS", "DTYPES", "MODES", "Array", "Problem", "discrepancy", "layer_class", "reference_layer", "tolerance"]

Array = NDArray[Any]

CELLS = tuple(sorted(_core.gates, key=_core.gates.__getitem__, reverse=True))
"""Every cell that the core has, the one with the most gates first."""
DTYPES = ("float32", "float64")

MODES = {
    "forward": "forward, whole sequences",
    "train": "forward and backward",
    "step": "one streaming step",
}
"""Modes by name, and their headings."""

CHECKED_STEPS = 4
"""Calls that a streaming implementation is followed through before it is timed."""


@dataclass(frozen=True)
class Problem:
    """One shape, cell, mode and dtype; its data are the same in every process.

    ``forward`` asks for y and the final state, ``train`` for y and the gradients of x and of every parameter when y's
    gradient is `dy`, ``step`` for y of one step, the state kept from call to call (T of the shape plays no part).
    """

    cell: str
    shape: Shape
    mode: str
    dtype: str

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What ends the names of each direction's parameters."""
        return ("", "_reverse")[: self.shape.directions]

    @cached_property
    def params(self) -> dict[str, Array]:
        """Every parameter by torch.nn's name, uniform in ±1/sqrt(H)."""
        rng = np.random.default_rng(1)
        rows, hidden, inputs = _core.gates[self.cell] * self.shape.hidden, self.shape.hidden, self.shape.inputs
        bound = hidden**-0.5
        shapes = {"weight_ih_l0": (rows, inputs), "weight_hh_l0": (rows, hidden), "bias_ih_l0": (rows,)}
        shapes["bias_hh_l0"] = (rows,)
        return {
            name + suffix: rng.uniform(-bound, bound, shape).astype(self.dtype)
            for suffix in self.suffixes
            for name, shape in shapes.items()
        }

    @cached_property
    def x(self) -> Array:
        """(T, B, I); (1, B, I) for a step."""
        steps = 1 if self.mode == "step" else self.shape.steps
        values = np.random.default_rng(2).standard_normal((steps, self.shape.batch, self.shape.inputs))
        return values.astype(self.dtype)

    @cached_property
    def dy(self) -> Array:
        """Gradient of the output, (T, B, D*H)."""
        shape = (*self.x.shape[:2], self.shape.directions * self.shape.hidden)
        return np.random.default_rng(3).standard_normal(shape).astype(self.dtype)

    @property
    def lengths(self) -> NDArray[np.int64] | None:
        """Lengths of the rows, or None."""
        return None if self.mode == "step" else self.shape.lengths

    def name_outputs(self, y: Array, state: Any) -> dict[str, Array]:
        """The results of a forward pass by the names `expected` uses."""
        final = state if isinstance(state, (tuple, list)) else (state,)
        return {"y": y, **dict(zip(("h_n", "c_n"), final, strict=False))}

    def name_gradients(self, y: Array, dx: Array, gradients: Mapping[str, Array]) -> dict[str, Array]:
        """The results of a training step by the names `expected` uses."""
        return {"y": y, "gradient of x": dx, **{f"gradient of {name}": value for name, value in gradients.items()}}

    def expected(self) -> dict[str, Array]:
        """What the result must be: the reference in float64, on the values rounded to this dtype.

        For ``step``, "y" has a leading axis: the first `CHECKED_STEPS` calls after a zero state.
        """
        layer = reference_layer(self, "float64")
        if self.mode == "forward":
            return self.name_outputs(*layer(self.x, None, self.lengths))
        if self.mode == "step":
            y, _ = layer(np.repeat(self.x, CHECKED_STEPS, axis=0))
            return {"y": y}
        y, _, tape = layer.record(self.x, None, self.lengths)
        gradients = tape.backward(self.dy)
        return self.name_gradients(y, gradients.x, gradients.params)


def layer_class(module: Any, cell: str) -> Any:
    """The class of a cell's layer in `fusedrnn` or its reference, which name it alike."""
    return getattr(module, cell.upper())


def reference_layer(problem: Problem, dtype: str) -> Any:
    """The NumPy reference's layer with the problem's parameters."""
    shape = problem.shape
    maker = layer_class(reference, problem.cell)
    layer = maker(shape.inputs, shape.hidden, bidirectional=shape.directions == 2, dtype=dtype)
    layer.load_params(problem.params)
    return layer


def tolerance(problem: Problem) -> float:
    """The largest error, relative to the largest value of an array, that rounding can explain.

    A chain of n rounded additions errs by about sqrt(n) units in the last place. The longest here are a dot product
    over inputs and units, and the sum of a weight's gradient over all rows and steps. 32 leaves room for the
    recurrence, which adds errors up, and for approximated activations; an exchanged gate errs by 0.1.
    """
    terms = problem.shape.inputs + problem.shape.hidden + problem.shape.useful_steps
    return float(32 * np.finfo(problem.dtype).eps * terms**0.5)


def discrepancy(got: Mapping[str, Array], expected: Mapping[str, Array]) -> tuple[float, str]:
    """The largest error relative to its array's largest value, and the array's name.

    Infinite, with the reason, if an array is missing, has the wrong shape or holds a NaN.
    """
    if set(got) != set(expected):
        return float("inf"), f"{', '.join(expected)} (got {', '.join(got)})"
    worst, where = 0.0, "y"
    for name, target in expected.items():
        value = np.asarray(got[name])
        if value.shape != target.shape:
            return float("inf"), f"{name}: expected shape {target.shape}, got {value.shape}"
        if not np.isfinite(value).all():
            return float("inf"), f"{name}: not finite"
        scale = float(np.abs(target).max(initial=0.0)) or 1.0
        error = float(np.abs(value - target).max(initial=0.0)) / scale
        if error > worst:
            worst, where = error, name
    return worst, where
