"""RNN, LSTM and GRU as stacks of layers and directions: docs/design/cells.md, sections 7 and 8.

Arguments arrive in the caller's layout (batch first, time first or without a batch), are checked, and are turned into
time-major (T, B, features) at the border (`_Layout`); nothing inside knows any other layout.
"""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from . import sequence
from .activations import ACTIVATIONS, Array
from .cells import Carry, Cell, GRUCell, GRUResetBeforeCell, LSTMCell, RNNCell
from .parameters import FloatType, Sizes, as_array, check_names, suffix_of
from .sequence import Mask, Plan, SequenceTape

State = TypeVar("State")
"""How a layer shows its state: h for RNN and GRU, (h, c) for LSTM, each (L * D, B, width)."""


@dataclass(frozen=True)
class _Layout:
    """The caller's arrangement of axes, and the way to time-major and back."""

    batched: bool
    batch_first: bool

    @property
    def axes(self) -> str:
        """For messages."""
        return "T" if not self.batched else "B, T" if self.batch_first else "T, B"

    def enter(self, a: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A sequence in the caller's layout as time-major; the axes after the first two are left alone."""
        return a[:, None] if not self.batched else a.swapaxes(0, 1) if self.batch_first else a

    def leave(self, a: Array) -> Array:
        """A time-major sequence in the caller's layout."""
        return a[:, 0] if not self.batched else np.ascontiguousarray(a.swapaxes(0, 1)) if self.batch_first else a


@dataclass(frozen=True)
class Gradients(Generic[State]):
    """Gradients of the loss.

    ``x`` has the shape of the input, ``state`` that of the initial state (also where that was left out, and so zero),
    ``params`` the names, order and shapes of ``layer.params``.
    """

    x: Array
    state: State
    params: dict[str, Array]


@dataclass(frozen=True)
class Tape(Generic[State]):
    """What ``record`` keeps: parameters as they were, and every step's gates. ``backward`` may run more than once."""

    layer: _Layer[State]
    layout: _Layout
    plan: Plan
    directions: list[list[SequenceTape[Any]]]  # by layer, then direction
    masks: list[Array]  # dropout, after every layer but the last; empty: none

    def backward(
        self, dy: npt.ArrayLike | None = None, dstate: State | None = None, truncate: int | None = None
    ) -> Gradients[State]:
        """Backpropagate through time (Werbos 1990); through at most ``truncate`` steps (Williams & Peng 1990).

        Parameters
        ----------
        dy:
            Gradient of the loss at y, of the shape of y; None: zeros. What it holds in the padding does not matter.
        dstate:
            Gradient at the final state, of its shape; None: zeros. For an LSTM (dh, dc), either of which may be None.
        truncate:
            k2 >= 1: each direction's steps are cut into truncation windows of k2, counted back from each row's own
            last processed step, and no gradient crosses from one window to the one before it. So the gradients are
            those of separate calls, one a window, with the state carried over as a constant. The initial state belongs
            to the first window. None: full BPTT.

        Raises ValueError for a wrong shape or a ``truncate`` below 1.
        """
        layer, plan = self.layer, self.plan
        if truncate is not None:
            truncate = _integer("truncate", truncate, 1)
        width = layer.sizes.output_size
        dlayer = layer._sequence("dy", dy, self.layout, plan, width * layer.sizes.directions)
        dfinal = layer._carries("dstate", dstate, self.layout, plan.batch)
        dinitial: list[Carry] = []
        params: dict[str, Array] = {}
        for depth in reversed(range(layer.sizes.num_layers)):
            if depth < len(self.masks):
                dlayer = dlayer * self.masks[depth]  # (D3)
            carries: list[Carry] = []
            dx: Array | None = None
            for direction, tape in enumerate(self.directions[depth]):
                part = dlayer[:, :, direction * width : (direction + 1) * width]
                index = depth * layer.sizes.directions + direction
                g = tape.backward(part, tuple(a[index] for a in dfinal), truncate)
                dx = g.x if dx is None else dx + g.x  # (D4)
                carries.append(g.carry)
                params |= {stem + suffix_of(depth, direction): value for stem, value in g.weights.items()}
            dinitial = carries + dinitial
            assert dx is not None
            dlayer = dx
        return Gradients(
            x=self.layout.leave(dlayer),
            state=layer._show_state(dinitial, self.layout),
            params={name: params[name] for name in layer.sizes.shapes()},
        )


class _Layer(Generic[State]):
    """What the three layers share: everything but the cell and how the state is shown."""

    params: dict[str, Array]

    def __init__(
        self,
        cell: Cell[Any],
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        dtype: npt.DTypeLike,
        rng: np.random.Generator | int | None,
        reverse: bool,
    ) -> None:
        if bidirectional and reverse:
            raise ValueError("reverse: a bidirectional layer already runs both ways")
        self._cell = cell
        self._dropout = _probability("dropout", dropout)
        self._reverse = bool(reverse)
        self.batch_first = bool(batch_first)
        self._dtype = _float_type(dtype)
        self._sizes = Sizes(
            _integer("input_size", input_size, 1),
            hidden_size,
            _integer("num_layers", num_layers, 1),
            bool(bias),
            2 if bidirectional else 1,
            proj_size,
            cell.gates,
            cell.joint_biases,
        )
        self.params = self.sizes.draw(_generator(rng), self.dtype)

    # What a layer was made with is read-only, because the shapes of its parameters depend on it.

    @property
    def cell(self) -> Cell[Any]:
        """The cell."""
        return self._cell

    @property
    def sizes(self) -> Sizes:
        """What determines the shape of every parameter."""
        return self._sizes

    @property
    def dtype(self) -> FloatType:
        """float32 or float64."""
        return self._dtype

    @property
    def input_size(self) -> int:
        """I, features of x."""
        return self.sizes.input_size

    @property
    def hidden_size(self) -> int:
        """H, units of each direction of each layer."""
        return self.sizes.hidden_size

    @property
    def num_layers(self) -> int:
        """L."""
        return self.sizes.num_layers

    @property
    def bias(self) -> bool:
        """Whether there are bias_ih and bias_hh."""
        return self.sizes.bias

    @property
    def proj_size(self) -> int:
        """P, or 0 without a projection."""
        return self.sizes.proj_size

    @property
    def bidirectional(self) -> bool:
        """Whether there are two directions."""
        return self.sizes.directions == 2

    @property
    def reverse(self) -> bool:
        """Whether the one direction runs in reverse, from the last step to the first."""
        return self._reverse

    @property
    def dropout(self) -> float:
        """As given: the reference draws no masks."""
        return self._dropout

    @property
    def num_params(self) -> int:
        """Number of free parameters: biases that only ever appear as a sum count once, (N1)."""
        return self.sizes.count()

    def load_params(self, mapping: Mapping[str, npt.ArrayLike]) -> None:
        """Copy every parameter from ``mapping`` (names as in a torch state_dict), or raise ValueError and copy none."""
        check_names(set(mapping), list(self.sizes.shapes()))
        self.params = {name: self.sizes.check(name, mapping[name], self.dtype) for name in self.sizes.shapes()}

    @overload
    def __call__(
        self,
        x: npt.ArrayLike,
        state: State | None = None,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        *,
        return_cell: Literal[False] = False,
    ) -> tuple[Array, State]: ...

    @overload
    def __call__(
        self,
        x: npt.ArrayLike,
        state: State | None = None,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        *,
        return_cell: Literal[True],
    ) -> tuple[Array, State, Array]: ...

    def __call__(
        self,
        x: npt.ArrayLike,
        state: State | None = None,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        *,
        return_cell: bool = False,
    ) -> tuple[Array, State] | tuple[Array, State, Array]:
        """Run the layer, without dropout.

        Parameters
        ----------
        x:
            (T, B, input_size); (B, T, input_size) if batch_first; (T, input_size) without a batch.
        state:
            Initial state, zeros if None: h (L * D, B, H_out), for an LSTM (h, c) with c (L * D, B, H). L layers, D
            directions, H_out = proj_size or hidden_size. Without a batch, (L * D, width).
        lengths:
            (B,) integers from 0 to T, in any order: row b ends after lengths[b] steps. What x holds past that does not
            matter; y is zero there, the returned state is the one after the row's own last step, and the reverse
            direction starts at that step.
        reset:
            (T, B), or (B, T) if batch_first, bool: an episode begins at this step. In all layers no state crosses from
            the step before into it, nor from it into the step before where a direction runs in reverse.
        return_cell:
            LSTM only: also return c of the last layer after every step.

        Returns
        -------
        y, state:
            y (T, B, D * H_out) in the layout of x, and the final state in the form of ``state``.
        cells:
            Only with ``return_cell``: (T, B, D * hidden_size) in the layout of x.

        Raises ValueError naming the argument whose shape, type or range is wrong.
        """
        y, final, cells, _ = self._run(x, state, lengths, reset, None, return_cell)
        return (y, final) if cells is None else (y, final, cells)

    @overload
    def record(
        self,
        x: npt.ArrayLike,
        state: State | None = None,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        dropout_masks: Sequence[npt.ArrayLike] | None = None,
        *,
        return_cell: Literal[False] = False,
    ) -> tuple[Array, State, Tape[State]]: ...

    @overload
    def record(
        self,
        x: npt.ArrayLike,
        state: State | None = None,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        dropout_masks: Sequence[npt.ArrayLike] | None = None,
        *,
        return_cell: Literal[True],
    ) -> tuple[Array, State, Array, Tape[State]]: ...

    def record(
        self,
        x: npt.ArrayLike,
        state: State | None = None,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        dropout_masks: Sequence[npt.ArrayLike] | None = None,
        *,
        return_cell: bool = False,
    ) -> tuple[Array, State, Tape[State]] | tuple[Array, State, Array, Tape[State]]:
        """Run the layer as a call does and also return a `Tape` to run it backward.

        ``dropout_masks``: num_layers - 1 arrays (T, B, D * H_out), always time-major ((T, D * H_out) for input without
        a batch), already scaled by 1 / (1 - p): each is multiplied into the output of its layer before the next one.
        None: no dropout. The reference draws no random numbers; ``dropout`` itself is only kept.
        """
        y, final, cells, tape = self._run(x, state, lengths, reset, dropout_masks, return_cell)
        return (y, final, tape) if cells is None else (y, final, cells, tape)

    def _run(
        self,
        x: npt.ArrayLike,
        state: State | None,
        lengths: npt.ArrayLike | None,
        reset: npt.ArrayLike | None,
        dropout_masks: Sequence[npt.ArrayLike] | None,
        return_cell: bool,
    ) -> tuple[Array, State, Array | None, Tape[State]]:
        if return_cell and len(self.cell.widths) < 2:
            raise ValueError(f"return_cell: {type(self).__name__} has no cell state c, only LSTM has")
        layer_x, layout = self._input(x)
        steps, batch, _ = layer_x.shape
        plan = Plan(steps, batch, _lengths(lengths, layout, steps, batch), _reset(reset, layout, steps, batch))
        initial = self._carries("state", state, layout, batch)
        masks = self._masks(dropout_masks, layout, plan)
        params = self._checked_params()

        finals: list[Carry] = []
        tapes: list[list[SequenceTape[Any]]] = []
        for depth in range(self.sizes.num_layers):
            histories: list[Carry] = []
            tapes.append([])
            for direction in range(self.sizes.directions):
                weights = self.sizes.direction(params, depth, direction, self.dtype)
                carry = tuple(part[len(finals)] for part in initial)
                reverse = self.reverse or direction == 1
                history, final, tape = sequence.forward(self.cell, weights, layer_x, carry, plan, reverse)
                histories.append(history)
                finals.append(final)
                tapes[-1].append(tape)
            outputs = [np.concatenate(parts, axis=2) for parts in zip(*histories, strict=True)]  # (D1)
            layer_x = outputs[0]
            if depth < len(masks):
                layer_x = layer_x * masks[depth]  # (D3)
        y = layout.leave(outputs[0])
        cells = layout.leave(outputs[1]) if return_cell else None
        return y, self._show_state(finals, layout), cells, Tape(self, layout, plan, tapes, masks)

    # Only how the state is shown differs between the layers for a caller.

    @abstractmethod
    def _parts(self, name: str, state: State) -> Sequence[object]:
        """The caller's state as one array-like per array of the carry."""

    @abstractmethod
    def _state(self, parts: Carry) -> State:
        """And back."""

    def _show_state(self, carries: list[Carry], layout: _Layout) -> State:
        """Carries by layer and direction, stacked into the caller's state."""
        stacked = tuple(np.stack(parts) for parts in zip(*carries, strict=True))
        return self._state(stacked if layout.batched else tuple(part[:, 0] for part in stacked))

    # Arguments: checked, and turned into time-major arrays of this layer's dtype.

    def _input(self, x: npt.ArrayLike) -> tuple[Array, _Layout]:
        array = as_array(x, "x", self.dtype)
        layout = _Layout(batched=array.ndim == 3, batch_first=self.batch_first)
        if array.ndim not in (2, 3) or array.shape[-1] != self.sizes.input_size:
            axes = "B, T" if self.batch_first else "T, B"
            width = self.sizes.input_size
            raise ValueError(f"x: expected shape ({axes}, {width}) or (T, {width}), got {array.shape}")
        return layout.enter(array).copy(), layout  # the tape must not see the caller change it

    def _sequence(self, name: str, value: npt.ArrayLike | None, layout: _Layout, plan: Plan, width: int) -> Array:
        """A sequence in the caller's layout as (T, B, width); zeros for None."""
        shape = (plan.steps, plan.batch, width)
        if value is None:
            return np.zeros(shape, self.dtype)
        array = as_array(value, name, self.dtype)
        ndim = 3 if layout.batched else 2
        entered = layout.enter(array) if array.ndim == ndim else array
        if entered.shape != shape:
            raise ValueError(
                f"{name}: expected shape ({layout.axes}, {width}) with T = {plan.steps}, B = {plan.batch}, "
                f"got {array.shape}"
            )
        return entered

    def _carries(self, name: str, state: State | None, layout: _Layout, batch: int) -> Carry:
        """A state, or the gradient of one, as arrays (L * D, B, width); zeros for None or a part that is None."""
        widths = self.cell.widths
        parts: Sequence[object] = [None] * len(widths) if state is None else self._parts(name, state)
        count = self.sizes.num_layers * self.sizes.directions
        carries: list[Array] = []
        for label, part, width in zip(("h", "c")[: len(widths)], parts, widths, strict=True):
            shape = (count, batch, width) if layout.batched else (count, width)
            array = np.zeros(shape, self.dtype) if part is None else as_array(part, f"{name} {label}", self.dtype)
            if array.shape != shape:
                raise ValueError(f"{name}: expected {label} of shape {shape}, got {array.shape}")
            carries.append((array if layout.batched else array[:, None]).copy())
        return tuple(carries)

    def _masks(self, masks: Sequence[npt.ArrayLike] | None, layout: _Layout, plan: Plan) -> list[Array]:
        if masks is None:
            return []
        if len(masks) != self.sizes.num_layers - 1:
            raise ValueError(f"dropout_masks: expected {self.sizes.num_layers - 1} (layers - 1), got {len(masks)}")
        time_major = _Layout(layout.batched, batch_first=False)
        width = self.sizes.output_size * self.sizes.directions
        return [self._sequence(f"dropout_masks[{k}]", m, time_major, plan, width).copy() for k, m in enumerate(masks)]

    def _checked_params(self) -> dict[str, Array]:
        """Copies of the parameters, which callers may have changed in place or assigned."""
        check_names(set(self.params), list(self.sizes.shapes()))
        return {name: self.sizes.check(name, value, self.dtype) for name, value in self.params.items()}


class RNN(_Layer[Array]):
    """Simple recurrent network, cells.md section 2: h' = phi(W_ih x + b_ih + W_hh h + b_hh).

    Arguments as torch.nn.RNN; ``nonlinearity`` is tanh, relu, sigmoid, leaky_relu (slope 0.01) or identity. ``dtype``
    is float32 or float64, and all arithmetic stays in it. ``rng`` seeds the initial parameters. ``reverse`` runs a
    layer of one direction from the last step to the first. Call it, or `record` to also get gradients.

    Elman (1990), "Finding structure in time".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: npt.DTypeLike = np.float64,
        rng: np.random.Generator | int | None = None,
        reverse: bool = False,
    ) -> None:
        if nonlinearity not in ACTIVATIONS:
            raise ValueError(f"nonlinearity: expected one of {', '.join(ACTIVATIONS)}, got {nonlinearity!r}")
        hidden_size = _integer("hidden_size", hidden_size, 1)
        cell = RNNCell(hidden_size, ACTIVATIONS[nonlinearity])
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype, rng, reverse
        )

    def _parts(self, name: str, state: Array) -> Sequence[object]:
        return (state,)

    def _state(self, parts: Carry) -> Array:
        return parts[0]


class GRU(_Layer[Array]):
    """Gated recurrent unit, cells.md sections 4 and 5; gate order r, z, n.

    Arguments as torch.nn.GRU, and `RNN`'s. ``reset_after`` True is torch's, Keras's default and ONNX's
    linear_before_reset=1 form: n = tanh(W_in x + b_in + r * (W_hn h + b_hn)); False is the form of the paper and ONNX's
    default: n = tanh(W_in x + b_in + W_hn (r * h) + b_hn).

    Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        reset_after: bool = True,
        dtype: npt.DTypeLike = np.float64,
        rng: np.random.Generator | int | None = None,
        reverse: bool = False,
    ) -> None:
        hidden_size = _integer("hidden_size", hidden_size, 1)
        self._reset_after = bool(reset_after)
        cell = GRUCell(hidden_size) if reset_after else GRUResetBeforeCell(hidden_size)
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype, rng, reverse
        )

    @property
    def reset_after(self) -> bool:
        """Whether the reset gate multiplies the candidate's product."""
        return self._reset_after

    def _parts(self, name: str, state: Array) -> Sequence[object]:
        return (state,)

    def _state(self, parts: Carry) -> Array:
        return parts[0]


class LSTM(_Layer[tuple[Array, Array]]):
    """Long short-term memory, cells.md section 3; gate order i, f, g, o; the state is (h, c).

    Arguments as torch.nn.LSTM, and `RNN`'s. With ``proj_size`` P > 0, h = W_hr (o * tanh(c)) has P < H features.

    Hochreiter & Schmidhuber (1997), "Long short-term memory"; the forget gate: Gers, Schmidhuber & Cummins (2000),
    "Learning to forget"; the projection: Sak, Senior & Beaufays (2014), "Long short-term memory based recurrent neural
    network architectures for large vocabulary speech recognition".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dtype: npt.DTypeLike = np.float64,
        rng: np.random.Generator | int | None = None,
        reverse: bool = False,
    ) -> None:
        hidden_size = _integer("hidden_size", hidden_size, 1)
        proj_size = _integer("proj_size", proj_size, 0)
        if proj_size >= hidden_size:
            raise ValueError(f"proj_size: must be smaller than hidden_size ({hidden_size}), got {proj_size}")
        super().__init__(
            LSTMCell(hidden_size, proj_size),
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            dtype,
            rng,
            reverse,
        )

    def _parts(self, name: str, state: tuple[Array, Array]) -> Sequence[object]:
        if not isinstance(state, (tuple, list)) or len(state) != 2:
            raise ValueError(f"{name}: expected a pair (h, c), got {type(state).__name__}")
        return state

    def _state(self, parts: Carry) -> tuple[Array, Array]:
        h, c = parts
        return h, c


_LARGEST = 2**31 - 1
"""Of a size: what the layers of fusedrnn take."""


def _integer(name: str, value: object, least: int) -> int:
    try:
        number = operator.index(cast(Any, value))
    except TypeError:
        raise ValueError(f"{name}: expected an integer, got {value!r}") from None
    if isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name}: expected an integer, got {value!r}")
    if not least <= number <= _LARGEST:
        got = number if abs(number) < 10**100 else f"one of {number.bit_length()} bits"
        raise ValueError(f"{name}: expected an integer from {least} to {_LARGEST}, got {got}")
    return number


def _probability(name: str, value: object) -> float:
    try:
        if not isinstance(value, (bool, np.bool_)) and 0 <= cast(Any, value) <= 1:
            return float(cast(Any, value))
    except (TypeError, ValueError):
        pass
    got = value if isinstance(value, (float, str)) else type(value).__name__
    raise ValueError(f"{name}: expected a probability, got {got!r}")


def _generator(rng: np.random.Generator | int | None) -> np.random.Generator:
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise ValueError(f"rng: expected None, a seed or a numpy.random.Generator ({error})") from None


def _float_type(dtype: npt.DTypeLike) -> FloatType:
    try:
        wanted = np.dtype(dtype)
    except (TypeError, ValueError, KeyError, SyntaxError, OverflowError):
        raise ValueError(f"dtype: expected float32 or float64, got {type(dtype).__name__}") from None
    if wanted == np.float32:
        return np.dtype(np.float32)
    if wanted == np.float64:
        return np.dtype(np.float64)
    raise ValueError(f"dtype: expected float32 or float64, got {wanted}")


def _lengths(lengths: npt.ArrayLike | None, layout: _Layout, steps: int, batch: int) -> npt.NDArray[np.int64] | None:
    """(B,) checked; input without a batch may give a plain integer."""
    if lengths is None:
        return None
    try:
        array = np.asarray(lengths)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"lengths: expected integers ({error})") from None
    if array.size == 0 and array.shape == (batch,):
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu":
        raise ValueError(f"lengths: expected integers, got dtype {array.dtype}")
    if not layout.batched and array.ndim == 0:
        array = array[None]
    if array.shape != (batch,):
        raise ValueError(f"lengths: expected shape ({batch},), got {array.shape}")
    if array.min() < 0 or array.max() > steps:
        raise ValueError(f"lengths: expected values from 0 to T = {steps}, got {array.tolist()}")
    return array.astype(np.int64)


def _reset(reset: npt.ArrayLike | None, layout: _Layout, steps: int, batch: int) -> Mask | None:
    """(T, B) checked."""
    if reset is None:
        return None
    try:
        array = np.asarray(reset)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"reset: expected bool ({error})") from None
    if array.dtype != np.bool_ and array.size:
        raise ValueError(f"reset: expected bool, got dtype {array.dtype}")
    entered = layout.enter(array) if array.ndim == (2 if layout.batched else 1) else array
    if entered.shape != (steps, batch):
        raise ValueError(f"reset: expected shape ({layout.axes}) with T = {steps}, B = {batch}, got {array.shape}")
    return entered.astype(np.bool_)
