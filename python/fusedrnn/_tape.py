"""Tapes, which carry a recorded call to its backward pass, and the gradients that come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NoReturn, TypeVar

from fusedrnn import _core
from fusedrnn._batch import Axes
from fusedrnn._checks import Array, array, optional_count, state_pair, state_single
from fusedrnn._tokens import Tokens

State = TypeVar("State")
"""tuple[Array, Array] for an LSTM, Array for a GRU or a simple RNN."""


class Gradients(Generic[State]):
    """The gradients of one recorded call. Frozen; the arrays belong to the caller.

    Attributes:
        x: gradient of the input, in its shape.
        state: gradient of the initial state, in its shape: (dh, dc) for an LSTM, dh otherwise.
            Also there when the call began from zeros (state=None).
        params: gradient of every parameter by name; gradients["weight_hh_l0"] is one of them.
        embedding: gradient of the embedding that the call was given with tokens; else None. Then x is None.
    """

    __slots__ = ("embedding", "params", "state", "x")

    x: Array
    state: State
    params: dict[str, Array]
    embedding: Array | None

    def __init__(self, x: Array, state: State, params: dict[str, Array], embedding: Array | None = None) -> None:
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "state", state)
        object.__setattr__(self, "params", params)
        object.__setattr__(self, "embedding", embedding)

    def __getitem__(self, name: str) -> Array:
        return self.params[name]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Gradients are frozen; {name!r} cannot be assigned")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Gradients are frozen; {name!r} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        return Gradients, (self.x, self.state, self.params, self.embedding)

    def __repr__(self) -> str:
        x = None if self.x is None else self.x.shape  # a model that takes tokens has none
        return f"Gradients(x: {x}, params: {', '.join(self.params)})"


class _Tape(Generic[State]):
    """What one recorded call kept, and the names and shapes that its gradients have where the caller sees them."""

    __slots__ = ("_axes", "_core", "_dtype", "_names", "_state_shapes")

    def __init__(
        self, core: _core.Tape, names: tuple[str, ...], h_n: Array, c_n: Array | None, axes: Axes | None
    ) -> None:
        self._core = core
        self._names = names
        self._axes = axes
        self._dtype = h_n.dtype
        self._state_shapes = (h_n.shape,) if c_n is None else (h_n.shape, c_n.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of memory the tape holds."""
        return self._core.nbytes

    def __reduce__(self) -> NoReturn:
        # A copy would stand for the same call, but the first one's backward pass uses up what both hold.
        raise TypeError(f"{type(self).__name__}: cannot be copied or pickled; it is good for one backward pass")

    def _state_gradients(self, dstate: object) -> tuple[Array | None, Array | None]:
        """A gradient of the final state as the core takes it: (dh_n, dc_n), None for zero."""
        dh: Array | None = None
        dc: Array | None = None
        if dstate is not None:
            if len(self._state_shapes) == 2:
                dh, dc = state_pair("dstate", dstate, optional=True)
            else:
                dh = state_single("dstate", dstate)
        if self._axes is None:  # the core checks their shapes
            return dh, dc
        h_shape, *c_shape = self._state_shapes
        dh = self._axes.add_to("dstate (h)", dh, h_shape, self._dtype)
        return dh, self._axes.add_to("dstate (c)", dc, c_shape[0], self._dtype) if c_shape else None

    def _gradients(
        self, dx: Array, dh0: Array, dc0: Array | None, params: list[Array], embedding: Array | None
    ) -> Gradients[State]:
        """What the core's backward pass returned, as the caller has it."""
        if self._axes is not None:
            dx, dh0, dc0 = self._axes.remove_from(dx, dh0, dc0)
        state: Any = dh0 if dc0 is None else (dh0, dc0)
        return Gradients(dx, state, dict(zip(self._names, params, strict=True)), embedding)


class Tape(_Tape[State]):
    """What `layer.record` kept of one call for its backward pass. Good for one `backward`."""

    __slots__ = ("_tokens", "_y_shape")

    def __init__(
        self, core: _core.Tape, names: tuple[str, ...], y: Array, h_n: Array, c_n: Array | None, axes: Axes | None
    ) -> None:
        super().__init__(core, names, h_n, c_n, axes)
        self._y_shape = y.shape
        self._tokens: Tokens | None = None

    def take_tokens(self, tokens: Tokens) -> None:
        """The recorded x was made from these."""
        tokens.tokens = tokens.tokens.copy()  # the caller's may change before `backward`
        self._tokens = tokens

    def backward(
        self,
        dy: Array | None = None,
        dstate: Any = None,
        truncate: int | None = None,
        dlayers: Sequence[Array | None] | None = None,
    ) -> Gradients[State]:
        """Backpropagation through time (Werbos 1990) of the recorded call. Uses the tape up, also where Ctrl-C ends it.

        Args:
            dy: gradient of the output y, in its shape and dtype; None for zero. At padding it is ignored.
            dstate: gradient of the final state, in its shape: (dh_n, dc_n) for an LSTM, either may be None for
                zero; dh_n otherwise. None for zero.
            truncate: k2, the number of steps a gradient flows back through the carried state (Williams and Peng
                1990): a positive int, or None for all of them.
            dlayers: of a call with return_layers, the gradient of every layer's y or None for zero; that of the last
                is added to dy.

        Returns:
            Gradients with `x`, `state` and `params`; of a call with tokens `embedding` in place of `x`.

        Raises:
            ValueError: the tape was used before, neither dy nor dstate is given, truncate is less than 1, or a
                shape is wrong.
            TypeError: a wrong type or dtype.
        """
        if dy is None and dstate is None and dlayers is None:
            raise ValueError("dy: expected dy, dstate or both, got neither")
        if dy is not None:
            dy = array("dy", dy)
        dh, dc = self._state_gradients(dstate)
        steps = optional_count("truncate", truncate)
        if self._axes is not None:
            dy = self._axes.add_to("dy", dy, self._y_shape, self._dtype)
        more = {} if dlayers is None else {"dlayers": self._gradients_of_layers(dlayers)}
        found = self._gradients(*self._core.backward(dy, dh, dc, truncate=steps, **more))
        if self._tokens is None:
            return found
        no_x: Any = None
        return Gradients(no_x, found.state, found.params, self._tokens.embedding_gradient(found.x))

    def _gradients_of_layers(self, dlayers: object) -> Any:
        """As the tape of a general network takes them, which checks the shapes."""
        if isinstance(self._core, _core.Tape):
            raise ValueError("dlayers: expected None, the call was recorded without return_layers=True")
        if self._axes is None or not isinstance(dlayers, (list, tuple)):
            return dlayers
        add = self._axes.add
        return [None if d is None else array(f"dlayers[{k}]", d)[add] for k, d in enumerate(dlayers)]


class CellTape(_Tape[State]):
    """What `cell.record` kept of one step for its backward pass. Good for one `backward`."""

    __slots__ = ()

    def backward(self, dstate: Any) -> Gradients[State]:
        """The gradients of the recorded step. Uses the tape up.

        Args:
            dstate: gradient of the new state, in its shape and dtype: (dh, dc) for an LSTM cell, either may be
                None for zero; dh otherwise.

        Returns:
            Gradients with `x`, `state` (of the old state) and `params`.

        Raises:
            ValueError: the tape was used before, or a shape is wrong.
            TypeError: a wrong type or dtype.
        """
        if dstate is None:
            raise TypeError("dstate: expected the gradient of the new state, got None")
        dh, dc = self._state_gradients(dstate)
        if dh is None and dc is None:
            raise ValueError("dstate: expected dh, dc or both, got neither")
        return self._gradients(*self._core.backward(None, dh, dc))
