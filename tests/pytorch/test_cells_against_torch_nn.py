"""The cells against torch.nn's: values and all gradients, batched and not, with and without a state."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from torch_layers import CELLS, INPUTS, check_close, check_pair, dtypes, flat, pair, state_argument, states
from torch_there import torch

pytestmark = pytest.mark.usefixtures("no_fallback")


@pytest.mark.parametrize("dtype", dtypes(), ids=str)
@pytest.mark.parametrize("kind", CELLS)
def test_values_and_gradients(kind: str, dtype: Any) -> None:
    for rows, bias, with_state in itertools.product((None, 1, 4), (True, False), (True, False)):
        theirs, mine = pair(kind, bias=bias, dtype=dtype)
        x = torch.randn((INPUTS,) if rows is None else (rows, INPUTS), dtype=dtype)
        inputs = [x, *(states(mine, rows, dtype) if with_state else [])]
        call = lambda module, x, *state: module(x, state_argument(state))  # noqa: E731
        check_pair(f"rows {rows}, bias {bias}, state {with_state}", theirs, mine, inputs, call)
        for context in (torch.no_grad, torch.inference_mode):
            with context():
                for _ in range(3):
                    check_close("inference", flat(call(mine, *inputs)), flat(call(theirs, *inputs)))


@pytest.mark.parametrize("kind", CELLS)
def test_a_loop_of_steps(kind: str) -> None:
    def call(module: Any, x: Any) -> Any:
        state = None
        for step in x:
            state = module(step, state)
        return state

    theirs, mine = pair(kind)
    check_pair("loop", theirs, mine, [torch.randn(6, 3, INPUTS)], call)
