"""A general network one time step at a time, with the interface of the core's streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn._tokens import Tokens

if TYPE_CHECKING:
    from fusedrnn._general.network import GeneralNetwork


class GeneralStream:
    """Keeps the state between calls: of a plain layer in a stream of the core, of others here."""

    def __init__(self, network: GeneralNetwork, batch_size: int, table: Array | None, tokens: bool) -> None:
        self._network, self.batch_size, self._table, self._tokens = network, batch_size, table, tokens
        self._plain = [
            None if level.plain is None else level.plain.stream(batch_size) for level, _, _ in network.levels()
        ]
        self._states: list[tuple[Array, Array | None] | None] = [None] * len(self._plain)  # of those that are not plain
        self._levels: list[tuple[Any, list[Array]]] = []  # what runs each layer, and its connection's parameters
        self._seen = -1  # the network's version whose parameters these are
        self.set_state(*network.first_state(batch_size))

    def step(self, x: Array, out: Array | None = None) -> Array:
        """One step of x (B, I), or (I,) of one row; of tokens (B,)."""
        x = _checks.array("x", x)
        if x.ndim == 1 and self.batch_size == 1 and not self._tokens:
            y = self.step(x[np.newaxis], None if out is None else _checks.array("out", out)[np.newaxis])[0]
            return y if out is None else out
        if x.ndim != (1 if self._tokens else 2) or x.shape[0] != self.batch_size:
            shape = (self.batch_size,) if self._tokens else (self.batch_size, self._network.spec.input_size)
            raise ValueError(f"x: expected shape {shape}, got {x.shape}")
        y = self.process(x[np.newaxis], None if out is None else _checks.array("out", out)[np.newaxis])[0]
        return y if out is None else out

    def process(self, x: Array, out: Array | None = None) -> Array:
        """Several steps of x (T, B, I), or tokens (T, B)."""
        x, spec = self._checked(x), self._network.spec
        if out is not None:
            _checks.shaped("out", out, (x.shape[0], self.batch_size, spec.features), spec.dtype)
            if not out.flags.writeable:
                raise ValueError("out: expected a writeable array, got a read-only one")
        y = self._run(x)
        if out is None:
            return y
        out[...] = y
        return out

    def _checked(self, x: object) -> Array:
        """x (T, B, I), tokens as vectors."""
        x, spec = _checks.array("x", x), self._network.spec
        if self._tokens:
            if x.ndim != 2 or x.shape[1] != self.batch_size:
                raise ValueError(f"x: expected shape (T, {self.batch_size}), got {x.shape}")
            return Tokens(x, self._table, spec.input_size, spec.dtype).unfolded()
        if x.ndim != 3 or x.shape[1:] != (self.batch_size, spec.input_size):
            raise ValueError(f"x: expected shape (T, {self.batch_size}, {spec.input_size}), got {x.shape}")
        return _checks.shaped("x", x, x.shape, spec.dtype)

    def _run(self, x: Array) -> Array:
        network, version = self._network, self._network.version
        same = self._seen == version
        if not same:
            self._levels = [
                (level.stepper(params) if stream is None else stream.process, around)
                for (level, params, around), stream in zip(network.levels(), self._plain, strict=True)
            ]
        states = list(self._states)
        for k, (run, around) in enumerate(self._levels):
            state = states[k]
            if state is None:
                inner = run(x)
            else:
                inner, h, c, _, _ = run(x, *state, unchanged=same)
                states[k] = h, c
            x, _ = network.connected(k, around, x, inner)
        self._states, self._seen = states, version
        return x

    def refresh(self) -> None:
        """Look at the parameters again at the next step."""
        self._seen = -1
        for stream in self._plain:
            if stream is not None:
                stream.refresh()

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Back to the first state."""
        chosen = np.ones(self.batch_size, np.bool_) if rows is None else rows
        chosen = _checks.shaped("rows", chosen, (self.batch_size,), np.dtype(np.bool_))
        first: Any = self._network.first_state(self.batch_size)
        for new, old in zip(first, self.get_state(), strict=True):
            if new is not None and old is not None:
                new[:, ~chosen] = old[:, ~chosen]
        self.set_state(*first)

    def get_state(self) -> tuple[Array, Array | None]:
        """A copy of h and c."""
        parts = [
            state if stream is None else _of_one_layer(stream.get_state())
            for stream, state in zip(self._plain, self._states, strict=True)
        ]
        h = np.stack([part[0] for part in parts if part is not None])
        c = [part[1] for part in parts if part is not None and part[1] is not None]
        return h, np.stack(c) if c else None

    def set_state(self, h: Array, c: Array | None = None) -> None:
        """Copy h and c in."""
        spec = self._network.spec
        h = _checks.shaped("state (h)", h, (spec.num_layers, self.batch_size, spec.output_size), spec.dtype)
        if spec.has_cell:
            c = _checks.shaped("state (c)", c, (spec.num_layers, self.batch_size, spec.hidden_size), spec.dtype)
        for k, stream in enumerate(self._plain):
            if stream is not None:
                stream.set_state(h[k : k + 1], None if c is None else c[k : k + 1])
            else:
                self._states[k] = h[k].copy(), None if c is None else c[k].copy()


def _of_one_layer(state: tuple[Array, Array | None]) -> tuple[Array, Array | None]:
    h, c = state
    return h[0], None if c is None else c[0]
