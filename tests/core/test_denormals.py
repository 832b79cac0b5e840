"""Denormal numbers: they count as zero inside of a call, and the caller's own arithmetic keeps them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import LAYERS, every_dtype, every_kind, every_layer
from problems import Problem, check_same_bits
from tolerances import check_float64, check_same_numbers

# The caller's arithmetic


def denormals_work(dtype: Any) -> None:
    """NumPy's arithmetic here keeps numbers below the smallest normal one, read and written."""
    tiny = np.full(64, np.finfo(dtype).tiny, dtype)
    half = tiny * dtype(0.5)
    assert (half > 0).all()
    assert (half * dtype(2) == tiny).all()
    assert (half + half == tiny).all()


@every_dtype
@every_kind
@pytest.mark.parametrize("threads", [1, 2])
def test_the_callers_arithmetic_keeps_denormals(kind: str, threads: int, dtype: Any, isa: str) -> None:
    problem = Problem(kind, steps=20, batch=16, inputs=33, hidden=65, lengths="ragged")
    layer = problem.fused(dtype)
    denormals_work(dtype)
    with fr.threads(threads):
        *_, tape = layer.record(problem.x(dtype), **problem.arguments(dtype))
        denormals_work(dtype)
        dy, dstate = problem.gradients(dtype)
        tape.backward(dy, dstate)
        denormals_work(dtype)
        layer(problem.x(dtype))
        stream = layer.stream(16)
        stream.step(problem.draw("x", 16, 33).astype(dtype))
        denormals_work(dtype)
        for function in ("exp", "tanh", "sigmoid"):
            fr._core.evaluate(function, np.ones(3, dtype))
        denormals_work(dtype)


def test_the_callers_arithmetic_keeps_denormals_after_an_error() -> None:
    layer = Problem().fused()
    calls: list[Callable[[], Any]] = [
        lambda: layer(np.zeros((1, 2, 3), np.float32)),
        lambda: layer.record(np.zeros((5, 3, 4), np.float32), lengths=[9, 9, 9]),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"x|lengths"):
            call()
        denormals_work(np.float32)


# Inside of a call


@every_dtype
@every_layer
def test_denormal_numbers_count_as_zero(kind: str, dtype: Any, isa: str) -> None:
    """In x, states, weights and gradients: all results are those of zeros in their places, to the bit."""
    random = np.random.default_rng(0)
    largest = np.finfo(dtype).smallest_normal

    def some(*shape: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of which half are denormal, and the same with zeros there."""
        values = random.standard_normal(shape).astype(dtype)
        small = random.random(shape) < 0.5
        return np.where(small, (values.clip(-0.99, 0.99) * largest).astype(dtype), values), np.where(
            small, dtype(0), values
        )

    layer: Any = LAYERS[kind](5, 9, 2, dtype=dtype, rng=0)
    parts = 2 if kind == "lstm" else 1
    arrays = [some(6, 3, 5), *(some(2, 3, 9) for _ in range(parts)), some(6, 3, 9), some(2, 3, 9)]
    weights = {name: some(*shape) for name, shape in layer.params.shapes.items()}
    results = []
    for which in (0, 1):
        layer.load_params({name: pair[which] for name, pair in weights.items()})
        x, *state, dy, dh = (pair[which] for pair in arrays)
        y, last, tape = layer.record(x, tuple(state) if parts == 2 else state[0])
        g = tape.backward(dy, (dh, None) if parts == 2 else dh)
        results.append([y, *(last if parts == 2 else [last]), g.x, *g.params.values()])
    for ours, zeros in zip(*results, strict=True):
        assert np.array_equal(ours, zeros)
        assert not ((ours != 0) & (np.abs(ours) < largest)).any()


@every_dtype
def test_what_would_be_denormal_is_zero(dtype: Any, isa: str) -> None:
    layer = fr.RNN(1, 1, nonlinearity="identity", bias=False, dtype=dtype, rng=0)
    root = np.sqrt(np.finfo(dtype).smallest_normal)
    layer.params["weight_ih_l0"][:] = root / 2
    assert layer(np.full((1, 1, 1), root, dtype))[0] == 0
    assert layer(np.full((1, 1, 1), root * 4, dtype))[0] > 0


def test_a_denormal_state_passes_through() -> None:
    layer = fr.GRU(2, 3, rng=0)
    h = np.full((1, 1, 3), np.finfo(np.float32).smallest_subnormal, np.float32)
    assert np.array_equal(layer(np.zeros((4, 1, 2), np.float32), h, lengths=[0])[1], h)


@every_dtype
@every_kind
def test_denormal_input_is_as_good_as_zero(kind: str, dtype: Any, isa: str) -> None:
    problem = Problem(kind, steps=9, batch=7, inputs=5, hidden=17)
    layer = problem.fused(dtype)
    smallest = np.finfo(dtype).smallest_subnormal
    signs = np.sign(problem.x(dtype))
    check = check_float64 if dtype is np.float64 else check_same_numbers
    ours = layer.record(signs * smallest * dtype(1000))
    zeros = layer.record(np.zeros_like(signs))
    check("y", ours[0], zeros[0])
    dy = problem.gradients(dtype)[0]
    assert dy is not None
    one, other = ours[-1].backward(dy), zeros[-1].backward(dy)
    check("d x", one.x, other.x)
    check("d bias", one.params["bias_ih_l0"], other.params["bias_ih_l0"])
    tiny_state = np.full((1, 7, problem.hidden), smallest, dtype)
    if kind == "gru":
        check("y", layer(np.zeros_like(signs), tiny_state)[0], zeros[0])


@every_dtype
def test_a_state_that_fades_reaches_zero(dtype: Any, isa: str) -> None:
    """An identity network that halves its state passes the smallest normal number and is zero after it, not slow."""
    layer = fr.RNN(1, 17, nonlinearity="identity", bias=False, dtype=dtype)
    layer.params["weight_ih_l0"][...] = 0
    layer.params["weight_hh_l0"][...] = np.eye(17) / 2
    steps = 1100 if dtype is np.float64 else 160
    y, _ = layer(np.zeros((steps, 1, 1), dtype), np.ones((1, 1, 17), dtype))
    exact = 0.5 ** np.arange(1, steps + 1, dtype=np.float64)
    normal = exact >= np.finfo(dtype).tiny
    assert 0 < normal.sum() < steps
    np.testing.assert_array_equal(y[normal, 0, 0], exact[normal].astype(dtype))
    assert not y[~normal].any()
    check_same_bits("all units", y, np.repeat(y[:, :, :1], 17, axis=2))
