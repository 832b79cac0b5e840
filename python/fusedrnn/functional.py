"""Stateless recurrent functions: arrays in, arrays out. One layer, one direction.

Shapes: T steps, B rows, I inputs, H hidden units, P = H or, with w_hr, its projection. x decides the dtype, float32
or float64; every other array must have it. Weights may have any strides. An unbatched x (T, I) goes with h0 (P,), c0
(H,), reset (T,) and gives y (T, P).

The weights are packed on every call: for many calls with the same weights a layer is faster.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusedrnn import _checks, _core
from fusedrnn._batch import BATCH, LAYER, LAYER_AND_BATCH, batch_of_one
from fusedrnn._checks import Array
from fusedrnn._docs import with_shared_text

__all__ = ["gru", "lstm", "rnn"]


class _Weights:
    """The weights of one call, checked against each other, as the core takes them."""

    def __init__(
        self, cell: str, x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, w_hr: Array | None
    ) -> None:
        gates = _core.gates[cell]
        dtype = x.dtype
        if dtype not in (np.float32, np.float64) or not dtype.isnative:
            raise TypeError(f"x: expected dtype float32 or float64, got {dtype}")
        for name, weight in (("w_ih", w_ih), ("w_hh", w_hh)):
            if _checks.array(name, weight).ndim != 2:
                raise ValueError(f"{name}: expected shape ({gates}*H, ·), got {weight.shape}")
        rows, self.input_size = w_ih.shape
        self.hidden_size = rows // gates
        if rows == 0 or rows % gates or self.input_size == 0:
            raise ValueError(f"w_ih: expected shape ({gates}*H, I) with H and I at least 1, got {w_ih.shape}")
        self.proj_size = 0
        if w_hr is not None:
            self.proj_size = w_hr.shape[0] if _checks.array("w_hr", w_hr).ndim else 0
            if not 0 < self.proj_size < self.hidden_size:
                raise ValueError(f"w_hr: expected shape (P, {self.hidden_size}) with 0 < P < H, got {w_hr.shape}")
        self.output_size = self.proj_size or self.hidden_size
        self.bias = b_ih is not None or b_hh is not None
        arrays: list[tuple[str, Array | None, tuple[int, ...]]] = [
            ("w_ih", w_ih, w_ih.shape),
            ("w_hh", w_hh, (rows, self.output_size)),
        ]
        if self.bias:
            arrays += [("b_ih", b_ih, (rows,)), ("b_hh", b_hh, (rows,))]
        if w_hr is not None:
            arrays.append(("w_hr", w_hr, (self.proj_size, self.hidden_size)))
        self.arrays = [
            np.zeros(shape, dtype)
            if value is None
            else np.require(_checks.shaped(name, value, shape, dtype), dtype, ["C", "A"])
            for name, value, shape in arrays
        ]

    def network(self, cell: str, reverse: bool, nonlinearity: str) -> _core.Network:
        """The core's network with these weights."""
        network = _core.Network(
            cell,
            self.input_size,
            self.hidden_size,
            bias=self.bias,
            reverse=reverse,
            proj_size=self.proj_size,
            nonlinearity=nonlinearity,
            dtype=self.arrays[0].dtype.name,
        )
        network.bind(self.arrays)
        return network


def _run(
    cell: str,
    x: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    h0: Array | None,
    c0: Array | None,
    *,
    w_hr: Array | None = None,
    nonlinearity: str = "tanh",
    lengths: ArrayLike | None,
    reset: NDArray[np.bool_] | None,
    batch_first: bool,
    reverse: bool,
    return_cell: bool = False,
) -> tuple[Array, Array, Any, Any]:
    """y, h_n, c_n and cells of any of the three cells."""
    batch_first = _checks.boolean("batch_first", batch_first)
    return_cell = _checks.boolean("return_cell", return_cell)
    weights = _Weights(cell, _checks.array("x", x), w_ih, w_hh, b_ih, b_hh, w_hr)
    unbatched = x.ndim != 3
    if unbatched:
        rows, axes = (), LAYER_AND_BATCH
        x, mask = batch_of_one(x, lengths, reset, weights.input_size, batch_first)
    else:
        rows, axes = x.shape[:1] if batch_first else x.shape[1:2], LAYER
        mask = None if reset is None else _checks.mask_array("reset", reset)
    h0 = axes.add_to("h0", h0, (*rows, weights.output_size), x.dtype)
    c0 = axes.add_to("c0", c0, (*rows, weights.hidden_size), x.dtype)
    y, h, c, cells = weights.network(cell, _checks.boolean("reverse", reverse), nonlinearity).forward(
        x,
        h0,
        c0,
        lengths=None if lengths is None else _checks.lengths_array(lengths),
        reset=mask,
        batch_first=batch_first and not unbatched,
        return_cell=return_cell,
    )
    if unbatched:
        y, cells = BATCH.remove_from(y, cells)
    h, c = axes.remove_from(h, c)
    return y, h, c, cells


@overload
def lstm(
    x: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    c0: Array | None = None,
    *,
    lengths: ArrayLike | None = None,
    reset: NDArray[np.bool_] | None = None,
    batch_first: bool = False,
    reverse: bool = False,
    return_cell: Literal[False] = False,
    w_hr: Array | None = None,
) -> tuple[Array, tuple[Array, Array]]: ...
@overload
def lstm(
    x: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    c0: Array | None = None,
    *,
    lengths: ArrayLike | None = None,
    reset: NDArray[np.bool_] | None = None,
    batch_first: bool = False,
    reverse: bool = False,
    return_cell: Literal[True],
    w_hr: Array | None = None,
) -> tuple[Array, tuple[Array, Array], Array]: ...
@with_shared_text
def lstm(
    x: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    c0: Array | None = None,
    *,
    lengths: ArrayLike | None = None,
    reset: NDArray[np.bool_] | None = None,
    batch_first: bool = False,
    reverse: bool = False,
    return_cell: bool = False,
    w_hr: Array | None = None,
) -> tuple[Array, tuple[Array, Array]] | tuple[Array, tuple[Array, Array], Array]:
    """LSTM over whole sequences (Hochreiter and Schmidhuber 1997; Gers et al. 2000). Gate order i, f, g, o.

    Args:
        x: (T, B, I), or (B, T, I) with batch_first, or unbatched (T, I).
        w_ih, w_hh: (4H, I), (4H, P).
        b_ih, b_hh: (4H,); None for zeros.
        h0, c0: (B, P), (B, H); either may be None for zeros.
        {lengths and reset}
        batch_first: x, y, reset and cells have the batch axis first.
        reverse: run from the last step to the first, each row from its own end.
        return_cell: also return c of every step.
        w_hr: (P, H), a projection of h (Sak et al. 2014), P < H.

    Returns:
        y, (h_n, c_n), or with return_cell y, (h_n, c_n), cells: (T, B, P), (B, P), (B, H), (T, B, H).

    Raises:
        ValueError: a wrong shape or rank, or a length out of range; says which argument.
        TypeError: a wrong type or dtype; says which argument.
    """
    y, h, c, cells = _run(
        "lstm",
        x,
        w_ih,
        w_hh,
        b_ih,
        b_hh,
        h0,
        c0,
        w_hr=w_hr,
        lengths=lengths,
        reset=reset,
        batch_first=batch_first,
        reverse=reverse,
        return_cell=return_cell,
    )
    return (y, (h, c), cells) if return_cell else (y, (h, c))


@with_shared_text
def gru(
    x: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    *,
    lengths: ArrayLike | None = None,
    reset: NDArray[np.bool_] | None = None,
    batch_first: bool = False,
    reverse: bool = False,
) -> tuple[Array, Array]:
    """GRU over whole sequences (Cho et al. 2014; reset after the recurrent product). Gate order r, z, n.

    Args:
        x: (T, B, I), or (B, T, I) with batch_first, or unbatched (T, I).
        w_ih, w_hh: (3H, I), (3H, H).
        b_ih, b_hh: (3H,); None for zeros.
        h0: (B, H); None for zeros.
        {lengths and reset}
        batch_first: x, y and reset have the batch axis first.
        reverse: run from the last step to the first, each row from its own end.

    Returns:
        y, h_n: (T, B, H), (B, H).

    Raises:
        ValueError: a wrong shape or rank, or a length out of range; says which argument.
        TypeError: a wrong type or dtype; says which argument.
    """
    y, h, _, _ = _run(
        "gru",
        x,
        w_ih,
        w_hh,
        b_ih,
        b_hh,
        h0,
        None,
        lengths=lengths,
        reset=reset,
        batch_first=batch_first,
        reverse=reverse,
    )
    return y, h


@with_shared_text
def rnn(
    x: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    *,
    nonlinearity: str = "tanh",
    lengths: ArrayLike | None = None,
    reset: NDArray[np.bool_] | None = None,
    batch_first: bool = False,
    reverse: bool = False,
) -> tuple[Array, Array]:
    """Simple RNN over whole sequences (Elman 1990).

    Args:
        x: (T, B, I), or (B, T, I) with batch_first, or unbatched (T, I).
        w_ih, w_hh: (H, I), (H, H).
        b_ih, b_hh: (H,); None for zeros.
        h0: (B, H); None for zeros.
        nonlinearity: "tanh", "relu", "sigmoid", "leaky_relu" or "identity".
        {lengths and reset}
        batch_first: x, y and reset have the batch axis first.
        reverse: run from the last step to the first, each row from its own end.

    Returns:
        y, h_n: (T, B, H), (B, H).

    Raises:
        ValueError: a wrong shape or rank, a length out of range, or an unknown nonlinearity.
        TypeError: a wrong type or dtype; says which argument.
    """
    y, h, _, _ = _run(
        "rnn",
        x,
        w_ih,
        w_hh,
        b_ih,
        b_hh,
        h0,
        None,
        nonlinearity=_checks.one_of("nonlinearity", nonlinearity, _core.nonlinearities()),
        lengths=lengths,
        reset=reset,
        batch_first=batch_first,
        reverse=reverse,
    )
    return y, h
