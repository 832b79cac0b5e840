"""Parts without parameters that go element by element: dropout, activations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fusedrnn import _checks, _core
from fusedrnn._checks import Array
from fusedrnn._tape import Gradients
from fusedrnn.nn._part import Part, PartTape, floats, like


class Dropout(Part):
    """Inverted dropout (Srivastava et al. 2014).

    `record` zeroes an element with probability p and divides the others by 1 - p. A call never drops.

    Args:
        p: in [0, 1].
        dtype: float32 or float64.
        rng: None, an int seed or a numpy.random.Generator: gives each `record` the seed of its mask.
    """

    def __init__(
        self, p: float = 0.5, *, dtype: DTypeLike = np.float32, rng: np.random.Generator | int | None = None
    ) -> None:
        super().__init__({}, _checks.real_dtype(dtype))
        self.p = _checks.probability("p", p)
        self.rng = _checks.generator(rng)

    def __call__(self, x: Array) -> Array:
        """x itself."""
        return floats("x", x, self.dtype)

    def record(self, x: Array) -> tuple[Array, PartTape]:
        """x with elements dropped, and the tape, which keeps the mask's seed only."""
        x = floats("x", x, self.dtype)
        if self.p == 0:
            return x, _DropoutTape(self.p, 0, x.shape, self.dtype)
        seed = int(self.rng.integers(2**63))
        return _core.dropout(x, self.p, seed), _DropoutTape(self.p, seed, x.shape, self.dtype)

    def __repr__(self) -> str:
        return self._repr(str(self.p))


class _DropoutTape(PartTape):
    __slots__ = ("_dtype", "_p", "_seed", "_shape")

    def __init__(self, p: float, seed: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        super().__init__()
        self._p, self._seed, self._shape, self._dtype = p, seed, shape, dtype

    def _backward(self, dy: Array) -> Gradients[None]:
        dy = like("dy", dy, self._shape, self._dtype)
        return Gradients(dy if self._p == 0 else _core.dropout(dy, self._p, self._seed), None, {})


class _Activation(Part):
    """An elementwise function whose derivative follows from its value."""

    def __init__(self, *, dtype: DTypeLike = np.float32) -> None:
        super().__init__({}, _checks.real_dtype(dtype))

    def __call__(self, x: Array) -> Array:
        return self._value(floats("x", x, self.dtype))

    def record(self, x: Array) -> tuple[Array, PartTape]:
        y = self(x)
        return y, _ActivationTape(self, y)

    def _value(self, x: Array) -> Array:
        raise NotImplementedError

    def _slope(self, y: Array) -> Array:
        """dy/dx as a function of y."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._repr()


class _ActivationTape(PartTape):
    __slots__ = ("_activation", "_y")

    def __init__(self, activation: _Activation, y: Array) -> None:
        super().__init__()
        self._activation, self._y = activation, y.copy()

    def _backward(self, dy: Array) -> Gradients[None]:
        dy = like("dy", dy, self._y.shape, self._y.dtype)
        return Gradients(np.asarray(dy * self._activation._slope(self._y)), None, {})


class Tanh(_Activation):
    """y = tanh x, by the recurrent kernels' own function."""

    def _value(self, x: Array) -> Array:
        return _core.evaluate("tanh", x)

    def _slope(self, y: Array) -> Array:
        return np.asarray(1 - y * y)


class Sigmoid(_Activation):
    """y = 1 / (1 + e^-x), by the recurrent kernels' own function."""

    def _value(self, x: Array) -> Array:
        return _core.evaluate("sigmoid", x)

    def _slope(self, y: Array) -> Array:
        return np.asarray(y * (1 - y))


class ReLU(_Activation):
    """y = max(x, 0)."""

    def _value(self, x: Array) -> Array:
        return np.asarray(np.maximum(x, 0))

    def _slope(self, y: Array) -> Array:
        return np.asarray(~(y <= 0), y.dtype)  # a NaN keeps its gradient
