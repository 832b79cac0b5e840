"""The reference's lengths, resets, directions, stacks and layouts, each against a simpler call of the reference."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fusedrnn import reference
from problems import parts, state_like
from reference_problem import (
    IN,
    KINDS,
    LENGTHS,
    ONE_OF_EACH,
    RESET,
    SAME,
    B,
    H,
    ReferenceProblem,
    T,
    build,
    close,
    close_gradients,
    random_state,
    rows,
)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("options", [{"num_layers": 2}, {"reverse": True}, {"bidirectional": True, "num_layers": 2}])
@pytest.mark.parametrize("truncate", [None, 2, 3])
def test_lengths_are_rows_run_alone(kind: str, options: Any, truncate: int | None) -> None:
    p = ReferenceProblem(kind, LENGTHS, RESET, dropout=True, **options)
    valid = np.arange(T)[:, None] < LENGTHS
    p.x[~valid] = np.nan
    p.dy[~valid] = np.nan
    for mask in p.masks:
        mask[~valid] = np.nan
    with np.errstate(all="raise", under="ignore"):
        y, final, tape = p.record()
        g = tape.backward(p.dy, p.dstate, truncate)
    totals = {name: np.zeros_like(value) for name, value in g.params.items()}
    for b, n in enumerate(LENGTHS):
        one = slice(b, b + 1)
        masks = [m[:n, one] for m in p.masks]
        alone, last, row = p.layer.record(p.x[:n, one], rows(p.state, one), None, RESET[:n, one], masks)
        close(y[:n, one], alone)
        close(rows(final, one), last)
        h = row.backward(p.dy[:n, one], rows(p.dstate, one), truncate)
        close(g.x[:n, one], h.x)
        close(rows(g.state, one), h.state)
        for name in totals:
            totals[name] += h.params[name]
    for name in totals:
        close(g.params[name], totals[name], name)
    assert not y[~valid].any()
    assert not g.x[~valid].any()
    for initial, last, dlast, dinitial in zip(*map(parts, (p.state, final, p.dstate, g.state)), strict=True):
        np.testing.assert_array_equal(last[:, 2], initial[:, 2])  # the row of length 0
        np.testing.assert_array_equal(dinitial[:, 2], dlast[:, 2])


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_row_one_step_short_of_the_batch(kind: str) -> None:
    p = ReferenceProblem(kind, np.array([T, T - 1, T]))
    y, final, _ = p.record()
    alone, last = p.layer(p.x[:-1, 1:2], rows(p.state, slice(1, 2)))
    close(y[:-1, 1:2], alone)
    close(rows(final, slice(1, 2)), last)
    assert not y[-1, 1].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reset", [None, RESET])
def test_nothing_of_a_row_of_length_zero_reaches_the_parameters(kind: str, reset: Any) -> None:
    p = ReferenceProblem(kind, LENGTHS, reset)
    for part in parts(p.state):
        part[:, 2] = np.nan
    g = p.backward()
    assert all(np.isfinite(value).all() for value in g.params.values())


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_zero_whatever_the_weights_are(kind: str) -> None:
    p = ReferenceProblem(kind, LENGTHS)
    for value in p.layer.params.values():
        value[...] = np.nan
    y, _, tape = p.record()
    padding = np.arange(T)[:, None] >= LENGTHS
    assert not y[padding].any()
    assert np.isnan(y[~padding]).all()
    assert not tape.backward(p.dy).x[padding].any()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("reverse", [False, True])
def test_reset_is_episodes_run_alone(kind: str, reverse: bool) -> None:
    p = ReferenceProblem(kind, LENGTHS, RESET, num_layers=2, reverse=reverse)
    y, final, tape = p.record()
    g = tape.backward(p.dy, p.dstate)
    totals = {name: np.zeros_like(value) for name, value in g.params.items()}
    for b, n in enumerate(LENGTHS):
        if n == 0:
            continue
        one = slice(b, b + 1)
        # An episode begins at a mark in time, whichever way it is read.
        edges = sorted({0, n, *(t for t in range(n) if RESET[t, b])})
        episodes = list(pairwise(edges))
        first, last = (episodes[-1], episodes[0]) if reverse else (episodes[0], episodes[-1])
        starts_reset = bool(RESET[0, b]) and not reverse
        for start, stop in episodes:
            initial = rows(p.state, one) if (start, stop) == first and not starts_reset else None
            dlast = rows(p.dstate, one) if (start, stop) == last else None
            part, end, row = p.layer.record(p.x[start:stop, one], initial)
            close(y[start:stop, one], part)
            h = row.backward(p.dy[start:stop, one], dlast)
            close(g.x[start:stop, one], h.x)
            for name in totals:
                totals[name] += h.params[name]
            if (start, stop) == last:
                close(rows(final, one), end)
            if (start, stop) == first:
                zero = state_like(h.state, (np.zeros_like(a) for a in parts(h.state)))
                close(rows(g.state, one), zero if starts_reset else h.state)
    for name in totals:
        close(g.params[name], totals[name], name)


def test_a_reset_at_the_first_step_hides_even_a_state_of_nan() -> None:
    for kind in KINDS:
        p = ReferenceProblem(kind, reset=np.ones((T, B), bool))
        want = p.backward()
        p.state = state_like(p.state, (np.full_like(a, np.nan) for a in parts(p.state)))
        got = p.backward()
        close_gradients(got, want)
        assert not any(part.any() for part in parts(got.state))


def single(p: ReferenceProblem, depth: int, suffix: str, reverse: bool) -> Any:
    """One direction of one layer of the problem's stack as a layer of its own."""
    stems = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    found = {s: p.layer.params[f"{s}_l{depth}{suffix}"] for s in stems if f"{s}_l{depth}{suffix}" in p.layer.params}
    kind = "lstm proj" if "weight_hr" in found else {4: "lstm", 3: "gru"}[p.layer.sizes.gates]
    layer = build(kind, found["weight_ih"].shape[1], H, reverse=reverse)
    layer.load_params({f"{stem}_l0": value for stem, value in found.items()})
    return layer


@pytest.mark.parametrize("kind", ["lstm", "lstm proj", "gru"])
@pytest.mark.parametrize("truncate", [None, 2])
def test_a_deep_bidirectional_stack_is_its_single_layers(kind: str, truncate: int | None) -> None:
    p = ReferenceProblem(kind, LENGTHS, RESET, dropout=True, num_layers=2, bidirectional=True)
    y, final, tape = p.record()
    got = tape.backward(p.dy, p.dstate, truncate)
    stack = [[single(p, depth, suffix, bool(suffix)) for suffix in ("", "_reverse")] for depth in range(2)]
    x, tapes, finals = p.x, [], []
    for depth, pair in enumerate(stack):
        runs = [layer.record(x, state_at(p.state, 2 * depth + d), LENGTHS, RESET) for d, layer in enumerate(pair)]
        tapes.append([run[2] for run in runs])
        finals += [run[1] for run in runs]
        x = np.concatenate([run[0] for run in runs], axis=2)
        if depth == 0:
            x = x * p.masks[0]
    close(y, x)
    dy, width = p.dy, y.shape[2] // 2
    for index, want in enumerate(finals):
        close(state_at(final, index), want)
    for depth in (1, 0):
        gs = [
            tapes[depth][d].backward(
                dy[:, :, d * width : (d + 1) * width], state_at(p.dstate, 2 * depth + d), truncate
            )
            for d in range(2)
        ]
        for d, suffix in enumerate(("", "_reverse")):
            close(state_at(got.state, 2 * depth + d), gs[d].state)
            for name, value in gs[d].params.items():
                close(got.params[name.replace("_l0", f"_l{depth}{suffix}")], value, name)
        dy = gs[0].x + gs[1].x
        if depth == 1:
            dy = dy * p.masks[0]
    close(got.x, dy)


def state_at(state: Any, index: int) -> Any:
    return state_like(state, (a[index : index + 1] for a in parts(state)))


def test_dropout_masks_multiply_all_layers_but_the_last() -> None:
    p = ReferenceProblem("gru", num_layers=3)
    ones = [np.ones((T, B, H))] * 2
    p.masks = ones
    np.testing.assert_array_equal(p.record()[0], p.layer(p.x, p.state)[0])
    p.masks = [ones[0], np.zeros((T, B, H))]
    y, _, tape = p.record()
    last = build("gru", H, H)
    last.load_params({n.replace("_l2", "_l0"): v for n, v in p.layer.params.items() if "_l2" in n})
    np.testing.assert_array_equal(y, last(np.zeros((T, B, H)), p.state[2:])[0])
    assert not tape.backward(p.dy).x.any()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_batch_first_swaps_sequences_and_nothing_else(kind: str) -> None:
    options: dict[str, Any] = {"num_layers": 2, "bidirectional": True}
    p = ReferenceProblem(kind, LENGTHS, RESET, dropout=True, **options)
    y, final, tape = p.record()
    g = tape.backward(p.dy, p.dstate, 2)
    first = build(kind, IN, H, batch_first=True, **options)
    swapped_y, swapped_final, swapped_tape = first.record(p.x.swapaxes(0, 1), p.state, LENGTHS, RESET.T, p.masks)
    h = swapped_tape.backward(p.dy.swapaxes(0, 1), p.dstate, 2)
    close(swapped_y, y.swapaxes(0, 1))
    close(h.x, g.x.swapaxes(0, 1))
    close(swapped_final, final)
    close(h.state, g.state)
    for name in g.params:
        close(h.params[name], g.params[name])


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("batch_first", [False, True])
def test_input_without_a_batch(kind: str, batch_first: bool) -> None:
    p = ReferenceProblem(kind, dropout=True, num_layers=2, bidirectional=True)
    one = slice(0, 1)
    masks = [m[:, one] for m in p.masks]
    y, final, tape = p.layer.record(p.x[:, one], rows(p.state, one), LENGTHS[:1], RESET[:, one], masks)
    g = tape.backward(p.dy[:, one], rows(p.dstate, one))
    layer = build(kind, IN, H, num_layers=2, bidirectional=True, batch_first=batch_first)
    for lengths in (LENGTHS[:1], 3):
        y0, final0, tape0 = layer.record(p.x[:, 0], rows(p.state, 0), lengths, RESET[:, 0], [m[:, 0] for m in p.masks])
        g0 = tape0.backward(p.dy[:, 0], rows(p.dstate, 0))
        close(y0, y[:, 0])
        close(g0.x, g.x[:, 0])
        close(final0, rows(final, 0))
        close(g0.state, rows(g.state, 0))


@pytest.mark.parametrize("proj_size", [0, 2])
def test_cells_are_the_last_layers_c_of_every_step(proj_size: int) -> None:
    def make(**options: Any) -> Any:
        return reference.LSTM(IN, H, 2, bidirectional=True, proj_size=proj_size, rng=1, **options)

    layer, x = make(), np.random.default_rng(2).normal(size=(T, B, IN))
    _, final, every = layer(x, lengths=LENGTHS, return_cell=True)
    assert every.shape == (T, B, 2 * H)
    recorded = layer.record(x, lengths=LENGTHS, return_cell=True)
    assert len(recorded) == 4
    close(recorded[2], every)
    close(make(batch_first=True)(x.swapaxes(0, 1), lengths=LENGTHS, return_cell=True)[2], every.swapaxes(0, 1))
    full = layer(x, return_cell=True)[2]
    close(layer(x[:, 1], return_cell=True)[2], full[:, 1])
    close(every[:, 1], full[:, 1])
    assert not every[np.arange(T)[:, None] >= LENGTHS].any()
    for b, n in enumerate(LENGTHS):
        if n:
            np.testing.assert_array_equal(every[n - 1, b, :H], final[1][2, b])
            np.testing.assert_array_equal(every[0, b, H:], final[1][3, b])
    one = reference.LSTM(IN, H, rng=1)
    _, _, c = one(x, return_cell=True)
    for t in range(T):
        np.testing.assert_allclose(c[t], one(x[: t + 1])[1][1][0], rtol=SAME, atol=SAME)
    for other in (reference.GRU(IN, H), reference.RNN(IN, H)):
        with pytest.raises(ValueError, match="return_cell"):
            other(x, return_cell=True)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (4, 0), (0, 0)])
def test_no_steps_and_no_rows(kind: str, steps: int, batch: int) -> None:
    layer, rng = build(kind, IN, H, num_layers=2, bidirectional=True), np.random.default_rng(0)
    state = random_state(layer, batch, rng)
    y, final, tape = layer.record(
        np.zeros((steps, batch, IN)), state, np.zeros(batch, int), np.zeros((steps, batch), bool)
    )
    assert y.shape == (steps, batch, 2 * layer.sizes.output_size)
    close(final, state, tolerance=0)
    g = tape.backward(None, state, truncate=1)
    assert g.x.shape == (steps, batch, IN)
    close(g.state, state, tolerance=0)
    assert all(value.shape == layer.params[name].shape and not value.any() for name, value in g.params.items())
