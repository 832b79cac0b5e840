"""`tbptt` gives the truncated gradient: of a window's last k1 steps, back through k2 steps, chunks cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusedrnn as fr
from small_runs import check_same_bits

STEPS, ROWS, CLASSES = 23, 3, 4
RNG = np.random.default_rng(0)
X, TARGETS = RNG.integers(0, CLASSES, (2, STEPS, ROWS))
RESETS = RNG.random((STEPS, ROWS)) < 0.15


def make(dtype: Any = np.float64, batch_first: bool = False) -> Any:
    return fr.nn.Sequential(
        fr.nn.Embedding(CLASSES, 3, dtype=dtype, rng=0),
        fr.LSTM(3, 5, batch_first=batch_first, dtype=dtype, rng=1),
        fr.nn.Residual(fr.GRU(5, 5, batch_first=batch_first, dtype=dtype, rng=2)),
        fr.nn.Linear(5, CLASSES, dtype=dtype, rng=3),
    )


def chunks(sizes: list[int], reset: bool, batch_first: bool = False) -> Iterator[tuple[np.ndarray, ...]]:
    """The sequence in pieces of these sizes, over and over."""
    at, k = 0, 0
    while at < STEPS:
        end = min(at + sizes[k % len(sizes)], STEPS)
        piece = (X[at:end], TARGETS[at:end], *((RESETS[at:end],) if reset else ()))
        yield tuple(one.T for one in piece) if batch_first else piece
        at, k = end, k + 1


def by_hand(model: Any, k1: int, k2: int, reset: bool) -> list[dict[str, np.ndarray]]:
    """One `record` of each window, its loss on the last k1 steps only; the parameters are then changed a little."""
    marks = RESETS if reset else np.zeros_like(RESETS)
    state, at, found = None, 0, []  # the state before step `at`
    for done in range(0, STEPS, k1):
        end = min(done + k1, STEPS)
        begin = done if k1 == k2 else max(end - k2, 0)
        if begin > at:  # with the parameters as they are now
            state, at = model(X[at:begin], state, reset=marks[at:begin])[1], begin
        y, after, tape = model.record(X[begin:end], state, reset=marks[begin:end])
        value, dy = fr.nn.cross_entropy(y[done - begin :], TARGETS[done:end])
        whole = np.zeros_like(y)
        whole[done - begin :] = dy
        gradients = tape.backward(whole).params
        found.append({"loss": np.asarray(value), **gradients})
        if k1 == k2:
            state, at = after, end
        for name, array in model.params.items():
            array -= 0.5 * gradients[name]
    return found


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (5, 5), (23, 23), (40, 40), (1, 4), (5, 6), (5, 10), (4, 11), (5, 40)])
def test_by_hand(k1: int, k2: int, reset: bool) -> None:
    model, other = make(), make()
    expected = by_hand(other, k1, k2, reset)
    at = 0
    for update, wanted in zip(fr.tbptt(model, chunks([7], reset), k1=k1, k2=k2), expected, strict=True):
        at = min(at + k1, STEPS)
        assert update.step == at
        np.testing.assert_allclose(update.loss, wanted["loss"], rtol=1e-12)
        assert list(update.gradients) == list(model.params)
        for name, gradient in update.gradients.items():
            scale = np.abs(wanted[name]).max()
            np.testing.assert_allclose(gradient, wanted[name], rtol=0, atol=1e-11 * scale + 1e-15)
        for name, array in model.params.items():
            array -= 0.5 * update.gradients[name]
    assert at == STEPS


@settings(max_examples=25)
@given(
    k1=st.integers(1, 30),
    more=st.integers(0, 12),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    reset=st.booleans(),
    batch_first=st.booleans(),
)
def test_chunks_may_be_cut_anywhere(k1: int, more: int, sizes: list[int], reset: bool, batch_first: bool) -> None:
    def run(sizes: list[int], batch_first: bool) -> list[dict[str, Any]]:
        model = make(batch_first=batch_first)
        optimiser = fr.optim.Adam(model.params, lr=0.01)
        found = []
        for update in fr.tbptt(model, chunks(sizes, reset, batch_first), k1=k1, k2=k1 + more):
            found.append({"loss": update.loss, "step": update.step, **update.gradients})
            optimiser.step(update.gradients)
        return found

    found, expected = run(sizes, batch_first), run([STEPS], False)
    for ours, theirs in zip(found, expected, strict=True):
        if batch_first:
            for name in ours:
                np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-12)
        else:
            check_same_bits(ours, theirs)


def test_full_reach_is_the_gradient_of_everything() -> None:
    """Without updates between, windows of all steps so far add up to the whole sequence's gradient."""
    model = make()
    whole = model.record_loss(X, TARGETS)[2].backward().params
    total = {name: np.zeros_like(array) for name, array in whole.items()}
    for update in fr.tbptt(model, [(X, TARGETS)], k1=4, k2=STEPS):
        count = (update.step - 1) % 4 + 1
        for name, gradient in update.gradients.items():
            total[name] += gradient * count / STEPS
    for name, gradient in whole.items():
        np.testing.assert_allclose(total[name], gradient, rtol=1e-10, atol=1e-15)


def test_states_go_on() -> None:
    """What is after the last window begins another run as if there had been no end."""
    one, two = make(), make()
    expected = [u.gradients for u in fr.tbptt(one, [(X[:20], TARGETS[:20])], k1=5)]
    first = list(fr.tbptt(two, [(X[:10], TARGETS[:10])], k1=5))
    second = list(fr.tbptt(two, [(X[10:20], TARGETS[10:20])], k1=5, state=first[-1].state))
    for ours, theirs in zip([*first, *second], expected, strict=True):
        check_same_bits(ours.gradients, theirs)


def test_reset_at_the_beginning_of_a_chunk_is_a_new_sequence() -> None:
    model = make()
    marks = np.zeros((5, ROWS), bool)
    marks[0] = True
    parts = [(X[:5], TARGETS[:5]), (X[5:10], TARGETS[5:10], marks)]
    second = list(fr.tbptt(model, parts, k1=5, k2=10))[1]
    alone = next(fr.tbptt(model, [(X[5:10], TARGETS[5:10])], k1=5))
    assert second.loss == alone.loss
    for name, gradient in alone.gradients.items():
        np.testing.assert_allclose(second.gradients[name], gradient, rtol=1e-12, atol=1e-15)


def test_other_losses_and_real_inputs() -> None:
    model = fr.nn.Sequential(fr.RNN(2, 4, rng=0), fr.nn.Linear(4, 2, rng=1))
    x, targets = np.random.default_rng(0).standard_normal((2, 12, 3, 2)).astype(np.float32)
    updates = list(fr.tbptt(model, [(x, targets)], fr.nn.mse, k1=4))
    assert updates[0].loss == model.record_loss(x[:4], targets[:4], fr.nn.mse)[0]


def test_nothing_to_read() -> None:
    assert list(fr.tbptt(make(), [], k1=3)) == []
    assert list(fr.tbptt(make(), [(X[:0], TARGETS[:0])], k1=3)) == []
    updates = list(fr.tbptt(make(), [(X[:0], TARGETS[:0]), (X[:2], TARGETS[:2])], k1=3))
    assert [update.step for update in updates] == [2]


def test_what_is_refused_by_name() -> None:
    model, good = make(), [(X, TARGETS)]
    for name, values in {
        "model": [None, fr.GRU(2, 3), fr.nn.Linear(2, 3)],
        "chunks": [None, 3, [3], [[X, TARGETS]], [(X,)], [(X, TARGETS, RESETS, X)]],
        "loss": ["mse", None],
        "k1": [0, -1, 1.5, None, "a", True],
        "k2": [0, 4, 5.5, "a", True],
        "state": [(), (1,), [1], "a"],
    }.items():
        for value in values:
            with pytest.raises((ValueError, TypeError), match=rf"^{name}: "):
                list(fr.tbptt(**{"model": model, "chunks": good, "k1": 5} | {name: value}))
    for name, chunk in {
        "x": [(X[:, 0], TARGETS), ([[1], [1, 2]], TARGETS), (X.astype(float), TARGETS), (X + 1, TARGETS)],
        "targets": [(X, TARGETS[1:]), (X, TARGETS[:, 0]), (X, "a"), (X, TARGETS + 1), (X, [[1], [1, 2]])],
        "reset": [(X, TARGETS, RESETS[1:]), (X, TARGETS, X), (X, TARGETS, "a")],
    }.items():
        for one in chunk:
            with pytest.raises((ValueError, TypeError), match=rf"^{name}: "):
                list(fr.tbptt(model, [one], k1=5))
    with pytest.raises(ValueError, match=r"^(x|state \(h\)): "):
        list(fr.tbptt(model, [(X, TARGETS), (X[:, 1:], TARGETS[:, 1:])], k1=5, k2=7))


@pytest.mark.parametrize(("k1", "k2"), [(4, 4), (3, 7), (5, 6)])
def test_dropout(k1: int, k2: int) -> None:
    """k1 = k2: one mask a step. k2 > k1: masks for each run, and none for the state before the window."""

    def model() -> Any:
        first = fr.nn.Embedding(CLASSES, 3, rng=0), fr.nn.Dropout(0.3, rng=1)
        return fr.nn.Sequential(*first, fr.LSTM(3, 5, 2, dropout=0.4, rng=2), fr.nn.Linear(5, CLASSES, rng=3))

    ours, theirs = model(), model()
    state, at, expected = None, 0, []
    for done in range(0, STEPS, k1):
        end = min(done + k1, STEPS)
        begin = done if k1 == k2 else max(end - k2, 0)
        if begin > at:
            state, at = theirs(X[at:begin], state)[1], begin
        before = theirs.record(X[begin:done], state) if begin < done else None
        middle = before[1] if before else state
        value, after, tape = theirs.record_loss(X[done:end], TARGETS[done:end], state=middle)
        found = tape.backward()
        gradients = dict(found.params)
        if before:
            for name, array in before[2].backward(None, found.state).params.items():
                gradients[name] = gradients[name] + array
        if k1 == k2:
            state, at = after, end
        expected.append({"loss": np.asarray(value), **gradients})
    for update, wanted in zip(fr.tbptt(ours, chunks([10], False), k1=k1, k2=k2), expected, strict=True):
        check_same_bits({"loss": np.asarray(update.loss), **update.gradients}, wanted)
