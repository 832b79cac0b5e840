"""ONNX's RNN, GRU and LSTM as its specification has them, word for word, one row and one step at a time.

The equations and the order of the gates are those of https://onnx.ai/onnx/operators/onnx__LSTM.html (and GRU, RNN),
opset 22, in the specification's own names. Nothing here is shared with the package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray
Function = Callable[[Array], Array]


def activation(name: str, alphas: Iterator[float], betas: Iterator[float]) -> Function:
    """f, g or h; it takes the next alpha and beta if it has any."""
    if name == "Affine":
        alpha, beta = next(alphas, 1.0), next(betas, 0.0)
        return lambda x: alpha * x + beta
    if name == "ScaledTanh":
        alpha, beta = next(alphas, 1.0), next(betas, 1.0)
        return lambda x: alpha * np.tanh(beta * x)
    if name == "HardSigmoid":
        alpha, beta = next(alphas, 0.2), next(betas, 0.5)
        return lambda x: np.minimum(np.maximum(alpha * x + beta, 0), 1)
    if name == "LeakyRelu":
        alpha = next(alphas, 0.01)
        return lambda x: np.where(x >= 0, x, alpha * x)
    if name == "ThresholdedRelu":
        alpha = next(alphas, 1.0)
        return lambda x: np.where(x >= alpha, x, 0)
    if name == "Elu":
        alpha = next(alphas, 1.0)
        return lambda x: np.where(x >= 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))
    plain: dict[str, Function] = {
        "Relu": lambda x: np.maximum(0, x),
        "Tanh": np.tanh,
        "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "Softsign": lambda x: x / (1 + np.abs(x)),
        "Softplus": lambda x: np.logaddexp(0, x),
    }
    return plain[name]


DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@np.errstate(over="ignore", invalid="ignore")  # 1 / (1 + infinity) is the sigmoid; some drawn networks explode
def run(
    op_type: str, inputs: dict[str, Array], attributes: dict[str, Any], dtype: Any = np.float64
) -> tuple[Array, ...]:
    """Y, Y_h and, of an LSTM, Y_c."""
    given = {name: np.asarray(value, dtype) for name, value in inputs.items() if name != "sequence_lens"}
    layout, direction = attributes.get("layout", 0), attributes.get("direction", "forward")
    batch_first = ("X", "initial_h", "initial_c") if layout else ()
    given.update({name: given[name].swapaxes(0, 1) for name in batch_first if name in given})
    X, W, R = given["X"], given["W"], given["R"]
    T, batch, _ = X.shape
    D, _, H = R.shape
    lengths = inputs.get("sequence_lens", np.full(batch, T))
    names = attributes.get("activations", DEFAULTS[op_type] * D)
    alphas, betas = iter(attributes.get("activation_alpha", ())), iter(attributes.get("activation_beta", ()))
    functions = [activation(name, alphas, betas) for name in names]
    each = len(DEFAULTS[op_type])
    Y = np.zeros((T, D, batch, H), dtype)
    Y_h, Y_c = (given.get(name, np.zeros((D, batch, H), dtype)).copy() for name in ("initial_h", "initial_c"))
    step = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}[op_type]
    for d in range(D):
        B = given["B"][d] if "B" in given else np.zeros(2 * GATES[op_type] * H, dtype)
        P = given["P"][d] if "P" in given else np.zeros(3 * H, dtype)
        backward = direction == "reverse" or d == 1
        for row in range(batch):
            steps = range(int(lengths[row]))
            for t in reversed(steps) if backward else steps:
                Y_h[d, row], Y_c[d, row] = step(
                    attributes, functions[d * each :], X[t, row], Y_h[d, row], Y_c[d, row], W[d], R[d], B, P
                )
                Y[t, d, row] = Y_h[d, row]
    if layout:
        Y, Y_h, Y_c = Y.transpose(2, 0, 1, 3), Y_h.swapaxes(0, 1), Y_c.swapaxes(0, 1)
    return (Y, Y_h, Y_c) if op_type == "LSTM" else (Y, Y_h)


def clipped(attributes: dict[str, Any], a: Array) -> Array:
    bound = attributes.get("clip", np.inf)
    return np.clip(a, -bound, bound)


def _rnn(attributes: dict[str, Any], functions: list[Function], x: Any, h: Any, c: Any, W: Any, R: Any, B: Any, P: Any):
    (f,) = functions[:1]
    Wb, Rb = np.split(B, 2)
    return f(clipped(attributes, W @ x + R @ h + Wb + Rb)), c


def _gru(attributes: dict[str, Any], functions: list[Function], x: Any, h: Any, c: Any, W: Any, R: Any, B: Any, P: Any):
    f, g = functions[:2]
    (Wz, Wr, Wh), (Rz, Rr, Rh) = np.split(W, 3), np.split(R, 3)
    Wbz, Wbr, Wbh, Rbz, Rbr, Rbh = np.split(B, 6)
    z = f(clipped(attributes, Wz @ x + Rz @ h + Wbz + Rbz))
    r = f(clipped(attributes, Wr @ x + Rr @ h + Wbr + Rbr))
    if attributes.get("linear_before_reset", 0):
        hidden = g(clipped(attributes, Wh @ x + r * (Rh @ h + Rbh) + Wbh))
    else:
        hidden = g(clipped(attributes, Wh @ x + Rh @ (r * h) + Rbh + Wbh))
    return (1 - z) * hidden + z * h, c


def _lstm(
    attributes: dict[str, Any], functions: list[Function], x: Any, h: Any, c: Any, W: Any, R: Any, B: Any, P: Any
):
    f, g, h_of = functions[:3]
    (Wi, Wo, Wf, Wc), (Ri, Ro, Rf, Rc), (Pi, Po, Pf) = np.split(W, 4), np.split(R, 4), np.split(P, 3)
    Wbi, Wbo, Wbf, Wbc, Rbi, Rbo, Rbf, Rbc = np.split(B, 8)
    i = f(clipped(attributes, Wi @ x + Ri @ h + Pi * c + Wbi + Rbi))
    if attributes.get("input_forget", 0):
        forget = 1 - i
    else:
        forget = f(clipped(attributes, Wf @ x + Rf @ h + Pf * c + Wbf + Rbf))
    candidate = g(clipped(attributes, Wc @ x + Rc @ h + Wbc + Rbc))
    C = forget * c + i * candidate
    o = f(clipped(attributes, Wo @ x + Ro @ h + Po * C + Wbo + Rbo))
    return o * h_of(C), C
