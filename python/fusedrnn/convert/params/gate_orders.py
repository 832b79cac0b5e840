"""In which order frameworks stack the gates of a weight matrix.

A wrong order has the right shape, so nothing but the numbers can show it. docs/howto/loading.md has this table with
sources.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array

OWN: Final = {"lstm": "ifgo", "gru": "rzn", "rnn": ""}
"""The order of this package's parameters, which is torch's. A simple RNN has one block and no order."""

SYNONYMS: Final = {"lstm": {"c": "g", "j": "g"}, "gru": {"u": "z", "h": "n", "c": "n", "g": "n"}}
"""Other letters for the same gate: the candidate of an LSTM, the update gate and the candidate of a GRU."""


class Order(NamedTuple):
    """How one framework stacks gates; None where it has no such cell or keeps the gates apart."""

    lstm: str | None
    gru: str | None


FRAMEWORKS: Final[dict[str, Order]] = {
    "torch": Order("ifgo", "rzn"),
    "flax": Order("ifgo", "rzn"),
    "keras": Order("ifco", "zrh"),
    "onnx": Order("iofc", "zrh"),
    "cudnn": Order("ifco", "ruh"),
    "onednn": Order("ifco", None),
    "openvino": Order("fico", "zrh"),
    "tensorflow1": Order("ijfo", None),
    "dynet": Order("ifog", None),
    "paddle": Order("ifgo", "ruc"),
    "paddle_fluid": Order("cifo", "urc"),
    "haste": Order("igfo", "zrg"),
    "rnnoise": Order(None, "zrh"),
    "tesseract": Order("gifo", None),
    "tflite": Order("ifgo", None),
}
"""The orders by framework. The table of the documentation has what else differs: biases, z, where the reset is."""


def own_gates(cell: str, coupled: bool = False, minimal: bool = False) -> str:
    """The gates of this package's cell in their order."""
    if cell == "lstm" and coupled:
        return "igo"
    return "fn" if cell == "gru" and minimal else OWN[cell]


def block_order(cell: str, gates: object, own: str) -> list[int]:
    """At place k the number of the block of `gates` that is our gate k.

    Raises:
        ValueError: `gates` is no framework of the table, and no order of the letters of `own`.
        TypeError: it is not a string.
    """
    if gates is None or not own:
        if gates is not None:
            raise ValueError(f"gates: a simple RNN has one block and no order, got {_checks.shown(gates)}")
        return list(range(max(len(own), 1)))
    letters = _letters(cell, gates)
    if sorted(letters) != sorted(own):
        raise ValueError(
            f"gates: expected the letters {', '.join(own)} in some order, or one of {', '.join(_names(cell))}; "
            f"got {_checks.shown(gates)}"
        )
    return [letters.index(letter) for letter in own]


def _letters(cell: str, gates: object) -> str:
    if not isinstance(gates, str):
        raise TypeError(f"gates: expected a string such as {OWN[cell]!r}, got {_checks.shown(gates)}")
    if gates in FRAMEWORKS:
        found = getattr(FRAMEWORKS[gates], cell)
        if found is None:
            raise ValueError(f"gates: {gates} has no one order for a {cell.upper()}; give the letters")
        gates = str(found)
    synonyms = {} if gates == "fn" else SYNONYMS[cell]
    return "".join(synonyms.get(letter, letter) for letter in gates)


def _names(cell: str) -> list[str]:
    return [name for name, order in FRAMEWORKS.items() if getattr(order, cell) is not None]


def reordered(array: Array, order: list[int]) -> Array:
    """Rows in blocks, one a gate, in our order."""
    if order == sorted(order):
        return array
    blocks = np.split(array, len(order))
    return np.concatenate([blocks[k] for k in order])
