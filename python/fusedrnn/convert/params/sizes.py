"""The sizes of a layer, read from the shapes of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusedrnn._checks import Array

CELLS_BY_GATES = {1: "RNN", 3: "GRU", 4: "LSTM"}


@dataclass(frozen=True)
class Sizes:
    """What the constructor of a layer wants to know."""

    input_size: int
    hidden_size: int
    num_layers: int
    bidirectional: bool
    proj_size: int
    bias: bool


def read_sizes(arrays: Mapping[str, Array], gates: int, independent: bool) -> Sizes:
    """The sizes of parameters by torch's names, which have a row for every unit of every gate.

    Raises:
        ValueError: a parameter is missing or has no shape that fits the others.
    """
    layers, bidirectional = _layers(arrays)
    w_ih, w_hh = arrays["weight_ih_l0"], arrays["weight_hh_l0"]
    if w_ih.ndim != 2 or w_hh.ndim != (1 if independent else 2):
        raise ValueError(
            f"weight_ih_l0, weight_hh_l0: expected matrices{' and a vector' if independent else ''}, "
            f"got shapes {w_ih.shape} and {w_hh.shape}"
        )
    rows, inputs = w_ih.shape
    w_hr = arrays.get("weight_hr_l0")
    projection = 0 if w_hr is None else w_hr.shape[0]
    if rows % gates or len(w_hh) != rows or (not independent and w_hh.shape[1] != (projection or rows // gates)):
        raise ValueError(
            f"weight_ih_l0, weight_hh_l0: expected ({gates}*H, I) and ({gates}*H, {'P' if projection else 'H'}), "
            f"got {w_ih.shape} and {w_hh.shape}{_hint(w_ih, w_hh, gates)}"
        )
    bias = any(name.startswith(("bias_ih", "bias_hh")) for name in arrays)
    return Sizes(inputs, rows // gates, layers, bidirectional, projection, bias)


def _layers(arrays: Mapping[str, Array]) -> tuple[int, bool]:
    """How many layers there are, and whether in both directions."""
    ends = [name.removeprefix("weight_ih_l") for name in arrays if name.startswith("weight_ih_l")]
    count = len([end for end in ends if end.isdigit()])
    backward = len(ends) - count
    needed = [f"{k}{end}" for k in range(count) for end in (("", "_reverse") if backward else ("",))]
    for stem in ("weight_ih", "weight_hh"):
        missing = [f"{stem}_l{end}" for end in needed or ["0"] if f"{stem}_l{end}" not in arrays]
        if missing:
            raise ValueError(
                f"mapping: expected layers numbered from 0, each with the same directions; "
                f"missing: {', '.join(missing)}"
            )
    return count, backward > 0


def _hint(w_ih: Array, w_hh: Array, gates: int) -> str:
    """What the shapes look like instead."""
    if w_hh.ndim != 2:
        return ""
    rows, columns = w_hh.shape
    if rows > columns and rows % columns == 0 and rows // columns in CELLS_BY_GATES and rows // columns != gates:
        return f": that is {rows // columns} gates, as a {CELLS_BY_GATES[rows // columns]} has"
    if columns > rows and columns % rows == 0:
        return ": (I, G*H) matrices want transposed=True"
    return ": w_hh without a projection is (G*H, H)" if len(w_ih) == rows else ""
