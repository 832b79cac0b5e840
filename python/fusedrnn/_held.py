"""Calls with a mask: where it is false a row's state is held, docs/design/cells.md (H1) to (H4).

A row's valid steps are gathered to the front, the layer runs over these with their number as its length, and what it
gives is spread over all steps again. So the valid steps have the bits that they have alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusedrnn import _checks
from fusedrnn._batch import BATCH
from fusedrnn._checks import Array
from fusedrnn._merging import merged, merged_gradient
from fusedrnn._tape import Gradients, State, Tape

Held = Literal["repeat", "zero"]


class Layout(NamedTuple):
    """How the axes of the caller's arrays lie, beside the layer's batch_first."""

    unbatched: bool
    batch_first: bool

    def enter(self, array: NDArray[Any]) -> NDArray[Any]:
        """A sequence of the caller's as (T, B, ...)."""
        if self.unbatched:
            return array[:, np.newaxis]
        return array.swapaxes(0, 1) if self.batch_first else array

    def leave(self, array: NDArray[Any]) -> NDArray[Any]:
        """(T, B, ...) as the caller has it."""
        if self.unbatched:
            return array[:, 0]
        return np.ascontiguousarray(array.swapaxes(0, 1)) if self.batch_first else array

    def to_layer(self, array: NDArray[Any]) -> NDArray[Any]:
        """(T, B, ...) as the layer takes it: it always has a batch."""
        return np.ascontiguousarray(array.swapaxes(0, 1)) if self.batch_first else array

    def from_layer(self, array: NDArray[Any]) -> NDArray[Any]:
        """The way back."""
        return array.swapaxes(0, 1) if self.batch_first else array


class ValidSteps:
    """Which steps of a call are valid, and what is at the others. All arrays here are time first."""

    def __init__(self, mask: NDArray[np.bool_], held: Held) -> None:
        self.mask, self.held = mask, held
        self.lengths = mask.sum(axis=0, dtype=np.int64)
        upto = np.cumsum(mask, axis=0, dtype=np.int64)
        self._last, self._next = upto - 1, upto - mask  # the numbers of the valid steps at or before, and at or after
        self._order = np.argsort(~mask, axis=0, kind="stable")[: int(self.lengths.max(initial=0))]
        self._rows = np.arange(mask.shape[1])

    def gather(self, array: NDArray[Any]) -> NDArray[Any]:
        """The valid steps of (T, B, ...), at the front; zeros behind them."""
        found: NDArray[Any] = array[self._order, self._rows]
        found[np.arange(len(found))[:, np.newaxis] >= self.lengths] = 0
        return found

    def gather_reset(self, reset: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A border at a held step is one at the row's next valid step, (H4)."""
        found = np.zeros((len(self._order) + 1, len(self._rows)), np.bool_)
        times, rows = np.nonzero(reset)
        found[self._next[times, rows], rows] = True
        return found[:-1]

    def _source(self, reverse: bool) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """For every step the number of the valid step whose output it has, and whether there is one, (H2), (H3)."""
        if self.held == "zero":
            return self._last, self.mask
        if reverse:
            return self._next, self._next < self.lengths
        return self._last, self._last >= 0

    def spread(self, y: Array, reverse: bool) -> Array:
        """One direction's output at every step, (T, B, ·), of that at the valid ones."""
        source, there = self._source(reverse)
        if not len(y):
            return np.zeros((*self.mask.shape, y.shape[-1]), y.dtype)
        found = y[np.clip(source, 0, len(y) - 1), self._rows]
        found[~there] = 0
        return found

    def spread_gradient(self, d: Array, reverse: bool) -> Array:
        """The gradient at the valid steps, given that of `spread`."""
        source, there = self._source(reverse)
        found = np.zeros((len(self._order), *d.shape[1:]), d.dtype)
        if self.held == "zero":
            times, rows = np.nonzero(self.mask)
            found[source[times, rows], rows] = d[times, rows]
            return found
        times, rows = np.nonzero(there)
        np.add.at(found, (source[times, rows], rows), d[times, rows])
        return found

    def spread_x(self, dx: Array) -> Array:
        """The gradient of x: 0 at held steps."""
        found = np.zeros((*self.mask.shape, *dx.shape[2:]), dx.dtype)
        found[self.mask] = dx[self._last[self.mask], np.nonzero(self.mask)[1]]
        return found


class HeldCall:
    """One call with a mask: its arguments for the layer, and the layer's results for the caller.

    Args:
        directions: of each part of the layer's y whether it runs in reverse.
        merge: how these parts become the caller's y.
        num_states: L*D.
    """

    def __init__(
        self,
        valid: ValidSteps,
        layout: Layout,
        directions: Sequence[bool],
        merge: str,
        num_states: int,
        dtype: np.dtype[Any],
    ) -> None:
        self.valid, self.layout, self._directions, self._merge = valid, layout, directions, merge
        self._num_states, self._dtype = num_states, dtype

    @property
    def apart(self) -> bool:
        """Whether the layer must give its directions side by side, not merged."""
        return self._merge != "concat"

    def argument(self, array: NDArray[Any]) -> NDArray[Any]:
        """x or tokens: the valid steps."""
        return self.layout.to_layer(self.valid.gather(self.layout.enter(array)))

    def reset(self, reset: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The borders between the valid steps."""
        return self.layout.to_layer(self.valid.gather_reset(self.layout.enter(reset)))

    def state(self, name: str, state: Array | None, width: int) -> Array | None:
        """A state as the layer takes it."""
        if state is None or not self.layout.unbatched:
            return state
        return BATCH.add_to(name, state, (self._num_states, width), self._dtype)

    def state_of_caller(self, state: Any) -> Any:
        """A state that the layer gave, as the caller has it."""
        return state if state is None or not self.layout.unbatched else state[BATCH.remove]

    def _sides(self, y: Array) -> Array:
        """The directions at every step, side by side, time first, of what the layer gave."""
        parts = np.split(self.layout.from_layer(y), len(self._directions), axis=-1)
        spread = [self.valid.spread(part, reverse) for part, reverse in zip(parts, self._directions, strict=True)]
        return spread[0] if len(spread) == 1 else np.concatenate(spread, axis=-1)

    def output(self, y: Array) -> Array:
        """y as the caller has it."""
        return self.layout.leave(merged(self._merge, self._sides(y)))

    def cells(self, cells: Array | None) -> Array | None:
        """c of every step as the caller has it: the directions are never merged."""
        return None if cells is None else self.layout.leave(self._sides(cells))

    def gradient(self, name: str, y: Array, d: object) -> Array:
        """The gradient of what the layer gave, y, given that of `output(y)`."""
        sides = self._sides(y)
        expected = self.layout.leave(merged(self._merge, sides)).shape
        given = self.layout.enter(_checks.shaped(name, d, expected, self._dtype))
        parts = np.split(merged_gradient(self._merge, sides, given), len(self._directions), axis=-1)
        found = [self.valid.spread_gradient(part, end) for part, end in zip(parts, self._directions, strict=True)]
        return self.layout.to_layer(found[0] if len(found) == 1 else np.concatenate(found, axis=-1))

    def x_gradient(self, dx: Array) -> Array:
        """The gradient of the caller's x."""
        return self.layout.leave(self.valid.spread_x(self.layout.from_layer(dx)))


class HeldTape(Tape[State]):
    """The tape of a call with a mask."""

    __slots__ = ("_call", "_layers", "_tape", "_y")

    def __init__(self, tape: Tape[State], call: HeldCall, y: Array, layers: list[Array] | None) -> None:
        self._tape, self._call, self._y, self._layers = tape, call, y, layers

    @property
    def nbytes(self) -> int:
        """Bytes of memory the tape holds."""
        return self._tape.nbytes

    def backward(
        self,
        dy: Array | None = None,
        dstate: Any = None,
        truncate: int | None = None,
        dlayers: Sequence[Array | None] | None = None,
    ) -> Gradients[State]:
        """As `Tape.backward`."""
        if dy is not None:
            dy = self._call.gradient("dy", self._y, dy)
        if isinstance(dlayers, (list, tuple)) and self._layers is not None and len(dlayers) == len(self._layers):
            dlayers = [
                None if d is None else self._call.gradient(f"dlayers[{k}]", y, d)
                for k, (y, d) in enumerate(zip(self._layers, dlayers, strict=True))
            ]
        if self._call.layout.unbatched and dstate is not None:
            dstate = _on_every(dstate, lambda d: None if d is None else _checks.array("dstate", d)[BATCH.add])
        found = self._tape.backward(dy, dstate, truncate, dlayers)
        state: Any = found.state
        state = _on_every(state, self._call.state_of_caller)
        x = None if found.x is None else self._call.x_gradient(found.x)
        return Gradients(x, state, found.params, found.embedding)


def _on_every(state: Any, function: Any) -> Any:
    return tuple(function(part) for part in state) if isinstance(state, (tuple, list)) else function(state)
