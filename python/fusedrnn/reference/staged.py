"""One direction of a layer whose cell has options: docs/design/cells.md, sections 6, 8 and 12.

`StagedLayer` has the arguments and results of the compiled class of the same name, so that either can stand in for the
other. Arrays are time-major: x (T, B, I), y (T, B, P), with P = proj_size or hidden_size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .activations import Array
from .general_activations import Choice
from .open_cells import DEFAULT_ACTIVATIONS, OpenCell, Options

Zoneout: TypeAlias = "float | Array"


class StagedLayer:
    """One direction of one layer: sizes and options. The parameters come with each call."""

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        proj_size: int = 0,
        dtype: str = "float64",
        activations: tuple[Choice, ...] | None = None,
        **options: Any,
    ) -> None:
        self.cell, self.input_size, self.hidden_size = cell, input_size, hidden_size
        self.bias, self.proj_size, self.dtype = bias, proj_size, np.dtype(dtype)
        self.options = Options(tuple(activations or DEFAULT_ACTIVATIONS[cell]), **options)
        o = self.options
        self.gates = {"lstm": 3 if o.coupled else 4, "gru": 2 if o.minimal else 3, "rnn": 1}[cell]
        self.output_size = proj_size or hidden_size

    @property
    def param_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of every parameter, in the order of the gradients."""
        o, hidden, out, rows = self.options, self.hidden_size, self.output_size, self.gates * self.hidden_size
        lstm = self.cell == "lstm"
        found: list[tuple[str, tuple[int, ...], bool]] = [
            ("weight_ih", (rows, self.input_size), True),
            ("weight_hh", (hidden,) if o.independent else (rows, out), True),
            ("bias_ih", (rows,), self.bias),
            ("bias_hh", (rows,), self.bias),
            ("weight_hr", (self.proj_size, hidden), self.proj_size > 0),
            ("weight_ch", ((2 if o.coupled else 3) * hidden,), o.peephole),
            ("gain_ih", (rows,), o.layer_norm),
            ("gain_hh", (rows,), o.layer_norm),
            ("gain_c", (hidden,), o.layer_norm and lstm),
            ("shift_c", (hidden,), o.layer_norm and lstm),
        ]
        return [(name, shape) for name, shape, there in found if there]

    def forward(
        self,
        params: Mapping[str, Array],
        x: Array,
        h0: Array | None = None,
        c0: Array | None = None,
        *,
        lengths: npt.NDArray[np.int64] | None = None,
        reset: npt.NDArray[np.bool_] | None = None,
        reverse: bool = False,
        h_mask: Array | None = None,
        zoneout_h: Zoneout = 0.0,
        zoneout_c: Zoneout = 0.0,
        initial_h: Array | None = None,
        initial_c: Array | None = None,
        cells: bool = True,
        keep: bool = False,
    ) -> tuple[Array, Array, Array | None, Array | None, StagedTape | None]:
        """y (T, B, P), h_n (B, P); of an LSTM c_n (B, H) and, with ``cells``, every c (T, B, H); with ``keep`` a tape.

        Args:
            params: arrays by the names of `param_shapes`.
            h0, c0: the state that enters first, (B, P) and (B, H); zeros if None.
            lengths, reset, reverse: as section 6 has them.
            h_mask: (B, P), multiplies the h that the products of every step read (O1).
            zoneout_h, zoneout_c: the share of the old h and c that stays (O9): a number, or (T, B, P) and (T, B, H).
            initial_h, initial_c: (P,) and (H,), the state after a reset; zeros if None.
        """
        steps, batch, _ = x.shape
        weights = {name: np.asarray(params[name], self.dtype) for name, _ in self.param_shapes}
        lstm = self.cell == "lstm"
        widths = (self.output_size, self.hidden_size) if lstm else (self.output_size,)
        first = [
            np.zeros((batch, width), self.dtype) if given is None else given.astype(self.dtype)
            for given, width in zip((h0, c0), widths, strict=False)
        ]
        fresh = [
            np.zeros(width, self.dtype) if given is None else given.astype(self.dtype)
            for given, width in zip((initial_h, initial_c), widths, strict=False)
        ]
        lengths = np.full(batch, steps, np.int64) if lengths is None else lengths
        cell = OpenCell(
            self.cell, self.hidden_size, self.gates, self.bias, self.proj_size, self.dtype, self.options, weights
        )
        call = _Call(self, cell, x, lengths, reset, reverse, h_mask, (zoneout_h, zoneout_c))
        state = first
        outputs = [np.zeros((steps, batch, width), self.dtype) for width in widths]
        for t in call.order():
            active, cut = call.active(t), call.cut(t)
            entering = [np.where(cut, new, old) for new, old in zip(fresh, state, strict=True)]
            leaving = call.step(t, entering)
            for out, new in zip(outputs, leaving, strict=True):
                out[t] = np.where(active, new, 0)  # (S4)
            state = [np.where(active, new, old) for new, old in zip(leaving, state, strict=True)]  # (S1)
        c_n, every_c = (state[1], outputs[1] if cells else None) if lstm else (None, None)
        return outputs[0], state[0], c_n, every_c, StagedTape(call) if keep else None


class StagedTape:
    """What `StagedLayer.forward` kept. Good for any number of backward passes."""

    def __init__(self, call: _Call) -> None:
        self._call = call

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays kept."""
        return sum(a.nbytes for saved in self._call.saved.values() for a in saved.values() if isinstance(a, np.ndarray))

    def backward(
        self, dy: Array | None = None, dh_n: Array | None = None, dc_n: Array | None = None, *, truncate: int = 0
    ) -> tuple[Array, Array, Array | None, list[Array], Array, Array | None]:
        """dx, dh0, dc0, the parameters' gradients in order, and those of initial_h and initial_c."""
        call = self._call
        layer, batch = call.layer, call.x.shape[1]
        lstm = layer.cell == "lstm"
        widths = (layer.output_size, layer.hidden_size) if lstm else (layer.output_size,)
        given = (dh_n, dc_n)
        dstate = [np.zeros((batch, w), layer.dtype) if g is None else g for g, w in zip(given, widths, strict=False)]
        dfresh = [np.zeros(w, layer.dtype) for w in widths]
        grads = {name: np.zeros(shape, layer.dtype) for name, shape in layer.param_shapes}
        dx = np.zeros_like(call.x)
        for t in reversed(call.order()):
            active, cut = call.active(t), call.cut(t)
            dleaving = [np.where(active, d, 0) for d in dstate]
            if dy is not None:
                dleaving[0] = dleaving[0] + np.where(active, dy[t], 0)  # (T1)
            dx[t], dentering = call.backward(t, dleaving, grads)
            for sum_, d in zip(dfresh, dentering, strict=True):
                sum_ += np.where(cut, d, 0).sum(axis=0)
            blocked = cut | call.boundary(t, truncate)
            dstate = [
                np.where(active, np.where(blocked, 0, d), old) for d, old in zip(dentering, dstate, strict=True)
            ]  # (T2), (T3)
        dc0, dinitial_c = (dstate[1], dfresh[1]) if lstm else (None, None)
        return dx, dstate[0], dc0, list(grads.values()), dfresh[0], dinitial_c


@dataclass
class _Call:
    """The arguments of one call, and one step of it."""

    layer: StagedLayer
    cell: OpenCell
    x: Array
    lengths: npt.NDArray[np.int64]
    reset: npt.NDArray[np.bool_] | None
    reverse: bool
    h_mask: Array | None
    zoneout: tuple[Zoneout, Zoneout]
    saved: dict[int, dict[str, Any]] = field(default_factory=dict)

    def order(self) -> range:
        steps = self.x.shape[0]
        return range(steps - 1, -1, -1) if self.reverse else range(steps)

    def active(self, t: int) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = (t < self.lengths)[:, None]
        return found

    def cut(self, t: int) -> npt.NDArray[np.bool_]:
        """Whether a border lies before step t, (S2)."""
        after = t + 1 if self.reverse else t
        if self.reset is None or after == len(self.reset):
            return np.zeros((len(self.lengths), 1), np.bool_)
        found: npt.NDArray[np.bool_] = self.reset[after][:, None] & self.active(after)
        return found

    def boundary(self, t: int, truncate: int) -> npt.NDArray[np.bool_]:
        """Whether a truncation window begins with step t, (T4)."""
        if truncate == 0:
            return np.zeros((len(self.lengths), 1), np.bool_)
        done = self.lengths - 1 - t if self.reverse else np.full_like(self.lengths, t)
        found: npt.NDArray[np.bool_] = (((self.lengths - done) % truncate == 0) & (done > 0))[:, None]
        return found

    # One step

    def step(self, t: int, entering: list[Array]) -> list[Array]:
        """What leaves step t, given what enters it."""
        saved: dict[str, Any] = {}
        leaving = self.cell.forward(np.where(self.active(t), self.x[t], 0), self.h_mask, entering, saved)
        for k, part in enumerate(leaving):  # (O9)
            kept = self._kept(k, t)
            leaving[k] = part if kept is None else kept * entering[k] + (1 - kept) * part
        self.saved[t] = saved
        return leaving

    def _kept(self, k: int, t: int) -> Any:
        share = self.zoneout[k]
        if isinstance(share, np.ndarray):
            return share[t]
        return None if share == 0 else np.asarray(share, self.x.dtype)

    def backward(self, t: int, dleaving: list[Array], grads: dict[str, Array]) -> tuple[Array, list[Array]]:
        """The gradients of x and of what entered step t, given that of what left it."""
        dentering = [np.zeros_like(d) for d in dleaving]
        dnew = list(dleaving)
        for k, d in enumerate(dleaving):
            kept = self._kept(k, t)
            if kept is not None:
                dentering[k] = dentering[k] + kept * d
                dnew[k] = (1 - kept) * d
        dx = self.cell.backward(self.saved[t], dnew, dentering, grads)
        return np.where(self.active(t), dx, 0), dentering
