"""Streams: a network stepped one time step at a time, as audio, control and games need it."""

from __future__ import annotations

from typing import Any, Generic, NoReturn, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusedrnn import _checks, _core
from fusedrnn._checks import Array
from fusedrnn._tape import State

__all__ = ["Stream"]


class Stream(Generic[State]):
    """A network that keeps its state between steps. Made by `layer.stream(batch_size)`.

    Stepping through a sequence gives the outputs of one call over it, to the bit. One stream belongs to one thread at a
    time. When `load_params`, an assignment to `params` or an optimiser of fusedrnn changes the layer's weights, the
    next step takes the new ones and goes on from the same state. After a change of the arrays in place call `refresh`.
    """

    def __init__(self, core: _core.Stream) -> None:
        """Wrap a compiled stream; users call `layer.stream`."""
        self._core = core
        self._is_pair = core.get_state()[1] is not None
        # The core's own method, so that a step costs no Python call: the method below only says what it is.
        self.step = core.step  # type: ignore[method-assign]
        self.process = core.process  # type: ignore[method-assign]

    @property
    def batch_size(self) -> int:
        """B, the rows stepped together."""
        return self._core.batch_size

    def step(self, x: Array, out: Array | None = None) -> Array:
        """Take one step.

        Args:
            x: (B, I), of the layer's dtype; (I,) as well when B is 1. Of a stream of tokens (B,), int64.
            out: where to write y: an array of y's shape and the layer's dtype, writeable. None for a new array.
                With `out`, x and out C-contiguous, nothing is allocated.

        Returns:
            y of this step: (B, P), or (P,) for an x of (I,). `out` itself when it was given.

        Raises:
            ValueError: x or out of the wrong shape, or out read-only.
            TypeError: x or out of the wrong type or dtype.
        """
        return self._core.step(x, out)

    def process(self, x: Array, out: Array | None = None) -> Array:
        """Take several steps.

        Args:
            x: (T, B, I), of the layer's dtype; of a stream of tokens (T, B), int64.
            out: where to write y: (T, B, P), of the layer's dtype, writeable. None for a new array. With `out`, x and
                out C-contiguous, nothing is allocated.

        Returns:
            y of these steps, (T, B, P). `out` itself when it was given.

        Raises:
            ValueError: x or out of the wrong shape, a token out of range, or out read-only.
            TypeError: x or out of the wrong type or dtype.
        """
        return self._core.process(x, out)

    def refresh(self) -> None:
        """Take the layer's weights, and the embedding, as they are now. The state stays."""
        self._core.refresh()

    def reset(self, rows: ArrayLike | None = None) -> None:
        """Back to the state that a call begins with: zeros, or the learned state.

        Args:
            rows: the rows to reset: bool (B,), or their numbers; None for all.

        Raises:
            ValueError: rows of the wrong shape, or a number out of range.
            TypeError: rows neither bools nor integers.
        """
        self._core.reset(None if rows is None else self._mask(rows))

    def _mask(self, rows: ArrayLike) -> NDArray[np.bool_]:
        try:
            array = np.asarray(rows)
        except ValueError:  # of lists of several lengths
            return _checks.mask_array("rows", rows)
        if array.dtype.kind not in "iu":
            return _checks.mask_array("rows", rows)
        if array.ndim != 1:
            raise ValueError(f"rows: expected bools of shape ({self.batch_size},) or numbers, got {array.shape}")
        mask = np.zeros(self.batch_size, np.bool_)
        for row in array.tolist():
            if not 0 <= row < self.batch_size:
                raise ValueError(f"rows: expected numbers from 0 to {self.batch_size - 1}, got {row}")
            mask[row] = True
        return mask

    @property
    def state(self) -> State:
        """The state, as a copy: (h, c) of an LSTM, h otherwise, (L, B, P) and (L, B, H). Assigning copies.

        Assigning raises ValueError for a wrong shape, TypeError for a wrong structure or dtype.
        """
        h, c = self._core.get_state()
        return cast(State, h if c is None else (h, c))

    @state.setter
    def state(self, state: State) -> None:
        value: Any = state
        if self._is_pair:
            h, c = _checks.state_pair("state", value)
            assert h is not None
            self._core.set_state(h, c)
        else:
            self._core.set_state(_checks.state_single("state", value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("Stream: cannot be copied or pickled; make another with layer.stream() and assign its state")

    def __repr__(self) -> str:
        return f"Stream(batch_size={self.batch_size})"
