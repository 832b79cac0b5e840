"""The reference's gradients against central differences in float64, whole and truncated."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from problems import parts, state_like
from reference_problem import (
    DIFFERENCE_TOLERANCE,
    IN,
    KINDS,
    LENGTHS,
    ONE_OF_EACH,
    RESET,
    B,
    H,
    ReferenceProblem,
    T,
    build,
    close,
    close_gradients,
    differences,
)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_one_step_of_a_cell(kind: str) -> None:
    cell, rng = build(kind, IN, H).cell, np.random.default_rng(3)
    w = {"weight_hh": rng.normal(size=(cell.gates * H, cell.widths[0])), "bias_hh": rng.normal(size=cell.gates * H)}
    if kind == "lstm proj":
        w["weight_hr"] = rng.normal(size=(2, H))
    pre_x = rng.normal(size=(B, cell.gates * H))
    carry = tuple(rng.normal(size=(B, width)) for width in cell.widths)
    dcarry = tuple(rng.normal(size=(B, width)) for width in cell.widths)

    def loss() -> float:
        return sum(float((a * d).sum()) for a, d in zip(cell.forward(w, pre_x, carry)[0], dcarry, strict=True))

    step = cell.backward(w, cell.forward(w, pre_x, carry)[1], dcarry)
    close(step.pre_x, differences(loss, pre_x), "pre_x", DIFFERENCE_TOLERANCE)
    close(step.carry, tuple(differences(loss, a) for a in carry), "carry", DIFFERENCE_TOLERANCE)
    grads = {key: np.zeros_like(value) for key, value in w.items()}
    for product in step.products:
        grads[product.weight][product.rows] = product.delta.T @ product.operand
        if product.weight == "weight_hh":
            grads["bias_hh"][product.rows] = product.delta.sum(axis=0)
    for key, value in w.items():
        close(grads[key], differences(loss, value), key, DIFFERENCE_TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_a_layer(kind: str) -> None:
    ReferenceProblem(kind).check()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_gradients_of_a_deep_ragged_bidirectional_layer_with_resets_and_dropout(kind: str) -> None:
    ReferenceProblem(kind, LENGTHS, RESET, dropout=True, num_layers=2, bidirectional=True).check()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("option", ["lengths", "reset", "dropout", "reverse", "no bias"])
def test_gradients_with_one_option(kind: str, option: str) -> None:
    problem = {
        "lengths": lambda: ReferenceProblem(kind, lengths=LENGTHS),
        "reset": lambda: ReferenceProblem(kind, reset=RESET),
        "dropout": lambda: ReferenceProblem(kind, dropout=True, num_layers=2),
        "reverse": lambda: ReferenceProblem(kind, LENGTHS, RESET, reverse=True),
        "no bias": lambda: ReferenceProblem(kind, bias=False),
    }[option]()
    problem.check()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_gradients_left_out_are_zero(kind: str) -> None:
    p = ReferenceProblem(kind, num_layers=2)
    zero_dy = np.zeros_like(p.dy)
    zero_state = state_like(p.dstate, (np.zeros_like(a) for a in parts(p.dstate)))
    tape = p.record()[2]
    close_gradients(tape.backward(p.dy), tape.backward(p.dy, zero_state))
    close_gradients(tape.backward(dstate=p.dstate), tape.backward(zero_dy, p.dstate))
    if isinstance(p.dstate, tuple):
        close_gradients(tape.backward(p.dy, (None, p.dstate[1])), tape.backward(p.dy, (zero_state[0], p.dstate[1])))


def windows(steps: int, k: int) -> list[tuple[int, int]]:
    """[start, stop) of windows of k counted back from the end: the first may be short."""
    edges = [0, *range(steps % k or k, steps, k), steps] if steps else [0]
    return list(pairwise(edges))


def test_windows_are_counted_from_the_end() -> None:
    assert windows(5, 2) == [(0, 1), (1, 3), (3, 5)]
    assert windows(4, 2) == [(0, 2), (2, 4)]
    assert windows(2, 3) == [(0, 2)]
    assert windows(0, 3) == []


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6])
def test_truncation_is_separate_calls_with_a_detached_state(kind: str, k: int) -> None:
    p = ReferenceProblem(kind, reset=RESET, dropout=True, num_layers=2)
    got = p.backward(k)
    state, calls = p.state, []
    for start, stop in windows(T, k):
        masks = [m[start:stop] for m in p.masks]
        _, state, tape = p.layer.record(p.x[start:stop], state, None, RESET[start:stop], masks)
        calls.append((tape, p.dy[start:stop], p.dstate if stop == T else None))
    separate = [tape.backward(dy, dstate) for tape, dy, dstate in calls]
    close(got.x, np.concatenate([g.x for g in separate]))
    close(got.state, separate[0].state)
    for name, value in got.params.items():
        close(value, sum(g.params[name] for g in separate), name)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_truncated_gradients_by_differences(kind: str) -> None:
    """Windows run from states that are held fixed while everything else is varied."""
    p = ReferenceProblem(kind, num_layers=2)
    held, state = [], p.state
    for start, stop in windows(T, 2):
        held.append(state)
        state = p.layer(p.x[start:stop], state)[1]

    def loss() -> float:
        total = 0.0
        for (start, stop), initial in zip(windows(T, 2), held, strict=True):
            y, final = p.layer(p.x[start:stop], initial)
            total += float((y * p.dy[start:stop]).sum())
        return total + sum(float((a * b).sum()) for a, b in zip(parts(final), parts(p.dstate), strict=True))

    p.check(loss, truncate=2)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("options", [{"num_layers": 2}, {"reverse": True}, {"bidirectional": True, "num_layers": 2}])
def test_truncation_no_shorter_than_the_sequence_is_none_at_all_and_shorter_matters(kind: str, options: Any) -> None:
    p = ReferenceProblem(kind, LENGTHS, **options)
    full = p.backward()
    close_gradients(p.backward(T), full)
    close_gradients(p.backward(T + 3), full)
    assert np.abs(p.backward(T - 1).params["weight_hh_l0"] - full.params["weight_hh_l0"]).max() > 1e-6


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_truncated_reverse_layer_is_a_truncated_forward_layer_on_the_mirrored_row(kind: str, k: int) -> None:
    p, mirrored = ReferenceProblem(kind, LENGTHS, RESET, reverse=True), ReferenceProblem(kind, LENGTHS)
    mirrored.reset = np.zeros_like(RESET)
    for b, n in enumerate(LENGTHS):
        for a, source in ((mirrored.x, p.x), (mirrored.dy, p.dy)):
            a[:n, b] = source[:n, b][::-1]
        # A border before t is one after t when read the other way, and none lies at the row's two ends.
        mirrored.reset[1:n, b] = RESET[1:n, b][::-1]
    (y, final, tape), (my, mfinal, mtape) = p.record(), mirrored.record()
    close(final, mfinal)
    g, mg = tape.backward(p.dy, p.dstate, k), mtape.backward(mirrored.dy, mirrored.dstate, k)
    for b, n in enumerate(LENGTHS):
        close(y[:n, b], my[:n, b][::-1])
        close(g.x[:n, b], mg.x[:n, b][::-1])
    close(g.state, mg.state)
    for name in g.params:
        close(g.params[name], mg.params[name], name)
