"""Residual and highway connections around a layer: docs/design/cells.md (O16), (O17)."""

from __future__ import annotations

import numpy as np

from fusedrnn import _core
from fusedrnn._checks import Array


class Highway:
    """y = t * layer(x) + (1 - t) * x with t = sigmoid(W x + b) (Srivastava et al. 2015)."""

    def __init__(self, features: int, dtype: str) -> None:
        self.shapes = [("weight_highway", (features, features)), ("bias_highway", (features,))]
        self._linear = _core.Linear(features, features, dtype)

    def gate(self, params: list[Array], x: Array) -> Array:
        """t, of x's shape."""
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        found: Array = _core.evaluate("sigmoid", self._linear.forward(params[0], params[1], rows)).reshape(x.shape)
        return found

    def forward(self, t: Array, x: Array, inner: Array) -> Array:
        """y, given the gate and the layer's output."""
        y: Array = t * inner + (1 - t) * x
        return y

    def backward(
        self, params: list[Array], t: Array, x: Array, inner: Array, dy: Array
    ) -> tuple[Array, Array, list[Array]]:
        """The gradients of the layer's output, of x, and of the parameters."""
        delta = dy * (inner - x) * t * (1 - t)
        rows, deltas = (np.ascontiguousarray(a).reshape(-1, x.shape[-1]) for a in (x, delta))
        dx, dweight, dbias = self._linear.backward(params[0], params[1], rows, deltas)
        assert dbias is not None
        return dy * t, dy * (1 - t) + dx.reshape(x.shape), [dweight, dbias]
