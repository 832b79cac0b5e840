"""What tells a reader how good a model is, where a loss tells an optimiser."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fusedrnn.nn.losses import ClassTargets, class_logits

__all__ = ["accuracy"]


def accuracy(
    y: ArrayLike,
    targets: ArrayLike,
    *,
    ignore: int | None = None,
    lengths: ArrayLike | None = None,
    batch_first: bool = False,
) -> float:
    """The share of targets whose class has the greatest logit, from 0 to 1; the first of several that are as great.

    Args:
        y: logits (…, C), float32 or float64.
        targets: the right class of each, (…), integers from 0 to C - 1.
        ignore: targets of this value do not count.
        lengths, batch_first: as of a loss: what lies beyond a row's length does not count.

    Returns:
        A float; 0 where no target counts.

    Raises:
        ValueError: a wrong shape, a target out of range.
        TypeError: a wrong dtype.
    """
    logits = class_logits(y)
    wanted = ClassTargets(
        targets, logits.shape[:-1], logits.shape[-1], logits.dtype, ignore, lengths=lengths, batch_first=batch_first
    )
    right = logits.reshape(-1, logits.shape[-1]).argmax(-1) == wanted.classes
    counts = wanted.weights > 0
    return float(right[counts].mean()) if counts.any() else 0.0
