"""Numbers that are exact whatever the order of the sums: small integers, and what zero weights give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kinds import every_dtype, every_kind
from problems import Arrays, Problem, check_same_bits, every_stack, named_gradients, named_outputs, parts, state_like


def small_integers(generator: np.random.Generator, shape: tuple[int, ...], density: float = 1.0) -> np.ndarray:
    values = generator.integers(-2, 3, shape)
    return values * (generator.random(shape) < density)


@every_dtype
@pytest.mark.parametrize("nonlinearity", ["identity", "relu"])
@every_stack
@pytest.mark.parametrize(("batch", "inputs", "hidden"), [(1, 5, 15), (7, 33, 17), (25, 16, 33), (5, 1, 1)])
def test_integers_are_exact(
    nonlinearity: str, stack: dict[str, Any], batch: int, inputs: int, hidden: int, dtype: Any, isa: str
) -> None:
    """Small integers in, and every sum and product is an exact integer: one wrong term cannot hide in a tolerance."""
    problem = Problem(f"rnn {nonlinearity}", steps=4, batch=batch, inputs=inputs, hidden=hidden, **stack)
    generator = np.random.default_rng(hidden)
    layer = problem.fused(dtype)
    density = min(1.0, 2.5 / hidden)
    weights = {name: small_integers(generator, a.shape, density) for name, a in layer.params.items()}
    layer.load_params({name: value.astype(dtype) for name, value in weights.items()})
    x = small_integers(generator, (4, batch, inputs), 0.5)
    h0 = small_integers(generator, (problem.layers * problem.directions, batch, hidden), 0.5)
    dy = small_integers(generator, (4, batch, hidden * problem.directions), 0.5)
    dh = small_integers(generator, h0.shape, 0.5)

    expected = integer_rnn(problem, weights, x, h0, dy, dh)
    largest = integer_rnn(problem, *(absolute(value) for value in (weights, x, h0, dy, dh)))
    assert max(int(np.abs(a).max(initial=0)) for a in largest.values()) < 2**24, "not exact in float32: test's fault"
    assert hidden == 1 or all(a.any() for a in expected.values())

    y, h_n, tape = layer.record(x.astype(dtype), h0.astype(dtype))
    gradients = tape.backward(dy.astype(dtype), dh.astype(dtype))
    ours = {**named_outputs((y, h_n), False), **named_gradients(gradients)}
    assert list(ours) == list(expected)
    for name in ours:
        np.testing.assert_array_equal(ours[name], expected[name], err_msg=name)


def absolute(value: Any) -> Any:
    return {name: np.abs(a) for name, a in value.items()} if isinstance(value, dict) else np.abs(value)


def integer_rnn(
    problem: Problem, weights: Arrays, x: np.ndarray, h0: np.ndarray, dy: np.ndarray, dh: np.ndarray
) -> Arrays:
    """The simple RNN and its gradients in int64, identity or relu."""
    relu = problem.kind == "rnn relu"
    steps, hidden, directions = problem.steps, problem.hidden, problem.directions
    inputs, outputs = [x], []
    for layer in range(problem.layers):
        ys = []
        for direction in range(directions):
            w_ih, w_hh, bias = integer_weights(weights, layer, direction)
            h, y = h0[layer * directions + direction], np.zeros((steps, problem.batch, hidden), np.int64)
            for t in order(steps, direction):
                h = inputs[layer][t] @ w_ih.T + h @ w_hh.T + bias
                h = np.maximum(h, 0) if relu else h
                y[t] = h
            ys.append(y)
        outputs.append(ys)
        inputs.append(np.concatenate(ys, axis=2))
    finals = [ys[d][0 if d else -1] for ys in outputs for d in range(directions)]
    results: Arrays = {"y": inputs[-1], "h_n": np.stack(finals)}
    gradients: Arrays = {}
    dh0 = np.zeros_like(h0)
    dlayer = dy
    for layer in reversed(range(problem.layers)):
        dx = np.zeros_like(inputs[layer])
        for direction in range(directions):
            index = layer * directions + direction
            w_ih, w_hh, _ = integer_weights(weights, layer, direction)
            y, carry = outputs[layer][direction], dh[index]
            d_ih, d_hh, d_bias = np.zeros_like(w_ih), np.zeros_like(w_hh), np.zeros(hidden, np.int64)
            walk = order(steps, direction)
            for n, t in reversed(list(enumerate(walk))):
                delta = carry + dlayer[t][:, direction * hidden : (direction + 1) * hidden]
                delta = delta * (y[t] > 0) if relu else delta
                before = y[walk[n - 1]] if n else h0[index]
                d_ih, d_hh, d_bias = d_ih + delta.T @ inputs[layer][t], d_hh + delta.T @ before, d_bias + delta.sum(0)
                dx[t] += delta @ w_ih
                carry = delta @ w_hh
            dh0[index] = carry
            suffix = f"_l{layer}_reverse" if direction else f"_l{layer}"
            values = {"weight_ih": d_ih, "weight_hh": d_hh, "bias_ih": d_bias, "bias_hh": d_bias}
            gradients |= {name + suffix: value for name, value in values.items()}
        dlayer = dx
    named = {f"d {name}": gradients[name] for name in weights}
    return {**results, "d x": dlayer, "d h0": dh0, **named}


def order(steps: int, direction: int) -> list[int]:
    return list(range(steps))[:: -1 if direction else 1]


def integer_weights(weights: Arrays, layer: int, direction: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    suffix = f"_l{layer}_reverse" if direction else f"_l{layer}"
    return (
        weights["weight_ih" + suffix],
        weights["weight_hh" + suffix],
        weights["bias_ih" + suffix] + weights["bias_hh" + suffix],
    )


@every_dtype
@every_kind
def test_zero_weights_are_exact(kind: str, dtype: Any, isa: str) -> None:
    """sigmoid(0) is 1/2 and tanh(0) is 0, so a GRU's state halves and an LSTM's c does."""
    problem = Problem(kind, steps=6, batch=3, inputs=5, hidden=17)
    layer = problem.fused(dtype)
    layer.load_params({name: np.zeros_like(array) for name, array in layer.params.items()})
    state = problem.arguments(dtype)["state"]
    last = layer(problem.x(dtype), state)[1]
    halved = state_like(state, [part / 64 for part in parts(state)])
    if kind == "gru":
        check_same_bits("h_n", last, halved)
    elif problem.has_cell:
        check_same_bits("c_n", last[1], halved[1])
    else:
        assert not last.any()
