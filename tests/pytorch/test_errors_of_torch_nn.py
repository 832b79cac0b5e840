"""What is wrong with a call is said in torch.nn's own words: the same error, the same message."""

from __future__ import annotations

from typing import Any

import pytest

from torch_layers import CELLS, INPUTS, KINDS, pair, state_argument, states
from torch_there import torch

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_gets_the_error_of_torch_nn(kind: str, grad: bool) -> None:
    theirs, mine = pair(kind)
    good = states(mine, 3, torch.float32)
    calls: list[tuple[Any, ...]] = [
        (torch.randn(1, 3, INPUTS + 1),),
        (torch.randn(2, 2, 3, INPUTS),),
        (torch.randn(1, 3, INPUTS, dtype=torch.float64),),
        (torch.randint(3, (1, 3, INPUTS)),),
        (torch.randn(1, 2, INPUTS), state_argument(good)),
        (torch.randn(1, INPUTS), state_argument(good)),
        (torch.randn(1, 3, INPUTS), state_argument([s[0] for s in good])),
    ]
    for arguments in calls:
        with torch.set_grad_enabled(grad):
            with pytest.raises((RuntimeError, ValueError)) as expected:
                theirs(*arguments)
            with pytest.raises(type(expected.value)) as found:
                mine(*arguments)
        assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_bad_input_of_a_cell_gets_the_error_of_torch_nn(kind: str, grad: bool) -> None:
    theirs, mine = pair(kind)
    good = states(mine, 3, torch.float32)
    for arguments in [
        (torch.randn(3, INPUTS + 1),),
        (torch.randn(1, 3, INPUTS),),
        (torch.randn(3, INPUTS, dtype=torch.float64),),
        (torch.randn(2, INPUTS), state_argument(good)),
    ]:
        with torch.set_grad_enabled(grad):
            with pytest.raises((RuntimeError, ValueError)) as expected:
                theirs(*arguments)
            with pytest.raises(type(expected.value)) as found:
                mine(*arguments)
        assert str(found.value) == str(expected.value)
