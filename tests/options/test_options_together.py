"""Options in any combination that a constructor takes: the composition of the reference, and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from composed import composed
from kinds import LAYERS
from small_layers import arrays_in, assert_close

T, B, I, H = 6, 3, 4, 5  # noqa: E741
STEP, TOLERANCE = 1e-6, 1e-5
"""The tolerance of test_options_gradients.py, of a sum over all arrays at once."""

BOUNDED = ("sigmoid", "tanh", "hard_sigmoid", "softsign", ("scaled_tanh", 0.9, 1.1))


@st.composite
def layers(draw: st.DrawFn) -> Any:
    """A layer with any options."""
    flag, share = st.booleans(), st.sampled_from((0.0, 0.0, 0.3))
    activation = st.sampled_from(BOUNDED)
    cell, depth, both = draw(st.sampled_from(list(LAYERS))), draw(st.integers(1, 3)), draw(flag)
    options: dict[str, Any] = {"num_layers": depth, "bidirectional": both, "bias": draw(flag)}
    options |= {name: draw(share) for name in ("recurrent_dropout", "input_dropout", "weight_dropout", "zoneout")}
    options |= {"learned_state": draw(flag), "clip": draw(st.sampled_from((None, 0.9)))}
    options |= {"connection": draw(st.sampled_from((None, "residual", "highway")))}
    options |= {"dilation": draw(st.sampled_from((1, 1, 2, tuple(range(1, depth + 1)))))}
    options |= {"dropout": draw(share) if depth > 1 else 0.0}
    options |= {"merge": draw(st.sampled_from(("concat", "sum", "mul", "ave")))} if both else {"reverse": draw(flag)}
    if cell == "lstm":
        options |= {name: draw(flag) for name in ("peephole", "coupled", "layer_norm")}
        options |= {"proj_size": draw(st.sampled_from((0, 3))), "cell_clip": draw(st.sampled_from((None, 0.6)))}
    elif cell == "gru":
        options |= draw(st.sampled_from(({}, {"layer_norm": True}, {"reset_after": False}, {"minimal": True})))
    else:
        options["independent"] = draw(flag)
    if cell == "rnn":
        options["nonlinearity"] = draw(activation)
    elif draw(flag):
        options["activations"] = tuple(draw(activation) for _ in range(3 if cell == "lstm" else 2))
    layer = LAYERS[cell](I, H, dtype=np.float64, rng=draw(st.integers(0, 99)), **options)
    for name, array in layer.params.items():
        if name.startswith(("initial", "gain", "shift")):
            array += 0.2 * layer.rng.standard_normal(array.shape)
    return layer


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    found: dict[str, Any] = {"x": rng.standard_normal((T, B, I))}
    if draw(st.booleans()):
        found["reset"] = rng.random((T, B)) < 0.3
    if draw(st.booleans()):
        found["lengths"] = rng.integers(0, T + 1, B)
    return found


@given(layer=layers(), call=calls())
def test_a_call_is_the_composition(layer: Any, call: dict[str, Any]) -> None:
    y, state, each = layer(**call, return_layers=True)
    expected = composed(layer, **call)
    assert_close((y, state, each), (expected["y"], expected["state"], expected["layers"]))
    assert_close(layer(**call), (y, state))


@given(layer=layers(), call=calls(), masked=st.booleans(), seed=st.integers(0, 99))
def test_gradients_are_finite_differences(layer: Any, call: dict[str, Any], masked: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    if masked:
        call = {name: value for name, value in call.items() if name != "lengths"} | {"mask": rng.random((T, B)) < 0.6}
        call["held"] = "zero" if layer.connection and layer.merge != "concat" else "repeat"
    drawn = layer.rng.bit_generator.state

    def record() -> Any:
        layer.rng.bit_generator.state = drawn
        return layer.record(**call, return_layers=True)

    y, state, each, tape = record()
    weights = [rng.standard_normal(array.shape) for array in arrays_in(y, state, each)]
    dy, rest = weights[0], weights[1:]
    dstate = [rest.pop(0) for _ in arrays_in(state)]
    gradients = tape.backward(dy, tuple(dstate) if len(dstate) == 2 else dstate[0], dlayers=rest)
    arrays = [call["x"], *layer.params.values()]
    slopes = [gradients.x, *gradients.params.values()]
    directions = [rng.standard_normal(array.shape) for array in arrays]

    def loss(step: float) -> float:
        for array, direction in zip(arrays, directions, strict=True):
            array += step * direction
        results = arrays_in(*record()[:-1])
        for array, direction in zip(arrays, directions, strict=True):
            array -= step * direction
        return float(sum((array * weight).sum() for array, weight in zip(results, weights, strict=True)))

    got = sum(float((slope * direction).sum()) for slope, direction in zip(slopes, directions, strict=True))
    near, far = ((loss(step) - loss(-step)) / (2 * step) for step in (STEP, 2 * STEP))
    assume(abs(near - far) < TOLERANCE * (1 + abs(got)))  # no kink of a clip within the step
    assert abs(near - got) < TOLERANCE * (1 + abs(got))
