"""The parameters of a layer as PyTorch wants them."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from fusedrnn._options import RANDOM, options_of

TORCH_NONLINEARITIES = ("tanh", "relu")


def torch_state_dict(layer: Any) -> dict[str, Any]:
    """A state_dict of tensors, copies of the layer's parameters.

    Raises:
        ValueError: the layer has options that torch.nn does not have. What only `record` draws counts for nothing here.
        ImportError: PyTorch is not installed.
    """
    options = {name: (getattr(layer, name), option.default) for name, option in options_of(layer._cell).items()}
    refused = [
        f"{name}={value!r}"
        for name, (value, default) in options.items()
        if value != default and not _torch_has(name, value)
    ]
    if refused:
        raise ValueError(f"to_torch_state_dict: torch.nn has no {type(layer).__name__} with {', '.join(refused)}")
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        raise ImportError("to_torch_state_dict: needs PyTorch: pip install torch") from None
    return {name: torch.from_numpy(np.array(array)) for name, array in layer.params.items()}


def _torch_has(name: str, value: object) -> bool:
    drawn_only = name in RANDOM and name != "zoneout"  # zoneout changes a call as well
    return drawn_only or (name == "nonlinearity" and value in TORCH_NONLINEARITIES)
