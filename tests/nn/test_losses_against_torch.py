"""Every loss and its gradient are PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nn_cases import draw, every_dtype, nn, tokens
from tolerances import check_same_numbers
from torch_there import tensor, torch

functional = torch.nn.functional


def check(ours: tuple[float, np.ndarray], y: np.ndarray, loss: Any) -> None:
    given = tensor(y, grad=True)
    expected = loss(given)
    expected.backward()
    check_same_numbers("loss", np.asarray(ours[0], y.dtype), expected.detach().numpy())
    check_same_numbers("d y", ours[1], given.grad.numpy())


@every_dtype
@pytest.mark.parametrize("shape", [(1, 1), (7, 2), (5, 4, 97), (3, 2, 2, 17), (40, 1000)], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore", [None, 1, -100])
def test_cross_entropy(shape: tuple[int, ...], weighted: bool, ignore: int | None, dtype: Any, isa: str) -> None:
    y, classes = 3 * draw(*shape, dtype=dtype), shape[-1]
    targets = tokens(*shape[:-1], count=classes)
    targets.flat[0] = 0  # one that counts
    if ignore == -100:
        targets.flat[targets.size // 2 :] = -100
        targets.flat[0] = 0
    weights = np.random.default_rng(1).random(classes).astype(dtype) if weighted else None
    given = None if weights is None else tensor(weights)
    options = {} if ignore is None else {"ignore_index": ignore}
    check(
        nn.cross_entropy(y, targets, ignore=ignore, class_weights=weights),
        y,
        lambda z: functional.cross_entropy(z.reshape(-1, classes), tensor(targets).reshape(-1), given, **options),
    )


@every_dtype
@pytest.mark.parametrize("ignore", [False, True])
def test_cross_entropy_with_a_weight_for_each_target(ignore: bool, dtype: Any, isa: str) -> None:
    """As torch users write it: the terms by themselves, times the weights, and the mean of that."""
    y, targets = 3 * draw(9, 5, 13, dtype=dtype), tokens(9, 5, count=13)
    weights = draw(9, 5, seed=4)
    counts = targets != (2 if ignore else -1)
    weights[~counts] = np.nan

    def loss(z: Any) -> Any:
        each = functional.cross_entropy(z.reshape(-1, 13), tensor(targets).reshape(-1), reduction="none")
        kept = tensor(counts).reshape(-1)
        return (each[kept] * tensor(weights.astype(dtype)).reshape(-1)[kept]).sum() / int(counts.sum())

    check(nn.cross_entropy(y, targets, ignore=2 if ignore else None, weights=weights), y, loss)


@every_dtype
@pytest.mark.parametrize("shape", [(), (1,), (5, 4, 3)], ids=str)
def test_binary_cross_entropy(shape: tuple[int, ...], dtype: Any, isa: str) -> None:
    y = np.asarray(8 * draw(*shape, dtype=dtype), dtype)
    targets = np.random.default_rng(1).random(shape).astype(dtype)
    check(
        nn.binary_cross_entropy(y, targets),
        y,
        lambda z: functional.binary_cross_entropy_with_logits(z, tensor(np.asarray(targets, dtype))),
    )
    hard = np.asarray(targets > 0.5)
    check(
        nn.binary_cross_entropy(y, hard),
        y,
        lambda z: functional.binary_cross_entropy_with_logits(z, tensor(hard.astype(dtype))),
    )


@every_dtype
@pytest.mark.parametrize("shape", [(), (1,), (5, 4, 3)], ids=str)
def test_mse_and_huber(shape: tuple[int, ...], dtype: Any) -> None:
    y, targets = (np.asarray(2 * draw(*shape, dtype=dtype, seed=seed), dtype) for seed in (0, 1))
    check(nn.mse(y, targets), y, lambda z: functional.mse_loss(z, tensor(targets)))
    for delta in (1.0, 0.3, 10):
        theirs = lambda z, delta=delta: functional.huber_loss(z, tensor(targets), delta=delta)  # noqa: E731
        check(nn.huber(y, targets, delta=delta), y, theirs)
