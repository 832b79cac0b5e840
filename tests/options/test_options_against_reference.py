"""Every variant is what the reference's single directions, put together, give; a single direction's gradients too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from composed import composed, single
from kinds import every_dtype
from small_layers import arrays_in, assert_close
from tolerances import check_all_float32
from variants import VARIANTS, I, every_variant, is_dilated, is_random, make, those

T, B = 9, 4


def problem(variant: str, dtype: Any = np.float64, masked: bool = True) -> tuple[Any, dict[str, Any]]:
    layer, rng = make(variant, dtype), np.random.default_rng(2)
    call: dict[str, Any] = {"x": rng.standard_normal((T, B, I)).astype(dtype)}
    if not is_dilated(variant):
        drawn = [rng.standard_normal(part.shape).astype(dtype) for part in arrays_in(layer(call["x"])[1])]
        call["state"] = tuple(drawn) if len(drawn) == 2 else drawn[0]
    if masked:
        call |= {"lengths": np.array([9, 0, 4, 7]), "reset": rng.random((T, B)) < 0.3}
    return layer, call


@every_variant
@pytest.mark.parametrize("masked", [False, True], ids=["full", "lengths and reset"])
@pytest.mark.parametrize("given", [False, True], ids=["first state", "state given"])
def test_a_call_is_the_composition(variant: str, masked: bool, given: bool) -> None:
    layer, call = problem(variant, masked=masked)
    if not given:
        call.pop("state", None)
    y, state, layers = layer(**call, return_layers=True)
    expected = composed(layer, **call)
    assert_close((y, state, layers), (expected["y"], expected["state"], expected["layers"]))
    assert_close(layer(**call), (y, state))
    if "cells" in expected:
        assert_close(layer(**call, return_cell=True)[2], expected["cells"])


@every_variant
def test_every_instruction_set_computes_it(variant: str, isa: str) -> None:
    layer, call = problem(variant)
    expected = composed(layer, **call)
    assert_close(layer(**call), (expected["y"], expected["state"]))


@every_variant
def test_float32_is_as_near_as_numpy(variant: str) -> None:
    layer, call = problem(variant, np.float32)
    exact_layer = make(variant, np.float64)
    exact_layer.load_params(layer.params)
    wide = {name: _widened(value) for name, value in call.items()}
    names = ["y", "state"]
    ours, exact, numpys = (
        {f"{name} {k}": array for name in names for k, array in enumerate(arrays_in(found[name]))}
        for found in (
            dict(zip(names, layer(**call), strict=True)),
            composed(exact_layer, **wide),
            composed(layer, **call),
        )
    )
    check_all_float32(ours, exact, numpys, I + 12, 4 * 12, layer.num_layers)


def _widened(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_widened, value))
    return value.astype(np.float64) if value.dtype == np.float32 else value


ONE_DIRECTION = those(
    lambda name: (
        not is_random(name)
        and not is_dilated(name)
        and not any(VARIANTS[name].get(option) for option in ("num_layers", "bidirectional", "learned_state"))
    )
)


@ONE_DIRECTION
@every_dtype
@pytest.mark.parametrize("truncate", [None, 3])
def test_gradients_of_one_direction_are_the_references(variant: str, dtype: Any, truncate: int | None) -> None:
    layer, call = problem(variant, dtype)
    cell, params = single(layer, 0, 0)
    state = [part[0] for part in arrays_in(call["state"])]
    y, *final, _, expected = cell.forward(
        params, call["x"], *state, lengths=call["lengths"], reset=call["reset"], reverse=layer.reverse, keep=True
    )
    rng = np.random.default_rng(4)
    dy, *dstate = (rng.standard_normal(a.shape).astype(dtype) for a in (y, *(a for a in final if a is not None)))
    dx, *dinitial, dparams, _, _ = expected.backward(dy, *dstate, truncate=truncate or 0)

    tape = layer.record(**call)[-1]
    dstate = [d[np.newaxis] for d in dstate]
    found = tape.backward(dy, tuple(dstate) if len(dstate) == 2 else dstate[0], truncate)
    ours = [found.x, *(d[0] for d in arrays_in(found.state)), *found.params.values()]
    theirs = [dx, *(d for d in dinitial if d is not None), *dparams]
    if dtype is np.float64:
        assert_close(ours, theirs)
        return
    for a, b in zip(ours, theirs, strict=True):  # both are float32: two ways to one number
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * float(np.abs(b).max(initial=1.0)))
