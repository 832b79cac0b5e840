"""One time step of a cell with options, forward and backward: docs/design/cells.md, sections 10 and 11.

As in `cells`, a cell sees a batch of rows at one time step and nothing else. Arrays are (B, features).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .activations import Array
from .general_activations import Choice, slope, value

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


@dataclass
class OpenCell:
    """A cell with options and its weights, by the names of `StagedLayer.param_shapes`."""

    kind: str
    hidden_size: int
    gates: int
    bias: bool
    proj_size: int
    dtype: np.dtype[Any]
    options: Options
    w: dict[str, Array]

    def forward(
        self, x: Array, mask: Array | None, entering: list[Array], saved: dict[str, Any]
    ) -> list[Array]:
        """What leaves a step: h, or h and c. `mask` is on the h that the products read; backward reads `saved`."""
        before = entering[0] if mask is None else entering[0] * mask  # (O1)
        saved.update(before=before, entering=entering[0], mask=1.0 if mask is None else mask, x=x)
        u = self._affine("ih", x @ self.w["weight_ih"].T, saved)
        step = {"lstm": self._lstm, "gru": self._gru, "rnn": self._rnn}[self.kind]
        return step(self.options, self.w, u, before, entering, saved)

    def backward(
        self, saved: dict[str, Any], dleaving: list[Array], dentering: list[Array], grads: dict[str, Array]
    ) -> Array:
        """The gradient of x; those of what entered, and of the parameters, are added to `dentering` and `grads`."""
        step = {"lstm": self._lstm_backward, "gru": self._gru_backward, "rnn": self._rnn_backward}[self.kind]
        dproduct = self._affine_backward("ih", step(saved, dleaving, dentering, grads), saved, grads)
        grads["weight_ih"] += dproduct.T @ saved["x"]
        dx: Array = dproduct @ self.w["weight_ih"]
        return dx

    def _groups(self) -> list[slice]:
        """The rows that are normalised together: all of them, but r, z and n of a GRU apart."""
        hidden, gates = self.hidden_size, self.gates
        if self.kind == "gru":
            return [slice(0, 2 * hidden), slice(2 * hidden, 3 * hidden)]
        return [slice(0, gates * hidden)]

    def _affine(self, stem: str, product: Array, saved: dict[str, Any]) -> Array:
        """A product with its bias, normalised first if the cell does that (O2)."""
        if self.options.layer_norm:
            normal = np.empty_like(product)
            for rows in self._groups():
                normal[:, rows], saved[f"deviation_{stem}{rows.start}"] = normalised(
                    product[:, rows], self.options.epsilon
                )
            saved["normal_" + stem] = normal
            product = normal * self.w["gain_" + stem]
        return product + self.w["bias_" + stem] if self.bias else product

    def _recurrent_part(self, before: Array, saved: dict[str, Any]) -> Array:
        w = self.w["weight_hh"]
        return self._affine("hh", before * w if w.ndim == 1 else before @ w.T, saved)

    def _clipped(self, a: Array) -> Array:
        bound = self.options.clip
        return np.clip(a, -bound, bound) if bound else a  # (O3)

    def _value(self, index: int, a: Array) -> Array:
        return value(self.options.activations[index], self._clipped(a))

    def _slope(self, index: int, a: Array) -> Array:
        bound = self.options.clip
        found = slope(self.options.activations[index], self._clipped(a))
        return np.where(np.abs(a) <= bound, found, 0) if bound else found

    def _rnn(
        self, o: Options, w: dict[str, Array], u: Array, before: Array, entering: list[Array], saved: dict[str, Any]
    ) -> list[Array]:
        saved["a"] = u + self._recurrent_part(before, saved)  # (R1), (O11)
        return [self._value(0, saved["a"])]

    def _gru(
        self, o: Options, w: dict[str, Array], u: Array, before: Array, entering: list[Array], saved: dict[str, Any]
    ) -> list[Array]:
        hidden = self.hidden_size
        if not o.minimal and o.reset_after:
            v = self._recurrent_part(before, saved)
            a_r, a_z = u[:, :hidden] + v[:, :hidden], u[:, hidden : 2 * hidden] + v[:, hidden : 2 * hidden]
            r, z = self._value(0, a_r), self._value(0, a_z)
            q = v[:, 2 * hidden :]
            a_n = u[:, 2 * hidden :] + r * q
            n = self._value(1, a_n)
            saved.update(a_r=a_r, a_z=a_z, a_n=a_n, r=r, z=z, n=n, q=q)
            return [(1 - z) * n + z * entering[0]]
        rows = (self.gates - 1) * hidden
        b = w["bias_hh"] if self.bias else np.zeros(rows + hidden, self.dtype)
        a = u[:, :rows] + (before @ w["weight_hh"][:rows].T + b[:rows])
        r = self._value(0, a[:, :hidden])
        z = 1 - r if o.minimal else self._value(0, a[:, hidden:])  # (O10)
        k = r * before
        a_n = u[:, rows:] + (k @ w["weight_hh"][rows:].T + b[rows:])
        n = self._value(1, a_n)
        saved.update(a=a, a_n=a_n, r=r, z=z, n=n, k=k)
        return [(1 - z) * n + z * entering[0]]

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
            saved["normal_c"], saved["deviation_c"] = normalised(c, o.epsilon)
            seen = saved["normal_c"] * w["gain_c"] + w["shift_c"]
        s = value(o.activations[2], seen)
        m = out * s
        h = m @ w["weight_hr"].T if self.proj_size else m
        saved.update(c_before=c_before, a_i=a_i, a_f=a_f, a_g=a_g, a_o=a_o)
        saved.update(i=i, f=f, g=g, o=out, c=c, raw=raw, seen=seen, s=s, m=m)
        return [h, c]

    def _lstm_blocks(self, a: Array) -> tuple[Array, Array, Array, Array]:
        """i, f, g, o; f stands for nothing where it is coupled."""
        blocks = np.split(a, self.gates, axis=-1)
        if self.gates == 3:
            return blocks[0], blocks[0], blocks[1], blocks[2]
        return blocks[0], blocks[1], blocks[2], blocks[3]

    def _peepholes(self) -> tuple[Array, Array, Array]:
        """p_i, p_f, p_o; p_f stands for nothing where f is coupled."""
        if not self.options.peephole:
            none = np.zeros((), self.dtype)
            return none, none, none
        blocks = np.split(self.w["weight_ch"], 2 if self.options.coupled else 3)
        return blocks[0], blocks[-2], blocks[-1]

    # The same step backward

    def _affine_backward(self, stem: str, d: Array, saved: dict[str, Any], grads: dict[str, Array]) -> Array:
        if self.bias:
            grads["bias_" + stem] += d.sum(axis=0)
        if not self.options.layer_norm:
            return d
        normal = saved["normal_" + stem]
        grads["gain_" + stem] += (d * normal).sum(axis=0)
        dnormal, out = d * self.w["gain_" + stem], np.empty_like(d)
        for rows in self._groups():
            out[:, rows] = normalised_backward(
                dnormal[:, rows], normal[:, rows], saved[f"deviation_{stem}{rows.start}"]
            )
        return out

    def _recurrent_backward(self, dv: Array, saved: dict[str, Any], grads: dict[str, Array]) -> Array:
        """The gradient at the h that the products read."""
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
        dentering[0] = dentering[0] + self._recurrent_backward(delta, saved, grads) * saved["mask"]
        return delta

    def _gru_backward(
        self, saved: dict[str, Any], dnew: list[Array], dentering: list[Array], grads: dict[str, Array]
    ) -> Array:
        o, w, hidden, dh = self.options, self.w, self.hidden_size, dnew[0]
        before, r, z, n = saved["before"], saved["r"], saved["z"], saved["n"]
        delta_n = dh * (1 - z) * self._slope(1, saved["a_n"])
        dz = dh * (saved["entering"] - n)
        dbefore = dh * z
        if not o.minimal and o.reset_after:
            delta_r = delta_n * saved["q"] * self._slope(0, saved["a_r"])
            delta_z = dz * self._slope(0, saved["a_z"])
            dv = np.concatenate((delta_r, delta_z, delta_n * r), axis=1)
            dentering[0] = dentering[0] + dbefore + self._recurrent_backward(dv, saved, grads) * saved["mask"]
            return np.concatenate((delta_r, delta_z, delta_n), axis=1)
        rows = (self.gates - 1) * hidden
        dk = delta_n @ w["weight_hh"][rows:]
        dr = dk * before
        if o.minimal:
            delta = (dr - dz) * self._slope(0, saved["a"])
        else:
            delta = np.concatenate((dr, dz), axis=1) * self._slope(0, saved["a"])
        grads["weight_hh"][:rows] += delta.T @ before
        grads["weight_hh"][rows:] += delta_n.T @ saved["k"]
        du = np.concatenate((delta, delta_n), axis=1)
        if self.bias:
            grads["bias_hh"] += du.sum(axis=0)
        dentering[0] = dentering[0] + dbefore + (dk * r + delta @ w["weight_hh"][:rows]) * saved["mask"]
        return du

    def _lstm_backward(
        self, saved: dict[str, Any], dnew: list[Array], dentering: list[Array], grads: dict[str, Array]
    ) -> Array:
        o, w = self.options, self.w
        dh, dc = dnew
        dm = dh
        if self.proj_size:
            grads["weight_hr"] += dh.T @ saved["m"]
            dm = dh @ w["weight_hr"]
        ds = dm * saved["o"] * slope(o.activations[2], saved["seen"])
        if o.layer_norm:
            grads["gain_c"] += (ds * saved["normal_c"]).sum(axis=0)
            grads["shift_c"] += ds.sum(axis=0)
            ds = normalised_backward(ds * w["gain_c"], saved["normal_c"], saved["deviation_c"])
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
        dentering[0] = dentering[0] + self._recurrent_backward(delta, saved, grads) * saved["mask"]
        dentering[1] = dentering[1] + dc_before
        return delta


def normalised(a: Array, epsilon: float) -> tuple[Array, Array]:
    """Rows of mean 0 and variance 1, and the deviation they had: (O2)."""
    centred = a - a.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + a.dtype.type(epsilon))
    return centred / deviation, deviation


def normalised_backward(d: Array, normal: Array, deviation: Array) -> Array:
    """The gradient at the rows before they were normalised."""
    mean = d.mean(axis=1, keepdims=True)
    along = (d * normal).mean(axis=1, keepdims=True)
    found: Array = (d - mean - normal * along) / deviation
    return found
