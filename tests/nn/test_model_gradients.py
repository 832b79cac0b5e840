"""Models' gradients (parameters, input, states) are the slopes of their outputs, by finite differences in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nn_cases import (
    LENGTHS,
    LOSSES,
    MODELS,
    POOLED_MODELS,
    ROWS,
    STEPS,
    TOKEN_MODELS,
    WIDTH,
    check_slopes,
    draw,
    leaves,
    like_state,
    targets_of,
    tokens,
)

RESETS = np.random.default_rng(4).random((STEPS, ROWS)) < 0.3


def check(model: Any, x: np.ndarray, state: Any, **options: Any) -> None:
    y, after, tape = model.record(x, state, **options)
    dy, dstate = draw(*y.shape, seed=5), like_state(after, 6)
    found = tape.backward(dy, dstate)

    def value() -> float:
        y, after = model(x, state, **options)
        of_state = sum((one * d).sum() for one, d in zip(leaves(after), leaves(dstate), strict=True))
        return float((y * dy).sum() + of_state)

    check_slopes("x", value, x, found.x)
    for k, (one, gradient) in enumerate(zip(leaves(state), leaves(found.state), strict=True)):
        check_slopes(f"state {k}", value, one, gradient)
    assert list(found.params) == list(model.params)
    for name, gradient in found.params.items():
        check_slopes(name, value, model.params[name], gradient)


def case(name: str, batch_first: bool) -> tuple[Any, np.ndarray, Any]:
    model = (MODELS | POOLED_MODELS)[name](np.float64)
    x = draw(STEPS, ROWS, WIDTH)
    state = like_state(model(x)[1], 3)
    if batch_first:
        set_batch_first(model)
        x = x.swapaxes(0, 1).copy()
    return model, x, state


def set_batch_first(model: Any) -> None:
    for part in getattr(model, "parts", ()) or (model.part,):
        if hasattr(part, "parts") or hasattr(part, "part"):
            set_batch_first(part)
        elif hasattr(part, "batch_first"):
            part.batch_first = True


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", [*MODELS, *POOLED_MODELS])
def test_slopes(name: str, batch_first: bool) -> None:
    check(*case(name, batch_first))


@pytest.mark.parametrize("name", [*MODELS, *POOLED_MODELS])
def test_slopes_with_lengths(name: str) -> None:
    model, x, state = case(name, False)
    y, _, tape = model.record(x, state, lengths=LENGTHS)
    if name in MODELS:  # what lies beyond is no output of a layer alone: Linear and the sums go over all steps
        weight = (np.arange(STEPS)[:, np.newaxis] < LENGTHS)[..., np.newaxis].astype(float)
    else:
        weight = np.ones(())
    dy = draw(*y.shape, seed=5) * weight
    found = tape.backward(dy)
    check_slopes("x", lambda: float((model(x, state, lengths=LENGTHS)[0] * dy).sum()), x, found.x)
    for key, gradient in found.params.items():
        check_slopes(
            key, lambda: float((model(x, state, lengths=LENGTHS)[0] * dy).sum()), model.params[key], gradient
        )


@pytest.mark.parametrize("name", ["lstm", "two kinds", "residual", "within"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_slopes_with_resets(name: str, batch_first: bool) -> None:
    model, x, state = case(name, batch_first)
    check(model, x, state, reset=RESETS.T if batch_first else RESETS)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", [*MODELS, *POOLED_MODELS])
def test_slopes_of_losses(name: str, loss: str) -> None:
    model, x, state = case(name, False)
    options = {"lengths": LENGTHS}
    targets = targets_of(loss, model(x, state, **options)[0].shape)
    value, _, tape = model.record_loss(x, targets, LOSSES[loss], state, **options)
    found = tape.backward()
    again = lambda: model.loss(x, targets, LOSSES[loss], state, **options)[0]  # noqa: E731
    np.testing.assert_allclose(value, again(), rtol=1e-12)
    check_slopes("x", again, x, found.x)
    for key, gradient in found.params.items():
        check_slopes(key, again, model.params[key], gradient)


def test_truncated_is_the_sum_of_short_flows() -> None:
    """With truncate = 1 no gradient of h flows on: it is that of every step alone, its state given."""
    model, x, state = case("lstm", False)
    y, _, tape = model.record(x, state)
    dy = draw(*y.shape, seed=5)
    found = tape.backward(dy, truncate=1)
    expected = {name: np.zeros_like(array) for name, array in model.params.items()}
    for t in range(STEPS):
        _, after, one = model.record(x[t : t + 1], state)
        for name, gradient in one.backward(dy[t : t + 1]).params.items():
            expected[name] += gradient
        state = after
    for name, gradient in found.params.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", MODELS)
def test_no_gradient_of_y_is_zeros(name: str) -> None:
    model, x, state = case(name, False)
    y, after, tape = model.record(x, state)
    if not leaves(after):
        with pytest.raises(ValueError, match=r"^dy: "):
            tape.backward()
        return
    dstate = like_state(after, 2)
    found = tape.backward(None, dstate)
    expected = model.record(x, state)[2].backward(np.zeros_like(y), dstate)
    for key in found.params:
        np.testing.assert_allclose(found.params[key], expected.params[key], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("options", [{}, {"lengths": LENGTHS}, {"reset": RESETS}], ids=["plain", "lengths", "reset"])
@pytest.mark.parametrize("count", [4, 40])
@pytest.mark.parametrize("name", TOKEN_MODELS)
def test_slopes_of_models_of_tokens(name: str, count: int, options: dict[str, Any]) -> None:
    if name == "both directions" and "reset" in options:
        options = {}
    model = TOKEN_MODELS[name](count)
    x, targets = tokens(STEPS, ROWS, count=count), tokens(STEPS, ROWS)
    found = model.record_loss(x, targets, **options)[2].backward()
    assert found.x is None
    assert list(found.params) == list(model.params)
    if name == "both directions":
        x[x == 1] = 0  # the padding's vector has no gradient
        found = model.record_loss(x, targets, **options)[2].backward()
    for key, gradient in found.params.items():
        check_slopes(key, lambda: model.loss(x, targets, **options)[0], model.params[key], gradient)
