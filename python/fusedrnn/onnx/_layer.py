"""The layer that computes an RNN, LSTM or GRU operator: made of W, R, B, P and the attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn.layers import GRU, LSTM, RNN
from fusedrnn.onnx._attributes import Attributes
from fusedrnn.onnx._weights import SUFFIXES, parameters

Layer: TypeAlias = "RNN | GRU | LSTM"


def weights_dtype(name: str, W: object) -> np.dtype[Any]:
    """The dtype of W, which must be one that the operators have."""
    found: np.dtype[Any] = _checks.array(name, W).dtype
    if found not in (np.float32, np.float64, np.float16) and found.name != "bfloat16":
        raise TypeError(f"{name}: expected float32, float64, float16 or bfloat16, got {found}")
    return found


def made_layer(
    own: Attributes, weights: Mapping[str, Array | None], where: str, initial: Mapping[str, Array] | None = None
) -> Layer:
    """The layer, with its weights.

    Args:
        own: the attributes.
        weights: W and R, and B and P or None.
        where: the beginning of the messages.
        initial: "initial_h" and "initial_c" (D, H), for a layer that learns its initial state.

    Raises:
        ValueError, TypeError: as `Operator`.
    """
    W, R, B, P = (weights.get(name) for name in ("W", "R", "B", "P"))
    dtype = weights_dtype(f"{where}W", W)
    _check_weights(own, weights, dtype, where)
    assert W is not None
    assert R is not None
    coupled = own.kind.name == "LSTM" and own.option
    compute = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    given = (None if value is None else value.astype(compute, copy=False) for value in (W, R, B, P))
    params = parameters(own.kind.name, coupled, *given)  # type: ignore[arg-type]
    for name, states in (initial or {}).items():
        params.update((name + suffix, state) for suffix, state in zip(SUFFIXES, states, strict=False))
    cls: Any = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}[own.kind.name]
    layer: Layer = cls(
        W.shape[2],
        R.shape[2],
        bias=B is not None,
        batch_first=own.layout == 1,
        dtype=compute,
        rng=0,
        **_options(own, P is not None, bool(initial)),
    )
    layer.load_params(params)
    return layer


def _check_weights(own: Attributes, weights: Mapping[str, Array | None], dtype: np.dtype[Any], where: str) -> None:
    for name in ("W", "R"):
        if _checks.array(f"{where}{name}", weights.get(name)).ndim != 3:
            raise ValueError(f"{where}{name}: expected 3 axes, got shape {weights[name].shape}")  # type: ignore[union-attr]
    input_size, hidden_size = (weights[name].shape[2] for name in ("W", "R"))  # type: ignore[union-attr]
    if own.hidden_size is not None and own.hidden_size != hidden_size:
        raise ValueError(f"{where}hidden_size: expected {hidden_size}, the last axis of R, got {own.hidden_size}")
    if input_size == 0 or hidden_size == 0:
        raise ValueError(f"{where}W, R: expected last axes of at least 1, got {input_size} and {hidden_size}")
    if weights.get("P") is not None and own.kind.name != "LSTM":
        raise ValueError(f"{where}P: only an LSTM has peepholes, this is a {own.kind.name}")
    directions, rows = own.directions, own.kind.gates * hidden_size
    shapes = {
        "W": (directions, rows, input_size),
        "R": (directions, rows, hidden_size),
        "B": (directions, 2 * rows),
        "P": (directions, 3 * hidden_size),
    }
    for name, shape in shapes.items():
        if weights.get(name) is not None:
            _checks.shaped(f"{where}{name}", weights[name], shape, dtype)


def _options(own: Attributes, peephole: bool, learned_state: bool) -> dict[str, Any]:
    """The layer's options; none where the default says the same, so that plain cells stay plain."""
    lstm, gru = own.kind.name == "LSTM", own.kind.name == "GRU"
    options: dict[str, Any] = {
        "bidirectional": own.direction == "bidirectional",
        "reverse": own.direction == "reverse",
        "clip": own.clip,
        "learned_state": learned_state,
    }
    if lstm:
        options.update(coupled=own.option, peephole=peephole)
    if gru:
        options.update(reset_after=own.option)
    name = "activations" if lstm or gru else "nonlinearity"
    first, last = ((each if lstm or gru else each[0]) for each in (own.activations[0], own.activations[-1]))
    options[name] = first
    if last != first:
        options["reverse_" + name] = last
    return options
