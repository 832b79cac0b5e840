"""Every part gives what its module in PyTorch gives, forward and backward, and draws its first weights as it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nn_cases import LENGTHS, ROWS, STEPS, WIDTH, draw, every_dtype, nn, tokens
from tolerances import check_same_numbers
from torch_there import tensor, torch, torch_dtype

MODULES: dict[str, tuple[Any, Any]] = {
    "linear": (lambda d: nn.Linear(WIDTH, 7, dtype=d), lambda d: torch.nn.Linear(WIDTH, 7, dtype=d)),
    "linear without bias": (
        lambda d: nn.Linear(WIDTH, 1, bias=False, dtype=d),
        lambda d: torch.nn.Linear(WIDTH, 1, bias=False, dtype=d),
    ),
    "tanh": (lambda d: nn.Tanh(dtype=d), lambda d: torch.nn.Tanh()),
    "sigmoid": (lambda d: nn.Sigmoid(dtype=d), lambda d: torch.nn.Sigmoid()),
    "relu": (lambda d: nn.ReLU(dtype=d), lambda d: torch.nn.ReLU()),
    "no dropout": (lambda d: nn.Dropout(0.0, dtype=d), lambda d: torch.nn.Dropout(0.0)),
    "all dropped": (lambda d: nn.Dropout(1.0, dtype=d), lambda d: torch.nn.Dropout(1.0)),
}


def check(ours: Any, theirs: Any, x: np.ndarray, dtype: Any) -> None:
    ours.load_params(theirs.state_dict())
    y, tape = ours.record(x)
    given = tensor(x, grad=x.dtype.kind == "f")
    expected = theirs(given)
    check_same_numbers("y", y, expected.detach().numpy())
    dy = draw(*y.shape, dtype=dtype, seed=3)
    expected.backward(tensor(dy))
    found = tape.backward(dy)
    if x.dtype.kind == "f":
        check_same_numbers("d x", found.x, given.grad.numpy())
    assert list(found.params) == [name for name, _ in theirs.named_parameters()]
    for name, param in theirs.named_parameters():
        check_same_numbers(f"d {name}", found.params[name], param.grad.numpy())


@every_dtype
@pytest.mark.parametrize("shape", [(), (1,), (STEPS, ROWS), (0, 4), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("name", MODULES)
def test_parts(name: str, shape: tuple[int, ...], dtype: Any, isa: str) -> None:
    ours, theirs = MODULES[name]
    check(ours(dtype), theirs(torch_dtype(dtype)), 2 * draw(*shape, WIDTH, dtype=dtype), dtype)


@every_dtype
@pytest.mark.parametrize("sizes", [(33, 1, 65), (257, 129, 97), (64, 512, 2), (1, 1, 1), (513, 100, 31)], ids=str)
def test_linears_of_many_sizes(sizes: tuple[int, int, int], dtype: Any, isa: str) -> None:
    rows, inputs, outputs = sizes
    theirs = torch.nn.Linear(inputs, outputs, dtype=torch_dtype(dtype))
    check(nn.Linear(inputs, outputs, dtype=dtype), theirs, draw(rows, inputs, dtype=dtype), dtype)


@every_dtype
@pytest.mark.parametrize("shape", [(), (7,), (STEPS, ROWS), (0, 3), (200, 30)], ids=str)
@pytest.mark.parametrize("padding", [None, 3])
def test_embeddings(padding: int | None, shape: tuple[int, ...], dtype: Any, isa: str) -> None:
    theirs = torch.nn.Embedding(11, 37, padding_idx=padding, dtype=torch_dtype(dtype))
    check(nn.Embedding(11, 37, padding, dtype=dtype), theirs, tokens(*shape, count=11), dtype)


@every_dtype
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all steps", "lengths"])
@pytest.mark.parametrize("kind", ["LastStep", "MeanPool", "MaxPool"])
def test_poolings(kind: str, lengths: Any, batch_first: bool, dtype: Any) -> None:
    part = getattr(nn, kind)(batch_first=batch_first, dtype=dtype)
    x = draw(*((ROWS, STEPS) if batch_first else (STEPS, ROWS)), WIDTH, dtype=dtype)
    y, tape = part.record(x, lengths=lengths)
    given = tensor(x, grad=True)
    rows = []
    for row, count in enumerate([STEPS] * ROWS if lengths is None else lengths):
        sequence = (given[row] if batch_first else given[:, row])[:count]
        if count == 0:
            rows.append(given.new_zeros(WIDTH))
        elif kind == "LastStep":
            rows.append(sequence[-1])
        else:
            rows.append(sequence.mean(0) if kind == "MeanPool" else sequence.max(0).values)
    expected = torch.stack(rows)
    check_same_numbers("y", y, expected.detach().numpy())
    dy = draw(ROWS, WIDTH, dtype=dtype, seed=3)
    expected.backward(tensor(dy))
    check_same_numbers("d x", tape.backward(dy).x, given.grad.numpy())


@pytest.mark.parametrize("name", ["Linear", "Embedding"])
def test_first_weights_are_drawn_alike(name: str) -> None:
    """Quantiles within what the number of samples allows: the distance of Kolmogorov and Smirnov."""
    ours = np.concatenate([a.ravel() for a in getattr(nn, name)(64, 300, rng=0).params.values()])
    torch.manual_seed(0)
    theirs = np.concatenate([p.detach().numpy().ravel() for p in getattr(torch.nn, name)(64, 300).parameters()])
    values = np.sort(np.concatenate([ours, theirs]))
    below = [np.searchsorted(np.sort(sample), values, side="right") / sample.size for sample in (ours, theirs)]
    assert np.abs(below[0] - below[1]).max() < 2.5 * np.sqrt(2 / ours.size)


def test_dropout_drops_a_share_like_torchs() -> None:
    x = np.ones(100_000, np.float32)
    for p in (0.1, 0.5, 0.9):
        y, _ = nn.Dropout(p, rng=0).record(x)
        dropped = np.mean(y == 0)
        assert abs(dropped - p) < 5 * np.sqrt(p * (1 - p) / x.size)
        kept = torch.nn.functional.dropout(torch.ones(100), p).numpy().max()
        assert y.max() == kept
        neighbours = np.mean((y[1:] == 0) & (y[:-1] == 0))
        assert abs(neighbours - p * p) < 0.01
