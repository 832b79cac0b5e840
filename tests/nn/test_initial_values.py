"""Initial values have the properties they are named after."""

from __future__ import annotations

import numpy as np
import pytest

import fusedrnn as fr
from nn_cases import every_dtype, nn

init = nn.init


@every_dtype
@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (1, 1), (12, 4)])
def test_orthogonal(shape: tuple[int, int], dtype: np.dtype) -> None:
    weight = np.full(shape, np.nan, dtype)
    assert init.orthogonal(weight, 2.0, rng=0) is weight
    short = weight @ weight.T if shape[0] <= shape[1] else weight.T @ weight
    np.testing.assert_allclose(short, 4 * np.eye(min(shape)), atol=1e-5)


def test_each_gate_is_orthogonal() -> None:
    layer = fr.LSTM(3, 6, rng=0)
    init.orthogonal(layer.params["weight_hh_l0"], gates=4, rng=0)
    gates = layer.params["weight_hh_l0"].reshape(4, 6, 6)
    for gate in gates:
        np.testing.assert_allclose(gate @ gate.T, np.eye(6), atol=1e-6)
    assert np.abs(gates[0] - gates[1]).max() > 0.1
    init.orthogonal(layer.params["weight_ih_l0"], gates=4, rng=0)
    for gate in layer.params["weight_ih_l0"].reshape(4, 6, 3):
        np.testing.assert_allclose(gate.T @ gate, np.eye(3), atol=1e-6)


def test_orthogonal_matrices_are_drawn_from_all_of_them_alike() -> None:
    """The mean of an element is 0, and of its square 1/n: QR alone would prefer one sign."""
    drawn = np.array([init.orthogonal(np.zeros((3, 3)), rng=k) for k in range(2000)])
    assert np.abs(drawn.mean(0)).max() < 5 * np.sqrt(1 / 3 / 2000)
    assert np.abs((drawn**2).mean(0) - 1 / 3).max() < 0.03


@pytest.mark.parametrize("gates", [1, 4])
@pytest.mark.parametrize("shape", [(300, 100), (100, 300)])
def test_glorot(shape: tuple[int, int], gates: int) -> None:
    bound = np.sqrt(6 / (shape[0] + shape[1]))
    uniform = init.glorot_uniform(np.zeros((gates * shape[0], shape[1])), gates=gates, rng=0)
    assert np.abs(uniform).max() <= bound
    assert np.abs(uniform).max() > 0.999 * bound
    for weight in (uniform, init.glorot_normal(np.zeros((gates * shape[0], shape[1])), gates=gates, rng=0)):
        np.testing.assert_allclose(weight.std(), bound / np.sqrt(3), rtol=0.02)
        assert abs(weight.mean()) < 5 * weight.std() / np.sqrt(weight.size)


def test_a_relu_network_with_the_identity_remembers() -> None:
    layer = fr.RNN(1, 4, nonlinearity="relu", bias=False, rng=0)
    init.identity(layer.params["weight_hh_l0"])
    layer.params["weight_ih_l0"][...] = 1
    x = np.zeros((100, 1, 1), np.float32)
    x[0] = 0.3
    assert (layer(x)[0] == np.float32(0.3)).all()
    assert (init.identity(np.ones((2, 2)), 0.5) == np.eye(2) / 2).all()


def test_forget_biases() -> None:
    layer = fr.LSTM(2, 3, num_layers=2, bidirectional=True, rng=0)
    before = {name: array.copy() for name, array in layer.params.items()}
    init.forget_bias(layer, 1.5)
    for name, array in layer.params.items():
        if name.startswith("bias_"):
            assert (array[3:6] == (1.5 if "_ih_" in name else 0)).all()
            array[3:6] = before[name][3:6]
        np.testing.assert_array_equal(array, before[name])
