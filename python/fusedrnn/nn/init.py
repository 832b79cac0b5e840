"""Initial values of weights, in place of those a layer drew: each fills an array that is given.

    fr.nn.init.orthogonal(lstm.params["weight_hh_l0"], gates=4, rng=0)
    fr.nn.init.forget_bias(lstm, 1.0)
"""

from __future__ import annotations

import math

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn.layers import LSTM

__all__ = ["forget_bias", "glorot_normal", "glorot_uniform", "identity", "orthogonal"]


def orthogonal(
    weight: Array, gain: float = 1.0, *, gates: int = 1, rng: np.random.Generator | int | None = None
) -> Array:
    """Random orthonormal rows or columns (Saxe et al. 2014), for each gate of a recurrent weight its own.

    Args:
        weight: (gates·R, C). Written in place, and returned.
        gain: what the result is multiplied by.
        gates: how many matrices stand in it, one above the other: 4 in an LSTM's weights, 3 in a GRU's.
        rng: None, an int seed or a numpy.random.Generator.

    Raises:
        ValueError: not a writeable matrix of so many gates; a gain that is not finite and above 0.
        TypeError: not an array of floats.
    """
    height, columns = _matrix("weight", weight, gates)
    rows = weight.shape[0]
    factor = _checks.positive("gain", gain)
    generator = _checks.generator(rng)
    for first in range(0, rows, height):
        long, short = max(height, columns), min(height, columns)
        q, r = np.linalg.qr(generator.standard_normal((long, short)))
        q *= np.sign(np.diag(r))  # else not all of them would be equally likely
        weight[first : first + height] = factor * (q if height >= columns else q.T)
    return weight


def glorot_uniform(weight: Array, *, gates: int = 1, rng: np.random.Generator | int | None = None) -> Array:
    """U(-a, a) with a = √(6 / (inputs + outputs)) (Glorot and Bengio 2010).

    Args:
        weight: (gates·outputs, inputs). Written in place, and returned.
        gates: how many matrices stand in it, one above the other: 4 in an LSTM's weights, 3 in a GRU's.
        rng: None, an int seed or a numpy.random.Generator.
    """
    outputs, inputs = _matrix("weight", weight, gates)
    bound = math.sqrt(6.0 / (inputs + outputs))
    weight[...] = _checks.generator(rng).uniform(-bound, bound, weight.shape)
    return weight


def glorot_normal(weight: Array, *, gates: int = 1, rng: np.random.Generator | int | None = None) -> Array:
    """N(0, σ²) with σ = √(2 / (inputs + outputs)), as `glorot_uniform`."""
    outputs, inputs = _matrix("weight", weight, gates)
    weight[...] = _checks.generator(rng).standard_normal(weight.shape) * math.sqrt(2.0 / (inputs + outputs))
    return weight


def identity(weight: Array, gain: float = 1.0) -> Array:
    """The identity times `gain`: W_hh of a ReLU network that remembers (IRNN: Le, Jaitly and Hinton 2015).

    Args:
        weight: (H, H), written in place, and returned.

    Raises:
        ValueError: not a writeable square matrix; a gain that is not finite and above 0.
    """
    rows, columns = _matrix("weight", weight)
    if rows != columns:
        raise ValueError(f"weight: expected a square matrix, got shape {weight.shape}")
    weight[...] = _checks.positive("gain", gain) * np.eye(rows)
    return weight


def forget_bias(layer: LSTM, value: float = 1.0) -> None:
    """Set the bias of every forget gate of an LSTM, the sum of bias_ih and bias_hh, so that it remembers at first
    (Gers et al. 2000; Jozefowicz et al. 2015).

    Raises:
        TypeError: not an LSTM.
        ValueError: the layer has no bias, or no forget gate of its own.
    """
    if not isinstance(layer, LSTM):
        raise TypeError(f"layer: expected an LSTM, got {_checks.describe(layer)}")
    if not layer.bias:
        raise ValueError("layer: expected an LSTM with biases, got bias=False")
    if layer.coupled:
        raise ValueError("layer: expected an LSTM with a forget gate, got coupled=True")
    _checks.finite("value", value)
    forget = slice(layer.hidden_size, 2 * layer.hidden_size)
    for name, bias in layer.params.items():
        if name.startswith(("bias_ih", "bias_hh")):
            bias[forget] = value if name.startswith("bias_ih") else 0.0


def _matrix(name: str, weight: object, gates: object = 1) -> tuple[int, int]:
    """Rows of each gate, and columns."""
    array = _checks.array(name, weight)
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: expected an array of floats, got {_checks.describe(array)}")
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name}: expected a matrix, got shape {array.shape}")
    if not array.flags.writeable:
        raise ValueError(f"{name}: expected a writeable array, got a read-only one")
    count = _checks.integer("gates", gates, 1)
    if array.shape[0] % count:
        raise ValueError(f"{name}: expected rows that {count} gates divide, got shape {array.shape}")
    return array.shape[0] // count, array.shape[1]
