"""Fingerprints tell a layer that its parameters changed, and a tape that its x did.

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
    found = {fingerprint(np.roll(data, shift)) for shift in range(data.size)}
    assert len(found) == data.size


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
    found = set()
    for name in fr.available_isas():
        with use_isa(name):
            for offset in (0, 1, 7):
                moved = np.zeros(size + offset, np.uint8)[offset:]
                moved[:] = data
                found.add(fingerprint(moved))
    assert len(found) == 1


def test_two_bits_of_one_lane(isa: str) -> None:
    """Every two bits of words of one lane, sixteen words apart, whatever the words are."""
    random = np.random.default_rng(0)
    words, lane = 4, 3
    for data in (random.integers(0, 2**63, 16 * words, np.uint64), np.zeros(16 * words, np.uint64)):
        whole = fingerprint(data)
        places = [(lane + 16 * word, np.uint64(1 << bit)) for word in range(words) for bit in range(64)]
        seen = {whole}
        for (i, one), (j, other) in itertools.combinations(places, 2):
            data[i] ^= one
            data[j] ^= other
            seen.add(fingerprint(data))
            data[i] ^= one
            data[j] ^= other
        assert len(seen) == 1 + len(places) * (len(places) - 1) // 2


def test_a_few_bits_anywhere(isa: str) -> None:
    """Two to four flipped bits, many of them signs and exponents, in floats as weights are."""
    random = np.random.default_rng(1)
    data = random.standard_normal(600).astype(np.float32).view(np.uint32)
    whole = fingerprint(data)
    for _ in range(20000):
        count = random.integers(2, 5)
        first = random.integers(0, 32)
        places = random.choice((data.size - first) // 32, count, replace=False) * 32 + first  # of one lane
        places = places if random.random() < 0.8 else random.choice(data.size, count, replace=False)
        bits = np.where(random.random(count) < 0.5, 31, random.integers(0, 32, count)).astype(np.uint32)
        data[places] ^= np.uint32(1) << bits
        assert fingerprint(data) != whole, (places, bits)
        data[places] ^= np.uint32(1) << bits


def test_what_makes_up_for_itself_in_a_sum(isa: str) -> None:
    """Two words of a lane that change places, or of which one gives the other what it loses."""
    random = np.random.default_rng(2)
    data = random.integers(2**62, 2**63, 400, np.uint64)
    whole = fingerprint(data)
    for i, j in itertools.combinations(range(5, data.size, 16), 2):
        data[[i, j]] = data[[j, i]]
        assert fingerprint(data) != whole
        data[[i, j]] = data[[j, i]]
        for step in (np.uint64(1), np.uint64(1 << 32), np.uint64(1 << 62)):
            data[i] += step
            data[j] -= step
            assert fingerprint(data) != whole
            data[i] -= step
            data[j] += step


def test_a_layer_sees_two_bits() -> None:
    """Flipped in place, 63 words apart: the sign of one weight and the tenth bit of the other."""
    layer = fr.LSTM(16, 32, rng=0)
    x = np.random.default_rng(0).standard_normal((5, 3, 16)).astype(np.float32)
    before = layer(x)[0]
    words = layer.params["weight_hh_l0"].reshape(-1).view(np.uint32)
    for place in range(0, words.size - 64, 97):
        words[place] ^= np.uint32(1 << 31)
        words[place + 63] ^= np.uint32(1 << 10)
        fresh = fr.LSTM(16, 32, rng=1)
        fresh.load_params(layer.params)
        after = layer(x)[0]
        assert not np.array_equal(after, before)
        assert np.array_equal(after, fresh(x)[0])
        before = after
