"""Every cell and every kind of layer, once.

A kind is a cell, such as "gru", or a cell and a variant of it, such as "lstm proj". A new cell is a line of `CELLS`; a
new variant is a word there and a line of `options_of`. The other lists of the tests are made of these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn import reference


class Cell(NamedTuple):
    """The classes of a cell, and its variants; the plain cell is the variant ""."""

    layer: Callable[..., Any]
    step: Callable[..., Any]
    reference: Callable[..., Any]
    variants: tuple[str, ...] = ("",)
    reference_variants: tuple[str, ...] = ()  # those that only the reference has


CELLS = {
    "rnn": Cell(fr.RNN, fr.RNNCell, reference.RNN, tuple(fr._core.nonlinearities())),
    "gru": Cell(fr.GRU, fr.GRUCell, reference.GRU, reference_variants=("before",)),
    "lstm": Cell(fr.LSTM, fr.LSTMCell, reference.LSTM, ("", "proj")),
}
LAYERS = {name: cell.layer for name, cell in CELLS.items()}
assert set(CELLS) == set(fr._core.gates), "CELLS has other cells than the core"


def options_of(kind: str, hidden: int) -> dict[str, Any]:
    """What a layer of this kind and size is made with, beside the options that all kinds have."""
    cell, _, variant = kind.partition(" ")
    if cell == "rnn":
        return {"nonlinearity": variant}
    if variant == "proj":
        return {"proj_size": (hidden + 1) // 2}
    return {"reset_after": False} if variant == "before" else {}


def _kinds(variants: Callable[[Cell], tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(f"{name} {variant}".rstrip() for name, cell in CELLS.items() for variant in variants(cell))


KINDS = _kinds(lambda cell: cell.variants)
"""The simple RNN by nonlinearity, the GRU, the LSTM without and with projection."""
ONE_OF_EACH = tuple(kind for kind in KINDS if not kind.startswith("rnn") or kind == "rnn tanh")
"""One nonlinearity instead of all."""
ONLY_IN_REFERENCE = _kinds(lambda cell: cell.reference_variants)
"""The GRU with the reset before the product."""

DTYPES = (np.float32, np.float64)
FUSED_MULTIPLY_ADD = [name for name in fr.available_isas() if name != "scalar"]
"""The instruction sets that give the same bits."""

every_layer = pytest.mark.parametrize("kind", LAYERS)
every_kind = pytest.mark.parametrize("kind", ONE_OF_EACH)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
two_instruction_sets = pytest.mark.skipif(
    len(FUSED_MULTIPLY_ADD) < 2, reason="one instruction set with fused multiply-add here: nothing to compare it with"
)
