"""The backward pass of a general network: docs/design/cells.md, sections 7, 8 and 12."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn._general.arguments import Arguments
from fusedrnn._general.connections import Highway
from fusedrnn._general.level import LevelResult
from fusedrnn._general.level_tape import LevelTape
from fusedrnn._general.spec import Spec
from fusedrnn._merging import merged_gradient


class KeptLevel(NamedTuple):
    """What one layer's backward pass needs beside its tape."""

    tape: LevelTape
    directions: Array | None  # y of the directions side by side, where they are multiplied
    around: KeptHighway | None


class KeptHighway(NamedTuple):
    """What the backward pass of a highway needs. The arrays are the tape's own."""

    highway: Highway
    params: list[Array]
    gate: Array
    x: Array
    inner: Array  # the layer's output within it


class Kept:
    """What one recorded call keeps."""

    def __init__(
        self, spec: Spec, arguments: Arguments, dropout: list[Array], batch_first: bool, merged: bool, layers: bool
    ) -> None:
        self.spec, self.arguments, self.dropout = spec, arguments, dropout
        self.batch_first, self.merged, self.layers = batch_first, merged, layers
        self.levels: list[KeptLevel] = []

    def add(self, found: LevelResult, around: KeptHighway | None) -> None:
        """Keep what one layer's backward pass needs."""
        assert found.tape is not None
        directions = found.y if self.spec.options["merge"] == "mul" else None
        self.levels.append(KeptLevel(found.tape, directions, around))

    @property
    def width(self) -> int:
        """Of the y that the call gave."""
        return self.spec.features if self.merged else self.spec.directions * self.spec.output_size


class GeneralTape:
    """What one recorded call kept, with the interface of `_core.Tape`."""

    def __init__(self, kept: Kept) -> None:
        self._kept: Kept | None = kept

    @property
    def nbytes(self) -> int:
        """Bytes of memory the tape holds."""
        if self._kept is None:
            return 0
        levels = self._kept.levels
        arrays = [*self._kept.dropout, *(level.directions for level in levels if level.directions is not None)]
        for level in levels:
            if level.around is not None:
                arrays += [level.around.gate, level.around.x, level.around.inner]
        return sum(array.nbytes for array in arrays) + sum(level.tape.nbytes for level in levels)

    def backward(
        self,
        dy: Array | None = None,
        dh_n: Array | None = None,
        dc_n: Array | None = None,
        *,
        truncate: int = 0,
        dlayers: Any = None,
    ) -> tuple[Any, Array, Array | None, list[Array], Array | None]:
        """As `_core.Tape.backward`; dlayers has a gradient, or None, for every layer's y."""
        kept = self._kept
        if kept is None:
            raise ValueError("tape: used before; record again for another backward pass")
        spec = kept.spec
        if truncate and spec.dilated:
            raise ValueError("truncate: expected None with dilation > 1")
        given = self._gradients_of_outputs(kept, dy, dlayers)
        count, rows = spec.num_layers * spec.directions, kept.arguments.batch.rows
        dstate = [
            None if d is None else _checks.shaped(name, d, (count, rows, width), spec.dtype)
            for name, d, width in zip(("dstate (h)", "dstate (c)"), (dh_n, dc_n), spec.widths, strict=False)
        ]
        self._kept = None
        dx, dh0, dc0, params = _through_layers(kept, given, dstate[0], dstate[1] if spec.has_cell else None, truncate)
        if kept.arguments.tokens is not None:
            return None, dh0, dc0, params, kept.arguments.tokens.embedding_gradient(dx)
        if kept.batch_first:
            dx = np.ascontiguousarray(dx.swapaxes(0, 1))
        return dx, dh0, dc0, params, None

    def _gradients_of_outputs(self, kept: Kept, dy: Array | None, dlayers: Any) -> list[Array | None]:
        """Those of every layer's y, checked, time first and 0 in the padding; dy is added to the last."""
        batch = kept.arguments.batch
        names = [f"dlayers[{k}]" for k in range(len(kept.levels))]
        given = self._listed(kept, dlayers)
        found = []
        sizes = (batch.rows, batch.steps) if kept.batch_first else (batch.steps, batch.rows)
        shape = (*sizes, kept.width)
        for name, d in zip((*names, "dy"), (*given, dy), strict=True):
            if d is not None:
                d = _checks.shaped(name, d, shape, kept.spec.dtype)
                d = d.swapaxes(0, 1) if kept.batch_first else d
                if batch.lengths is not None:
                    active = (np.arange(batch.steps)[:, np.newaxis] < batch.lengths)[:, :, np.newaxis]
                    d = np.where(active, d, kept.spec.dtype.type(0))
            found.append(d)
        last = found.pop()
        if last is not None:
            found[-1] = last if found[-1] is None else found[-1] + last
        return found

    def _listed(self, kept: Kept, dlayers: Any) -> list[Any]:
        if dlayers is None:
            return [None] * len(kept.levels)
        if not kept.layers:
            raise ValueError("dlayers: expected None, the call was recorded without return_layers=True")
        if not isinstance(dlayers, (list, tuple)):
            raise TypeError(f"dlayers: expected a list of arrays or None, got {_checks.describe(dlayers)}")
        if len(dlayers) != len(kept.levels):
            raise ValueError(f"dlayers: expected {len(kept.levels)} items, one a layer, got {len(dlayers)}")
        return list(dlayers)


def _through_layers(
    kept: Kept, given: list[Array | None], dh: Array | None, dc: Array | None, truncate: int
) -> tuple[Array, Array, Array | None, list[Array]]:
    """dx, dh0, dc0 and the parameters' gradients, given those of every layer's y and of the final state."""
    spec, batch = kept.spec, kept.arguments.batch
    dbelow: Array | None = None
    states: list[tuple[Array, Array | None]] = []
    grads: list[Array] = []
    how = spec.options["merge"]
    for index in reversed(range(spec.num_layers)):
        level, given_here = kept.levels[index], given[index]
        at = slice(index * spec.directions, (index + 1) * spec.directions)
        dlevel = _sum(dbelow, given_here if kept.merged else None)
        if dlevel is None:
            dlevel = np.zeros((batch.steps, batch.rows, spec.features), spec.dtype)
        daround: Array | None = None
        around: list[Array] = []
        if level.around is not None:
            highway, own, gate, x, inner = level.around
            dlevel, daround, around = highway.backward(own, gate, x, inner, dlevel)
        elif index and spec.options["connection"] == "residual":
            daround = dlevel
        dsides = merged_gradient(how, level.directions, dlevel)
        if not kept.merged and given_here is not None:
            dsides = dsides + given_here
        dx, dh0, dc0, params = level.tape.backward(
            dsides, None if dh is None else dh[at], None if dc is None else dc[at], truncate
        )
        states.insert(0, (dh0, dc0))
        grads[:0] = [*params, *around]
        dbelow = dx if daround is None else dx + daround
        if index and kept.dropout:
            dbelow = dbelow * kept.dropout[index - 1]  # (D3)
    assert dbelow is not None
    dc_first = np.concatenate([c for _, c in states if c is not None]) if spec.has_cell else None
    return dbelow, np.concatenate([h for h, _ in states]), dc_first, grads


def _sum(a: Array | None, b: Array | None) -> Array | None:
    return b if a is None else a if b is None else a + b
