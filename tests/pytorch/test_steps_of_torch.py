"""One step without gradients goes a way of its own: it gives the same, and notices every change of the weights."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import fusedrnn.torch as ours
from fusedrnn.torch import _call, _weights
from torch_layers import CELLS, INPUTS, KINDS, check_close, flat, pair, state_argument, states
from torch_there import torch

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
    pytest.mark.usefixtures("no_fallback"),
]


@pytest.fixture
def short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other way is an error."""
    monkeypatch.setattr(_call, "run", None)


@pytest.mark.usefixtures("short_way")
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_torch_nns(kind: str, rows: int, batch_first: bool) -> None:
    for bias in (True, False):
        theirs, mine = pair(kind, num_layers=2, batch_first=batch_first, bias=bias)
        sequence = torch.randn(4, *((rows, 1) if batch_first else (1, rows)), INPUTS)
        with torch.inference_mode():
            state: list[Any] = [None, None]
            for x in sequence:
                found = [m(x, s) for m, s in zip((mine, theirs), state, strict=True)]
                check_close(kind, flat(found[0]), flat(found[1]))
                state = [f[1] for f in found]
            given = states(mine, rows, torch.float32)
            check_close(
                "a state of others",
                flat(mine(x, state_argument(given))),
                flat(theirs(x, state_argument(given))),
            )


@pytest.mark.usefixtures("short_way")
@pytest.mark.parametrize("kind", CELLS)
def test_steps_of_cells_are_torch_nns(kind: str) -> None:
    for bias in (True, False):
        theirs, mine = pair(kind, bias=bias)
        with torch.no_grad():
            state: list[Any] = [None, None]
            for x in torch.randn(4, 3, INPUTS):
                state = [m(x, s) for m, s in zip((mine, theirs), state, strict=True)]
                check_close(kind, flat(state[0]), flat(state[1]))


def test_what_a_step_returned_may_be_changed() -> None:
    """y, h_n and c_n share no memory, and a state that was changed in place counts as it is."""
    theirs, mine = pair("LSTM")
    x = torch.randn(1, 1, INPUTS)
    with torch.inference_mode():
        found = []
        for module in (mine, theirs):
            y, (h, c) = module(x)
            y.zero_()
            h.mul_(2)
            c[0, 0, 0] = 3
            found.append(flat(module(x, (h, c))))
    check_close("changed", *found)
    with torch.no_grad():
        found = []
        for module in (mine, theirs):
            _, (h, c) = module(x)
            h.data, c.data = torch.ones_like(h), torch.ones_like(c)
            found.append(flat(module(x, (h, c))))
        check_close("other memory", *found)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "in place": lambda p: p.mul_(2),
    "one element": lambda p: p.view(-1)[-3].fill_(2.0),
    "data in place": lambda p: p.data.mul_(2),
    "data": lambda p: setattr(p, "data", p.data * 2),
    "copy_": lambda p: p.copy_(torch.ones_like(p)),
    "by NumPy": lambda p: p.detach().numpy().__imul__(2),
    "shared memory": lambda p: p.share_memory_().mul_(2),
}


@pytest.mark.parametrize("steps_before", [1, 3])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", [*KINDS, *CELLS])
def test_a_change_of_any_parameter_is_noticed(kind: str, change: str, steps_before: int) -> None:
    for number in range(4):
        theirs, mine = pair(kind, hidden=16)
        x = torch.randn(*(() if kind in CELLS else (1,)), 2, INPUTS)
        given = state_argument(states(mine, 2, torch.float32))
        with torch.no_grad():
            for _ in range(steps_before):
                mine(x, given)
            for module in (mine, theirs):
                CHANGES[change](list(module.parameters())[number])
            check_close(f"parameter {number}", flat(mine(x, given)), flat(theirs(x, given)))


def test_other_ways_of_new_weights() -> None:
    theirs, mine = pair("LSTM")
    other, _ = pair("LSTM")
    torch.nn.init.normal_(other.weight_hh_l0)
    x = torch.randn(1, 2, INPUTS)
    with torch.no_grad():
        mine(x)
        for module in (theirs, mine):
            module.load_state_dict(other.state_dict())
        check_close("load_state_dict", flat(mine(x)), flat(theirs(x)))
        for module in (theirs, mine):
            module.weight_hh_l0 = torch.nn.Parameter(torch.ones_like(module.weight_hh_l0))
        check_close("another parameter", flat(mine(x)), flat(theirs(x)))
        for module in (theirs, mine):
            module.double()
        check_close("double", flat(mine(x.double())), flat(theirs(x.double())))
        for module in (theirs, mine):
            module.weight_hh_l0.data = module.weight_ih_l0.data.new_ones(5, 20).t()
        check_close("a transposed matrix", flat(mine(x.double())), flat(theirs(x.double())))


def test_a_square_matrix_that_is_turned_where_it_lies() -> None:
    theirs, mine = pair("RNN tanh", inputs=5, hidden=5)
    with torch.no_grad():
        for steps in (1, 3):
            x = torch.randn(steps, 2, 5)
            mine(x)
            for module in (theirs, mine):
                module.weight_hh_l0.data = module.weight_hh_l0.data.t()
            state = torch.ones(1, 2, 5)
            check_close("turned", flat(mine(x, state)), flat(theirs(x, state)))


def test_a_change_that_no_count_and_no_sample_shows_is_noticed_soon() -> None:
    theirs, mine = pair("GRU", hidden=64)
    x = torch.ones(1, 1, INPUTS)
    with torch.no_grad():
        for module in (theirs, mine):
            module(x)
            module.weight_hh_l0.data[100, 33] = 50.0
        state = torch.ones(1, 1, 64)
        found = [mine(x, state) for _ in range(_weights.STEPS_BETWEEN_FINGERPRINTS + 1)][-1]
        check_close("soon", flat(found), flat(theirs(x, state)))


def test_several_threads_step_one_layer() -> None:
    layer = ours.LSTM(8, 32)
    inputs = torch.randn(4, 50, 1, 1, 8)

    def steps(sequence: Any) -> Any:
        state, found = None, []
        with torch.inference_mode():
            for x in sequence:
                y, state = layer(x, state)
                found.append(y)
        return torch.cat(found)

    expected = [steps(sequence) for sequence in inputs]
    found: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: steps(inputs[n])})) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        assert torch.equal(found[number], expected[number])


def test_a_step_has_the_bits_of_the_same_step_in_a_sequence() -> None:
    layer = ours.GRU(INPUTS, 33, num_layers=2)
    x = torch.randn(9, 2, INPUTS)
    with torch.inference_mode():
        y, state = layer(x)
        stepped, h = [], None
        for step in x:
            out, h = layer(step[None], h)
            stepped.append(out)
        assert torch.equal(torch.cat(stepped), y)
        assert torch.equal(h, state)
