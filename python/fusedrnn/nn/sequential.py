"""Parts and recurrent layers one after the other, as one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

from numpy.typing import ArrayLike

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn.layers import GRU, LSTM, RNN
from fusedrnn.nn._part import Part
from fusedrnn.nn.head_loss import HeadLoss, fused_head
from fusedrnn.nn.model import Loss, Model, pools, same, single_parts
from fusedrnn.nn.model_stream import ModelStream, is_folded
from fusedrnn.nn.model_tapes import LossTape, SequentialTape, States
from fusedrnn.nn.pooling import Pooling
from fusedrnn.nn.tied import owned, tied_weights

__all__ = ["Sequential"]


class Sequential(Model):
    """Runs its parts one after the other; recurrent layers carry their states.

    Args:
        parts: of `fusedrnn.nn`, `RNN`, `LSTM`, `GRU`, or other Sequentials; all of one dtype and one batch_first.

    Parameters are named as in a torch `state_dict`: "0.weight_ih_l0" is a parameter of the first part.

    Raises:
        ValueError: no parts, or parts that differ in dtype or batch_first, or one that stands there twice; a Linear
            without the Embedding that it is tied to.
        TypeError: something that is not a part.
    """

    def __init__(self, *parts: Any) -> None:
        if not parts:
            raise ValueError("parts: expected at least one, got none")
        for part in parts:
            require_part("parts", part)
        single = list(single_parts(parts))
        if len({id(part) for part in single}) < len(single):
            raise ValueError("parts: expected different parts, one stands there twice")
        self.parts = parts
        self.dtype = same("dtype", [part.dtype for part in parts])
        self._order  # noqa: B018 (raises)
        self._ties = tied_weights(self.named_parts)

    @property
    def named_parts(self) -> dict[str, Any]:
        """The parts by their numbers."""
        return {str(index): part for index, part in enumerate(self.parts)}

    @property
    def ties(self) -> dict[str, str]:
        """For every weight that is tied to another: under which name that is a parameter."""
        return {**super().ties, **self._ties}

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Any:
        return self.parts[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.parts)

    @property
    def recurrent(self) -> tuple[bool, ...]:
        """Which parts carry a state."""
        return tuple(not isinstance(part, Part) for part in self.parts)

    def stream(self, batch_size: SupportsIndex = 1) -> ModelStream:
        """The model stepped one time step at a time, with a state of its own that begins at zero.

        Args:
            batch_size: B, how many rows are stepped together.

        Raises:
            ValueError: a part needs whole sequences (a pooling, a bidirectional layer), or batch_size < 1.
            TypeError: a part that is a model itself.
        """
        return ModelStream(self.parts, _checks.size("batch_size", batch_size))

    def _call(self, x: Any, state: States | None, steps: Mapping[str, Any]) -> tuple[Array, States]:
        run = _Run(self, state, steps)
        return run.call_all(self.parts, x), run.after

    def _record(self, x: Any, state: States | None, steps: Mapping[str, Any]) -> tuple[Array, States, SequentialTape]:
        run = _Run(self, state, steps)
        y = run.record_all(self.parts, x)
        return y, run.after, SequentialTape(run.tapes, self.recurrent, y, self._ties)

    def _loss(
        self, x: Any, targets: ArrayLike, loss: Loss, state: States | None, steps: Mapping[str, Any]
    ) -> tuple[float, States]:
        head = fused_head(self.parts[-1], loss)
        if head is None:
            return super()._loss(x, targets, loss, state, steps)
        run = _Run(self, state, steps)
        y = run.call_all(self.parts[:-1], x)
        return HeadLoss(head, y, targets, loss, self.loss_options(steps["lengths"])).value(), run.after

    def _record_loss(
        self, x: Any, targets: ArrayLike, loss: Loss, state: States | None, steps: Mapping[str, Any]
    ) -> tuple[float, States, LossTape]:
        head = fused_head(self.parts[-1], loss)
        if head is None:
            return super()._record_loss(x, targets, loss, state, steps)
        run = _Run(self, state, steps)
        y = run.record_all(self.parts[:-1], x)
        found = HeadLoss(head, y, targets, loss, self.loss_options(steps["lengths"]))
        value, dy, gradients = found.value_and_gradients()
        named = owned({f"{len(self.parts) - 1}.{name}": gradient for name, gradient in gradients.items()}, self._ties)
        return value, run.after, LossTape(SequentialTape(run.tapes, self.recurrent, y, self._ties), dy, named)

    def __repr__(self) -> str:
        rows = [
            f"  ({index}) {str(part).replace(chr(10), chr(10) + '  ')}  {part.num_params:,}"
            for index, part in enumerate(self.parts)
        ]
        return "\n".join(["Sequential(", *rows, f")  {self.num_params:,} parameters"])


class _Run:
    """One pass through the parts: what goes to which, the states, the tapes."""

    def __init__(self, model: Sequential, state: States | None, steps: Mapping[str, Any]) -> None:
        count = sum(model.recurrent)
        if state is not None and (not isinstance(state, tuple) or len(state) != count):
            got = f"{len(state)} of them" if isinstance(state, tuple) else _checks.describe(state)
            raise ValueError(f"state: expected a tuple of {count}, one for each recurrent part, got {got}")
        self._before = iter(state if state is not None else (None,) * count)
        self._lengths, self._reset = steps["lengths"], steps["reset"]
        self.after: States = ()
        self.tapes: list[Any] = []

    def call_all(self, parts: Sequence[Any], x: Any) -> Any:
        for index, part in enumerate(parts):
            if is_folded(parts, index):
                x = part.tokens(x)
            elif isinstance(part, Part):
                x = part(x, **self._part_options(part))
            else:
                x, state = part(x, next(self._before), **self._layer_options(parts, index))
                self._went_through(part, state)
        return x

    def record_all(self, parts: Sequence[Any], x: Any) -> Any:
        for index, part in enumerate(parts):
            if is_folded(parts, index):
                x, tape = part.tokens(x), part
            elif isinstance(part, Part):
                x, tape = part.record(x, **self._part_options(part))
            else:
                x, state, tape = part.record(x, next(self._before), **self._layer_options(parts, index))
                self._went_through(part, state)
            self.tapes.append(tape)
        return x

    def _layer_options(self, parts: Sequence[Any], index: int) -> dict[str, Any]:
        options: dict[str, Any] = {"lengths": self._lengths, "reset": self._reset}
        if index > 0 and is_folded(parts, index - 1):
            options["embedding"] = parts[index - 1].params["weight"]
        return options

    def _went_through(self, part: Any, state: Any) -> None:
        self.after += (state,)
        if pools(part):
            self._lengths = self._reset = None

    def _part_options(self, part: Part) -> dict[str, Any]:
        if not isinstance(part, Pooling):
            return {}
        lengths, self._lengths, self._reset = self._lengths, None, None  # there are no steps any more
        return {"lengths": lengths}


def require_part(name: str, part: object) -> None:
    """TypeError if `part` is nothing that stands in a model."""
    if not isinstance(part, (Part, RNN, LSTM, GRU, Model)):
        raise TypeError(f"{name}: expected parts of fusedrnn.nn, RNN, LSTM or GRU, got {_checks.describe(part)}")
