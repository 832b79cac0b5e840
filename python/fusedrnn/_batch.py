"""The axes that the core's arrays always have and the caller's may lack.

The core knows sequences (T, B, ·) and states (L*D, B, ·) only. A call without a batch axis is a batch of one row, and
a cell's step is a sequence of one step through one layer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusedrnn import _checks
from fusedrnn._checks import Array


class Axes(NamedTuple):
    """Two indices: `array[add]` makes a caller's array one of the core's, `array[remove]` goes the other way."""

    add: tuple[Any, ...]
    remove: tuple[Any, ...]

    def add_to(self, name: str, value: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
        """The core's array for a caller's one, which must have this shape and dtype. None stays None."""
        return None if value is None else _checks.shaped(name, value, shape, dtype)[self.add]

    def remove_from(self, *arrays: Array | None) -> list[Any]:
        """The caller's arrays for the core's. None stays None."""
        remove = self.remove
        return [None if array is None else array[remove] for array in arrays]


BATCH = Axes((slice(None), np.newaxis), (slice(None), 0))
"""From (n, ·) to (n, 1, ·): a sequence or a state without a batch axis."""
LAYER = Axes((np.newaxis,), (0,))
"""From (B, ·) to (1, B, ·): one step, or the state of one layer."""
LAYER_AND_BATCH = Axes((np.newaxis, np.newaxis), (0, 0))
"""From (·,) to (1, 1, ·): one step of one row, or its state."""


def batch_of_one(
    x: Array, lengths: object, reset: object, input_size: int, batch_first: bool
) -> tuple[Array, NDArray[np.bool_] | None]:
    """x (T, I) and reset (T,) of a call without a batch axis, with one, time first."""
    if x.ndim != 2 or x.shape[1] != input_size:
        layout = "(B, T, I)" if batch_first else "(T, B, I)"
        raise ValueError(f"x: expected shape {layout} or, unbatched, (T, I) with I = {input_size}, got {x.shape}")
    if lengths is not None:
        raise ValueError(f"lengths: expected None with an unbatched x of shape {x.shape}, got {_checks.shown(lengths)}")
    if reset is None:
        return x[BATCH.add], None
    mask = _checks.mask_array("reset", reset)
    if mask.shape != x.shape[:1]:
        raise ValueError(f"reset: expected shape {x.shape[:1]}, got {mask.shape}")
    return x[BATCH.add], mask[BATCH.add]
