"""One RNN, LSTM or GRU operator: a layer made of its weights and attributes, called with the operator's inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn.layers import LSTM
from fusedrnn.onnx._attributes import read_attributes
from fusedrnn.onnx._layer import made_layer, weights_dtype


class Operator:
    """An operator whose weights are converted once, for many calls.

    Args:
        op_type: "RNN", "GRU" or "LSTM".
        W: (D, G*H, I), the gates in ONNX's order: G is 1, 3 (z, r, h) or 4 (i, o, f, c); D is 2 if bidirectional.
        R: (D, G*H, H).
        B: (D, 2*G*H), Wb and Rb of each direction; None for zeros.
        P: (D, 3*H), the peepholes i, o, f of an LSTM; None for none.
        where: the beginning of every message.
        **attributes: the node's attributes by name; None for one that is not there.

    Weights are float32, float64, float16 or bfloat16, all the same. Of the last two a layer computes in float32, and
    outputs are rounded back.

    Attributes:
        op_type: as given.
        layer: the `fusedrnn.RNN`, `GRU` or `LSTM` that computes it, with batch_first where layout is 1.
        dtype: that of the weights, of every input but sequence_lens, and of the outputs.

    Raises:
        ValueError: a wrong shape, an unknown attribute or activation, or a value an attribute cannot have.
        TypeError: a value of the wrong type or dtype.
    """

    def __init__(
        self,
        op_type: str,
        W: Array,
        R: Array,
        B: Array | None = None,
        P: Array | None = None,
        *,
        where: str = "",
        **attributes: Any,
    ) -> None:
        self.op_type = _checks.one_of(f"{where}op_type", op_type, ("RNN", "GRU", "LSTM"))
        self._where = where
        self._attributes = read_attributes(op_type, attributes, where)
        self.dtype = weights_dtype(f"{where}W", W)
        self.layer = made_layer(self._attributes, {"W": W, "R": R, "B": B, "P": P}, where)

    def __call__(
        self,
        X: Array,
        sequence_lens: Array | None = None,
        initial_h: Array | None = None,
        initial_c: Array | None = None,
    ) -> tuple[Array, ...]:
        """Run it.

        Args:
            X: (T, B, I), or (B, T, I) with layout 1.
            sequence_lens: integers (B,) from 0 to T; None for T of every row.
            initial_h, initial_c: (D, B, H), or (B, D, H) with layout 1; None for zeros. Only an LSTM has initial_c.

        Returns:
            Y, Y_h and, of an LSTM, Y_c. Y is (T, D, B, H), or (B, T, D, H) with layout 1, and zero after a row's end;
            Y_h and Y_c are shaped as initial_h. A row of length 0 returns its initial state.

        Raises:
            ValueError: a wrong shape, or a length out of range.
            TypeError: a wrong type or dtype.
        """
        own, layer = self._attributes, self.layer
        x = self._input("X", X)
        self._check_width(x)
        h0 = self._state("initial_h", initial_h, x)
        c0 = self._state("initial_c", initial_c, x)
        if c0 is not None and not isinstance(layer, LSTM):
            raise ValueError(f"{self._where}initial_c: only an LSTM has one, this is a {self.op_type}")
        lengths = None if sequence_lens is None else self._lengths(sequence_lens, x)
        states: tuple[Array, ...]
        if isinstance(layer, LSTM):
            y, states = layer(x, self._pair(h0, c0, x), lengths=lengths)
        else:
            y, h_n = layer(x, h0, lengths=lengths)
            states = (h_n,)
        directions = own.directions
        y = y.reshape(*y.shape[:2], directions, layer.hidden_size)
        if own.layout:
            states = tuple(state.transpose(1, 0, 2) for state in states)
        else:
            y = y.transpose(0, 2, 1, 3)
        return tuple(np.ascontiguousarray(part, dtype=self.dtype) for part in (y, *states))

    def _pair(self, h0: Array | None, c0: Array | None, x: Array) -> tuple[Array, Array] | None:
        """An LSTM's state, the part that is not given being zero."""
        if h0 is None and c0 is None:
            return None
        shape = (self._attributes.directions, self._rows(x), self.layer.hidden_size)
        zeros = np.zeros(shape, self.layer.dtype)
        return zeros if h0 is None else h0, zeros if c0 is None else c0

    def _rows(self, x: Array) -> int:
        return int(x.shape[0 if self._attributes.layout else 1])

    def _input(self, name: str, value: Array) -> Array:
        """`value`, which must have three axes, in the dtype that the layer computes in."""
        array = _checks.array(f"{self._where}{name}", value)
        if array.dtype != self.dtype:
            raise TypeError(f"{self._where}{name}: expected dtype {self.dtype}, that of W, got {array.dtype}")
        if array.ndim != 3:
            raise ValueError(f"{self._where}{name}: expected 3 axes, got shape {array.shape}")
        return array.astype(self.layer.dtype, copy=False)

    def _check_width(self, x: Array) -> None:
        expected = self.layer.input_size
        if x.shape[2] != expected:
            axes = "(B, T, I)" if self._attributes.layout else "(T, B, I)"
            raise ValueError(f"{self._where}X: expected shape {axes} with I = {expected} as W has it, got {x.shape}")

    def _state(self, name: str, value: Array | None, x: Array) -> Array | None:
        """A state as (D, B, H)."""
        if value is None:
            return None
        state = self._input(name, value)
        own = self._attributes
        batch = self._rows(x)
        expected = (own.directions, batch, self.layer.hidden_size)
        if own.layout:
            expected = (batch, own.directions, self.layer.hidden_size)
        if state.shape != expected:
            shape = "(B, D, H)" if own.layout else "(D, B, H)"
            raise ValueError(f"{self._where}{name}: expected shape {shape} = {expected}, got {state.shape}")
        return state.transpose(1, 0, 2) if own.layout else state

    def _lengths(self, value: Array, x: Array) -> Array:
        name = f"{self._where}sequence_lens"
        lengths = _checks.array(name, value)
        batch, steps = self._rows(x), x.shape[1 if self._attributes.layout else 0]
        if lengths.dtype.kind not in "iu":
            raise TypeError(f"{name}: expected integers, got dtype {lengths.dtype}")
        if lengths.shape != (batch,):
            raise ValueError(f"{name}: expected shape (B,) = ({batch},), got {lengths.shape}")
        if batch and not 0 <= lengths.min() <= lengths.max() <= steps:
            raise ValueError(f"{name}: expected lengths from 0 to {steps}, the steps of X, got {lengths.tolist()}")
        return lengths.astype(np.int64)
