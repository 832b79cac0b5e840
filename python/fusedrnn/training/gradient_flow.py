"""What backpropagation through time does to a gradient, step by step: norms, every step's term, saturation of gates."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusedrnn import _checks, reference
from fusedrnn._checks import Array
from fusedrnn._options import changed
from fusedrnn.layers import GRU, LSTM, RNN
from fusedrnn.nn.linear import Linear
from fusedrnn.reference.cells import Carry, Cell, SavedLSTM, StepGradient, Weights
from fusedrnn.reference.parameters import suffix_of

__all__ = ["GradientFlow", "gradient_flow"]

GATES: dict[str, tuple[str, ...]] = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n"), "rnn": ("h",)}
"""What a cell computes in each block of rows of its weights, in their order."""


@dataclass(frozen=True)
class GradientFlow:
    """What `gradient_flow` found. L layers, D directions, T steps in time, all in float64.

    Attributes:
        h: (L, D, T): ‖∂L/∂h_t‖ over all rows and units, with everything that flows back into h_t.
        c: (L, D, T): the same of c_t, where it leaves a step; None where the cell has no c.
        params: of every parameter by name (T,): the norm of step t's term, of which ∂L/∂W is the sum over all steps.
        saturation: of every gate, named "l0.f" ("l0_reverse.f"), which part of its values lies at its ends: a pair
            (low, high), below 0.1 and above 0.9 of its range (Karpathy et al. 2015).
        spectral_radius: of every gate's block of weight_hh: the largest magnitude of its eigenvalues. With a
            projection, of that block times weight_hr.
    """

    h: NDArray[np.float64]
    c: NDArray[np.float64] | None
    params: dict[str, NDArray[np.float64]]
    saturation: dict[str, tuple[float, float]]
    spectral_radius: dict[str, float]
    _terms: dict[str, Any] = field(repr=False, default_factory=dict)

    def terms(self, name: str) -> NDArray[np.float64]:
        """(T, *shape): the term of every step in the gradient of a parameter; their sum is the gradient.

        Raises:
            KeyError: no parameter of that name.
        """
        found: NDArray[np.float64] = self._terms[name]()
        return found

    def __repr__(self) -> str:
        layers, directions, steps = self.h.shape
        return f"GradientFlow(layers={layers}, directions={directions}, steps={steps})"


def gradient_flow(
    layer: RNN | LSTM | GRU,
    x: Array,
    dy: Array | None = None,
    dstate: Any = None,
    state: Any = None,
    *,
    lengths: ArrayLike | None = None,
    reset: NDArray[np.bool_] | None = None,
    truncate: int | None = None,
    output: Linear | None = None,
) -> GradientFlow:
    """Follow a gradient back through time.

    It runs `fusedrnn.reference`, the equations in NumPy, in float64, with the layer's parameters and without dropout:
    for looking at some hundred steps, not for training.

        y, state = lstm(x)
        dy = np.zeros_like(y); dy[-1] = 1                  # a loss that sees the last step only
        flow = fr.gradient_flow(lstm, x, dy)
        flow.h[0, 0]                                       # how much of it arrives at every step

    Args:
        layer: an RNN, LSTM or GRU.
        x, state, lengths, reset: as of a call of the layer.
        dy, dstate, truncate: as of a tape's `backward`.
        output: a Linear over y. Then dy is the gradient of that one's output, and `params` has the terms of
            "output.weight" and "output.bias" too.

    Raises:
        ValueError, TypeError: an argument that the layer or its tape would refuse, or a layer with options of cells.
    """
    if not isinstance(layer, (RNN, LSTM, GRU)):
        raise TypeError(f"layer: expected an RNN, LSTM or GRU, got {_checks.describe(layer)}")
    y, _, tape = _reference_of(layer).record(_as_float64(x), _as_float64(state), lengths, reset)
    terms: dict[str, Any] = {}
    if output is not None:
        dy = _through_output(output, y, dy, layer.batch_first and np.ndim(x) == 3, terms)
    watched = [[replace(one, cell=_Watching(one.cell)) for one in directions] for directions in tape.directions]
    gradients = replace(tape, directions=watched).backward(_as_float64(dy), _as_float64(dstate), truncate)
    flow = _Collected(layer, watched, terms)
    params = {name: _norms(flow.terms[name]()) for name in [*gradients.params, *(set(terms) - set(gradients.params))]}
    return GradientFlow(flow.h, flow.c, params, flow.saturation, _spectral_radii(layer), flow.terms)


class _Watching(Cell[Any]):
    """A cell that remembers, of every step backward, the gradient that came and what it gave."""

    def __init__(self, cell: Cell[Any]) -> None:
        self._cell = cell
        self.widths = cell.widths
        self.seen: list[tuple[Carry, StepGradient]] = []

    def forward(self, w: Weights, pre_x: Array, carry: Carry) -> tuple[Carry, Any]:
        return self._cell.forward(w, pre_x, carry)

    def backward(self, w: Weights, saved: Any, dcarry: Carry) -> StepGradient:
        step = self._cell.backward(w, saved, dcarry)
        self.seen.append((dcarry, step))
        return step


class _Collected:
    """The norms and terms of all directions of all layers, by time."""

    def __init__(self, layer: RNN | LSTM | GRU, directions: list[list[Any]], terms: dict[str, Any]) -> None:
        shape = len(directions), len(directions[0]), directions[0][0].plan.steps
        self.h = np.zeros(shape)
        self.c = np.zeros(shape) if isinstance(layer, LSTM) else None
        self.terms: dict[str, Any] = {}
        self.saturation: dict[str, tuple[float, float]] = {}
        for depth, tapes in enumerate(directions):
            for direction, tape in enumerate(tapes):
                times = list(reversed(tape.plan.order(tape.reverse)))
                for t, (dcarry, _) in zip(times, tape.cell.seen, strict=True):
                    self.h[depth, direction, t] = np.linalg.norm(dcarry[0])
                    if self.c is not None:
                        self.c[depth, direction, t] = np.linalg.norm(_whole_dc(layer, tape, t, dcarry))
                suffix = suffix_of(depth, direction)
                self._add_terms(layer, tape, times, suffix)
                self._add_saturation(layer, tape, suffix)
        self.terms.update(terms)

    def _add_terms(self, layer: Any, tape: Any, times: list[int], suffix: str) -> None:
        steps = dict(zip(times, (step for _, step in tape.cell.seen), strict=True))

        def term(weight: str, bias: bool) -> NDArray[np.float64]:
            shape = tape.weights["bias" + weight[6:] if bias else weight].shape
            found = np.zeros((tape.plan.steps, *shape))
            for t, step in steps.items():
                if weight == "weight_ih":
                    found[t] = step.pre_x.sum(0) if bias else step.pre_x.T @ tape.x[t]
                    continue
                for product in step.products:
                    if product.weight == weight:
                        delta = product.delta
                        found[t][product.rows] = delta.sum(0) if bias else delta.T @ product.operand
            return found

        for stem in ("weight_ih", "weight_hh", "weight_hr"):
            for name, bias in ((stem, False), (stem.replace("weight", "bias"), True)):
                if name + suffix in layer.params:
                    self.terms[name + suffix] = lambda stem=stem, bias=bias: term(stem, bias)

    def _add_saturation(self, layer: Any, tape: Any, suffix: str) -> None:
        active = tape.plan.active
        for gate in GATES[layer._cell]:
            values = np.stack([getattr(saved, gate) for saved in tape.saved]) if tape.saved else np.zeros((0, 0, 0))
            if active is not None:
                values = values[active[:, :, 0]]
            bounded = values if _is_sigmoid(layer, gate) else (values + 1) / 2
            if values.size == 0 or (layer._cell == "rnn" and layer.nonlinearity not in ("tanh", "sigmoid")):
                continue
            low, high = float((bounded < 0.1).mean()), float((bounded > 0.9).mean())
            self.saturation[f"{suffix.removeprefix('_')}.{gate}"] = low, high


def _is_sigmoid(layer: Any, gate: str) -> bool:
    return layer.nonlinearity == "sigmoid" if layer._cell == "rnn" else gate not in ("g", "n")


def _whole_dc(layer: Any, tape: Any, t: int, dcarry: Carry) -> Array:
    """∂L/∂c_t with what comes through h_t: equations (L7) and (L8)."""
    saved: SavedLSTM = tape.saved[t]
    dm = dcarry[0] @ tape.weights["weight_hr"] if layer.proj_size else dcarry[0]
    whole: Array = dcarry[1] + dm * saved.o * (1 - saved.tanh_c**2)
    return whole


def _time_first(array: Array, batch_first: bool) -> Array:
    """A sequence as (T, B, width), whatever its layout."""
    if array.ndim == 2:
        return array[:, np.newaxis]
    return np.moveaxis(array, 1, 0) if batch_first else array


def _spectral_radii(layer: RNN | LSTM | GRU) -> dict[str, float]:
    radii = {}
    gates = GATES[layer._cell]
    for name, weight in layer.params.items():
        if not name.startswith("weight_hh"):
            continue
        suffix = name.removeprefix("weight_hh_")
        for gate, block in zip(gates, np.split(weight.astype(np.float64), len(gates)), strict=True):
            if layer.proj_size:
                block = block @ layer.params[f"weight_hr_{suffix}"].astype(np.float64)
            radii[f"{suffix}.{gate}"] = float(np.abs(np.linalg.eigvals(block)).max())
    return radii


def _through_output(output: Linear, y: Array, dy: Array | None, batch_first: bool, terms: dict[str, Any]) -> Array:
    """The gradient of y, given that of output(y)."""
    if not isinstance(output, Linear):
        raise TypeError(f"output: expected a Linear, got {_checks.describe(output)}")
    shape = (*y.shape[:-1], output.out_features)
    wanted = np.zeros(shape) if dy is None else _as_float64(dy)
    if wanted.shape != shape:
        raise ValueError(f"dy: expected shape {shape}, got {wanted.shape}")
    rows, deltas = (_time_first(array, batch_first) for array in (y, wanted))
    terms["output.weight"] = lambda: np.einsum("tbo,tbi->toi", deltas, rows)
    if output.bias:
        terms["output.bias"] = lambda: deltas.sum(1)
    result: Array = wanted @ output.params["weight"].astype(np.float64)
    return result


def _reference_of(layer: Any) -> Any:
    """The same layer in NumPy."""
    own = changed(layer._cell, layer._options())
    refused = [name for name in own if name != "nonlinearity" or own[name] not in reference.ACTIVATIONS]
    if refused:
        raise ValueError(f"layer: expected a plain one, got {layer!r}; its {', '.join(refused)} cannot be followed")
    options = {
        "num_layers": layer.num_layers,
        "bias": layer.bias,
        "batch_first": layer.batch_first,
        "bidirectional": layer.bidirectional,
        "dtype": np.float64,
    }
    if isinstance(layer, LSTM):
        options["proj_size"] = layer.proj_size
    if isinstance(layer, RNN):
        options["nonlinearity"] = layer.nonlinearity
    same = {"rnn": reference.RNN, "lstm": reference.LSTM, "gru": reference.GRU}[layer._cell](
        layer.input_size, layer.hidden_size, **options
    )
    same.load_params({name: array.astype(np.float64) for name, array in layer.params.items()})
    return same


def _as_float64(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, tuple):
        return tuple(_as_float64(one) for one in value)
    return np.asarray(value, np.float64)


def _norms(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.sqrt((terms.reshape(len(terms), -1) ** 2).sum(1))
    return norms
