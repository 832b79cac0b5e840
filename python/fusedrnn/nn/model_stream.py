"""A model of several parts, stepped one time step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from numpy.typing import ArrayLike

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn.layers import GRU, LSTM, RNN
from fusedrnn.nn._part import Part
from fusedrnn.nn.embedding import Embedding
from fusedrnn.nn.pooling import Pooling

__all__ = ["ModelStream", "is_folded"]


def is_folded(parts: Sequence[Any], index: int) -> bool:
    """Whether this part is an Embedding whose tokens the layer after it takes as they are."""
    return (
        isinstance(parts[index], Embedding)
        and index + 1 < len(parts)
        and isinstance(parts[index + 1], (RNN, LSTM, GRU))
    )


class ModelStream:
    """A Sequential that keeps its state between steps. Made by `model.stream(batch_size)`.

    Its outputs are those of one call over the whole sequence, to the bit. It notices changes of the weights as the
    stream of a layer does.
    """

    def __init__(self, parts: Sequence[Any], batch_size: int) -> None:
        self.batch_size = batch_size
        self._streams: list[Any] = []
        self._steps: list[Any] = []
        for index, part in enumerate(parts):
            if isinstance(part, (RNN, LSTM, GRU)):
                folded = index > 0 and is_folded(parts, index - 1)
                embedding = parts[index - 1].params["weight"] if folded else None
                self._streams.append(part.stream(batch_size, embedding=embedding))
                self._steps.append(self._streams[-1].step)
            elif isinstance(part, Pooling):
                raise ValueError(f"stream: expected parts that take one step, {type(part).__name__} needs all of them")
            elif isinstance(part, Embedding) and is_folded(parts, index):
                self._steps.append(part.tokens)
            elif isinstance(part, Part):
                self._steps.append(part)
            else:
                raise TypeError(f"stream: expected layers and parts, got {_checks.describe(part)}")

    def step(self, x: ArrayLike) -> Array:
        """Take one step: x (B, I), or tokens (B,); y of this step, (B, ·)."""
        y: Any = x
        for step in self._steps:
            y = step(y)
        result: Array = y
        return result

    def reset(self, rows: ArrayLike | None = None) -> None:
        """Zero the states: of all rows, or of those that `rows` marks or counts up."""
        for stream in self._streams:
            stream.reset(rows)

    def refresh(self) -> None:
        """Take the weights as they are now. The states stay."""
        for stream in self._streams:
            stream.refresh()

    @property
    def state(self) -> tuple[Any, ...]:
        """The state of each recurrent part, as copies. Assigning copies."""
        return tuple(stream.state for stream in self._streams)

    @state.setter
    def state(self, state: tuple[Any, ...]) -> None:
        if not isinstance(state, tuple) or len(state) != len(self._streams):
            raise ValueError(f"state: expected a tuple of {len(self._streams)}, one for each recurrent part")
        for stream, one in zip(self._streams, state, strict=True):
            stream.state = one

    def __reduce__(self) -> NoReturn:
        raise TypeError("ModelStream: cannot be copied or pickled; make another with model.stream()")

    def __repr__(self) -> str:
        return f"ModelStream(batch_size={self.batch_size})"
