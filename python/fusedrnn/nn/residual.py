"""A connection round a part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fusedrnn._checks import Array
from fusedrnn._tape import Gradients
from fusedrnn.nn._part import floats, like
from fusedrnn.nn.model import Model
from fusedrnn.nn.model_tapes import ModelTape, States
from fusedrnn.nn.sequential import Sequential, require_part

__all__ = ["Residual"]


class Residual(Model):
    """A connection round a part or a recurrent layer: y = x + part(x), or x and part(x) side by side.

    Args:
        part: a part of `fusedrnn.nn`, `RNN`, `LSTM`, `GRU` or a Sequential, whose output is a sequence as its input is.
        join: "add" (He et al. 2016), where the output has the input's width, or "concat" for a skip connection.

    Parameters are named as in a Sequential of that part: "0.weight_ih_l0", or as in the Sequential that it is. It
    carries a state as a Sequential does.

    Raises:
        ValueError: join is neither of the two.
        TypeError: something that is not a part.
    """

    def __init__(self, part: Any, join: str = "add") -> None:
        require_part("part", part)
        if join not in ("add", "concat"):
            raise ValueError(f"join: expected add or concat, got {join!r}")
        self.part = part if isinstance(part, Sequential) else Sequential(part)
        self.join = join
        self.dtype = self.part.dtype
        self.parts = self.part.parts

    @property
    def named_parts(self) -> dict[str, Any]:
        """Those of the part."""
        return self.part.named_parts

    @property
    def ties(self) -> dict[str, str]:
        """Those of the part."""
        return self.part.ties

    def _call(self, x: Any, state: States | None, steps: Mapping[str, Any]) -> tuple[Array, States]:
        y, after = self.part._call(x, state, steps)
        return self._joined(x, y), after

    def _record(self, x: Any, state: States | None, steps: Mapping[str, Any]) -> tuple[Array, States, ModelTape]:
        y, after, tape = self.part._record(x, state, steps)
        joined = self._joined(x, y)
        return joined, after, _ResidualTape(tape, self.join, y.shape[-1], joined)

    def _joined(self, x: Array, y: Array) -> Array:
        x = floats("x", x, self.dtype)
        own, given = (y.shape, x.shape) if self.join == "add" else (y.shape[:-1], x.shape[:-1])
        if own != given:
            expected = x.shape if self.join == "add" else f"({', '.join(map(str, x.shape[:-1]))}, …)"
            raise ValueError(f"part: expected an output of shape {expected} as its input has, got {y.shape}")
        return np.concatenate([x, y], axis=-1) if self.join == "concat" else np.asarray(x + y)

    def __repr__(self) -> str:
        inner = self.part.parts[0] if len(self.part) == 1 else self.part
        return f"Residual({inner}{', join=' + repr(self.join) if self.join != 'add' else ''})"


class _ResidualTape(ModelTape):
    __slots__ = ("_dtype", "_join", "_shape", "_tape", "_width")

    def __init__(self, tape: ModelTape, join: str, width: int, joined: Array) -> None:
        self._tape, self._join, self._width = tape, join, width
        self._shape, self._dtype = joined.shape, joined.dtype

    def backward(
        self, dy: Array | None = None, dstate: States | None = None, *, truncate: int | None = None
    ) -> Gradients[States]:
        """As `ModelTape.backward`."""
        if dy is None:
            return self._tape.backward(None, dstate, truncate=truncate)
        dy = like("dy", dy, self._shape, self._dtype)
        own = dy if self._join == "add" else dy[..., -self._width :]
        past = dy if self._join == "add" else dy[..., : -self._width]
        found = self._tape.backward(own, dstate, truncate=truncate)
        return Gradients(found.x + past, found.state, found.params)
