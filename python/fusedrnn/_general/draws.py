"""What is drawn at random while a tape is recorded: once for all steps, but for zoneout.

Numbers are drawn in float32 whatever the dtype, so one seed drops the same units in float32 and float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fusedrnn._checks import Array
from fusedrnn._general.spec import Spec


@dataclass(frozen=True)
class Draws:
    """The masks of one direction of one layer; None where nothing is dropped."""

    h: Array | None  # (B, P), 0 or 1 / (1 - p)
    zoneout: tuple[Any, ...]  # of h and c: (T, B, P) and (T, B, H), 1 where the old value stays, or 0.0
    weight: Array | None  # as weight_hh


@dataclass(frozen=True)
class LevelDraws:
    """The masks of one layer."""

    x: Array | None  # (B, I), 0 or 1 / (1 - p)
    directions: tuple[Draws, ...]


def dropped(rng: np.random.Generator, p: float, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
    """Inverted dropout: 0 with probability p, else 1 / (1 - p); None for p = 0."""
    if p == 0.0:
        return None
    scale = dtype.type(0.0 if p == 1.0 else 1.0 / (1.0 - p))
    found: Array = (rng.random(shape, dtype=np.float32) >= p) * scale
    return found


def draw(
    rng: np.random.Generator, spec: Spec, index: int, weight: tuple[int, ...], steps: int, rows: int
) -> LevelDraws:
    """The masks of layer `index`, whose weight_hh has this shape."""
    o = spec.options
    x = dropped(rng, o["input_dropout"], (rows, spec.width(index)), spec.dtype)
    return LevelDraws(x, tuple(_draw_direction(rng, spec, weight, steps, rows) for _ in range(spec.directions)))


def _draw_direction(rng: np.random.Generator, spec: Spec, weight: tuple[int, ...], steps: int, rows: int) -> Draws:
    o = spec.options
    h = dropped(rng, o["recurrent_dropout"], (rows, spec.output_size), spec.dtype)
    zoneout = tuple(
        (rng.random((steps, rows, width), dtype=np.float32) < p).astype(spec.dtype) if p else 0.0
        for p, width in zip(zoneouts(spec), spec.widths, strict=False)
    )
    return Draws(h, zoneout, dropped(rng, o["weight_dropout"], weight, spec.dtype))


def zoneouts(spec: Spec) -> tuple[float, float]:
    """The probabilities with which h and c stay."""
    value = spec.options["zoneout"]
    return value if isinstance(value, tuple) else (value, value)
