"""A layer from its parameters: `fusedrnn.LSTM.from_params` and its like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn.convert.params.arrays import as_floats, named, result_dtype
from fusedrnn.convert.params.gate_orders import block_order, own_gates, reordered
from fusedrnn.convert.params.naming import Entries, entries
from fusedrnn.convert.params.sizes import read_sizes

FROM_SHAPES = ("input_size", "hidden_size", "num_layers", "bidirectional", "proj_size", "bias")
GATE_ROWS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "gain_ih", "gain_hh")
"""Parameters that have a block of rows for every gate."""
MATRICES = ("weight_ih", "weight_hh", "weight_hr")


def layer_from_params(
    kind: Any,
    mapping: object,
    prefix: str | None,
    *,
    gates: str | None,
    z: str,
    transposed: bool,
    biases: int,
    names: Mapping[str, str] | None,
    dtype: object,
    options: Mapping[str, Any],
) -> Any:
    """`kind`, one of the layer classes, made and filled; the arguments are those of its `from_params`."""
    cell = kind._cell
    for name in FROM_SHAPES:
        if name in options:
            raise TypeError(f"{name}: read from the shapes of the parameters, so from_params takes none")
    if prefix is not None and not isinstance(prefix, str):
        raise TypeError(f"prefix: expected a string or None, got {_checks.shown(prefix)}")
    own = own_gates(cell, bool(options.get("coupled")), bool(options.get("minimal")))
    order = block_order(cell, gates, own)
    one_bias = _checks.integer("biases", biases, 1, 2) == 1
    held = named(mapping)
    found = entries(held, prefix, names)
    arrays = {ours: as_floats(theirs, held[theirs]) for ours, theirs in _renamed_bias(found, one_bias).items()}
    if _checks.boolean("transposed", transposed):
        arrays = {name: array.T if name.startswith(MATRICES) else array for name, array in arrays.items()}
    if one_bias:
        arrays |= _second_biases(arrays, found)
    sizes = read_sizes(arrays, len(own) or 1, bool(options.get("independent")))
    arrays = {
        name: reordered(array, order) if name.startswith(GATE_ROWS) and len(array) % len(order) == 0 else array
        for name, array in arrays.items()
    }
    if _checks.one_of("z", z, ("keep", "update")) == "update":
        arrays = _complemented(cell, arrays, sizes.hidden_size, options)
    arguments: dict[str, Any] = {"num_layers": sizes.num_layers, "bidirectional": sizes.bidirectional}
    if cell == "lstm":
        arguments["proj_size"] = sizes.proj_size
    layer = kind(
        sizes.input_size,
        sizes.hidden_size,
        bias=sizes.bias,
        dtype=result_dtype(dtype, list(arrays.values())),
        **arguments,
        **options,
    )
    _require_all(set(layer.params), arrays, found, one_bias)
    layer.load_params(arrays)
    return layer


def _renamed_bias(found: Entries, one_bias: bool) -> dict[str, str]:
    """Where a cell has one bias, it is bias_ih, under that name or as `bias`."""
    if not one_bias:
        return {ours: theirs for ours, theirs in found.items() if theirs != f"{found.prefix}bias"}
    return {ours.replace("bias_l", "bias_ih_l"): theirs for ours, theirs in found.items()}


def _second_biases(arrays: Mapping[str, Array], found: Entries) -> dict[str, Array]:
    second = [name for name in found if name.startswith("bias_hh")]
    if second:
        raise ValueError(f"biases: expected one bias, and {found[second[0]]} is a second")
    firsts = [name for name in arrays if name.startswith("bias_ih")]
    return {name.replace("bias_ih", "bias_hh"): np.zeros_like(arrays[name]) for name in firsts}


def _complemented(cell: str, arrays: Mapping[str, Array], hidden: int, options: Mapping[str, Any]) -> dict[str, Array]:
    """h' = (1-z)h + zn as h' = (1-z)n + zh: the other z is sigmoid(-a), so its rows change their signs."""
    if cell != "gru" or options.get("minimal") or options.get("layer_norm"):
        raise ValueError('z: expected "keep" where there is no plain GRU, got "update"')
    gate = (options.get("activations") or ("sigmoid",))[0]
    for chosen in (gate, (options.get("reverse_activations") or (gate,))[0]):
        if chosen not in ("sigmoid", ("sigmoid",)):
            raise ValueError(f'z: "update" needs the gate activation sigmoid, got {_checks.shown(chosen)}')
    sign = np.repeat([1.0, -1.0, 1.0], hidden)
    return {
        name: (array.T * sign.astype(array.dtype)).T
        if name.startswith(GATE_ROWS) and len(array) == 3 * hidden
        else array
        for name, array in arrays.items()
    }


def _require_all(wanted: set[str], arrays: Mapping[str, Array], found: Entries, one_bias: bool) -> None:
    """Every parameter is there, and none that the layer has no place for."""
    missing = [f"{found.prefix}{name}" for name in sorted(wanted - set(arrays))]
    extra = [found.get(name, name) for name in arrays if name not in wanted]
    if not missing and not extra:
        return
    remedy = ""
    if not one_bias and any("bias_hh" in name for name in missing) and not extra:
        remedy = "; a cell with one bias wants biases=1"
    if any("weight_ch" in name or "gain_" in name or "initial_" in name for name in extra):
        remedy = "; options of the layer, such as peephole=True, make a place for them"
    raise ValueError(
        "mapping: expected the parameters of this layer"
        + (f"; missing: {', '.join(missing)}" if missing else "")
        + (f"; no place for: {', '.join(extra)}" if extra else "")
        + remedy
    )
