"""Cells: one step at a time, the state passed by hand. torch.nn's `RNNCell`, `LSTMCell` and `GRUCell`.

For stepping through a long sequence, `layer.stream` is faster: it keeps state and packed weights inside the core.
"""

from __future__ import annotations

from typing import Any, Generic, SupportsIndex

import numpy as np
from numpy.typing import DTypeLike

from fusedrnn import _checks, _core
from fusedrnn._batch import LAYER, LAYER_AND_BATCH, Axes
from fusedrnn._checks import Array
from fusedrnn._module import Module
from fusedrnn._tape import CellTape, State

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


class _Cell(Module, Generic[State]):
    """One step of one layer: a network of one layer called with T = 1."""

    _suffix = "_l0"

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        bias: bool,
        dtype: DTypeLike,
        rng: np.random.Generator | int | None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype, rng)
        self._initialise()

    def _options_repr(self) -> list[str]:
        return [] if self.bias else ["bias=False"]

    def _add_axes(
        self, x: Array, h: Array | None, c: Array | None
    ) -> tuple[Array, Array | None, Array | None, Axes]:
        """x, h0 and c0 as the core takes them, and the axes to remove from its results."""
        if not isinstance(x, np.ndarray):  # _checks.array without the call
            raise TypeError(f"x: expected a numpy.ndarray, got {type(x).__name__}")
        rows = x.shape[:-1]
        if len(rows) > 1 or x.ndim == 0 or x.shape[-1] != self.input_size:
            size = self.input_size
            raise ValueError(f"x: expected shape (B, {size}) or, unbatched, ({size},), got {x.shape}")
        axes = LAYER if rows else LAYER_AND_BATCH
        h = axes.add_to("state (h)", h, (*rows, self.hidden_size), self.dtype)
        c = axes.add_to("state (c)", c, (*rows, self.hidden_size), self.dtype)
        return x[axes.add], h, c, axes

    def _step(self, x: Array, h: Array | None, c: Array | None) -> tuple[Array, Any]:
        """h and c after one step."""
        x, h, c, axes = self._add_axes(x, h, c)
        _, h_n, c_n, _ = self._network.forward(x, h, c)
        return h_n[axes.remove], None if c_n is None else c_n[axes.remove]

    def _record_step(self, x: Array, h: Array | None, c: Array | None) -> tuple[Array, Any, CellTape[State]]:
        """h and c after one step, and the tape."""
        x, h, c, axes = self._add_axes(x, h, c)
        _, h_n, c_n, _, tape = self._network.record(x, h, c)
        h_n, c_n = axes.remove_from(h_n, c_n)
        return h_n, c_n, CellTape(tape, tuple(self._params), h_n, c_n, axes)


class LSTMCell(_Cell[tuple[Array, Array]]):
    """One step of an `LSTM` layer (Hochreiter and Schmidhuber 1997; Gers et al. 2000). Gate order i, f, g, o.

    Args:
        input_size: I, features of x.
        hidden_size: H, units.
        bias: whether there are bias_ih and bias_hh.
        dtype: float32 or float64.
        rng: None, an int seed or a numpy.random.Generator, for the initial parameters.

    Parameters: weight_ih (4H, I), weight_hh (4H, H), bias_ih and bias_hh (4H,).

    Raises:
        ValueError: a size out of range.
        TypeError: an argument of the wrong type.
    """

    _cell = "lstm"

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype, rng)

    def __call__(self, x: Array, state: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
        """Take one step.

        Args:
            x: (B, I) or (I,), of the cell's dtype.
            state: (h, c), each (B, H) or (H,); None for zeros.

        Returns:
            The new (h, c).

        Raises:
            ValueError: a wrong shape; says which argument.
            TypeError: a wrong type or dtype; says which argument.
        """
        h, c = (None, None) if state is None else _checks.state_pair("state", state)
        return self._step(x, h, c)

    def record(
        self, x: Array, state: tuple[Array, Array] | None = None
    ) -> tuple[tuple[Array, Array], CellTape[tuple[Array, Array]]]:
        """Take one step for training.

        Args and errors: as for a call.

        Returns:
            (h, c), tape. `tape.backward((dh, dc))` gives the gradients, once.
        """
        h, c = (None, None) if state is None else _checks.state_pair("state", state)
        h_n, c_n, tape = self._record_step(x, h, c)
        return (h_n, c_n), tape


class _SingleStateCell(_Cell[Array]):
    """A cell whose whole state is h."""

    def __call__(self, x: Array, state: Array | None = None) -> Array:
        """Take one step.

        Args:
            x: (B, I) or (I,), of the cell's dtype.
            state: h, (B, H) or (H,); None for zeros.

        Returns:
            The new h.

        Raises:
            ValueError: a wrong shape; says which argument.
            TypeError: a wrong type or dtype; says which argument.
        """
        return self._step(x, None if state is None else _checks.state_single("state", state), None)[0]

    def record(self, x: Array, state: Array | None = None) -> tuple[Array, CellTape[Array]]:
        """Take one step for training.

        Args and errors: as for a call.

        Returns:
            h, tape. `tape.backward(dh)` gives the gradients, once.
        """
        h = None if state is None else _checks.state_single("state", state)
        h_n, _, tape = self._record_step(x, h, None)
        return h_n, tape


class GRUCell(_SingleStateCell):
    """One step of a `GRU` layer (Cho et al. 2014; reset after the recurrent product). Gate order r, z, n.

    Args:
        input_size: I, features of x.
        hidden_size: H, units.
        bias: whether there are bias_ih and bias_hh.
        dtype: float32 or float64.
        rng: None, an int seed or a numpy.random.Generator, for the initial parameters.

    Parameters: weight_ih (3H, I), weight_hh (3H, H), bias_ih and bias_hh (3H,).

    Raises:
        ValueError: a size out of range.
        TypeError: an argument of the wrong type.
    """

    _cell = "gru"

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype, rng)


class RNNCell(_SingleStateCell):
    """One step of an `RNN` layer (Elman 1990).

    Args:
        input_size: I, features of x.
        hidden_size: H, units.
        bias: whether there are bias_ih and bias_hh.
        nonlinearity: "tanh", "relu", "sigmoid", "leaky_relu" or "identity".
        dtype: float32 or float64.
        rng: None, an int seed or a numpy.random.Generator, for the initial parameters.

    Parameters: weight_ih (H, I), weight_hh (H, H), bias_ih and bias_hh (H,).

    Raises:
        ValueError: a size out of range, or an unknown nonlinearity.
        TypeError: an argument of the wrong type.
    """

    _cell = "rnn"
    _fixed = _Cell._fixed | {"nonlinearity"}

    nonlinearity: str

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.nonlinearity = _checks.one_of("nonlinearity", nonlinearity, _core.nonlinearities())
        super().__init__(input_size, hidden_size, bias, dtype, rng)

    def _network_options(self) -> dict[str, Any]:
        return {**super()._network_options(), "nonlinearity": self.nonlinearity}

    def _options_repr(self) -> list[str]:
        shown = [] if self.nonlinearity == "tanh" else [f"nonlinearity={self.nonlinearity!r}"]
        return super()._options_repr() + shown
