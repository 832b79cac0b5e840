"""From a sequence to one vector: the last step, the mean or the maximum over the steps that exist."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn._tape import Gradients
from fusedrnn.nn._part import Part, PartTape, floats, like

Counts = NDArray[np.int64] | None
"""Steps of each row, or None: all have all of them."""


class Pooling(Part):
    """A sequence (T, B, F), (B, T, F) with batch_first, or unbatched (T, F), as one vector for each row.

    Args:
        batch_first: the layout of x.
        dtype: float32 or float64.
    """

    def __init__(self, *, batch_first: bool = False, dtype: DTypeLike = np.float32) -> None:
        super().__init__({}, _checks.real_dtype(dtype))
        self.batch_first = _checks.boolean("batch_first", batch_first)

    def __call__(self, x: Array, *, lengths: ArrayLike | None = None) -> Array:
        """(B, F), or (F,) of an unbatched x.

        Args:
            x: the sequence.
            lengths: B integers in [0, T]: steps of each row. A row of length 0 gives zeros. Not with an unbatched x.
        """
        return self._pool(*self._arguments(x, lengths))[0]

    def record(self, x: Array, *, lengths: ArrayLike | None = None) -> tuple[Array, PartTape]:
        """y of x, and the tape."""
        x, counts = self._arguments(x, lengths)
        y, place = self._pool(x, counts)
        return y, _PoolingTape(self, x.shape, counts, place, y)

    @property
    def _time_axis_of_batch(self) -> int:
        return 1 if self.batch_first else 0

    def _arguments(self, x: object, lengths: ArrayLike | None) -> tuple[Array, Counts]:
        array = floats("x", x, self.dtype)
        if array.ndim not in (2, 3):
            layout = "(B, T, F)" if self.batch_first else "(T, B, F)"
            raise ValueError(f"x: expected shape {layout} or, unbatched, (T, F), got {array.shape}")
        steps = array.shape[self._time_axis(array)]
        if steps == 0:
            raise ValueError("x: expected at least one time step, got none")
        if lengths is None:
            return array, None
        if array.ndim == 2:
            raise ValueError(f"lengths: expected None with an unbatched x of shape {array.shape}")
        counts = _checks.lengths_array(lengths)
        rows = array.shape[1 - self._time_axis_of_batch]
        if counts.shape != (rows,):
            raise ValueError(f"lengths: expected shape ({rows},), got {counts.shape}")
        if counts.size and (counts.min() < 0 or counts.max() > steps):
            raise ValueError(f"lengths: expected values from 0 to T = {steps}, got {counts.tolist()}")
        return array, counts

    def _time_axis(self, x: Array) -> int:
        return self._time_axis_of_batch if x.ndim == 3 else 0

    def _missing(self, x: Array, counts: Counts) -> NDArray[np.bool_] | None:
        """Where a row has no step: (T, B, 1) or (B, T, 1)."""
        if counts is None:
            return None
        axis = self._time_axis(x)
        mask = np.arange(x.shape[axis])[:, np.newaxis] >= counts
        return (mask.T if axis else mask)[..., np.newaxis]

    def _pool(self, x: Array, counts: Counts) -> tuple[Array, Array | None]:
        """y, and what the gradient needs to know of x."""
        raise NotImplementedError

    def _spread(self, dy: Array, shape: tuple[int, ...], counts: Counts, place: Array | None) -> Array:
        """dx of dy."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._repr(*self._options(), "batch_first=True" if self.batch_first else "")

    def _options(self) -> list[str]:
        """What `__repr__` shows of a class's own arguments."""
        return []


class _PoolingTape(PartTape):
    __slots__ = ("_counts", "_dtype", "_place", "_pooling", "_shape", "_y_shape")

    def __init__(
        self,
        pooling: Pooling,
        shape: tuple[int, ...],
        counts: Counts,
        place: Array | None,
        y: Array,
    ) -> None:
        super().__init__()
        self._pooling, self._shape, self._counts, self._place = pooling, shape, counts, place
        self._y_shape, self._dtype = y.shape, y.dtype

    def _backward(self, dy: Array) -> Gradients[None]:
        dy = like("dy", dy, self._y_shape, self._dtype)
        return Gradients(self._pooling._spread(dy, self._shape, self._counts, self._place), None, {})


class LastStep(Pooling):
    """The output of each row's last step.

    Of a bidirectional layer's output the reverse half at the last step has seen that step alone: with `bidirectional`
    that half is taken from the first step, where it has seen all of them.

    Args:
        bidirectional: x is the output of a bidirectional layer: forward half and reverse half side by side.
        batch_first: the layout of x.
        dtype: float32 or float64.
    """

    def __init__(
        self, *, bidirectional: bool = False, batch_first: bool = False, dtype: DTypeLike = np.float32
    ) -> None:
        super().__init__(batch_first=batch_first, dtype=dtype)
        self.bidirectional = _checks.boolean("bidirectional", bidirectional)

    def _options(self) -> list[str]:
        return ["bidirectional=True"] if self.bidirectional else []

    def _pool(self, x: Array, counts: Counts) -> tuple[Array, Array | None]:
        if self.bidirectional and x.shape[-1] % 2:
            raise ValueError(f"x: expected an even number of features with bidirectional, got shape {x.shape}")
        axis = self._time_axis(x)
        last = self._last(x.shape, counts)
        y: Array = np.take_along_axis(x, last, axis).squeeze(axis)
        if self.bidirectional:
            half = x.shape[-1] // 2
            y[..., half:] = x.take(0, axis)[..., half:]
        if counts is not None:
            y[counts == 0] = 0
        return y, None

    def _last(self, shape: tuple[int, ...], counts: Counts) -> NDArray[np.int64]:
        if len(shape) == 2:
            return np.full((1, 1), shape[0] - 1)
        axis = self._time_axis_of_batch
        rows = shape[1 - axis]
        last = np.full(rows, shape[axis] - 1) if counts is None else np.maximum(counts - 1, 0)
        return last.reshape((rows, 1, 1) if axis else (1, rows, 1))

    def _spread(self, dy: Array, shape: tuple[int, ...], counts: Counts, place: Array | None) -> Array:
        axis = len(shape) == 3 and self._time_axis_of_batch
        dx = np.zeros(shape, dy.dtype)
        if counts is not None:
            dy = np.where((counts == 0)[:, np.newaxis], dy.dtype.type(0), dy)
        half = shape[-1] // 2 if self.bidirectional else shape[-1]
        forward = dx[..., :half]
        np.put_along_axis(forward, self._last(shape, counts), np.expand_dims(dy[..., :half], int(axis)), int(axis))
        first = dx[:, 0] if axis else dx[0]
        first[..., half:] += dy[..., half:]
        return dx


class MeanPool(Pooling):
    """The mean over the steps of each row."""

    def _pool(self, x: Array, counts: Counts) -> tuple[Array, Array | None]:
        axis = self._time_axis(x)
        missing = self._missing(x, counts)
        total: Array = (x if missing is None else np.where(missing, x.dtype.type(0), x)).sum(axis)
        return total * self._share(x.shape, counts, x.dtype), None

    def _share(self, shape: tuple[int, ...], counts: Counts, dtype: np.dtype[Any]) -> Array:
        steps = shape[self._time_axis_of_batch if len(shape) == 3 else 0]
        if counts is None:
            return np.asarray(1.0 / steps, dtype)
        return (1.0 / np.maximum(counts, 1)).astype(dtype)[:, np.newaxis]

    def _spread(self, dy: Array, shape: tuple[int, ...], counts: Counts, place: Array | None) -> Array:
        axis = self._time_axis_of_batch if len(shape) == 3 else 0
        dx = np.empty(shape, dy.dtype)
        dx[...] = np.expand_dims(dy * self._share(shape, counts, dy.dtype), axis)
        missing = self._missing(dx, counts)
        if missing is not None:
            np.copyto(dx, 0, where=missing)
        return dx


class MaxPool(Pooling):
    """The maximum over the steps of each row, feature by feature."""

    def _pool(self, x: Array, counts: Counts) -> tuple[Array, Array | None]:
        axis = self._time_axis(x)
        missing = self._missing(x, counts)
        seen = x if missing is None else np.where(missing, x.dtype.type(-np.inf), x)
        place = np.expand_dims(seen.argmax(axis), axis)
        y: Array = np.take_along_axis(x, place, axis).squeeze(axis)
        if counts is not None:
            y[counts == 0] = 0
        return y, place

    def _spread(self, dy: Array, shape: tuple[int, ...], counts: Counts, place: Array | None) -> Array:
        axis = self._time_axis_of_batch if len(shape) == 3 else 0
        assert place is not None
        dx = np.zeros(shape, dy.dtype)
        if counts is not None:
            dy = np.where((counts == 0)[:, np.newaxis], dy.dtype.type(0), dy)
        np.put_along_axis(dx, place, np.expand_dims(dy, axis), axis)
        return dx
