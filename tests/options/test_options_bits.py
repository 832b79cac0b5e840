"""The promises about bits hold for every variant: of a row alone and in a batch, of chunks and one call, of threads and
instruction sets, of streams, and of a batch whose rows are in another order.

Sizes, lengths and borders are searched by hypothesis. What is drawn at random is none of a call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusedrnn as fr
from kinds import DTYPES, FUSED_MULTIPLY_ADD, two_instruction_sets
from problems import teams, use_isa
from small_layers import arrays_in, assert_same
from variants import I, is_dilated, is_random, make, option, require_engine, stepped, those, without_dilation

of_every_variant = those(lambda name: True)
in_a_few_examples = settings(max_examples=8)


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes of a call and the seed of its numbers."""
    return {
        "dtype": draw(st.sampled_from(DTYPES)),
        "hidden": draw(st.integers(5, 40)),
        "steps": draw(st.integers(0, 9)),
        "rows": draw(st.integers(1, 9)),
        "masked": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }


class Drawn:
    """A layer of a variant and the arguments of a call."""

    def __init__(self, variant: str, call: dict[str, Any]) -> None:
        self.layer = make(variant, call["dtype"], hidden_size=call["hidden"])
        require_engine(self.layer)
        self.steps, self.rows = call["steps"], call["rows"]
        self.rng = np.random.default_rng(call["seed"])
        self.x = self.normal(self.steps, self.rows, I)
        self.options: dict[str, Any] = {}
        if call["masked"]:
            self.options["lengths"] = self.rng.integers(0, self.steps + 1, self.rows)
            self.options["reset"] = self.rng.random((self.steps, self.rows)) < 0.3
        if not is_dilated(variant):
            drawn = [self.normal(*part.shape) for part in arrays_in(self.layer(self.x)[1])]
            self.options["state"] = tuple(drawn) if len(drawn) == 2 else drawn[0]

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(self.layer.dtype)

    def of_rows(self, rows: Any) -> dict[str, Any]:
        """The options of some rows."""
        found = dict(self.options)
        if "state" in found:
            parts = [part[:, rows] for part in arrays_in(found["state"])]
            found["state"] = tuple(parts) if len(parts) == 2 else parts[0]
        if "lengths" in found:
            found |= {"lengths": found["lengths"][rows], "reset": found["reset"][:, rows]}
        return found

    def gradients(self) -> list[np.ndarray]:
        """Of one recorded call, with gradients that are drawn."""
        *results, tape = self.layer.record(self.x, **self.options)
        rng = np.random.default_rng(8)
        dy, *dstate = (rng.standard_normal(a.shape).astype(a.dtype) for a in arrays_in(*results))
        return arrays_in(tape.backward(dy, tuple(dstate) if len(dstate) == 2 else dstate[0]))


@of_every_variant
@given(call=calls())
@in_a_few_examples
def test_a_row_alone_has_the_bits_that_it_has_in_a_batch(variant: str, call: dict[str, Any]) -> None:
    drawn = Drawn(variant, call)
    y, state = drawn.layer(drawn.x, **drawn.options)
    row = call["seed"] % drawn.rows
    one = slice(row, row + 1)
    alone_y, alone_state = drawn.layer(drawn.x[:, one], **drawn.of_rows(one))
    assert_same((alone_y, alone_state), (y[:, one], [part[:, one] for part in arrays_in(state)]))


@those(lambda name: not is_random(name))
@given(call=calls())
@in_a_few_examples
def test_the_gradients_of_a_row_do_not_depend_on_the_others(variant: str, call: dict[str, Any]) -> None:
    drawn = Drawn(variant, call)
    row = call["seed"] % drawn.rows
    one = slice(row, row + 1)
    dy = drawn.normal(drawn.steps, drawn.rows, drawn.layer._features)
    whole = drawn.layer.record(drawn.x, **drawn.options)[-1].backward(dy)
    alone = drawn.layer.record(drawn.x[:, one], **drawn.of_rows(one))[-1].backward(dy[:, one])
    assert_same((alone.x, alone.state), (whole.x[:, one], [part[:, one] for part in arrays_in(whole.state)]))


@stepped
@given(call=calls(), cut=st.integers(0, 9))
@in_a_few_examples
def test_chunks_and_streams_have_the_bits_of_one_call(variant: str, call: dict[str, Any], cut: int) -> None:
    drawn = Drawn(variant, call | {"masked": False})
    layer, x, state = drawn.layer, drawn.x, drawn.options["state"]
    cut = min(cut, drawn.steps)
    y, last = layer(x, state)
    first, between = layer(x[:cut], state)
    second, end = layer(x[cut:], between)
    assert_same((np.concatenate((first, second)), end), (y, last))
    stream = layer.stream(drawn.rows)
    begins, _ = layer(x)
    assert_same(stream.process(x[:cut]), begins[:cut])
    for t in range(cut, drawn.steps):
        assert_same(stream.step(x[t]), begins[t])


@of_every_variant
@given(call=calls())
@settings(max_examples=4)
def test_threads_do_not_change_the_bits(variant: str, call: dict[str, Any]) -> None:
    drawn = Drawn(variant, call)
    before = fr.get_num_threads()
    state = drawn.layer.rng.bit_generator.state
    found = []
    try:
        with teams("fixed"):
            for threads in (1, 2, 3):
                fr.set_num_threads(threads)
                drawn.layer.rng.bit_generator.state = state
                found.append((drawn.layer(drawn.x, **drawn.options), drawn.gradients()))
    finally:
        fr.set_num_threads(before)
    for other in found[1:]:
        assert_same(other, found[0])


@of_every_variant
@two_instruction_sets
@given(call=calls())
@settings(max_examples=4)
def test_instruction_sets_have_the_same_bits(variant: str, call: dict[str, Any]) -> None:
    drawn = Drawn(variant, call)
    state = drawn.layer.rng.bit_generator.state
    found = []
    for name in FUSED_MULTIPLY_ADD:
        with use_isa(name):
            drawn.layer.rng.bit_generator.state = state
            found.append((drawn.layer(drawn.x, **drawn.options), drawn.gradients()))
    for other in found[1:]:
        assert_same(other, found[0])


@without_dilation
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_reset_gives_what_episodes_alone_give(variant: str, dtype: Any) -> None:
    """Both directions begin anew at the border, from the learned state where there is one."""
    layer = make(variant, dtype)
    require_engine(layer)
    x = np.random.default_rng(0).standard_normal((8, 3, I)).astype(dtype)
    reset = np.zeros((8, 3), np.bool_)
    reset[3] = True
    y = layer(x, reset=reset)[0]
    assert_same(y, np.concatenate((layer(x[:3])[0], layer(x[3:])[0])))


@those(lambda name: option(name, "dilation", 1) != 1)
def test_a_dilated_row_of_one_episode_after_the_other(variant: str) -> None:
    """The chains of an episode begin with it, wherever it lies."""
    layer = make(variant)
    require_engine(layer)
    x = np.random.default_rng(0).standard_normal((11, 2, I))
    reset = np.zeros((11, 2), np.bool_)
    reset[[0, 5]] = True
    y = layer(x, reset=reset)[0]
    assert_same(y, np.concatenate((layer(x[:5])[0], layer(x[5:])[0])))
