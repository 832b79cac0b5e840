"""One direction of a layer whose cell has options: docs/design/cells.md, sections 10 to 13.

`StagedLayer` has the arguments and results of the compiled class of the same name, so that either can stand in for the
other. Arrays are time-major: x (T, B, I), y (T, B, P), with P = proj_size or hidden_size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from .activations import Array
from .general_activations import Choice, slope, value

Zoneout: TypeAlias = "float | Array"

DEFAULT_ACTIVATIONS: Final[dict[str, tuple[Choice, ...]]] = {
    "lstm": (("sigmoid", 0.0, 0.0), ("tanh", 0.0, 0.0), ("tanh", 0.0, 0.0)),
    "gru": (("sigmoid", 0.0, 0.0), ("tanh", 0.0, 0.0)),
    "rnn": (("tanh", 0.0, 0.0),),
}


@dataclass(frozen=True)
class Options:
    """What a cell's equations depend on beside its sizes.

    Attributes:
        activations: (name, alpha, beta) of each: LSTM gates, candidate, output; GRU gates, candidate; RNN output.
        clip: bound on every pre-activation (O3); 0 for none.
        cell_clip: bound on c (O6), LSTM; 0 for none.
        peephole: the gates of an LSTM see c (O4), (O7).
        coupled: f = 1 - i (O5); the LSTM has the gates i, g, o.
        reset_after: GRU, section 4 or section 5.
        minimal: one gate f in place of r and z (O10); the GRU has the gates f, n.
        independent: W_hh is a diagonal, a vector (H,) (O11); RNN.
        layer_norm: the products are normalised (O2), and so is c in an LSTM (O8).
    """

    activations: tuple[Choice, ...]
    clip: float = 0.0
    cell_clip: float = 0.0
    peephole: bool = False
    coupled: bool = False
    reset_after: bool = True
    minimal: bool = False
    independent: bool = False
    layer_norm: bool = False
    epsilon: float = 1e-5


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
        keep: bool = False,
    ) -> tuple[Array, Array, Array | None, Array | None, StagedTape | None]:
        """y (T, B, P), h_n (B, P), c_n (B, H), cells (T, B, H) and, with ``keep``, the tape. c: LSTM only.

        Args:
            params: arrays by the names of `param_shapes`.
            h0, c0: the state that enters first, (B, P) and (B, H); zeros if None.
            lengths, reset, reverse: as section 6 has them.
            h_mask: (B, P), multiplies the h that enters every step (O1).
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
        call = _Call(self, weights, x, lengths, reset, reverse, h_mask, (zoneout_h, zoneout_c), len(fresh))
        state = first
        outputs = [np.zeros((steps, batch, width), self.dtype) for width in widths]
        for t in call.order():
            active, cut = call.active(t), call.cut(t)
            entering = [np.where(cut, new, old) for new, old in zip(fresh, state, strict=True)]
            leaving, saved = call.step(t, entering)
            call.saved[t] = saved
            for out, new in zip(outputs, leaving, strict=True):
                out[t] = np.where(active, new, 0)  # (S4)
            state = [np.where(active, new, old) for new, old in zip(leaving, state, strict=True)]  # (S1)
        c_n, cells = (state[1], outputs[1]) if lstm else (None, None)
        return outputs[0], state[0], c_n, cells, StagedTape(call) if keep else None


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
        layer, (steps, batch, _) = call.layer, call.x.shape
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
    w: dict[str, Array]
    x: Array
    lengths: npt.NDArray[np.int64]
    reset: npt.NDArray[np.bool_] | None
    reverse: bool
    h_mask: Array | None
    zoneout: tuple[Zoneout, Zoneout]
    states: int
    saved: dict[int, dict[str, Any]] = field(default_factory=dict)

    def order(self) -> range:
        steps = self.x.shape[0]
        return range(steps - 1, -1, -1) if self.reverse else range(steps)

    def active(self, t: int) -> npt.NDArray[np.bool_]:
        return (t < self.lengths)[:, None]

    def cut(self, t: int) -> npt.NDArray[np.bool_]:
        """Whether a border lies before step t, (S2)."""
        none = np.zeros((len(self.lengths), 1), np.bool_)
        if self.reset is None:
            return none
        if not self.reverse:
            return self.reset[t][:, None] & self.active(t)
        return none if t + 1 >= len(self.reset) else self.reset[t + 1][:, None] & self.active(t + 1)

    def boundary(self, t: int, truncate: int) -> npt.NDArray[np.bool_]:
        """Whether a truncation window begins with step t, (T4)."""
        if truncate == 0:
            return np.zeros((len(self.lengths), 1), np.bool_)
        done = self.lengths - 1 - t if self.reverse else np.full_like(self.lengths, t)
        return (((self.lengths - done) % truncate == 0) & (done > 0))[:, None]

    # One step

    def step(self, t: int, entering: list[Array]) -> tuple[list[Array], dict[str, Any]]:
        o, w, cell = self.layer.options, self.w, self.layer.cell
        before = entering[0] if self.h_mask is None else entering[0] * self.h_mask  # (O1)
        saved: dict[str, Any] = {"before": before, "x": np.where(self.active(t), self.x[t], 0)}
        u = self._input_part(saved)
        forward = {"lstm": self._lstm, "gru": self._gru, "rnn": self._rnn}[cell]
        leaving = forward(o, w, u, before, entering, saved)
        for k, part in enumerate(leaving):  # (O9)
            kept = self._kept(k, t)
            old = before if k == 0 else entering[1]
            leaving[k] = part if kept is None else kept * old + (1 - kept) * part
        return leaving, saved

    def _kept(self, k: int, t: int) -> Any:
        share = self.zoneout[k]
        if isinstance(share, np.ndarray):
            return share[t]
        return None if share == 0 else np.asarray(share, self.layer.dtype)

    def _groups(self) -> list[slice]:
        """The rows that are normalised together: all of them, but r, z and n of a GRU apart."""
        hidden, gates = self.layer.hidden_size, self.layer.gates
        if self.layer.cell == "gru":
            return [slice(0, 2 * hidden), slice(2 * hidden, 3 * hidden)]
        return [slice(0, gates * hidden)]

    def _affine(self, stem: str, product: Array, saved: dict[str, Any]) -> Array:
        """A product with its bias, normalised first if the cell does that (O2)."""
        if self.layer.options.layer_norm:
            normal = np.empty_like(product)
            for rows in self._groups():
                normal[:, rows], saved[f"deviation_{stem}{rows.start}"] = _normalised(
                    product[:, rows], self.layer.options.epsilon
                )
            saved["normal_" + stem] = normal
            product = normal * self.w["gain_" + stem]
        return product + self.w["bias_" + stem] if self.layer.bias else product

    def _input_part(self, saved: dict[str, Any]) -> Array:
        return self._affine("ih", saved["x"] @ self.w["weight_ih"].T, saved)

    def _recurrent_part(self, before: Array, saved: dict[str, Any]) -> Array:
        w = self.w["weight_hh"]
        return self._affine("hh", before * w if w.ndim == 1 else before @ w.T, saved)

    def _clipped(self, a: Array) -> Array:
        bound = self.layer.options.clip
        return np.clip(a, -bound, bound) if bound else a  # (O3)

    def _value(self, index: int, a: Array) -> Array:
        return value(self.layer.options.activations[index], self._clipped(a))

    def _slope(self, index: int, a: Array) -> Array:
        bound = self.layer.options.clip
        found = slope(self.layer.options.activations[index], self._clipped(a))
        return np.where(np.abs(a) <= bound, found, 0) if bound else found

    def _rnn(
        self, o: Options, w: dict[str, Array], u: Array, before: Array, entering: list[Array], saved: dict[str, Any]
    ) -> list[Array]:
        saved["a"] = u + self._recurrent_part(before, saved)  # (R1), (O11)
        return [self._value(0, saved["a"])]

    def _gru(
        self, o: Options, w: dict[str, Array], u: Array, before: Array, entering: list[Array], saved: dict[str, Any]
    ) -> list[Array]:
        hidden = self.layer.hidden_size
        if not o.minimal and o.reset_after:
            v = self._recurrent_part(before, saved)
            a_r, a_z = u[:, :hidden] + v[:, :hidden], u[:, hidden : 2 * hidden] + v[:, hidden : 2 * hidden]
            r, z = self._value(0, a_r), self._value(0, a_z)
            q = v[:, 2 * hidden :]
            a_n = u[:, 2 * hidden :] + r * q
            n = self._value(1, a_n)
            saved.update(a_r=a_r, a_z=a_z, a_n=a_n, r=r, z=z, n=n, q=q)
            return [(1 - z) * n + z * before]
        rows = (self.layer.gates - 1) * hidden
        b = w["bias_hh"] if self.layer.bias else np.zeros(rows + hidden, self.layer.dtype)
        a = u[:, :rows] + (before @ w["weight_hh"][:rows].T + b[:rows])
        r = self._value(0, a[:, :hidden])
        z = 1 - r if o.minimal else self._value(0, a[:, hidden:])  # (O10)
        k = r * before
        a_n = u[:, rows:] + (k @ w["weight_hh"][rows:].T + b[rows:])
        n = self._value(1, a_n)
        saved.update(a=a, a_n=a_n, r=r, z=z, n=n, k=k)
        return [(1 - z) * n + z * before]

    def _lstm(
        self, o: Options, w: dict[str, Array], u: Array, before: Array, entering: list[Array], saved: dict[str, Any]
    ) -> list[Array]:
        c_before = entering[1]
        a = u + self._recurrent_part(before, saved)
        a_i, a_f, a_g, a_o = self._lstm_blocks(a)
        p_i, p_f, p_o = self._peepholes()
        if o.peephole:
            a_i = a_i + p_i * c_before  # (O4)
            a_f = a_f + p_f * c_before if not o.coupled else a_f
        i, g = self._value(0, a_i), self._value(1, a_g)
        f = 1 - i if o.coupled else self._value(0, a_f)  # (O5)
        raw = f * c_before + i * g
        c = np.clip(raw, -o.cell_clip, o.cell_clip) if o.cell_clip else raw  # (O6)
        a_o = a_o + p_o * c if o.peephole else a_o  # (O7)
        out = self._value(0, a_o)
        seen = c
        if o.layer_norm:  # (O8)
            saved["normal_c"], saved["deviation_c"] = _normalised(c, o.epsilon)
            seen = saved["normal_c"] * w["gain_c"] + w["shift_c"]
        s = value(o.activations[2], seen)
        m = out * s
        h = m @ w["weight_hr"].T if self.layer.proj_size else m
        saved.update(
            c_before=c_before, a_i=a_i, a_f=a_f, a_g=a_g, a_o=a_o, i=i, f=f, g=g, o=out, c=c, raw=raw, seen=seen, s=s, m=m
        )
        return [h, c]

    def _lstm_blocks(self, a: Array) -> tuple[Array, Array, Array, Array]:
        """i, f, g, o; f stands for nothing where it is coupled."""
        blocks = np.split(a, self.layer.gates, axis=-1)
        if self.layer.gates == 3:
            return blocks[0], blocks[0], blocks[1], blocks[2]
        return blocks[0], blocks[1], blocks[2], blocks[3]

    def _peepholes(self) -> tuple[Array, Array, Array]:
        """p_i, p_f, p_o; p_f stands for nothing where f is coupled."""
        if not self.layer.options.peephole:
            none = np.zeros((), self.layer.dtype)
            return none, none, none
        blocks = np.split(self.w["weight_ch"], 2 if self.layer.options.coupled else 3)
        return blocks[0], blocks[-2], blocks[-1]

    # The same step backward

    def backward(self, t: int, dleaving: list[Array], grads: dict[str, Array]) -> tuple[Array, list[Array]]:
        saved = self.saved[t]
        dentering = [np.zeros_like(d) for d in dleaving]
        dnew = list(dleaving)
        for k, d in enumerate(dleaving):
            kept = self._kept(k, t)
            if kept is not None:
                dentering[k] = dentering[k] + kept * d
                dnew[k] = (1 - kept) * d
        backward = {"lstm": self._lstm_backward, "gru": self._gru_backward, "rnn": self._rnn_backward}[self.layer.cell]
        du = backward(saved, dnew, dentering, grads)
        dproduct = self._affine_backward("ih", du, saved, grads)
        grads["weight_ih"] += dproduct.T @ saved["x"]
        if self.h_mask is not None:
            dentering[0] = dentering[0] * self.h_mask
        return np.where(self.active(t), dproduct @ self.w["weight_ih"], 0), dentering

    def _affine_backward(self, stem: str, d: Array, saved: dict[str, Any], grads: dict[str, Array]) -> Array:
        if self.layer.bias:
            grads["bias_" + stem] += d.sum(axis=0)
        if not self.layer.options.layer_norm:
            return d
        normal = saved["normal_" + stem]
        grads["gain_" + stem] += (d * normal).sum(axis=0)
        dnormal, out = d * self.w["gain_" + stem], np.empty_like(d)
        for rows in self._groups():
            out[:, rows] = _normalised_backward(
                dnormal[:, rows], normal[:, rows], saved[f"deviation_{stem}{rows.start}"]
            )
        return out

    def _recurrent_backward(self, dv: Array, saved: dict[str, Any], grads: dict[str, Array]) -> Array:
        """The gradient at the h that entered."""
        dproduct, w = self._affine_backward("hh", dv, saved, grads), self.w["weight_hh"]
        if w.ndim == 1:
            grads["weight_hh"] += (dproduct * saved["before"]).sum(axis=0)
            return dproduct * w
        grads["weight_hh"] += dproduct.T @ saved["before"]
        return dproduct @ w

    def _rnn_backward(
        self, saved: dict[str, Any], dnew: list[Array], dentering: list[Array], grads: dict[str, Array]
    ) -> Array:
        delta = dnew[0] * self._slope(0, saved["a"])
        dentering[0] = dentering[0] + self._recurrent_backward(delta, saved, grads)
        return delta

    def _gru_backward(
        self, saved: dict[str, Any], dnew: list[Array], dentering: list[Array], grads: dict[str, Array]
    ) -> Array:
        o, w, hidden, dh = self.layer.options, self.w, self.layer.hidden_size, dnew[0]
        before, r, z, n = saved["before"], saved["r"], saved["z"], saved["n"]
        delta_n = dh * (1 - z) * self._slope(1, saved["a_n"])
        dz = dh * (before - n)
        dbefore = dh * z
        if not o.minimal and o.reset_after:
            delta_r = delta_n * saved["q"] * self._slope(0, saved["a_r"])
            delta_z = dz * self._slope(0, saved["a_z"])
            dv = np.concatenate((delta_r, delta_z, delta_n * r), axis=1)
            dentering[0] = dentering[0] + dbefore + self._recurrent_backward(dv, saved, grads)
            return np.concatenate((delta_r, delta_z, delta_n), axis=1)
        rows = (self.layer.gates - 1) * hidden
        dk = delta_n @ w["weight_hh"][rows:]
        dr = dk * before
        if o.minimal:
            delta = (dr - dz) * self._slope(0, saved["a"])
        else:
            delta = np.concatenate((dr, dz), axis=1) * self._slope(0, saved["a"])
        grads["weight_hh"][:rows] += delta.T @ before
        grads["weight_hh"][rows:] += delta_n.T @ saved["k"]
        du = np.concatenate((delta, delta_n), axis=1)
        if self.layer.bias:
            grads["bias_hh"] += du.sum(axis=0)
        dentering[0] = dentering[0] + dbefore + dk * r + delta @ w["weight_hh"][:rows]
        return du

    def _lstm_backward(
        self, saved: dict[str, Any], dnew: list[Array], dentering: list[Array], grads: dict[str, Array]
    ) -> Array:
        o, w = self.layer.options, self.w
        dh, dc = dnew
        dm = dh
        if self.layer.proj_size:
            grads["weight_hr"] += dh.T @ saved["m"]
            dm = dh @ w["weight_hr"]
        ds = dm * saved["o"] * slope(o.activations[2], saved["seen"])
        if o.layer_norm:
            grads["gain_c"] += (ds * saved["normal_c"]).sum(axis=0)
            grads["shift_c"] += ds.sum(axis=0)
            ds = _normalised_backward(ds * w["gain_c"], saved["normal_c"], saved["deviation_c"])
        dc = dc + ds
        delta_o = dm * saved["s"] * self._slope(0, saved["a_o"])
        p_i, p_f, p_o = self._peepholes()
        dc = dc + p_o * delta_o
        draw = np.where(np.abs(saved["raw"]) <= o.cell_clip, dc, 0) if o.cell_clip else dc
        df, di = draw * saved["c_before"], draw * saved["g"]
        delta_i = (di - df if o.coupled else di) * self._slope(0, saved["a_i"])
        delta_g = draw * saved["i"] * self._slope(1, saved["a_g"])
        dc_before = draw * saved["f"] + p_i * delta_i
        deltas = [delta_i, delta_g, delta_o]
        sums = [delta_i * saved["c_before"], delta_o * saved["c"]]
        if not o.coupled:
            delta_f = df * self._slope(0, saved["a_f"])
            dc_before = dc_before + p_f * delta_f
            deltas.insert(1, delta_f)
            sums.insert(1, delta_f * saved["c_before"])
        if o.peephole:
            grads["weight_ch"] += np.concatenate([s.sum(axis=0) for s in sums])
        delta = np.concatenate(deltas, axis=1)
        dentering[0] = dentering[0] + self._recurrent_backward(delta, saved, grads)
        dentering[1] = dentering[1] + dc_before
        return delta


def _normalised(a: Array, epsilon: float) -> tuple[Array, Array]:
    """Rows of mean 0 and variance 1, and the deviation they had: (O2)."""
    centred = a - a.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + a.dtype.type(epsilon))
    return centred / deviation, deviation


def _normalised_backward(d: Array, normal: Array, deviation: Array) -> Array:
    """The gradient at the rows before they were normalised."""
    mean = d.mean(axis=1, keepdims=True)
    along = (d * normal).mean(axis=1, keepdims=True)
    found: Array = (d - mean - normal * along) / deviation
    return found
