"""One time step of every cell, forward and backward: the equations of docs/design/cells.md, sections 2 to 5.

A cell sees a batch of rows at one time step and nothing else: no time, no direction, no padding. Arrays are
(B, features), one row per sequence, so a column equation ``W x`` of the document is ``x @ W.T`` here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np

from .activations import Activation, Array, sigmoid, sigmoid_slope, tanh, tanh_slope

Carry: TypeAlias = tuple[Array, ...]
"""What one step hands to the next: (h,) or (h, c), each (B, width)."""

Weights: TypeAlias = Mapping[str, Array]
"""Parameters of one direction of one layer under torch's names without the layer: ``weight_ih``, ``bias_hh``, ..."""

Saved = TypeVar("Saved")


class Product(NamedTuple):
    """A product ``operand @ W[rows].T`` inside a step, as the backward pass meets it.

    Its weight gradient is ``delta.T @ operand`` summed over time, (W1); (W2) for its bias.
    """

    weight: str
    rows: slice
    delta: Array  # (B, rows): gradient at the product's result
    operand: Array  # (B, columns of W)


class StepGradient(NamedTuple):
    """What the backward pass of one step gives."""

    carry: Carry  # gradient at the carry that entered the step
    pre_x: Array  # (B, gates * H): gradient at the projected input W_ih x + b_ih
    products: tuple[Product, ...]  # always the same products in the same order for one cell


class Cell(ABC, Generic[Saved]):
    """A recurrent cell: how the carry moves one step, and how a gradient moves back over that step."""

    gates: ClassVar[int]  # blocks of H rows in weight_ih and weight_hh
    joint_biases: ClassVar[int]  # the blocks in which bias_ih and bias_hh only appear as a sum (N1)
    widths: tuple[int, ...]  # width of every array of the carry, h first

    @abstractmethod
    def forward(self, w: Weights, pre_x: Array, carry: Carry) -> tuple[Carry, Saved]:
        """One step from ``pre_x`` (B, gates * H), the projected input W_ih x + b_ih, and the entering carry."""

    @abstractmethod
    def backward(self, w: Weights, saved: Saved, dcarry: Carry) -> StepGradient:
        """The same step backward from ``dcarry``, the whole gradient at the carry that left it."""


EVERY_ROW = slice(None)


class SavedRNN(NamedTuple):
    """h of the step and of the one before it."""

    before: Array
    h: Array


class RNNCell(Cell[SavedRNN]):
    """The simple (Elman) recurrent cell, section 2."""

    gates = 1
    joint_biases = 1

    def __init__(self, hidden_size: int, activation: Activation) -> None:
        self.widths = (hidden_size,)
        self.activation = activation

    def forward(self, w: Weights, pre_x: Array, carry: Carry) -> tuple[Carry, SavedRNN]:
        (before,) = carry
        h = self.activation.value(pre_x + (before @ w["weight_hh"].T + w["bias_hh"]))  # (R1), (R2)
        return (h,), SavedRNN(before, h)

    def backward(self, w: Weights, saved: SavedRNN, dcarry: Carry) -> StepGradient:
        (dh,) = dcarry
        delta = dh * self.activation.slope(saved.h)  # (R3)
        before = delta @ w["weight_hh"]  # (R4)
        return StepGradient((before,), delta, (Product("weight_hh", EVERY_ROW, delta, saved.before),))


class SavedLSTM(NamedTuple):
    """The activated gates, tanh of the new c, and the carry that entered."""

    h_before: Array
    c_before: Array
    i: Array
    f: Array
    g: Array
    o: Array
    tanh_c: Array


class LSTMCell(Cell[SavedLSTM]):
    """Long short-term memory with forget gate, section 3; gate blocks i, f, g, o. ``proj_size`` 0: no projection."""

    gates = 4
    joint_biases = 4

    def __init__(self, hidden_size: int, proj_size: int = 0) -> None:
        self.widths = (proj_size or hidden_size, hidden_size)
        self.projected = proj_size > 0

    def forward(self, w: Weights, pre_x: Array, carry: Carry) -> tuple[Carry, SavedLSTM]:
        h_before, c_before = carry
        a_i, a_f, a_g, a_o = _blocks(pre_x + (h_before @ w["weight_hh"].T + w["bias_hh"]), 4)  # (L1)
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), tanh(a_g), sigmoid(a_o)  # (L2), (L3)
        c = f * c_before + i * g  # (L4)
        tanh_c = tanh(c)
        h = o * tanh_c  # (L5)
        if self.projected:
            h = h @ w["weight_hr"].T  # (L6)
        return (h, c), SavedLSTM(h_before, c_before, i, f, g, o, tanh_c)

    def backward(self, w: Weights, saved: SavedLSTM, dcarry: Carry) -> StepGradient:
        h_before, c_before, i, f, g, o, tanh_c = saved
        dh, dc_after = dcarry
        dm = dh @ w["weight_hr"] if self.projected else dh  # (L7)
        dc = dc_after + dm * o * tanh_slope(tanh_c)  # (L8)
        delta = np.concatenate(
            (
                dc * g * sigmoid_slope(i),  # (L9)
                dc * c_before * sigmoid_slope(f),  # (L10)
                dc * i * tanh_slope(g),  # (L11)
                dm * tanh_c * sigmoid_slope(o),  # (L12)
            ),
            axis=1,
        )
        products: tuple[Product, ...] = (Product("weight_hh", EVERY_ROW, delta, h_before),)
        if self.projected:
            products += (Product("weight_hr", EVERY_ROW, dh, o * tanh_c),)
        return StepGradient((delta @ w["weight_hh"], dc * f), delta, products)  # (L13), (L14)


class SavedGRU(NamedTuple):
    """The activated gates, the h that entered, and what the candidate's product gave or took."""

    before: Array
    r: Array
    z: Array
    n: Array
    product: Array  # reset after: W_hn h + b_hn; reset before: r * h


class GRUCell(Cell[SavedGRU]):
    """Gated recurrent unit, the reset gate applied *after* the candidate's product, section 4; gate blocks r, z, n."""

    gates = 3
    joint_biases = 2

    def __init__(self, hidden_size: int) -> None:
        self.widths = (hidden_size,)

    def forward(self, w: Weights, pre_x: Array, carry: Carry) -> tuple[Carry, SavedGRU]:
        (before,) = carry
        x_r, x_z, x_n = _blocks(pre_x, 3)
        h_r, h_z, h_n = _blocks(before @ w["weight_hh"].T + w["bias_hh"], 3)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)  # (G1), (G2)
        n = tanh(x_n + r * h_n)  # (G3), (G4)
        h = (1 - z) * n + z * before  # (G5)
        return (h,), SavedGRU(before, r, z, n, h_n)

    def backward(self, w: Weights, saved: SavedGRU, dcarry: Carry) -> StepGradient:
        before, r, z, n, h_n = saved
        (dh,) = dcarry
        delta_z, delta_n = _update_deltas(dh, before, z, n)  # (G6), (G7)
        delta_r = delta_n * h_n * sigmoid_slope(r)  # (G8)
        pre_x = np.concatenate((delta_r, delta_z, delta_n), axis=1)
        pre_h = np.concatenate((delta_r, delta_z, delta_n * r), axis=1)  # (G9)
        dbefore = dh * z + pre_h @ w["weight_hh"]  # (G10)
        return StepGradient((dbefore,), pre_x, (Product("weight_hh", EVERY_ROW, pre_h, before),))


class GRUResetBeforeCell(Cell[SavedGRU]):
    """Gated recurrent unit, the reset gate applied to h *before* the candidate's product, section 5."""

    gates = 3
    joint_biases = 3

    def __init__(self, hidden_size: int) -> None:
        self.widths = (hidden_size,)
        self.rz_rows, self.n_rows = slice(0, 2 * hidden_size), slice(2 * hidden_size, 3 * hidden_size)

    def forward(self, w: Weights, pre_x: Array, carry: Carry) -> tuple[Carry, SavedGRU]:
        (before,) = carry
        w_hh, b_hh, rz_rows, n_rows = w["weight_hh"], w["bias_hh"], self.rz_rows, self.n_rows
        a_r, a_z = _blocks(pre_x[:, rz_rows] + (before @ w_hh[rz_rows].T + b_hh[rz_rows]), 2)
        r, z = sigmoid(a_r), sigmoid(a_z)  # (G1), (G2)
        kept = r * before  # (B1)
        n = tanh(pre_x[:, n_rows] + (kept @ w_hh[n_rows].T + b_hh[n_rows]))  # (B2)
        h = (1 - z) * n + z * before  # (G5)
        return (h,), SavedGRU(before, r, z, n, kept)

    def backward(self, w: Weights, saved: SavedGRU, dcarry: Carry) -> StepGradient:
        before, r, z, n, kept = saved
        (dh,) = dcarry
        w_hh, rz_rows, n_rows = w["weight_hh"], self.rz_rows, self.n_rows
        delta_z, delta_n = _update_deltas(dh, before, z, n)  # (G6), (G7)
        dkept = delta_n @ w_hh[n_rows]  # (B3)
        delta_r = dkept * before * sigmoid_slope(r)  # (B4)
        delta_rz = np.concatenate((delta_r, delta_z), axis=1)
        dbefore = dh * z + delta_rz @ w_hh[rz_rows] + dkept * r  # (B5)
        products = (
            Product("weight_hh", rz_rows, delta_rz, before),
            Product("weight_hh", n_rows, delta_n, kept),  # (B6)
        )
        return StepGradient((dbefore,), np.concatenate((delta_rz, delta_n), axis=1), products)


def _blocks(a: Array, count: int) -> list[Array]:
    """Cut (B, count * H) into its gate blocks, each (B, H)."""
    width = a.shape[1] // count
    return [a[:, k * width : (k + 1) * width] for k in range(count)]


def _update_deltas(dh: Array, before: Array, z: Array, n: Array) -> tuple[Array, Array]:
    """Gradients at the pre-activations of z and n, from h' = (1 - z) n + z h: (G6), (G7), the same in both forms."""
    return dh * (before - n) * sigmoid_slope(z), dh * (1 - z) * tanh_slope(n)
