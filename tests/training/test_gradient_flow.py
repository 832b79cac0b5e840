"""gradient_flow: the terms of all steps sum to the gradients of the kernels, and norms are those of restarted calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusedrnn as fr

LAYERS: dict[str, Any] = {
    "rnn": fr.RNN,
    "relu": lambda *sizes, **options: fr.RNN(*sizes, nonlinearity="relu", **options),
    "gru": fr.GRU,
    "lstm": fr.LSTM,
    "lstm proj": lambda *sizes, **options: fr.LSTM(*sizes, proj_size=2, **options),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_terms_sum_to_the_gradient(kind: str, bidirectional: bool, batch_first: bool) -> None:
    rng = np.random.default_rng(0)
    options = {"num_layers": 2, "bidirectional": bidirectional, "batch_first": batch_first}
    layer = LAYERS[kind](3, 5, dtype=np.float64, rng=1, **options)
    x = rng.standard_normal((4, 7, 3) if batch_first else (7, 4, 3))
    y, _, tape = layer.record(x, lengths=[7, 3, 5, 0])
    output = fr.nn.Linear(y.shape[-1], 2, dtype=np.float64, rng=1)
    z, output_tape = output.record(y)
    dz = rng.standard_normal(z.shape)
    of_output = output_tape.backward(dz)
    expected = tape.backward(of_output.x)
    flow = fr.gradient_flow(layer, x, dz, lengths=[7, 3, 5, 0], output=output)
    for name, gradient in expected.params.items():
        np.testing.assert_allclose(flow.terms(name).sum(0), gradient, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(flow.params[name], [np.linalg.norm(term) for term in flow.terms(name)], atol=1e-12)
    for name, gradient in of_output.params.items():
        np.testing.assert_allclose(flow.terms(f"output.{name}").sum(0), gradient, atol=1e-12)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_norm_of_a_step_is_the_loss_slope_at_that_steps_state(kind: str) -> None:
    """A call that begins at step t + 1 from the state there: the gradient of that state is what flows into h_t."""
    rng = np.random.default_rng(0)
    layer = LAYERS[kind](3, 5, dtype=np.float64, rng=1)
    x, dy = rng.standard_normal((9, 2, 3)), np.zeros((9, 2, 5))
    dy[-1] = rng.standard_normal((2, 5))
    flow = fr.gradient_flow(layer, x, dy)
    for t in range(8):
        _, state = layer(x[: t + 1])
        _, _, tape = layer.record(x[t + 1 :], state)
        dstate = tape.backward(dy[t + 1 :]).state
        dh = dstate[0] if isinstance(dstate, tuple) else dstate
        np.testing.assert_allclose(flow.h[0, 0, t], np.linalg.norm(dh), rtol=1e-9)
    np.testing.assert_allclose(flow.h[0, 0, 8], np.linalg.norm(dy[-1]), rtol=1e-12)


def test_saturation_and_spectral_radius() -> None:
    layer = fr.LSTM(3, 5, rng=1)
    for name, array in layer.params.items():
        array[...] = 0
        if name == "bias_ih_l0":
            array[5:10] = 10  # forget gates are 1
    layer.params["weight_hh_l0"][:5] = 0.5 * np.eye(5)
    flow = fr.gradient_flow(layer, np.zeros((4, 1, 3), np.float32), np.ones((4, 1, 5), np.float32))
    assert flow.saturation["l0.f"] == (0.0, 1.0)
    assert flow.saturation["l0.i"] == (0.0, 0.0)
    assert flow.spectral_radius["l0.i"] == pytest.approx(0.5)
    assert "layers=1" in repr(flow)


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="layer: expected an RNN, LSTM or GRU"):
        fr.gradient_flow(fr.nn.Linear(3, 5), np.zeros((4, 1, 3)))  # type: ignore[arg-type]
    layer = fr.LSTM(3, 5)
    with pytest.raises(ValueError, match="dy: expected shape"):
        fr.gradient_flow(layer, np.zeros((4, 1, 3)), np.zeros((4, 1, 2)), output=fr.nn.Linear(5, 7))
    with pytest.raises(TypeError, match="output: expected a Linear"):
        fr.gradient_flow(layer, np.zeros((4, 1, 3)), np.zeros((4, 1, 2)), output=layer)  # type: ignore[arg-type]
