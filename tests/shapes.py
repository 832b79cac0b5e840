"""Sizes, named by what they stress. Every test that sweeps sizes takes them from here.

A register tile is a few batch rows by one block of units. A block is one cache line: 16 float32 or 8 float64. Rows per
tile are 6 on AVX-512, 3 on AVX2. Below 24 rows the input of several steps is projected at once, from 24 it is not.
"""

from __future__ import annotations

HIDDEN = {
    "one unit": 1,
    "block of 16 less one": 15,
    "block of 16": 16,
    "block of 16 and one": 17,
    "two blocks less one": 31,
    "two blocks and one": 33,
    "four blocks less one": 63,
    "four blocks and one": 65,
    "six blocks and one": 97,
    "eight blocks and one": 129,
}
INPUT = {"one": 1, "odd": 5, "block less one": 15, "block": 16, "blocks and one": 33}
STEPS = {"none": 0, "one": 1, "two": 2, "several": 9, "more than a chunk": 70, "long": 400}
BATCH = {
    "none": 0,
    "one": 1,
    "tile less one": 5,
    "tile": 6,
    "tile and one": 7,
    "two tiles and one": 13,
    "last projected": 23,
    "first fused": 24,
    "many": 64,
}
