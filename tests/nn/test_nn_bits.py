"""The bits of parts, losses, models and updates do not depend on threads; those of the package's own not on vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn import _core
from nn_cases import arrays_of, check_same_bits, draw, every_dtype, nn, tokens

Results = dict[str, Any]
VECTOR_ISAS = [isa for isa in fr.available_isas() if isa != "scalar"]


def recorded(part: Any, x: np.ndarray) -> Results:
    y, tape = part.record(x)
    return {"y": y, **arrays_of(tape.backward(draw(*y.shape, dtype=y.dtype, seed=1)))}


def linear(dtype: Any) -> Results:
    x = draw(130, 67, dtype=dtype)
    part = nn.Linear(67, 95, dtype=dtype, rng=0)
    few = nn.Linear(67, 300, dtype=dtype, rng=0)
    return recorded(part, x) | {f"few {name}": array for name, array in recorded(few, x[:3]).items()}


def embedding(dtype: Any) -> Results:
    return recorded(nn.Embedding(23, 65, dtype=dtype, rng=0), tokens(50, 33, count=23))


def dropout(dtype: Any) -> Results:
    return recorded(nn.Dropout(0.3, dtype=dtype, rng=0), draw(99_999, dtype=dtype))


def cross_entropy(dtype: Any) -> Results:
    targets = tokens(300, count=97)
    targets[::7] = -1
    value, dy = nn.cross_entropy(draw(300, 97, dtype=dtype), targets, ignore=-1)
    return {"loss": value, "dy": dy}


def fused_cross_entropy(dtype: Any) -> Results:
    model = nn.Sequential(nn.Linear(33, 97, dtype=dtype, rng=0))
    value, _, tape = model.record_loss(draw(40, 30, 33, dtype=dtype), tokens(40, 30, count=97))
    return {"loss": value, **arrays_of(tape.backward())}


def model(dtype: Any) -> Results:
    model = nn.Sequential(
        nn.Embedding(31, 24, dtype=dtype, rng=0),
        nn.Residual(fr.LSTM(24, 24, dtype=dtype, rng=1)),
        nn.Dropout(0.2, dtype=dtype, rng=2),
        fr.GRU(24, 40, num_layers=2, dropout=0.3, bidirectional=True, dtype=dtype, rng=3),
        nn.Linear(80, 31, dtype=dtype, rng=4),
    )
    x, targets = tokens(20, 16, count=31), tokens(20, 16, count=31, seed=1)
    value, _, tape = model.record_loss(x, targets, lengths=np.arange(5, 21))
    return {"loss": value, **arrays_of(tape.backward())}


def folded(dtype: Any) -> Results:
    """A model whose layer takes the tokens of the embedding before it."""
    model = nn.Sequential(
        nn.Embedding(31, 24, dtype=dtype, rng=0),
        fr.LSTM(24, 40, bidirectional=True, dtype=dtype, rng=3),
        nn.Linear(80, 31, dtype=dtype, rng=4),
    )
    x, targets = tokens(20, 16, count=31), tokens(20, 16, count=31, seed=1)
    value, _, tape = model.record_loss(x, targets, lengths=np.arange(5, 21))
    return {"loss": value, **arrays_of(tape.backward())}


def updates(dtype: Any) -> Results:
    found: Results = {}
    for name in ("SGD", "RMSprop", "Adam", "AdamW"):
        params = {"a": draw(300, 250, dtype=dtype), "b": draw(7, dtype=dtype)}
        options = {"momentum": 0.9} if name == "SGD" else {}
        optimiser = getattr(fr.optim, name)(params, lr=0.01, weight_decay=0.1, **options)
        for step in range(3):
            optimiser.step({key: draw(*a.shape, dtype=dtype, seed=step) for key, a in params.items()}, scale=0.7)
        found |= {f"{name} {key}": array for key, array in (params | optimiser.state()).items()}
    return found


def clipping(dtype: Any) -> Results:
    gradients = {"a": draw(300, 250, dtype=dtype), "b": draw(7, dtype=dtype)}
    norm = fr.optim.clip_grad_norm(gradients, 1.0)
    return {"norm": norm, **gradients}


OWN: dict[str, Callable[[Any], Results]] = {
    function.__name__: function
    for function in (linear, embedding, dropout, cross_entropy, fused_cross_entropy, updates, clipping)
}


@pytest.fixture
def _teams() -> Iterator[None]:
    """As many threads as are asked for, whatever the machine has."""
    _core.set_team_mode("fixed")
    try:
        yield
    finally:
        _core.set_team_mode("adaptive")


@every_dtype
@pytest.mark.usefixtures("_teams")
@pytest.mark.parametrize("name", [*OWN, "model", "folded"])
def test_threads_change_no_bit(name: str, dtype: Any) -> None:
    function = (OWN | {"model": model, "folded": folded})[name]
    with fr.threads(1):
        alone = function(dtype)
    for count in (2, 4):
        with fr.threads(count):
            check_same_bits(function(dtype), alone)


@every_dtype
@pytest.mark.skipif(len(VECTOR_ISAS) < 2, reason="one instruction set with vectors")
@pytest.mark.parametrize("name", OWN)
def test_vector_instruction_sets_change_no_bit(name: str, dtype: Any) -> None:
    before = fr.isa()
    found = []
    for isa in VECTOR_ISAS:
        fr.use_isa(isa)
        found.append(OWN[name](dtype))
    fr.use_isa(before)
    for other in found[1:]:
        check_same_bits(other, found[0])


@every_dtype
def test_a_second_time_is_the_same(dtype: Any) -> None:
    check_same_bits(model(dtype), model(dtype))
