"""Losses: each gives its value and the gradient of its first argument in one pass.

Every loss is called as loss(y, targets, **options) and returns (value, dy): a float, and an array like y. Options come
as keywords; `functools.partial` binds them where a function expects a loss:

    loss = partial(fr.nn.cross_entropy, ignore=0)

All take `lengths` and `batch_first`: with lengths, y and targets begin with the axes (T, B), or (B, T) with
batch_first, and what lies beyond a row's length does not count. The mean is over what counts; of nothing it is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusedrnn import _checks, _core
from fusedrnn._checks import Array
from fusedrnn.nn._part import integers

__all__ = ["binary_cross_entropy", "cross_entropy", "huber", "mse"]


def cross_entropy(
    y: Array,
    targets: ArrayLike,
    *,
    ignore: int | None = None,
    class_weights: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    batch_first: bool = False,
) -> tuple[float, Array]:
    """The mean of -ln softmax(y)[target], and its gradient.

    Args:
        y: logits (…, C), float32 or float64.
        targets: the right class of each, (…), integers from 0 to C - 1.
        ignore: targets of this value do not count.
        class_weights: (C,), not negative: what a target of each class counts in the mean, as in torch.
        weights: (…), any finite numbers: what the term of each target is multiplied by, such as advantages (REINFORCE)
            or importance weights. The mean is still over as many targets: they do not change what it is divided by.
        lengths, batch_first: see the module.

    Raises:
        ValueError: a wrong shape, a target out of range.
        TypeError: a wrong dtype.
    """
    logits = class_logits(y)
    classes = logits.shape[-1]
    wanted = ClassTargets(
        targets, logits.shape[:-1], classes, logits.dtype, ignore, class_weights, lengths, batch_first, weights
    )
    losses, dy = _core.cross_entropy(logits.reshape(-1, classes), wanted.classes, wanted.weights)
    return wanted.mean(losses), dy.reshape(logits.shape)


def class_logits(y: object) -> Array:
    """y as an array (…, C) of float32 or float64."""
    logits = float_array("y", y)
    if logits.ndim < 1 or logits.shape[-1] < 1:
        raise ValueError(f"y: expected shape (…, C), got {logits.shape}")
    return logits


class ClassTargets:
    """Targets of a cross-entropy, flat: the class of each, and its weight in the mean: 0 where it does not count."""

    def __init__(
        self,
        targets: ArrayLike,
        shape: tuple[int, ...],
        classes: int,
        dtype: np.dtype[Any],
        ignore: int | None = None,
        class_weights: ArrayLike | None = None,
        lengths: ArrayLike | None = None,
        batch_first: bool = False,
        weights: ArrayLike | None = None,
    ) -> None:
        array = integers("targets", targets)
        if array.shape != shape:
            raise ValueError(f"targets: expected shape {shape}, got {array.shape}")
        counts = counted(shape, lengths, batch_first)
        if ignore is not None:
            counts = counts & (array != _checks.integer("ignore", ignore, -(2**63)))
        flat, counts = array.reshape(-1), counts.reshape(-1)
        wrong = counts & ((flat < 0) | (flat >= classes))
        if wrong.any():
            raise ValueError(f"targets: expected classes from 0 to {classes - 1}, got {flat[wrong][0]}")
        self.classes = np.where(counts, flat, 0)
        shares = counts.astype(np.float64)
        if class_weights is not None:
            shares *= _class_weights(class_weights, classes)[self.classes]
        total = shares.sum()
        shares = shares / total if total > 0 else shares
        self._mean_weights = shares if weights is None else shares * _target_weights(weights, shape, dtype, counts)
        self.weights = self._mean_weights.astype(dtype)

    def mean(self, losses: NDArray[np.float64]) -> float:
        """The weighted mean of the losses of each; NaN if one that counts is."""
        return float(losses @ self._mean_weights)


def _class_weights(value: ArrayLike, classes: int) -> NDArray[np.float64]:
    weights = _numbers("class_weights", value, (classes,))
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("class_weights: expected finite numbers that are not negative")
    return weights


def _target_weights(
    value: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any], counts: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The weight of each target, flat; 0 of those that do not count, whatever stands there."""
    weights = np.where(counts, _numbers("weights", value, shape).reshape(-1), 0.0)
    wrong = ~(np.abs(weights) <= np.finfo(dtype).max)
    if wrong.any():
        raise ValueError(f"weights: expected finite numbers of {dtype}, got {weights[wrong][0]}")
    return weights


def _numbers(name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    given = _checks.as_array(name, value, "numbers")
    if given.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected numbers, got {_checks.describe(value)}")
    if given.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {given.shape}")
    return given.astype(np.float64)


def binary_cross_entropy(
    y: Array, targets: ArrayLike, *, lengths: ArrayLike | None = None, batch_first: bool = False
) -> tuple[float, Array]:
    """The mean of -t ln σ(y) - (1 - t) ln(1 - σ(y)) over all elements, y being logits, and its gradient.

    Args:
        y: logits, float32 or float64.
        targets: t in [0, 1], shaped as y: numbers or bools.
        lengths, batch_first: see the module.

    Raises:
        ValueError: a wrong shape, or a target out of range.
        TypeError: a wrong dtype.
    """
    logits, wanted, counts = _element_arguments(y, targets, lengths, batch_first)
    if (counts & ((wanted < 0) | (wanted > 1))).any():
        raise ValueError("targets: expected numbers from 0 to 1")
    with np.errstate(all="ignore"):  # what overflows is infinite, in padding too
        losses = np.maximum(logits, 0) - logits * wanted + np.log1p(np.exp(-np.abs(logits)))
        return _mean_and_gradient(losses, _core.evaluate("sigmoid", logits) - wanted, counts)


def mse(
    y: Array, targets: ArrayLike, *, lengths: ArrayLike | None = None, batch_first: bool = False
) -> tuple[float, Array]:
    """The mean of (y - target)² over all elements, and its gradient.

    Args:
        y: float32 or float64.
        targets: numbers, shaped as y.
        lengths, batch_first: see the module.

    Raises:
        ValueError: a wrong shape.
        TypeError: a wrong dtype.
    """
    values, wanted, counts = _element_arguments(y, targets, lengths, batch_first)
    with np.errstate(all="ignore"):
        error = values - wanted
        return _mean_and_gradient(error * error, 2 * error, counts)


def huber(
    y: Array, targets: ArrayLike, *, delta: float = 1.0, lengths: ArrayLike | None = None, batch_first: bool = False
) -> tuple[float, Array]:
    """The mean of Huber's loss over all elements, and its gradient: e²/2 for |e| <= delta, else delta (|e| - delta/2).

    Args:
        y: float32 or float64; e = y - target.
        targets: numbers, shaped as y.
        delta: where the square ends, above 0.
        lengths, batch_first: see the module.

    Raises:
        ValueError: a wrong shape, or delta not above 0.
        TypeError: a wrong dtype.
    """
    limit = _checks.positive("delta", delta)
    values, wanted, counts = _element_arguments(y, targets, lengths, batch_first)
    with np.errstate(all="ignore"):
        end = values.dtype.type(limit)
        error = values - wanted
        slope = np.clip(error, -end, end)
        return _mean_and_gradient(slope * (error - slope / 2), slope, counts)


def float_array(name: str, value: object) -> Array:
    """`value` as an array of float32 or float64."""
    array = np.asarray(_checks.array(name, value))  # no subclass
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f'{name}: expected dtype float32 or float64, got {array.dtype}; .astype("float32") converts it')
    return array


def counted(shape: tuple[int, ...], lengths: ArrayLike | None, batch_first: bool) -> NDArray[np.bool_]:
    """Which elements of an array of `shape` count: all, or those before the end of their row."""
    _checks.boolean("batch_first", batch_first)
    if lengths is None:
        return np.ones(shape, np.bool_)
    if len(shape) < 2:
        raise ValueError(f"lengths: expected None, targets of shape {shape} have no axes of time and batch")
    steps, rows = (shape[1], shape[0]) if batch_first else shape[:2]
    counts = _checks.lengths_array(lengths)
    if counts.shape != (rows,):
        raise ValueError(f"lengths: expected shape ({rows},), got {counts.shape}")
    if counts.size and (counts.min() < 0 or counts.max() > steps):
        raise ValueError(f"lengths: expected values from 0 to T = {steps}, got {counts.tolist()}")
    mask = np.arange(steps)[:, np.newaxis] < counts
    mask = (mask.T if batch_first else mask).reshape(*shape[:2], *[1] * (len(shape) - 2))
    return np.broadcast_to(mask, shape)


def _element_arguments(
    y: object, targets: ArrayLike, lengths: ArrayLike | None, batch_first: bool
) -> tuple[Array, Array, NDArray[np.bool_]]:
    values = float_array("y", y)
    wanted = _checks.as_array("targets", targets, "numbers")
    if wanted.dtype.kind not in "fiub":
        raise TypeError(f"targets: expected numbers, got {_checks.describe(targets)}")
    if wanted.shape != values.shape:
        raise ValueError(f"targets: expected shape {values.shape}, got {wanted.shape}")
    with np.errstate(over="ignore"):  # beyond float32
        wanted = np.asarray(wanted.astype(values.dtype, copy=False))
    return values, wanted, counted(values.shape, lengths, batch_first)


def _mean_and_gradient(losses: Array, slopes: Array, counts: NDArray[np.bool_]) -> tuple[float, Array]:
    total = max(int(counts.sum()), 1)
    value = float(np.where(counts, losses, 0).sum(dtype=np.float64) / total)
    return value, np.where(counts, slopes * slopes.dtype.type(1 / total), slopes.dtype.type(0))
