"""Tapes, which carry a recorded call to its backward pass, and the gradients that come out."""

from __future__ import annotations

from typing import Any, Generic, NoReturn, TypeVar

import numpy as np

from fusedrnn import _core
from fusedrnn._checks import Array, array, optional_count, shaped, state_pair, state_single

State = TypeVar("State")
"""tuple[Array, Array] for an LSTM, Array for a GRU or a simple RNN."""


class Gradients(Generic[State]):
    """The gradients of one recorded call. Frozen; the arrays belong to the caller.

    Attributes:
        x: gradient of the input, in its shape.
        state: gradient of the initial state, in its shape: (dh, dc) for an LSTM, dh otherwise.
            Also there when the call began from zeros (state=None).
        params: gradient of every parameter by name.
    """

    __slots__ = ("params", "state", "x")

    x: Array
    state: State
    params: dict[str, Array]

    def __init__(self, x: Array, state: State, params: dict[str, Array]) -> None:
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "state", state)
        object.__setattr__(self, "params", params)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Gradients are frozen; {name!r} cannot be assigned")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Gradients are frozen; {name!r} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        return Gradients, (self.x, self.state, self.params)

    def __repr__(self) -> str:
        x = None if self.x is None else self.x.shape  # a model that takes tokens has none
        return f"Gradients(x: {x}, params: {', '.join(self.params)})"


def output_gradients(name: str, dstate: object, is_pair: bool) -> tuple[Array | None, Array | None]:
    """A gradient of the final state as (dh_n, dc_n); parts of a pair may be None (zero)."""
    if dstate is None:
        return None, None
    if is_pair:
        return state_pair(name, dstate, optional=True)
    return state_single(name, dstate), None


class _UsedOnce:
    """No second tape could stand for the same call: the first one's backward pass uses up what both hold."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__}: cannot be copied or pickled; it is good for one backward pass")


class Tape(_UsedOnce, Generic[State]):
    """What `layer.record` kept of one call for its backward pass. Good for one `backward`."""

    __slots__ = ("_core", "_dtype", "_is_pair", "_names", "_state_shapes", "_unbatched", "_y_shape")

    def __init__(
        self,
        core: _core.Tape,
        names: tuple[str, ...],
        y: Array,
        h_n: Array,
        c_n: Array | None,
        unbatched: bool,
    ) -> None:
        self._core = core
        self._names = names
        self._is_pair = c_n is not None
        self._unbatched = unbatched
        # The user's shapes, for the one case where the core cannot check them: it sees a batch axis added here.
        self._y_shape = y.shape
        self._state_shapes = (h_n.shape, h_n.shape if c_n is None else c_n.shape)
        self._dtype = y.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of memory the tape holds."""
        return self._core.nbytes

    def backward(self, dy: Array | None = None, dstate: Any = None, truncate: int | None = None) -> Gradients[State]:
        """Backpropagation through time (Werbos 1990) of the recorded call. Uses the tape up, also where Ctrl-C ends it.

        Args:
            dy: gradient of the output y, in its shape and dtype; None for zero. At padding it is ignored.
            dstate: gradient of the final state, in its shape: (dh_n, dc_n) for an LSTM, either may be None for
                zero; dh_n otherwise. None for zero.
            truncate: k2, the number of steps a gradient flows back through the carried state (Williams and Peng
                1990): a positive int, or None for all of them.

        Returns:
            Gradients with `x`, `state` and `params`.

        Raises:
            ValueError: the tape was used before, neither dy nor dstate is given, truncate is less than 1, or a
                shape is wrong.
            TypeError: a wrong type or dtype.
        """
        if dy is None and dstate is None:
            raise ValueError("dy: expected dy, dstate or both, got neither")
        if dy is not None:
            dy = array("dy", dy)
        dh, dc = output_gradients("dstate", dstate, self._is_pair)
        steps = optional_count("truncate", truncate)
        if self._unbatched:
            dy = self._add_batch("dy", dy, self._y_shape)
            dh = self._add_batch("dh_n", dh, self._state_shapes[0])
            dc = self._add_batch("dc_n", dc, self._state_shapes[1])
        dx, dh0, dc0, gradients = self._core.backward(dy, dh, dc, truncate=steps)
        if self._unbatched:
            dx, dh0 = dx[:, 0], dh0[:, 0]
            dc0 = None if dc0 is None else dc0[:, 0]
        state: Any = dh0 if dc0 is None else (dh0, dc0)
        return Gradients(dx, state, dict(zip(self._names, gradients, strict=True)))

    def _add_batch(self, name: str, value: Array | None, shape: tuple[int, ...]) -> Array | None:
        return None if value is None else shaped(name, value, shape, self._dtype)[:, np.newaxis]


class CellTape(_UsedOnce, Generic[State]):
    """What `cell.record` kept of one step for its backward pass. Good for one `backward`."""

    __slots__ = ("_core", "_dtype", "_is_pair", "_names", "_shape", "_step")

    def __init__(
        self,
        core: _core.Tape,
        names: tuple[str, ...],
        h: Array,
        is_pair: bool,
        step: tuple[Any, ...],
    ) -> None:
        self._core = core
        self._names = names
        self._is_pair = is_pair
        self._shape = h.shape
        self._dtype = h.dtype
        self._step = step

    @property
    def nbytes(self) -> int:
        """Bytes of memory the tape holds."""
        return self._core.nbytes

    def backward(self, dstate: Any) -> Gradients[State]:
        """The gradients of the recorded step. Uses the tape up.

        Args:
            dstate: gradient of the new state, in its shape and dtype: (dh, dc) for an LSTM cell, either may be
                None for zero; dh otherwise.

        Returns:
            Gradients with `x`, `state` (of the old state) and `params`.

        Raises:
            ValueError: the tape was used before, or a shape is wrong.
            TypeError: a wrong type or dtype.
        """
        if dstate is None:
            raise TypeError("dstate: expected the gradient of the new state, got None")
        dh, dc = output_gradients("dstate", dstate, self._is_pair)
        if dh is None and dc is None:
            raise ValueError("dstate: expected dh, dc or both, got neither")
        # [new axes, ...] lifts to the core's (layer, batch, unit) or (time, batch, unit); [0, ...] comes back.
        lift = (np.newaxis,) * (3 - len(self._shape))
        dh, dc = (
            None if value is None else shaped(name, value, self._shape, self._dtype)[lift]
            for name, value in (("dstate (h)", dh), ("dstate (c)", dc))
        )
        dx, dh0, dc0, gradients = self._core.backward(None, dh, dc)
        state: Any = dh0[self._step] if dc0 is None else (dh0[self._step], dc0[self._step])
        return Gradients(dx[self._step], state, dict(zip(self._names, gradients, strict=True)))
