"""A linear layer."""

from __future__ import annotations

import math
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import DTypeLike

from fusedrnn import _checks, _core
from fusedrnn._checks import Array
from fusedrnn._tape import Gradients
from fusedrnn.nn._part import Part, PartTape, floats, like
from fusedrnn.nn.embedding import Embedding


class Linear(Part):
    """y = x·weightᵀ + bias over the last axis.

    Args:
        in_features: I.
        out_features: O.
        bias: whether there is one.
        tied_to: an Embedding(O, I) whose weight is this part's too (Press and Wolf 2017); None for a weight of its own.
            Both stand in one Sequential. The weight is a parameter of the Embedding alone: it is counted, updated and
            saved once, and its gradient is the sum of both. The row of a padding_idx learns from this part only, as in
            torch. It begins as N(0, 1), large for an output: `fusedrnn.nn.init` has others.
        dtype: float32 or float64.
        rng: None, an int seed or a numpy.random.Generator: both parameters are drawn from U(-1/√I, 1/√I), as torch.nn
            does.

    Parameters: weight (O, I), bias (O,).

    Raises:
        ValueError: a size below 1, or an Embedding of another shape or dtype.
        TypeError: an argument of the wrong type.
    """

    def __init__(
        self,
        in_features: SupportsIndex,
        out_features: SupportsIndex,
        bias: bool = True,
        *,
        tied_to: Embedding | None = None,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.in_features = _checks.size("in_features", in_features)
        self.out_features = _checks.size("out_features", out_features)
        self.bias = _checks.boolean("bias", bias)
        self.tied_to = tied_to
        generator = _checks.generator(rng)
        bound = 1.0 / math.sqrt(self.in_features)
        arrays = {}
        if tied_to is None:
            arrays["weight"] = generator.uniform(-bound, bound, (self.out_features, self.in_features))
        if self.bias:
            arrays["bias"] = generator.uniform(-bound, bound, self.out_features)
        super().__init__(arrays, _checks.real_dtype(dtype))
        self._require_tie_that_fits()
        self._core = self._make_core()

    def _require_tie_that_fits(self) -> None:
        tied = self.tied_to
        if tied is None:
            return
        if not isinstance(tied, Embedding):
            raise TypeError(f"tied_to: expected an Embedding or None, got {_checks.describe(tied)}")
        if (tied.num_embeddings, tied.embedding_dim) != (self.out_features, self.in_features):
            raise ValueError(f"tied_to: expected an Embedding({self.out_features}, {self.in_features}), got {tied}")
        if tied.dtype != self.dtype:
            raise ValueError(f"dtype: expected {tied.dtype} as of the Embedding in tied_to, got {self.dtype}")

    def _make_core(self) -> _core.Linear:
        return _core.Linear(self.in_features, self.out_features, self.dtype.name)

    def __call__(self, x: Array) -> Array:
        """(…, I) -> (…, O).

        Raises:
            ValueError, TypeError: x has another width or dtype.
        """
        x = floats("x", x, self.dtype, self.in_features)
        y: Array = self._core.forward(*self._arrays, x.reshape(-1, self.in_features))
        return y.reshape(*x.shape[:-1], self.out_features)

    def record(self, x: Array) -> tuple[Array, LinearTape]:
        """y of x, and the tape. The tape borrows x: do not change it before `backward`. The weights may change."""
        x = floats("x", x, self.dtype, self.in_features)
        y = self(x)
        return y, LinearTape(self, x, y.shape)

    @property
    def _arrays(self) -> tuple[Array, Array | None]:
        params = self.params if self.tied_to is None else self.tied_to.params
        return params["weight"], self.params["bias"] if self.bias else None

    def _named(self, dw: Array, db: Array | None) -> dict[str, Array]:
        return {"weight": dw} if db is None else {"weight": dw, "bias": db}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_core"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._core = self._make_core()

    def __repr__(self) -> str:
        tied = "" if self.tied_to is None else f"tied_to={self.tied_to}"
        return self._repr(str(self.in_features), str(self.out_features), "" if self.bias else "bias=False", tied)


class LinearTape(PartTape):
    """What `Linear.record` kept."""

    __slots__ = ("_arrays", "_linear", "_x", "_y_shape")

    def __init__(self, linear: Linear, x: Array, y_shape: tuple[int, ...]) -> None:
        super().__init__()
        self._linear, self._x, self._y_shape = linear, x, y_shape
        weight, bias = linear._arrays
        self._arrays = weight.copy(), bias  # dx is of the weight as it was; of the bias only whether there is one

    def _backward(self, dy: Array) -> Gradients[None]:
        linear = self._linear
        dy = like("dy", dy, self._y_shape, linear.dtype)
        rows = self._x.reshape(-1, linear.in_features), dy.reshape(-1, linear.out_features)
        dx, dw, db = linear._core.backward(*self._arrays, *rows)
        return Gradients(dx.reshape(self._x.shape), None, linear._named(dw, db))
