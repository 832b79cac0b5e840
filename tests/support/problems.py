"""A network, its input and the gradients that enter it, described by one value and built the same for every oracle.

All numbers are drawn in float32 and widened, so the float32 and the float64 problem are the same problem and one
float64 reference serves both.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import CELLS, LAYERS, options_of

STACKS: tuple[dict[str, Any], ...] = ({}, {"layers": 2, "bidirectional": True})

every_stack = pytest.mark.parametrize("stack", STACKS, ids=["one layer", "two layers, bidirectional"])

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Problem:
    """One call of one network, and what flows back."""

    kind: str = "lstm"
    steps: int = 5
    batch: int = 3
    inputs: int = 4
    hidden: int = 6
    layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    layout: str = "time first"  # or "batch first", "unbatched"
    # Or "ragged": any order, zeros among them, NaN in the padding; "one long": the others at most T/16; "full": all T.
    lengths: str = "none"
    reset: bool = False
    dropout: bool = False
    cells: bool = False
    state: bool = True
    truncate: int | None = None
    gradient: str = "both"  # or "y", "state", "one part" of an LSTM's state
    seed: int = field(default=0, repr=False)

    def __str__(self) -> str:
        """The options that differ from their defaults."""
        shown = [self.kind, f"{self.steps}x{self.batch}x{self.inputs}x{self.hidden}"]
        for option in fields(self)[5:-1]:
            value = getattr(self, option.name)
            if value != option.default:
                shown.append(option.name if value is True else f"{option.name}={value}")
        return " ".join(shown)

    @property
    def valid(self) -> bool:
        """Whether a layer takes this combination of options."""
        if self.layout == "unbatched" and (self.lengths != "none" or self.batch != 1):
            return False
        if self.dropout and self.layers == 1:
            return False
        if self.kind == "lstm proj" and self.hidden == 1:
            return False
        return self.has_cell or not (self.cells or self.gradient == "one part")

    @property
    def cell(self) -> str:
        return self.kind.split()[0]

    @property
    def has_cell(self) -> bool:
        return self.cell == "lstm"

    @property
    def proj_size(self) -> int:
        return int(options_of(self.kind, self.hidden).get("proj_size", 0))

    @property
    def output(self) -> int:
        return self.proj_size or self.hidden

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def terms(self) -> int:
        """How many terms the longest product forward has: one gate's pre-activation."""
        inputs = max(self.inputs, self.output * self.directions) if self.layers > 1 else self.inputs
        return inputs + self.output

    @property
    def terms_backward(self) -> int:
        """How many terms the longest product backward has: all gates' gradients into one input or hidden unit."""
        return fr._core.gates[self.cell] * self.hidden

    # The two oracles' layers

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "num_layers": self.layers,
            "bias": self.bias,
            "batch_first": self.layout == "batch first",
            "bidirectional": self.bidirectional,
            "dropout": 0.5 if self.dropout else 0.0,
        }
        return options | options_of(self.kind, self.hidden)

    def fused(self, dtype: Any = np.float32) -> Any:
        layer = LAYERS[self.cell](self.inputs, self.hidden, dtype=dtype, rng=self.seed, **self.options())
        layer.load_params(self.params())
        return layer

    def reference(self, dtype: Any = np.float64) -> Any:
        layer = CELLS[self.cell].reference(self.inputs, self.hidden, dtype=dtype, **self.options())
        layer.load_params(self.params())
        return layer

    def params(self) -> Arrays:
        return _params(replace(self, steps=0, batch=0, layout="time first", lengths="none", reset=False, dropout=False))

    # Its data

    def draw(self, what: str, *shape: int) -> np.ndarray:
        """Standard normal numbers that depend on their name only."""
        generator = np.random.default_rng([self.seed, *what.encode()])
        return generator.standard_normal(shape, dtype=np.float32)

    def _sequence(self, time_major: np.ndarray) -> np.ndarray:
        """In the problem's layout; contiguous."""
        if self.layout == "unbatched":
            return np.ascontiguousarray(time_major[:, 0])
        return np.ascontiguousarray(time_major.swapaxes(0, 1)) if self.layout == "batch first" else time_major

    def time_major(self, sequence: np.ndarray) -> np.ndarray:
        """Back from the layout to (T, B, width)."""
        if self.layout == "unbatched":
            return sequence[:, None]
        return sequence.swapaxes(0, 1) if self.layout == "batch first" else sequence

    def row_lengths(self) -> np.ndarray:
        """(B,) integers from 0 to T, in no order; a row of every length 0, 1 and T where there are rows enough."""
        if self.lengths not in ("ragged", "one long"):
            return np.full(self.batch, self.steps, np.int64)
        generator = np.random.default_rng([self.seed, self.steps, self.batch])
        longest = self.steps if self.lengths == "ragged" else self.steps // 16
        lengths = generator.integers(0, longest + 1, self.batch)
        given = [self.steps, 0, min(1, self.steps)][: self.batch]
        lengths[generator.permutation(self.batch)[: len(given)]] = given
        return lengths

    def padding(self) -> np.ndarray:
        """(T, B): true past a row's end."""
        return np.arange(self.steps)[:, None] >= self.row_lengths()

    def x(self, dtype: Any) -> np.ndarray:
        x = self.draw("x", self.steps, self.batch, self.inputs)
        x[self.padding()] = np.nan
        return self._sequence(x).astype(dtype)

    def arguments(self, dtype: Any) -> dict[str, Any]:
        """state, lengths and reset, as keyword arguments."""
        arguments: dict[str, Any] = {"state": self._state_like("state", dtype) if self.state else None}
        if self.lengths != "none":
            arguments["lengths"] = self.row_lengths()
        if self.reset:
            chance = np.abs(self.draw("reset", self.steps, self.batch)) > 1.2  # about a quarter
            arguments["reset"] = self._sequence(chance)
        return arguments

    def _state_like(self, what: str, dtype: Any) -> Any:
        layers = self.layers * self.directions
        h = self.draw(what + " h", layers, self.batch, self.output).astype(dtype)
        c = self.draw(what + " c", layers, self.batch, self.hidden).astype(dtype)
        if self.layout == "unbatched":
            h, c = h[:, 0], c[:, 0]
        return (h, c) if self.has_cell else h

    def gradients(self, dtype: Any) -> tuple[np.ndarray | None, Any]:
        """dy and dstate. What dy holds in the padding must not matter: NaN."""
        dy = self.draw("dy", self.steps, self.batch, self.output * self.directions)
        dy[self.padding()] = np.nan
        dstate = self._state_like("dstate", dtype)
        if self.gradient == "one part":
            dstate = (dstate[0], None) if self.seed % 2 else (None, dstate[1])
        return (
            None if self.gradient == "state" else self._sequence(dy).astype(dtype),
            None if self.gradient == "y" else dstate,
        )

    def masks(self, layer: Any) -> list[np.ndarray] | None:
        """The dropout masks that the layer's next `record` will draw, from a copy of its generator."""
        if not self.dropout:
            return None
        masks = copy.deepcopy(layer)._draw_dropout_masks((self.steps, self.batch))
        return [mask[:, 0] for mask in masks] if self.layout == "unbatched" else masks


@cache
def _params(problem: Problem) -> Arrays:
    """Uniform within 1.5 / sqrt(columns) of zero, 1.5 times torch.nn's initial values: gates leave their linear middle,
    and neither a pre-activation nor a sequence's state is so large that the problem itself magnifies rounding."""
    layer = LAYERS[problem.cell](problem.inputs, problem.hidden, rng=0, **problem.options())
    generator = np.random.default_rng(problem.seed + 1)

    def drawn(array: np.ndarray) -> np.ndarray:
        columns = array.shape[1] if array.ndim == 2 else 9
        bound = min(1.0, 1.5 / np.sqrt(columns))
        return generator.uniform(-bound, bound, array.shape).astype(np.float32)

    return {name: drawn(array) for name, array in layer.params.items()}


def parts(state: Any) -> tuple[np.ndarray, ...]:
    """A state as its arrays: (h,) or (h, c)."""
    return tuple(state) if isinstance(state, (tuple, list)) else (state,)


def state_like(state: Any, arrays: Iterable[np.ndarray]) -> Any:
    """Arrays in the form of a state."""
    return tuple(arrays) if isinstance(state, tuple) else next(iter(arrays))


def rows_of(state: Any, which: Any) -> Any:
    """Some rows of a state (L*D, B, width)."""
    return None if state is None else state_like(state, [np.ascontiguousarray(part[:, which]) for part in parts(state)])


def named_outputs(result: Sequence[Any], cells: bool) -> Arrays:
    """The arrays of a call by name."""
    named = {"y": result[0], **dict(zip(("h_n", "c_n"), parts(result[1]), strict=False))}
    return {**named, "cells": result[2]} if cells else named


def named_gradients(gradients: Any) -> Arrays:
    """The arrays of a backward pass by name, each beginning with "d "."""
    states = dict(zip(("d h0", "d c0"), parts(gradients.state), strict=False))
    return {"d x": gradients.x, **states, **{f"d {name}": array for name, array in gradients.params.items()}}


def forward(problem: Problem, layer: Any, dtype: Any) -> Arrays:
    """Outputs of a call without tape, of a fused or a reference layer."""
    options = {"return_cell": True} if problem.cells else {}
    result = layer(problem.x(dtype), **problem.arguments(dtype), **options)
    return named_outputs(result, problem.cells)


def record(problem: Problem, layer: Any, dtype: Any, **more: Any) -> tuple[Arrays, Arrays]:
    """Outputs and gradients of a recorded call, of a fused or a reference layer."""
    options = {"return_cell": True} if problem.cells else {}
    *result, tape = layer.record(problem.x(dtype), **problem.arguments(dtype), **options, **more)
    dy, dstate = problem.gradients(dtype)
    return named_outputs(result, problem.cells), named_gradients(tape.backward(dy, dstate, problem.truncate))


def record_reference(problem: Problem, dtype: Any) -> tuple[Arrays, Arrays]:
    masks = problem.masks(problem.fused(dtype))
    return record(problem, problem.reference(dtype), dtype, dropout_masks=masks)


# Comparing bits


def bits(array: np.ndarray) -> np.ndarray:
    """The bit patterns: tells -0 from +0, and a NaN equals itself."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def check_same_bits(what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape, what
    assert ours.dtype == theirs.dtype, what
    different = bits(ours) != bits(theirs)
    if different.any():
        where = tuple(int(i) for i in np.argwhere(different)[0])
        message = f"{what}: {different.sum()} of {different.size} differ, first at {where}: "
        raise AssertionError(message + f"{ours[where]!r} and {theirs[where]!r}")


def check_all_same_bits(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], where: str = "") -> None:
    assert list(ours) == list(theirs)
    assert ours
    for name in ours:
        check_same_bits(f"{name} {where}", ours[name], theirs[name])


# Choosing among combinations


def covering(options: Mapping[str, Sequence[Any]], strength: int = 2, seed: int = 0) -> list[Problem]:
    """Problems such that every valid combination of values of any `strength` options is in at least one of them.

    Greedy: of some random problems that hold a combination still missing, the one that holds most of those.
    """
    generator = np.random.default_rng(seed)
    groups = list(itertools.combinations(options, strength))
    missing = dict.fromkeys(
        (group, values) for group in groups for values in itertools.product(*(range(len(options[n])) for n in group))
    )
    chosen: list[Problem] = []

    def holding(fixed: dict[str, int]) -> tuple[Problem, dict[str, int]] | None:
        for _ in range(100):
            index = {name: int(generator.integers(len(values))) for name, values in options.items()} | fixed
            problem = Problem(**{name: options[name][i] for name, i in index.items()}, seed=len(chosen))
            if problem.valid:
                return problem, index
        return None

    def gained(index: dict[str, int]) -> list[Any]:
        return [key for group in groups if (key := (group, tuple(index[n] for n in group))) in missing]

    while missing:
        group, values = next(iter(missing))
        candidates = [found for _ in range(12) if (found := holding(dict(zip(group, values, strict=True))))]
        if not candidates:  # no valid problem holds it
            del missing[group, values]
            continue
        best, covers = max(((problem, gained(index)) for problem, index in candidates), key=lambda pair: len(pair[1]))
        for key in covers:
            del missing[key]
        chosen.append(best)
    return chosen


@contextmanager
def teams(mode: str) -> Iterator[None]:
    """Inside, teams of threads that are "fixed" (as large as asked for), "random" or, as always else, "adaptive"."""
    fr._core.set_team_mode(mode)
    try:
        yield
    finally:
        fr._core.set_team_mode("adaptive")


@contextmanager
def use_isa(name: str) -> Iterator[None]:
    """`name` in use, proved, inside the block."""
    before = fr.isa()
    fr.use_isa(name)
    try:
        assert fr.isa() == name
        yield
    finally:
        fr.use_isa(before)
