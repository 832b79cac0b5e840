"""The three operators as functions of arrays, with the operators' names of arguments and attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusedrnn._checks import Array
from fusedrnn.onnx._operator import Operator


def lstm(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    initial_c: Array | None = None,
    P: Array | None = None,
    *,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
) -> tuple[Array, Array, Array]:
    """The LSTM operator of ONNX, opset 7, 14 and 22 (https://onnx.ai/onnx/operators/onnx__LSTM.html).

    The weights are converted on every call: for many calls with the same weights an `Operator` is faster.

    Args:
        X: (T, B, I), or (B, T, I) with layout 1; float32, float64, float16 or bfloat16. All other arrays but
            sequence_lens have the same dtype. The last two are computed in float32, and outputs are rounded back.
        W: (D, 4*H, I), gates i, o, f, c; D is 2 if bidirectional, otherwise 1.
        R: (D, 4*H, H).
        B: (D, 8*H), Wb and Rb; None for zeros.
        sequence_lens: integers (B,) from 0 to T; None for T of every row.
        initial_h, initial_c: (D, B, H), or (B, D, H) with layout 1; None for zeros.
        P: (D, 3*H), peepholes i, o, f; None for none.
        activations: three names for each direction: gates, candidate, output.
        activation_alpha, activation_beta: constants, in the order of those activations that have one.
        clip: bound on pre-activations of the gates and the candidate; None for none.
        direction: "forward", "reverse" or "bidirectional".
        hidden_size: H, checked against R; None to take it from there.
        input_forget: not 0: f = 1 - i.
        layout: 0 for time first, 1 for batch first.

    Returns:
        Y (T, D, B, H), or (B, T, D, H) with layout 1; Y_h and Y_c, shaped as initial_h.

    Raises:
        ValueError: a wrong shape, an unknown activation, or a value an attribute cannot have; says which.
        TypeError: a wrong type or dtype; says which argument.
    """
    attributes: dict[str, Any] = {
        "activations": activations,
        "activation_alpha": activation_alpha,
        "activation_beta": activation_beta,
        "clip": clip,
        "direction": direction,
        "hidden_size": hidden_size,
        "input_forget": input_forget,
        "layout": layout,
    }
    y, h, c = Operator("LSTM", W, R, B, P, **attributes)(X, sequence_lens, initial_h, initial_c)
    return y, h, c


def gru(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    *,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> tuple[Array, Array]:
    """The GRU operator of ONNX, opset 7, 14 and 22 (https://onnx.ai/onnx/operators/onnx__GRU.html).

    The weights are converted on every call: for many calls with the same weights an `Operator` is faster.

    Args:
        X, sequence_lens, initial_h, clip, direction, hidden_size, layout: as for `lstm`.
        W: (D, 3*H, I), gates z, r, h.
        R: (D, 3*H, H).
        B: (D, 6*H), Wb and Rb; None for zeros.
        activations: two names for each direction: gates, candidate.
        activation_alpha, activation_beta: constants, in the order of those activations that have one.
        linear_before_reset: 0 resets h before the product with R, anything else the product.

    Returns:
        Y (T, D, B, H), or (B, T, D, H) with layout 1; Y_h, shaped as initial_h.

    Raises:
        ValueError, TypeError: as `lstm`.
    """
    attributes: dict[str, Any] = {
        "activations": activations,
        "activation_alpha": activation_alpha,
        "activation_beta": activation_beta,
        "clip": clip,
        "direction": direction,
        "hidden_size": hidden_size,
        "layout": layout,
        "linear_before_reset": linear_before_reset,
    }
    y, h = Operator("GRU", W, R, B, **attributes)(X, sequence_lens, initial_h)
    return y, h


def rnn(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    *,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
) -> tuple[Array, Array]:
    """The RNN operator of ONNX, opset 7, 14 and 22 (https://onnx.ai/onnx/operators/onnx__RNN.html).

    The weights are converted on every call: for many calls with the same weights an `Operator` is faster.

    Args:
        X, sequence_lens, initial_h, clip, direction, hidden_size, layout: as for `lstm`.
        W: (D, H, I).
        R: (D, H, H).
        B: (D, 2*H), Wb and Rb; None for zeros.
        activations: one name for each direction.
        activation_alpha, activation_beta: constants, in the order of those activations that have one.

    Returns:
        Y (T, D, B, H), or (B, T, D, H) with layout 1; Y_h, shaped as initial_h.

    Raises:
        ValueError, TypeError: as `lstm`.
    """
    attributes: dict[str, Any] = {
        "activations": activations,
        "activation_alpha": activation_alpha,
        "activation_beta": activation_beta,
        "clip": clip,
        "direction": direction,
        "hidden_size": hidden_size,
        "layout": layout,
    }
    y, h = Operator("RNN", W, R, B, **attributes)(X, sequence_lens, initial_h)
    return y, h
