"""Ten updates of every optimiser are torch.optim's, with its defaults and without; so are clipped gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from nn_cases import draw, every_dtype
from tolerances import check_same_numbers
from torch_there import tensor, torch

SHAPES = {"a": (3, 5), "b": (1,), "c": (40, 17), "d": (0, 4)}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.02}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.02}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.02, "momentum": 0.8}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "betas": (0.0, 0.0)}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3}),
]


@every_dtype
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_updates(name: str, options: dict[str, Any], dtype: Any, isa: str) -> None:
    ours = {key: draw(*shape, dtype=dtype, seed=k) for k, (key, shape) in enumerate(SHAPES.items())}
    theirs = {key: tensor(array.copy(), grad=True) for key, array in ours.items()}
    mine = getattr(fr.optim, name)(ours, **options)
    other = getattr(torch.optim, name)(theirs.values(), **options)
    for step in range(10):
        gradients = {key: draw(*shape, dtype=dtype, seed=99 + step) for key, shape in SHAPES.items()}
        mine.step(gradients)
        for key, gradient in gradients.items():
            theirs[key].grad = tensor(gradient)
        other.step()
        if step == 4:  # the rate may change on the way
            mine.lr = other.param_groups[0]["lr"] = mine.lr / 3
    assert mine.steps == 10
    for key in SHAPES:
        check_same_numbers(key, ours[key], theirs[key].detach().numpy())


def test_the_defaults_are_torchs() -> None:
    for name in ("SGD", "RMSprop", "Adam", "AdamW"):
        mine = getattr(fr.optim, name)({"a": np.zeros(1)})
        theirs = getattr(torch.optim, name)([torch.zeros(1)]).defaults
        for option in ("lr", "momentum", "dampening", "weight_decay", "nesterov", "alpha", "eps", "betas"):
            assert getattr(mine, option, None) == theirs.get(option), (name, option)


@every_dtype
@pytest.mark.parametrize("bound", [0.1, 3.0, 1e6])
def test_clipping(bound: float, dtype: Any, isa: str) -> None:
    drawn = {key: draw(*shape, dtype=dtype, seed=5) for key, shape in SHAPES.items()}
    for clip, theirs_clip in (
        (fr.optim.clip_grad_norm, torch.nn.utils.clip_grad_norm_),
        (fr.optim.clip_grad_value, torch.nn.utils.clip_grad_value_),
    ):
        ours = {key: array.copy() for key, array in drawn.items()}
        theirs = {key: tensor(array, grad=True) for key, array in drawn.items()}
        for key, array in drawn.items():
            theirs[key].grad = tensor(array)
        norm, expected = clip(ours, bound), theirs_clip(theirs.values(), bound)
        if norm is not None:
            check_same_numbers("norm", np.asarray(norm, dtype), expected.numpy())
        for key, array in ours.items():
            # torch divides by the norm and 1e-6
            np.testing.assert_allclose(array, theirs[key].grad.numpy(), rtol=2e-6, atol=0)


def test_schedules() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    for ours, theirs in (
        (fr.optim.step_decay(7, 0.3), torch.optim.lr_scheduler.StepLR(optimiser, 7, 0.3)),
        (fr.optim.cosine(30), torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 30)),
        (fr.optim.cosine(30, final=0.2), torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 30, 0.2)),
    ):
        optimiser.param_groups[0]["lr"] = 1.0
        for step in range(30):
            np.testing.assert_allclose(ours(step), theirs.get_last_lr()[0], rtol=1e-12, atol=1e-15)
            optimiser.step()
            theirs.step()
