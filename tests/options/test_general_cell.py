"""The compiled general cell is the reference's, whatever its options, masks and states; the reference's without options
is the plain cells' reference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fusedrnn import _core, reference
from fusedrnn._activations import ACTIVATIONS
from fusedrnn.reference.staged import StagedLayer
from tolerances import FLOAT64

activations = st.sampled_from(list(ACTIVATIONS))
constants = st.sampled_from((0.5, 0.9, 1.2))


@st.composite
def choices(draw: st.DrawFn, count: int) -> tuple[tuple[str, float, float], ...]:
    return tuple((draw(activations), draw(constants), draw(constants)) for _ in range(count))


@st.composite
def cells(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A cell and its options."""
    cell = draw(st.sampled_from(("lstm", "gru", "rnn")))
    flag = st.booleans()
    options: dict[str, Any] = {"bias": draw(flag), "clip": draw(st.sampled_from((0.0, 0.8)))}
    options["activations"] = draw(choices({"lstm": 3, "gru": 2, "rnn": 1}[cell]))
    if cell == "lstm":
        options |= {"peephole": draw(flag), "coupled": draw(flag), "layer_norm": draw(flag)}
        options |= {"cell_clip": draw(st.sampled_from((0.0, 0.5))), "proj_size": draw(st.sampled_from((0, 3)))}
    elif cell == "gru":
        options |= draw(st.sampled_from(({}, {"layer_norm": True}, {"reset_after": False}, {"minimal": True})))
    else:
        options["independent"] = draw(flag)
    return cell, options


class Call:
    """The arguments of a call of one direction, and what flows back."""

    def __init__(self, cell: str, options: dict[str, Any], draw: Any) -> None:
        self.cell, self.options = cell, options
        self.steps, self.rows = draw(st.integers(0, 7)), draw(st.integers(0, 20))
        self.hidden, self.inputs = draw(st.integers(4, 20)), draw(st.integers(1, 20))
        self.rng = np.random.default_rng(draw(st.integers(0, 999)))
        layer = StagedLayer(cell, self.inputs, self.hidden, dtype="float64", **options)
        self.params = {
            name: self.normal(*shape) * (0.5 if len(shape) == 1 else shape[-1] ** -0.5)
            for name, shape in layer.param_shapes
        }
        self.widths = (layer.output_size, self.hidden) if cell == "lstm" else (layer.output_size,)
        self.call: dict[str, Any] = {"x": self.normal(self.steps, self.rows, self.inputs)}
        for names in (("h0", "c0"), ("initial_h", "initial_c")):
            if draw(st.booleans()):
                lead = (self.rows,) if names[0] == "h0" else ()
                self.call |= {name: self.normal(*lead, width) for name, width in zip(names, self.widths, strict=False)}
        if draw(st.booleans()):
            self.call["lengths"] = self.rng.integers(0, self.steps + 1, self.rows)
        if draw(st.booleans()):
            self.call["reset"] = self.rng.random((self.steps, self.rows)) < 0.3
        if draw(st.booleans()):
            self.call["h_mask"] = (self.rng.random((self.rows, self.widths[0])) < 0.7) / 0.7
        self.call["reverse"] = draw(st.booleans())
        zoneout = draw(st.sampled_from(("none", "number", "array")))
        for name, width in zip(("zoneout_h", "zoneout_c"), self.widths, strict=False):
            if zoneout == "array":
                self.call[name] = (self.rng.random((self.steps, self.rows, width)) < 0.3).astype(float)
            elif zoneout == "number":
                self.call[name] = 0.3
        self.dy = self.normal(self.steps, self.rows, self.widths[0])
        self.dstate = [self.normal(self.rows, width) for width in self.widths]
        self.truncate = draw(st.sampled_from((0, 1, 3)))

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape)

    def run(self, make: Any) -> dict[str, np.ndarray]:
        """All results by name."""
        layer = make(self.cell, self.inputs, self.hidden, dtype="float64", **self.options)
        assert [name for name, _ in layer.param_shapes] == list(self.params)
        y, h, c, all_c, tape = layer.forward(self.params, **self.call, keep=True)
        dx, dh0, dc0, grads, dinitial_h, dinitial_c = tape.backward(self.dy, *self.dstate, truncate=self.truncate)
        named = {"y": y, "h": h, "c": c, "cells": all_c, "dx": dx, "dh0": dh0, "dc0": dc0}
        named |= {"d initial_h": dinitial_h, "d initial_c": dinitial_c}
        named |= {f"d {name}": grad for name, grad in zip(self.params, grads, strict=True)}
        return {name: array for name, array in named.items() if array is not None}


@given(made=cells(), data=st.data())
def test_the_compiled_cell_is_the_reference(made: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
    call = Call(*made, data.draw)
    with np.errstate(all="ignore"):  # unbounded gates may grow without end; and their errors with them
        exact = call.run(StagedLayer)
    largest = max(float(np.abs(a).max(initial=0.0)) for a in exact.values())
    assume(largest < 100)
    ours = call.run(_core.StagedLayer)
    assert list(ours) == list(exact)
    for name, array in exact.items():
        np.testing.assert_allclose(ours[name], array, rtol=0, atol=FLOAT64 * max(1.0, largest), err_msg=name)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "lstm proj", "gru", "gru before", "rnn"])
def test_without_options_it_is_the_plain_reference(cell: str, reverse: bool) -> None:
    steps, rows, inputs, hidden = 6, 4, 3, 5
    kind, _, variant = cell.partition(" ")
    own: dict[str, Any] = {"proj": {"proj_size": 2}, "before": {"reset_after": False}}.get(variant, {})
    plain = {"lstm": reference.LSTM, "gru": reference.GRU, "rnn": reference.RNN}[kind](
        inputs, hidden, dtype=np.float64, rng=0, reverse=reverse, **own
    )
    rng = np.random.default_rng(1)
    x, lengths = rng.standard_normal((steps, rows, inputs)), np.array([6, 0, 2, 5])
    reset = rng.random((steps, rows)) < 0.3
    layer = StagedLayer(kind, inputs, hidden, **own)
    params = {name.removesuffix("_l0"): array for name, array in plain.params.items()}
    y, h, _, _, tape = layer.forward(params, x, lengths=lengths, reset=reset, reverse=reverse, keep=True)
    assert tape is not None
    wanted_y, state, wanted = plain.record(x, None, lengths, reset)
    first = state[0] if kind == "lstm" else state
    np.testing.assert_allclose(y, wanted_y, rtol=0, atol=1e-14)
    np.testing.assert_allclose(h, first[0], rtol=0, atol=1e-14)
    dy = rng.standard_normal(y.shape)
    dx, dh0, _, grads, *_ = tape.backward(dy, truncate=2)
    gradients = wanted.backward(dy, None, 2)
    wanted_dh0 = gradients.state[0] if kind == "lstm" else gradients.state
    np.testing.assert_allclose(dx, gradients.x, rtol=0, atol=1e-13)
    np.testing.assert_allclose(dh0, wanted_dh0[0], rtol=0, atol=1e-13)
    for found, name in zip(grads, plain.params, strict=True):
        np.testing.assert_allclose(found, gradients.params[name], rtol=0, atol=1e-13, err_msg=name)
