"""The arguments of one call, checked as the core checks those of a plain network, and time first."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn._general.level import Batch
from fusedrnn._general.spec import Spec
from fusedrnn._tokens import Tokens


class Arguments(NamedTuple):
    """Checked arguments, time first."""

    x: Array
    h0: Array | None
    c0: Array | None
    batch: Batch
    tokens: Tokens | None


def checked(
    spec: Spec,
    x: Array,
    h0: Array | None,
    c0: Array | None,
    lengths: NDArray[np.int64] | None,
    reset: NDArray[np.bool_] | None,
    batch_first: bool,
    table: Array | None,
) -> Arguments:
    """The arguments of `GeneralNetwork.forward`; what x holds in the padding becomes 0."""
    x = _checks.array("x", x)
    tokens = None
    if x.dtype.kind in "iu":
        tokens = Tokens(x, table, spec.input_size, spec.dtype)
        x = tokens.unfolded()
    if x.ndim != 3 or x.shape[2] != spec.input_size:
        layout = "(B, T" if batch_first else "(T, B"
        raise ValueError(f"x: expected shape {layout}, {spec.input_size}), got {x.shape}")
    x = _checks.shaped("x", x, x.shape, spec.dtype)
    if batch_first:
        x = x.swapaxes(0, 1)
    steps, rows = x.shape[:2]
    h0, c0 = (
        None if part is None else _checks.shaped(name, part, shape, spec.dtype)
        for name, part, shape in zip(("state (h)", "state (c)"), (h0, c0), _state_shapes(spec, rows), strict=True)
    )
    if spec.dilated and (h0 is not None or c0 is not None):
        raise ValueError("state: expected None with dilation > 1: a dilated layer begins with its first state only")
    if lengths is not None:
        _check_lengths(lengths, steps, rows)
        x = np.where((np.arange(steps)[:, np.newaxis] < lengths)[:, :, np.newaxis], x, spec.dtype.type(0))
    if reset is not None:
        shape = (rows, steps) if batch_first else (steps, rows)
        reset = _checks.shaped("reset", reset, shape, np.dtype(np.bool_))
        reset = np.ascontiguousarray(reset.T if batch_first else reset)
    return Arguments(np.asarray(x), h0, c0, Batch(steps, rows, lengths, reset), tokens)


def _state_shapes(spec: Spec, rows: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    count = spec.num_layers * spec.directions
    return (count, rows, spec.output_size), (count, rows, spec.hidden_size)


def _check_lengths(lengths: Any, steps: int, rows: int) -> None:
    if lengths.shape != (rows,):
        raise ValueError(f"lengths: expected shape ({rows},), got {lengths.shape}")
    wrong = np.flatnonzero((lengths < 0) | (lengths > steps))
    if wrong.size:
        at = int(wrong[0])
        raise ValueError(f"lengths: expected values from 0 to T = {steps}, got {lengths[at]} at index {at}")
