"""`fusedrnn.from_flax`: parameter trees of Flax's recurrent cells, of its linen and nnx modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn.convert.params.arrays import as_floats
from fusedrnn.layers import GRU, LSTM, RNN

CELLS = {
    "OptimizedLSTMCell": "lstm",
    "LSTMCell": "lstm",
    "GRUCell": "gru",
    "SimpleCell": "rnn",
}
LAYERS: dict[str, Any] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
GATES = {"lstm": "ifgo", "gru": "rzn"}
"""The letters that follow i (of the input) and h (of the state) in the names of linen's parts."""


class Cell(NamedTuple):
    """A cell's parameters under torch's names."""

    kind: str
    arrays: dict[str, Array]


def from_flax(tree: object, *, dtype: object = None, rng: object = None, **options: Any) -> Any:
    """A layer from the parameters of Flax's OptimizedLSTMCell, LSTMCell, GRUCell or SimpleCell.

    Args:
        tree: nested dicts of arrays with one such cell in them, such as `variables["params"]` of a module around
            `nn.RNN(nn.GRUCell(64))`. For a stack a list of trees, one a layer; where it runs in both directions each
            is a pair (forward, backward).
        dtype: float32 or float64; None for float64 where a parameter is, else float32.
        rng: for the dropout masks, as in the constructors.
        options: of the constructor, such as activations where the cell has others than its defaults: the tree does
            not say. batch_first is True, as in Flax, unless given.

    Returns:
        A `fusedrnn.LSTM`, `GRU` or `RNN`. Of a SimpleCell(residual=True) and of other cells there is none.

    Raises:
        ValueError: no such cell in a tree, several of them, or trees of different cells.
        TypeError: a tree that is no mapping, or values that are not floats.
    """
    layers = list(tree) if isinstance(tree, (list, tuple)) else [tree]
    arrays: dict[str, Array] = {}
    kinds = set()
    for k, layer in enumerate(layers):
        directions = list(layer) if isinstance(layer, (list, tuple)) else [layer]
        if len(directions) not in (1, 2):
            raise ValueError(f"tree[{k}]: expected a tree or a pair of them, got {len(directions)}")
        for end, one in zip(("", "_reverse"), directions, strict=False):
            cell = _only_cell(one, f"tree[{k}]" if len(layers) > 1 else "tree")
            kinds.add(cell.kind)
            arrays |= {f"{name}_l{k}{end}": array for name, array in cell.arrays.items()}
    if len(kinds) != 1:
        raise ValueError(f"tree: expected cells of one kind, got {', '.join(sorted(kinds)) or 'none'}")
    (kind,) = kinds
    return LAYERS[kind].from_params(
        arrays, "", transposed=True, dtype=dtype, rng=rng, **{"batch_first": True, **options}
    )


def _only_cell(tree: object, what: str) -> Cell:
    found = _cells(tree, what)
    if len(found) != 1:
        places = ", ".join(found) or "none"
        raise ValueError(f"{what}: expected one cell (LSTM, GRU or simple RNN of Flax) in it, got {places}")
    ((_, cell),) = found.items()
    return cell


def _cells(tree: object, path: str) -> dict[str, Cell]:
    """The cells in a tree, by where they are."""
    if not isinstance(tree, Mapping):
        raise TypeError(f"{path}: expected nested mappings of arrays, got {_checks.describe(tree)}")
    own = _cell(tree, path)
    if own:
        return {path: own}
    found: dict[str, Cell] = {}
    for name, part in tree.items():
        if isinstance(part, Mapping):
            found |= _cells(part, f"{path}[{name!r}]")
    return found


def _cell(tree: Mapping[str, Any], path: str) -> Cell | None:
    names = {str(name) for name in tree}
    if "dense_i" in names and "dense_h" in names:
        return _joined(tree, path)
    for kind, gates in GATES.items():
        if names == {f"{side}{gate}" for side in "ih" for gate in gates}:
            return _linen(kind, tree, path, gates)
    if names == {f"{side}{gate}" for side in "ih" for gate in ("i", "f", "g", "o")} - {"if"} | {"if_"}:  # nnx
        return _linen("lstm", {("if" if name == "if_" else name): part for name, part in tree.items()}, path, "ifgo")
    if names == {"i", "h"}:
        return _linen("rnn", tree, path, ("",))
    return None


def _linen(kind: str, tree: Mapping[str, Any], path: str, gates: Sequence[str]) -> Cell:
    """A part for each gate and side, with a kernel (I, H) or (H, H) and perhaps a bias."""
    arrays = {}
    for ours, side in (("ih", "i"), ("hh", "h")):
        parts = [_part(tree, f"{side}{gate}", path) for gate in gates]
        arrays[f"weight_{ours}"] = np.concatenate([kernel for kernel, _ in parts], axis=1)
        units = parts[0][0].shape[1]
        arrays[f"bias_{ours}"] = np.concatenate(
            [np.zeros(units, kernel.dtype) if bias is None else bias for kernel, bias in parts]
        )
    return Cell(kind, arrays)


def _joined(tree: Mapping[str, Any], path: str) -> Cell:
    """nnx: one kernel for all gates of a side."""
    arrays = {}
    for ours, side in (("ih", "dense_i"), ("hh", "dense_h")):
        kernel, bias = _part(tree, side, path)
        arrays[f"weight_{ours}"] = kernel
        arrays[f"bias_{ours}"] = np.zeros(kernel.shape[1], kernel.dtype) if bias is None else bias
    kernel = arrays["weight_hh"]
    kind = {1: "rnn", 3: "gru", 4: "lstm"}.get(kernel.shape[1] // kernel.shape[0])
    if kind is None or kernel.shape[1] % kernel.shape[0]:
        raise ValueError(f"{path}['dense_h']: expected a kernel (H, G*H) with G of 1, 3 or 4, got {kernel.shape}")
    return Cell(kind, arrays)


def _part(tree: Mapping[str, Any], name: str, path: str) -> tuple[Array, Array | None]:
    """The kernel and the bias of a Dense."""
    part = tree[name]
    where = f"{path}[{name!r}]"
    if not isinstance(part, Mapping) or "kernel" not in part:
        raise ValueError(f"{where}: expected a kernel, got {_checks.describe(part)}")
    unknown = sorted(str(key) for key in part if key not in ("kernel", "bias"))
    if unknown:
        raise ValueError(f"{where}: expected kernel and bias, got also {', '.join(unknown)}")
    kernel = as_floats(f"{where}['kernel']", part["kernel"])
    if kernel.ndim != 2:
        raise ValueError(f"{where}['kernel']: expected a matrix, got shape {kernel.shape}")
    bias = part.get("bias")
    return kernel, None if bias is None else as_floats(f"{where}['bias']", bias)
