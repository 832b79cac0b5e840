"""The activations that a cell with options may have, and their constants: docs/design/cells.md, section 10."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .activations import Array, sigmoid, tanh

Choice: TypeAlias = "tuple[str, float, float]"
"""Name, alpha and beta. A function that has no such constant does not read it."""


class GeneralActivation(NamedTuple):
    """A function of the pre-activation a, its derivative, and the usual values of its constants (None: not used)."""

    value: Callable[[Array, float, float], Array]
    slope: Callable[[Array, float, float], Array]
    alpha: float | None
    beta: float | None


def _softplus(a: Array) -> Array:
    """ln(1 + exp(a)), without overflow."""
    found: Array = np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))
    return found


def _elu(a: Array, alpha: float) -> Array:
    return np.where(a > 0, a, alpha * np.expm1(np.minimum(a, 0)))


def _step(a: Array, inside: npt.NDArray[np.bool_], slope: float) -> Array:
    return np.where(inside, np.asarray(slope, a.dtype), 0)


GENERAL_ACTIVATIONS: Final[dict[str, GeneralActivation]] = {
    "sigmoid": GeneralActivation(lambda a, p, q: sigmoid(a), lambda a, p, q: sigmoid(a) * (1 - sigmoid(a)), None, None),
    "tanh": GeneralActivation(lambda a, p, q: tanh(a), lambda a, p, q: 1 - tanh(a) ** 2, None, None),
    "relu": GeneralActivation(lambda a, p, q: np.maximum(a, 0), lambda a, p, q: _step(a, a > 0, 1), None, None),
    "identity": GeneralActivation(lambda a, p, q: a, lambda a, p, q: np.ones_like(a), None, None),
    "affine": GeneralActivation(lambda a, p, q: p * a + q, lambda a, p, q: np.full_like(a, p), 1.0, 0.0),
    "leaky_relu": GeneralActivation(
        lambda a, p, q: np.where(a > 0, a, p * a), lambda a, p, q: np.where(a > 0, 1, p).astype(a.dtype), 0.01, None
    ),
    "thresholded_relu": GeneralActivation(
        lambda a, p, q: np.where(a > p, a, 0), lambda a, p, q: _step(a, a > p, 1), 1.0, None
    ),
    "scaled_tanh": GeneralActivation(
        lambda a, p, q: p * tanh(q * a), lambda a, p, q: p * q * (1 - tanh(q * a) ** 2), 1.0, 1.0
    ),
    "hard_sigmoid": GeneralActivation(
        lambda a, p, q: np.clip(p * a + q, 0, 1),
        lambda a, p, q: _step(a, (p * a + q > 0) & (p * a + q < 1), p),
        0.2,
        0.5,
    ),
    "elu": GeneralActivation(
        lambda a, p, q: _elu(a, p), lambda a, p, q: np.where(a > 0, 1, p * np.exp(np.minimum(a, 0))), 1.0, None
    ),
    "softsign": GeneralActivation(
        lambda a, p, q: a / (1 + np.abs(a)), lambda a, p, q: 1 / (1 + np.abs(a)) ** 2, None, None
    ),
    "softplus": GeneralActivation(lambda a, p, q: _softplus(a), lambda a, p, q: sigmoid(a), None, None),
}
"""The eleven of ONNX, and the identity."""


def value(choice: Choice, a: Array) -> Array:
    """The function of the pre-activation."""
    name, alpha, beta = choice
    found: Array = GENERAL_ACTIVATIONS[name].value(a, alpha, beta).astype(a.dtype)
    return found


def slope(choice: Choice, a: Array) -> Array:
    """Its derivative."""
    name, alpha, beta = choice
    found: Array = GENERAL_ACTIVATIONS[name].slope(a, alpha, beta).astype(a.dtype)
    return found
