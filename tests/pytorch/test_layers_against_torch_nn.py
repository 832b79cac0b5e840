"""The layers against torch.nn's, in float32 and float64: values and all gradients, for every option and layout."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import fusedrnn.torch as ours
from torch_layers import INPUTS, KINDS, check_close, check_pair, dtypes, flat, pair, state_argument, states
from torch_there import torch

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
    pytest.mark.usefixtures("no_fallback"),
]

LAYOUTS = ("time first", "batch first", "unbatched", "packed", "packed, unsorted")
LENGTHS = {"packed": [6, 4, 4, 1], "packed, unsorted": [4, 1, 6, 4]}
STEPS, ROWS = 6, 4


def shape_of(layout: str) -> tuple[int, ...]:
    return {"unbatched": (STEPS, INPUTS), "batch first": (ROWS, STEPS, INPUTS)}.get(layout, (STEPS, ROWS, INPUTS))


def caller(layout: str) -> Any:
    def call(module: Any, x: Any, *state: Any) -> Any:
        if layout in LENGTHS:
            x = torch.nn.utils.rnn.pack_padded_sequence(x, LENGTHS[layout], enforce_sorted=layout == "packed")
        return module(x, state_argument(state))

    return call


@pytest.mark.parametrize("dtype", dtypes(), ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients(kind: str, layout: str, dtype: Any) -> None:
    for layers, both, bias, dropout, with_state in itertools.product(
        (1, 2), (False, True), (True, False), (0.0, 0.4), (False, True)
    ):
        if dropout and layers == 1:
            continue
        options = {"num_layers": layers, "bidirectional": both, "bias": bias, "dropout": dropout, "dtype": dtype}
        theirs, mine = pair(kind, **options, batch_first=layout == "batch first")
        rows = None if layout == "unbatched" else ROWS
        x = torch.randn(shape_of(layout), dtype=dtype)
        inputs = [x, *(states(mine, rows, dtype) if with_state else [])]
        # The numbers of dropout are those of torch.nn: it draws them in the same order from the same generator.
        check_pair(f"{options}, state {with_state}", theirs, mine, inputs, caller(layout), seed=3)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_inference(kind: str, layout: str) -> None:
    """In evaluation, under no_grad and inference_mode; y lies as theirs does, and belongs to the caller."""
    theirs, mine = pair(kind, num_layers=2, dropout=0.5, batch_first=layout == "batch first")
    theirs.eval(), mine.eval()
    x = torch.randn(shape_of(layout))
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            expected, found = flat(caller(layout)(theirs, x)), flat(caller(layout)(mine, x))
            check_close(layout, found, expected)
            assert all(a.is_contiguous() and not a.requires_grad for a in found)
            for part in found:
                part.add_(1)
            check_close(layout, flat(caller(layout)(mine, x)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_of_any_strides(kind: str) -> None:
    theirs, mine = pair(kind)
    wide = torch.randn(5, 3, 2 * INPUTS)
    for x in (wide[..., ::2], wide.transpose(0, 1)[:, :, :INPUTS], wide[:, :1, :INPUTS].expand(5, 3, INPUTS)):
        check_pair("strides", theirs, mine, [], lambda module, x=x: module(x))


@pytest.mark.parametrize("kind", KINDS)
def test_part_of_the_results_is_used(kind: str) -> None:
    theirs, mine = pair(kind)
    inputs = [torch.randn(5, 3, INPUTS), *states(mine, 3, torch.float32)]
    for chosen in range(len(inputs)):
        check_pair(
            f"result {chosen}",
            theirs,
            mine,
            inputs,
            lambda module, x, *state, n=chosen: flat(module(x, state_argument(state)))[n],
        )


# Beyond torch.nn


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_are_a_packed_sequence(kind: str, both: bool) -> None:
    theirs, mine = pair(kind, bidirectional=both, batch_first=True)
    lengths = [4, 1, 6, 3]

    def call(module: Any, x: Any) -> Any:
        if module is mine:
            return mine(x, lengths=torch.tensor(lengths))
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, state = theirs(packed)
        return torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True)[0], state

    check_pair("lengths", theirs, mine, [torch.randn(4, 6, INPUTS)], call)


@pytest.mark.parametrize("layout", LAYOUTS[:3])
@pytest.mark.parametrize("kind", KINDS)
def test_reset_begins_an_episode(kind: str, layout: str) -> None:
    """As a call for each episode, the state zero at the first step of the second."""
    theirs, mine = pair(kind, batch_first=layout == "batch first")
    time = 1 if layout == "batch first" else 0
    shape = shape_of(layout)
    reset = torch.zeros(shape[:-1], dtype=torch.bool)
    reset.select(time, 4).fill_(True)
    rows = None if layout == "unbatched" else ROWS

    def call(module: Any, x: Any, *state: Any) -> Any:
        if module is mine:
            return mine(x, state_argument(state), reset=reset)
        first, _ = theirs(x.narrow(time, 0, 4), state_argument(state))
        second, final = theirs(x.narrow(time, 4, 2))
        return torch.cat([first, second], time), final

    inputs = [torch.randn(shape), *states(mine, rows, torch.float32)]
    found = [call(m, *inputs) for m in (mine, theirs)]
    check_close("reset", flat(found[0]), flat(found[1]))
    check_pair("reset", theirs, mine, inputs, lambda module, x, *state: call(module, x, *state)[0])


def test_return_cell() -> None:
    mine = ours.LSTM(INPUTS, 5, 2, bidirectional=True)
    x = torch.randn(6, 4, INPUTS)
    y, (_, c), cells = mine(x, return_cell=True)
    assert cells.shape == (6, 4, 10)
    assert not cells.requires_grad
    torch.testing.assert_close(cells[-1, :, :5], c[2])
    torch.testing.assert_close(cells[0, :, 5:], c[3])
    y.sum().backward()
    lengths = [6, 2, 1, 4]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(mine(packed, return_cell=True)[2])
    torch.testing.assert_close(padded, mine(x, lengths=lengths, return_cell=True)[2])
    assert mine(x[:, 0], return_cell=True)[2].shape == (6, 10)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lengths": [1, 2]}, ValueError, r"lengths: expected shape \(4,\), got \(2,\)"),
        ({"lengths": [7, 1, 1, 1]}, ValueError, "lengths: expected"),
        ({"lengths": [1.0, 1.0, 1.0, 1.0]}, TypeError, "lengths: expected integers"),
        ({"lengths": torch.ones(4)}, TypeError, "lengths: expected integers, got dtype float32"),
        ({"reset": torch.zeros(6, 3, dtype=torch.bool)}, ValueError, r"reset: expected shape \(6, 4\), got \(6, 3\)"),
        ({"reset": torch.zeros(6, 4)}, TypeError, "reset: expected a bool tensor, got dtype float32"),
        ({"return_cell": 1}, TypeError, "return_cell: expected a bool"),
    ],
)
def test_what_is_beyond_torch_nn_is_checked(arguments: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        ours.LSTM(INPUTS, 5)(torch.randn(6, 4, INPUTS), **arguments)


def test_lengths_and_reset_where_they_mean_nothing() -> None:
    gru = ours.GRU(INPUTS, 5)
    with pytest.raises(ValueError, match="lengths: expected None with an unbatched input"):
        gru(torch.randn(6, INPUTS), lengths=[6])
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.randn(6, 2, INPUTS), [6, 3])
    with pytest.raises(ValueError, match="reset: expected None with a PackedSequence"):
        gru(packed, reset=torch.zeros(6, 2, dtype=torch.bool))
    with pytest.raises(TypeError, match="return_cell"):
        gru(torch.randn(6, 2, INPUTS), return_cell=True)


def test_constructor_repr_and_state_dict_are_those_of_torch_nn() -> None:
    theirs, mine = pair("LSTM", num_layers=2, bidirectional=True, dropout=0.1, batch_first=True)
    assert repr(mine) == repr(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert isinstance(mine, torch.nn.LSTM)
    assert ours.GRU(2, 3, device="cpu", dtype=torch.float64).weight_ih_l0.dtype == torch.float64
    with pytest.raises(ValueError, match="proj_size"):
        ours.LSTM(2, 3, proj_size=3)
