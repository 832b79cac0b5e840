"""exp, tanh and sigmoid of the kernels: how far from the exact values, over the whole range, and at its corners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import FUSED_MULTIPLY_ADD, every_dtype, two_instruction_sets
from problems import check_same_bits, use_isa
from tolerances import MATH_ULP

every_function = pytest.mark.parametrize("function", ["exp", "tanh", "sigmoid"])

# Each evaluated in more precision than is tested: float64 for float32, and for float64 the x87's or binary128.
EXACT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp,
    "tanh": np.tanh,
    "sigmoid": lambda x: np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x))),
}
EXACT_TYPE = {np.float32: np.float64, np.float64: np.longdouble}


def evaluate(function: str, x: np.ndarray) -> np.ndarray:
    return fr._core.evaluate(function, x)


def exact(function: str, x: np.ndarray) -> np.ndarray:
    wider = EXACT_TYPE[x.dtype.type]
    if np.finfo(wider).nmant <= np.finfo(x.dtype).nmant + 8:
        pytest.skip("this machine's long double is no wider than double: nothing exact to compare with")
    with np.errstate(over="ignore", under="ignore"):
        return EXACT[function](x.astype(wider))


def ulps(ours: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The distance in units in the last place of the exact value; 0 where both overflow, infinite where one does."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = true.astype(ours.dtype)
    finite = np.isfinite(rounded)
    unit = np.spacing(np.abs(np.where(finite, rounded, 1))).astype(true.dtype)
    distance = np.abs(np.where(finite, ours, 0).astype(true.dtype) - np.where(finite, true, 0)) / unit
    return np.where(finite, distance, np.where(ours == rounded, 0, np.inf))


def check_ulps(function: str, x: np.ndarray) -> None:
    distance = ulps(evaluate(function, x), exact(function, x))
    assert not np.isnan(distance).any()
    worst = distance.argmax()
    assert distance[worst] <= MATH_ULP[x.dtype], f"{distance[worst]:.2f} ULP at {x[worst]!r}"


def walk(dtype: Any) -> np.ndarray:
    """All finite numbers of both signs, every nth bit pattern: as many of every magnitude, subnormals too."""
    if dtype is np.float32:
        return np.arange(0, 0x7F800000, 1021, np.uint32).view(np.float32)
    # Only exponents from 2^-60 to 2^11 do anything; tiny numbers have a test of their own.
    low, high = np.array([2.0**-60, 2.0**11]).view(np.uint64)
    return np.arange(low, high, (high - low) // np.uint64(1_000_003), np.uint64).view(np.float64)


@every_dtype
@every_function
def test_error_over_the_whole_range(function: str, dtype: Any, isa: str) -> None:
    x = walk(dtype)
    assert x.size > 10**6
    for signed in (x, -x):
        check_ulps(function, signed)


@every_dtype
@every_function
def test_error_where_it_matters(function: str, dtype: Any, isa: str) -> None:
    """Between -20 and 20, evenly, as pre-activations are; and around the places where the argument is reduced anew."""
    even = np.linspace(-20, 20, 400_001).astype(dtype)
    steps = (np.arange(-60, 61)[:, None] * np.log(2) / 4).astype(dtype)
    around = (steps * (1 + np.arange(-50, 51) * np.finfo(dtype).eps)).astype(dtype).ravel()
    for x in (even, around):
        check_ulps(function, x)


@every_dtype
@every_function
def test_subnormal_results(function: str, dtype: Any, isa: str) -> None:
    """exp and sigmoid go to zero through the subnormals, within the bound, which there is absolute."""
    lowest = float(np.log(np.finfo(dtype).smallest_subnormal))
    highest = float(np.log(np.finfo(dtype).tiny))
    x = np.linspace(lowest - 2, highest + 2, 100_003).astype(dtype)
    check_ulps(function, x)
    ours = evaluate(function, x)
    if function != "tanh":
        below = (ours > 0) & (ours < np.finfo(dtype).tiny)
        assert below.sum() > 1000
        assert (ours[x < lowest - 1] == 0).all()


@every_dtype
def test_special_values(dtype: Any, isa: str) -> None:
    info = np.finfo(dtype)
    inf, zero = dtype(np.inf), dtype(0)
    table = {
        "exp": [(zero, 1), (-zero, 1), (inf, inf), (-inf, 0), (info.max, inf), (-info.max, 0), (info.tiny, 1)],
        "tanh": [(zero, zero), (-zero, -zero), (inf, 1), (-inf, -1), (info.max, 1), (-info.max, -1), (dtype(50), 1)],
        "sigmoid": [(zero, 0.5), (-zero, 0.5), (inf, 1), (-inf, 0), (info.max, 1), (-info.max, 0), (dtype(50), 1)],
    }
    for function, pairs in table.items():
        x, expected = (np.array(column, dtype) for column in zip(*pairs, strict=True))
        check_same_bits(function, evaluate(function, x), expected)
        nan = evaluate(function, np.array([np.nan, -np.nan, 1], dtype))
        assert np.isnan(nan).tolist() == [True, True, False], function


@every_dtype
def test_tiny_numbers(dtype: Any, isa: str) -> None:
    """tanh gives them back, subnormals too; the others give their value at zero."""
    info = np.finfo(dtype)
    subnormal = (np.arange(1, 2000, dtype=dtype) * info.smallest_subnormal).astype(dtype)
    normal = np.geomspace(info.tiny, float(info.eps) ** 2, 500).astype(dtype)
    for x in (subnormal, -subnormal, normal, -normal):
        check_same_bits("tanh", evaluate("tanh", x), x)
        assert (evaluate("exp", x) == 1).all()
        assert (evaluate("sigmoid", x) == 0.5).all()


@every_dtype
@every_function
def test_bounds_and_order(function: str, dtype: Any, isa: str) -> None:
    """Never outside its range; tanh odd to the bit; and rising, but for what the error bound lets a neighbour fall."""
    x = np.linspace(-30, 30, 200_001).astype(dtype)
    y = evaluate(function, x)
    low, high = {"exp": (0, np.inf), "tanh": (-1, 1), "sigmoid": (0, 1)}[function]
    assert low <= y.min()
    assert y.max() <= high
    if function == "tanh":
        check_same_bits("odd", evaluate(function, -x), -y)
    allowed = 2 * MATH_ULP[np.dtype(dtype)] * np.spacing(np.abs(y[1:]))
    assert (y[1:] - y[:-1] >= -allowed).all()


@two_instruction_sets
@every_dtype
@every_function
def test_instruction_sets_are_equal(function: str, dtype: Any) -> None:
    """To the bit, on every number of the walk, wherever fused multiply-add is there."""
    x = walk(dtype)[::3]
    special = np.array([0, -0.0, np.inf, -np.inf, np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal], dtype)
    x = np.concatenate([x, -x, special])
    results = {}
    for name in FUSED_MULTIPLY_ADD:
        with use_isa(name):
            results[name] = evaluate(function, x)
    first, *others = results.values()
    for other in others:
        check_same_bits(function, other, first)


@every_dtype
@every_function
@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33])
def test_any_size(function: str, size: int, dtype: Any, isa: str) -> None:
    """Remainders of a vector give what whole vectors give, and nothing past the end is written."""
    x = np.linspace(-3, 3, 64).astype(dtype)
    check_same_bits(function, evaluate(function, x[:size]), evaluate(function, x)[:size])
    assert evaluate(function, x.reshape(8, 8)[:, ::2]).shape == (8, 4)


@every_dtype
def test_the_layers_use_these(dtype: Any, isa: str) -> None:
    """A simple RNN without weights is its nonlinearity of its bias: the same bits."""
    x = np.linspace(-9, 9, 401).astype(dtype)
    for name in ("tanh", "sigmoid"):
        layer = fr.RNN(1, x.size, nonlinearity=name, dtype=dtype)
        for parameter in layer.params.values():
            parameter[...] = 0
        layer.params["bias_ih_l0"][...] = x
        y, _ = layer(np.zeros((1, 1, 1), dtype))
        check_same_bits(name, y[0, 0], evaluate(name, x))


def test_unknown_function_and_type() -> None:
    with pytest.raises(ValueError, match="exp, tanh or sigmoid, got 'sine'"):
        evaluate("sine", np.zeros(1))
    with pytest.raises(TypeError, match="int64"):
        evaluate("exp", np.zeros(1, np.int64))
