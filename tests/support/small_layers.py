"""Small layers for the tests of the Python API: their size, inputs, states, comparisons, and views of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import fusedrnn as fr
from kinds import CELLS
from problems import check_same_bits
from tolerances import FLOAT64

T, B, I, H = 5, 3, 4, 6  # noqa: E741


def normal(*shape: int, dtype: Any = np.float32, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def state_of(layer: Any, *rows: int, seed: int = 7) -> Any:
    """A random initial state: h, or (h, c) for an LSTM."""
    layers = layer.num_layers * (2 if layer.bidirectional else 1)
    h = normal(layers, *rows, layer.proj_size or layer.hidden_size, dtype=layer.dtype, seed=seed)
    if isinstance(layer, fr.LSTM):
        return h, normal(layers, *rows, layer.hidden_size, dtype=layer.dtype, seed=seed + 1)
    return h


def arrays_in(*values: Any) -> list[np.ndarray]:
    """The arrays in nested tuples and mappings, in order."""
    found: list[np.ndarray] = []
    for value in values:
        if isinstance(value, np.ndarray):
            found.append(value)
        elif isinstance(value, Mapping):
            found += arrays_in(*value.values())
        elif isinstance(value, (tuple, list)):
            found += arrays_in(*value)
        elif value is not None:
            found += arrays_in(value.x, value.state, value.params)
    return found


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal to the bit, arrays pairwise."""
    pairs = list(zip(arrays_in(ours), arrays_in(theirs), strict=True))
    assert pairs
    for n, (a, b) in enumerate(pairs):
        check_same_bits(f"array {n}", a, b)


def assert_close(ours: Any, theirs: Any) -> None:
    """Float64, equal to its bound times the largest value."""
    for a, b in zip(arrays_in(ours), arrays_in(theirs), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=FLOAT64, atol=FLOAT64 * float(np.abs(b).max(initial=0.0)))


def with_reference(kind: str, **options: Any) -> tuple[Any, Any]:
    layer = CELLS[kind].layer(I, H, dtype=np.float64, rng=0, **options)
    oracle = CELLS[kind].reference(I, H, dtype=np.float64, **options)
    oracle.load_params(layer.params)
    return layer, oracle


def unaligned(array: np.ndarray) -> np.ndarray:
    """The same values one byte past an aligned address."""
    result = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    result[...] = array
    assert array.size == 0 or array.itemsize == 1 or not result.flags.aligned
    return result


def locked(array: np.ndarray) -> np.ndarray:
    result = array.copy()
    result.flags.writeable = False
    return result


def packed(array: np.ndarray) -> np.ndarray:
    """A field of a packed record: strides that are no multiple of the item size."""
    records = np.zeros(array.shape, np.dtype([("pad", np.uint8), ("value", array.dtype)]))
    records["value"] = array
    return records["value"]


VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "read-only": locked,
    "unaligned": unaligned,
    "Fortran": np.asfortranarray,
    "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: np.ascontiguousarray(a[::-1, ..., ::-1])[::-1, ..., ::-1],
    "rows apart": lambda a: np.repeat(a, 3, axis=1)[:, ::3],
    "swapped axes": lambda a: np.ascontiguousarray(a.swapaxes(0, 1)).swapaxes(0, 1),
    "packed record": packed,
}
