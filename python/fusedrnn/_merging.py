"""Two directions as one output: docs/design/cells.md (O15)."""

from __future__ import annotations

import numpy as np

from fusedrnn._checks import Array


def _halves(y: Array) -> tuple[Array, Array]:
    width = y.shape[-1] // 2
    return y[..., :width], y[..., width:]


def merged(how: str, y: Array) -> Array:
    """The output of a layer, given its directions side by side."""
    if how == "concat":
        return y
    forward, reverse = _halves(y)
    if how == "mul":
        return forward * reverse
    total: Array = forward + reverse
    return total if how == "sum" else total * y.dtype.type(0.5)


def merged_gradient(how: str, y: Array | None, d: Array) -> Array:
    """The gradient of the directions side by side, y, given that of `merged`. Only "mul" needs y."""
    if how == "concat":
        return d
    if how == "mul":
        assert y is not None
        forward, reverse = _halves(y)
        return np.concatenate((d * reverse, d * forward), axis=-1)
    if how == "ave":
        d = d * d.dtype.type(0.5)
    return np.concatenate((d, d), axis=-1)
