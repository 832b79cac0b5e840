"""Frozen modules: the same results, read-only parameters, no silent change, and a way back."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import LAYERS
from variants import VARIANTS

X = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)

MADE = {cell: (cell, {}) for cell in LAYERS} | {name: (name.split()[0], options) for name, options in VARIANTS.items()}


@pytest.mark.parametrize("name", MADE)
def test_same_bits(name: str) -> None:
    """Of calls, streams' steps and gradients, before, while and after a layer is frozen."""
    cell, options = MADE[name]
    layer: Any = LAYERS[cell](4, 6, rng=0, **options)
    expected = layer(X)[0]
    layer.freeze()
    assert layer.frozen
    for _ in range(2):
        assert np.array_equal(layer(X)[0], expected)
    tape = layer.record(X)[-1]
    assert all(np.isfinite(gradient).all() for gradient in tape.backward(np.ones_like(expected)).params.values())
    assert np.array_equal(layer(X)[0], expected)
    layer.unfreeze()
    assert not layer.frozen
    assert np.array_equal(layer(X)[0], expected)


def test_parameters_are_read_only() -> None:
    layer = fr.GRU(4, 6, rng=0)
    layer.freeze()
    with pytest.raises(ValueError, match="read-only"):
        layer.params["weight_hh_l0"][0, 0] = 1
    with pytest.raises(ValueError, match=r"frozen.*unfreeze"):
        layer.params["weight_hh_l0"] = np.zeros((18, 6))
    with pytest.raises(ValueError, match=r"frozen.*unfreeze"):
        layer.load_params(dict(layer.params))
    gradients = {name: np.ones_like(array) for name, array in layer.params.items()}
    with pytest.raises(ValueError, match="written"):
        fr.optim.SGD(layer.params, lr=0.1).step(gradients)


def test_memory_of_others_is_copied() -> None:
    """A change of what the caller still has does not reach a frozen layer."""
    layer = fr.GRU(4, 6, rng=0)
    whole = np.zeros((2, 18, 6), np.float32)
    layer.params["weight_hh_l0"] = whole[0]
    expected = layer(X)[0]
    layer.freeze()
    whole += 1
    assert np.array_equal(layer(X)[0], expected)
    layer.unfreeze()
    layer.params["weight_hh_l0"][...] = 1
    assert not np.array_equal(layer(X)[0], expected)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_are_not_frozen(copied: Any) -> None:
    layer = fr.LSTM(4, 6, rng=0)
    layer.freeze()
    other = copied(layer)
    assert not other.frozen
    assert np.array_equal(other(X)[0], layer(X)[0])


def test_isa_may_change() -> None:
    """Weights that were packed for one instruction set are packed again for another."""
    layer = fr.LSTM(4, 6, rng=0)
    expected = layer(X)[0]
    layer.freeze()
    before = fr.isa()
    try:
        for isa in fr.available_isas():
            fr.use_isa(isa)
            assert np.allclose(layer(X)[0], expected, atol=1e-6)
    finally:
        fr.use_isa(before)
