"""Every numeric argument, given numbers that are none it can use: ValueError or TypeError that names it."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import fusedrnn
from kinds import CELLS, LAYERS

fr: Any = fusedrnn
X = np.zeros((4, 2, 3), np.float32)

NO_NUMBERS = {
    "True": True,
    "np.True_": np.True_,
    "a string": "3",
    "a list": [3],
    "an array": np.array([3, 4]),
    "complex": 3j,
    "Decimal": Decimal(1),
    "an object": object(),
}
NOT_FINITE = {
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
    "np.float32 nan": np.float32("nan"),
    "np.longdouble inf": np.longdouble("inf"),
}
HUGE = {
    "10**400": 10**400,
    "-10**400": -(10**400),
    "10**5000": 10**5000,  # more digits than Python prints
    "-10**5000": -(10**5000),
    "np.uint64": np.uint64(2**64 - 1),
    "2**63": 2**63,
}
NONE = {**NO_NUMBERS, **NOT_FINITE, **HUGE}
NO_SIZES = {**NONE, "1.5": 1.5, "np.float64 3": np.float64(3), "Fraction": Fraction(3), "-1": -1}
NO_PROBABILITIES = {**NONE, "1.5": 1.5, "np.float16": np.float16(-0.5), "Fraction": Fraction(1, 2)}
UNBOUNDED = {"10**400", "10**5000", "np.uint64", "2**63"}
"""A seed may be one of these; and as a number of steps they are just the whole sequence."""


def layer(kind: Any = fr.LSTM, **options: Any) -> Any:
    return kind(**{"input_size": 3, "hidden_size": 4, "rng": 0, **options})


def tape() -> Any:
    return layer().record(X)[-1]


def cases() -> list[Any]:
    calls: dict[str, tuple[str, Callable[[Any], Any], dict[str, Any]]] = {}
    for kind in (*LAYERS.values(), *(cell.step for cell in CELLS.values())):
        for name in ("input_size", "hidden_size"):
            calls[f"{kind.__name__} {name}"] = name, lambda v, k=kind, n=name: layer(k, **{n: v}), NO_SIZES
        seeds = {key: value for key, value in NO_SIZES.items() if key not in UNBOUNDED}
        calls[f"{kind.__name__} rng"] = "rng", lambda v, k=kind: layer(k, rng=v), seeds
        dtypes = {**NOT_FINITE, **HUGE, "True": True, "1.5": 1.5, "text": "3,,x", "list": [("a", 1)], "dict": {"a": 1}}
        calls[f"{kind.__name__} dtype"] = "dtype", lambda v, k=kind: layer(k, dtype=v), dtypes
    for kind in LAYERS.values():
        name = kind.__name__
        calls[f"{name} num_layers"] = "num_layers", lambda v, k=kind: layer(k, num_layers=v), NO_SIZES
        calls[f"{name} dropout"] = "dropout", lambda v, k=kind: layer(k, num_layers=2, dropout=v), NO_PROBABILITIES
        calls[f"{name} batch_size"] = "batch_size", lambda v, k=kind: layer(k).stream(v), NO_SIZES
        for flag in ("bias", "batch_first", "bidirectional"):
            no_bools = {key: value for key, value in NO_SIZES.items() if "True" not in key} | {"1": 1, "None": None}
            calls[f"{name} {flag}"] = flag, lambda v, k=kind, f=flag: layer(k, **{f: v}), no_bools
    counts = {key: value for key, value in NO_SIZES.items() if key not in ("np.uint64",)} | {"0": 0}
    calls |= {
        "proj_size": ("proj_size", lambda v: layer(proj_size=v), NO_SIZES),
        "checkpoint": ("checkpoint", lambda v: layer().record(X, checkpoint=v), counts),
        "truncate": ("truncate", lambda v: tape().backward(X[..., :1].repeat(4, 2), truncate=v), counts),
        "set_num_threads": ("n", fr.set_num_threads, {**NO_SIZES, "0": 0}),
        "threads": ("n", fr.threads, {**NO_SIZES, "0": 0}),
        "lengths": ("lengths", lambda v: layer()(X, lengths=[v, 1]), NO_SIZES),
        "lengths, with a float": ("lengths", lambda v: layer()(X, lengths=[v, 1.5]), HUGE),
        "lengths unbatched": ("lengths", lambda v: layer()(X[:, 0], lengths=v), {**NO_SIZES, "in a list": [10**5000]}),
        "functional lengths": ("lengths", lambda v: fr.functional.gru(X, *weights(), lengths=[v, 1]), NO_SIZES),
        "nonlinearity": ("nonlinearity", lambda v: layer(fr.RNN, nonlinearity=v), {**NOT_FINITE, **HUGE}),
        "isa": ("name", fr.use_isa, {**NOT_FINITE, **HUGE}),
        "parameter": ("bias_ih_l0", lambda v: layer().params.__setitem__("bias_ih_l0", [v, 1.5]), HUGE),
    }
    reference = fr.reference
    for kind in (reference.RNN, reference.GRU, reference.LSTM):
        name = f"reference {kind.__name__}"
        for size in ("input_size", "hidden_size", "num_layers"):
            calls[f"{name} {size}"] = size, lambda v, k=kind, s=size: layer(k, **{s: v}), NO_SIZES
        no_fractions = {key: value for key, value in NONE.items() if key != "Decimal"}
        calls[f"{name} dropout"] = "dropout", lambda v, k=kind: layer(k, dropout=v), no_fractions
        calls[f"{name} rng"] = "rng", lambda v, k=kind: layer(k, rng=v), {**NOT_FINITE, "-1": -1, "a string": "x"}
        calls[f"{name} lengths"] = "lengths", lambda v, k=kind: layer(k)(X, lengths=[v, 1]), {**NOT_FINITE, **HUGE}
    return [
        pytest.param(argument, call, value, id=f"{where}: {what}")
        for where, (argument, call, values) in calls.items()
        for what, value in values.items()
    ]


def weights() -> list[np.ndarray]:
    return [np.zeros((12, 3), np.float32), np.zeros((12, 4), np.float32)]


@pytest.mark.parametrize(("argument", "call", "value"), cases())
def test_refused_by_name(argument: str, call: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        call(value)
    assert re.match(rf"{argument}\b", str(caught.value)), str(caught.value)
    assert len(str(caught.value)) < 500


def test_numpy_scalars_are_numbers() -> None:
    for kind in LAYERS.values():
        options = {"dropout": np.float16(0.5), "bidirectional": np.bool_(True), "rng": np.int32(1)}
        made = kind(np.int8(3), np.uint64(4), np.int64(2), **options)
        assert (type(made.input_size), type(made.num_layers), type(made.dropout)) == (int, int, float)
        made(X, lengths=[np.int8(1), np.int16(4)])
        assert kind(3, 4, 2, dropout=np.longdouble(1)).dropout == 1.0
