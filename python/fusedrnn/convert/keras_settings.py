"""What the configuration of a Keras layer means in terms of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fusedrnn import _checks

CELLS = {
    "LSTM": "lstm",
    "GRU": "gru",
    "SimpleRNN": "rnn",
    "CuDNNLSTM": "lstm",
    "CuDNNGRU": "gru",
    "LSTMCell": "lstm",
    "GRUCell": "gru",
    "SimpleRNNCell": "rnn",
}
"""Layers of Keras, and cells that its RNN layer may hold."""

OTHER_RECURRENT = ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "StackedRNNCells")

ELSEWHERE = frozenset(
    {"return_sequences", "return_state", "stateful", "zero_output_for_mask"}  # how a layer is called
    | {"name", "trainable", "dtype", "autocast", "seed", "unroll", "implementation", "use_cudnn", "cell", "ragged"}
    | {"unit_forget_bias", "kernel_initializer", "recurrent_initializer", "bias_initializer"}  # before training
    | {f"{part}_{what}" for part in ("kernel", "recurrent", "bias") for what in ("regularizer", "constraint")}
    | {"activity_regularizer"}
    | {"batch_input_shape", "batch_shape", "input_shape", "input_dim", "input_length", "batch_size"}
)
"""Options that change nothing of what a call of the layer computes from its weights, or that are said at the call."""

READ = frozenset(
    {"units", "activation", "recurrent_activation", "use_bias", "dropout", "recurrent_dropout"}
    | {"go_backwards", "reset_after", "time_major"}
)

FUNCTIONS: dict[str, Any] = {
    **{name: name for name in ("sigmoid", "tanh", "relu", "softsign", "softplus")},
    "linear": "identity",
    "elu": ("elu", 1.0),
    "leaky_relu": ("leaky_relu", 0.2),
}
"""Activations of Keras by name; hard_sigmoid depends on the version."""

HARD_SIGMOID = {2: ("hard_sigmoid", 0.2, 0.5), 3: ("hard_sigmoid", 1 / 6, 0.5)}


@dataclass(frozen=True)
class Settings:
    """One direction of one layer."""

    cell: str
    gates: Any
    activation: Any
    units: int
    use_bias: bool
    reset_after: bool | None
    dropout: float
    recurrent_dropout: float
    go_backwards: bool
    time_major: bool


def settings(class_name: str, config: Mapping[str, Any], version: int | None) -> Settings:
    """The settings of a layer that runs in one direction.

    Raises:
        ValueError: a layer, an option or an activation that has no counterpart.
    """
    if class_name == "RNN":
        return _settings_of_cell(config, version)
    if class_name not in CELLS:
        raise ValueError(
            f"{class_name}: expected one of LSTM, GRU, SimpleRNN, Bidirectional, RNN of one of their cells"
        )
    unknown = sorted(set(config) - READ - ELSEWHERE)
    if unknown:
        raise ValueError(f"{class_name}: option {unknown[0]}={_checks.shown(config[unknown[0]])} is not supported")
    cell = CELLS[class_name]
    cudnn = class_name.startswith("CuDNN")
    recurrent = config.get("recurrent_activation", "hard_sigmoid" if version == 2 and not cudnn else "sigmoid")
    return Settings(
        cell,
        None if cell == "rnn" else activation(f"{class_name}: recurrent_activation", recurrent, version),
        activation(f"{class_name}: activation", config.get("activation", "tanh"), version),
        _checks.size(f"{class_name}: units", config.get("units")),
        bool(config.get("use_bias", True)),
        (config.get("reset_after", True if cudnn else None) if cell == "gru" else None),
        _dropped(config.get("dropout", 0.0)),
        _dropped(config.get("recurrent_dropout", 0.0)),
        bool(config.get("go_backwards", False)),
        bool(config.get("time_major", False)),
    )


def _settings_of_cell(config: Mapping[str, Any], version: int | None) -> Settings:
    """`RNN(LSTMCell(…))` and its like."""
    cell = config.get("cell")
    if not isinstance(cell, Mapping) or cell.get("class_name") not in CELLS:
        name = cell.get("class_name") if isinstance(cell, Mapping) else cell
        raise ValueError(f"RNN: expected a cell LSTMCell, GRUCell or SimpleRNNCell, got {_checks.shown(name)}")
    inner = settings(cell["class_name"], cell["config"], version)
    unknown = sorted(set(config) - ELSEWHERE - {"go_backwards", "time_major"})
    if unknown:
        raise ValueError(f"RNN: option {unknown[0]}={_checks.shown(config[unknown[0]])} is not supported")
    return replace(
        inner,
        go_backwards=bool(config.get("go_backwards", False)),
        time_major=bool(config.get("time_major", False)),
    )


def activation(what: str, value: object, version: int | None) -> Any:
    """Our activation for one of Keras: a name, or a name with its constants."""
    if value is None:
        return "identity"
    if isinstance(value, Mapping):
        return _serialised(what, value, version)
    if value == "hard_sigmoid":
        if version not in HARD_SIGMOID:
            raise ValueError(
                f"{what}: hard_sigmoid is 0.2x + 0.5 in Keras 2 and x/6 + 0.5 in Keras 3, and nothing says which of "
                "them wrote this; keras_version=2 or keras_version=3 does"
            )
        return HARD_SIGMOID[version]
    if not isinstance(value, str) or value not in FUNCTIONS:
        known = ", ".join([*FUNCTIONS, "hard_sigmoid"])
        raise ValueError(f"{what}: expected one of {known}, got {_checks.shown(value)}")
    return FUNCTIONS[value]


def _serialised(what: str, value: Mapping[str, Any], version: int | None) -> Any:
    """An activation that is a layer, or a function by its name."""
    name, config = value.get("class_name"), value.get("config")
    if name == "function" and isinstance(config, str):
        return activation(what, config, version)
    if name == "LeakyReLU" and isinstance(config, Mapping):
        return ("leaky_relu", float(config.get("negative_slope", config.get("alpha", 0.3))))
    if name == "ELU" and isinstance(config, Mapping):
        return ("elu", float(config.get("alpha", 1.0)))
    raise ValueError(f"{what}: expected an activation by name, LeakyReLU or ELU, got {_checks.shown(name)}")


def _dropped(rate: object) -> float:
    """Keras drops at rates between 0 and 1, and nothing at either."""
    value = _checks.probability("dropout", rate)
    return value if value < 1.0 else 0.0
