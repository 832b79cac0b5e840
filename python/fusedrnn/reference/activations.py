"""The activation functions and their derivatives, in the dtype of their argument (docs/design/cells.md, section 1).

Every derivative is written in terms of the function's *value*: backpropagation through time then has to keep only the
activated gates, never the pre-activations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]

LEAKY_SLOPE: Final = 0.01
"""Slope of ``leaky_relu`` left of zero."""


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)), (A1). Only ever takes exp of a non-positive number, so nothing overflows."""
    decay: Array = np.exp(-np.abs(a))
    numerator: Array = np.where(a >= 0, np.ones((), a.dtype), decay)
    return numerator / (1 + decay)


def sigmoid_slope(y: Array) -> Array:
    """Derivative of the sigmoid where its value is ``y``, (A1)."""
    return y * (1 - y)


def tanh(a: Array) -> Array:
    """Hyperbolic tangent, (A2)."""
    return np.tanh(a)


def tanh_slope(y: Array) -> Array:
    """Derivative of tanh where its value is ``y``, (A2)."""
    return 1 - y * y


def relu(a: Array) -> Array:
    """max(a, 0), (A3). NaN stays NaN."""
    return np.maximum(a, 0)


def relu_slope(y: Array) -> Array:
    """Derivative of relu where its value is ``y``, (A3); 0 at 0."""
    return (y > 0).astype(y.dtype)


def leaky_relu(a: Array) -> Array:
    """``a`` right of zero, ``LEAKY_SLOPE * a`` elsewhere, (A4)."""
    return np.where(a > 0, a, LEAKY_SLOPE * a)


def leaky_relu_slope(y: Array) -> Array:
    """Derivative of leaky_relu where its value is ``y``, (A4); ``LEAKY_SLOPE`` at 0."""
    return np.where(y > 0, 1, LEAKY_SLOPE).astype(y.dtype)


def identity(a: Array) -> Array:
    """``a`` itself, (A5)."""
    return a


def identity_slope(y: Array) -> Array:
    """Ones, (A5)."""
    return np.ones_like(y)


class Activation(NamedTuple):
    """A function of the pre-activation, and its derivative as a function of the value."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


ACTIVATIONS: Final[dict[str, Activation]] = {
    "tanh": Activation(tanh, tanh_slope),
    "relu": Activation(relu, relu_slope),
    "sigmoid": Activation(sigmoid, sigmoid_slope),
    "leaky_relu": Activation(leaky_relu, leaky_relu_slope),
    "identity": Activation(identity, identity_slope),
}
"""What the ``nonlinearity`` of a simple RNN may be."""
