"""The tapes of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn._tape import Gradients
from fusedrnn.nn._part import like, used_up
from fusedrnn.nn.embedding import Embedding
from fusedrnn.nn.tied import owned, summed

__all__ = ["LossTape", "ModelTape", "SequentialTape", "States"]

States = tuple[Any, ...]
"""The state of each recurrent part, in their order."""


class ModelTape:
    """What `record` of a model kept. Good for one `backward`."""

    __slots__ = ()

    def backward(
        self, dy: Array | None = None, dstate: States | None = None, *, truncate: int | None = None
    ) -> Gradients[States]:
        """The gradients of x, of the states that the call began with, and of the parameters.

        Args:
            dy: gradient of y, in its shape and dtype; None for zeros.
            dstate: gradients of the states after the call, a tuple as those are, or None for zeros.
            truncate: no gradient flows further back than so many steps (equation T4); None for all.

        Returns:
            Gradients: `x` is None where the first part takes tokens; `state` is a tuple.

        Raises:
            ValueError: the tape has been used, or neither dy nor dstate is given.
            ValueError, TypeError: what the part raises that refuses its argument.
        """
        raise NotImplementedError


class SequentialTape(ModelTape):
    """What `Sequential.record` kept. Good for one `backward`."""

    __slots__ = ("_dtype", "_recurrent", "_tapes", "_ties", "_y_shape")

    def __init__(
        self, tapes: Sequence[Any], recurrent: tuple[bool, ...], y: Array, ties: Mapping[str, str]
    ) -> None:
        self._ties = ties
        self._tapes: Sequence[Any] | None = tapes
        self._recurrent = recurrent
        self._y_shape, self._dtype = np.shape(y), np.asarray(y).dtype

    def backward(
        self, dy: Array | None = None, dstate: States | None = None, *, truncate: int | None = None
    ) -> Gradients[States]:
        """As `ModelTape.backward`."""
        tapes = self._tapes
        if tapes is None:
            raise used_up()
        _checks.optional_count("truncate", truncate)
        count = sum(self._recurrent[: len(tapes)])
        if dstate is not None and (not isinstance(dstate, tuple) or len(dstate) != count):
            raise ValueError(f"dstate: expected a tuple of {count}, one for each recurrent part")
        coming = list(dstate if dstate is not None else (None,) * count)
        if dy is not None:
            dy = like("dy", dy, self._y_shape, self._dtype)
        elif all(one is None for one in coming):
            raise ValueError("dy: expected dy, dstate or both, got neither")
        elif not self._recurrent[len(tapes) - 1] or coming[-1] is None:
            dy = np.zeros(self._y_shape, self._dtype)
        self._tapes = None
        params: dict[str, Array] = {}
        states: States = ()
        table: Array | None = None
        for index in reversed(range(len(tapes))):
            if self._recurrent[index]:
                found = tapes[index].backward(dy, coming.pop(), truncate=truncate)
                states = (found.state, *states)
                table = found.embedding
            elif isinstance(tapes[index], Embedding):  # folded into the layer after it
                found = tapes[index].folded_gradients(table)
            else:
                found = tapes[index].backward(dy)
            dy = found.x
            own = {f"{index}.{name}": value for name, value in found.params.items()}
            params = summed(owned(own, self._ties), params)
        return Gradients(dy, states, params)  # type: ignore[arg-type]


class LossTape:
    """What `record_loss` of a model kept. Good for one `backward`."""

    __slots__ = ("dy", "params", "tape")

    def __init__(self, tape: ModelTape, dy: Array, params: dict[str, Array]) -> None:
        self.tape, self.dy, self.params = tape, dy, params

    def backward(self, dstate: States | None = None, *, truncate: int | None = None) -> Gradients[States]:
        """The gradients of the loss: of x, of the states that the call began with, and of the parameters.

        Args:
            dstate: gradients of the states after the call that do not come from this loss, or None.
            truncate: no gradient flows further back than so many steps; None for all.
        """
        found = self.tape.backward(self.dy, dstate, truncate=truncate)
        return Gradients(found.x, found.state, summed(found.params, self.params))
