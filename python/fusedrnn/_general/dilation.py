"""A dilated layer (Chang et al. 2017): h of step t comes from step t - d, docs/design/cells.md (O18).

A row's steps t, t + d, t + 2d, ... are a chain of their own. So T steps of B rows are ceil(T / d) steps of d·B rows,
where row j·B + b has the steps j, j + d, ... of row b.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusedrnn._checks import Array


class Chains:
    """The chains of one call."""

    def __init__(
        self, d: int, steps: int, rows: int, lengths: NDArray[np.int64] | None, reset: NDArray[np.bool_] | None
    ) -> None:
        self.d, self.steps, self.rows = d, steps, rows
        self.chain_steps = -(-steps // d)
        self._ends = np.full(rows, steps, np.int64) if lengths is None else lengths
        self.lengths: NDArray[np.int64] | None = None
        if lengths is not None or steps % d:
            left = self._ends - np.arange(d, dtype=np.int64)[:, np.newaxis]
            self.lengths = np.maximum(0, -(-left // d)).reshape(-1)
        self.reset = None if reset is None else self.fold(self._borders(reset))

    def _borders(self, reset: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where an episode's first step lies among a step and the d - 1 before it."""
        found: NDArray[np.bool_] = reset.copy()
        for back in range(1, min(self.d, self.steps)):
            found[back:] |= reset[:-back]
        return found

    def fold(self, array: NDArray[Any]) -> NDArray[Any]:
        """(T, B, ...) by chains: (ceil(T / d), d·B, ...)."""
        missing = self.chain_steps * self.d - self.steps
        if missing:
            array = np.concatenate((array, np.zeros((missing, *array.shape[1:]), array.dtype)))
        return np.ascontiguousarray(array).reshape(self.chain_steps, self.d * self.rows, *array.shape[2:])

    def unfold(self, array: Array) -> Array:
        """The way back."""
        found = array.reshape(self.chain_steps * self.d, self.rows, *array.shape[2:])[: self.steps]
        return np.ascontiguousarray(found)

    def repeat(self, array: Array) -> Array:
        """(B, ...) for every chain: (d·B, ...)."""
        return np.tile(array, (self.d, *[1] * (array.ndim - 1)))

    def _last(self, reverse: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Chain and row of each row's last processed step."""
        rows = np.arange(self.rows)
        return (np.zeros_like(rows) if reverse else np.maximum(self._ends - 1, 0) % self.d), rows

    def final(self, state: Array, reverse: bool) -> Array:
        """The state (B, ·) after each row's last step, of all chains' states (d·B, ·)."""
        found: Array = state.reshape(self.d, self.rows, state.shape[-1])[self._last(reverse)]
        return found

    def final_gradient(self, dstate: Array, reverse: bool) -> Array:
        """The gradient of all chains' states, given that of `final`."""
        found = np.zeros((self.d, self.rows, dstate.shape[-1]), dstate.dtype)
        found[self._last(reverse)] = dstate
        return found.reshape(self.d * self.rows, dstate.shape[-1])

    def sum(self, dstate: Array) -> Array:
        """The gradient (B, ·) of a state that every chain of a row began with."""
        found: Array = dstate.reshape(self.d, self.rows, dstate.shape[-1]).sum(axis=0)
        return found
