"""A general network one time step at a time, with the interface of the core's streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fusedrnn import _checks
from fusedrnn._checks import Array

if TYPE_CHECKING:
    from fusedrnn._general.network import GeneralNetwork


class GeneralStream:
    """Keeps the state between calls. It takes the parameters as they are at every step."""

    def __init__(self, network: GeneralNetwork, batch_size: int, table: Array | None, tokens: bool) -> None:
        self._network, self.batch_size, self._table, self._tokens = network, batch_size, table, tokens
        self._h, self._c = network.first_state(batch_size)

    def step(self, x: Array, out: Array | None = None) -> Array:
        """One step of x (B, I), or (I,) of one row; of tokens (B,)."""
        x = _checks.array("x", x)
        axes = 1 if self._tokens else 2
        if x.ndim == axes - 1 and self.batch_size == 1 and not self._tokens:
            y = self.step(x[np.newaxis], None if out is None else _checks.array("out", out)[np.newaxis])[0]
            return y if out is None else out
        if x.ndim != axes or x.shape[0] != self.batch_size:
            shape = (self.batch_size,) if self._tokens else (self.batch_size, self._network.spec.input_size)
            raise ValueError(f"x: expected shape {shape}, got {x.shape}")
        y = self.process(x[np.newaxis], None if out is None else _checks.array("out", out)[np.newaxis])[0]
        return y if out is None else out

    def process(self, x: Array, out: Array | None = None) -> Array:
        """Several steps of x (T, B, I), or tokens (T, B)."""
        x, spec = _checks.array("x", x), self._network.spec
        if (x.dtype.kind in "iu") != self._tokens:
            wanted = "int64" if self._tokens else str(spec.dtype)
            raise TypeError(f"x: expected dtype {wanted}, got {x.dtype}")
        if x.ndim != (2 if self._tokens else 3) or x.shape[1] != self.batch_size:
            raise ValueError(f"x: expected {self.batch_size} rows, (T, B, ·), got shape {x.shape}")
        if out is not None:
            _checks.shaped("out", out, (x.shape[0], self.batch_size, spec.features), spec.dtype)
            if not out.flags.writeable:
                raise ValueError("out: expected a writeable array, got a read-only one")
        y, self._h, self._c, _ = self._network.forward(x, self._h, self._c, table=self._table)
        if out is None:
            return y
        out[...] = y
        return out

    def refresh(self) -> None:
        """Nothing: every step takes the parameters as they are."""

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Back to the first state."""
        chosen = np.ones(self.batch_size, np.bool_) if rows is None else rows
        chosen = _checks.shaped("rows", chosen, (self.batch_size,), np.dtype(np.bool_))
        h, c = self._network.first_state(self.batch_size)
        self._h = np.where(chosen[:, np.newaxis], h, self._h)
        self._c = None if self._c is None or c is None else np.where(chosen[:, np.newaxis], c, self._c)

    def get_state(self) -> tuple[Array, Array | None]:
        """A copy of h and c."""
        return self._h.copy(), None if self._c is None else self._c.copy()

    def set_state(self, h: Array, c: Array | None = None) -> None:
        """Copy h and c in."""
        h = _checks.shaped("state (h)", h, self._h.shape, self._h.dtype).copy()
        if self._c is not None:
            assert c is not None
            self._c = _checks.shaped("state (c)", c, self._c.shape, self._c.dtype).copy()
        self._h = h
