"""The parameters of a layer as PyTorch wants them."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

TRAINING_ONLY = {"dropout", "zoneout", "recurrent_dropout", "input_dropout", "weight_dropout"}
"""Options that change no call, only what `record` draws."""


def torch_state_dict(layer: Any, other_options: dict[str, Any]) -> dict[str, Any]:
    """A state_dict of tensors, copies of the layer's parameters.

    Args:
        layer: any layer or cell with torch's names.
        other_options: the options that it was made with and that torch.nn does not have, by name.

    Raises:
        ValueError: there are such options: torch.nn has no module that computes this.
        ImportError: PyTorch is not installed.
    """
    refused = {name: value for name, value in other_options.items() if name not in TRAINING_ONLY}
    if refused:
        text = ", ".join(f"{name}={value!r}" for name, value in refused.items())
        raise ValueError(f"to_torch_state_dict: torch.nn has no layer with {text}")
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        raise ImportError("to_torch_state_dict: needs PyTorch: pip install torch") from None
    return {name: torch.from_numpy(np.array(array)) for name, array in layer.params.items()}
