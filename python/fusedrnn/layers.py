"""Recurrent layers: `LSTM`, `GRU` and `RNN`, with torch.nn's arguments, parameter names, shapes and gate order.

Shapes, used throughout: T steps, B rows, I inputs, H hidden units, L layers, D directions (2 when bidirectional),
P = proj_size or, without projection, H.

    x       (T, B, I), or (B, T, I) with batch_first; unbatched (T, I)
    y       (T, B, D*P), or (B, T, D*P) with batch_first; unbatched (T, D*P)
    h       (L*D, B, P) whatever batch_first is; unbatched (L*D, P)
    c       (L*D, B, H); unbatched (L*D, H)

The equations are those of docs/design/cells.md, which `fusedrnn.reference` follows line by line.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Generic, Literal, SupportsIndex, cast, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fusedrnn import _checks, _core
from fusedrnn._activations import Activation
from fusedrnn._batch import BATCH, batch_of_one
from fusedrnn._checks import Array
from fusedrnn._docs import with_shared_text
from fusedrnn._loading import Loading
from fusedrnn._module import Module
from fusedrnn._options import OPTIONS, RANDOM, Stack, checked, is_plain, options_of
from fusedrnn._tape import State, Tape
from fusedrnn._tokens import Tokens
from fusedrnn.streaming import Stream

__all__ = ["GRU", "LSTM", "RNN"]

Merge = Literal["concat", "sum", "mul", "ave"]
Connection = Literal["residual", "highway"]

Pair = tuple[Array, Array]
"""An LSTM's state (h, c)."""


class _Layer(Module, Loading, Generic[State]):
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
        """This network stepped one time step at a time, with a state of its own that begins at zero.

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
    ) -> tuple[Array, Array, Any, Any]:
        """y, h_n, c_n, cells of one call. Every inference goes through here, so the plain case comes first."""
        if not isinstance(x, np.ndarray):  # _checks.array without the call
            raise TypeError(f"x: expected a numpy.ndarray, got {type(x).__name__}")
        if embedding is not None or x.dtype.kind in "iu":
            return self._run_tokens(x, h0, c0, lengths, reset, return_cell, embedding)
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
    ) -> tuple[Array, Array, Any, Any]:
        """As `_run`, of tokens."""
        given = Tokens(x, embedding, self.input_size, self.dtype)
        if not given.fold():
            return self._run(given.unfolded(), h0, c0, lengths, reset, return_cell, None)
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
    ) -> tuple[Array, Array, Any, Any, Tape[State]]:
        """y, h_n, c_n, cells and the tape of one call, dropout active."""
        x = _checks.array("x", x)
        every = _checks.optional_count("checkpoint", checkpoint)
        if embedding is not None or x.dtype.kind in "iu":
            given = Tokens(x, embedding, self.input_size, self.dtype)
            if not given.fold() or every:
                *results, tape = self._record_x(given.unfolded(), h0, c0, lengths, reset, return_cell, every, None)
                tape.take_tokens(given)
                return (*results, tape)
            x = given.tokens
        return self._record_x(x, h0, c0, lengths, reset, return_cell, every, embedding)

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
    ) -> tuple[Array, Array, Any, Any, Tape[State]]:
        """As `_record`, of what goes to the core as it is: x, or tokens that are folded."""
        folded = x.dtype.kind in "iu"
        unbatched = x.ndim == 1 if folded else x.ndim != 3
        if unbatched:
            add = self._add_batch_to_tokens if folded else self._add_batch
            x, h0, c0, reset = add(x, h0, c0, lengths, reset)
        batch_first = self.batch_first and not unbatched
        random: dict[str, Any] = {"rng": self.rng} if self._random else {}
        before = self.rng.bit_generator.state if random or self._drops else None
        try:
            y, h, c, cells, tape = self._network.record(
                x,
                h0,
                c0,
                lengths=None if lengths is None else _checks.lengths_array(lengths),
                reset=None if reset is None else _checks.mask_array("reset", reset),
                batch_first=batch_first,
                return_cell=return_cell,
                dropout_masks=self._dropout_masks_for(x, batch_first) if self._drops else None,
                checkpoint=every,
                table=embedding,
                **random,
            )
        except BaseException:
            if before:  # a call that failed has drawn nothing
                self.rng.bit_generator.state = before
            raise
        if unbatched:
            y, h, c, cells = BATCH.remove_from(y, h, c, cells)
        return y, h, c, cells, Tape(tape, tuple(self._params), y, h, c, BATCH if unbatched else None)

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


class LSTM(_Layer[Pair]):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates: Gers et al. 2000).

    Gate order i, f, g, o; with proj_size, h = W_hr·(o⊙tanh c) (Sak et al. 2014).

    Args:
        input_size: I, features of x.
        hidden_size: H, units of each direction of each layer.
        num_layers: L; layer k > 0 reads the output of layer k-1.
        bias: whether there are bias_ih and bias_hh.
        batch_first: x and y are (B, T, ·) instead of (T, B, ·). States are (L*D, B, ·) either way.
        dropout: probability with which `record` zeroes an output of every layer but the last. A call never drops.
        bidirectional: a second direction runs in reverse, from the last step to the first; its output is concatenated.
        proj_size: P, width h is projected to, less than hidden_size; 0 for no projection.
        dtype: float32 or float64.
        rng: None, an int seed or a numpy.random.Generator, for the initial parameters and the dropout masks.

    Parameters, for layer k, with suffix `_reverse` for the reverse direction:
        weight_ih_l{k} (4H, I) or, for k > 0, (4H, D*P); weight_hh_l{k} (4H, P); bias_ih_l{k}, bias_hh_l{k} (4H,);
        weight_hr_l{k} (P, H), with proj_size.

    Raises:
        ValueError: a size, dropout or proj_size out of range.
        TypeError: an argument of the wrong type.

    Warns:
        UserWarning: dropout > 0 with a single layer.
    """

    _cell = "lstm"

    activations: tuple[Activation, ...]
    reverse_activations: tuple[Activation, ...] | None
    cell_clip: float | None
    peephole: bool
    coupled: bool

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: SupportsIndex = 0,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        activations: Sequence[Activation] = ("sigmoid", "tanh", "tanh"),
        reverse_activations: Sequence[Activation] | None = None,
        cell_clip: float | None = None,
        peephole: bool = False,
        coupled: bool = False,
        reverse: bool = False,
        merge: Merge = "concat",
        clip: float | None = None,
        layer_norm: bool = False,
        learned_state: bool = False,
        zoneout: float | tuple[float, float] = 0.0,
        recurrent_dropout: float = 0.0,
        input_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        connection: Connection | None = None,
        dilation: int | Sequence[int] = 1,
    ) -> None:
        options: dict[str, object] = {
            "activations": activations,
            "reverse_activations": reverse_activations,
            "cell_clip": cell_clip,
            "peephole": peephole,
            "coupled": coupled,
            "reverse": reverse,
            "merge": merge,
            "clip": clip,
            "layer_norm": layer_norm,
            "learned_state": learned_state,
            "zoneout": zoneout,
            "recurrent_dropout": recurrent_dropout,
            "input_dropout": input_dropout,
            "weight_dropout": weight_dropout,
            "connection": connection,
            "dilation": dilation,
        }
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size)
        super().__init__(*sizes, dtype, rng, options)

    @overload
    def __call__(
        self,
        x: Array,
        state: Pair | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        embedding: Array | None = None,
        return_cell: Literal[False] = False,
    ) -> tuple[Array, Pair]: ...
    @overload
    def __call__(
        self,
        x: Array,
        state: Pair | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        embedding: Array | None = None,
        return_cell: Literal[True],
    ) -> tuple[Array, Pair, Array]: ...
    @with_shared_text
    def __call__(
        self,
        x: Array,
        state: Pair | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        embedding: Array | None = None,
        return_cell: bool = False,
    ) -> tuple[Array, Pair] | tuple[Array, Pair, Array]:
        """Run whole sequences; inference, without dropout.

        Args:
            x: (T, B, I), (B, T, I) with batch_first, or unbatched (T, I), of the layer's dtype; any strides.
                Or tokens: integers (T, B), (B, T) or (T,), each standing for a unit vector or a row of `embedding`.
            state: (h0, c0), (L*D, B, P) and (L*D, B, H), unbatched (L*D, P) and (L*D, H); None for zeros.
            {lengths and reset}
            embedding: with tokens, (V, I): tokens from 0 to V - 1 stand for its rows. Where these are few for so many
                steps, their products with W_ih are taken once, not at every step. y has the same bits either way.
            return_cell: also return c of every step.

        Returns:
            y, (h_n, c_n): y is (T, B, D*P), laid out as x is; h_n and c_n are shaped as h0 and c0.
            With return_cell y, (h_n, c_n), cells: the last layer's c of every step, (T, B, D*H), laid out as y.

        Raises:
            ValueError: a wrong shape or rank, or a length out of range; says which argument.
            TypeError: a wrong type or dtype; says which argument.
        """
        if return_cell is not False:
            return_cell = _checks.boolean("return_cell", return_cell)
        h0, c0 = (None, None) if state is None else _checks.state_pair("state", state)
        y, h, c, cells = self._run(x, h0, c0, lengths, reset, return_cell, embedding)
        return (y, (h, c), cells) if return_cell else (y, (h, c))

    @overload
    def record(
        self,
        x: Array,
        state: Pair | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        embedding: Array | None = None,
        return_cell: Literal[False] = False,
        checkpoint: int | None = None,
    ) -> tuple[Array, Pair, Tape[Pair]]: ...
    @overload
    def record(
        self,
        x: Array,
        state: Pair | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        embedding: Array | None = None,
        return_cell: Literal[True],
        checkpoint: int | None = None,
    ) -> tuple[Array, Pair, Array, Tape[Pair]]: ...
    def record(
        self,
        x: Array,
        state: Pair | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        embedding: Array | None = None,
        return_cell: bool = False,
        checkpoint: int | None = None,
    ) -> tuple[Array, Pair, Tape[Pair]] | tuple[Array, Pair, Array, Tape[Pair]]:
        """Run whole sequences for training: dropout is active, and a tape keeps what the backward pass needs.

        Args:
            x, state, lengths, reset, embedding, return_cell: as for a call.
            checkpoint: k, to keep only the states of every k-th step and recompute between them in the backward
                pass (Gruslys et al. 2016): less memory for about one more forward pass. x is read again there: until
                then it must not change, padding included. Not with bidirectional. None keeps everything.

        Returns:
            y, (h_n, c_n), tape, or with return_cell y, (h_n, c_n), cells, tape.
            `tape.backward(dy, dstate, truncate)` gives the gradients, once.

        Raises:
            ValueError, TypeError: as for a call, and for checkpoint < 1, not an integer, or with bidirectional.
        """
        if return_cell is not False:
            return_cell = _checks.boolean("return_cell", return_cell)
        h0, c0 = (None, None) if state is None else _checks.state_pair("state", state)
        y, h, c, cells, tape = self._record(x, h0, c0, lengths, reset, return_cell, checkpoint, embedding)
        return (y, (h, c), cells, tape) if return_cell else (y, (h, c), tape)


class _SingleStateLayer(_Layer[Array]):
    """A layer whose whole state is h."""

    def _refuse_cell(self, return_cell: object) -> None:
        if _checks.boolean("return_cell", return_cell):
            raise ValueError(f"return_cell: expected False, {type(self).__name__} has no cell state (an LSTM has)")

    @with_shared_text
    def __call__(
        self,
        x: Array,
        state: Array | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        embedding: Array | None = None,
        return_cell: bool = False,
    ) -> tuple[Array, Array]:
        """Run whole sequences; inference, without dropout.

        Args:
            x: (T, B, I), (B, T, I) with batch_first, or unbatched (T, I), of the layer's dtype; any strides.
                Or tokens: integers (T, B), (B, T) or (T,), each standing for a unit vector or a row of `embedding`.
            state: h0, (L*D, B, H), unbatched (L*D, H); None for zeros.
            {lengths and reset}
            embedding: with tokens, (V, I): tokens from 0 to V - 1 stand for its rows. Where these are few for so many
                steps, their products with W_ih are taken once, not at every step. y has the same bits either way.
            return_cell: only an LSTM has a cell state; True raises ValueError.

        Returns:
            y, h_n: y is (T, B, D*H), laid out as x is; h_n is shaped as h0.

        Raises:
            ValueError: a wrong shape or rank, or a length out of range; says which argument.
            TypeError: a wrong type or dtype; says which argument.
        """
        if return_cell is not False:
            self._refuse_cell(return_cell)
        h0 = None if state is None else _checks.state_single("state", state)
        y, h, _, _ = self._run(x, h0, None, lengths, reset, False, embedding)
        return y, h

    def record(
        self,
        x: Array,
        state: Array | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        embedding: Array | None = None,
        return_cell: bool = False,
        checkpoint: int | None = None,
    ) -> tuple[Array, Array, Tape[Array]]:
        """Run whole sequences for training: dropout is active, and a tape keeps what the backward pass needs.

        Args:
            x, state, lengths, reset, embedding, return_cell: as for a call.
            checkpoint: k, to keep only the states of every k-th step and recompute between them in the backward
                pass (Gruslys et al. 2016): less memory for about one more forward pass. x is read again there: until
                then it must not change, padding included. Not with bidirectional. None keeps everything.

        Returns:
            y, h_n, tape. `tape.backward(dy, dstate, truncate)` gives the gradients, once.

        Raises:
            ValueError, TypeError: as for a call, and for checkpoint < 1, not an integer, or with bidirectional.
        """
        if return_cell is not False:
            self._refuse_cell(return_cell)
        h0 = None if state is None else _checks.state_single("state", state)
        y, h, _, _, tape = self._record(x, h0, None, lengths, reset, False, checkpoint, embedding)
        return y, h, tape


class GRU(_SingleStateLayer):
    """Gated recurrent unit (Cho et al. 2014), the reset gate applied after the recurrent product, as torch has it.

    Gate order r, z, n; n = tanh(W_in·x + b_in + r⊙(W_hn·h + b_hn)), h' = (1-z)⊙n + z⊙h.

    Args:
        input_size: I, features of x.
        hidden_size: H, units of each direction of each layer.
        num_layers: L; layer k > 0 reads the output of layer k-1.
        bias: whether there are bias_ih and bias_hh.
        batch_first: x and y are (B, T, ·) instead of (T, B, ·). States are (L*D, B, ·) either way.
        dropout: probability with which `record` zeroes an output of every layer but the last. A call never drops.
        bidirectional: a second direction runs in reverse, from the last step to the first; its output is concatenated.
        dtype: float32 or float64.
        rng: None, an int seed or a numpy.random.Generator, for the initial parameters and the dropout masks.

    Parameters, for layer k, with suffix `_reverse` for the reverse direction:
        weight_ih_l{k} (3H, I) or, for k > 0, (3H, D*H); weight_hh_l{k} (3H, H); bias_ih_l{k}, bias_hh_l{k} (3H,).

    Raises:
        ValueError: a size or dropout out of range.
        TypeError: an argument of the wrong type.

    Warns:
        UserWarning: dropout > 0 with a single layer.
    """

    _cell = "gru"

    activations: tuple[Activation, ...]
    reverse_activations: tuple[Activation, ...] | None
    reset_after: bool
    minimal: bool

    def _gates_with_two_biases(self) -> int:
        return 1 if self.reset_after and not self.minimal else 0

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        activations: Sequence[Activation] = ("sigmoid", "tanh"),
        reverse_activations: Sequence[Activation] | None = None,
        reset_after: bool = True,
        minimal: bool = False,
        reverse: bool = False,
        merge: Merge = "concat",
        clip: float | None = None,
        layer_norm: bool = False,
        learned_state: bool = False,
        zoneout: float | tuple[float, float] = 0.0,
        recurrent_dropout: float = 0.0,
        input_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        connection: Connection | None = None,
        dilation: int | Sequence[int] = 1,
    ) -> None:
        options: dict[str, object] = {
            "activations": activations,
            "reverse_activations": reverse_activations,
            "reset_after": reset_after,
            "minimal": minimal,
            "reverse": reverse,
            "merge": merge,
            "clip": clip,
            "layer_norm": layer_norm,
            "learned_state": learned_state,
            "zoneout": zoneout,
            "recurrent_dropout": recurrent_dropout,
            "input_dropout": input_dropout,
            "weight_dropout": weight_dropout,
            "connection": connection,
            "dilation": dilation,
        }
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0)
        super().__init__(*sizes, dtype, rng, options)


class RNN(_SingleStateLayer):
    """Simple recurrent network (Elman 1990): h' = φ(W_ih·x + b_ih + W_hh·h + b_hh).

    Args:
        input_size: I, features of x.
        hidden_size: H, units of each direction of each layer.
        num_layers: L; layer k > 0 reads the output of layer k-1.
        nonlinearity: φ: "tanh", "relu", "sigmoid", "leaky_relu" or "identity".
        bias: whether there are bias_ih and bias_hh.
        batch_first: x and y are (B, T, ·) instead of (T, B, ·). States are (L*D, B, ·) either way.
        dropout: probability with which `record` zeroes an output of every layer but the last. A call never drops.
        bidirectional: a second direction runs in reverse, from the last step to the first; its output is concatenated.
        dtype: float32 or float64.
        rng: None, an int seed or a numpy.random.Generator, for the initial parameters and the dropout masks.

    Parameters, for layer k, with suffix `_reverse` for the reverse direction:
        weight_ih_l{k} (H, I) or, for k > 0, (H, D*H); weight_hh_l{k} (H, H); bias_ih_l{k}, bias_hh_l{k} (H,).

    Raises:
        ValueError: a size or dropout out of range, or an unknown nonlinearity.
        TypeError: an argument of the wrong type.

    Warns:
        UserWarning: dropout > 0 with a single layer.
    """

    _cell = "rnn"

    nonlinearity: Activation
    reverse_nonlinearity: Activation | None
    independent: bool

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        reverse_nonlinearity: Activation | None = None,
        independent: bool = False,
        reverse: bool = False,
        merge: Merge = "concat",
        clip: float | None = None,
        layer_norm: bool = False,
        learned_state: bool = False,
        zoneout: float | tuple[float, float] = 0.0,
        recurrent_dropout: float = 0.0,
        input_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        connection: Connection | None = None,
        dilation: int | Sequence[int] = 1,
    ) -> None:
        options: dict[str, object] = {
            "nonlinearity": nonlinearity,
            "reverse_nonlinearity": reverse_nonlinearity,
            "independent": independent,
            "reverse": reverse,
            "merge": merge,
            "clip": clip,
            "layer_norm": layer_norm,
            "learned_state": learned_state,
            "zoneout": zoneout,
            "recurrent_dropout": recurrent_dropout,
            "input_dropout": input_dropout,
            "weight_dropout": weight_dropout,
            "connection": connection,
            "dilation": dilation,
        }
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0)
        super().__init__(*sizes, dtype, rng, options)

    def _network_options(self) -> dict[str, Any]:
        return {**super()._network_options(), "nonlinearity": self.nonlinearity}
