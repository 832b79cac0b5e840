"""Where the recurrent layers of a Keras model are, by its configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fusedrnn import _checks
from fusedrnn.convert.keras_settings import CELLS, OTHER_RECURRENT

RECURRENT = (*(name for name in CELLS if not name.endswith("Cell")), "RNN", "Bidirectional", *OTHER_RECURRENT)


class Found(NamedTuple):
    """A recurrent layer: its name within each model that holds it, where its weights are, and its configuration."""

    names: tuple[str, ...]
    path: str
    class_name: str
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        return "/".join(self.names)


def parsed(text: str | bytes, what: str) -> Any:
    """The JSON of a configuration."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what}: expected JSON, got something else: {error}") from None


def recurrent_layers(model: Mapping[str, Any]) -> list[Found]:
    """Every recurrent layer of a model, in the model's order."""
    try:
        return list(_below(model, (), ""))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"config: expected the configuration of a Keras model, got another structure ({error!r})"
        ) from None


def _below(node: Mapping[str, Any], names: tuple[str, ...], path: str) -> Iterator[Found]:
    """What a serialised layer or model is or holds. `path`: of its weights."""
    class_name = node["class_name"]
    config: Any = node.get("config")
    inner = config.get("layer") if isinstance(config, Mapping) else None
    if class_name in RECURRENT:
        yield Found(names or (config.get("name", class_name),), path, class_name, config)
    elif isinstance(inner, Mapping):  # a wrapper such as TimeDistributed
        yield from _below(inner, names, f"{path}/layer")
    else:
        used: dict[str, int] = {}
        for layer in _members(config):
            name = (layer.get("config") or {}) if isinstance(layer.get("config"), Mapping) else {}
            own = str(layer.get("name") or name.get("name") or layer["class_name"])
            yield from _below(layer, (*names, own), f"{path}/layers/{_unique(layer['class_name'], used)}".lstrip("/"))


def _members(config: object) -> list[Mapping[str, Any]]:
    """The layers of a model; an old Sequential's configuration is the list itself."""
    if isinstance(config, Mapping):
        config = config.get("layers")
    return [layer for layer in config if isinstance(layer, Mapping)] if isinstance(config, list) else []


def _unique(class_name: str, used: dict[str, int]) -> str:
    """The name of a group of weights: the class in snake case, numbered from the second on."""
    name = re.sub(r"\W+", "", class_name.rpartition(">")[2])
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
    used[name] = used.get(name, -1) + 1
    return f"{name}_{used[name]}" if used[name] else name


def refuse_code(model: object, path: str = "") -> None:
    """ValueError where the configuration holds a Lambda: its function is pickled code, which nothing here reads."""
    if isinstance(model, Mapping):
        if model.get("class_name") in ("Lambda", "__lambda__"):
            config = model.get("config")
            name = config.get("name") if isinstance(config, Mapping) else None
            raise ValueError(
                f"path: the model has a Lambda layer ({_checks.shown(name)}), which is code; only= names the recurrent "
                "layers to load without it"
            )
        for key, value in model.items():
            refuse_code(value, f"{path}/{key}")
    elif isinstance(model, list):
        for value in model:
            refuse_code(value, path)
