"""Parts and recurrent layers one after the other, as one model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, SupportsIndex, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn._saving import Saved
from fusedrnn._tape import Gradients
from fusedrnn.layers import GRU, LSTM, RNN
from fusedrnn.nn import losses
from fusedrnn.nn._part import Part, PartTape, floats, like, load_into, used_up
from fusedrnn.nn.elementwise import Dropout
from fusedrnn.nn.embedding import Embedding
from fusedrnn.nn.linear import Linear
from fusedrnn.nn.model_stream import ModelStream, is_folded
from fusedrnn.nn.pooling import Pooling

States = tuple[Any, ...]
"""The state of each recurrent part, in their order."""

Loss = Callable[..., tuple[float, Array]]

_Model = TypeVar("_Model", bound="Model")


class Model(Saved):
    """What can be trained: maps a sequence and a state to outputs and a state, with a tape.

    Attributes:
        params: every parameter by name.
        dtype: numpy.dtype of parameters and outputs.
        batch_first: the layout of sequences, as the parts have it now.
    """

    dtype: np.dtype[Any]

    @property
    def params(self) -> MutableMapping[str, Array]:
        """Every parameter by name: the arrays of the parts."""
        raise NotImplementedError

    @property
    def batch_first(self) -> bool:
        """Whether sequences are (B, T, …): as the parts have it that know of time."""
        return bool(self._order)

    @property
    def _order(self) -> bool | None:
        """`batch_first` of the parts; None where none of them knows of time."""
        raise NotImplementedError

    @property
    def _pools(self) -> bool:
        """Whether the output is no sequence any more: there is a pooling."""
        raise NotImplementedError

    @property
    def num_params(self) -> int:
        """How many free parameters there are."""
        raise NotImplementedError

    def loss_options(self, lengths: ArrayLike | None) -> dict[str, Any]:
        """Keyword arguments of a loss, given a call's lengths: it sees them where the output is a sequence."""
        return {} if lengths is None or self._pools else {"lengths": lengths, "batch_first": self.batch_first}

    def load_params(self, mapping: Mapping[str, object]) -> None:
        """Copy the values of `mapping` into the parameters, every one by name and no other, as from a `state_dict`.

        Raises:
            ValueError: a name is missing or unexpected, or a shape is wrong.
            TypeError: a value is not an array of floats.

        After an error no parameter has changed.
        """
        load_into(self.params, mapping, self.dtype)


class Sequential(Model):
    """Runs its parts one after the other; recurrent layers carry their states.

    Args:
        parts: of `fusedrnn.nn`, `RNN`, `LSTM`, `GRU`, or other Sequentials; all of one dtype and one batch_first.

    Parameters are named as in a torch `state_dict`: "0.weight_ih_l0" is a parameter of the first part.

    Raises:
        ValueError: no parts, or parts that differ in dtype or batch_first, or one that stands there twice.
        TypeError: something that is not a part.
    """

    def __init__(self, *parts: Any) -> None:
        if not parts:
            raise ValueError("parts: expected at least one, got none")
        for part in parts:
            if not isinstance(part, (Part, RNN, LSTM, GRU, Model)):
                raise TypeError(f"parts: expected parts of fusedrnn.nn, RNN, LSTM or GRU, got {_checks.describe(part)}")
        single = list(single_parts(parts))
        if len({id(part) for part in single}) < len(single):
            raise ValueError("parts: expected different parts, one stands there twice")
        self.parts: tuple[Any, ...] = parts
        self.dtype = _same("dtype", [part.dtype for part in parts])
        self._order  # noqa: B018 (raises)

    @property
    def params(self) -> MutableMapping[str, Array]:
        """Every parameter by name: the arrays of the parts."""
        return _FlatParams(self.parts)

    @property
    def _order(self) -> bool | None:
        orders = [_order_of(part) for part in self.parts]
        known: list[bool] = [order for order in orders if order is not None]
        return bool(_same("batch_first", known)) if known else None

    @property
    def _pools(self) -> bool:
        return any(_pools(part) for part in self.parts)

    @property
    def num_params(self) -> int:
        """How many free parameters there are."""
        return sum(part.num_params for part in self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Any:
        return self.parts[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.parts)

    def __call__(
        self,
        x: ArrayLike,
        state: States | None = None,
        *,
        lengths: ArrayLike | None = None,
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
        run = _Run(self, state, lengths, reset)
        return run.call_all(self.parts, x), run.after

    def record(
        self,
        x: ArrayLike,
        state: States | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
    ) -> tuple[Array, States, SequentialTape]:
        """As a call, in training (dropout acts), and the tape for the backward pass."""
        run = _Run(self, state, lengths, reset)
        with _nothing_drawn_by_an_error(self):
            y = run.record_all(self.parts, x)
        return y, run.after, SequentialTape(run.tapes, self.recurrent, y)

    def loss(
        self,
        x: ArrayLike,
        targets: ArrayLike,
        loss: Loss = losses.cross_entropy,
        state: States | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
    ) -> tuple[float, States]:
        """The loss of a call, and the state after it; without dropout.

        Args:
            x, state, lengths, reset: as of a call. lengths also goes to the loss, where the output is a sequence.
            targets, loss: `loss(y, targets)` is one of `fusedrnn.nn`, or any function that returns (value, dy). Given
                lengths, where the output is a sequence, it is called with `lengths` and `batch_first` as well.
        """
        run = _Run(self, state, lengths, reset)
        head = self._fused_head(loss)
        y = run.call_all(self.parts[:-1] if head else self.parts, x)
        if head is None:
            return float(loss(y, targets, **self.loss_options(lengths))[0]), run.after
        return _HeadLoss(head, y, targets, loss, self.loss_options(lengths)).value(), run.after

    def record_loss(
        self,
        x: ArrayLike,
        targets: ArrayLike,
        loss: Loss = losses.cross_entropy,
        state: States | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
    ) -> tuple[float, States, LossTape]:
        """The loss in training, the state after it, and the tape: `tape.backward()` gives the gradients.

        Where the last part is a Linear and the loss is `cross_entropy`, both are computed a block of rows at a time:
        no array of all logits is made.
        """
        with _nothing_drawn_by_an_error(self):
            run = _Run(self, state, lengths, reset)
            return self._record_loss(x, targets, loss, run, self.loss_options(lengths))

    def _record_loss(
        self, x: ArrayLike, targets: ArrayLike, loss: Loss, run: _Run, options: dict[str, Any]
    ) -> tuple[float, States, LossTape]:
        head = self._fused_head(loss)
        y = run.record_all(self.parts[:-1] if head else self.parts, x)
        if head is None:
            value, dy = loss(y, targets, **options)
            return float(value), run.after, LossTape(SequentialTape(run.tapes, self.recurrent, y), dy, {})
        value, dy, gradients = _HeadLoss(head, y, targets, loss, options).value_and_gradients()
        last = f"{len(self.parts) - 1}."
        named = {last + name: gradient for name, gradient in gradients.items()}
        return value, run.after, LossTape(SequentialTape(run.tapes, self.recurrent, y), dy, named)

    def stream(self, batch_size: SupportsIndex = 1) -> ModelStream:
        """The model stepped one time step at a time, with a state of its own that begins at zero.

        Args:
            batch_size: B, how many rows are stepped together.

        Raises:
            ValueError: a part needs whole sequences (a pooling, a bidirectional layer), or batch_size < 1.
            TypeError: a part that is a model itself.
        """
        return ModelStream(self.parts, _checks.size("batch_size", batch_size))

    @property
    def recurrent(self) -> tuple[bool, ...]:
        """Which parts carry a state."""
        return tuple(not isinstance(part, Part) for part in self.parts)

    def _fused_head(self, loss: Loss) -> Linear | None:
        if not callable(loss):
            raise TypeError(f"loss: expected a function of (y, targets), got {_checks.describe(loss)}")
        known = loss.func if isinstance(loss, partial) and not loss.args else loss
        last = self.parts[-1]
        return last if type(last) is Linear and known is losses.cross_entropy else None

    def __repr__(self) -> str:
        rows = [
            f"  ({index}) {str(part).replace(chr(10), chr(10) + '  ')}  {part.num_params:,}"
            for index, part in enumerate(self.parts)
        ]
        return "\n".join(["Sequential(", *rows, f")  {self.num_params:,} parameters"])


class _Run:
    """One pass through the parts: what goes to which, the states, the tapes."""

    def __init__(
        self,
        model: Sequential,
        state: States | None,
        lengths: ArrayLike | None,
        reset: NDArray[np.bool_] | None,
    ) -> None:
        count = sum(model.recurrent)
        if state is not None and (not isinstance(state, tuple) or len(state) != count):
            got = f"{len(state)} of them" if isinstance(state, tuple) else _checks.describe(state)
            raise ValueError(f"state: expected a tuple of {count}, one for each recurrent part, got {got}")
        self._before = iter(state if state is not None else (None,) * count)
        self._lengths, self._reset = lengths, reset
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
        if _pools(part):
            self._lengths = self._reset = None

    def _part_options(self, part: Part) -> dict[str, Any]:
        if not isinstance(part, Pooling):
            return {}
        lengths, self._lengths, self._reset = self._lengths, None, None  # there are no steps any more
        return {"lengths": lengths}


class _HeadLoss:
    """The cross-entropy of a Linear's outputs."""

    def __init__(self, head: Linear, x: Array, targets: ArrayLike, loss: Loss, options: dict[str, Any]) -> None:
        bound = dict(loss.keywords) if isinstance(loss, partial) else {}
        x = floats("x", x, head.dtype, head.in_features)
        self._head, self._shape = head, x.shape
        self._rows = x.reshape(-1, head.in_features)
        self._targets = losses.ClassTargets(
            targets, x.shape[:-1], head.out_features, head.dtype, **{**bound, **options}
        )

    def value(self) -> float:
        found = self._cross_entropy(wants_gradients=False)
        return self._targets.mean(found[0])

    def value_and_gradients(self) -> tuple[float, Array, dict[str, Array]]:
        found, dx, dw, db = self._cross_entropy(wants_gradients=True)
        return self._targets.mean(found), dx.reshape(self._shape), self._head._named(dw, db)

    def _cross_entropy(self, wants_gradients: bool) -> Any:
        targets = self._targets
        return self._head._core.cross_entropy(
            *self._head._arrays, self._rows, targets.classes, targets.weights, wants_gradients
        )


class SequentialTape:
    """What `Sequential.record` kept. Good for one `backward`."""

    __slots__ = ("_dtype", "_recurrent", "_tapes", "_y_shape")

    def __init__(self, tapes: Sequence[Any], recurrent: tuple[bool, ...], y: Array) -> None:
        self._tapes: Sequence[Any] | None = tapes
        self._recurrent = recurrent
        self._y_shape, self._dtype = np.shape(y), np.asarray(y).dtype

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
            params = {**{f"{index}.{name}": value for name, value in found.params.items()}, **params}
        return Gradients(dy, states, params)  # type: ignore[arg-type]


class LossTape:
    """What `Sequential.record_loss` kept. Good for one `backward`."""

    __slots__ = ("_dy", "_params", "_tape")

    def __init__(self, tape: SequentialTape, dy: Array, params: dict[str, Array]) -> None:
        self._tape, self._dy, self._params = tape, dy, params

    def backward(self, dstate: States | None = None, *, truncate: int | None = None) -> Gradients[States]:
        """The gradients of the loss: of x, of the states that the call began with, and of the parameters.

        Args:
            dstate: gradients of the states after the call that do not come from this loss, or None.
            truncate: no gradient flows further back than so many steps; None for all.
        """
        found = self._tape.backward(self._dy, dstate, truncate=truncate)
        return Gradients(found.x, found.state, {**found.params, **self._params})


class _FlatParams(MutableMapping[str, Array]):
    """The parameters of all parts, each name with its part's number before it."""

    __slots__ = ("_parts",)

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self._parts = parts

    def _place(self, name: str) -> tuple[Any, str]:
        number, _, rest = str(name).partition(".")
        if number in map(str, range(len(self._parts))):
            params = self._parts[int(number)].params
            if rest in params:
                return params, rest
        raise KeyError(name)

    def __getitem__(self, name: str) -> Array:
        params, own = self._place(name)
        array: Array = params[own]
        return array

    def __setitem__(self, name: str, value: object) -> None:
        try:
            params, own = self._place(name)
        except KeyError:
            raise ValueError(f"params: no parameter named {name!r}; the names are {', '.join(self)}") from None
        params[own] = value

    def touch(self) -> None:
        """Tell streams of the parts that the arrays have been changed in place."""
        for part in self._parts:
            part.params.touch()

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"params: {name!r} cannot be deleted; a model's parameters are fixed")

    def __iter__(self) -> Iterator[str]:
        for index, part in enumerate(self._parts):
            for name in part.params:
                yield f"{index}.{name}"

    def __len__(self) -> int:
        return sum(len(part.params) for part in self._parts)

    def __repr__(self) -> str:
        return f"Params({{{', '.join(f'{name!r}: {array.shape}' for name, array in self.items())}}})"

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def single_parts(parts: Iterable[Any]) -> Iterator[Any]:
    """The parts and layers themselves, those within Sequentials and Residuals too."""
    for part in parts:
        if isinstance(part, Residual):
            yield from single_parts(part.part.parts)
        elif isinstance(part, Sequential):
            yield from single_parts(part.parts)
        else:
            yield part


def _order_of(part: Any) -> bool | None:
    """Its batch_first, if it knows of time."""
    if isinstance(part, Model):
        return part._order
    order: bool | None = getattr(part, "batch_first", None)
    return order


def _pools(part: Any) -> bool:
    return part._pools if isinstance(part, Model) else isinstance(part, Pooling)


@contextmanager
def _nothing_drawn_by_an_error(model: Sequential) -> Iterator[None]:
    """A call that failed has drawn nothing from the generators of dropout."""
    drawing = [
        part
        for part in single_parts(model.parts)
        if (part.p > 0 if isinstance(part, Dropout) else getattr(part, "dropout", 0) > 0)
    ]
    before = [part.rng.bit_generator.state for part in drawing]
    try:
        yield
    except BaseException:
        for part, state in zip(drawing, before, strict=True):
            part.rng.bit_generator.state = state
        raise


def _same(name: str, values: list[Any]) -> Any:
    if any(value != values[0] for value in values):
        raise ValueError(f"parts: expected one {name}, got {', '.join(map(str, dict.fromkeys(map(str, values))))}")
    return values[0]


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
        if not isinstance(part, (Part, RNN, LSTM, GRU, Model)):
            raise TypeError(f"part: expected a part of fusedrnn.nn, RNN, LSTM or GRU, got {_checks.describe(part)}")
        if join not in ("add", "concat"):
            raise ValueError(f"join: expected add or concat, got {join!r}")
        self.part = part if isinstance(part, Sequential) else Sequential(part)
        self.join = join
        self.dtype = self.part.dtype

    @property
    def params(self) -> MutableMapping[str, Array]:
        """Every parameter by name: the arrays of the part."""
        return self.part.params

    @property
    def _order(self) -> bool | None:
        return self.part._order

    @property
    def _pools(self) -> bool:
        return self.part._pools

    @property
    def num_params(self) -> int:
        """How many free parameters there are."""
        return self.part.num_params

    def __call__(
        self,
        x: Array,
        state: States | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
    ) -> tuple[Array, States]:
        """As `Sequential.__call__`."""
        y, after = self.part(x, state, lengths=lengths, reset=reset)
        return self._joined(x, y), after

    def record(
        self,
        x: Array,
        state: States | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
    ) -> tuple[Array, States, _ResidualTape]:
        """As `Sequential.record`."""
        y, after, tape = self.part.record(x, state, lengths=lengths, reset=reset)
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


class _ResidualTape:
    __slots__ = ("_dtype", "_join", "_shape", "_tape", "_width")

    def __init__(self, tape: SequentialTape, join: str, width: int, joined: Array) -> None:
        self._tape, self._join, self._width = tape, join, width
        self._shape, self._dtype = joined.shape, joined.dtype

    def backward(
        self, dy: Array | None = None, dstate: States | None = None, *, truncate: int | None = None
    ) -> Gradients[States]:
        """As `SequentialTape.backward`."""
        if dy is None:
            return self._tape.backward(None, dstate, truncate=truncate)
        dy = like("dy", dy, self._shape, self._dtype)
        own = dy if self._join == "add" else dy[..., -self._width :]
        past = dy if self._join == "add" else dy[..., : -self._width]
        found = self._tape.backward(own, dstate, truncate=truncate)
        return Gradients(found.x + past, found.state, found.params)


__all__ = ["LossTape", "PartTape", "Residual", "Sequential", "SequentialTape"]
