"""Parts, losses and optimisers read arrays of any layout, and no size that is legal breaks them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusedrnn as fr
from nn_cases import LOSSES, PARTS, POOLED_MODELS, POOLINGS, WIDTH, arrays_of, check_same_bits, draw, nn, targets_of

few = settings(max_examples=25)
dtypes = st.sampled_from([np.float32, np.float64])
shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
steps_and_rows = st.tuples(st.integers(1, 5), st.integers(0, 4))


class Named(np.ndarray):
    """A subclass of arrays."""


def laid_out(array: np.ndarray, how: str) -> np.ndarray:
    """The same numbers, elsewhere in memory."""
    if how == "reversed":
        return array[tuple(slice(None, None, -1) for _ in array.shape)].copy()[
            tuple(slice(None, None, -1) for _ in array.shape)
        ]
    if how == "every other":
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]) if array.ndim else (), np.nan, array.dtype)
        if not array.ndim:
            return array
        wide[..., ::2] = array
        return wide[..., ::2]
    if how == "column by column":
        return np.asfortranarray(array)
    if how == "read-only":
        array = array.copy()
        array.flags.writeable = False
        return array
    if how == "not aligned":
        return np.frombuffer(b"?" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)
    return array.view(Named)


layouts = st.sampled_from(["reversed", "every other", "column by column", "read-only", "not aligned", "subclass"])


def recorded(part: Any, x: np.ndarray, how: str = "") -> dict[str, Any]:
    y, tape = part.record(x)
    dy = draw(*y.shape, dtype=y.dtype, seed=1)
    found = {"y": y, **arrays_of(tape.backward(laid_out(dy, how) if how else dy))}
    assert all(type(array) is np.ndarray for array in found.values())
    return found


@few
@given(name=st.sampled_from([name for name in PARTS if name not in POOLINGS]), shape=shapes, how=layouts, dtype=dtypes)
def test_parts(name: str, shape: tuple[int, ...], how: str, dtype: Any) -> None:
    x = draw(*shape, WIDTH, dtype=dtype)
    expected = recorded(PARTS[name](dtype), x)
    assert expected["d x"].shape == x.shape
    check_same_bits(recorded(PARTS[name](dtype), laid_out(x, how), how), expected)


@few
@given(name=st.sampled_from(POOLINGS), shape=steps_and_rows, how=layouts, dtype=dtypes)
def test_poolings(name: str, shape: tuple[int, int], how: str, dtype: Any) -> None:
    x = draw(*shape, WIDTH, dtype=dtype)
    expected, found = recorded(PARTS[name](dtype), x), recorded(PARTS[name](dtype), laid_out(x, how), how)
    assert found["y"].shape == (shape[1], WIDTH)
    for key in expected:  # NumPy adds in an order of its own
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-5 if dtype is np.float32 else 1e-13)


@few
@given(shape=shapes, kind=st.sampled_from(["i1", "u1", "<i4", ">i4", ">i8", "<u8"]), dtype=dtypes)
def test_embeddings(shape: tuple[int, ...], kind: str, dtype: Any) -> None:
    part = nn.Embedding(5, 3, dtype=dtype, rng=0)
    x = np.random.default_rng(0).integers(0, 5, shape)
    expected = recorded(part, x)
    assert expected["y"].shape == (*shape, 3)
    check_same_bits(recorded(part, x.astype(kind)), expected)
    if x.size:  # a list of nothing has lost its shape
        check_same_bits({"y": part(x.tolist())}, {"y": expected["y"]})


@few
@given(name=st.sampled_from(sorted(LOSSES)), shape=shapes, how=layouts, dtype=dtypes)
def test_losses(name: str, shape: tuple[int, ...], how: str, dtype: Any) -> None:
    y = draw(*shape, 3, dtype=dtype)
    targets = targets_of(name, y.shape, dtype)
    value, dy = LOSSES[name](y, targets)
    other_value, other_dy = LOSSES[name](laid_out(y, how), targets.astype(targets.dtype.newbyteorder(">")))
    np.testing.assert_allclose(other_value, value, rtol=1e-6)
    check_same_bits({"dy": np.ascontiguousarray(other_dy)}, {"dy": dy})
    assert type(dy) is type(other_dy) is np.ndarray
    assert type(value) is float


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "dropout"])
def test_a_number_alone(name: str) -> None:
    found = recorded(PARTS[name](np.float64), np.asarray(0.7))
    assert found["y"].shape == found["d x"].shape == ()


@few
@given(shape=steps_and_rows, name=st.sampled_from(sorted(POOLED_MODELS)), data=st.data())
def test_models_of_rows_that_end_anywhere(shape: tuple[int, int], name: str, data: st.DataObject) -> None:
    """A row alone gives what it gives among others, and rows of no steps change nothing."""
    model = POOLED_MODELS[name](np.float64)
    steps, rows = shape
    lengths = data.draw(st.lists(st.integers(0, steps), min_size=rows, max_size=rows))
    x = draw(steps, rows, WIDTH)
    y, _ = model(x, lengths=lengths)
    for row, count in enumerate(lengths):
        if count:
            alone, _ = model(x[:count, row : row + 1])
            np.testing.assert_allclose(y[row], alone[0], rtol=1e-12, atol=1e-14)
    assert np.isfinite(y).all()


@few
@given(steps=st.integers(0, 3), rows=st.integers(0, 3))
def test_models_of_nothing(steps: int, rows: int) -> None:
    model = nn.Sequential(nn.Embedding(4, 3, rng=0), fr.LSTM(3, 4, rng=1), nn.Linear(4, 4, rng=2))
    x = np.zeros((steps, rows), int)
    value, state, tape = model.record_loss(x, x)
    found = tape.backward()
    assert np.isfinite(value)
    assert (value == 0) == (x.size == 0)
    assert state[0][0].shape == (1, rows, 4)
    if x.size == 0:
        assert not any(array.any() for array in found.params.values())


@few
@given(how=layouts, dtype=dtypes)
def test_gradients_of_an_optimiser(how: str, dtype: Any) -> None:
    def after(gradient: np.ndarray) -> dict[str, Any]:
        params = {"a": draw(5, 3, dtype=dtype)}
        fr.optim.Adam(params).step({"a": gradient})
        return params

    gradient = draw(5, 3, dtype=dtype, seed=1)
    check_same_bits(after(laid_out(gradient, how)), after(gradient))


def test_float_arrays_in_foreign_byte_order_are_refused() -> None:
    x = draw(2, WIDTH, dtype=np.float32).astype(">f4")
    for name, make in PARTS.items():
        if name not in POOLINGS:
            with pytest.raises(TypeError, match=r"^x: expected dtype float32, got >f4; \.astype"):
                make(np.float32).record(x)
    with pytest.raises(TypeError, match=r"^y: "):
        nn.mse(x, x)
    with pytest.raises(TypeError, match=r"^params: "):
        fr.optim.SGD({"a": x})
