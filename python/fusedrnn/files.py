"""Whole modules in a file: what they are made of, and their parameters.

The file is a safetensors file. Its arrays are the parameters under their names, as a torch `state_dict` has them; its
metadata has a description in JSON, from which `load` makes the module again. Nothing is unpickled, and nothing is made
that is larger than the file's arrays.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusedrnn import cells, layers, nn
from fusedrnn._checks import Array, describe
from fusedrnn._saving import Saved, load_arrays, save_arrays

__all__ = ["load", "save"]

KEY = "fusedrnn.module"

CLASSES: Mapping[str, Any] = {
    one.__name__: one
    for one in (
        *(layers.LSTM, layers.GRU, layers.RNN, cells.LSTMCell, cells.GRUCell, cells.RNNCell),
        *(nn.Linear, nn.Embedding, nn.Dropout, nn.Tanh, nn.Sigmoid, nn.ReLU, nn.LastStep, nn.MeanPool, nn.MaxPool),
        *(nn.Sequential, nn.Residual, nn.EncoderDecoder),
    )
}
"""What a description may name."""


def save(path: str | Path, module: Any) -> None:
    """Write a layer, a cell, a part or a whole model to a safetensors file, for `load`.

    When anything fails, the file that was there before is there still.

    Args:
        path: the file.
        module: of one of fusedrnn's own classes, not of a class derived from one.

    Raises:
        TypeError: `module` is something else.
        ImportError: safetensors is not installed.
        OSError: the file cannot be written.
    """
    save_arrays(Path(path), _parameters(module), {KEY: json.dumps(_described(module, []))})


def load(path: str | Path) -> Any:
    """The module that `save` wrote, with its parameters. Random generators begin anew.

    Raises:
        ImportError: safetensors is not installed.
        OSError: the file cannot be read.
        ValueError: the file is damaged, has no description, or one that does not fit its arrays.
    """
    arrays, metadata = load_arrays(Path(path))
    if KEY not in metadata:
        raise ValueError(
            f"{path}: expected a file of fusedrnn.save, got parameters only: make the module and call its load()"
        )
    try:
        made = _Builder(arrays).build(json.loads(metadata[KEY]))
        made.load_params(arrays)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ValueError(f"{path}: expected a description that fits the file's arrays: {error}") from None
    return made


def _parameters(module: Any) -> Mapping[str, Array]:
    if type(module) not in CLASSES.values():
        raise TypeError(f"module: expected a layer, a cell, a part or a model of fusedrnn, got {describe(module)}")
    found: Mapping[str, Array] = module.params
    return found


def _described(module: Any, before: list[Any]) -> dict[str, Any]:
    """The class and the constructor's arguments. `before`: the modules described so far, which others may name."""
    _parameters(module)
    found: dict[str, Any] = {"class": type(module).__name__}
    for name, parameter in inspect.signature(type(module).__init__).parameters.items():
        if name in ("self", "rng"):
            continue
        value = getattr(module, name)
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            found[name] = [_described(part, before) for part in value]
        elif isinstance(value, Saved) and value in before:
            found[name] = {"number": before.index(value)}
        elif isinstance(value, Saved):
            found[name] = _described(value, before)
        else:
            found[name] = value.name if name == "dtype" else value
    before.append(module)
    return found


class _Builder:
    """Makes modules of their descriptions, none larger than the arrays of the file."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._elements = sum(array.size for array in arrays.values())
        self._made: list[Any] = []

    def build(self, given: Any) -> Any:
        """The module of a description."""
        if not isinstance(given, dict) or given.get("class") not in CLASSES:
            raise ValueError(f"expected one of {', '.join(CLASSES)}, got {str(given)[:60]}")
        kind = CLASSES[given["class"]]
        signature = inspect.signature(kind.__init__).parameters
        unknown = set(given) - set(signature) - {"class"}
        if unknown:
            raise ValueError(f"{given['class']} has no argument {', '.join(sorted(unknown))}")
        self._check_size(given)
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for name, value in given.items():
            if name != "class" and signature[name].kind is inspect.Parameter.VAR_POSITIONAL:
                positional = [self.build(part) for part in value]
            elif name != "class":
                named[name] = self._value(value)
        made = kind(*positional, **named)
        self._made.append(made)
        return made

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            number = value.get("number")
            return self.build(value) if number is None else self._made[range(len(self._made))[number]]
        return tuple(map(self._value, value)) if isinstance(value, list) else value

    def _check_size(self, given: Mapping[str, Any]) -> None:
        """Before it is made: a file must not ask for more than it has."""
        size = {name: value for name, value in given.items() if isinstance(value, int)}
        hidden = size.get("hidden_size", 0)
        recurrent = 1 if given.get("independent") else size.get("proj_size", 0) or hidden
        least = max(
            hidden * max(recurrent, size.get("input_size", 0)),
            hidden * recurrent * size.get("num_layers", 1),
            size.get("in_features", 0) * size.get("out_features", 0),
            size.get("num_embeddings", 0) * size.get("embedding_dim", 0),
        )
        if least > self._elements:
            raise ValueError(f"{given['class']} would have {least} elements or more, the file has {self._elements}")
