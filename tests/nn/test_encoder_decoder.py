"""An `EncoderDecoder` is its two models one after the other, the gradient of the state between them included."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from nn_cases import check_slopes, leaves, nn
from small_runs import check_same_bits

ROWS, READ, WRITTEN = 3, 6, 5
SOURCE_LENGTHS, LENGTHS = np.array([6, 0, 3]), np.array([2, 5, 1])
CELLS: dict[str, Callable[..., Any]] = {
    "gru": fr.GRU,
    "lstm": partial(fr.LSTM, num_layers=2, proj_size=3),
    "rnn": partial(fr.RNN, num_layers=2, dropout=0.3),
}


def make(name: str = "gru", dtype: Any = np.float32, seed: int = 0, batch_first: bool = False) -> Any:
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {"dtype": dtype, "rng": rng}
    cell = partial(CELLS[name], 4, 5, batch_first=batch_first, **options)
    return nn.EncoderDecoder(
        nn.Sequential(nn.Embedding(7, 4, **options), cell(), nn.Dropout(0.2, **options)),
        nn.Sequential(nn.Embedding(9, 4, **options), cell(), nn.Linear(3 if name == "lstm" else 5, 9, **options)),
    )


def batch(seed: int = 0, batch_first: bool = False) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    source, y = rng.integers(0, 7, (READ, ROWS)), rng.integers(0, 9, (WRITTEN + 1, ROWS))
    given, targets = y[:-1], y[1:]
    if batch_first:
        source, given, targets = source.T, given.T, targets.T
    return (source, given), targets, (SOURCE_LENGTHS, LENGTHS)


def by_hand(model: Any, x: Any, targets: Any, lengths: Any, loss: Any) -> tuple[float, dict[str, Any]]:
    _, state, read = model.encoder.record(x[0], lengths=lengths[0])
    value, _, written = model.decoder.record_loss(x[1], targets, loss, state, lengths=lengths[1])
    of_decoder = written.backward()
    of_encoder = read.backward(dstate=of_decoder.state)
    gradients = {f"encoder.{name}": array for name, array in of_encoder.params.items()}
    return value, gradients | {f"decoder.{name}": array for name, array in of_decoder.params.items()}


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [(None, None), (SOURCE_LENGTHS, None), (SOURCE_LENGTHS, LENGTHS)])
@pytest.mark.parametrize("name", CELLS)
def test_both_by_hand(name: str, lengths: Any, batch_first: bool) -> None:
    x, targets, _ = batch(batch_first=batch_first)
    model, other = make(name, batch_first=batch_first), make(name, batch_first=batch_first)
    for loss in (nn.cross_entropy, lambda y, t, **options: nn.cross_entropy(y, t, **options)):
        value, _, tape = model.record_loss(x, targets, loss, lengths=lengths)
        expected, gradients = by_hand(other, x, targets, lengths, loss)
        assert value == expected
        check_same_bits(tape.backward().params, gradients)
    state = other.encoder(x[0], lengths=lengths[0])[1]
    y, after = model(x, lengths=lengths)
    expected_y, expected_after = other.decoder(x[1], state, lengths=lengths[1])
    np.testing.assert_array_equal(y, expected_y)
    for one, wanted in zip(leaves(after), leaves(expected_after), strict=True):
        np.testing.assert_array_equal(one, wanted)
    assert model.loss(x, targets, lengths=lengths)[0] == other.decoder.loss(
        x[1], targets, state=state, lengths=lengths[1]
    )[0]  # fmt: skip


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_slopes(name: str) -> None:
    model, ((source, given), targets, lengths) = make(name, np.float64), batch()
    model.encoder[-1].p = 0.0
    tape = model.record_loss((source, given), targets, lengths=lengths)[2]
    found = tape.backward()
    assert found.x == (None, None)
    assert list(found.params) == list(model.params)
    for parameter, gradient in found.params.items():
        check_slopes(
            parameter, lambda: model.loss((source, given), targets, lengths=lengths)[0], model.params[parameter],
            gradient,
        )  # fmt: skip


def test_gradients_of_real_sequences_and_of_states() -> None:
    """x is a pair, and so is its gradient; a call's state is the encoder's before and the decoder's after."""
    rng = np.random.default_rng(0)
    model = nn.EncoderDecoder(
        nn.Sequential(nn.Residual(fr.GRU(3, 3, dtype=np.float64, rng=1))),
        nn.Sequential(nn.Residual(fr.GRU(3, 3, dtype=np.float64, rng=2), join="concat")),
    )
    source, given, h = (rng.standard_normal(shape) for shape in ((4, 2, 3), (5, 2, 3), (1, 2, 3)))
    y, after, tape = model.record((source, given), ((h,),))
    dy, dh = rng.standard_normal(y.shape), rng.standard_normal(h.shape)
    found = tape.backward(dy, ((dh,),))

    def value() -> float:
        y, ((h_n,),) = model((source, given), ((h,),))
        return float((y * dy).sum() + (h_n * dh).sum())

    check_slopes("source", value, source, found.x[0])
    check_slopes("given", value, given, found.x[1])
    check_slopes("h", value, h, found.state[0][0])
    assert after[0][0].shape == h.shape


def test_fit_is_the_loop_by_hand() -> None:
    model, other, batches = make(), make(), [batch(k) for k in range(4)]
    optimiser, theirs = fr.optim.Adam(model.params, lr=0.02), fr.optim.Adam(other.params, lr=0.02)
    history = fr.fit(
        model, batches, optimiser, epochs=2, validation=batches[:1], validate_every=8, metric=nn.accuracy,
        progress=False,
    )  # fmt: skip
    losses = []
    for x, targets, lengths in batches * 2:
        value, gradients = by_hand(other, x, targets, lengths, nn.cross_entropy)
        theirs.step(gradients)
        losses.append(value)
    assert history.loss == losses
    check_same_bits(dict(model.params), dict(other.params))
    (source, given), targets, lengths = batches[0]
    right = model((source, given), lengths=lengths)[0].argmax(-1) == targets
    assert history.metric == [(8, right[np.arange(WRITTEN)[:, None] < LENGTHS].mean())]


def test_fit_resumes_with_the_same_bits(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    path, batches = tmp_path / "run.safetensors", [batch(k) for k in range(3)]
    for seed, steps in ((0, 2), (5, 7)):
        model = make("rnn", seed=seed)
        fr.fit(model, batches, fr.optim.Adam(model.params), steps=steps, checkpoint=path)
    whole = make("rnn")
    fr.fit(whole, batches, fr.optim.Adam(whole.params), steps=7)
    check_same_bits(dict(model.params), dict(whole.params))


def test_fit_names_the_sequence_that_is_not_finite() -> None:
    model = nn.EncoderDecoder(nn.Sequential(fr.GRU(1, 2)), nn.Sequential(fr.GRU(1, 2)))
    for place, name in enumerate(("source", "given", "targets")):
        arrays = [np.zeros((3, 2, width), np.float32) for width in (1, 1, 2)]
        arrays[place][2, 1] = np.nan
        one = (arrays[0], arrays[1]), arrays[2]
        with pytest.raises(FloatingPointError, match=f"^step 1: {name}: "):
            fr.fit(model, [one], fr.optim.SGD(model.params), nn.mse, steps=1)
        lengths = tuple(np.array([3, 2]) if k == min(place, 1) else None for k in range(2))
        fr.fit(model, [(*one, lengths)], fr.optim.SGD(model.params), nn.mse, steps=1)


def test_copies_files_and_names(tmp_path: Path) -> None:
    model, x = make(), batch()[0]
    assert next(iter(model.params)) == "encoder.0.weight"
    assert list(model.params)[-1] == "decoder.2.bias"
    assert model.num_params == model.encoder.num_params + model.decoder.num_params
    assert f"{model.num_params:,} parameters" in repr(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other(x)[0], model(x)[0])
        assert other.params["decoder.0.weight"] is not model.params["decoder.0.weight"]
    pytest.importorskip("safetensors")
    model.save(tmp_path / "model.safetensors")
    other = make(seed=3)
    other.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(other(x)[0], model(x)[0])


def test_what_is_refused_by_name() -> None:
    model, (x, targets, lengths) = make(), batch()
    one = nn.Sequential(fr.GRU(4, 5))
    for arguments, error, name in (
        ((fr.GRU(4, 5), one), TypeError, "encoder"),
        ((one, model), TypeError, "decoder"),
        ((one, one), ValueError, "decoder"),
        ((one, nn.Sequential(fr.GRU(4, 6))), ValueError, "decoder"),
        ((one, nn.Sequential(fr.LSTM(4, 5))), ValueError, "decoder"),
        ((one, nn.Sequential(fr.GRU(4, 5), fr.GRU(5, 5))), ValueError, "decoder"),
        ((nn.Sequential(fr.GRU(4, 5, bidirectional=True)), nn.Sequential(fr.GRU(4, 5))), ValueError, "decoder"),
        ((nn.Sequential(nn.Linear(4, 5)), nn.Sequential(nn.Linear(4, 5))), ValueError, "decoder"),
        ((one, nn.Sequential(fr.GRU(4, 5, dtype=np.float64))), ValueError, "parts"),
        ((one, nn.Sequential(fr.GRU(4, 5, batch_first=True))), ValueError, "parts"),
    ):
        with pytest.raises(error, match=f"^{name}: "):
            nn.EncoderDecoder(*arguments)
    for call in (model, model.record, lambda *a, **o: model.record_loss(a[0], targets, **o)):
        for bad in (x[0], (x[0],), (*x, x[1]), None):
            with pytest.raises(ValueError, match=r"^x: expected a pair"):
                call(bad)
        for wrong in (lengths[0], (lengths[0],), 3):
            with pytest.raises(ValueError, match=r"^lengths: expected a pair"):
                call(x, lengths=wrong)
        with pytest.raises(ValueError, match=r"^reset: "):
            call(x, reset=np.zeros((READ, ROWS), bool))
    with pytest.raises(TypeError, match=r"^model: expected a Sequential"):
        fr.tbptt(model, [], k1=3)
