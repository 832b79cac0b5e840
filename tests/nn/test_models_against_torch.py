"""Whole models give what PyTorch's give, and load its state_dict as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from nn_cases import draw, every_dtype, nn, tokens
from tolerances import check_same_numbers
from torch_there import tensor, torch, torch_dtype


class Tagger(torch.nn.Module):
    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(
            [
                torch.nn.Embedding(13, 8, dtype=dtype),
                torch.nn.LSTM(8, 17, num_layers=2, bidirectional=True, dtype=dtype),
                torch.nn.Linear(34, 9, dtype=dtype),
                torch.nn.Tanh(),
                torch.nn.Linear(9, 5, dtype=dtype),
            ]
        )

    def forward(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


def ours(dtype: Any) -> Any:
    return nn.Sequential(
        nn.Embedding(13, 8, dtype=dtype),
        fr.LSTM(8, 17, num_layers=2, bidirectional=True, dtype=dtype),
        nn.Linear(34, 9, dtype=dtype),
        nn.Tanh(dtype=dtype),
        nn.Linear(9, 5, dtype=dtype),
    )


@every_dtype
def test_a_tagger(dtype: Any, isa: str) -> None:
    torch.manual_seed(0)
    theirs, model = Tagger(torch_dtype(dtype)), ours(dtype)
    model.load_params(theirs.parts.state_dict())
    assert list(model.params) == list(theirs.parts.state_dict())
    x, targets = tokens(11, 6, count=13), tokens(11, 6, count=5, seed=1)
    logits = theirs(tensor(x))
    check_same_numbers("y", model(x)[0], logits.detach().numpy())
    expected = torch.nn.functional.cross_entropy(logits.reshape(-1, 5), tensor(targets).reshape(-1))
    expected.backward()
    value, _, tape = model.record_loss(x, targets)
    check_same_numbers("loss", np.asarray(value, dtype), expected.detach().numpy())
    found = tape.backward()
    for name, param in theirs.parts.named_parameters():
        check_same_numbers(f"d {name}", found.params[name], param.grad.numpy())


@every_dtype
def test_training_goes_the_same_way(dtype: Any) -> None:
    """Twenty steps with Adam, clipping and a schedule: the same losses, within what the steps multiply errors by."""
    torch.manual_seed(0)
    theirs, model = Tagger(torch_dtype(dtype)), ours(dtype)
    model.load_params(theirs.parts.state_dict())
    rate = fr.optim.cosine(20)
    batches = [(tokens(11, 6, count=13, seed=k), tokens(11, 6, count=5, seed=k + 50)) for k in range(20)]
    optimiser = torch.optim.Adam(theirs.parameters(), lr=3e-3)
    expected = []
    for step, (x, targets) in enumerate(batches):
        optimiser.param_groups[0]["lr"] = 3e-3 * rate(step)
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(theirs(tensor(x)).reshape(-1, 5), tensor(targets).reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimiser.step()
        expected.append(loss.item())
    history = fr.fit(model, batches, fr.optim.Adam(model.params, lr=3e-3), epochs=1, clip_norm=0.5, schedule=rate)
    tolerance = 1e-4 if dtype is np.float32 else 1e-6  # torch adds 1e-6 to the norm that it divides by
    np.testing.assert_allclose(history.loss, expected, rtol=tolerance)
    for name, value in theirs.parts.state_dict().items():
        np.testing.assert_allclose(model.params[name], value.numpy(), atol=10 * tolerance)


@every_dtype
def test_a_tied_weight(dtype: Any) -> None:
    """Ten steps of a model whose output has the embedding's weight: torch's parameters, gradients and updates."""
    torch.manual_seed(0)
    parts = (torch.nn.Embedding(13, 8), torch.nn.GRU(8, 8), torch.nn.Linear(8, 13))
    theirs = torch.nn.ModuleList(parts).to(torch_dtype(dtype))
    theirs[2].weight = theirs[0].weight
    embedding = nn.Embedding(13, 8, dtype=dtype)
    model = nn.Sequential(embedding, fr.GRU(8, 8, dtype=dtype), nn.Linear(8, 13, tied_to=embedding, dtype=dtype))
    model.load_params(theirs.state_dict())  # it has the weight under both names
    assert list(model.params) == [name for name, _ in theirs.named_parameters()]
    optimiser = torch.optim.Adam(theirs.parameters(), lr=3e-3)
    batches = [(tokens(7, 5, count=13, seed=k), tokens(7, 5, count=13, seed=k + 50)) for k in range(10)]
    expected = []
    for x, targets in batches:
        optimiser.zero_grad()
        logits = theirs[2](theirs[1](theirs[0](tensor(x)))[0])
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 13), tensor(targets).reshape(-1))
        loss.backward()
        if not expected:
            found = model.record_loss(x, targets)[2].backward()
            for name, param in theirs.named_parameters():
                check_same_numbers(f"d {name}", found.params[name], param.grad.numpy())
        optimiser.step()
        expected.append(loss.item())
    history = fr.fit(model, batches, fr.optim.Adam(model.params, lr=3e-3), epochs=1)
    np.testing.assert_allclose(history.loss, expected, rtol=1e-4 if dtype is np.float32 else 1e-10)


@every_dtype
@pytest.mark.parametrize("join", ["add", "concat"])
def test_a_connection_round_a_layer(join: str, dtype: Any) -> None:
    theirs = torch.nn.GRU(6, 6, dtype=torch_dtype(dtype))
    part = nn.Residual(fr.GRU(6, 6, dtype=dtype), join=join)
    part.load_params({f"0.{name}": value for name, value in theirs.state_dict().items()})
    x = draw(7, 3, 6, dtype=dtype)
    given = tensor(x, grad=True)
    out, last = theirs(given)
    expected = given + out if join == "add" else torch.cat([given, out], -1)
    y, state, tape = part.record(x)
    check_same_numbers("y", y, expected.detach().numpy())
    check_same_numbers("h", state[0], last.detach().numpy())
    dy = draw(*y.shape, dtype=dtype, seed=1)
    expected.backward(tensor(dy))
    found = tape.backward(dy)
    check_same_numbers("d x", found.x, given.grad.numpy())
    for name, param in theirs.named_parameters():
        check_same_numbers(f"d {name}", found.params[f"0.{name}"], param.grad.numpy())
