"""Of a tape's gradients some may not be wanted: the others keep their bits, and those are not made."""

from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import LAYERS

SHAPES = [
    {"num_layers": 1},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 3},
]


def gradients(layer: Any, **wanted: Any) -> tuple[Any, list[Any]]:
    """dx and those of the parameters, by the core's own tape."""
    x = np.random.default_rng(0).standard_normal((40, 17, 5)).astype(layer.dtype)
    y, *_, tape = layer._network.record(x)
    dx, _, _, params, _ = tape.backward(np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype), **wanted)
    return dx, params


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unwanted_gradients(cell: str, shape: dict[str, Any], dtype: Any) -> None:
    layer = LAYERS[cell](5, 9, rng=0, dtype=dtype, **shape)
    names = list(layer.params)
    dx, params = gradients(layer)

    none, same = gradients(layer, wants_x=False)
    assert none is None
    assert all(np.array_equal(one, other) for one, other in zip(same, params, strict=True))

    still, nothing = gradients(layer, wants=[False] * len(names))
    assert np.array_equal(still, dx)
    assert nothing == [None] * len(names)

    wants = ["_l0" in name and "reverse" not in name for name in names]
    _, some = gradients(layer, wants=wants)
    for wanted, one, other in zip(wants, some, params, strict=True):
        assert np.array_equal(one, other) if wanted else one is None


def test_one_of_a_layer_is_enough() -> None:
    layer = fr.LSTM(5, 9, rng=0)
    _, params = gradients(layer)
    _, some = gradients(layer, wants=[False, True, False, False])
    assert np.array_equal(some[1], params[1])


def test_tokens() -> None:
    """Their sums are of one piece: all are made."""
    layer = fr.GRU(5, 9, rng=0)
    y, *_, tape = layer._network.record(np.arange(12).reshape(4, 3) % 5)
    dx, _, _, params, _ = tape.backward(np.ones_like(y), wants=[False] * 4, wants_x=False)
    assert dx is None
    assert all(np.isfinite(one).all() for one in params)


def test_wrong_number() -> None:
    layer = fr.GRU(5, 9, rng=0)
    y, *_, tape = layer._network.record(np.zeros((2, 3, 5), np.float32))
    with pytest.raises(ValueError, match="wants: expected 4 values, got 1"):
        tape.backward(np.ones_like(y), wants=[True])
    tape.backward(np.ones_like(y))
