"""Copies, pickles and other processes: a layer is good there, and an accelerated model needs no fusedrnn to load."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import pytest

import fusedrnn.torch as ours
from interpreter import python
from torch_layers import CELLS, INPUTS, KINDS, check_close, flat, pair
from torch_there import torch

pytestmark = pytest.mark.filterwarnings(
    "ignore:LSTM with projections is not supported with oneDNN",
    "ignore:This process .* is multi-threaded:DeprecationWarning",
)


def x_of(kind: str) -> Any:
    return torch.randn(3, INPUTS) if kind in CELLS else torch.randn(1, 3, INPUTS)


@pytest.mark.parametrize("kind", [*KINDS, *CELLS])
def test_copies_have_weights_of_their_own(kind: str) -> None:
    theirs, mine = pair(kind)
    x = x_of(kind)
    with torch.no_grad():
        mine(x)
        saved = io.BytesIO()
        torch.save(mine, saved)
        saved.seek(0)
        copies = [
            copy.deepcopy(mine),
            pickle.loads(pickle.dumps(mine)),
            torch.load(saved, weights_only=False),
        ]
        for other in copies:
            assert type(other) is type(mine)
            check_close(kind, flat(other(x)), flat(theirs(x)))
            other.weight_hh_l0 if hasattr(other, "weight_hh_l0") else other.weight_hh
            next(other.parameters()).zero_()
            check_close("the first stays", flat(mine(x)), flat(theirs(x)))
        shallow = copy.copy(mine)
        assert type(shallow) is type(mine)
        assert next(shallow.parameters()) is next(mine.parameters())


def test_a_copy_of_an_accelerated_layer_is_accelerated() -> None:
    layer = torch.nn.LSTM(3, 4)
    ours.accelerate(layer)
    for other in (copy.deepcopy(layer), copy.copy(layer)):
        assert type(other) is ours.LSTM
        ours.restore(other)
        assert type(other) is torch.nn.LSTM
    assert type(layer) is ours.LSTM


def test_a_class_derived_from_ours_keeps_what_it_has() -> None:
    layer = Derived(3, 4)
    layer.label = "mine"
    assert pickle.loads(pickle.dumps(layer)).label == "mine"
    assert type(copy.deepcopy(layer)) is Derived
    assert ours.restore(layer) == []


class Derived(ours.GRU):
    label = ""


LOAD = """
import sys
sys.modules["fusedrnn"] = None  # as if it were not installed
import torch
model = torch.load(sys.argv[1], weights_only=False)
assert [type(m).__module__ for m in model] == ["torch.nn.modules.rnn"] * 2, model
with torch.no_grad():
    print(model[0](torch.ones(2, 1, 3))[0].sum().item())
"""


def test_an_accelerated_model_loads_without_fusedrnn(tmp_path: Path) -> None:
    model = torch.nn.ModuleList([torch.nn.LSTM(3, 4), torch.nn.GRUCell(3, 4)])
    ours.accelerate(model)
    with torch.no_grad():
        model[0](torch.ones(1, 1, 3))
    torch.save(model, tmp_path / "model.pt")
    torch.save(model.state_dict(), tmp_path / "state.pt")
    result = python("-c", LOAD, str(tmp_path / "model.pt"))
    assert result.returncode == 0, result.stderr
    with torch.no_grad():
        assert float(result.stdout) == pytest.approx(model[0](torch.ones(2, 1, 3))[0].sum().item(), rel=1e-5)
    assert b"fusedrnn" not in pickle.dumps(model)
    assert set(torch.load(tmp_path / "state.pt")) == set(model.state_dict())


class Encoded(torch.utils.data.Dataset):  # type: ignore[misc]
    """A dataset whose items go through a layer, in the workers."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        with torch.no_grad():
            return self.layer(torch.full((2, 1, 3), float(index)))[0]


@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_workers_of_a_data_loader(way: str, accelerated: bool) -> None:
    layer: Any = ours.GRU(3, 4)
    if accelerated:
        ours.restore(layer)
        ours.accelerate(layer)
    data = Encoded(layer)
    expected = torch.stack([data[n] for n in range(4)])
    loader = torch.utils.data.DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context=way)
    check_close(way, [torch.cat(list(loader))], [expected])


def _double(layer: Any, done: Any) -> None:
    with torch.no_grad():
        layer(torch.ones(1, 1, 3))
        for parameter in layer.parameters():
            parameter.mul_(2)
    done.put(float(layer(torch.ones(1, 1, 3))[0].sum()))


def test_shared_memory() -> None:
    """Another process changes the weights, and this one notices."""
    theirs, layer = torch.nn.GRU(3, 4), ours.GRU(3, 4)
    layer.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        layer(torch.ones(1, 1, 3))
        layer.share_memory()
        context = torch.multiprocessing.get_context("spawn")
        done = context.Queue()
        process = context.Process(target=_double, args=(layer, done))
        process.start()
        there = done.get(timeout=120)
        process.join()
        for parameter in theirs.parameters():
            parameter.mul_(2)
        expected = theirs(torch.ones(1, 1, 3))[0].sum().item()
        assert there == pytest.approx(expected, rel=1e-5)
        assert layer(torch.ones(1, 1, 3))[0].sum().item() == pytest.approx(expected, rel=1e-5)
