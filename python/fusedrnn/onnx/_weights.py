"""W, R, B and P of an ONNX node, as the parameters of a layer and back: only the order of the gates differs.

ONNX stacks the gates of an LSTM as i, o, f, c and those of a GRU as z, r, h; a layer as i, f, g, o and r, z, n. Where
an LSTM couples f to i, a layer has no rows for f, and those of the node mean nothing.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_GATES: Final[dict[tuple[str, bool], tuple[tuple[int, ...], int]]] = {
    ("RNN", False): ((0,), 1),
    ("GRU", False): ((1, 0, 2), 3),
    ("LSTM", False): ((0, 2, 3, 1), 4),
    ("LSTM", True): ((0, 3, 1), 4),
}
"""Of an operator, and whether f is coupled: where each block of a layer is among the node's, and how many those are."""

_PEEPHOLES: Final[dict[bool, tuple[int, ...]]] = {False: (0, 2, 1), True: (0, 1)}
"""The same of P, whose order is i, o, f: a layer has i, f, o, or i, o where f is coupled."""

SUFFIXES: Final = ("_l0", "_l0_reverse")


def _taken(blocks: Array, order: tuple[int, ...], count: int) -> Array:
    """The blocks of the first axis in another order."""
    parts = blocks.reshape(count, -1, *blocks.shape[1:])
    return np.concatenate([parts[place] for place in order])


def _put(blocks: Array, order: tuple[int, ...], count: int) -> Array:
    """The way back. A block that is nowhere in the order is zero."""
    parts = blocks.reshape(len(order), -1, *blocks.shape[1:])
    found = np.zeros((count, *parts.shape[1:]), blocks.dtype)
    for place, part in zip(order, parts, strict=True):
        found[place] = part
    return found.reshape(-1, *blocks.shape[1:])


def parameters(op_type: str, coupled: bool, W: Array, R: Array, B: Array | None, P: Array | None) -> dict[str, Array]:
    """The parameters by name, of as many directions as the arrays have."""
    order, count = _GATES[op_type, coupled]
    found: dict[str, Array] = {}
    for direction, suffix in enumerate(SUFFIXES[: len(W)]):
        found["weight_ih" + suffix] = _taken(W[direction], order, count)
        found["weight_hh" + suffix] = _taken(R[direction], order, count)
        if B is not None:
            for name, bias in zip(("bias_ih", "bias_hh"), np.split(B[direction], 2), strict=True):
                found[name + suffix] = _taken(bias, order, count)
        if P is not None:
            found["weight_ch" + suffix] = _taken(P[direction], _PEEPHOLES[coupled], 3)
    return found


def arrays(op_type: str, coupled: bool, params: dict[str, Array], suffixes: list[str]) -> dict[str, Array]:
    """W, R, B and P, those that there are, of the parameters that end in each of the suffixes."""
    order, count = _GATES[op_type, coupled]
    found = {
        letter: np.stack([_put(params[name + suffix], order, count) for suffix in suffixes])
        for letter, name in (("W", "weight_ih"), ("R", "weight_hh"))
    }
    if "bias_ih" + suffixes[0] in params:
        found["B"] = np.stack(
            [
                np.concatenate([_put(params[name + suffix], order, count) for name in ("bias_ih", "bias_hh")])
                for suffix in suffixes
            ]
        )
    if "weight_ch" + suffixes[0] in params:
        found["P"] = np.stack([_put(params["weight_ch" + suffix], _PEEPHOLES[coupled], 3) for suffix in suffixes])
    return found
