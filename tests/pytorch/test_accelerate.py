"""`accelerate` swaps a model's recurrent layers in place, says what it did, and `restore` undoes it."""

from __future__ import annotations

from typing import Any

import pytest

import fusedrnn.torch as ours
from torch_layers import check_close, flat
from torch_there import torch

KINDS = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")


class OwnLSTM(torch.nn.LSTM):
    pass


class Tagger(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(11, 8)
        self.encoder = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh())
        self.lstm = torch.nn.LSTM(8, 16, 2, bidirectional=True, batch_first=True)
        self.gru = torch.nn.GRU(32, 8, batch_first=True)
        self.cell = torch.nn.GRUCell(8, 8)
        self.output = torch.nn.Linear(8, 3)

    def forward(self, tokens: Any) -> Any:
        y, _ = self.gru(self.lstm(self.encoder(self.embedding(tokens)))[0])
        return self.output(self.cell(y[:, -1]) + y[:, 0])


def train(model: Any, optimiser: Any, steps: int) -> list[float]:
    tokens = torch.arange(60).reshape(6, 10) % 11
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = model(tokens).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def test_layers_stay_the_same_objects_with_the_same_parameters() -> None:
    torch.manual_seed(0)
    model = Tagger()
    before = dict(model.named_modules()), dict(model.named_parameters()), repr(model)
    report = ours.accelerate(model)
    assert report.swapped == ["lstm", "gru", "cell"]
    assert report.left == report.waiting == {}
    assert type(model.lstm) is ours.LSTM
    assert type(model.cell) is ours.GRUCell
    for expected, found in zip(before[:2], (model.named_modules(), model.named_parameters()), strict=True):
        assert all(expected[name] is value for name, value in found)
    assert repr(model) == before[2]
    assert ours.restore(model) == ["lstm", "gru", "cell"]
    assert type(model.lstm) is torch.nn.LSTM
    assert not any(name in vars(model.lstm) for name in ("_bound", "_accelerated", "_told"))


def test_training_goes_on_with_the_same_optimiser() -> None:
    curves = []
    for swap in (False, True):
        torch.manual_seed(0)
        model = Tagger().double()
        optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
        losses = train(model, optimiser, 5)
        if swap:
            ours.accelerate(model)
        losses += train(model, optimiser, 5)
        ours.restore(model)
        curves.append(losses + train(model, optimiser, 5))
    assert curves[0] == pytest.approx(curves[1], rel=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_a_layer_may_be_the_model(name: str) -> None:
    layer = getattr(torch.nn, name)(3, 4)
    report = ours.accelerate(layer)
    assert report.swapped == [""]
    assert str(report) == "the model itself: on fusedrnn"
    assert type(layer) is getattr(ours, name)
    x = torch.randn(2, 3) if "Cell" in name else torch.randn(5, 2, 3)
    found = flat(layer(x))
    ours.restore(layer)
    check_close(name, found, flat(layer(x)))


def test_what_is_left_and_why() -> None:
    model = torch.nn.ModuleDict(
        {
            "own": OwnLSTM(3, 4),
            "replaced": torch.nn.GRU(3, 4),
            "low": torch.nn.GRU(3, 4, dtype=torch.bfloat16),
            "good": torch.nn.RNN(3, 4),
        }
    )
    model["replaced"].forward = lambda x: x
    report = ours.accelerate(model)
    assert report.swapped == ["low", "good"]
    assert list(report.waiting) == ["low"]
    assert report.left["own"].startswith("of a class of its own")
    assert report.left["replaced"] == "its forward was replaced"
    assert type(model["own"]) is OwnLSTM
    lines = str(report).splitlines()
    assert len(lines) == 4
    assert any("bfloat16" in line for line in lines)
    assert str(ours.accelerate(torch.nn.Linear(2, 2))) == "no recurrent layer"


@pytest.mark.filterwarnings("ignore:.*torch.jit.:DeprecationWarning", "ignore:.*is deprecated")
def test_torchscript_is_left() -> None:
    scripted = torch.jit.script(torch.nn.LSTM(3, 4))
    report = ours.accelerate(torch.nn.ModuleList([scripted]))
    assert "TorchScript" in report.left["0"]


def test_twice_is_once() -> None:
    model = Tagger()
    assert ours.accelerate(model) == ours.accelerate(model)


def test_hooks_stay() -> None:
    layer, seen = torch.nn.GRU(3, 4), []
    layer.register_forward_hook(lambda *_: seen.append(1))
    ours.accelerate(layer)
    with torch.inference_mode():
        layer(torch.randn(1, 1, 3))
    layer(torch.randn(5, 1, 3))
    assert seen == [1, 1]


def test_only_modules() -> None:
    for function in (ours.accelerate, ours.restore):
        with pytest.raises(TypeError, match=r"model: expected a torch\.nn\.Module, got int"):
            function(3)
