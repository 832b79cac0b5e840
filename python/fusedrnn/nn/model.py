"""What every model is: calls, recorded calls, losses, parameters by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn._saving import Saved
from fusedrnn.nn import losses
from fusedrnn.nn._part import load_into
from fusedrnn.nn.elementwise import Dropout
from fusedrnn.nn.flat_params import FlatParams
from fusedrnn.nn.model_tapes import LossTape, ModelTape, States
from fusedrnn.nn.pooling import Pooling
from fusedrnn.nn.tied import untied

__all__ = ["Loss", "Model", "States", "order_of", "pools", "same", "single_parts"]

Loss = Callable[..., tuple[float, Array]]


class Model(Saved):
    """What can be trained: maps a sequence and a state to outputs and a state, with a tape.

    Attributes:
        parts: what it is made of.
        params: every parameter by name.
        dtype: numpy.dtype of parameters and outputs.
        batch_first: the layout of sequences, as the parts have it now.
    """

    dtype: np.dtype[Any]
    parts: tuple[Any, ...]

    def __call__(
        self,
        x: Any,
        state: States | None = None,
        *,
        lengths: Any = None,
        reset: NDArray[np.bool_] | None = None,
    ) -> tuple[Array, States]:
        """Inference.

        Args:
            x: what the first part takes: a sequence (T, B, I), or (B, T, I) with batch_first, or tokens.
            state: the state of each recurrent part; None for zeros.
            lengths: B integers in [0, T], steps of each row: goes to every part that knows steps, up to a pooling.
            reset: bool, (T, B) or (B, T): true at the first step of each episode. Goes to the recurrent parts.

        Returns:
            y, state: the output, and the states after the last step.

        Raises:
            ValueError, TypeError: what the part raises that refuses its argument.
        """
        return self._call(x, state, {"lengths": lengths, "reset": reset})

    def record(
        self,
        x: Any,
        state: States | None = None,
        *,
        lengths: Any = None,
        reset: NDArray[np.bool_] | None = None,
    ) -> tuple[Array, States, ModelTape]:
        """As a call, in training (dropout acts), and the tape for the backward pass."""
        with self._nothing_drawn_by_an_error():
            return self._record(x, state, {"lengths": lengths, "reset": reset})

    def loss(
        self,
        x: Any,
        targets: ArrayLike,
        loss: Loss = losses.cross_entropy,
        state: States | None = None,
        *,
        lengths: Any = None,
        reset: NDArray[np.bool_] | None = None,
    ) -> tuple[float, States]:
        """The loss of a call, and the state after it; without dropout.

        Args:
            x, state, lengths, reset: as of a call. lengths also goes to the loss, where the output is a sequence.
            targets, loss: `loss(y, targets)` is one of `fusedrnn.nn`, or any function that returns (value, dy). Given
                lengths, where the output is a sequence, it is called with `lengths` and `batch_first` as well.
        """
        return self._loss(x, targets, _function(loss), state, {"lengths": lengths, "reset": reset})

    def record_loss(
        self,
        x: Any,
        targets: ArrayLike,
        loss: Loss = losses.cross_entropy,
        state: States | None = None,
        *,
        lengths: Any = None,
        reset: NDArray[np.bool_] | None = None,
    ) -> tuple[float, States, LossTape]:
        """The loss in training, the state after it, and the tape: `tape.backward()` gives the gradients.

        Where the last part is a Linear and the loss is `cross_entropy`, both are computed a block of rows at a time:
        no array of all logits is made.
        """
        with self._nothing_drawn_by_an_error():
            return self._record_loss(x, targets, _function(loss), state, {"lengths": lengths, "reset": reset})

    # What a kind of model says: `steps` holds lengths and reset.

    def _call(self, x: Any, state: States | None, steps: Mapping[str, Any]) -> tuple[Array, States]:
        raise NotImplementedError

    def _record(self, x: Any, state: States | None, steps: Mapping[str, Any]) -> tuple[Array, States, ModelTape]:
        raise NotImplementedError

    def _loss(
        self, x: Any, targets: ArrayLike, loss: Loss, state: States | None, steps: Mapping[str, Any]
    ) -> tuple[float, States]:
        y, after = self._call(x, state, steps)
        return float(loss(y, targets, **self.loss_options(steps["lengths"]))[0]), after

    def _record_loss(
        self, x: Any, targets: ArrayLike, loss: Loss, state: States | None, steps: Mapping[str, Any]
    ) -> tuple[float, States, LossTape]:
        y, after, tape = self._record(x, state, steps)
        value, dy = loss(y, targets, **self.loss_options(steps["lengths"]))
        return float(value), after, LossTape(tape, dy, {})

    @property
    def named_parts(self) -> dict[str, Any]:
        """The parts by the names that begin those of their parameters."""
        raise NotImplementedError

    @property
    def params(self) -> MutableMapping[str, Array]:
        """Every parameter by name: the arrays of the parts."""
        return FlatParams(self.named_parts)

    @property
    def num_params(self) -> int:
        """How many free parameters there are."""
        return sum(part.num_params for part in self.parts)

    @property
    def batch_first(self) -> bool:
        """Whether sequences are (B, T, …): as the parts have it that know of time."""
        return bool(self._order)

    @property
    def _order(self) -> bool | None:
        """`batch_first` of the parts; None where none of them knows of time."""
        orders = [order_of(part) for part in self.parts]
        known: list[bool] = [order for order in orders if order is not None]
        return bool(same("batch_first", known)) if known else None

    @property
    def _pools(self) -> bool:
        """Whether the output is no sequence any more: there is a pooling."""
        return any(pools(part) for part in self.parts)

    def loss_options(self, lengths: Any) -> dict[str, Any]:
        """Keyword arguments of a loss, given a call's lengths: it sees them where the output is a sequence."""
        return {} if lengths is None or self._pools else {"lengths": lengths, "batch_first": self.batch_first}

    def sequences(self, x: Any, lengths: Any) -> list[tuple[str, Any, Any]]:
        """The sequences in a call's x: the name of each, its array, its lengths. Targets are of the last."""
        return [("x", x, lengths)]

    def load_params(self, mapping: Mapping[str, object]) -> None:
        """Copy the values of `mapping` into the parameters, every one by name and no other, as from a `state_dict`.

        A tied weight may stand there under either of its names, or under both with the same values.

        Raises:
            ValueError: a name is missing or unexpected, or a shape is wrong.
            TypeError: a value is not an array of floats.

        After an error no parameter has changed.
        """
        load_into(self.params, untied(mapping, self.ties), self.dtype)

    @property
    def ties(self) -> dict[str, str]:
        """For every weight that is tied to another: under which name that is a parameter."""
        return {
            f"{of}.{name}": f"{of}.{other}"
            for of, part in self.named_parts.items()
            if isinstance(part, Model)
            for name, other in part.ties.items()
        }

    @contextmanager
    def _nothing_drawn_by_an_error(self) -> Iterator[None]:
        """A call that failed has drawn nothing from the generators of dropout."""
        drawing = [
            part
            for part in single_parts(self.parts)
            if (part.p > 0 if isinstance(part, Dropout) else getattr(part, "dropout", 0) > 0)
        ]
        before = [part.rng.bit_generator.state for part in drawing]
        try:
            yield
        except BaseException:
            for part, state in zip(drawing, before, strict=True):
                part.rng.bit_generator.state = state
            raise


def single_parts(parts: Iterable[Any]) -> Iterator[Any]:
    """The parts and layers themselves, those within models too."""
    for part in parts:
        if isinstance(part, Model):
            yield from single_parts(part.parts)
        else:
            yield part


def order_of(part: Any) -> bool | None:
    """Its batch_first, if it knows of time."""
    if isinstance(part, Model):
        return part._order
    order: bool | None = getattr(part, "batch_first", None)
    return order


def pools(part: Any) -> bool:
    """Whether its output is no sequence."""
    return part._pools if isinstance(part, Model) else isinstance(part, Pooling)


def same(name: str, values: list[Any]) -> Any:
    """What all parts must have alike."""
    if any(value != values[0] for value in values):
        raise ValueError(f"parts: expected one {name}, got {', '.join(map(str, dict.fromkeys(map(str, values))))}")
    return values[0]


def _function(loss: Loss) -> Loss:
    if not callable(loss):
        raise TypeError(f"loss: expected a function of (y, targets), got {_checks.describe(loss)}")
    return loss
