"""All that a training run depends on, in one safetensors file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fusedrnn._checks import Array
from fusedrnn._saving import load_arrays, save_arrays
from fusedrnn.nn.model import Model, States, single_parts
from fusedrnn.optim import Optimiser

FORMAT = "fusedrnn checkpoint 1"


@dataclass
class Position:
    """How far a run has come.

    Attributes:
        peak_rate: the optimiser's lr at the beginning.
        epoch, batch, step: how many are over; `batch` counts within the epoch.
        best_loss, best_step, waited: of the looks at the validation batches; `waited` counts those since the best.
        validation, metric: (step, loss) and (step, value) of all looks.
    """

    peak_rate: float
    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_loss: float = math.inf
    best_step: int | None = None
    waited: int = 0
    validation: list[tuple[int, float]] = field(default_factory=list)
    metric: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class Loaded:
    """What a checkpoint holds beside the parameters and the optimiser's state, which have taken their places."""

    position: Position
    state: States | None
    best: dict[str, Array] | None


def save(
    path: Path,
    model: Model,
    optimiser: Optimiser,
    position: Position,
    state: States | None,
    best: dict[str, Array] | None,
) -> None:
    """Write a checkpoint in place of the one before, whole or not at all."""
    arrays = {f"model.{name}": array for name, array in model.params.items()}
    arrays.update({f"optimiser.{name}": array for name, array in optimiser.state().items()})
    arrays.update({f"best.{name}": array for name, array in (best or {}).items()})
    shape = [_add_state(arrays, f"state.{index}", one) for index, one in enumerate(state)] if state else None
    metadata = {
        "format": FORMAT,
        "optimiser": type(optimiser).__name__,
        "position": json.dumps(asdict(position)),
        "state": json.dumps(shape),
        "rngs": json.dumps([rng.bit_generator.state for rng in generators(model)], default=_plain),
    }
    save_arrays(path, arrays, metadata)


def load(path: Path, model: Model, optimiser: Optimiser) -> Loaded:
    """Put a checkpoint's parameters, optimiser state and generators in their places.

    Raises:
        ValueError: the file is damaged, or of another model or optimiser. Nothing has changed then.
    """
    arrays, metadata = load_arrays(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a checkpoint of fusedrnn.fit, got another safetensors file")
    if metadata.get("optimiser") != type(optimiser).__name__:
        got = metadata.get("optimiser")
        raise ValueError(f"{path}: expected a run of {type(optimiser).__name__}, got one of {got}")
    params, best = _below(arrays, "model."), _below(arrays, "best.")
    for found in (params, best) if best else (params,):
        if _kinds(found) != _kinds(model.params):
            raise ValueError(f"{path}: expected a checkpoint of this model, other names, shapes or dtypes are in it")
    try:
        position = _position(json.loads(metadata["position"]))
        shape = json.loads(metadata["state"])
        state = None if shape is None else tuple(_read_state(arrays, f"state.{i}", one) for i, one in enumerate(shape))
        rng_states = _restored(json.loads(metadata["rngs"]))
        rngs = generators(model)
        for rng, rng_state in zip(rngs, rng_states, strict=True):
            type(rng.bit_generator)(0).state = rng_state  # refused, if it is not for such a generator
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a checkpoint of this model, got one that is not ({error})") from None
    try:
        optimiser.load_state(_below(arrays, "optimiser."))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    model.load_params(params)
    for rng, rng_state in zip(rngs, rng_states, strict=True):
        rng.bit_generator.state = rng_state
    return Loaded(position, state, best or None)


def _kinds(arrays: Mapping[str, Array]) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def _position(fields: dict[str, Any]) -> Position:
    position = Position(**fields)
    position.validation = [(int(step), float(loss)) for step, loss in position.validation]
    position.metric = [(int(step), float(value)) for step, value in position.metric]
    return position


def generators(model: Model) -> list[np.random.Generator]:
    """Every generator of the parts of a model, each once, in the parts' order."""
    found: list[np.random.Generator] = []
    for part in single_parts(model.parts):
        rng = getattr(part, "rng", None)
        if isinstance(rng, np.random.Generator) and all(rng is not other for other in found):
            found.append(rng)
    return found


def _below(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


def _add_state(arrays: dict[str, Array], name: str, state: Any) -> Any:
    """Put the arrays of a state into `arrays`; what says how they were nested."""
    if isinstance(state, tuple):
        return [_add_state(arrays, f"{name}.{index}", one) for index, one in enumerate(state)]
    arrays[name] = state
    return None


def _read_state(arrays: dict[str, Array], name: str, shape: Any) -> Any:
    if shape is None:
        return arrays[name]
    return tuple(_read_state(arrays, f"{name}.{index}", one) for index, one in enumerate(shape))


def _plain(value: Any) -> Any:
    """For json: an array within a generator's state."""
    return {"array": value.tolist(), "dtype": str(value.dtype)} if isinstance(value, np.ndarray) else int(value)


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"array", "dtype"}:
            return np.asarray(value["array"], value["dtype"])
        return {key: _restored(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_restored(one) for one in value]
    return value
