"""Attributes assigned after construction: what a layer is made with is fixed, what takes effect is checked."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import LAYERS, every_layer
from small_layers import B, H, I, T, assert_same, normal

MODULES: dict[str, Any] = {
    "RNN": lambda: fr.RNN(I, H, 2, rng=0),
    "GRU": lambda: fr.GRU(I, H, 2, rng=0),
    "LSTM": lambda: fr.LSTM(I, H, 2, proj_size=2, rng=0),
    "RNNCell": lambda: fr.RNNCell(I, H, rng=0),
    "GRUCell": lambda: fr.GRUCell(I, H, rng=0),
    "LSTMCell": lambda: fr.LSTMCell(I, H, rng=0),
    "reference.RNN": lambda: fr.reference.RNN(I, H, 2, rng=0),
    "reference.GRU": lambda: fr.reference.GRU(I, H, 2, rng=0),
    "reference.LSTM": lambda: fr.reference.LSTM(I, H, 2, proj_size=2, rng=0),
}
every_module = pytest.mark.parametrize("name", MODULES)

ASSIGNABLE = {"rng", "batch_first", "dropout"}
"""These take effect when they are assigned. (Of the reference: batch_first and params; dropout has no effect there.)"""


def public_attributes(module: Any) -> set[str]:
    """Attributes that are not methods, of the object and of its classes."""
    names = {name for name in dir(module) if not name.startswith("_")}
    return {name for name in names if not callable(getattr(module, name)) or name == "rng"}


@every_module
def test_every_attribute_is_fixed_or_checked(name: str) -> None:
    module = MODULES[name]()
    attributes = public_attributes(module)
    assert {"input_size", "hidden_size", "bias", "dtype", "num_params", "params"} <= attributes
    reference = name.startswith("reference")
    assignable = {"batch_first", "params"} if reference else ASSIGNABLE
    before = {attribute: repr(getattr(module, attribute)) for attribute in attributes}
    for attribute in sorted(attributes - assignable):
        with pytest.raises(AttributeError, match=attribute):
            setattr(module, attribute, getattr(module, attribute))
        with pytest.raises(AttributeError, match=attribute):
            delattr(module, attribute)
    if not reference:
        for attribute in sorted(attributes & assignable):
            with pytest.raises((TypeError, ValueError), match=attribute):
                setattr(module, attribute, object())
            with pytest.raises(AttributeError, match=attribute):
                delattr(module, attribute)
    assert {attribute: repr(getattr(module, attribute)) for attribute in attributes} == before


@every_layer
def test_the_message_names_the_attribute_and_the_class(kind: str) -> None:
    layer = LAYERS[kind](I, H, rng=0)
    with pytest.raises(AttributeError, match=f"hidden_size: .*{type(layer).__name__}"):
        layer.hidden_size = 7


def test_nonlinearity_is_fixed() -> None:
    for module in (fr.RNN(I, H, rng=0), fr.RNNCell(I, H, rng=0)):
        with pytest.raises(AttributeError, match="nonlinearity"):
            module.nonlinearity = "relu"
        assert module.nonlinearity == "tanh"


@every_layer
def test_dropout_assigned_takes_effect(kind: str) -> None:
    layer, x = LAYERS[kind](I, H, 2, dropout=0.9, rng=0), normal(T, B, I)
    layer.dropout = 0
    assert type(layer.dropout) is float
    assert_same(layer.record(x)[0], layer(x)[0])
    layer.dropout = 1.0
    assert not np.array_equal(layer.record(x)[0], layer(x)[0])
    for wrong in (5.0, -0.1, float("nan"), True, "0.5", 10**400):
        with pytest.raises((TypeError, ValueError), match="dropout"):
            layer.dropout = wrong
    assert layer.dropout == 1.0
    single = LAYERS[kind](I, H, rng=0)
    with pytest.warns(UserWarning, match="dropout") as warned:
        single.dropout = 0.5
    assert warned[0].filename == __file__


@every_layer
def test_rng_assigned_draws_the_masks(kind: str) -> None:
    x = normal(T, B, I)
    one, two = (LAYERS[kind](I, H, 2, dropout=0.5, rng=0) for _ in range(2))
    one.record(x)  # has drawn already
    one.rng, two.rng = 5, np.random.default_rng(5)
    assert_same(one.record(x)[0], two.record(x)[0])


@every_layer
def test_a_copy_computes_what_the_original_does(kind: str) -> None:
    layer, x = LAYERS[kind](I, H, 2, rng=0), normal(T, B, I)
    layer.batch_first = True
    layer.dropout = 0.25
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), copy.copy(layer)):
        assert repr(other) == repr(layer)
        assert_same(other(x), layer(x))
        with pytest.raises(AttributeError, match="num_layers"):
            other.num_layers = 1
