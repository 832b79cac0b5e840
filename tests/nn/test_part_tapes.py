"""A tape is good for one backward pass, of the call as it was, and an argument that is refused does not use it up."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from nn_cases import MODELS, PARTS, STEPS, WIDTH, arrays_of, check_same_bits, draw, like_state, nn, tokens

X = draw(STEPS, 4, WIDTH)


def tapes() -> dict[str, tuple[Any, Any]]:
    """Tapes, and the arguments of their backward pass."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, make in PARTS.items():
        y, tape = make(np.float64).record(X)
        found[f"part: {name}"] = tape, (draw(*y.shape),)
    for name, make in MODELS.items():
        y, _, tape = make(np.float64).record(X)
        found[f"model: {name}"] = tape, (draw(*y.shape),)
        found[f"loss of {name}"] = make(np.float64).record_loss(X, tokens(STEPS, 4))[2], ()
    y, tape = nn.Embedding(5, 2, dtype=np.float64).record(tokens(3, 4))
    found["embedding"] = tape, (draw(*y.shape),)
    return found


@pytest.mark.parametrize("name", tapes())
def test_used_once(name: str) -> None:
    tape, arguments = tapes()[name]
    tape.backward(*arguments)
    with pytest.raises(ValueError, match=r"^tape: expected one not used yet"):
        tape.backward(*arguments)


@pytest.mark.parametrize("name", [name for name in tapes() if not name.startswith("loss")])
def test_an_argument_refused_leaves_it_unused(name: str) -> None:
    (tape, (dy,)), (other, _) = tapes()[name], tapes()[name]
    for wrong, error in (
        (None, (TypeError, ValueError)),
        (dy.tolist(), TypeError),
        (dy.astype(np.float32), TypeError),
        (dy[..., :-1], ValueError),
        (np.concatenate([dy, dy], -1), ValueError),
        (dy[:-1], ValueError),
    ):
        with pytest.raises(error, match=r"^dy: "):
            tape.backward(wrong)
    check_same_bits(arrays_of(tape.backward(dy)), arrays_of(other.backward(dy)))


def test_no_copies() -> None:
    for name, (tape, _) in tapes().items():
        if name.startswith("part") or name == "embedding":
            for way in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError, match="cannot be copied or pickled"):
                    way(tape)


@pytest.mark.parametrize("name", [*MODELS, "part"])
def test_gradients_are_of_the_weights_at_the_call(name: str) -> None:
    """As a recurrent layer's: an update between `record` and `backward` does not reach the tape."""
    make = MODELS.get(name, PARTS["linear"])
    model = make(np.float64)
    dy = draw(*(model.record(X)[0]).shape)
    expected = arrays_of(model.record(X)[-1].backward(dy))
    tape = model.record(X)[-1]
    for array in model.params.values():
        array *= 1.5
    check_same_bits(arrays_of(tape.backward(dy)), expected)


@pytest.mark.parametrize("count", [5, 50])
@pytest.mark.parametrize("shape", [(3, 4), (12, 1)])
@pytest.mark.parametrize("change", ["tokens", "weights"])
@pytest.mark.parametrize("layer", [None, fr.GRU, fr.LSTM])
def test_gradients_are_of_the_tokens_and_their_vectors_at_the_call(
    layer: Any, change: str, shape: tuple[int, int], count: int
) -> None:
    """Whether or not the layer after an embedding takes the tokens themselves."""
    part = nn.Embedding(count, 2, dtype=np.float64, rng=0)
    model = part if layer is None else nn.Sequential(part, layer(2, 3, dtype=np.float64, rng=1))
    x = tokens(*shape)
    y, *_, tape = model.record(x)
    expected = model.record(x)[-1].backward(np.ones_like(y)).params
    if change == "tokens":
        x[...] = 4
    else:
        for array in model.params.values():
            array *= 1.5
    check_same_bits(tape.backward(np.ones_like(y)).params, expected)


@pytest.mark.parametrize("dstate", [(), (1, 2, 3), [1], "state"])
def test_states_of_another_structure_are_refused(dstate: Any) -> None:
    model = MODELS["lstm"](np.float64)
    y, state, tape = model.record(X)
    with pytest.raises(ValueError, match=r"^dstate: "):
        tape.backward(np.ones_like(y), dstate)
    with pytest.raises(ValueError, match=r"^truncate: "):
        tape.backward(np.ones_like(y), truncate=0)
    tape.backward(np.ones_like(y), like_state(state, 1))


def test_gradients_can_be_shown() -> None:
    tape, arguments = tapes()["embedding"]
    assert repr(tape.backward(*arguments)) == "Gradients(x: None, params: weight)"
    model = nn.Sequential(nn.Embedding(3, 2), fr.GRU(2, 3))
    assert "x: None" in repr(model.record_loss(tokens(3, 4), tokens(3, 4))[2].backward())
