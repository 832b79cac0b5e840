"""A layer that `from_keras` makes computes what the layer of Keras computes, forward and backward, and trains alike.

Everything about the layer and the call is chosen at random: cell, activations, biases, where a GRU resets, directions
and how they are merged, masks of any shape, initial states, what is returned. FUSEDRNN_KERAS_CASES is how many; each is
its own seed.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn.convert.keras_layer import described, keras_layer
from keras_calls import as_keras, check, flat, our_call, our_state
from keras_cases import Case, random_case
from keras_there import BACKEND, gradients, keras, numpy_of, use_floats

CASES = int(os.environ.get("FUSEDRNN_KERAS_CASES", "240"))


@pytest.fixture(autouse=True)
def _usual_floats() -> Iterator[None]:
    yield
    use_floats("float32")


@pytest.mark.parametrize("seed", range(CASES))
def test_forward(seed: int) -> None:
    case = random_case(seed)
    layer = fr.from_keras(case.layer)
    assert layer.dtype == case.x.dtype
    y, state = our_call(layer, case)
    ours = as_keras(layer, case, y, state)
    theirs = [numpy_of(out) for out in flat(case.layer(case.x, **case.call))]
    assert len(ours) == len(theirs), case.text
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        check(f"output {k} of {case.text}", a, b)


@pytest.mark.parametrize("seed", range(1000, 1000 + CASES // 2))
def test_gradients(seed: int) -> None:
    case = random_case(seed, dtype="float64", return_sequences=True, return_state=True)
    if seed % 4 == 0 and case.mask is not None:  # as another call of the same layer
        case = Case(case.layer, case.x, None, case.states, case.text)
    compare_gradients(case)


def compare_gradients(case: Case) -> None:
    layer = fr.from_keras(case.layer)
    y, state, tape = our_call(layer, case, record=True)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=part.shape) for part in as_keras(layer, case, y, state)]

    def weigh(out: Any) -> Any:
        parts = zip(flat(out), weights, strict=True)
        return sum(keras.ops.sum(part * keras.ops.convert_to_tensor(w)) for part, w in parts)

    of_x, of_states, of_variables = gradients(
        case.layer, case.x, case.states, weigh, **({} if case.mask is None else {"mask": case.mask})
    )
    units = (state[0] if isinstance(state, tuple) else state).shape[-1]
    outputs = len(weights) - (len(case.states) or len(our_states(state)))
    dy = np.concatenate(weights[:outputs], axis=-1) if outputs == 2 else weights[0]
    g = tape.backward(dy[:, ::-1] if layer.reverse else dy, our_state(layer, weights[outputs:]))
    assert units == layer.hidden_size
    check(f"dx of {case.text}", g.x, of_x)
    if case.states:
        for k, (a, b) in enumerate(zip(our_states(g.state), of_states, strict=True)):
            check(f"d initial state {k} of {case.text}", a, b)
    for name, theirs in as_params(case.layer, of_variables).items():
        check(f"d {name} of {case.text}", g.params[name], theirs)


def our_states(state: Any) -> list[np.ndarray]:
    """Our state as Keras's list."""
    if isinstance(state, tuple):
        return [part for pair in zip(*state, strict=True) for part in pair]
    return list(state)


def as_params(layer: Any, gradients_: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Gradients of Keras's variables under our names; of a single bias ours are two that have the same."""
    parts = (layer.forward_layer, layer.backward_layer) if type(layer).__name__ == "Bidirectional" else (layer,)
    each = len(gradients_) // len(parts)
    split = [gradients_[k * each : (k + 1) * each] for k in range(len(parts))]
    found = dict(keras_layer(described(type(layer).__name__, layer.get_config(), 3), split, None, None).params)
    if each == 3 and split[0][2].ndim == 1:
        found |= {name: found[name.replace("_hh", "_ih")] for name in found if name.startswith("bias_hh")}
    return found


def test_the_same_on_jax() -> None:
    """Some of the cases above where Keras runs on JAX, with its gradients by jax.grad."""
    if importlib.util.find_spec("jax") is None:
        if os.environ.get("CI"):
            pytest.fail("jax is not installed")
        pytest.skip("jax is not installed: no parity with Keras on JAX is shown")
    if BACKEND == "jax":
        return  # they all are
    chosen = [f"{Path(__file__)}::{name}[{seed}]" for name, seed in (("test_forward", 3), ("test_gradients", 1001))]
    chosen += [f"{Path(__file__)}::test_gradients[{seed}]" for seed in (1008, 1013)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *chosen],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(chosen)} passed" in done.stdout


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("rates", [(0.5, 0.0), (0.0, 0.5), (0.3, 0.4)])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_training_with_the_same_masks(kind: str, rates: tuple[float, float], bidirectional: bool) -> None:
    make = getattr(keras.layers, kind)
    use_floats("float64")
    theirs = make(6, return_sequences=True, dropout=rates[0], recurrent_dropout=rates[1], dtype="float64")
    if bidirectional:
        theirs = keras.layers.Bidirectional(theirs, dtype="float64")
    theirs.build((4, 7, 5))
    rng = Noted(np.random.PCG64(3))
    ours = fr.from_keras(theirs, rng=rng)
    assert (ours.input_dropout, ours.recurrent_dropout) == rates
    rng.drawn.clear()
    x = np.random.default_rng(1).normal(size=(4, 7, 5))
    y, _, tape = ours.record(x)
    hand_over(theirs, rng.drawn, rates)
    weights = np.random.default_rng(2).normal(size=y.shape)
    of_x, _, of_variables = gradients(
        theirs, x, [], lambda out: keras.ops.sum(out * keras.ops.convert_to_tensor(weights)), training=True
    )
    hand_over(theirs, rng.drawn, rates)
    check("y", y, numpy_of(theirs(x, training=True)))
    g = tape.backward(weights)
    check("dx", g.x, of_x)
    for name, expected in as_params(theirs, of_variables).items():
        check(f"d {name}", g.params[name], expected)


class Noted(np.random.Generator):
    """A generator that keeps what it has drawn."""

    def __init__(self, bits: Any) -> None:
        super().__init__(bits)
        self.drawn: list[np.ndarray] = []

    def random(self, *args: Any, **kwargs: Any) -> Any:
        found = super().random(*args, **kwargs)
        self.drawn.append(found)
        return found


def hand_over(layer: Any, drawn: list[np.ndarray], rates: tuple[float, float]) -> None:
    """Our masks in place of those that Keras would draw: one of x, and one of h for each direction."""
    masks = iter(drawn)
    of_x = next(masks) if rates[0] else None
    parts = (layer.forward_layer, layer.backward_layer) if hasattr(layer, "forward_layer") else (layer,)
    for part in parts:
        count = getattr(part.cell, "dropout_mask_count", None)
        for name, values, rate in (
            ("_dropout_mask", of_x, rates[0]),
            ("_recurrent_dropout_mask", next(masks) if rates[1] else None, rates[1]),
        ):
            if values is not None:
                mask = keras.ops.convert_to_tensor((values >= rate) / (1 - rate), "float64")
                setattr(part.cell, name, mask if count is None else [mask] * count)


def test_the_masks_of_a_stateful_layer_and_its_calls() -> None:
    """stateful=True is the state handed on."""
    theirs = keras.layers.GRU(4, return_sequences=True, stateful=True)
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    first = numpy_of(theirs(x[:, :3]))
    ours = fr.from_keras(theirs)
    second = numpy_of(theirs(x[:, 3:]))
    y, h = ours(x[:, :3])
    check("first", y, first)
    check("second", ours(x[:, 3:], h)[0], second)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: keras.layers.LSTM(3, activation="gelu"), "activation: expected one of"),
        (lambda: keras.layers.GRU(3, recurrent_activation="hard_tanh"), "recurrent_activation: expected one of"),
        (lambda: keras.layers.RNN([keras.layers.LSTMCell(3), keras.layers.LSTMCell(3)]), "StackedRNNCells"),
        (lambda: keras.layers.LSTM(3), "has no weights yet"),
    ],
)
def test_what_has_no_counterpart_is_refused(make: Any, said: str) -> None:
    layer = make()
    if "no weights" not in said:
        layer.build((2, 5, 4))
    with pytest.raises(ValueError, match=said):
        fr.from_keras(layer)


def test_directions_that_differ_are_refused() -> None:
    layers = keras.layers
    layer = layers.Bidirectional(layers.LSTM(3), backward_layer=layers.LSTM(3, dropout=0.5, go_backwards=True))
    layer.build((2, 5, 4))
    with pytest.raises(ValueError, match="same dropout"):
        fr.from_keras(layer)


def test_what_is_no_recurrent_layer_is_refused() -> None:
    class Mine(keras.layers.LSTM):
        """It may compute anything."""

    for other in (keras.layers.Dense(3), keras.layers.LSTMCell(3), Mine(3), object(), fr.LSTM(2, 3)):
        with pytest.raises(TypeError, match="layer: expected an LSTM, GRU"):
            fr.from_keras(other)


def test_activations_that_are_layers() -> None:
    theirs = keras.layers.SimpleRNN(4, activation=keras.layers.LeakyReLU(negative_slope=0.4), return_sequences=True)
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    y = numpy_of(theirs(x))
    ours = fr.from_keras(theirs)
    assert ours.nonlinearity == ("leaky_relu", 0.4)
    check("y", ours(x)[0], y)
