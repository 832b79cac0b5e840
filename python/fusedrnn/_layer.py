"""What `LSTM`, `GRU` and `RNN` share: everything that does not depend on what the state is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Generic, Literal, SupportsIndex, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fusedrnn import _checks, _core
from fusedrnn._batch import BATCH, batch_of_one
from fusedrnn._checks import Array
from fusedrnn._held import HeldCall, HeldTape, Layout, ValidSteps
from fusedrnn._loading import Loading
from fusedrnn._module import Module
from fusedrnn._options import OPTIONS, RANDOM, Stack, checked, is_plain, options_of
from fusedrnn._tape import State, Tape
from fusedrnn._tokens import Tokens
from fusedrnn.streaming import Stream

Merge = Literal["concat", "sum", "mul", "ave"]
Connection = Literal["residual", "highway"]

More = dict[str, Any]
"""Arguments of a network that runs layer by layer: `layers`, which every layer's y is put into, and `merged`."""


class Layer(Module, Loading, Generic[State]):
    """A stack of layers in one or both directions: everything that does not depend on what the state is.

    Attributes beside those of every module:
        num_layers, bidirectional, proj_size, and every option: as given to the constructor; fixed. An activation whose
            constants are the usual ones is its name alone.
        batch_first, dropout: may be assigned; the next call, or the next `record`, is the first with the new value.
    """

    _fixed = Module._fixed | {"num_layers", "bidirectional", "proj_size"} | {option.name for option in OPTIONS}
    _checked: ClassVar[Mapping[str, Callable[[object], object]]] = {
        **Module._checked,
        "batch_first": partial(_checks.boolean, "batch_first"),
        "dropout": partial(_checks.probability, "dropout"),
    }

    num_layers: int
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int
    reverse: bool
    merge: Merge
    clip: float | None
    layer_norm: bool
    learned_state: bool
    zoneout: float | tuple[float, float]
    recurrent_dropout: float
    input_dropout: float
    weight_dropout: float
    connection: Connection | None
    dilation: int | tuple[int, ...]

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: SupportsIndex,
        dtype: DTypeLike,
        rng: np.random.Generator | int | None,
        options: Mapping[str, object],
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype, rng)
        self.num_layers = _checks.size("num_layers", num_layers)
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = _checks.boolean("bidirectional", bidirectional)
        self.proj_size = _checks.size("proj_size", proj_size, 0)
        stack = Stack(self.num_layers, self.bidirectional, self.proj_size)
        for name, value in checked(self._cell, options, stack).items():
            setattr(self, name, value)
        self._random = self._draws()
        self._initialise()
        self._warn_of_idle_dropout(stacklevel=4)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "dropout" and "_params" in self.__dict__:  # after construction
            self._warn_of_idle_dropout(stacklevel=3)

    def _warn_of_idle_dropout(self, stacklevel: int) -> None:
        if self.dropout > 0 and self.num_layers == 1:
            warnings.warn(
                f"dropout: applied between layers, so dropout={self.dropout} does nothing with num_layers=1",
                UserWarning,
                stacklevel=stacklevel,
            )

    def _network_options(self) -> dict[str, Any]:
        return {
            **super()._network_options(),
            "num_layers": self.num_layers,
            "bidirectional": self.bidirectional,
            "proj_size": self.proj_size,
            "reverse": self.reverse,
        }

    def _options(self) -> dict[str, Any]:
        """Every option of the cell by name."""
        return {name: getattr(self, name) for name in options_of(self._cell)}

    def _make_network(self) -> _core.Network:
        if is_plain(self._cell, self._options(), _core.nonlinearities()):
            return super()._make_network()
        return cast(_core.Network, self._general_network())

    def _draws(self) -> bool:
        """Whether `record` draws masks of options."""
        return any(getattr(self, name) for name in RANDOM)

    def _general_network(self) -> Any:
        """A network that runs layer by layer, whatever the options."""
        from fusedrnn._general import GeneralNetwork, Spec

        sizes = (self.input_size, self.hidden_size, self.num_layers, self.bias, self.bidirectional, self.proj_size)
        return GeneralNetwork(Spec(self._cell, *sizes, self.dtype, self._options()))

    def _options_repr(self) -> list[str]:
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        own = {name: option.default for name, option in options_of(self._cell).items()}
        values = ((name, getattr(self, name), default) for name, default in (defaults | own).items())
        return [f"{name}={value!r}" for name, value, default in values if value != default]

    @property
    def _num_states(self) -> int:
        """L*D, the leading axis of a state."""
        return self.num_layers * (2 if self.bidirectional else 1)

    @property
    def _output_size(self) -> int:
        """P, the width of h."""
        return self.proj_size or self.hidden_size

    @property
    def _features(self) -> int:
        """The width of y."""
        return self._output_size * (2 if self.bidirectional and self.merge == "concat" else 1)

    def stream(
        self, batch_size: SupportsIndex = 1, *, embedding: Array | None = None, tokens: bool = False
    ) -> Stream[State]:
        """This network stepped one time step at a time, with a state of its own, at first zero or the learned one.

        Args:
            batch_size: B, how many rows are stepped together.
            embedding: (V, I): the stream is stepped by tokens from 0 to V - 1, which stand for its rows.
            tokens: without an embedding, step by tokens that stand for unit vectors.

        Returns:
            A `fusedrnn.Stream`. Its outputs are those of one call over the whole sequence, to the bit. It notices when
            `load_params`, an assignment to `params` or an optimiser changes the weights; `refresh` tells it of others.

        Raises:
            ValueError: the layer is bidirectional or reverse (the reverse direction begins at the end) or dilated,
                batch_size < 1, or an embedding of another width.
            TypeError: an argument of the wrong type.
        """
        for name in ("bidirectional", "reverse"):
            if getattr(self, name):
                raise ValueError(f"stream: expected a layer that runs forward only, got {name}=True")
        if self.dilation != 1:
            raise ValueError(f"stream: expected a layer without dilation, got dilation={self.dilation}")
        rows = _checks.size("batch_size", batch_size)
        by_tokens = _checks.boolean("tokens", tokens) or embedding is not None
        return Stream(self._network.stream(rows, embedding, by_tokens))

    # Inference

    def _run(
        self,
        x: Array,
        h0: Array | None,
        c0: Array | None,
        lengths: object,
        reset: object,
        return_cell: bool,
        embedding: Array | None,
        more: More | None = None,
    ) -> tuple[Array, Array, Any, Any]:
        """y, h_n, c_n, cells of one call. Every inference goes through here, so the plain case comes first."""
        if not isinstance(x, np.ndarray):  # _checks.array without the call
            raise TypeError(f"x: expected a numpy.ndarray, got {type(x).__name__}")
        if embedding is not None or x.dtype.kind in "iu":
            return self._run_tokens(x, h0, c0, lengths, reset, return_cell, embedding, more)
        if more is not None:
            return self._run_by_layers(x, h0, c0, lengths, reset, return_cell, more)
        if x.ndim != 3:
            x, h0, c0, mask = self._add_batch(x, h0, c0, lengths, reset)
            y, h, c, cells = self._network.forward(x, h0, c0, reset=mask, return_cell=return_cell)
            one = BATCH.remove
            return y[one], h[one], None if c is None else c[one], None if cells is None else cells[one]
        if lengths is None and reset is None and not self.batch_first and not return_cell:
            return self._network.forward(x, h0, c0)
        return self._network.forward(
            x,
            h0,
            c0,
            lengths=None if lengths is None else _checks.lengths_array(lengths),
            reset=None if reset is None else _checks.mask_array("reset", reset),
            batch_first=self.batch_first,
            return_cell=return_cell,
        )

    # Every layer's y, and masks

    def _by_layers(self) -> Any:
        """A network with these parameters that runs layer by layer."""
        if not isinstance(self._network, _core.Network):
            return self._network
        if "_layered" not in self.__dict__:
            self._layered = self._general_network()
        held, bound = self._network.params, self._layered.params
        if len(bound) != len(held) or any(one is not other for one, other in zip(bound, held, strict=True)):
            self._layered.bind(held)
        return self._layered

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_layered", None)
        return state

    def _run_by_layers(
        self,
        x: Array,
        h0: Array | None,
        c0: Array | None,
        lengths: object,
        reset: object,
        return_cell: bool,
        more: More,
    ) -> tuple[Array, Array, Any, Any]:
        """As `_run`, of a call that wants more than a plain network gives."""
        unbatched = x.ndim != 3
        if unbatched:
            x, h0, c0, reset = self._add_batch(x, h0, c0, lengths, reset)
        found = self._by_layers().forward(
            x,
            h0,
            c0,
            lengths=None if lengths is None else _checks.lengths_array(lengths),
            reset=None if reset is None else _checks.mask_array("reset", reset),
            batch_first=self.batch_first and not unbatched,
            return_cell=return_cell,
            **more,
        )
        y, h, c, cells = _without_batch(found, more) if unbatched else found
        return y, h, c, cells

    def _held_call(
        self, x: object, lengths: object, reset: object, mask: object, held: object, by_tokens: bool
    ) -> tuple[HeldCall, Array, NDArray[np.bool_] | None]:
        """A call with a mask: what spreads its results, the valid steps of x, and the borders between them."""
        x = _checks.array("x", x)
        how: Any = _checks.one_of("held", held, ("repeat", "zero"))
        if lengths is not None:
            raise ValueError("lengths: expected None with mask, which says as much: false beyond a row's length")
        sizes = self._sizes_of(x, by_tokens or x.dtype.kind in "iu")
        layout = Layout(len(sizes) == 1, self.batch_first)
        apart = self.merge != "concat" and how == "repeat"
        if apart and self.connection is not None:
            asked = f"merge={self.merge!r} and connection={self.connection!r}"
            raise ValueError(f'held: expected "zero" with {asked}, got {how!r}')
        directions = (False, True) if self.bidirectional else (self.reverse,)
        call = HeldCall(
            ValidSteps(layout.enter(_checks.mask_of("mask", mask, sizes)), how),
            layout,
            directions if how == "repeat" else (False,),
            self.merge if apart else "concat",
            self._num_states,
            self.dtype,
        )
        return call, call.argument(x), None if reset is None else call.reset(_checks.mask_of("reset", reset, sizes))

    def _sizes_of(self, x: Array, by_tokens: bool) -> tuple[int, ...]:
        """T and B as they lie in x, or T alone."""
        sizes = x.shape if by_tokens else x.shape[:-1]
        if len(sizes) not in (1, 2) or not (by_tokens or x.shape[-1] == self.input_size):
            axes, width = "(B, T" if self.batch_first else "(T, B", "" if by_tokens else f", {self.input_size}"
            raise ValueError(f"x: expected shape {axes}{width}) or, unbatched, (T{width}), got {x.shape}")
        return sizes

    def _layers_wanted(self, return_layers: object) -> list[Array] | None:
        """Where every layer's y goes, or None."""
        return [] if _checks.boolean("return_layers", return_layers) else None

    def _run_more(
        self,
        x: Array,
        h0: Array | None,
        c0: Array | None,
        lengths: object,
        reset: object,
        return_cell: bool,
        embedding: Array | None,
        mask: object,
        held: object,
        layers: list[Array] | None,
    ) -> tuple[Array, Array, Any, Any]:
        """As `_run`, with a mask, or with every layer's y, which go into `layers`."""
        more: More = {} if layers is None else {"layers": layers}
        if mask is None:
            return self._run(x, h0, c0, lengths, reset, return_cell, embedding, more)
        call, x, borders = self._held_call(x, lengths, reset, mask, held, embedding is not None)
        if call.apart:
            more["merged"] = False
        h0, c0 = call.state("state (h)", h0, self._output_size), call.state("state (c)", c0, self.hidden_size)
        valid = call.valid.lengths
        y, h, c, cells = self._run(x, h0, c0, valid, borders, return_cell, embedding, more or None)
        if layers is not None:
            layers[:] = map(call.output, layers)
        return call.output(y), call.state_of_caller(h), call.state_of_caller(c), call.cells(cells)

    def _record_more(
        self,
        x: Array,
        h0: Array | None,
        c0: Array | None,
        lengths: object,
        reset: object,
        return_cell: bool,
        checkpoint: int | None,
        embedding: Array | None,
        mask: object,
        held: object,
        layers: list[Array] | None,
    ) -> tuple[Array, Array, Any, Any, Tape[State]]:
        """As `_record`, with a mask, or with every layer's y, which go into `layers`."""
        more: More = {} if layers is None else {"layers": layers}
        if mask is None:
            return self._record(x, h0, c0, lengths, reset, return_cell, checkpoint, embedding, more)
        call, x, borders = self._held_call(x, lengths, reset, mask, held, embedding is not None)
        if call.apart:
            more["merged"] = False
        h0, c0 = call.state("state (h)", h0, self._output_size), call.state("state (c)", c0, self.hidden_size)
        valid = call.valid.lengths
        y, h, c, cells, tape = self._record(x, h0, c0, valid, borders, return_cell, checkpoint, embedding, more or None)
        whole = HeldTape(tape, call, y, None if layers is None else list(layers))
        if layers is not None:
            layers[:] = map(call.output, layers)
        return call.output(y), call.state_of_caller(h), call.state_of_caller(c), call.cells(cells), whole

    def _add_batch(
        self, x: Array, h0: Array | None, c0: Array | None, lengths: object, reset: object
    ) -> tuple[Array, Array | None, Array | None, NDArray[np.bool_] | None]:
        """The arguments of an unbatched call as a batch of one row, time first."""
        x, mask = batch_of_one(x, lengths, reset, self.input_size, self.batch_first)
        if h0 is not None:
            h0 = BATCH.add_to("state (h)", h0, (self._num_states, self._output_size), self.dtype)
        if c0 is not None:
            c0 = BATCH.add_to("state (c)", c0, (self._num_states, self.hidden_size), self.dtype)
        return x, h0, c0, mask

    # Tokens

    def _run_tokens(
        self,
        x: Array,
        h0: Array | None,
        c0: Array | None,
        lengths: object,
        reset: object,
        return_cell: bool,
        embedding: Array | None,
        more: More | None,
    ) -> tuple[Array, Array, Any, Any]:
        """As `_run`, of tokens."""
        given = Tokens(x, embedding, self.input_size, self.dtype)
        if more is not None or not given.fold():
            return self._run(given.unfolded(), h0, c0, lengths, reset, return_cell, None, more)
        tokens, unbatched = given.tokens, given.tokens.ndim == 1
        if unbatched:
            tokens, h0, c0, reset = self._add_batch_to_tokens(tokens, h0, c0, lengths, reset)
        found = self._network.forward(
            tokens,
            h0,
            c0,
            lengths=None if lengths is None else _checks.lengths_array(lengths),
            reset=None if reset is None else _checks.mask_array("reset", reset),
            batch_first=self.batch_first and not unbatched,
            return_cell=return_cell,
            table=embedding,
        )
        if unbatched:
            y, h, c, cells = BATCH.remove_from(*found)
            return y, h, c, cells
        return found

    def _add_batch_to_tokens(
        self, tokens: Array, h0: Array | None, c0: Array | None, lengths: object, reset: object
    ) -> tuple[Array, Array | None, Array | None, NDArray[np.bool_] | None]:
        """The arguments of an unbatched call as a batch of one row, time first."""
        width = np.broadcast_to(np.zeros((), self.dtype), (len(tokens), self.input_size))
        _, h0, c0, mask = self._add_batch(width, h0, c0, lengths, reset)
        return tokens[:, np.newaxis], h0, c0, mask

    # Training

    def _record(
        self,
        x: Array,
        h0: Array | None,
        c0: Array | None,
        lengths: object,
        reset: object,
        return_cell: bool,
        checkpoint: int | None,
        embedding: Array | None,
        more: More | None = None,
    ) -> tuple[Array, Array, Any, Any, Tape[State]]:
        """y, h_n, c_n, cells and the tape of one call, dropout active."""
        x = _checks.array("x", x)
        every = _checks.optional_count("checkpoint", checkpoint)
        if embedding is not None or x.dtype.kind in "iu":
            given = Tokens(x, embedding, self.input_size, self.dtype)
            if more is not None or not given.fold() or every:
                vectors = given.unfolded()
                *results, tape = self._record_x(vectors, h0, c0, lengths, reset, return_cell, every, None, more)
                tape.take_tokens(given)
                return (*results, tape)
            x = given.tokens
        return self._record_x(x, h0, c0, lengths, reset, return_cell, every, embedding, more)

    def _record_x(
        self,
        x: Array,
        h0: Array | None,
        c0: Array | None,
        lengths: object,
        reset: object,
        return_cell: bool,
        every: int,
        embedding: Array | None,
        more: More | None,
    ) -> tuple[Array, Array, Any, Any, Tape[State]]:
        """As `_record`, of what goes to the core as it is: x, or tokens that are folded."""
        folded = x.dtype.kind in "iu"
        unbatched = x.ndim == 1 if folded else x.ndim != 3
        if unbatched:
            add = self._add_batch_to_tokens if folded else self._add_batch
            x, h0, c0, reset = add(x, h0, c0, lengths, reset)
        batch_first = self.batch_first and not unbatched
        drops, record = self._drops, self._network.record
        if more is not None or self._random:
            record = self._record_with(more)
        before = self.rng.bit_generator.state if drops or self._random else None
        try:
            y, h, c, cells, tape = record(
                x,
                h0,
                c0,
                lengths=None if lengths is None else _checks.lengths_array(lengths),
                reset=None if reset is None else _checks.mask_array("reset", reset),
                batch_first=batch_first,
                return_cell=return_cell,
                dropout_masks=self._dropout_masks_for(x, batch_first) if drops else None,
                checkpoint=every,
                table=embedding,
            )
        except BaseException:
            if before:  # a call that failed has drawn nothing
                self.rng.bit_generator.state = before
            raise
        if unbatched:
            y, h, c, cells = _without_batch((y, h, c, cells), more)
        return y, h, c, cells, Tape(tape, tuple(self._params), y, h, c, BATCH if unbatched else None)

    def _record_with(self, more: More | None) -> Any:
        """The `record` of a network that takes more than a plain one, with that given."""
        network = self._network if more is None else self._by_layers()
        random: More = {"rng": self.rng} if self._random else {}
        return partial(network.record, **random, **(more or {}))

    @property
    def _drops(self) -> bool:
        """Whether `record` zeroes anything between layers."""
        return self.dropout > 0.0 and self.num_layers > 1

    def _dropout_masks_for(self, x: Array, batch_first: bool) -> list[Array] | None:
        """The masks of one `record` of `x`, which has three axes, or two of tokens."""
        if x.ndim == 3 and (x.dtype != self.dtype or x.shape[2] != self.input_size):  # the core refuses such an x
            return None
        return self._draw_dropout_masks(x.shape[1::-1] if batch_first else x.shape[:2])

    def _draw_dropout_masks(self, steps_and_rows: tuple[int, ...]) -> list[Array]:
        """Inverted dropout: what multiplies the output of every layer but the last, 1/(1-p) or 0 with probability p.

        Drawn in float32 whatever the dtype, so one seed drops the same units in float32 and float64.
        """
        shape = (*steps_and_rows, self._features)
        scale = self.dtype.type(0.0 if self.dropout == 1.0 else 1.0 / (1.0 - self.dropout))
        return [(self.rng.random(shape, dtype=np.float32) >= self.dropout) * scale for _ in range(self.num_layers - 1)]


def _without_batch(found: tuple[Array | None, ...], more: More | None) -> list[Any]:
    """y, h_n, c_n and cells of a call of one row, and with them every layer's y, without the batch axis."""
    if more is not None and "layers" in more:
        more["layers"][:] = BATCH.remove_from(*more["layers"])
    return BATCH.remove_from(*found)
