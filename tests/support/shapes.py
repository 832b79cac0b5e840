"""Sizes to go through one at a time, chosen for the borders at which kernels change what they do.

A register tile is up to 6 batch rows by one block of units, 3 on the scalar build. A block is one cache line: 16
float32 or 8 float64. With 1, 2, 3 or 7 rows, and more than 16 inputs, the input of several steps is projected at once,
48 rows of (steps x batch) at a time.
"""

from __future__ import annotations

HIDDEN = (1, 15, 16, 17, 31, 33, 63, 65, 97, 129)  # around one block, two, four, and beyond six and eight
INPUTS = (1, 5, 15, 16, 33)
STEPS = (0, 1, 2, 9, 16, 17, 70, 400)  # 3 rows: 16 steps are projected at once
BATCH = (0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 64)  # around one tile, two, and many
