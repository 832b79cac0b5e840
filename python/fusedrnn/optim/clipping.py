"""Bounds on gradients (Pascanu et al. 2013)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fusedrnn import _checks, _core
from fusedrnn._checks import Array
from fusedrnn._tape import Gradients
from fusedrnn.optim._optimiser import by_name

__all__ = ["clip_grad_norm", "clip_grad_value", "grad_norm", "norms"]


def norms(gradients: Mapping[str, Array] | Gradients[Any]) -> dict[str, float]:
    """The L2 norm of every gradient by name, summed in float64: inf or NaN where an element is.

    Squares beyond float64 do no harm: only a norm that is itself beyond it is inf.
    """
    found = by_name(gradients)
    result = dict.fromkeys(found, 0.0)
    for dtype in {array.dtype for array in found.values()}:
        names = [name for name, array in found.items() if array.dtype == dtype]
        squares = _core.sums_of_squares([found[name] for name in names])
        result.update({name: _root(square, found[name]) for name, square in zip(names, squares, strict=True)})
    return result


def grad_norm(gradients: Mapping[str, Array] | Gradients[Any]) -> float:
    """The L2 norm of all gradients together."""
    return joint(norms(gradients))


def joint(each: Mapping[str, float]) -> float:
    """The L2 norm of all gradients together, given that of each by name."""
    norm = math.sqrt(sum(own * own for own in each.values()))
    return math.hypot(*each.values()) if math.isinf(norm) else norm


def _root(square: float, array: Array) -> float:
    """The norm of an array, given the sum of its squares, which may have overflowed."""
    if not math.isinf(square):
        return math.sqrt(square)
    largest = float(np.abs(array).max())
    if math.isinf(largest):
        return largest
    return largest * math.sqrt(_core.sums_of_squares([array / largest])[0])


def clip_grad_norm(gradients: Mapping[str, Array] | Gradients[Any], max_norm: float) -> float:
    """Scale all gradients, in place, so that their joint L2 norm is at most `max_norm`; returns the norm they had.

    Raises:
        ValueError: max_norm is not a finite number of at least 0; the norm is NaN or infinite; an array is read-only.

    After an error nothing has changed.
    """
    limit = _checks.not_negative("max_norm", max_norm)
    each = norms(gradients)
    norm = joint(each)
    if not math.isfinite(norm):
        wrong = ", ".join(name for name, own in each.items() if not math.isfinite(own)) or "all together"
        raise ValueError(f"gradients: expected finite numbers, got a norm of {norm}: {wrong}")
    if norm > limit:
        for array in _writeable(gradients):
            array *= array.dtype.type(limit / norm)
    return norm


def clip_grad_value(gradients: Mapping[str, Array] | Gradients[Any], max_value: float) -> None:
    """Bound every element of all gradients, in place, to [-max_value, max_value].

    Raises:
        ValueError: max_value is not a finite number of at least 0; an array is read-only. Nothing has changed then.
    """
    limit = _checks.not_negative("max_value", max_value)
    for array in _writeable(gradients):
        with np.errstate(over="ignore"):  # no bound at all, for float32
            end = array.dtype.type(limit)
        np.clip(array, -end, end, out=array)


def _writeable(gradients: Mapping[str, Array] | Gradients[Any]) -> list[Array]:
    found = by_name(gradients)
    for name, array in found.items():
        if not array.flags.writeable:
            raise ValueError(f"gradients: expected writeable arrays, {name!r} is read-only")
    return list(found.values())
