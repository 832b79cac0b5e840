"""What tells a layer that its parameters changed, and a tape that its x did.

A change of one word is never missed, nor what training and its users do to several.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn._core import fingerprint
from problems import use_isa

SIZES = [0, 1, 3, 8, 31, 64, 100, 255, 256, 257, 300, 511, 512, 513, 1000, 4096, 5001]


def some_bytes(size: int) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, size, np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_every_bit_counts(size: int, isa: str) -> None:
    data = some_bytes(size)
    whole = fingerprint(data)
    positions = range(size) if size < 600 else np.random.default_rng(0).integers(0, size, 500)
    for position, bit in itertools.product(positions, range(8)):
        data[position] ^= 1 << bit
        assert fingerprint(data) != whole, f"bit {bit} of byte {position}"
        data[position] ^= 1 << bit
    assert fingerprint(data) == whole


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_flipped_signs(dtype: type, isa: str) -> None:
    """The top bit of a word has nowhere to carry to; two of them must not make up for each other."""
    data = np.random.default_rng(0).standard_normal(200).astype(dtype)
    seen = {fingerprint(data)}
    for i, j in itertools.combinations(range(data.size), 2):
        data[[i, j]] *= -1
        seen.add(fingerprint(data))
        data[[i, j]] *= -1
    assert len(seen) == 1 + data.size * (data.size - 1) // 2


def test_two_powers_of_two(isa: str) -> None:
    """Signs and exponents are a float's top bits; changes of two floats must not make up for each other either."""
    random = np.random.default_rng(0)
    data = random.standard_normal(300).astype(np.float32)
    seen = {fingerprint(data): data.tobytes()}
    for _ in range(20000):
        changed = data.copy()
        factors = 2.0 ** random.integers(-20, 20, 2) * random.choice([-1, 1], 2)
        changed[random.integers(0, data.size, 2)] *= factors.astype(np.float32)
        assert seen.setdefault(fingerprint(changed), changed.tobytes()) == changed.tobytes()


def test_what_stands_where_counts(isa: str) -> None:
    data = np.arange(1, 301, dtype=np.float32)
    prints = {fingerprint(np.roll(data, shift)) for shift in range(data.size)}
    assert len(prints) == data.size


def test_zeros_count(isa: str) -> None:
    assert len({fingerprint(np.zeros(size, np.uint8)) for size in range(1100)}) == 1100


def test_scaled_and_shifted(isa: str) -> None:
    """Changes of every word at once."""
    data = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    changes = [data * np.float32(2.0**k) for k in range(-20, 21)] + [data + np.float32(k) for k in range(1, 50)]
    assert len({fingerprint(np.ascontiguousarray(changed)) for changed in changes}) == len(changes)


@pytest.mark.parametrize("size", SIZES)
def test_the_same_everywhere(size: int) -> None:
    """On every ISA, and wherever the bytes lie."""
    data = some_bytes(size)
    prints = set()
    for name in fr.available_isas():
        with use_isa(name):
            for offset in (0, 1, 7):
                moved = np.zeros(size + offset, np.uint8)[offset:]
                moved[:] = data
                prints.add(fingerprint(moved))
    assert len(prints) == 1
