"""The reference, checked by itself: the one thing every other test leans on.

Forward values against the equations written out once more, one unit at a time in plain Python; gradients against
central differences in float64; lengths, resets, truncation, stacks and directions each against a simpler call.
"""

from __future__ import annotations

import ast
import math
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusedrnn import reference
from fusedrnn.reference import activations, cells

EPS = float(np.finfo(np.float64).eps)
# Central differences: truncation error ~ step^2 and rounding error ~ eps / step are equal, and least, at this step.
STEP = EPS ** (1 / 3)
DIFFERENCE_TOLERANCE = 100 * STEP**2  # third derivatives and losses here are of order 1 to 100
# The same sums in another order: a few hundred terms of order 1.
SAME = 1000 * EPS

KINDS: dict[str, Callable[..., Any]] = {
    "lstm": reference.LSTM,
    "lstm-proj": partial(reference.LSTM, proj_size=2),
    "gru": reference.GRU,
    "gru-before": partial(reference.GRU, reset_after=False),
    **{f"rnn-{name}": partial(reference.RNN, nonlinearity=name) for name in activations.ACTIVATIONS},
}
ONE_OF_EACH = ["lstm", "lstm-proj", "gru", "gru-before", "rnn-tanh"]

T, B, IN, H = 5, 3, 2, 3
LENGTHS = np.array([3, 5, 0])
RESET = np.zeros((T, B), bool)
RESET[2, 0] = RESET[0, 1] = RESET[3, 1] = RESET[4, 1] = RESET[4, 0] = True  # first step, last step, padding, mid


def build(kind: str, *args: int, **options: Any) -> Any:
    layer = KINDS[kind](*args, **options)
    generator = np.random.default_rng(5)
    for name, value in layer.params.items():  # larger than the initial values: gates leave their linear middle
        value[...] = generator.normal(scale=0.7, size=value.shape)
        assert layer.params[name] is value
    return layer


def parts(state: Any) -> tuple[np.ndarray, ...]:
    return state if isinstance(state, tuple) else (state,)


def like(state: Any, arrays: Any) -> Any:
    return tuple(arrays) if isinstance(state, tuple) else next(iter(arrays))


def random_state(layer: Any, batch: int, rng: np.random.Generator) -> Any:
    zero = layer(np.zeros((0, batch, layer.sizes.input_size)))[1] if not layer.batch_first else None
    assert zero is not None
    return like(zero, (rng.normal(size=a.shape) for a in parts(zero)))


def rows(state: Any, which: Any) -> Any:
    return like(state, (a[:, which] for a in parts(state)))


def close(got: Any, want: Any, what: str = "", tolerance: float = SAME) -> None:
    for a, b in zip(parts(got), parts(want), strict=True):
        assert a.shape == b.shape, what
        scale = 1 + np.abs(b).max(initial=0)
        assert np.abs(a - b).max(initial=0) <= tolerance * scale, what


def close_gradients(got: Any, want: Any) -> None:
    close(got.x, want.x, "x")
    close(got.state, want.state, "state")
    assert list(got.params) == list(want.params)
    for name in want.params:
        close(got.params[name], want.params[name], name)


def differences(loss: Callable[[], float], array: np.ndarray) -> np.ndarray:
    """d loss / d array by central differences; ``array`` is changed in place and put back."""
    slope = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + STEP
        above = loss()
        array[index] = kept - STEP
        below = loss()
        array[index] = kept
        slope[index] = (above - below) / (2 * STEP)
    return slope


class Problem:
    """A layer, its inputs, and a loss linear in y and the final state: everything a gradient check needs."""

    def __init__(
        self, kind: str, lengths: Any = None, reset: Any = None, dropout: bool = False, **options: Any
    ) -> None:
        rng = np.random.default_rng(11)
        self.layer = build(kind, IN, H, **options)
        self.x = rng.normal(size=(T, B, IN))
        self.state = random_state(self.layer, B, rng)
        self.lengths, self.reset = lengths, reset
        y, final = self.layer(self.x, self.state)
        self.dy = rng.normal(size=y.shape)
        self.dstate = like(final, (rng.normal(size=a.shape) for a in parts(final)))
        depth = self.layer.sizes.num_layers
        keep = rng.random((depth - 1, *y.shape)) < 0.6
        self.masks = list(keep / 0.6) if dropout else None

    def record(self) -> Any:
        return self.layer.record(self.x, self.state, self.lengths, self.reset, self.masks)

    def backward(self, truncate: int | None = None) -> Any:
        return self.record()[2].backward(self.dy, self.dstate, truncate)

    def loss(self) -> float:
        y, final, _ = self.record()
        return float(
            (y * self.dy).sum() + sum((a * b).sum() for a, b in zip(parts(final), parts(self.dstate), strict=True))
        )

    def inputs(self) -> Iterator[tuple[str, np.ndarray, Callable[[Any], np.ndarray]]]:
        """Every array the loss depends on, and where its gradient is found."""
        yield "x", self.x, lambda g: g.x
        for k, part in enumerate(parts(self.state)):
            yield f"state {k}", part, lambda g, k=k: parts(g.state)[k]
        for name, value in self.layer.params.items():
            yield name, value, lambda g, name=name: g.params[name]

    def check(self, loss: Callable[[], float] | None = None, truncate: int | None = None) -> None:
        g = self.backward(truncate)
        for what, array, find in self.inputs():
            close(find(g), differences(loss or self.loss, array), what, DIFFERENCE_TOLERANCE)


# ---- Activations


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_is_accurate_and_silent_over_its_whole_range(dtype: Any) -> None:
    a = np.array(
        [-1e30, -700, -80, -20, -1, -1e-3, -0.0, 0.0, 1e-3, 1, 20, 80, 700, 1e30, -np.inf, np.inf, np.nan], dtype
    )
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        y = activations.sigmoid(a)
    assert y.dtype == dtype
    for value, got in zip(a[:-3].tolist(), y[:-3].tolist(), strict=True):
        want = math.exp(value) / (1 + math.exp(value)) if value < 0 else 1 / (1 + math.exp(-value))
        assert abs(got - want) <= 4 * np.finfo(dtype).eps * want + float(np.finfo(dtype).smallest_normal)
    assert y[-3] == 0
    assert y[-2] == 1
    assert np.isnan(y[-1])


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_activation_slopes(name: str) -> None:
    f = activations.ACTIVATIONS[name]
    a = np.array([-2.0, -0.7, -0.1, 0.1, 0.7, 2.0])
    want = (f.value(a + STEP) - f.value(a - STEP)) / (2 * STEP)
    close(f.slope(f.value(a)), want, name, DIFFERENCE_TOLERANCE)
    assert f.slope(f.value(a.astype(np.float32))).dtype == f.value(a.astype(np.float32)).dtype == np.float32


def test_activations_at_and_around_zero() -> None:
    a = np.array([-1.0, 0.0, 2.0, np.nan])
    f = activations.ACTIVATIONS
    assert set(f) == {"tanh", "relu", "sigmoid", "leaky_relu", "identity"}
    np.testing.assert_array_equal(f["relu"].value(a), [0, 0, 2, np.nan])
    np.testing.assert_array_equal(f["leaky_relu"].value(a), [-0.01, 0, 2, np.nan])
    np.testing.assert_array_equal(f["identity"].value(a), a)
    np.testing.assert_array_equal(f["relu"].slope(np.array([0.0, 3.0])), [0, 1])
    np.testing.assert_array_equal(f["leaky_relu"].slope(np.array([0.0, 3.0])), [0.01, 1])


# ---- Forward values, against the same equations one unit at a time


def by_hand(
    kind: str, p: dict[str, np.ndarray], x: np.ndarray, state: Any
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """One layer, one row, in scalars. ``x`` (T, IN); the state's arrays (width,). Gates by torch's block order."""

    def sigma(a: float) -> float:
        return 1 / (1 + math.exp(-a))

    def product(name: str, row: int, v: list[float]) -> float:
        return sum(p[f"weight_{name}_l0"][row, k] * v[k] for k in range(len(v))) + p[f"bias_{name}_l0"][row]

    phi: dict[str, Callable[[float], float]] = {
        "rnn-tanh": math.tanh,
        "rnn-relu": lambda a: max(a, 0.0),
        "rnn-sigmoid": sigma,
        "rnn-leaky_relu": lambda a: a if a > 0 else 0.01 * a,
        "rnn-identity": lambda a: a,
    }
    carry = [list(map(float, part)) for part in parts(state)]
    out = []
    for step in x.tolist():
        h = carry[0]
        if kind in phi:
            new = [phi[kind](product("ih", u, step) + product("hh", u, h)) for u in range(H)]
        elif kind.startswith("lstm"):
            gate = [[product("ih", k * H + u, step) + product("hh", k * H + u, h) for u in range(H)] for k in range(4)]
            c = [sigma(gate[1][u]) * carry[1][u] + sigma(gate[0][u]) * math.tanh(gate[2][u]) for u in range(H)]
            new = [sigma(gate[3][u]) * math.tanh(c[u]) for u in range(H)]
            if kind == "lstm-proj":
                w = p["weight_hr_l0"]
                new = [sum(w[j, u] * new[u] for u in range(H)) for j in range(len(w))]
            carry[1] = c
        else:
            r = [sigma(product("ih", u, step) + product("hh", u, h)) for u in range(H)]
            z = [sigma(product("ih", H + u, step) + product("hh", H + u, h)) for u in range(H)]
            if kind == "gru":
                n = [math.tanh(product("ih", 2 * H + u, step) + r[u] * product("hh", 2 * H + u, h)) for u in range(H)]
            else:
                kept = [r[u] * h[u] for u in range(H)]
                n = [math.tanh(product("ih", 2 * H + u, step) + product("hh", 2 * H + u, kept)) for u in range(H)]
            new = [(1 - z[u]) * n[u] + z[u] * h[u] for u in range(H)]
        carry[0] = new
        out.append(new)
    return np.array(out), tuple(np.array(part) for part in carry)


@pytest.mark.parametrize("kind", KINDS)
def test_forward_is_the_written_equations(kind: str) -> None:
    p = Problem(kind)
    y, final = p.layer(p.x, p.state)
    for b in range(B):
        want, last = by_hand(kind, p.layer.params, p.x[:, b], like(p.state, (a[0, b] for a in parts(p.state))))
        close(y[:, b], want)
        close(tuple(a[0, b] for a in parts(final)), last)


def test_a_missing_state_is_zero_and_missing_biases_too() -> None:
    for kind in KINDS:
        p = Problem(kind)
        zero = like(p.state, (np.zeros_like(a) for a in parts(p.state)))
        np.testing.assert_array_equal(p.layer(p.x)[0], p.layer(p.x, zero)[0])
        bare = build(kind, IN, H, bias=False)
        full = build(kind, IN, H)
        full.load_params({n: bare.params.get(n, np.zeros_like(v)) for n, v in full.params.items()})
        assert len(bare.params) == len(full.params) - 2
        np.testing.assert_array_equal(bare(p.x)[0], full(p.x)[0])


# ---- Gradients, against central differences


CELLS: dict[str, Callable[[], cells.Cell[Any]]] = {
    "rnn": lambda: cells.RNNCell(H, activations.ACTIVATIONS["sigmoid"]),
    "lstm": lambda: cells.LSTMCell(H),
    "lstm-proj": lambda: cells.LSTMCell(H, 2),
    "gru": lambda: cells.GRUCell(H),
    "gru-before": lambda: cells.GRUResetBeforeCell(H),
}


@pytest.mark.parametrize("name", CELLS)
def test_one_step_of_a_cell(name: str) -> None:
    cell, rng = CELLS[name](), np.random.default_rng(3)
    w = {"weight_hh": rng.normal(size=(cell.gates * H, cell.widths[0])), "bias_hh": rng.normal(size=cell.gates * H)}
    if name == "lstm-proj":
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
    Problem(kind).check()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_gradients_of_a_deep_ragged_bidirectional_layer_with_resets_and_dropout(kind: str) -> None:
    Problem(kind, LENGTHS, RESET, dropout=True, num_layers=2, bidirectional=True).check()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("option", ["lengths", "reset", "dropout", "reverse", "no bias"])
def test_gradients_with_one_option(kind: str, option: str) -> None:
    problem = {
        "lengths": lambda: Problem(kind, lengths=LENGTHS),
        "reset": lambda: Problem(kind, reset=RESET),
        "dropout": lambda: Problem(kind, dropout=True, num_layers=2),
        "reverse": lambda: Problem(kind, LENGTHS, RESET, reverse=True),
        "no bias": lambda: Problem(kind, bias=False),
    }[option]()
    problem.check()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_gradients_left_out_are_zero(kind: str) -> None:
    p = Problem(kind, num_layers=2)
    zero_dy = np.zeros_like(p.dy)
    zero_state = like(p.dstate, (np.zeros_like(a) for a in parts(p.dstate)))
    tape = p.record()[2]
    close_gradients(tape.backward(p.dy), tape.backward(p.dy, zero_state))
    close_gradients(tape.backward(dstate=p.dstate), tape.backward(zero_dy, p.dstate))
    if isinstance(p.dstate, tuple):
        close_gradients(tape.backward(p.dy, (None, p.dstate[1])), tape.backward(p.dy, (zero_state[0], p.dstate[1])))


# ---- Truncation


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
    p = Problem(kind, reset=RESET, dropout=True, num_layers=2)
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
    p = Problem(kind, num_layers=2)
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
    p = Problem(kind, LENGTHS, **options)
    full = p.backward()
    close_gradients(p.backward(T), full)
    close_gradients(p.backward(T + 3), full)
    assert np.abs(p.backward(T - 1).params["weight_hh_l0"] - full.params["weight_hh_l0"]).max() > 1e-6


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_truncated_reverse_layer_is_a_truncated_forward_layer_on_the_mirrored_row(kind: str, k: int) -> None:
    p, mirrored = Problem(kind, LENGTHS, RESET, reverse=True), Problem(kind, LENGTHS)
    mirrored.reset = np.zeros_like(RESET)
    for b, n in enumerate(LENGTHS):
        for a, source in ((mirrored.x, p.x), (mirrored.dy, p.dy), (mirrored.reset, RESET)):
            a[:n, b] = source[:n, b][::-1]
    (y, final, tape), (my, mfinal, mtape) = p.record(), mirrored.record()
    close(final, mfinal)
    g, mg = tape.backward(p.dy, p.dstate, k), mtape.backward(mirrored.dy, mirrored.dstate, k)
    for b, n in enumerate(LENGTHS):
        close(y[:n, b], my[:n, b][::-1])
        close(g.x[:n, b], mg.x[:n, b][::-1])
    close(g.state, mg.state)
    for name in g.params:
        close(g.params[name], mg.params[name], name)


# ---- Lengths and resets


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("options", [{"num_layers": 2}, {"reverse": True}, {"bidirectional": True, "num_layers": 2}])
@pytest.mark.parametrize("truncate", [None, 2, 3])
def test_lengths_are_rows_run_alone(kind: str, options: Any, truncate: int | None) -> None:
    p = Problem(kind, LENGTHS, RESET, dropout=True, **options)
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
    p = Problem(kind, np.array([T, T - 1, T]))
    y, final, _ = p.record()
    alone, last = p.layer(p.x[:-1, 1:2], rows(p.state, slice(1, 2)))
    close(y[:-1, 1:2], alone)
    close(rows(final, slice(1, 2)), last)
    assert not y[-1, 1].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reset", [None, RESET])
def test_nothing_of_a_row_of_length_zero_reaches_the_parameters(kind: str, reset: Any) -> None:
    p = Problem(kind, LENGTHS, reset)
    for part in parts(p.state):
        part[:, 2] = np.nan
    g = p.backward()
    assert all(np.isfinite(value).all() for value in g.params.values())


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_zero_whatever_the_weights_are(kind: str) -> None:
    p = Problem(kind, LENGTHS)
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
    p = Problem(kind, LENGTHS, RESET, num_layers=2, reverse=reverse)
    y, final, tape = p.record()
    g = tape.backward(p.dy, p.dstate)
    totals = {name: np.zeros_like(value) for name, value in g.params.items()}
    for b, n in enumerate(LENGTHS):
        if n == 0:
            continue
        one = slice(b, b + 1)
        marks = [t for t in range(n) if RESET[t, b]]
        # An episode begins at a mark; read against time it ends behind one.
        edges = sorted({0, n, *((t + 1 for t in marks) if reverse else marks)})
        episodes = list(pairwise(edges))
        first, last = (episodes[-1], episodes[0]) if reverse else (episodes[0], episodes[-1])
        starts_reset = bool(RESET[n - 1 if reverse else 0, b])
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
                zero = like(h.state, (np.zeros_like(a) for a in parts(h.state)))
                close(rows(g.state, one), zero if starts_reset else h.state)
    for name in totals:
        close(g.params[name], totals[name], name)


def test_a_reset_at_the_first_step_hides_even_a_state_of_nan() -> None:
    for kind in KINDS:
        p = Problem(kind, reset=np.ones((T, B), bool))
        want = p.backward()
        p.state = like(p.state, (np.full_like(a, np.nan) for a in parts(p.state)))
        got = p.backward()
        close_gradients(got, want)
        assert not any(part.any() for part in parts(got.state))


# ---- Directions, layers, dropout


def single(p: Problem, depth: int, suffix: str, reverse: bool) -> Any:
    """One direction of one layer of the problem's stack as a layer of its own."""
    stems = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    found = {s: p.layer.params[f"{s}_l{depth}{suffix}"] for s in stems if f"{s}_l{depth}{suffix}" in p.layer.params}
    kind = "lstm-proj" if "weight_hr" in found else {4: "lstm", 3: "gru"}[p.layer.sizes.gates]
    layer = build(kind, found["weight_ih"].shape[1], H, reverse=reverse)
    layer.load_params({f"{stem}_l0": value for stem, value in found.items()})
    return layer


@pytest.mark.parametrize("kind", ["lstm", "lstm-proj", "gru"])
@pytest.mark.parametrize("truncate", [None, 2])
def test_a_deep_bidirectional_stack_is_its_single_layers(kind: str, truncate: int | None) -> None:
    p = Problem(kind, LENGTHS, RESET, dropout=True, num_layers=2, bidirectional=True)
    y, final, tape = p.record()
    got = tape.backward(p.dy, p.dstate, truncate)
    stack = [[single(p, depth, suffix, bool(suffix)) for suffix in ("", "_reverse")] for depth in range(2)]
    x, tapes, finals = p.x, [], []
    for depth, pair in enumerate(stack):
        runs = [layer.record(x, rows_of_slot(p.state, 2 * depth + d), LENGTHS, RESET) for d, layer in enumerate(pair)]
        tapes.append([run[2] for run in runs])
        finals += [run[1] for run in runs]
        x = np.concatenate([run[0] for run in runs], axis=2)
        if depth == 0:
            x = x * p.masks[0]
    close(y, x)
    dy, width = p.dy, y.shape[2] // 2
    for slot, want in enumerate(finals):
        close(rows_of_slot(final, slot), want)
    for depth in (1, 0):
        gs = [
            tapes[depth][d].backward(
                dy[:, :, d * width : (d + 1) * width], rows_of_slot(p.dstate, 2 * depth + d), truncate
            )
            for d in range(2)
        ]
        for d, suffix in enumerate(("", "_reverse")):
            close(rows_of_slot(got.state, 2 * depth + d), gs[d].state)
            for name, value in gs[d].params.items():
                close(got.params[name.replace("_l0", f"_l{depth}{suffix}")], value, name)
        dy = gs[0].x + gs[1].x
        if depth == 1:
            dy = dy * p.masks[0]
    close(got.x, dy)


def rows_of_slot(state: Any, slot: int) -> Any:
    return like(state, (a[slot : slot + 1] for a in parts(state)))


def test_dropout_masks_multiply_all_layers_but_the_last() -> None:
    p = Problem("gru", num_layers=3)
    ones = [np.ones((T, B, H))] * 2
    p.masks = ones
    np.testing.assert_array_equal(p.record()[0], p.layer(p.x, p.state)[0])
    p.masks = [ones[0], np.zeros((T, B, H))]
    y, _, tape = p.record()
    last = build("gru", H, H)
    last.load_params({n.replace("_l2", "_l0"): v for n, v in p.layer.params.items() if "_l2" in n})
    np.testing.assert_array_equal(y, last(np.zeros((T, B, H)), p.state[2:])[0])
    assert not tape.backward(p.dy).x.any()


# ---- Layouts


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_batch_first_swaps_sequences_and_nothing_else(kind: str) -> None:
    options: dict[str, Any] = {"num_layers": 2, "bidirectional": True}
    p = Problem(kind, LENGTHS, RESET, dropout=True, **options)
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
    p = Problem(kind, dropout=True, num_layers=2, bidirectional=True)
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


# ---- dtype, parameters, contract


@pytest.mark.parametrize("kind", KINDS)
def test_float32_stays_float32_throughout(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    p = Problem(kind, LENGTHS, RESET, dropout=True, num_layers=2, bidirectional=True)
    want_y, want_final, want_tape = p.record()
    want = want_tape.backward(p.dy, p.dstate, 2)
    low = build(kind, IN, H, num_layers=2, bidirectional=True, dtype=np.float32)
    seen = []
    forward, backward = type(low.cell).forward, type(low.cell).backward

    def spy_forward(self: Any, w: Any, pre_x: Any, carry: Any) -> Any:
        leaving, saved = forward(self, w, pre_x, carry)
        seen.extend([*w.values(), pre_x, *carry, *leaving, *saved])
        return leaving, saved

    def spy_backward(self: Any, w: Any, saved: Any, dcarry: Any) -> Any:
        step = backward(self, w, saved, dcarry)
        seen.extend([*dcarry, *step.carry, step.pre_x, *(a for p in step.products for a in (p.delta, p.operand))])
        return step

    monkeypatch.setattr(type(low.cell), "forward", spy_forward)
    monkeypatch.setattr(type(low.cell), "backward", spy_backward)
    y, final, tape = low.record(p.x, p.state, LENGTHS, RESET, p.masks)
    g = tape.backward(p.dy, p.dstate, 2)
    seen.extend([y, *parts(final), g.x, *parts(g.state), *g.params.values()])
    assert {a.dtype for a in seen} == {np.dtype(np.float32)}
    coarse = 1000 * float(np.finfo(np.float32).eps)
    close(y, want_y, tolerance=coarse)
    close(final, want_final, tolerance=coarse)
    close(g.x, want.x, tolerance=coarse)
    for name in want.params:
        close(g.params[name], want.params[name], name, tolerance=coarse)
    assert np.abs(y - want_y).max() > 1e-10  # and it did round


def test_names_shapes_and_order_of_the_parameters() -> None:
    layer = reference.LSTM(7, 5, num_layers=2, bidirectional=True, proj_size=3)
    assert {n: v.shape for n, v in layer.params.items()} == {
        f"{stem}_l{k}{suffix}": shape
        for k in range(2)
        for suffix in ("", "_reverse")
        for stem, shape in [
            ("weight_ih", (20, 6 if k else 7)),
            ("weight_hh", (20, 3)),
            ("bias_ih", (20,)),
            ("bias_hh", (20,)),
            ("weight_hr", (3, 5)),
        ]
    }
    assert list(layer.params)[:6] == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
        "weight_hr_l0",
        "weight_ih_l0_reverse",
    ]
    assert list(reference.GRU(7, 5, bias=False).params) == ["weight_ih_l0", "weight_hh_l0"]
    assert list(reference.RNN(7, 5, reverse=True).params) == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
    ]
    x = np.zeros((1, 1, 7))
    assert list(layer.record(x)[2].backward().params) == list(layer.params)


def test_the_number_of_free_parameters() -> None:
    assert reference.RNN(5, 3).num_params == 27
    assert reference.RNN(5, 3).num_params + 3 + 1 == 31
    assert reference.RNN(5, 3, bias=False).num_params == 24
    assert reference.LSTM(5, 3).num_params == 4 * 3 * (5 + 3) + 4 * 3
    assert reference.LSTM(5, 3, proj_size=2).num_params == 4 * 3 * (5 + 2) + 4 * 3 + 2 * 3
    assert reference.GRU(5, 3).num_params == 3 * 3 * (5 + 3) + 4 * 3
    assert reference.GRU(5, 3, reset_after=False).num_params == 3 * 3 * (5 + 3) + 3 * 3
    assert reference.RNN(5, 3, num_layers=2, bidirectional=True).num_params == 2 * 27 + 2 * (3 * 6 + 3 * 3 + 3)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_biases_counted_once_are_those_with_one_gradient(kind: str) -> None:
    """`num_params` against what makes it true: two parameters that are only ever summed have the same gradient."""
    p = Problem(kind)
    g = p.backward().params
    joint = int((np.abs(g["bias_ih_l0"] - g["bias_hh_l0"]) < 1e-12).sum())
    assert p.layer.num_params == sum(v.size for v in p.layer.params.values()) - joint


def test_initial_parameters_are_uniform_seeded_and_bounded() -> None:
    a, b, c = (reference.LSTM(8, 16, rng=seed) for seed in (0, 0, 1))
    flat = np.concatenate([v.ravel() for v in a.params.values()])
    assert np.abs(flat).max() <= 0.25
    assert np.abs(flat).max() > 0.24
    assert abs(flat.mean()) < 0.02
    assert all(np.array_equal(a.params[n], b.params[n]) for n in a.params)
    assert not np.array_equal(a.params["weight_ih_l0"], c.params["weight_ih_l0"])
    assert np.array_equal(
        reference.LSTM(8, 16, rng=np.random.default_rng(0)).params["weight_hh_l0"], a.params["weight_hh_l0"]
    )


def test_parameters_may_be_changed_in_place_assigned_or_loaded() -> None:
    x = np.ones((2, 1, 2))
    layer, other = reference.GRU(2, 3, rng=0), reference.GRU(2, 3, rng=1)
    before = layer(x)[0]
    layer.params["weight_hh_l0"] *= 2
    assert not np.array_equal(layer(x)[0], before)
    layer.params["weight_hh_l0"] = other.params["weight_hh_l0"].tolist()
    layer.load_params(other.params)
    np.testing.assert_array_equal(layer(x)[0], other(x)[0])
    layer.params["weight_hh_l0"][...] = 0
    assert other.params["weight_hh_l0"].any()  # loaded values are copies
    kept = {n: v.copy() for n, v in layer.params.items()}
    good = dict(other.params)
    for bad in (
        {**good, "bias_hh_l0": np.zeros(8)},
        {**good, "bias_hh_l1": np.zeros(9)},
        {n: v for n, v in good.items() if n != "bias_hh_l0"},
    ):
        with pytest.raises(ValueError, match="bias_hh_l"):
            layer.load_params(bad)
        assert all(np.array_equal(kept[n], layer.params[n]) for n in kept)


def test_a_tape_keeps_what_it_saw() -> None:
    p = Problem("lstm", dropout=True, num_layers=2, bidirectional=True)
    _, _, tape = p.record()
    want = tape.backward(p.dy, p.dstate)
    for array in (p.x, *parts(p.state), *p.masks, *p.layer.params.values()):
        array += 1
    close_gradients(tape.backward(p.dy, p.dstate), want)


def test_arguments_are_read_only_to_the_reference() -> None:
    p = Problem("lstm", LENGTHS, RESET.copy(), dropout=True, num_layers=2)
    for array in (p.x, *parts(p.state), p.reset, *p.masks, p.dy, *parts(p.dstate), *p.layer.params.values()):
        array.flags.writeable = False
    want = p.backward(2)
    p.x = np.repeat(p.x, 2, axis=2)[:, :, ::2][::-1][::-1]  # strided
    close_gradients(p.backward(2), want)


X = np.zeros((4, 3, 2))
BAD_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("x", {"x": np.zeros(2)}),
    ("x", {"x": np.zeros((4, 3, 5))}),
    ("x", {"x": np.zeros((1, 4, 3, 2))}),
    ("x", {"x": X.astype(complex)}),
    ("x", {"x": [[1.0, 2.0], [3.0]]}),
    ("state", {"state": np.zeros((1, 3, 5))}),
    ("state", {"state": (np.zeros((1, 3, 5)),)}),
    ("state", {"state": (np.zeros((1, 2, 5)), np.zeros((1, 3, 5)))}),
    ("state", {"state": (np.zeros((3, 5)), np.zeros((3, 5)))}),
    ("lengths", {"lengths": [1, 2]}),
    ("lengths", {"lengths": 3}),
    ("lengths", {"lengths": [1, 2, 5]}),
    ("lengths", {"lengths": [1, -1, 2]}),
    ("lengths", {"lengths": [1.0, 2.0, 3.0]}),
    ("lengths", {"lengths": [True, True, False]}),
    ("reset", {"reset": np.zeros((3, 4), bool)}),
    ("reset", {"reset": np.zeros((4, 3))}),
    ("reset", {"reset": np.zeros((4, 3, 1), bool)}),
    ("dropout_masks", {"dropout_masks": [np.ones((4, 3, 5))]}),
]


@pytest.mark.parametrize(("argument", "call"), BAD_CALLS)
def test_a_bad_argument_is_named(argument: str, call: dict[str, Any]) -> None:
    layer = reference.LSTM(2, 5)
    with pytest.raises(ValueError, match=f"^{argument}"):
        layer.record(**{"x": X, **call})


def test_bad_gradients_and_masks_are_named() -> None:
    layer = reference.LSTM(2, 5, num_layers=2)
    with pytest.raises(ValueError, match=r"^dropout_masks\[0\]"):
        layer.record(X, dropout_masks=[np.ones((3, 4, 5))])
    tape = layer.record(X)[2]
    for dy in (np.zeros((4, 3, 4)), np.zeros((3, 4, 5)), np.zeros(5)):
        with pytest.raises(ValueError, match=r"^dy"):
            tape.backward(dy)
    with pytest.raises(ValueError, match=r"^dstate"):
        tape.backward(None, np.zeros((2, 3, 5)))
    with pytest.raises(ValueError, match=r"^dstate"):
        tape.backward(None, (np.zeros((1, 3, 5)), None))
    for truncate in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=r"^truncate"):
            tape.backward(truncate=truncate)
    layer.params["weight_hh_l0"] = np.zeros((3, 3))
    with pytest.raises(ValueError, match="weight_hh_l0"):
        layer(X)


@pytest.mark.parametrize(
    ("argument", "make"),
    [
        ("input_size", lambda: reference.LSTM(0, 5)),
        ("hidden_size", lambda: reference.GRU(2, -1)),
        ("hidden_size", lambda: reference.GRU(2, 1.5)),
        ("input_size", lambda: reference.RNN(float("inf"), 3)),
        ("num_layers", lambda: reference.RNN(2, 3, num_layers=0)),
        ("proj_size", lambda: reference.LSTM(2, 3, proj_size=3)),
        ("proj_size", lambda: reference.LSTM(2, 3, proj_size=-1)),
        ("dropout", lambda: reference.LSTM(2, 3, dropout=1.5)),
        ("dropout", lambda: reference.LSTM(2, 3, dropout=float("nan"))),
        ("dtype", lambda: reference.LSTM(2, 3, dtype=np.float16)),
        ("dtype", lambda: reference.LSTM(2, 3, dtype=int)),
        ("nonlinearity", lambda: reference.RNN(2, 3, nonlinearity="swish")),
        ("reverse", lambda: reference.RNN(2, 3, bidirectional=True, reverse=True)),
    ],
)
def test_a_bad_size_or_option_is_named(argument: str, make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=f"^{argument}"):
        make()


# ---- Against PyTorch, where it is there


@pytest.mark.parametrize("kind", ["lstm", "lstm-proj", "gru", "rnn-tanh", "rnn-relu"])
def test_the_reference_is_torch(kind: str) -> None:
    torch = pytest.importorskip("torch")
    p = Problem(kind, np.array([3, 5, 1]), num_layers=2, bidirectional=True)
    names = {"lstm": "LSTM", "lstm-proj": "LSTM", "gru": "GRU", "rnn-tanh": "RNN", "rnn-relu": "RNN"}
    extra = {"lstm-proj": {"proj_size": 2}, "rnn-relu": {"nonlinearity": "relu"}}.get(kind, {})
    module = getattr(torch.nn, names[kind])(IN, H, num_layers=2, bidirectional=True, dtype=torch.float64, **extra)
    assert list(module.state_dict()) == list(p.layer.params)
    module.load_state_dict({n: torch.tensor(v) for n, v in p.layer.params.items()})
    x = torch.tensor(p.x, requires_grad=True)
    state = [torch.tensor(a, requires_grad=True) for a in parts(p.state)]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(p.lengths), enforce_sorted=False)
    y, final = module(packed, tuple(state) if len(state) > 1 else state[0])
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=T)
    got_y, got_final, tape = p.record()
    loss = (y * torch.tensor(p.dy)).sum()
    for a, b, d in zip(parts(got_final), parts(final), parts(p.dstate), strict=True):
        close(a, b.detach().numpy())
        loss = loss + (b * torch.tensor(d)).sum()
    loss.backward()
    g = tape.backward(p.dy, p.dstate)
    close(got_y, y.detach().numpy())
    close(g.x, x.grad.numpy())
    close(parts(g.state), tuple(a.grad.numpy() for a in state))
    for name, parameter in module.named_parameters():
        close(g.params[name], parameter.grad.numpy(), name)


# ---- The page and the code


SOURCES = sorted(Path(reference.__file__).parent.glob("*.py"))


def test_only_numpy_and_the_standard_library_are_imported() -> None:
    assert len(SOURCES) > 4
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level < 2, path
                found = [] if node.level else [node.module or ""]
            else:
                continue
            for name in found:
                top = name.split(".")[0]
                assert top == "numpy" or top in sys.stdlib_module_names, (path, name)


def test_every_equation_is_on_the_page_and_every_equation_of_a_cell_is_in_the_code() -> None:
    page = Path(__file__).parents[1] / "docs" / "design" / "cells.md"
    numbers = re.compile(r"\(([A-Z]\d+)\)")
    defined = re.findall(r"(?m)^(?:    .*|\|.*)\(([A-Z]\d+)\)(?: \|)?$", page.read_text(encoding="utf-8"))
    assert len(defined) == len(set(defined)), "a number is defined twice"
    named = {n for path in SOURCES for n in numbers.findall(path.read_text(encoding="utf-8"))}
    assert named <= set(defined), named - set(defined)
    assert {n for n in defined if n[0] in "ARLGBSTWN"} <= named
