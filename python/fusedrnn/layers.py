"""Recurrent layers: `LSTM`, `GRU` and `RNN`, with torch.nn's arguments, parameter names, shapes and gate order.

Shapes, used throughout: T steps, B rows, I inputs, H hidden units, L layers, D directions (2 when bidirectional),
P = proj_size or, without projection, H.

    x       (T, B, I), or (B, T, I) with batch_first; unbatched (T, I)
    y       (T, B, D*P), or (B, T, D*P) with batch_first; unbatched (T, D*P)
    h       (L*D, B, P) whatever batch_first is; unbatched (L*D, P)
    c       (L*D, B, H); unbatched (L*D, H)

The equations are those of docs/design/cells.md, which `fusedrnn.reference` follows line by line. Where `merge` is not
"concat", y has P features and so has the x of the layers after the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fusedrnn import _checks
from fusedrnn._activations import Activation
from fusedrnn._checks import Array
from fusedrnn._docs import with_shared_text
from fusedrnn._held import Held
from fusedrnn._layer import Connection, Layer, Merge
from fusedrnn._tape import Tape

__all__ = ["GRU", "LSTM", "RNN"]

Pair = tuple[Array, Array]
"""An LSTM's state (h, c)."""


@with_shared_text
class LSTM(Layer[Pair]):
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
        activations: of the gates, the candidate and the output. Each is
            {activations}
        reverse_activations: those of the reverse direction; None for the same.
        cell_clip: a bound on c; None for none.
        peephole: the gates see c (Gers et al. 2002).
        coupled: f = 1 - i, and the gates are i, g, o (CIFG, Greff et al. 2017).
        {options}

    Parameters, for layer k, with suffix `_reverse` for the reverse direction:
        weight_ih_l{k} (4H, I) or, for k > 0, (4H, D*P); weight_hh_l{k} (4H, P); bias_ih_l{k}, bias_hh_l{k} (4H,);
        weight_hr_l{k} (P, H), with proj_size; weight_ch_l{k} (3H,), with peepholes of i, f and o;
        gain_ih_l{k}, gain_hh_l{k} (4H,), gain_c_l{k}, shift_c_l{k} (H,), with layer_norm.
        Coupled gates have 3H for 4H, and 2H peepholes.
        {new parameters}

    Raises:
        ValueError: a size, probability or proj_size out of range, an unknown activation, or options that do not go
            together; names both.
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
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: Literal[False] = False,
        return_layers: Literal[False] = False,
    ) -> tuple[Array, Pair]: ...
    @overload
    def __call__(
        self,
        x: Array,
        state: Pair | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: Literal[True],
        return_layers: Literal[False] = False,
    ) -> tuple[Array, Pair, Array]: ...
    @overload
    def __call__(
        self,
        x: Array,
        state: Pair | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: bool = False,
        return_layers: bool,
    ) -> tuple[Any, ...]: ...
    @with_shared_text
    def __call__(
        self,
        x: Array,
        state: Pair | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: bool = False,
        return_layers: bool = False,
    ) -> tuple[Any, ...]:
        """Run whole sequences; inference, without dropout.

        Args:
            x: (T, B, I), (B, T, I) with batch_first, or unbatched (T, I), of the layer's dtype; any strides.
                Or tokens: integers (T, B), (B, T) or (T,), each standing for a unit vector or a row of `embedding`.
            state: (h0, c0), (L*D, B, P) and (L*D, B, H), unbatched (L*D, P) and (L*D, H); None for zeros.
            {lengths and reset}
            embedding: with tokens, (V, I): tokens from 0 to V - 1 stand for its rows. Where these are few for so many
                steps, their products with W_ih are taken once, not at every step. y has the same bits either way.
            {mask}
            return_cell: also return c of every step.
            {return_layers}

        Returns:
            y, (h_n, c_n): y is (T, B, D*P), laid out as x is, (T, B, P) where `merge` is not "concat"; h_n and c_n are
            shaped as h0 and c0.
            With return_cell y, (h_n, c_n), cells: the last layer's c of every step, (T, B, D*H), laid out as y; its
            directions are side by side whatever `merge` is.
            With return_layers a list of every layer's y comes last.

        Raises:
            ValueError: a wrong shape or rank, or a length out of range; says which argument.
            TypeError: a wrong type or dtype; says which argument.
        """
        if return_cell is not False:
            return_cell = _checks.boolean("return_cell", return_cell)
        h0, c0 = (None, None) if state is None else _checks.state_pair("state", state)
        if mask is None and return_layers is False:
            y, h, c, cells = self._run(x, h0, c0, lengths, reset, return_cell, embedding)
            return (y, (h, c), cells) if return_cell else (y, (h, c))
        layers = self._layers_wanted(return_layers)
        y, h, c, cells = self._run_more(x, h0, c0, lengths, reset, return_cell, embedding, mask, held, layers)
        return y, (h, c), *([cells] if return_cell else []), *([] if layers is None else [layers])

    @overload
    def record(
        self,
        x: Array,
        state: Pair | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: Literal[False] = False,
        return_layers: Literal[False] = False,
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
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: Literal[True],
        return_layers: Literal[False] = False,
        checkpoint: int | None = None,
    ) -> tuple[Array, Pair, Array, Tape[Pair]]: ...
    @overload
    def record(
        self,
        x: Array,
        state: Pair | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: bool = False,
        return_layers: bool,
        checkpoint: int | None = None,
    ) -> tuple[Any, ...]: ...
    def record(
        self,
        x: Array,
        state: Pair | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: bool = False,
        return_layers: bool = False,
        checkpoint: int | None = None,
    ) -> tuple[Any, ...]:
        """Run whole sequences for training: dropout is active, and a tape keeps what the backward pass needs.

        Args:
            x, state, lengths, reset, mask, held, embedding, return_cell, return_layers: as for a call.
            checkpoint: k, to keep only the states of every k-th step and recompute between them in the backward
                pass (Gruslys et al. 2016): less memory for about one more forward pass. x is read again there: until
                then it must not change, padding included. Not with bidirectional, return_layers or an option that only
                a general network has (docs/howto/variants.md). None keeps everything.

        Returns:
            What a call returns, and the tape last. `tape.backward(dy, dstate, truncate)` gives the gradients, once; it
            takes those of the layers as `dlayers`.

        Raises:
            ValueError, TypeError: as for a call, and for checkpoint < 1, not an integer, or with bidirectional.
        """
        if return_cell is not False:
            return_cell = _checks.boolean("return_cell", return_cell)
        h0, c0 = (None, None) if state is None else _checks.state_pair("state", state)
        if mask is None and return_layers is False:
            y, h, c, cells, tape = self._record(x, h0, c0, lengths, reset, return_cell, checkpoint, embedding)
            return (y, (h, c), cells, tape) if return_cell else (y, (h, c), tape)
        layers = self._layers_wanted(return_layers)
        y, h, c, cells, tape = self._record_more(
            x, h0, c0, lengths, reset, return_cell, checkpoint, embedding, mask, held, layers
        )
        return y, (h, c), *([cells] if return_cell else []), *([] if layers is None else [layers]), tape


class _SingleStateLayer(Layer[Array]):
    """A layer whose whole state is h."""

    def _refuse_cell(self, return_cell: object) -> None:
        if _checks.boolean("return_cell", return_cell):
            raise ValueError(f"return_cell: expected False, {type(self).__name__} has no cell state (an LSTM has)")

    @overload
    def __call__(
        self,
        x: Array,
        state: Array | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: bool = False,
        return_layers: Literal[False] = False,
    ) -> tuple[Array, Array]: ...
    @overload
    def __call__(
        self,
        x: Array,
        state: Array | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: bool = False,
        return_layers: bool,
    ) -> tuple[Any, ...]: ...
    @with_shared_text
    def __call__(
        self,
        x: Array,
        state: Array | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: bool = False,
        return_layers: bool = False,
    ) -> tuple[Any, ...]:
        """Run whole sequences; inference, without dropout.

        Args:
            x: (T, B, I), (B, T, I) with batch_first, or unbatched (T, I), of the layer's dtype; any strides.
                Or tokens: integers (T, B), (B, T) or (T,), each standing for a unit vector or a row of `embedding`.
            state: h0, (L*D, B, H), unbatched (L*D, H); None for zeros.
            {lengths and reset}
            embedding: with tokens, (V, I): tokens from 0 to V - 1 stand for its rows. Where these are few for so many
                steps, their products with W_ih are taken once, not at every step. y has the same bits either way.
            {mask}
            return_cell: only an LSTM has a cell state; True raises ValueError.
            {return_layers}

        Returns:
            y, h_n: y is (T, B, D*H), laid out as x is, (T, B, H) where `merge` is not "concat"; h_n is shaped as h0.
            With return_layers a list of every layer's y follows.

        Raises:
            ValueError: a wrong shape or rank, or a length out of range; says which argument.
            TypeError: a wrong type or dtype; says which argument.
        """
        if return_cell is not False:
            self._refuse_cell(return_cell)
        h0 = None if state is None else _checks.state_single("state", state)
        if mask is None and return_layers is False:
            y, h, _, _ = self._run(x, h0, None, lengths, reset, False, embedding)
            return y, h
        layers = self._layers_wanted(return_layers)
        y, h, _, _ = self._run_more(x, h0, None, lengths, reset, False, embedding, mask, held, layers)
        return (y, h) if layers is None else (y, h, layers)

    @overload
    def record(
        self,
        x: Array,
        state: Array | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: bool = False,
        return_layers: Literal[False] = False,
        checkpoint: int | None = None,
    ) -> tuple[Array, Array, Tape[Array]]: ...
    @overload
    def record(
        self,
        x: Array,
        state: Array | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: bool = False,
        return_layers: bool,
        checkpoint: int | None = None,
    ) -> tuple[Any, ...]: ...
    def record(
        self,
        x: Array,
        state: Array | None = None,
        *,
        lengths: ArrayLike | None = None,
        reset: NDArray[np.bool_] | None = None,
        mask: NDArray[np.bool_] | None = None,
        held: Held = "repeat",
        embedding: Array | None = None,
        return_cell: bool = False,
        return_layers: bool = False,
        checkpoint: int | None = None,
    ) -> tuple[Any, ...]:
        """Run whole sequences for training: dropout is active, and a tape keeps what the backward pass needs.

        Args:
            x, state, lengths, reset, mask, held, embedding, return_cell, return_layers: as for a call.
            checkpoint: k, to keep only the states of every k-th step and recompute between them in the backward
                pass (Gruslys et al. 2016): less memory for about one more forward pass. x is read again there: until
                then it must not change, padding included. Not with bidirectional, return_layers or an option that only
                a general network has (docs/howto/variants.md). None keeps everything.

        Returns:
            y, h_n, tape, or with return_layers y, h_n, layers, tape. `tape.backward(dy, dstate, truncate)` gives the
            gradients, once; it takes those of the layers as `dlayers`.

        Raises:
            ValueError, TypeError: as for a call, and for checkpoint < 1, not an integer, or with bidirectional.
        """
        if return_cell is not False:
            self._refuse_cell(return_cell)
        h0 = None if state is None else _checks.state_single("state", state)
        if mask is None and return_layers is False:
            y, h, _, _, tape = self._record(x, h0, None, lengths, reset, False, checkpoint, embedding)
            return y, h, tape
        layers = self._layers_wanted(return_layers)
        y, h, _, _, tape = self._record_more(
            x, h0, None, lengths, reset, False, checkpoint, embedding, mask, held, layers
        )
        return (y, h, tape) if layers is None else (y, h, layers, tape)


@with_shared_text
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
        activations: of the gates and the candidate. Each is
            {activations}
        reverse_activations: those of the reverse direction; None for the same.
        reset_after: False for the reset gate applied to h before the product, as in the paper and ONNX's default.
        minimal: one gate in place of r and z; the gates are f, n (MGU, Zhou et al. 2016).
        {options}

    Parameters, for layer k, with suffix `_reverse` for the reverse direction:
        weight_ih_l{k} (3H, I) or, for k > 0, (3H, D*H); weight_hh_l{k} (3H, H); bias_ih_l{k}, bias_hh_l{k} (3H,);
        gain_ih_l{k}, gain_hh_l{k} (3H,), with layer_norm. A minimal one has 2H for 3H.
        {new parameters}

    Raises:
        ValueError: a size or probability out of range, an unknown activation, or options that do not go
            together; names both.
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


@with_shared_text
class RNN(_SingleStateLayer):
    """Simple recurrent network (Elman 1990): h' = φ(W_ih·x + b_ih + W_hh·h + b_hh).

    Args:
        input_size: I, features of x.
        hidden_size: H, units of each direction of each layer.
        num_layers: L; layer k > 0 reads the output of layer k-1.
        nonlinearity: φ, one of
            {activations}
        bias: whether there are bias_ih and bias_hh.
        batch_first: x and y are (B, T, ·) instead of (T, B, ·). States are (L*D, B, ·) either way.
        dropout: probability with which `record` zeroes an output of every layer but the last. A call never drops.
        bidirectional: a second direction runs in reverse, from the last step to the first; its output is concatenated.
        dtype: float32 or float64.
        rng: None, an int seed or a numpy.random.Generator, for the initial parameters and the dropout masks.
        reverse_nonlinearity: that of the reverse direction; None for the same.
        independent: W_hh is a diagonal, (H,) (IndRNN, Li et al. 2018).
        {options}

    Parameters, for layer k, with suffix `_reverse` for the reverse direction:
        weight_ih_l{k} (H, I) or, for k > 0, (H, D*H); weight_hh_l{k} (H, H), independent (H,); bias_ih_l{k},
        bias_hh_l{k} (H,).
        {new parameters}

    Raises:
        ValueError: a size or probability out of range, an unknown nonlinearity, or options that do not go
            together; names both.
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
