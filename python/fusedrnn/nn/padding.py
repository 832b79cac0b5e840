"""Rows of different lengths as one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusedrnn import _checks
from fusedrnn._checks import Array

__all__ = ["pad"]


def pad(rows: Sequence[ArrayLike], value: float = 0, *, batch_first: bool = False) -> tuple[Array, NDArray[np.int64]]:
    """Rows of different lengths as one array, and their lengths, as `lengths=` takes them.

        x, lengths = fr.nn.pad([[3, 1, 4], [1, 5]])

    Args:
        rows: at least one; each a sequence of numbers or an array (T, …), alike but for T.
        value: what stands after a row's end.
        batch_first: (B, T, …) instead of (T, B, …).

    Returns:
        padded, lengths: (T, B, …) of the rows' dtype, with the T of the longest, and (B,).

    Raises:
        ValueError: no rows, or rows that differ in more than their length.
        TypeError: rows that are not numbers.
    """
    # An empty list has no dtype of its own: it takes that of the others.
    given = [np.asarray(row) for row in rows]
    if not given:
        raise ValueError("rows: expected at least one, got none")
    arrays = [row for row in given if row.size] or given
    for index, row in enumerate(given):
        if row.ndim < 1 or row.dtype.kind not in "fiub":
            raise TypeError(f"rows: expected sequences of numbers, row {index} is {_checks.describe(rows[index])}")
        if row.size and row.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(f"rows: expected shapes (T, …) alike but for T, got {arrays[0].shape} and {row.shape}")
    lengths = np.array([len(row) for row in given], np.int64)
    shape = (len(given), int(lengths.max()), *arrays[0].shape[1:])
    padded: Array = np.full(shape, value, np.result_type(*arrays))
    for index, row in enumerate(given):
        if row.size:
            padded[index, : len(row)] = row
    return (padded if _checks.boolean("batch_first", batch_first) else padded.swapaxes(0, 1).copy()), lengths
