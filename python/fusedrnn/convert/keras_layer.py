"""A layer from the configuration and the weights of a layer of Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn.convert.keras_settings import ELSEWHERE, Settings, settings
from fusedrnn.convert.params.arrays import as_floats
from fusedrnn.layers import GRU, LSTM, RNN

LAYERS: dict[str, Any] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
MERGES = {"concat": "concat", "sum": "sum", "mul": "mul", "ave": "ave", None: "concat"}


class Description(NamedTuple):
    """A layer of Keras: the settings of its one or two directions, and how two are merged."""

    class_name: str
    directions: list[Settings]
    merge: str | None


def described(class_name: str, config: Mapping[str, Any], version: int | None) -> Description:
    """What a configuration says.

    Args:
        class_name, config: as Keras writes them.
        version: 2 or 3, of the Keras that wrote them; None where nothing says so.

    Raises:
        ValueError: a layer, an option or an activation that has no counterpart.
    """
    if class_name == "Bidirectional":
        return Description(class_name, *_directions(config, version))
    return Description(class_name, [settings(class_name, config, version)], None)


def keras_layer(description: Description, weights: Sequence[Sequence[object]], dtype: object, rng: object) -> Any:
    """Our layer for one of Keras.

    Args:
        description: from `described`.
        weights: for each direction kernel, recurrent kernel and, if it has one, bias.
        dtype, rng: of the layer.

    Raises:
        ValueError: weights that do not fit the description.
    """
    class_name, directions, merge = description
    if len(weights) != len(directions):
        raise ValueError(f"{class_name}: expected weights of {len(directions)} directions, got {len(weights)}")
    arrays: dict[str, Array] = {}
    for end, own, given in zip(("", "_reverse"), directions, weights, strict=False):
        arrays |= _named(own, [as_floats("weights", value) for value in given], end)
    first = _with_reset_after(directions[0], weights[0])
    options = _options(first, directions[-1], merge)
    return LAYERS[first.cell].from_params(
        arrays,
        "",
        gates=None if first.cell == "rnn" else "keras",
        transposed=True,
        dtype=dtype,
        rng=rng,
        **options,
    )


def _directions(config: Mapping[str, Any], version: int | None) -> tuple[list[Settings], str]:
    """The settings of a Bidirectional's two layers, and how their outputs are merged."""
    unknown = sorted(set(config) - {"layer", "backward_layer", "merge_mode"} - ELSEWHERE)
    if unknown:
        raise ValueError(f"Bidirectional: option {unknown[0]}={_checks.shown(config[unknown[0]])} is not supported")
    inner = config["layer"]
    forward = settings(inner["class_name"], inner["config"], version)
    other = config.get("backward_layer")
    if other is None:
        backward = replace(forward, go_backwards=not forward.go_backwards)
    else:
        backward = settings(other["class_name"], other["config"], version)
    if forward.go_backwards or not backward.go_backwards:
        raise ValueError("Bidirectional: expected go_backwards=False of its layer and True of its backward_layer")
    for field in fields(Settings):
        a, b = getattr(forward, field.name), getattr(backward, field.name)
        if a != b and field.name not in ("go_backwards", "gates", "activation"):
            raise ValueError(f"Bidirectional: expected layers with the same {field.name}, got {a!r} and {b!r}")
    merge = config.get("merge_mode", "concat")
    if merge not in MERGES:
        raise ValueError(
            f"Bidirectional: expected merge_mode concat, sum, mul, ave or None, got {_checks.shown(merge)}"
        )
    return [forward, backward], MERGES[merge]


def _named(own: Settings, given: list[Array], end: str) -> dict[str, Array]:
    """The weights of one direction under our names, still in Keras's order and transposed."""
    if len(given) != (3 if own.use_bias else 2):
        expected = "kernel, recurrent kernel and bias" if own.use_bias else "kernel and recurrent kernel"
        raise ValueError(f"{own.cell}: expected {expected}, got {len(given)} arrays")
    width = GATES[own.cell] * own.units
    kernel, recurrent = given[0], given[1]
    if kernel.ndim != 2 or kernel.shape[1] != width or recurrent.shape != (own.units, width):
        raise ValueError(
            f"{own.cell} of {own.units} units: expected kernels (I, {width}) and ({own.units}, {width}), "
            f"got {kernel.shape} and {recurrent.shape}"
        )
    arrays = {f"weight_ih_l0{end}": kernel, f"weight_hh_l0{end}": recurrent}
    if own.use_bias:
        bias = given[2]
        if bias.shape == (2 * width,) and own.cell != "rnn":  # of cuDNN, whose kernels lie the other way as well
            arrays = {name: _from_cudnn(array, GATES[own.cell], name) for name, array in arrays.items()}
            bias = bias.reshape(2, width)
        if bias.shape not in ((width,), (2, width)):
            raise ValueError(f"{own.cell} of {own.units} units: expected a bias of {width} values, got {bias.shape}")
        two = bias if bias.ndim == 2 else np.stack((bias, np.zeros_like(bias)))
        arrays |= {f"bias_ih_l0{end}": two[0], f"bias_hh_l0{end}": two[1]}
    return arrays


def _from_cudnn(kernel: Array, gates: int, name: str) -> Array:
    """The kernel of a CuDNNLSTM or CuDNNGRU as that of an LSTM or GRU: each gate's block holds its transpose."""
    blocks = np.hsplit(kernel, gates)
    if name.startswith("weight_ih"):  # read in the shape that the block has already
        return np.hstack([block.T.reshape(block.shape, order="F") for block in blocks])
    return np.hstack([block.T for block in blocks])


def _with_reset_after(own: Settings, given: Sequence[object]) -> Settings:
    """A GRU whose configuration does not say where it resets says it by its bias."""
    if own.cell != "gru":
        return own
    width = 3 * own.units
    size = int(np.size(as_floats("bias", given[2]))) if own.use_bias and len(given) == 3 else 0
    shown = {width: False, 2 * width: True}.get(size)
    if own.reset_after is None:
        if shown is None:
            raise ValueError(
                "GRU: reset_after is not in the configuration, and without a bias no shape shows it; "
                "config= with reset_after says it"
            )
        return replace(own, reset_after=shown)
    if shown is True and own.reset_after is False:
        raise ValueError(f"GRU: expected a bias of {width} values with reset_after=False, got {size}")
    return own


def _options(first: Settings, last: Settings, merge: str | None) -> dict[str, Any]:
    """The arguments of our constructor that differ from their defaults."""
    options: dict[str, Any] = {"batch_first": not first.time_major}
    if first.cell == "rnn":
        options |= _unless({"nonlinearity": first.activation}, "tanh")
        if last.activation != first.activation:
            options["reverse_nonlinearity"] = last.activation
    else:
        options |= _unless({"activations": _activations(first)}, _activations(None, first.cell))
        if _activations(last) != _activations(first):
            options["reverse_activations"] = _activations(last)
    if first.reset_after is False:
        options["reset_after"] = False
    if merge is None and first.go_backwards:
        options["reverse"] = True
    options |= _unless({"merge": merge or "concat"}, "concat")
    return options | _unless({"input_dropout": first.dropout, "recurrent_dropout": first.recurrent_dropout}, 0.0)


def _activations(own: Settings | None, cell: str = "") -> tuple[Any, ...]:
    gates, other = ("sigmoid", "tanh") if own is None else (own.gates, own.activation)
    return (gates, other, other) if (own.cell if own else cell) == "lstm" else (gates, other)


def _unless(options: dict[str, Any], default: object) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value != default}
