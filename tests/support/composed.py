"""A call of a layer with options, put together from the reference's single directions.

One direction of one layer after the other, by `reference.staged.StagedLayer`; a dilated one chain after chain and row
after row. Nothing is shared with the package's own way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fusedrnn._options import ENGINE, choices_of
from fusedrnn.reference.activations import sigmoid
from fusedrnn.reference.staged import StagedLayer


def composed(layer: Any, x: np.ndarray, state: Any = None, lengths: Any = None, reset: Any = None) -> dict[str, Any]:
    """y, state and every layer's y of a call, x time first; an LSTM's cells too."""
    directions = 2 if layer.bidirectional else 1
    states = [] if state is None else list(state) if isinstance(state, tuple) else [state]
    finals: list[tuple[np.ndarray, ...]] = []
    below, layers, cells = x, [], []
    for index in range(layer.num_layers):
        sides = []
        cells = []
        for direction in range(directions):
            own = [part[index * directions + direction] for part in states] or None
            y, final, c = _direction(layer, index, direction, below, own, lengths, reset)
            sides.append(y)
            cells.append(c)
            finals.append(final)
        y = _merged(layer.merge, sides)
        if index and layer.connection == "residual":
            y = below + y
        elif index and layer.connection == "highway":
            weight, bias = layer.params[f"weight_highway_l{index}"], layer.params[f"bias_highway_l{index}"]
            gate = sigmoid(below @ weight.T + bias)
            y = gate * y + (1 - gate) * below
        layers.append(y)
        below = y
    found = [np.stack(parts) for parts in zip(*finals, strict=True)]
    result = {"y": below, "state": tuple(found) if len(found) == 2 else found[0], "layers": layers}
    return result | ({"cells": np.concatenate(cells, axis=-1)} if len(found) == 2 else {})


def single(layer: Any, index: int, direction: int) -> tuple[StagedLayer, dict[str, np.ndarray]]:
    """The reference of one direction of one layer, and its parameters."""
    options = layer._options()
    width = layer.input_size if index == 0 else layer._features
    cell = StagedLayer(
        layer._cell,
        width,
        layer.hidden_size,
        bias=layer.bias,
        proj_size=layer.proj_size,
        dtype=layer.dtype.name,
        activations=choices_of(layer._cell, options, direction),
        **{name: options[name] for name in ENGINE if options.get(name) is not None},
    )
    end = f"_l{index}" + ("_reverse" if direction else "")
    return cell, {name.removesuffix(end): array for name, array in layer.params.items() if name.endswith(end)}


def _merged(how: str, sides: list[np.ndarray]) -> np.ndarray:
    if len(sides) == 1:
        return sides[0]
    forward, reverse = sides
    return {
        "concat": np.concatenate(sides, axis=-1),
        "sum": forward + reverse,
        "mul": forward * reverse,
        "ave": (forward + reverse) / 2,
    }[how]


def _direction(
    layer: Any, index: int, direction: int, x: np.ndarray, state: Any, lengths: Any, reset: Any
) -> tuple[np.ndarray, tuple[np.ndarray, ...], Any]:
    cell, params = single(layer, index, direction)
    initial = {name: params.pop(name) for name in ("initial_h", "initial_c") if name in params}
    zoneout = layer.zoneout if isinstance(layer.zoneout, tuple) else (layer.zoneout, layer.zoneout)
    options: dict[str, Any] = {
        "zoneout_h": zoneout[0],
        "zoneout_c": zoneout[1],
        "reverse": bool(direction or layer.reverse),
        **initial,
    }
    d = layer.dilation[index] if isinstance(layer.dilation, tuple) else layer.dilation
    if d > 1:
        return _by_chains(cell, params, d, x, lengths, reset, options)
    rows = x.shape[1]
    begin = state or [np.tile(part, (rows, 1)) for part in initial.values()]
    y, h, c, cells, _ = cell.forward(params, x, *begin, lengths=lengths, reset=reset, **options)
    return y, (h,) if c is None else (h, c), cells


def _by_chains(
    cell: StagedLayer, params: Any, d: int, x: np.ndarray, lengths: Any, reset: Any, options: dict[str, Any]
) -> tuple[np.ndarray, tuple[np.ndarray, ...], Any]:
    """Every chain of every row alone: the steps j, j + d, ... that the row has."""
    steps, rows, _ = x.shape
    initial = [options[name][np.newaxis] for name in ("initial_h", "initial_c") if name in options]
    y = np.zeros((steps, rows, cell.output_size), x.dtype)
    widths = (cell.output_size, cell.hidden_size) if cell.cell == "lstm" else (cell.output_size,)
    cells = np.zeros((steps, rows, cell.hidden_size), x.dtype)
    finals = tuple(np.zeros((rows, width), x.dtype) for width in widths)
    for row in range(rows):
        length = steps if lengths is None else lengths[row]
        last = 0 if options["reverse"] else max(length - 1, 0) % d
        for j in range(d):
            times = list(range(j, length, d))
            borders = None
            if reset is not None:
                borders = np.array([[reset[max(0, t - d + 1) : t + 1, row].any()] for t in times]).reshape(-1, 1)
            chain_y, *chain_state, chain_cells, _ = cell.forward(
                params, x[times, row : row + 1], *initial, reset=borders, **options
            )
            y[times, row] = chain_y[:, 0]
            if chain_cells is not None:
                cells[times, row] = chain_cells[:, 0]
            if j == last:
                for final, part in zip(finals, chain_state, strict=False):
                    final[row] = part[0]
    return y, finals, cells if cell.cell == "lstm" else None
