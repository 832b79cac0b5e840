"""`fusedrnn.from_keras`: a layer of Keras in this process. Keras itself is not imported."""

from __future__ import annotations

import sys
from typing import Any

from fusedrnn.convert.keras_layer import described, keras_layer
from fusedrnn.convert.keras_settings import CELLS

PACKAGES = ("keras", "tf_keras", "tensorflow")


def from_keras(layer: object, *, dtype: object = None, rng: object = None) -> Any:
    """A layer that computes what a recurrent layer of Keras computes, with a copy of its weights.

    Args:
        layer: a built keras.layers.LSTM, GRU, SimpleRNN, RNN of one of their cells, or Bidirectional of one of these.
        dtype: float32 or float64; None for that of the weights (float32 for half precision).
        rng: for the masks of dropout and recurrent_dropout, as in the constructors.

    Returns:
        A `fusedrnn.LSTM`, `GRU` or `RNN` with batch_first=True. It always returns every output, time in its own
        order, and the last state; docs/howto/keras.md says what stands for return_sequences, return_state, stateful,
        masks, go_backwards and merge_mode=None. Keras's dropout becomes input_dropout.

    Raises:
        TypeError: no recurrent layer of Keras.
        ValueError: it has no weights yet, or an option or an activation that has no counterpart here.
    """
    found: Any = layer
    name = type(found).__name__
    package = type(found).__module__.partition(".")[0]
    if package not in PACKAGES or name not in (*CELLS, "RNN", "Bidirectional") or name.endswith("Cell"):
        raise TypeError(
            "layer: expected an LSTM, GRU, SimpleRNN, RNN or Bidirectional of Keras itself (no subclass), "
            f"got {type(found).__module__}.{name}"
        )
    parts = (found.forward_layer, found.backward_layer) if name == "Bidirectional" else (found,)
    weights = [[_value(variable) for variable in _variables(part)] for part in parts]
    if not all(weights):
        raise ValueError(f"layer: {name} has no weights yet; call it once, or its build() with the shape of an input")
    return keras_layer(described(name, found.get_config(), _version(package)), weights, dtype, rng)


def _variables(layer: Any) -> list[Any]:
    """Kernel, recurrent kernel and bias; a state that the layer keeps is none of them."""
    cell = getattr(layer, "cell", None)
    return list(layer.weights if cell is None else cell.weights)


def _value(variable: Any) -> object:
    """The tensor of a variable of Keras 3, whatever its backend; the array of one of TensorFlow's."""
    return variable.numpy() if callable(variable.value) else variable.value


def _version(package: str) -> int:
    version = getattr(sys.modules[package], "__version__", "3")
    return 2 if package in ("tf_keras", "tensorflow") else int(version.partition(".")[0])
