"""The operators' functions: their shapes and dtypes, what runs on the plain kernels, and what is refused, by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
import onnx_equations
from fusedrnn.onnx import Operator, gru, lstm, rnn
from interpreter import python
from onnx_cases import GATES, random_case

FUNCTIONS: dict[str, Any] = {"RNN": rnn, "GRU": gru, "LSTM": lstm}
LAYERS: dict[str, Any] = {"RNN": fr.RNN, "GRU": fr.GRU, "LSTM": fr.LSTM}
T, B, F, H = 5, 3, 4, 6


def arrays(op_type: str, directions: int = 1, dtype: Any = np.float32, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    rows = GATES[op_type] * H
    shapes = {"X": (T, B, F), "W": (directions, rows, F), "R": (directions, rows, H), "B": (directions, 2 * rows)}
    return {name: rng.uniform(-0.5, 0.5, shape).astype(dtype) for name, shape in shapes.items()}


def test_importing_needs_no_onnx() -> None:
    code = "import sys, fusedrnn; fusedrnn.onnx.lstm; print('onnx' in sys.modules, 'onnxruntime' in sys.modules)"
    result = python("-c", code)
    assert result.stdout.split() == ["False", "False"], result.stderr
    result = python("-c", "import sys, fusedrnn; print('fusedrnn.onnx' in sys.modules)")
    assert result.stdout.split() == ["False"], result.stderr


def test_without_the_packages_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['onnx'] = None; import fusedrnn; fusedrnn.onnx.load('x.onnx')"
    result = python("-c", code)
    assert (
        "ModuleNotFoundError: fusedrnn.onnx needs the package onnx for this: pip install 'fusedrnn[onnx]'"
        in result.stderr
    )


# Which kernels


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_defaults_have_the_bits_of_a_plain_layer(op_type: str, direction: str) -> None:
    """A GRU with linear_before_reset: its default is no plain cell."""
    given = arrays(op_type, 2 if direction == "bidirectional" else 1)
    X = given.pop("X")
    more = {"linear_before_reset": 1} if op_type == "GRU" else {}
    operator = Operator(op_type, **given, direction=direction, **more)
    assert isinstance(operator.layer._network, fr._core.Network)
    y, _ = operator.layer(X)
    Y, *_ = operator(X)
    assert np.array_equal(Y.transpose(0, 2, 1, 3).reshape(T, B, -1), y)


def test_options_are_those_that_the_attributes_name() -> None:
    given = arrays("LSTM", 2)
    P = np.zeros((2, 3 * H), np.float32)
    names = ["HardSigmoid", "Tanh", "Relu", "Sigmoid", "Affine", "Tanh"]
    operator = Operator(
        "LSTM",
        given["W"],
        given["R"],
        None,
        P,
        activations=names,
        activation_alpha=[0.3, 2.0],
        activation_beta=[0.4],
        clip=3.0,
        direction="bidirectional",
        input_forget=1,
        layout=1,
    )
    layer = operator.layer
    assert isinstance(layer, fr.LSTM)
    assert layer.activations == (("hard_sigmoid", 0.3, 0.4), "tanh", "relu")
    assert layer.reverse_activations == ("sigmoid", ("affine", 2.0, 0.0), "tanh")
    assert (layer.clip, layer.coupled, layer.peephole, layer.bias, layer.batch_first) == (3.0, True, True, False, True)


def test_the_default_activations_of_the_schema_of_rnn() -> None:
    """It lists two names, one for each direction, also where there is one."""
    given = arrays("RNN")
    assert np.array_equal(rnn(**given, activations=["Tanh", "Tanh"])[0], rnn(**given)[0])


# Inputs and outputs


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("layout", [0, 1])
def test_shapes(op_type: str, layout: int) -> None:
    given = arrays(op_type, 2)
    given["X"] = given["X"].transpose(1, 0, 2) if layout else given["X"]
    Y, *states = FUNCTIONS[op_type](**given, direction="bidirectional", layout=layout)
    assert Y.shape == ((B, T, 2, H) if layout else (T, 2, B, H))
    assert [state.shape for state in states] == [(B, 2, H) if layout else (2, B, H)] * (2 if op_type == "LSTM" else 1)
    assert all(value.flags.c_contiguous for value in (Y, *states))


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("rows", [0, 1])
def test_nothing_to_do(steps: int, rows: int) -> None:
    given = arrays("LSTM")
    given["X"] = given["X"][:steps, :rows]
    Y, Y_h, Y_c = lstm(**given, P=np.ones((1, 3 * H), np.float32))
    assert Y.shape == (steps, 1, rows, H)
    assert Y_h.shape == Y_c.shape == (1, rows, H)


@pytest.mark.parametrize("op_type", GATES)
def test_sixteen_bits_are_computed_in_float32(op_type: str) -> None:
    half = arrays(op_type, dtype=np.float16)
    single = {name: value.astype(np.float32) for name, value in half.items()}
    for mine, exact in zip(FUNCTIONS[op_type](**half), FUNCTIONS[op_type](**single), strict=True):
        assert mine.dtype == np.float16
        assert np.array_equal(mine, exact.astype(np.float16))


def test_bfloat16() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed: NumPy has no bfloat16").bfloat16
    low = arrays("GRU", dtype=bfloat16)
    Y, _ = gru(**low)
    exact, _ = gru(**{name: value.astype(np.float32) for name, value in low.items()})
    assert Y.dtype == bfloat16
    assert np.array_equal(Y, exact.astype(bfloat16))


def test_an_operator_is_called_as_the_function_is() -> None:
    for seed in range(30):
        case = random_case(np.random.default_rng(seed))
        weights = {name: case.inputs.get(name) for name in ("W", "R", "B", "P")}
        rest = {name: value for name, value in case.inputs.items() if name not in weights}
        once = Operator(case.op_type, **weights, **case.attributes)
        for _ in range(2):
            for one, other in zip(once(**rest), FUNCTIONS[case.op_type](**case.inputs, **case.attributes), strict=True):
                assert np.array_equal(one, other)


def test_a_row_without_steps_returns_its_state() -> None:
    given = arrays("LSTM")
    h, c = (np.full((1, B, H), value, np.float32) for value in (0.25, 0.5))
    _, Y_h, Y_c = lstm(**given, sequence_lens=np.array([0, T, 0], np.int32), initial_h=h, initial_c=c)
    assert (Y_h[0, [0, 2]] == 0.25).all()
    assert (Y_c[0, [0, 2]] == 0.5).all()


def test_constants_are_taken_in_order_by_those_that_have_them() -> None:
    given = arrays("LSTM", dtype=np.float64)
    names = ["Sigmoid", "LeakyRelu", "ScaledTanh"]
    for alphas, betas in (([], []), ([0.3], []), ([0.3, 0.7], []), ([0.3, 0.7], [0.6])):
        attributes: dict[str, Any] = {"activations": names, "activation_alpha": alphas, "activation_beta": betas}
        exact = onnx_equations.run("LSTM", given, attributes)
        np.testing.assert_allclose(lstm(**given, **attributes)[0], exact[0], rtol=1e-12)


# Refusals


def refused(message: str, op_type: str = "LSTM", error: type[Exception] = ValueError, **changes: Any) -> None:
    given = arrays(op_type) | changes
    with pytest.raises(error, match=message):
        FUNCTIONS[op_type](**given)


def test_attributes_out_of_range() -> None:
    refused(r"^direction: expected one of forward, reverse, bidirectional, got 'backward'", direction="backward")
    refused(r"^layout: expected an integer of at most 1, got 2", layout=2)
    refused(r"^clip: expected a finite number above 0, got 0", clip=0)
    refused(r"^clip: expected a finite number above 0, got nan", clip=float("nan"))
    refused(r"^hidden_size: expected 6, the last axis of R, got 5", hidden_size=5)
    refused(r"^input_forget: expected an integer", error=TypeError, input_forget="yes")
    refused(r"^activations: expected 3 names, 3 for each direction, got 2", activations=["Tanh", "Tanh"])
    refused(r"^activations: expected a list", error=TypeError, activations="Tanh")
    refused(r"^activations: expected any of Relu, .*, Softplus, got 'Gelu'", activations=["Gelu", "Tanh", "Tanh"])
    refused(
        r"^activation_alpha: expected at most 0 values, one for each of Tanh",
        "RNN",
        activations=["Tanh"],
        activation_alpha=[1.0],
    )
    refused(
        r"^activation_beta\[0\]: expected a finite number",
        "RNN",
        activations=["Affine"],
        activation_beta=[float("inf")],
    )


def test_arrays_of_wrong_shapes_or_dtypes() -> None:
    refused(r"^W: expected 3 axes, got shape \(24, 4\)", W=np.zeros((4 * H, F), np.float32))
    refused(r"^W: expected shape \(2, 24, 4\), got \(1, 24, 4\)", direction="bidirectional")
    refused(r"^R: expected shape", R=np.zeros((1, 3 * H, H), np.float32))
    refused(r"^B: expected shape \(1, 48\), got \(1, 24\)", B=np.zeros((1, 4 * H), np.float32))
    refused(r"^P: expected shape \(1, 18\)", P=np.zeros((1, H), np.float32))
    refused(r"^X: expected shape \(T, B, I\) with I = 4", X=np.zeros((T, B, F + 1), np.float32))
    refused(r"^X: expected 3 axes", X=np.zeros((T, F), np.float32))
    refused(r"^X: expected dtype float32, that of W, got float64", error=TypeError, X=np.zeros((T, B, F)))
    refused(r"^B: expected dtype float32, got float64", error=TypeError, B=np.zeros((1, 8 * H)))
    refused(
        r"^W: expected float32, float64, float16 or bfloat16, got int64", error=TypeError, W=np.zeros((1, 24, 4), int)
    )
    refused(r"^initial_h: expected shape \(D, B, H\) = \(1, 3, 6\)", initial_h=np.zeros((1, B, H + 1), np.float32))
    refused(r"^initial_c: expected 3 axes", initial_c=np.zeros((B, H), np.float32))
    refused(r"^X: expected a numpy.ndarray, got list", error=TypeError, X=[[1.0]])


def test_lengths_out_of_range() -> None:
    refused(r"^sequence_lens: expected lengths from 0 to 5.*got \[1, 6, 2\]", sequence_lens=np.array([1, 6, 2]))
    refused(r"^sequence_lens: expected lengths from 0 to 5", sequence_lens=np.array([1, -1, 2]))
    refused(r"^sequence_lens: expected shape \(B,\) = \(3,\), got \(2,\)", sequence_lens=np.array([1, 2]))
    refused(r"^sequence_lens: expected integers, got dtype float64", error=TypeError, sequence_lens=np.ones(3))


def test_what_only_an_lstm_has() -> None:
    given = arrays("GRU")
    X = given.pop("X")
    with pytest.raises(ValueError, match=r"^P: only an LSTM has peepholes, this is a GRU"):
        Operator("GRU", **given, P=np.zeros((1, 3 * H), np.float32))
    with pytest.raises(ValueError, match=r"^initial_c: only an LSTM has one, this is a GRU"):
        Operator("GRU", **given)(X, initial_c=np.zeros((1, B, H), np.float32))
    with pytest.raises(ValueError, match=r"^input_forget: GRU has no such attribute, it has .*linear_before_reset"):
        Operator("GRU", **given, input_forget=1)
    with pytest.raises(ValueError, match=r"^op_type: expected one of RNN, GRU, LSTM, got 'lstm'"):
        Operator("lstm", **given)
