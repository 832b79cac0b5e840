"""A mask with any holes: a row's valid steps give what they give alone, and the others hold what they say they hold.

For every variant and for plain layers; to the bit, gradients of x and of the state too. A plain layer has the bits of
the plain kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusedrnn as fr
from kinds import DTYPES
from small_layers import arrays_in, assert_close, assert_same
from variants import VARIANTS, I, every_variant, is_dilated, is_random, make, option, those

T, B = 8, 5

PLAIN = {"lstm", "gru both ways", "rnn deep"}


def layer_of(name: str, dtype: Any, **more: Any) -> Any:
    if name not in PLAIN:
        return make(name, dtype, **more)
    options: dict[str, Any] = {"gru both ways": {"bidirectional": True, "num_layers": 2}, "rnn deep": {"num_layers": 3}}
    cell = {"lstm": fr.LSTM, "gru": fr.GRU, "rnn": fr.RNN}[name.split()[0]]
    return cell(I, 6, dtype=dtype, rng=0, **options.get(name, {}), **more)


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """(T, B): rows with holes, with padding in front, without any step, and whole ones."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    mask = rng.random((T, B)) < draw(st.sampled_from((0.2, 0.6, 0.9)))
    mask[:3, 0] = False
    mask[:, 1] = draw(st.booleans())
    return mask


def alone(layer: Any, x: np.ndarray, state: Any, reset: np.ndarray | None, times: np.ndarray, row: int) -> Any:
    """One row's valid steps, recorded by themselves."""
    parts = None if state is None else [part[:, row : row + 1] for part in arrays_in(state)]
    begin = None if parts is None else tuple(parts) if len(parts) == 2 else parts[0]
    borders = None if reset is None else moved(reset[:, row], times)[:, np.newaxis]
    return layer.record(x[times, row : row + 1], begin, reset=borders)


def moved(reset: np.ndarray, times: np.ndarray) -> np.ndarray:
    """A border at a held step is one at the next valid step."""
    before = np.concatenate(([-1], times[:-1])) if len(times) else times
    return np.array([reset[a + 1 : b + 1].any() for a, b in zip(before, times, strict=True)], np.bool_)


EVERY = [*sorted(PLAIN), *(name for name in VARIANTS if not is_random(name))]
"""Without those that draw masks, which differ from row to row."""


def is_apart(name: str) -> bool:
    """Whether the two directions can be told apart in y, or there is one."""
    return name in PLAIN or option(name, "merge", "concat") == "concat"


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("held", ["repeat", "zero"])
@given(mask=masks(), dtype=st.sampled_from(DTYPES), with_reset=st.booleans())
@settings(max_examples=6)
def test_a_row_is_its_valid_steps_alone(name: str, held: Any, mask: np.ndarray, dtype: Any, with_reset: bool) -> None:
    layer, rng = layer_of(name, dtype), np.random.default_rng(3)
    x = rng.standard_normal((T, B, I)).astype(dtype)
    x[~mask] = np.nan  # is not read
    reset = rng.random((T, B)) < 0.3 if with_reset else None
    dilated = name not in PLAIN and is_dilated(name)
    state = None
    if not dilated:
        drawn = [rng.standard_normal(a.shape).astype(dtype) for a in arrays_in(layer(np.zeros_like(x))[1])]
        state = tuple(drawn) if len(drawn) == 2 else drawn[0]
    y, last, tape = layer.record(x, state, reset=reset, mask=mask, held=held)
    assert_same(layer(x, state, reset=reset, mask=mask, held=held), (y, last))
    dy = rng.standard_normal(y.shape).astype(dtype)
    gradients = tape.backward(dy)
    for row in range(B):
        times = np.flatnonzero(mask[:, row])
        row_y, row_last, row_tape = alone(layer, x, state, reset, times, row)
        assert_same(y[times, row], row_y[:, 0])
        assert_same([a[:, row] for a in arrays_in(last)], [a[:, 0] for a in arrays_in(row_last)])
        if not is_apart(name) and held == "repeat":
            continue
        expected, collected = spread(layer, row_y[:, 0], dy[:, row], times, held)
        assert_same(y[:, row], expected)
        row_gradients = row_tape.backward(np.ascontiguousarray(collected[:, np.newaxis]))
        found = np.zeros((T, I), dtype)
        found[times] = row_gradients.x[:, 0]
        check = assert_same if held == "zero" else _nearly
        check(gradients.x[:, row], found)
        check([a[:, row] for a in arrays_in(gradients.state)], [a[:, 0] for a in arrays_in(row_gradients.state)])


def _nearly(ours: Any, theirs: Any) -> None:
    """Sums over the steps that repeat an output, in another order."""
    for a, b in zip(arrays_in(ours), arrays_in(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=100 * np.finfo(a.dtype).eps * float(np.abs(b).max(initial=1.0)))


def spread(layer: Any, y: np.ndarray, dy: np.ndarray, times: np.ndarray, held: str) -> tuple[np.ndarray, np.ndarray]:
    """y at every step, given that of the valid ones; and the gradient of these, given that of every step."""
    found, collected = np.zeros((T, y.shape[1]), y.dtype), np.zeros_like(y)
    width = y.shape[1] // (2 if layer.bidirectional and layer.merge == "concat" else 1)
    for start in range(0, y.shape[1], width):
        part = slice(start, start + width)
        reverse = start > 0 or layer.reverse
        for t in range(T):
            if held == "zero":
                source = int(np.searchsorted(times, t)) if t in times else -1
            else:
                after = np.flatnonzero(times >= t) if reverse else np.flatnonzero(times <= t)
                source = -1 if not len(after) else int(after[0] if reverse else after[-1])
            if source >= 0:
                found[t, part] = y[source, part]
                collected[source, part] += dy[t, part]
    return found, collected


@those(lambda name: not is_apart(name) and not option(name, "connection", None))
def test_merged_directions_hold_their_own_last_outputs(variant: str) -> None:
    """Of the merge "sum": the y of the layer that keeps them apart, its halves added."""
    layer = make(variant)
    mask = np.random.default_rng(1).random((T, B)) < 0.5
    x = np.random.default_rng(0).standard_normal((T, B, I))
    y = layer(x, mask=mask)[0]
    more: dict[str, Any] = {"merged": False}
    for row in range(B):
        times = np.flatnonzero(mask[:, row])
        if not len(times):
            assert not y[:, row].any()
            continue
        sides = layer._run(x[times, row : row + 1], None, None, None, None, False, None, more)[0][:, 0]
        half = sides.shape[1] // 2
        for t in range(T):
            before, after = times[times <= t], times[times >= t]
            forward = sides[len(before) - 1, :half] if len(before) else np.zeros(half)
            reverse = sides[len(times) - len(after), half:] if len(after) else np.zeros(half)
            total = {"sum": forward + reverse, "mul": forward * reverse, "ave": (forward + reverse) / 2}[layer.merge]
            np.testing.assert_array_equal(y[t, row], total)


@every_variant
def test_a_mask_without_holes_changes_nothing(variant: str) -> None:
    """Except for the layers whose held outputs are refused."""
    layer = make(variant)
    x = np.random.default_rng(0).standard_normal((T, B, I))
    held: Any = "zero" if layer.connection and layer.merge != "concat" else "repeat"
    mask = np.ones((T, B), np.bool_)
    assert_same(layer(x, mask=mask, held=held), layer(x))
    lengths = np.array([8, 0, 3, 5, 1])
    mask = np.arange(T)[:, np.newaxis] < lengths
    assert_same(layer(x, mask=mask, held="zero", return_layers=True), layer(x, lengths=lengths, return_layers=True))


@pytest.mark.parametrize("name", [*sorted(PLAIN), "lstm deep peephole", "gru merge", "lstm reverse"])
def test_every_layout_is_the_same_call(name: str) -> None:
    x = np.random.default_rng(0).standard_normal((T, B, I))
    mask, reset = np.random.default_rng(1).random((2, T, B)) < 0.5
    layer, other = layer_of(name, np.float64), layer_of(name, np.float64, batch_first=True)
    for one in (layer, other):
        one.dropout = 0.0
    options: dict[str, Any] = {"return_layers": True} | ({"return_cell": True} if isinstance(layer, fr.LSTM) else {})
    y, state, *more = layer(x, mask=mask, reset=reset, **options)
    turned_y, turned_state, *turned = other(x.swapaxes(0, 1), mask=mask.T, reset=reset.T, **options)
    assert_same((turned_y.swapaxes(0, 1), turned_state), (y, state))
    assert_same([a.swapaxes(0, 1) for a in arrays_in(turned)], arrays_in(more))

    row_y, row_state, *row_more, tape = layer.record(x[:, 0], mask=mask[:, 0], reset=reset[:, 0], **options)
    assert_same((row_y, row_state), (y[:, 0], [a[:, 0] for a in arrays_in(state)]))
    assert_same(arrays_in(row_more), [a[:, 0] for a in arrays_in(more)])
    whole = layer.record(x, mask=mask, reset=reset, **options)[-1]
    dy = np.zeros_like(y)
    dy[:, 0] = np.random.default_rng(2).standard_normal(row_y.shape)
    ones = [np.ones_like(a) for a in arrays_in(row_state)]
    dstate = [np.zeros_like(a) for a in arrays_in(state)]
    for part in dstate:
        part[:, 0] = 1
    alone_gradients = tape.backward(dy[:, 0], tuple(ones) if len(ones) == 2 else ones[0])
    gradients = whole.backward(dy, tuple(dstate) if len(dstate) == 2 else dstate[0])
    assert alone_gradients.x.shape == (T, I)
    assert_close(
        (alone_gradients.x, alone_gradients.state, alone_gradients.params),
        (gradients.x[:, 0], [a[:, 0] for a in arrays_in(gradients.state)], gradients.params),
    )


@pytest.mark.parametrize("name", ["lstm", "gru both ways", "lstm peephole"])
@pytest.mark.parametrize("count", [3, 40])
def test_tokens_with_a_mask(name: str, count: int) -> None:
    """Folded or not; what stands at held steps is no token."""
    layer = layer_of(name, np.float64)
    rng = np.random.default_rng(0)
    mask = rng.random((T, B)) < 0.6
    table = rng.standard_normal((count, I))
    tokens = rng.integers(0, count, (T, B))
    expected = layer.record(table[tokens], mask=mask)
    tokens[~mask] = -1
    y, state, tape = layer.record(tokens, mask=mask, embedding=table)
    assert_same(layer(tokens, mask=mask, embedding=table), expected[:2])
    assert_same((y, state), expected[:2])
    dy = rng.standard_normal(y.shape)
    found, wanted = tape.backward(dy), expected[-1].backward(dy)
    assert found.x is None
    table_gradient = np.zeros_like(table)
    np.add.at(table_gradient, tokens[mask], wanted.x[mask])
    np.testing.assert_allclose(found.embedding, table_gradient, rtol=0, atol=1e-12)
    assert_close(found.params, wanted.params)


def test_a_padded_row_in_front_is_keras_and_not_zero_padding() -> None:
    """The state is held at first, so the row begins with it where its steps begin."""
    layer = fr.GRU(I, 6, dtype=np.float64, rng=0)
    x = np.random.default_rng(0).standard_normal((T, 1, I))
    mask = np.arange(T)[:, np.newaxis] >= 3
    y, last = layer(x, mask=mask)
    assert not y[:3].any()
    assert_same((y[3:], last), layer(x[3:]))


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "shape": ({"mask": np.ones((B, T), np.bool_)}, ValueError, r"mask: expected shape \(8, 5\), got \(5, 8\)"),
    "dtype": ({"mask": np.ones((T, B))}, TypeError, "mask: expected a bool array, got dtype float64"),
    "held": ({"mask": np.ones((T, B), np.bool_), "held": "keep"}, ValueError, "held: expected one of repeat, zero"),
    "lengths": (
        {"mask": np.ones((T, B), np.bool_), "lengths": [T] * B},
        ValueError,
        "lengths: expected None with mask",
    ),
    "reset": (
        {"mask": np.ones((T, B), np.bool_), "reset": np.ones((T, 1), np.bool_)},
        ValueError,
        r"reset: expected shape \(8, 5\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("method", ["__call__", "record"])
def test_bad_input_is_refused_by_name(case: str, method: str) -> None:
    options, error, message = BAD[case]
    with pytest.raises(error, match=message):
        getattr(fr.LSTM(I, 6, rng=0), method)(np.zeros((T, B, I), np.float32), **options)


def test_what_cannot_be_held_is_refused() -> None:
    layer = fr.GRU(I, 6, num_layers=2, bidirectional=True, merge="sum", connection="residual", rng=0)
    x, mask = np.zeros((T, B, I), np.float32), np.ones((T, B), np.bool_)
    with pytest.raises(ValueError, match=r"held: expected \"zero\" with merge='sum' and connection='residual'"):
        layer(x, mask=mask)
    for shape in ((T, B, I + 1), (T, I + 1), (T,)):
        with pytest.raises(ValueError, match=r"x: expected shape \(T, B, 5\)"):
            layer(np.zeros(shape, np.float32), mask=mask)


def test_a_gradient_of_another_shape_is_refused_by_name() -> None:
    layer = fr.GRU(I, 6, num_layers=2, rng=0)
    x, mask = np.zeros((T, B, I), np.float32), np.random.default_rng(0).random((T, B)) < 0.5
    y, _, layers, tape = layer.record(x, mask=mask, return_layers=True)
    with pytest.raises(ValueError, match=r"dy: expected shape \(8, 5, 6\)"):
        tape.backward(y[:3])
    with pytest.raises(ValueError, match=r"dlayers\[1\]: expected shape \(8, 5, 6\)"):
        tape.backward(y, dlayers=[None, layers[1][:3]])
