"""Random recurrent layers of Keras, and calls of them, that ours are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_there import keras, use_floats

ACTIVATIONS = ("tanh", "relu", "sigmoid", "hard_sigmoid", "linear", "elu", "softsign", "softplus", "leaky_relu")
KINKED = ("relu", "hard_sigmoid", "elu", "leaky_relu")
MERGES = ("concat", "sum", "mul", "ave", None)
MASKS = (None, "right", "left", "holes")


@dataclass(frozen=True)
class Case:
    """A built layer, the arguments of one call, and what the case stresses."""

    layer: Any
    x: np.ndarray
    mask: np.ndarray | None
    states: list[np.ndarray]
    text: str

    @property
    def bidirectional(self) -> bool:
        return type(self.layer).__name__ == "Bidirectional"

    @property
    def held(self) -> str:
        inner = self.layer.forward_layer if self.bidirectional else self.layer
        return "zero" if inner.zero_output_for_mask else "repeat"

    @property
    def call(self) -> dict[str, Any]:
        found: dict[str, Any] = {} if self.mask is None else {"mask": self.mask}
        return {**found, "initial_state": self.states} if self.states else found


def random_case(seed: int, **fixed: Any) -> Case:
    """A layer with everything chosen at random, except what is fixed."""
    rng = np.random.default_rng(seed)

    def pick(name: str, values: Any) -> Any:
        chosen = values[rng.integers(len(values))]
        return fixed.get(name, chosen)

    kind = pick("kind", ("LSTM", "GRU", "SimpleRNN"))
    dtype = pick("dtype", ("float64", "float64", "float32"))
    use_floats(dtype)  # the initial state and some functions follow it, not the layer
    options: dict[str, Any] = {
        "units": int(rng.integers(1, 10)),
        "activation": pick("activation", ("tanh", *ACTIVATIONS)),
        "use_bias": pick("use_bias", (True, True, False)),
        "return_sequences": pick("return_sequences", (True, True, False)),
        "return_state": pick("return_state", (True, False)),
        "dtype": dtype,
        "unroll": False,
    }
    if kind != "SimpleRNN":
        options["recurrent_activation"] = pick(
            "recurrent_activation", ("sigmoid", "sigmoid", "hard_sigmoid", "softsign")
        )
    if kind == "GRU":
        options["reset_after"] = pick("reset_after", (True, False))
    if kind == "LSTM":
        options["unit_forget_bias"] = pick("unit_forget_bias", (True, False))
    if options["return_sequences"]:
        options["zero_output_for_mask"] = pick("zero_output_for_mask", (False, True))
    layer, shown = _layer(kind, options, rng, pick)
    steps, rows, inputs = (int(rng.integers(1, high)) for high in (8, 5, 8))
    layer.build((rows, steps, inputs))
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(0, 0.6, variable.shape).astype(dtype))
    x = rng.normal(0, 1, (rows, steps, inputs)).astype(dtype)
    mask_kind = pick("mask", MASKS)
    mask = None if mask_kind is None else _mask(mask_kind, rng, rows, steps)
    states = _states(kind, options, rng, rows, shown["bidirectional"]) if pick("states", (False, True)) else []
    if states and mask is not None:
        mask[:, rng.integers(steps)] = True  # of a row without any step Keras gives zeros, not its state
    return Case(layer, x, mask, states, f"{kind} {options} {shown} mask={mask_kind} states={bool(states)}")


def _layer(kind: str, options: dict[str, Any], rng: np.random.Generator, pick: Any) -> tuple[Any, dict[str, Any]]:
    make = getattr(keras.layers, kind)
    if not pick("bidirectional", (True, False)):
        backwards = pick("go_backwards", (True, False))
        if pick("wrapped", (False, False, True)):
            return _wrapped(kind, options, backwards), {"bidirectional": False, "go_backwards": backwards, "RNN": True}
        return make(**options, go_backwards=backwards), {"bidirectional": False, "go_backwards": backwards}
    merge = pick("merge", MERGES)
    other = None
    if pick("other", (False, False, True)):
        other = make(**{**options, "activation": ACTIVATIONS[rng.integers(len(ACTIVATIONS))]}, go_backwards=True)
    made = keras.layers.Bidirectional(make(**options), merge_mode=merge, backward_layer=other, dtype=options["dtype"])
    return made, {"bidirectional": True, "merge": merge, "other": other and other.activation.__name__}


def _wrapped(kind: str, options: dict[str, Any], backwards: bool) -> Any:
    """The same as an RNN around a cell."""
    of_layer = ("return_sequences", "return_state", "zero_output_for_mask", "unroll", "dtype")
    inner = {key: value for key, value in options.items() if key not in of_layer}
    cell = getattr(keras.layers, f"{kind}Cell")(**inner, dtype=options["dtype"])
    outer = {key: options[key] for key in of_layer if key in options}
    return keras.layers.RNN(cell, go_backwards=backwards, **outer)


def _mask(kind: str, rng: np.random.Generator, rows: int, steps: int) -> np.ndarray:
    lengths = rng.integers(0, steps + 1, rows)[:, np.newaxis]
    t = np.arange(steps)
    if kind == "right":
        return t < lengths
    return t >= steps - lengths if kind == "left" else rng.random((rows, steps)) < 0.6


def _states(kind: str, options: dict[str, Any], rng: np.random.Generator, rows: int, both: bool) -> list[np.ndarray]:
    count = (2 if kind == "LSTM" else 1) * (2 if both else 1)
    return [rng.normal(0, 1, (rows, options["units"])).astype(options["dtype"]) for _ in range(count)]
