"""Parts, losses and models with inputs, and finite differences, for the tests of fusedrnn.nn and fusedrnn.optim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr

nn = fr.nn
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])

STEPS, ROWS, WIDTH = 5, 4, 6
LENGTHS = np.array([5, 1, 0, 3])

PARTS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda dtype: nn.Linear(WIDTH, 7, dtype=dtype, rng=1),
    "linear without bias": lambda dtype: nn.Linear(WIDTH, 7, bias=False, dtype=dtype, rng=1),
    "dropout": lambda dtype: nn.Dropout(0.4, dtype=dtype, rng=2),
    "no dropout": lambda dtype: nn.Dropout(0.0, dtype=dtype),
    "all dropped": lambda dtype: nn.Dropout(1.0, dtype=dtype, rng=2),
    "tanh": lambda dtype: nn.Tanh(dtype=dtype),
    "sigmoid": lambda dtype: nn.Sigmoid(dtype=dtype),
    "relu": lambda dtype: nn.ReLU(dtype=dtype),
    "last step": lambda dtype: nn.LastStep(dtype=dtype),
    "last step of two directions": lambda dtype: nn.LastStep(bidirectional=True, dtype=dtype),
    "mean": lambda dtype: nn.MeanPool(dtype=dtype),
    "max": lambda dtype: nn.MaxPool(dtype=dtype),
}
POOLINGS = ("last step", "last step of two directions", "mean", "max")

MODELS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda dtype: nn.Sequential(nn.Linear(WIDTH, 3, dtype=dtype, rng=1)),
    "lstm": lambda dtype: nn.Sequential(
        fr.LSTM(WIDTH, 5, dtype=dtype, rng=1), nn.Tanh(dtype=dtype), nn.Linear(5, 3, dtype=dtype, rng=2)
    ),
    "two kinds": lambda dtype: nn.Sequential(
        nn.Linear(WIDTH, 5, dtype=dtype, rng=1),
        fr.GRU(5, 4, num_layers=2, dtype=dtype, rng=2),
        fr.RNN(4, 3, dtype=dtype, rng=3),
    ),
    "both directions": lambda dtype: nn.Sequential(
        fr.GRU(WIDTH, 4, bidirectional=True, dtype=dtype, rng=1), nn.Linear(8, 3, dtype=dtype, rng=2)
    ),
    "residual": lambda dtype: nn.Sequential(
        nn.Residual(fr.LSTM(WIDTH, WIDTH, dtype=dtype, rng=1)),
        nn.Residual(nn.Sequential(nn.Linear(WIDTH, 4, dtype=dtype, rng=2), nn.Tanh(dtype=dtype)), join="concat"),
        nn.Residual(nn.Linear(WIDTH + 4, WIDTH + 4, dtype=dtype, rng=4)),
        nn.Linear(WIDTH + 4, 3, dtype=dtype, rng=3),
    ),
    "within": lambda dtype: nn.Sequential(
        nn.Sequential(nn.Residual(fr.GRU(WIDTH, 4, dtype=dtype, rng=1), join="concat"), nn.Tanh(dtype=dtype)),
        fr.LSTM(WIDTH + 4, 4, proj_size=3, dtype=dtype, rng=2),
    ),
}
POOLED_MODELS: dict[str, Callable[[Any], Any]] = {
    "last": lambda dtype: nn.Sequential(
        fr.GRU(WIDTH, 4, bidirectional=True, dtype=dtype, rng=1),
        nn.LastStep(bidirectional=True, dtype=dtype),
        nn.Linear(8, 3, dtype=dtype, rng=2),
    ),
    "mean within": lambda dtype: nn.Sequential(
        nn.Sequential(fr.LSTM(WIDTH, 4, dtype=dtype, rng=1), nn.MeanPool(dtype=dtype)),
        nn.Linear(4, 3, dtype=dtype, rng=2),
    ),
    "max": lambda dtype: nn.Sequential(fr.RNN(WIDTH, 3, dtype=dtype, rng=1), nn.MaxPool(dtype=dtype)),
}

LOSSES: dict[str, Callable[..., Any]] = {
    "cross entropy": nn.cross_entropy,
    "cross entropy with weights": partial(nn.cross_entropy, class_weights=[0.5, 2.0, 1.5]),
    "cross entropy with a weight for each": lambda y, targets, **options: nn.cross_entropy(
        y, targets, weights=draw(*y.shape[:-1], seed=4), **options
    ),
    "cross entropy that ignores": partial(nn.cross_entropy, ignore=1),
    "binary cross entropy": nn.binary_cross_entropy,
    "mse": nn.mse,
    "huber": partial(nn.huber, delta=0.7),
}


TOKEN_MODELS: dict[str, Callable[[int], Any]] = {
    "lstm": lambda count: nn.Sequential(
        nn.Embedding(count, 4, dtype=np.float64, rng=0),
        fr.LSTM(4, 5, num_layers=2, dtype=np.float64, rng=1),
        nn.Linear(5, 3, dtype=np.float64, rng=2),
    ),
    "both directions": lambda count: nn.Sequential(
        nn.Embedding(count, 4, padding_idx=1, dtype=np.float64, rng=0),
        fr.GRU(4, 5, bidirectional=True, dtype=np.float64, rng=1),
        nn.Linear(10, 3, dtype=np.float64, rng=2),
    ),
    "within": lambda count: nn.Sequential(
        nn.Embedding(count, 4, dtype=np.float64, rng=0),
        nn.Residual(fr.RNN(4, 4, dtype=np.float64, rng=1)),
        nn.Linear(4, 3, dtype=np.float64, rng=2),
    ),
}
"""Of how many tokens there are: a layer takes few of them as they are, and many as their vectors."""


def draw(*shape: int, dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def tokens(*shape: int, count: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(0, count, shape)


def targets_of(loss: str, shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """Something that the loss can be of, for outputs of that shape."""
    if loss.startswith("cross"):
        return tokens(*shape[:-1], seed=7)
    if loss.startswith("binary"):
        return np.random.default_rng(8).random(shape).astype(dtype)
    return draw(*shape, dtype=dtype, seed=9)


def check_slopes(what: str, function: Callable[[], float], array: np.ndarray, gradient: np.ndarray) -> None:
    """`gradient` against central differences of `function`, which reads `array`: at up to 40 of its elements."""
    step = 1e-6
    assert array.dtype == gradient.dtype == np.float64, what
    assert array.shape == gradient.shape, what
    flat, expected = array.reshape(-1), gradient.reshape(-1)
    assert np.shares_memory(flat, array) or not array.size
    places = np.random.default_rng(3).permutation(flat.size)[:40]
    for place in places:
        value = flat[place]
        flat[place] = value + step
        above = function()
        flat[place] = value - step
        below = function()
        flat[place] = value
        slope = (above - below) / (2 * step)
        error = abs(slope - expected[place])
        assert error <= 1e-7 * max(1.0, abs(slope)), f"{what}[{place}]: slope {slope}, gradient {expected[place]}"


def leaves(value: Any) -> list[np.ndarray]:
    """The arrays of a state, in their order."""
    if isinstance(value, tuple):
        return [leaf for one in value for leaf in leaves(one)]
    return [] if value is None else [value]


def like_state(value: Any, seed: int) -> Any:
    """A state of random numbers, nested as this one."""
    if isinstance(value, tuple):
        return tuple(like_state(one, seed + k) for k, one in enumerate(value))
    return draw(*value.shape, dtype=value.dtype, seed=seed)


def arrays_of(gradients: Any) -> dict[str, np.ndarray]:
    found = {f"d {name}": array for name, array in gradients.params.items()}
    if gradients.x is not None:
        found["d x"] = gradients.x
    return found | {f"d state {k}": leaf for k, leaf in enumerate(leaves(gradients.state))}


def check_same_bits(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    assert list(ours) == list(theirs)
    for name in ours:
        one, other = np.asarray(ours[name]), np.asarray(theirs[name])
        assert one.dtype == other.dtype, name
        assert one.shape == other.shape, name
        assert one.tobytes() == other.tobytes(), f"{name}: {np.abs(one - other).max()}"
