"""Weights that two parts share: one parameter under one name, whose gradient is the sum of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fusedrnn._checks import Array
from fusedrnn.nn.linear import Linear

__all__ = ["owned", "summed", "tied_weights", "untied"]


def tied_weights(parts: Mapping[str, Any]) -> dict[str, str]:
    """For the weight of every Linear among the parts that is tied to an Embedding: the name of that one's weight.

    Raises:
        ValueError: the Embedding is not among the parts.
    """
    ties = {}
    for name, part in parts.items():
        if isinstance(part, Linear) and part.tied_to is not None:
            place = _place_of(part.tied_to, parts)
            if place is None:
                raise ValueError(f"parts: expected among them the Embedding that part {name} is tied to, {part}")
            ties[f"{name}.weight"] = f"{place}.weight"
    return ties


def _place_of(wanted: Any, parts: Mapping[str, Any]) -> str | None:
    for name, part in parts.items():
        if part is wanted:
            return name
        within = _place_of(wanted, getattr(part, "named_parts", {}))
        if within is not None:
            return f"{name}.{within}"
    return None


def owned(gradients: Mapping[str, Array], ties: Mapping[str, str]) -> dict[str, Array]:
    """The gradients under the names of parameters."""
    return {ties.get(name, name): gradient for name, gradient in gradients.items()}


def summed(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> dict[str, Array]:
    """All gradients; those of one name are added."""
    both = {name: np.add(ours[name], theirs[name]) for name in ours if name in theirs}
    return {**ours, **theirs, **both}


def untied(mapping: Mapping[str, object], ties: Mapping[str, str]) -> Mapping[str, object]:
    """Values by name, as of a torch `state_dict`, each tied weight only under the name of the parameter.

    Raises:
        ValueError: a tied weight stands there twice with different values.
    """
    if not ties or not isinstance(mapping, Mapping):
        return mapping
    values = dict(mapping)
    for name, parameter in ties.items():
        if name not in values:
            continue
        value = values.pop(name)
        if not np.array_equal(np.asarray(values.setdefault(parameter, value)), np.asarray(value)):
            raise ValueError(f"{name}: expected the values of {parameter}, to which it is tied, got others")
    return values
