"""`fit` is record_loss, backward, clipping and a step over and over, for as long as was asked."""

from __future__ import annotations

import copy
import threading
from functools import partial
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from small_runs import CLASSES, check_same_bits, make_batches, make_model, shuffled


def by_hand(model: Any, optimiser: Any, batches: list[Any], carry: bool, clip: float | None, rate: Any) -> list[float]:
    losses, state, peak = [], None, optimiser.lr
    for step, (x, targets) in enumerate(batches):
        value, after, tape = model.record_loss(x, targets, state=state)
        gradients = tape.backward()
        norm = fr.optim.grad_norm(gradients)
        optimiser.lr = peak * rate(step)
        optimiser.step(gradients, scale=1.0 if clip is None or norm <= clip else clip / norm)
        state = after if carry else None
        losses.append(value)
    return losses


@pytest.mark.parametrize("carry", [False, True])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_the_loop_by_hand(carry: bool, clip: float | None) -> None:
    ours, theirs = make_model(), make_model()
    rate = fr.optim.cosine(8)
    optimiser = fr.optim.Adam(ours.params, lr=0.02)
    history = fr.fit(
        ours, make_batches(6), optimiser, epochs=1, carry_state=carry, clip_norm=clip, schedule=rate, progress=False
    )
    other = fr.optim.Adam(theirs.params, lr=0.02)
    assert history.loss == by_hand(theirs, other, make_batches(6), carry, clip, rate)
    check_same_bits(dict(ours.params), dict(theirs.params))
    check_same_bits(optimiser.state(), other.state())
    assert (history.steps, history.epochs, history.stopped, history.best_step) == (6, 1, "done", None)
    assert history.seconds > 0


def test_epochs_and_steps() -> None:
    seen: list[int] = []

    def batches(epoch: int) -> Any:
        seen.append(epoch)
        return iter(shuffled(epoch))  # a generator is enough: it is asked for anew

    for asked, steps, epochs in (({"epochs": 3}, 12, 3), ({"steps": 10}, 10, 2), ({"steps": 2}, 2, 0)):
        seen.clear()
        model = make_model()
        history = fr.fit(model, batches, fr.optim.SGD(model.params), **asked)
        assert (history.steps, len(history.loss), history.epochs) == (steps, steps, epochs)
        assert seen == list(range(-(-steps // 4)))


def test_each_epoch_begins_from_zeros() -> None:
    """With carried states two epochs are two epochs of one."""
    ours, theirs = make_model(), make_model()
    a, b = fr.optim.SGD(ours.params, lr=0.1), fr.optim.SGD(theirs.params, lr=0.1)
    fr.fit(ours, make_batches(3), a, epochs=2, carry_state=True)
    for _ in range(2):
        fr.fit(theirs, make_batches(3), b, epochs=1, carry_state=True)
    check_same_bits(dict(ours.params), dict(theirs.params))


def test_batches_as_mappings_with_lengths_and_resets() -> None:
    (x, targets), lengths = make_batches(1)[0], np.array([7, 2, 4])
    reset = np.zeros(x.shape, bool)
    reset[3] = True
    losses = []
    for batch in (
        (x, targets, lengths),
        {"x": x, "targets": targets, "lengths": lengths, "reset": None},
        {"x": x, "targets": targets, "lengths": lengths, "reset": reset},
        (x, targets),
    ):
        model = make_model()
        losses.append(fr.fit(model, [batch], fr.optim.SGD(model.params), steps=1).loss[0])
        options = dict(zip(("x", "targets", "lengths"), batch, strict=False)) if isinstance(batch, tuple) else batch
        assert losses[-1] == make_model().record_loss(**options)[0]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def test_other_losses() -> None:
    model = fr.nn.Sequential(fr.GRU(2, 3, rng=0), fr.nn.Linear(3, 1, rng=1))
    x = np.random.default_rng(0).standard_normal((20, 4, 2)).astype(np.float32)
    targets = x.sum(-1, keepdims=True).astype(np.float64)
    for loss in (fr.nn.mse, partial(fr.nn.huber, delta=0.5), lambda y, t: fr.nn.mse(y, t)):
        history = fr.fit(model, [(x, targets)], fr.optim.Adam(model.params, lr=0.02), loss, steps=60)
        assert history.loss[-1] < history.loss[0]
    assert history.loss[-1] < 0.1


def test_a_residual_alone_is_a_model_too() -> None:
    ours, theirs = (fr.nn.Residual(fr.GRU(2, 2, rng=0)) for _ in range(2))
    x = np.random.default_rng(0).standard_normal((9, 4, 2)).astype(np.float32)
    history = fr.fit(ours, [(x, x[::-1].copy())], fr.optim.SGD(ours.params, lr=0.1), fr.nn.mse, steps=3)
    optimiser = fr.optim.SGD(theirs.params, lr=0.1)
    for loss in history.loss:
        y, _, tape = theirs.record(x)
        value, dy = fr.nn.mse(y, x[::-1])
        assert value == loss
        optimiser.step(tape.backward(dy))
    check_same_bits(dict(ours.params), dict(theirs.params))


def trained(values: list[float], **options: Any) -> tuple[Any, Any]:
    """A run of one weight that is each value in turn, validated by its distance from 0."""
    model = fr.nn.Sequential(fr.nn.Linear(1, 1, bias=False, dtype=np.float64))
    steps = np.diff([0.0, *values])
    model.params["0.weight"][...] = 0

    def loss(y: Any, step: Any) -> tuple[float, Any]:  # its gradient moves the weight by `step`
        return float(abs(y[0])), -np.asarray([step])

    batches = [(np.ones(1), np.asarray(step)) for step in steps]
    optimiser = fr.optim.SGD(model.params, lr=1.0)
    history = fr.fit(model, batches, optimiser, loss, validation=[(np.ones(1), np.zeros(()))], **options)
    return model.params["0.weight"].item(), history


def test_the_best_parameters_are_restored() -> None:
    weight, history = trained([5.0, 3.0, -1.0, 2.0, 4.0], epochs=1, validate_every=1)
    assert weight == -1
    assert history.validation == [(1, 5.0), (2, 3.0), (3, 1.0), (4, 2.0), (5, 4.0)]
    assert (history.best_step, history.stopped, history.steps) == (3, "done", 5)


def test_patience() -> None:
    values = [5.0, 3.0, 4.0, 2.0, 6.0, 6.0, 1.0]
    weight, history = trained(values, epochs=1, validate_every=1, patience=2)
    assert (weight, history.stopped, history.steps, history.best_step) == (2, "patience", 6, 4)
    weight, history = trained(values, epochs=1, validate_every=1, patience=3)
    assert (weight, history.stopped, history.steps) == (1, "done", 7)
    weight, history = trained([3.0, 4.0], epochs=9, patience=1)  # after each epoch; the second adds the same steps
    assert [step for step, _ in history.validation] == [2, 4]
    assert history.stopped == "patience"


def test_a_look_after_the_last_step_and_none_twice() -> None:
    _, history = trained([5.0, 3.0, 4.0], steps=2)
    assert [step for step, _ in history.validation] == [2]
    _, history = trained([5.0, 3.0], epochs=2)
    assert [step for step, _ in history.validation] == [2, 4]
    _, history = trained([5.0, 3.0], steps=4)
    assert [step for step, _ in history.validation] == [2, 4]


def test_validation_is_a_mean_over_targets() -> None:
    """Batches of any size count by their targets within lengths, and dropout does not act."""
    model = make_model()
    (x, targets), *_ = make_batches(1)
    lengths = np.array([1, 7, 3])
    batches = [(x, targets, lengths), (x[:2], targets[:2])]
    history = fr.fit(model, batches[1:], fr.optim.SGD(model.params, lr=0.0), steps=1, validation=batches)
    parts = [model.loss(x, targets, lengths=lengths)[0] * 11, model.loss(x[:2], targets[:2])[0] * 6]
    np.testing.assert_allclose(history.validation[0][1], sum(parts) / 17, rtol=1e-12)
    some = partial(fr.nn.cross_entropy, ignore=0)
    history = fr.fit(model, batches[1:], fr.optim.SGD(model.params, lr=0.0), some, steps=1, validation=batches)
    counts = [int(((np.arange(7)[:, None] < lengths) & (targets != 0)).sum()), np.count_nonzero(targets[:2])]
    parts = [model.loss(x, targets, some, lengths=lengths)[0], model.loss(x[:2], targets[:2], some)[0]]
    np.testing.assert_allclose(history.validation[0][1], np.average(parts, weights=counts), rtol=1e-12)
    pooled = fr.nn.Sequential(fr.nn.Embedding(CLASSES, 3), fr.nn.LastStep(), fr.nn.Linear(3, 2))
    batches = [(x, np.array([0, 1, 1]), lengths), (x[:, :1], np.array([1]))]
    history = fr.fit(pooled, batches, fr.optim.SGD(pooled.params, lr=0.0), steps=1, validation=batches)
    parts = [pooled.loss(x, batches[0][1], lengths=lengths)[0] * 3, pooled.loss(x[:, :1], batches[1][1])[0]]
    np.testing.assert_allclose(history.validation[0][1], sum(parts) / 4, rtol=1e-12)


def test_validation_carries_a_state_of_its_own() -> None:
    model = make_model()
    held_out = make_batches(2, seed=3)
    optimiser = fr.optim.SGD(model.params, lr=0.0)
    history = fr.fit(model, make_batches(1), optimiser, steps=1, validation=held_out, carry_state=True)
    first, state = model.loss(*held_out[0])
    second, _ = model.loss(*held_out[1], state=state)
    np.testing.assert_allclose(history.validation[0][1], (first + second) / 2, rtol=1e-12)


def test_the_metric_is_a_mean_over_targets() -> None:
    """It is called as a loss is, and each batch counts by the targets that the metric counts."""
    model = make_model()
    (x, targets), *_ = make_batches(1)
    lengths = np.array([1, 7, 3])
    batches = [(x, targets, lengths), (x[:2], targets[:2])]
    optimiser = fr.optim.SGD(model.params, lr=0.0)
    for metric in (fr.nn.accuracy, partial(fr.nn.accuracy, ignore=0)):
        history = fr.fit(model, batches[1:], optimiser, epochs=2, validation=batches, metric=metric)
        right = [model(x, lengths=lengths)[0].argmax(-1) == targets, model(x[:2])[0].argmax(-1) == targets[:2]]
        counts = [np.arange(7)[:, None] < lengths, np.ones((2, 3), bool)]
        if metric is not fr.nn.accuracy:
            counts = [counts[0] & (targets != 0), counts[1] & (targets[:2] != 0)]
        expected = np.concatenate([r[c] for r, c in zip(right, counts, strict=True)]).mean()
        assert [step for step, _ in history.metric] == [1, 2]
        np.testing.assert_allclose([value for _, value in history.metric], expected, rtol=1e-12)
    plain = fr.fit(model, batches[1:], optimiser, epochs=2, validation=batches)
    assert plain.metric == []
    np.testing.assert_allclose(plain.validation, history.validation, rtol=1e-6)
    pooled = fr.nn.Sequential(fr.nn.Embedding(CLASSES, 3), fr.nn.LastStep(), fr.nn.Linear(3, 1))
    optimiser, wanted = fr.optim.SGD(pooled.params, lr=0.0), np.zeros((3, 1))
    history = fr.fit(
        pooled, [(x, wanted, lengths)], optimiser, fr.nn.mse, steps=1, validation=[(x, wanted, lengths)],
        metric=lambda y, targets: float(np.abs(y - targets).max()),
    )  # fmt: skip
    assert history.metric == [(1, float(np.abs(pooled(x, lengths=lengths)[0]).max()))]


def test_the_metric_carries_the_state_of_the_validation() -> None:
    model, seen = make_model(), []
    held_out = make_batches(2, seed=3)

    def metric(y: Any, targets: Any) -> float:
        seen.append(y.copy())
        return 0.0

    optimiser = fr.optim.SGD(model.params, lr=0.0)
    fr.fit(model, make_batches(1), optimiser, steps=1, validation=held_out, carry_state=True, metric=metric)
    first, state = model(held_out[0][0])
    check_same_bits({"first": seen[0], "second": seen[1]}, {"first": first, "second": model(held_out[1][0], state)[0]})


def test_in_another_thread() -> None:
    model, other = make_model(), make_model()
    arguments = model, make_batches(2), fr.optim.SGD(model.params)
    run = threading.Thread(target=fr.fit, args=arguments, kwargs={"epochs": 1})
    run.start()
    run.join()
    fr.fit(other, make_batches(2), fr.optim.SGD(other.params), epochs=1)
    check_same_bits(dict(model.params), dict(other.params))


def test_the_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    model = make_model()
    fr.fit(model, make_batches(2), fr.optim.SGD(model.params), epochs=1)
    assert capsys.readouterr().err == "", "no terminal, no bar"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    for metric, name in ((fr.nn.accuracy, "accuracy"), (partial(fr.nn.accuracy, ignore=0), "accuracy"),
                         (lambda y, targets: 1.0, "metric")):  # fmt: skip
        fr.fit(
            model, make_batches(2), fr.optim.SGD(model.params), steps=3, validation=make_batches(1), validate_every=1,
            metric=metric,
        )  # fmt: skip
        shown = capsys.readouterr().err
        assert all(part in shown for part in ("loss ", "validation ", f"{name} ", "row-steps/s"))
    fr.fit(model, make_batches(2), fr.optim.SGD(model.params), steps=2, progress=False)
    assert capsys.readouterr().err == ""


def test_what_is_refused_by_name_changes_nothing(tmp_path: Any) -> None:
    model = make_model()
    optimiser = fr.optim.Adam(model.params)
    good: dict[str, Any] = {"model": model, "batches": make_batches(2), "optimiser": optimiser, "epochs": 1}
    held_out = make_batches(1)
    other, cell = fr.optim.Adam(make_model().params), fr.GRU(2, 3)
    cases: dict[str, list[Any]] = {
        "model": [None, cell, fr.nn.Linear(2, 3), model.params],
        "batches": [None, 3, [], lambda epoch: [], lambda epoch: None, iter(held_out), held_out[0], [3], [[1, 2]],
                    [(1,)], [(1, 2, 3, 4)], [{"x": 1}], [{"x": 1, "targets": 2, "length": 3}]],
        "optimiser": [None, "Adam", fr.optim.Adam, other],
        "loss": ["mse", 3],
        "epochs": [None, 0, -1, 1.5, True, "a"],
        "carry_state": [None, 1, "a"],
        "clip_norm": [0, -1, np.nan, np.inf, "a", True],
        "schedule": [0.5, "cosine"],
        "validation": [3, []],
        "metric": ["accuracy", 3, fr.nn.accuracy],
        "progress": [None, 1],
        "checkpoint": [3, b"a", ["a"]],
    }  # fmt: skip
    before = copy.deepcopy((dict(model.params), optimiser.state()))
    for name, values in cases.items():
        for value in values:
            with pytest.raises((ValueError, TypeError), match=rf"^{name}: "):
                fr.fit(**good | {name: value})
    for value in ("accuracy", 3):
        with pytest.raises(TypeError, match=r"^metric: "):
            fr.fit(**good | {"metric": value, "validation": held_out})
    needs = {"patience": "validation", "validate_every": "validation", "checkpoint_every": "checkpoint"}
    for name, needed in needs.items():
        given = {"validation": held_out, "checkpoint": tmp_path / "run.safetensors"}
        for value in (0, -1, 1.5, True, "a"):
            with pytest.raises((ValueError, TypeError), match=rf"^{name}: "):
                fr.fit(**good | {name: value, needed: given[needed]})
        with pytest.raises(ValueError, match=rf"^{name}: expected {needed} with it"):
            fr.fit(**good | {name: 2})
    for value in (0, -1, 1.5, True, "a"):
        with pytest.raises((ValueError, TypeError), match=r"^steps: "):
            fr.fit(**good | {"steps": value, "epochs": None})
    with pytest.raises(ValueError, match=r"^epochs: expected one of"):
        fr.fit(**good | {"steps": 3})
    with pytest.raises(ValueError, match=r"^lr: "):
        fr.fit(**good | {"schedule": lambda step: np.nan})
    check_same_bits(dict(model.params), before[0])
    check_same_bits(optimiser.state(), before[1])
    assert not list(tmp_path.iterdir())
