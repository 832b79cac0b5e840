"""Recurrent cells as packages publish them, in plain NumPy and in the packages' own order of gates.

What these functions compute is written down from the packages' sources, beside fusedrnn and knowing nothing of it.
Sequences are (T, I), and matrices lie as the package has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def softmax(a: Array) -> Array:
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def g2p_gru(x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> Array:
    """g2p-en: r, z, n; one state for every row of x."""
    out = []
    for row in x:
        a, b = w_ih @ row + b_ih, w_hh @ h + b_hh
        r, z = np.split(sigmoid((a + b)[: 2 * len(h)]), 2)
        n = np.tanh(a[2 * len(h) :] + r * b[2 * len(h) :])
        h = (1 - z) * n + z * h
        out.append(h)
    return np.stack(out)


def madmom_tanh(x: Array, layer: Any) -> Array:
    h, out = np.zeros(len(layer.bias), np.float32), []
    for row in x @ layer.weights + layer.bias:
        h = np.tanh(row + h @ layer.recurrent_weights)
        out.append(h)
    return np.stack(out)


def madmom_gru(x: Array, layer: Any) -> Array:
    """The update gate multiplies the new candidate; the state begins at one that was learned."""
    r, z, n = layer.reset_gate, layer.update_gate, layer.cell
    h, out = np.asarray(layer.hid_init, np.float32), []
    for row in x:
        reset = sigmoid(row @ r.weights + r.bias + h @ r.recurrent_weights)
        update = sigmoid(row @ z.weights + z.bias + h @ z.recurrent_weights)
        candidate = np.tanh(row @ n.weights + n.bias + reset * (h @ n.recurrent_weights))
        h = update * candidate + (1 - update) * h
        out.append(h)
    return np.stack(out)


def madmom_lstm(x: Array, layer: Any) -> Array:
    """With peepholes: input and forget gate see the old c, the output gate the new one."""
    c = h = np.zeros(len(layer.cell.bias), np.float32)
    out = []

    def reach(gate: Any, row: Array) -> Array:
        return row @ gate.weights + gate.bias + h @ gate.recurrent_weights

    for row in x:
        i = sigmoid(reach(layer.input_gate, row) + c * layer.input_gate.peephole_weights)
        f = sigmoid(reach(layer.forget_gate, row) + c * layer.forget_gate.peephole_weights)
        c = f * c + i * np.tanh(reach(layer.cell, row))
        o = sigmoid(reach(layer.output_gate, row) + c * layer.output_gate.peephole_weights)
        h = o * np.tanh(c)
        out.append(h)
    return np.stack(out)


MADMOM = {"RecurrentLayer": madmom_tanh, "GRULayer": madmom_gru, "LSTMLayer": madmom_lstm}


def madmom_network(x: Array, layers: Sequence[Any]) -> Array:
    for layer in layers:
        x = np.hstack(
            (
                MADMOM[layer.fwd_layer.kind](x, layer.fwd_layer),
                MADMOM[layer.bwd_layer.kind](x[::-1], layer.bwd_layer)[::-1],
            )
        )
    return x


def paddle_gru(x: Array, weights: Array, bias: Array) -> Array:
    """dynamic_gru of x that has been multiplied already: u, r, c; it resets before the product, and u updates."""
    size = weights.shape[0]
    w_ur, w_c = (block.reshape(size, -1) for block in np.split(weights.reshape(-1), [2 * size * size]))
    h, out = np.zeros(size, np.float32), []
    for row in x + bias.reshape(-1):
        u, r = np.split(sigmoid(row[: 2 * size] + h @ w_ur), 2)
        h = (1 - u) * h + u * np.tanh(row[2 * size :] + (r * h) @ w_c)
        out.append(h)
    return np.stack(out)


def cudnn_lstm(x: Array, kernel: Array, recurrent: Array, bias: Array) -> Array:
    """CuDNNLSTM of Keras: i, f, c, o; a gate's block holds (H, I) values one after the other; two biases."""
    size = len(recurrent)
    gates = [
        (w.reshape(size, -1), u, b)
        for w, u, b in zip(np.hsplit(kernel, 4), np.hsplit(recurrent, 4), bias.reshape(2, 4, size).sum(0), strict=True)
    ]
    c = h = np.zeros(size, np.float32)
    out = []
    for row in x:
        i, f, g, o = (w @ row + u @ h + b for w, u, b in gates)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.stack(out)


def tesseract_lstm(x: Array, gates: Sequence[Array]) -> Array:
    """Matrices of g, i, f and o, (H, I + H + 1); c stays within 100."""
    c = h = np.zeros(len(gates[0]), np.float32)
    out = []
    for row in x:
        g, i, f, o = (gate @ np.concatenate((row, h, [np.float32(1)])) for gate in gates)
        c = np.clip(sigmoid(f) * c + sigmoid(i) * np.tanh(g), -100, 100)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.stack(out)


def crf_tags(emission: Array, weights: Array) -> list[int]:
    """The likeliest tags: Paddle's crfw has a row for the start, one for the end, and one for each tag before."""
    start, end, follow = weights[0], weights[1], weights[2:]
    score, back = start + emission[0], []
    for row in emission[1:]:
        table = score[:, None] + follow
        back.append(table.argmax(0))
        score = table.max(0) + row
    tags = [int((score + end).argmax())]
    for step in reversed(back):
        tags.append(int(step[tags[-1]]))
    return tags[::-1]
